"""The tables of a paper with its numbers beside ours, for what is at hand.

  python -m experiments.paper_tables --algorithm=ednag --num_seeds=200 \\
    --workdir=results/paper_tables

Every benchmark of the paper is searched by --variant=reference, the published
program, which ends by itself, and by the default with --budget queries. A row
has the mean of what a search finds after --budget queries and in the end, in
the paper's unit, its standard deviation over the seeds, the share of seeds at
the best there is, how far the mean is from that, and the distinct architectures
that were read; then the paper's mean, its 95 % interval over three runs, and
how far its mean is from its best. The numbers behind a row say what differs
from the paper.

Tables that are not in the data directory are named in one line and left out.
Every row is a line of WORKDIR/paper_tables.csv as soon as it is done; the same
command goes on with those that are missing.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Sequence
import math
import sys
from typing import Any

import numpy as np

from nagjax import make_benchmark
from nagjax import make_search
from nagjax import registry
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import data_directory
from nagjax.benchmarks import surrogate
from nagjax.problem import Problem
from nagjax.search import Search

from .support import flags
from .support import machine
from .support import outputs
from .support import planning
from .support import progress
from .support import published
from .support import tables
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

TABLE = "paper_tables.csv"
REFERENCE = "reference"
_NAMES = ("benchmark", "variant", "num_seeds", "budget")
_FIGURES = ("mean", "std", "share", "gap", "queries")


def _run(values: flags.Values) -> None:
  rows = published.PAPERS[values.algorithm]
  known = [row.benchmark for row in rows]
  asked = values.benchmarks or known
  if set(asked) - set(known):
    raise UsageError(
      f"--benchmarks must name some of {', '.join(known)}, got "
      f"{','.join(asked)!r}."
    )
  machine.start_jax(values.compilation_cache_dir)
  with user_errors("--data_dir: "):
    there = set(registry.benchmark_names(values.data_dir))
  absent = [name for name in asked if name not in there]
  rows = tuple(r for r in rows if r.benchmark in asked and r.benchmark in there)
  if not rows:
    raise UsageError(
      f"{data_directory(values.data_dir)} has none of {', '.join(absent)}; "
      "experiments.convert makes them of your copies, or name another "
      "directory with --data_dir."
    )
  pairs = [(row, variant) for row in rows for variant in (REFERENCE, "")]
  searches = [make(*pair, values) for pair in pairs]
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    progress.progress() as report,
  ):
    done = tables.read_rows(workdir / TABLE, _NAMES)
    for (row, variant), search in zip(pairs, searches, strict=True):
      key = _key(row, variant, values)
      if key not in done:
        found = tables.measure(
          search,
          values.num_seeds,
          values.batch_size_seeds,
          progress.of_sweep(report, f"{row.benchmark} {variant or 'default'}"),
        )
        done[key] = describe(row, search, found, values.budget)
        tables.write_rows(workdir / TABLE, _NAMES, done)
  print_table(
    [(*pair, done[_key(*pair, values)]) for pair in pairs], values.budget
  )
  if absent:
    print(f"Not in {data_directory(values.data_dir)}: {', '.join(absent)}.")


def make(row: published.Row, variant: str, values: flags.Values) -> Search:
  """The search of a row.

  The published program reads the test accuracy where the paper reports it and
  the table has it, and the best over the epochs where it has that of every
  architecture.
  """
  with user_errors(f"{row.benchmark}: "):
    benchmark = make_benchmark(row.benchmark, values.data_dir)
    if row.on_test and variant == REFERENCE and benchmark.test is not None:
      name = registry.TEST_ACCURACY_PREFIX + row.benchmark
      benchmark = make_benchmark(name, values.data_dir)
    problem = Problem(benchmark, (column_of(benchmark),))
    search = make_search(
      values.algorithm,
      problem,
      budget=values.budget,
      variant=variant,
      data_dir=values.data_dir,
    )
    if variant == REFERENCE:
      most = search.num_rounds * search.algorithm.batch_size
      rows = benchmark.num_rows
      search = search._replace(budget=most if rows is None else min(most, rows))
    return tables.check(search)


def column_of(benchmark: Benchmark) -> str:
  """The objective, or its best over the epochs if that is complete."""
  best = f"{benchmark.objective}_best"
  columns = getattr(benchmark, "queried", {})
  if best in columns and np.isfinite(columns[best]).all():
    return best
  return benchmark.objective


def describe(
  row: published.Row, search: Search, found: tables.Measured, at: int
) -> tables.Row:
  """The figures of a search, also after `at` queries, in the paper's unit."""
  problem = search.problem
  objective = found.best[:, -1]
  any_found = np.isfinite(objective)
  test = problem.benchmark.test
  reports_test = row.on_test and test not in (None, *problem.objective_names)
  values = np.asarray(found.test if reports_test else objective, np.float64)
  values = row.factor * values[any_found]
  optimum = problem.optimum()
  mean = _text(values.mean()) if len(values) else "-"
  early = _text(row.factor * np.mean(found.best[:, :at][:, -1]))
  figures = {
    "mean_at": early if at < search.budget else mean,
    "mean": mean,
    "std": _text(values.std(ddof=1)) if len(values) > 1 else "-",
    "queries": f"{found.charged.mean():.0f}",
  }
  if optimum is not None:
    best = optimum.test if reports_test else optimum.objective
    best *= row.factor
    figures["best"] = _text(best)
    figures["gap"] = _text(abs(best - values.mean())) if len(values) else "-"
    figures["share"] = f"{tables.share_at(objective, optimum):.3f}"
  notes = differences(row, search)
  if not any_found.all():
    notes.append(f"{(~any_found).sum()} of the seeds found nothing")
  return {**figures, "note": "; ".join(notes)}


