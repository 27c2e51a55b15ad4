"""Tests of nagjax.statistics: intervals, comparisons and ranks."""

import doctest
import itertools
import json
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import statistics

INF = float("inf")
NAN = float("nan")


def midranks(values):
  """Ranks by counting, ties averaged: no sorting, no library."""
  return [
    sum(w < v for w in values) + (1 + sum(w == v for w in values)) / 2
    for v in values
  ]


class ModuleTest(parameterized.TestCase):
  def test_public_names_are_sorted_and_present(self):
    """Oracle: the house rule on `__all__`."""
    names = statistics.__all__
    self.assertEqual(names, sorted(names))
    for name in names:
      self.assertTrue(getattr(statistics, name).__doc__, name)

  def test_examples_of_the_documentation(self):
    """Oracle: the output written in the docstrings."""
    result = doctest.testmod(statistics)
    self.assertEqual(result.failed, 0)
    self.assertGreater(result.attempted, 0)

  def test_results_are_python_numbers(self):
    """Oracle: `json` refuses NumPy scalars of all kinds but float64."""
    interval = statistics.mean_interval(np.float32([1, 2]))
    share = statistics.proportion_interval(np.int32(1), np.int64(2))
    paired = statistics.paired_difference([1, 2], [2, 2])
    ranks = statistics.rank_correlation([1, 2], [2, 3])
    json.dumps([*interval, *share, *paired[0], *paired[1:], *ranks])
    for record in (interval, share, paired.interval, paired[1:], ranks):
      self.assertTrue(all(type(x) in (float, int) for x in record), record)


class IntervalTest(parameterized.TestCase):
  def test_closed_form(self):
    """Oracle: hand calculation; t(0.975, 3) = 3.182446 from printed tables."""
    got = statistics.mean_interval([1.0, 2.0, 3.0, 4.0])
    std = math.sqrt(5 / 3)
    half = 3.182446 * std / 2
    self.assertEqual(got.num, 4)
    self.assertAlmostEqual(got.mean, 2.5)
    self.assertAlmostEqual(got.std, std)
    self.assertAlmostEqual(got.low, 2.5 - half, places=5)
    self.assertAlmostEqual(got.high, 2.5 + half, places=5)

  @parameterized.parameters(0.5, 0.9, 0.99)
  def test_agrees_with_scipy(self, confidence):
    """Oracle: `scipy.stats.ttest_1samp(...).confidence_interval`."""
    values = np.random.default_rng(0).normal(94.0, 0.2, 12)
    want = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    got = statistics.mean_interval(values, confidence)
    np.testing.assert_allclose([got.low, got.high], [*want], rtol=1e-12)

  def test_coverage(self):
    """Oracle: 95 % by definition; 4000 samples of 5 normals, fixed seed.

    Tolerance 0.014, four standard errors; a normal quantile in the place of
    Student's would cover 88 %.
    """
    samples = np.random.default_rng(1).normal(3.0, 2.0, (4000, 5))
    covered = 0
    for sample in samples:
      interval = statistics.mean_interval(sample)
      covered += interval.low <= 3.0 <= interval.high
    self.assertAlmostEqual(covered / 4000, 0.95, delta=0.014)

  @parameterized.parameters(0.1, 94.37, -1e-300, 0.0)
  def test_constant_values_have_no_width(self, value):
    """Oracle: the mean of equal numbers is that number, exactly."""
    got = statistics.mean_interval([value] * 7)
    self.assertEqual(got, (value, 0.0, value, value, 7))

  def test_one_seed_has_a_mean_only(self):
    """Oracle: the documented convention."""
    got = statistics.mean_interval(jnp.float32([2.5]))
    self.assertEqual((got.mean, got.num), (2.5, 1))
    self.assertTrue(np.isnan([got.std, got.low, got.high]).all())

  @parameterized.parameters(
    (0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (499, 500)
  )
  def test_wilson_closed_form(self, successes, num):
    """Oracle: the roots p of (share - p)^2 = z^2 p (1 - p) / num."""
    got = statistics.proportion_interval(successes, num, 0.9)
    z2, share = stats.norm.ppf(0.95) ** 2, successes / num
    roots = np.roots([1 + z2 / num, -(2 * share + z2 / num), share**2])
    np.testing.assert_allclose(
      [got.low, got.high], sorted(roots.real), atol=1e-9
    )
    self.assertEqual((got.mean, got.num), (share, num))
    self.assertBetween(got.low, 0.0, share)
    self.assertBetween(got.high, share, 1.0)

  def test_proportion_deviation_is_that_of_the_outcomes(self):
    """Oracle: `np.std(ddof=1)` of the 0/1 outcomes; NaN for one."""
    got = statistics.proportion_interval(3, 8)
    self.assertAlmostEqual(got.std, np.std([1] * 3 + [0] * 5, ddof=1))
    self.assertTrue(math.isnan(statistics.proportion_interval(1, 1).std))

  def test_wilson_coverage(self):
    """Oracle: exact binomial sum of the coverage at p = 0.3, n = 50.

    Wilson's is 0.957 there; the tolerance 0.01 excludes an interval of another
    confidence (0.99 or 0.9).
    """
    coverage = 0.0
    for successes in range(51):
      interval = statistics.proportion_interval(successes, 50)
      inside = interval.low <= 0.3 <= interval.high
      coverage += inside * stats.binom.pmf(successes, 50, 0.3)
    self.assertAlmostEqual(coverage, 0.95, delta=0.01)

  @parameterized.parameters(
    (lambda: statistics.mean_interval([]), "values of shape"),
    (lambda: statistics.mean_interval([[1.0]]), r"got \(1, 1\)"),
    (lambda: statistics.mean_interval([1.0, -INF]), "finite values"),
    (lambda: statistics.mean_interval([1.0, NAN]), "finite values"),
    (lambda: statistics.mean_interval([1.0], 1.0), "confidence .* got 1.0"),
    (lambda: statistics.mean_interval([1.0], NAN), "confidence .* got nan"),
    (lambda: statistics.proportion_interval(0, 0), "num of at least 1"),
    (lambda: statistics.proportion_interval(3, 2), "0, ..., 2, got 3"),
    (lambda: statistics.proportion_interval(-1, 2), "got -1"),
    (lambda: statistics.proportion_interval(1.0, 2), "got 1.0"),
    (lambda: statistics.proportion_interval(1, 2, 0.0), "confidence"),
  )
  def test_refuses(self, call, message):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, message):
      call()


