"""Tests of nagjax.predictors.gaussian_process against dense NumPy."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.predictors import gaussian_process

THETA, NOISE, CAPACITY, LENGTH = 3.0, 0.1, 24, 6
append = jax.jit(gaussian_process.append)


def kernel(x, y):
  return np.exp(-THETA * (x[:, None] != y[None]).mean(-1))


def dense(x, targets, queries):
  """Mean and deviation in float64, by solving the whole system."""
  covariance = kernel(x, x) + NOISE * np.eye(len(x))
  cross = kernel(queries, x)
  mean = cross @ np.linalg.solve(covariance, targets)
  solved = np.linalg.solve(covariance, cross.T)
  return mean, np.sqrt(1 - np.sum(cross * solved.T, axis=1))


def data(num, seed=0):
  rng = np.random.default_rng(seed)
  archs = rng.integers(0, 5, (num, LENGTH)).astype(np.int32)
  return archs, rng.normal(size=num).astype(np.float32)


def empty(capacity=CAPACITY):
  return gaussian_process.init(capacity, LENGTH, theta=THETA, noise=NOISE)


def padded(targets, capacity=CAPACITY):
  return jnp.asarray(np.pad(targets, (0, capacity - len(targets))))


class GaussianProcessTest(parameterized.TestCase):
  def assert_posterior(self, process, x, targets, atol=2e-4):
    queries = np.concatenate([data(20, seed=9)[0], x[:3]])
    weights = gaussian_process.weights(process, padded(targets))
    mean = gaussian_process.mean(process, weights, jnp.asarray(queries))
    deviation = gaussian_process.deviation(process, jnp.asarray(queries))
    expected_mean, expected_deviation = dense(x, targets, queries)
    np.testing.assert_allclose(mean, expected_mean, atol=atol)
    np.testing.assert_allclose(deviation, expected_deviation, atol=atol)

  @parameterized.parameters(
    ([15],), ([5, 5, 5],), ([1] * 15,), ([1, 7, 0, 4, 3],), ([24],)
  )
  def test_blocks_of_any_size(self, sizes):
    """Oracle: the dense solution for all rows at once."""
    archs, targets = data(sum(sizes))
    process, start = empty(), 0
    for size in sizes:
      block = jnp.asarray(archs[start : start + size])
      process, place = append(process, block, jnp.ones(size, bool))
      np.testing.assert_array_equal(place, np.arange(start, start + size))
      start += size
      self.assertEqual(int(process.num), start)
    np.testing.assert_array_equal(process.archs[:start], archs)
    self.assert_posterior(process, archs, targets)

  def test_the_factor_whitens_the_covariance(self):
    """Oracle: W (K + noise I) W' = I, and W is lower triangular."""
    archs, _ = data(12)
    process, _ = append(empty(), jnp.asarray(archs), jnp.ones(12, bool))
    whiten = np.asarray(process.whiten, np.float64)
    np.testing.assert_array_equal(whiten, np.tril(whiten))
    self.assertFalse(np.any(whiten[12:]))
    covariance = kernel(archs, archs) + NOISE * np.eye(12)
    used = whiten[:12, :12]
    np.testing.assert_allclose(
      used @ covariance @ used.T, np.eye(12), atol=1e-5
    )

  def test_rows_that_are_not_kept_are_ignored(self):
    """Oracle: the dense solution of the kept rows; place M for the others."""
    archs, targets = data(14)
    keep = np.random.default_rng(1).random(14) < 0.6
    process, first = append(
      empty(), jnp.asarray(archs[:6]), jnp.asarray(keep[:6])
    )
    process, second = append(
      process, jnp.asarray(archs[6:]), jnp.asarray(keep[6:])
    )
    expected = np.where(keep, np.cumsum(keep) - 1, CAPACITY)
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)
    self.assertEqual(int(process.num), keep.sum())
    self.assert_posterior(process, archs[keep], targets[keep])

  def test_what_exceeds_the_capacity_is_ignored(self):
    """Oracle: the dense solution of the rows that fit."""
    archs, targets = data(30)
    process, _ = append(empty(), jnp.asarray(archs[:20]), jnp.ones(20, bool))
    process, place = append(
      process, jnp.asarray(archs[20:]), jnp.ones(10, bool)
    )
    np.testing.assert_array_equal(place, [20, 21, 22, 23] + [CAPACITY] * 6)
    self.assertEqual(int(process.num), CAPACITY)
    self.assert_posterior(process, archs[:CAPACITY], targets[:CAPACITY])
    again, place = append(process, jnp.asarray(archs[:2]), jnp.ones(2, bool))
    jax.tree.map(np.testing.assert_array_equal, again, process)
    np.testing.assert_array_equal(place, [CAPACITY] * 2)

  def test_without_observations_it_is_the_prior(self):
    """Oracle: mean 0 and deviation 1."""
    queries = jnp.asarray(data(5)[0])
    weights = gaussian_process.weights(empty(), jnp.ones(CAPACITY))
    np.testing.assert_array_equal(
      gaussian_process.mean(empty(), weights, queries), 0
    )
    np.testing.assert_array_equal(
      gaussian_process.deviation(empty(), queries), 1
    )

  def test_equal_rows_average(self):
    """Oracle: closed form, mean t n / (n + noise) at a row seen n times."""
    archs = np.repeat(data(1)[0], 4, axis=0)
    process, _ = append(empty(), jnp.asarray(archs), jnp.ones(4, bool))
    weights = gaussian_process.weights(process, padded(np.full(4, 2.0)))
    mean = gaussian_process.mean(process, weights, jnp.asarray(archs[:1]))
    deviation = gaussian_process.deviation(process, jnp.asarray(archs[:1]))
    self.assertAlmostEqual(float(mean[0]), 8 / 4.1, places=4)
    self.assertAlmostEqual(float(deviation[0]), (1 - 4 / 4.1) ** 0.5, places=3)

  def test_targets_of_unused_places_do_not_matter(self):
    """Oracle: NaN and infinities there."""
    archs, targets = data(6)
    process, _ = append(empty(), jnp.asarray(archs), jnp.ones(6, bool))
    wild = padded(targets).at[6:].set(jnp.nan).at[7].set(-jnp.inf)
    np.testing.assert_array_equal(
      gaussian_process.weights(process, wild),
      gaussian_process.weights(process, padded(targets)),
    )

  def test_forgetting_starts_over(self):
    """Oracle: a new process that sees the later rows only."""
    archs, targets = data(16)
    process, _ = append(empty(), jnp.asarray(archs[:9]), jnp.ones(9, bool))
    kept = gaussian_process.forget(process, jnp.asarray(False))
    jax.tree.map(np.testing.assert_array_equal, kept, process)
    process = gaussian_process.forget(process, jnp.asarray(True))
    self.assertEqual(int(process.num), 0)
    process, _ = append(process, jnp.asarray(archs[9:]), jnp.ones(7, bool))
    self.assert_posterior(process, archs[9:], targets[9:])

  def test_lanes_have_their_own_observations(self):
    """Oracle: one process at a time."""
    archs, _ = data(10)
    keep = jnp.asarray(np.random.default_rng(0).random((3, 10)) < 0.5)
    lanes, _ = jax.vmap(lambda mask: append(empty(), jnp.asarray(archs), mask))(
      keep
    )
    for lane in range(3):
      single, _ = append(empty(), jnp.asarray(archs), keep[lane])
      np.testing.assert_allclose(lanes.whiten[lane], single.whiten, atol=1e-5)
      self.assertEqual(int(lanes.num[lane]), int(single.num))


if __name__ == "__main__":
  absltest.main()
