"""The share of seeds at the optimum, a panel for every question."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib

import jax
import numpy as np

from nagjax import files
from nagjax.problem import Problem
from nagjax.search import Result

from . import plots
from . import results

_COLUMNS = 3


def draw_results(
  path: str | pathlib.Path, found: Mapping[str, Result], problem: Problem
) -> None:
  """Draws the regret of sweeps, and the share of seeds at the optimum.

  Args:
    path: the file to write.
    found: sweeps of one problem, by name.
    problem: theirs.
  """
  optimum = problem.optimum()
  curves = [
    plots.make_curve(
      name, results.history(jax.device_get(sweep.trace)), optimum
    )
    for name, sweep in found.items()
  ]
  num_seeds = len(curves[0].best)
  plots.draw_curves(
    pathlib.Path(path),
    curves,
    caption=f"{problem.benchmark.name}, {num_seeds} seeds",
    objective=plots.with_unit(problem, problem.objective_names[0]),
    optimum=optimum,
  )


def draw_shares(
  path: pathlib.Path, panels: Mapping[str, Sequence[plots.Curve]]
) -> None:
  """Draws shares against queries, on a scale of logarithms.

  Args:
    path: the file to write.
    panels: by title, the curves; in every panel as many, of the same names. One
      without shares is left out and keeps its color.
  """
  import matplotlib as mpl
  from matplotlib import figure
  from matplotlib import ticker

  with mpl.rc_context(plots.RC):
    num_columns = min(len(panels), _COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    canvas = figure.Figure(
      figsize=(max(1.0 + 3.0 * num_columns, 5.0), 1.0 + 2.6 * num_rows),
      layout="constrained",
    )
    grid = canvas.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    axes = grid.ravel()
    for panel in axes[len(panels) :]:
      panel.set_axis_off()
    for panel, (title, curves) in zip(axes, panels.items(), strict=False):
      panel.set_title(title)
      panel.set_xscale("log")
      panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
      panel.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
      panel.xaxis.set_minor_formatter(ticker.NullFormatter())
      panel.set_xlabel("distinct architectures evaluated")
      panel.set_ylim(-0.02, 1.02)
      panel.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
      looks = plots.looks(len(curves))
      for curve, color, style in zip(curves, *looks, strict=True):
        reached = curve.reached
        shares = np.empty(0) if reached is None else reached
        queries = np.arange(1, len(shares) + 1)
        panel.step(
          queries,
          shares,
          where="post",
          color=color,
          ls=style,
          label=curve.name,
        )
    for row in grid:
      row[0].set_ylabel("share of seeds at the optimum")
    handles, labels = axes[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3)
    with files.atomic_path(path) as temporary:
      canvas.savefig(temporary, dpi=plots.DPI)
