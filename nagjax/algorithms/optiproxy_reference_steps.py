"""The pieces of a round of the published OptiProxy-NAS.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search", sections 2.2 to 2.4, with the published program's
constants and choices. `optiproxy_reference` assembles them; those that draw at
random take their draws as arguments, or come in two layers, the inner of which
does.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np
import optax

from nagjax import archive as archive_lib
from nagjax.algorithms.optiproxy_reference_presets import Config
from nagjax.networks import base
from nagjax.networks import gcn
from nagjax.networks.descent import TrainState
from nagjax.networks.descent import descend
from nagjax.relaxation import gumbel as gumbel_lib
from nagjax.relaxation import proxy_search
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params

LABEL_ORDER = (0, 1, 3, 2, 4, 5)
"""Variable whose operation each node of the proxy's graph carries.

The program lists operations by source and nodes by target, so the labels of the
edges 1 -> 2 and 0 -> 3 sit on each other's node: another graph, though no two
cells share one.
"""


def make_proxy(space: SearchSpace, config: Config) -> base.Network:
  """The published graph network (section 2.3)."""
  return gcn.gcn(
    space.num_nodes,
    space.num_labels,
    gcn.Config(
      hidden_size=config.hidden_size,
      num_layers=config.num_layers,
      dropout=config.dropout,
      published=True,
    ),
  )


def proxy_graph(space: SearchSpace, options: jax.Array) -> Graph:
  """The program's graph of weights of the operations, `f32[..., 6, 5]`."""
  return space.to_soft_graph(options[..., np.asarray(LABEL_ORDER), :])


def fit(
  key: Key,
  network: base.Network,
  proxy: TrainState,
  archs: Archs,
  objective: jax.Array,
  space: SearchSpace,
  config: Config,
) -> TrainState:
  """Goes on fitting the proxy to all evaluations (section 2.3).

  Args:
    key: random key, consumed.
    network: the proxy.
    proxy: its weights and moments.
    archs: `int32[M, L]`.
    objective: `f32[M]`; rows that are not finite do not count.
    space: the space.
    config: epochs, minibatches and loss of a fit.

  Returns:
    The network after `config.fit_epochs` passes.
  """
  used = jnp.isfinite(objective)
  targets = standardize(objective, used, config)
  graphs = proxy_graph(space, space.one_hot(archs))
  order_key, dropout_key = jax.random.split(key)
  shape = (config.fit_epochs, config.archive_size)
  # Rows in use come first, each epoch in another random order.
  uniform = jnp.where(used[None], jax.random.uniform(order_key, shape), 2.0)
  inputs = (
    jax.random.split(dropout_key, config.fit_epochs),
    jnp.argsort(uniform, axis=-1),
    learning_rate(
      jnp.arange(config.fit_epochs), config.fit_learning_rate, config
    ),
  )

  def epoch(
    proxy: TrainState, inputs: tuple[Key, jax.Array, jax.Array]
  ) -> tuple[TrainState, None]:
    key, order, rate = inputs
    count = jnp.sum(used)
    return fit_epoch(
      key, network, proxy, graphs, targets, order, count, rate, config
    ), None

  return jax.lax.scan(epoch, proxy, inputs)[0]


