"""AG-Net without a surrogate: several measures, and one cell after the other.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section
4.2 and appendix C.5: the search on ImageNet by the two measures of TE-NAS, the
condition number of the tangent kernel and the number of linear regions. A
round:

  1. the generator of the cell whose turn it is goes on training on what was
     evaluated, drawn by the sum of the rank weights (equation 3) of all
     objectives, `w = w_NTK + w_LR`;
  2. it generates cells from random latent vectors; the first that are valid and
     unseen are the batch. The other cell is that of the best so far.

Normal cells come first, beside one random reduction cell; after half of the
evaluations the best of them stays and reduction cells follow. A space whose
architectures have one graph has one turn; with one objective this is a search
by its ranks.

Differs from the program, which measures 50 candidates a round, keeps the 16 of
the lowest sum of ranks and calls only these queries: here everything that is
measured is a query, and a round has 16. Ranks are those among architectures
that share the other cell: the program goes on to train on the reduction cells
of everything, most of which are the one that never changed. Cells have a
generator each. As in `agnet`, the weights draw and do not multiply the loss
once more, in which nodes count as much as edges, not twice.
"""

import dataclasses
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import archive as archive_lib
from nagjax import checks
from nagjax import generation
from nagjax.algorithms.spec import Spec
from nagjax.arrays import average_ranks
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

BENCHMARK = "zerocost/tenas@darts"
"""The benchmark of the paper, which has two measures."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_evaluations: of the whole search, `M`: each graph has an equal part of
      them, and so many are remembered.
    batch_size: architectures of a round. As nothing was measured before the
      first, it is also the published number of initial ones.
    num_objectives: `K`, the last so many of a problem's objectives are ranked.
      One that only sums the others up comes before them.
    num_latents: latent vectors of a round.
    train_steps: minibatches of the generator in a round. 13 are about an epoch
      (the published "tick") of the whole search; the program's follows what was
      evaluated so far.
    train_batch_size: graphs of a minibatch.
    train_learning_rate: of the generator.
    num_constraints: of the problem; must be 0, as nothing but objectives is
      ranked.
  """

  num_evaluations: int = 208
  batch_size: int = 16
  num_objectives: int = 2
  num_latents: int = 256
  train_steps: int = 13
  train_batch_size: int = 16
  train_learning_rate: float = 1e-3
  num_constraints: int = 0

  def __post_init__(self) -> None:
    if self.num_constraints:
      raise ValueError(
        "The training-free search ranks objectives only, got "
        f"{self.num_constraints} constraints; leave them out."
      )
    checks.sizes(self, num_constraints=0)
    checks.positive(self, "train_learning_rate")


