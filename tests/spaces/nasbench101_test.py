"""Tests of nagjax.spaces.nasbench101: names, isomorphism, views."""

import functools
import itertools
import json

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax.benchmarks import nasbench101 as table
from nagjax.spaces import nasbench101
from tests import data

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
SOURCES, TARGETS = zip(
  *[(x, y) for y in range(7) for x in range(y)], strict=True
)

# The cell of figure 1 of the paper, as its authors' example writes it.
EXAMPLE_MATRIX = [
  [0, 1, 1, 1, 0, 1, 0],
  [0, 0, 0, 0, 0, 0, 1],
  [0, 0, 0, 0, 0, 0, 1],
  [0, 0, 0, 0, 1, 0, 0],
  [0, 0, 0, 0, 0, 0, 1],
  [0, 0, 0, 0, 0, 0, 1],
  [0, 0, 0, 0, 0, 0, 0],
]
EXAMPLE_NAMES = ["input", CONV1, CONV3, CONV3, CONV3, POOL, "output"]


def space():
  return nasbench101.nasbench101()


@functools.cache
def random_vectors(num=400, seed=0):
  """Uniformly random vectors, cells or not."""
  rng = np.random.default_rng(seed)
  ops = rng.integers(0, 3, (num, 5))
  return np.hstack([rng.integers(0, 2, (num, 21)), ops]).astype(np.int32)


def small_vectors(num_vertices):
  """All vectors whose edges join input, output and the first inner vertices."""
  used = {*range(num_vertices - 1), 6}
  free = [
    e
    for e, (x, y) in enumerate(zip(SOURCES, TARGETS, strict=True))
    if {x, y} <= used
  ]
  num_inner = num_vertices - 2
  bits = list(itertools.product((0, 1), repeat=len(free)))
  ops = list(itertools.product((0, 1, 2), repeat=num_inner))
  archs = np.zeros((len(bits), len(ops), 26), np.int32)
  archs[:, :, free] = np.asarray(bits)[:, None]
  archs[:, :, 21 : 21 + num_inner] = np.asarray(ops).reshape(len(ops), -1)
  return archs.reshape(-1, 26)


def cell_of(arch):
  """Pruned edges and labels by walking along all paths, in plain Python."""
  edges = {
    (x, y) for x, y, e in zip(SOURCES, TARGETS, arch[:21], strict=True) if e
  }
  paths, waiting = [], [(0,)]
  while waiting:
    path = waiting.pop()
    if path[-1] == 6:
      paths.append(path)
    waiting.extend((*path, y) for x, y in edges if x == path[-1])
  kept = {pair for path in paths for pair in itertools.pairwise(path)}
  vertices = sorted({v for path in paths for v in path})
  labels = {v: arch[20 + v] for v in vertices if 0 < v < 6}
  return kept, labels


def isomorphic(one, other):
  """Whether some renaming of inner vertices maps one cell to the other."""
  (edges, labels), (edges2, labels2) = one, other
  if len(labels) != len(labels2) or len(edges) != len(edges2):
    return False
  for order in itertools.permutations(labels2):
    name = {0: 0, 6: 6, **dict(zip(labels, order, strict=True))}
    if {(name[x], name[y]) for x, y in edges} == edges2 and all(
      labels2[name[v]] == op for v, op in labels.items()
    ):
      return True
  return False


