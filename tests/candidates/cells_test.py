"""Tests of nagjax.candidates.cells."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import cells
from nagjax.candidates import layers
from nagjax.candidates.layers import Norm
from nagjax.spaces import nasbench201
from tests import data

CONFIG = cells.Config(image_shape=(5, 6, 2), num_channels=2, num_cells=2)
ARCH = (3, 2, 4, 1, 3, 0)
"""Each operation once, 3x3 twice."""


@jax.jit
def init(key, arch):
  return cells.init(key, arch, CONFIG)


@functools.partial(jax.jit, static_argnames="norm")
def forward(model, arch, images, norm=Norm.BATCH):
  return cells.forward(model, arch, images, norm=norm)


def network(model, arch, x):
  """The network by NumPy loops over cells and edges, batch statistics."""

  def norm(y, params):
    mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    return (y - mean) / np.sqrt(variance + 1e-5) * params.scale + params.shift

  def convolve(y, weight, stride=1):
    return np.asarray(
      layers._convolution(
        jnp.asarray(y, jnp.float32), jnp.asarray(weight), stride
      )
    )

  def edge(op, y, layer):
    name = nasbench201.OPERATIONS[op]
    if name == "none":
      return 0 * y
    if name == "skip_connect":
      return y
    if name == "avg_pool_3x3":
      return np.asarray(layers.average_pool(jnp.asarray(y, jnp.float32)))
    y = np.maximum(y, 0)
    if name == "nor_conv_1x1":
      return norm(y @ layer.weight[4], layer.norm)
    return norm(convolve(y, layer.weight), layer.norm)

  params = jax.tree.map(np.asarray, model.params)
  x = norm(convolve(x, params.stem.weight), params.stem.norm)
  for stage in range(3):
    if stage > 0:
      block = params.reductions[stage - 1]
      y = norm(convolve(np.maximum(x, 0), block.first.weight, 2), block[0].norm)
      y = norm(convolve(np.maximum(y, 0), block.second.weight), block[1].norm)
      x = np.asarray(layers.halve(jnp.asarray(x, jnp.float32))) @ block.shortcut
      x = x + y
    for cell in range(CONFIG.num_cells):
      nodes = [x, 0, 0, 0]
      for e in range(6):
        layer = jax.tree.map(lambda leaf: leaf[cell, e], params.cells[stage])  # noqa: B023
        source, target = nasbench201.SOURCES[e], nasbench201.TARGETS[e]
        nodes[target] = nodes[target] + edge(arch[e], nodes[source], layer)
      x = nodes[3]
  x = np.maximum(norm(x, params.last_norm), 0).mean((1, 2))
  return x @ params.classifier + params.bias


class CountsTest(parameterized.TestCase):
  @parameterized.parameters(
    ((3,) * 6, 1_531_546, 220.11969),
    ((2,) * 6, 241_306, 31.37601),
    ((1,) * 6, 73_306, 7.78305),
    ((0,) * 6, 73_306, 7.78305),
    ((3, 3, 3, 1, 3, 3), 1_288_506, 184.73025),
  )
  def test_published_counts(self, arch, params, flops_m):
    """Oracle: counts that the benchmark prints."""
    archs = jnp.asarray(arch)
    self.assertEqual(int(cells.num_params(archs, cells.Config())), params)
    self.assertAlmostEqual(
      float(cells.num_macs(archs, cells.Config())) / 1e6, flops_m, places=4
    )

  @data.needs_table("nb201.npz")
  def test_all_cells(self):
    """Oracle: the columns of the benchmark's file, all 15,625 rows."""
    ops, params, flops = data.read_table(
      "nb201.npz", "ops", "cifar10_params_m", "cifar10_flops_m"
    )
    archs = jnp.asarray(ops, jnp.int32)
    counted = np.asarray(cells.num_params(archs, cells.Config()))
    np.testing.assert_allclose(counted / 1e6, params, atol=1e-6)
    counted = np.asarray(cells.num_macs(archs, cells.Config()), np.float64)
    np.testing.assert_allclose(counted / 1e6, flops, rtol=1e-6)

  @parameterized.parameters(ARCH, (0,) * 6, (2,) * 6)
  def test_counts_are_those_of_the_arrays(self, *arch):
    """Oracle: non-zero weights after the initialization, and BN pairs."""
    model = init(jax.random.key(0), jnp.asarray(arch))
    weights = jax.tree.leaves(
      [
        model.params.stem.weight,
        [layer.weight for layer in model.params.cells],
        [(r[0].weight, r[1].weight, r[2]) for r in model.params.reductions],
        model.params.classifier,
        model.params.bias,
      ]
    )
    used = sum(int(np.count_nonzero(w)) for w in weights)
    convolutions = sum(op in (2, 3) for op in arch)
    norms = 2 * 2 + 2 * 8 + 2 * (4 + 4 + 8 + 8)
    norms += convolutions * CONFIG.num_cells * 2 * (2 + 4 + 8)
    counted = int(cells.num_params(jnp.asarray(arch), CONFIG))
    self.assertEqual(counted, used + norms)


