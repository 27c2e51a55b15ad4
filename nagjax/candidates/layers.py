"""Layers of candidate networks: convolution, pooling, batch normalization.

Images are `f32[B, H, W, C]`. Convolution weights are `f32[9, C_in, C_out]`,
taps in row-major order; a 1x1 convolution uses the center tap. On a CPU a
convolution is a matrix product: XLA's own is ten times slower inside a loop.
Depthwise layers and what is around them have the channels first, `[C, B, H,
W]`, where both their products and those of 1x1 convolutions need no transpose.
"""

from collections.abc import Callable
import enum
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Center = 4
"""Position of the center among the nine taps."""
EPSILON = 1e-5
"""Added to variances, PyTorch's default."""
MOMENTUM = 0.1
"""Weight of the new value in running statistics, PyTorch's default."""

_LARGEST_DENSE = 4
"""Up to so many pixels, all pixels of an image enter one matrix product."""
_LARGEST_DEPTHWISE = 256
"""The same for a depthwise convolution, whose products are of one channel."""


class Norm(enum.Enum):
  """Which statistics normalize: the batch's, the running ones, or none.

  `MEASURE` is the batch's, and what is returned in the place of the running
  ones are its own means and (biased) variances.
  """

  BATCH = "batch"
  MEASURE = "measure"
  RUNNING = "running"
  NONE = "none"


class NormParams(NamedTuple):
  """What a batch normalization learns.

  Attributes:
    scale, shift: `f32[..., C]` each.
  """

  scale: jax.Array
  shift: jax.Array


class Moments(NamedTuple):
  """Running statistics of a batch normalization.

  Attributes:
    mean, variance: `f32[..., C]` each.
  """

  mean: jax.Array
  variance: jax.Array


class Relu(NamedTuple):
  """What rectifiers read.

  Attributes:
    inputs: `f32[..., B, H, W, C]`.
    exists: `bool[...]`: of the operations of an edge, which are data, only some
      have a rectifier.
  """

  inputs: jax.Array
  exists: jax.Array


def init_norm(shape: tuple[int, ...]) -> tuple[NormParams, Moments]:
  """Scale 1, shift 0, mean 0, variance 1."""
  ones, zeros = jnp.ones(shape), jnp.zeros(shape)
  return NormParams(ones, zeros), Moments(zeros, ones)


def normalize(
  x: jax.Array,
  params: NormParams,
  moments: Moments,
  norm: Norm,
  *,
  axis: int = -1,
) -> tuple[jax.Array, Moments]:
  """Batch normalization, as PyTorch does it.

  Args:
    x: `[B, H, W, C]`, or with the channels elsewhere.
    params: scale and shift.
    moments: running statistics.
    norm: which statistics normalize; `NONE` returns `x` as it is.
    axis: where the channels are.

  Returns:
    The normalized `x`, and the running statistics (updated by `BATCH`).
  """
  if norm is Norm.NONE:
    return x, moments
  others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
  mean, variance = moments
  if norm in (Norm.BATCH, Norm.MEASURE):
    mean = jnp.mean(x, axis=others)
    variance = jnp.mean((x - jnp.expand_dims(mean, others)) ** 2, axis=others)
  if norm is Norm.MEASURE:
    moments = Moments(mean, variance)
  if norm is Norm.BATCH:
    count = x.size // x.shape[axis]
    unbiased = variance * (count / max(count - 1, 1))
    moments = Moments(
      *(
        jax.lax.stop_gradient((1 - MOMENTUM) * old + MOMENTUM * new)
        for old, new in zip(moments, (mean, unbiased), strict=True)
      )
    )
  scale = params.scale * jax.lax.rsqrt(variance + EPSILON)
  shift = params.shift - mean * scale
  y = x * jnp.expand_dims(scale, others) + jnp.expand_dims(shift, others)
  return y, moments


def convolve(x: jax.Array, weight: jax.Array, stride: int = 1) -> jax.Array:
  """3x3 convolution with one pixel of zeros around.

  Args:
    x: `[B, H, W, C_in]`.
    weight: `[9, C_in, C_out]`.
    stride: 1 or 2; the result has `ceil(H / stride)` rows.

  Returns:
    `[B, H', W', C_out]`.
  """
  return jax.lax.platform_dependent(
    x,
    weight,
    cpu=lambda x, w: _product(x, w, stride),
    default=lambda x, w: _convolution(x, w, stride),
  )


