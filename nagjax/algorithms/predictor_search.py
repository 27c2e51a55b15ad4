"""Mutate the best, predict, evaluate the best predictions: the common loop.

BANANAS and NPENAS differ in the network that predicts and in how predictions
become a choice. A round:

  1. networks are fitted anew to all evaluations so far;
  2. candidates are single mutations of the best architectures so far;
  3. of the candidates that are valid and unseen, those with the highest scores
     are the batch.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.algorithms import choosing
from nagjax.algorithms import options
from nagjax.algorithms.archive import Info as Info
from nagjax.algorithms.choosing import num_rounds as num_rounds
from nagjax.arrays import normal_scores
from nagjax.networks.base import Network
from nagjax.predictors import fitting
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

ViewFn = Callable[[Archs], Graph]
"""What the network reads of `int32[C, L]` architectures."""

ScoreFn = Callable[[Key, jax.Array], jax.Array]
"""Scores of candidates, `(key, predictions f32[members, C]) -> f32[C]`."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`; what comes
      later is forgotten.
    num_candidates: mutants of a round, `C`.
    num_parents: best architectures that are mutated, in turn.
    num_members: networks side by side.
    hidden_size: width of the network.
    fit_steps: minibatches of a fit.
    fit_batch_size: rows of a minibatch.
    fit_learning_rate: at the start of a fit.
  """

  num_initial: int = 10
  batch_size: int = 10
  archive_size: int = 310
  num_candidates: int = 200
  num_parents: int = 5
  num_members: int = 1
  hidden_size: int = 32
  fit_steps: int = 200
  fit_batch_size: int = 32
  fit_learning_rate: float = 3e-3

  def __post_init__(self):
    options.check_sizes(self)
    if self.fit_learning_rate <= 0:
      raise ValueError(
        f"fit_learning_rate must be positive, got {self.fit_learning_rate}."
      )
    for name, least in (
      ("archive_size", max(self.num_initial, self.num_parents)),
      ("num_candidates", self.batch_size),
    ):
      if getattr(self, name) < least:
        raise ValueError(
          f"{name} must be at least {least}, got {getattr(self, name)}."
        )


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archs: `int32[M, L]`; the first `num` are in use.
    objective: `f32[M]`, `-inf` for failures.
    num: `int32[]`.
  """

  archs: jax.Array
  objective: jax.Array
  num: jax.Array


def predictor_search(
  space: SearchSpace,
  config: Config,
  network: Network,
  view: ViewFn,
  score: ScoreFn,
) -> Algorithm:
  """Builds the search; it has no params.

  Failed architectures are remembered as the worst and are no parents. A
  proposal that finds no unseen candidate is uniformly random.
  """
  size = config.archive_size

  def init(key: Key, params: Params) -> State:
    del key, params
    return State(
      archs=jnp.zeros((size, space.num_variables), jnp.int32),
      objective=jnp.full(size, -jnp.inf, jnp.float32),
      num=jnp.int32(0),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    fit_key, mutate_key, score_key, random_key = jax.random.split(key, 4)
    members = fit(fit_key, state, network, view, config)
    archs = mutants(mutate_key, state, space, config)
    used = jnp.arange(size) < state.num
    allowed = space.is_valid(archs) & ~choosing.is_copy(space, archs)
    allowed &= ~choosing.any_equal(space, archs, state.archs, used)
    # Without any value there is no parent, and what was mutated is arbitrary.
    allowed &= jnp.any(jnp.isfinite(state.objective))
    predictions = jax.vmap(network.apply, (0, None))(members, view(archs))
    scores = score(score_key, predictions[..., 0])
    best, chosen = jax.lax.top_k(
      jnp.where(allowed, scores, -jnp.inf), config.batch_size
    )
    random = space.sample(random_key, config.batch_size)
    archs = jnp.where((best > -jnp.inf)[:, None], archs[chosen], random)
    return Proposal(archs, space.is_valid(archs)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archs = proposal.archs
    known = proposal.valid & (evaluation.status != Status.DENIED)
    place, num = choosing.new_places(
      space, archs, known, state.archs, state.num
    )
    state = State(
      archs=state.archs.at[place].set(archs, mode="drop"),
      objective=state.objective.at[place].set(
        evaluation.objective, mode="drop"
      ),
      num=num,
    )
    return state, Info(jnp.max(state.objective), state.num)

  return Algorithm(init, ask, tell, config.num_initial, config.batch_size)


def fit(
  key: Key, state: State, network: Network, view: ViewFn, config: Config
) -> Params:
  """Step 1: the weights of all members, fitted to the archive from scratch."""
  options = fitting.Config(
    num_steps=config.fit_steps,
    batch_size=config.fit_batch_size,
    learning_rate=config.fit_learning_rate,
  )
  used = jnp.arange(config.archive_size) < state.num
  targets = normal_scores(state.objective, used)[:, None]
  graphs, num = view(state.archs), jnp.maximum(state.num, 1)

  def one(key: Key) -> Params:
    init_key, fit_key = jax.random.split(key)
    start = fitting.init(init_key, network, options)
    return fitting.fit(
      fit_key, network, start, graphs, targets, num, options
    ).weights

  return jax.vmap(one)(jax.random.split(key, config.num_members))


def mutants(
  key: Key, state: State, space: SearchSpace, config: Config
) -> Archs:
  """Step 2: single mutations of the best in turn, `int32[C, L]`."""
  best, parents = jax.lax.top_k(state.objective, config.num_parents)
  num_alive = jnp.maximum(jnp.sum(jnp.isfinite(best)), 1)
  turn = jnp.arange(config.num_candidates) % num_alive
  uniform = jax.random.uniform(key, (config.num_candidates, 2))
  return space.mutate(state.archs[parents[turn]], uniform)


def preset(config: Config, budget: int) -> dict[str, int]:
  """The archive holds what the budget can buy."""
  least = max(config.num_initial, config.num_parents)
  return {"archive_size": max(budget, least)}
