"""Tests of nagjax.diffusion.samplers."""

from absl.testing import absltest
from absl.testing import parameterized
import chex
import numpy as np

from nagjax.diffusion import samplers
from nagjax.diffusion import schedules


def ddim(x, x0, noise, alpha, alpha_next, scale):
  """The step in float64, term by term."""
  sigma = scale * np.sqrt(
    (1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next)
  )
  epsilon = (x - np.sqrt(alpha) * x0) / np.sqrt(1 - alpha)
  direction = np.sqrt(max(1 - alpha_next - sigma**2, 0))
  return np.sqrt(alpha_next) * x0 + direction * epsilon + sigma * noise


def inputs(seed=0, shape=(5, 56)):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(3, *shape)).astype(np.float32)


class DdimStepTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (0.3, 0.7, 0.8), (0.3, 0.7, 0.0), (0.3, 0.7, 1.0), (0.9997, 0.9999, 0.8)
  )
  def test_general_case(self, alpha, alpha_next, scale):
    """Oracle: NumPy in float64."""
    x, x0, noise = inputs()
    step = self.variant(samplers.ddim_step)
    result = step(x, x0, noise, alpha, alpha_next, noise_scale=scale)
    a, b = np.float32(alpha), np.float32(alpha_next)
    expected = ddim(*map(np.float64, (x, x0, noise, a, b)), scale)
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-4)

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_whole_schedule(self):
    """Oracle: NumPy in float64 at each pair of the cosine schedule."""
    alphas = np.asarray(schedules.cosine(100))
    x, x0, noise = inputs(1)
    step = self.variant(samplers.ddim_step)
    for t in (99, 98, 60, 20, 3, 2, 1):
      result = step(x, x0, noise, alphas[t], alphas[t - 1])
      self.assertTrue(np.all(np.isfinite(result)))
      expected = ddim(
        *map(np.float64, (x, x0, noise, alphas[t], alphas[t - 1])), 0.8
      )
      np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)

  def test_the_first_step_takes_no_direction_from_the_estimate(self):
    """Oracle: closed form at alpha = 0, where the direction is x itself."""
    x, x0, noise = inputs()
    result = samplers.ddim_step(x, x0, noise, 0.0, 0.25)
    sigma = 0.8 * np.sqrt(0.75)
    expected = 0.5 * x0 + np.sqrt(0.75 - sigma**2) * x + sigma * noise
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)

  @parameterized.parameters(0.0, 0.8, 1.0)
  def test_the_last_step_returns_the_estimate(self, scale):
    """Oracle: exactly x0 at alpha' = 1."""
    x, x0, noise = inputs()
    result = samplers.ddim_step(x, x0, noise, 0.99, 1.0, noise_scale=scale)
    np.testing.assert_array_equal(result, x0)

  def test_without_noise_the_draw_does_not_matter(self):
    """Oracle: another draw."""
    x, x0, noise = inputs()
    a = samplers.ddim_step(x, x0, noise, 0.2, 0.5, noise_scale=0.0)
    b = samplers.ddim_step(x, x0, 7 * noise, 0.2, 0.5, noise_scale=0.0)
    np.testing.assert_array_equal(a, b)

  def test_the_level_of_noise_is_that_of_the_schedule(self):
    """Oracle: variance 1 - alpha' around sqrt(alpha') x0, 20,000 draws."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2, 20000)).astype(np.float32)
    x0 = np.full(20000, 0.7, np.float32)
    x = np.float32(np.sqrt(0.3)) * x0 + np.float32(np.sqrt(0.7)) * z
    for scale in (0.0, 0.8, 1.0):
      result = samplers.ddim_step(x, x0, noise, 0.3, 0.6, noise_scale=scale)
      self.assertAlmostEqual(float(np.mean(result)), 0.7 * 0.6**0.5, delta=0.03)
      self.assertAlmostEqual(float(np.var(result)), 0.4, delta=0.02)


if __name__ == "__main__":
  absltest.main()
