"""Features of images: `f32[n, H, W, C] -> f32[n, F]`, for predictors of images.

Two kinds of networks. `MobileNet`: the uint8 weights of MobileNetV1 that
TensorFlow's model zoo publishes, of ImageNet (Howard et al., "MobileNets:
Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
https://arxiv.org/abs/1704.04861), for whoever has the file. `Small`: a network
of our own, which the package ships and `experiments.train_extractor` trains.

Any images will do: they are stretched to the range of bytes, gray ones get
three equal channels, all are resized to what the network reads.
"""

from collections.abc import Callable
from importlib import resources
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.candidates import layers
from nagjax.files import Declared

KIND = "nagjax extractor"
SMALL = "small"
"""Name of the shipped one."""
SMALL_SIZE = 32
"""Pixels of a side that `Small` reads."""
NUM_CHANNELS = 3

_MAX_BYTES = 64 << 20
_MOBILENET_SIZES = {8: 128, 16: 160}
"""Pixels that the published networks read, by channels of the first layer."""


class Extractor(NamedTuple):
  """What makes features of images.

  Attributes:
    name: by which a predictor remembers it.
    num_features: `F`.
    apply: `f32[n, H, W, C]` of 0 to 255 to `f32[n, F]`, pure.
    sources: what it has learned from, `name` and `sha256` each.
  """

  name: str
  num_features: int
  apply: Callable[[jax.Array], jax.Array]
  sources: tuple[dict[str, str], ...] = ()


class Small(NamedTuple):
  """Convolutions of stride 2, each with a bias and a rectifier.

  Attributes:
    weights: `f32[9, C_in, C_out]` each.
    biases: `f32[C_out]` each.
  """

  weights: tuple[jax.Array, ...]
  biases: tuple[jax.Array, ...]


class MobileNet(NamedTuple):
  """Layers of MobileNetV1 without the classifier.

  Attributes:
    weights: of convolutions `f32[O, H, W, I]`, of depthwise ones
      `f32[1, H, W, C]`.
    biases: `f32[O]` each.
    depthwise: which layers are.
    strides: of each layer.
    size: pixels of a side that it reads.
  """

  weights: tuple[jax.Array, ...]
  biases: tuple[jax.Array, ...]
  depthwise: tuple[bool, ...]
  strides: tuple[int, ...]
  size: int


def pixels(x: np.ndarray) -> np.ndarray:
  """Stretches the images of a data set to 0 to 255.

  Args:
    x: `[n, H, W, C]`, of any range; a constant data set becomes 0.

  Returns:
    `f32[n, H, W, C]`.
  """
  x = np.asarray(x, np.float32)
  low, high = x.min(), x.max()
  return (x - low) * np.float32(255 / (high - low) if high > low else 0)


def extract(
  extractor: Extractor, x: np.ndarray, *, batch_size: int = 256
) -> np.ndarray:
  """Features of many images, some at a time.

  Args:
    extractor: makes them.
    x: `f32[n, H, W, C]` of 0 to 255, see `pixels`.
    batch_size: images at a time; the last ones are filled up, so that one
      program serves all.

  Returns:
    `f32[n, F]`.
  """
  apply = jax.jit(extractor.apply)
  size = min(batch_size, len(x))
  parts = []
  for start in range(0, len(x), size):
    batch = np.asarray(x[start : start + size], np.float32)
    found = apply(np.resize(batch, (size, *batch.shape[1:])))
    parts.append(np.asarray(found)[: len(batch)])
  return np.concatenate(parts)


def small(model: Small, x: jax.Array) -> jax.Array:
  """Means of the maps behind every layer, `f32[n, sum of widths]`.

  Args:
    model: the network.
    x: `f32[n, H, W, C]` of 0 to 255.
  """
  x = as_input(x, SMALL_SIZE)
  found = []
  for weight, bias in zip(*model, strict=True):
    x = jax.nn.relu(
      layers.convolve(x, weight, stride=2) + bias[None, None, None]
    )
    found.append(jnp.mean(x, axis=(1, 2)))
  return jnp.concatenate(found, axis=-1)


def mobilenet(model: MobileNet, x: jax.Array) -> jax.Array:
  """Means of the last maps, `f32[n, F]`.

  Convolutions have TensorFlow's SAME padding, and a rectifier up to 6 behind
  them.

  Args:
    model: the network.
    x: `f32[n, H, W, C]` of 0 to 255.
  """
  x = as_input(x, model.size)
  for weight, bias, depthwise, stride in zip(*model[:4], strict=True):
    # HWIO: a depthwise kernel has one input, and the channels as outputs.
    kernel = weight.transpose((1, 2, 0, 3) if depthwise else (1, 2, 3, 0))
    x = jax.lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=x.shape[-1] if depthwise else 1,
    )
    x = jnp.clip(x + bias[None, None, None], 0, 6)
  return jnp.mean(x, axis=(1, 2))


def as_input(x: jax.Array, size: int) -> jax.Array:
  """Images as a network reads them: three channels, square, about -1 to 1.

  Args:
    x: `[B, H, W, C]`, raw pixels from 0 to 255. One channel becomes three; a
      fourth is left out.
    size: rows and columns of the result, `f32[B, size, size, 3]`.
  """
  x = jnp.asarray(x)[..., :NUM_CHANNELS]
  if x.shape[-1] == 1:
    x = jnp.repeat(x, NUM_CHANNELS, axis=-1)
  shape = (x.shape[0], size, size, NUM_CHANNELS)
  return (jax.image.resize(x, shape, "linear") - 128) / 128


