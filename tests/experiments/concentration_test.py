"""Tests of experiments.concentration."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from experiments import concentration
from nagjax import registry
from nagjax import search
from nagjax.algorithms import agnet
from nagjax.problem import Problem
from tests.experiments import runs

SMALL = {
  "batch_size": 4,
  "fit_steps": 2,
  "num_decodes": 2,
  "num_initial": 4,
  "num_latents": 8,
  "train_steps": 2,
}
BUDGET = 16


def run(*argv):
  return runs.run_binary(concentration, "--benchmark=synthetic", *argv)


class ConcentrationTest(parameterized.TestCase):
  def test_the_last_round(self):
    """Oracle: one search run by itself, its last generators decoded by hand,
    every valid architecture looked up by itself."""
    benchmark = registry.make_benchmark("synthetic")
    chosen = registry.make_search(
      "agnet", benchmark, budget=BUDGET, options=SMALL
    )
    keys = jax.random.split(jax.random.key(3), 2)
    problem = Problem(benchmark)
    _, last = concentration.measure(keys, chosen, problem, BUDGET, 3)
    for number, key in enumerate(keys):
      search_key, decode_key = jax.random.split(key)
      _, state = search.run(
        search_key,
        chosen.algorithm,
        problem,
        chosen.params,
        budget=BUDGET,
        num_rounds=3,
      )
      archs, valid = agnet.generate(
        decode_key,
        state.algorithm.trained.params,
        chosen.params,
        chosen.config,
        benchmark.space.layout,
      )
      archs = np.asarray(archs)[np.asarray(valid)]
      values = [float(problem.evaluate(a[None]).objective[0]) for a in archs]
      np.testing.assert_allclose(
        last.objective[number], np.mean(values), rtol=1e-4
      )
      self.assertAlmostEqual(last.validity[number], np.mean(valid), places=5)

  def test_what_is_printed(self):
    """Oracle: two rounds and the share of one seed, which is all or nothing."""
    settings = [f"--set=agnet.{name}={value}" for name, value in SMALL.items()]
    code, out, err = run("--num_seeds=1", "--budget=12", *settings)
    self.assertEqual((code, err), (0, ""))
    self.assertRegex(
      out,
      r"(?s)first round: mean objective .*last round: .*risen in (0|100)\.0 %",
    )


if __name__ == "__main__":
  absltest.main()
