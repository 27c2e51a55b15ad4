"""What transfers are worth: every source on every target, with and without.

  python -m experiments.transfer_report \\
    --sources=digits,digits+nasbench201/cifar10 \\
    --targets=nasbench201/cifar100,nasbench201/cifar10:-raspi4_ms \\
    --workdir=results/transfer

A source is a file of experiments.fit_transfer, the name of a transfer, or a
table from which one is learned first; several are joined by a plus sign. A
target is a table; of both, NAME:COLUMN and NAME:-COLUMN ask for another column
than the benchmark's own.

Every target is searched by --algorithm without a transfer (`none`) and with
each source. Prints, and writes to WORKDIR/transfer.csv, after each number of
--at distinct queries the share of seeds at the optimum and the mean best
objective, the median number of queries to the optimum, the CPU seconds of a
search without compilation, and after 50, 100 and --budget queries whether it is
`ahead` of the search without, `level` or `behind`: by the 95 % interval of the
differences of seeds. A source that a target refuses is a row that says so.
WORKDIR/transfer.png shows the shares. Rows are written as soon as they are
done; the same command goes on with those that are missing.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import sys
from typing import Any

import numpy as np

from nagjax import files
from nagjax import make_search
from nagjax import registry
from nagjax import statistics
from nagjax import transfer as transfer_lib
from nagjax.problem import Optimum
from nagjax.problem import Problem

from .support import flags
from .support import machine
from .support import outputs
from .support import plots
from .support import progress
from .support import results
from .support import share_plots
from .support import tables
from .support import transfers
from .support.errors import UsageError
from .support.program import binary
from .support.program import require_extra

TABLE = "transfer.csv"
CURVES = "curves.npz"
PLOT = "transfer.png"
WITHOUT = "none"
KIND = "nagjax transfer report"
_NAMES = ("target", "source")
_COMPARED = (50, 100)
_ASKED = ("algorithm", "num_seeds", "budget", "at")

Curves = dict[tuple[str, ...], np.ndarray]
"""Best objectives `f32[S, Q]` of a target and a source."""


def _run(values: flags.Values) -> None:
  at = tables.read_at(values.at, values.budget)
  known = registry.algorithm_names()
  if values.algorithm not in known:
    raise UsageError(
      f"--algorithm must be one of {', '.join(known)}, got "
      f"{values.algorithm!r}."
    )
  for flag in ("sources", "targets"):
    named: list[str] = values[flag].value or []
    if not named or len(set(named)) < len(named) or WITHOUT in named:
      raise UsageError(
        f"--{flag} names one at least, and each once, got {','.join(named)!r}."
      )
  require_extra("matplotlib")
  machine.start_jax(values.compilation_cache_dir)
  problems = {
    name: transfers.read_problem(name, values.data_dir)
    for name in values.targets
  }
  sources = {
    name: transfers.read_source(name, values.data_dir)
    for name in values.sources
  }
  asked: dict[str, Any] = {name: values[name].value for name in _ASKED}
  asked["at"] = at
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    progress.progress() as report,
  ):
    curves = read_curves(workdir / CURVES, asked)
    rows = tables.read_rows(workdir / TABLE, _NAMES)
    rows = {k: r for k, r in rows.items() if k in curves or "note" in r}
    learned: dict[str, list[transfer_lib.Transfer]] = {}
    for target, problem in problems.items():
      optimum = problem.optimum()
      for source in (WITHOUT, *values.sources):
        key: tuple[str, ...] = (target, source)
        if key in rows:
          continue
        if source != WITHOUT and source not in learned:
          report(source, None, "learning")
          learned[source] = transfers.learn(sources[source])
        found = measure(
          problem, learned.get(source), values, progress_of(report, key)
        )
        if isinstance(found, tables.Measured):
          curves[key] = found.best
          rows[key] = describe(
            found, at, optimum, curves.get((target, WITHOUT))
          )
          write_curves(workdir / CURVES, asked, curves)
        else:
          rows[key] = found
        tables.write_rows(workdir / TABLE, _NAMES, rows)
    draw(workdir / PLOT, values, problems, curves)
  print_rows(rows, values)


def progress_of(report: progress.ReportFn, key: tuple[str, ...]) -> Any:
  """What a sweep calls as `on_progress`."""
  return progress.of_sweep(report, " with ".join(key))


def measure(
  problem: Problem,
  learned: Sequence[transfer_lib.Transfer] | None,
  values: flags.Values,
  on_progress: Any,
) -> tables.Measured | tables.Row:
  """Searches a target with transfers or without; a row if that is refused."""
  options: dict[str, Any] = {} if learned is None else {"transfer": learned}
  try:
    search = tables.check(
      make_search(
        values.algorithm,
        problem,
        budget=values.budget,
        data_dir=values.data_dir,
        **options,
      )
    )
  except (ValueError, FileNotFoundError) as error:
    return tables.refused(error)
  return tables.measure(
    search, values.num_seeds, values.batch_size_seeds, on_progress
  )


def describe(
  found: tables.Measured,
  at: Sequence[int],
  optimum: Optimum | None,
  without: np.ndarray | None,
) -> tables.Row:
  """The row of a target and a source.

  Args:
    found: what its searches found.
    at: numbers of queries.
    optimum: of the target, if it is known.
    without: `f32[S, Q]` the same seeds without a transfer; None if there are
      none to compare with.
  """
  row = tables.figures(found.best, at, optimum)
  if optimum is not None:
    median = statistics.median_queries(
      results.queries_to_optimum(_history(found.best), optimum)
    )
    row["median_queries"] = "never" if median is None else f"{median:g}"
  row["cpu_seconds"] = f"{found.cpu_seconds:.3f}"
  budget = found.best.shape[1]
  for queries in sorted({*_COMPARED, budget}):
    if without is not None and found.best is not without and queries <= budget:
      row[f"verdict_{queries}"] = compare(
        found.best[:, queries - 1], without[:, queries - 1]
      )
  return row


def compare(best: np.ndarray, without: np.ndarray) -> str:
  """Whether seeds are `ahead` of themselves without, `level` or `behind`.

  Unknown, a minus sign, where one of them has found nothing or is the only one.
  """
  if len(best) < 2 or not np.isfinite([best, without]).all():
    return "-"
  if not statistics.not_behind(best, without):
    return "behind"
  return "ahead" if statistics.ahead(best, without) else "level"


def _history(best: np.ndarray) -> results.History:
  """A history whose evaluations are the best so far after every query."""
  charged = np.broadcast_to(np.arange(1, best.shape[1] + 1), best.shape)
  return results.History(best, best, charged)


def read_curves(path: pathlib.Path, asked: Mapping[str, Any]) -> Curves:
  """The curves that are done.

  Raises:
    UsageError: if they are of a report that was asked for something else.
    FileError: if the file is damaged.
  """
  if not path.exists():
    return {}
  declared = {"best_*": files.Declared("f", (None, None))}
  arrays, header = files.read_record(path, declared, kind=KIND)
  for name, value in asked.items():
    if header.get(name) != value:
      raise UsageError(
        f"{path} is of --{name}={header.get(name)}, and this report of "
        f"{value}; choose another --workdir."
      )
  size = asked["num_seeds"], asked["budget"]
  try:
    curves: Curves = {
      (str(target), str(source)): arrays[f"best_{number}"]
      for number, (target, source) in enumerate(header["pairs"])
    }
  except (KeyError, TypeError, ValueError) as error:
    raise files.FileError(f"{path} is damaged: {error!r}.") from error
  if any(best.shape != size for best in curves.values()):
    raise files.FileError(f"{path} is damaged: expected curves {size}.")
  return curves


def write_curves(
  path: pathlib.Path, asked: Mapping[str, Any], curves: Curves
) -> None:
  """Writes all curves, and what was asked for."""
  arrays = {
    f"best_{number}": best for number, best in enumerate(curves.values())
  }
  header = {"kind": KIND, **asked, "pairs": [list(key) for key in curves]}
  files.write_record(path, arrays, header, compress=True)


def draw(
  path: pathlib.Path,
  values: flags.Values,
  problems: Mapping[str, Problem],
  curves: Curves,
) -> None:
  """Draws a panel for every target whose optimum is known."""
  panels = {}
  for target, problem in problems.items():
    optimum = problem.optimum()
    if optimum is not None:
      panels[target] = [
        plots.make_curve(source, _history(curves[target, source]), optimum)
        if (target, source) in curves
        else plots.Curve(source, np.empty((0, 0)), None)
        for source in (WITHOUT, *values.sources)
      ]
  if panels:
    share_plots.draw_shares(path, panels)


def print_rows(rows: tables.Rows, values: flags.Values) -> None:
  """Prints the rows of this report, a line each."""
  for target in values.targets:
    for source in (WITHOUT, *values.sources):
      row = rows[target, source]
      figures = [f"{name} {text}" for name, text in row.items()]
      print(" | ".join([target, source, *figures]))


main = binary(
  _run,
  [
    *flags.common(
      "data_dir",
      "num_seeds",
      "batch_size_seeds",
      budget=100,
      workdir="results/transfer",
    ),
    flags.items("sources", ["digits"], "Transfers, or tables; see above."),
    flags.items("targets", ["synthetic"], "Tables; see above."),
    flags.text("algorithm", "ednag", "What searches, by a Gaussian process."),
    flags.items(
      "at",
      "1 2 3 5 10 20 35 50 64 100".split(),
      "Distinct queries.",
    ),
  ],
  __doc__,
  written="what was finished",
)

if __name__ == "__main__":
  sys.exit(main())