def fit_epoch(
  key: Key,
  network: base.Network,
  proxy: TrainState,
  graphs: Graph,
  targets: jax.Array,
  order: jax.Array,
  count: jax.Array,
  rate: ArrayLike,
  config: Config,
) -> TrainState:
  """One pass over a data set in minibatches; the last may be smaller.

  Args:
    key: random key of the dropout, consumed.
    network: the proxy.
    proxy: its weights and moments.
    graphs: leading size `M`.
    targets: `f32[M]`, standardized.
    order: `int32[M]`; its first `count` entries are the rows, in turn.
    count: `int32[]`; without rows there is no step.
    rate: learning rate.
    config: minibatches, optimizer, dropout and loss.

  Returns:
    The network after `ceil(count / fit_batch_size)` steps.
  """
  size = config.fit_batch_size
  optimizer = fit_optimizer(config)

  def step(number: jax.Array, proxy: TrainState) -> TrainState:
    position = number * size + jnp.arange(size)
    rows = order[jnp.minimum(position, order.shape[0] - 1)]
    batch = jax.tree.map(lambda leaf: leaf[rows], graphs)
    drop = jax.random.fold_in(key, number) if config.dropout else None

    def loss(weights: Params) -> jax.Array:
      predictions = network.apply(weights, batch, dropout_key=drop)[:, 0]
      return batch_loss(predictions, targets[rows], position < count, config)

    return descend(proxy, loss, optimizer, rate)

  # Of a data set that grows only the batches that it fills are worth a step.
  return jax.lax.fori_loop(0, -(-count // size), step, proxy)


def batch_loss(
  predictions: jax.Array,
  targets: jax.Array,
  present: jax.Array,
  config: Config,
) -> jax.Array:
  """Mean squared error plus `rank_weight` times a ranking hinge.

  The hinge is the mean of `max(0, margin - (f_i - f_j))` over all pairs of rows
  sorted by descending target, `i` before `j`. Differs from the paper's equation
  6, as published: a mean, and equal targets are pairs too, in the order of
  their rows.

  Args:
    predictions: `f32[B]`, `f`.
    targets: `f32[B]`.
    present: `bool[B]` rows that count.
    config: weight and margin of the hinge.

  Returns:
    `f32[]`; the hinge of a single row is 0.
  """
  squares = jnp.where(present, (predictions - targets) ** 2, 0.0)
  num = jnp.maximum(jnp.sum(present, dtype=jnp.float32), 1)
  squared = jnp.sum(squares) / num
  row = jnp.arange(targets.shape[0])
  first = targets[:, None] > targets[None]
  tied = targets[:, None] == targets[None]
  pairs = first | (tied & (row[:, None] < row[None]))
  pairs &= present[:, None] & present[None]
  lead = predictions[:, None] - predictions[None]
  hinge = jnp.where(pairs, jnp.maximum(0.0, config.margin - lead), 0.0)
  rank = jnp.sum(hinge) / jnp.maximum(jnp.sum(pairs, dtype=jnp.float32), 1)
  return squared + config.rank_weight * rank


def standardize(
  objective: jax.Array, used: jax.Array, config: Config
) -> jax.Array:
  """Targets of the proxy, `f32[M]`; 0 where `used` is false.

  By the mean and the deviation of the config, else by those of what is used.
  """
  if config.mean is None:
    weight = used.astype(jnp.float32)
    share = weight / jnp.maximum(jnp.sum(weight), 1)
    mean = jnp.sum(jnp.where(used, objective, 0.0) * share)
    squares = jnp.where(used, objective - mean, 0.0) ** 2
    std = jnp.sqrt(jnp.sum(squares * share))
    std = jnp.where(std > 0, std, 1.0)
  else:
    mean, std = jnp.float32(config.mean), jnp.float32(config.std)
  return jnp.where(used, (objective - mean) / std, 0.0)


def search(
  key: Key,
  network: base.Network,
  proxy: TrainState,
  groups: proxy_search.Variables,
  space: SearchSpace,
  config: Config,
) -> proxy_search.Variables:
  """Moves every group up the gradient of the proxy (section 2.4).

  Args:
    key: random key, consumed.
    network: the proxy; its dropout is off.
    proxy: its weights and moments.
    groups: where to start; their learning rate and temperature start anew.
    space: the space.
    config: steps, temperatures and optimizer of the groups.

  Returns:
    The groups after `config.search_epochs` steps.
  """

  def value(options: jax.Array) -> jax.Array:
    return network.apply(proxy.params, proxy_graph(space, options))[:, 0]

  shape = (config.search_epochs, *groups.logits.shape)
  return proxy_search.optimize(
    groups,
    value,
    jax.random.gumbel(key, shape),
    gumbel_lib.linear_temperatures(
      config.search_epochs,
      start=config.start_temperature,
      end=config.end_temperature,
    ),
    search_optimizer(config),
  )


_Loop = tuple[jax.Array, Archs, jax.Array]
"""How many draws there were, what they gave, and what of it is known."""


def sample_unseen(
  key: Key,
  logits: jax.Array,
  archive: Archs,
  num: jax.Array,
  num_wanted: int,
  space: SearchSpace,
  config: Config,
) -> tuple[Archs, jax.Array]:
  """Draws candidates, again where they are known, up to `num_tries` times.

  Args:
    key: random key, consumed.
    logits: `f32[G, L, K]` of the groups.
    archive: `int32[M, L]`, the first `num` known.
    num: `int32[]`.
    num_wanted: proposals; `ceil(num_wanted verify_ratio / G)` candidates a
      group.
    space: the space.
    config: candidates wanted for a proposal, tries and noise of a draw.

  Returns:
    `int32[C, L]` candidates, group by group, and `bool[C]` whether each is
    unknown.
  """
  each = math.ceil(num_wanted * config.verify_ratio / logits.shape[0])
  shape = (logits.shape[0], each, logits.shape[1], logits.shape[2] + 1)
  used = jnp.arange(archive.shape[0]) < num
  known = space.keys(archive)

  def draw(loop: _Loop) -> _Loop:
    number, archs, seen = loop
    uniform = jax.random.uniform(jax.random.fold_in(key, number), shape)
    drawn = sample_operations(
      logits[:, None], uniform[..., :-1], uniform[..., -1], noise=config.noise
    )
    archs = jnp.where(seen[:, None], drawn.reshape(archs.shape), archs)
    return (
      number + 1,
      archs,
      archive_lib.contains(space.keys(archs), known, used),
    )

  def goes_on(loop: _Loop) -> jax.Array:
    number, _, seen = loop
    return (number < config.num_tries) & jnp.any(seen)

  num_candidates = logits.shape[0] * each
  start = (
    jnp.int32(0),
    jnp.zeros((num_candidates, logits.shape[1]), jnp.int32),
    jnp.ones(num_candidates, bool),
  )
  _, archs, seen = jax.lax.while_loop(goes_on, draw, start)
  return archs, ~seen


def sample_operations(
  logits: jax.Array,
  noise_uniform: jax.Array,
  uniform: jax.Array,
  *,
  noise: float,
) -> Archs:
  """Draws operations from `softmax(logits)` plus noise, unnormalized.

  Args:
    logits: `f32[..., L, K]`.
    noise_uniform: `f32[..., L, K]` uniform draws in [0, 1), scaled by `noise`.
    uniform: `f32[..., L]` uniform draws in [0, 1), one for each choice.
    noise: how much of the noise is added.

  Returns:
    `int32[..., L]`.
  """
  weights = jax.nn.softmax(logits, axis=-1) + noise * noise_uniform
  reach = jnp.cumsum(weights, axis=-1)
  passed = reach <= (uniform * reach[..., -1])[..., None]
  chosen = jnp.sum(passed, axis=-1, dtype=jnp.int32)
  # A product with a draw just below 1 may round up to the total.
  return jnp.minimum(chosen, logits.shape[-1] - 1)


def top_unique(scores: jax.Array, num: int) -> tuple[jax.Array, jax.Array]:
  """The best candidates of different scores; of equals, the first.

  Args:
    scores: `f32[C]`; `-inf` excludes a candidate.
    num: at most `C`.

  Returns:
    `int32[num]` candidates, best first, and `bool[num]` whether there are so
    many.
  """
  order = jnp.argsort(-scores, stable=True)
  ranked = scores[order]
  repeats = jnp.append(jnp.zeros(1, bool), ranked[1:] == ranked[:-1])
  ranked = jnp.where(repeats, -jnp.inf, ranked)
  best, position = jax.lax.top_k(ranked, num)
  return order[position], best > -jnp.inf


def learning_rate(epoch: jax.Array, start: float, config: Config) -> jax.Array:
  """`start decay^ceil(epoch / decay_interval)`, `int32[...] -> f32[...]`.

  The program's schedulers step behind the epochs 0, 10, 20, ...
  """
  steps = -(-epoch // config.decay_interval).astype(jnp.float32)
  return jnp.asarray(start * config.decay**steps, jnp.float32)


def fit_optimizer(config: Config) -> optax.GradientTransformation:
  """AdamW for the proxy, of rate 1: the rate of the epoch multiplies it."""
  return optax.adamw(1.0, weight_decay=config.weight_decay)


def search_optimizer(config: Config) -> optax.GradientTransformation:
  """AdamW for the groups; its rate starts anew in every round."""

  def rate(count: jax.Array) -> jax.Array:
    epoch = count % config.search_epochs
    return learning_rate(epoch, config.search_learning_rate, config)

  return optax.adamw(rate, weight_decay=config.weight_decay)