def convolve_1x1(x: jax.Array, weight: jax.Array) -> jax.Array:
  """1x1 convolution, `[B, H, W, C_in], [C_in, C_out] -> [B, H, W, C_out]`."""
  return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], -1)


def depthwise(x: jax.Array, weight: jax.Array, stride: int = 1) -> jax.Array:
  """Depthwise convolution of odd size, half of it in zeros around.

  On a CPU small images are one matrix product a channel, which with its
  derivatives is many times faster than XLA's own.

  Args:
    x: `[C, B, H, W]`.
    weight: `[k * k, C]`, taps in row-major order.
    stride: the result has `ceil(H / stride)` rows.

  Returns:
    `[C, B, H', W']`.
  """
  if x.shape[2] * x.shape[3] > _LARGEST_DEPTHWISE:
    return _grouped_convolution(x, weight, stride)
  return jax.lax.platform_dependent(
    x,
    weight,
    cpu=lambda x, w: _dense_depthwise(x, w, stride),
    default=lambda x, w: _grouped_convolution(x, w, stride),
  )


def average_pool(x: jax.Array) -> jax.Array:
  """3x3 mean with stride 1 over the pixels that exist, `[B, H, W, C]`."""
  total = _sum_of_three(_sum_of_three(x, 1), 2)
  count = np.outer(*(_num_neighbors(size) for size in x.shape[1:3]))
  return total * (1 / count)[None, :, :, None].astype(x.dtype)


