"""Tests of experiments.score_correlations."""

import re

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from sklearn import datasets

from experiments import score_correlations
from nagjax import registry
from nagjax.candidates import objective
from nagjax.problem import Problem
from tests.experiments import runs


def run(*argv):
  return runs.run_binary(
    score_correlations, "--benchmark=synthetic", "--num=60", *argv
  )


class ScoreCorrelationsTest(parameterized.TestCase):
  def test_a_score_that_needs_no_images(self):
    """Oracle: SciPy's coefficients over the same cells."""
    code, out, err = run("--scores=params,flops")
    self.assertEqual((code, err), (0, ""))
    benchmark = registry.make_benchmark("synthetic")
    archs = benchmark.space.sample(jax.random.key(1), 60)
    truth = np.asarray(Problem(benchmark).evaluate(archs).objective)
    score = objective.zerocost("params", "nasbench201", key=jax.random.key(0))
    found = np.asarray(score.query(archs)["params"])
    (line,) = re.findall(r"params .*", out)
    self.assertIn(f"{stats.spearmanr(found, truth).statistic:.3f}", line)
    self.assertIn(f"{stats.kendalltau(found, truth).statistic:.3f}", line)
    self.assertLen(out.splitlines(), 3)

  def test_batch(self):
    """Oracle: mean 0, deviation 1; the digits, in an order drawn by NumPy."""
    images = score_correlations.read_batch("digits", 20)
    self.assertEqual(images.x.shape, (20, 8, 8, 1))
    self.assertAlmostEqual(float(jnp.mean(images.x)), 0.0, places=5)
    self.assertAlmostEqual(float(jnp.std(images.x)), 1.0, places=5)
    digits = datasets.load_digits()
    chosen = np.random.default_rng(0).permutation(1797)[:20]
    np.testing.assert_array_equal(images.y, digits.target[chosen])
    pixels, raw = np.ravel(images.x), np.ravel(digits.images[chosen])
    self.assertGreater(np.corrcoef(pixels, raw)[0, 1], 0.99999)


if __name__ == "__main__":
  absltest.main()
