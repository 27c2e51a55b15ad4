"""Tests of nagjax.evolution.denoising."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.diffusion import schedules
from nagjax.evolution import denoising


def estimate(x, density, alpha):
  """The published estimator in float64 loops."""
  num = len(x)
  result = np.empty_like(x)
  for i in range(num):
    total, weight_sum = 0.0, 0.0
    for j in range(num):
      distance = np.sum((x[i] - np.sqrt(alpha) * x[j]) ** 2)
      kernel = np.exp(-distance / (2 * (1 - alpha)))
      weight = (density[j] + 1e-9) * (kernel + 1e-9) / (1 / num + 1e-9)
      total = total + weight * x[j]
      weight_sum += weight
    result[i] = total / (weight_sum + 1e-9)
  return result


def population(num=15, dimension=56, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(num, dimension)).astype(np.float32)
  return x, np.exp(rng.uniform(-8, 5, num)).astype(np.float32)


class BayesEstimateTest(parameterized.TestCase):
  @parameterized.parameters(
    *itertools.product((0.0, 0.3, 0.9, 0.9997), (2, 56))
  )
  def test_the_published_estimator(self, alpha, dimension):
    """Oracle: NumPy loops in float64; alpha = 0 is the first step."""
    x, density = population(dimension=dimension)
    result = jax.jit(denoising.bayes_estimate)(x, density, alpha)
    alpha = np.float64(np.float32(alpha))
    expected = estimate(x.astype(float), density.astype(float), alpha)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)

  @parameterized.parameters(1, 4, 15, 64)
  def test_blocks_give_the_same(self, block_size):
    """Oracle: all rows at once; sizes that divide and that do not."""
    x, density = population()
    call = jax.jit(denoising.bayes_estimate, static_argnames="block_size")
    direct = denoising.bayes_estimate(x, density, 0.5)
    blocks = call(x, density, 0.5, block_size=block_size)
    np.testing.assert_allclose(blocks, direct, rtol=1e-5, atol=1e-6)

  def test_floors_let_the_best_win_where_kernels_underflow(self):
    """Oracle: the weights 1e-9 e^5 of the best against 1 * 1e-9 of oneself."""
    x = 10 * np.eye(4, 56, dtype=np.float32)
    density = np.asarray([np.exp(5.0), 0, 0, 0], np.float32)
    result = denoising.bayes_estimate(x, density, 0.99)
    np.testing.assert_allclose(result[1:, 0], 10 * 148.4 / 149.4, rtol=2e-2)
    without = denoising.bayes_estimate(x, density + 1.0, 0.99, floor=1e-30)
    self.assertLess(float(np.abs(without[1:, 0]).max()), 1e-3)

  def test_equal_individuals_are_their_own_estimate(self):
    """Oracle: a weighted mean of equal vectors."""
    x = np.tile(population(1)[0], (6, 1))
    result = denoising.bayes_estimate(x, jnp.ones(6), 0.3)
    np.testing.assert_allclose(result, x, rtol=1e-5)

  def test_every_estimate_lies_among_the_population(self):
    """Oracle: each coordinate's range, which the floor shrinks by < 1 %."""
    x, density = population()
    for alpha in np.asarray(schedules.cosine(100))[1::7]:
      result = np.asarray(denoising.bayes_estimate(x, density, alpha))
      self.assertTrue(np.all(result <= x.max(0) + 1e-2))
      self.assertTrue(np.all(result >= x.min(0) - 1e-2))