def differences(row: published.Row, search: Search) -> list[str]:
  """What a row does otherwise than the paper, in words."""
  problem = search.problem
  benchmark = problem.benchmark
  (objective,) = problem.objective_names
  is_reference = benchmark.name.startswith(registry.TEST_ACCURACY_PREFIX)
  notes = []
  if is_reference:
    notes.append("searched by test accuracy, as the program does")
  elif row.on_test and benchmark.test is None:
    notes.append("validation accuracies, where the paper has the test's")
  elif row.on_test and objective.startswith("valid"):
    notes.append(
      "searched by validation accuracy, the best one's test accuracy"
    )
  elif row.on_test:
    notes.append("searched by test accuracy, as there is no other")
  if row.benchmark.startswith("transnas") and not objective.endswith("best"):
    notes.append("after the last epoch, where the paper has the best epoch")
  if note := planning.part_note(benchmark):
    notes.append(f"{note}, where the paper has all")
  if isinstance(benchmark, surrogate.TreeBenchmark):
    num = benchmark.card.num_rows
    by = "by others" if num is None else f"to {num:,} networks"
    notes.append(f"predictions of a surrogate that was fitted {by}")
  if row.read:
    notes.append(f"the program reads {row.read}")
  return notes


def print_table(
  rows: Sequence[tuple[published.Row, str, tables.Row]], at: int
) -> None:
  """Prints the rows under headings, and then what differs, numbered."""
  notes: dict[str, int] = {}
  lines: list[Sequence[str]] = [
    [
      *("where", "column", "variant", f"at {at}", *_FIGURES),
      *("paper", "paper's gap", "differs"),
    ]
  ]
  for row, variant, figures in rows:
    said = [note for note in figures.get("note", "").split("; ") if note]
    numbers = [notes.setdefault(note, len(notes) + 1) for note in said]
    paper, gap = "-", "-"
    if row.mean is not None and row.best is not None:
      paper = f"{row.mean:.2f} +- {row.interval:.2f}"
      gap = _text(abs(row.best - row.mean))
    lines.append(
      [
        row.table,
        row.column,
        variant or "default",
        *(figures.get(name, "-") for name in ("mean_at", *_FIGURES)),
        paper,
        gap,
        ",".join(map(str, sorted(numbers))) or "-",
      ]
    )
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  for line in lines:
    cells = [cell.ljust(w) for cell, w in zip(line, widths, strict=True)]
    print("  ".join(cells).rstrip())
  for note, number in notes.items():
    print(f"{number}: {note}")


def _key(
  row: published.Row, variant: str, values: flags.Values
) -> tuple[str, ...]:
  """The first columns of a row of the file."""
  return (row.benchmark, variant, str(values.num_seeds), str(values.budget))


def _text(value: Any) -> str:
  """A number in the paper's unit, which has two decimals, with one more."""
  return f"{value:.3f}" if math.isfinite(value) else "-"


main = binary(
  _run,
  [
    *flags.common(
      "data_dir",
      "num_seeds",
      "batch_size_seeds",
      budget=100,
      workdir="results/paper_tables",
    ),
    flags.choice("algorithm", "ednag", published.PAPERS, "Whose paper."),
    flags.items("benchmarks", None, "Names, of the paper's; all by default."),
  ],
  __doc__,
  written="what was finished",
)

if __name__ == "__main__":
  sys.exit(main())
