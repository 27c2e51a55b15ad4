"""Tests of nagjax.candidates.extractors and its training."""

import pathlib
import tempfile

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import files
from nagjax.candidates import extractor_training as training
from nagjax.candidates import extractors
from nagjax.candidates import train
from nagjax.candidates.layers import Norm
from tests import data

RNG = np.random.default_rng(0)


def convolve(x, kernel, stride, *, depthwise):
  """TensorFlow's SAME convolution pixel by pixel; kernel `[H, W, I, O]`."""
  size, taps = x.shape[0], kernel.shape[0]
  out = -(-size // stride)
  pad = max((out - 1) * stride + taps - size, 0)
  ends = (pad // 2, pad - pad // 2)  # The extra pixel right and below.
  padded = np.pad(x, (ends, ends, (0, 0)))
  result = np.zeros((out, out, kernel.shape[3]))
  for i in range(out):
    for j in range(out):
      rows, columns = i * stride, j * stride
      patch = padded[rows : rows + taps, columns : columns + taps]
      if depthwise:
        result[i, j] = (patch * kernel[:, :, 0]).sum((0, 1))
      else:
        result[i, j] = np.einsum("hwi,hwio->o", patch, kernel)
  return result


def quantized(rng):
  """A file of three layers and a classifier, as the published ones are."""
  shapes = [(2, 3, 3, 3), (1, 3, 3, 2), (5, 1, 1, 2), (4, 1, 1, 5)]
  arrays = {
    "types": np.asarray([b"C", b"D", b"C", b"C"]),
    "strides": np.int8([2, 2, 1, 1]),
  }
  for number, shape in enumerate(shapes):
    num_outputs = shape[3] if number == 1 else shape[0]
    arrays[f"l{number:02d}_w"] = rng.integers(0, 256, shape, dtype=np.uint8)
    arrays[f"l{number:02d}_wq"] = np.float32([0.01, 120 + number])
    arrays[f"l{number:02d}_b"] = rng.normal(size=num_outputs).astype("f4")
  return arrays


class MobileNetTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory()), "m.npz"
    )

  def test_against_numpy(self):
    """Oracle: the documented layers, pixel by pixel in NumPy."""
    arrays = quantized(RNG)
    np.savez(self.path, **arrays)
    model, classifier, bias = extractors.load_mobilenet(self.path)
    model = model._replace(size=8)
    image = RNG.uniform(0, 255, (8, 8, 3)).astype("f4")
    x = (image.astype(np.float64) - 128) / 128
    for number in range(3):
      scale, zero = arrays[f"l{number:02d}_wq"].astype(np.float64)
      weight = scale * (arrays[f"l{number:02d}_w"] - zero)
      depthwise = number == 1
      order = (1, 2, 0, 3) if depthwise else (1, 2, 3, 0)
      stride = arrays["strides"][number]
      x = convolve(x, weight.transpose(order), stride, depthwise=depthwise)
      x = np.clip(x + arrays[f"l{number:02d}_b"], 0, 6)
    found = extractors.mobilenet(model, jnp.asarray(image[None]))[0]
    np.testing.assert_allclose(found, x.mean((0, 1)), rtol=1e-4, atol=1e-5)
    self.assertEqual((classifier.shape, bias.shape), ((5, 4), (4,)))
    self.assertEqual(extractors.find(self.path).num_features, 5)

  def test_layers_that_do_not_fit_are_refused(self):
    """Oracle: one line that names the file."""
    arrays = quantized(RNG)
    arrays["l02_w"] = arrays["l02_w"][..., :1]
    np.savez(self.path, **arrays)
    with self.assertRaisesRegex(files.FileError, "m.npz.*do not fit"):
      extractors.find(self.path)

  @data.needs_table("mobilenet_v1_0.25_128_quant.npz")
  def test_the_published_weights_know_imagenet(self):
    """Oracle: labels of ImageNet, chance is a thousandth.

    The network has 52.5 % of large images right; these are of 32x32 pixels.
    """
    path = data.table_path("mobilenet_v1_0.25_128_quant.npz")
    _, classifier, bias = extractors.load_mobilenet(path)
    x, y = data.read_table("images/imagenet1k_one_per_class_32.npz", "x", "y")
    x, y = x[:100].astype(np.float32), y[:100]
    found = extractors.extract(extractors.find(path), x, batch_size=50)
    logits = found @ np.asarray(classifier) + np.asarray(bias)
    right = np.argmax(logits, axis=1) - 1 == y
    self.assertGreater(right.mean(), 0.08)


class SmallTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.model = extractors.Small(
      (RNG.normal(size=(9, 3, 2)), RNG.normal(size=(9, 2, 4))),
      (RNG.normal(size=2), RNG.normal(size=4)),
    )
    cls.model = jax.tree.map(
      lambda leaf: jnp.asarray(leaf, jnp.float16).astype(jnp.float32), cls.model
    )
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.path = cls.folder / "small.npz"
    cls.sources = ({"name": "a.npz", "sha256": "1"},)
    extractors.save_small(cls.path, cls.model, "mine", cls.sources, {})
    cls.extractor = extractors.find(cls.path)

  def test_against_numpy(self):
    """Oracle: convolutions of stride 2, one pixel of zeros around, in NumPy."""
    image = RNG.uniform(0, 255, (32, 32, 3)).astype("f4")
    x, expected = (image.astype(np.float64) - 128) / 128, []
    for weight, bias in zip(*self.model, strict=True):
      kernel = np.asarray(weight).reshape(3, 3, *weight.shape[1:])
      padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
      out = x.shape[0] // 2
      x = np.stack(
        [
          np.einsum(
            "hwi,hwio->o",
            padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3],
            kernel,
          )
          for i in range(out)
          for j in range(out)
        ]
      ).reshape(out, out, -1)
      x = np.maximum(x + np.asarray(bias), 0)
      expected.append(x.mean((0, 1)))
    found = extractors.extract(self.extractor, image[None])
    np.testing.assert_allclose(
      found[0], np.concatenate(expected), rtol=1e-4, atol=1e-4
    )
    self.assertEqual(self.extractor.num_features, 6)
    self.assertEqual(self.extractor.name, "mine")
    self.assertEqual(self.extractor.sources, self.sources)

  def test_gray_is_three_equal_channels_and_batches_change_nothing(self):
    """Oracle: the same features."""
    gray = RNG.uniform(0, 255, (5, 28, 28, 1)).astype("f4")
    whole = extractors.extract(self.extractor, gray)
    colored = extractors.extract(
      self.extractor, np.repeat(gray, 3, axis=-1), batch_size=2
    )
    np.testing.assert_allclose(whole, colored, rtol=1e-5, atol=1e-5)

  def test_pixels(self):
    """Oracle: closed form; a constant is 0."""
    x = np.linspace(-1, 3, 8).reshape(1, 4, 2, 1)
    np.testing.assert_allclose(extractors.pixels(x), (x + 1) / 4 * 255, 1e-5)
    np.testing.assert_array_equal(extractors.pixels(x * 0 + 2), x * 0)

  def test_another_file_is_refused(self):
    """Oracle: one line that names the file."""
    path = self.folder / "other.npz"
    arrays = {"weight_0": np.ones((9, 3, 2)), "bias_0": np.ones(3)}
    header = {"kind": extractors.KIND, "name": "x", "sources": []}
    for content, message in (
      (header, "do not fit"),
      ({**header, "kind": "?"}, "other.npz"),
    ):
      files.write_record(path, arrays, content)
      with self.assertRaisesRegex(files.FileError, message):
        extractors.find(path)


class TrainingTest(absltest.TestCase):
  @pytest.mark.slow
  def test_learns_and_folds(self):
    """Oracle: chance; the folded network is the one with normalizations."""
    config = training.Config(
      widths=(4, 8), num_epochs=1, batch_size=8, learning_rate=0.05
    )
    y = np.arange(32) % 2
    x = RNG.normal(0, 0.1, (32, 32, 32, 3)).astype("f4")
    x += np.where(y, 0.7, -0.7)[:, None, None, None].astype("f4")
    tx = training.optimizer(config, 24)
    state = training.start(jax.random.key(0), 2, config, tx)
    images = train.Images(jnp.asarray(x), jnp.asarray(y))
    run = jax.jit(lambda k, s: training.epoch(k, s, images, config, tx))
    for key in jax.random.split(jax.random.key(1), 6):
      state, loss = run(key, state)
    self.assertLess(float(loss), 0.3)  # Chance has .69.
    model = state.model
    logits, _ = training.apply(model, images.x, Norm.RUNNING)
    self.assertGreater(np.mean(np.argmax(logits, -1) == y), 0.9)
    features = extractors.small(training.fold(model), 128 * images.x + 128)
    again = features[:, -8:] @ model.head + model.bias[None]
    np.testing.assert_allclose(again, logits, rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
  absltest.main()
