"""Reports of papers: published numbers and ours, as Markdown."""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nagjax import statistics

from . import reproducing
from .papers.base import Paper
from .papers.base import Row
from .papers.base import Run
from .papers.base import Table

_HEADINGS = (
  "paper",
  "best there is",
  "official program, run here",
  "run",
  "ours, 95 % interval",
  "at the optimum",
  "median",
  "distinct rows",
  "seeds",
  "see",
)


class Figure(NamedTuple):
  """What a run says of a published number.

  Attributes:
    mean, low, high: in the paper's unit; the last two are NaN where the spread
      is not known.
    share: of seeds at the optimum, None if that is unknown.
    median: of the queries to the optimum.
    queries: distinct rows read by then, on average.
  """

  mean: float
  low: float
  high: float
  share: float | None = None
  median: float | None = None
  queries: float | None = None


def figure_of(row: Row, run: Run, result: reproducing.Result) -> Figure | None:
  """The figure of a run that stands beside a row; None if it found nothing."""
  nothing = [np.nan] * 4
  if run.at:
    spread = result.get("curve", {}).get(str(run.at), nothing)
  elif run.figure in ("feasible", "seconds"):
    spread = [result[run.figure]] * 4
  elif run.figure == "test":
    spread = result.get("test") or result.get("objective", nothing)
  else:
    spread = result.get(run.figure, nothing)
  if spread is None:
    return None
  mean, _, low, high = (
    np.nan if value is None else row.factor * value for value in spread
  )
  if run.binary != "search":
    return Figure(mean, low, high)
  queries = result.get("queries")
  if run.at and queries is not None:
    queries = min(float(run.at), queries)
  share, median = _successes(run, result)
  return Figure(mean, min(low, high), max(low, high), share, median, queries)


def _successes(
  run: Run, result: reproducing.Result
) -> tuple[float | None, float | None]:
  """Share of seeds at the optimum by then, and the median of the queries."""
  needed = needed_of(result)
  if needed is None:
    shares = result.get("shares", {})
    return shares.get(str(run.at or "end")), result.get("median")
  within = np.isfinite(needed) & (needed <= (run.at or np.inf))
  return float(within.mean()), statistics.median_queries(needed)


def needed_of(result: reproducing.Result) -> np.ndarray | None:
  """Queries to the optimum `f64[S]`, inf if never; None if it is unknown."""
  if "needed" not in result:
    return None
  return np.array(
    [np.inf if x is None else x for x in result["needed"]], np.float64
  )


class Report(NamedTuple):
  """What a report is made of.

  Attributes:
    paper: the paper.
    results: what ran, by command.
    commands: the command of every run, by its declared one; without an entry,
      or without a result, it did not run.
    reasons: why a run did not run, by its declared command.
    is_quick: whether the numbers only show that it works.
  """

  paper: Paper
  results: reproducing.Results
  commands: Mapping[str, str]
  reasons: Mapping[str, str]
  is_quick: bool = False

  def result(self, run: Run) -> reproducing.Result | None:
    """The result of a run."""
    declared = reproducing.declared(run)
    return self.results.get(self.commands.get(declared, declared))


def write(report: Report, command: str, pictures: Iterable[str]) -> str:
  """The text of a report.

  Args:
    report: its contents.
    command: what wrote it.
    pictures: names of the files beside it.
  """
  paper = report.paper
  lines = [f"# {paper.title}", "", f"{paper.source}.", ""]
  lines += [f"Written by `{command}`.", "", paper.about, ""]
  if report.is_quick:
    lines += [
      "**A quick run: it shows that everything works, and no number in it is a "
      "result.**",
      "",
    ]
  lines += [f"![]({name})" for name in pictures] + [""]
  for table in paper.tables:
    lines += _table(report, table)
  return "\n".join(lines).rstrip() + "\n"


def _table(report: Report, table: Table) -> list[str]:
  """One table, its notes and its commands."""
  notes: dict[str, int] = {}
  commands: dict[str, int] = {}
  rows = []
  for row in table.rows:
    rows += _rows(report, row, table.number, notes, commands)
  kept = [i for i in range(len(_HEADINGS)) if any(r[i + 1] for r in rows)]
  lines = [f"## {table.name}: {table.title}", ""]
  lines += [f"Counted: {table.counts}. {table.differs}".rstrip(), ""]
  header = ["", *(_HEADINGS[i] for i in kept)]
  lines += [f"| {' | '.join(header)} |", "| --- " * len(header) + "|"]
  for cells in rows:
    shown = [cells[0], *(cells[i + 1] for i in kept)]
    lines.append(f"| {' | '.join(shown)} |")
  lines.append("")
  lines += [f"{i}. {note}." for note, i in notes.items()]
  if commands:
    lines += ["", "Commands:", ""]
    lines += [
      f"- {_letter(i)}: `{command}`{_took(report, command)}"
      for command, i in commands.items()
    ]
  return [*lines, ""]


def _took(report: Report, command: str) -> str:
  """Where a command ran, and how long."""
  result = report.results.get(command, {})
  if "seconds" not in result:
    return ""
  seconds = result["seconds"] * result["num_seeds"]
  return f" ({seconds:,.0f} s of run time, {result['device']})"


def _rows(
  report: Report,
  row: Row,
  number: str,
  notes: dict[str, int],
  commands: dict[str, int],
) -> list[list[str]]:
  """The lines of a row, one for each of its runs, without a column's bars."""
  first = [row.column, row.published, row.best, row.program]
  lines = []
  said = [row.differs] if row.differs else []
  if not row.runs:
    return [[*first, *[""] * 6, _see(said, notes)]]
  for run in row.runs:
    declared = reproducing.declared(run)
    result = report.result(run)
    cells = [run.label, *[""] * 5]
    also = list(said)
    letter = ""
    found = None if result is None else figure_of(row, run, result)
    if result is None:
      not_yet = f"not run yet; `--table={number}` of the command above does"
      also.append(report.reasons.get(declared, not_yet))
    elif found is None:
      also.append("nothing feasible was found")
    else:
      command = report.commands.get(declared, declared)
      letter = _letter(commands.setdefault(command, len(commands)))
      cells = [run.label, *_cells(found), str(result["num_seeds"])]
      also += [note.rstrip(".") for note in result.get("notes", [])]
    see = ", ".join(filter(None, (_see(also, notes), letter)))
    lines.append([*first, *cells, see])
    first = [""] * 4
  return lines


def _cells(found: Figure) -> list[str]:
  """A figure, as a report shows it."""
  half = (found.high - found.low) / 2
  mean = "" if np.isnan(found.mean) else in_digits(found.mean)
  return [
    f"{mean} ± {in_digits(half)}" if half > 0 else mean,
    "" if found.share is None else f"{found.share:.3f}",
    "" if found.median is None else f"{found.median:g}",
    "" if found.queries is None else f"{found.queries:,.0f}",
  ]


def in_digits(value: float) -> str:
  """Three decimals, or three digits of what is small."""
  small = 0 < abs(value) < 0.01
  return f"{value:.3g}" if small else f"{value:.3f}"


def _see(said: Iterable[str], notes: dict[str, int]) -> str:
  """The numbers of notes."""
  return ", ".join(str(notes.setdefault(n, len(notes) + 1)) for n in said)


def _letter(position: int) -> str:
  """a, b, ..., z, aa, ..."""
  letters = "abcdefghijklmnopqrstuvwxyz"
  more, last = divmod(position, len(letters))
  return (_letter(more - 1) if more else "") + letters[last]
