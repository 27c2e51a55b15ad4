"""Gaussian processes over rows of a table, dense and in float64 (an oracle)."""

import numpy as np

from nagjax.spaces.base import SearchSpace

SPACE = SearchSpace("tiny", (3, 4, 4))


def hamming(space, inverse_lengthscale=3.0):
  """Correlations `[L, K, K]` of the Hamming kernel."""
  ratio = np.exp(-inverse_lengthscale / space.num_variables)
  matrix = (1 - ratio) * np.eye(space.num_options) + ratio
  return np.tile(matrix, (space.num_variables, 1, 1))


def random_correlations(seed, space):
  """Correlations `[L, K, K]` that differ from option to option."""
  rng = np.random.default_rng(seed)
  size = space.num_options
  factors = rng.normal(size=(space.num_variables, size, 2)) + 0.5
  product = factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(size)
  scale = 1 / np.sqrt(np.diagonal(product, axis1=1, axis2=2))
  return product * scale[:, :, None] * scale[:, None, :]


def covariance(correlations, x, y=None):
  """`prod_l R_l[x_l, y_l]` of `[P, L]` and `[Q, L]` architectures."""
  y = x if y is None else y
  result = np.ones((len(x), len(y)))
  for variable, matrix in enumerate(correlations):
    matrix = np.asarray(matrix, np.float64)
    result *= matrix[x[:, variable][:, None], y[:, variable][None]]
  return result


def negative_log_likelihood(correlations, noise, x, z):
  """Of a row, without the constant, the amplitude at its best."""
  k = covariance(correlations, x) + noise * np.eye(len(x))
  amplitude = z @ np.linalg.solve(k, z) / len(z)
  return 0.5 * (np.log(amplitude) + np.linalg.slogdet(k)[1] / len(z))


def posterior_mean(correlations, noise, x, z, at):
  """Mean at `[Q, L]` architectures given `[P]` values."""
  k = covariance(correlations, x) + noise * np.eye(len(x))
  return covariance(correlations, at, x) @ np.linalg.solve(k, z)


def draw(seed, correlations, space, noise=0.05):
  """Values of all architectures, in their order, from a process."""
  x = space.all_architectures()
  k = covariance(correlations, x) + noise * np.eye(len(x))
  z = np.random.default_rng(seed).normal(size=len(x))
  return np.linalg.cholesky(k) @ z
