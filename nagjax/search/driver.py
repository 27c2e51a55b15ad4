"""The search loop as a pure function: ask, charge, evaluate, tell.

`run` is one compiled program. `start` and `advance` are its two halves, for
searches that are watched, saved or continued. They take an algorithm, a problem
and params apart, so that research code may trace each of them; `nagjax.run` and
its fellows take a `Search`, which holds all three.
"""

from collections.abc import Mapping
from typing import Any
from typing import Generic
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax.benchmarks.base import is_on_host
from nagjax.problem import Answer
from nagjax.problem import Problem
from nagjax.search import fidelity_ledger
from nagjax.search import ledger as ledger_lib
from nagjax.search import ledgers
from nagjax.search import traces
from nagjax.search.ledgers import Ledger
from nagjax.search.traces import Result
from nagjax.search.traces import Trace
from nagjax.types import Algorithm
from nagjax.types import AnyProposal
from nagjax.types import CostedProposal
from nagjax.types import Evaluation
from nagjax.types import Info
from nagjax.types import Key
from nagjax.types import ParamsT
from nagjax.types import Proposal
from nagjax.types import StateT
from nagjax.types import Status


class SearchState(NamedTuple, Generic[StateT]):
  """Everything that a search needs to go on.

  Attributes:
    algorithm: the algorithm's own state.
    ledger: what has been paid for.
    key: the key of the whole search; round `r` uses `fold_in(key, r)`.
    round: `int32[]`, number of rounds done.
  """

  algorithm: StateT
  ledger: Ledger
  key: Key
  round: jax.Array


class WarmStart(NamedTuple):
  """Earlier evaluations that a search starts from; they are charged first.

  Attributes:
    archs: `int32[P, L]`.
    columns: for `run_on_host` alone: what is known of them, `f32[P]` for every
      column that the problem needs, NaN for failures; they are not evaluated
      again. None asks the benchmark.
  """

  archs: ArrayLike
  columns: Mapping[str, Any] | None = None


def run(
  key: Key,
  algorithm: Algorithm[StateT, ParamsT],
  problem: Problem,
  params: ParamsT,
  *,
  budget: int,
  num_rounds: int,
  warm_start: WarmStart | None = None,
) -> Result[SearchState[StateT]]:
  """Runs one search; compile it with `jit`, and many with `vmap` or `sweep`.

  Args:
    key: random key, consumed.
    algorithm: the algorithm.
    problem: the question.
    params: hyper-parameters and weights of the algorithm.
    budget: the most distinct rows that the search may read; with fidelities
      what it may spend, in full evaluations.
    num_rounds: the most rounds of `ask` and `tell`.
    warm_start: evaluated in the place of the initial design.

  Returns:
    The trace, the infos and the state in which the search ended.

  Raises:
    ValueError: if the budget is below the initial design, the algorithm belongs
      to another space, or the problem or the algorithm cannot be traced.
  """
  first = start(
    key, algorithm, problem, params, budget=budget, warm_start=warm_start
  )
  rest = advance(
    first.state,
    algorithm,
    problem,
    params,
    budget=budget,
    num_rounds=num_rounds,
  )
  trace = jax.tree.map(
    lambda a, b: jnp.concatenate([a, b]), first.trace, rest.trace
  )
  return rest._replace(trace=trace)


def start(
  key: Key,
  algorithm: Algorithm[StateT, ParamsT],
  problem: Problem,
  params: ParamsT,
  *,
  budget: int,
  warm_start: WarmStart | None = None,
) -> Result[SearchState[StateT]]:
  """Initializes a search and evaluates its warm start or its initial design.

  See `run` for the arguments. The trace has as many rounds of `batch_size` as
  the warm start or the design fills (none if there is neither); the info is
  None.

  Raises:
    ValueError: as `run`, or if the warm start has columns.
  """
  check_traceable(algorithm, problem)
  check_budget(algorithm, problem, budget=budget, warm_start=warm_start)
  if warm_start is not None and warm_start.columns is not None:
    raise ValueError(
      "warm_start.columns are for run_on_host; this loop asks the benchmark "
      "itself: leave them out."
    )
  init_key, design_key, search_key = jax.random.split(key, 3)
  # An empty state is constant: without the barrier the compiler spends seconds
  # on folding what the first `tell` makes of it.
  state = jax.lax.optimization_barrier(algorithm.init(init_key, params))
  proposal = first_proposal(design_key, algorithm, problem, warm_start)
  ledger = ledgers.init(algorithm, problem, budget)
  evaluation, rows, ledger = _evaluate(proposal, ledger, problem, budget)
  if proposal.valid.shape[0] > 0:
    state, _ = tell_design(
      algorithm, problem, state, proposal, evaluation, params
    )
  trace = traces.in_rounds(rows, algorithm.batch_size)
  return Result(
    trace, None, SearchState(state, ledger, search_key, jnp.int32(0))
  )


