"""Tests of nagjax.diffusion.noise."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.diffusion import noise


class WordsTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2, 7, 100)
  def test_shape_type_and_dependence_on_the_key(self, num):
    """Oracle: another key; the same key again."""
    a, again = (noise.words(jax.random.key(0), num) for _ in range(2))
    b = noise.words(jax.random.key(1), num)
    self.assertEqual((a.shape, a.dtype), ((num,), jnp.uint32))
    np.testing.assert_array_equal(a, again)
    if num:
      self.assertFalse(np.array_equal(a, b))

  def test_bits_are_fair_and_keys_independent(self):
    """Oracle: binomial counts of every bit; correlation of two keys."""
    words = np.asarray(
      jax.jit(jax.vmap(lambda key: noise.words(key, 500)))(
        jax.random.split(jax.random.key(0), 20)
      )
    )
    ones = [int(np.sum(words >> bit & 1)) for bit in range(32)]
    self.assertLess(np.max(np.abs(np.asarray(ones) - 5000)), 4 * 50)
    self.assertLen(np.unique(words), words.size)
    correlation = np.corrcoef(words.astype(np.float64))
    self.assertLess(np.max(np.abs(correlation - np.eye(20))), 0.2)

  def test_another_generator_is_served_too(self):
    """Oracle: uniformity of the mean of keys of another implementation."""
    words = noise.words(jax.random.key(0, impl="rbg"), 1001)
    self.assertEqual((words.shape, words.dtype), ((1001,), jnp.uint32))
    self.assertAlmostEqual(float(noise.uniform(words).mean()), 0.5, delta=0.04)


class DrawsTest(parameterized.TestCase):
  def test_normals_are_the_quantiles_of_sixteen_bits(self):
    """Oracle: scipy at all 65,536 values; documented moments and range."""
    halves = np.arange(2**16, dtype=np.uint16)
    draws = np.asarray(noise.coarse_normal(jnp.asarray(halves.view(np.uint32))))
    expected = stats.norm.ppf((halves + 0.5) / 2**16)
    np.testing.assert_allclose(np.sort(draws), expected, rtol=1e-4, atol=1e-5)
    self.assertAlmostEqual(float(draws.astype(float).mean()), 0.0, places=5)
    self.assertBetween(float(draws.astype(float).var()), 1 - 5e-5, 1.0)
    self.assertLess(float(np.abs(draws).max()), 4.33)

  def test_normals_of_random_words(self):
    """Oracle: Kolmogorov-Smirnov, fixed seed; neighbors do not correlate."""
    draws = np.asarray(
      noise.coarse_normal(noise.words(jax.random.key(0), 5000))
    )
    self.assertEqual(draws.shape, (10000,))
    self.assertGreater(stats.kstest(draws, "norm").pvalue, 1e-3)
    self.assertLess(abs(np.corrcoef(draws[::2], draws[1::2])[0, 1]), 0.06)

  def test_uniforms_lie_in_the_half_open_interval(self):
    """Oracle: the extreme words; a chi-square of 16 cells."""
    ends = noise.uniform(jnp.asarray([0, 2**32 - 1], jnp.uint32))
    self.assertEqual(float(ends[0]), 0.0)
    self.assertEqual(float(ends[1]), 1 - 2**-24)
    draws = np.asarray(noise.uniform(noise.words(jax.random.key(2), 8000)))
    counts = np.histogram(draws, 16, (0, 1))[0]
    self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_gumbel_draws(self):
    """Oracle: Kolmogorov-Smirnov, fixed seed; extreme words stay finite."""
    draws = noise.gumbel(noise.words(jax.random.key(3), 8000))
    self.assertGreater(stats.kstest(draws, "gumbel_r").pvalue, 1e-3)
    ends = noise.gumbel(jnp.asarray([0, 2**32 - 1], jnp.uint32))
    self.assertTrue(np.all(np.isfinite(ends)), ends)


class NamedDrawsTest(absltest.TestCase):
  def test_draws_are_slices_of_the_words(self):
    """Oracle: the words of the key, counted by hand; normals come in pairs."""
    found = noise.draws(
      jax.random.key(5),
      start=(noise.uniform, (2, 3)),
      noise=(noise.coarse_normal, (5,)),
      gumbel=(noise.gumbel, (2, 2)),
      none=(noise.uniform, (0,)),
    )
    words = noise.words(jax.random.key(5), 6 + 3 + 4)
    for name, expected in (
      ("start", noise.uniform(words[:6]).reshape(2, 3)),
      ("noise", noise.coarse_normal(words[6:9])[:5]),
      ("gumbel", noise.gumbel(words[9:]).reshape(2, 2)),
      ("none", np.zeros(0)),
    ):
      np.testing.assert_array_equal(found[name], expected)


if __name__ == "__main__":
  absltest.main()
