"""NAS-Bench-201: cells whose six edges carry one of five operations.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", ICLR 2020, https://arxiv.org/abs/2001.00326

An architecture is the vector of the six operations in the order of the official
string `|e0~0|+|e1~0|e2~1|+|e3~0|e4~1|e5~2|`, that is the edges 0->1, 0->2,
1->2, 0->3, 1->3, 2->3. Its `index` is the mixed-radix number of that vector,
first edge least significant; it is not the row number of the official files,
which follow a shuffled list.
"""

from collections.abc import Sequence
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import edge_cells
from nagjax.spaces.checks import checked_archs
from nagjax.types import Archs
from nagjax.types import Graph

OPERATIONS = (
  "none",
  "skip_connect",
  "nor_conv_1x1",
  "nor_conv_3x3",
  "avg_pool_3x3",
)
NUM_EDGES = edge_cells.NUM_EDGES
SOURCES = edge_cells.SOURCES
TARGETS = edge_cells.TARGETS

FEATURE_COLUMNS = ("input", "output", *OPERATIONS)
"""Columns of the papers' 8 x 7 matrix; rows are input, e0..e5, output."""

GENERATED_LABELS = (
  "output",
  "input",
  "nor_conv_1x1",
  "nor_conv_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "none",
)
"""Node types of AG-Net's graphs, in its order."""

# Of the edge order 01, 02, 03, 12, 13, 23.
_EDGE_SOURCE_SUCCESSORS = ((1, 2, 3), (4, 5), (6,), (7,), (6,), (7,), (7,), ())

# NASLib: operations skip, none, 3x3, 1x1, pool; edges 0->1, 0->2, 0->3, 1->2,
# 1->3, 2->3.
_NASLIB_OPERATIONS = (1, 0, 3, 2, 4)
_NASLIB_EDGES = (0, 1, 3, 2, 4, 5)

_PATTERN = re.compile(
  r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|"
)


@functools.cache
def nasbench201() -> base.SearchSpace:
  """Returns the space of all 15,625 NAS-Bench-201 cells.

  Example:
    >>> nasbench201().num_architectures
    15625
  """
  cardinalities = (len(OPERATIONS),) * NUM_EDGES
  return base.SearchSpace(
    name="nasbench201",
    cardinalities=cardinalities,
    to_string=to_string,
    from_string=from_string,
    to_features=to_features,
    from_features=from_features,
    feature_shape=(8, len(FEATURE_COLUMNS)),
    to_graph=to_graph,
    to_soft_graph=edge_cells.soft_graph,
    canonicalize=canonicalize,
    is_valid=functools.partial(base.in_range, cardinalities),
    num_architectures=len(OPERATIONS) ** NUM_EDGES,
    layout=edge_cells.layout(OPERATIONS, GENERATED_LABELS),
    feature_graph=base.FeatureGraph(
      adjacency=edge_cells.adjacency(),
      published_adjacency=edge_cells.adjacency(_EDGE_SOURCE_SUCCESSORS),
      positions=tuple(range(NUM_EDGES + 2)),
    ),
    operations=OPERATIONS,
  )


def to_string(arch: Sequence[int]) -> str:
  """Names one cell as the official files do.

  Example:
    >>> to_string([3, 3, 1, 1, 3, 2])[:33]
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|'
  """
  arch = _checked(arch)
  edges = [f"{OPERATIONS[op]}~{s}" for op, s in zip(arch, SOURCES, strict=True)]
  nodes = (edges[:1], edges[1:3], edges[3:])
  return "+".join("|" + "|".join(node) + "|" for node in nodes)


def from_string(string: str) -> np.ndarray:
  """Reads an official string into `int32[6]`.

  Raises:
    ValueError: if the string is none, or names an unknown operation.

  Example:
    >>> from_string(to_string([3, 3, 1, 1, 3, 2])).tolist()
    [3, 3, 1, 1, 3, 2]
  """
  match = _PATTERN.fullmatch(string.strip())
  if match is None:
    raise ValueError(
      "A NAS-Bench-201 string looks like "
      f"{to_string([0] * NUM_EDGES)!r}, got {string!r}."
    )
  unknown = set(match.groups()) - set(OPERATIONS)
  if unknown:
    raise ValueError(
      f"Operations are {', '.join(OPERATIONS)}; got "
      f"{', '.join(sorted(unknown))} in {string!r}."
    )
  return np.asarray([OPERATIONS.index(g) for g in match.groups()], np.int32)