def advance(
  state: SearchState[StateT],
  algorithm: Algorithm[StateT, ParamsT],
  problem: Problem,
  params: ParamsT,
  *,
  budget: int,
  num_rounds: int,
) -> Result[SearchState[StateT]]:
  """Continues a search by `num_rounds` rounds; see `run` for the arguments."""
  check_traceable(algorithm, problem)

  def one_round(
    state: SearchState[StateT], _: None
  ) -> tuple[SearchState[StateT], tuple[Trace, Info]]:
    ended = ledgers.has_ended(state.ledger, problem, budget)
    ask_key = jax.random.fold_in(state.key, state.round)
    proposal, inner = algorithm.ask(ask_key, state.algorithm, params)
    check_proposal(proposal, algorithm, problem)
    evaluation, rows, ledger = _evaluate(
      proposal, state.ledger, problem, budget
    )
    inner, info = algorithm.tell(inner, proposal, evaluation, params)
    # Only what is handed out is frozen: selecting between states would turn
    # every branch of the algorithm into both branches.
    said = traces.clear(rows, ended), traces.clear_info(info, ended)
    return SearchState(inner, ledger, state.key, state.round + 1), said

  state, (trace, info) = jax.lax.scan(one_round, state, length=num_rounds)
  return Result(trace, info, state)


def first_proposal(
  key: Key,
  algorithm: Algorithm,
  problem: Problem,
  warm_start: WarmStart | None,
) -> AnyProposal:
  """What is evaluated before the first round: a warm start, or the design."""
  if warm_start is not None:
    archs = jnp.asarray(warm_start.archs, jnp.int32)
  else:
    archs = problem.space.sample(key, algorithm.num_initial)
  valid = problem.space.is_valid(archs)
  if algorithm.fidelity is None:
    return Proposal(archs, valid)
  fidelity = jnp.full(archs.shape[0], algorithm.fidelity, jnp.int32)
  return CostedProposal(archs, valid, fidelity)


def settle(
  proposal: AnyProposal,
  status: jax.Array,
  charged: jax.Array,
  answer: Answer,
  test: jax.Array,
) -> tuple[Evaluation, Trace]:
  """Hands out the values that were paid for; failures are invalid.

  Args:
    proposal: `B` architectures.
    status: `int8[B]`, of `ledger.charge`.
    charged: `int32[]` distinct rows paid for by now.
    answer: what the problem says of every row; that of rows which were not
      bought is not read.
    test: `f32[B]`, the reader's metric, NaN where there is none.

  Returns:
    The evaluation and its rows of the trace, `[B, ...]`.
  """
  paid = status == Status.FRESH
  bought = paid | (status == Status.REPEAT)
  usable = bought & ~answer.failed
  status = jnp.where(bought & answer.failed, Status.INVALID, status)
  evaluation = Evaluation(
    status=status.astype(jnp.int8),
    objective=jnp.where(usable, answer.objective, -jnp.inf),
    objectives=jnp.where(usable[:, None], answer.objectives, -jnp.inf),
    violations=jnp.where(usable[:, None], answer.violations, jnp.inf),
    feasible=usable & answer.feasible,
  )
  rows = Trace(
    archs=proposal.archs,
    **evaluation._asdict(),
    test=jnp.where(usable & ~jnp.isnan(test), test, -jnp.inf),
    paid=paid,
    charged=charged,
  )
  return evaluation, rows


def tell_design(
  algorithm: Algorithm[StateT, ParamsT],
  problem: Problem,
  state: StateT,
  proposal: AnyProposal,
  evaluation: Evaluation,
  params: ParamsT,
) -> tuple[StateT, Info]:
  """`tell`, where an algorithm of another space is found out first."""
  try:
    return algorithm.tell(state, proposal, evaluation, params)
  except (TypeError, ValueError):
    if not algorithm.on_host:
      ask = jax.eval_shape(algorithm.ask, jax.random.key(0), state, params)
      check_proposal(ask[0], algorithm, problem)
    raise


def check_proposal(
  proposal: AnyProposal, algorithm: Algorithm, problem: Problem
) -> None:
  """Checks that what is proposed belongs to the space of the problem.

  Raises:
    ValueError: if it has another shape.
  """
  space = problem.space
  expected = (algorithm.batch_size, space.num_variables)
  if proposal.archs.shape != expected:
    raise ValueError(
      f"The algorithm must propose int32{list(expected)} for the space "
      f"{space.name} of the problem, got {list(proposal.archs.shape)}: build "
      "it for that space."
    )


def check_traceable(algorithm: Algorithm, problem: Problem) -> None:
  """Checks that a search can be one compiled program.

  Raises:
    ValueError: if its algorithm or its benchmark runs in Python.
  """
  on_host = is_on_host(problem.benchmark)
  if algorithm.on_host or on_host:
    what = f"benchmark {problem.benchmark.name}" if on_host else "algorithm"
    raise ValueError(
      f"This {what} runs in Python and cannot be compiled; use run_on_host or "
      "sweep_on_host."
    )


