"""Weights of the once-for-all MobileNetV3 network.

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR 2020, section 3.3, https://arxiv.org/abs/1908.09791

All networks of the space `mobilenetv3` share these weights: the first channels
of a layer, the first layers of a stage, and kernels of 5 and 3 that are the
centers of those of 7 and 5, times two matrices of the layer.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import layers
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import NormParams
from nagjax.spaces import mobilenetv3 as space_lib
from nagjax.spaces import mobilenetv3_counts as counts
from nagjax.types import Archs
from nagjax.types import Key

MAX_EXPANSION = space_lib.EXPANSIONS[-1]
MAX_KERNEL = space_lib.KERNELS[-1]
SQUEEZE = 4
"""Channels by those that squeeze-and-excitation has inside."""
NUM_LATER = space_lib.MAX_DEPTH - 1
"""Layers of a stage after the first one, which have one shape."""


@dataclasses.dataclass(frozen=True)
class Config:
  """The layers around the searched ones.

  Attributes:
    network: their kinds; image size, channels and classes too.
    width: factor of all numbers of channels.
  """

  network: counts.Network = counts.NETWORKS["small32"]
  width: float = 1.0

  def __post_init__(self) -> None:
    if not 0 < self.width <= 4:
      raise ValueError(f"width must be in (0, 4], got {self.width}.")
    if min(self.network[1:]) < 1:
      raise ValueError(f"sizes must be positive, got {self.network[1:]}.")

  def channels(self, number: float) -> int:
    """A number of channels at this width."""
    return counts.make_divisible(self.width * number)

  @property
  def places(self) -> tuple["Place", ...]:
    """What every stage looks like: its first layer, then its later ones."""
    inputs = self.channels(self.network.first_channels)
    found = []
    for stage in self.network.stages:
      outputs = self.channels(stage.channels)
      found.append(Place(inputs, outputs, stage.stride, stage.squeezes))
      found.append(Place(outputs, outputs, 1, stage.squeezes))
      inputs = outputs
    return tuple(found)

  @property
  def num_features(self) -> int:
    """Channels before the classifier, which never get fewer."""
    width = max(self.width, 1.0)
    return counts.make_divisible(width * self.network.num_features)


class Place(NamedTuple):
  """Where a layer is.

  Attributes:
    inputs, outputs: channels.
    stride: of its depthwise convolution.
    squeezes: whether it has squeeze-and-excitation.
  """

  inputs: int
  outputs: int
  stride: int
  squeezes: bool

  @property
  def middles(self) -> tuple[int, ...]:
    """Channels inside, by the options of the expansion."""
    return tuple(
      counts.make_divisible(self.inputs * e) for e in space_lib.EXPANSIONS
    )

  @property
  def squeezed(self) -> tuple[int, ...]:
    """Channels inside squeeze-and-excitation, likewise."""
    return tuple(counts.make_divisible(m // SQUEEZE) for m in self.middles)

  @property
  def is_residual(self) -> bool:
    """Whether the input is added to the output."""
    return self.stride == 1 and self.inputs == self.outputs


class Conv(NamedTuple):
  """A convolution and its normalization.

  Attributes:
    weight: `f32[..., C_in, C_out]`; of a depthwise one `f32[..., taps, C_out]`.
    norm: scale and shift `f32[..., C_out]`.
  """

  weight: jax.Array
  norm: NormParams


class Squeeze(NamedTuple):
  """Squeeze-and-excitation of `M` channels, with `q` inside.

  Attributes:
    reduce, reduce_bias: `[M, q]` and `[q]`.
    expand, expand_bias: `[q, M]` and `[M]`.
  """

  reduce: jax.Array
  reduce_bias: jax.Array
  expand: jax.Array
  expand_bias: jax.Array


class Block(NamedTuple):
  """An elastic layer; those of one stage after its first are stacked.

  Attributes:
    expand: `[C_in, M]`.
    depthwise: `[49, M]`.
    to_5, to_3: `[25, 25]` and `[9, 9]`, see `mobilenet.elastic_kernel`.
    squeeze: None where there is none.
    project: `[M, C_out]`.
  """

  expand: Conv
  depthwise: Conv
  to_5: jax.Array
  to_3: jax.Array
  squeeze: Squeeze | None
  project: Conv


class Params(NamedTuple):
  """Weights of the super-network.

  Attributes:
    stem: `[9, channels, C]`.
    first: depthwise `[9, C]` and `[C, C]`.
    blocks: for each stage its first layer, and its three later ones stacked.
    final: `[C, F]`.
    mix: `[F, features]`.
    classifier: `[features, num_classes]`.
    bias: `[num_classes]`.
  """

  stem: Conv
  first: tuple[Conv, Conv]
  blocks: tuple[Block, ...]
  final: Conv
  mix: jax.Array
  classifier: jax.Array
  bias: jax.Array


class BlockMoments(NamedTuple):
  """Running statistics of a block.

  Attributes:
    expand, depthwise: `[M]`.
    project: `[C_out]`.
  """

  expand: Moments
  depthwise: Moments
  project: Moments


class Statistics(NamedTuple):
  """Running statistics of every normalization of `Params`.

  Attributes:
    stem: `[C]`.
    first: `[C]` of both.
    blocks: as `Params.blocks`.
    final: `[F]`.
  """

  stem: Moments
  first: tuple[Moments, Moments]
  blocks: tuple[BlockMoments, ...]
  final: Moments


class Model(NamedTuple):
  """The super-network.

  Attributes:
    params: what gradients change.
    statistics: of all normalizations; `elastic.calibrated` makes those of a
      sub-network.
  """

  params: Params
  statistics: Statistics


def init(key: Key, config: Config) -> Model:
  """Draws weights as the program does: He's rule by the outputs.

  Normal, of variance 2 over outputs times taps; biases 0; the classifier
  uniform in one over the root of its inputs; the matrices of the kernels are
  identities.

  Args:
    key: random key, consumed.
    config: the layers around.
  """
  convolutions_key, classifier_key = jax.random.split(key)
  counted = _Normals(None)
  jax.eval_shape(lambda: _params(counted, jnp.zeros(()), config))
  draws = jax.random.normal(convolutions_key, (counted.num,))
  uniform = jax.random.uniform(
    classifier_key,
    (config.num_features, config.network.num_classes),
    minval=-1.0,
  )
  params = _params(_Normals(draws), uniform, config)
  return Model(params, init_statistics(params))


def init_statistics(params: Params) -> Statistics:
  """Means 0 and variances 1."""

  def moments(conv: Conv) -> Moments:
    return layers.init_norm(conv.norm.scale.shape)[1]

  return Statistics(
    stem=moments(params.stem),
    first=(moments(params.first[0]), moments(params.first[1])),
    blocks=tuple(
      BlockMoments(
        moments(block.expand), moments(block.depthwise), moments(block.project)
      )
      for block in params.blocks
    ),
    final=moments(params.final),
  )


def sort_channels(model: Model, config: Config, stage: int) -> Model:
  """Puts the channels inside every layer in order, the most important first.

  As the program does it before the expansions get smaller: a channel weighs as
  much as its outgoing weights; those that a smaller expansion lacked already
  (`stage` 1: the ones between 4 and 6) stay behind. Networks of the largest
  expansion stay the same functions.

  Differs from the program: it subtracts 2e5 from what stays behind, which
  rounds those weights to 1/64; the order here is exact.

  Args:
    model: weights and running statistics.
    config: the layers around.
    stage: 0 before the first of these phases, 1 before the second.
  """
  blocks, moments = [], []
  for number, place in enumerate(config.places):
    sort = functools.partial(_sorted_block, place=place, stage=stage)
    if number % 2:
      sort = jax.vmap(sort)
    block, old = sort(
      model.params.blocks[number], model.statistics.blocks[number]
    )
    blocks.append(block)
    moments.append(old)
  return Model(
    model.params._replace(blocks=tuple(blocks)),
    model.statistics._replace(blocks=tuple(moments)),
  )


def num_params(archs: Archs, config: Config) -> jax.Array:
  """Parameters of each network alone, `int32[..., 20] -> int32[...]`."""
  return _sum(archs, config, 0)


def num_macs(archs: Archs, config: Config) -> jax.Array:
  """Multiply-adds of each for one image, `int32[..., 20] -> int32[...]`."""
  return _sum(archs, config, 1)


def _sum(archs: Archs, config: Config, column: int) -> jax.Array:
  found = counts.tables(width=config.width, network=config.network)
  table = jnp.asarray(found.layers[..., column], jnp.int32)
  layer = np.arange(archs.shape[-1]).reshape((1,) * (archs.ndim - 1) + (-1,))
  total = jnp.sum(table[layer, archs], axis=-1, dtype=jnp.int32)
  return total + jnp.int32(found.fixed[column])


class _Normals:
  """Slices of one long normal draw: many small ones take long to compile."""

  def __init__(self, draws: jax.Array | None):
    self._draws = draws
    self.num = 0

  def take(self, shape: tuple[int, ...], taps: int = 1) -> jax.Array:
    """Weights of He's rule by the last axis."""
    start = self.num
    self.num += math.prod(shape)
    if self._draws is None:
      return jnp.zeros(shape)
    found = self._draws[start : self.num].reshape(shape)
    return found * (2 / (taps * shape[-1])) ** 0.5

  def conv(
    self, shape: tuple[int, ...], lead: tuple[int, ...] = (), taps: int = 1
  ) -> Conv:
    """A convolution and its normalization."""
    norm, _ = layers.init_norm((*lead, shape[-1]))
    return Conv(self.take((*lead, *shape), taps), norm)


