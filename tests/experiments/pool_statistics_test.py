"""Tests of experiments.pool_statistics and experiments.compare."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments import compare
from experiments import pool_statistics
from experiments import search
from tests.experiments import runs

run = runs.run_binary
SMALL = (
  "--benchmark=synthetic --num_seeds=2 --num_train=20 --num_generated=12 "
  "--set=diffusionnag.fit_steps=3 --set=diffusionnag.guide_steps=3 "
  "--set=diffusionnag.num_taught=40 --set=diffusionnag.sample_steps=4"
).split()


class PoolStatisticsTest(parameterized.TestCase):
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

  @parameterized.parameters(
    ("--benchmark=nowhere", "benchmark"),
    ("--objective=beauty", "beauty"),
    ("--columns=beauty", "columns"),
    ("--set=diffusionnag.guidence=2", "guidence"),
    ("--set=guidance=2", "ednag.population_size=20"),
    ("--set=diffusionnag.candidates=random", "candidates follows"),
    ("--train_on=poor --num_train=15000", "at most the 14"),
    ("--num_train=1", "num_train"),
  )
  def test_what_the_user_can_mend(self, flag, word):
    """Oracle: exit code 2 and one line with the word, before any computing."""
    with tempfile.TemporaryDirectory() as folder:
      flags = ("--benchmark=synthetic", *flag.split())
      code, _, err = run(pool_statistics, *flags, f"--workdir={folder}/new")
      self.assertFalse(pathlib.Path(folder, "new").exists())
    self.assertEqual(code, 2)
    self.assertIn(word, err)
    self.assertLen(err.strip().splitlines(), 1)

  def test_absurd_guidance(self):
    """Oracle: exit code 2; the last line says at which step; no results."""
    with tempfile.TemporaryDirectory() as folder:
      code, _, err = run(
        pool_statistics,
        *SMALL,
        "--set=diffusionnag.guidance=1e30",
        f"--workdir={folder}",
      )
      self.assertEqual(code, 2)
      self.assertRegex(err.splitlines()[-1], "[Ss]tep")
      self.assertEmpty(list(pathlib.Path(folder).iterdir()))

  def test_results_are_not_replaced_by_accident(self):
    """Oracle: exit code 2; the file as it was."""
    with tempfile.TemporaryDirectory() as folder:
      pathlib.Path(folder, "pool.json").write_text("{}")
      code, _, err = run(pool_statistics, *SMALL, f"--workdir={folder}")
      self.assertEqual(code, 2)
      self.assertIn("--overwrite", err)
      self.assertEqual(pathlib.Path(folder, "pool.json").read_text(), "{}")


class CompareTest(parameterized.TestCase):
  def test_two_searches(self):
    """Oracle: means of the traces by NumPy; equal runs are level."""
    with tempfile.TemporaryDirectory() as folder:
      for name, seeds in (("a", 0), ("b", 0), ("c", 5)):
        code, _, err = run(
          search,
          "--benchmark=synthetic",
          "--algorithm=random",
          "--num_seeds=4",
          "--budget=20",
          f"--seed_start={seeds}",
          f"--workdir={folder}/{name}",
        )
        self.assertEqual(code, 0, err)
      code, out, _ = run(compare, f"--runs={folder}/a,{folder}/b", "--at=5,20")
      self.assertEqual(code, 0)
      with np.load(f"{folder}/a/trace.npz") as trace:
        objective = trace["objective"].reshape(4, -1)
      for line, num in zip(out.splitlines(), (5, 20), strict=True):
        best = objective[:, :num].max(axis=1).mean()
        self.assertIn(f"a/random {best:.3f}", line)
        self.assertIn("[+0.000, +0.000]", line)
        self.assertTrue(line.endswith("level"))
      for argv in (
        [f"--runs={folder}/a,{folder}/c"],
        [f"--runs={folder}/a,{folder}/b", "--at=21"],
        [f"--runs={folder}/a,{folder}/b", "--at=0"],
        [f"--runs={folder}/a"],
        [f"--runs={folder}/a,{folder}/d"],
      ):
        code, _, err = run(compare, *argv)
        self.assertEqual(code, 2)
        self.assertLen(err.strip().splitlines(), 1)


if __name__ == "__main__":
  absltest.main()
