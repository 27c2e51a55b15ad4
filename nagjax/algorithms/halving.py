"""Successive halving and Hyperband: many cheap evaluations, few dear ones.

A bracket draws random architectures, evaluates them at a low fidelity, keeps as
many of the best as the same cost pays at the next one, and so on to the full
one. Successive halving is one bracket as large as the budget allows; Hyperband
runs brackets that begin at every fidelity in turn, as it does not know which
can be trusted.

The fidelities of a table are no geometric series: of those that cost at most
`1 / reduction` of the rung above, the dearest is the next one. A benchmark of
one fidelity has one rung, and both are then random search.

References:
  Jamieson and Talwalkar, "Non-stochastic best arm identification and
    hyperparameter optimization", AISTATS 2016,
    https://arxiv.org/abs/1502.07943
  Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel
    bandit-based approach to hyperparameter optimization", JMLR 2018,
    https://arxiv.org/abs/1603.06560 (algorithm 1)
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.algorithms.spec import Spec
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import AnyProposal
from nagjax.types import CostedProposal
from nagjax.types import Evaluation
from nagjax.types import Fidelities
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    reduction: by which the cost falls at least from a rung to the one below.
    budget: full evaluations, by which a bracket of successive halving is sized.
    num_rows: the most architectures that it can hold.
    fidelities: of the problem.
  """

  reduction: int = 3
  budget: int = 1
  num_rows: int = 2**20
  fidelities: Fidelities | None = None

  def __post_init__(self) -> None:
    checks.sizes(self, reduction=2)


class State(NamedTuple):
  """Where a bracket stands, with room for `N` architectures.

  Attributes:
    order: `int32[A]` a permutation of the space's indices, from which new ones
      are drawn; empty if the space is not enumerable.
    drawn: `int32[]` how many of them are.
    step: `int32[]` evaluations that were asked for.
    kept, kept_objective: `[N, ...]` of the rung before.
    archs, objective: `[N, ...]` of the current one, `-inf` where unknown.
  """

  order: jax.Array
  drawn: jax.Array
  step: jax.Array
  kept: jax.Array
  kept_objective: jax.Array
  archs: jax.Array
  objective: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    fidelity: `int32[]`, place of that of the round in `Fidelities`.
  """

  fidelity: jax.Array


class Schedule(NamedTuple):
  """The evaluations of brackets in their order, which repeats, `int[T]`.

  Attributes:
    fidelity: place of each.
    rank: which of the rung before, best first, or -1 for a new architecture.
    slot: place within its rung; a rung begins at 0.
    cost: of all, in the unit of the costs.
  """

  fidelity: np.ndarray
  rank: np.ndarray
  slot: np.ndarray
  cost: int


def rungs(fidelities: Fidelities | None, reduction: int) -> list[int]:
  """Places of the fidelities that brackets use, the full one last.

  Example:
    >>> rungs(Fidelities(("1", "2", "5", "10", "30"), (1, 2, 5, 10, 30)), 3)
    [1, 3, 4]
  """
  costs = _costs(fidelities)
  found = [len(costs) - 1]
  for place in range(len(costs) - 2, -1, -1):
    if costs[place] * reduction <= costs[found[-1]]:
      found.append(place)
  return found[::-1]


def bracket(num: int, costs: Sequence[int]) -> list[int]:
  """Architectures of every rung: each rung costs the same.

  Args:
    num: at the first rung.
    costs: of an evaluation at every rung.

  Example:
    >>> bracket(27, (1, 3, 9, 27))
    [27, 9, 3, 1]
  """
  return [max(num * costs[0] // cost, 1) for cost in costs]


def halving_schedule(config: Config) -> Schedule:
  """One bracket as large as the budget allows.

  Where that would leave less than one architecture for the last rung, it begins
  at a dearer one.
  """
  fidelities = config.fidelities
  costs = _costs(fidelities)
  places = rungs(fidelities, config.reduction)
  limit = config.budget * costs[-1]
  while True:
    at = [costs[place] for place in places]
    low, high = 0, config.num_rows + 1
    while high - low > 1:
      middle = (low + high) // 2
      cost = _bracket_cost(bracket(middle, at), at, fidelities)
      low, high = (middle, high) if cost <= limit else (low, middle)
    if low * at[0] >= at[-1] or len(places) == 1:
      return _schedule([(bracket(max(low, 1), at), places)], fidelities)
    places = places[1:]


def hyperband_schedule(config: Config) -> Schedule:
  """A bracket that begins at each rung, the lowest first.

  With `s` rungs before the full one, it begins with `ceil((s_max + 1) / (s + 1)
  R / r)` architectures (algorithm 1, line 3), where `R / r` is what a full
  evaluation costs in units of the first.
  """
  fidelities = config.fidelities
  costs = _costs(fidelities)
  places = rungs(fidelities, config.reduction)
  brackets = []
  for first in range(len(places)):
    at = [costs[place] for place in places[first:]]
    num = math.ceil(len(places) * at[-1] / (len(at) * at[0]))
    num = min(num, config.num_rows)
    brackets.append((bracket(num, at), places[first:]))
  return _schedule(brackets, fidelities)


def successive_halving(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds successive halving; what a bracket leaves pays for another one."""
  config = config or Config()
  return _algorithm(space, config, halving_schedule(config))


