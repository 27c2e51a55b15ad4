"""The network that an architecture of DARTS describes.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
https://arxiv.org/abs/1806.09055, section 3.1 and appendix A: a stack of normal
cells with two reduction cells between them, which halve the rows and columns
and double the width, then average pooling and a linear classifier. A cell reads
the results of the two cells before it.

Operations and sources are data: one compiled program serves all architectures.
Batches normalize themselves (PyTorch's training mode); there are no running
statistics, auxiliary classifier or dropped paths, as training would need.

Differs from DARTS: images of an odd size are halved, too. Where an identity
halves, a row and a column of zeros complete them.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import layers
from nagjax.candidates.darts_weights import CIFAR10 as CIFAR10
from nagjax.candidates.darts_weights import DEPTHWISE_SCALE
from nagjax.candidates.darts_weights import DILATED
from nagjax.candidates.darts_weights import IMAGENET as IMAGENET
from nagjax.candidates.darts_weights import KERNEL
from nagjax.candidates.darts_weights import NASBENCH301 as NASBENCH301
from nagjax.candidates.darts_weights import NUM_NODES
from nagjax.candidates.darts_weights import SEPARABLE
from nagjax.candidates.darts_weights import SKIP
from nagjax.candidates.darts_weights import Cell as Cell
from nagjax.candidates.darts_weights import Config as Config
from nagjax.candidates.darts_weights import Edge as Edge
from nagjax.candidates.darts_weights import Layer as Layer
from nagjax.candidates.darts_weights import Params as Params
from nagjax.candidates.darts_weights import Stem as Stem
from nagjax.candidates.darts_weights import decode as decode
from nagjax.candidates.darts_weights import init as init
from nagjax.candidates.darts_weights import input_scale
from nagjax.candidates.darts_weights import num_macs as num_macs
from nagjax.candidates.darts_weights import num_params as num_params
from nagjax.candidates.layers import Norm
from nagjax.candidates.layers import NormParams
from nagjax.candidates.layers import Relu
from nagjax.spaces import darts
from nagjax.types import Archs

_IS_SEPARABLE = np.asarray([name in SEPARABLE for name in darts.OPERATIONS])
_IS_DILATED = np.asarray([name in DILATED for name in darts.OPERATIONS])
_TARGETS = np.repeat(np.arange(NUM_NODES), 2)
"""Node of every edge, from 0, in the order of the vector."""


class Forward(NamedTuple):
  """What a network computes on the way; what is not used costs nothing.

  Attributes:
    logits: `f32[B, num_classes]`.
    relus: what any rectifier reads, once if several read the same.
  """

  logits: jax.Array
  relus: tuple[Relu, ...]


def apply(
  params: Params, arch: Archs, images: jax.Array, config: Config
) -> jax.Array:
  """Classifies images, `f32[B, H, W, C] -> f32[B, num_classes]`.

  Args:
    params: weights, see `init`.
    arch: `int32[22]`, one architecture of `darts`.
    images: one batch, normalized, of `config.image_shape`.
    config: the network around the cells.
  """
  return forward(params, arch, images, config).logits


def forward(
  params: Params, arch: Archs, images: jax.Array, config: Config
) -> Forward:
  """`apply` with its intermediate results, for training-free scores.

  See `apply` for the arguments.
  """
  ops, sources = decode(arch)
  before, x, relus = _stem(params.stem, images, config)
  for group, weights in zip(config.groups, params.cells, strict=True):
    kind = int(group.reduces)
    mask = jnp.asarray(input_scale(config, group) > 0)
    cell_fn = functools.partial(_cell, ops[kind], sources[kind])
    if group.reduces:
      one = jax.tree.map(lambda leaf: leaf[0], weights)
      result, found = cell_fn(before, x, one, mask[0], stride=2)
      before, x = _halves(x), result
    else:

      def body(
        carry: tuple[jax.Array, jax.Array],
        cell: tuple[Cell, jax.Array],
        cell_fn: Callable = cell_fn,
      ) -> tuple[tuple[jax.Array, jax.Array], list[Relu]]:
        result, found = cell_fn(*carry, *cell)
        return (carry[1], result), found

      carry = _pad(before, group.num_inputs), _pad(x, group.num_inputs)
      (before, x), found = jax.lax.scan(body, carry, (weights, mask))
    relus += found
  features = jnp.mean(x, axis=(1, 2))
  logits = features @ params.classifier + params.bias[None]
  return Forward(logits, tuple(relus))


def _stem(
  weights: tuple[Layer, ...], images: jax.Array, config: Config
) -> tuple[jax.Array, jax.Array, list[Relu]]:
  """Both inputs of the first cell, and the rectifiers before it."""
  if config.stem is Stem.NONE:
    return images, images, []
  if config.stem is Stem.CIFAR:
    (layer,) = weights
    x = _normalize(layers.convolve(images, layer.weight), layer.norm)
    return x, x, []
  x, results = images, []
  for i, layer in enumerate(weights):
    x = x if i == 0 else jax.nn.relu(x)
    x = _normalize(layers.convolve(x, layer.weight, stride=2), layer.norm)
    results.append(x)
  true = jnp.ones((), bool)
  relus = [Relu(y, true) for y in results[:-1]]
  return _halves(results[-2]), results[-1], relus


def _cell(
  ops: jax.Array,
  sources: jax.Array,
  before: jax.Array,
  x: jax.Array,
  weights: Cell,
  mask: jax.Array,
  stride: int = 1,
) -> tuple[jax.Array, list[Relu]]:
  """One cell: a node is the sum of two operations on nodes before it.

  Args:
    ops: `int32[8]`.
    sources: `int32[8]`.
    before: `[B, H, W, C_in]`, the result of the cell before the last.
    x: the same of the last cell.
    weights: of this cell.
    mask: which of `weights.inputs` are no padding.
    stride: of the operations that read an input of the cell.
  """
  inputs = jnp.stack(
    [
      _normalize(
        layers.convolve_1x1(
          jax.nn.relu(y), jnp.where(mask[i], weights.inputs[i], 0)
        ),
        jax.tree.map(lambda leaf, i=i: leaf[i], weights.input_norm),
      )
      for i, y in enumerate((before, x))
    ]
  )
  _, batch, height, width, channels = inputs.shape
  small = (batch, -(-height // stride), -(-width // stride), channels)

  # Results are cheaper to make again than to keep: a `switch` keeps zeros for
  # every branch that is not taken.
  edge_fn = jax.checkpoint(functools.partial(_edge, stride), prevent_cse=False)
  taps = jnp.asarray(DEPTHWISE_SCALE > 0)[ops][..., None]
  edges = weights.edges._replace(
    depthwise=jnp.where(taps, weights.edges.depthwise, 0)
  )

  def add(
    nodes: jax.Array, edge: tuple[jax.Array, jax.Array, jax.Array, Edge]
  ) -> tuple[jax.Array, jax.Array]:
    op, source, target, edge_weights = edge
    of_input = inputs[jnp.minimum(source, 1)]
    of_node = nodes[jnp.maximum(source - 2, 0)]
    y, inner = edge_fn(op, source < 2, of_input, of_node, edge_weights)
    return nodes.at[target].add(y), inner

  nodes, inner = jax.lax.scan(
    add,
    jnp.zeros((NUM_NODES, *small)),
    (ops, sources, jnp.asarray(_TARGETS), edges),
  )
  rectifies = jnp.asarray(_IS_SEPARABLE | _IS_DILATED)[ops]
  if stride > 1:
    rectifies |= (ops == SKIP) & (sources < 2)
  read = jnp.any(
    (sources[None] == jnp.arange(NUM_NODES + 1)[:, None]) & rectifies[None],
    axis=1,
  )
  relus = [
    Relu(x, jnp.ones((), bool)),
    Relu(inputs, read[:2]),
    Relu(nodes[:-1], read[2:]),
    Relu(inner, jnp.asarray(_IS_SEPARABLE)[ops]),
  ]
  return jnp.concatenate(list(nodes), axis=-1), relus


def _edge(
  stride: int,
  op: jax.Array,
  reads_input: jax.Array,
  of_input: jax.Array,
  of_node: jax.Array,
  weights: Edge,
) -> tuple[jax.Array, jax.Array]:
  """An operation's result, and what its second rectifier would read."""
  first, second = (
    jax.tree.map(lambda leaf, i=i: leaf[i], weights) for i in range(2)
  )
  if stride == 1:
    x = jnp.where(reads_input, of_input, of_node)
    y = _first(1, op, x, first)
  else:
    y = jax.lax.cond(
      reads_input,
      lambda: _first(stride, op, of_input, first),
      lambda: _first(1, op, of_node, first),
    )
  is_separable = jnp.asarray(_IS_SEPARABLE)[op]
  return jax.lax.cond(
    is_separable, lambda y: _convolution(y, second), lambda y: y, y
  ), y


