"""What denoising architectures looks like: a population, step after step."""

from collections.abc import Mapping
import pathlib

import numpy as np

from nagjax import files
from nagjax.spaces import edge_cells
from nagjax.spaces import nasbench201

from . import cell_plots
from . import plots

_WORDS = ("none", "skip", "1x1", "3x3", "pool")
"""Of NAS-Bench-201's operations, in their order."""


def draw_populations(
  path: str | pathlib.Path,
  populations: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> None:
  """Draws how often every operation is on every edge, and the best cell.

  Args:
    path: the .png file.
    populations: by title, the cells `int32[P, 6]` and their objective `f32[P]`,
      NaN for what is no cell.
  """
  import matplotlib as mpl
  from matplotlib import figure

  with mpl.rc_context(plots.RC):
    num = len(populations)
    canvas = figure.Figure(figsize=(2.3 * num, 4.4), layout="constrained")
    grid = canvas.subplots(2, num, squeeze=False, height_ratios=(3, 2))
    for column, (title, (archs, objective)) in enumerate(populations.items()):
      upper, lower = grid[:, column]
      shares = operation_shares(archs[np.isfinite(objective)])
      # Dark is often, in color and in gray.
      image = upper.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
      upper.grid(False)
      upper.set_title(title)
      upper.set_xticks(range(len(_WORDS)), _WORDS, rotation=90)
      edges = zip(edge_cells.SOURCES, edge_cells.TARGETS, strict=True)
      names = [f"{source} → {target}" for source, target in edges]
      upper.set_yticks(range(len(names)), names if column == 0 else [])
      lower.set_axis_off()
      if np.isfinite(objective).any():
        best = np.nanargmax(objective)
        cell_plots.draw_cell(lower, archs[best])
        lower.set_title(f"best {objective[best]:.2f}")
    canvas.colorbar(image, ax=grid[0], label="share of the cells")
    with files.atomic_path(pathlib.Path(path)) as temporary:
      canvas.savefig(temporary, dpi=plots.DPI)


def operation_shares(archs: np.ndarray) -> np.ndarray:
  """The share of cells with each operation on each edge, `f64[6, 5]`.

  Args:
    archs: `int32[P, 6]` cells; shares of none are 0.
  """
  options = np.arange(len(nasbench201.OPERATIONS))
  hits = np.asarray(archs).reshape(-1, 6, 1) == options
  return hits.sum(axis=0) / max(len(archs), 1)