def check_budget(
  algorithm: Algorithm,
  problem: Problem,
  *,
  budget: int,
  warm_start: WarmStart | None = None,
) -> None:
  """Checks on the host that a search can start.

  Raises:
    ValueError: if the budget is below the initial design or above the rows, or
      the warm start holds no architectures of the space.

  Example:
    >>> import nagjax
    >>> problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    >>> search = nagjax.make_search("random", problem, budget=20)
    >>> check_traceable(search.algorithm, problem)
    >>> check_budget(search.algorithm, problem, budget=20000)
    Traceback (most recent call last):
      ...
    ValueError: budget must be at most the 15625 rows of digits, got 20000.
  """
  needed, what = max(algorithm.num_initial, 1), "the initial design"
  if warm_start is not None:
    needed, what = 1, "a search"
    _check_warm_start(warm_start, problem)
  check_count("budget", budget)
  ledgers.check(algorithm, problem)
  if algorithm.fidelity is not None and problem.fidelities is not None:
    # What is evaluated first may cost less than full evaluations.
    costs = problem.fidelities.costs
    needed = max(1, -(-needed * costs[algorithm.fidelity] // costs[-1]))
  if budget < needed:
    raise ValueError(f"budget must be at least {needed} for {what}: {budget}.")
  num_rows = problem.benchmark.num_rows
  if num_rows is not None and budget > num_rows:
    raise ValueError(
      f"budget must be at most the {num_rows} rows of "
      f"{problem.benchmark.name}, got {budget}."
    )


def check_count(name: str, value: Any, *, least: int | None = None) -> None:
  """Checks that a number is whole and not too small.

  Raises:
    ValueError: if it is not.

  Example:
    >>> check_count("budget", 2.5)
    Traceback (most recent call last):
      ...
    ValueError: budget must be a whole number, got 2.5.
  """
  if isinstance(value, bool) or not isinstance(value, int | np.integer):
    raise ValueError(f"{name} must be a whole number, got {value!r}.")
  if least is not None and value < least:
    raise ValueError(f"{name} must be at least {least}, got {value}.")


def _check_warm_start(warm_start: Any, problem: Problem) -> None:
  if not isinstance(warm_start, WarmStart):
    raise ValueError(
      "warm_start must be a WarmStart, such as WarmStart(archs), got "
      f"{type(warm_start).__name__}."
    )
  shape = np.shape(warm_start.archs)
  width = problem.space.num_variables
  if len(shape) != 2 or shape[1] != width or not shape[0]:
    raise ValueError(
      f"warm_start.archs must be int32[P, {width}] with at least one "
      f"architecture of {problem.space.name}, got shape {list(shape)}."
    )
  archs = warm_start.archs
  dtype = archs.dtype if hasattr(archs, "dtype") else np.asarray(archs).dtype
  if not jnp.issubdtype(dtype, jnp.integer):
    raise ValueError(f"warm_start.archs must be whole numbers, got {dtype}.")
  if isinstance(archs, jax.core.Tracer):
    return
  given = np.asarray(archs)
  with jax.ensure_compile_time_eval():
    valid = np.asarray(problem.space.is_valid(jnp.asarray(given, jnp.int32)))
  wrong = np.flatnonzero(~valid | (given != given.astype(np.int32)).any(axis=1))
  if wrong.size:
    raise ValueError(
      f"warm_start.archs must be architectures of {problem.space.name}, row "
      f"{wrong[0]} is {given[wrong[0]].tolist()}, which is none that "
      f"{problem.benchmark.name} has."
    )


def _evaluate(
  proposal: AnyProposal, ledger: Ledger, problem: Problem, budget: int
) -> tuple[Any, Any, Ledger]:
  """Charges and evaluates proposals."""
  identities = problem.benchmark.identities(proposal.archs)
  valid = proposal.valid & problem.space.is_valid(proposal.archs)
  if isinstance(ledger, fidelity_ledger.FidelityLedger):
    assert isinstance(proposal, CostedProposal)
    fidelity, fidelities = proposal.fidelity, ledgers.fidelities_of(problem)
    status, cost, ledger = fidelity_ledger.charge(
      *(ledger, identities, fidelity, valid),
      *(fidelity_ledger.limit_of(budget, fidelities), fidelities),
    )
    evaluation, rows = settle(
      proposal,
      status,
      ledger.charged,
      problem.evaluate(proposal.archs, fidelity),
      problem.test(proposal.archs),
    )
    return *ledgers.at_fidelities(
      evaluation, rows, fidelity, cost, ledger, problem
    ), ledger
  status, ledger = ledger_lib.charge(ledger, identities, valid, budget)
  evaluation, rows = settle(
    proposal,
    status,
    ledger.charged,
    *problem.evaluate_and_test(proposal.archs),
  )
  return evaluation, rows, ledger
