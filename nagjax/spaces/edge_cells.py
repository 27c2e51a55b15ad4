"""Cells of four nodes whose six edges carry operations.

The common ground of NAS-Bench-201 (Dong and Yang, ICLR 2020,
https://arxiv.org/abs/2001.00326) and the micro space of TransNAS-Bench-101
(Duan et al., CVPR 2021, https://arxiv.org/abs/2105.11871). A cell is the vector
of its operations in the order of the official strings, which is by target:
0->1, 0->2, 1->2, 0->3, 1->3, 2->3. Among the operations are `none` and
`skip_connect`.
"""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import graphs
from nagjax.spaces import layouts
from nagjax.types import Archs
from nagjax.types import Graph

NUM_EDGES = 6
SOURCES = (0, 0, 1, 0, 1, 2)
"""Source node of each edge."""
TARGETS = (1, 2, 2, 3, 3, 3)
"""Target node of each edge."""

NONE = "none"
SKIP = "skip_connect"

# Operation on node: e0 = 0->1 feeds the edges that leave node 1 (e2, e4), e1
# and e2 feed e5, and what enters node 3 feeds the output.
_SUCCESSORS = ((1, 2, 4), (3, 5), (6,), (6,), (7,), (7,), (7,), ())


def adjacency(
  successors: Sequence[Sequence[int]] = _SUCCESSORS,
) -> np.ndarray:
  """The line graph of a cell, `f32[8, 8]`: input, e0..e5, output.

  Args:
    successors: of every vertex; those of the string order by default.

  Example:
    >>> adjacency()[0].tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
  """
  matrix = np.zeros((len(successors), len(successors)), np.float32)
  for node, targets in enumerate(successors):
    matrix[node, list(targets)] = 1.0
  return matrix


def soft_graph(options: jax.Array) -> Graph:
  """The data flow with operations on nodes, of weights of the operations.

  Nodes are input, e0..e5, output; labels are input, output and the operations.
  The edges are 0->1, 0->2, 0->4, 1->3, 1->5, 2->6, 3->6, 4->7, 5->7, 6->7 for
  every cell: none is free, as every variable labels one node.

  Args:
    options: `f32[..., 6, K]`.

  Example:
    >>> graph = jax.eval_shape(soft_graph, np.full((6, 5), 0.2))
    >>> graph.nodes.shape, graph.adjacency.shape
    ((8, 7), (8, 8))
  """
  num_labels = 2 + options.shape[-1]
  one_hot = np.eye(num_labels, dtype=np.float32)
  shape = (*options.shape[:-2], 1, num_labels)
  first, last = (
    jnp.broadcast_to(row.reshape((1,) * (options.ndim - 1) + (-1,)), shape)
    for row in one_hot[:2]
  )
  padding = [(0, 0)] * (options.ndim - 1) + [(2, 0)]
  nodes = jnp.concatenate([first, jnp.pad(options, padding), last], axis=-2)
  edges = jnp.asarray(adjacency())
  return Graph(
    nodes, jnp.broadcast_to(edges, (*nodes.shape[:-2], *edges.shape))
  )


def layout(
  operations: tuple[str, ...], labels: tuple[str, ...]
) -> layouts.GraphLayout:
  """How a generator writes the cells: input, e0..e5, output.

  Args:
    operations: by their numbers.
    labels: the node types: output, input, and the operations in any order.

  Example:
    >>> layout(("none", "conv"), ("output", "input", "conv", "none")).num_nodes
    8
  """
  return layouts.GraphLayout(
    labels=labels,
    num_nodes=NUM_EDGES + 2,
    num_inputs=1,
    num_graphs=1,
    encode=functools.partial(_encode, operations, labels),
    decode=functools.partial(_decode, operations, labels),
    relax=functools.partial(_relax, operations, labels),
  )


def representatives(
  cells: np.ndarray, operations: tuple[str, ...], input_skips: bool
) -> np.ndarray:
  """For every cell the first one that is the same network (host).

  The rule is NAS-Bench-201's own: a node is the sorted sum of its inputs, skip
  connections vanish, and an edge is zero if it is `none` or leaves a node whose
  only input is zero. Sums are sorted where they are formed and not flattened.

  Args:
    cells: `int[A, 6]`.
    operations: by their numbers.
    input_skips: whether a skip connection from the input vanishes as well.
      Where a cell changes the resolution or the channels, it is a projection.

  Returns:
    `int32[A]` positions.

  Example:
    >>> cells = np.asarray([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    >>> representatives(cells, ("none", "skip_connect"), True).tolist()
    [0, 0]
  """
  first: dict[str, int] = {}
  return np.asarray(
    [
      first.setdefault(_expression(cell, operations, input_skips), position)
      for position, cell in enumerate(cells.tolist())
    ],
    np.int32,
  )


def _expression(
  cell: Sequence[int], operations: tuple[str, ...], input_skips: bool
) -> str:
  """The computation of a cell as a string; equal strings, equal networks."""
  inputs: list[list[str]] = [[], [], [], []]
  values = ["0"]
  for op, source, target in zip(cell, SOURCES, TARGETS, strict=True):
    if len(values) == source:  # Edges arrive by target: the source is complete.
      values.append("+".join(sorted(inputs[source])))
    value, name = values[source], operations[op]
    if name == NONE or value == "#":
      inputs[target].append("#")
    elif name == SKIP and (source or input_skips):
      inputs[target].append(value)
    else:
      inputs[target].append(f"({value})@{name}")
  return "+".join(sorted(inputs[3]))


def _encode(
  operations: tuple[str, ...], labels: tuple[str, ...], archs: Archs
) -> layouts.LabeledGraphs:
  types = jnp.asarray(layouts.positions(operations, labels))
  padding = [(0, 0)] * (archs.ndim - 1) + [(1, 1)]
  written = jnp.pad(types[archs], padding)
  written = written.at[..., 0].set(labels.index("input"))
  source, target = graphs.edge_ends(NUM_EDGES + 2)
  edges = jnp.asarray(adjacency()[source, target] > 0)
  edges = jnp.broadcast_to(edges, (*archs.shape[:-1], 1, len(edges)))
  return layouts.LabeledGraphs(written[..., None, :], edges)


def _decode(
  operations: tuple[str, ...],
  labels: tuple[str, ...],
  written: layouts.LabeledGraphs,
  scores: jax.Array,
) -> tuple[Archs, jax.Array]:
  """Valid is what `_encode` writes; an operation that is none reads 0."""
  del scores
  numbers = jnp.asarray(layouts.positions(labels, operations))
  archs = jnp.maximum(numbers[written.labels[..., 0, 1:-1]], 0)
  expected = _encode(operations, labels, archs)
  same_labels = jnp.all(written.labels == expected.labels, axis=(-2, -1))
  same_edges = jnp.all(written.edges == expected.edges, axis=(-2, -1))
  return archs, same_labels & same_edges


def _relax(
  operations: tuple[str, ...],
  labels: tuple[str, ...],
  nodes: jax.Array,
  edges: jax.Array,
) -> jax.Array:
  """Weights of the operations that scores stand for, `f32[..., 6, K]`.

  What a node may be besides an operation has no weight, so that weights may sum
  to less than 1. Edges are the same in all cells and are not looked at.
  """
  del edges
  place = layouts.positions(operations, labels)
  return jax.nn.softmax(nodes[..., 0, 1:-1, :], axis=-1)[..., place]
