"""Tests of nagjax.spaces.nasbench201: names, encodings, graphs."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.spaces import nasbench201
from tests import data

EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
NASLIB_EDGES = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
OPERATIONS = "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3".split()
NASLIB_OPERATIONS = (
  "skip_connect none nor_conv_3x3 nor_conv_1x1 avg_pool_3x3".split()
)
OFFICIAL_FIRST = (
  "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
  "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)


def line_graph(edges):
  """Adjacency of operations on nodes, from the definition of a line graph."""
  nodes = [(None, 0), *edges, (3, None)]
  return [[float(a[1] == b[0] is not None) for b in nodes] for a in nodes]


def space():
  return nasbench201.nasbench201()


def all_cells():
  return jnp.asarray(space().all_architectures())


class NameTest(parameterized.TestCase):
  def test_strings_of_all_cells_name_the_same_operations(self):
    """Oracle: itertools and an f-string of the official form."""
    cells = list(itertools.product(range(5), repeat=6))
    for cell in cells:
      a, b, c, d, e, f = (OPERATIONS[op] for op in cell)
      expected = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
      self.assertEqual(nasbench201.to_string(cell), expected)
      self.assertEqual(tuple(nasbench201.from_string(expected)), cell)
    self.assertLen(cells, space().num_architectures)

  def test_the_first_official_cell(self):
    """Oracle: row 0 of the published list."""
    cell = nasbench201.from_string(OFFICIAL_FIRST)
    np.testing.assert_array_equal(cell, [4, 2, 1, 2, 1, 1])
    self.assertEqual(cell.dtype, np.int32)
    self.assertEqual(space().to_string(cell), OFFICIAL_FIRST)

  @parameterized.parameters(
    "",
    "|none~0|",
    OFFICIAL_FIRST[:-1],
    OFFICIAL_FIRST + "|",
    OFFICIAL_FIRST.replace("~2", "~1"),
    OFFICIAL_FIRST.replace("nor_conv_1x1~0|skip_connect~1|+", "none~0|+"),
  )
  def test_a_string_of_another_form_is_refused(self, text):
    """Oracle: the documented ValueError quotes what came."""
    with self.assertRaisesRegex(ValueError, "looks like"):
      nasbench201.from_string(text)

  def test_an_unknown_operation_is_named(self):
    """Oracle: the documented ValueError."""
    text = OFFICIAL_FIRST.replace("avg_pool_3x3", "max_pool_3x3")
    with self.assertRaisesRegex(ValueError, "max_pool_3x3"):
      nasbench201.from_string(text)

  def test_a_vector_of_another_length_has_no_name(self):
    """Oracle: zip(strict=True)."""
    with self.assertRaises(ValueError):
      nasbench201.to_string([0] * 5)

  @data.needs_table("nb201.npz")
  def test_strings_of_the_real_table(self):
    """Oracle: the `arch_str` and `ops` columns, all rows."""
    strings, ops = data.read_table("nb201.npz", "arch_str", "ops")
    for string, cell in zip(strings, ops, strict=True):
      text = string.decode()
      self.assertEqual(nasbench201.to_string(cell), text)
      self.assertEqual(tuple(nasbench201.from_string(text)), tuple(cell))


class NaslibTest(parameterized.TestCase):
  @parameterized.parameters(
    # Each by hand: operations in the order of NASLib's edges, 0->1, 0->2,
    # 0->3, 1->2, 1->3, 2->3, numbered skip, none, 3x3, 1x1, pool.
    ([0, 0, 0, 0, 0, 0], (1, 1, 1, 1, 1, 1)),
    ([4, 2, 1, 2, 1, 1], (4, 3, 3, 0, 0, 0)),
    ([3, 4, 0, 1, 2, 3], (2, 4, 0, 1, 3, 2)),
  )
  def test_examples(self, cell, tuple_of_naslib):
    """Oracle: derived by hand."""
    self.assertEqual(nasbench201.to_naslib(cell), tuple_of_naslib)
    self.assertEqual(list(nasbench201.from_naslib(tuple_of_naslib)), cell)

  def test_all_cells_name_the_same_operation_on_the_same_edge(self):
    """Oracle: dictionaries from edge to operation name."""
    for cell in itertools.product(range(5), repeat=6):
      ours = {e: OPERATIONS[op] for e, op in zip(EDGES, cell, strict=True)}
      naslib = nasbench201.to_naslib(cell)
      theirs = {
        e: NASLIB_OPERATIONS[op]
        for e, op in zip(NASLIB_EDGES, naslib, strict=True)
      }
      self.assertEqual(ours, theirs)
      self.assertEqual(tuple(nasbench201.from_naslib(naslib)), cell)

  @parameterized.parameters(
    ((0,) * 5,), ((0,) * 7,), ((0, 0, 0, 0, 0, 5),), ((-1, 0, 0, 0, 0, 0),)
  )
  def test_other_tuples_are_refused(self, operations):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "NASLib"):
      nasbench201.from_naslib(operations)


class SpaceTest(parameterized.TestCase):
  def test_the_space_is_one_value(self):
    """Oracle: identity, which makes it usable as a static argument."""
    self.assertIs(space(), nasbench201.nasbench201())
    self.assertEqual(space().num_architectures, 5**6)
    self.assertTrue(space().enumerable)
    self.assertEqual(space().num_neighbors, 24)

  def test_index_is_a_bijection_with_the_first_edge_least_significant(self):
    """Oracle: base-5 numbers made by NumPy."""
    cells = np.asarray(all_cells())
    rank = sum(cells[:, e].astype(int) * 5**e for e in range(6))
    np.testing.assert_array_equal(rank, np.arange(15625))
    np.testing.assert_array_equal(space().index(all_cells()), rank)
    np.testing.assert_array_equal(
      space().from_index(jnp.arange(15625)), all_cells()
    )

  def test_keys_are_distinct(self):
    """Oracle: the number of cells."""
    keys = np.asarray(space().keys(all_cells()))
    self.assertEqual((keys.shape, keys.dtype), ((15625, 2), np.uint32))
    self.assertLen(np.unique(keys, axis=0), 15625)

  def test_samples_are_uniform_and_valid(self):
    """Oracle: chi-square of all pairs of edges, fixed seed."""
    cells = space().sample(jax.random.key(0), 4000)
    self.assertTrue(np.all(space().is_valid(cells)))
    cells = np.asarray(cells)
    pvalues = []
    for a, b in itertools.combinations(range(6), 2):
      counts = np.bincount(cells[:, a] * 5 + cells[:, b], minlength=25)
      pvalues.append(stats.chisquare(counts).pvalue)
    self.assertGreater(min(pvalues), 1e-3)

  def test_neighbors_are_all_cells_at_hamming_distance_one(self):
    """Oracle: brute force over the whole space for 20 centers."""
    cells = np.asarray(all_cells())
    centers = cells[np.random.default_rng(0).choice(15625, 20)]
    found, valid = space().neighbors(jnp.asarray(centers))
    self.assertTrue(np.all(valid))
    for center, rows in zip(centers, np.asarray(found), strict=True):
      expected = cells[(cells != center).sum(1) == 1]
      self.assertEqual(set(map(tuple, rows)), set(map(tuple, expected)))
      self.assertLen(rows, 24)

  def test_mutate_draws_the_24_neighbors_uniformly(self):
    """Oracle: Hamming distance and chi-square, fixed seed."""
    parents = jnp.broadcast_to(jnp.asarray([3, 0, 4, 1, 2, 3]), (7200, 6))
    draws = jax.random.uniform(jax.random.key(3), (7200, 2))
    children = space().mutate(parents, draws)
    distance = (np.asarray(children) != np.asarray(parents)).sum(1)
    np.testing.assert_array_equal(distance, 1)
    _, counts = np.unique(space().index(children), return_counts=True)
    self.assertLen(counts, 24)
    self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)


class FeatureTest(parameterized.TestCase):
  def test_features_are_the_published_matrix(self):
    """Oracle: the 8 x 7 matrix of one cell, written by hand."""
    features = nasbench201.to_features(jnp.asarray([0, 1, 2, 3, 4, 0]))
    expected = np.zeros((8, 7))
    for row, column in enumerate([0, 2, 3, 4, 5, 6, 2, 1]):
      expected[row, column] = 1
    np.testing.assert_array_equal(features, expected)
    self.assertEqual(features.dtype, jnp.float32)
    self.assertEqual(
      nasbench201.FEATURE_COLUMNS, ("input", "output", *OPERATIONS)
    )
    self.assertEqual(space().feature_shape, (8, 7))

  def test_decoding_inverts_encoding_for_all_cells(self):
    """Oracle: identity; a batch of rank 3 too."""
    archs, valid = nasbench201.from_features(
      nasbench201.to_features(all_cells())
    )
    np.testing.assert_array_equal(archs, all_cells())
    self.assertEqual(archs.dtype, jnp.int32)
    self.assertTrue(np.all(valid))
    cube = all_cells().reshape(5, 25, 125, 6)
    archs, _ = nasbench201.from_features(nasbench201.to_features(cube))
    np.testing.assert_array_equal(archs, cube)

  def test_random_matrices_decode_by_their_inner_rows(self):
    """Oracle: NumPy arg-max; the share (5/7)^6 of valid Gaussian matrices."""
    x = np.random.default_rng(0).normal(size=(20000, 8, 7)).astype(np.float32)
    archs, valid = map(np.asarray, nasbench201.from_features(jnp.asarray(x)))
    column = x[:, 1:7].argmax(-1)
    expected = (column >= 2).all(-1)
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(archs[valid], column[valid] - 2)
    self.assertTrue(np.all(space().is_valid(jnp.asarray(archs))))
    share, p = valid.mean(), (5 / 7) ** 6
    self.assertLess(abs(share - p), 4 * np.sqrt(p * (1 - p) / len(x)))

  @parameterized.parameters(0, 1)
  def test_input_or_output_on_an_edge_is_invalid(self, column):
    """Oracle: the rule, at each edge; the other edges keep their operation."""
    for edge in range(6):
      x = np.array(nasbench201.to_features(jnp.asarray([4, 3, 2, 1, 2, 3])))
      x[edge + 1, column] = 1.5
      archs, valid = nasbench201.from_features(jnp.asarray(x))
      expected = [4, 3, 2, 1, 2, 3]
      expected[edge] = 0
      self.assertFalse(bool(valid))
      np.testing.assert_array_equal(archs, expected)

  def test_ties_go_to_the_left(self):
    """Oracle: by hand."""
    x = np.zeros((8, 7), np.float32)
    x[1:7, 2:] = 1.0
    x[2, 2] = 0.5
    x[3, :5] = 0.0
    archs, valid = nasbench201.from_features(jnp.asarray(x))
    np.testing.assert_array_equal(archs, [0, 1, 3, 0, 0, 0])
    self.assertTrue(bool(valid))
    _, valid = nasbench201.from_features(jnp.zeros((8, 7)))
    self.assertFalse(bool(valid))

  def test_ends_of_the_matrix_do_not_matter(self):
    """Oracle: rows 0 and 7 overwritten with large noise."""
    x = np.array(nasbench201.to_features(all_cells()[:50]))
    x[:, [0, 7]] = np.random.default_rng(0).normal(0, 9, (50, 2, 7))
    archs, valid = nasbench201.from_features(jnp.asarray(x))
    np.testing.assert_array_equal(archs, all_cells()[:50])
    self.assertTrue(np.all(valid))


class GraphTest(parameterized.TestCase):
  def test_the_adjacency_is_the_line_graph_of_the_cell(self):
    """Oracle: two operations touch iff one's target is the other's source."""
    cells = all_cells()[:6].reshape(2, 3, 6)
    graph = space().to_graph(cells)
    self.assertEqual(graph.adjacency.shape, (2, 3, 8, 8))
    for adjacency in np.asarray(graph.adjacency).reshape(-1, 8, 8):
      np.testing.assert_array_equal(adjacency, line_graph(EDGES))
    np.testing.assert_array_equal(graph.nodes, nasbench201.to_features(cells))

  def test_the_graph_is_acyclic_from_input_to_output(self):
    """Oracle: ten edges, strictly upper triangular, one source, one sink."""
    adjacency = np.asarray(space().to_graph(all_cells()[0]).adjacency)
    self.assertEqual(adjacency.sum(), 10)
    np.testing.assert_array_equal(adjacency, np.triu(adjacency, 1))
    self.assertEqual(np.flatnonzero(adjacency.sum(0) == 0).tolist(), [0])
    self.assertEqual(np.flatnonzero(adjacency.sum(1) == 0).tolist(), [7])

  def test_soft_graphs_are_mixtures_of_graphs(self):
    """Oracle: for two cells that differ in one edge, the mean of theirs."""
    cells = jnp.asarray([[0, 1, 2, 3, 4, 0], [0, 1, 4, 3, 4, 0]])
    options = space().one_hot(cells)
    graphs = space().to_graph(cells)
    soft = space().to_soft_graph(0.25 * options[0] + 0.75 * options[1])
    for mixed, pair in zip(soft, graphs, strict=True):
      np.testing.assert_allclose(mixed, 0.25 * pair[0] + 0.75 * pair[1])
    self.assertEqual((space().num_nodes, space().num_labels), (8, 7))

  def test_the_published_mask_has_another_order_of_edges(self):
    """Oracle: the line graph with edges sorted by source."""
    np.testing.assert_array_equal(
      nasbench201.edge_source_adjacency(), line_graph(NASLIB_EDGES)
    )


if __name__ == "__main__":
  absltest.main()
