"""Tests of nagjax.candidates.mobilenet: sub-networks, gradients, counts."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import mobilenet
from nagjax.candidates.layers import Norm
from nagjax.spaces import mobilenetv3
from nagjax.spaces import mobilenetv3_counts as counts

# Three stages are enough for both activations, strides, squeezes, residuals.
STAGES = (
  counts.Stage(8, 2, False),
  counts.Stage(8, 1, True),
  counts.Stage(16, 1, True),
)
CONFIG = mobilenet.Config(
  counts.Network(STAGES, 8, 2, 16, 12, num_classes=3, channels=2, image_size=24)
)
TYPES = mobilenetv3.TYPES
NONE = mobilenetv3.NONE


def perturbed(model, seed=0):
  """A model whose statistics, biases and matrices are nothing special."""
  rng = np.random.default_rng(seed)

  def change(leaf):
    return leaf * rng.uniform(0.7, 1.3, leaf.shape).astype(np.float32) + (
      0.05 * rng.uniform(size=leaf.shape).astype(np.float32)
    )

  return jax.tree.map(change, model)


@functools.cache
def fresh():
  return jax.jit(lambda key: mobilenet.init(key, CONFIG))(jax.random.key(0))


@functools.cache
def setting():
  images = np.random.default_rng(1).normal(size=(3, 24, 24, 2))
  return perturbed(fresh()), images.astype(np.float32)


@functools.cache
def program():
  return jax.jit(lambda m, a, x: mobilenet.apply(m, a, x, CONFIG)[0])


def convolve(x, weight, stride=1):
  """Depthwise, `[k, k, C]`, or full, `[k, k, C, D]`; k // 2 zeros around."""
  size = weight.shape[0]
  pad = size // 2
  x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  rows = x.shape[1] - size + 1
  total = 0
  for i in range(size):
    for j in range(size):
      part = x[:, i : i + rows : stride, j : j + rows : stride]
      tap = weight[i, j]
      total = total + (part * tap if tap.ndim == 1 else part @ tap)
  return total


