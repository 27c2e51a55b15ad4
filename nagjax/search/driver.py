"""The search loop as a pure function: ask, charge, evaluate, tell.

`run` is one compiled program. `start` and `advance` are its two halves, for
searches that are watched, saved or continued.
"""

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.problem import Problem
from nagjax.search import ledger as ledger_lib
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status


class SearchState(NamedTuple):
  """Everything that a search needs to go on.

  Attributes:
    algorithm: the algorithm's own state.
    ledger: what has been paid for.
    key: the key of the whole search; round `r` uses `fold_in(key, r)`.
    round: `int32[]`, number of rounds done.
  """

  algorithm: Any
  ledger: ledger_lib.Ledger
  key: Key
  round: jax.Array


ArrayHere = Any
"""`jax.Array` inside a program, `numpy.ndarray` once a trace is on the host."""


class Trace(NamedTuple):
  """What a search did and what it paid, `R` rounds of `B` slots.

  Prior data and the initial design fill the first rounds in order. Slots that
  hold no proposal have the status `EMPTY`.

  Attributes:
    archs: `int32[R, B, L]`.
    status: `int8[R, B]`, members of `Status`.
    objective: `f32[R, B]` scalarized objective, `-inf` where there is none.
    test: `f32[R, B]` the reader's metric, NaN where there is none.
    feasible: `bool[R, B]` whether an evaluated row meets every limit.
    paid: `bool[R, B]` whether the slot was charged (fresh, or fresh and
      failed).
    charged: `int32[R]` distinct rows paid for up to the end of each round.
  """

  archs: ArrayHere
  status: ArrayHere
  objective: ArrayHere
  test: ArrayHere
  feasible: ArrayHere
  paid: ArrayHere
  charged: ArrayHere


class Prior(NamedTuple):
  """Earlier evaluations that a search starts from; they are charged first.

  Attributes:
    archs: `int32[P, L]`.
  """

  archs: jax.Array


def run(
  key: Key,
  algorithm: Algorithm,
  problem: Problem,
  params: Params,
  *,
  budget: int,
  num_rounds: int,
  prior: Prior | None = None,
) -> tuple[Trace, SearchState]:
  """Runs one search; compile it with `jit`, and many with `vmap` or `sweep`.

  Args:
    key: random key, consumed.
    algorithm: the algorithm.
    problem: the question.
    params: hyper-parameters and weights of the algorithm.
    budget: the most distinct rows that the search may read.
    num_rounds: the most rounds of `ask` and `tell`.
    prior: evaluated in the place of the initial design.

  Returns:
    The trace and the state in which the search ended.

  Raises:
    ValueError: if the budget is below the initial design.
  """
  state, first = start(
    key, algorithm, problem, params, budget=budget, prior=prior
  )
  state, rest = advance(
    state, algorithm, problem, params, budget=budget, num_rounds=num_rounds
  )
  return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, rest), state


def start(
  key: Key,
  algorithm: Algorithm,
  problem: Problem,
  params: Params,
  *,
  budget: int,
  prior: Prior | None = None,
) -> tuple[SearchState, Trace]:
  """Initializes a search and evaluates its prior or its initial design.

  See `run` for the arguments. The trace has as many rounds of `batch_size` as
  the prior or the design fills (none if there is neither).
  """
  validate_budget(algorithm, problem, budget=budget, prior=prior)
  init_key, design_key, search_key = jax.random.split(key, 3)
  # An empty state is constant: without the barrier the compiler spends seconds
  # on folding what the first `tell` makes of it.
  state = jax.lax.optimization_barrier(algorithm.init(init_key, params))
  book = ledger_lib.init(problem.benchmark.num_rows, budget)
  archs = _first_design(design_key, algorithm, problem, prior)
  proposal = Proposal(archs, problem.space.is_valid(archs))
  evaluation, rows, book = _evaluate(proposal, book, problem, budget)
  if archs.shape[0] > 0:
    state, _ = algorithm.tell(state, proposal, evaluation, params)
  trace = _as_rounds(rows, algorithm.batch_size)
  return SearchState(state, book, search_key, jnp.int32(0)), trace


