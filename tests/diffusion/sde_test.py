"""Tests of nagjax.diffusion.sde."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.diffusion import sde

LIMITS = {"ve": (0.1, 20.0), "vp": (0.1, 20.0), "subvp": (0.1, 5.0)}
TIMES = np.concatenate([[1e-5, 1e-4, 1e-3], np.linspace(0.01, 1.0, 34)])
NAMES = tuple((name,) for name in LIMITS)


def made(name):
  return sde.make(name, *LIMITS[name])


def exponent(t, low, high):
  return -0.25 * t**2 * (high - low) - 0.5 * t * low


def closed(name, t):
  """Mean, deviation, rate and diffusion in float64."""
  low, high = LIMITS[name]
  if name == "ve":
    std = low * (high / low) ** t
    diffusion = std * np.sqrt(2 * np.log(high / low))
    return np.ones_like(t), std, np.zeros_like(t), diffusion
  c = exponent(t, low, high)
  beta = low + t * (high - low)
  left = -np.expm1(2 * c)
  if name == "vp":
    return np.exp(c), np.sqrt(left), -beta / 2, np.sqrt(beta)
  diffusion = np.sqrt(beta * -np.expm1(-2 * low * t - (high - low) * t**2))
  return np.exp(c), left, -beta / 2, diffusion


class SdeTest(parameterized.TestCase):
  @parameterized.parameters(*NAMES)
  def test_closed_forms(self, name):
    """Oracle: the formulas of the papers in NumPy's float64."""
    equation, t = made(name), np.float32(TIMES)
    for found, expected in zip(
      (equation.mean, equation.std, equation.rate, equation.diffusion),
      closed(name, np.float64(t)),
      strict=True,
    ):
      np.testing.assert_allclose(found(t), expected, rtol=2e-5)
      self.assertEqual(found(t).dtype, jnp.float32)

  @parameterized.parameters(*NAMES)
  def test_moments_solve_the_equation(self, name):
    """Oracle: dm/dt = rate m and dv/dt = 2 rate v + g^2, by Runge-Kutta."""
    equation, num = made(name), 400
    grid = np.linspace(0, 1, 2 * num + 1)  # With the middles of the steps.
    rate, diffusion = (
      np.asarray(fn(np.float32(grid)), np.float64)
      for fn in (equation.rate, equation.diffusion)
    )

    def slope(i, state):
      return rate[i] * state * [1, 2] + [0, diffusion[i] ** 2]

    state = np.asarray([1.0, float(equation.std(0.0)) ** 2])
    found = [state]
    for i in range(0, 2 * num, 2):
      a = slope(i, state)
      b = slope(i + 1, state + a / (2 * num))
      c = slope(i + 1, state + b / (2 * num))
      d = slope(i + 2, state + c / num)
      state = state + (a + 2 * b + 2 * c + d) / (6 * num)
      found.append(state)
    mean, variance = np.transpose(found)
    t = np.float32(grid[::2])
    np.testing.assert_allclose(equation.mean(t), mean, rtol=1e-4)
    np.testing.assert_allclose(
      equation.std(t)[1:], np.sqrt(variance)[1:], rtol=2e-4
    )

  @parameterized.parameters(*NAMES)
  def test_time_of_inverts_log_snr(self, name):
    """Oracle: the times themselves, and log_snr in NumPy's float64."""
    equation, t = made(name), np.float32(TIMES)
    mean, std, _, _ = closed(name, np.float64(t))
    log_snr = equation.log_snr(t)
    np.testing.assert_allclose(log_snr, np.log(mean / std), atol=2e-5)
    np.testing.assert_allclose(
      equation.time_of(log_snr), t, rtol=1e-4, atol=1e-6
    )
    self.assertTrue(np.all(np.diff(log_snr) < 0))

  @parameterized.parameters(*NAMES)
  def test_time_of_extremes(self, name):
    """Oracle: finite, and monotone, far beyond what is used."""
    t = made(name).time_of(np.linspace(-60, 60, 121, dtype=np.float32))
    self.assertTrue(np.all(np.isfinite(t)))
    self.assertTrue(np.all(np.diff(t) <= 0))

  @parameterized.parameters(10, 1000)
  def test_steps_of_ve(self, num):
    """Oracle: a table of log-spaced deviations, read at int(t (N - 1))."""
    table = np.exp(np.linspace(*np.log(LIMITS["ve"]), num))
    for index in (0, 1, num // 2, num - 1):
      factor, noise = made("ve").steps((index + 0.3) / (num - 1), num)
      before = table[index - 1] if index else 0.0
      self.assertEqual(float(factor), 1.0)
      expected = np.sqrt(table[index] ** 2 - before**2)
      np.testing.assert_allclose(noise, expected, rtol=2e-4)

  @parameterized.parameters(100, 1000)
  def test_steps_of_vp(self, num):
    """Oracle: the table linspace(b0 / N, b1 / N, N) of DDPM."""
    low, high = LIMITS["vp"]
    betas = np.linspace(low / num, high / num, num)
    for index in (0, 1, num // 2, num - 1):
      factor, noise = made("vp").steps((index + 0.3) / (num - 1), num)
      np.testing.assert_allclose(factor, np.sqrt(1 - betas[index]), rtol=1e-5)
      np.testing.assert_allclose(noise, np.sqrt(betas[index]), rtol=1e-5)

  def test_steps_of_subvp(self):
    """Oracle: Euler's step of length 1 / N of the equation."""
    for t in (1e-3, 0.4, 1.0):
      factor, noise = made("subvp").steps(t, 500)
      _, _, rate, diffusion = closed("subvp", np.float64(t))
      np.testing.assert_allclose(factor, 1 + rate / 500, rtol=1e-6)
      np.testing.assert_allclose(noise, diffusion / np.sqrt(500), rtol=2e-5)

  def test_steps_make_the_marginals(self):
    """Oracle: std(1) of the whole chain, which the equation reaches."""
    num = 1000
    t = jnp.asarray((np.arange(num) + 0.3) / (num - 1), jnp.float32)
    for name in ("ve", "vp"):
      factor, noise = jax.vmap(lambda t, n=name: made(n).steps(t, num))(t)
      variance = 0.0
      for f, n in zip(*map(np.float64, (factor, noise)), strict=True):
        variance = f**2 * variance + n**2
      np.testing.assert_allclose(
        np.sqrt(variance), made(name).std(1.0), rtol=2e-3
      )

  @parameterized.parameters("vp", "subvp")
  def test_langevin_factor(self, name):
    """Oracle: alpha = 1 - beta of the table of 1,000 at int(999 t)."""
    betas = np.linspace(*LIMITS[name], 1000) / 1000
    for t in (1e-3, 0.25, 1.0):
      np.testing.assert_allclose(
        made(name).langevin_factor(t), 1 - betas[int(t * 999)], rtol=1e-6
      )

  def test_published_constants(self):
    """Oracle: the table of the program's options."""
    for name, prior, end, condition, factor in (
      ("ve", 20.0, 1e-5, 0.1 * 200**0.5, 1.0),
      ("vp", 1.0, 1e-3, 499.5, None),
      ("subvp", 1.0, 1e-3, 499.5, None),
    ):
      equation = made(name)
      self.assertEqual(equation.name, name)
      self.assertEqual((equation.prior_std, equation.end_time), (prior, end))
      self.assertEqual(equation.divides_by_std, name != "ve")
      np.testing.assert_allclose(equation.condition(0.5), condition, rtol=1e-5)
      if factor is not None:
        self.assertEqual(float(equation.langevin_factor(0.5)), factor)
    self.assertAlmostEqual(float(sde.ve().std(1.0)), 5.0, places=5)

  @parameterized.parameters(*NAMES)
  def test_perturb(self, name):
    """Oracle: mean x + std z, sample by sample, in NumPy's float64."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 5, 3, 2)).astype(np.float32)
    t = np.asarray([1e-5, 0.01, 0.3, 0.7, 1.0], np.float32)
    found = jax.jit(made(name).perturb)(x, t, noise)
    mean, std, _, _ = closed(name, np.float64(t))
    for row in range(5):
      expected = mean[row] * x[row] + std[row] * noise[row]
      np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)

  @parameterized.parameters(
    ("ve", 0.0, 1.0), ("ve", 2.0, 1.0), ("vp", -1.0, 1.0), ("subvp", 1.0, 1.0)
  )
  def test_limits_are_checked(self, name, low, high):
    """Oracle: the documented ValueError with both numbers."""
    with self.assertRaisesRegex(ValueError, f"0 < .*{low}, {high}"):
      sde.make(name, low, high)

  def test_another_name(self):
    """Oracle: the documented ValueError with all names."""
    with self.assertRaisesRegex(ValueError, "ve, vp, subvp, got 'edm'"):
      sde.make("edm", 0.1, 1.0)


if __name__ == "__main__":
  absltest.main()
