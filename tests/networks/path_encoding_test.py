"""Tests of nagjax.networks.path_encoding against enumerated paths."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import networks
from nagjax.networks import path_encoding
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.spaces import nasbench_nlp
from nagjax.types import Graph
from tests.networks import dense

SPACES = {
  "darts": darts.darts,
  "nasbench101": nasbench101.nasbench101,
  "nasbench201": nasbench201.nasbench201,
  "nasbench_nlp": nasbench_nlp.nasbench_nlp,
}


def paths_of(name, **options):
  space = SPACES[name]()
  ones = jnp.ones((space.num_variables, space.num_options))
  return path_encoding.possible_paths(space.to_soft_graph(ones), **options)


def features_of(labels, edges, paths):
  """The encoding by its definition: every path is walked, one at a time."""
  found = set()

  def walk(vertex, sequence):
    """Arrives at a vertex; the sequence is what lies between."""
    label = labels[vertex]
    if vertex in paths.targets:
      found.add((vertex, sequence))
    elif label in paths.steps and len(sequence) < paths.longest:
      for after in np.flatnonzero(edges[vertex]):
        walk(after, (*sequence, label))

  for start in np.flatnonzero(labels == paths.source):
    for after in np.flatnonzero(edges[start]):
      walk(after, ())
  return [
    float((target, sequence) in found)
    for length in range(paths.shortest, paths.longest + 1)
    for target in paths.targets
    for sequence in itertools.product(paths.steps, repeat=length)
  ]


class PathsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201", (7,), 5, (1, 3), 5 + 25 + 125),
    ("nasbench101", (6,), 3, (0, 5), 364),
    ("darts", (10, 21), 7, (1, 2), 2 * (7 + 49)),
    ("nasbench_nlp", (25,), 7, (1, 3), 7 + 49 + 343),
  )
  def test_sizes_of_the_spaces(self, name, targets, steps, lengths, num):
    """Oracle: the paper's 155 and 364; geometric sums by hand."""
    paths = paths_of(name)
    self.assertEqual(paths.targets, targets)
    self.assertLen(paths.steps, steps)
    self.assertEqual((paths.shortest, paths.longest), lengths)
    self.assertEqual(paths.num_features, num)

  @parameterized.parameters((154, 2), (30, 2), (29, 1), (5, 1))
  def test_the_limit_bounds_the_length(self, max_features, longest):
    """Oracle: 5, 5 + 25 and 155 features for lengths up to 1, 2, 3."""
    paths = paths_of("nasbench201", max_features=max_features)
    self.assertEqual(paths.longest, longest)

  def test_nothing_to_encode_is_an_error(self):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, "5 features, more than .* = 4"):
      paths_of("nasbench201", max_features=4)
    apart = Graph(jnp.eye(3), jnp.zeros((3, 3)).at[0, 1].set(1.0))
    with self.assertRaisesRegex(ValueError, "No path leads"):
      path_encoding.possible_paths(apart)


class EncodingTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201", 30),
    ("nasbench101", 400),
    ("darts", 400),
    ("nasbench_nlp", 400),
  )
  def test_features_are_those_of_enumerated_paths(self, name, max_features):
    """Oracle: a depth-first walk over explicit paths, in Python."""
    space, paths = SPACES[name](), paths_of(name, max_features=max_features)

    @jax.jit
    def encode(key):
      graphs = space.to_graph(space.sample(key, 20))
      return graphs, path_encoding.path_encoding(graphs, paths)

    graphs, encoding = jax.device_get(encode(jax.random.key(0)))
    self.assertEqual(encoding.shape, (20, paths.num_features))
    self.assertGreater(encoding.sum(), 20)
    nodes, edges = (np.asarray(leaf) for leaf in graphs)
    for row in range(20):
      # Vertices without a label are no part of the graph.
      labels = np.where(nodes[row].any(-1), nodes[row].argmax(-1), -1)
      expected = features_of(labels, edges[row], paths)
      np.testing.assert_array_equal(encoding[row], expected)

  def test_a_cell_by_hand(self):
    """Oracle: NASLib's index formula of the four paths of NAS-Bench-201.

    Sequences [e3], [e0 e4], [e1 e5], [e0 e2 e5] are numbers in base 5, behind
    one another by length.
    """
    cell = [3, 0, 2, 4, 1, 3]
    space = nasbench201.nasbench201()
    graph = space.to_graph(jnp.asarray(cell))
    encoding = path_encoding.path_encoding(graph, paths_of("nasbench201"))
    expected = [4, 5 + 3 * 5 + 1, 5 + 0 * 5 + 3, 30 + 3 * 25 + 2 * 5 + 3]
    self.assertCountEqual(np.flatnonzero(encoding).tolist(), expected)

  def test_isomorphic_cells_share_an_encoding(self):
    """Oracle: vertices 1 and 2 of a NAS-Bench-101 cell exchanged."""
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 6)]
    archs = np.zeros((2, nasbench101.NUM_VARIABLES), np.int32)
    archs[:, [x + y * (y - 1) // 2 for x, y in edges]] = 1
    archs[0, 21:] = [0, 2, 1, 0, 0]
    archs[1, 21:] = [2, 0, 1, 2, 2]
    graphs = nasbench101.to_graph(jnp.asarray(archs))
    paths = paths_of("nasbench101")
    encode = jax.jit(lambda graphs: path_encoding.path_encoding(graphs, paths))
    first, second = encode(graphs)
    np.testing.assert_array_equal(first, second)
    self.assertEqual(first.sum(), 2)

  def test_leading_axes(self):
    """Oracle: the encoding of the flattened batch."""
    space, paths = nasbench201.nasbench201(), paths_of("nasbench201")
    archs = jnp.asarray(np.random.default_rng(0).integers(0, 5, (6, 6)))
    encode = jax.jit(
      lambda archs: path_encoding.path_encoding(space.to_graph(archs), paths)
    )
    nested = encode(archs.reshape(2, 3, -1))
    np.testing.assert_array_equal(nested.reshape(6, -1), encode(archs))


class PathMlpTest(parameterized.TestCase):
  def test_the_network_reads_every_feature(self):
    """Oracle: the gradient with respect to the features, nowhere zero."""
    paths = paths_of("nasbench201")
    network = path_encoding.path_mlp(paths, networks.mlp.Config())
    params = dense.weights(network)

    def value(features):
      return network.apply(params, path_encoding.as_graph(features))[0]

    gradient = jax.jit(jax.grad(value))(jnp.zeros(155))
    self.assertTrue(np.all(gradient != 0))


if __name__ == "__main__":
  absltest.main()
