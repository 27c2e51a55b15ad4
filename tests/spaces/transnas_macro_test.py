"""Tests of nagjax.spaces.transnas_macro."""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.spaces import transnas_macro
from tests import data

TABLE = "tnb101_macro_subset.npz"


def space():
  return transnas_macro.transnas_macro()


@functools.cache
def strings():
  """All official strings, from the ranges of the paper."""
  found = []
  for num in (4, 5, 6):
    for digits in itertools.product("1234", repeat=num):
      doublings = sum(d in "24" for d in digits)
      halvings = sum(d in "34" for d in digits)
      if 1 <= doublings <= 3 and 1 <= halvings <= 4:
        found.append(f"64-{''.join(digits)}-basic")
  return found


def vector(string):
  """The vector of a string, digit by digit."""
  digits = [int(d) - 1 for d in string.split("-")[1]]
  return digits + [4] * (6 - len(digits))


@functools.cache
def archs():
  return jnp.asarray([vector(string) for string in strings()])


class NameTest(parameterized.TestCase):
  def test_there_are_3256_skeletons(self):
    """Oracle: the published number, 210 + 750 + 2,296."""
    lengths = [len(s) - len("64--basic") for s in strings()]
    self.assertEqual(np.bincount(lengths)[4:].tolist(), [210, 750, 2296])
    self.assertEqual(space().num_architectures, 3256)
    np.testing.assert_array_equal(
      transnas_macro.all_skeletons(), np.asarray(archs())
    )

  def test_strings_of_all_skeletons(self):
    """Oracle: the official form, written down in this test."""
    for string in strings():
      self.assertEqual(space().to_string(vector(string)), string)
      self.assertEqual(space().from_string(string).tolist(), vector(string))

  @parameterized.parameters(
    "",
    "64-111-basic",
    "64-1111-basic",
    "64-3333-basic",
    "64-2222-basic",
    "64-44444-basic",
    "64-1234567-basic",
    "64-41414-1_02_333",
    "64-0114-basic",
  )
  def test_strings_of_no_skeleton(self, text):
    """Oracle: the documented ValueError quotes what came."""
    with self.assertRaisesRegex(ValueError, f"4 to 6 modules.*'{text}'"):
      space().from_string(text)

  @parameterized.parameters(
    ([0, 0, 0, 0, 4, 4],), ([1, 2, 0, 0, 4, 0],), ([1, 2, 2, 2, 2, 2],)
  )
  def test_vectors_of_no_skeleton_have_no_name(self, wrong):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "4 to 6 modules"):
      space().to_string(wrong)

  @data.needs_table(TABLE)
  def test_rows_of_the_real_table(self):
    """Oracle: its digits, padded by 0 behind the last module."""
    (ops,) = data.read_table(TABLE, "ops")
    for row in ops.astype(int).tolist():
      string = "64-" + "".join(str(d) for d in row if d) + "-basic"
      self.assertEqual(space().to_string(space().from_string(string)), string)


class ValidityTest(parameterized.TestCase):
  def test_validity_of_all_vectors(self):
    """Oracle: the list of all skeletons, from strings."""
    vectors = np.asarray(list(itertools.product(range(6), repeat=6)))
    known = {tuple(v) for v in np.asarray(archs()).tolist()}
    found = np.asarray(jax.jit(space().is_valid)(jnp.asarray(vectors)))
    expected = [tuple(v) in known for v in vectors.tolist()]
    np.testing.assert_array_equal(found, expected)
    self.assertFalse(space().is_valid(jnp.asarray([-1, 1, 2, 3, 4, 4])))

  def test_neighbors_and_mutations(self):
    """Oracle: all skeletons at distance one, by brute force."""
    for string in ("64-2311-basic", "64-41414-basic", "64-122334-basic"):
      centre = np.asarray(vector(string))
      expected = {
        tuple(v)
        for v in np.asarray(archs()).tolist()
        if np.sum(np.asarray(v) != centre) == 1
      }
      found, valid = space().neighbors(jnp.asarray(centre))
      got = {tuple(v) for v in np.asarray(found)[np.asarray(valid)].tolist()}
      self.assertEqual(got, expected)
    draws = jax.random.uniform(jax.random.key(0), (2000, 2))
    parents = jnp.broadcast_to(jnp.asarray(centre), (2000, 6))
    children = np.asarray(jax.jit(space().mutate)(parents, draws)).tolist()
    self.assertEqual({tuple(child) for child in children}, expected)

  def test_samples_are_uniform(self):
    """Oracle: chi-square over all skeletons; fixed seed."""
    drawn = jax.jit(space().sample, static_argnums=1)(jax.random.key(1), 60_000)
    place = {tuple(v): i for i, v in enumerate(np.asarray(archs()).tolist())}
    rows = [place[tuple(v)] for v in np.asarray(drawn).tolist()]
    counts = np.bincount(rows, minlength=3256)
    self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)


class ViewTest(parameterized.TestCase):
  def test_features_are_the_6_x_5_matrix(self):
    """Oracle: none and the digits 1..4, filled entry by entry; the way back."""
    features = np.asarray(jax.jit(space().to_features)(archs()))
    self.assertEqual(features.shape, (3256, *space().feature_shape))
    for string, matrix in list(zip(strings(), features, strict=True))[::53]:
      expected = np.zeros((6, 5))
      digits = string.split("-")[1].ljust(6, "0")
      for row, digit in enumerate(digits):
        expected[row, int(digit)] = 1
      np.testing.assert_array_equal(matrix, expected)
    back, valid = jax.jit(space().from_features)(features)
    np.testing.assert_array_equal(back, archs())
    self.assertTrue(valid.all())

  def test_disturbed_matrices(self):
    """Oracle: the program's rule: digits that are not none, concatenated."""
    noise = np.random.default_rng(0).normal(size=(2000, 6, 5))
    found, valid = jax.jit(space().from_features)(jnp.asarray(noise))
    for matrix, arch, is_valid in zip(noise, found, valid, strict=True):
      digits = "".join(str(d) for d in matrix.argmax(-1) if d)
      string = f"64-{digits}-basic"
      self.assertEqual(bool(is_valid), string in set(strings()))
      if is_valid:
        self.assertEqual(space().to_string(np.asarray(arch)), string)
    self.assertBetween(float(valid.mean()), 0.1, 0.9)

  def test_graphs_are_chains(self):
    """Oracle: a walk from the input to the output reads the digits."""
    graph = jax.jit(space().to_graph)(archs())
    nodes, edges = np.asarray(graph.nodes), np.asarray(graph.adjacency)
    for row in range(0, 3256, 37):
      at, digits = 0, ""
      while at != 7:
        (at,) = np.flatnonzero(edges[row, at])
        digits += str(nodes[row, at].argmax()) if at != 7 else ""
      self.assertEqual(f"64-{digits}-basic", strings()[row])
      self.assertEqual(edges[row].sum(), len(digits) + 1)
      self.assertEqual(nodes[row].sum(), len(digits) + 2)
      self.assertEqual(nodes[row, -1].tolist(), [0, 0, 0, 0, 0, 1])


if __name__ == "__main__":
  absltest.main()
