"""Latency of once-for-all MobileNetV3 networks, as a sum over their layers.

`ofa_mbv3_latency.npz` of the data directory has measured networks:

  ks, e             `int[n, 20]` kernels and expansions, d `int[n, 5]` depths
  r                 `int[n]` resolution of the images
  <device>_<batch>_ms
                    `f32[n]` latency of a batch, milliseconds

A device's model is least squares: a number for every layer of every type, and
one more times the pixels of the image. Lee et al., "HELP", NeurIPS 2021,
https://arxiv.org/abs/2106.08630, measured them; the sum over layers is
once-for-all's own.
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.spaces import mobilenetv3
from nagjax.types import Archs

FILE = "ofa_mbv3_latency.npz"
RESOLUTIONS = (128, 224)
"""The least and the most that were measured."""
HELD_OUT_SHARE = 0.2
"""Of the networks, the last ones, by which the error is known."""


class Latency(NamedTuple):
  """The model of one device at one resolution.

  Attributes:
    fixed: `f32[]` ms of all that every network has.
    layers: `f32[20, 10]` ms of every layer of every type; 0 of none.
  """

  fixed: jax.Array
  layers: jax.Array

  def __call__(self, archs: Archs) -> jax.Array:
    """Milliseconds, `int32[..., 20] -> f32[...]`."""
    layer = np.arange(mobilenetv3.NUM_LAYERS)
    layer = layer.reshape((1,) * (archs.ndim - 1) + (-1,))
    return self.fixed + jnp.sum(self.layers[layer, archs], axis=-1)


class Fitted(NamedTuple):
  """Models of all devices, and how far off they are.

  Attributes:
    latencies: by column.
    errors: mean relative errors of held-out networks, by column.
  """

  latencies: dict[str, Latency]
  errors: dict[str, float]


def fit(
  resolution: int, *, directory: str | os.PathLike[str] | None = None
) -> Fitted:
  """Fits the models, on the networks that are not held out.

  Args:
    resolution: of the images, in pixels.
    directory: where the file is; see `base.data_directory`.

  Returns:
    No models if the file is absent, or has no networks of such images.

  Raises:
    FileError: if the file is damaged.
  """
  path = base.data_directory(directory) / FILE
  low, high = RESOLUTIONS
  if not path.is_file() or not low <= resolution <= high:
    return Fitted({}, {})
  names = [name for name in files.array_names(path) if name.endswith("_ms")]
  layers = (None, mobilenetv3.NUM_LAYERS)
  declared = {
    "ks": files.Declared("iu", layers),
    "e": files.Declared("iu", layers),
    "d": files.Declared("iu", (None, mobilenetv3.NUM_STAGES)),
    "r": files.Declared("iu", (None,)),
    **{name: files.Declared("f", (None,)) for name in names},
  }
  arrays = files.read_arrays(path, declared)
  with files.reading(path, "table of latencies"):
    if len({len(array) for array in arrays.values()}) != 1:
      raise ValueError("its columns are of different lengths")
    rows = zip(*(arrays[n].tolist() for n in ("d", "ks", "e")), strict=True)
    archs = np.stack(
      [mobilenetv3.from_ofa({"d": d, "ks": k, "e": e}) for d, k, e in rows]
    )
  # Pixels by those of the wanted images: at 1 the two halves are added.
  pixels = (arrays["r"].astype(float) / resolution) ** 2
  ones = np.eye(mobilenetv3.NONE + 1)[archs][..., : mobilenetv3.NONE]
  half = np.concatenate(
    [np.ones((len(archs), 1)), ones.reshape(len(archs), -1)], axis=1
  )
  inputs = np.concatenate([half, half * pixels[:, None]], axis=1)
  num = round((1 - HELD_OUT_SHARE) * len(archs))
  latencies, errors = {}, {}
  for name in names:
    measured = arrays[name].astype(float)
    weights = np.linalg.lstsq(inputs[:num], measured[:num], rcond=None)[0]
    off = inputs[num:] @ weights / measured[num:] - 1
    errors[name] = float(np.mean(np.abs(off)))
    both = weights.reshape(2, -1).sum(axis=0).astype(np.float32)
    table = both[1:].reshape(mobilenetv3.NUM_LAYERS, mobilenetv3.NONE)
    table = np.pad(table, ((0, 0), (0, 1)))
    latencies[name] = Latency(jnp.asarray(both[0]), jnp.asarray(table))
  return Fitted(latencies, errors)