class NormalizeTest(parameterized.TestCase):
  @parameterized.parameters((-1.0, 1.0), (0.0, 1.0))
  def test_each_individual_is_stretched(self, low, high):
    """Oracle: NumPy; over all coordinates of an individual."""
    x = population()[0] * 7
    result = jax.jit(denoising.normalize)(x, low=low, high=high)
    unit = (x - x.min(1, keepdims=True)) / np.ptp(x, axis=1, keepdims=True)
    np.testing.assert_allclose(result, low + (high - low) * unit, atol=1e-5)
    np.testing.assert_allclose(result.min(1), low, atol=1e-6)
    np.testing.assert_allclose(result.max(1), high, atol=1e-6)

  def test_a_constant_individual_becomes_the_middle(self):
    """Oracle: the docstring, where the published program gives NaN."""
    x = jnp.stack([jnp.full(5, 3.0), jnp.arange(5.0)])
    result = denoising.normalize(x)
    np.testing.assert_array_equal(result[0], 0)
    np.testing.assert_array_equal(result[1], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(denoising.normalize(x, low=0.0)[0], 0.5)


class DistanceTest(parameterized.TestCase):
  def test_squared_distances_keep_small_differences(self):
    """Oracle: float64; 1e-7 beside coordinates of order one."""
    x = population(4)[0]
    y = x.copy()
    y[:, 0] += np.float32(3e-4)
    result = np.diag(denoising.squared_distances(x, y))
    expected = np.sum((x.astype(float) - y) ** 2, axis=1)
    np.testing.assert_allclose(result, expected, rtol=1e-4)
    all_pairs = ((x[:, None].astype(float) - y[None]) ** 2).sum(-1)
    np.testing.assert_allclose(
      denoising.squared_distances(x, y), all_pairs, rtol=1e-4
    )

  @parameterized.parameters(1, 3, 8, 20)
  def test_map_blocks(self, block_size):
    """Oracle: the function of all rows, of rank 1 and 2."""
    x = population(8)[0]
    for fn in (lambda rows: rows.sum(-1), lambda rows: 2 * rows):
      np.testing.assert_allclose(
        denoising.map_blocks(fn, jnp.asarray(x), block_size),
        fn(x),
        rtol=1e-4,
        atol=1e-5,
      )


class CategoricalTest(parameterized.TestCase):
  @parameterized.parameters((0.0, 1.0), (0.5, 1.0), (0.9, 0.4))
  def test_the_estimate_is_attention_over_the_values(self, alpha, unit):
    """Oracle: Python loops in float64; an excluded value has no weight."""
    rng = np.random.default_rng(0)
    archs, values = rng.integers(0, 4, (5, 6)), rng.integers(0, 4, (9, 6))
    fitness = rng.normal(size=9)
    fitness[2] = -np.inf
    call = jax.jit(
      denoising.categorical_estimate, static_argnames="num_options"
    )
    result = call(
      jnp.asarray(archs, jnp.int32),
      jnp.asarray(values, jnp.int32),
      jnp.asarray(fitness, jnp.float32),
      alpha,
      num_options=4,
      temperature=0.3,
      distance=unit,
    )
    for i in range(5):
      expected, total = np.zeros((6, 4)), 0.0
      for j in range(9):
        distance = unit * np.sum(archs[i] != values[j])
        weight = np.exp(fitness[j] / 0.3 - distance / (1 - alpha))
        total += weight
        for variable in range(6):
          expected[variable, values[j, variable]] += weight
      np.testing.assert_allclose(result[i], expected / total, atol=1e-5)

  @parameterized.parameters(0.0, 0.6, 1.0)
  def test_a_step_draws_from_the_mixture(self, alpha):
    """Oracle: chi-square against alpha p + (1 - alpha) uniform."""
    estimate_ = np.zeros((1, 2, 3), np.float32)
    estimate_[0] = [[0.25, 0.5, 0.25], [0.75, 0.25, 0.0]]
    cardinalities, num = (3, 2), 6000
    uniform = jax.random.uniform(jax.random.key(0), (num, 2))
    drawn = denoising.categorical_step(
      jnp.broadcast_to(jnp.asarray(estimate_), (num, 2, 3)),
      uniform,
      alpha,
      cardinalities,
    )
    for variable, size in enumerate(cardinalities):
      share = np.asarray(estimate_[0, variable, :size], np.float64)
      share = alpha * share + (1 - alpha) / size
      counts = np.bincount(np.asarray(drawn)[:, variable], minlength=size)
      self.assertLen(counts, size)
      expected = num * share / share.sum()
      self.assertGreater(stats.chisquare(counts, expected).pvalue, 1e-3)


if __name__ == "__main__":
  absltest.main()
