"""DiffusionNAG: candidates from a diffusion that a predictor guides.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943. A round of its
Bayesian optimization (section 3.4):

  1. an ensemble of networks is fitted to the evaluations so far;
  2. a predictor of noisy architectures learns from it which architectures are
     good, and guides the score model, trained once for the space, to sample
     candidates;
  3. of those that are valid and unseen, an acquisition function chooses the
     batch.

`diffusionnag_pool` has one round, with all that is left of the budget.

Differs from the paper: the guiding predictor is a classifier of "good", told by
the ensemble about many architectures instead of by the few evaluated ones (see
`predictors.noisy`), and its log-likelihood is the guide, not its raw output;
the sampler takes tens of steps instead of a thousand. The loop is the paper's;
its program has none.
"""

import dataclasses
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.algorithms import acquisition as acquisition_lib
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms import options
from nagjax.algorithms.archive import Info as Info
from nagjax.algorithms.choosing import num_rounds as num_rounds
from nagjax.diffusion import guidance
from nagjax.diffusion import samplers
from nagjax.generation import pretrained_scores
from nagjax.generation import score_models
from nagjax.networks import guides
from nagjax.networks.base import GuideNetwork
from nagjax.networks.base import Network
from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.predictors import noisy
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal

GUIDES = ("auto", "gcn", "transformer")
CANDIDATES = ("guided", "unguided", "mutation", "random")
"""Guided and unguided samples of the score model, mutants of the incumbent, as
published, and random architectures."""
_NUM_PARENTS = 8
"""Evaluations whose mutants teach the guide."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`.
    candidates: one of `CANDIDATES`.
    num_candidates: of a round.
    acquisition: one of `acquisition.NAMES`.
    hidden_size: width of the ensemble's graph convolutions.
    num_members: of the ensemble.
    fit_steps, fit_batch_size, fit_learning_rate: of every fit of a member.
    guide: the network that guides: `gcn`, `transformer`, which knows positions,
      or `auto`, which is a `gcn` where rows form a graph but a chain.
    guide_size: its width.
    guide_steps, guide_learning_rate: of its every fit.
    num_taught: architectures that it learns from; half of them are random, half
      are mutants of the best.
    good_share: share of them that is "good".
    guidance: factor of its gradient; at 1 the sampler is that of the good, but
      for the mutants that it learns from.
    sample_steps: of the few-step sampler.
    penalty: of a predicted violation.
    num_constraints: heads of the ensemble besides the objective.
    fill_up: whether what finds no unseen candidate is uniformly random; else it
      is not proposed, and left to a later round.
  """

  num_initial: int = 10
  batch_size: int = 5
  archive_size: int = 320
  candidates: str = "guided"
  num_candidates: int = 64
  acquisition: str = "ei"
  hidden_size: int = 32
  num_members: int = 3
  fit_steps: int = 60
  fit_batch_size: int = 32
  fit_learning_rate: float = 3e-3
  guide: str = "auto"
  guide_size: int = 48
  guide_steps: int = 60
  guide_learning_rate: float = 3e-3
  num_taught: int = 512
  good_share: float = 0.1
  guidance: float = 2.0
  sample_steps: int = 16
  penalty: float = 5.0
  num_constraints: int = 0
  fill_up: bool = True

  def __post_init__(self):
    options.check_sizes(self)
    options.check_choices(
      self,
      candidates=CANDIDATES,
      guide=GUIDES,
      acquisition=acquisition_lib.NAMES,
    )
    if not 0 < self.good_share < 1:
      raise ValueError(f"good_share must be in (0, 1), got {self.good_share}.")
    options.check_archive(self)
    if self.num_candidates < self.batch_size:
      raise ValueError(
        f"num_candidates must be at least batch_size = {self.batch_size}, got "
        f"{self.num_candidates}."
      )


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archive: what was evaluated.
    members: the ensemble, leading size `num_members`.
    guide: the predictor of noisy architectures.
    bad_step: `int32[]` first step of a sampler that was not finite, or -1.
  """

  archive: archive_lib.Archive
  members: fitting.Fitted
  guide: noisy.Fitted
  bad_step: jax.Array


class Parts(NamedTuple):
  """What one builds once for a space; see `make_parts`."""

  space: SearchSpace
  config: Config
  model: score_models.ScoreModel
  member: Network
  guide: GuideNetwork
  adjacency: jax.Array


def diffusionnag(
  space: SearchSpace,
  config: Config | None = None,
  score_config: score_models.Config | None = None,
) -> Algorithm:
  """Builds the search; its params are weights of the space's score model.

  A proposal that finds no unseen candidate is uniformly random, see
  `Config.fill_up`. After a sampler
  has met what is not finite, every proposal is invalid, `State.bad_step` says
  at which step that was, and a sweep ends with a FloatingPointError.

  Args:
    space: the space.
    config: options.
    score_config: options of the score model; those of the shipped weights by
      default.
  """
  config = config or Config()
  parts = make_parts(space, config, score_config)
  batch_size = config.batch_size

  def init(key: Key, params: Params) -> State:
    del params
    members_key, guide_key = jax.random.split(key)
    return State(
      archive_lib.empty(space, config.archive_size, config.num_constraints),
      ensembles.init(
        members_key, parts.member, config.num_members, _fit_config(config)
      ),
      noisy.init(guide_key, parts.guide, _guide_config(config)),
      jnp.int32(-1),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    fit_key, candidate_key, acquire_key, random_key = jax.random.split(key, 4)
    state = state._replace(members=fit(fit_key, state, parts))
    archs, valid, state = propose(candidate_key, state, params, parts)
    allowed = archive_lib.unseen(
      state.archive, space, archs, valid & space.is_valid(archs)
    )
    values = acquisition_lib.make(config.acquisition)(
      acquire_key,
      promises(state.members, archs, parts),
      best_target(state.archive),
      batch_size,
    )
    chosen, found = pick(values, allowed)
    random = space.sample(random_key, batch_size)
    archs = jnp.where(found[:, None], archs[chosen], random)
    # Broken weights or guidance must not pass for a random search.
    valid = space.is_valid(archs) & (state.bad_step < 0)
    return Proposal(archs, valid & (found | config.fill_up)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    return state._replace(archive=archive), Info(best, archive.num)

  def check(state: State) -> None:
    samplers.check_finite(jnp.max(state.bad_step))

  return Algorithm(init, ask, tell, config.num_initial, batch_size, check)


def make_parts(
  space: SearchSpace,
  config: Config,
  score_config: score_models.Config | None = None,
) -> Parts:
  """Builds the networks of a search."""
  model = score_models.score_model(space, score_config)
  member = ensembles.make_member(
    "gcn",
    space.num_nodes,
    space.num_labels,
    hidden_size=config.hidden_size,
    num_constraints=config.num_constraints,
  )
  graph, num_rows = space.feature_graph, model.shape[0]
  name = config.guide
  if name == "auto":
    chain = np.eye(num_rows, k=1)
    is_chain = graph is None or np.array_equal(graph.adjacency, chain)
    name = "transformer" if is_chain else "gcn"
  if name == "gcn" and graph is not None:
    adjacency = jnp.asarray(graph.adjacency)
  else:
    adjacency = jnp.ones((num_rows, num_rows))
  guide = getattr(guides, f"{name}_guide")(
    *model.shape, hidden_size=config.guide_size
  )
  return Parts(space, config, model, member, guide, adjacency)


def fit(key: Key, state: State, parts: Parts) -> fitting.Fitted:
  """Step 1: every member goes on fitting the archive."""
  archive = state.archive
  return ensembles.fit(
    key,
    parts.member,
    state.members,
    parts.space.to_graph(archive.archs),
    ensembles.targets(archive.target, archive.violations, archive.used),
    jnp.maximum(archive.num, 1),
    _fit_config(parts.config),
  )


def propose(
  key: Key, state: State, params: Params, parts: Parts
) -> tuple[Archs, jax.Array, State]:
  """Step 2: candidates, `int32[C, L]`, whether each is one, and the state."""
  space, config = parts.space, parts.config
  num = config.num_candidates
  everything = jnp.ones(num, bool)
  if config.candidates == "random":
    return space.sample(key, num), everything, state
  if config.candidates == "mutation":
    return mutants(key, state, space, num, 1), everything, state
  teach_key, guide_key, sample_key = jax.random.split(key, 3)
  score_fn = parts.model.score_fn(params)
  if config.candidates == "guided":
    archs, labels = lessons(teach_key, state, parts)
    guide = noisy.fit(
      guide_key,
      parts.guide,
      state.guide,
      parts.model.to_data(archs),
      labels,
      parts.adjacency,
      parts.model.sde,
      parts.model.occurs,
      _guide_config(config),
    )
    state = state._replace(guide=guide)
    value = noisy.value_fn(
      parts.guide,
      guide.weights,
      parts.adjacency,
      parts.model.sde,
      parts.model.occurs,
    )
    score_fn = guidance.guided(
      score_fn, guidance.log_odds(value), config.guidance
    )
  start = samplers.draw_prior(
    sample_key, parts.model.sde, (num, *parts.model.shape)
  )
  sampled = samplers.few_step(
    score_fn, parts.model.sde, start, config.sample_steps
  )
  archs, valid = parts.model.from_data(sampled.x)
  bad = jnp.where(state.bad_step < 0, sampled.bad_step, state.bad_step)
  return archs, valid, state._replace(bad_step=bad)


def lessons(key: Key, state: State, parts: Parts) -> tuple[Archs, jax.Array]:
  """Architectures and whether the ensemble calls them good, `f32[num_taught]`.

  Good is the best `good_share` of all of them by the ensemble's mean. Half are
  mutants of the best evaluations, so that the rare is seen.
  """
  space, config = parts.space, parts.config
  random_key, mutant_key = jax.random.split(key)
  half = config.num_taught // 2
  archs = jnp.concatenate(
    [
      space.sample(random_key, config.num_taught - half),
      mutants(mutant_key, state, space, half, _NUM_PARENTS),
    ]
  )
  mean = jnp.mean(promises(state.members, archs, parts), axis=0)
  bar = jnp.quantile(mean, 1 - config.good_share)
  return archs, (mean >= bar).astype(jnp.float32)


def promises(members: fitting.Fitted, archs: Archs, parts: Parts) -> jax.Array:
  """What every member says of architectures, `f32[members, C]`."""
  graphs = parts.space.to_graph(archs)
  heads = jax.vmap(parts.member.apply, (0, None))(members.weights, graphs)
  violations = jnp.mean(heads[..., 1:], axis=0, keepdims=True)
  excess = jnp.sum(jnp.maximum(violations, 0.0), axis=-1)
  return heads[..., 0] - parts.config.penalty * excess


def mutants(
  key: Key, state: State, space: SearchSpace, num: int, num_parents: int
) -> Archs:
  """Single mutations of the best evaluations in turn, `int32[num, L]`.

  Random architectures where nothing has been evaluated.
  """
  num_parents = min(num_parents, state.archive.objective.shape[0])
  best, parents = jax.lax.top_k(state.archive.objective, num_parents)
  alive = jnp.maximum(jnp.sum(jnp.isfinite(best)), 1)
  mutate_key, random_key = jax.random.split(key)
  turn = parents[jnp.arange(num) % alive]
  mutated = space.mutate(
    state.archive.archs[turn], jax.random.uniform(mutate_key, (num, 2))
  )
  random = space.sample(random_key, num)
  return jnp.where(jnp.isfinite(best[0]), mutated, random)


def best_target(archive: archive_lib.Archive) -> jax.Array:
  """The best evaluation on the ensemble's scale, `f32[]`."""
  values = ensembles.targets(archive.target, archive.violations, archive.used)
  order = jnp.where(archive.used, archive.objective, -jnp.inf)
  return values[jnp.argmax(order), 0]


