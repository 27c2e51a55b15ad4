"""Tests of nagjax.networks.noisy and set_encoder."""

import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.convert import diffusionnag
from nagjax.networks import layers
from nagjax.networks import noisy
from nagjax.networks import score
from nagjax.networks import set_encoder
from tests.networks import diffusionnag_program as program

PUBLISHED = (
  ("gcn", noisy.noisy_gcn, 8, 7, program.ADJACENCY, program.gcn_state),
  (
    "transformer",
    noisy.noisy_transformer,
    *(20, 9, program.CHAIN, program.transformer_state),
  ),
)
SMALL_GCN = noisy.GcnConfig(2, 6, 5, 3)
SMALL_TRANSFORMER = noisy.TransformerConfig(score.Config(1, 8, 2, 4), 3)


def inputs(num_nodes, num_labels, *leading):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(*leading, num_nodes, num_labels)).astype(np.float32)
  condition = np.resize(np.asarray([0.1, 1.7], np.float32), leading)
  return x, condition, rng.normal(size=56).astype(np.float32)


def with_code(config, set_size):
  return config.__class__(**{**vars(config), "set_size": set_size})


@functools.cache
def build_small(config):
  if isinstance(config, noisy.GcnConfig):
    network = noisy.noisy_gcn(8, 7, config)
  else:
    network = noisy.noisy_transformer(8, 7, config=config)
  return network, jax.jit(network.init)(jax.random.key(0))


class PublishedTest(parameterized.TestCase):
  @parameterized.named_parameters(
    *(
      (f"{name}_{mask_name}", build, *sizes, change(adjacency), state)
      for name, build, *sizes, adjacency, state in PUBLISHED
      for mask_name, change in (
        ("adjacency", np.asarray),
        ("closure", program.closure),
      )
    )
  )
  def test_weights(self, build, num_nodes, num_labels, adjacency, state):
    """Oracle: the facts' steps in NumPy, node by node."""
    state = state(0)
    params = diffusionnag.surrogate_params(state).predictor
    apply = jax.jit(build(num_nodes, num_labels).apply)
    x, condition, code = inputs(num_nodes, num_labels, 2)
    is_gcn = isinstance(params, noisy.GcnParams)
    predict = program.gcn if is_gcn else program.transformer
    expected = [
      predict(state, row.astype(np.float64), float(c), adjacency, code)
      for row, c in zip(x, condition, strict=True)
    ]
    narrow = jnp.asarray(adjacency, jnp.float32)
    result = apply(params, x, condition, narrow, code=code)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    self.assertGreater(np.ptp(expected), 1e-3)
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      x, condition, code = (a.astype(np.float64) for a in (x, condition, code))
      result = apply(wide, x, condition, adjacency, code=code)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)

  @parameterized.parameters((0, 505_865), (1, 774_866))
  def test_size(self, which, published):
    """Oracle: the published numbers, which count a layer that nothing reads."""
    _, build, *sizes = PUBLISHED[which][:4]
    key = jax.random.key(0)
    params = [
      jax.eval_shape(init, key)
      for init in (build(*sizes).init, set_encoder.set_encoder().init)
    ]
    self.assertEqual(score.num_params(params) + program.UNUSED, published)

  @parameterized.parameters((0, 32), (0, 512), (1, 512))
  def test_shapes(self, which, head_width):
    """Oracle: the imported weights, of both published head widths."""
    _, build, *sizes = PUBLISHED[which][:4]
    if which == 0:
      state = program.gcn_state(0, head_width=head_width)
      network = build(*sizes, config=noisy.GcnConfig(head_width=head_width))
    else:
      state, network = program.transformer_state(0), build(*sizes)
    imported = diffusionnag.surrogate_params(state)
    key = jax.random.key(0)
    made = (
      jax.eval_shape(network.init, key),
      jax.eval_shape(set_encoder.set_encoder().init, key),
    )
    self.assertEqual(
      jax.tree.map(jnp.shape, tuple(imported)), jax.tree.map(jnp.shape, made)
    )