class PairedDifferenceTest(parameterized.TestCase):
  def test_t_test_agrees_with_scipy(self):
    """Oracle: `scipy.stats.ttest_rel`."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.2, 1.0, 20), rng.normal(0.0, 1.0, 20)
    want = stats.ttest_rel(a, b)
    got = statistics.paired_difference(a, b, 0.8)
    self.assertAlmostEqual(got.t_p_value, want.pvalue, places=12)
    np.testing.assert_allclose(
      [got.interval.low, got.interval.high], [*want.confidence_interval(0.8)]
    )
    self.assertAlmostEqual(got.interval.mean, np.mean(a) - np.mean(b))

  @parameterized.parameters(
    ([1.0, 2.0, 3.0, 4.0, 5.0],),
    ([0.5, -1.0, 2.0, -3.0, 4.0, 7.0, 6.0],),
    ([0.0, 0.0, 3.0, 1.0, -2.0, 0.0],),
    ([-1.5],),
  )
  def test_wilcoxon_by_enumeration(self, difference):
    """Oracle: all 2^n signs of the ranks of the non-zero differences."""
    moved = [d for d in difference if d]
    ranks = midranks([abs(d) for d in moved])
    plus = sum(r for r, d in zip(ranks, moved, strict=True) if d > 0)
    middle = sum(ranks) / 2
    signs = list(itertools.product([0, 1], repeat=len(ranks)))
    extreme = sum(
      abs(np.dot(sign, ranks) - middle) >= abs(plus - middle) for sign in signs
    )
    padded = [*difference, 0.0]
    got = statistics.paired_difference(padded, np.zeros(len(padded)))
    self.assertAlmostEqual(got.wilcoxon_p_value, extreme / len(signs))

  def test_wilcoxon_with_ties_is_near_enumeration(self):
    """Oracle: all 2^12 signs; tolerance 0.02 for a normal approximation."""
    difference = np.array([1, 1, 1, -1, 2, 2, -2, 3, 3, 3, 1, 2], float)
    ranks = np.array(midranks(list(abs(difference))))
    signs = np.array(list(itertools.product([0, 1], repeat=12)))
    away = abs(signs @ ranks - ranks.sum() / 2)
    observed = abs(ranks[difference > 0].sum() - ranks.sum() / 2)
    got = statistics.paired_difference(difference, np.zeros(12))
    self.assertAlmostEqual(
      got.wilcoxon_p_value, (away >= observed - 1e-9).mean(), delta=0.02
    )

  def test_many_ties_and_zeros_raise_no_warning(self):
    """Oracle: warnings are errors here; p-values are probabilities."""
    rng = np.random.default_rng(3)
    for num in (2, 3, 5, 10, 14, 60, 500):
      a, b = rng.integers(0, 3, (2, num)).astype(np.float32)
      got = statistics.paired_difference(a, b)
      self.assertBetween(got.t_p_value, 0.0, 1.0)
      self.assertBetween(got.wilcoxon_p_value, 0.0, 1.0)

  @parameterized.parameters(2, 3, 10, 200)
  def test_equal_algorithms(self, num):
    """Oracle: no difference is no evidence: p = 1, the interval is zero."""
    values = np.random.default_rng(4).normal(size=num)
    got = statistics.paired_difference(values, values)
    self.assertEqual(got.interval, (0.0, 0.0, 0.0, 0.0, num))
    self.assertEqual((got.t_p_value, got.wilcoxon_p_value), (1.0, 1.0))
    self.assertTrue(statistics.not_behind(values, values))
    self.assertFalse(statistics.ahead(values, values))

  @parameterized.parameters((0.5, True, True), (-0.5, False, False))
  def test_constant_difference(self, gap, not_behind, ahead):
    """Oracle: the limit of the t-test as the spread goes to zero."""
    b = np.arange(6.0)
    self.assertEqual(statistics.paired_difference(b + gap, b).t_p_value, 0.0)
    self.assertEqual(statistics.not_behind(b + gap, b), not_behind)
    self.assertEqual(statistics.ahead(b + gap, b), ahead)

  @parameterized.parameters(
    # t(0.975, 2) = 4.3027 and std = 1: the half width is 2.4842.
    (2.49, True, True),
    (2.47, True, False),
    (0.0, True, False),
    (-2.47, True, False),
    (-2.49, False, False),
  )
  def test_ahead_and_not_behind(self, mean, not_behind, ahead):
    """Oracle: the definition in interface.md, on a hand-made interval."""
    b = np.array([5.0, 1.0, 3.0])
    a = b + np.array([-1.0, 0.0, 1.0]) + mean
    self.assertIs(statistics.not_behind(a, b), not_behind)
    self.assertIs(statistics.ahead(a, b), ahead)
    # At a lower confidence the interval is narrower: t(0.9, 2) = 1.8856.
    self.assertIs(statistics.ahead(a, b, 0.8), mean > 1.0887)

  def test_pairs_not_pools(self):
    """Oracle: a gap far below the spread between seeds still shows."""
    b = np.linspace(0.0, 100.0, 10)
    a = b + np.where(np.arange(10) % 2, 0.1, 0.2)
    self.assertTrue(statistics.ahead(a, b))
    self.assertGreater(stats.ttest_ind(a, b).pvalue, 0.9)

  @parameterized.parameters(
    statistics.paired_difference, statistics.not_behind, statistics.ahead
  )
  def test_refuses(self, function):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, "b of 2 seeds, got 3"):
      function([1.0, 2.0], [1.0, 2.0, 3.0])
    with self.assertRaisesRegex(ValueError, "at least 2 seeds, got 1"):
      function([1.0], [1.0])
    with self.assertRaisesRegex(ValueError, "finite b"):
      function([1.0, 2.0], [1.0, -INF])
    with self.assertRaisesRegex(ValueError, r"a of shape .* got \(1, 2\)"):
      function([[1.0, 2.0]], [[1.0, 2.0]])
    with self.assertRaisesRegex(ValueError, "confidence"):
      function([1.0, 2.0], [1.0, 2.0], 95.0)


class RankCorrelationTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2)
  def test_by_counting_pairs(self, seed):
    """Oracle: tau-b over all pairs; Pearson of counted mid-ranks."""
    x, y = np.random.default_rng(seed).integers(0, 8, (2, 25)).astype(float)
    got = statistics.rank_correlation(x, y)
    signs = [np.sign(np.subtract.outer(side, side)) for side in (x, y)]
    norms = [np.linalg.norm(sign) for sign in signs]
    tau = (signs[0] * signs[1]).sum() / np.prod(norms)
    rho = np.corrcoef(midranks(list(x)), midranks(list(y)))[0, 1]
    self.assertAlmostEqual(got.kendall, tau)
    self.assertAlmostEqual(got.spearman, rho)
    self.assertAlmostEqual(got.spearman, stats.spearmanr(x, y).statistic)
    self.assertEqual(got.num, 25)

  def test_monotone_maps_change_nothing(self):
    """Oracle: ranks are blind to increasing maps, and odd under falling."""
    x = np.random.default_rng(9).normal(size=50)
    for image, sign in ((np.exp(x), 1.0), (-(x**3), -1.0)):
      got = statistics.rank_correlation(x, image)
      np.testing.assert_allclose(got[:2], [sign, sign])

  def test_drops_pairs_with_nan_and_ranks_infinities(self):
    """Oracle: the same pairs written without NaN, with 9 and -9 for inf."""
    got = statistics.rank_correlation(
      [1.0, NAN, 2.0, 4.0, INF, 0.0], [2.0, 1.0, 5.0, NAN, 3.0, -INF]
    )
    want = statistics.rank_correlation([1, 2, 9, 0], [2, 5, 3, -9])
    self.assertEqual(got, want)
    self.assertEqual(got.num, 4)

  @parameterized.parameters(
    ([], [], 0),
    ([1.0], [2.0], 1),
    ([NAN, 1.0], [1.0, 2.0], 1),
    ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], 3),
    ([1.0, 2.0, 3.0], [INF, INF, INF], 3),
  )
  def test_undefined(self, x, y, num):
    """Oracle: the documented convention; warnings are errors here."""
    got = statistics.rank_correlation(x, y)
    self.assertTrue(np.isnan(got[:2]).all())
    self.assertEqual(got.num, num)

  def test_two_pairs(self):
    """Oracle: two pairs agree or disagree."""
    self.assertEqual(statistics.rank_correlation([1, 2], [3, 4]), (1, 1, 2))
    self.assertEqual(statistics.rank_correlation([1, 2], [4, 3]), (-1, -1, 2))

  def test_refuses(self):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, r"y of \(2,\), got \(3,\)"):
      statistics.rank_correlation([1.0, 2.0], [1.0, 2.0, 3.0])
    with self.assertRaisesRegex(ValueError, r"x of shape .* got \(1, 1\)"):
      statistics.rank_correlation([[1.0]], [[1.0]])


class ReliabilityTest(absltest.TestCase):
  def test_mean_of_noisy_repeats(self):
    """Oracle: the correlation of two means of independent repeats."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    first, second = (truth[:, None] + rng.normal(size=(2, 4000, 3)))[:2]
    expected = statistics.rank_correlation(first.mean(1), second.mean(1))
    found = statistics.reliability(first)
    self.assertAlmostEqual(found, expected.spearman, delta=0.03)

  def test_repeats_that_contradict(self):
    """Oracle: opposite ranks correlate by -1."""
    up = np.arange(5.0)
    self.assertEqual(statistics.reliability(np.stack([up, -up], axis=1)), -1.0)

  def test_equal_repeats_and_a_single_one(self):
    """Oracle: 1; the message."""
    self.assertAlmostEqual(
      statistics.reliability(np.arange(5.0)[:, None].repeat(2, axis=1)), 1.0
    )
    with self.assertRaisesRegex(ValueError, "S > 1"):
      statistics.reliability(np.ones((3, 1)))


if __name__ == "__main__":
  absltest.main()