def alone(model, arch, images, config=CONFIG):
  """The stand-alone network of an architecture, in NumPy, from slices."""
  model = jax.tree.map(lambda p: np.asarray(p, np.float64), model)
  params, statistics = model

  def norm(x, conv, moments, num=None):
    scale, shift = (p[:num] for p in conv.norm)
    mean, variance = (m[:num] for m in moments)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

  def relu(x):
    return np.maximum(x, 0)

  def sigmoid(x):
    return np.clip(x + 3, 0, 6) / 6

  def swish(x):
    return x * sigmoid(x)

  stem = params.stem.weight
  x = convolve(images, stem.reshape(3, 3, *stem.shape[1:]), config.network[2])
  x = swish(norm(x, params.stem, statistics.stem))
  first = params.first
  y = convolve(x, first[0].weight.reshape(3, 3, -1))
  y = relu(norm(y, first[0], statistics.first[0]))
  x = x + norm(y @ first[1].weight, first[1], statistics.first[1])
  for number, kind in enumerate(arch):
    if kind == NONE:
      continue
    stage, position = divmod(number, 4)
    place = 2 * stage + (position > 0)
    block, old = params.blocks[place], statistics.blocks[place]
    if position:
      take = functools.partial(jax.tree.map, lambda p, n=position: p[n - 1])
      block, old = take(block), take(old)
    kernel, expansion = TYPES[kind]
    act = relu if stage < 2 else swish
    stride = config.network.stages[stage].stride if position == 0 else 1
    middle = counts.make_divisible(x.shape[-1] * expansion)
    weight = block.depthwise.weight.reshape(7, 7, -1)
    if kernel < 7:
      center = block.to_5 @ weight[1:6, 1:6].reshape(25, -1)
      weight = center.reshape(5, 5, -1)
    if kernel < 5:
      center = block.to_3 @ weight[1:4, 1:4].reshape(9, -1)
      weight = center.reshape(3, 3, -1)
    y = x @ block.expand.weight[:, :middle]
    y = act(norm(y, block.expand, old.expand, middle))
    y = convolve(y, weight[..., :middle], stride)
    y = act(norm(y, block.depthwise, old.depthwise, middle))
    if block.squeeze is not None:
      squeeze = block.squeeze
      num = counts.make_divisible(middle // 4)
      inside = y.mean((1, 2)) @ squeeze.reduce[:middle, :num]
      inside = relu(inside + squeeze.reduce_bias[:num])
      factor = inside @ squeeze.expand[:num, :middle]
      factor = sigmoid(factor + squeeze.expand_bias[:middle])
      y = y * factor[:, None, None]
    y = norm(y @ block.project.weight[:middle], block.project, old.project)
    residual = stride == 1 and y.shape[-1] == x.shape[-1]
    x = x + y if residual else y
  x = swish(norm(x @ params.final.weight, params.final, statistics.final))
  x = swish(x.mean((1, 2)) @ params.mix)
  return x @ params.classifier + params.bias


def draw(num, length=12):
  archs = mobilenetv3.sample(jax.random.key(1), num)
  return np.asarray(archs)[:, :length]


class SubNetworkTest(parameterized.TestCase):
  def test_equals_the_network_alone(self):
    """Oracle: NumPy, from sliced weights, layer by layer."""
    model, images = setting()
    shallow = np.asarray([0, 8, 9, 9, 4, 0, 1, 9, 2, 3, 9, 9])
    for arch in [*draw(5), shallow]:
      expected = alone(model, arch, images)
      np.testing.assert_allclose(
        program()(model, arch, images), expected, rtol=1e-5, atol=1e-5
      )

  @pytest.mark.slow
  def test_twenty_of_the_network_for_small_images(self):
    """Oracle: NumPy, from sliced weights; one image of another size."""
    config = mobilenet.Config(width=1.2)
    model = jax.jit(lambda key: mobilenet.init(key, config))(jax.random.key(0))
    model = perturbed(model)
    images = np.random.default_rng(2).normal(size=(1, 28, 28, 3))
    run = jax.jit(lambda m, a, x: mobilenet.apply(m, a, x, config)[0])
    for arch in draw(20, 20):
      found = run(model, arch, images.astype(np.float32))
      expected = alone(model, arch, images, config)
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

  @pytest.mark.slow
  def test_gradients_and_statistics_reach_exactly_the_slices(self):
    """Oracle: the active channels, layers and taps, marked in NumPy."""
    model, images = setting()
    # 3-3, 5-4, 7-6 in stage 1; stage 2 squeezes, stage 3 is short.
    arch = np.asarray([0, 4, 8, 9, 3, 6, 1, 9, 7, 2, 9, 9])

    def loss(params, statistics):
      logits, new = mobilenet.apply(
        mobilenet.Model(params, statistics),
        arch,
        images,
        CONFIG,
        norm=Norm.BATCH,
      )
      return jnp.sum(logits**2), new

    gradient, new = jax.jit(jax.grad(loss, has_aux=True))(*model)
    changed = jax.tree.map(
      lambda a, b: np.asarray(a) != np.asarray(b), new, model.statistics
    )
    for number, kind in enumerate(arch):
      stage, position = divmod(number, 4)
      place = 2 * stage + (position > 0)
      at = position - 1 if position else slice(None)
      block, seen = gradient.blocks[place], changed.blocks[place]
      block, seen = jax.tree.map(lambda p, at=at: p[at], (block, seen))
      inputs = (8, 8, 8, 8, 8, 16)[place]
      if kind == NONE:
        for leaf in jax.tree.leaves((block, seen)):
          self.assertFalse(np.any(np.asarray(leaf) != 0))
        continue
      kernel, expansion = TYPES[kind]
      middle = inputs * expansion
      for leaf, axis in (
        (block.expand.weight, 1),
        (block.project.weight, 0),
        (block.depthwise.weight, 1),
        (block.expand.norm.scale, 0),
        (block.depthwise.norm.shift, 0),
        *((m, 0) for m in (*seen.expand, *seen.depthwise)),
      ):
        other = tuple(a for a in range(leaf.ndim) if a != axis)
        there = np.any(np.asarray(leaf) != 0, axis=other)
        # A rectifier that never fires has no derivative.
        self.assertFalse(there[middle:].any(), number)
        self.assertGreater(there[:middle].mean(), 0.8, number)
      square = np.any(block.depthwise.weight != 0, axis=1).reshape(7, 7)
      self.assertEqual(bool(square[0].any()), kernel == 7)
      self.assertEqual(bool(np.any(block.to_5 != 0)), kernel < 7)
      self.assertEqual(bool(np.any(block.to_3 != 0)), kernel < 5)
      if block.squeeze is not None:
        num = counts.make_divisible(middle // 4)
        self.assertFalse(np.any(block.squeeze.reduce_bias[num:] != 0))
        self.assertFalse(np.any(block.squeeze.reduce[middle:] != 0))
        self.assertFalse(np.any(block.squeeze.expand[num:] != 0))
        self.assertFalse(np.any(block.squeeze.expand_bias[middle:] != 0))

  @pytest.mark.slow
  def test_half_precision(self):
    """Oracle: single precision, to the rounding of bfloat16."""
    model, images = setting()
    half = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), model)
    arch = draw(1)[0]
    found = program()(half, arch, jnp.asarray(images, jnp.bfloat16))
    self.assertEqual(found.dtype, jnp.bfloat16)
    expected = program()(model, arch, images)
    error = np.abs(np.float32(found) - np.asarray(expected)).max()
    self.assertLess(error, 0.1 * np.abs(expected).max())


class SortTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_largest_expansions_stay_the_same(self, stage):
    """Oracle: the logits before; the order of the outgoing weights, in two
    groups in the second stage."""
    model, images = setting()
    found = jax.jit(lambda m: mobilenet.sort_channels(m, CONFIG, stage))(model)
    for arch in ([8] * 12, [2, 5, 8, 9] * 3):
      arch = np.asarray(arch)
      np.testing.assert_allclose(
        program()(found, arch, images),
        program()(model, arch, images),
        rtol=1e-4,
        atol=1e-5,
      )
    changed = False
    for old, new in zip(model.params.blocks, found.params.blocks, strict=True):
      before, weight = (
        np.abs(b.project.weight).sum(-1).reshape(-1, b.project.weight.shape[-2])
        for b in (old, new)
      )
      at = weight.shape[1] * 4 // 6 if stage else weight.shape[1]
      for part in (slice(at), slice(at, None)):
        expected = -np.sort(-before[:, part], axis=1)
        np.testing.assert_allclose(weight[:, part], expected, rtol=1e-5)
      changed |= bool(np.any(before != weight))
      if new.squeeze is not None:
        inside = np.abs(new.squeeze.expand).sum(-1)
        self.assertTrue(np.all(np.diff(inside, axis=-1) <= 1e-6))
    self.assertTrue(changed)


class CountTest(parameterized.TestCase):
  @parameterized.parameters(
    ("imagenet", 1.0), ("imagenet", 1.2), ("small32", 1)
  )
  def test_counts(self, name, width):
    """Oracle: the host's count, which meets the published ones."""
    config = mobilenet.Config(counts.NETWORKS[name], width)
    archs = draw(30, 20)
    found = (
      mobilenet.num_params(archs, config),
      mobilenet.num_macs(archs, config),
    )
    for arch, num_params, num_macs in zip(archs, *found, strict=True):
      expected = counts.count(arch, None, width, config.network)
      self.assertEqual((num_params, num_macs), expected)

  def test_draws(self):
    """Oracle: He's deviations by the outputs; a uniform one; no two layers
    share their draws, whose rounding may coincide."""
    params = fresh().params
    block = params.blocks[3]
    for weight, taps in (
      (block.expand.weight, 1),
      (block.depthwise.weight, 49),
      (block.squeeze.expand, 1),
      (block.project.weight, 1),
    ):
      expected = (2 / (taps * weight.shape[-1])) ** 0.5
      self.assertAlmostEqual(float(weight.std()) / expected, 1, delta=0.1)
    bound = params.classifier.shape[0] ** -0.5
    self.assertLess(float(jnp.abs(params.classifier).max()), bound)
    self.assertAlmostEqual(
      float(params.classifier.std()) / bound, 3**-0.5, delta=0.15
    )
    weights = [b.expand.weight.ravel() for b in params.blocks]
    num = len(np.unique(np.concatenate(weights)))
    self.assertGreater(num, 0.99 * sum(map(len, weights)))

  def test_weights_of_the_largest(self):
    """Oracle: the number of entries of the weights, matrices aside."""
    config = mobilenet.Config()
    shapes = jax.eval_shape(
      lambda key: mobilenet.init(key, config), jax.random.key(0)
    )
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    matrices = 20 * (25**2 + 9**2)
    largest = counts.count([8] * 20, network=config.network)
    self.assertEqual(largest.params + matrices, total)

  @parameterized.parameters((dict(width=0), "width"), (dict(width=5), "width"))
  def test_other_sizes(self, change, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      mobilenet.Config(**change)


if __name__ == "__main__":
  absltest.main()
