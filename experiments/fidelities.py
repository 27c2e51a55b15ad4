"""Cheap evaluations before dear ones: what searches find for what cost.

  python -m experiments.fidelities --benchmark=nasbench201-hp12/cifar100 \\
    --fidelities=12 --budgets=10,20,40 --num_seeds=100 \\
    --workdir=results/fidelities

For each budget, in full evaluations, runs every algorithm of --algorithms fully
and at each of --fidelities (half of the budget, or --promote of it, is kept for
full evaluations of the best), and successive halving and Hyperband. Printed are
the mean of the best full evaluation with the half width of its 95 % interval,
the share of searches at the optimum, and what was spent on average. Every row
is in WORKDIR/fidelities.csv as soon as it is done; the same command goes on
with those that are missing.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

from collections.abc import Sequence
import pathlib
import sys
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import make_benchmark
from nagjax import make_search
from nagjax import statistics
from nagjax.problem import Optimum
from nagjax.problem import Problem
from nagjax.search import Search

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support import tables
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

TABLE = "fidelities.csv"
FULL = "full"
ALL = "all"
_NAMES = ("benchmark", "budget", "algorithm", "fidelity", "promote")


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  with user_errors("--benchmark: "):
    problem = Problem(make_benchmark(values.benchmark, values.data_dir))
  if problem.fidelities is None:
    raise UsageError(
      f"{values.benchmark} has one fidelity; name a benchmark with several."
    )
  with user_errors():
    cases = plan(problem, values)
  workdir = pathlib.Path(values.workdir)
  optimum = problem.optimum()
  with outputs.claimed_workdir(workdir), progress.progress() as report:
    rows = tables.read_rows(workdir / TABLE, _NAMES)
    for case in cases:
      keys = {at: case.key(values.benchmark, at) for at in case.budgets}
      if set(keys.values()) <= set(rows):
        continue
      measured = tables.measure(
        case.search,
        values.num_seeds,
        values.batch_size_seeds,
        progress.of_sweep(report, "/".join(keys[max(keys)][1:])),
      )
      for at, key in keys.items():
        cost = np.minimum(measured.charged, at)
        rows[key] = figures(measured.best[:, at - 1], cost, optimum)
      tables.write_rows(workdir / TABLE, _NAMES, rows)
  for key, row in sorted(rows.items(), key=lambda item: int(item[0][1])):
    print(" | ".join([*key, *row.values()]))


class Case(NamedTuple):
  """A search, and the budgets at which it is read.

  Attributes:
    algorithm: its name.
    fidelity: at which it searches, `FULL` or `ALL`.
    promote: the share of the budget that is kept, as text.
    search: with the largest of the budgets.
    budgets: one where the search would be another one with another.
  """

  algorithm: str
  fidelity: str
  promote: str
  search: Search
  budgets: tuple[int, ...]

  def key(self, benchmark: str, budget: int) -> tuple[str, ...]:
    """The first columns of a row."""
    names = self.algorithm, self.fidelity, self.promote
    return benchmark, str(budget), *names


def plan(problem: Problem, values: flags.Values) -> list[Case]:
  """All searches.

  Raises:
    ValueError: if a budget or a share is no number, or does not suffice.
  """
  budgets = tuple(tables.read_at(values.budgets))
  alone = [(budget,) for budget in budgets]
  asked = [(name, FULL, "", budgets) for name in values.algorithms]
  asked += [
    (name, fidelity, share, at)
    for name in values.algorithms
    for fidelity in values.fidelities
    for share in values.promote
    for at in alone
  ]
  asked += [("successive_halving", ALL, "", at) for at in alone]
  asked.append(("hyperband", ALL, "", budgets))
  cases = []
  for name, fidelity, share, at in asked:
    lower: dict[str, Any] = {}
    if share:
      kept = max(1, round(float(share) * max(at)))
      lower = {"fidelity": fidelity, "promote": kept}
    search = make_search(
      name, problem, budget=max(at), data_dir=values.data_dir, **lower
    )
    cases.append(Case(name, fidelity, share, tables.check(search), at))
  return cases


def figures(
  best: np.ndarray, cost: np.ndarray, optimum: Optimum | None
) -> tables.Row:
  """The mean of the best, its interval, the share at the optimum, the cost.

  Args:
    best: `f32[S]`.
    cost: `f64[S]` in full evaluations.
    optimum: of the table.
  """
  found = np.isfinite(best)
  row = {"best": "-", "interval": "-"}
  if found.sum() > 1:
    mean, _, _, high, _ = statistics.mean_interval(best[found])
    row = {"best": f"{mean:.3f}", "interval": f"{high - mean:.3f}"}
  if optimum is not None:
    row["at_optimum"] = f"{tables.share_at(best, optimum):.2f}"
  return row | {"cost": f"{cost.mean():.1f}"}


FLAGS: Sequence[flags.Flag] = (
  *flags.common(
    "data_dir",
    "batch_size_seeds",
    benchmark="digits-epochs",
    workdir="results/fidelities",
    num_seeds=100,
  ),
  flags.items("algorithms", "ednag,optiproxy,random", "Names, with commas."),
  flags.items("fidelities", "", "Names of lower fidelities, with commas."),
  flags.items("budgets", "10,20,40", "In full evaluations, with commas."),
  flags.items(
    "promote", "0.5", "Shares of the budget kept for full evaluations."
  ),
)

main = binary(_run, FLAGS, __doc__, written="what was finished")

if __name__ == "__main__":
  sys.exit(main())
