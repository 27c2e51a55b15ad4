"""Search at a low fidelity, and the best of it at the full one.

Any search becomes one of two phases. It first runs at a fidelity that costs
less than a full evaluation, and is told nothing else; then the architectures
that it found best are evaluated fully, best first, until the budget is spent.
OptiProxy-NAS's low-fidelity search (section 3.3) is that of OptiProxy-NAS at 5
of 200 epochs.

Differs from the published program, which evaluates the best few again after
every step: the budget is known here, and promotions before the low-fidelity
search has ended are promotions of worse architectures.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search".
"""

import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import CostedEvaluation
from nagjax.types import CostedProposal
from nagjax.types import Evaluation
from nagjax.types import Fidelities
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; `make` checks them against the budget.

  Attributes:
    search: options of the search at the low fidelity.
    fidelity: name of that.
    promote: full evaluations for which the budget is kept.
    place: of the fidelity among all.
    num_low: evaluations at the low fidelity that the rest of the budget pays.
  """

  search: Any
  fidelity: str
  promote: int
  place: int
  num_low: int


class State(NamedTuple):
  """Both phases.

  Attributes:
    inner: of the search at the low fidelity.
    archs: `int32[M, L]` what that has found, in order; the first `num` count.
    objective: `f32[M]` of these, `-inf` once they are promoted.
    num: `int32[]`.
    spent: `int32[]` in the unit of the costs.
    round: `int32[]` rounds that were asked for.
    promotes: `bool[]` whether the last one was of promotions.
  """

  inner: Any
  archs: jax.Array
  objective: jax.Array
  num: jax.Array
  spent: jax.Array
  round: jax.Array
  promotes: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    search: what the search at the low fidelity tells of its round.
    promotes: `bool[]` whether the round was one of promotions.
  """

  search: Any
  promotes: jax.Array


def plan(
  fidelities: Fidelities | None,
  fidelity: str,
  promote: int | None,
  budget: int,
  num_rows: int,
) -> Config:
  """Divides a budget between the two phases.

  Args:
    fidelities: of the problem.
    fidelity: name of the low one.
    promote: full evaluations to keep the budget for; half of it if None.
    budget: in full evaluations.
    num_rows: of the benchmark, the most that the search can read.

  Returns:
    The options, those of the search apart.

  Raises:
    ValueError: if there is no such fidelity, it is the full one, or the budget
      does not suffice.
  """
  names = () if fidelities is None else fidelities.names[:-1]
  if fidelities is None or fidelity not in names:
    raise ValueError(
      f"fidelity must be one of {', '.join(names) or '(none there)'}, below "
      f"the full one, got {fidelity!r}."
    )
  promote = max(1, budget // 2) if promote is None else promote
  if isinstance(promote, bool) or not isinstance(promote, int) or promote < 1:
    raise ValueError(f"promote must be at least 1, got {promote!r}.")
  place = fidelities.names.index(fidelity)
  cost, full = fidelities.costs[place], fidelities.costs[-1]
  left = budget * full - promote * _promotion(fidelities, place)
  if left < cost:
    raise ValueError(
      f"A budget of {budget} pays nothing at fidelity {fidelity} beside "
      f"{promote} full evaluations; lower promote, or raise the budget."
    )
  return Config(None, fidelity, promote, place, min(left // cost, num_rows))


def low_fidelity(
  algorithm: Algorithm,
  space: SearchSpace,
  config: Config,
  fidelities: Fidelities,
  *,
  budget: int,
  num_rounds: int,
) -> Algorithm:
  """Wraps a search.

  Args:
    algorithm: the search, built for a budget of `config.num_low`.
    space: the space.
    config: of `plan`.
    fidelities: of the problem.
    budget: in full evaluations.
    num_rounds: the most rounds of the search.
  """
  batch_size, full = algorithm.batch_size, len(fidelities.costs) - 1
  kept = config.promote * _promotion(fidelities, config.place)
  # A whole batch must be affordable for the search to go on.
  last = budget * fidelities.costs[-1] - kept
  last -= batch_size * fidelities.costs[config.place]
  # A batch of which nothing is fresh costs nothing, so the last one may be one
  # too many; and a warm start may be any number of rows.
  size = config.num_low + batch_size

  def init(key: Key, params: Params) -> State:
    return State(
      inner=algorithm.init(key, params),
      archs=jnp.zeros((size, space.num_variables), jnp.int32),
      objective=jnp.full(size, -jnp.inf, jnp.float32),
      num=jnp.int32(0),
      spent=jnp.int32(0),
      round=jnp.int32(0),
      promotes=jnp.asarray(False),
    )

  def ask(
    key: Key, state: State, params: Params
  ) -> tuple[CostedProposal, State]:
    searched, inner = algorithm.ask(key, state.inner, params)
    second = (state.spent > last) | (state.round >= num_rounds)
    best, places = jax.lax.top_k(state.objective, batch_size)
    archs = jnp.where(second, state.archs[places], searched.archs)
    valid = jnp.where(second, best > -jnp.inf, searched.valid)
    at = jnp.where(second, full, config.place)
    objective = state.objective.at[places].set(
      jnp.where(second, -jnp.inf, best)
    )
    fidelity = jnp.broadcast_to(at, batch_size).astype(jnp.int32)
    return CostedProposal(archs, valid, fidelity), state._replace(
      inner=inner,
      objective=objective,
      round=state.round + 1,
      promotes=second,
    )

  def tell(
    state: State, proposal: Proposal, evaluation: Any, params: Params
  ) -> tuple[State, Info]:
    second = state.promotes
    told: CostedEvaluation = evaluation
    # The search is told nothing of promotions: they are denied.
    seen = jnp.where(second, jnp.int8(Status.DENIED), told.status)
    inner, info = algorithm.tell(
      state.inner,
      Proposal(proposal.archs, proposal.valid & ~second),
      Evaluation(
        status=seen.astype(jnp.int8),
        objective=jnp.where(second, -jnp.inf, told.objective),
        objectives=jnp.where(second, -jnp.inf, told.objectives),
        violations=jnp.where(second, jnp.inf, told.violations),
        feasible=told.feasible & ~second,
      ),
      params,
    )
    fresh = seen == Status.FRESH
    place = jnp.where(fresh, state.num + jnp.cumsum(fresh) - 1, size)
    return State(
      inner=inner,
      archs=state.archs.at[place].set(proposal.archs, mode="drop"),
      objective=state.objective.at[place].set(told.objective, mode="drop"),
      num=jnp.minimum(state.num + jnp.sum(fresh, dtype=jnp.int32), size),
      spent=told.spent,
      round=state.round,
      promotes=state.promotes,
    ), Info(info, second)

  check = None
  if algorithm.check is not None:
    inner_check = algorithm.check
    check = lambda state: inner_check(state.inner)  # noqa: E731
  return algorithm._replace(
    init=init, ask=ask, tell=tell, check=check, fidelity=config.place
  )


def most_rounds(
  fidelities: Fidelities, place: int, budget: int, batch_size: int
) -> int:
  """Rounds of promotions that a budget can pay, and one that it denies."""
  limit = budget * fidelities.costs[-1]
  return -(-limit // (_promotion(fidelities, place) * batch_size)) + 1


def _promotion(fidelities: Fidelities, place: int) -> int:
  """What a full evaluation costs of what was evaluated at a lower fidelity."""
  before = fidelities.costs[place] if fidelities.continues else 0
  return fidelities.costs[-1] - before
