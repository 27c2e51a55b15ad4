"""Tests of nagjax.spaces.base on spaces of unequal variables."""

import dataclasses
import itertools
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.spaces import base

CARDINALITIES = (3, 2, 5)


def toy_space(cardinalities=CARDINALITIES, num_architectures=None, **fields):
  """A space of which only the generic parts are used."""
  return base.SearchSpace(
    "toy", cardinalities, num_architectures=num_architectures or 0, **fields
  )


def space_with_holes(num_tries=20):
  """Of 30 vectors 8 are no architectures: the last variable is 4 or all 0."""
  return toy_space(
    num_tries=num_tries,
    is_valid=lambda a: (a[..., 2] != 4) & (a[..., 0] + a[..., 1] > 0),
  )


class SizeTest(parameterized.TestCase):
  def test_sizes(self):
    """Oracle: counted by hand."""
    space = toy_space()
    self.assertEqual(space.num_variables, 3)
    self.assertEqual(space.num_options, 5)
    self.assertEqual(space.num_neighbors, 2 + 1 + 4)
    self.assertTrue(space.enumerable)

  def test_all_architectures_counts_with_the_first_variable_fastest(self):
    """Oracle: itertools."""
    expected = [
      c[::-1] for c in itertools.product(range(5), range(2), range(3))
    ]
    np.testing.assert_array_equal(toy_space().all_architectures(), expected)

  def test_index_is_the_position_among_all_and_from_index_inverts_it(self):
    """Oracle: arange, for batches of any rank."""
    space = toy_space()
    archs = jnp.asarray(space.all_architectures())
    index = np.arange(30)
    np.testing.assert_array_equal(space.index(archs), index)
    np.testing.assert_array_equal(space.from_index(jnp.asarray(index)), archs)
    grid = space.from_index(jnp.asarray(index).reshape(5, 6))
    self.assertEqual(grid.shape, (5, 6, 3))
    np.testing.assert_array_equal(space.index(grid).ravel(), index)
    self.assertEqual(space.index(archs[7]).shape, ())

  def test_a_space_with_holes_or_too_many_members_has_no_index(self):
    """Oracle: the documented ValueError."""
    for space in (toy_space(num_architectures=29), toy_space((5,) * 14)):
      self.assertFalse(space.enumerable)
      one = jnp.zeros((1, space.num_variables), jnp.int32)
      for call in (
        lambda s=space, a=one: s.index(a),
        lambda s=space: s.from_index(jnp.zeros(1, jnp.int32)),
        lambda s=space: s.all_architectures(),
      ):
        with self.assertRaisesRegex(ValueError, "enumerable"):
          call()

  def test_one_hot(self):
    """Oracle: rows of an identity matrix, padded to the widest variable."""
    archs = np.asarray([[2, 1, 4], [0, 0, 0]])
    result = toy_space().one_hot(jnp.asarray(archs))
    np.testing.assert_array_equal(result, np.eye(5)[archs])


class KeysTest(parameterized.TestCase):
  def test_keys_of_a_small_space_are_distinct(self):
    """Oracle: the number of members."""
    space = toy_space()
    keys = np.asarray(space.keys(jnp.asarray(space.all_architectures())))
    self.assertEqual(keys.dtype, np.uint32)
    self.assertLen(np.unique(keys, axis=0), 30)

  @parameterized.parameters(
    ((5,) * 26,), ((9,) * 20,), ((2, 3, 4, 5, 6, 7) * 4,)
  )
  def test_keys_of_a_huge_space_are_mixed_radix_words(self, cardinalities):
    """Oracle: Python integers that decode back to the vector."""
    space = toy_space(cardinalities)
    rng = np.random.default_rng(0)
    archs = rng.integers(0, cardinalities, (50, len(cardinalities)))
    archs = np.concatenate([archs, [np.asarray(cardinalities) - 1]])
    keys = np.asarray(space.keys(jnp.asarray(archs, jnp.int32))).tolist()
    for arch, (low, high) in zip(archs.tolist(), keys, strict=True):
      decoded, number, switched = [], low, False
      for cardinality in cardinalities:
        # The first word is exhausted once the next radix would overflow it.
        used = math.prod(cardinalities[: len(decoded) + 1])
        if not switched and used >= 2**32:
          self.assertEqual(number, 0)
          number, switched = high, True
        decoded.append(number % cardinality)
        number //= cardinality
      self.assertEqual(decoded, arch)

  def test_vectors_beyond_two_words_are_hashed(self):
    """Oracle: 3^41 > 2^64; 40,000 different vectors, 40,000 keys and words."""
    space = toy_space((3,) * 41)
    archs = np.random.default_rng(0).integers(0, 3, (40_000, 41))
    archs[1::2] = archs[::2]  # Pairs that differ in one variable only.
    place = np.arange(20_000) % 41
    archs[1::2][np.arange(20_000), place] += 1
    archs %= 3
    keys = np.asarray(space.keys(jnp.asarray(archs, jnp.int32)))
    self.assertLen(np.unique(keys, axis=0), 40_000)
    for word in keys.T:
      # 40,000 draws of 2^32 have 0.19 pairs on average; each bit is fair.
      self.assertGreater(len(np.unique(word)), 39_995)
      share = np.unpackbits(word[:, None].view(np.uint8), axis=1).mean(0)
      np.testing.assert_allclose(share, 0.5, atol=0.015)

  def test_a_space_may_name_architectures_itself(self):
    """Oracle: its own function."""
    space = toy_space(key_fn=lambda a: a[..., :2].astype(jnp.uint32))
    np.testing.assert_array_equal(space.keys(jnp.asarray([2, 1, 4])), [2, 1])


