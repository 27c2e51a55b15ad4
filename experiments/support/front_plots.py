"""`front.png`: what searches with several objectives found, and how soon."""

from collections.abc import Sequence
import itertools
import pathlib
from typing import Any

import numpy as np

from nagjax import files
from nagjax import statistics
from nagjax.problem import Problem

from . import fronts
from . import plots

_MOST_PANELS = 3
"""Pairs of objectives that are drawn."""


def draw_fronts(
  path: pathlib.Path,
  comparison: fronts.Comparison,
  problem: Problem,
  *,
  caption: str,
) -> None:
  """Draws the fronts by pairs of objectives, and the hypervolume by queries.

  Args:
    path: the file to write.
    comparison: the algorithms; of each the front of its first seed is drawn.
    problem: with several objectives.
    caption: what was run.
  """
  import matplotlib as mpl
  from matplotlib import figure

  names = problem.objective_names
  pairs = list(itertools.combinations(range(len(names)), 2))[:_MOST_PANELS]
  with mpl.rc_context(plots.RC):
    num = len(pairs) + 1
    num_columns = min(num, 2)
    num_rows = -(-num // num_columns)
    canvas = figure.Figure(
      figsize=(4.2 * num_columns, 0.9 + 2.9 * num_rows), layout="constrained"
    )
    panels = canvas.subplots(num_rows, num_columns, squeeze=False).ravel()
    for panel, pair in zip(panels, pairs, strict=False):
      _draw_pair(panel, comparison, problem, pair)
    _draw_progress(panels[len(pairs)], comparison)
    for panel in panels[num:]:
      panel.set_axis_off()
    plots.set_caption(canvas, caption)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=4)
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=plots.DPI)


def _draw_pair(
  panel: Any,
  comparison: fronts.Comparison,
  problem: Problem,
  pair: Sequence[int],
) -> None:
  """One objective over another: the exact front and those of the first seed."""
  sign = fronts.signs(problem)
  first, second = pair
  if comparison.exact is not None:
    points = sign * comparison.exact.objectives
    panel.plot(
      points[:, second],
      points[:, first],
      "o",
      color="black",
      markerfacecolor="none",
      markersize=5,
      label="exact front",
    )
  looks = plots.looks(len(comparison.measured))
  for one, color, _ in zip(comparison.measured, *looks, strict=True):
    points = one.objectives[0]
    points = sign * points[statistics.pareto_front(points)]
    points = points[np.isfinite(points).all(axis=1)]
    panel.plot(
      points[:, second],
      points[:, first],
      ".",
      color=color,
      alpha=0.8,
      label=one.name,
    )
  panel.set_title("Front of the first seed")
  for axis, place in ((panel.set_ylabel, first), (panel.set_xlabel, second)):
    name = problem.objective_names[place].removeprefix("-")
    axis(plots.with_unit(problem, name))


def _draw_progress(panel: Any, comparison: fronts.Comparison) -> None:
  """The mean hypervolume after every query."""
  looks = plots.looks(len(comparison.measured))
  known = comparison.exact is not None
  for one, color, style in zip(comparison.measured, *looks, strict=True):
    curve = one.hypervolume.mean(axis=0)
    missing = 1.0 - curve if known else curve
    panel.plot(np.arange(1, len(curve) + 1), missing, color=color, ls=style)
  panel.set_xlabel("distinct architectures evaluated")
  panel.set_ylabel("share" if known else "hypervolume")
  panel.set_title(
    "Hypervolume that is missing" if known else "Hypervolume, mean over seeds"
  )
  if known:
    panel.set_yscale("log")
