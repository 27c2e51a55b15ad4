"""Tests of nagjax.arrays."""

import hashlib

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import arrays


def objectives(seed, num=40):
  """With ties, two failures and a mask that has both."""
  rng = np.random.default_rng(seed)
  values = rng.integers(8, size=num).astype(np.float32)
  values[[3, 8]] = -np.inf
  used = rng.random(num) < 0.7
  used[[3, 8]] = True
  return values, used


class RanksTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_average_ranks(self, seed):
    """Oracle: SciPy's average ranks of the entries that count."""
    values, used = objectives(seed)
    found = np.asarray(arrays.average_ranks(values, used))
    expected = stats.rankdata(values[used], method="average") - 1
    np.testing.assert_array_equal(found[used], expected)
    np.testing.assert_array_equal(
      arrays.average_ranks(values), stats.rankdata(values) - 1
    )

  def test_normal_scores(self):
    """Oracle: SciPy's average ranks and quantiles; 0 where unused."""
    values, used = objectives(2)
    found = np.asarray(arrays.normal_scores(values, used))
    expected = stats.norm.ppf((stats.rankdata(values[used]) - 0.5) / used.sum())
    np.testing.assert_allclose(found[used], expected, atol=1e-5)
    np.testing.assert_array_equal(found[~used], 0)
    self.assertEqual(found[3], found[8])

  def test_the_order_of_entries_does_not_matter(self):
    """Oracle: the same entries in another order, under jit and vmap."""
    values, used = objectives(3)
    order = np.random.default_rng(0).permutation(len(values))
    stacked = [np.stack([a, a[order]]) for a in (values, used)]
    first, other = jax.jit(jax.vmap(arrays.normal_scores))(*stacked)
    np.testing.assert_array_equal(first[order], other)

  def test_nothing_used(self):
    """Oracle: zeros."""
    found = arrays.normal_scores(jnp.ones(5), jnp.zeros(5, bool))
    np.testing.assert_array_equal(found, 0)


class DistanceTest(absltest.TestCase):
  def test_hamming(self):
    """Oracle: NumPy, over 24 variables."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, (5, 24)), rng.integers(0, 3, (7, 24))
    result = arrays.hamming(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_array_equal(result, (x[:, None] != y[None]).sum(-1))


class KeyNumbersTest(absltest.TestCase):
  def test_two_words_are_one_number(self):
    """Oracle: Python's integers."""
    words = [[0, 1], [7, 2**32 - 1], [2**32 - 1, 0]]
    found = arrays.key_numbers(jnp.asarray(words, jnp.uint32))
    self.assertEqual(found.tolist(), [(a << 32) + b for a, b in words])


class DigestTest(absltest.TestCase):
  def test_what_counts(self):
    """Oracle: hashlib, of one leaf; what differs in anything differs."""
    row = np.arange(3, dtype=np.int32)
    by_hand = hashlib.sha256(b"((3,), '<i4')" + row.tobytes()).hexdigest()
    self.assertEqual(arrays.digest({"row": jnp.asarray(row)}), by_hand)
    others = [row[None], row[::-1], row.astype(np.uint32), [row, row], ()]
    self.assertLen({by_hand, *map(arrays.digest, others)}, 6)
    keys = map(jax.random.key, (0, 1))
    self.assertLen(set(map(arrays.digest, keys)), 2)


if __name__ == "__main__":
  absltest.main()
