"""Tests of spaces that say no more than how many options they have."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import nasbench201

CARDINALITIES = (4, 2, 3)
SPACE = base.SearchSpace("mine", CARDINALITIES)
ARCHS = SPACE.all_architectures()


class ViewsTest(parameterized.TestCase):
  def test_strings(self):
    """Oracle: by hand; and every architecture comes back."""
    self.assertEqual(SPACE.to_string([3, 0, 2]), "3,0,2")
    for arch in ARCHS:
      np.testing.assert_array_equal(
        SPACE.from_string(SPACE.to_string(arch)), arch
      )

  def test_features(self):
    """Oracle: one-hot rows; an option that a variable lacks is invalid."""
    features = SPACE.to_features(jnp.asarray(ARCHS))
    np.testing.assert_array_equal(features, np.eye(4)[ARCHS])
    self.assertEqual(features.shape[1:], SPACE.feature_shape)
    read, valid = SPACE.from_features(features)
    np.testing.assert_array_equal(read, ARCHS)
    self.assertTrue(valid.all())
    beyond = np.eye(4)[[[1, 1, 3], [3, 2, 0]]]
    read, valid = SPACE.from_features(jnp.asarray(beyond))
    np.testing.assert_array_equal(valid, [False, False])
    self.assertTrue(SPACE.is_valid(read).all())

  def test_graphs(self):
    """Oracle: NumPy, node by node: the label of a variable's option."""
    graph = SPACE.to_graph(jnp.asarray(ARCHS))
    self.assertEqual((SPACE.num_nodes, SPACE.num_labels), (5, 2 + 4 + 2 + 3))
    labels = np.argmax(graph.nodes, axis=-1)
    np.testing.assert_array_equal(graph.nodes.sum(-1), 1)
    np.testing.assert_array_equal(labels[:, 1:4], ARCHS + [2, 6, 8])
    np.testing.assert_array_equal(labels[:, [0, 4]], [[0, 1]] * len(ARCHS))
    edges = {tuple(edge) for edge in np.argwhere(graph.adjacency[0])}
    self.assertEqual(edges, {(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)})

  def test_soft_graphs_are_linear(self):
    """Oracle: the mean of graphs is the graph of the mean."""
    options = SPACE.one_hot(jnp.asarray(ARCHS[[3, 17]]))
    soft = SPACE.to_soft_graph(options.mean(0))
    both = SPACE.to_graph(jnp.asarray(ARCHS[[3, 17]]))
    np.testing.assert_allclose(soft.nodes, both.nodes.mean(0))
    np.testing.assert_allclose(soft.adjacency, both.adjacency[0])

  def test_what_a_generator_writes(self):
    """Oracle: the architectures; and which labels a node may have, by name."""
    layout = SPACE.layout
    graphs = layout.encode(jnp.asarray(ARCHS).reshape(4, 6, 3))
    self.assertEqual(graphs.labels.shape, (4, 6, 1, layout.num_nodes))
    self.assertEqual(graphs.edges.shape, (4, 6, 1, layout.num_edges))
    read, valid = layout.decode(graphs, jnp.zeros(graphs.edges.shape))
    np.testing.assert_array_equal(read.reshape(-1, 3), ARCHS)
    self.assertTrue(valid.all())
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(layout.labels), (20_000, 1, 5))
    labels[:, 0, 0], labels[:, 0, -1] = 1, 0
    labels[:50, 0, 0], labels[50:100, 0, -1] = 0, 1
    edges = rng.random((20_000, 1, 10)) < 0.5
    written = base.LabeledGraphs(jnp.asarray(labels), jnp.asarray(edges))
    read, valid = layout.decode(written, jnp.zeros(edges.shape))
    names = np.asarray(layout.labels)[labels[:, 0]]
    starts = np.char.startswith(names, ["input", "x0=", "x1=", "x2=", "output"])
    np.testing.assert_array_equal(valid, starts.all(1))
    self.assertGreater(valid.sum(), 100)
    self.assertTrue(SPACE.is_valid(read).all())
    expected = np.char.rpartition(names[valid][:, 1:-1], "=")[..., 2]
    np.testing.assert_array_equal(read[valid], expected.astype(int))

  def test_holes(self):
    """Oracle: brute force; samples and generated graphs are in the space."""
    space = base.SearchSpace(
      "holes", CARDINALITIES, is_valid=lambda a: a[..., 0] == a[..., 1]
    )
    self.assertEqual(space.num_architectures, 6)
    self.assertFalse(space.enumerable)
    samples = space.sample(jax.random.key(0), 500)
    self.assertTrue(space.is_valid(samples).all())
    graphs = space.layout.encode(jnp.asarray(ARCHS))
    _, valid = space.layout.decode(graphs, jnp.zeros(graphs.edges.shape))
    np.testing.assert_array_equal(valid, ARCHS[:, 0] == ARCHS[:, 1])


