"""Tests of nagjax.transfer.kronecker; the oracle is dense NumPy in float64."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np

from nagjax.spaces.base import SearchSpace
from nagjax.transfer import kronecker
from tests.transfer import dense

CARDINALITIES = (2, 3, 4)
NOISE = 0.2
GRID = np.asarray(list(itertools.product(*map(range, CARDINALITIES))))
"""The rows of a grid, the last variable fastest."""


def matrices(name):
  space = SearchSpace("grid", CARDINALITIES)
  every = {
    "hamming": dense.hamming(space),
    "random": dense.random_correlations(0, space),
  }[name]
  return [every[i, :c, :c] for i, c in enumerate(CARDINALITIES)]


def spectrum_of(name):
  return kronecker.decompose(
    [jnp.asarray(m, jnp.float32) for m in matrices(name)], jnp.float32(NOISE)
  )


def targets():
  return np.random.default_rng(1).normal(size=len(GRID))


def on_grid(values):
  return jnp.asarray(values.reshape(CARDINALITIES), jnp.float32)


BOTH = parameterized.parameters("hamming", "random")
"""The first has equal eigenvalues, whose eigenvectors have no derivative."""


class KroneckerTest(parameterized.TestCase):
  @BOTH
  def test_likelihood(self, name):
    """Oracle: the determinant and the solution of the dense matrix."""
    z = targets()
    spectrum = spectrum_of(name)
    self.assertAlmostEqual(
      float(kronecker.negative_log_likelihood(spectrum, on_grid(z))),
      dense.negative_log_likelihood(matrices(name), NOISE, GRID, z),
      places=5,
    )
    k = dense.covariance(matrices(name), GRID) + NOISE * np.eye(len(GRID))
    self.assertAlmostEqual(
      float(kronecker.amplitude(spectrum, on_grid(z))),
      z @ np.linalg.solve(k, z) / len(z),
      places=4,
    )

  @BOTH
  def test_gradients(self, name):
    """Oracle: finite differences of the dense likelihood, along random changes
    of every correlation and of the noise."""
    z, step, rng = targets(), 1e-5, np.random.default_rng(2)
    by_matrix, by_noise = kronecker.gradients(spectrum_of(name), on_grid(z))

    def difference(changes, noise):
      sides = [
        dense.negative_log_likelihood(
          [
            m + sign * step * c
            for m, c in zip(matrices(name), changes, strict=True)
          ],
          NOISE + sign * step * noise,
          GRID,
          z,
        )
        for sign in (1, -1)
      ]
      return (sides[0] - sides[1]) / (2 * step)

    zeros = [np.zeros((c, c)) for c in CARDINALITIES]
    for variable, cardinality in enumerate(CARDINALITIES):
      change = rng.normal(size=(cardinality, cardinality))
      changes = list(zeros)
      changes[variable] = change + change.T
      np.testing.assert_allclose(
        np.sum(np.asarray(by_matrix[variable]) * changes[variable]),
        difference(changes, 0.0),
        rtol=1e-3,
        atol=1e-5,
      )
    np.testing.assert_allclose(by_noise, difference(zeros, 1.0), rtol=1e-3)

  def test_posterior_mean(self):
    """Oracle: the textbook formula with dense matrices."""
    z = targets()
    mean = kronecker.posterior_mean(spectrum_of("random"), on_grid(z))
    expected = dense.posterior_mean(matrices("random"), NOISE, GRID, z, GRID)
    np.testing.assert_allclose(np.ravel(mean), expected, atol=1e-5)

  def test_leave_one_out(self):
    """Oracle: every row is left out, and predicted by all others."""
    z = targets()
    found = kronecker.leave_one_out(spectrum_of("random"), on_grid(z))
    for row, value in enumerate(np.ravel(found)):
      others = np.arange(len(GRID)) != row
      expected = dense.posterior_mean(
        matrices("random"), NOISE, GRID[others], z[others], GRID[[row]]
      )
      self.assertAlmostEqual(float(value), float(expected[0]), places=4)

  def test_correlation(self):
    """Oracle: the formula in NumPy; ones on the diagonal, no negative value."""
    factor = np.random.default_rng(3).normal(size=(5, 4, 4))
    factor[0] = 0.0
    product = factor @ factor.swapaxes(1, 2) + kronecker.JITTER * np.eye(4)
    scale = 1 / np.sqrt(np.diagonal(product, axis1=1, axis2=2))
    found = np.asarray(kronecker.correlation(jnp.asarray(factor, jnp.float32)))
    np.testing.assert_allclose(
      found, product * scale[:, :, None] * scale[:, None, :], atol=1e-5
    )
    np.testing.assert_allclose(found[0], np.eye(4), atol=1e-6)
    self.assertGreater(np.linalg.eigvalsh(found).min(), -1e-6)


if __name__ == "__main__":
  absltest.main()
