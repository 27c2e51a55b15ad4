"""Tests of nagjax.problem."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import problem
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular

Constraint = problem.Constraint
NUM = 15625


def benchmark(**columns):
  """The synthetic benchmark with some queried columns replaced or added."""
  base = synthetic.synthetic()
  columns = {k: jnp.asarray(v, jnp.float32) for k, v in columns.items()}
  return base.replace(queried={**base.queried, **columns})


def all_archs():
  return jnp.asarray(synthetic.synthetic().architectures())


class ConstraintTest(parameterized.TestCase):
  @parameterized.parameters(
    ("params_m<=0.5", "params_m", 0.5),
    (" raspi4_ms <= 5 ", "raspi4_ms", 5.0),
    ("x<=-1e3", "x", -1e3),
  )
  def test_parse(self, text, column, limit):
    """Oracle: by hand."""
    self.assertEqual(Constraint.parse(text), Constraint(column, limit))

  @parameterized.parameters("params_m<5", "<=5", "a<=b", "a<=", "a>=5", "")
  def test_other_forms_are_refused(self, text):
    """Oracle: the documented ValueError quotes the text."""
    with self.assertRaisesRegex(ValueError, "looks like"):
      Constraint.parse(text)


class EvaluateTest(parameterized.TestCase):
  def test_the_default_asks_for_the_objective_of_the_benchmark(self):
    """Oracle: the column itself."""
    asked = problem.Problem(synthetic.synthetic())
    answer = asked.evaluate(all_archs())
    column = asked.benchmark.queried["valid_accuracy"]
    np.testing.assert_array_equal(answer.objective, column)
    np.testing.assert_array_equal(answer.objectives, column[:, None])
    self.assertEqual(answer.violations.shape, (NUM, 0))
    self.assertFalse(np.any(answer.failed))

  def test_a_minus_sign_minimizes(self):
    """Oracle: the negated column."""
    asked = problem.Problem(synthetic.synthetic(), objectives=("-params_m",))
    answer = asked.evaluate(all_archs())
    np.testing.assert_array_equal(
      answer.objective, -np.asarray(asked.benchmark.queried["params_m"])
    )

  def test_several_objectives_are_scalarized_by_the_callers_function(self):
    """Oracle: NumPy."""
    asked = problem.Problem(
      synthetic.synthetic(),
      objectives=("valid_accuracy", "-params_m"),
      scalarize=lambda objectives, violations: objectives.sum(-1),
    )
    answer = jax.jit(lambda p, a: p.evaluate(a))(asked, all_archs())
    queried = {k: np.asarray(v) for k, v in asked.benchmark.queried.items()}
    expected = [queried["valid_accuracy"], -queried["params_m"]]
    np.testing.assert_array_equal(answer.objectives, np.stack(expected, 1))
    np.testing.assert_allclose(answer.objective, sum(expected), rtol=1e-6)

  @parameterized.parameters(np.nan, -np.inf)
  def test_missing_values_fail(self, value):
    """Oracle: rule 8: failed, objective -inf, never NaN."""
    column = np.linspace(1, 90, NUM)
    column[[3, 77]] = value
    asked = problem.Problem(benchmark(valid_accuracy=column))
    answer = asked.evaluate(all_archs())
    np.testing.assert_array_equal(np.flatnonzero(answer.failed), [3, 77])
    np.testing.assert_array_equal(answer.objective[answer.failed], -np.inf)
    self.assertFalse(np.any(np.isnan(answer.objective)))

  def test_a_constraint_is_the_relative_excess_and_nan_is_infeasible(self):
    """Oracle: NumPy; the limit itself is feasible."""
    latency = np.linspace(1, 20, NUM)
    latency[10], latency[11] = np.nan, 5.0
    asked = problem.Problem(
      benchmark(latency_ms=latency),
      constraints=(Constraint("latency_ms", 5.0), Constraint("params_m", 0.5)),
    )
    answer = asked.evaluate(all_archs())
    excess = np.float32(latency) / 5 - 1
    excess[10] = np.inf
    self.assertGreater(float(answer.violations[10, 0]), 1e30)
    np.testing.assert_allclose(
      np.delete(answer.violations[:, 0], 10),
      np.delete(excess, 10),
      rtol=1e-4,
      atol=1e-6,
    )
    self.assertEqual(float(answer.violations[11, 0]), 0.0)
    self.assertFalse(np.any(answer.failed))
    self.assertFalse(np.any(np.isnan(answer.objective)))
    params = np.asarray(asked.benchmark.queried["params_m"])
    feasible = (excess <= 0) & (params <= np.float32(0.5))
    accuracy = np.asarray(asked.benchmark.queried["valid_accuracy"])
    objective = np.asarray(answer.objective)
    np.testing.assert_array_equal(objective[feasible], accuracy[feasible])
    self.assertLess(objective[~feasible].max(), accuracy.min())

  def test_a_limit_of_zero_is_not_divided_by(self):
    """Oracle: the column itself."""
    asked = problem.Problem(
      benchmark(x=np.linspace(-1, 1, NUM)), constraints=(Constraint("x", 0.0),)
    )
    np.testing.assert_array_equal(
      asked.evaluate(all_archs()).violations[:, 0],
      asked.benchmark.queried["x"],
    )

  def test_batches_of_any_rank(self):
    """Oracle: the flat answer."""
    asked = problem.Problem(
      synthetic.synthetic(), constraints=(Constraint("params_m", 0.5),)
    )
    flat = asked.evaluate(all_archs()[:12])
    cube = asked.evaluate(all_archs()[:12].reshape(3, 4, 6))
    for a, b in zip(flat, cube, strict=True):
      np.testing.assert_array_equal(a, b.reshape(a.shape))


class FeasibleFirstTest(parameterized.TestCase):
  def test_the_order_is_debs(self):
    """Oracle: Python sorting by (feasible, objective or -total violation)."""
    rng = np.random.default_rng(0)
    objectives = rng.uniform(-100, 100, (200, 2)).astype(np.float32)
    violations = rng.integers(-8, 5, (200, 2)).astype(np.float32) / 4
    value = np.asarray(problem.feasible_first(objectives, violations))

    def rank(i):
      excess = np.maximum(violations[i], 0).sum()
      if np.all(violations[i] <= 0):
        return (1, objectives[i, 0])
      return (0, -excess)

    expected = sorted(range(200), key=rank)
    self.assertEqual(
      [rank(i) for i in np.argsort(value, kind="stable")],
      [rank(i) for i in expected],
    )


class ValidateTest(parameterized.TestCase):
  def test_known_columns_pass(self):
    """Oracle: the value itself comes back."""
    asked = problem.Problem(
      synthetic.synthetic(),
      objectives=("-params_m",),
      constraints=(Constraint("valid_accuracy", 90.0),),
    )
    self.assertIs(asked.validate(), asked)

  @parameterized.parameters(
    (dict(objectives=("accuracy",)), "'accuracy'"),
    (dict(objectives=("test_accuracy",)), "'test_accuracy'"),
    (dict(constraints=(Constraint("raspi4_ms", 5.0),)), "'raspi4_ms'"),
  )
  def test_unknown_or_reported_columns_are_refused(self, question, named):
    """Oracle: the documented ValueError; test metrics cannot be asked for."""
    asked = problem.Problem(synthetic.synthetic(), **question)
    with self.assertRaisesRegex(ValueError, f"{named}.*params_m"):
      asked.validate()


class OptimumTest(parameterized.TestCase):
  def test_optimum(self):
    """Oracle: the documented peak and its report."""
    asked = problem.Problem(synthetic.synthetic())
    value, test, archs = asked.optimum()
    self.assertEqual((value, test), (94.0, 94.0 - 0.75))
    np.testing.assert_array_equal(archs, synthetic.PEAKS[:1])

  def test_constrained_optimum(self):
    """Oracle: NumPy over all cells; NaN costs are infeasible."""
    base = synthetic.synthetic()
    params = np.array(base.queried["params_m"])
    params[::7] = np.nan
    asked = problem.Problem(
      benchmark(params_m=params), constraints=(Constraint("params_m", 0.52),)
    )
    value, _, archs = asked.optimum()
    accuracy = np.array(base.queried["valid_accuracy"])
    accuracy[~(params <= np.float32(0.52))] = -1
    self.assertEqual(value, accuracy.max())
    best = np.flatnonzero(accuracy >= accuracy.max() - 1e-3)
    np.testing.assert_array_equal(archs, base.architectures()[best])

  @parameterized.parameters(
    (dict(constraints=(Constraint("params_m", 0.1),)), 1.0),
    (dict(), np.nan),
  )
  def test_none_where_nothing_is_feasible(self, question, scale):
    """Oracle: an impossible limit; a table of failures."""
    accuracy = np.asarray(synthetic.synthetic().queried["valid_accuracy"])
    asked = problem.Problem(
      benchmark(valid_accuracy=accuracy * scale), **question
    )
    self.assertIsNone(asked.optimum())

  def test_the_test_metric_of_a_table_without_one_is_nan(self):
    """Oracle: the docstring."""
    base = synthetic.synthetic()
    bare = tabular.Tabular(
      queried=base.queried, reported={}, name="bare", space=base.space
    )
    self.assertTrue(
      np.all(np.isnan(problem.Problem(bare).test(all_archs()[:3])))
    )


if __name__ == "__main__":
  absltest.main()
