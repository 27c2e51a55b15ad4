"""Tests of nagjax.problem."""

from absl.testing import absltest
from absl.testing import parameterized
from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import problem
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from tests.search import toys

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

  @parameterized.parameters(
    *((t, "looks like") for t in ("x<5", "<=5", "a<=b", "a<=", "a>=5", "")),
    *((t, "finite") for t in ("a<=nan", "a<=-inf")),
  )
  def test_other_forms_are_refused(self, text, message):
    """Oracle: the documented ValueError quotes the text."""
    with self.assertRaisesRegex(ValueError, f"{message}.*{text!r}"):
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
    answer = jax.jit(problem.Problem.evaluate)(asked, all_archs())
    queried = {k: np.asarray(v) for k, v in asked.benchmark.queried.items()}
    expected = [queried["valid_accuracy"], -queried["params_m"]]
    np.testing.assert_array_equal(answer.objectives, np.stack(expected, 1))
    np.testing.assert_allclose(answer.objective, sum(expected), rtol=1e-6)

  @parameterized.parameters(np.nan, -np.inf)
  def test_missing_values_fail(self, value):
    """Oracle: rule 9: failed, objective -inf, never NaN."""
    column = np.linspace(1, 90, NUM)
    column[[3, 77]] = value
    asked = problem.Problem(benchmark(valid_accuracy=column))
    answer = asked.evaluate(all_archs())
    np.testing.assert_array_equal(np.flatnonzero(answer.failed), [3, 77])
    np.testing.assert_array_equal(answer.objective[answer.failed], -np.inf)
    self.assertFalse(np.any(np.isnan(answer.objective)))
    self.assertFalse(np.any(answer.feasible[answer.failed]))

  def test_a_scalarization_without_a_value_fails(self):
    """Oracle: the rows at which a logarithm is none; the documented shape."""
    asked = problem.Problem(
      benchmark(valid_accuracy=np.linspace(-1, 1, NUM)),
      scalarize=lambda objectives, violations: jnp.log(objectives[..., 0]),
    )
    answer = asked.evaluate(all_archs())
    column = asked.benchmark.queried["valid_accuracy"]
    np.testing.assert_array_equal(answer.failed, column <= 0)
    wrong = asked.replace(scalarize=lambda objectives, violations: objectives)
    with self.assertRaisesRegex(ValueError, r"shape \(3,\), got \(3, 1\)"):
      wrong.evaluate(all_archs()[:3])

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
    self.assertEqual(float(answer.violations[10, 0]), np.inf)
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
    np.testing.assert_array_equal(answer.feasible, feasible)
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
  @parameterized.parameters(1e-3, 1.0, 1e9, 1e20)
  def test_the_order_is_debs(self, scale):
    """Oracle: Python sorting by (feasible, objective or -total violation).

    Accuracies or FLOPs in units: the scale of an objective does not matter, nor
    how small an excess is; NaN is the largest.
    """
    rng = np.random.default_rng(0)
    objectives = rng.uniform(-scale, scale, (300, 2)).astype(np.float32)
    size = 10.0 ** rng.integers(-30, 8, (300, 2))
    violations = rng.uniform(-1, 1, (300, 2)) * size
    violations[::3] = -np.abs(violations[::3])
    violations[1, 0], violations[4, 1] = np.nan, np.inf
    violations[7:10, 0] = 1e-4, 4e-4, 4.001e-4
    violations = violations.astype(np.float32)
    value = np.asarray(problem.feasible_first(objectives, violations))
    self.assertTrue(np.all(np.isfinite(value)))
    feasible = np.all(violations <= 0, axis=1)
    self.assertGreater(value[feasible].min(), value[~feasible].max())
    np.testing.assert_array_equal(value[feasible], objectives[feasible, 0])
    excess = np.float64(np.where(np.isnan(violations), np.inf, violations))
    excess = np.maximum(excess, 0).sum(1)[~feasible]
    order = np.argsort(excess)
    excess = excess[order]
    falls = np.diff(value[~feasible][order])
    self.assertTrue(np.all(falls <= 0))
    self.assertTrue(np.all(falls[excess[1:] > excess[:-1] * (1 + 1e-6)] < 0))

  def test_flops_in_units(self):
    """Oracle: by hand, for a minimized column far below -10,000."""
    flops = np.full(NUM, 9e8)
    flops[:3] = 20_000, 3e8, 10
    params = np.zeros(NUM)
    params[2] = 0.5005
    asked = problem.Problem(
      benchmark(flops=flops, params_m=params), ("-flops",), ("params_m<=0.5",)
    )
    answer = asked.evaluate(all_archs()[:4])
    self.assertEqual(np.argsort(-answer.objective).tolist(), [0, 1, 3, 2])
    self.assertEqual(answer.feasible.tolist(), [True, True, False, True])
    self.assertEqual(float(answer.objective[1]), -3e8)
    self.assertEqual(asked.optimum().objective, -20_000)


