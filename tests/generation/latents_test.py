"""Tests of nagjax.generation.latents."""

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import generation


class LatentsTest(absltest.TestCase):
  def test_uniform(self):
    """Oracle: the affine map of [0, 1) onto [-3, 3), point by point."""
    draws = jnp.asarray([[0.0, 0.25], [0.5, 1 - 2**-24]])
    np.testing.assert_allclose(
      generation.uniform_latents(draws), [[-3, -1.5], [0, 3]], atol=1e-6
    )

  def test_quantiles(self):
    """Oracle: SciPy's 0.5 % and 99.5 % quantiles, and equal steps between."""
    bound = stats.norm.ppf(0.995)
    for num_points in (2, 10, 25):
      draws = (np.arange(4 * num_points) + 0.5) / (4 * num_points)
      found = generation.quantile_latents(
        jnp.asarray(draws, jnp.float32), num_points=num_points
      )
      grid = np.linspace(-bound, bound, num_points)
      np.testing.assert_allclose(found, np.repeat(grid, 4), atol=1e-5)

  def test_quantiles_of_extreme_draws(self):
    """Oracle: both ends of the grid; rounding up must not leave it."""
    draws = jnp.asarray([0.0, 1 - 2**-24], jnp.float32)
    bound = stats.norm.ppf(0.995)
    np.testing.assert_allclose(
      generation.quantile_latents(draws, num_points=3), [-bound, bound], 1e-5
    )


if __name__ == "__main__":
  absltest.main()