def _params(normals: _Normals, uniform: jax.Array, config: Config) -> Params:
  """Weights of draws; those of the classifier are uniform in -1 to 1."""
  network = config.network
  channels = config.channels(network.first_channels)
  final = config.channels(network.final_channels)
  return Params(
    stem=normals.conv((9, network.channels, channels), taps=9),
    first=(
      normals.conv((9, channels), taps=9),
      normals.conv((channels, channels)),
    ),
    blocks=tuple(
      _block(normals, place, (NUM_LATER,) if number % 2 else ())
      for number, place in enumerate(config.places)
    ),
    final=normals.conv((config.places[-1].outputs, final)),
    mix=normals.take((final, config.num_features)),
    classifier=uniform * config.num_features**-0.5,
    bias=jnp.zeros(network.num_classes),
  )


def _block(normals: _Normals, place: Place, lead: tuple[int, ...]) -> Block:
  middle, squeezed = place.middles[-1], place.squeezed[-1]
  squeeze = None
  if place.squeezes:
    squeeze = Squeeze(
      normals.take((*lead, middle, squeezed)),
      jnp.zeros((*lead, squeezed)),
      normals.take((*lead, squeezed, middle)),
      jnp.zeros((*lead, middle)),
    )
  taps = MAX_KERNEL**2
  return Block(
    expand=normals.conv((place.inputs, middle), lead),
    depthwise=normals.conv((taps, middle), lead, taps),
    to_5=_identities(25, lead),
    to_3=_identities(9, lead),
    squeeze=squeeze,
    project=normals.conv((middle, place.outputs), lead),
  )


