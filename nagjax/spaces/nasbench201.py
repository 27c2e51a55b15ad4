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
from nagjax.spaces import graphs
from nagjax.spaces import layouts
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
NUM_EDGES = 6
SOURCES = (0, 0, 1, 0, 1, 2)
"""Source node of each edge, in string order."""
TARGETS = (1, 2, 2, 3, 3, 3)
"""Target node of each edge, in string order."""

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

# Operation on node, string order: e0 = 0->1 feeds the edges that leave node 1
# (e2, e4), e1 and e2 feed e5, and what enters node 3 feeds the output.
_SUCCESSORS = ((1, 2, 4), (3, 5), (6,), (6,), (7,), (7,), (7,), ())
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
  """Returns the space of all 15,625 NAS-Bench-201 cells."""
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
    to_soft_graph=to_soft_graph,
    canonicalize=canonicalize,
    is_valid=functools.partial(base.in_range, cardinalities),
    num_architectures=len(OPERATIONS) ** NUM_EDGES,
    layout=layouts.GraphLayout(
      labels=GENERATED_LABELS,
      num_nodes=NUM_EDGES + 2,
      num_inputs=1,
      num_graphs=1,
      encode=encode,
      decode=decode,
      relax=relax,
    ),
    feature_graph=base.FeatureGraph(
      adjacency=_adjacency(_SUCCESSORS),
      published_adjacency=_adjacency(_EDGE_SOURCE_SUCCESSORS),
      positions=tuple(range(NUM_EDGES + 2)),
    ),
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
  """The operation tuple that NASLib uses for one cell."""
  arch = _checked(arch)
  return tuple(_NASLIB_OPERATIONS.index(int(arch[e])) for e in _NASLIB_EDGES)