def relabeled(arch, rng):
  """An isomorphic vector with its vertices in another topological order."""
  while True:
    place = [0, *(rng.permutation(5) + 1), 6]
    result = np.zeros(26, np.int32)
    pairs = [
      (place[x], place[y])
      for x, y, e in zip(SOURCES, TARGETS, arch[:21], strict=True)
      if e
    ]
    if all(x < y for x, y in pairs):
      for x, y in pairs:
        result[x + y * (y - 1) // 2] = 1
      for v in range(1, 6):
        result[20 + place[v]] = arch[20 + v]
      return result


class SpaceTest(parameterized.TestCase):
  def test_the_space_is_one_value(self):
    """Oracle: identity, and sizes counted by hand."""
    self.assertIs(space(), nasbench101.nasbench101())
    self.assertEqual(space().num_variables, 26)
    self.assertEqual(space().num_neighbors, 21 + 2 * 5)
    self.assertEqual((space().num_nodes, space().num_labels), (7, 5))
    self.assertFalse(space().enumerable)
    self.assertEqual(sum(space().topology), 21)

  def test_valid_vectors_connect_the_ends_by_at_most_nine_edges(self):
    """Oracle: all paths, listed in plain Python; out of range is invalid."""
    archs = random_vectors()
    cells = [cell_of(arch) for arch in archs.tolist()]
    expected = [0 < len(edges) <= 9 for edges, _ in cells]
    found = jax.jit(space().is_valid)(archs)
    np.testing.assert_array_equal(found, expected)
    wrong = np.array(archs[np.argmax(expected)])
    for place, value in ((0, 2), (3, -1), (21, 3), (25, -1)):
      bad = wrong.copy()
      bad[place] = value
      self.assertFalse(bool(space().is_valid(jnp.asarray(bad))))

  def test_samples_are_valid(self):
    """Oracle: `is_valid`; a failure has a probability below 1e-6."""
    archs = jax.jit(space().sample, static_argnums=1)(jax.random.key(0), 500)
    self.assertTrue(np.all(space().is_valid(archs)))


class SampleTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_all_cells_can_be_drawn_and_each_in_one_way(self):
    """Oracle: the published number of cells, counted among all proposals."""
    matrices = jnp.asarray(nasbench101._whole_matrices())
    labels = list(itertools.product(range(3), repeat=5))
    labels = jnp.asarray(labels, jnp.int32)

    def count(edges):
      edges = jnp.broadcast_to(edges, (len(labels), 21))
      archs = jnp.concatenate([edges, labels], axis=-1)
      taken = jnp.all(space().canonicalize(archs) == archs, axis=-1)
      return jnp.sum(taken), jnp.all(space().is_valid(archs))

    taken, valid = jax.jit(lambda m: jax.lax.map(count, m))(matrices)
    self.assertEqual(int(jnp.sum(taken)), space().num_architectures)
    self.assertTrue(np.all(valid))
    share = space().num_architectures / (len(matrices) * len(labels))
    self.assertLess(abs(share - 0.269), 5e-4)

  @pytest.mark.slow
  def test_cells_are_drawn_uniformly(self):
    """Oracle: published numbers of cells of 7, 6 and fewer vertices."""
    sample = jax.jit(nasbench101.sample_cells, static_argnums=1)
    archs = sample(jax.random.key(0), 4000)
    self.assertEqual((archs.shape, archs.dtype), ((4000, 26), jnp.int32))
    self.assertTrue(np.all(space().is_valid(archs)))
    size = np.sum(np.any(space().to_graph(archs).nodes, axis=-1), axis=-1)
    counts = [np.sum(size == 7), np.sum(size == 6), np.sum(size < 6)]
    cells = np.asarray([423_624 - 64_542, 64_542 - 2_532, 2_532])
    expected = 4000 * cells / cells.sum()
    self.assertGreater(stats.chisquare(counts, expected).pvalue, 1e-3)


class IsomorphismTest(parameterized.TestCase):
  @parameterized.parameters((2, 1), (3, 7), (4, 91), (5, 2532))
  def test_published_numbers_of_cells(self, num_vertices, expected):
    """Oracle: the published counts of cells of up to so many vertices."""
    archs = jnp.asarray(small_vectors(num_vertices))
    code = nasbench101.codes(archs)[space().is_valid(archs)]
    self.assertLen(np.unique(code), expected)

  def test_keys_are_equal_for_isomorphic_cells_only(self):
    """Oracle: permutations in plain Python, all pairs of cells of 4 vertices.

    Every 11th of 576 vectors, and a renamed one of each.
    """
    rng = np.random.default_rng(0)
    archs = small_vectors(4)[::11]
    archs = archs[np.asarray(space().is_valid(jnp.asarray(archs)))]
    archs = np.stack([*archs, *(relabeled(a, rng) for a in archs)])
    keys = np.asarray(space().keys(jnp.asarray(archs)))
    cells = [cell_of(arch) for arch in archs.tolist()]
    same = [[isomorphic(a, b) for a in cells] for b in cells]
    equal = (keys[:, None] == keys[None]).all(-1)
    np.testing.assert_array_equal(equal, same)
    self.assertGreater(equal.sum(), 2 * len(archs))
    self.assertLess(equal.mean(), 0.9)

  def test_renamed_cells_have_the_same_key_and_canonical_form(self):
    """Oracle: vertices put into a random other order."""
    rng = np.random.default_rng(1)
    archs = random_vectors(100)
    others = np.stack([relabeled(arch, rng) for arch in archs])
    self.assertGreater((archs != others).any(1).sum(), 50)
    canonicalize = jax.jit(space().canonicalize)
    np.testing.assert_array_equal(canonicalize(archs), canonicalize(others))
    keys = np.asarray(space().keys(jnp.asarray(archs)))
    np.testing.assert_array_equal(keys, space().keys(jnp.asarray(others)))
    self.assertEqual((keys.shape, keys.dtype), ((100, 2), np.uint32))

  def test_superfluous_vertices_do_not_count(self):
    """Oracle: an operation and an edge of a vertex without a way out."""
    arch = nasbench101.from_matrix(
      [[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", POOL, "output"]
    )
    other = arch.copy()
    other[[0 + 4 * 3 // 2, 24]] = 1, 2  # Edge 0 -> 4 and the label of 4.
    keys = space().keys(jnp.asarray([arch, other]))
    np.testing.assert_array_equal(keys[0], keys[1])

  def test_canonical_vectors_are_the_same_cells(self):
    """Oracle: plain Python isomorphism; idempotence; the docstring."""
    archs = random_vectors(120)
    archs = archs[np.asarray(space().is_valid(jnp.asarray(archs)))]
    canonical = space().canonicalize(jnp.asarray(archs))
    self.assertEqual(canonical.dtype, jnp.int32)
    self.assertTrue(np.all(space().is_valid(canonical)))
    np.testing.assert_array_equal(space().canonicalize(canonical), canonical)
    for arch, other in zip(
      archs.tolist(), np.asarray(canonical).tolist(), strict=True
    ):
      edges, labels = cell_of(other)
      self.assertTrue(isomorphic(cell_of(arch), (edges, labels)))
      self.assertEqual(list(labels), list(range(1, len(labels) + 1)))
      self.assertEqual(sum(other[:21]), len(edges))
      self.assertFalse(any(other[21 + len(labels) :]))

  @pytest.mark.slow
  def test_jit_vmap_and_batches_agree(self):
    """Oracle: one vector at a time."""
    archs = jnp.asarray(random_vectors(12))
    expected = jnp.stack([space().canonicalize(arch) for arch in archs])
    cube = archs.reshape(2, 6, 26)
    for found in (
      jax.vmap(space().canonicalize)(cube),
      jax.jit(space().canonicalize)(cube),
    ):
      np.testing.assert_array_equal(found.reshape(12, 26), expected)

  @data.needs_table("nb101.npz")
  def test_all_cells_of_the_table_have_different_keys(self):
    """Oracle: the published number of cells."""
    columns = data.read_table("nb101.npz", "n_vertices", "adj_bits", "ops")
    archs = table.vectors(*columns)
    code = jax.jit(nasbench101.codes)(archs)
    self.assertLen(np.unique(code), space().num_architectures)
    self.assertTrue(np.all(jax.jit(nasbench101.is_valid)(archs)))


class GraphTest(parameterized.TestCase):
  def test_graphs_are_pruned(self):
    """Oracle: paths listed in plain Python."""
    archs = random_vectors(40)
    graph = jax.jit(space().to_graph)(archs)
    for arch, nodes, adjacency in zip(archs.tolist(), *graph, strict=True):
      edges, labels = cell_of(arch)
      expected = np.zeros((7, 7))
      expected[tuple(np.asarray([*edges], int).reshape(-1, 2).T)] = 1
      np.testing.assert_array_equal(adjacency, expected)
      rows = np.zeros((7, 5))
      if edges:
        rows[0, 1] = rows[6, 0] = 1
      for vertex, op in labels.items():
        rows[vertex, 2 + op] = 1
      np.testing.assert_array_equal(nodes, rows)
    self.assertEqual(
      nasbench101.LABELS, ("output", "input", CONV3, CONV1, POOL)
    )

  def test_soft_graphs_of_one_hot_options_are_the_graphs_before_pruning(self):
    """Oracle: the entries of the vectors, one by one."""
    archs = random_vectors(10)
    soft = space().to_soft_graph(space().one_hot(jnp.asarray(archs)))
    nodes, adjacency = map(np.asarray, soft)
    np.testing.assert_array_equal(adjacency[:, SOURCES, TARGETS], archs[:, :21])
    self.assertEqual(adjacency.sum(), archs[:, :21].sum())
    np.testing.assert_array_equal(nodes[:, 1:6].argmax(-1), archs[:, 21:] + 2)
    np.testing.assert_array_equal(nodes.sum(-1), 1)
    complete = jnp.asarray(np.where(np.arange(26) < 21, 1, archs))
    whole = space().to_soft_graph(space().one_hot(complete))
    for a, b in zip(whole, space().to_graph(complete), strict=True):
      np.testing.assert_array_equal(a, b)

  def test_soft_graphs_are_linear(self):
    """Oracle: the mean of two soft graphs."""
    a, b = np.random.default_rng(0).random((2, 3, 26, 3)).astype(np.float32)
    mixed = space().to_soft_graph(jnp.asarray(0.25 * a + 0.75 * b))
    pair = (
      space().to_soft_graph(jnp.asarray(a)),
      space().to_soft_graph(jnp.asarray(b)),
    )
    for m, x, y in zip(mixed, *pair, strict=True):
      np.testing.assert_allclose(m, 0.25 * x + 0.75 * y, rtol=1e-5)


class FeatureTest(parameterized.TestCase):
  def test_decoding_inverts_encoding(self):
    """Oracle: identity; validity as `is_valid` has it."""
    archs = jnp.asarray(random_vectors(60)).reshape(3, 20, 26)
    features = space().to_features(archs)
    self.assertEqual(features.shape[-2:], space().feature_shape)
    decoded, valid = space().from_features(features)
    np.testing.assert_array_equal(decoded, archs)
    np.testing.assert_array_equal(valid, space().is_valid(archs))
    self.assertEqual(decoded.dtype, jnp.int32)

  def test_the_third_column_of_an_edge_is_not_read(self):
    """Oracle: NumPy arg-max of random matrices, by hand at ties."""
    x = np.random.default_rng(0).normal(size=(50, 26, 3)).astype(np.float32)
    archs, _ = space().from_features(jnp.asarray(x))
    np.testing.assert_array_equal(archs[:, :21], x[:, :21, :2].argmax(-1))
    np.testing.assert_array_equal(archs[:, 21:], x[:, 21:].argmax(-1))
    archs, valid = space().from_features(jnp.zeros((26, 3)))
    self.assertFalse(np.any(archs))
    self.assertFalse(bool(valid))


class NameTest(parameterized.TestCase):
  def test_the_published_example(self):
    """Oracle: the matrix, read by eye, both ways."""
    arch = nasbench101.from_matrix(EXAMPLE_MATRIX, EXAMPLE_NAMES)
    matrix, names = nasbench101.to_matrix(arch)
    np.testing.assert_array_equal(matrix, EXAMPLE_MATRIX)
    self.assertEqual(list(names), EXAMPLE_NAMES)
    self.assertEqual((arch.dtype, arch.shape), (np.int32, (26,)))
    self.assertEqual(arch[21:].tolist(), [1, 0, 0, 0, 2])
    text = "".join(str(bit) for row in EXAMPLE_MATRIX for bit in row)
    text += f":input,{CONV1},{CONV3},{CONV3},{CONV3},{POOL},output"
    self.assertEqual(nasbench101.to_string(arch), text)
    np.testing.assert_array_equal(nasbench101.from_string(text), arch)

  def test_strings_name_the_same_cell(self):
    """Oracle: the key, and plain Python isomorphism of a few."""
    archs = random_vectors(150)
    archs = archs[np.asarray(space().is_valid(jnp.asarray(archs)))]
    strings = [space().to_string(arch) for arch in archs]
    back = np.stack([space().from_string(string) for string in strings])
    np.testing.assert_array_equal(
      space().keys(jnp.asarray(back)), space().keys(jnp.asarray(archs))
    )
    for arch, other in list(zip(archs.tolist(), back.tolist(), strict=True))[
      :9
    ]:
      self.assertTrue(isomorphic(cell_of(arch), cell_of(other)))
    self.assertEqual([space().to_string(arch) for arch in back], strings)

  def test_superfluous_vertices_are_left_out(self):
    """Oracle: by hand; the example within eight vertices."""
    matrix = np.zeros((8, 8), int)
    place = [0, 2, 3, 4, 5, 6, 7]
    matrix[np.ix_(place, place)] = EXAMPLE_MATRIX
    matrix[0, 1] = 1
    names = ["input", POOL, *EXAMPLE_NAMES[1:]]
    np.testing.assert_array_equal(
      nasbench101.from_matrix(matrix, names),
      nasbench101.from_matrix(EXAMPLE_MATRIX, EXAMPLE_NAMES),
    )

  @parameterized.named_parameters(
    ("cyclic", [[0, 1, 0], [0, 0, 1], [0, 1, 0]], [POOL], "upper"),
    ("loop", [[0, 1, 0], [0, 1, 1], [0, 0, 0]], [POOL], "upper"),
    ("disconnected", [[0, 1, 0], [0, 0, 0], [0, 0, 0]], [POOL], "path"),
    ("many_vertices", np.eye(8, k=1, dtype=int), [POOL] * 6, "at most 7"),
    ("many_edges", np.triu(np.ones((5, 5), int), 1), [POOL] * 3, "and 10"),
    ("no_bits", [[0, 2, 0], [0, 0, 1], [0, 0, 0]], [POOL], "0/1"),
    ("ragged", [[0, 1], [0, 0]], [POOL], "shape"),
    ("unknown", np.eye(3, k=1, dtype=int), ["conv5x5"], "conv5x5"),
    ("inner_input", np.eye(3, k=1, dtype=int), ["input"], "Operations are"),
  )
  def test_what_is_no_cell_is_refused(self, matrix, inner, message):
    """Oracle: the documented ValueError names the reason."""
    names = ["input", *inner, "output"]
    with self.assertRaisesRegex(ValueError, message):
      nasbench101.from_matrix(matrix, names)

  @parameterized.parameters(
    "",
    "010001000",
    f"01000100:input,{POOL},output",
    f"010001002:input,{POOL},output",
    f"010001000:input,{POOL},{POOL},output",
  )
  def test_a_string_of_another_form_is_refused(self, text):
    """Oracle: the documented ValueError shows the form and what came."""
    with self.assertRaisesRegex(ValueError, "matrix by rows.*got"):
      nasbench101.from_string(text)

  @parameterized.parameters(([0] * 26,), ([0] * 25,), ([2] * 26,), ([1] * 26,))
  def test_a_vector_that_is_no_cell_has_no_name(self, arch):
    """Oracle: the documented ValueError."""
    with self.assertRaises(ValueError):
      nasbench101.to_string(arch)

  @data.needs_table("samples/reconstructed_nasbench_only108_30archs.jsonl")
  def test_records_of_upstream(self):
    """Oracle: matrix and operations of 30 real records."""
    path = data.table_path(
      "samples/reconstructed_nasbench_only108_30archs.jsonl"
    )
    for line in path.read_text().splitlines():
      _, _, bits, names, _ = json.loads(line)
      text = f"{bits}:{names}"
      self.assertEqual(
        nasbench101.to_string(nasbench101.from_string(text)), text
      )


if __name__ == "__main__":
  absltest.main()
