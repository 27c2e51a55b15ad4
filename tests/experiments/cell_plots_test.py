"""Tests of experiments.support.cell_plots."""

import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
import numpy as np
import pytest

from experiments.support import cell_plots
from experiments.support import population_plots


class CellPlotsTest(absltest.TestCase):
  def test_a_picture(self):
    """Oracle: the edges of the cells, by hand: an arrow from node to node and a
    word for each that is not none; a panel and a title for each cell."""
    pytest.importorskip("matplotlib")
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder, "cells.png")
    cells = [np.asarray([3, 0, 1, 0, 0, 4]), *[np.zeros(6, int)] * 4]
    seen = []
    draw = cell_plots.draw_cell

    def record(panel, arch):
      draw(panel, arch)
      seen.append((panel, [text.get_text() for text in panel.texts]))

    with mock.patch.object(cell_plots, "draw_cell", record):
      cell_plots.draw_cells(path, cells, [f"cell {i}" for i in range(5)])
    panel, texts = seen[0]
    self.assertEqual(
      [t for t in texts if t], "3x3 skip pool in 1 2 out".split()
    )
    arrows = [t for t in panel.texts if hasattr(t, "arrow_patch")]
    ends = [(tuple(a.xyann), tuple(a.xy)) for a in arrows if a.arrow_patch]
    places = cell_plots._PLACES
    expected = [(places[0], places[1]), (places[1], places[2])]
    self.assertEqual(ends, [*expected, (places[2], places[3])])
    titles = [one.get_title("left") for one, _ in seen]
    self.assertEqual(titles, [f"cell {i}" for i in range(5)])
    self.assertEqual(path.read_bytes()[1:4], b"PNG")
    self.assertLen(seen[1][1], 4)


class PopulationPlotsTest(absltest.TestCase):
  def test_shares_of_operations(self):
    """Oracle: two cells, counted by hand; none, which is nothing anywhere."""
    cells = np.array([[3, 0, 1, 0, 0, 4], [3, 3, 1, 0, 2, 4]])
    shares = population_plots.operation_shares(cells)
    self.assertEqual(shares.shape, (6, 5))
    self.assertEqual(shares[0].tolist(), [0, 0, 0, 1, 0])
    self.assertEqual(shares[1].tolist(), [0.5, 0, 0, 0.5, 0])
    self.assertEqual(shares.sum(), 6)
    self.assertEqual(population_plots.operation_shares(cells[:0]).sum(), 0)

  def test_a_picture_of_populations(self):
    """Oracle: a file in the format of its name, of populations with and without
    a cell."""
    pytest.importorskip("matplotlib")
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder, "populations.png")
    cells = np.array([[3, 0, 1, 0, 0, 4], [3, 3, 1, 0, 2, 4]])
    population_plots.draw_populations(
      path,
      {
        "noise": (cells, np.full(2, np.nan)),
        "step 1": (cells, np.array([np.nan, 90.0])),
      },
    )
    self.assertEqual(path.read_bytes()[:4], b"\x89PNG")


if __name__ == "__main__":
  absltest.main()
