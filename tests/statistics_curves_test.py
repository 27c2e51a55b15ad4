"""Tests of nagjax.statistics: curves over queries, fronts and volumes."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np

from nagjax import statistics

INF = float("inf")
NAN = float("nan")


def random_history(seed, num_seeds=7, num_evaluations=40):
  """Rounded objectives with -inf rows, charges with repeats and free rows."""
  rng = np.random.default_rng(seed)
  objective = rng.normal(size=(num_seeds, num_evaluations)).round(1)
  objective[rng.random(objective.shape) < 0.3] = -INF
  fresh = rng.random(objective.shape) < 0.6
  return objective.astype(np.float32), fresh.cumsum(axis=1).astype(np.int32)


class CurveTest(parameterized.TestCase):
  @parameterized.product(seed=[0, 1, 2], budget=[None, 0, 1, 10, 60])
  def test_best_so_far_by_loop(self, seed, budget):
    """Oracle: a Python loop over seeds, query counts and evaluations."""
    objective, charged = random_history(seed)
    num_queries = charged.max() if budget is None else budget
    want = np.full((len(objective), num_queries), -INF, np.float32)
    for s, q in np.ndindex(want.shape):
      for value, paid in zip(objective[s], charged[s], strict=True):
        if paid <= q + 1:
          want[s, q] = max(want[s, q], value)
    got = statistics.best_so_far(objective, charged, budget)
    self.assertEqual(got.dtype, np.float32)
    np.testing.assert_array_equal(got, want)

  def test_best_so_far_by_hand(self):
    """Oracle: hand calculation with prior data, a repeat and an early end."""
    objective = jnp.array([[-INF, 1.0, 5.0, 2.0], [3.0, 9.0, 4.0, -INF]])
    charged = jnp.array([[1, 2, 4, 5], [3, 3, 4, 4]])
    got = statistics.best_so_far(objective, charged)
    want = [[-INF, 1, 1, 5, 5], [-INF, -INF, 9, 9, 9]]
    np.testing.assert_array_equal(got, np.float32(want))

  def test_best_so_far_without_evaluations(self):
    """Oracle: nothing was found."""
    empty = np.zeros((2, 0))
    charged = empty.astype(np.int32)
    self.assertEqual(statistics.best_so_far(empty, charged).shape, (2, 0))
    got = statistics.best_so_far(empty, charged, 3)
    np.testing.assert_array_equal(got, np.full((2, 3), -INF, np.float32))
    self.assertEqual(
      statistics.queries_to_target(empty, charged, 0.0).tolist(), [INF, INF]
    )

  @parameterized.product(seed=[0, 1, 2], target=[-0.5, 1.0, 2.0, 99.0])
  def test_queries_to_target_by_loop(self, seed, target):
    """Oracle: a Python loop that stops at the first hit."""
    objective, charged = random_history(seed)
    want = [
      next(
        (c for v, c in zip(*row, strict=True) if v >= np.float32(target)), INF
      )
      for row in zip(objective, charged, strict=True)
    ]
    got = statistics.queries_to_target(objective, charged, target)
    np.testing.assert_array_equal(got, want)

  @parameterized.parameters(0, 1, 2)
  def test_success_agrees_with_the_curves(self, seed):
    """Oracle: the share of best-so-far curves at or above the target."""
    objective, charged = random_history(seed)
    best = statistics.best_so_far(objective, charged)
    queries = statistics.queries_to_target(objective, charged, 1.5)
    at = np.arange(1, best.shape[1] + 1)
    np.testing.assert_allclose(
      statistics.success_at(queries, at), (best >= 1.5).mean(axis=0)
    )

  @parameterized.parameters(94.37, 73.51, 46.73, 91.0 + 1e-3)
  def test_optimum_in_double_precision_is_reached(self, optimum):
    """Oracle: a search that found the optimum has found it, regret 0."""
    found = np.float32([[optimum]])
    queries = statistics.queries_to_target(found, [[1]], np.float64(optimum))
    self.assertEqual(queries.tolist(), [1.0])
    curve = statistics.regret_curve(found, np.float64(optimum))
    self.assertEqual(curve.mean.tolist(), [0.0])

  def test_success_at_by_hand(self):
    """Oracle: hand calculation; failures do not succeed at infinity."""
    queries = [3.0, INF, 1.0, 3.0]
    got = statistics.success_at(queries, [[0, 1, 2], [3, 1000, INF]])
    self.assertEqual(got.tolist(), [[0, 0.25, 0.25], [0.75, 0.75, 0.75]])
    self.assertEqual(float(statistics.success_at(queries, 1)), 0.25)

  @parameterized.parameters(
    ([5.0], 5.0),
    ([INF], None),
    ([4.0, 1.0, 2.0, 3.0], 2.5),
    ([9.0, INF, 2.0], 9.0),
    ([INF, INF, 2.0], None),
    ([INF, 3.0, INF, 2.0], 3.0),
    ([INF, 3.0, 4.0, 2.0], 3.5),
  )
  def test_median_by_hand(self, queries, want):
    """Oracle: hand calculation; None if under half reach the target."""
    self.assertEqual(statistics.median_queries(queries), want)

  def test_regret_curve_by_column(self):
    """Oracle: `mean_interval` of every column."""
    best = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    curve = statistics.regret_curve(best, 2.5, 0.9)
    self.assertEqual(curve.num, 6)
    for q in range(4):
      want = statistics.mean_interval(2.5 - best[:, q].astype(float), 0.9)
      got = [field[q] for field in curve[:4]]
      np.testing.assert_allclose(got, want[:4], rtol=1e-12)

  def test_regret_curve_before_anything_valid(self):
    """Oracle: hand calculation; the documented inf and NaN."""
    curve = statistics.regret_curve([[-INF, 1.0, 2.0], [0.0, 1.0, 2.0]], 2.0)
    np.testing.assert_array_equal(curve.mean, [INF, 1.0, 0.0])
    for field in (curve.std, curve.low, curve.high):
      np.testing.assert_array_equal(np.isnan(field), [True, False, False])
    self.assertEqual(curve.std[1:].tolist(), [0.0, 0.0])

  def test_regret_curve_of_one_seed(self):
    """Oracle: the documented convention of one seed."""
    curve = statistics.regret_curve([[-INF, 1.0]], 3.0)
    self.assertEqual(curve.mean.tolist(), [INF, 2.0])
    self.assertTrue(np.isnan([curve.std, curve.low, curve.high]).all())
    self.assertEqual(curve.num, 1)

  @parameterized.parameters(
    (lambda f: f([1.0], [1]), r"got \(1,\)"),
    (lambda f: f(np.zeros((0, 2)), np.zeros((0, 2), int)), r"got \(0, 2\)"),
    (lambda f: f([[1.0, 2.0]], [[1]]), r"charged \(1, 2\), got \(1, 1\)"),
    (lambda f: f([[NAN]], [[1]]), "without NaN"),
    (lambda f: f([[1.0]], [[1.0]]), "integers .* got float64"),
    (lambda f: f([[1.0]], [[True]]), "integers .* got bool"),
    (lambda f: f([[1.0]], [[-1]]), "charged >= 0"),
    (lambda f: f([[1.0, 1.0]], np.uint8([[2, 1]])), "never falls"),
  )
  def test_refuses_histories(self, call, message):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, message):
      call(statistics.best_so_far)
    with self.assertRaisesRegex(ValueError, message):
      call(lambda *history: statistics.queries_to_target(*history, 0.0))

  @parameterized.parameters(
    (lambda: statistics.best_so_far([[1.0]], [[1]], -1), "budget"),
    (lambda: statistics.best_so_far([[1.0]], [[1]], 2.0), "budget"),
    (lambda: statistics.queries_to_target([[1.0]], [[1]], NAN), "target"),
    (lambda: statistics.success_at([], [1]), "queries of"),
    (lambda: statistics.success_at([1.0], [NAN]), "at without NaN"),
    (lambda: statistics.success_at([-1.0], [1]), "at least 0"),
    (lambda: statistics.median_queries([NAN]), "at least 0"),
    (lambda: statistics.median_queries([[1.0]]), r"got \(1, 1\)"),
    (lambda: statistics.regret_curve([1.0], 1.0), r"got \(1,\)"),
    (lambda: statistics.regret_curve(np.zeros((0, 3)), 1.0), r"\(0, 3\)"),
    (lambda: statistics.regret_curve([[NAN]], 1.0), "finite or -inf"),
    (lambda: statistics.regret_curve([[INF]], 1.0), "finite or -inf"),
    (lambda: statistics.regret_curve([[1.0]], INF), "finite optimum"),
    (lambda: statistics.regret_curve([[1.0]], 1.0, 2.0), "confidence"),
  )
  def test_refuses(self, call, message):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, message):
      call()


class ParetoTest(parameterized.TestCase):
  @parameterized.product(seed=[0, 1], num_objectives=[1, 2, 3, 4])
  def test_front_by_brute_force(self, seed, num_objectives):
    """Oracle: all pairs by the definition; ties, duplicates, NaN and inf."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, (80, num_objectives)).astype(float)
    points[rng.random(points.shape) < 0.03] = NAN
    points[rng.random(points.shape) < 0.03] = -INF
    want = [
      not np.isnan(p).any()
      and not any((q >= p).all() and (q > p).any() for q in points)
      for p in points
    ]
    got = statistics.pareto_front(points)
    self.assertEqual(got.dtype, bool)
    np.testing.assert_array_equal(got, want)

  def test_front_by_hand(self):
    """Oracle: hand calculation."""
    points = [[0, 3], [2, 2], [2, 2], [2, 1], [3, 0], [NAN, 9], [-0.0, 3]]
    got = statistics.pareto_front(points)
    self.assertEqual(got.tolist(), [True, True, True, False, True, False, True])
    self.assertEqual(statistics.pareto_front(np.zeros((0, 2))).shape, (0,))
    self.assertFalse(statistics.pareto_front([[NAN, NAN]]).any())

  def test_front_of_a_whole_table(self):
    """Oracle: best second value so far, in falling order of the first."""
    points = np.random.default_rng(6).normal(size=(15625, 2))
    order = np.argsort(-points[:, 0])
    second = points[order, 1]
    before = np.maximum.accumulate(np.concatenate([[-INF], second[:-1]]))
    want = np.zeros(len(points), bool)
    want[order] = second > before
    np.testing.assert_array_equal(statistics.pareto_front(points), want)

  @parameterized.product(seed=[0, 1, 2], num_objectives=[1, 2, 3, 4])
  def test_hypervolume_by_counting_cells(self, seed, num_objectives):
    """Oracle: integer points dominate a whole number of unit cells."""
    rng = np.random.default_rng(seed)
    points = rng.integers(-2, 6, (12, num_objectives))
    grid = np.indices([8] * num_objectives) - 2 + 0.5
    cells = grid.reshape(num_objectives, -1).T
    covered = (cells[:, None] < points[None]).all(axis=2).any(axis=1)
    above = (cells > -1.0).all(axis=1)
    got = statistics.hypervolume(points, [-1.0] * num_objectives)
    self.assertAlmostEqual(got, float((covered & above).sum()), places=9)

  @parameterized.parameters(2, 3, 4)
  def test_hypervolume_by_inclusion_exclusion(self, num_objectives):
    """Oracle: inclusion and exclusion over all subsets of 7 real points."""
    points = np.random.default_rng(7).random((7, num_objectives))
    want = 0.0
    for size in range(1, 8):
      for subset in itertools.combinations(points, size):
        want -= (-1) ** size * np.prod(np.min(subset, axis=0) + 0.5)
    got = statistics.hypervolume(points, [-0.5] * num_objectives)
    self.assertAlmostEqual(got, want, places=12)

  def test_hypervolume_monte_carlo(self):
    """Oracle: share of 2e5 uniform draws that are dominated, fixed seed.

    Tolerance 0.005, over four standard errors.
    """
    rng = np.random.default_rng(8)
    points, draws = rng.random((30, 3)), rng.random((200_000, 3))
    dominated = np.zeros(len(draws), bool)
    for point in points:
      dominated |= (draws <= point).all(axis=1)
    got = statistics.hypervolume(points, np.zeros(3))
    self.assertAlmostEqual(got, dominated.mean(), delta=0.005)

  def test_hypervolume_ignores_what_adds_nothing(self):
    """Oracle: 1 x 2 by hand; rows below, on or NaN add nothing."""
    points = [[2, 3], [2, 3], [1, 9], [9, 1], [NAN, 9], [-INF, 9], [1.5, 2]]
    self.assertEqual(statistics.hypervolume(points, [1, 1]), 2.0)
    self.assertEqual(statistics.hypervolume(np.zeros((0, 3)), [0, 0, 0]), 0.0)
    self.assertEqual(statistics.hypervolume([[1, 1]], [1, 0]), 0.0)

  @parameterized.parameters(
    (lambda: statistics.pareto_front([1.0, 2.0]), r"got \(2,\)"),
    (lambda: statistics.pareto_front(np.zeros((3, 0))), r"got \(3, 0\)"),
    (lambda: statistics.hypervolume([1.0], [0.0]), r"got \(1,\)"),
    (lambda: statistics.hypervolume([[1.0, 1.0]], [0.0]), "size 2, got 1"),
    (lambda: statistics.hypervolume([[1.0]], [-INF]), "finite reference"),
    (lambda: statistics.hypervolume([[INF, 1.0]], [0.0, 0.0]), "below inf"),
  )
  def test_refuses(self, call, message):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, message):
      call()


if __name__ == "__main__":
  absltest.main()
