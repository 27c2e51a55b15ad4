"""A picture of cells: their nodes, and operations on the edges."""

from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

from nagjax import files
from nagjax.spaces import edge_cells
from nagjax.spaces import nasbench201

from . import plots

_COLUMNS = 4
_PLACES = ((0.0, 0.0), (1.0, 0.9), (1.0, -0.9), (2.0, 0.0))
"""Of the nodes, so that no two of the six edges lie on each other."""
_SHOWN = {
  "skip_connect": ("skip", "#8C8C8C", "--"),
  "nor_conv_1x1": ("1x1", "#56B4E9", "-"),
  "nor_conv_3x3": ("3x3", "#0072B2", "-"),
  "avg_pool_3x3": ("pool", "#E69F00", "-."),
}
"""Word, color and line of every operation; an edge without one is not drawn."""


def draw_cells(
  path: str | pathlib.Path,
  archs: Sequence[np.ndarray],
  titles: Sequence[str],
) -> None:
  """Draws NAS-Bench-201's cells, a panel each.

  Args:
    path: the .png file.
    archs: `int32[6]` each.
    titles: of the panels.
  """
  import matplotlib as mpl
  from matplotlib import figure

  num_columns = min(len(archs), _COLUMNS)
  num_rows = -(-len(archs) // num_columns)
  with mpl.rc_context(plots.RC):
    canvas = figure.Figure(
      figsize=(2.6 * num_columns, 2.1 * num_rows), layout="constrained"
    )
    panels = canvas.subplots(num_rows, num_columns, squeeze=False).ravel()
    for panel in panels:
      panel.set_axis_off()
    for panel, arch, title in zip(panels, archs, titles, strict=False):
      draw_cell(panel, arch)
      panel.set_title(title)
    with files.atomic_path(pathlib.Path(path)) as temporary:
      canvas.savefig(temporary, dpi=plots.DPI)


def draw_cell(panel: Any, arch: np.ndarray) -> None:
  """Draws one cell, `int32[6]`, into a panel of matplotlib."""
  ends = zip(arch, edge_cells.SOURCES, edge_cells.TARGETS, strict=True)
  for option, source, target in ends:
    shown = _SHOWN.get(nasbench201.OPERATIONS[option])
    if shown is None:
      continue
    word, color, line = shown
    start, end = np.asarray(_PLACES[source]), np.asarray(_PLACES[target])
    panel.annotate(
      "",
      end,
      start,
      arrowprops=dict(
        arrowstyle="->",
        color=color,
        linestyle=line,
        shrinkA=9,
        shrinkB=9,
        linewidth=1.4,
      ),
    )
    # Nearer to the source: in the middle, two of the six edges meet.
    place = start + 0.4 * (end - start)
    panel.text(
      *place,
      word,
      color=color,
      ha="center",
      va="center",
      fontsize=7,
      bbox=dict(facecolor="white", edgecolor="none", pad=0.8),
    )
  for number, (x, y) in enumerate(_PLACES):
    panel.text(
      x,
      y,
      ("in", "1", "2", "out")[number],
      ha="center",
      va="center",
      fontsize=8,
      bbox=dict(boxstyle="circle,pad=0.25", facecolor="white"),
    )
  panel.set_xlim(-0.3, 2.3)
  panel.set_ylim(-1.3, 1.3)
