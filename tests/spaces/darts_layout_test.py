"""Tests of nagjax.spaces.darts_layout: DARTS cells as AG-Net writes them."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax.spaces import darts
from tests.spaces import written

# Node 2 reads (0, 1); nodes 3, 4, 5 read (1, 2), (0, 3), (2, 4).
SOURCES = [0, 1, 1, 2, 0, 3, 2, 4]
NAMES = written.LABELS["darts"].split()
OPS = [NAMES[i] for i in (4, 5, 6, 7, 8, 9, 10, 6)]
EDGES = {(0, 2), (1, 3), (1, 4), (2, 5), (3, 5), (0, 6), (4, 7), (5, 7)}
EDGES |= {(2, 8), (3, 8), (6, 9), (7, 9)}
EDGES |= {(op, 10) for op in range(2, 10)}
CELL = (["input", "input_1", *OPS, "output"], EDGES)


def the_arch():
  """The architecture of which both cells are `CELL`."""
  numbers = [darts.OPERATIONS.index(op) for op in OPS]
  cell = list(zip(SOURCES, numbers, strict=True))
  return darts.from_genotype([cell, cell])


def by_hand(labels, edges, scores):
  """The rules of one cell in plain Python, or None."""
  names = [NAMES[i] for i in labels]
  if names[:2] != ["input", "input_1"] or names[-1] != "output":
    return None
  ops = ["skip_connect" if n == "identity" else n for n in names[2:-1]]
  if not set(ops) <= set(darts.OPERATIONS):
    return None
  place = {pair: i for i, pair in enumerate(written.pairs_of(11))}
  rows = [[0], [1], [2, 3], [4, 5], [6, 7], [8, 9]]
  cell = []
  for node in range(2, 6):
    found = {}
    for source in range(node):
      ends = itertools.product(rows[source], rows[node])
      into = [place[pair] for pair in ends]
      if any(edges[e] for e in into):
        found[source] = sum(-np.logaddexp(0, -float(scores[e])) for e in into)
    if len(found) < 2:
      return None
    best = sorted(sorted(found, key=found.__getitem__)[-2:])
    for op, source in zip(ops[2 * node - 4 : 2 * node - 2], best, strict=True):
      cell.append((source, darts.OPERATIONS.index(op)))
  return cell


class DartsLayoutTest(parameterized.TestCase):
  def test_one_cell_by_hand(self):
    """Oracle: by hand, and the same cell read back."""
    graphs = written.compiled("darts")[0](the_arch())
    for graph in range(2):
      got = written.names_and_pairs("darts", graphs, graph)
      self.assertEqual(got, CELL)
    arch, valid = written.decode("darts", CELL, CELL)
    self.assertTrue(valid)
    self.assertEqual(arch.tolist(), the_arch().tolist())

  def test_graphs_of_both_cells_in_order(self):
    """Oracle: the adjacency of `to_graph`, block by block."""
    archs = written.samples("darts")[:50]
    graphs = written.compiled("darts")[0](archs)
    adjacency = np.asarray(darts.to_graph(archs).adjacency)
    for cell, rows in enumerate((slice(0, 11), slice(11, 22))):
      block = adjacency[:, rows, rows]
      expected = np.stack(
        [block[:, s, t] for s, t in written.pairs_of(11)], axis=-1
      )
      np.testing.assert_array_equal(graphs.edges[:, cell], expected)

  def test_disturbed_graphs(self):
    """Oracle: the rules in plain Python."""
    graphs, scores = written.disturbed("darts")
    archs, valid = written.compiled("darts")[1](graphs, scores)
    for row in range(600):
      cells = [
        by_hand(graphs.labels[row, c], graphs.edges[row, c], scores[row, c])
        for c in range(2)
      ]
      self.assertEqual(bool(valid[row]), None not in cells)
      if valid[row]:
        expected = darts.from_genotype(cells)
        self.assertEqual(archs[row].tolist(), expected.tolist())

  def test_identity_is_a_skip_connection(self):
    """Oracle: the cell with skip connections."""
    ops = ["identity" if op == "skip_connect" else op for op in OPS]
    graph = (["input", "input_1", *ops, "output"], EDGES)
    arch, valid = written.decode("darts", graph, CELL)
    self.assertTrue(valid)
    self.assertEqual(arch.tolist(), the_arch().tolist())

  @parameterized.parameters((0.0, (0, 1)), (2.0, (1, 2)))
  def test_surplus_sources(self, score, expected):
    """Oracle: sums of log-sigmoids by hand; node 3 is given a third source.

    Two possible edges lead to it from node 0, with scores 0: -1.39. From node
    1, with 0.5 and 0: -1.17. Four from node 2: -2.77 with scores 0, of which
    two are no edges, and -0.51 with 2.
    """
    graph = (CELL[0], EDGES | {(0, 5)})
    scores = {(0, s, t): score for s in (2, 3) for t in (4, 5)}
    scores[0, 1, 4] = 0.5
    arch, valid = written.decode("darts", graph, CELL, scores=scores)
    self.assertTrue(valid)
    first, second = darts.to_genotype(arch)[..., 0].tolist()
    self.assertEqual(first, [0, 1, *expected, *SOURCES[4:]])
    self.assertEqual(second, SOURCES)

  @parameterized.parameters((1, 4), (0, 2))
  def test_a_node_of_one_source_is_none(self, *edge):
    """Oracle: two sources are needed; here one edge is missing."""
    graph = (CELL[0], EDGES - {edge})
    for graphs in ((graph, CELL), (CELL, graph)):
      self.assertFalse(written.decode("darts", *graphs)[1])


if __name__ == "__main__":
  absltest.main()
