"""Fitting networks to the few evaluations of a search, inside jit.

Data sets grow while shapes do not: arrays have a fixed size `M`, of which the
first `num` rows count. A fit is a scan over minibatches; several networks fit
side by side by `vmap`.

The loss is OptiProxy-NAS's (Lyu et al., section 2.3, equation 6): mean squared
error plus a pairwise ranking hinge.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import optax

from nagjax import checks
from nagjax.networks.base import Network
from nagjax.networks.descent import TrainState
from nagjax.networks.descent import begin
from nagjax.networks.descent import descend
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of a fit.

  Attributes:
    num_steps: minibatches of one fit.
    batch_size: rows of a minibatch, drawn with replacement.
    learning_rate: at the start of every fit; falls to 0 by a cosine.
    weight_decay: of AdamW.
    rank_weight: factor of the ranking loss.
    margin: by which a better row has to be predicted higher.
    dropout: whether the network's dropout is on while it is fitted.
  """

  num_steps: int = 60
  batch_size: int = 64
  learning_rate: float = 3e-3
  weight_decay: float = 0.01
  rank_weight: float = 0.2
  margin: float = 0.1
  dropout: bool = False

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.positive(self, "learning_rate")


def init(key: Key, network: Network, config: Config) -> TrainState:
  """A network at its random start; the key is consumed."""
  return begin(network.init(key), _optimizer(config))


def fit(
  key: Key,
  network: Network,
  state: TrainState,
  graphs: Graph,
  targets: jax.Array,
  num: ArrayLike,
  config: Config,
) -> TrainState:
  """Goes on fitting a network to the first `num` rows of a data set.

  Args:
    key: random key, consumed.
    network: the network, with as many heads as targets.
    state: where to start.
    graphs: leading size `M`.
    targets: `f32[M, H]`, one column a head, of a scale near 1.
    num: `int32[]` rows that count, at least one.
    config: minibatches, optimizer and loss of this fit.

  Returns:
    The network after `config.num_steps` minibatches; its schedule starts anew
    with every fit, its moments do not.

  Example:
    >>> from nagjax.networks.mlp import mlp
    >>> network, config = mlp(4, 3), Config(num_steps=3, batch_size=2)
    >>> graphs = Graph(jnp.ones((5, 4, 3)), jnp.ones((5, 4, 4)))
    >>> def trained(init_key, fit_key):
    ...   state = init(init_key, network, config)
    ...   targets = jnp.ones((5, 1))
    ...   return fit(fit_key, network, state, graphs, targets, 5, config)
    >>> keys = jax.random.key(0), jax.random.key(1)
    >>> state = jax.eval_shape(trained, *keys)
    >>> jax.eval_shape(network.apply, state.params, graphs).shape
    (5, 1)
  """
  optimizer = _optimizer(config)
  size = min(config.batch_size, targets.shape[0])
  # One draw for the rows of all minibatches.
  rows_key, dropout_key = jax.random.split(key)
  rows = jax.random.uniform(rows_key, (config.num_steps, size))
  rows = rows * jnp.asarray(num, jnp.float32)
  rows = jnp.minimum(rows.astype(jnp.int32), jnp.asarray(num, jnp.int32) - 1)
  rates = optax.cosine_decay_schedule(1.0, config.num_steps)

  def step(
    state: TrainState, inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[TrainState, None]:
    number, rows = inputs
    batch = jax.tree.map(lambda leaf: leaf[rows], graphs)
    drop = jax.random.fold_in(dropout_key, number) if config.dropout else None

    def loss(params: Params) -> jax.Array:
      predictions = network.apply(params, batch, dropout_key=drop)
      return proxy_loss(
        predictions,
        targets[rows],
        rank_weight=config.rank_weight,
        margin=config.margin,
      )

    return descend(
      state, loss, optimizer, rates(number.astype(jnp.float32))
    ), None

  inputs = (jnp.arange(config.num_steps), rows)
  return jax.lax.scan(step, state, inputs)[0]


def proxy_loss(
  predictions: jax.Array,
  targets: jax.Array,
  *,
  rank_weight: ArrayLike = 0.2,
  margin: ArrayLike = 0.1,
) -> jax.Array:
  """Mean squared error plus the weighted ranking loss, summed over heads.

  Args:
    predictions: `f32[B, H]`.
    targets: `f32[B, H]`.
    rank_weight: factor of the ranking loss.
    margin: see `ranking_loss`.

  Returns:
    `f32[]`.

  Raises:
    ValueError: if the shapes differ.

  Example:
    >>> targets = jnp.asarray([[1.0], [0.0]])
    >>> float(jax.jit(proxy_loss)(targets, targets))
    0.0
  """
  if predictions.shape != targets.shape:
    raise ValueError(
      "A network needs a head for the objective and one for each constraint: "
      f"it predicts {predictions.shape}, and the targets are {targets.shape}."
    )
  squared = jnp.sum(jnp.mean((predictions - targets) ** 2, axis=0))
  ranks = jax.vmap(ranking_loss, (1, 1, None))(predictions, targets, margin)
  return squared + rank_weight * jnp.sum(ranks)


def ranking_loss(
  predictions: jax.Array, targets: jax.Array, margin: ArrayLike = 0.1
) -> jax.Array:
  """Mean of `max(0, margin - (f_i - f_j))` over pairs with `y_i > y_j`.

  Differs from the paper: the mean, not the sum, as published, so that the
  weight does not depend on the batch; equal targets are no pair (the published
  program orders them by chance). 0 without any pair.

  Args:
    predictions: `f32[B]`, `f`.
    targets: `f32[B]`, `y`.
    margin: by which the better one has to lead.

  Example:
    >>> said, true = jnp.asarray([0.0, 1.0]), jnp.asarray([1.0, 0.0])
    >>> round(float(jax.jit(ranking_loss)(said, true)), 3)
    1.1
  """
  pairs = targets[:, None] > targets[None]
  lead = predictions[:, None] - predictions[None]
  hinge = jnp.where(pairs, jnp.maximum(0.0, margin - lead), 0.0)
  return jnp.sum(hinge) / jnp.maximum(jnp.sum(pairs, dtype=jnp.float32), 1)


def _optimizer(config: Config) -> optax.GradientTransformation:
  return optax.flatten(
    optax.adamw(config.learning_rate, weight_decay=config.weight_decay)
  )
