"""Tests of nagjax.candidates.vit: sub-networks, gradients, counts."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from nagjax.candidates import vit
from nagjax.spaces import autoformer
from nagjax.spaces import autoformer_counts as counts

CHOICES = autoformer.Choices((6, 8), (1, 2, 3), (1.5, 2.0), (1, 2))
NETWORK = counts.Network(
  *(10, 3, 4, 2.0),
  head_size=4,
  patch_size=2,
  max_relative=2,
  image_size=8,
  channels=2,
  num_classes=3,
)
CONFIG = vit.Config(CHOICES, NETWORK)


@functools.cache
def setting():
  """Weights with no zeros among them, images."""
  params = jax.jit(lambda key: vit.init(key, CONFIG))(jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda p: p + 0.3 * rng.normal(size=p.shape).astype(np.float32), params
  )
  return params, rng.normal(size=(2, 8, 8, 2)).astype(np.float32)


@functools.cache
def program():
  return jax.jit(lambda p, a, x: vit.apply(p, a, x, CONFIG))


def alone(params, arch, images, config=CONFIG):
  """The stand-alone network of an architecture, in NumPy, from slices."""
  choices, net = config.choices, config.network
  params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
  setup = autoformer.to_config(choices, arch)
  width = setup["embed_dim"][0]
  side = net.image_size // net.patch_size

  def norm(x, scale):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * scale.scale[:width] + scale.shift[:width]

  size = net.patch_size
  patches = np.stack(
    [
      images[:, r * size : (r + 1) * size, c * size : (c + 1) * size].reshape(
        len(images), -1
      )
      for r in range(side)
      for c in range(side)
    ],
    axis=1,
  )
  x = patches @ params.patch.weight[:, :width] + params.patch.bias[:width]
  token = np.broadcast_to(params.token[:width], (len(images), 1, width))
  x = np.concatenate([token, x], axis=1) + params.positions[:, :width]
  reach = net.max_relative
  for number in range(setup["layer_num"]):
    layer = jax.tree.map(lambda p, number=number: p[number], params.layers)
    heads = setup["num_heads"][number]
    channels = heads * net.head_size
    inner = int(width * setup["mlp_ratio"][number])
    y = norm(x, layer.attention_norm)
    bias = layer.qkv.bias[: 3 * channels].reshape(3, channels)
    q, k, v = (
      (y @ layer.qkv.weight[part, :width, :channels] + bias[part]).reshape(
        *y.shape[:2], heads, net.head_size
      )
      for part in range(3)
    )
    out = np.zeros_like(q)
    tokens = y.shape[1]
    places = [None] + [divmod(i, side) for i in range(side**2)]

    def row(table, i, j, places=places):
      if places[i] is None or places[j] is None:
        return table.rows[0] + table.columns[0]
      cut = [
        min(max(b - a, -reach), reach) + reach + 1
        for a, b in zip(places[i], places[j], strict=True)
      ]
      return table.rows[cut[0]] + table.columns[cut[1]]

    for i in range(tokens):
      by_key = np.stack([row(layer.keys, i, j) for j in range(tokens)])
      by_value = np.stack([row(layer.values, i, j) for j in range(tokens)])
      for head in range(heads):
        near = (k[:, :, head] + by_key) @ q[:, i, head, :, None]
        share = special.softmax(near[..., 0] * net.head_size**-0.5, axis=-1)
        moved = v[:, :, head] + by_value
        out[:, i, head] = np.einsum("bj,bjd->bd", share, moved)
    y = out.reshape(*y.shape[:2], channels)
    x = x + y @ layer.project.weight[:channels, :width]
    x = x + layer.project.bias[:width]
    y = norm(x, layer.inner_norm) @ layer.inner.weight[:width, :inner]
    y = y + layer.inner.bias[:inner]
    y = y * (1 + special.erf(y / np.sqrt(2))) / 2
    x = x + y @ layer.outer.weight[:inner, :width] + layer.outer.bias[:width]
  features = norm(x, params.norm)[:, 1:].mean(1)
  return features @ params.head.weight[:width] + params.head.bias


def draw(num, choices=CHOICES, seed=1):
  archs = autoformer.sample(choices, jax.random.key(seed), num)
  return np.asarray(archs)


class SubNetworkTest(parameterized.TestCase):
  def test_equals_the_network_alone(self):
    """Oracle: NumPy, from sliced weights, layer by layer."""
    params, images = setting()
    for arch in [*draw(5), np.asarray([0, 3, 4, 4]), np.asarray([1, 3, 0, 3])]:
      found = program()(params, arch, images)
      np.testing.assert_allclose(
        found, alone(params, arch, images), rtol=1e-5, atol=1e-5
      )

  @pytest.mark.slow
  def test_twenty_of_the_space_for_small_images(self):
    """Oracle: NumPy, from sliced weights, layer by layer."""
    config = vit.Config()
    params = jax.jit(lambda key: vit.init(key, config))(jax.random.key(0))
    params = jax.tree.map(lambda p: 2 * p + 0.02, params)
    images = np.random.default_rng(1).normal(size=(1, 32, 32, 3))
    run = jax.jit(lambda p, a, x: vit.apply(p, a, x, config))
    for arch in draw(20, config.choices):
      found = run(params, arch, images.astype(np.float32))
      expected = alone(params, arch, images, config)
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

  def test_gradients_reach_exactly_the_slices(self):
    """Oracle: the slices of the docstrings, marked in NumPy."""
    params, images = setting()
    arch = np.asarray([0, 0, 3, 4])  # 6 channels; 1.5 and 1 head, 2.0 and 2.

    def loss(params):
      return jnp.sum(vit.apply(params, arch, images, CONFIG) ** 2)

    gradient = jax.jit(jax.grad(loss))(params)
    expected = jax.tree.map(lambda p: np.zeros(p.shape, bool), params)
    for leaf in (*expected.patch, expected.token, expected.positions):
      leaf[..., :6] = True
    for leaf in expected.norm:
      leaf[:6] = True
    expected.head.weight[:6] = expected.head.bias[:] = True
    layers = expected.layers
    for number, (inner, queries) in enumerate(((9, 4), (12, 8))):
      layers.qkv.weight[number, :, :6, :queries] = True
      layers.qkv.bias[number, : 3 * queries] = True
      layers.project.weight[number, :queries, :6] = True
      layers.inner.weight[number, :6, :inner] = True
      layers.inner.bias[number, :inner] = True
      layers.outer.weight[number, :inner, :6] = True
      for leaf in (layers.project.bias, layers.outer.bias):
        leaf[number, :6] = True
      for leaf in (*layers.attention_norm, *layers.inner_norm):
        leaf[number, :6] = True
      for table in (*layers.keys, *layers.values):
        table[number] = True
    jax.tree.map_with_path(
      lambda path, g, e: np.testing.assert_array_equal(
        np.asarray(g) != 0, e, str(path)
      ),
      # A bias of all keys moves no share: its derivative is rounding.
      gradient._replace(
        layers=gradient.layers._replace(
          qkv=gradient.layers.qkv._replace(
            bias=jnp.where(
              _key_bias(), layers.qkv.bias, gradient.layers.qkv.bias
            )
          )
        )
      ),
      expected,
    )

  def test_half_precision(self):
    """Oracle: single precision, to the rounding of bfloat16."""
    params, images = setting()
    half = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), params)
    arch = draw(1)[0]
    found = program()(half, arch, jnp.asarray(images, jnp.bfloat16))
    self.assertEqual(found.dtype, jnp.bfloat16)
    expected = program()(params, arch, images)
    scale = float(np.abs(expected).max())
    error = np.abs(np.float32(found) - expected).max()
    self.assertLess(float(error), 0.1 * scale)

  def test_dropped_layers(self):
    """Oracle: of a single layer, nothing is dropped; else a mean of networks
    keeps its size."""
    params, images = setting()
    run = jax.jit(
      lambda key, arch: vit.apply(
        params, arch, images, CONFIG, key=key, drop_path=0.5
      )
    )
    shallow = np.asarray([1, 3, 4, 4])
    np.testing.assert_allclose(
      run(jax.random.key(0), shallow),
      program()(params, shallow, images),
      rtol=1e-4,
      atol=1e-5,
    )
    deep = np.asarray([1, 3, 3, 3])
    first, second = (run(jax.random.key(seed), deep) for seed in (0, 1))
    self.assertGreater(float(jnp.abs(first - second).max()), 1e-3)


def _key_bias():
  """Entries of the biases that are the keys', of the two layers."""
  found = np.zeros((4, 36), bool)
  found[0, 4:8] = found[1, 8:16] = True
  return found