def _sorted_block(
  block: Block, old: BlockMoments, *, place: Place, stage: int
) -> tuple[Block, BlockMoments]:
  weight = jnp.sum(jnp.abs(block.project.weight), axis=1)
  is_late = np.arange(place.middles[-1]) >= place.middles[-2]
  order = jnp.lexsort((-weight, jnp.asarray(is_late & (stage == 1))))

  def at(conv: Conv) -> Conv:
    return jax.tree.map(lambda leaf: leaf[..., order], conv)

  squeeze = block.squeeze
  if squeeze is not None:
    reduce, expand = squeeze.reduce[order], squeeze.expand[:, order]
    inside = jnp.argsort(-jnp.sum(jnp.abs(expand), axis=1), stable=True)
    squeeze = Squeeze(
      reduce[:, inside],
      squeeze.reduce_bias[inside],
      expand[inside],
      squeeze.expand_bias[order],
    )
  project = block.project
  block = block._replace(
    expand=at(block.expand),
    depthwise=at(block.depthwise),
    squeeze=squeeze,
    project=project._replace(weight=project.weight[order]),
  )
  seen = (old.expand, old.depthwise)
  expand_old, depthwise_old = jax.tree.map(lambda leaf: leaf[order], seen)
  return block, BlockMoments(expand_old, depthwise_old, old.project)


def _identities(size: int, lead: tuple[int, ...]) -> jax.Array:
  return jnp.broadcast_to(jnp.eye(size), (*lead, size, size))
