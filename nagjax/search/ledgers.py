"""Either ledger of a search: of rows, or of rows at fidelities.

An algorithm that names no fidelity has the former, and a program in which
nothing of the latter occurs.
"""

from typing import Any

import jax
import jax.numpy as jnp

from nagjax.problem import Problem
from nagjax.search import fidelity_ledger
from nagjax.search import ledger as ledger_lib
from nagjax.search.fidelity_ledger import FidelityLedger
from nagjax.search.traces import CostedTrace
from nagjax.search.traces import Trace
from nagjax.types import Algorithm
from nagjax.types import CostedEvaluation
from nagjax.types import Evaluation
from nagjax.types import Fidelities

Ledger = ledger_lib.Ledger | FidelityLedger


def init(algorithm: Algorithm, problem: Problem, budget: int) -> Ledger:
  """An empty ledger of the kind that the algorithm needs.

  Raises:
    ValueError: if its proposals name fidelities and the problem has none.

  Example:
    >>> import nagjax
    >>> problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    >>> search = nagjax.make_search("random", problem, budget=20)
    >>> check(search.algorithm, problem)
    >>> ledger = counters(init(search.algorithm, problem, 20))
    >>> bool(has_ended(ledger, problem, 20))
    False
    >>> float(share_spent(ledger, problem, 20))
    0.0
  """
  if algorithm.fidelity is None:
    return ledger_lib.init(problem.benchmark.num_rows, budget)
  check(algorithm, problem)
  return fidelity_ledger.init(problem.benchmark.num_rows or 0)


def has_ended(ledger: Ledger, problem: Problem, budget: int) -> jax.Array:
  """Whether a search is over, `bool[...]`; counters may have leading axes."""
  if isinstance(ledger, ledger_lib.Ledger):
    return ledger.charged >= budget
  limit = fidelity_ledger.limit_of(budget, fidelities_of(problem))
  return fidelity_ledger.has_ended(ledger, limit)


def share_spent(ledger: Ledger, problem: Problem, budget: int) -> Any:
  """How much of a budget is spent, `f32[...]`."""
  if isinstance(ledger, ledger_lib.Ledger):
    return ledger.charged / budget
  limit = fidelity_ledger.limit_of(budget, fidelities_of(problem))
  return ledger.spent / limit


def counters(ledger: Ledger) -> Ledger:
  """The numbers of a ledger on the host, without what was paid for."""
  return type(ledger)(ledger[0], *jax.device_get(tuple(ledger[1:])))


def fidelities_of(problem: Problem) -> Fidelities:
  """The fidelities of a problem that has some."""
  fidelities = problem.fidelities
  assert fidelities is not None
  return fidelities


def at_fidelities(
  evaluation: Evaluation,
  rows: Trace,
  fidelity: jax.Array,
  cost: jax.Array,
  ledger: FidelityLedger,
  problem: Problem,
) -> tuple[CostedEvaluation, CostedTrace]:
  """Adds to what `driver.settle` returns what was asked for and paid.

  The reader's metric belongs to full evaluations alone.

  Args:
    evaluation, rows: what it returns.
    fidelity: `int32[B]` that was asked for.
    cost: `int32[B]` that was paid.
    ledger: afterwards.
    problem: the question.
  """
  is_full = fidelity == len(fidelities_of(problem).costs) - 1
  told = CostedEvaluation(*evaluation, spent=ledger.spent)
  rows = rows._replace(test=jnp.where(is_full, rows.test, -jnp.inf))
  return told, CostedTrace(*rows, fidelity=fidelity.astype(jnp.int8), cost=cost)


def check(algorithm: Algorithm, problem: Problem) -> None:
  """Checks that a problem has the fidelities that an algorithm names.

  Raises:
    ValueError: if it has fewer, or no numbered rows.
  """
  if algorithm.fidelity is None:
    return
  fidelities, benchmark = problem.fidelities, problem.benchmark
  if fidelities is None:
    raise ValueError(
      f"This algorithm asks for several fidelities, and {benchmark.name} has "
      f"one of {', '.join(problem.objective_names)}."
    )
  num = len(fidelities.costs)
  if not 0 <= algorithm.fidelity < num or not benchmark.num_rows:
    raise ValueError(
      f"{benchmark.name} has {num} fidelities of "
      f"{benchmark.num_rows or 'no numbered'} rows, and the algorithm begins "
      f"at number {algorithm.fidelity}: build it for this benchmark."
    )
