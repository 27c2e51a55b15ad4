"""Tests of experiments.combinations."""

import pathlib
import tempfile

from absl.testing import absltest
import jax
import numpy as np
import pytest

from experiments import combinations
import nagjax
from nagjax import files
from tests.experiments.runs import run_binary

NUM_SEEDS = 2
FLAGS = (
  "--benchmarks=synthetic",
  "--proposers=random,gradient",
  "--surrogates=gp,paths",
  "--at=20,26",
  f"--num_seeds={NUM_SEEDS}",
)


class CombinationsTest(absltest.TestCase):
  @pytest.mark.slow
  def test_pairs(self):
    """Oracle: a sweep of one pair, by NumPy; the pair that cannot work says why
    and costs nothing; what is done is not done again."""
    with tempfile.TemporaryDirectory() as folder:
      flags = (*FLAGS, f"--workdir={folder}")
      code, out, _ = run_binary(combinations, *flags)
      self.assertEqual(code, 0)
      path = pathlib.Path(folder) / combinations.TABLE
      names, rows = files.read_csv(path)
      self.assertLen(rows, 4)
      self.assertLen(out.splitlines(), 4)
      done = {(row["proposer"], row["surrogate"]): row for row in rows}
      refused = done["gradient", "paths"]
      self.assertEqual(refused["num_seeds"], "0")
      self.assertIn("relaxed", refused["note"])
      search = nagjax.make_search(
        "optiproxy",
        nagjax.Problem(nagjax.make_benchmark("synthetic")),
        budget=26,
        proposer="random",
        surrogate="gp",
      )
      keys = jax.random.split(jax.random.key(0), NUM_SEEDS)
      trace = nagjax.sweep(keys, search).trace
      charged = trace.paid.reshape(NUM_SEEDS, -1).cumsum(axis=1)
      value = trace.objective.reshape(NUM_SEEDS, -1)
      best = np.where(charged <= 20, value, -np.inf).max(axis=1)
      self.assertEqual(done["random", "gp"]["mean_20"], f"{best.mean():.3f}")
      self.assertIn("share_26", names)
      before = path.read_bytes()
      code, again, _ = run_binary(combinations, *flags)
      self.assertEqual((code, again), (0, out))
      self.assertEqual(path.read_bytes(), before)


if __name__ == "__main__":
  absltest.main()
