"""Weights of the networks that NAS-Bench-201 cells describe, and their costs.

An edge has one weight `[9, C, C]` for both of its convolutions; the 1x1
convolution uses the center tap.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.candidates import layers
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import NormParams
from nagjax.spaces import nasbench201
from nagjax.types import Archs
from nagjax.types import Key

CONV_1X1 = nasbench201.OPERATIONS.index("nor_conv_1x1")
CONV_3X3 = nasbench201.OPERATIONS.index("nor_conv_3x3")
NUM_STAGES = 3
NUM_TAPS = 9


@dataclasses.dataclass(frozen=True)
class Config:
  """The network around the cell; the defaults are NAS-Bench-201's.

  Attributes:
    image_shape: `(height, width, channels)`.
    num_classes: outputs.
    num_channels: `C`, width of the first stage.
    num_cells: `N`, cells of a stage.
  """

  image_shape: tuple[int, int, int] = (32, 32, 3)
  num_classes: int = 10
  num_channels: int = 16
  num_cells: int = 5

  def __post_init__(self) -> None:
    shape = self.image_shape
    if len(shape) != 3 or min(shape) < 1:
      raise ValueError(
        f"image_shape must be (height, width, channels), got {shape}."
      )
    if self.num_classes < 2 or min(self.num_channels, self.num_cells) < 1:
      raise ValueError(
        "num_classes must be at least 2, num_channels and num_cells at least "
        f"1; got {self.num_classes}, {self.num_channels}, {self.num_cells}."
      )

  @property
  def widths(self) -> tuple[int, ...]:
    """Channels of each stage."""
    return tuple(self.num_channels * 2**s for s in range(NUM_STAGES))

  @property
  def num_pixels(self) -> tuple[int, ...]:
    """Pixels of the feature maps of each stage."""
    height, width = self.image_shape[:2]
    return tuple(
      math.ceil(height / 2**s) * math.ceil(width / 2**s)
      for s in range(NUM_STAGES)
    )


class Layer(NamedTuple):
  """A convolution and the normalization after it.

  Attributes:
    weight: `f32[..., 9, C_in, C_out]`.
    norm: scale and shift `f32[..., C_out]`.
  """

  weight: jax.Array
  norm: NormParams


class Reduction(NamedTuple):
  """A residual block of stride two.

  Attributes:
    first: `C_in` to `C_out` channels, of stride two.
    second: `C_out` to `C_out`.
    shortcut: `f32[C_in, C_out]`, a 1x1 convolution of the halved input.
  """

  first: Layer
  second: Layer
  shortcut: jax.Array


class Params(NamedTuple):
  """Weights of the network.

  Attributes:
    stem: the first convolution.
    cells: for each stage the edges of its cells, leading axes `[N, 6]`.
    reductions: the two residual blocks.
    last_norm: normalization before the classifier.
    classifier: `f32[4 C, num_classes]`.
    bias: `f32[num_classes]`.
  """

  stem: Layer
  cells: tuple[Layer, ...]
  reductions: tuple[Reduction, ...]
  last_norm: NormParams
  classifier: jax.Array
  bias: jax.Array


class Statistics(NamedTuple):
  """Running statistics of every normalization of `Params`.

  Attributes:
    stem: `f32[C]`.
    cells: for each stage those of its edges, `f32[N, 6, width]`.
    reductions: of the first and the second layer of each block.
    last: of `last_norm`, `f32[4 C]`.
  """

  stem: Moments
  cells: tuple[Moments, ...]
  reductions: tuple[tuple[Moments, Moments], ...]
  last: Moments


class Model(NamedTuple):
  """A network.

  Attributes:
    params: what gradients change.
    statistics: what its normalizations use outside of training.
  """

  params: Params
  statistics: Statistics


def init(key: Key, arch: Archs, config: Config) -> Model:
  """Draws weights as PyTorch does by default: uniform, `1 / sqrt(fan_in)`.

  Networks of one key share their draws where they share operations. Weights
  that the cell does not use are 0.

  Args:
    key: random key, consumed.
    arch: `int32[6]`, one cell.
    config: the network around it.
  """
  stem_key, cell_key, reduction_key, head_key, bias_key = jax.random.split(
    key, 5
  )
  widths = config.widths
  stem, stem_moments = _init_layer(
    stem_key, (NUM_TAPS, config.image_shape[2], widths[0])
  )
  cells, cell_moments = [], []
  for stage, stage_key in enumerate(jax.random.split(cell_key, NUM_STAGES)):
    width = widths[stage]
    lead = (config.num_cells, nasbench201.NUM_EDGES)
    layer, moments = _init_layer(stage_key, (*lead, NUM_TAPS, width, width))
    taps = _tap_scale(arch)[None, :, :, None, None]
    cells.append(layer._replace(weight=layer.weight * taps))
    cell_moments.append(moments)
  reductions, reduction_moments = [], []
  for stage, block_key in enumerate(
    jax.random.split(reduction_key, NUM_STAGES - 1)
  ):
    first_key, second_key, shortcut_key = jax.random.split(block_key, 3)
    narrow, wide = widths[stage : stage + 2]
    first, first_moments = _init_layer(first_key, (NUM_TAPS, narrow, wide))
    second, second_moments = _init_layer(second_key, (NUM_TAPS, wide, wide))
    shortcut = _uniform(shortcut_key, (narrow, wide), narrow)
    reductions.append(Reduction(first, second, shortcut))
    reduction_moments.append((first_moments, second_moments))
  last_norm, last_moments = layers.init_norm((widths[-1],))
  params = Params(
    stem=stem,
    cells=tuple(cells),
    reductions=tuple(reductions),
    last_norm=last_norm,
    classifier=_uniform(head_key, (widths[-1], config.num_classes), widths[-1]),
    bias=_uniform(bias_key, (config.num_classes,), widths[-1]),
  )
  statistics = Statistics(
    stem=stem_moments,
    cells=tuple(cell_moments),
    reductions=tuple(reduction_moments),
    last=last_moments,
  )
  return Model(params, statistics)


def num_params(archs: Archs, config: Config) -> jax.Array:
  """Trainable parameters of each network, `int32[..., 6] -> int32[...]`."""
  widths = config.widths
  fixed = config.image_shape[2] * NUM_TAPS * widths[0] + 2 * widths[0]
  for narrow, wide in zip(widths[:-1], widths[1:], strict=True):
    fixed += NUM_TAPS * (narrow + wide) * wide + 4 * wide + narrow * wide
  fixed += 2 * widths[-1] + (widths[-1] + 1) * config.num_classes
  per_tap = config.num_cells * sum(w * w for w in widths)
  per_norm = config.num_cells * sum(2 * w for w in widths)
  taps, convolutions = _num_taps(archs)
  return fixed + taps * per_tap + convolutions * per_norm


def num_macs(archs: Archs, config: Config) -> jax.Array:
  """Multiplications of one image, as the benchmark counts its FLOPs.

  Those of convolutions and of the classifier, and the latter's bias,
  `int32[..., 6] -> f32[...]`.
  """
  widths, pixels = config.widths, config.num_pixels
  fixed = config.image_shape[2] * NUM_TAPS * widths[0] * pixels[0]
  for stage in range(1, NUM_STAGES):
    narrow, wide = widths[stage - 1 : stage + 1]
    per_pixel = NUM_TAPS * (narrow + wide) * wide + narrow * wide
    fixed += per_pixel * pixels[stage]
  fixed += (widths[-1] + 1) * config.num_classes
  per_tap = config.num_cells * sum(
    w * w * p for w, p in zip(widths, pixels, strict=True)
  )
  return fixed + _num_taps(archs)[0].astype(jnp.float32) * per_tap


def _init_layer(key: Key, shape: tuple[int, ...]) -> tuple[Layer, Moments]:
  fan_in = shape[-3] * shape[-2]
  norm, moments = layers.init_norm((*shape[:-3], shape[-1]))
  return Layer(_uniform(key, shape, fan_in), norm), moments


def _uniform(key: Key, shape: tuple[int, ...], fan_in: int) -> jax.Array:
  bound = fan_in**-0.5
  return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def _tap_scale(arch: Archs) -> jax.Array:
  """What each tap's draw is multiplied by, `int32[6] -> f32[6, 9]`.

  The draws suit a fan-in of nine taps; a 1x1 convolution has one.
  """
  center = jnp.zeros(NUM_TAPS).at[layers.Center].set(NUM_TAPS**0.5)
  is_1x1 = (arch == CONV_1X1)[:, None]
  is_3x3 = (arch == CONV_3X3)[:, None]
  return jnp.where(is_3x3, 1.0, jnp.where(is_1x1, center[None], 0.0))


def _num_taps(archs: Archs) -> tuple[jax.Array, jax.Array]:
  """Weights per pair of channels, and convolutions, of a cell."""
  num_1x1 = jnp.sum(archs == CONV_1X1, axis=-1)
  num_3x3 = jnp.sum(archs == CONV_3X3, axis=-1)
  return num_1x1 + NUM_TAPS * num_3x3, num_1x1 + num_3x3