def halve(x: jax.Array) -> jax.Array:
  """2x2 mean with stride 2 over the pixels that exist.

  `[B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), C]`.
  """
  height, width = x.shape[1:3]
  pad = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
  x = jnp.pad(x, pad)
  batch, rows, columns, channels = x.shape
  x = x.reshape(batch, rows // 2, 2, columns // 2, 2, channels)
  count = np.outer(*(_num_in_pairs(size) for size in (height, width)))
  scale = (1 / count)[None, :, :, None].astype(x.dtype)
  return jnp.sum(x, axis=(2, 4)) * scale


def _convolution(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x,
    weight.reshape(3, 3, *weight.shape[1:]),
    (stride, stride),
    ((1, 1), (1, 1)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
  """One matrix product, whose derivative keeps nothing but its arguments.

  Patches and matrices are cheaper to make again than to keep: in a `switch`
  every branch that is not taken fills what the others keep with zeros.
  """
  return _form(x)(x, weight, stride)


def _form(x: jax.Array) -> Callable[[jax.Array, jax.Array, int], jax.Array]:
  """Which of the two products is the faster one for images of this size."""
  return _dense if x.shape[1] * x.shape[2] <= _LARGEST_DENSE else _patches


def _product_forward(
  x: jax.Array, weight: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _product(x, weight, stride), (x, weight)


def _product_backward(
  stride: int, arguments: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, weight = arguments
  if stride == 1 and _form(x) is _patches:
    # By the input it is a convolution again: gathers, where the transpose of
    # the patches would add nine images up.
    _, transpose = jax.vjp(lambda w: _patches(x, w, 1), weight)
    mirrored = weight[::-1].swapaxes(1, 2)
    return _patches(gradient, mirrored, 1), *transpose(gradient)
  _, transpose = jax.vjp(lambda x, w: _form(x)(x, w, stride), x, weight)
  return transpose(gradient)


_product.defvjp(_product_forward, _product_backward)


def _patches(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
  """One product of all 3x3 patches with the weight."""
  height, width = x.shape[1:3]
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  # In two steps: XLA copies run by run, and those of the second are long.
  triples = jnp.concatenate(
    [padded[:, :, j : j + width : stride] for j in range(3)], axis=-1
  )
  patches = jnp.concatenate(
    [triples[:, i : i + height : stride] for i in range(3)], axis=-1
  )
  flat = weight.reshape(-1, weight.shape[-1])
  result = patches.reshape(-1, patches.shape[-1]) @ flat
  return result.reshape(*patches.shape[:-1], -1)


def _dense(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
  """One product of whole images with the matrix of the linear map."""
  batch, height, width, _ = x.shape
  taps = _tap_indicators(height, width, stride)
  matrix = jnp.einsum("iot,tcd->icod", taps, weight)
  matrix = matrix.reshape(height * width * weight.shape[1], -1)
  rows, columns = -(-height // stride), -(-width // stride)
  return (x.reshape(batch, -1) @ matrix).reshape(batch, rows, columns, -1)


def _grouped_convolution(
  x: jax.Array, weight: jax.Array, stride: int
) -> jax.Array:
  size = math.isqrt(weight.shape[0])
  return jax.lax.conv_general_dilated(
    x,
    weight.reshape(size, size, 1, -1),
    (stride, stride),
    ((size // 2, size // 2),) * 2,
    dimension_numbers=("CNHW", "HWIO", "CNHW"),
    feature_group_count=x.shape[0],
  )


def _dense_depthwise(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
  """One product of images with the matrix of the linear map, a channel."""
  channels, batch, height, width = x.shape
  matrix = _depthwise_matrix(
    weight, math.isqrt(weight.shape[0]), height, width, stride
  )
  y = jnp.einsum("cbi,cio->cbo", x.reshape(channels, batch, -1), matrix)
  rows, columns = -(-height // stride), -(-width // stride)
  return y.reshape(channels, batch, rows, columns)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _depthwise_matrix(
  weight: jax.Array, size: int, height: int, width: int, stride: int
) -> jax.Array:
  """The linear map of each channel, `[size^2, C] -> [C, H W, H' W']`.

  Taps are looked up, and their derivatives summed by a matrix product: the
  transpose of a look-up is slow on a CPU.
  """
  taps = _tap_indicators(height, width, stride, size)
  tap = np.where(taps.any(axis=-1), taps.argmax(axis=-1), size * size)
  padded = jnp.pad(weight.T, ((0, 0), (0, 1)))
  return jnp.take(padded, tap, axis=1, mode="clip")


def _depthwise_matrix_forward(
  weight: jax.Array, *sizes: int
) -> tuple[jax.Array, None]:
  return _depthwise_matrix(weight, *sizes), None


def _depthwise_matrix_backward(
  size: int,
  height: int,
  width: int,
  stride: int,
  saved: None,
  gradient: jax.Array,
) -> tuple[jax.Array]:
  del saved
  taps = _tap_indicators(height, width, stride, size).astype(gradient.dtype)
  return (jnp.einsum("cio,iot->tc", gradient, taps),)


_depthwise_matrix.defvjp(_depthwise_matrix_forward, _depthwise_matrix_backward)


def _tap_indicators(
  height: int, width: int, stride: int, size: int = 3
) -> np.ndarray:
  """Which of `size^2` taps joins two pixels, `f32[H W, H' W', size^2]`."""
  rows, columns = (
    (np.arange(n)[:, None] - np.arange(0, n, stride)[None] + size // 2)
    for n in (height, width)
  )
  tap = np.arange(size)
  row_hits = (rows[..., None] == tap).astype(np.float32)
  column_hits = (columns[..., None] == tap).astype(np.float32)
  both = np.einsum("iou,jpv->ijopuv", row_hits, column_hits)
  return both.reshape(height * width, -1, size * size)


def _sum_of_three(x: jax.Array, axis: int) -> jax.Array:
  """Each pixel and its two neighbors along `axis`."""
  before, after = [(0, 0)] * x.ndim, [(0, 0)] * x.ndim
  before[axis], after[axis] = (1, 0), (0, 1)
  size = x.shape[axis]
  left = jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)
  right = jax.lax.slice_in_dim(x, 1, size, axis=axis)
  return x + jnp.pad(left, before) + jnp.pad(right, after)


def _num_neighbors(size: int) -> np.ndarray:
  """How many of the three pixels around each one exist."""
  position = np.arange(size)
  return 1 + (position > 0) + (position < size - 1)


def _num_in_pairs(size: int) -> np.ndarray:
  """How many pixels each pair along an axis of `size` has."""
  return np.minimum(2, size - 2 * np.arange(-(-size // 2)))
