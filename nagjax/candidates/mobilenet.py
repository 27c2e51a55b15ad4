"""The once-for-all MobileNetV3 network, whose sub-network is an input.

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR 2020, section 3.3, https://arxiv.org/abs/1908.09791; layers of
Howard et al., "Searching for MobileNetV3", ICCV 2019,
https://arxiv.org/abs/1905.02244

Masks and selections make the network of an architecture out of the shared
weights, so one compiled program serves them all, at the price of the widest one
of the same depths.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import layers
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import Norm
from nagjax.candidates.mobilenet_weights import MAX_KERNEL
from nagjax.candidates.mobilenet_weights import Block as Block
from nagjax.candidates.mobilenet_weights import BlockMoments
from nagjax.candidates.mobilenet_weights import Config as Config
from nagjax.candidates.mobilenet_weights import Conv
from nagjax.candidates.mobilenet_weights import Model as Model
from nagjax.candidates.mobilenet_weights import Params as Params
from nagjax.candidates.mobilenet_weights import Place
from nagjax.candidates.mobilenet_weights import Squeeze
from nagjax.candidates.mobilenet_weights import Statistics as Statistics
from nagjax.candidates.mobilenet_weights import init as init
from nagjax.candidates.mobilenet_weights import num_macs as num_macs
from nagjax.candidates.mobilenet_weights import num_params as num_params
from nagjax.candidates.mobilenet_weights import sort_channels as sort_channels
from nagjax.spaces import mobilenetv3
from nagjax.types import Archs

_LARGEST_LOG_SCALE = 60.0
"""Beyond it every activation is where it has the slope of a line."""
_NUM_RELU_STAGES = 2
"""Stages whose activation is ReLU; that of the later ones is h-swish."""
_KERNEL, _EXPANSION = np.divmod(
  np.arange(mobilenetv3.NONE), len(mobilenetv3.EXPANSIONS)
)
"""Options of every type of layer."""


def apply(
  model: Model,
  arch: Archs,
  images: jax.Array,
  config: Config,
  *,
  norm: Norm = Norm.RUNNING,
) -> tuple[jax.Array, Statistics]:
  """Classifies images by one sub-network.

  Args:
    model: weights and running statistics.
    arch: `int32[20]`, an architecture of `mobilenetv3`; of a network of fewer
      stages, its first entries.
    images: `f32[B, H, W, channels]`, normalized, of any size.
    config: the layers around.
    norm: `RUNNING` to predict, `BATCH` to train.

  Returns:
    Logits `f32[B, num_classes]`, and the running statistics. `BATCH` updates
    those of the channels and layers that the sub-network has.
  """
  result = forward(model, arch, images, config, norm=norm)
  return result.logits, result.statistics


class Result(NamedTuple):
  """What `forward` returns.

  Attributes:
    logits: `f32[B, num_classes]`.
    statistics: see `apply`.
    log_scale: `f32[]`; without normalization the true logits, which may exceed
      the range of floats, are `logits * exp(log_scale)` but for the bias, which
      is left out. Else 0.
  """

  logits: jax.Array
  statistics: Statistics
  log_scale: jax.Array


def forward(
  model: Model, arch: Archs, images: jax.Array, config: Config, *, norm: Norm
) -> Result:
  """`apply`, also without normalization.

  Activations are then rescaled after every layer, and count the scale in where
  they bend.

  Args:
    model, arch, config: see `apply`.
    images: `f32[B, H, W, channels]`, of any size.
    norm: `NONE` is without normalization.
  """
  params, old = model
  log_scale = jnp.float32(0)
  x = layers.convolve(
    images, params.stem.weight, stride=config.network.first_stride
  )
  # The channels are first from here on; see `layers`.
  x = jnp.moveaxis(x, -1, 0)
  x, stem = layers.normalize(x, params.stem.norm, old.stem, norm, axis=0)
  x, log_scale = _rescaled(_hard_swish(x, log_scale, norm), log_scale, norm)
  x, first = _first_block(x, params.first, old.first, norm)
  x, log_scale = _rescaled(x, log_scale, norm)
  types = arch.reshape(-1, mobilenetv3.MAX_DEPTH)
  moments = []
  for number, place in enumerate(config.places):
    stage, is_later = divmod(number, 2)
    layer = _Layer(place, stage < _NUM_RELU_STAGES, norm)
    block, block_old = params.blocks[number], old.blocks[number]
    if is_later:
      xs = (block, block_old, types[stage, 1:])
      # On a CPU making a layer again is cheaper than keeping what is inside.
      run = jax.checkpoint(layer.from_inputs)
      (x, log_scale), new = jax.lax.scan(run, (x, log_scale), xs)
    else:
      x, log_scale, new = layer(x, log_scale, block, block_old, types[stage, 0])
    moments.append(new)
  x, final = _convolve_1x1(x, params.final, old.final, norm)
  x = jnp.mean(_hard_swish(x, log_scale, norm), axis=(2, 3)).T
  x, log_scale = _rescaled(x, log_scale, norm)
  x = _hard_swish(x @ params.mix, log_scale, norm)
  logits = x @ params.classifier
  if norm is not Norm.NONE:
    logits = logits + params.bias[None]
  statistics = Statistics(stem, first, tuple(moments), final)
  return Result(logits, statistics, log_scale)


def elastic_kernel(block: Block, kernel: jax.Array) -> jax.Array:
  """The depthwise weight of a kernel of 3, 5 or 7, among 7 x 7 taps.

  That of 5 is the center of that of 7, taken as a vector of 25 times `to_5`;
  that of 3 is the center of the result, times `to_3`. Zeros are around.

  Args:
    block: with `depthwise` `f32[49, M]`.
    kernel: `int32[]` position in `mobilenetv3.KERNELS`.

  Returns:
    `f32[49, M]`.
  """
  seven = block.depthwise.weight
  side = MAX_KERNEL
  square = seven.reshape(side, side, -1)
  five = block.to_5 @ square[1:-1, 1:-1].reshape(25, -1)
  square = five.reshape(5, 5, -1)
  three = block.to_3 @ square[1:-1, 1:-1].reshape(9, -1)

  def spread(weight: jax.Array, size: int) -> jax.Array:
    pad = ((side - size) // 2,) * 2
    padded = jnp.pad(weight.reshape(size, size, -1), (pad, pad, (0, 0)))
    return padded.reshape(seven.shape)

  return jax.lax.select_n(kernel, spread(three, 3), spread(five, 5), seven)


class _Layer(NamedTuple):
  """An elastic layer at some place."""

  place: Place
  is_relu: bool
  norm: Norm

  def from_inputs(
    self,
    carry: tuple[jax.Array, jax.Array],
    inputs: tuple[Block, BlockMoments, jax.Array],
  ) -> tuple[tuple[jax.Array, jax.Array], BlockMoments]:
    """The step of a scan; `NONE` returns `x` and the old moments.

    Layers that do not exist cost nothing, but where networks are batched.
    """
    x, log_scale = carry
    block, old, kind = inputs
    x, log_scale, new = jax.lax.cond(
      kind != mobilenetv3.NONE,
      lambda: self(x, log_scale, block, old, kind),
      lambda: (x, log_scale, old),
    )
    return (x, log_scale), new

  def __call__(
    self,
    x: jax.Array,
    log_scale: jax.Array,
    block: Block,
    old: BlockMoments,
    kind: jax.Array,
  ) -> tuple[jax.Array, jax.Array, BlockMoments]:
    """Applies one type of layer that exists."""
    place = self.place

    def act(x: jax.Array) -> jax.Array:
      if self.is_relu:
        return jax.nn.relu(x)
      return _hard_swish(x, log_scale, self.norm)

    kind = jnp.minimum(kind, mobilenetv3.NONE - 1)
    kernel, expansion = (
      jnp.asarray(_KERNEL)[kind],
      jnp.asarray(_EXPANSION)[kind],
    )
    active = _first(place.middles, expansion)
    y, expand = _convolve_1x1(x, block.expand, old.expand, self.norm)
    y = layers.depthwise(
      act(y), elastic_kernel(block, kernel.astype(jnp.int32)), place.stride
    )
    y, depthwise = layers.normalize(
      y, block.depthwise.norm, old.depthwise, self.norm, axis=0
    )
    exists = active[:, None, None, None]
    y = jnp.where(exists, act(y), jnp.zeros((), y.dtype))
    if block.squeeze is not None:
      inside = _first(place.squeezed, expansion)
      means = _true(jnp.mean(y, axis=(2, 3)), log_scale, self.norm)
      y = y * _excite(means.T, block.squeeze, inside).T[..., None, None]
    y, project = _convolve_1x1(y, block.project, old.project, self.norm)
    if place.is_residual:
      y = x + y
    new = BlockMoments(
      _kept(active, expand, old.expand),
      _kept(active, depthwise, old.depthwise),
      project,
    )
    return *_rescaled(y, log_scale, self.norm), new


def _first(sizes: tuple[int, ...], option: jax.Array) -> jax.Array:
  """Which of the largest number of channels an option has, `bool[C]`."""
  return (
    jnp.arange(sizes[-1], dtype=jnp.int32)
    < jnp.asarray(sizes, jnp.int32)[option]
  )


def _kept(active: jax.Array, new: Moments, old: Moments) -> Moments:
  """The new moments where there was something to see."""
  return jax.tree.map(lambda n, o: jnp.where(active, n, o), new, old)


def _true(x: jax.Array, log_scale: jax.Array, norm: Norm) -> jax.Array:
  """What `x` is without rescaling, as far as floats reach."""
  if norm is not Norm.NONE:
    return x
  return x * jnp.exp(jnp.minimum(log_scale, _LARGEST_LOG_SCALE))


def _rescaled(
  x: jax.Array, log_scale: jax.Array, norm: Norm
) -> tuple[jax.Array, jax.Array]:
  """Without normalization, `x` with the largest value 1, and its scale."""
  if norm is not Norm.NONE:
    return x, log_scale
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
  largest = jnp.where(largest > 0, largest, 1)
  return x / largest, log_scale + jnp.log(largest)


def _hard_swish(x: jax.Array, log_scale: jax.Array, norm: Norm) -> jax.Array:
  return x * jax.nn.hard_sigmoid(_true(x, log_scale, norm))


def _excite(means: jax.Array, weights: Squeeze, inside: jax.Array) -> jax.Array:
  """A factor in [0, 1] of every channel, of their means `[B, M]`."""
  reduced = means @ weights.reduce + weights.reduce_bias[None]
  reduced = jnp.where(
    inside[None], jax.nn.relu(reduced), jnp.zeros((), means.dtype)
  )
  excited = reduced @ weights.expand + weights.expand_bias[None]
  return jax.nn.hard_sigmoid(excited)


def _first_block(
  x: jax.Array,
  weights: tuple[Conv, Conv],
  old: tuple[Moments, Moments],
  norm: Norm,
) -> tuple[jax.Array, tuple[Moments, Moments]]:
  """The fixed block before the stages: depthwise, linear, residual."""
  y = layers.depthwise(x, weights[0].weight)
  y, first = layers.normalize(y, weights[0].norm, old[0], norm, axis=0)
  y, second = _convolve_1x1(jax.nn.relu(y), weights[1], old[1], norm)
  return x + y, (first, second)


def _convolve_1x1(
  x: jax.Array, conv: Conv, old: Moments, norm: Norm
) -> tuple[jax.Array, Moments]:
  """On `[C, B, H, W]`."""
  y = (conv.weight.T @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
  return layers.normalize(y, conv.norm, old, norm, axis=0)
