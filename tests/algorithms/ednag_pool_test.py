"""Tests of EDNAG under a predictor."""

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.algorithms import ednag_pool
from nagjax.benchmarks import synthetic
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces import nasbench201
from nagjax.surrogates import fixed

SPACE = nasbench201.nasbench201()
CONFIG = ednag_pool.Config(num_steps=30)


def _predict(params, archs):
  return params + jnp.max(synthetic.cones(archs), axis=-1)


class GenerateTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_beats_uniform_samples(self):
    """Oracle: the best of as many uniform samples, in most of 16 seeds."""
    keys = jax.random.split(jax.random.key(0), 16)
    archs, valid, fitness = jax.jit(
      jax.vmap(
        lambda key: ednag_pool.generate(
          key, SPACE, lambda a: _predict(0.0, a), CONFIG
        )
      )
    )(keys)
    uniform = jax.vmap(lambda key: SPACE.sample(key, 30))(keys)
    best = np.asarray(fitness.max(-1))
    other = np.asarray(_predict(0.0, uniform).max(-1))
    self.assertGreaterEqual(int((best > other).sum()), 12)
    expected = np.where(valid, _predict(0.0, archs), 0.0)
    np.testing.assert_allclose(fitness, expected, rtol=1e-6)


class PoolTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_queries_distinct_architectures_from_the_top(self):
    """Oracle: the order of the predictions, which are the objective here."""
    algorithm = ednag_pool.ednag_pool(SPACE, _predict, CONFIG, batch_size=2)
    trace = driver.run(
      jax.random.key(1),
      algorithm,
      Problem(synthetic.synthetic()),
      jnp.float32(0.0),
      budget=10,
      num_rounds=15,
    ).trace
    paid = np.asarray(trace.paid).reshape(-1)
    value = np.asarray(trace.objective).reshape(-1)[paid]
    self.assertGreater(len(value), 1)
    self.assertTrue(bool(np.all(np.diff(value) <= 0)))
    self.assertEqual(int(trace.charged[-1]), len(value))


class ZeroShotTest(parameterized.TestCase):
  def search(self, fn, **options):
    config = ednag_pool.ZeroShotConfig(
      num_steps=30, pool_size=20, batch_size=20, **options
    )
    surrogate = fixed.fixed(fn, jnp.float32(0.0))
    return ednag_pool.zero_shot(SPACE, config, surrogate=surrogate)

  def pool(self, algorithm, seed=0):
    """Predictions of a pool in its order, and its architectures."""
    init = jax.jit(algorithm.init)
    state = init(jax.random.key(seed), algorithm.params)
    proposal, _ = algorithm.ask(jax.random.key(0), state, algorithm.params)
    self.assertTrue(np.all(proposal.valid))
    return np.asarray(_predict(0.0, proposal.archs)), np.asarray(proposal.archs)

  @parameterized.parameters(True, False)
  def test_a_ranked_pool(self, calibrates):
    """Oracle: distinct architectures in the order of their predictions, the
    first better than all of as many random ones."""
    algorithm = self.search(_predict, calibrates=calibrates)
    value, archs = self.pool(algorithm)
    self.assertTrue(np.all(np.diff(value) <= 0))
    self.assertLen(np.unique(archs, axis=0), 20)
    random = SPACE.sample(jax.random.key(1), 20)
    self.assertGreater(value[0], np.max(_predict(0.0, random)))

  def test_predictions_may_have_any_scale(self):
    """Oracle: the same pool from the same predictions, scaled by a power of
    two, which is exact."""
    value, archs = self.pool(self.search(_predict))
    scaled = self.search(lambda params, archs: _predict(params, archs) / 16)
    other_value, other_archs = self.pool(scaled)
    np.testing.assert_array_equal(archs, other_archs)
    np.testing.assert_array_equal(value, other_value)

  def test_on_host(self):
    """Oracle: the documented error."""
    surrogate = fixed.fixed(_predict)._replace(on_host=True)
    with self.assertRaisesRegex(ValueError, "lives on the host"):
      ednag_pool.zero_shot(SPACE, surrogate=surrogate)

  def test_nothing_better_than_another(self):
    """Oracle: by hand; a surrogate that says the same of all still gives a
    pool."""

    def flat(params, archs):
      return params + jnp.zeros(archs.shape[0])

    algorithm = self.search(flat)
    state = jax.jit(algorithm.init)(jax.random.key(0), algorithm.params)
    self.assertTrue(np.all(state.valid))
