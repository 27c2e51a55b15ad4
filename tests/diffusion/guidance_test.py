"""Tests of nagjax.diffusion.guidance."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.diffusion import guidance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2, 4)).astype(np.float32)
T = np.asarray([0.1, 0.5, 1.0], np.float32)
WEIGHTS = RNG.normal(size=(2, 4)).astype(np.float32)


def score(x, t):
  return -x * t[:, None, None]


def value(x, t):
  """A linear value of the sample, times one of the time."""
  return jnp.einsum("bnf,nf->b", x, WEIGHTS) * (1 + t)


def gradient():
  """Of `value`, by hand: the other samples of a batch have no part in it."""
  return WEIGHTS * (1 + T)[:, None, None]


class GuidanceTest(parameterized.TestCase):
  @parameterized.parameters(0.0, 2.0, -3.0)
  def test_the_gradient_is_added(self, scale):
    """Oracle: the gradient of a linear value, by hand."""
    found = jax.jit(guidance.guided(score, value, scale))(X, T)
    expected = -X * T[:, None, None] + scale * gradient()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

  def test_norm_control(self):
    """Oracle: NumPy's norms, sample by sample."""
    steered = guidance.guided(score, value, 2.0, norm_controlled=True)
    base, found = -X * T[:, None, None], steered(X, T)
    for row in range(3):
      direction = WEIGHTS / np.linalg.norm(WEIGHTS)
      expected = base[row] + 2 * np.linalg.norm(base[row]) * direction
      np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)

  def test_norm_control_of_no_gradient(self):
    """Oracle: the score alone; nothing is divided by zero."""
    steered = guidance.guided(
      score, lambda x, t: 0 * value(x, t), 2.0, norm_controlled=True
    )
    np.testing.assert_array_equal(steered(X, T), score(X, T))

  def test_log_likelihood(self):
    """Oracle: the logarithm of a Gaussian density, and its gradient by hand."""
    target, std = 1.5, 0.7
    values = guidance.log_likelihood(value, target, std)
    f = np.sum(X * WEIGHTS, axis=(1, 2), dtype=np.float64) * (1 + T)
    np.testing.assert_allclose(
      values(X, T), -((target - f) ** 2) / (2 * std**2), rtol=1e-4
    )
    found = guidance.guided(score, values, 1.0)(X, T) - score(X, T)
    expected = ((target - f) / std**2)[:, None, None] * gradient()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

  @parameterized.parameters(
    ("nasbench201", 0, 10_000.0),
    ("nasbench201", 3, 9_100.0),
    ("nasbench201", 50, 100.0),
    ("mobilenetv3", 1, 99_500.0),
    ("mobilenetv3", 500, 500.0),
  )
  def test_published_scale(self, space, number, expected):
    """Oracle: the facts: 10,000 less 300 a round, 100,000 less 500, a list of
    200."""
    self.assertEqual(guidance.published_scale(space, number), expected)
    with self.assertRaisesRegex(ValueError, "nasbench201"):
      guidance.published_scale("darts", number)

  def test_log_odds(self):
    """Oracle: log(1 / (1 + exp(-f))), and its gradient (1 - sigmoid) df."""
    values = guidance.log_odds(value)
    f = np.sum(X * WEIGHTS, axis=(1, 2), dtype=np.float64) * (1 + T)
    good = 1 / (1 + np.exp(-f))
    np.testing.assert_allclose(values(X, T), np.log(good), rtol=1e-4)
    found = guidance.guided(score, values, 1.0)(X, T) - score(X, T)
    expected = (1 - good)[:, None, None] * gradient()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

  def test_guidance_is_bayes_rule(self):
    """Oracle: the score of a product of two Gaussian densities.

    Of N(0, 1) data that are likely to be near 2: N(1.6, 0.2), say.
    """
    steered = guidance.guided(
      lambda x, t: -x,
      guidance.log_likelihood(lambda x, t: x[:, 0, 0], 2.0, 0.5),
      1.0,
    )
    x = np.linspace(-3, 3, 7, dtype=np.float32).reshape(7, 1, 1)
    expected = (1.6 - np.float64(x)) / 0.2
    np.testing.assert_allclose(steered(x, np.ones(7)), expected, rtol=1e-5)


if __name__ == "__main__":
  absltest.main()