def from_naslib(operations: Sequence[int]) -> np.ndarray:
  """Inverse of `to_naslib`, `int32[6]`.

  Raises:
    ValueError: if it is not a tuple of six numbers in 0..4.
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
  """
  ends = jnp.broadcast_to(jnp.asarray([0, 1]), (*archs.shape[:-1], 2))
  columns = jnp.concatenate([ends[..., :1], archs + 2, ends[..., 1:]], axis=-1)
  return jax.nn.one_hot(columns, len(FEATURE_COLUMNS), dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes an 8 x 7 matrix by the arg-max of rows 1..6; ties go to the left.

  Returns:
    `int32[..., 6]` cells and `bool[...]` whether no edge chose input or output.
    Where one did, its operation reads 0.
  """
  columns = jnp.argmax(features[..., 1:-1, :], axis=-1).astype(jnp.int32)
  return jnp.maximum(columns - 2, 0), jnp.all(columns >= 2, axis=-1)


def to_graph(archs: Archs) -> Graph:
  """The data flow with operations on nodes, in string order.

  Nodes are input, e0..e5, output, labeled by `FEATURE_COLUMNS`; the edges are
  0->1, 0->2, 0->4, 1->3, 1->5, 2->6, 3->6, 4->7, 5->7, 6->7 for every cell.
  AG-Net lays its graphs out in this order. DiffusionNAG and OptiProxy-NAS
  publish the adjacency of the edge order 01, 02, 03, 12, 13, 23 or 01, 02, 12,
  03, 13, 23 with labels in another one; `edge_source_adjacency` is
  DiffusionNAG's.
  """
  return to_soft_graph(jax.nn.one_hot(archs, len(OPERATIONS)))


def to_soft_graph(options: jax.Array) -> Graph:
  """`to_graph` of weights of the operations, `f32[..., 6, 5]`.

  No edge is free: every variable labels one node.
  """
  one_hot = np.eye(len(FEATURE_COLUMNS), dtype=np.float32)
  shape = (*options.shape[:-2], 1, len(FEATURE_COLUMNS))
  first, last = (
    jnp.broadcast_to(row.reshape((1,) * (options.ndim - 1) + (-1,)), shape)
    for row in one_hot[:2]
  )
  padding = [(0, 0)] * (options.ndim - 1) + [(2, 0)]
  nodes = jnp.concatenate([first, jnp.pad(options, padding), last], axis=-2)
  adjacency = jnp.asarray(_adjacency(_SUCCESSORS))
  return Graph(
    nodes, jnp.broadcast_to(adjacency, (*nodes.shape[:-2], *adjacency.shape))
  )


def encode(archs: Archs) -> layouts.LabeledGraphs:
  """AG-Net's graphs: input, e0..e5, output, with the edges of `to_graph`."""
  types = jnp.asarray(layouts.positions(OPERATIONS, GENERATED_LABELS))
  labels = jnp.pad(types[archs], [(0, 0)] * (archs.ndim - 1) + [(1, 1)])
  labels = labels.at[..., 0].set(GENERATED_LABELS.index("input"))
  source, target = graphs.edge_ends(NUM_EDGES + 2)
  edges = to_graph(archs).adjacency[..., source, target] > 0
  return layouts.LabeledGraphs(labels[..., None, :], edges[..., None, :])


def decode(
  written: layouts.LabeledGraphs, scores: jax.Array
) -> tuple[Archs, jax.Array]:
  """Reads AG-Net's graphs; valid are those that `encode` writes.

  An operation that is none reads 0.
  """
  del scores
  numbers = jnp.asarray(layouts.positions(GENERATED_LABELS, OPERATIONS))
  archs = jnp.maximum(numbers[written.labels[..., 0, 1:-1]], 0)
  expected = encode(archs)
  same_labels = jnp.all(written.labels == expected.labels, axis=(-2, -1))
  same_edges = jnp.all(written.edges == expected.edges, axis=(-2, -1))
  return archs, same_labels & same_edges


def relax(nodes: jax.Array, edges: jax.Array) -> jax.Array:
  """Weights of the operations that scores stand for, `f32[..., 6, 5]`.

  What a node may be besides an operation has no weight, so that weights may sum
  to less than 1.

  Args:
    nodes: `f32[..., 1, 8, T]` logits of node types.
    edges: not looked at: they are the same in all cells.
  """
  del edges
  place = layouts.positions(OPERATIONS, GENERATED_LABELS)
  return jax.nn.softmax(nodes[..., 0, 1:-1, :], axis=-1)[..., place]


def edge_source_adjacency() -> jax.Array:
  """Adjacency for the edge order 01, 02, 03, 12, 13, 23, `f32[8, 8]`.

  DiffusionNAG masks attention with it although its rows follow the string order
  (so the labels of edges 0->3 and 1->2 sit on each other's node).
  """
  return jnp.asarray(_adjacency(_EDGE_SOURCE_SUCCESSORS))


def canonicalize(archs: Archs) -> Archs:
  """Maps each cell to the first cell that NAS-Bench-201 calls the same.

  The rule is the benchmark's own: a node is the sorted sum of its inputs, skip
  connections vanish, and an edge is zero if it is `none` or leaves a node whose
  only input is zero. Sums are sorted where they are formed and not flattened,
  which leaves 6,466 classes (full flattening would leave 5,755). Isomorphic
  cells have different rows, and different noise, in the tables.
  """
  space = nasbench201()
  representative = jnp.asarray(_representatives())
  return space.from_index(representative[space.index(archs)])


@functools.cache
def _representatives() -> np.ndarray:
  """Index of the representative of every cell, `int32[15625]`."""
  first: dict[str, int] = {}
  cells = nasbench201().all_architectures().tolist()
  return np.asarray(
    [first.setdefault(_expression(c), i) for i, c in enumerate(cells)], np.int32
  )


def _expression(cell: Sequence[int]) -> str:
  """The computation of a cell as a string; equal strings, equal networks."""
  inputs: list[list[str]] = [[], [], [], []]
  values = ["0"]
  for op, source, target in zip(cell, SOURCES, TARGETS, strict=True):
    if len(values) == source:  # Edges arrive by target: the source is complete.
      values.append("+".join(sorted(inputs[source])))
    value, name = values[source], OPERATIONS[op]
    if name == "none" or value == "#":
      inputs[target].append("#")
    elif name == "skip_connect":
      inputs[target].append(value)
    else:
      inputs[target].append(f"({value})@{name}")
  return "+".join(sorted(inputs[3]))


def _adjacency(successors: Sequence[Sequence[int]]) -> np.ndarray:
  matrix = np.zeros((len(successors), len(successors)), np.float32)
  for node, targets in enumerate(successors):
    matrix[node, list(targets)] = 1.0
  return matrix
