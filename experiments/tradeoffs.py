"""An objective against each of many costs: what searches find of every front.

  python -m experiments.tradeoffs --benchmark=nasbench201/cifar100 \\
    --algorithms=ednag,nsga2,random --num_seeds=100 \\
    --workdir=results/tradeoffs

For each column of --against (every column in milliseconds by default) searches
trade the --objective off against it. Printed are the number of points of the
exact front, and for each algorithm the mean share of the front's hypervolume
after --budget queries, above the worst feasible values of the table / above the
worst values of the front itself, which leaves out whatever is easy. Every
column is a line of WORKDIR/tradeoffs.csv as soon as it is done; the same
command goes on with those that are missing.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

from collections.abc import Sequence
import pathlib
import sys

import jax
import numpy as np

from nagjax import make_benchmark
from nagjax import make_search
from nagjax import search as search_lib
from nagjax import statistics
from nagjax.benchmarks import Benchmark
from nagjax.problem import Front
from nagjax.problem import Problem

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support import tables
from .support.errors import UsageError
from .support.errors import user_errors
from .support.fronts import paid_objectives
from .support.program import binary

TABLE = "tradeoffs.csv"
_NAMES = ("benchmark", "objective", "against")
_UNIT = "ms"


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  with user_errors("--benchmark: "):
    benchmark = make_benchmark(values.benchmark, values.data_dir)
  objective = values.objective or benchmark.objective
  columns = values.against or costs(benchmark)
  if not columns:
    raise UsageError(
      f"{benchmark.name} has no column in {_UNIT}; name some by --against."
    )
  with user_errors():
    problems = {
      column: Problem(benchmark, (objective, f"-{column}"))
      for column in columns
    }
    searches = {
      (column, name): make_search(
        name, problem, budget=values.budget, data_dir=values.data_dir
      )
      for column, problem in problems.items()
      for name in values.algorithms
    }
  workdir = pathlib.Path(values.workdir)
  keys = jax.random.split(jax.random.key(0), values.num_seeds)
  with outputs.claimed_workdir(workdir), progress.progress() as report:
    rows = tables.read_rows(workdir / TABLE, _NAMES)
    for column, problem in problems.items():
      place: tuple[str, ...] = (benchmark.name, objective, column)
      if place in rows:
        continue
      front = problem.front()
      if front is None:
        raise UsageError(f"{benchmark.name} has no rows to know the front of.")
      row = {"points": str(len(front.objectives))}
      for name in values.algorithms:
        sweep = search_lib.sweep(
          keys,
          searches[column, name],
          batch_size_seeds=values.batch_size_seeds,
          keeps_state=False,
          on_progress=progress.of_sweep(report, f"{column}/{name}"),
        )
        found = shares(paid_objectives(sweep.trace), front)
        row[name] = " / ".join(f"{100 * share:.2f}" for share in found)
      rows[place] = row
      tables.write_rows(workdir / TABLE, _NAMES, rows)
  for place, row in rows.items():
    print(" | ".join([*place, *row.values()]))


def costs(benchmark: Benchmark) -> list[str]:
  """Columns in milliseconds that a search may read."""
  return [name for name, unit in benchmark.units if unit.startswith(_UNIT)]


def shares(objectives: np.ndarray, front: Front) -> tuple[float, float]:
  """Mean share of the hypervolume of a front that searches have found.

  Args:
    objectives: `f64[S, E, M]`.
    front: the exact one.

  Returns:
    Above the worst feasible values of the table, and above those of the front.
  """
  found = []
  for corner in (front.worst, front.objectives.min(axis=0)):
    whole = statistics.hypervolume(front.objectives, corner)
    each = [statistics.hypervolume(points, corner) for points in objectives]
    found.append(float(np.mean(each)) / whole if whole else 1.0)
  return found[0], found[1]


FLAGS: Sequence[flags.Flag] = (
  *flags.common(
    "benchmark",
    "data_dir",
    "batch_size_seeds",
    workdir="results/tradeoffs",
    num_seeds=100,
    budget=(200, "Distinct rows that one search may read."),
  ),
  flags.items("algorithms", "ednag,nsga2,random", "Names, with commas."),
  flags.text("objective", None, "Column; the benchmark's own by default."),
  flags.items(
    "against", "", "Columns that are minimized; all in ms by default."
  ),
)

main = binary(_run, FLAGS, __doc__, written="what was finished")

if __name__ == "__main__":
  sys.exit(main())