class SampleTest(parameterized.TestCase):
  def test_samples_are_uniform(self):
    """Oracle: chi-square against 30 equal cells, fixed seed."""
    space = toy_space()
    archs = space.sample(jax.random.key(1), 6000)
    counts = np.bincount(np.asarray(space.index(archs)), minlength=30)
    self.assertLen(counts, 30)
    self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_given_draws_choose_options_by_equal_intervals(self):
    """Oracle: floor(u K), for batches of any rank; extreme draws too."""
    space = toy_space()
    below_one = float(np.nextafter(np.float32(1), 0))
    draws = np.asarray(
      [[[0, 0, 0], [0.34, 0.5, 0.2]], [[0.66, 0.49, 0.61], [below_one] * 3]],
      np.float32,
    )
    archs = space.from_uniform(jnp.asarray(draws))
    np.testing.assert_array_equal(
      archs, [[[0, 0, 0], [1, 1, 1]], [[1, 0, 3], [2, 1, 4]]]
    )
    self.assertEqual(archs.dtype, jnp.int32)
    wide = toy_space((9,) * 20).from_uniform(jnp.full((1, 20), below_one))
    np.testing.assert_array_equal(wide, 8)

  def test_samples_of_a_space_with_holes_are_uniform_over_the_rest(self):
    """Oracle: chi-square against the valid vectors of brute force."""
    space = space_with_holes()
    everything = jnp.asarray(toy_space().all_architectures())
    valid = np.asarray(space.is_valid(everything))
    archs = space.sample(jax.random.key(1), 6000)
    counts = np.bincount(toy_space().index(archs), minlength=30)
    self.assertEqual(counts[~valid].sum(), 0)
    self.assertGreater(stats.chisquare(counts[valid]).pvalue, 1e-3)

  def test_without_luck_a_sample_is_the_last_try(self):
    """Oracle: one try is `from_uniform`."""
    space = space_with_holes(num_tries=1)
    draws = jax.random.uniform(jax.random.key(1), (50, 1, 3))
    np.testing.assert_array_equal(
      space.sample(jax.random.key(1), 50), space.from_uniform(draws[:, 0])
    )


class NeighborTest(parameterized.TestCase):
  def test_neighbors_are_all_vectors_at_hamming_distance_one(self):
    """Oracle: brute force over the whole space, every center."""
    space = toy_space()
    archs = space.all_architectures()
    found, valid = space.neighbors(jnp.asarray(archs))
    self.assertEqual(found.shape, (30, 7, 3))
    self.assertTrue(np.all(valid))
    distance = (archs[:, None] != archs[None]).sum(-1)
    for center, rows in enumerate(np.asarray(found)):
      expected = {tuple(a) for a in archs[distance[center] == 1]}
      self.assertEqual(set(map(tuple, rows)), expected)

  def test_neighbors_of_one_vector_follow_the_order_of_variables(self):
    """Oracle: the variable that differs, counted by hand."""
    found, _ = toy_space().neighbors(jnp.asarray([1, 1, 3]))
    changed = np.argmax(np.asarray(found) != [1, 1, 3], axis=1)
    np.testing.assert_array_equal(changed, [0, 0, 1, 2, 2, 2, 2])

  def test_a_neighbor_outside_of_the_space_is_marked(self):
    """Oracle: a validity rule of the test's own."""
    space = dataclasses.replace(
      toy_space(), is_valid=lambda archs: archs[..., 2] != 4
    )
    found, valid = space.neighbors(jnp.asarray([0, 0, 0]))
    np.testing.assert_array_equal(valid, np.asarray(found)[:, 2] != 4)
    self.assertEqual(int(np.sum(~np.asarray(valid))), 1)


