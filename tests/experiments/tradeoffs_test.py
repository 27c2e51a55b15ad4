"""Tests of experiments.tradeoffs."""

import pathlib
import tempfile

from absl.testing import absltest
import jax
import numpy as np
import pytest

from experiments import tradeoffs
import nagjax
from nagjax import files
from tests.experiments.runs import run_binary


class TradeoffsTest(absltest.TestCase):
  @pytest.mark.slow
  def test_a_column(self):
    """Oracle: the staircase under the front of each seed, added up here; what
    is done is not done again."""
    problem = nagjax.Problem(
      nagjax.make_benchmark("synthetic"), ("valid_accuracy", "-params_m")
    )
    search = nagjax.make_search("random", problem, budget=30)
    keys = jax.random.split(jax.random.key(0), 3)
    trace = nagjax.sweep(keys, search).trace
    archs = problem.benchmark.architectures()
    table = np.asarray(problem.evaluate(archs).objectives, np.float64)
    worst = table.min(axis=0)

    def area(points):
      total, height = 0.0, worst[1]
      for first, second in sorted(points.tolist(), reverse=True):
        total += max(second - height, 0.0) * (first - worst[0])
        height = max(height, second)
      return total

    found = [
      area(trace.objectives[seed][trace.paid[seed]].astype(np.float64))
      for seed in range(3)
    ]
    share = 100 * np.mean(found) / area(table)
    with tempfile.TemporaryDirectory() as folder:
      flags = (
        "--benchmark=synthetic",
        "--against=params_m",
        "--algorithms=random",
        "--num_seeds=3",
        "--budget=30",
        f"--workdir={folder}",
      )
      code, out, _ = run_binary(tradeoffs, *flags)
      self.assertEqual(code, 0)
      path = pathlib.Path(folder) / tradeoffs.TABLE
      _, (row,) = files.read_csv(path)
      self.assertEqual(row["points"], "4")
      self.assertEqual(row["random"].split(" / ")[0], f"{share:.2f}")
      before = path.read_bytes()
      self.assertEqual(run_binary(tradeoffs, *flags)[:2], (0, out))
      self.assertEqual(path.read_bytes(), before)


if __name__ == "__main__":
  absltest.main()
