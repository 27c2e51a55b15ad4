"""Compares finished searches seed by seed.

  python -m experiments.compare --runs=results/a --runs=results/b --at=30,60,100

Every --runs is the working directory of an `experiments.search` (or several,
separated by commas); its algorithms are compared with the first one of the
first directory. Printed are,
at each number of charged queries, both means, the 95 % interval of the paired
difference (first minus other) and the p-value of the paired t-test. "Ahead"
means that the interval lies above zero, "behind" below it.

All runs must have the same benchmark, objective, limits and seeds.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

import pathlib
import sys
from typing import NamedTuple

import numpy as np

from nagjax import statistics

from .support import flags
from .support import records
from .support import results
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

_SAME = ("benchmark", "objectives", "constraints", "seed_ranges")


class Run(NamedTuple):
  """One algorithm's searches.

  Attributes:
    name: directory and algorithm.
    record: what was asked.
    best: `f32[S, Q]` best objective after every charged query.
  """

  name: str
  record: records.Record
  best: np.ndarray


def _run(values: flags.Values) -> None:
  runs = [run for path in values.runs for run in read(pathlib.Path(path))]
  if len(runs) < 2:
    raise UsageError("--runs must hold two algorithms at least.")
  with user_errors("--at: "):
    at = [int(text) for text in values.at]
    if min(at, default=0) < 1:
      raise ValueError(
        f"expected queries from 1 on, got {','.join(values.at)}."
      )
  for other in runs[1:]:
    for queries in at:
      print(describe(runs[0], other, queries))


def read(directory: pathlib.Path) -> list[Run]:
  """All algorithms of a finished search.

  Raises:
    UsageError: if it is none.
  """
  runs = []
  for record, trace, _ in records.read_run(directory):
    past = results.history(trace, record.fidelities)
    best = past.best(record.budget)
    runs.append(Run(f"{directory.name}/{record.name}", record, best))
  return runs


def describe(first: Run, other: Run, queries: int) -> str:
  """One line of a comparison.

  Raises:
    UsageError: if the two cannot be compared.
  """
  for field in _SAME:
    values = [getattr(run.record, field) for run in (first, other)]
    if values[0] != values[1]:
      raise UsageError(
        f"{first.name} and {other.name} differ in {field}: {values[0]} and "
        f"{values[1]}."
      )
  if queries > min(first.best.shape[1], other.best.shape[1]):
    raise UsageError(
      f"--at={queries} is more than the budget of {first.name} or {other.name}."
    )
  a, b = (run.best[:, queries - 1] for run in (first, other))
  with user_errors(f"{first.name} and {other.name}: "):
    difference = statistics.paired_difference(a, b)
  low, high = difference.interval.low, difference.interval.high
  verdict = "ahead" if low > 0 else "behind" if high < 0 else "level"
  return (
    f"{queries} queries: {first.name} {a.mean():.3f}, {other.name} "
    f"{b.mean():.3f}, difference [{low:+.3f}, {high:+.3f}], p = "
    f"{difference.t_p_value:.2g}: {verdict}"
  )


main = binary(
  _run,
  [
    flags.paths("runs", "Directory of a search; repeatable."),
    flags.items("at", ["100"], "Charged queries."),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
