"""AG-Net with boosted trees for a surrogate: a search that runs on the host.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section
3.1 and the rows "XGB" and "XGB + ranking" of its tables. Trees read decoded
architectures as flat vectors and are fitted anew in every round; all else is as
in `agnet`, so that only the surrogate differs.

  - `xgb`: the generator is retrained by rank weights alone;
  - `xgb_rank`: it also follows a gradient of the ranks by the trees. Graphs are
    drawn from the scores of every minibatch, the trees rank them, and the
    generator is trained to draw what is ranked above the others more often
    (`retraining.policy_gradient`). What is no architecture ranks last.

Differs from the published programs: a retraining is as long as with any other
surrogate (they have 1 epoch) at its full weight (they have 0.1); trees learn
normal scores of ranks, and several of them, each fitted to a part of the rows,
stand for the uncertainty. The published gradient, Rolínek et al., "Optimizing
Rank-based Metrics with Blackbox Differentiation", CVPR 2020,
https://arxiv.org/abs/1912.03500, moves free copies of the predictions and never
reaches the generator; ours keeps the idea that ranks matter and does.

`ask` is no traceable function: use `search.run_on_host(..., jit=False)`. Its
numerical parts are compiled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import generation
from nagjax.algorithms import agnet_steps
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms.agnet_steps import Config
from nagjax.algorithms.archive import Info
from nagjax.generation import retraining
from nagjax.predictors import boosted
from nagjax.predictors import ensembles
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import LabeledGraphs
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal

ROW_SHARE = 0.8
"""Share of the rows that one of several members is fitted to."""

Trees = list[list[boosted.Boosted]]
"""A list a member: trees for the objective, then for every constraint."""


class State(NamedTuple):
  """What the search remembers; trees are fitted to it in every `ask`.

  Attributes:
    archive: what was evaluated.
    trained: the generators, leading size `C`.
  """

  archive: archive_lib.Archive
  trained: retraining.TrainState


def agnet_boosted(space: SearchSpace, config: Config) -> Algorithm:
  """Builds the search; its params are weights of a pretrained generator.

  Raises:
    ValueError: if the space has no layout of graphs, or XGBoost is missing.
  """
  boosted.require()
  layout = require_layout(space)
  network = retraining.make_generator(layout)
  train_config = agnet_steps.train_config(config)

  def init(key: Key, params: Params) -> State:
    del key
    return State(
      archive_lib.empty(space, config.archive_size, config.num_constraints),
      retraining.start(params, train_config),
    )

  @jax.jit
  def prepare(key: Key, archive: archive_lib.Archive):
    written = layout.encode(archive.archs)
    return (
      flat_vectors(written, layout),
      ensembles.targets(archive.target, archive.violations, archive.used),
      agnet_steps.batches(key, archive, written, config, layout),
    )

  @jax.jit
  def train(
    trained: retraining.TrainState, targets: LabeledGraphs, z: jax.Array
  ):
    return retraining.train(network, trained, targets, z, train_config)

  @jax.jit
  def draw(key: Key, params: Params, z: jax.Array):
    """Graphs of one minibatch, and what the trees read of them."""
    node_key, edge_key = jax.random.split(key)
    scores = jax.tree.map(
      lambda leaf: jnp.repeat(leaf[:, None], config.num_decodes, axis=1),
      retraining.generate(network, params, z),
    )
    written = generation.choose(
      scores,
      jax.random.gumbel(node_key, scores.nodes.shape),
      jax.random.logistic(edge_key, scores.edges.shape),
    )
    archs, valid = layout.decode(written, scores.edges)
    features = flat_vectors(layout.encode(archs), layout)
    return written, features, valid & space.is_valid(archs)

  @jax.jit
  def follow(trained, targets, z, written, values):
    """One step of `train` with the gradient of the ranks by the trees."""
    advantage = retraining.advantages(values.reshape(-1))
    return retraining.train(
      network,
      trained,
      jax.tree.map(lambda leaf: leaf[None], targets),
      z[None],
      train_config,
      value_fn=lambda scores: retraining.policy_gradient(
        scores, written, advantage.reshape(values.shape)
      ),
      guidance=config.guidance,
    )

  def train_by_rank(key, trained, trees, targets, z):
    for step, step_key in enumerate(jax.random.split(key, config.train_steps)):
      written, features, valid = draw(step_key, trained.params, z[step])
      values, _ = predict(trees, features, config)
      batch = jax.tree.map(lambda leaf, at=step: leaf[at], targets)
      trained = follow(
        trained, batch, z[step], written, np.where(valid, values, -np.inf)
      )
    return trained

  @jax.jit
  def generate(key, archive, trained, pretrained):
    archs, allowed = agnet_steps.candidates(
      key, archive, trained.params, pretrained, config, space
    )
    return archs, allowed, flat_vectors(layout.encode(archs), layout)

  @jax.jit
  def pick(key, archs, allowed, mean, deviation):
    return agnet_steps.pick(key, space, archs, allowed, mean, deviation, config)

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    if isinstance(key, jax.core.Tracer):
      raise ValueError(
        f"A search with the surrogate {config.surrogate!r} runs on the host "
        "and cannot be compiled: use search.run_on_host(..., jit=False)."
      )
    keys = jax.random.split(key, 5)
    features, values, batches = prepare(keys[0], state.archive)
    num = int(state.archive.num)
    trees = fit(keys[1], features[:num], values[:num], config)
    if config.surrogate == "xgb_rank" and config.guidance:
      trained = train_by_rank(keys[2], state.trained, trees, *batches)
    else:
      trained = train(state.trained, *batches)
    archs, allowed, features = generate(keys[3], state.archive, trained, params)
    mean, deviation = predict(trees, features, config)
    proposal = pick(keys[4], archs, allowed, mean, deviation)
    return proposal, state._replace(trained=trained)

  @jax.jit
  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    return state._replace(archive=archive), Info(best, archive.num)

  return Algorithm(init, ask, tell, config.num_initial, config.batch_size)


def flat_vectors(written: LabeledGraphs, layout: GraphLayout) -> jax.Array:
  """Graphs as trees read them, `f32[..., C (n T + E)]` of zeros and ones.

  For every graph: node types, one-hot, then edges, as a generator writes them.

  Args:
    written: leading axes `[..., C]`.
    layout: of the graphs.
  """
  nodes = jax.nn.one_hot(written.labels, len(layout.labels))
  nodes = nodes.reshape(*nodes.shape[:-2], -1)
  vectors = jnp.concatenate([nodes, written.edges.astype(jnp.float32)], -1)
  return vectors.reshape(*vectors.shape[:-2], -1)


def fit(
  key: Key, features: jax.Array, targets: jax.Array, config: Config
) -> Trees:
  """Step 1: fits `num_members` ensembles of trees for every head (host).

  Args:
    key: random key, consumed.
    features: `f32[n, D]`, see `flat_vectors`.
    targets: `f32[n, 1 + C]`, see `ensembles.targets`.
    config: options.

  Returns:
    The trees; none if nothing was evaluated.
  """
  if not len(features):
    return []
  several = config.num_members > 1
  options = boosted.Config(row_share=ROW_SHARE if several else 1.0)
  shape = (config.num_members, targets.shape[1])
  seeds = np.asarray(jax.random.bits(key, shape)) >> 1
  x, y = np.asarray(features), np.asarray(targets)
  return [
    [
      boosted.fit(x, column, options, seed=int(seed))
      for column, seed in zip(y.T, row, strict=True)
    ]
    for row in seeds
  ]


def predict(
  trees: Trees, features: jax.Array, config: Config
) -> tuple[np.ndarray, np.ndarray]:
  """Mean and deviation of what the trees promise, `f32[...]` each (host).

  Args:
    trees: see `fit`; without any, both are 0.
    features: `f32[..., D]`.
    config: options; `penalty` times the predicted violations is subtracted from
      the mean.
  """
  shape = features.shape[:-1]
  if not trees:
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  rows = np.asarray(features).reshape(-1, features.shape[-1])
  heads = np.asarray(
    [[boosted.predict(head, rows) for head in member] for member in trees]
  )
  objective, violations = heads[:, 0], heads[:, 1:].mean(axis=0)
  mean = objective.mean(axis=0)
  mean -= config.penalty * np.maximum(violations, 0.0).sum(axis=0)
  deviation = np.zeros_like(mean)
  if len(trees) > 1:
    deviation = objective.std(axis=0, ddof=1)
  return mean.reshape(shape), deviation.reshape(shape)