class CountTest(parameterized.TestCase):
  @parameterized.parameters("tiny", "small32")
  def test_counts(self, size):
    """Oracle: the host's closed form, which meets the published counts."""
    config = vit.Config(autoformer.SPACES[size], counts.NETWORKS[size])
    archs = draw(50, config.choices)
    params, macs = (
      np.asarray(f(jnp.asarray(archs), config))
      for f in (vit.num_params, vit.num_macs)
    )
    for arch, num_params, num_macs in zip(archs, params, macs, strict=True):
      setup = autoformer.to_config(config.choices, arch)
      expected = counts.count(setup, config.network)
      self.assertEqual(num_params, expected.params)
      self.assertAlmostEqual(num_macs / expected.macs, 1, places=6)

  def test_weights_of_the_largest(self):
    """Oracle: the number of entries of the super-network's weights."""
    params, _ = setting()
    setup = dict(embed_dim=[10], mlp_ratio=[2.0] * 4, num_heads=[3] * 4)
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    self.assertEqual(counts.count(setup, NETWORK).params, total)

  @parameterized.parameters(
    (dict(patch_size=3), "patch_size must divide"),
    (dict(embedding=6), "at least as large as any"),
  )
  def test_other_networks(self, change, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      vit.Config(CHOICES, NETWORK._replace(**change))


if __name__ == "__main__":
  absltest.main()
