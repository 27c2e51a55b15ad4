"""What a search on the host has paid for, and what it was told for it."""

from collections.abc import Mapping
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import is_on_host
from nagjax.benchmarks.host import named_columns
from nagjax.problem import Answer
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.search import ledger as ledger_lib
from nagjax.search import traces
from nagjax.search.driver import WarmStart
from nagjax.search.traces import Trace
from nagjax.types import AnyProposal
from nagjax.types import Evaluation
from nagjax.types import Status

_ROWS = 32
"""Evaluations are filled up to a multiple: few sizes to compile for."""

_TEST = "the reader's metric"
"""Stands for the test column, whatever its name."""

_Value = tuple[np.ndarray, ...]
"""A row of an `Answer`, and the reader's metric."""


class HostLedger:
  """Buys what is fresh and remembers its values: the only mutable thing here.

  Attributes:
    state: what has been paid for, as in the compiled loop.
  """

  def __init__(
    self, problem: Problem, budget: int, warm_start: WarmStart | None
  ):
    self._problem = problem
    self._budget = budget
    self._is_valid = jax.jit(problem.space.is_valid)
    self.state = ledger_lib.init(problem.benchmark.num_rows, budget)
    self._values: dict[bytes, _Value] = {}
    if warm_start is not None and warm_start.columns is not None:
      archs = np.asarray(warm_start.archs, np.int32)
      columns = _known_columns(problem, warm_start.columns, len(archs))
      names = _names(self._identities(archs))
      for name, value in zip(names, self._answer(columns), strict=True):
        self._values.setdefault(name, value)

  @property
  def charged(self) -> int:
    """Distinct architectures paid for."""
    return int(self.state.charged)

  def restore(self, rounds: list[Trace], path: pathlib.Path) -> None:
    """Pays again for what a saved search has paid for.

    Args:
      rounds: its trace.
      path: its file, for errors.

    Raises:
      ValueError: if the budget is too small for that.
    """
    paid = [row.paid for row in rounds]
    num = int(np.sum(paid))
    if num > self._budget:
      raise ValueError(
        f"{path} holds a search that has paid for {num} evaluations; budget "
        f"must be at least that, got {self._budget}."
      )
    if not num:
      return
    trace = traces.stack(rounds)
    archs, status, *columns = (
      column[trace.paid]
      for column in (
        *(trace.archs, trace.status, trace.objective, trace.objectives),
        *(trace.violations, trace.status == Status.INVALID, trace.test),
      )
    )
    identities = self._identities(archs)
    valid = jnp.ones(num, bool)
    _, self.state = _charge(self.state, identities, valid, self._budget)
    values = zip(*columns, strict=True)
    self._values.update(zip(_names(identities), values, strict=True))

  def evaluate(self, proposal: AnyProposal) -> tuple[Evaluation, Trace]:
    """Charges and evaluates proposals, as the compiled loop does.

    Returns:
      The evaluation and its rows of the trace.
    """
    archs = np.asarray(proposal.archs, np.int32)
    identities = self._identities(archs)
    valid = jnp.asarray(proposal.valid) & self._is_valid(jnp.asarray(archs))
    status, state = _charge(self.state, identities, valid, self._budget)
    names = _names(identities)
    fresh = np.flatnonzero(np.asarray(status) == Status.FRESH).tolist()
    unknown = [row for row in fresh if names[row] not in self._values]
    if unknown:
      values = self._answer(self._ask(archs[unknown]))
      asked = [names[row] for row in unknown]
      self._values.update(zip(asked, values, strict=True))
    self.state = state  # Nothing is paid where the benchmark raises.
    nothing = self._nothing()
    rows = [self._values.get(name, nothing) for name in names]
    columns: list[Any] = [np.stack(c) for c in zip(*rows, strict=True)]
    # Values of rows that were not bought are known from a warm start at most,
    # and are not handed out.
    return _settle(
      proposal, status, state.charged, Answer(*columns[:-1]), columns[-1]
    )

  def _ask(self, archs: np.ndarray) -> dict[str, Any]:
    """Columns of the problem and the reader's metric, `f32[n]` each."""
    problem, benchmark = self._problem, self._problem.benchmark
    if not is_on_host(benchmark):
      with jax.debug_nans(False):  # NaN is an evaluation that failed.
        found = jax.device_get(_query(problem, _pad(archs)))
      return {name: column[: len(archs)] for name, column in found.items()}
    found = benchmark.evaluate(archs)  # type: ignore[attr-defined]
    columns = {name: found[name] for name in problem.column_names}
    if benchmark.test is not None:
      columns[_TEST] = found[benchmark.test]
    return columns

  def _answer(self, columns: Mapping[str, np.ndarray]) -> list[_Value]:
    """What the problem makes of columns, a value for each row."""
    needed = {name: columns[name] for name in self._problem.column_names}
    num = len(next(iter(needed.values())))
    with jax.debug_nans(False):
      answer = _answer(self._problem, jax.tree.map(_pad, needed))
      answer = jax.device_get(answer)
    test = columns.get(_TEST, np.full(num, np.nan, np.float32))
    return list(zip(*(leaf[:num] for leaf in answer), test, strict=True))

  def _nothing(self) -> _Value:
    """Stands for what was not bought."""
    objectives = np.full(len(self._problem.objective_names), -np.inf)
    violations = np.full(len(self._problem.constraints), np.inf)
    value = (-np.inf, objectives, violations, True, np.nan)
    return tuple(
      np.asarray(part, bool if part is True else np.float32) for part in value
    )

  def _identities(self, archs: np.ndarray) -> jax.Array:
    benchmark = self._problem.benchmark
    find = benchmark.identities
    if not is_on_host(benchmark):
      find = functools.partial(_identities, benchmark)
    return jnp.asarray(find(jnp.asarray(archs)))


_answer = jax.jit(Problem.answer)
_charge = jax.jit(ledger_lib.charge, static_argnums=3)
_settle = jax.jit(driver.settle)


@jax.jit
def _query(problem: Problem, archs: jax.Array) -> dict[str, jax.Array]:
  columns = problem.benchmark.query(archs)
  needed = {name: columns[name] for name in problem.column_names}
  return {**needed, _TEST: problem.test(archs)}


@jax.jit
def _identities(benchmark: Benchmark, archs: jax.Array) -> jax.Array:
  return benchmark.identities(archs)


def _names(identities: jax.Array) -> list[bytes]:
  return [identity.tobytes() for identity in np.asarray(identities)]


def _known_columns(
  problem: Problem, columns: Any, num: int
) -> dict[str, np.ndarray]:
  """What a warm start knows of the columns that are needed."""
  test = problem.benchmark.test
  names = problem.column_names
  if test is not None and test in columns:
    names += (test,)
  needed = {name: columns[name] for name in names if name in columns}
  found = named_columns(needed, names, num, "warm_start.columns must hold")
  if test in found:
    found[_TEST] = found.pop(test)
  return found


def _pad(column: np.ndarray) -> np.ndarray:
  widths = [(0, -len(column) % _ROWS)] + [(0, 0)] * (column.ndim - 1)
  return np.pad(column, widths, mode="edge")
