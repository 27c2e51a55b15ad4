"""Tests of nagjax.algorithms.limits."""

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import acquisition
from nagjax import archive as archive_lib
from nagjax.algorithms import limits
from nagjax.spaces.base import SearchSpace
from nagjax.types import Prediction

SPACE = SearchSpace("toy", (4, 4))
OPTIMISM = jnp.asarray([0.0, 1.0, 2.0, 3.0, 4.0])


def archive(violations, targets=(1.0, 0.5, -1.0)):
  """Three rows with one limit each, and room for one more."""
  empty = archive_lib.empty(SPACE, 4, 1)
  column = jnp.pad(jnp.asarray(targets, jnp.float32), (0, 1))
  excess = jnp.pad(jnp.asarray(violations, jnp.float32), (0, 1))[:, None]
  return empty._replace(
    value=column.at[3].set(-jnp.inf),
    violations=excess,
    targets=jnp.concatenate([column[:, None], excess], axis=-1),
    num=jnp.int32(3),
  )


def prediction(num=6, seed=0):
  rng = np.random.default_rng(seed)
  return Prediction(
    mean=jnp.asarray(rng.normal(size=num), jnp.float32),
    std=jnp.asarray(rng.uniform(0.3, 1.0, num), jnp.float32),
    members=None,
    violations=jnp.asarray(rng.normal(size=(num, 2)), jnp.float32),
    head_stds=jnp.asarray(rng.uniform(0.3, 1.0, (num, 2)), jnp.float32),
  )


def values(found, held, acquired=acquisition.upper_confidence_bound):
  return np.asarray(
    limits.slot_values(jax.random.key(0), acquired, found, held, OPTIMISM)
  )


class LimitsTest(absltest.TestCase):
  def test_the_best_feasible(self):
    """Oracle: by hand; empty places do not count."""
    best, is_there = limits.best_feasible(archive((0.1, -0.2, -0.3)))
    self.assertEqual((float(best), bool(is_there)), (0.5, True))
    best, is_there = limits.best_feasible(archive((0.1, 0.2, 0.3)))
    self.assertEqual((float(best), bool(is_there)), (-1.0, False))

  def test_improvement_that_is_feasible(self):
    """Oracle: Monte Carlo of independent normal variables."""
    found = prediction()
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(2_000_000, 1))
    for place in range(6):
      value = np.asarray(found.mean[place] + found.std[place] * draws[:, 0])
      gain = np.maximum(value - 0.5, 0.0)
      for limit in range(2):
        noise = rng.normal(size=len(gain))
        excess = found.violations[place, limit]
        excess = excess + found.head_stds[place, limit] * noise
        gain = gain * (np.asarray(excess) <= 0)
      ours = np.exp(values(found, archive((0.1, -0.2, -0.3)))[0, place])
      self.assertAlmostEqual(float(gain.mean()), float(ours), delta=2e-3)

  def test_slots(self):
    """Oracle: three improve, two explore with an optimism of their own, by the
    moments of the least of normal variables, here of one that is far off."""
    found = prediction()
    far = found._replace(violations=jnp.full((6, 2), -50.0))
    seen = values(far, archive((0.1, -0.2, -0.3)))
    np.testing.assert_array_equal(seen[0], seen[2])
    for slot in (3, 4):
      expected = far.mean - 0.5 + OPTIMISM[slot] * far.std
      np.testing.assert_allclose(seen[slot], expected, rtol=1e-4)

  def test_nothing_feasible(self):
    """Oracle: the probability alone orders the first slots."""
    found = prediction()
    seen = values(found, archive((0.1, 0.2, 0.3)))
    np.testing.assert_array_equal(seen[0], limits.log_feasible(found))
    self.assertTrue(np.isfinite(seen).all())

  def test_one_deviation_for_all(self):
    """Oracle: the same deviations, given for every limit."""
    found = prediction()
    stds = jnp.broadcast_to(found.std[:, None], (6, 2))
    held = archive((0.1, -0.2, -0.3))
    np.testing.assert_array_equal(
      values(found._replace(head_stds=None), held),
      values(found._replace(head_stds=stds), held),
    )


if __name__ == "__main__":
  absltest.main()
