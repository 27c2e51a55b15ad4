"""Tests of nagjax.candidates.layers."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import layers
from nagjax.candidates.layers import Norm


def padded_sum(x, weight, stride):
  """3x3 convolution with a border of zeros, by loops in float64."""
  batch, height, width, _ = x.shape
  rows, columns = range(0, height, stride), range(0, width, stride)
  padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
  result = np.zeros((batch, len(rows), len(columns), weight.shape[-1]))
  for i, row in enumerate(rows):
    for j, column in enumerate(columns):
      patch = padded[:, row : row + 3, column : column + 3]
      result[:, i, j] = patch.reshape(batch, -1) @ weight.reshape(
        -1, weight.shape[-1]
      )
  return result


@functools.partial(jax.jit, static_argnums=2)
def all_forms(x, weight, stride):
  forms = (layers.convolve, layers._dense, layers._patches, layers._convolution)
  return [form(x, weight, stride) for form in forms]


@functools.partial(jax.jit, static_argnums=2)
def gradients(x, weight, stride):
  """Ours and those of XLA's own convolution."""

  def of(form):
    def loss(x, weight):
      return jnp.sum(jnp.sin(form(x, weight, stride)))

    return jax.grad(loss, (0, 1))(x, weight)

  return of(layers.convolve), of(layers._convolution)


class ConvolveTest(parameterized.TestCase):
  @parameterized.product(
    size=((1, 1), (2, 2), (3, 5), (4, 4), (5, 7), (8, 8)), stride=(1, 2)
  )
  def test_all_forms_are_the_padded_sum(self, size, stride):
    """Oracle: NumPy loops over pixels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    weight = rng.normal(size=(9, 3, 4)).astype(np.float32)
    expected = padded_sum(x, weight, stride)
    for result in all_forms(x, weight, stride):
      np.testing.assert_allclose(result, expected, atol=2e-5)

  @parameterized.product(
    size=((1, 1), (2, 2), (3, 5), (5, 7), (8, 8)), stride=(1, 2)
  )
  def test_derivatives(self, size, stride):
    """Oracle: the derivatives of XLA's own convolution."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    weight = rng.normal(size=(9, 3, 4)).astype(np.float32)
    for ours, theirs in zip(*gradients(x, weight, stride), strict=True):
      np.testing.assert_allclose(ours, theirs, atol=1e-4)

  def test_one_by_one(self):
    """Oracle: einsum."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(5, 6))
    result = layers.convolve_1x1(jnp.asarray(x), jnp.asarray(w))
    np.testing.assert_allclose(
      result, np.einsum("bhwc,cd->bhwd", x, w), rtol=1e-4, atol=1e-5
    )


class DepthwiseTest(parameterized.TestCase):
  @parameterized.product(
    size=((1, 1), (3, 5), (8, 8)), taps=(3, 7), stride=(1, 2)
  )
  def test_values_and_derivatives(self, size, taps, stride):
    """Oracle: XLA's own grouped convolution, and its derivatives."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, *size)).astype(np.float32)
    weight = rng.normal(size=(taps**2, 3)).astype(np.float32)
    forms = layers._dense_depthwise, layers._grouped_convolution
    ours, theirs = (
      jax.vjp(lambda x, w, form=form: form(x, w, stride), x, weight)
      for form in forms
    )
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-5)
    gradient = rng.normal(size=theirs[0].shape).astype(np.float32)
    pairs = zip(ours[1](gradient), theirs[1](gradient), strict=True)
    for one, other in pairs:
      np.testing.assert_allclose(one, other, atol=1e-4)


class PoolTest(parameterized.TestCase):
  @parameterized.parameters((1, 1), (2, 3), (4, 4), (5, 6))
  def test_average_pool_counts_pixels_that_exist(self, height, width):
    """Oracle: means of slices."""
    x = np.random.default_rng(0).normal(size=(2, height, width, 3))
    result = layers.average_pool(jnp.asarray(x, jnp.float32))
    for i in range(height):
      for j in range(width):
        rows = slice(max(i - 1, 0), i + 2)
        window = x[:, rows, max(j - 1, 0) : j + 2]
        np.testing.assert_allclose(
          result[:, i, j], window.mean((1, 2)), rtol=1e-4, atol=1e-5
        )

  @parameterized.parameters((1, 1), (2, 3), (4, 4), (5, 6))
  def test_halve(self, height, width):
    """Oracle: means of slices."""
    x = np.random.default_rng(0).normal(size=(2, height, width, 3))
    result = layers.halve(jnp.asarray(x, jnp.float32))
    self.assertEqual(result.shape[1:3], (-(-height // 2), -(-width // 2)))
    for i in range(result.shape[1]):
      for j in range(result.shape[2]):
        window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        np.testing.assert_allclose(
          result[:, i, j], window.mean((1, 2)), rtol=1e-4, atol=1e-5
        )


class NormalizeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    self.x = (3 + 2 * rng.normal(size=(4, 3, 5, 2))).astype(np.float32)
    self.params = layers.NormParams(
      jnp.asarray([2.0, 3.0]), jnp.asarray([0.5, -1.0])
    )
    self.old = layers.Moments(jnp.asarray([1.0, 2.0]), jnp.asarray([4.0, 9.0]))

  def test_batch(self):
    """Oracle: PyTorch's rules in NumPy (unbiased running variance)."""
    result, moments = layers.normalize(
      jnp.asarray(self.x), self.params, self.old, Norm.BATCH
    )
    mean, variance = self.x.mean((0, 1, 2)), self.x.var((0, 1, 2))
    unit = (self.x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(
      result, unit * [2.0, 3.0] + [0.5, -1.0], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
      moments.mean, 0.9 * np.asarray([1, 2]) + 0.1 * mean, rtol=1e-5
    )
    unbiased = self.x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(
      moments.variance, 0.9 * np.asarray([4, 9]) + 0.1 * unbiased, rtol=1e-5
    )

  def test_running_and_none(self):
    """Oracle: the formula with the given moments; the input itself."""
    result, moments = layers.normalize(
      jnp.asarray(self.x), self.params, self.old, Norm.RUNNING
    )
    unit = (self.x - [1.0, 2.0]) / np.sqrt(np.asarray([4.0, 9.0]) + 1e-5)
    np.testing.assert_allclose(
      result, unit * [2.0, 3.0] + [0.5, -1.0], rtol=1e-4, atol=1e-4
    )
    self.assertIs(moments, self.old)
    same, _ = layers.normalize(self.x, self.params, self.old, Norm.NONE)
    self.assertIs(same, self.x)

  def test_the_running_statistics_carry_no_gradient(self):
    """Oracle: zero."""

    def total(x):
      return jnp.sum(
        layers.normalize(x, self.params, self.old, Norm.BATCH)[1].mean
      )

    gradient = jax.grad(total)(jnp.asarray(self.x))
    self.assertEqual(float(jnp.abs(gradient).max()), 0.0)


if __name__ == "__main__":
  absltest.main()
