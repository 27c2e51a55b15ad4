"""Tests of EDNAG under a predictor."""

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.algorithms import ednag_pool
from nagjax.benchmarks import synthetic
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces import nasbench201

SPACE = nasbench201.nasbench201()
CONFIG = ednag_pool.Config(num_steps=30)


def _predict(params, archs):
  return params + jnp.max(synthetic.cones(archs), axis=-1)


class GenerateTest(parameterized.TestCase):
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