def hyperband(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds Hyperband, which repeats its brackets until the budget is spent."""
  config = config or Config()
  return _algorithm(space, config, hyperband_schedule(config))


def _costs(fidelities: Fidelities | None) -> tuple[int, ...]:
  return (1,) if fidelities is None else fidelities.costs


def _bracket_cost(
  sizes: Sequence[int], costs: Sequence[int], fidelities: Fidelities | None
) -> int:
  """What a bracket costs, in the unit of the costs."""
  continues = fidelities is not None and fidelities.continues
  before = (0, *costs) if continues else (0,) * len(costs)
  steps = [cost - old for cost, old in zip(costs, before, strict=False)]
  return sum(num * step for num, step in zip(sizes, steps, strict=True))


def _schedule(
  brackets: Sequence[tuple[Sequence[int], Sequence[int]]],
  fidelities: Fidelities | None,
) -> Schedule:
  """The schedule of brackets, each the sizes and the places of its rungs."""
  costs = _costs(fidelities)
  steps = [
    (place, -1 if rung == 0 else slot, slot)
    for sizes, places in brackets
    for rung, (num, place) in enumerate(zip(sizes, places, strict=True))
    for slot in range(num)
  ]
  cost = sum(
    _bracket_cost(sizes, [costs[place] for place in places], fidelities)
    for sizes, places in brackets
  )
  place, rank, slot = np.asarray(steps, np.int32).T
  return Schedule(place, rank, slot, cost)


def _algorithm(
  space: SearchSpace, config: Config, schedule: Schedule
) -> Algorithm[State, Params]:
  """Goes through a schedule again and again, an evaluation a round."""
  size = int(schedule.slot.max()) + 1
  length = len(schedule.slot)
  costed = config.fidelities is not None

  def init(key: Key, params: Params) -> State:
    del params
    num = space.num_architectures if space.enumerable else 0
    archs = jnp.zeros((size, space.num_variables), jnp.int32)
    unknown = jnp.full(size, -jnp.inf, jnp.float32)
    return State(
      order=jax.random.permutation(key, num).astype(jnp.int32),
      drawn=jnp.int32(0),
      step=jnp.int32(0),
      kept=archs,
      kept_objective=unknown,
      archs=archs,
      objective=unknown,
    )

  def ask(key: Key, state: State, params: Params) -> tuple[AnyProposal, State]:
    del params
    at = state.step % length
    begins = jnp.asarray(schedule.slot)[at] == 0
    kept = jnp.where(begins, state.archs, state.kept)
    value = jnp.where(begins, state.objective, state.kept_objective)
    state = state._replace(
      kept=kept,
      kept_objective=value,
      objective=jnp.where(begins, -jnp.inf, state.objective),
    )
    rank = jnp.asarray(schedule.rank)[at]
    is_new = rank < 0
    best = jnp.argsort(-value)[jnp.maximum(rank, 0)]
    if space.enumerable:
      last = state.order.shape[0] - 1
      new = space.from_index(state.order[jnp.minimum(state.drawn, last)])
      is_there = state.drawn <= last
    else:
      new = space.sample(key, 1)[0]
      is_there = space.is_valid(new)
    arch = jnp.where(is_new, new, kept[best])
    # What failed or was denied is not promoted.
    valid = jnp.where(is_new, is_there, value[best] > -jnp.inf)
    fidelity = jnp.asarray(schedule.fidelity)[at]
    state = state._replace(
      drawn=state.drawn + is_new.astype(jnp.int32), step=state.step + 1
    )
    if not costed:
      return Proposal(arch[None], valid[None]), state
    return CostedProposal(arch[None], valid[None], fidelity[None]), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    # A warm start comes before the first step, and takes no part.
    at = (state.step - 1) % length
    slot = jnp.asarray(schedule.slot)[at]
    slot = jnp.where(state.step > 0, slot, size)
    state = state._replace(
      archs=state.archs.at[slot].set(proposal.archs[-1], mode="drop"),
      objective=state.objective.at[slot].set(
        evaluation.objective[-1], mode="drop"
      ),
    )
    return state, Info(jnp.asarray(schedule.fidelity)[at])

  return Algorithm(
    init,
    ask,
    tell,
    num_initial=0,
    batch_size=1,
    fidelity=len(config.fidelities.costs) - 1 if config.fidelities else None,
  )


def _num_rounds(
  schedule_fn: Callable[[Config], Schedule],
) -> Callable[[Config, Algorithm, int], int]:
  def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
    """Twice the evaluations that the budget pays: some may fail or repeat."""
    del algorithm
    schedule = schedule_fn(config)
    limit = budget * _costs(config.fidelities)[-1]
    return 2 * (-(-limit // schedule.cost) + 1) * len(schedule.slot)

  return num_rounds


SUCCESSIVE_HALVING = Spec(
  build=successive_halving,
  config=Config(),
  num_rounds=_num_rounds(halving_schedule),
  needs_fidelities=True,
)
"""How the registry builds it."""

HYPERBAND = Spec(
  build=hyperband,
  config=Config(),
  num_rounds=_num_rounds(hyperband_schedule),
  needs_fidelities=True,
)
"""How the registry builds it."""
