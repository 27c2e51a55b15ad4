"""NSGA-II: a genetic algorithm of fronts and crowding, for several objectives.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic
algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation, 2002.

The variables of architectures are categorical, so that children come from
uniform crossover and a mutation that redraws each variable with the probability
`1 / L`, instead of the operators for binary and real numbers.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import archive as archive_lib
from nagjax import checks
from nagjax import pareto
from nagjax.algorithms.spec import Spec
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    population_size: architectures that survive a generation, `P`.
    num_children: architectures of a generation.
    crossover_rate: share of children with two parents.
    mutation_scale: expected number of variables that are redrawn.
    num_tradeoffs: objectives beside the first one, which follow the problem.
  """

  population_size: int = 20
  num_children: int = 10
  crossover_rate: float = 0.9
  mutation_scale: float = 1.0
  num_tradeoffs: int = 0

  def __post_init__(self) -> None:
    checks.sizes(self, num_tradeoffs=0)
    checks.not_negative(self, "crossover_rate", "mutation_scale")
    if self.crossover_rate > 1:
      raise ValueError(
        f"crossover_rate must be at most 1, got {self.crossover_rate}."
      )


class State(NamedTuple):
  """The population, the fittest first.

  Attributes:
    archs: `int32[P, L]`.
    keys: `uint32[P, 2]`, their `SearchSpace.keys`.
    objectives: `f32[P, M]`, zeros in empty places.
    excess: `f32[P]` total violation of the limits.
    used: `bool[P]` which places are taken: all, after a design of `P`.
  """

  archs: jax.Array
  keys: jax.Array
  objectives: jax.Array
  excess: jax.Array
  used: jax.Array


class Info(NamedTuple):
  """What a reader plots of the population.

  Attributes:
    front_size: `int32[]` architectures in the first front.
    best_objective: `f32[]` largest first objective, `-inf` without any.
  """

  front_size: jax.Array
  best_objective: jax.Array


def nsga2(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds NSGA-II; with one objective it is an elitist genetic algorithm.

  Failures never enter the population, nor does an architecture twice. What
  exceeds limits is dominated by whatever exceeds them less.
  """
  config = config or Config()
  size, num = config.population_size, config.num_children
  num_variables = space.num_variables

  def init(key: Key, params: Params) -> State:
    del key, params
    return State(
      archs=jnp.zeros((size, num_variables), jnp.int32),
      keys=jnp.zeros((size, 2), jnp.uint32),
      objectives=jnp.zeros((size, 1 + config.num_tradeoffs), jnp.float32),
      excess=jnp.zeros(size, jnp.float32),
      used=jnp.zeros(size, bool),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    parent_key, cross_key, mutate_key, random_key = jax.random.split(key, 4)
    # The population is sorted, so that the winner has the lower place.
    drawn = jax.random.uniform(parent_key, (num, 2, 2))
    num_used = jnp.sum(state.used, dtype=jnp.int32)
    drawn = (drawn * num_used.astype(jnp.float32)).astype(jnp.int32)
    winners = jnp.clip(jnp.min(drawn, axis=-1), 0, size - 1)
    mothers, fathers = state.archs[winners[:, 0]], state.archs[winners[:, 1]]
    uniform = jax.random.uniform(cross_key, (num, 1 + num_variables))
    crosses = uniform[:, :1] < config.crossover_rate
    from_father = crosses & (uniform[:, 1:] < 0.5)
    children = jnp.where(from_father, fathers, mothers)
    children = redraw(
      children,
      jax.random.uniform(mutate_key, (num, num_variables, 2)),
      space,
      config.mutation_scale / num_variables,
    )
    random = space.sample(random_key, num)
    children = jnp.where(num_used > 0, children, random)
    return Proposal(children, space.is_valid(children)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    known = proposal.valid & (evaluation.status <= Status.REPEAT)
    found = evaluation.objectives[:, : 1 + config.num_tradeoffs]
    if not config.num_tradeoffs:
      found = evaluation.objective[:, None]
    excess = jnp.sum(jnp.maximum(evaluation.violations, 0.0), axis=-1)
    state = survivors(
      State(
        jnp.concatenate([state.archs, proposal.archs]),
        jnp.concatenate([state.keys, space.keys(proposal.archs)]),
        jnp.concatenate(
          [state.objectives, jnp.where(known[:, None], found, 0.0)]
        ),
        jnp.concatenate([state.excess, jnp.where(known, excess, 0.0)]),
        jnp.concatenate([state.used, known]),
      ),
      size,
    )
    numbers = _front_numbers(state)
    best = jnp.where(state.used, state.objectives[:, 0], -jnp.inf)
    front = jnp.sum(numbers == 0, dtype=jnp.int32)
    return state, Info(front, jnp.max(best))

  return Algorithm(init, ask, tell, num_initial=size, batch_size=num)


def redraw(
  archs: jax.Array, uniform: jax.Array, space: SearchSpace, rate: float
) -> jax.Array:
  """Gives every variable another value with a probability.

  Args:
    archs: `int32[B, L]`.
    uniform: `f32[B, L, 2]` draws: whether, and to which value.
    space: the space.
    rate: the probability; a variable without other options stays.
  """
  others = jnp.asarray(space.cardinalities, jnp.int32)[None] - 1
  step = 1 + (uniform[..., 1] * others.astype(jnp.float32)).astype(jnp.int32)
  step = jnp.minimum(step, others)
  return jnp.where(uniform[..., 0] < rate, (archs + step) % (others + 1), archs)


def survivors(pool: State, size: int) -> State:
  """The `size` best of a pool by front, then by crowding, in that order."""
  pool = pool._replace(
    used=pool.used & ~archive_lib.is_duplicate(pool.keys, pool.used)
  )
  numbers = _front_numbers(pool)
  crowding = pareto.crowding_distance(pool.objectives, numbers)
  order = jnp.lexsort((-crowding, numbers))[:size]
  return State(*(leaf[order] for leaf in pool))


def _front_numbers(state: State) -> jax.Array:
  dominance = pareto.dominates(state.objectives, state.excess)
  return pareto.front_numbers(dominance, state.used)


SPEC = Spec(
  build=nsga2,
  config=Config(),
  tiny=dict(population_size=6, num_children=4),
)
"""How the registry builds it."""
