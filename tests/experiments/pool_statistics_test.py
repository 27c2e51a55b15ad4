"""Tests of experiments.pool_statistics and experiments.compare."""

import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import compare
from experiments import pool_statistics
from tests.experiments import runs

run = runs.run_binary
SMALL = (
  "--benchmark=synthetic --num_seeds=2 --num_train=20 --num_generated=12 "
  "--set=diffusionnag.fit.num_steps=3 --set=diffusionnag.sample_steps=4 "
  "--set=diffusionnag.guide_fit.num_steps=3 --set=diffusionnag.num_taught=40 "
  "--set=diffusionnag.num_members=1 --set=diffusionnag.guide_size=4"
).split()


class PoolStatisticsTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_poor_training_sets(self):
    """Oracle: the printed means are those of pool.json, whose sources agree
    with their definitions: the oracle is best, training sets are poor."""
    with tempfile.TemporaryDirectory() as folder:
      code, out, _ = run(
        pool_statistics, *SMALL, "--train_on=poor", f"--workdir={folder}"
      )
      record = json.loads(pathlib.Path(folder, "pool.json").read_text())
    self.assertEqual(code, 0)
    rows = record["rows"]
    self.assertEqual(set(rows), {*pool_statistics.SOURCES, "oracle"})
    for source, seeds in rows.items():
      self.assertLen(seeds, 1 if source == "oracle" else 2)
      mean = np.mean([row["mean"] for row in seeds])
      line = next(line for line in out.splitlines() if source in line)
      self.assertIn(f"mean {mean:.2f}", line)
      self.assertLessEqual(mean, rows["oracle"][0]["mean"])
    for row in rows["training"]:
      self.assertLess(row["max"], rows["oracle"][0]["min"])
    self.assertIn("median above that of the training set", out)

  def test_what_is_not_finite(self):
    """Oracle: exit code 2; the last line says at which step; no results."""
    with (
      tempfile.TemporaryDirectory() as folder,
      mock.patch.object(
        pool_statistics, "make_pools", lambda *_: ({}, jnp.int32(3))
      ),
    ):
      code, _, err = run(pool_statistics, *SMALL, f"--workdir={folder}")
      self.assertEqual(code, 2)
      self.assertRegex(err.splitlines()[-1], "[Ss]tep 3")
      self.assertEmpty(list(pathlib.Path(folder).iterdir()))


class CompareTest(runs.BinaryCase):
  def test_two_searches(self):
    """Oracle: means of the traces by NumPy; a search is level with itself."""
    folder, _ = runs.search_of(4)
    argv = [f"--runs={folder}", f"--runs={folder}", "--at=5,20"]
    out = self.assert_succeeds(run(compare, *argv))
    arrays = runs.arrays_of(folder)
    best = {}
    for name in ("random", "local_search"):
      objective = arrays[f"{name}/objective"].reshape(4, -1)
      charged = arrays[f"{name}/paid"].reshape(4, -1).cumsum(axis=1)
      for num in (5, 20):
        seen = np.where(charged <= num, objective, -np.inf)
        best[name, num] = seen.max(axis=1).mean()
    lines = iter(out.splitlines())
    for other in ("local_search", "random", "local_search"):
      for num in (5, 20):
        line = next(lines)
        self.assertIn(f"/random {best['random', num]:.3f}", line)
        self.assertIn(f"/{other} {best[other, num]:.3f}", line)
        if other == "random":
          self.assertIn("[+0.000, +0.000]", line)
          self.assertEndsWith(line, "level")
    self.assertIsNone(next(lines, None))


if __name__ == "__main__":
  absltest.main()