class ConstructionTest(parameterized.TestCase):
  def test_limits_may_be_written(self):
    """Oracle: the constraints that they say, and lists become tuples."""
    asked = problem.Problem(
      synthetic.synthetic(),
      ["-params_m"],
      ["params_m<=0.5", ("valid_accuracy", np.float32(90))],
    )
    self.assertEqual(asked.objectives, ("-params_m",))
    limits = (Constraint("params_m", 0.5), Constraint("valid_accuracy", 90.0))
    self.assertEqual(asked.constraints, limits)
    self.assertEqual(asked.column_names, ("params_m", "valid_accuracy"))
    hash((asked.objectives, asked.constraints))

  @parameterized.parameters(
    (dict(objectives=("accuracy",)), "'accuracy' is no column.*params_m"),
    (dict(objectives=("-",)), "'' is no column"),
    (dict(objectives=("test_accuracy",)), "'test_accuracy' is no column"),
    (dict(constraints=("raspi4_ms<=5",)), "'raspi4_ms'.*params_m"),
    (dict(objectives="valid_accuracy"), "objectives must be a tuple such as"),
    (dict(objectives=None), "objectives must be a tuple.*None"),
    (dict(objectives=(3,)), "name of a column, got 3"),
    (
      dict(objectives=("params_m", "-params_m")),
      "different columns, got params_m, -params_m",
    ),
    (dict(constraints="params_m<=0.5"), "constraints must be a tuple such as"),
    (dict(constraints=("params_m<0.5",)), "looks like"),
    (dict(constraints=(("params_m", np.nan),)), "finite limit.*nan"),
    (dict(constraints=(("params_m", "0.5"),)), "finite limit"),
    (dict(constraints=(0.5,)), "finite limit.*0.5"),
    (dict(scalarize="sum"), "scalarize must be a function"),
  )
  def test_what_is_no_question_is_refused(self, question, message):
    """Oracle: the documented ValueError; test metrics cannot be asked for."""
    with self.assertRaisesRegex(ValueError, message) as caught:
      problem.Problem(synthetic.synthetic(), **question)
    self.assertNotIn("\n", str(caught.exception))
    with self.assertRaisesRegex(ValueError, message):
      problem.Problem(synthetic.synthetic()).replace(**question)

  def test_a_problem_is_a_pytree(self):
    """Oracle: nothing is checked where leaves are none; static is kept."""
    asked = problem.Problem(
      synthetic.synthetic(), ("-params_m",), ("params_m<=0.5",)
    )
    empty = jax.tree.map(lambda leaf: None, asked)
    self.assertIsNone(empty.benchmark.queried["params_m"])
    self.assertEqual(empty.constraints, asked.constraints)
    self.assertIs(empty.scalarize, problem.feasible_first)
    self.assertLen(
      jax.tree.leaves(asked), len(jax.tree.leaves(asked.benchmark))
    )
    shapes = jax.eval_shape(lambda: asked)
    problem.Problem(shapes.benchmark, ("-params_m",))

  def test_several_objectives_of_a_benchmark_are_asked_for(self):
    """Oracle: the attribute of a benchmark that has it."""

    @struct.dataclass
    class Several(toys.Rowless):
      objectives = ("valid_accuracy", "-params_m")

    base = synthetic.synthetic()
    asked = problem.Problem(Several(base))
    self.assertEqual(asked.objective_names, ("valid_accuracy", "-params_m"))
    asked = asked.replace(benchmark=base)
    self.assertEqual(asked.objective_names, ("valid_accuracy",))


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

  def test_a_table_in_fractions_has_the_same_optimal_rows(self):
    """Oracle: the rule for percent, within 1e-3 of the best."""
    rng = np.random.default_rng(0)
    percent = np.where(
      np.arange(NUM) < 40, 94 + rng.uniform(-0.002, 0, NUM), 60
    )
    expected = all_archs()[np.flatnonzero(percent >= percent.max() - 1e-3)]
    self.assertBetween(len(expected), 5, 35)
    for scale in (1.0, 0.01, 1e4):
      asked = problem.Problem(benchmark(valid_accuracy=percent * scale))
      np.testing.assert_array_equal(asked.optimum().archs, expected)

  @parameterized.parameters(
    (94.37, 1e-3),
    (100.0, 1e-3),
    (46.7, 1e-3),
    (0.9437, 1e-5),
    (1.0, 1e-5),
    (-5.6e8, 1e4),
    (0.0, 0.0),
    (float(np.float32(0.1)), 1e-6),
    (10.0, 1e-4),
  )
  def test_tolerance(self, objective, expected):
    """Oracle: by hand."""
    found = problem.tolerance(objective)
    np.testing.assert_allclose(found, expected, rtol=1e-12)

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
