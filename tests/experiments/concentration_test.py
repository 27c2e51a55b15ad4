"""Tests of experiments.concentration."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from experiments import concentration
from nagjax import registry
from nagjax import search
from nagjax.problem import Problem
from nagjax.proposers import generator
from tests.experiments import runs

SMALL = {
  "batch_size": 4,
  "num_initial": 4,
  "num_decodes": 2,
  "num_latents": 8,
  "train_steps": 2,
  "guidance": 0.0,
}


class ConcentrationTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_the_last_round(self):
    """Oracle: one search run by itself, its last generators decoded by hand,
    every valid architecture looked up by itself."""
    problem = Problem(registry.make_benchmark("synthetic"))
    made = registry.make_search(
      "agnet", problem, budget=16, surrogate="gp", options=SMALL
    )
    keys = jax.random.split(jax.random.key(3), 2)
    _, last = concentration.measure(keys, made, 3)

    @jax.jit
    def alone(key):
      search_key, decode_key = jax.random.split(key)
      state = search.run(search_key, made._replace(num_rounds=3)).state
      return generator.generate(
        decode_key,
        state.algorithm.proposer.params,
        made.params.proposer,
        problem.space.layout,
        made.config.proposer,
      )

    for number, key in enumerate(keys):
      archs, valid = jax.device_get(alone(key))
      values = list(map(runs.valid_accuracy, archs[valid]))
      np.testing.assert_allclose(
        last.objective[number], np.mean(values), rtol=1e-4
      )
      self.assertAlmostEqual(last.validity[number], np.mean(valid), places=5)

  def test_what_is_printed(self):
    """Oracle: by hand, of two searches; one of them rises."""
    decoded = concentration.Decoded(np.asarray([80.0, 90.0]), np.ones(2))
    last = decoded._replace(
      objective=np.asarray([81.0, 88.0]), validity=np.asarray([0.5, 0.7])
    )
    with mock.patch.object(
      concentration, "measure", lambda *_: (decoded, last)
    ):
      code, out, err = runs.run_binary(
        concentration, "--benchmark=synthetic", "--num_seeds=2"
      )
    self.assertEqual((code, err), (0, ""))
    self.assertEqual(
      out.splitlines(),
      [
        "first round: mean objective 85.00, valid 100.0 %",
        "last round: mean objective 84.50, valid 60.0 %",
        "risen in 50.0 % of 2 seeds",
      ],
    )


if __name__ == "__main__":
  absltest.main()