def to_naslib(arch: Sequence[int]) -> tuple[int, ...]:
  """The operation tuple that NASLib uses for one cell.

  Example:
    >>> to_naslib([3, 3, 1, 1, 3, 2])
    (2, 2, 0, 0, 2, 3)
  """
  arch = _checked(arch)
  return tuple(_NASLIB_OPERATIONS.index(int(arch[e])) for e in _NASLIB_EDGES)


def from_naslib(operations: Sequence[int]) -> np.ndarray:
  """Inverse of `to_naslib`, `int32[6]`.

  Raises:
    ValueError: if it is not a tuple of six numbers in 0..4.

  Example:
    >>> from_naslib((2, 2, 0, 0, 2, 3)).tolist()
    [3, 3, 1, 1, 3, 2]
  """
  operations = _checked(operations, "NASLib")
  arch = np.empty(NUM_EDGES, np.int32)
  for edge, op in zip(_NASLIB_EDGES, operations, strict=True):
    arch[edge] = _NASLIB_OPERATIONS[op]
  return arch


def _checked(arch: Sequence[int], name: str = "nasbench201") -> list[int]:
  """Six operations that somebody hands in."""
  cardinalities = (len(OPERATIONS),) * NUM_EDGES
  return checked_archs(name, cardinalities, arch).tolist()


def to_features(archs: Archs) -> jax.Array:
  """The 8 x 7 one-hot matrix of EDNAG and DiffusionNAG, `f32[..., 8, 7]`.

  Rows: input, the six edges in string order, output. Columns:
    `FEATURE_COLUMNS`.

  Example:
    >>> jax.eval_shape(to_features, np.asarray([3, 3, 1, 1, 3, 2])).shape
    (8, 7)
  """
  ends = jnp.broadcast_to(jnp.asarray([0, 1]), (*archs.shape[:-1], 2))
  columns = jnp.concatenate([ends[..., :1], archs + 2, ends[..., 1:]], axis=-1)
  return jax.nn.one_hot(columns, len(FEATURE_COLUMNS), dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes an 8 x 7 matrix by the arg-max of rows 1..6; ties go to the left.

  Returns:
    `int32[..., 6]` cells and `bool[...]` whether no edge chose input or output.
    Where one did, its operation reads 0.

  Example:
    >>> archs, valid = jax.jit(from_features)(np.eye(8, 7))
    >>> archs.tolist(), bool(valid)
    ([0, 0, 1, 2, 3, 4], False)
  """
  columns = jnp.argmax(features[..., 1:-1, :], axis=-1).astype(jnp.int32)
  return jnp.maximum(columns - 2, 0), jnp.all(columns >= 2, axis=-1)


def to_graph(archs: Archs) -> Graph:
  """The data flow with operations on nodes, in string order.

  Nodes are labeled by `FEATURE_COLUMNS`; see `edge_cells.soft_graph`. AG-Net
  lays its graphs out in this order. DiffusionNAG and OptiProxy-NAS publish the
  adjacency of the edge order 01, 02, 03, 12, 13, 23 or 01, 02, 12, 03, 13, 23
  with labels in another one; `edge_source_adjacency` is DiffusionNAG's.

  Example:
    >>> graph = jax.eval_shape(to_graph, np.asarray([3, 3, 1, 1, 3, 2]))
    >>> graph.nodes.shape, graph.adjacency.shape
    ((8, 7), (8, 8))
  """
  return edge_cells.soft_graph(
    jax.nn.one_hot(archs, len(OPERATIONS), dtype=jnp.float32)
  )


def edge_source_adjacency() -> jax.Array:
  """Adjacency for the edge order 01, 02, 03, 12, 13, 23, `f32[8, 8]`.

  DiffusionNAG masks attention with it although its rows follow the string order
  (so the labels of edges 0->3 and 1->2 sit on each other's node).

  Example:
    >>> edge_source_adjacency()[0].tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
  """
  return jnp.asarray(edge_cells.adjacency(_EDGE_SOURCE_SUCCESSORS))


def canonicalize(archs: Archs) -> Archs:
  """Maps each cell to the first cell that NAS-Bench-201 calls the same.

  See `edge_cells.representatives` for the rule. It leaves 6,466 classes (full
  flattening of sums would leave 5,755). Isomorphic cells have different rows,
  and different noise, in the tables.

  Example:
    >>> jax.jit(canonicalize)(np.asarray([3, 0, 0, 0, 0, 0])).tolist()
    [0, 0, 0, 0, 0, 0]
  """
  space = nasbench201()
  representative = jnp.asarray(_representatives())
  return space.from_index(representative[space.index(archs)])


@functools.cache
def _representatives() -> np.ndarray:
  """Index of the representative of every cell, `int32[15625]`."""
  cells = nasbench201().all_architectures()
  return edge_cells.representatives(cells, OPERATIONS, input_skips=True)