class State(NamedTuple):
  """What the search remembers; the first `num` rows of `M` count.

  Attributes:
    archs: `int32[M, L]` distinct architectures that were evaluated.
    keys: `uint32[M, 2]`, their keys.
    objectives: `f32[M, K]`, maximized; `-inf` for failures.
    num: `int32[]`.
    best: `int32[L]`, of the lowest sum of ranks; a random one at first. All
      its graphs but one are those of every proposal.
    graph: `int32[]`, which graph is searched for, of `C`.
    trained: the generators, leading axes `[C, 1]`.
  """

  archs: jax.Array
  keys: jax.Array
  objectives: jax.Array
  num: jax.Array
  best: jax.Array
  graph: jax.Array
  trained: retraining.TrainState


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best: `int32[L]`, that of the `State`.
    graph: `int32[]`, which graph the next round searches for.
  """

  best: jax.Array
  graph: jax.Array


def agnet_training_free(
  space: SearchSpace,
  config: Config | None = None,
  *,
  directory: str | os.PathLike[str] | None = None,
) -> Algorithm[State, Params]:
  """Builds the search; its params are weights of a pretrained generator.

  There is no initial design: the first round comes from the generator as it
  was pretrained. A proposal that finds no unseen candidate is an invalid row.

  Args:
    space: with a layout of graphs.
    config: of the search and the training of the generators.
    directory: where pretrained weights of the user are; they win over those of
      the package.

  Raises:
    FileNotFoundError: if nobody trained a generator of the space.
    ValueError: if the space has no layout of graphs; from `tell`, if the
      problem has too few objectives.
  """
  config = config or Config()
  layout = require_layout(space)
  size = config.num_evaluations

  def init(key: Key, params: Params) -> State:
    def start(params: Params) -> retraining.TrainState:
      return retraining.start(params, _train_config(config))

    return State(
      archs=jnp.zeros((size, space.num_variables), jnp.int32),
      keys=jnp.zeros((size, 2), jnp.uint32),
      objectives=jnp.full((size, config.num_objectives), -jnp.inf),
      num=jnp.int32(0),
      best=space.sample(key, 1)[0],
      graph=jnp.int32(0),
      # Every graph has its own optimizer, which rests while others train.
      trained=jax.vmap(start)(jax.tree.map(lambda leaf: leaf[:, None], params)),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    train_key, generate_key = jax.random.split(key)
    trained = retrain(train_key, state, config, layout)
    archs, valid = generate(
      generate_key, trained.params, state, space, config, layout
    )
    allowed = valid & space.is_valid(archs)
    keys = space.keys(archs)
    allowed &= ~archive_lib.is_duplicate(keys, allowed)
    used = jnp.arange(size) < state.num
    allowed &= ~archive_lib.contains(keys, state.keys, used)
    first = jnp.argsort(~allowed, stable=True)[: config.batch_size]
    kept = jax.tree.map(
      lambda all_, one: all_.at[state.graph].set(one), state.trained, trained
    )
    return Proposal(archs[first], allowed[first]), state._replace(trained=kept)

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    num_found = evaluation.objectives.shape[1]
    if num_found < config.num_objectives:
      raise ValueError(
        f"num_objectives is {config.num_objectives}, but the problem has "
        f"{num_found}: give it more objectives or lower num_objectives."
      )
    objectives = evaluation.objectives[:, -config.num_objectives :]
    known = proposal.valid & (evaluation.status != Status.DENIED)
    keys = space.keys(proposal.archs)
    place, num = archive_lib.new_places(keys, known, state.keys, state.num)
    state = state._replace(
      archs=state.archs.at[place].set(proposal.archs, mode="drop"),
      keys=state.keys.at[place].set(keys, mode="drop"),
      objectives=state.objectives.at[place].set(objectives, mode="drop"),
      num=num,
    )
    best = find_best(state, layout)
    # Only now: what was the best of this turn stays in the next.
    graph = jnp.minimum(num * layout.num_graphs // size, layout.num_graphs - 1)
    return state._replace(best=best, graph=graph), Info(best, graph)

  params = generation.load_pretrained(space, directory).params
  return Algorithm(init, ask, tell, 0, config.batch_size, params=params)


def comparable_rows(state: State, layout: GraphLayout) -> jax.Array:
  """Evaluated rows that differ from the best in the searched graph, `bool[M]`.

  The best is one of them; failures are not. All rows, if there are none, as
  when prior data begin a search.
  """
  row, best = layout.encode(state.archs), layout.encode(state.best)
  same = jnp.all(row.labels == best.labels[None], axis=-1)
  same &= jnp.all(row.edges == best.edges[None], axis=-1)
  same |= (jnp.arange(layout.num_graphs) == state.graph)[None]
  alive = jnp.arange(state.archs.shape[0]) < state.num
  alive &= jnp.all(jnp.isfinite(state.objectives), axis=-1)
  found = alive & jnp.all(same, axis=-1)
  return jnp.where(jnp.any(found), found, alive)


def summed_rank_weights(objectives: jax.Array, used: jax.Array) -> jax.Array:
  """Sums the rank weights of several objectives, `f32[M, K] -> f32[M]`.

  Args:
    objectives: each maximized.
    used: `bool[M]` which rows count; the others have the weight 0.
  """
  weights = jax.vmap(generation.rank_weights, (1, None))(objectives, used)
  return jnp.sum(weights, axis=0)


def find_best(state: State, layout: GraphLayout) -> Archs:
  """The peer of the lowest sum of ranks over the objectives, `int32[L]`.

  As the program chooses its batches, but that equal values share a rank. Of
  equal sums it is the first; the best so
  far, if all have failed.
  """
  used = comparable_rows(state, layout)
  ranks = jax.vmap(average_ranks, (1, None), 1)(-state.objectives, used)
  total = jnp.where(used, jnp.sum(ranks, axis=1), 1.0 * ranks.size)
  best = state.archs[jnp.argmin(total)]
  return jnp.where(jnp.any(used), best, state.best)


def retrain(
  key: Key, state: State, config: Config, layout: GraphLayout
) -> retraining.TrainState:
  """Step 1: the generator of one graph goes on training, leading axis 1.

  Args:
    key: random key, consumed.
    state: what the search remembers.
    config: minibatches and learning rate of a round.
    layout: of the graphs.
  """
  row_key, latent_key = jax.random.split(key)
  used = comparable_rows(state, layout)
  weights = summed_rank_weights(state.objectives, used)
  shape = (config.train_steps, config.train_batch_size)
  rows = jax.random.categorical(row_key, jnp.log(weights), shape=shape)
  before = jax.tree.map(lambda leaf: leaf[state.graph], state.trained)
  after = retraining.train(
    retraining.make_generator(layout),
    before,
    _searched(layout.encode(state.archs[rows]), state),
    jax.random.normal(latent_key, (*shape, 1, generator_lib.LATENT_SIZE)),
    _train_config(config),
  )
  # A single architecture has no rank.
  enough = jnp.sum(used) > 1
  return jax.tree.map(lambda a, b: jnp.where(enough, a, b), after, before)


def generate(
  key: Key,
  params: Params,
  state: State,
  space: SearchSpace,
  config: Config,
  layout: GraphLayout,
) -> tuple[Archs, jax.Array]:
  """Step 2: generates graphs, and puts them in the place of the best's.

  Args:
    key: random key, consumed.
    params: of the generator, leading axis 1.
    state: what the search remembers.
    space: the search space.
    config: number of latent vectors.
    layout: of the graphs.

  Returns:
    `int32[num_latents + batch_size, L]` and `bool[...]` whether each is an
    architecture. The last `batch_size` are of uniformly random architectures,
    for when others are too few.
  """
  latent_key, node_key, edge_key, random_key = jax.random.split(key, 4)
  shape = (config.num_latents, 1, generator_lib.LATENT_SIZE)
  scores = retraining.generate(
    retraining.make_generator(layout),
    params,
    generation.uniform_latents(jax.random.uniform(latent_key, shape)),
  )
  drawn = generation.choose(
    scores,
    jax.random.gumbel(node_key, scores.nodes.shape),
    jax.random.logistic(edge_key, scores.edges.shape),
  )
  random = layout.encode(space.sample(random_key, config.batch_size))
  found = jax.tree.map(
    lambda a, b: jnp.concatenate([a, b])[:, 0], drawn, _searched(random, state)
  )

  def among_the_best(all_: jax.Array, one: jax.Array) -> jax.Array:
    all_ = jnp.broadcast_to(all_, (one.shape[0], *all_.shape))
    return all_.at[:, state.graph].set(one)

  written = jax.tree.map(among_the_best, layout.encode(state.best), found)
  # They say which edges stay where there are too many: not in written graphs.
  edges = jnp.zeros(written.edges.shape, scores.edges.dtype)
  edges = edges.at[: config.num_latents, state.graph].set(scores.edges[:, 0])
  return layout.decode(written, edges)


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """The budget is shared among the graphs; one benchmark has two measures."""
  return {
    "num_evaluations": budget,
    "num_objectives": 2 if benchmark_name == BENCHMARK else 1,
  }


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """Rounds that a budget needs, and a few for repeats."""
  del algorithm
  needed = -(-max(budget, 1) // config.batch_size)
  return needed + 2 + needed // 10


SPEC = Spec(
  build=agnet_training_free,
  config=Config(),
  num_rounds=num_rounds,
  preset=preset,
  needs_directory=True,
  tiny=dict(batch_size=3, num_latents=4, train_steps=2, train_batch_size=4),
)
"""How the registry builds it."""


def _searched(written: LabeledGraphs, state: State) -> LabeledGraphs:
  """The graph that is searched for, `[..., C, n] -> [..., 1, n]`."""
  return jax.tree.map(
    lambda leaf: jax.lax.dynamic_index_in_dim(leaf, state.graph, -2), written
  )


def _train_config(config: Config) -> retraining.Config:
  return retraining.Config(learning_rate=config.train_learning_rate)
