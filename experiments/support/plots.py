"""What a person looks at: figures and the table.

rich and matplotlib are imported by the functions that need them.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
import pathlib
import sys
import textwrap
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax import statistics
from nagjax.problem import Optimum
from nagjax.problem import Problem
from nagjax.problem import tolerance

from . import records
from . import results

# Okabe and Ito's colors, told apart by every kind of color vision, with line
# styles for print in gray.
_COLORS = (
  "#0072B2",
  "#D55E00",
  "#009E73",
  "#CC79A7",
  "#E69F00",
  "#56B4E9",
  "#000000",
)
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), "-")
_GRAY = "#8C8C8C"
RC: Any = {
  "font.size": 9,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "axes.axisbelow": True,
  "axes.titlesize": 9,
  "axes.titlelocation": "left",
  "figure.titlesize": 10,
  "grid.color": "#E3E3E3",
  "grid.linewidth": 0.6,
  "legend.frameon": False,
  "lines.linewidth": 1.6,
}
DPI = 200
_CHARACTERS_PER_INCH = 11.0
_TABLE_WIDTH = 120
_SHARES_SHOWN = 3
_COST = "cost in full evaluations"


class Curve(NamedTuple):
  """One algorithm in `curve.png`.

  Attributes:
    name: for the legend.
    best: `f32[S, Q]` best feasible objective after 1, ..., Q queries.
    reached: `f64[Q]` share of seeds at the optimum, or None if unknown.
    scale: of `results.History`, the number of queries to a full evaluation.
  """

  name: str
  best: np.ndarray
  reached: np.ndarray | None
  scale: int = 1


class Cloud(NamedTuple):
  """One panel of `pareto.png`: the distinct rows that an algorithm read.

  Attributes:
    name: of the algorithm.
    column: what is limited, with its unit.
    limit: the limit.
    cost, objective: `f32[A]`.
    feasible: `bool[A]`, with regard to all limits.
  """

  name: str
  column: str
  limit: float
  cost: np.ndarray
  objective: np.ndarray
  feasible: np.ndarray


def make_curve(
  name: str, past: results.History, optimum: Optimum | None
) -> Curve:
  """Prepares an algorithm's curve."""
  best = statistics.best_so_far(past.objective, past.charged)
  if optimum is None:
    return Curve(name, best, None, past.scale)
  needed = results.queries_to_optimum(past, optimum)
  counts = np.arange(1, best.shape[1] + 1) / past.scale
  return Curve(name, best, statistics.success_at(needed, counts), past.scale)


def make_clouds(
  founds: Mapping[str, results.Found], problem: Problem
) -> list[Cloud]:
  """Prepares the panels: for each limited column, one for each algorithm."""
  clouds = []
  for number, limit in enumerate(problem.constraints):
    for name, found in founds.items():
      # The inverse of a violation: nothing is evaluated again.
      excess = found.violations[:, number] * (abs(limit.limit) or 1.0)
      objective = found.objectives[:, 0]
      cloud = Cloud(
        name=name,
        column=with_unit(problem, limit.column),
        limit=limit.limit,
        cost=np.where(np.isinf(excess), np.nan, limit.limit + excess),
        objective=np.where(np.isinf(objective), np.nan, objective),
        feasible=found.feasible,
      )
      clouds.append(cloud)
  return clouds


def with_unit(problem: Problem, column: str) -> str:
  """Returns the name of a column with its unit, if that is known."""
  unit = dict(problem.benchmark.units).get(column.removeprefix("-"))
  return f"{column} ({unit})" if unit else column


def caption_of(asked: Sequence[records.Record]) -> str:
  """Returns one line that says what was run."""
  record = asked[0]
  parts = [record.benchmark]
  if record.constraint:
    parts.append(record.constraint)
  seeds = "seed" if record.num_seeds == 1 else "seeds"
  parts.append(f"{record.num_seeds:,} {seeds}")
  if len({r.budget for r in asked}) == 1:
    parts.append(f"budget {record.budget:,}")
  return ", ".join(parts)