def pick(values: jax.Array, allowed: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Gives every slot its best candidate that no slot before it has.

  Args:
    values: `f32[B, C]`.
    allowed: `bool[C]`.

  Returns:
    `int32[B]` candidates and `bool[B]` whether a slot found one.
  """

  def one(free: jax.Array, value: jax.Array):
    best = jnp.argmax(jnp.where(free, value, -jnp.inf))
    return free.at[best].set(False), (best, free[best])

  return jax.lax.scan(one, allowed, values)[1]


def params(
  space: SearchSpace,
  config: Config,
  directory: str | os.PathLike[str] | None = None,
) -> Params:
  """The weights of the space's trained score model.

  Args:
    space: the space.
    config: options.
    directory: where the user's files are.

  Raises:
    FileNotFoundError: if there are none, with the command that makes them.
    ValueError: if they cannot be used.
  """
  del config
  return weights(space, directory)[0]


def weights(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> tuple[Params, dict[str, Any]]:
  """`params`, and the builder's arguments that go with them."""
  trained = pretrained_scores.load_trained_score(space, directory)
  return trained.params, {"score_config": trained.config}


def preset(benchmark_name: str, budget: int) -> dict[str, Any]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  return options.archive_preset(Config(), budget)


def _fit_config(config: Config) -> fitting.Config:
  return fitting.Config(
    num_steps=config.fit_steps,
    batch_size=config.fit_batch_size,
    learning_rate=config.fit_learning_rate,
  )


def _guide_config(config: Config) -> noisy.Config:
  return noisy.Config(
    num_steps=config.guide_steps, learning_rate=config.guide_learning_rate
  )
