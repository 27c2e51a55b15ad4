"""AG-Net's graphs of DARTS cells, between labels and (source, operation).

A graph has eleven nodes: the two inputs, the eight operations, of which two
feed each of the nodes 2..5 of the cell, and the output. An operation that reads
from node 2..5 has edges from both operations of that node; all eight lead to
the output.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734
"""

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs

LABELS = (
  "output",
  "input",
  "input_1",
  "identity",
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
"""Node types of AG-Net's graphs, in its order."""
NUM_NODES = 11

_IDENTITY = LABELS.index("identity")
_FIRST_OPERATION = _IDENTITY + 1  # The seven operations follow in our order.
_SKIP = LABELS.index("skip_connect")
_SOURCE, _TARGET = graphs.edge_ends(NUM_NODES)
_CELL_NODE = np.asarray([0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6])
"""The node of the cell to which each node of the graph belongs; 6 is the
output."""


def write(operations: jax.Array, sources: jax.Array) -> base.LabeledGraphs:
  """Writes cells as graphs.

  A skip connection is labeled `skip_connect`, as AG-Net does with the cells of
  NAS-Bench-301; no graph is given the label `identity`.

  Differs from the program, which writes the second operation of node 5 as a
  reader of node 3 where it reads node 2.

  Args:
    operations: `int32[..., C, 8]` of each cell, two for each node.
    sources: `int32[..., C, 8]` nodes of the cell that they read.

  Example:
    >>> operations = np.zeros((1, 8), int)
    >>> sources = np.asarray([[0, 1] * 4])
    >>> written = jax.eval_shape(write, operations, sources)
    >>> written.labels.shape, written.edges.shape
    ((1, 11), (1, 55))
    >>> scores = np.zeros((1, 55))
    >>> [leaf.shape for leaf in jax.eval_shape(read, written, scores)]
    [(1, 8), (1, 8), (1,)]
  """
  padding = [(0, 0)] * (operations.ndim - 1)
  labels = jnp.pad(operations + _FIRST_OPERATION, [*padding, (2, 1)])
  labels = labels.at[..., 0].set(LABELS.index("input"))
  labels = labels.at[..., 1].set(LABELS.index("input_1"))
  reads = jnp.pad(sources, [*padding, (2, 1)], constant_values=-1)
  shape = (1,) * (operations.ndim - 1) + (-1,)
  edges = reads[..., _TARGET] == _CELL_NODE[_SOURCE].reshape(shape)
  into_output = (_TARGET == NUM_NODES - 1) & (_SOURCE > 1)
  return base.LabeledGraphs(labels, edges | into_output.reshape(shape))


def read(
  written: base.LabeledGraphs, scores: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Reads graphs as cells.

  A node reads from an earlier one if any edge leads from that to one of its
  operations. Of more than two sources it keeps the two whose possible edges
  have the highest sum of log-sigmoid scores. Its first operation then reads the
  earlier source. Edges into the output are not looked at. `identity` is a skip
  connection.

  Differs from the program, which gives node 2 the generated operations 0 and 1,
  node 3 1 and 2, node 4 2 and 3, node 5 3 and 4, and leaves the others.

  Args:
    written: any graphs, labels `[..., C, 11]`.
    scores: `f32[..., C, 55]` logits of the edges.

  Returns:
    Operations and sources, two times `int32[..., C, 8]`, and `bool[..., C]`
    whether each graph is a cell: two inputs, eight operations, an output, and
    two sources for each node. Sources are those of some cell even if not.
  """
  source, target = _CELL_NODE[_SOURCE], _CELL_NODE[_TARGET]
  node, earlier = np.arange(2, 6)[:, None, None], np.arange(5)[:, None]
  leads = (target == node) & (source == earlier) & (earlier < node)
  leads = leads.reshape((1,) * (scores.ndim - 1) + leads.shape)
  linked = jnp.any(leads & written.edges[..., None, None, :], axis=-1)
  logs = jax.nn.log_sigmoid(scores)[..., None, None, :]
  total = jnp.sum(jnp.where(leads, logs, 0.0), axis=-1)
  best, sources = jax.lax.top_k(jnp.where(linked, total, -jnp.inf), 2)
  labels = written.labels
  operations = labels[..., 2:-1]
  valid = jnp.all(best > -jnp.inf, axis=(-2, -1))
  valid &= jnp.all(operations >= _IDENTITY, axis=-1)
  for place, name in ((0, "input"), (1, "input_1"), (-1, "output")):
    valid &= labels[..., place] == LABELS.index(name)
  operations = jnp.where(operations == _IDENTITY, _SKIP, operations)
  operations = jnp.maximum(operations - _FIRST_OPERATION, 0)
  sources = jax.lax.collapse(jnp.sort(sources, axis=-1), sources.ndim - 2)
  return operations, sources, valid
