"""Weights of the networks that DARTS cells describe, and their costs.

An edge has room for the weights of every operation: two depthwise kernels of
5x5 taps, the products that follow them, and two normalizations. Smaller kernels
use the taps around the center; weights that an operation does not use are 0.
"""

from collections.abc import Callable
import dataclasses
import enum
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import layers
from nagjax.candidates.layers import NormParams
from nagjax.spaces import darts
from nagjax.types import Archs
from nagjax.types import Key

NUM_STAGES = 3
NUM_NODES = 4
"""Nodes whose outputs a cell concatenates."""
NUM_EDGES = 2 * NUM_NODES
KERNEL = 5
"""Rows of a stored kernel."""

SKIP = darts.OPERATIONS.index("skip_connect")
SEPARABLE = {"sep_conv_3x3": 3, "sep_conv_5x5": 5}
"""Size of the kernels of operations with two depthwise convolutions."""
DILATED = {"dil_conv_3x3": 3, "dil_conv_5x5": 5}
"""The same with one, which skips every other pixel."""


def _depthwise_scale() -> np.ndarray:
  shape = len(darts.OPERATIONS), 2, KERNEL, KERNEL
  scale = np.zeros(shape, np.float32)
  for kinds, times in ((SEPARABLE, 2), (DILATED, 1)):
    for name, size in kinds.items():
      op, margin = darts.OPERATIONS.index(name), (KERNEL - size) // 2
      inside = slice(margin, KERNEL - margin)
      scale[op, :times, inside, inside] = 1 / size
  return scale.reshape(*shape[:2], -1)


DEPTHWISE_SCALE = _depthwise_scale()
"""`1 / sqrt(fan_in)` of `Edge.depthwise`, 0 if unused, `f32[7, 2, 25]`."""

_AUXILIARY_WIDTHS = (128, 768)
_LARGEST_INT = 2**31 - 1


class Stem(enum.Enum):
  """What comes before the cells.

  `CIFAR` is one convolution to `3 C` channels. `IMAGENET` is three of stride
  two to `C` channels; the first cell reads the second and the third. With
  `NONE` the first cell reads the image.
  """

  CIFAR = "cifar"
  IMAGENET = "imagenet"
  NONE = "none"


