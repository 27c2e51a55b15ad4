"""The network that a NAS-Bench-201 cell describes, as a trainable model.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", ICLR 2020, https://arxiv.org/abs/2001.00326, section 2.1:
a 3x3 convolution, three stages of cells at the widths C, 2 C and 4 C with a
residual block of stride two before the second and the third, average pooling
and a linear classifier.

The operations of the cell are data: one compiled program serves all 15,625
cells.
"""

import functools
import operator
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.candidates import layers
from nagjax.candidates.cell_weights import CONV_1X1 as CONV_1X1
from nagjax.candidates.cell_weights import CONV_3X3 as CONV_3X3
from nagjax.candidates.cell_weights import NUM_TAPS as NUM_TAPS
from nagjax.candidates.cell_weights import Config as Config
from nagjax.candidates.cell_weights import Layer as Layer
from nagjax.candidates.cell_weights import Model as Model
from nagjax.candidates.cell_weights import Params as Params
from nagjax.candidates.cell_weights import Reduction as Reduction
from nagjax.candidates.cell_weights import Statistics as Statistics
from nagjax.candidates.cell_weights import init as init
from nagjax.candidates.cell_weights import num_macs as num_macs
from nagjax.candidates.cell_weights import num_params as num_params
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import Norm
from nagjax.candidates.layers import Relu
from nagjax.spaces import nasbench201
from nagjax.types import Archs

_EDGES = tuple(zip(nasbench201.SOURCES, nasbench201.TARGETS, strict=True))


def apply(
  model: Model, arch: Archs, images: jax.Array, *, norm: Norm = Norm.RUNNING
) -> tuple[jax.Array, Statistics]:
  """Classifies images.

  Args:
    model: weights and running statistics.
    arch: `int32[6]`, one cell.
    images: `f32[B, H, W, C]`, normalized.
    norm: `RUNNING` to predict, `BATCH` to train.

  Returns:
    Logits `f32[B, num_classes]`, and the running statistics (updated by
    `BATCH`).
  """
  result = forward(model, arch, images, norm=norm)
  return result.logits, result.statistics


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
    relus: every rectifier in the order of the network, of a cell one for each
      edge, which exists if it is a convolution.
    outputs: results of the convolutions, if probes were given.
    log_scale: `f32[]`; without normalization the true logits, which may exceed
      the range of floats, are `(logits - bias) * exp(log_scale) + bias`, and
      their gradients by all but the bias are scaled likewise.
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
    norm: which statistics normalize.
    probes: added to the results of the convolutions, see `init_probes`; the
      gradient by them is the one by those results.
  """
  params, old = model
  true, log_scale = jnp.ones((), bool), jnp.float32(0)
  stem_y = _probe(
    layers.convolve(images, params.stem.weight), probes and probes.stem
  )
  x, stem = layers.normalize(stem_y, params.stem.norm, old.stem, norm)
  relus, cell_moments, reduction_moments = [], [], []
  cell_ys, reduction_ys = [], []
  for stage, layers_of_cells in enumerate(params.cells):
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

    def one_cell(
      x: jax.Array, cell: tuple[Layer, Moments, jax.Array | None]
    ) -> tuple[jax.Array, Any]:
      layer, moments, cell_probes = cell
      x, rest = _cell(x, arch, layer, moments, norm, cell_probes)
      scale = _scale(x) if norm is Norm.NONE else jnp.ones(())
      return x / scale, (rest, jnp.log(scale))

    x, ((moments, relu, ys), log_scales) = jax.lax.scan(
      one_cell,
      x,
      (layers_of_cells, old.cells[stage], probes and probes.cells[stage]),
    )
    cell_moments.append(moments)
    cell_ys.append(ys)
    relus.append(relu)
    log_scale += jnp.sum(log_scales)
  x, last = layers.normalize(x, params.last_norm, old.last, norm)
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
    layer, old = jax.tree.map(operator.itemgetter(edge), (edges, moments))
    probe = None if probes is None else probes[edge]
    x = nodes[source]
    # Derivatives make the branch again: in a `switch` every branch that is not
    # taken fills what the others keep with zeros.
    run = jax.checkpoint(functools.partial(_edge, norm=norm, probe=probe))
    y, new, result = run(x, arch[edge], layer, old)
    nodes[target] = nodes[target] + y
    is_convolution = (arch[edge] == CONV_1X1) | (arch[edge] == CONV_3X3)
    rest.append((new, Relu(x, is_convolution), result))
  return nodes[-1], jax.tree.map(lambda *leaves: jnp.stack(leaves), *rest)


def _edge(
  x: jax.Array,
  operation: jax.Array,
  layer: Layer,
  old: Moments,
  *,
  norm: Norm,
  probe: jax.Array | None,
) -> tuple[jax.Array, Moments, jax.Array | None]:
  """One of the five operations, in the order of `nasbench201.OPERATIONS`.

  Returns:
    The result, the running statistics, and what the convolution gave before
    its normalization (0 for other operations, None without a probe).
  """
  nothing = None if probe is None else jnp.zeros_like(x)

  def convolution(
    x: jax.Array, num_taps: int
  ) -> tuple[jax.Array, Moments, jax.Array | None]:
    x = jax.nn.relu(x)
    if num_taps == 1:
      x = layers.convolve_1x1(x, layer.weight[layers.Center])
    else:
      x = layers.convolve(x, layer.weight)
    result = None if probe is None else x
    x, new = layers.normalize(_probe(x, probe), layer.norm, old, norm)
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
) -> tuple[
  jax.Array,
  tuple[Moments, Moments],
  tuple[jax.Array, jax.Array, jax.Array],
  tuple[jax.Array, jax.Array],
]:
  """A residual block of stride two.

  Returns:
    The result, the running statistics, what the three convolutions gave, and
    the inputs of the two rectifiers.
  """
  first_probe, second_probe, shortcut_probe = probes or (None,) * 3
  first_y = layers.convolve(jax.nn.relu(x), block.first.weight, stride=2)
  y, first = layers.normalize(
    _probe(first_y, first_probe), block.first.norm, old[0], norm
  )
  second_y = layers.convolve(jax.nn.relu(y), block.second.weight)
  z, second = layers.normalize(
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