def advance(
  state: SearchState,
  algorithm: Algorithm,
  problem: Problem,
  params: Params,
  *,
  budget: int,
  num_rounds: int,
) -> tuple[SearchState, Trace]:
  """Continues a search by `num_rounds` rounds; see `run` for the arguments."""

  def one_round(state: SearchState, _) -> tuple[SearchState, Trace]:
    ended = state.ledger.charged >= budget
    ask_key = jax.random.fold_in(state.key, state.round)
    proposal, inner = algorithm.ask(ask_key, state.algorithm, params)
    evaluation, rows, book = _evaluate(proposal, state.ledger, problem, budget)
    inner, _ = algorithm.tell(inner, proposal, evaluation, params)
    # Only the trace is frozen: selecting between states would turn every branch
    # of the algorithm into both branches.
    rows = _Rows(
      archs=jnp.where(ended, 0, rows.archs),
      status=jnp.where(ended, jnp.int8(Status.EMPTY), rows.status),
      objective=jnp.where(ended, -jnp.inf, rows.objective),
      test=jnp.where(ended, jnp.nan, rows.test),
      feasible=rows.feasible & ~ended,
      paid=rows.paid & ~ended,
    )
    trace = Trace(*rows, charged=book.charged)
    return SearchState(inner, book, state.key, state.round + 1), trace

  return jax.lax.scan(one_round, state, length=num_rounds)


def validate_budget(
  algorithm: Algorithm,
  problem: Problem,
  *,
  budget: int,
  prior: Prior | None = None,
) -> None:
  """Checks on the host that a search can start.

  Raises:
    ValueError: if the budget is below the initial design or above the rows.
  """
  if prior is not None:
    needed, what = 1, "a search"
  else:
    needed, what = max(algorithm.num_initial, 1), "the initial design"
  if budget < needed:
    raise ValueError(f"budget must be at least {needed} for {what}: {budget}.")
  num_rows = problem.benchmark.num_rows
  if num_rows is not None and budget > num_rows:
    raise ValueError(
      f"budget must be at most the {num_rows} rows of "
      f"{problem.benchmark.name}, got {budget}."
    )


class _Rows(NamedTuple):
  """The fields of a `Trace` before its counter, `[B, ...]` each."""

  archs: jax.Array
  status: jax.Array
  objective: jax.Array
  test: jax.Array
  feasible: jax.Array
  paid: jax.Array


def _first_design(
  key: Key, algorithm: Algorithm, problem: Problem, prior: Prior | None
) -> jax.Array:
  if prior is not None:
    return jnp.asarray(prior.archs, jnp.int32)
  return problem.space.sample(key, algorithm.num_initial)


def _evaluate(
  proposal: Proposal, book: ledger_lib.Ledger, problem: Problem, budget: int
) -> tuple[Evaluation, _Rows, ledger_lib.Ledger]:
  """Charges and evaluates proposals; failures are invalid and paid for."""
  identities = problem.benchmark.identities(proposal.archs)
  status, book = ledger_lib.charge(book, identities, proposal.valid, budget)
  answer = problem.evaluate(proposal.archs)
  paid = status == Status.FRESH
  bought = paid | (status == Status.REPEAT)
  usable = bought & ~answer.failed
  status = jnp.where(bought & answer.failed, Status.INVALID, status)
  evaluation = Evaluation(
    status=status.astype(jnp.int8),
    objective=jnp.where(usable, answer.objective, -jnp.inf),
    objectives=jnp.where(usable[:, None], answer.objectives, -jnp.inf),
    violations=jnp.where(usable[:, None], answer.violations, jnp.inf),
  )
  rows = _Rows(
    archs=proposal.archs,
    status=evaluation.status,
    objective=evaluation.objective,
    test=jnp.where(usable, problem.test(proposal.archs), jnp.nan),
    feasible=usable & jnp.all(answer.violations <= 0, axis=-1),
    paid=paid,
  )
  return evaluation, rows, book


def _as_rounds(rows: _Rows, batch_size: int) -> Trace:
  """Lays out a design of any size as rounds of `batch_size` slots."""
  padding = -rows.status.shape[0] % batch_size
  filler = {
    "status": Status.EMPTY,
    "objective": -jnp.inf,
    "test": jnp.nan,
  }

  def pad(name: str, column: jax.Array) -> jax.Array:
    widths = [(0, padding)] + [(0, 0)] * (column.ndim - 1)
    value = filler.get(name, 0)
    column = jnp.pad(column, widths, constant_values=value)
    return column.reshape(-1, batch_size, *column.shape[1:])

  padded = {name: pad(name, col) for name, col in rows._asdict().items()}
  charged = jnp.cumsum(padded["paid"])[batch_size - 1 :: batch_size]
  return Trace(**padded, charged=charged.astype(jnp.int32))
