"""Tests of nagjax.spaces.graphs against brute force in plain Python."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import graphs


def random_graphs(num_vertices, num, seed=0):
  """Edges and digits of random graphs."""
  rng = np.random.default_rng(seed)
  num_edges = num_vertices * (num_vertices - 1) // 2
  edges = rng.random((num, num_edges)) < 0.5
  return edges, rng.integers(0, 4, (num, num_vertices - 2)).astype(np.int32)


def edge_set(edges, num_vertices):
  """Pairs (x, y), by the numbering of the module's docstring."""
  pairs = itertools.combinations(range(num_vertices), 2)
  return {(x, y) for x, y in pairs if edges[x + y * (y - 1) // 2]}


def least_code(pairs, digits):
  """`canonical_code` from its definition, one permutation at a time."""
  num_inner = len(digits)
  codes = []
  for order in itertools.permutations(range(1, num_inner + 1)):
    place = (0, *order, num_inner + 1)
    moved = [(place[x], place[y]) for x, y in pairs]
    if all(x < y for x, y in moved):
      adjacency = sum(1 << (x + y * (y - 1) // 2) for x, y in moved)
      labels = sum(d << 2 * (place[v + 1] - 1) for v, d in enumerate(digits))
      codes.append(adjacency * 4**num_inner + labels)
  return min(codes)


class EdgeTest(parameterized.TestCase):
  @parameterized.parameters(2, 3, 7)
  def test_edges_are_numbered_by_target(self, num_vertices):
    """Oracle: the formula of the module's docstring."""
    source, target = graphs.edge_ends(num_vertices)
    number = source + target * (target - 1) // 2
    self.assertTrue(np.all(source < target))
    np.testing.assert_array_equal(
      number, np.arange(num_vertices * (num_vertices - 1) // 2)
    )

  def test_a_matrix_has_each_edge_at_its_ends(self):
    """Oracle: sets of pairs."""
    edges, _ = random_graphs(5, 6)
    matrix = np.asarray(graphs.adjacency_matrix(jnp.asarray(edges), 5))
    for row, one in zip(edges, matrix, strict=True):
      found = set(zip(*map(np.ndarray.tolist, np.nonzero(one)), strict=True))
      self.assertEqual(found, edge_set(row, 5))


class PathTest(parameterized.TestCase):
  @parameterized.parameters(2, 3, 4, 7)
  def test_the_closure_is_the_sum_of_powers(self, num_vertices):
    """Oracle: powers of NumPy matrices, cyclic graphs included."""
    shape = (30, num_vertices, num_vertices)
    matrix = np.random.default_rng(0).random(shape) < 0.25
    found = graphs.closure(jnp.asarray(matrix))
    power = np.eye(num_vertices, dtype=int) + matrix
    expected = np.linalg.matrix_power(power, num_vertices) > 0
    np.testing.assert_array_equal(found, expected)

  def test_the_longest_path_is_followed_to_its_end(self):
    """Oracle: a chain of each length, every vertex of which is on the path."""
    for num in (2, 3, 4, 6, 7):
      chain = jnp.asarray(np.eye(num, k=1, dtype=bool))
      self.assertTrue(np.all(graphs.on_a_path(chain)), num)
      broken = chain.at[num // 2 - 1].set(False)
      self.assertFalse(np.any(graphs.on_a_path(broken)), num)

  def test_vertices_on_a_path(self):
    """Oracle: all paths of all graphs of four vertices, listed."""
    for bits in itertools.product((False, True), repeat=6):
      pairs = edge_set(bits, 4)
      expected = set()
      for size in range(3):
        for inner in itertools.combinations((1, 2), size):
          path = (0, *inner, 3)
          if pairs.issuperset(itertools.pairwise(path)):
            expected.update(path)
      matrix = graphs.adjacency_matrix(np.asarray(bits), 4)
      found = np.flatnonzero(graphs.on_a_path(matrix))
      self.assertEqual(set(found.tolist()), expected, bits)


class CodeTest(parameterized.TestCase):
  @parameterized.parameters((3, 20), (5, 60), (7, 25))
  def test_codes_are_the_least_over_all_permutations(self, num_vertices, num):
    """Oracle: the definition, permutation by permutation."""
    edges, digits = random_graphs(num_vertices, num)
    code = jax.jit(graphs.canonical_code)(edges, digits)
    self.assertEqual(code.dtype, jnp.int32)
    expected = [
      least_code(edge_set(e, num_vertices), d.tolist())
      for e, d in zip(edges, digits, strict=True)
    ]
    np.testing.assert_array_equal(code, expected)

  def test_the_largest_code_is_exact(self):
    """Oracle: 2^31 - 1, the complete graph with digits 3."""
    edges, digits = np.ones((1, 21), bool), np.full((1, 5), 3, np.int32)
    code = graphs.canonical_code(jnp.asarray(edges), jnp.asarray(digits))
    self.assertEqual(int(code[0]), 2**31 - 1)

  def test_chunks_and_vmap_change_nothing(self):
    """Oracle: the same graphs one batch at a time."""
    edges, digits = map(jnp.asarray, random_graphs(4, 9000))
    whole = graphs.canonical_code(edges, digits)
    pieces = jax.vmap(graphs.canonical_code)(
      edges.reshape(9, 1000, 6), digits.reshape(9, 1000, 2)
    )
    np.testing.assert_array_equal(pieces.ravel(), whole)
    one = graphs.canonical_code(edges[7], digits[7])
    self.assertEqual((one.shape, int(one)), ((), int(whole[7])))

  @parameterized.parameters(3, 4, 7)
  def test_decoding_gives_a_graph_of_the_same_code(self, num_vertices):
    """Oracle: encoding again; an identity where the code is an identity."""
    edges, digits = map(jnp.asarray, random_graphs(num_vertices, 50))
    code = graphs.canonical_code(edges, digits)
    edges, digits = graphs.decode(code, num_vertices)
    self.assertEqual((edges.dtype, digits.dtype), (bool, jnp.int32))
    np.testing.assert_array_equal(graphs.canonical_code(edges, digits), code)
    weights = 1 << np.arange(edges.shape[1])
    places = 4 ** np.arange(digits.shape[1])
    number = np.asarray(edges) @ weights * 4 ** len(places)
    np.testing.assert_array_equal(number + np.asarray(digits) @ places, code)

  def test_isolated_vertices_come_last(self):
    """Oracle: the docstring; graphs whose vertices 1 and 3 have no edges."""
    edges, digits = random_graphs(6, 40)
    source, target = graphs.edge_ends(6)
    edges &= ~np.isin(source, (1, 3)) & ~np.isin(target, (1, 3))
    edges[:, (target == 5) & np.isin(source, (2, 4))] = True
    code = graphs.canonical_code(jnp.asarray(edges), jnp.asarray(digits))
    moved, _ = graphs.decode(code, 6)
    touched = np.asarray(moved)[:, (source >= 3) & (source < 5)]
    self.assertFalse(touched.any())


if __name__ == "__main__":
  absltest.main()
