"""Every table and figure of a paper, with ours beside it, from one command.

  python -m experiments.reproduce --paper=ednag
  python -m experiments.reproduce --paper=optiproxy --table=1,5
  python -m experiments.reproduce --paper=agnet --quick

Each number that can be had here is a command of another binary, which runs in a
process of its own; --workdir (experiments/reports by default) keeps what it
gave:
  PAPER.json  results by command: means with 95 % intervals over seeds, queries
              to the optimum of every seed, distinct rows, seconds, versions
  PAPER.md    the report: published value, what it counts, the official
              program's where it was run, ours, and why they differ or why a
              number cannot be had here
  PAPER_*.png what runs found beside what is published, and their progress

What has a result is not run again without --overwrite, so that a run that was
interrupted goes on, and a report can be written where there are no tables.
--table chooses: 1 is table 1, f4 figure 4, appendix/1 the appendix's table 1.
--num_seeds bounds the searches of a kind; the papers' modules say how many
there are, up to an hour on two cores for AG-Net.

--quick runs three searches of at most 30 queries of each kind, on `digits`
where a table is missing, to show that everything works; into results/reproduce
by default, and no number of it is a result.

--paper=nagjax is no paper, but what the README says of this library.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Sequence
import sys

from nagjax import files
from nagjax.benchmarks import data_directory

from .support import flags
from .support import machine
from .support import outputs
from .support import report_plots
from .support import reports
from .support import reproducing
from .support.errors import UsageError
from .support.papers import PAPERS
from .support.papers.base import Run
from .support.papers.base import Table
from .support.program import binary
from .support.program import require_extra

REPORTS = "experiments/reports"
QUICK = "results/reproduce"


def _run(values: flags.Values) -> None:
  flags.require(values, "paper")
  require_extra("matplotlib")
  paper = PAPERS[values.paper]
  tables = choose(paper.tables, values.table)
  machine.start_jax(values.compilation_cache_dir)
  default = QUICK if values.quick else REPORTS
  with outputs.claimed_workdir(values.workdir or default) as workdir:
    store = workdir / f"{values.paper}.json"
    found = reproducing.read_results(store)
    commands: dict[str, str] = {}
    reasons: dict[str, str] = {}
    done: set[str] = set()
    chosen = {reproducing.declared(run) for run in runs_of(tables)}
    for run in runs_of(paper.tables):
      name = reproducing.declared(run)
      try:
        planned = reproducing.plan(
          run,
          values.data_dir,
          num_seeds=values.num_seeds,
          quick=values.quick,
        )
        command = commands[name] = planned.command
        is_new = command not in found or values.overwrite
        if name in chosen and is_new and command not in done:
          print(command)
          found[command] = reproducing.measure(
            planned, values.data_dir, values.compilation_cache_dir
          )
          reproducing.write_results(store, found)
          done.add(command)
      except UsageError as error:
        # A report is read elsewhere.
        place = str(data_directory(values.data_dir))
        reasons[name] = str(error).replace(place, "DATA_DIR").rstrip(".")
    report = reports.Report(paper, found, commands, reasons, values.quick)
    pictures = report_plots.draw(workdir, values.paper, report)
    text = reports.write(report, _command(values), pictures)
    with files.atomic_path(workdir / f"{values.paper}.md") as temporary:
      temporary.write_text(text, encoding="utf-8")
  print(f"Wrote {workdir / values.paper}.md.")


def choose(tables: Sequence[Table], numbers: Sequence[str]) -> Sequence[Table]:
  """The tables that --table names; all if it names none.

  Raises:
    UsageError: if the paper has no such table.
  """
  known = [table.number for table in tables]
  if unknown := [number for number in numbers if number not in known]:
    raise UsageError(
      f"--table must name some of {', '.join(known)}, got {unknown[0]!r}."
    )
  return [t for t in tables if t.number in numbers or not numbers]


def runs_of(tables: Sequence[Table]) -> list[Run]:
  """All runs of tables, each command once."""
  runs = [run for table in tables for row in table.rows for run in row.runs]
  return list({reproducing.declared(run): run for run in runs}.values())


def _command(values: flags.Values) -> str:
  """The command that writes a report; --table only chooses what runs."""
  quick = " --quick" if values.quick else ""
  return f"python -m experiments.reproduce --paper={values.paper}{quick}"


main = binary(
  _run,
  [
    flags.choice("paper", None, PAPERS, "Whose tables."),
    flags.items("table", [], "Which tables; all by default."),
    flags.switch("quick", False, "Show that it works, in minutes."),
    *flags.common(
      "data_dir",
      overwrite=(False, "Run again what has a result."),
      num_seeds=(None, "At most so many searches of a kind."),
      workdir=(None, f"For reports; {REPORTS}, or {QUICK} of --quick."),
    ),
  ],
  __doc__,
  written="what was finished",
)

if __name__ == "__main__":
  sys.exit(main())
