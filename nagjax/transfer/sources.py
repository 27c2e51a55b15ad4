"""The tables that a transfer is learned from, and which searches may use it."""

from collections.abc import Sequence
import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import statistics
from nagjax.benchmarks.base import is_on_host
from nagjax.problem import Problem
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.checks import checked_archs
from nagjax.transfer.base import Source
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import check_fits

LEAST_ROWS = 20
"""Rows with a value that a source has at least."""

SAME = 0.995
"""Rank correlation with a source from which a table counts as derived from it.

Measurements of the same networks by other seeds agree to .997 and more, those
on other data sets (CIFAR-10 and CIFAR-100) to .97."""

_NUM_PROBE = 256


class Table(NamedTuple):
  """Values of some or all architectures of a space, on the host.

  Attributes:
    space: the space.
    archs: `int32[N, L]`.
    values: `f32[N]`, larger is better; not finite where the evaluation failed.
    name: of the benchmark.
    objective: the column, with a minus sign where it is minimized.
  """

  space: SearchSpace
  archs: np.ndarray
  values: np.ndarray
  name: str
  objective: str


def read_table(problem: Problem) -> Table:
  """Reads the objective of every row of a problem's table.

  Raises:
    ValueError: if its benchmark is no table, or the problem has several
      objectives or limits.
  """
  if len(problem.objective_names) > 1 or problem.constraints:
    raise ValueError(
      "A transfer is learned from one objective without limits, got "
      f"{len(problem.objective_names)} objectives and "
      f"{len(problem.constraints)} limits."
    )
  archs = problem.benchmark.architectures()
  if archs is None:
    raise ValueError(
      f"{problem.benchmark.name} has no table of all its rows; a transfer is "
      "learned from a table."
    )
  answer = jax.device_get(jax.jit(Problem.evaluate)(problem, archs))
  return Table(
    problem.space,
    np.asarray(archs),
    np.asarray(answer.objective),
    problem.benchmark.name,
    problem.objective_names[0],
  )


def check_table(table: Table) -> None:
  """Checks that there is something to learn.

  Raises:
    ValueError: if there are fewer than `LEAST_ROWS` values, or all are equal,
      or a row is no architecture.
  """
  archs = np.asarray(table.archs)
  if archs.ndim != 2 or archs.shape != (
    len(table.values),
    table.space.num_variables,
  ):
    raise ValueError(
      f"A table of {table.space.name} has int[N, {table.space.num_variables}] "
      f"architectures and N values, got {archs.shape} and "
      f"{np.shape(table.values)}."
    )
  checked_archs(table.space.name, table.space.cardinalities, archs)
  values = np.asarray(table.values)[np.isfinite(table.values)]
  if len(values) < LEAST_ROWS:
    raise ValueError(
      f"A source needs at least {LEAST_ROWS} rows with a value, and "
      f"{table.name} has {len(values)}."
    )
  if values.min() == values.max():
    raise ValueError(
      f"All values of {table.objective} in {table.name} are equal; nothing "
      "can be learned from them."
    )


def describe(table: Table, weight: float) -> Source:
  """What a transfer says of one of its tables."""
  archs = np.ascontiguousarray(table.archs, np.int32)
  values = np.ascontiguousarray(table.values, np.float32)
  digest = hashlib.sha256(archs.tobytes() + values.tobytes()).hexdigest()
  known = np.flatnonzero(np.isfinite(values))
  # Over all ranks, so that also tables of which half is equal are told apart.
  order = known[np.argsort(values[known], kind="stable")]
  places = np.linspace(0, len(order) - 1, min(_NUM_PROBE, len(order)))
  probe = order[places.astype(int)]
  return Source(
    name=table.name,
    objective=table.objective,
    digest=digest,
    weight=float(weight),
    num_rows=len(values),
    probe_archs=archs[probe],
    probe_values=values[probe],
  )


def check_usable(
  transfers: Sequence[Transfer],
  space: SearchSpace,
  problem: Problem | None = None,
) -> None:
  """Checks that a search may use transfers.

  Args:
    transfers: what was learned.
    space: of the search.
    problem: of the search; its table must be none of the sources, nor derived
      from one. Not checked if None.

  Raises:
    ValueError: if a transfer is none, the space is another, or the table is one
      of the sources.
  """
  check_fits(transfers, space)
  if problem is None:
    return
  for transfer in transfers:
    for source in transfer.sources:
      if _is_same(source, problem):
        raise ValueError(
          f"The transfer was learned from {source.name}, and "
          f"{problem.benchmark.name} is that table or derived from it; use a "
          "transfer of other sources."
        )


def _is_same(source: Source, problem: Problem) -> bool:
  """Whether a problem asks a source, or ranks its rows as the source does."""
  benchmark = problem.benchmark
  # A prefix of a name says which column of the table is searched.
  if benchmark.name.rpartition(":")[2] == source.name.rpartition(":")[2]:
    return True
  if is_on_host(benchmark) or benchmark.architectures() is None:
    return False  # Computed or measured: no copy of a table.
  answer = problem.evaluate(jnp.asarray(source.probe_archs))
  values = np.asarray(answer.objectives, np.float64)
  for column in values.T:
    known = np.isfinite(column)
    if known.sum() < LEAST_ROWS // 2:
      continue
    rank = statistics.rank_correlation(
      column[known], source.probe_values[known]
    )
    if abs(rank.spearman) >= SAME:
      return True
  return False