class DoorsTest(parameterized.TestCase):
  @parameterized.parameters(
    ([-1, 0, 0], "variable 0 must be in 0..3, got -1"),
    ([0, 2, 0], "variable 1 must be in 0..1, got 2"),
    ([0, 0], "3 integers"),
    ([0.0, 1.0, 1.0], "3 integers"),
    ([2**70, 0, 0], "3 integers"),
    (None, "3 integers"),
  )
  def test_no_architecture(self, arch, message):
    """Oracle: one line, of every way in."""
    for function in (SPACE.to_string, SPACE.index):
      with self.assertRaisesRegex(ValueError, message):
        function(arch)

  @parameterized.parameters(
    ("4,0,0",),
    ("0,0",),
    ("-1,0,0",),
    ("0,0,0\n",),
    ("",),
    ("9" * 5000,),
    (b"0,0,0",),
    ("x" * 70_000,),
  )
  def test_no_string(self, string):
    """Oracle: one short line."""
    with self.assertRaisesRegex(ValueError, "mine|written like") as raised:
      SPACE.from_string(string)
    self.assertLess(len(str(raised.exception)), 510)
    self.assertNotIn("\n", str(raised.exception))

  def test_numbers_of_any_kind(self):
    """Oracle: the same string for integers of Python, NumPy and JAX."""
    space = nasbench201.nasbench201()
    arch = [3, 1, 0, 2, 4, 0]
    for other in (np.asarray(arch, np.int8), jnp.asarray(arch), tuple(arch)):
      self.assertEqual(space.to_string(other), nasbench201.to_string(arch))
    with self.assertRaisesRegex(ValueError, "variable 0"):
      space.to_string([-1, 1, 0, 2, 4, 0])
    with self.assertRaisesRegex(ValueError, "got bytes"):
      space.from_string(nasbench201.to_string(arch).encode())

  @parameterized.parameters(
    (dict(cardinalities=()), "number of options"),
    (dict(cardinalities=(3, 0)), "number of options"),
    (dict(cardinalities=5), "number of options"),
    (dict(cardinalities=(2.5, 3)), "number of options"),
    (dict(name=3), "name"),
    (dict(topology=(True,)), "topology"),
    (dict(to_features=lambda a: a), "together"),
    (dict(to_graph=lambda a: a), "to_soft_graph"),
    (dict(num_architectures=25), "1 to 24"),
    (dict(is_valid=lambda a: a[..., 0] > 3), "got 0"),
  )
  def test_contradictions(self, fields, message):
    """Oracle: the documented ValueError."""
    options = dict(name="mine", cardinalities=CARDINALITIES) | fields
    with self.assertRaisesRegex(ValueError, message):
      base.SearchSpace(**options)

  def test_a_huge_space_is_not_counted(self):
    """Oracle: the product; with holes the user must say it."""
    self.assertEqual(base.SearchSpace("x", (9,) * 20).num_architectures, 9**20)
    with self.assertRaisesRegex(ValueError, "say num_architectures"):
      base.SearchSpace(
        "x",
        (9,) * 20,
        is_valid=functools.partial(lambda a: a[..., 0] > 0),
      )


if __name__ == "__main__":
  absltest.main()
