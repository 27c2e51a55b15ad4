"""The pictures of a report: ours less what is published, and progress."""

from collections.abc import Iterable
from collections.abc import Sequence
import pathlib
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax import statistics

from . import plots
from . import reports
from .papers.base import Row
from .papers.base import Run

_COLUMNS = 3
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DPI = 110
_MOST_ROWS = 24
"""Of a panel; more could not be read."""


class Difference(NamedTuple):
  """A run beside a published number.

  Attributes:
    row: the published number's name.
    label: whose run it is.
    middle, low, high: ours less the published one, in its unit.
  """

  row: str
  label: str
  middle: float
  low: float
  high: float


def draw(workdir: pathlib.Path, name: str, report: reports.Report) -> list[str]:
  """Draws what there is to draw.

  Args:
    workdir: where to.
    name: of the paper, which the files begin with.
    report: the report.

  Returns:
    The names of the files.
  """
  drawn = []
  panels = differences(report)
  if panels:
    drawn.append(f"{name}_published.png")
    _draw_differences(workdir / drawn[-1], panels, report.paper.unit)
  curves = progress(report)
  if curves:
    drawn.append(f"{name}_progress.png")
    _draw_progress(workdir / drawn[-1], curves)
  return drawn


def published_number(row: Row) -> float | None:
  """The first number of what is published; None if there is none."""
  match = re.match(r"[-+]?\d+(\.\d+)?", row.published.replace(",", ""))
  return float(match.group()) if match else None


def differences(report: reports.Report) -> dict[str, list[Difference]]:
  """Every run beside a published number, by table."""
  found: dict[str, list[Difference]] = {}
  for table in report.paper.tables:
    rows = []
    for row in table.rows:
      published = published_number(row)
      for run in row.runs:
        result = report.result(run)
        if published is None or result is None:
          continue
        figure = reports.figure_of(row, run, result)
        if figure is not None and np.isfinite(figure.mean):
          ours = (figure.mean, figure.low, figure.high)
          less = [value - published for value in ours]
          rows.append(Difference(row.column, run.label, *less))
    if rows:
      found[table.name] = rows[:_MOST_ROWS]
  return found


class Progress(NamedTuple):
  """Share of seeds at the optimum, of one search.

  Attributes:
    label: the algorithm, and what makes it another one.
    shares: `f64[Q]` after 1, ..., Q queries.
    num_seeds: how many seeds.
  """

  label: str
  shares: np.ndarray
  num_seeds: int


def progress(report: reports.Report) -> dict[str, list[Progress]]:
  """Searches by what they search, each command once."""
  found: dict[str, dict[str, Progress]] = {}
  runs = [run for t in report.paper.tables for r in t.rows for run in r.runs]
  for run in runs:
    result = report.result(run)
    needed = None if result is None else reports.needed_of(result)
    if result is None or needed is None or not np.isfinite(needed).any():
      continue
    benchmark, label = _names(run)
    last = int(max(np.max(needed[np.isfinite(needed)]), result["queries"]))
    shares = statistics.success_at(needed, np.arange(1, last + 1))
    panel = found.setdefault(benchmark, {})
    panel[label] = Progress(label, shares, len(needed))
  return {name: list(panel.values()) for name, panel in found.items()}


def _names(run: Run) -> tuple[str, str]:
  """What is searched, and who searches, of a command."""
  given = [
    part.removeprefix("--").split("=", 1) for part in run.command.split()
  ]
  named = dict(given)
  where = [named.pop("benchmark")]
  where += [f"{v}" for k, v in given if k in ("objective", "constraint")]
  who = [named.pop("algorithm")]
  ignored = ("benchmark", "algorithm", "budget", "objective", "constraint")
  who += [
    v.rpartition(".")[2]
    if k == "set"
    else v
    if k != "transfer"
    else f"after {v}"
    for k, v in given
    if k not in ignored
  ]
  return " ".join(where), " ".join(who)


def _draw_differences(
  path: pathlib.Path, panels: dict[str, list[Difference]], unit: str
) -> None:
  import matplotlib as mpl
  from matplotlib import figure

  with mpl.rc_context(plots.RC):
    names = [list(dict.fromkeys(d.row for d in p)) for p in panels.values()]
    heights = [0.26 * len(rows) + 0.7 for rows in names]
    canvas = figure.Figure(
      figsize=(8.0, sum(heights) + 0.6), layout="constrained"
    )
    grid = canvas.subplots(
      len(panels), 1, squeeze=False, height_ratios=heights
    )[:, 0]
    labels = list(dict.fromkeys(d.label for p in panels.values() for d in p))
    looks = dict(zip(labels, plots.looks(len(labels))[0], strict=True))
    for panel, (title, rows), ticks in zip(
      grid, panels.items(), names, strict=True
    ):
      panel.axvline(0.0, color="black", linewidth=1)
      for row in rows:
        place = labels.index(row.label)
        beside = [other.label for other in rows if other.row == row.row]
        offset = (beside.index(row.label) + 0.5) / len(beside) - 0.5
        height = ticks.index(row.row) + 0.6 * offset
        panel.errorbar(
          row.middle,
          height,
          xerr=[[row.middle - row.low], [row.high - row.middle]],
          fmt=_MARKERS[place % len(_MARKERS)],
          color=looks[row.label],
          markersize=4,
          label=row.label,
        )
      panel.set_yticks(range(len(ticks)), ticks)
      panel.set_ylim(len(ticks) - 0.5, -0.5)
      panel.set_title(title)
    grid[-1].set_xlabel(f"ours less the published number ({unit})")
    _legend(canvas, grid)
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=_DPI)


def _draw_progress(
  path: pathlib.Path, panels: dict[str, list[Progress]]
) -> None:
  import matplotlib as mpl
  from matplotlib import figure
  from matplotlib import ticker

  with mpl.rc_context(plots.RC):
    num_columns = min(len(panels), _COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    canvas = figure.Figure(
      figsize=(max(3.4 * num_columns, 5.0), 1.0 + 2.5 * num_rows),
      layout="constrained",
    )
    grid = canvas.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    axes = grid.ravel()
    for panel in axes[len(panels) :]:
      panel.set_axis_off()
    labels = list(dict.fromkeys(c.label for p in panels.values() for c in p))
    colors, styles = plots.looks(len(labels))
    for panel, (title, curves) in zip(axes, panels.items(), strict=False):
      panel.set_title(title)
      for curve in curves:
        place = labels.index(curve.label)
        queries = np.arange(1, len(curve.shares) + 1)
        panel.plot(
          queries,
          curve.shares,
          color=colors[place],
          ls=styles[place],
          label=curve.label,
        )
        plots.fill_shares(
          panel, queries, curve.shares, curve.num_seeds, colors[place]
        )
      panel.set_xscale("log")
      panel.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
      panel.set_xlabel("distinct architectures evaluated")
      panel.set_ylim(-0.02, 1.02)
      panel.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    for row in grid:
      row[0].set_ylabel("seeds at the optimum")
    _legend(canvas, axes)
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=_DPI)


def _legend(canvas: Any, panels: Iterable[Any]) -> None:
  """One legend for all panels, every name once."""
  known: dict[str, Any] = {}
  for panel in panels:
    handles, labels = panel.get_legend_handles_labels()
    known |= dict(zip(labels, handles, strict=True))
  width = canvas.get_figwidth()
  columns: Sequence[int] = [1, int(width / (0.6 + 0.07 * max(map(len, known))))]
  canvas.legend(
    known.values(), known.keys(), loc="outside lower center", ncols=max(columns)
  )
