"""Regularized (aging) evolution.

Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier
Architecture Search", AAAI 2019, https://arxiv.org/abs/1802.01548 (algorithm 1).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.algorithms.spec import Spec
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    population_size: architectures that live at a time, `P`.
    sample_size: draws of a tournament, with replacement.
  """

  population_size: int = 30
  sample_size: int = 10

  def __post_init__(self) -> None:
    checks.sizes(self)


class State(NamedTuple):
  """The population as a ring.

  Attributes:
    archs: `int32[P, L]`.
    objective: `f32[P]`, `-inf` in empty places and for failures.
    feasible: `bool[P]` of `Evaluation`.
    oldest: `int32[]` the place that the next child takes.
    num_filled: `int32[]` places taken so far: fewer than P after a short prior.
  """

  archs: jax.Array
  objective: jax.Array
  feasible: jax.Array
  oldest: jax.Array
  num_filled: jax.Array


class Info(NamedTuple):
  """What a reader plots of the population.

  Attributes:
    mean_objective: `f32[]`, of the feasible; `-inf` if none is.
    best_objective: `f32[]`, of all.
  """

  mean_objective: jax.Array
  best_objective: jax.Array


def regularized_evolution(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds regularized evolution.

  Each round draws `sample_size` of the population with replacement; the best is
  the parent, one uniformly chosen variable of it changes to a different value,
  the child joins and the oldest leaves. Children seen before join too and cost
  nothing. A failed child takes its place as the worst.
  """
  config = config or Config()
  size = config.population_size

  def init(key: Key, params: Params) -> State:
    del key, params
    return State(
      archs=jnp.zeros((size, space.num_variables), jnp.int32),
      objective=jnp.full(size, -jnp.inf, jnp.float32),
      feasible=jnp.zeros(size, bool),
      oldest=jnp.int32(0),
      num_filled=jnp.int32(0),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    uniform = jax.random.uniform(key, (config.sample_size + 2,))
    drawn = uniform[:-2] * state.num_filled.astype(jnp.float32)
    drawn = drawn.astype(jnp.int32)
    drawn = jnp.minimum(drawn, state.num_filled - 1)
    parent = drawn[jnp.argmax(state.objective[drawn])]
    child = space.mutate(state.archs[parent], uniform[-2:])
    return Proposal(child[None], space.is_valid(child)[None]), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    # Of a batch larger than the population the last rows would survive.
    archs = proposal.archs[-size:]
    objective = evaluation.objective[-size:]
    num = archs.shape[0]
    places = (state.oldest + jnp.arange(num)) % size
    state = State(
      archs=state.archs.at[places].set(archs),
      objective=state.objective.at[places].set(objective),
      feasible=state.feasible.at[places].set(evaluation.feasible[-size:]),
      oldest=(state.oldest + num) % size,
      num_filled=jnp.minimum(state.num_filled + num, size),
    )
    feasible = state.feasible
    mean = jnp.mean(state.objective, where=feasible)
    mean = jnp.where(jnp.any(feasible), mean, -jnp.inf)
    return state, Info(mean, jnp.max(state.objective))

  return Algorithm(init, ask, tell, num_initial=size, batch_size=1)


SPEC = Spec(
  build=regularized_evolution,
  config=Config(),
  tiny=dict(population_size=6, sample_size=3),
)
"""How the registry builds it."""