class NetworkTest(parameterized.TestCase):
  @parameterized.parameters(ARCH, (0,) * 6, (3,) * 6)
  def test_forward(self, *arch):
    """Oracle: NumPy loops; one program serves all cells."""
    archs = jnp.asarray(arch)
    model = init(jax.random.key(1), archs)
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 2)).astype(np.float32)
    result = forward(model, archs, jnp.asarray(x))
    np.testing.assert_allclose(
      result.logits, network(model, arch, x), rtol=1e-3, atol=1e-3
    )
    self.assertEqual(float(result.log_scale), 0.0)
    self.assertLessEqual(forward._cache_size(), 2)  # Another test has one.

  @pytest.mark.slow
  def test_draws_are_shared_and_scaled_by_fan_in(self):
    """Oracle: bounds 1 / sqrt(fan in); equal draws of two cells."""
    model, other = (
      cells.init(jax.random.key(0), jnp.asarray(arch), cells.Config())
      for arch in (ARCH, (3,) * 6)
    )
    edges = model.params.cells[0].weight
    np.testing.assert_array_equal(
      edges[:, 0], other.params.cells[0].weight[:, 0]
    )
    bound_3x3, bound_1x1 = (9 * 16) ** -0.5, 16**-0.5
    self.assertBetween(
      float(jnp.abs(edges[:, 0]).max()), 0.95 * bound_3x3, bound_3x3
    )
    center = edges[:, 1, layers.Center]
    self.assertBetween(
      float(jnp.abs(center).max()), 0.95 * bound_1x1, bound_1x1
    )
    self.assertEqual(float(jnp.abs(edges[:, 2:4]).max()), 0.0)

  def test_logits_without_normalization_have_a_scale(self):
    """Oracle: doubling the first weights adds log 2, the bias being 0."""
    archs = jnp.asarray(ARCH)
    model = init(jax.random.key(1), archs)
    params = jax.tree.map(jnp.abs, model.params)
    params = params._replace(bias=jnp.zeros_like(params.bias))
    images = jnp.ones((1, 5, 6, 2))

    def log_total(params):
      result = forward(
        model._replace(params=params), archs, images, norm=Norm.NONE
      )
      return jnp.log(jnp.sum(result.logits)) + result.log_scale

    doubled = params.stem._replace(weight=2 * params.stem.weight)
    change = log_total(params._replace(stem=doubled)) - log_total(params)
    self.assertAlmostEqual(float(change), float(np.log(2)), places=4)

  def test_config_is_validated(self):
    """Oracle: the message."""
    with self.assertRaisesRegex(ValueError, "image_shape"):
      cells.Config(image_shape=(8, 8))
    with self.assertRaisesRegex(ValueError, "num_classes"):
      cells.Config(num_classes=1)


if __name__ == "__main__":
  absltest.main()