class NoisyTest(parameterized.TestCase):
  @parameterized.parameters(SMALL_GCN, SMALL_TRANSFORMER)
  def test_leading_axes(self, config):
    """Oracle: one architecture after another; one code or one for each."""
    network, params = build_small(config)
    apply = jax.jit(network.apply)
    x, condition, code = inputs(8, 7, 2, 3)
    codes = np.stack([code, 2 * code])[:, None].repeat(3, 1)
    result = apply(params, x, condition, program.ADJACENCY, code=codes)
    self.assertEqual(result.shape, (2, 3))
    for i in np.ndindex(2, 3):
      one = apply(params, x[i], condition[i], program.ADJACENCY, code=codes[i])
      np.testing.assert_allclose(one, result[i], atol=1e-6)
    shared = apply(params, x, condition[0, 0], program.ADJACENCY, code=code)
    np.testing.assert_allclose(shared[0, 0], result[0, 0], atol=1e-6)
    self.assertGreater(np.abs(shared[1, 0] - result[1, 0]), 1e-4)

  @parameterized.parameters(SMALL_GCN, SMALL_TRANSFORMER)
  @pytest.mark.slow
  def test_gradients(self, config):
    """Oracle: differences of the prediction, which guidance climbs."""
    config = with_code(config, 0)
    network, params = build_small(config)
    x, condition, _ = inputs(8, 7, 2)

    @jax.jit
    def total(params, x):
      return jnp.sum(network.apply(params, x, condition, program.ADJACENCY))

    gradient = jax.jit(jax.grad(total, (0, 1)))(params, x)
    for leaf in jax.tree.leaves(gradient):
      self.assertTrue(np.all(np.isfinite(leaf)))
      self.assertGreater(np.max(np.abs(leaf)), 0)
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      step = 1e-4 * np.random.default_rng(1).normal(size=x.shape)
      difference = (total(wide, x + step) - total(wide, x - step)) / 2
    np.testing.assert_allclose(
      difference, np.sum(gradient[1] * step), rtol=1e-3
    )

  def test_without_a_data_set(self):
    """Oracle: the facts' head, which then reads the graph's 128 numbers."""
    network = noisy.noisy_gcn(8, 7, noisy.GcnConfig(set_size=0))
    params = jax.eval_shape(network.init, jax.random.key(0))
    self.assertEqual(params.head[0].weight.shape, (128, 32))

  @parameterized.parameters(
    (SMALL_GCN, None),
    (SMALL_GCN, (55,)),
    (with_code(SMALL_GCN, 0), (56,)),
    (SMALL_TRANSFORMER, None),
    (with_code(SMALL_TRANSFORMER, 0), (56,)),
  )
  def test_wrong_code(self, config, shape):
    """Oracle: the documented error."""
    network, params = build_small(config)
    x, condition, _ = inputs(8, 7, 2)
    code = None if shape is None else jnp.zeros(shape)
    with self.assertRaisesRegex(ValueError, "set_size"):
      network.apply(params, x, condition, program.ADJACENCY, code=code)

  def test_another_space(self):
    """Oracle: the documented error."""
    network, params = build_small(SMALL_GCN)
    with self.assertRaisesRegex(ValueError, r"\[..., 8, 7\]"):
      network.apply(params, jnp.ones((8, 6)), 1.0, program.ADJACENCY)

  def test_dropout(self):
    """Oracle: the facts' places; without a key nothing drops."""
    network, params = build_small(SMALL_GCN)
    x, condition, code = inputs(8, 7, 3)
    places = []

    def record(kept, rate, x):
      places.append((kept.dtype, rate, sorted(x.shape)))
      return x

    def run(**kwargs):
      return network.apply(
        params, x, condition, program.ADJACENCY, code=code, **kwargs
      )

    with mock.patch.object(layers, "drop", record):
      jax.eval_shape(lambda: run(dropout_key=jax.random.key(0)))
    shapes = [[3, 6, 8], [3, 6, 8], [3, 5]]
    self.assertEqual(places, [(jnp.bool, 0.1, shape) for shape in shapes])
    dropped = run(dropout_key=jax.random.key(1))
    self.assertGreater(np.max(np.abs(dropped - run())), 1e-4)

  def test_start(self):
    """Oracle: Xavier's bound of the convolutions."""
    _, params = build_small(noisy.GcnConfig())
    for inputs_size, pair in zip((7, 144), params.layers, strict=False):
      bound = (6 / (inputs_size + 144)) ** 0.5
      for matrix in pair:
        self.assertBetween(np.max(np.abs(matrix)), 0.98 * bound, bound)

  @parameterized.parameters(
    (noisy.GcnConfig, {"num_layers": 0}, "num_layers"),
    (noisy.GcnConfig, {"graph_size": 0}, "graph_size"),
    (noisy.GcnConfig, {"hidden_size": 7}, "hidden_size"),
    (noisy.GcnConfig, {"dropout": 1.0}, "dropout"),
    (noisy.GcnConfig, {"head_width": 0}, "head_width"),
    (noisy.TransformerConfig, {"set_size": -1}, "set_size"),
  )
  def test_bad_config(self, config, options, name):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, name):
      config(**options)


class SetEncoderTest(parameterized.TestCase):
  def test_published_weights(self):
    """Oracle: the facts' steps in NumPy, image by image and head by head."""
    state = program.gcn_state(0)
    params = diffusionnag.surrogate_params(state).set_encoder
    images = np.random.default_rng(0).normal(size=(3, 20, 512))
    images = images.astype(np.float32)
    code = jax.jit(set_encoder.set_encoder().apply)
    expected = program.set_code(state, images.astype(np.float64))
    self.assertEqual(expected.shape, (56,))
    result = code(params, images)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    shuffled = code(params, images[::-1, ::-1])
    np.testing.assert_allclose(shuffled, expected, rtol=0, atol=1e-5)
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      result = code(wide, images.astype(np.float64))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)

  def test_start(self):
    """Oracle: PyTorch's and Xavier's bounds."""
    params = jax.jit(set_encoder.set_encoder().init)(jax.random.key(0))
    for weight, inputs_size in (
      (params.images.first.key.weight, 512),
      (params.images.first.out.weight, 56),
      (params.classes.first.key.weight, 56),
    ):
      self.assertEqual(weight.shape, (inputs_size, 56))
      bound = inputs_size**-0.5
      self.assertBetween(np.max(np.abs(weight)), 0.99 * bound, bound)
    bound = (6 / 57) ** 0.5
    self.assertBetween(np.max(np.abs(params.classes.seed)), 0.8 * bound, bound)


if __name__ == "__main__":
  absltest.main()
