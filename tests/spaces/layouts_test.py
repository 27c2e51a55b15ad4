"""Tests of the graph layouts of all spaces: `SearchSpace.layout`."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.spaces import base
from nagjax.spaces import layouts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from tests.spaces import written

# Nodes, edges, width of labels and edges, inputs, graphs.
SIZES = {
  "nasbench101": (7, 21, 56, 1, 1),
  "nasbench201": (8, 28, 84, 1, 1),
  "darts": (11, 55, 176, 2, 2),
  "nasbench_nlp": (26, 325, 559, 1, 1),
  "transnas_macro": (8, 28, 76, 1, 1),
  "transnas_micro": (8, 28, 76, 1, 1),
}
EACH_SPACE = parameterized.parameters(*written.SPACES)


class EveryLayoutTest(parameterized.TestCase):
  @EACH_SPACE
  def test_sizes_and_labels(self, name):
    """Oracle: names and sizes of AG-Net's program, written down above."""
    layout = written.SPACES[name]().layout
    encode, _, _ = written.compiled(name)
    num, num_edges, width, num_inputs, num_graphs = SIZES[name]
    self.assertEqual(layout.labels, tuple(written.LABELS[name].split()))
    self.assertEqual((layout.num_nodes, layout.num_edges), (num, num_edges))
    self.assertEqual(num * len(layout.labels) + num_edges, width)
    self.assertEqual(layout.num_inputs, num_inputs)
    self.assertEqual(layout.num_graphs, num_graphs)
    graphs = jax.eval_shape(encode, written.samples(name)[:6].reshape(2, 3, -1))
    self.assertEqual(graphs.labels.shape, (2, 3, num_graphs, num))
    self.assertEqual(graphs.edges.shape, (2, 3, num_graphs, num_edges))
    self.assertEqual(graphs.labels.dtype, jnp.int32)
    self.assertEqual(graphs.edges.dtype, jnp.bool)

  @parameterized.parameters(
    *("nasbench101", "nasbench201", "darts"),
    *("transnas_macro", "transnas_micro"),
  )
  def test_what_was_written_is_read(self, name):
    """Oracle: the encoded architectures, by the space's keys."""
    encode, decode_fn, keys = written.compiled(name)
    archs = written.samples(name)
    graphs = encode(archs)
    read, valid = decode_fn(graphs, jnp.zeros(graphs.edges.shape))
    self.assertEqual(read.dtype, jnp.int32)
    self.assertTrue(valid.all())
    np.testing.assert_array_equal(keys(read), keys(archs))

  @EACH_SPACE
  def test_what_is_called_valid_is_valid(self, name):
    """Oracle: `is_valid` of the space, and both answers occur."""
    _, decode_fn, _ = written.compiled(name)
    space = written.SPACES[name]()
    graphs, scores = written.disturbed(name)
    archs, valid = decode_fn(graphs, scores)
    self.assertBetween(float(valid.mean()), 0.01, 0.99)
    self.assertTrue(jax.jit(space.is_valid)(archs)[valid].all())
    in_range = functools.partial(base.in_range, space.cardinalities)
    self.assertTrue(in_range(archs).all())

  @EACH_SPACE
  def test_uniformly_random_graphs(self, name):
    """Oracle: `is_valid` of the space."""
    _, decode_fn, _ = written.compiled(name)
    layout, rng = written.SPACES[name]().layout, np.random.default_rng(1)
    graphs, scores = written.disturbed(name)
    labels = rng.integers(0, len(layout.labels), graphs.labels.shape)
    edges = rng.random(scores.shape) < rng.random((len(scores), 1, 1))
    graphs = base.LabeledGraphs(labels.astype(np.int32), edges)
    archs, valid = decode_fn(graphs, scores)
    is_valid = jax.jit(written.SPACES[name]().is_valid)
    self.assertTrue(is_valid(archs)[valid].all())
    self.assertLess(float(valid.mean()), 0.5)

  @EACH_SPACE
  @pytest.mark.slow
  def test_plain_mapped_and_compiled_calls_agree(self, name):
    """Oracle: the call on one architecture without compilation."""
    encode, decode_fn, _ = written.compiled(name)
    layout, archs = written.SPACES[name]().layout, written.samples(name)[:4]
    disturbed = jax.tree.map(lambda x: x[:4], written.disturbed(name))
    for function, program, inputs in (
      (layout.encode, encode, (archs,)),
      (layout.decode, decode_fn, disturbed),
    ):
      plain = function(*jax.tree.map(lambda x: x[0], inputs))
      mapped = jax.jit(jax.vmap(function))(*inputs)
      folded = program(
        *jax.tree.map(lambda x: x.reshape((2, 2, *x.shape[1:])), inputs)
      )
      folded = jax.tree.map(lambda x: x.reshape((4, *x.shape[2:])), folded)
      first = jax.tree.map(lambda x: x[0], mapped)
      jax.tree.map(np.testing.assert_array_equal, first, plain)
      jax.tree.map(np.testing.assert_array_equal, mapped, folded)