class MutateTest(parameterized.TestCase):
  def test_every_single_change_is_reached_and_nothing_else(self):
    """Oracle: chi-square against variable 1/3, then value 1/(K-1)."""
    space = toy_space()
    parent = np.asarray([2, 0, 3])
    draws = jax.random.uniform(jax.random.key(2), (9000, 2))
    batch = jnp.broadcast_to(jnp.asarray(parent), (9000, 3))
    children = np.asarray(space.mutate(batch, draws))
    self.assertTrue(np.all((children != parent).sum(1) == 1))
    self.assertTrue(np.all(space.is_valid(jnp.asarray(children))))
    neighbors, _ = space.neighbors(jnp.asarray(parent))
    index = np.asarray(space.index(neighbors)).tolist()
    seen = np.asarray(space.index(jnp.asarray(children))).tolist()
    counts = [seen.count(i) for i in index]
    share = np.asarray([1 / 2] * 2 + [1.0] + [1 / 4] * 4) / 3
    self.assertEqual(sum(counts), 9000)
    self.assertGreater(stats.chisquare(counts, 9000 * share).pvalue, 1e-3)

  def test_mutations_of_a_space_with_holes(self):
    """Oracle: chi-square against rejection until valid, by brute force."""
    space = space_with_holes()
    parent = np.asarray([1, 0, 3])
    archs = np.asarray(toy_space().all_architectures())
    changes = (archs != parent).sum(1) == 1
    changes &= np.asarray(space.is_valid(jnp.asarray(archs)))
    variable = np.argmax(archs[changes] != parent, axis=1)
    share = 1 / (np.asarray(CARDINALITIES)[variable] - 1)
    draws = jax.random.uniform(jax.random.key(2), (9000, 2))
    batch = jnp.broadcast_to(jnp.asarray(parent), (9000, 3))
    children = space.mutate(batch, draws)
    counts = np.bincount(toy_space().index(children), minlength=30)[changes]
    self.assertEqual(counts.sum(), 9000)
    expected = 9000 * share / share.sum()
    self.assertGreater(stats.chisquare(counts, expected).pvalue, 1e-3)

  def test_an_architecture_without_valid_neighbors_stays(self):
    """Oracle: itself, at both ends of the draw."""
    space = dataclasses.replace(
      space_with_holes(), is_valid=lambda a: jnp.zeros(a.shape[:-1], bool)
    )
    for draw in (0.0, 0.999):
      child = space.mutate(jnp.asarray([1, 0, 3]), jnp.full(2, draw))
      np.testing.assert_array_equal(child, [1, 0, 3])

  @parameterized.parameters(0.0, 0.5, float(np.nextafter(np.float32(1), 0)))
  def test_extreme_draws_still_change_one_variable(self, draw):
    """Oracle: Hamming distance, at draws that rounding could push to K."""
    for cardinalities in ((5,) * 6, (3, 2, 5), (2,) * 24, (9,) * 20):
      space = toy_space(cardinalities)
      parent = np.asarray(cardinalities) - 1
      child = space.mutate(
        jnp.asarray(parent, jnp.int32), jnp.full(2, draw, jnp.float32)
      )
      self.assertEqual(int((np.asarray(child) != parent).sum()), 1)
      self.assertTrue(bool(space.is_valid(child)))


class InRangeTest(parameterized.TestCase):
  def test_values_outside_of_a_variable_are_invalid(self):
    """Oracle: written by hand."""
    archs = jnp.asarray([[2, 1, 4], [3, 0, 0], [0, 2, 0], [0, 0, -1]])
    np.testing.assert_array_equal(
      base.in_range(CARDINALITIES, archs), [True, False, False, False]
    )


if __name__ == "__main__":
  absltest.main()
