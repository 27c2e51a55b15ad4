"""What the published EDNAG does differently for each benchmark.

Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural Architecture
Generation". The paper leaves all of this to its program: how individuals are
read as architectures, the multipliers of accuracies, and the range to which
individuals are normalized. Individuals of NAS-Bench-201 and TransNAS-Bench-101
are the features of their spaces; those of NAS-Bench-101 and NAS-Bench-301 are
an `Encoding` of their own.
"""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax.evolution import fitness as fitness_lib
from nagjax.spaces import darts
from nagjax.spaces import graphs
from nagjax.spaces import nasbench101
from nagjax.types import Archs

ACCURACY_SCALE = {
  "nasbench201/cifar10": 1.0,
  "nasbench201/cifar100": 1.2,
  "nasbench201/imagenet16-120": 2.0,
  "nasbench101/cifar10": 1.05,
  "nasbench301/cifar10": 1.05,
  "transnas-macro/class-scene": 1.73,
  "transnas-macro/class-object": 2.08,
  "transnas-macro/jigsaw": 1.03,
  "transnas-macro/segmentsemantic": 3.37,
  "transnas-macro/normal": 1.55,
  "transnas-macro/autoencoder": 1.30,
  "transnas-micro/class-scene": 1.82,
  "transnas-micro/class-object": 2.15,
  "transnas-micro/jigsaw": 1.04,
  "transnas-micro/segmentsemantic": 3.80,
  "transnas-micro/normal": 1.67,
  "transnas-micro/autoencoder": 1.73,
}
"""Published multiplier of the accuracy for each benchmark; 1 elsewhere."""

PREDICTED_SCALE = {"aircraft": 0.92, "pets": 1.04}
"""Published multiplier of the predictor's percent for two data sets that have
no table, on NAS-Bench-201; 1 on MobileNetV3."""

ROOM_LAYOUT = {
  "transnas-macro/room-layout": 2814.0,
  "transnas-micro/room-layout": 2969.0,
}
"""Published numerators of `room_layout_quality`."""

NASBENCH101_OPERATIONS = (
  "conv1x1-bn-relu",
  "conv3x3-bn-relu",
  "conv3x3-bn-relu",
  "conv3x3-bn-relu",
  "maxpool3x3",
)
"""Of the inner vertices of every NAS-Bench-101 cell that the program makes."""

_EITHER_INPUT = (
  *((0, 6), (0, 1), (1, 5), (1, 6), (1, 3), (0, 0), (0, 5)),
  *((1, 1), (0, 2), (0, 4), (1, 0), (1, 4), (0, 3), (1, 2)),
)
_SECOND_OR_NODE = (
  *((1, 5), (1, 3), (1, 6), (2, 0), (1, 4), (1, 1), (2, 3)),
  *((2, 5), (2, 6), (1, 0), (2, 2), (2, 4), (2, 1), (1, 2)),
)
NASBENCH301_TUPLES = np.asarray(
  [
    [(0, op) for op in (6, 1, 0, 5, 2, 4, 3)] * 2,
    [(1, op) for op in (5, 6, 3, 1, 0, 4, 2)] * 2,
    _EITHER_INPUT,
    _SECOND_OR_NODE,
  ],
  np.int32,
)
"""`(source, operation)` that a column of a row stands for, `[4, 14, 2]`."""

NASBENCH301_REST = np.asarray(
  ([darts.OPERATIONS.index("sep_conv_3x3")] * 8 + [0] * 3) * 2, np.int32
)
"""The architecture of which the four tuples replace a part: separable 3 x 3
convolutions of the two inputs everywhere."""

_NODE_3 = 8
"""Place of the sources of node 3 in a vector of `darts`."""


class Encoding(NamedTuple):
  """Individuals of a space, where they are not its features.

  Attributes:
    shape: `(R, C)` of an individual.
    decode: `f32[..., R, C] -> (int32[..., L], bool[...])`, architectures and
      whether each is one.
    encode: `int32[..., L] -> f32[..., R, C]` in [0, 1], which decodes to the
      architecture as far as individuals can tell.
  """

  shape: tuple[int, int]
  decode: Callable[[jax.Array], tuple[Archs, jax.Array]]
  encode: Callable[[Archs], jax.Array]


