"""The network that a NAS-Bench-201 cell describes, as a trainable model.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", ICLR 2020, https://arxiv.org/abs/2001.00326, section 2.1:
a 3x3 convolution, three stages of cells at the widths C, 2 C and 4 C with a
residual block of stride two before the second and the third, average pooling
and a linear classifier.

The operations of the cell are data: one compiled program serves all 15,625
cells. An edge has one weight `[9, C, C]` for both of its convolutions; the 1x1
convolution uses the centre tap.
"""

import dataclasses
import functools
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.candidates import layers
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import Norm
from nagjax.candidates.layers import NormParams
from nagjax.spaces import nasbench201
from nagjax.types import Archs
from nagjax.types import Key

CONV_1X1 = nasbench201.OPERATIONS.index("nor_conv_1x1")
CONV_3X3 = nasbench201.OPERATIONS.index("nor_conv_3x3")
NUM_STAGES = 3
NUM_TAPS = 9
_EDGES = tuple(zip(nasbench201.SOURCES, nasbench201.TARGETS, strict=True))


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

  def __post_init__(self):
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
  """A convolution and the normalisation after it.

  Attributes:
    weight: `f32[..., 9, C_in, C_out]`.
    norm: scale and shift `f32[..., C_out]`.
  """

  weight: jax.Array
  norm: NormParams


class Reduction(NamedTuple):
  """A residual block of stride two; the shortcut is `f32[C_in, C_out]`."""

  first: Layer
  second: Layer
  shortcut: jax.Array


class Params(NamedTuple):
  """Weights of the network.

  Attributes:
    stem: the first convolution.
    cells: for each stage the edges of its cells, leading axes `[N, 6]`.
    reductions: the two residual blocks.
    last_norm: normalisation before the classifier.
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
  """Running statistics of every normalisation of `Params`."""

  stem: Moments
  cells: tuple[Moments, ...]
  reductions: tuple[tuple[Moments, Moments], ...]
  last: Moments


class Model(NamedTuple):
  """A network's weights and running statistics."""

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


def apply(
  model: Model, arch: Archs, images: jax.Array, *, norm: Norm = Norm.RUNNING
) -> tuple[jax.Array, Statistics]:
  """Classifies images.

  Args:
    model: weights and running statistics.
    arch: `int32[6]`, one cell.
    images: `f32[B, H, W, C]`, normalised.
    norm: `RUNNING` to predict, `BATCH` to train.

  Returns:
    Logits `f32[B, num_classes]`, and the running statistics (updated by
    `BATCH`).
  """
  result = forward(model, arch, images, norm=norm)
  return result.logits, result.statistics


class Relu(NamedTuple):
  """Inputs of rectifiers, `f32[..., B, H, W, C]`, and which of them exist.

  A cell has one for each edge; `exists` (`bool[...]`) marks convolutions.
  """

  inputs: jax.Array
  exists: jax.Array


class Outputs(NamedTuple):
  """One array for each convolution: its result, or what is added to it.

  Attributes:
    stem: `f32[B, H, W, C]`.
    cells: for each stage `f32[N, 6, B, H, W, C]`; 0 where an edge has none.
    reductions: first and second convolution and shortcut of each block.
  """

  stem: jax.Array
  cells: tuple[jax.Array, ...]
  reductions: tuple[tuple[jax.Array, jax.Array, jax.Array], ...]


class Forward(NamedTuple):
  """What a network computes on the way; what is not used costs nothing.

  Attributes:
    logits: `f32[B, num_classes]`.
    statistics: running statistics.
    relus: every rectifier in the order of the network.
    outputs: results of the convolutions, if probes were given.
    log_scale: `f32[]`; without normalisation the true logits, which may exceed
      the range of floats, are `logits * exp(log_scale)`. Gradients likewise.
  """

  logits: jax.Array
  statistics: Statistics
  relus: tuple[Relu, ...]
  outputs: Outputs | None
  log_scale: jax.Array


def forward(
  model: Model,
  arch: Archs,
  images: jax.Array,
  *,
  norm: Norm,
  probes: Outputs | None = None,
) -> Forward:
  """`apply` with its intermediate results, for training-free scores.

  Args:
    model: weights and running statistics.
    arch: `int32[6]`, one cell.
    images: `f32[B, H, W, C]`.
    norm: which statistics normalise.
    probes: added to the results of the convolutions, see `init_probes`; the
      gradient by them is the one by those results.
  """
  params, old = model
  true, log_scale = jnp.ones((), bool), jnp.float32(0)
  stem_y = _probe(
    layers.convolve(images, params.stem.weight), probes and probes.stem
  )
  x, stem = layers.normalise(stem_y, params.stem.norm, old.stem, norm)
  relus, cell_moments, reduction_moments = [], [], []
  cell_ys, reduction_ys = [], []
  for stage in range(NUM_STAGES):
    if stage > 0:
      x, moments, ys, inputs = _reduce(
        x,
        params.reductions[stage - 1],
        old.reductions[stage - 1],
        norm,
        probes and probes.reductions[stage - 1],
      )
      reduction_moments.append(moments)
      reduction_ys.append(ys)
      relus += [Relu(i, true) for i in inputs]

    def one_cell(x, cell):
      layer, moments, cell_probes = cell
      x, rest = _cell(x, arch, layer, moments, norm, cell_probes)
      scale = _scale(x) if norm is Norm.NONE else jnp.ones(())
      return x / scale, (rest, jnp.log(scale))

    x, ((moments, relu, ys), log_scales) = jax.lax.scan(
      one_cell,
      x,
      (params.cells[stage], old.cells[stage], probes and probes.cells[stage]),
    )
    cell_moments.append(moments)
    cell_ys.append(ys)
    relus.append(relu)
    log_scale += jnp.sum(log_scales)
  x, last = layers.normalise(x, params.last_norm, old.last, norm)
  relus.append(Relu(x, true))
  features = jnp.mean(jax.nn.relu(x), axis=(1, 2))
  return Forward(
    logits=features @ params.classifier + params.bias[None],
    statistics=Statistics(
      stem, tuple(cell_moments), tuple(reduction_moments), last
    ),
    relus=tuple(relus),
    outputs=probes and Outputs(stem_y, tuple(cell_ys), tuple(reduction_ys)),
    log_scale=log_scale,
  )