class PartsTest(parameterized.TestCase):
  def test_edges_into_a_node(self):
    """Oracle: a loop over all edges."""
    values = np.random.default_rng(0).normal(size=(7, 21))
    targets = np.arange(7)
    got = layouts.edges_into(jnp.asarray(values), jnp.asarray(targets), 7)
    for row, target in enumerate(targets):
      column = dict(zip(written.pairs_of(7), values[row], strict=True))
      expected = [column.get((s, target), 0.0) for s in range(7)]
      np.testing.assert_allclose(got[row], expected, rtol=1e-6)

  def test_positions(self):
    """Oracle: by hand."""
    got = layouts.positions(("b", "c", "a"), ("a", "b"))
    self.assertEqual(got.tolist(), [1, -1, 0])


class NasBench201Test(parameterized.TestCase):
  def test_one_cell_by_hand(self):
    """Oracle: the published order of nodes and out-lists."""
    cell = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+"
    cell += "|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    graphs = written.compiled("nasbench201")[0](nasbench201.from_string(cell))
    labels, edges = written.names_and_pairs("nasbench201", graphs)
    expected = "input none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3"
    self.assertEqual(labels, [*expected.split(), "none", "output"])
    out = {0: (1, 2, 4), 1: (3, 5), 2: (6,), 3: (6,)}
    out |= {4: (7,), 5: (7,), 6: (7,)}
    self.assertEqual(edges, {(s, t) for s, ts in out.items() for t in ts})

  def test_disturbed_graphs(self):
    """Oracle: the rules in NumPy; all cells have the same edges."""
    encode, decode_fn, _ = written.compiled("nasbench201")
    graphs, scores = written.disturbed("nasbench201")
    _, valid = decode_fn(graphs, scores)
    labels = graphs.labels[:, 0]
    edges = np.asarray(encode(written.samples("nasbench201")).edges)
    np.testing.assert_array_equal(edges, np.broadcast_to(edges[0], edges.shape))
    expected = (labels[:, 0] == 1) & (labels[:, -1] == 0)
    expected &= (labels[:, 1:-1] >= 2).all(axis=1)
    expected &= (graphs.edges == edges[:1]).all(axis=(1, 2))
    np.testing.assert_array_equal(valid, expected)


class NasBench101Test(parameterized.TestCase):
  def test_absent_vertices_move_behind_the_output(self):
    """Oracle: by hand; vertices 1, 3 and 5 are on no path."""
    arch = np.zeros(26, np.int32)
    for s, t in [(0, 1), (0, 2), (2, 4), (3, 6), (0, 4), (4, 6), (2, 6)]:
      arch[s + t * (t - 1) // 2] = 1
    arch[21:] = [0, 1, 0, 2, 0]  # Vertex 2 is a 1x1, vertex 4 a pooling.
    labels, edges = written.names_and_pairs(
      "nasbench101", written.compiled("nasbench101")[0](arch)
    )
    inner = ["conv1x1-bn-relu", "maxpool3x3"]
    self.assertEqual(labels, ["input", *inner] + ["output"] * 4)
    self.assertEqual(edges, {(0, 1), (1, 2), (0, 2), (2, 3), (1, 3)})

  def test_disturbed_graphs(self):
    """Oracle: `from_matrix`, which refuses what is no cell."""
    _, decode_fn, keys = written.compiled("nasbench101")
    graphs, scores = written.disturbed("nasbench101")
    archs, valid = decode_fn(graphs, scores)
    read, names = keys(archs), written.LABELS["nasbench101"].split()
    expected, known = [], []
    for labels, edges in zip(
      graphs.labels[:, 0], graphs.edges[:, 0], strict=True
    ):
      cell = [names[i] for i in labels]
      cell = cell[: cell.index("output") + 1] if "output" in cell else cell
      matrix = np.zeros((7, 7), int)
      for (s, t), on in zip(written.pairs_of(7), edges, strict=True):
        matrix[s, t] = on
      try:
        expected.append(
          nasbench101.from_matrix(matrix[: len(cell), : len(cell)], cell)
        )
        known.append(True)
      except ValueError:
        expected.append(np.zeros(26, np.int32))
        known.append(False)
    np.testing.assert_array_equal(valid, known)
    wanted = keys(jnp.asarray(np.stack(expected)))
    np.testing.assert_array_equal(read[valid], wanted[valid])

  def test_a_cell_without_operations(self):
    """Oracle: the cell of one edge is in the table."""
    arch, valid = written.decode("nasbench101", (["input", "output"], [(0, 1)]))
    self.assertTrue(valid)
    self.assertEqual(nasbench101.to_string(arch), "0100:input,output")


if __name__ == "__main__":
  absltest.main()