def decode_nasbench101(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Reads adjacency matrices: an edge where the upper triangle is `>= 0.5`.

  The operations are always `NASBENCH101_OPERATIONS`. The paper's appendix has
  the experiment; this is its program.

  Args:
    features: `f32[..., 7, 7]`, rows are sources; only what is above the
      diagonal is read.

  Returns:
    `int32[..., 26]` vectors of `nasbench101` and `bool[...]` whether each is a
    cell, of at most nine edges on paths from input to output.
  """
  source, target = graphs.edge_ends(nasbench101.NUM_VERTICES)
  edges = (features[..., source, target] >= 0.5).astype(jnp.int32)
  inner = jnp.asarray(_nasbench101_operations())
  inner = jnp.broadcast_to(inner, (*edges.shape[:-1], len(inner)))
  archs = jnp.concatenate([edges, inner], axis=-1)
  return archs, nasbench101.is_valid(archs)


def encode_nasbench101(archs: Archs) -> jax.Array:
  """The adjacency matrix, `int32[..., 26] -> f32[..., 7, 7]`.

  Operations are lost: an individual has those of `NASBENCH101_OPERATIONS`.
  """
  edges = archs[..., : nasbench101.NUM_EDGES].astype(jnp.float32)
  return graphs.adjacency_matrix(edges, nasbench101.NUM_VERTICES)


def nasbench301_tuples(features: jax.Array) -> jax.Array:
  """Reads the first four edges of the normal cell.

  A row stands for what `NASBENCH301_TUPLES` has for its largest column, ties to
  the left. In the rows of node 2 the columns repeat after seven.

  Args:
    features: `f32[..., 4, 14]`.

  Returns:
    `int32[..., 4, 2]` pairs of a source and an operation, numbered as in
    `darts.OPERATIONS`.
  """
  columns = jnp.argmax(features, axis=-1)
  rows = np.arange(len(NASBENCH301_TUPLES)).reshape(
    (1,) * (columns.ndim - 1) + (-1,)
  )
  return jnp.asarray(NASBENCH301_TUPLES)[rows, columns]


def decode_nasbench301(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Reads the four tuples into a whole architecture, `f32[..., 4, 14]`.

  Differs from the program: it looks four tuples up in a dictionary, which holds
  the best of the recorded architectures that begin with them. A benchmark asks
  for one architecture: all behind the tuples is `NASBENCH301_REST`.

  Returns:
    `int32[..., 22]` vectors of `darts` and `bool[...]` whether each is an
    architecture: node 3 must not read twice from the same source.
  """
  tuples = nasbench301_tuples(features)
  low, high = tuples[..., 2, 0], tuples[..., 3, 0]
  valid = low < high
  # Of (0, 1), (0, 2), (1, 2).
  pair = jnp.where(valid, low + high - 1, 0)
  rest = jnp.asarray(NASBENCH301_REST)
  archs = jnp.broadcast_to(rest, (*valid.shape, len(NASBENCH301_REST)))
  archs = archs.at[..., : tuples.shape[-2]].set(tuples[..., 1])
  return archs.at[..., _NODE_3].set(pair), valid


def encode_nasbench301(archs: Archs) -> jax.Array:
  """One-hot rows of the four tuples, `int32[..., 22] -> f32[..., 4, 14]`.

  What is behind them is lost.
  """
  pairs = jnp.asarray(darts.PAIRS[3])[archs[..., _NODE_3]]
  inputs = jnp.broadcast_to(jnp.asarray([0, 1]), pairs.shape)
  sources = jnp.concatenate([inputs, pairs], axis=-1)
  tuples = jnp.stack([sources, archs[..., : sources.shape[-1]]], axis=-1)
  table = NASBENCH301_TUPLES.reshape((1,) * (archs.ndim - 1) + (4, 14, 2))
  same = jnp.all(tuples[..., None, :] == table, axis=-1)
  first = jnp.argmax(same, axis=-1)
  return jax.nn.one_hot(first, table.shape[-2], dtype=jnp.float32)


NASBENCH101 = Encoding((7, 7), decode_nasbench101, encode_nasbench101)
NASBENCH301 = Encoding((4, 14), decode_nasbench301, encode_nasbench301)


def nasbench_rescale(accuracy: jax.Array) -> jax.Array:
  """Fitness on NAS-Bench-101 and -301 of 1.05 times the percent, `[P] -> [P]`.

  0 below 0.01 and above 99999, else `fitness.piecewise_rescale`.
  """
  return fitness_lib.bounded_rescale(accuracy, least=0.01)


def transnas_rescale(accuracy: jax.Array) -> jax.Array:
  """Fitness on TransNAS-Bench-101 of the scaled percent, `[P] -> [P]`.

  0 below 2e-8 and above 99999, else `fitness.piecewise_rescale`. The room
  layout has `fitness.room_layout_rescale`.
  """
  return fitness_lib.bounded_rescale(accuracy, least=2e-8)


def predicted_percent(output: jax.Array) -> jax.Array:
  """`(0.10 + y) 550 + 40` of the predictor's output `y`, `[...] -> [...]`.

  On NAS-Bench-201, where the program predicts instead of looking up (its
  Aircraft and Pets); what is no architecture has 0.
  """
  return (0.10 + output) * 550.0 + 40.0


def predicted_mobilenetv3_percent(
  output: jax.Array, mean: ArrayLike, std: ArrayLike
) -> jax.Array:
  """`max(0, 100 y std + mean)` of the predictor's output, `[...] -> [...]`.

  Args:
    output: `y`.
    mean, std: of the accuracies that the predictor learned from, percent.
  """
  return jnp.maximum(100.0 * output * std + mean, 0.0)


def ssim_percent(ssim: jax.Array) -> jax.Array:
  """Structural similarity, at most 1, times 100, `[P] -> [P]`."""
  return 100 * ssim


def room_layout_quality(
  negative_loss: jax.Array, numerator: float
) -> jax.Array:
  """`50 + numerator / L` of the loss `L / 100`, `[P] -> [P]`.

  Args:
    negative_loss: the benchmark's objective, below 0.
    numerator: of `ROOM_LAYOUT`.
  """
  return 50 + numerator / (-100 * negative_loss)


def micro_room_layout_quality(negative_loss: jax.Array) -> jax.Array:
  """`room_layout_quality` of cells, `[P] -> [P]`."""
  numerator = ROOM_LAYOUT["transnas-micro/room-layout"]
  return room_layout_quality(negative_loss, numerator)


def macro_room_layout_quality(negative_loss: jax.Array) -> jax.Array:
  """`room_layout_quality` of skeletons, `[P] -> [P]`."""
  numerator = ROOM_LAYOUT["transnas-macro/room-layout"]
  return room_layout_quality(negative_loss, numerator)


def preset(benchmark_name: str, budget: int) -> dict[str, Any]:
  """Options that the program sets for a benchmark, by its name."""
  del budget
  name = benchmark_name.rpartition(":")[2]
  table, _, task = name.partition("/")
  options: dict[str, Any] = {"accuracy_scale": ACCURACY_SCALE.get(name, 1.0)}
  if name in ("nasbench101/cifar10", "nasbench301/cifar10"):
    options |= dict(
      encoding=NASBENCH101 if table == "nasbench101" else NASBENCH301,
      rescale_fn=nasbench_rescale,
      lowest=0.0,
      normalizes_population=True,
    )
  elif name in ROOM_LAYOUT:
    is_micro = table == "transnas-micro"
    options |= dict(
      accuracy_fn=micro_room_layout_quality
      if is_micro
      else macro_room_layout_quality,
      rescale_fn=fitness_lib.room_layout_rescale,
    )
  elif table.startswith("transnas-"):
    options["rescale_fn"] = transnas_rescale
    if task in ("autoencoder", "normal"):
      options["accuracy_fn"] = ssim_percent
  return options


def _nasbench101_operations() -> np.ndarray:
  """Digits of `NASBENCH101_OPERATIONS`, `int32[5]`."""
  digits = [nasbench101.OPERATIONS.index(op) for op in NASBENCH101_OPERATIONS]
  return np.asarray(digits, np.int32)