def find(name: str | os.PathLike[str] | None = None) -> Extractor:
  """Loads an extractor.

  Args:
    name: a file of `save_small` or of MobileNetV1's weights (see
      `load_mobilenet`); `small` or None for the shipped one.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  if name is None or os.fspath(name) == SMALL:
    entry = resources.files("nagjax.candidates").joinpath("data/extractor.npz")
    with resources.as_file(entry) as path:
      return load_small(path)
  path = files.expand(name)
  if "types" in files.array_names(path):
    model, _, _ = load_mobilenet(path)
    return Extractor(
      path.stem, model.weights[-1].shape[0], lambda x: mobilenet(model, x)
    )
  return load_small(path)


def save_small(
  path: str | os.PathLike[str],
  model: Small,
  name: str,
  sources: tuple[dict[str, str], ...],
  notes: dict[str, object],
) -> None:
  """Writes a network of our own in 16 bits.

  Args:
    path: the file.
    model: the network.
    name: by which a predictor remembers it.
    sources: what it has learned from, `name` and `sha256` each.
    notes: what else is known, as JSON.

  Raises:
    OSError: if it cannot be written.
  """
  arrays = {}
  for number, (weight, bias) in enumerate(zip(*model, strict=True)):
    arrays[f"weight_{number}"] = np.asarray(weight, np.float16)
    arrays[f"bias_{number}"] = np.asarray(bias, np.float16)
  header = {"kind": KIND, "name": name, "sources": list(sources)}
  files.write_record(path, arrays, {**header, "notes": notes}, compress=True)


def load_small(path: str | os.PathLike[str]) -> Extractor:
  """Reads what `save_small` wrote.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  declared = {
    "weight_*": Declared("f", (9, None, None)),
    "bias_*": Declared("f", (None,)),
  }
  arrays, header = files.read_record(
    path, declared, kind=KIND, max_bytes=_MAX_BYTES
  )
  with files.reading(files.expand(path), KIND):
    model = Small(
      *(
        tuple(
          jnp.asarray(arrays[f"{part}_{number}"], jnp.float32)
          for number in range(len(arrays) // 2)
        )
        for part in ("weight", "bias")
      )
    )
    inputs = NUM_CHANNELS
    for weight, bias in zip(*model, strict=True):
      if weight.shape[1] != inputs or bias.shape != weight.shape[2:]:
        raise ValueError("its layers do not fit each other")
      inputs = weight.shape[2]
    if not model.weights or not _finite(model):
      raise ValueError("it has no layers, or weights that are not finite")
    widths = [weight.shape[2] for weight in model.weights]
    return Extractor(
      name=str(header["name"]),
      num_features=sum(widths),
      apply=lambda x: small(model, x),
      sources=tuple(
        {"name": str(s["name"]), "sha256": str(s["sha256"])}
        for s in header["sources"]
      ),
    )


def load_mobilenet(
  path: str | os.PathLike[str],
) -> tuple[MobileNet, jax.Array, jax.Array]:
  """Reads MobileNetV1: `lNN_w` (uint8), `lNN_wq`, `lNN_b`, `types`, `strides`.

  A weight is `scale (w - zero)`, `lNN_wq = [scale, zero]`; `types` has C for
  convolutions and D for depthwise ones; the last layer is the classifier.

  Returns:
    The network, and the classifier, `f32[F, classes]` and `f32[classes]`.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  declared = {
    "types": Declared("S", ("n",)),
    "strides": Declared("iu", ("n",)),
    "l*_w": Declared("u", (None,) * 4),
    "l*_wq": Declared("f", (2,)),
    "l*_b": Declared("f", (None,)),
  }
  arrays, _ = files.read_record(path, declared, max_bytes=_MAX_BYTES)
  path = files.expand(path)
  with files.reading(path, "file of MobileNetV1"):
    weights, biases = [], []
    for number in range(len(arrays["types"])):
      scale, zero = arrays[f"l{number:02d}_wq"]
      weight = arrays[f"l{number:02d}_w"].astype(np.float32) - zero
      weights.append(jnp.asarray(scale * weight))
      biases.append(jnp.asarray(arrays[f"l{number:02d}_b"], jnp.float32))
    channels = weights[0].shape[0]
    model = MobileNet(
      weights=tuple(weights[:-1]),
      biases=tuple(biases[:-1]),
      depthwise=tuple(kind == b"D" for kind in arrays["types"][:-1]),
      strides=tuple(int(s) for s in arrays["strides"][:-1]),
      size=_MOBILENET_SIZES.get(channels, 128),
    )
    inputs = NUM_CHANNELS
    for weight, depthwise in zip(model.weights, model.depthwise, strict=True):
      if weight.shape[3] != inputs or (depthwise and weight.shape[0] != 1):
        raise ValueError("its layers do not fit each other")
      inputs = inputs if depthwise else weight.shape[0]
    if not _finite((weights, biases)):
      raise ValueError("some of its weights are not finite")
    return model, weights[-1][:, 0, 0].T, biases[-1]


def _finite(tree: object) -> bool:
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
