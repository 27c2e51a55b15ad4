"""Tests of nagjax.evolution.fitness."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.evolution import fitness

# The published table: up to the bound, offset + slope (x - start).
TABLE = (
  (30, lambda x: 0.1 * x),
  (50, lambda x: 3 + (x - 30)),
  (70, lambda x: 23 + 2 * (x - 50)),
  (75, lambda x: 63 + 3 * (x - 70)),
  (80, lambda x: 78 + 5 * (x - 75)),
  (85, lambda x: 103 + 10 * (x - 80)),
  (90, lambda x: 153 + 30 * (x - 85)),
  (95, lambda x: 303 + 40 * (x - 90)),
  (float("inf"), lambda x: 503 + 50 * (x - 95)),
)


def rescale(x):
  """The published table in Python."""
  return next(piece(x) for bound, piece in TABLE if x < bound)


class PiecewiseRescaleTest(parameterized.TestCase):
  def test_the_published_table(self):
    """Oracle: Python, over a grid of 0 to 120 percent."""
    x = np.linspace(0, 120, 2401, dtype=np.float32)
    result = jax.jit(fitness.piecewise_rescale)(jnp.asarray(x))
    expected = [rescale(float(v)) for v in x]
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-4)

  @parameterized.parameters(
    (0, 0),
    (30, 3),
    (50, 23),
    (70, 63),
    (75, 78),
    (80, 103),
    (85, 153),
    (90, 303),
    (95, 503),
    (100, 753),
  )
  def test_knots(self, accuracy, value):
    """Oracle: by hand; continuous from the left."""
    x = jnp.asarray([accuracy, np.nextafter(np.float32(accuracy), 0)])
    result = fitness.piecewise_rescale(x.astype(jnp.float32))
    np.testing.assert_allclose(result, value, atol=1e-3)
    self.assertEqual(float(result[0]), value)


class DensityTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.f = np.random.default_rng(0).uniform(0, 500, 30).astype(np.float32)

  def test_identity(self):
    """Oracle: the argument."""
    np.testing.assert_array_equal(jax.jit(fitness.identity)(self.f), self.f)

  @parameterized.parameters((1.0, 1.0), (2.0, 50.0), (0.5, 3.0))
  def test_power(self, exponent, temperature):
    """Oracle: NumPy in float64."""
    result = jax.jit(fitness.power)(
      self.f, exponent=exponent, temperature=temperature
    )
    expected = (self.f.astype(np.float64) / temperature) ** exponent
    np.testing.assert_allclose(result, expected, rtol=1e-5)

  def test_exponential(self):
    """Oracle: exp(f / 50) / exp(100 / 50), and zeros for zeros."""
    call = jax.jit(fitness.exponential)
    expected = np.exp(self.f.astype(np.float64) / 50) / np.exp(2.0)
    np.testing.assert_allclose(call(self.f), expected, rtol=1e-5)
    np.testing.assert_array_equal(call(jnp.zeros(5)), 0)
    one = call(jnp.zeros(5).at[2].set(1.0))
    self.assertAlmostEqual(float(one[0]), np.exp(-2.0), places=6)

  @parameterized.parameters(1.0, 20.0)
  def test_energy(self, temperature):
    """Oracle: NumPy in float64; the best one has e^5."""
    result = jax.jit(fitness.energy)(self.f, temperature=temperature)
    f = self.f.astype(np.float64) / temperature
    np.testing.assert_allclose(
      result, np.exp(f - f.max() + 5), rtol=1e-4, atol=1e-30
    )
    self.assertAlmostEqual(float(result.max()), np.exp(5), places=3)
    self.assertEqual(int(np.argmax(result)), int(np.argmax(self.f)))

  def test_a_tenth_of_a_percent_above_ninety_is_a_factor_of_55(self):
    """Oracle: the published slope of 40 and temperature 1: e^4."""
    f = fitness.piecewise_rescale(jnp.asarray([93.0, 93.1]))
    g = fitness.energy(f)
    self.assertAlmostEqual(float(g[1] / g[0]), np.exp(4), delta=0.05)

  @parameterized.parameters(
    fitness.identity, fitness.power, fitness.exponential, fitness.energy
  )
  def test_a_population_of_failures_has_a_finite_density(self, density_fn):
    """Oracle: fitness 0 everywhere, no NaN."""
    self.assertTrue(np.all(np.isfinite(density_fn(jnp.zeros(4)))))


if __name__ == "__main__":
  absltest.main()
