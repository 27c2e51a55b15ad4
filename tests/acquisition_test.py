"""Tests of nagjax.algorithms.acquisition."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy import stats

from nagjax.algorithms import acquisition

PREDICTIONS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
MEAN = PREDICTIONS.mean(0, dtype=np.float64)
DEVIATION = PREDICTIONS.std(0, ddof=1, dtype=np.float64)
BEST = 0.3


def values(name, predictions=PREDICTIONS, batch_size=3, seed=0):
  function = jax.jit(acquisition.make(name), static_argnums=3)
  key = jax.random.key(seed)
  return np.asarray(function(key, predictions, BEST, batch_size))


class AcquisitionTest(parameterized.TestCase):
  @parameterized.parameters("ei", "pi", "ucb", "mean")
  def test_formulas(self, name):
    """Oracle: scipy's normal distribution, the same for every slot."""
    normal = stats.norm(MEAN, DEVIATION)
    gain = MEAN - BEST
    expected = {
      "mean": MEAN,
      "ucb": MEAN + 0.5 * DEVIATION,
      "pi": normal.logsf(BEST),
      "ei": gain * normal.sf(BEST) + DEVIATION**2 * normal.pdf(BEST),
    }[name]
    found = np.exp(values(name)) if name == "ei" else values(name)
    self.assertEqual(found.shape, (3, 7))
    for row in found:
      np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)

  def test_expected_improvement(self):
    """Oracle: 200,000 draws, within five standard errors."""
    rng = np.random.default_rng(1)
    draws = rng.normal(MEAN, DEVIATION, (200_000, 7))
    gains = np.maximum(draws - BEST, 0)
    found = np.exp(
      acquisition.expected_improvement(
        jnp.float32(MEAN), jnp.float32(DEVIATION), BEST
      )
    )
    error = gains.std(0) / 200_000**0.5
    self.assertTrue(np.all(np.abs(found - gains.mean(0)) < 5 * error))

  def test_far_expected_improvement(self):
    """Oracle: `log(pdf + z cdf)` by scipy in double precision, whose terms do
    not cancel above -30 deviations if the tail is that of Mills' ratio."""
    z = np.asarray([-30.0, -12.0, -6.01, -5.99, -5.0, -3.0, 0.0, 4.0])
    mills = np.sqrt(np.pi / 2) * special.erfcx(-z / np.sqrt(2))
    expected = stats.norm.logpdf(z) + np.log1p(z * mills)
    found = acquisition.expected_improvement(
      jnp.float32(0.1 * z), jnp.float32(0.1), 0.0
    )
    np.testing.assert_allclose(found, expected + np.log(0.1), rtol=3e-4)
    far = acquisition.expected_improvement(
      jnp.float32([-2, -3, -1.5]), jnp.float32(0.05), 0.0
    )
    self.assertEqual(np.argsort(far).tolist(), [1, 0, 2])

  def test_members_that_agree(self):
    """Oracle: the limit: the gain itself, and certainty."""
    same = np.broadcast_to(np.float32([0.1, 0.3, 0.8]), (4, 3))
    np.testing.assert_allclose(
      np.exp(values("ei", same)[0]), [0, 0, 0.5], atol=1e-6
    )
    found = values("pi", same)[0]
    self.assertFalse(np.any(np.isnan(found)))
    self.assertLess(found[0], -1e6)
    self.assertEqual(found[2], 0.0)
    np.testing.assert_array_equal(
      values("its", same), np.broadcast_to(same[0], (3, 3))
    )

  def test_one_member(self):
    """Oracle: a deviation of zero."""
    mean, deviation = acquisition.moments(jnp.asarray(PREDICTIONS[:1]))
    np.testing.assert_array_equal(mean, PREDICTIONS[0])
    np.testing.assert_array_equal(deviation, 0.0)

  def test_far_candidates_differ(self):
    """Oracle: log P falls with the distance, where P itself is 0."""
    mean = jnp.asarray([-20.0, -30.0, -40.0])
    found = acquisition.probability_of_improvement(mean, jnp.ones(3), 0.0)
    np.testing.assert_allclose(found, stats.norm.logcdf(mean), rtol=1e-4)

  def test_thompson(self):
    """Oracle: rows of members, each as often, 2,000 slots, five errors."""
    found = values("thompson", batch_size=2000)
    self.assertEqual(found.shape, (2000, 7))
    same = (found[:, None] == PREDICTIONS[None]).all(-1)
    np.testing.assert_array_equal(same.sum(1), 1)
    shares = same.mean(0)
    np.testing.assert_allclose(shares, 0.2, atol=5 * (0.16 / 2000) ** 0.5)

  def test_independent_thompson(self):
    """Oracle: moments of 20,000 slots, within five errors; no correlation."""
    num = 20_000
    found = values("its", batch_size=num)
    self.assertTrue(
      np.all(np.abs(found.mean(0) - MEAN) < 5 * DEVIATION / num**0.5)
    )
    np.testing.assert_allclose(found.std(0), DEVIATION, rtol=5 / num**0.5)
    pairs = np.corrcoef(found.T) - np.eye(7)
    self.assertLess(np.abs(pairs).max(), 5 / num**0.5)

  def test_names(self):
    """Oracle: the documented ValueError with all of them."""
    self.assertEqual(list(acquisition.NAMES), sorted(acquisition.NAMES))
    with self.assertRaisesRegex(ValueError, "ei, its, .*, got 'lcb'"):
      acquisition.make("lcb")


if __name__ == "__main__":
  absltest.main()
