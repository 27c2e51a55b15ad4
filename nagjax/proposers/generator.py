"""AG-Net's candidates: a graph generator that moves towards what is good.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734. In a round

  1. the generator goes on training on the evaluated architectures, drawn by
     their rank weights (equation 3), and follows the surrogate;
  2. graphs are generated from random latent vectors and decoded at random, a
     latent vector several times, more and more like the pretrained generator.

How it follows the surrogate: where the space says how scores of a graph are
weights of options (`GraphLayout.relax`) and the surrogate reads these, by its
gradient, as published. Else by how the surrogate ranks graphs that are drawn
from the scores (`retraining.policy_gradient`): it needs no gradient, so boosted
trees serve as well. That takes the place of the published ranking gradient
(Rolínek et al., "Optimizing Rank-based Metrics with Blackbox Differentiation",
CVPR 2020, https://arxiv.org/abs/1912.03500), which moves free copies of the
predictions and never reaches the generator.

Architectures are ranked by the scalarized objective, in which what is not
feasible comes last (equation 5), or, with `joint`, by the sum of their ranks by
objective and by violations (equation 4).
"""

import dataclasses
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax import generation
from nagjax.archive import Archive
from nagjax.arrays import average_ranks
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.proposers import base
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

LATENTS = ("quantiles", "uniform")


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    train_steps: minibatches of the generator in a round.
    train_batch_size: graphs of a minibatch.
    learning_rate: of the generator.
    weight_power: of the rank weights by which graphs are drawn. The program
      draws by the weights and multiplies the loss by them again, which is 2; 0
      retrains without weights (the paper's "w/o LSO").
    guidance: factor of the surrogate's gradient; 0 is the paper's "w/o
      backprop".
    num_ranked: graphs drawn from each latent vector of a minibatch, where their
      ranks are followed.
    latents: `uniform`, the program's, or `quantiles`, the paper's.
    num_latents: latent vectors of a round.
    num_decodes: graphs drawn from the scores of one latent vector.
    pretrained_mix: share of the pretrained generator in the scores of the last
      of them; the first has none.
    joint: rank by objective and violations together; needs constraints.
  """

  train_steps: int = 20
  train_batch_size: int = 16
  learning_rate: float = 1e-3
  weight_power: float = 1.0
  guidance: float = 0.1
  num_ranked: int = 4
  latents: str = "uniform"
  num_latents: int = 64
  num_decodes: int = 16
  pretrained_mix: float = 1.0
  joint: bool = False

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.choices(self, latents=LATENTS)
    checks.positive(self, "learning_rate")
    checks.not_negative(self, "weight_power", "guidance")
    if not 0 <= self.pretrained_mix <= 1:
      raise ValueError(
        f"pretrained_mix must be in [0, 1], got {self.pretrained_mix}."
      )


TINY = Config(
  train_steps=2,
  train_batch_size=4,
  num_ranked=2,
  num_latents=4,
  num_decodes=3,
)
"""Options for tests of the contract."""


class Batches(NamedTuple):
  """What the generator learns in a round, `S` minibatches of `B`.

  Attributes:
    targets: labels `int32[S, B, C, n]`, edges `bool[S, B, C, E]`.
    latents: `f32[S, B, C, 32]`.
  """

  targets: LabeledGraphs
  latents: jax.Array


def generator(
  space: SearchSpace,
  config: Config | None = None,
  *,
  params: Params | None = None,
  directory: str | os.PathLike[str] | None = None,
) -> base.Proposer[retraining.TrainState, Params]:
  """Builds the proposer; its state are the generators in training.

  Args:
    space: a space with a layout of graphs.
    config: `Config`: how it is retrained in a round, and how much it draws.
    params: weights of a pretrained generator, leading axis `C`; those of the
      space's file if None.
    directory: where the user's files are, see `generation.load_pretrained`.

  Raises:
    FileNotFoundError: if there are no weights, with the command that makes
      them.
    ValueError: if the space has no layout, or the weights cannot be used.
  """
  config = config or Config()
  layout = require_layout(space)
  if params is None:
    params = generation.load_pretrained(space, directory).params
  network = retraining.make_generator(layout)
  train_config = _train_config(config)

  # Compiled one by one where the surrogate lives on the host; inside a compiled
  # search these are no programs of their own.
  @jax.jit
  def draw_batches(key: Key, archive: Archive) -> Batches:
    return batches(key, archive, layout, config)

  @jax.jit
  def train(
    trained: retraining.TrainState, batch: Batches
  ) -> retraining.TrainState:
    return retraining.train(
      network, trained, batch.targets, batch.latents, train_config
    )

  @jax.jit
  def draw_ranked(
    key: Key, params: Params, z: jax.Array
  ) -> tuple[LabeledGraphs, Archs, jax.Array]:
    """Graphs of one minibatch `[B, D]`, and the architectures they are."""
    scores = retraining.generate(network, params, z)
    repeated = jax.tree.map(
      lambda leaf: jnp.repeat(leaf[:, None], config.num_ranked, axis=1), scores
    )
    graphs = _draw(key, repeated)
    archs, valid = layout.decode(graphs, repeated.edges)
    return graphs, archs, valid & space.is_valid(archs)

  @jax.jit
  def follow(
    trained: retraining.TrainState,
    batch: Batches,
    graphs: LabeledGraphs,
    values: jax.Array,
  ) -> retraining.TrainState:
    """One minibatch with the gradient of the ranks of `values`, `f32[B, D]`."""
    advantage = retraining.advantages(values.reshape(-1)).reshape(values.shape)
    return retraining.train(
      network,
      trained,
      jax.tree.map(lambda leaf: leaf[None], batch.targets),
      batch.latents[None],
      train_config,
      value_fn=lambda scores: retraining.policy_gradient(
        scores, graphs, advantage
      ),
      guidance=config.guidance,
    )

  def train_by_ranks(
    key: Key,
    trained: retraining.TrainState,
    batch: Batches,
    belief: base.Belief,
  ) -> retraining.TrainState:
    def step(
      trained: retraining.TrainState, inputs: tuple[Key, Batches]
    ) -> tuple[retraining.TrainState, None]:
      key, batch = inputs
      graphs, archs, valid = draw_ranked(key, trained.params, batch.latents)
      flat = archs.reshape(-1, space.num_variables)
      mean = belief.predict(flat).mean.reshape(valid.shape)
      # What is no architecture ranks last.
      values = jnp.where(valid, mean, -jnp.inf)
      return follow(trained, batch, graphs, values), None

    keys = jax.random.split(key, config.train_steps)
    if isinstance(key, jax.core.Tracer):
      return jax.lax.scan(step, trained, (keys, batch))[0]
    for number in range(config.train_steps):
      inputs = jax.tree.map(lambda leaf, at=number: leaf[at], (keys, batch))
      trained, _ = step(trained, inputs)
    return trained

  def train_by_gradient(
    trained: retraining.TrainState, batch: Batches, belief: base.Belief
  ) -> retraining.TrainState:
    def value(logits: generator_lib.GraphLogits) -> jax.Array:
      assert belief.relaxed is not None and layout.relax is not None
      return belief.relaxed(layout.relax(logits.nodes, logits.edges)).mean

    return retraining.train(
      network,
      trained,
      batch.targets,
      batch.latents,
      train_config,
      value_fn=value,
      guidance=config.guidance,
    )

  @jax.jit
  def draw_candidates(
    key: Key, params: Params, pretrained: Params
  ) -> tuple[Archs, jax.Array]:
    return generate(key, params, pretrained, layout, config)

  def propose(
    key: Key,
    state: retraining.TrainState,
    params: Params,
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, retraining.TrainState]:
    batch_key, rank_key, generate_key = jax.random.split(key, 3)
    batch = draw_batches(batch_key, archive)
    if not config.guidance:
      state = train(state, batch)
    elif belief.relaxed is not None and layout.relax is not None:
      state = train_by_gradient(state, batch, belief)
    elif belief.guides:
      state = train_by_ranks(rank_key, state, batch, belief)
    else:
      state = train(state, batch)
    archs, valid = draw_candidates(generate_key, state.params, params)
    return archs, valid & space.is_valid(archs), state

  return base.Proposer(
    init=lambda key, params: retraining.start(params, train_config),
    propose=propose,
    params=params,
    needs=base.Needs.PREDICT,
  )


def batches(
  key: Key, archive: Archive, layout: GraphLayout, config: Config
) -> Batches:
  """Draws what the generator learns in a round, by rank weights.

  Args:
    key: random key, consumed.
    archive: what was evaluated.
    layout: of the graphs.
    config: sizes of the minibatches, and the power of the rank weights.

  Example:
    >>> from nagjax import archive as archives
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> draw = lambda key: batches(
    ...   key, archives.empty(space, 8, 0), require_layout(space), TINY
    ... )
    >>> jax.eval_shape(draw, jax.random.key(0)).latents.shape
    (2, 4, 1, 32)
  """
  row_key, latent_key = jax.random.split(key)
  weights = generation.rank_weights(ranked(archive, config), archive.used)
  weights = jnp.where(archive.used, weights**config.weight_power, 0.0)
  shape = (config.train_steps, config.train_batch_size)
  # The first row alone, if nothing was evaluated.
  weights = weights.at[0].add(jnp.where(archive.num == 0, 1.0, 0.0))
  rows = jax.random.choice(
    row_key, weights.shape[0], shape, p=weights / jnp.sum(weights)
  )
  graphs = layout.encode(archive.archs)
  targets = jax.tree.map(lambda leaf: leaf[rows], graphs)
  latents = jax.random.normal(
    latent_key, (*shape, layout.num_graphs, generator_lib.LATENT_SIZE)
  )
  return Batches(targets, latents)


def ranked(archive: Archive, config: Config) -> jax.Array:
  """By what the architectures of an archive are ranked, `f32[M]`, maximized.

  With `joint` and constraints: the negative sum of the ranks by objective and
  by violations, and what is not feasible comes last (equation 4).

  Example:
    >>> from nagjax import archive as archives
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> jax.eval_shape(lambda: ranked(archives.empty(space, 8, 0), TINY)).shape
    (8,)
  """
  num_constraints = archive.violations.shape[1]
  if not config.joint or not num_constraints:
    return archive.objective
  columns = [-archive.value, *archive.violations.T]
  rank = jnp.sum(
    jnp.stack([average_ranks(column) for column in columns]), axis=0
  )
  feasible = jnp.all(archive.violations <= 0, axis=-1)
  size = len(columns) * rank.shape[0]
  return -rank - jnp.where(feasible, 0.0, 1.0 * size)


def generate(
  key: Key,
  params: Params,
  pretrained: Params,
  layout: GraphLayout,
  config: Config,
) -> tuple[Archs, jax.Array]:
  """Generates architectures.

  Args:
    key: random key, consumed.
    params: of the generators, leading axis `C`.
    pretrained: what they were before the search.
    layout: of the graphs.
    config: how many latent vectors and draws, and the pretrained share.

  Returns:
    `int32[num_latents * num_decodes, L]` and `bool[...]` whether each is one.
  """
  latent_key, draw_key = jax.random.split(key)
  shape = (config.num_latents, layout.num_graphs, generator_lib.LATENT_SIZE)
  uniform = jax.random.uniform(latent_key, shape)
  latents = (
    generation.uniform_latents(uniform)
    if config.latents == "uniform"
    else generation.quantile_latents(uniform)
  )
  network = retraining.make_generator(layout)
  both = jax.tree.map(lambda *leaves: jnp.stack(leaves), params, pretrained)
  scores = jax.vmap(lambda p: retraining.generate(network, p, latents))(both)
  share = jnp.linspace(0.0, config.pretrained_mix, config.num_decodes)

  def mixed(leaf: jax.Array) -> jax.Array:
    """Every decode's scores, from those of every latent vector."""
    now, before = leaf[:, :, None]
    by_decode = share.reshape((1, -1) + (1,) * (now.ndim - 2))
    return now + by_decode * (before - now)

  scores = jax.tree.map(mixed, scores)
  archs, valid = layout.decode(_draw(draw_key, scores), scores.edges)
  return archs.reshape(-1, archs.shape[-1]), valid.reshape(-1)


def _draw(key: Key, scores: generator_lib.GraphLogits) -> LabeledGraphs:
  node_key, edge_key = jax.random.split(key)
  return generation.choose(
    scores,
    jax.random.gumbel(node_key, scores.nodes.shape),
    jax.random.logistic(edge_key, scores.edges.shape),
  )


def _train_config(config: Config) -> retraining.Config:
  return retraining.Config(learning_rate=config.learning_rate)
