"""Tests of nagjax.diffusion.schedules."""

import math

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np

from nagjax.diffusion import schedules

ALL = (schedules.cosine, schedules.linear, schedules.exponential)


class SchedulesTest(parameterized.TestCase):
  @parameterized.parameters(2, 3, 100, 1000)
  def test_cosine(self, num_steps):
    """Oracle: the formula in Python; the ends are exact."""
    alpha = np.asarray(schedules.cosine(num_steps))
    expected = [
      (math.cos(math.pi * t / (num_steps - 1)) + 1) / 2
      for t in range(num_steps)
    ]
    np.testing.assert_allclose(alpha, expected, rtol=1e-6, atol=1e-9)
    self.assertEqual((alpha[0], alpha[-1]), (1.0, 0.0))

  def test_cosine_in_the_middle(self):
    """Oracle: closed form at a quarter and a half of the way."""
    alpha = schedules.cosine(101)
    self.assertAlmostEqual(float(alpha[50]), 0.5, places=6)
    self.assertAlmostEqual(float(alpha[25]), 0.5 + 0.125**0.5, places=6)

  def test_linear(self):
    """Oracle: the published ends 0.9999 and 1e-8, and equal steps."""
    alpha = np.asarray(schedules.linear(100), np.float64)
    np.testing.assert_allclose(alpha[[0, -1]], [0.9999, 1e-8], rtol=1e-6)
    np.testing.assert_allclose(np.diff(alpha), -0.9999 / 99, rtol=1e-4)

  @parameterized.parameters(0.5, 2.0)
  def test_linear_with_a_power(self, power):
    """Oracle: the p-th root is linear; the ends do not depend on it."""
    alpha = schedules.linear(50, epsilon=1e-2, power=power)
    ends = (1 - 1e-2) ** power, 1e-4
    np.testing.assert_allclose(alpha[jnp.asarray([0, -1])], ends, rtol=1e-5)
    root = np.asarray(alpha, np.float64) ** (1 / power)
    np.testing.assert_allclose(np.diff(root, n=2), 0, atol=1e-6)

  @parameterized.parameters((100, 1e-4), (1000, 1e-4), (20, 1e-2))
  def test_exponential(self, num_steps, epsilon):
    """Oracle: the published formula in Python; both ends are epsilon away."""
    log = math.log(1 / (1 - epsilon))
    tail = num_steps * log + math.log(epsilon)
    beta = (num_steps**2 * log + math.log(epsilon)) / (num_steps - 1)
    gamma = -num_steps * tail / (num_steps - 1)
    expected = []
    for i in range(num_steps):
      s = 1 / num_steps + i * (1 - 1 / num_steps) / (num_steps - 1)
      expected.append(math.exp(-beta * s - gamma * s * s))
    alpha = np.asarray(schedules.exponential(num_steps, epsilon=epsilon))
    np.testing.assert_allclose(alpha, expected, rtol=2e-5)
    np.testing.assert_allclose(
      alpha[[0, -1]], [1 - epsilon, epsilon], rtol=1e-5
    )

  @parameterized.parameters(*ALL)
  def test_schedules_decrease(self, schedule):
    """Oracle: the definition of a schedule."""
    alpha = schedule(100)
    self.assertEqual((alpha.shape, alpha.dtype), ((100,), jnp.float32))
    self.assertTrue(np.all(np.diff(alpha) < 0))
    self.assertTrue(np.all((alpha >= 0) & (alpha <= 1)))

  @parameterized.parameters(*ALL)
  def test_one_step_is_refused(self, schedule):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "at least 2, got 1"):
      schedule(1)


if __name__ == "__main__":
  absltest.main()
