"""Tests of nagjax.acquisition."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy import stats

from nagjax import acquisition
from nagjax.surrogates import base

MEMBERS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
MEAN = MEMBERS.mean(0, dtype=np.float64)
STD = MEMBERS.std(0, ddof=1, dtype=np.float64)
BEST = 0.3
OPTIMISM = np.asarray([0.0, 0.5, 2.0], np.float32)

choose_batch = jax.jit(acquisition.choose_batch)


def values(function, members=MEMBERS, optimism=OPTIMISM):
  prediction = base.of_members(jnp.asarray(members)[..., None])
  found = jax.jit(function)(
    jax.random.key(0), prediction, jnp.float32(BEST), jnp.asarray(optimism)
  )
  return np.asarray(found)


class ValuesTest(parameterized.TestCase):
  def test_formulas(self):
    """Oracle: scipy's normal distribution; a row of values for every slot."""
    normal, gain = stats.norm(MEAN, STD), MEAN - BEST
    improvement = gain * normal.sf(BEST) + STD**2 * normal.pdf(BEST)
    same = np.ones((3, 1))
    for function, expected in (
      (acquisition.mean, MEAN * same),
      (acquisition.upper_confidence_bound, MEAN + OPTIMISM[:, None] * STD),
      (acquisition.probability_of_improvement, normal.logsf(BEST) * same),
      (acquisition.expected_improvement, np.log(improvement) * same),
    ):
      found = values(function)
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

  def test_expected_improvement(self):
    """Oracle: 200,000 draws, within five standard errors."""
    draws = np.random.default_rng(1).normal(MEAN, STD, (200_000, 7))
    gains = np.maximum(draws - BEST, 0)
    found = np.exp(
      acquisition.log_expected_improvement(
        jnp.float32(MEAN), jnp.float32(STD), BEST
      )
    )
    error = gains.std(0) / 200_000**0.5
    self.assertTrue(np.all(np.abs(found - gains.mean(0)) < 5 * error))

  def test_far_candidates_differ(self):
    """Oracle: `log(pdf + z cdf)` by scipy in double precision, whose terms do
    not cancel above -30 deviations if the tail is that of Mills' ratio."""
    z = np.asarray([-30.0, -12.0, -6.01, -5.99, -5.0, -3.0, 0.0, 4.0])
    mills = np.sqrt(np.pi / 2) * special.erfcx(-z / np.sqrt(2))
    expected = stats.norm.logpdf(z) + np.log1p(z * mills)
    found = acquisition.log_expected_improvement(
      jnp.float32(0.1 * z), jnp.float32(0.1), 0.0
    )
    np.testing.assert_allclose(found, expected + np.log(0.1), rtol=3e-4)
    far = acquisition.log_expected_improvement(
      jnp.float32([-2, -3, -1.5]), jnp.float32(0.05), 0.0
    )
    self.assertEqual(np.argsort(far).tolist(), [1, 0, 2])
    found = acquisition.log_probability_of_improvement(
      jnp.float32(z), jnp.ones(8), 0.0
    )
    np.testing.assert_allclose(
      found, stats.norm.logcdf(z), rtol=1e-4, atol=1e-6
    )

  def test_no_deviation(self):
    """Oracle: the limit: the gain itself, and certainty."""
    mean, std = jnp.float32([0.1, 0.3, 0.8]), jnp.zeros(3)
    found = acquisition.log_expected_improvement(mean, std, BEST)
    np.testing.assert_allclose(np.exp(found), [0, 0, 0.5], atol=1e-6)
    found = acquisition.log_probability_of_improvement(mean, std, BEST)
    self.assertFalse(np.any(np.isnan(found)))
    self.assertLess(found[0], -1e6)
    self.assertEqual(found[2], 0.0)

  def test_thompson(self):
    """Oracle: rows of members, each as often, 2,000 slots, five errors."""
    found = values(acquisition.thompson, optimism=np.zeros(2000))
    self.assertEqual(found.shape, (2000, 7))
    same = (found[:, None] == MEMBERS[None]).all(-1)
    np.testing.assert_array_equal(same.sum(1), 1)
    np.testing.assert_allclose(same.mean(0), 0.2, atol=5 * (0.16 / 2000) ** 0.5)

  def test_independent_thompson(self):
    """Oracle: moments of 20,000 slots, within five errors; no correlation."""
    num = 20_000
    found = values(acquisition.independent_thompson, optimism=np.zeros(num))
    self.assertTrue(np.all(np.abs(found.mean(0) - MEAN) < 5 * STD / num**0.5))
    np.testing.assert_allclose(found.std(0), STD, rtol=5 / num**0.5)
    pairs = np.corrcoef(found.T) - np.eye(7)
    self.assertLess(np.abs(pairs).max(), 5 / num**0.5)


class SlotsTest(parameterized.TestCase):
  def test_optimism(self):
    """Oracle: the documented five, the same for all, and a single slot."""
    np.testing.assert_allclose(
      acquisition.optimism_of_slots(2.0, 5), [0, 2 / 16, 2 / 4, 2 * 9 / 16, 2]
    )
    np.testing.assert_array_equal(
      acquisition.optimism_of_slots(2.0, 3, power=0.0), [2.0] * 3
    )
    np.testing.assert_array_equal(acquisition.optimism_of_slots(2.0, 1), [0.0])

  @parameterized.parameters((12, 12, 5), (12, 3, 5), (4, 0, 3), (5, 5, 5))
  def test_slots_choose_one_after_another(self, num, num_allowed, num_slots):
    """Oracle: a set of what is free; some values are -inf, which lose and yet
    are better than nothing."""
    rng = np.random.default_rng(num)
    values = rng.normal(size=(num_slots, num)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = -np.inf
    allowed = rng.permutation(num) < num_allowed
    free = set(np.flatnonzero(allowed).tolist())
    chosen, found = choose_batch(values, allowed)
    for row, one, has_one in zip(values, chosen, found, strict=True):
      self.assertEqual(bool(has_one), bool(free))
      if free:
        self.assertIn(int(one), free)
        self.assertEqual(row[one], max(row[list(free)]))
        free.remove(int(one))


if __name__ == "__main__":
  absltest.main()
