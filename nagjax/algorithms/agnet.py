"""AG-Net: a graph generator whose latent space moves towards what is good.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734. A round:

  1. the surrogate, a few networks side by side, goes on fitting the evaluations
     so far;
  2. the generator goes on training on the evaluated architectures, drawn by
     their rank weights (equation 3), and follows the gradient of what the
     surrogate says of its graphs;
  3. graphs are generated from random latent vectors and decoded at random; of
     those that are valid and unseen the surrogate selects the batch.

Differs from the paper and its program, because one setting has to serve every
benchmark: the surrogate learns real graphs instead of generated ones that the
same latent vectors will not give again, and it learns normal scores of ranks;
it reads probabilities instead of raw scores, which lie on the scale of real
graphs, and so its gradient says what to generate more often; several of them
stand for the uncertainty, and every slot of a batch has its own optimism; a
latent vector is decoded several times, more and more boldly.

Constraints are further heads of the surrogate. Architectures are ranked by the
scalarised objective, in which what is not feasible comes last (equation 5), or,
with `joint`, by the sum of their ranks by objective and by violations (equation
6).
"""

import dataclasses
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import generation
from nagjax import networks
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms import choosing
from nagjax.algorithms.archive import Info as Info
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import LabelledGraphs
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal

LATENTS = ("quantiles", "uniform")
SURROGATES = ("gcn", "mlp")


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`.
    surrogate: one of `SURROGATES`.
    hidden_size: width of the surrogate.
    num_members: surrogates side by side.
    fit_steps: minibatches of a fit.
    fit_batch_size: rows of a minibatch.
    fit_learning_rate: at the start of a fit.
    train_steps: minibatches of the generator in a round.
    train_batch_size: graphs of a minibatch.
    train_learning_rate: of the generator.
    weight_power: of the rank weights by which graphs are drawn. The program
      draws by the weights and multiplies the loss by them again, which is 2; 0
      retrains without weights (the paper's "w/o LSO").
    guidance: factor of the surrogate's gradient; 0 is the paper's "w/o
      backprop".
    latents: `uniform`, the program's, or `quantiles`, the paper's.
    num_latents: latent vectors of a round.
    num_decodes: graphs drawn from the scores of one latent vector.
    caution: share of the pretrained generator in the scores of the last of
      them; the first has none.
    boldness: largest optimism of a slot, in deviations of the surrogates.
    penalty: of a predicted violation.
    joint: rank by objective and violations together.
    num_constraints: heads of the surrogate besides the objective.
  """

  num_initial: int = 16
  batch_size: int = 8
  archive_size: int = 320
  surrogate: str = "gcn"
  hidden_size: int = 32
  num_members: int = 3
  fit_steps: int = 40
  fit_batch_size: int = 32
  fit_learning_rate: float = 3e-3
  train_steps: int = 20
  train_batch_size: int = 16
  train_learning_rate: float = 1e-3
  weight_power: float = 1.0
  guidance: float = 0.1
  latents: str = "uniform"
  num_latents: int = 64
  num_decodes: int = 16
  caution: float = 1.0
  boldness: float = 4.0
  penalty: float = 5.0
  joint: bool = False
  num_constraints: int = 0

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.type in ("int", int) and field.name != "num_constraints":
        if value < 1:
          raise ValueError(f"{field.name} must be at least 1, got {value}.")
    for name, known in (("surrogate", SURROGATES), ("latents", LATENTS)):
      if getattr(self, name) not in known:
        raise ValueError(
          f"{name} must be one of {', '.join(known)}, got "
          f"{getattr(self, name)!r}."
        )
    if self.archive_size < self.num_initial + self.batch_size:
      raise ValueError(
        "archive_size must hold num_initial + batch_size = "
        f"{self.num_initial + self.batch_size}, got {self.archive_size}."
      )
    if self.num_latents * self.num_decodes < self.batch_size:
      raise ValueError(
        "num_latents * num_decodes must be at least batch_size = "
        f"{self.batch_size}, got {self.num_latents * self.num_decodes}."
      )
    if not 0 <= self.caution <= 1:
      raise ValueError(f"caution must be in [0, 1], got {self.caution}.")


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archive: what was evaluated.
    members: the surrogates, leading size `num_members`.
    trained: the generators, leading size `C`.
  """

  archive: archive_lib.Archive
  members: fitting.Fitted
  trained: retraining.Trained


def agnet(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds the search; its params are weights of a pretrained generator.

  A proposal that finds no unseen candidate is uniformly random.

  Raises:
    ValueError: if the space has no layout of graphs.
  """
  config = config or Config()
  layout = _layout(space)
  surrogate = make_surrogate(layout, config)
  batch_size = config.batch_size

  def init(key: Key, params: Params) -> State:
    return State(
      archive_lib.empty(space, config.archive_size, config.num_constraints),
      ensembles.init(key, surrogate, config.num_members, _fit_config(config)),
      retraining.start(params, _train_config(config)),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    fit_key, train_key, generate_key, random_key = jax.random.split(key, 4)
    written = layout.encode(state.archive.archs)
    graphs = generation.one_hot_graphs(written, layout)
    state = state._replace(members=fit(fit_key, state, graphs, config, layout))
    state = state._replace(
      trained=retrain(train_key, state, written, config, layout)
    )
    archs, valid = generate(
      generate_key, state.trained.params, params, config, layout
    )
    allowed = archive_lib.unseen(
      state.archive, space, archs, valid & space.is_valid(archs)
    )
    candidates = generation.one_hot_graphs(layout.encode(archs), layout)
    mean, deviation = ensembles.predict(
      surrogate, state.members, candidates, penalty=config.penalty
    )
    chosen, found = choosing.choose(
      jnp.where(allowed, mean, -jnp.inf),
      deviation,
      choosing.optimism(config.boldness, batch_size),
    )
    random = space.sample(random_key, batch_size)
    archs = jnp.where(found[:, None], archs[chosen], random)
    return Proposal(archs, space.is_valid(archs)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    return state._replace(archive=archive), Info(best, archive.num)

  return Algorithm(init, ask, tell, config.num_initial, batch_size)


def make_surrogate(layout: GraphLayout, config: Config) -> networks.Network:
  """One member; it reads all graphs of an architecture as one."""
  return ensembles.make_member(
    config.surrogate,
    layout.num_graphs * layout.num_nodes,
    len(layout.labels),
    hidden_size=config.hidden_size,
    num_constraints=config.num_constraints,
  )


def fit(
  key: Key,
  state: State,
  graphs: Graph,
  config: Config,
  layout: GraphLayout,
) -> fitting.Fitted:
  """Step 1: every surrogate goes on fitting the archive.

  Args:
    key: random key, consumed.
    state: what the search remembers.
    graphs: of the archive, see `generation.one_hot_graphs`.
    config: options.
    layout: of the graphs.
  """
  archive = state.archive
  return ensembles.fit(
    key,
    make_surrogate(layout, config),
    state.members,
    graphs,
    ensembles.targets(archive.target, archive.violations, archive.used),
    jnp.maximum(archive.num, 1),
    _fit_config(config),
  )


def retrain(
  key: Key,
  state: State,
  written: LabelledGraphs,
  config: Config,
  layout: GraphLayout,
) -> retraining.Trained:
  """Step 2: the generator goes on training on what the archive ranks high.

  Args:
    key: random key, consumed.
    state: what the search remembers.
    written: the archive's graphs.
    config: options.
    layout: of the graphs.
  """
  archive = state.archive
  row_key, latent_key = jax.random.split(key)
  weights = generation.rank_weights(ranked(archive, config), archive.used)
  weights = jnp.where(archive.used, weights**config.weight_power, 0.0)
  shape = (config.train_steps, config.train_batch_size)
  # The first row alone, if nothing was evaluated.
  weights = weights.at[0].add(jnp.where(archive.num == 0, 1.0, 0.0))
  rows = jax.random.choice(
    row_key, weights.shape[0], shape, p=weights / jnp.sum(weights)
  )
  surrogate = make_surrogate(layout, config)

  def value(scores: generator_lib.Scores) -> jax.Array:
    mean, _ = ensembles.predict(
      surrogate,
      state.members,
      generation.relaxed_graphs(scores),
      penalty=config.penalty,
    )
    return mean

  return retraining.train(
    retraining.make_generator(layout),
    state.trained,
    jax.tree.map(lambda leaf: leaf[rows], written),
    jax.random.normal(
      latent_key, (*shape, layout.num_graphs, generator_lib.LATENT_SIZE)
    ),
    _train_config(config),
    value_fn=value if config.guidance else None,
    guidance=config.guidance,
  )


def ranked(archive: archive_lib.Archive, config: Config) -> jax.Array:
  """By what the architectures of an archive are ranked, `f32[M]`, maximised.

  With `joint` and constraints: the negative sum of the ranks by objective and
  by violations, and what is not feasible comes last (equation 6).
  """
  if not config.joint or not config.num_constraints:
    return archive.objective
  rank = _ranks(-archive.target) + sum(
    _ranks(archive.violations[:, c]) for c in range(config.num_constraints)
  )
  feasible = jnp.all(archive.violations <= 0, axis=-1)
  size = (1 + config.num_constraints) * rank.shape[0]
  return -rank - jnp.where(feasible, 0.0, 1.0 * size)


def generate(
  key: Key,
  params: Params,
  pretrained: Params,
  config: Config,
  layout: GraphLayout,
) -> tuple[Archs, jax.Array]:
  """Step 3: generates architectures.

  Args:
    key: random key, consumed.
    params: of the generators, leading axis `C`.
    pretrained: what they were before the search.
    config: options.
    layout: of the graphs.

  Returns:
    `int32[num_latents * num_decodes, L]` and `bool[...]` whether each is one.
  """
  latent_key, node_key, edge_key = jax.random.split(key, 3)
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
  share = jnp.linspace(0.0, config.caution, config.num_decodes)

  def mixed(leaf: jax.Array) -> jax.Array:
    """Every decode's scores, from those of every latent vector."""
    now, before = leaf[:, :, None]
    by_decode = share.reshape((1, -1) + (1,) * (now.ndim - 2))
    return now + by_decode * (before - now)

  scores = jax.tree.map(mixed, scores)
  written = generation.choose(
    scores,
    jax.random.gumbel(node_key, scores.nodes.shape),
    jax.random.logistic(edge_key, scores.edges.shape),
  )
  archs, valid = layout.decode(written, scores.edges)
  return archs.reshape(-1, archs.shape[-1]), valid.reshape(-1)


def params(
  space: SearchSpace,
  config: Config,
  directory: str | os.PathLike[str] | None = None,
) -> Params:
  """The weights of the space's pretrained generator.

  Args:
    space: the space.
    config: options.
    directory: where the user's files are, see `generation.load_pretrained`.

  Raises:
    FileNotFoundError: if there are none, with the command that makes them.
    ValueError: if they cannot be used.
  """
  del config
  return generation.load_pretrained(space, directory).params


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  default = Config()
  least = default.num_initial + default.batch_size
  return {"archive_size": max(budget + default.batch_size, least)}


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """What the budget needs, and a few rounds for repeats."""
  del algorithm
  return choosing.rounds_with_slack(
    config.num_initial, config.batch_size, budget
  )


def _layout(space: SearchSpace) -> GraphLayout:
  if space.layout is None:
    raise ValueError(
      f"AG-Net needs a space with a layout of graphs; {space.name} has none."
    )
  return space.layout


def _ranks(values: jax.Array) -> jax.Array:
  """Rank of every value, 0 for the smallest, `f32[M]`."""
  order = jnp.argsort(values, stable=True)
  numbers = jnp.arange(order.shape[0], dtype=jnp.float32)
  return jnp.zeros(order.shape).at[order].set(numbers)


def _fit_config(config: Config) -> fitting.Config:
  return fitting.Config(
    num_steps=config.fit_steps,
    batch_size=config.fit_batch_size,
    learning_rate=config.fit_learning_rate,
  )


def _train_config(config: Config) -> retraining.Config:
  return retraining.Config(learning_rate=config.train_learning_rate)