def draw_curves(
  path: pathlib.Path,
  curves: Sequence[Curve],
  *,
  caption: str,
  objective: str,
  optimum: Optimum | None,
) -> None:
  """Draws progress against queries, and the share of seeds at the optimum.

  Args:
    path: the file to write.
    curves: one for each algorithm.
    caption: what was run.
    objective: name and unit of what is maximized.
    optimum: the best feasible row; with it the first panel shows the regret.
  """
  import matplotlib as mpl
  from matplotlib import figure
  from matplotlib import ticker

  with mpl.rc_context(RC):
    known = optimum is not None
    canvas = figure.Figure(
      figsize=(8.0 if known else 5.0, 3.7), layout="constrained"
    )
    panels = canvas.subplots(1, 1 + known, squeeze=False)[0]
    for curve, color, style in zip(curves, *looks(len(curves)), strict=True):
      mean, low, high = _mean_curve(curve.best, optimum)
      queries = np.arange(1, len(mean) + 1) / curve.scale
      panels[0].plot(queries, mean, color=color, ls=style, label=curve.name)
      panels[0].fill_between(
        queries, low, high, color=color, alpha=0.15, linewidth=0
      )
      if curve.reached is not None:
        panels[1].plot(queries, curve.reached, color=color, ls=style)
        fill_shares(panels[1], queries, curve.reached, len(curve.best), color)
    if known:
      panels[0].set_title("Mean regret to the optimum, 95 % interval")
      panels[0].set_ylabel(f"regret in {objective}")
      _scale_regret(panels[0])
      panels[1].set_title("Seeds at the optimum, 95 % interval")
      panels[1].set_ylabel("share of seeds")
      panels[1].set_ylim(-0.02, 1.02)
      panels[1].yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    else:
      panels[0].set_title("Mean best so far, 95 % interval")
      panels[0].set_ylabel(objective)
    longest = max(curve.best.shape[1] / curve.scale for curve in curves)
    costed = any(curve.scale > 1 for curve in curves)
    counted = _COST if costed else "distinct architectures evaluated"
    for panel in panels:
      panel.set_xlim(0, max(longest, 2))
      panel.set_xlabel(counted)
      panel.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    set_caption(canvas, caption)
    num_lines = -(-len(curves) // 4)
    num_columns = -(-len(curves) // num_lines)
    canvas.legend(loc="outside lower center", ncols=num_columns)
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=DPI)


def draw_pareto(
  path: pathlib.Path, clouds: Sequence[Cloud], *, caption: str, objective: str
) -> None:
  """Draws the objective against every limited column, a panel a cloud.

  Args:
    path: the file to write.
    clouds: for each limited column, one for each algorithm in turn.
    caption: what was run.
    objective: name and unit of what is maximized.
  """
  import matplotlib as mpl
  from matplotlib import figure

  with mpl.rc_context(RC):
    num = len(clouds)
    num_columns = 2 if num == 4 else min(num, 3)
    num_rows = -(-num // num_columns)
    canvas = figure.Figure(
      figsize=(max(1.0 + 3.0 * num_columns, 5.0), 1.1 + 2.6 * num_rows),
      layout="constrained",
    )
    grid = canvas.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    panels = grid.ravel()
    for panel, cloud in zip(panels, clouds, strict=False):
      _draw_cloud(panel, cloud)
      panel.set_xlim(*_cost_limits(clouds, cloud.column))
    for panel in panels[num:]:
      panel.set_axis_off()
    lowest = _crop(panels[0], np.concatenate([c.objective for c in clouds]))
    for row in grid:
      row[0].set_ylabel(objective)
    set_caption(canvas, f"{caption}\ndistinct architectures evaluated{lowest}")
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(
      handles, labels, loc="outside lower center", ncols=5, markerscale=1.5
    )
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=DPI)


def print_table(caption: str, summaries: Sequence[Mapping[str, Any]]) -> None:
  """Prints the summaries to stdout, a column for each algorithm."""
  from rich import box
  from rich import console
  from rich import table as rich_table

  table = rich_table.Table(title=caption, box=box.SIMPLE_HEAD)
  table.add_column("mean over seeds", no_wrap=True)
  for summary in summaries:
    name = records.full_name(summary["algorithm"], summary["variant"])
    table.add_column(name, justify="right", overflow="fold")
  columns = [_cells(s, _shares_shown(summaries)) for s in summaries]
  for label in columns[0]:
    table.add_row(label, *(column[label] for column in columns))
  width = None if sys.stdout.isatty() else _TABLE_WIDTH
  console.Console(width=width).print(table)


def _cells(summary: Mapping[str, Any], shares: Sequence[str]) -> dict[str, str]:
  """Labels and values of one algorithm."""
  best, optimum = summary["best_objective_mean"], summary["optimum_objective"]
  high = summary["best_objective_ci95"][1]
  known = best is not None and optimum is not None
  reached = summary["success_at"] or {}
  return {
    f"best {summary['objective']}": number(best, best),
    "  95 % interval, +-": number(None if high is None else high - best, best),
    "  standard deviation": number(summary["best_objective_std"], best),
    "  regret": number(optimum - best if known else None, best),
    "test of the best": number(summary["best_test_mean"]),
    **{
      f"at the optimum by {n}": f"{reached[n]:.1%}" if n in reached else "-"
      for n in shares
    },
    "queries": f"{summary['queries_mean']:,.1f}",
    _COST: f"{summary['cost_mean']:,.1f}",
    "seconds to compile": f"{summary['compile_seconds']:,.1f}",
    "seconds to run": f"{summary['run_seconds']:,.1f}",
  }


def number(value: float | None, scale: float | None = None) -> str:
  """A number for people, `-` for None or NaN.

  Args:
    value: the number.
    scale: the best objective, if it is on that scale: it then has as many
      decimals as tell optima apart, and 3 at least.
  """
  if value is None or math.isnan(value):
    return "-"
  least = tolerance(scale) if scale else 0.0
  decimals = max(3, -round(math.log10(least))) if least else 3
  return f"{value:,.{decimals}f}"


def _shares_shown(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
  """A few query counts spread over all that any summary has."""
  counts = sorted({int(c) for s in summaries for c in s["success_at"] or {}})
  if not counts:
    return []
  places = np.linspace(0, len(counts) - 1, _SHARES_SHOWN).round().astype(int)
  return [str(counts[place]) for place in dict.fromkeys(places.tolist())]


def fill_shares(
  panel: Any, queries: np.ndarray, shares: np.ndarray, num: int, color: str
) -> None:
  """Draws the 95 % intervals (Wilson's) of shares of `num` seeds as a band."""
  values, places = np.unique(np.rint(shares * num), return_inverse=True)
  found = [statistics.proportion_interval(int(v), num) for v in values]
  low, high = np.array([[f.low, f.high] for f in found])[places].T
  panel.fill_between(queries, low, high, color=color, alpha=0.15, linewidth=0)


def looks(num: int) -> tuple[list, list]:
  """Colors and line styles of as many curves."""
  places = [i % len(_COLORS) for i in range(num)]
  return [_COLORS[i] for i in places], [_STYLES[i] for i in places]


def _mean_curve(
  best: np.ndarray, optimum: Optimum | None
) -> tuple[np.ndarray, ...]:
  """Mean, low and high `[Q]` over the seeds that find anything feasible.

  NaN until all of these have something.
  """
  finds = best[np.isfinite(best[:, -1:]).any(axis=1)]
  if not finds.size:
    return (np.full(best.shape[1], np.nan),) * 3
  # The best objective is the negative regret to zero.
  target = 0.0 if optimum is None else optimum.objective
  mean, _, low, high, _ = statistics.regret_curve(finds, target)
  mean = np.where(np.isfinite(mean), mean, np.nan)
  return (mean, low, high) if optimum is not None else (-mean, -high, -low)


def set_caption(canvas: Any, caption: str) -> None:
  """Puts a caption above the panels, in lines that the figure has room for."""
  width = int(_CHARACTERS_PER_INCH * canvas.get_figwidth())
  lines = caption.replace("<=", " ≤ ").splitlines()
  canvas.suptitle("\n".join(textwrap.fill(line, width) for line in lines))


def _scale_regret(panel: Any) -> None:
  """Scales to logarithms with room for all means above zero."""
  from matplotlib import ticker

  means = np.concatenate([line.get_ydata() for line in panel.get_lines()])
  positive = means[np.isfinite(means) & (means > 0)]
  if not positive.size:
    return
  panel.set_yscale("log", nonpositive="clip")
  panel.set_ylim(0.5 * positive.min(), 1.5 * positive.max())
  panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
  panel.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
  panel.yaxis.set_minor_formatter(ticker.NullFormatter())


def _crop(panel: Any, objective: np.ndarray) -> str:
  """Leaves the lowest tenth out of sight, and returns the words that say so."""
  finite = objective[np.isfinite(objective)]
  if finite.size < 10:
    return ""
  low, high = np.quantile(finite, 0.1), finite.max()
  if high <= low:
    return ""
  panel.set_ylim(low, high + 0.08 * (high - low))
  return " (upper 90 %)"


def _cost_limits(clouds: Sequence[Cloud], column: str) -> tuple[float, float]:
  """Bounds that all panels of a column share."""
  same = [cloud for cloud in clouds if cloud.column == column]
  costs = np.concatenate([[cloud.limit, *cloud.cost] for cloud in same])
  low, high = np.nanmin(costs), np.nanmax(costs)
  margin = 0.04 * (high - low) or 1.0
  return low - margin, high + margin


def _draw_cloud(panel: Any, cloud: Cloud) -> None:
  for chosen, color, alpha, label in (
    (~cloud.feasible, _GRAY, 0.4, "infeasible"),
    (cloud.feasible, _COLORS[0], 0.6, "feasible"),
  ):
    panel.plot(
      cloud.cost[chosen],
      cloud.objective[chosen],
      ".",
      color=color,
      alpha=alpha,
      markersize=3.5,
      markeredgewidth=0,
      label=label,
    )
  front = _front(cloud)
  best = front[-1:]
  panel.step(
    [*cloud.cost[front], *[cloud.limit] * len(best)],
    cloud.objective[np.append(front, best)],
    where="post",
    color=_COLORS[1],
    label="feasible front",
  )
  panel.axvline(
    cloud.limit, color="black", ls="--", lw=1, label="limit", zorder=1
  )
  panel.plot(
    cloud.cost[best],
    cloud.objective[best],
    "*",
    color=_COLORS[4],
    markeredgecolor="black",
    markersize=11,
    label="best feasible",
  )
  panel.set_xlabel(cloud.column)
  panel.set_title(cloud.name)


def _front(cloud: Cloud) -> np.ndarray:
  """Positions of the feasible front by rising cost; the last one is best."""
  points = np.stack([-cloud.cost, cloud.objective], axis=-1)
  candidates = np.flatnonzero(cloud.feasible)
  front = candidates[statistics.pareto_front(points[candidates])]
  return front[np.argsort(cloud.cost[front], kind="stable")]
