"""Tests of the results and plots of the experiments."""

import pathlib
import tempfile
import types

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from experiments.support import plots
from experiments.support import records
from experiments.support import results
import nagjax
from nagjax import search as search_lib
from nagjax.problem import Optimum


class ResultsTest(parameterized.TestCase):
  def _trace(self):
    """One seed, two rounds of three slots and one that was not needed."""
    filled = np.asarray([[[0, 1, 3], [0, 2, 4], [4, 4, 4]]], np.int8)
    archs = np.zeros((1, 3, 3, 2), np.int32)
    archs[0, :2, :, 0] = [[1, 1, 2], [3, 4, 5]]
    archs[0, 2] = 9
    objective = np.asarray([[[5, 5, -np.inf], [7, -np.inf, 7], [7, 7, 7]]])
    objective = objective.astype(np.float32)
    return search_lib.Trace(
      archs=archs,
      status=filled,
      objective=objective,
      objectives=objective[..., None],
      violations=np.zeros((1, 3, 3, 0), np.float32),
      test=np.asarray([[[1, 2, -np.inf], [3, -np.inf, 8], [9, 9, 9]]], "f4"),
      feasible=np.asarray([[[1, 1, 0], [1, 0, 1], [1, 1, 1]]], bool),
      paid=np.asarray([[[1, 0, 1], [1, 0, 0], [0, 0, 0]]], bool),
      charged=np.asarray([[2, 3, 3]], np.int32),
    )

  def test_what_is_kept_of_a_sweep(self):
    """Oracle: by hand; empty slots are cleared, the empty round is cut, and
    what was told of two rounds stands beside the second and the third."""
    info = {"a": {"b": np.asarray([[1.0, 2.0]])}, "c": np.asarray([[3, 4]])}
    result = search_lib.Result(self._trace(), info, None)
    run = records.make_run(None, result)
    self.assertEqual(run.trace.status.shape, (1, 2, 3))
    self.assertEqual(run.trace.archs[0, 1, :, 0].tolist(), [3, 4, 0])
    self.assertEqual(run.trace.objective[0, 1].tolist(), [7, -np.inf, -np.inf])
    self.assertEqual(run.trace.charged.tolist(), [[2, 3]])
    self.assertEqual(set(run.info), {"a/b", "c"})
    self.assertEqual(run.info["a/b"].tolist(), [[-np.inf, 1.0]])
    self.assertEqual(run.info["c"].tolist(), [[0, 3]])

  def test_history(self):
    """Oracle: by hand; a slot counts what was paid until after it."""
    past = results.history(search_lib.tidy(self._trace()))
    self.assertEqual(past.charged.tolist(), [[1, 1, 2, 3, 3, 3]])
    best = [[5, 5, -np.inf, 7, -np.inf, -np.inf]]
    self.assertEqual(past.objective.tolist(), best)

  @parameterized.product(known=(True, False), num_curves=(1, 9))
  def test_curves_of_odd_runs(self, known, num_curves):
    """Oracle: a picture, no warning: no seed, one or all at the optimum."""
    path = (
      pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
      / "curve.png"
    )
    optimum = (
      Optimum(9.0, np.nan, np.zeros((1, 6), np.int32)) if known else None
    )
    runs = [[[-np.inf, -np.inf]], [[1.0, 9.0]], [[9.0], [9.0]], [[-np.inf, 3]]]
    curves = [
      plots.Curve(
        f"run{number}",
        np.asarray(runs[number % 4], np.float32),
        np.linspace(0, 1, len(runs[number % 4][0])) if known else None,
      )
      for number in range(num_curves)
    ]
    plots.draw_curves(
      path, curves, caption="odd", objective="accuracy (%)", optimum=optimum
    )
    self.assertGreater(path.stat().st_size, 1000)

  def test_nothing_is_evaluated_again(self):
    """Oracle: columns of the table, for a cloud; hours are not known, and a
    report that is computed is not asked for."""
    table = nagjax.make_benchmark("digits")

    def report(archs):
      self.assertIsInstance(archs, jax.core.Tracer)
      return {"test_accuracy": archs[..., 0] + 0.5}

    archs = np.random.default_rng(0).integers(0, 5, (1, 2, 3, 6)).astype("i4")
    problem = nagjax.Problem(table, constraints=("params_m<=0.004",))
    answer = problem.evaluate(archs.reshape(6, 6))
    trace = self._trace()._replace(
      archs=archs,
      objectives=np.asarray(answer.objectives).reshape(1, 2, 3, 1),
      violations=np.asarray(answer.violations).reshape(1, 2, 3, 1),
      paid=np.ones((1, 2, 3), bool),
      **{
        name: getattr(self._trace(), name)[:, :2]
        for name in ("objective", "test", "feasible", "status", "charged")
      },
    )
    found = results.distinct_rows(trace, table)
    (cloud,) = plots.make_clouds({"a": found}, problem)
    columns = table.query(found.archs)
    np.testing.assert_allclose(cloud.cost, columns["params_m"], rtol=1e-5)
    np.testing.assert_allclose(cloud.objective, columns[table.objective])
    computed = types.SimpleNamespace(report=report)
    self.assertIsNone(results._gpu_hours(None, trace, found, computed))

  def test_clouds_of_odd_runs(self):
    """Oracle: a picture without a warning: nothing feasible, NaN, one point."""
    path = (
      pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
      / "pareto.png"
    )
    cost = np.asarray([np.nan, 3.0, 3.0], np.float32)
    clouds = [
      plots.Cloud("a", "ms", 3.0, cost[:num], cost[:num] * 2, feasible[:num])
      for num, feasible in (
        (3, np.asarray([False, False, False])),
        (3, np.asarray([False, True, True])),
        (1, np.asarray([False])),
        (0, np.asarray([], bool)),
      )
    ]
    plots.draw_pareto(path, clouds, caption="odd", objective="accuracy (%)")
    self.assertGreater(path.stat().st_size, 1000)


if __name__ == "__main__":
  absltest.main()