def init_probes(config: Config, batch_size: int) -> Outputs:
  """Zeros of the shapes that `forward` takes as probes."""
  height, width = config.image_shape[:2]
  maps = []
  for stage, channels in enumerate(config.widths):
    rows, columns = -(-height // 2**stage), -(-width // 2**stage)
    maps.append(jnp.zeros((batch_size, rows, columns, channels)))
  lead = (config.num_cells, nasbench201.NUM_EDGES)
  return Outputs(
    stem=maps[0],
    cells=tuple(jnp.zeros((*lead, *m.shape)) for m in maps),
    reductions=tuple((m, m, m) for m in maps[1:]),
  )


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


def _cell(
  x: jax.Array,
  arch: Archs,
  edges: Layer,
  moments: Moments,
  norm: Norm,
  probes: jax.Array | None,
) -> tuple[jax.Array, tuple[Moments, Relu, jax.Array | None]]:
  """One cell: node `j` is the sum of its edges from the nodes before it."""
  nodes: list[Any] = [x, 0.0, 0.0, 0.0]
  rest = []
  for edge, (source, target) in enumerate(_EDGES):
    layer, old = jax.tree.map(lambda leaf: leaf[edge], (edges, moments))
    probe = None if probes is None else probes[edge]
    x = nodes[source]
    y, new, result = _edge(x, arch[edge], layer, old, norm, probe)
    nodes[target] = nodes[target] + y
    is_convolution = (arch[edge] == CONV_1X1) | (arch[edge] == CONV_3X3)
    rest.append((new, Relu(x, is_convolution), result))
  return nodes[-1], jax.tree.map(lambda *leaves: jnp.stack(leaves), *rest)


def _edge(
  x: jax.Array,
  operation: jax.Array,
  layer: Layer,
  old: Moments,
  norm: Norm,
  probe: jax.Array | None,
) -> tuple[jax.Array, Moments, jax.Array | None]:
  """One of the five operations, in the order of `nasbench201.OPERATIONS`.

  Returns:
    The result, the running statistics, and what the convolution gave before
    its normalisation (0 for other operations, None without a probe).
  """
  nothing = None if probe is None else jnp.zeros_like(x)

  def convolution(x: jax.Array, num_taps: int):
    x = jax.nn.relu(x)
    if num_taps == 1:
      x = layers.convolve_1x1(x, layer.weight[layers.CENTRE])
    else:
      x = layers.convolve(x, layer.weight)
    result = None if probe is None else x
    x, new = layers.normalise(_probe(x, probe), layer.norm, old, norm)
    return x, new, result

  branches = (
    lambda x: (jnp.zeros_like(x), old, nothing),
    lambda x: (x, old, nothing),
    functools.partial(convolution, num_taps=1),
    functools.partial(convolution, num_taps=NUM_TAPS),
    lambda x: (layers.average_pool(x), old, nothing),
  )
  return jax.lax.switch(operation, branches, x)


def _reduce(
  x: jax.Array,
  block: Reduction,
  old: tuple[Moments, Moments],
  norm: Norm,
  probes: tuple[jax.Array, jax.Array, jax.Array] | None,
):
  """A residual block of stride two.

  Returns:
    The result, the running statistics, what the three convolutions gave, and
    the inputs of the two rectifiers.
  """
  first_probe, second_probe, shortcut_probe = probes or (None,) * 3
  first_y = layers.convolve(jax.nn.relu(x), block.first.weight, stride=2)
  y, first = layers.normalise(
    _probe(first_y, first_probe), block.first.norm, old[0], norm
  )
  second_y = layers.convolve(jax.nn.relu(y), block.second.weight)
  z, second = layers.normalise(
    _probe(second_y, second_probe), block.second.norm, old[1], norm
  )
  shortcut_y = layers.convolve_1x1(layers.halve(x), block.shortcut)
  return (
    _probe(shortcut_y, shortcut_probe) + z,
    (first, second),
    (first_y, second_y, shortcut_y),
    (x, y),
  )


def _probe(x: jax.Array, probe: jax.Array | None) -> jax.Array:
  return x if probe is None else x + probe


def _scale(x: jax.Array) -> jax.Array:
  """Size of activations, constant for derivatives; 1 if they are all 0."""
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
  return jnp.where(largest > 0, largest, 1.0)


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
  centre = jnp.zeros(NUM_TAPS).at[layers.CENTRE].set(NUM_TAPS**0.5)
  is_1x1 = (arch == CONV_1X1)[:, None]
  is_3x3 = (arch == CONV_3X3)[:, None]
  return jnp.where(is_3x3, 1.0, jnp.where(is_1x1, centre[None], 0.0))


def _num_taps(archs: Archs) -> tuple[jax.Array, jax.Array]:
  """Weights per pair of channels, and convolutions, of a cell."""
  num_1x1 = jnp.sum(archs == CONV_1X1, axis=-1)
  num_3x3 = jnp.sum(archs == CONV_3X3, axis=-1)
  return num_1x1 + NUM_TAPS * num_3x3, num_1x1 + num_3x3