def _first(
  stride: int, op: jax.Array, x: jax.Array, weights: Edge
) -> jax.Array:
  """An operation, or the first half of a `sep_conv`."""

  def skip(x: jax.Array) -> jax.Array:
    if stride == 1:
      return x
    half = x.shape[-1] // 2
    even, odd = jnp.split(_halves(jax.nn.relu(x)), 2, axis=-1)
    left, right = weights.pointwise[:, :half], weights.pointwise[:, half:]
    y = [layers.convolve_1x1(even, left), layers.convolve_1x1(odd, right)]
    return _normalize(jnp.concatenate(y, axis=-1), weights.norm)

  dilated = jnp.asarray(_IS_DILATED)[op]
  branches = (
    lambda x: _max_pool(x)[:, ::stride, ::stride],
    lambda x: layers.average_pool(x)[:, ::stride, ::stride],
    skip,
    lambda x: _convolution(x, weights, dilated, stride),
  )
  return jax.lax.switch(op, branches, x)  # Larger numbers take the last.


def _convolution(
  x: jax.Array,
  weights: Edge,
  dilated: jax.Array | None = None,
  stride: int = 1,
) -> jax.Array:
  """Rectifier, depthwise and pointwise convolution, normalization."""
  y = _depthwise(jax.nn.relu(x), weights.depthwise, dilated, stride)
  return _normalize(layers.convolve_1x1(y, weights.pointwise), weights.norm)