@dataclasses.dataclass(frozen=True)
class Config:
  """The network around the cells; the defaults are those of DARTS on CIFAR-10.

  Attributes:
    image_shape: `(height, width, channels)`.
    num_classes: outputs.
    num_channels: `C`, width of the nodes of the first cell.
    num_layers: `L`, cells. Numbers `L // 3` and `2 L // 3`, from 0, are
      reductions, which double the width and halve the rows and columns.
    stem: what comes before the cells.
  """

  image_shape: tuple[int, int, int] = (32, 32, 3)
  num_classes: int = 10
  num_channels: int = 36
  num_layers: int = 20
  stem: Stem = Stem.CIFAR

  def __post_init__(self) -> None:
    shape = self.image_shape
    if len(shape) != 3 or min(shape) < 1:
      raise ValueError(
        f"image_shape must be (height, width, channels), got {shape}."
      )
    if self.num_classes < 2 or self.num_channels < 1 or self.num_layers < 3:
      raise ValueError(
        "num_classes must be at least 2, num_channels at least 1 and "
        f"num_layers at least 3; got {self.num_classes}, {self.num_channels}, "
        f"{self.num_layers}."
      )
    if self.stem is Stem.IMAGENET and self.num_channels % 2:
      raise ValueError(
        "num_channels must be even before an ImageNet stem, got "
        f"{self.num_channels}."
      )
    if self.stem is Stem.NONE and shape[2] > NUM_NODES * self.num_channels:
      raise ValueError(
        f"Without a stem, images have at most {NUM_NODES} num_channels = "
        f"{NUM_NODES * self.num_channels} channels, got {shape[2]}."
      )

  @property
  def reductions(self) -> tuple[int, int]:
    """Numbers of the reduction cells."""
    return self.num_layers // 3, 2 * self.num_layers // 3

  @property
  def groups(self) -> tuple["Group", ...]:
    """All cells in the order of the network."""
    groups, start = [], 0
    for stage, end in enumerate((*self.reductions, self.num_layers)):
      if start < end:
        groups.append(Group(range(start, end), self.num_channels, stage, False))
      if end < self.num_layers:
        cell = range(end, end + 1)
        groups.append(Group(cell, self.num_channels, stage + 1, True))
      start = end + 1
    return tuple(groups)

  @property
  def sizes(self) -> tuple[tuple[int, int], ...]:
    """Rows and columns of the feature maps of each stage."""
    first = 8 if self.stem is Stem.IMAGENET else 1
    height, width = self.image_shape[:2]
    return tuple(
      (-(-height // (first * 2**s)), -(-width // (first * 2**s)))
      for s in range(NUM_STAGES)
    )

  @property
  def stem_widths(self) -> tuple[int, ...]:
    """Channels of the image and of the result of each convolution before."""
    width = self.num_channels
    after = {
      Stem.CIFAR: (3 * width,),
      Stem.IMAGENET: (width // 2, width, width),
      Stem.NONE: (),
    }
    return self.image_shape[2], *after[self.stem]


CIFAR10 = Config()
"""DARTS on CIFAR-10."""
NASBENCH301 = Config(num_channels=32, num_layers=8)
"""The networks that NAS-Bench-301 trained."""
IMAGENET = Config((224, 224, 3), 1000, 48, 14, Stem.IMAGENET)
"""DARTS on ImageNet."""


class Group(NamedTuple):
  """Consecutive cells of one kind.

  Attributes:
    numbers: their numbers in the network.
    num_channels: `C` of the network.
    stage: that of their results.
    reduces: whether they are reductions; these are alone.
  """

  numbers: range
  num_channels: int
  stage: int
  reduces: bool

  @property
  def width(self) -> int:
    """Channels of a node."""
    return self.num_channels * 2**self.stage

  @property
  def num_inputs(self) -> int:
    """Channels of both inputs, some of them padding."""
    return NUM_NODES * self.width // (2 if self.reduces else 1)


class Layer(NamedTuple):
  """A convolution and its normalization.

  Attributes:
    weight: `f32[..., taps, C_in, C_out]`.
    norm: scale and shift `f32[..., C_out]`.
  """

  weight: jax.Array
  norm: NormParams


class Edge(NamedTuple):
  """Two depthwise separable convolutions, the second for `sep_conv` only.

  An identity of stride two uses the first `pointwise` and `norm`.

  Attributes:
    depthwise: `f32[..., 2, 25, C]`.
    pointwise: `f32[..., 2, C, C]`.
    norm: scale and shift `f32[..., 2, C]`.
  """

  depthwise: jax.Array
  pointwise: jax.Array
  norm: NormParams


class Cell(NamedTuple):
  """Weights of one cell.

  Attributes:
    inputs: of the layers before nodes 0 and 1, `f32[..., 2, C_in, C]`, where
      `C_in` is `Group.num_inputs`.
    input_norm: scale and shift `f32[..., 2, C]`.
    edges: leading axes `[..., 8]`.
  """

  inputs: jax.Array
  input_norm: NormParams
  edges: Edge


class Params(NamedTuple):
  """Weights of the network.

  Attributes:
    stem: the convolutions before the cells.
    cells: the cells of each of `Config.groups`, with a leading axis.
    classifier: `f32[16 C, num_classes]`.
    bias: `f32[num_classes]`.
  """

  stem: tuple[Layer, ...]
  cells: tuple[Cell, ...]
  classifier: jax.Array
  bias: jax.Array


def init(key: Key, arch: Archs, config: Config) -> Params:
  """Draws weights as PyTorch does by default: uniform, `1 / sqrt(fan_in)`.

  Networks of one key share their draws where they share operations.

  Args:
    key: random key, consumed.
    arch: `int32[22]`, one architecture of `darts`.
    config: the network around the cells.
  """
  scales = _scales(arch, config)
  leaves, tree = jax.tree.flatten(scales)
  ends = np.cumsum([leaf.size for leaf in leaves])
  # One draw for all: many would take longest to compile.
  flat = jax.random.uniform(key, (ends[-1],), minval=-1.0, maxval=1.0)
  parts = zip(leaves, jnp.split(flat, ends[:-1]), strict=True)
  drawn = [scale * part.reshape(scale.shape) for scale, part in parts]
  stem, cells, classifier, bias = jax.tree.unflatten(tree, drawn)
  return Params(
    stem=tuple(Layer(weight, _init_norm(weight[0])) for weight in stem),
    cells=tuple(
      Cell(
        inputs,
        _init_norm(inputs),
        Edge(depthwise, pointwise, _init_norm(depthwise)),
      )
      for inputs, depthwise, pointwise in cells
    ),
    classifier=classifier,
    bias=bias,
  )


def decode(archs: Archs) -> tuple[jax.Array, jax.Array]:
  """Operations and sources of both cells, `int32[..., 22] -> [..., 2, 8]`."""
  cells = archs.reshape(*archs.shape[:-1], len(darts.CELLS), -1)
  ops, chosen = cells[..., :NUM_EDGES], cells[..., NUM_EDGES:]
  sources = [jnp.broadcast_to(jnp.arange(2), (*chosen.shape[:-1], 2))]
  for i, pairs in enumerate(list(darts.PAIRS.values())[1:]):
    sources.append(jnp.asarray(pairs)[chosen[..., i]])
  return ops, jnp.concatenate(sources, axis=-1)


def input_scale(config: Config, group: Group) -> np.ndarray:
  """`1 / sqrt(fan_in)` of `Cell.inputs`, `f32[N, 2, C_in, C]`; 0 is padding.

  An input of twice the size comes as two images of half its rows and columns,
  of which the first half of the channels reads one and the second the other.
  """
  shape = (len(group.numbers), 2, group.num_inputs, group.width)
  scale = np.zeros(shape, np.float32)
  half = group.width // 2
  for cell, number in zip(scale, group.numbers, strict=True):
    for weight, (channels, halved) in zip(
      cell, _inputs(config, number), strict=True
    ):
      if halved:
        weight[:channels, :half] = channels**-0.5
        weight[channels : 2 * channels, half:] = channels**-0.5
      else:
        weight[:channels] = channels**-0.5
  return scale


def num_params(
  archs: Archs, config: Config, *, auxiliary: bool = False
) -> jax.Array:
  """Trainable parameters of each network, `int32[..., 22] -> int32[...]`.

  Args:
    archs: architectures of `darts`.
    config: the network around the cells.
    auxiliary: whether to count the auxiliary classifier, which reads the second
      reduction during training; after an ImageNet stem it lacks its second
      normalization, as in DARTS.

  Raises:
    ValueError: if 32 bits are too few to count.
  """
  features = NUM_NODES * config.groups[-1].width
  fixed = (features + 1) * config.num_classes
  if auxiliary:
    first, second = _AUXILIARY_WIDTHS
    fixed += features * first + 2 * first + 4 * first * second
    fixed += 0 if config.stem is Stem.IMAGENET else 2 * second
    fixed += (second + 1) * config.num_classes
  return fixed + _count(
    archs, config, lambda weights, norms, _: weights + 2 * norms
  )


def num_macs(archs: Archs, config: Config) -> jax.Array:
  """Multiplications of one image, `int32[..., 22] -> int32[...]`.

  Those of convolutions and of the classifier, without the auxiliary one.

  Raises:
    ValueError: if 32 bits are too few to count.
  """
  features = NUM_NODES * config.groups[-1].width
  fixed = features * config.num_classes
  return fixed + _count(
    archs, config, lambda weights, _, pixels: weights * pixels
  )


def _count(
  archs: Archs, config: Config, cost_fn: Callable[[int, int, int], int]
) -> jax.Array:
  """Sums `cost_fn(weights, normalized channels, pixels)` over layers."""
  fixed, stem = 0, config.stem_widths
  rows, columns = config.image_shape[:2]
  for narrow, wide in itertools.pairwise(stem):
    if config.stem is Stem.IMAGENET:
      rows, columns = -(-rows // 2), -(-columns // 2)
    fixed += cost_fn(9 * narrow * wide, wide, rows * columns)
  # Of a kind of cell, by whether an operation reads an input of the cell.
  table = np.zeros((len(darts.CELLS), 2, len(darts.OPERATIONS)), np.int64)
  for group in config.groups:
    width = group.width
    pixels_in, pixels = (
      math.prod(config.sizes[stage])
      for stage in (group.stage - group.reduces, group.stage)
    )
    for number in group.numbers:
      for channels, _ in _inputs(config, number):
        fixed += cost_fn(channels * width, width, pixels_in)
      kind = table[int(group.reduces)]
      for op, name in enumerate(darts.OPERATIONS):
        size = {**SEPARABLE, **DILATED}.get(name, 0)
        times = 2 if name in SEPARABLE else 1
        if size:
          weights = size**2 * width + width**2
          kind[:, op] += times * cost_fn(weights, width, pixels)
      if group.reduces:
        kind[1, SKIP] += cost_fn(width**2, width, pixels)
  if fixed + NUM_EDGES * table.max(axis=(1, 2)).sum() > _LARGEST_INT:
    raise ValueError(f"32 bits are too few to count the networks of {config}.")
  ops, sources = decode(archs)
  reads_input = (sources < 2).astype(jnp.int32)
  kinds = np.arange(len(darts.CELLS))[:, None]
  costs = jnp.asarray(table, jnp.int32)[kinds, reads_input, ops]
  return fixed + jnp.sum(costs, axis=(-2, -1))


def _inputs(config: Config, number: int) -> list[tuple[int, bool]]:
  """Channels of both inputs of a cell, and whether they are halved in size."""
  stem = config.stem_widths
  is_imagenet = config.stem is Stem.IMAGENET
  channels = [stem[-2] if is_imagenet else stem[-1], stem[-1]]
  for group in config.groups:
    channels += [NUM_NODES * group.width] * len(group.numbers)
  halved = number - 1 in config.reductions or (number == 0 and is_imagenet)
  return [(channels[number], halved), (channels[number + 1], False)]


def _scales(
  arch: Archs, config: Config
) -> tuple[
  list[jax.Array],
  list[tuple[jax.Array, jax.Array, jax.Array]],
  jax.Array,
  jax.Array,
]:
  """`1 / sqrt(fan_in)` of every weight, 0 where it is not used.

  Returns:
    The convolutions of the stem; inputs, depthwise and pointwise weights of
    each group of cells; classifier and bias.
  """
  ops, sources = decode(arch)
  stem = [
    jnp.full((9, narrow, wide), (9 * narrow) ** -0.5)
    for narrow, wide in itertools.pairwise(config.stem_widths)
  ]
  cells = []
  for group in config.groups:
    width, lead = group.width, (len(group.numbers), NUM_EDGES, 2)
    op, strided = ops[int(group.reduces)], sources[1] < 2
    # An identity is a product only where it halves the size.
    is_product = (op == SKIP) & strided & group.reduces
    used = jnp.asarray(DEPTHWISE_SCALE[..., KERNEL**2 // 2] > 0)[op]
    used |= is_product[:, None] & jnp.asarray([True, False])[None]
    depthwise = jnp.asarray(DEPTHWISE_SCALE)[op][None, ..., None]
    pointwise = (width**-0.5 * used)[None, ..., None, None]
    cells.append(
      (
        jnp.asarray(input_scale(config, group)),
        jnp.broadcast_to(depthwise, (*lead, KERNEL**2, width)),
        jnp.broadcast_to(pointwise, (*lead, width, width)),
      )
    )
  features = NUM_NODES * config.groups[-1].width
  shape, bound = (features, config.num_classes), features**-0.5
  return stem, cells, jnp.full(shape, bound), jnp.full(shape[1:], bound)


def _init_norm(weight: jax.Array) -> NormParams:
  """The normalization after a weight, `f32[..., taps, C]`."""
  return layers.init_norm((*weight.shape[:-2], weight.shape[-1]))[0]