def _depthwise(
  x: jax.Array, weight: jax.Array, dilated: jax.Array | None, stride: int
) -> jax.Array:
  """One kernel for each channel, with zeros around.

  Rows of images enter one product with banded matrices: on a CPU, XLA's own
  convolutions are slow in a loop, and sums of shifted images slow to compile
  and to differentiate.

  Args:
    x: `[B, H, W, C]`.
    weight: `[25, C]`, a kernel of 5x5 taps.
    dilated: `bool[]`, whether taps are two pixels apart; None if not.
    stride: pixels from result to result.
  """
  height, width = x.shape[1:3]
  reach = KERNEL - 1
  padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0), (0, 0)))
  offset = np.arange(width)[:, None] - np.arange(0, width, stride)[None]

  def at(tap: int) -> tuple[jax.Array, jax.Array]:
    """Rows of images, and which columns meet, for one row or column of taps."""
    rows = padded[:, reach + tap : reach + tap + height : stride]
    return rows, jnp.asarray(offset == tap, x.dtype)

  found = []
  for tap in range(-(KERNEL // 2), KERNEL // 2 + 1):
    near, far = at(tap), at(2 * tap)
    if dilated is not None:
      near = jax.tree.map(functools.partial(jnp.where, dilated), far, near)
    found.append(near)
  rows, bands = zip(*found, strict=True)
  kernel = weight.reshape(KERNEL, KERNEL, -1)
  matrix = jnp.einsum("ijc,jvw->civw", kernel, jnp.stack(bands))
  matrix = matrix.reshape(x.shape[-1], KERNEL * width, -1)
  return jnp.einsum("bhvc,cvw->bhwc", jnp.concatenate(rows, axis=2), matrix)


def _max_pool(x: jax.Array) -> jax.Array:
  """Largest of the 3x3 pixels around each that exist."""
  for axis in (1, 2):
    size, pad = x.shape[axis], [(0, 0)] * x.ndim
    pad[axis] = (1, 1)
    padded = jnp.pad(x, pad, constant_values=-jnp.inf)
    parts = [
      jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3)
    ]
    x = functools.reduce(jnp.maximum, parts)
  return x


def _halves(x: jax.Array) -> jax.Array:
  """Pixels of even and of odd rows and columns, `[B, H / 2, W / 2, 2 C]`.

  A convolution of stride two sees the first, and the second when it begins one
  pixel later.
  """
  height, width = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
  return jnp.concatenate([x[:, ::2, ::2], x[:, 1::2, 1::2]], axis=-1)


def _pad(x: jax.Array, channels: int) -> jax.Array:
  return jnp.pad(x, ((0, 0),) * 3 + ((0, channels - x.shape[-1]),))


def _normalize(x: jax.Array, params: NormParams) -> jax.Array:
  _, moments = layers.init_norm(x.shape[-1:])
  return layers.normalize(x, params, moments, Norm.BATCH)[0]
