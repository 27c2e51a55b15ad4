"""Vectors of NAS-Bench-NLP cells inside compiled programs, and their graphs.

The vector of a cell of `nasbench_nlp` is

  1    k - 1, for k states
  3    the nodes that are h_new_0, h_new_1, h_new_2
  21   operations of the nodes, one of `OPERATIONS`: with their number of inputs
  63   inputs of the nodes, three each: 0 is `x`, 1..3 are `h_prev_(v - 1) mod
       k`, and 4 + i is node i, of those before

What an operation does not read, states from the k-th on and nodes that lead to
no state do not count. A vector is a cell if its states are different nodes, no
node reads the same input twice, and `x` and all k previous states are read.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs
from nagjax.spaces import layouts
from nagjax.types import Archs
from nagjax.types import Graph

OPERATIONS = (
  ("activation_tanh", 1),
  ("activation_sigm", 1),
  ("activation_leaky_relu", 1),
  ("linear", 2),
  ("linear", 3),
  ("blend", 3),
  ("elementwise_sum", 2),
  ("elementwise_sum", 3),
  ("elementwise_prod", 2),
  ("elementwise_prod", 3),
)
"""Name and number of inputs of every operation."""

LABELS = (
  "output",
  "input",
  "activation_sigm",
  "activation_tanh",
  "activation_leaky_relu",
  "elementwise_sum",
  "elementwise_prod",
  "linear",
  "blend",
)
"""Columns of the graphs' node labels, in AG-Net's order."""

MAX_NODES = 21
MAX_INPUTS = 3
MAX_STATES = 3
INPUTS = ("x", "h_prev_0", "h_prev_1", "h_prev_2")
NUM_VERTICES = len(INPUTS) + MAX_NODES + 1

_SOURCES = len(INPUTS) + np.arange(MAX_NODES)
"""How many inputs each node may choose from."""

CARDINALITIES = (
  MAX_STATES,
  *(MAX_NODES,) * MAX_STATES,
  *(len(OPERATIONS),) * MAX_NODES,
  *np.repeat(_SOURCES, MAX_INPUTS).tolist(),
)
NUM_VARIABLES = len(CARDINALITIES)
NUM_OPTIONS = max(CARDINALITIES)
FIRST_OPERATION = 1 + MAX_STATES
FIRST_INPUT = FIRST_OPERATION + MAX_NODES
_ARITY = np.asarray([arity for _, arity in OPERATIONS], np.int32)
_IS_BLEND = np.asarray([name == "blend" for name, _ in OPERATIONS])
_INPUT = LABELS.index("input")


class _Parts(NamedTuple):
  """A vector by meaning, with N nodes and three slots.

  Attributes:
    num_states: `int32[...]` 1..3.
    states: `int32[..., 3]` nodes.
    operations: `int32[..., N]`.
    inputs: `int32[..., N, 3]` vertices; previous states are those that exist.
    reads: `bool[..., N, 3]` whether the operation has such an input.
  """

  num_states: jax.Array
  states: jax.Array
  operations: jax.Array
  inputs: jax.Array
  reads: jax.Array


def is_valid(archs: Archs) -> jax.Array:
  """Whether vectors are cells, `int32[..., 88] -> bool[...]`.

  Example:
    >>> jax.eval_shape(is_valid, np.zeros((5, NUM_VARIABLES), int)).shape
    (5,)
  """
  parts = _parts(archs)
  counts = _counts(parts)
  used = _used(counts, parts)
  in_nodes = used[..., len(INPUTS) :, None] & (counts > 1)
  repeats = jnp.any(in_nodes, axis=(-2, -1))
  exists = _up_to(parts.num_states, MAX_STATES)
  a, b, c = jnp.moveaxis(parts.states, -1, 0)
  same = (exists[..., 1] & (a == b)) | (exists[..., 2] & ((a == c) | (b == c)))
  missing = jnp.any(exists & ~used[..., 1 : len(INPUTS)], axis=-1)
  sound = used[..., 0] & ~missing & ~repeats & ~same
  return sound & base.in_range(CARDINALITIES, archs)


def canonicalize(archs: Archs) -> Archs:
  """One `int32[..., 88]` for all that differ in what does not count.

  Used nodes move to the front in their order, inputs of all operations but
  `blend` are sorted, what is not read is 0. Recipes whose nodes are listed in
  different orders remain different vectors.

  Example:
    >>> jax.eval_shape(canonicalize, np.zeros((5, NUM_VARIABLES), int)).shape
    (5, 88)
  """
  parts = _parts(archs)
  used = _used(_counts(parts), parts)[..., len(INPUTS) :]
  rank = jnp.cumsum(used, axis=-1, dtype=jnp.int32) - 1
  known = jnp.arange(len(INPUTS), dtype=jnp.int32)
  known = jnp.broadcast_to(known, (*rank.shape[:-1], len(INPUTS)))
  vertex = jnp.concatenate([known, len(INPUTS) + rank], axis=-1)
  inputs = jnp.take_along_axis(vertex[..., None, :], parts.inputs, axis=-1)
  # Slots that are not read sort behind all others, and then read 0.
  inputs = jnp.where(parts.reads, inputs, NUM_VERTICES)
  is_blend = jnp.asarray(_IS_BLEND)[parts.operations]
  inputs = jnp.where(is_blend[..., None], inputs, jnp.sort(inputs, axis=-1))
  inputs = jnp.where(parts.reads, inputs, 0)
  order = jnp.argsort(~used, axis=-1, stable=True)
  kept = _up_to(jnp.sum(used, axis=-1), MAX_NODES)
  operations = jnp.take_along_axis(parts.operations, order, axis=-1)
  inputs = jnp.take_along_axis(inputs, order[..., None], axis=-2)
  states = jnp.take_along_axis(rank, parts.states, axis=-1)
  exists = _up_to(parts.num_states, MAX_STATES)
  inputs = jnp.where(kept[..., None], inputs, 0)
  variables = [
    parts.num_states[..., None] - 1,
    jnp.where(exists, states, 0),
    jnp.where(kept, operations, 0),
    inputs.reshape((*archs.shape[:-1], MAX_NODES * MAX_INPUTS)),
  ]
  return jnp.concatenate(variables, axis=-1).astype(jnp.int32)


def to_features(archs: Archs) -> jax.Array:
  """One-hot options of all variables, `f32[..., 88, 24]`.

  Example:
    >>> there_and_back = lambda archs: from_features(to_features(archs))
    >>> jax.eval_shape(there_and_back, np.zeros((5, 88), int))[0].shape
    (5, 88)
  """
  return jax.nn.one_hot(archs, NUM_OPTIONS, dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes rows by the largest of their options; ties go to the left.

  Returns:
    `int32[..., 88]` vectors and `bool[...]` whether each is a cell.
  """
  exists = np.arange(NUM_OPTIONS) < np.asarray(CARDINALITIES)[:, None]
  features = jnp.where(_leading(exists, features.ndim), features, -jnp.inf)
  archs = jnp.argmax(features, axis=-1).astype(jnp.int32)
  return archs, is_valid(archs)


def to_graph(archs: Archs) -> Graph:
  """The cell as a graph: four inputs, 21 nodes, one output.

  Rows of vertices that do not count are zero (AG-Net labels them "output").
  The nodes that are new states lead to the output.

  Returns:
    Nodes `f32[..., 26, 9]`, labeled by `LABELS`; adjacency `f32[..., 26, 26]`.

  Example:
    >>> graph = jax.eval_shape(to_graph, np.zeros(NUM_VARIABLES, int))
    >>> graph.nodes.shape, graph.adjacency.shape
    ((26, 9), (26, 26))
  """
  parts = _parts(archs)
  used = _used(_counts(parts), parts)
  output = jnp.ones((*used.shape[:-1], 1), bool)
  used = jnp.concatenate([used, output], axis=-1).astype(jnp.float32)
  nodes, adjacency = to_soft_graph(to_features(archs))
  adjacency = adjacency * used[..., :, None] * used[..., None, :]
  return Graph(nodes * used[..., None], jnp.minimum(adjacency, 1.0))


def to_soft_graph(options: jax.Array) -> Graph:
  """The graph of weights of the options, `f32[..., 88, 24]`, not pruned.

  Linear in each variable's row: an edge weighs as much as the choice of the
  source by an input, times that of an operation that reads this input (and,
  for previous states, times that of their number).

  Example:
    >>> options = np.zeros((NUM_VARIABLES, NUM_OPTIONS))
    >>> graph = jax.eval_shape(to_soft_graph, options)
    >>> graph.nodes.shape, graph.adjacency.shape
    ((26, 9), (26, 26))
  """
  batch = options.shape[:-2]
  num_states = options[..., 0, :MAX_STATES]
  states = options[..., 1:FIRST_OPERATION, :MAX_NODES]
  operations = options[..., FIRST_OPERATION:FIRST_INPUT, : len(OPERATIONS)]
  slots = options[..., FIRST_INPUT:, : _SOURCES[-1]]
  slots = slots.reshape((*batch, MAX_NODES, MAX_INPUTS, _SOURCES[-1]))
  reads = (_ARITY[:, None] > np.arange(MAX_INPUTS)).astype(np.float32)
  edges = jnp.einsum("...io,os,...isv->...iv", operations, reads, slots)
  index = np.arange(MAX_STATES)
  fold = index[None] % (index[:, None] + 1)  # `[k - 1, j]`: state read for j.
  fold = np.eye(MAX_STATES, dtype=np.float32)[fold]
  previous = jnp.einsum(
    "...k,kjm,...ij->...im", num_states, fold, edges[..., 1 : len(INPUTS)]
  )
  edges = edges.at[..., 1 : len(INPUTS)].set(previous)
  exists = (index <= index[:, None]).astype(np.float32)
  outputs = jnp.einsum("...k,kj,...jn->...n", num_states, exists, states)
  earlier = np.arange(_SOURCES[-1]) < _SOURCES[:, None]
  edges = jnp.where(_leading(earlier, edges.ndim), edges, 0.0)
  adjacency = jnp.zeros((*batch, NUM_VERTICES, NUM_VERTICES), options.dtype)
  adjacency = adjacency.at[..., : _SOURCES[-1], len(INPUTS) : -1].set(
    jnp.swapaxes(edges, -1, -2)
  )
  adjacency = adjacency.at[..., len(INPUTS) : -1, -1].set(outputs)
  labels = [LABELS.index(name) for name, _ in OPERATIONS]
  one_hot = np.eye(len(LABELS), dtype=np.float32)[labels]
  nodes = jnp.zeros((*batch, NUM_VERTICES, len(LABELS)), options.dtype)
  nodes = nodes.at[..., : len(INPUTS), LABELS.index("input")].set(1.0)
  nodes = nodes.at[..., len(INPUTS) : -1, :].set(operations @ one_hot)
  nodes = nodes.at[..., -1, LABELS.index("output")].set(1.0)
  return Graph(nodes, adjacency)


def encode(archs: Archs) -> base.LabeledGraphs:
  """AG-Net's graphs: the four inputs, the used nodes in order, the output.

  Labels are `int32[..., 1, 26]`. All inputs are there, read or not. Nodes that
  are states lead to the output; which state each is, and the order of the
  inputs of a `blend`, is not written.

  Example:
    >>> written = jax.eval_shape(encode, np.zeros(NUM_VARIABLES, int))
    >>> archs, valid = jax.eval_shape(decode, written, written.edges)
    >>> archs.shape, valid.shape
    ((88,), ())
  """
  nodes, adjacency = to_graph(archs)
  labels = jnp.argmax(nodes, axis=-1).astype(jnp.int32)
  labels = labels.at[..., : len(INPUTS)].set(_INPUT)
  return layouts.write(labels, adjacency > 0)


def decode(
  written: base.LabeledGraphs, scores: jax.Array
) -> tuple[Archs, jax.Array]:
  """Reads AG-Net's graphs up to the first output, as `int32[..., 88]`.

  States are numbered, and inputs of operations listed, in the order of nodes:
  so `decode(encode(archs))` is the same cell if its states and the inputs of
  each `blend` are in that order, and else the cell in which they are. The last
  node must be a state; of more than three, it and the two whose edges to the
  output have the highest scores are. A previous state that the cell does not
  have is one that it has, as in the vector. Edges from inputs to the output are
  not read.

  Valid are graphs that start with four inputs, have operations up to the
  output, a fitting number of edges into every node that leads to a state, and
  satisfy `is_valid`.

  Differs from the program, which finds scores of states in the last column of
  the matrix whatever the number of nodes, has no rule for the number of edges
  into a node, and takes at most 42 edges in all.
  """
  labels, edges = written.labels[..., 0, :], written.edges[..., 0, :]
  end = layouts.end(labels)
  exists = _up_to(end - len(INPUTS), MAX_NODES)
  sources = jnp.swapaxes(graphs.adjacency_matrix(edges, NUM_VERTICES), -1, -2)
  sources = sources[..., len(INPUTS) : -1, :]
  arity = jnp.sum(sources, axis=-1, dtype=jnp.int32)
  inner = labels[..., len(INPUTS) : -1]
  operations = jnp.asarray(_operation_table())[
    inner, jnp.minimum(arity, MAX_INPUTS + 1)
  ]
  fits = operations >= 0
  order = jnp.argsort(~sources, axis=-1, stable=True)[..., :MAX_INPUTS]
  reads = (fits & exists)[..., None] & _up_to(arity, MAX_INPUTS)
  states, num_states, sound = _read_states(edges, scores[..., 0, :], end)
  variables = [
    jnp.maximum(num_states, 1)[..., None] - 1,
    states,
    jnp.where(fits & exists, operations, 0),
    jnp.where(reads, order, 0).reshape((*end.shape, MAX_NODES * MAX_INPUTS)),
  ]
  archs = jnp.concatenate(variables, axis=-1).astype(jnp.int32)
  parts = _parts(archs)
  used = _used(_counts(parts), parts)[..., len(INPUTS) :]
  valid = sound & is_valid(archs) & jnp.all(fits | ~used, axis=-1)
  valid &= jnp.all(labels[..., : len(INPUTS)] == _INPUT, axis=-1)
  return archs, valid & jnp.all((inner > _INPUT) | ~exists, axis=-1)


def _read_states(
  edges: jax.Array, scores: jax.Array, end: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The nodes that lead to the output.

  Returns:
    `int32[..., 3]` nodes in their order, 0 where there are fewer; `int32[...]`
    how many; `bool[...]` whether the last node is one of them.
  """
  nodes = slice(len(INPUTS), -1)
  linked = layouts.edges_into(edges, end, NUM_VERTICES)[..., nodes]
  scores = layouts.edges_into(scores, end, NUM_VERTICES)[..., nodes]
  last = end[..., None] - 1 - len(INPUTS)
  is_last = _leading(jnp.arange(MAX_NODES), scores.ndim) == last
  value = jnp.where(linked, jnp.where(is_last, jnp.inf, scores), -jnp.inf)
  best, node = jax.lax.top_k(value, MAX_STATES)
  states = jnp.sort(jnp.where(best > -jnp.inf, node, MAX_NODES), axis=-1)
  exists = states < MAX_NODES
  return (
    jnp.where(exists, states, 0),
    jnp.sum(exists, axis=-1, dtype=jnp.int32),
    jnp.any(linked & is_last, axis=-1),
  )


def _operation_table() -> np.ndarray:
  """Operation of a label and a number of inputs up to four; -1 if none."""
  table = np.full((len(LABELS), MAX_INPUTS + 2), -1, np.int32)
  for number, (name, arity) in enumerate(OPERATIONS):
    table[LABELS.index(name), arity] = number
  return table


def _parts(archs: Archs) -> _Parts:
  """Takes vectors apart."""
  num_states = archs[..., 0] + 1
  operations = archs[..., FIRST_OPERATION:FIRST_INPUT]
  shape = (*archs.shape[:-1], MAX_NODES, MAX_INPUTS)
  inputs = archs[..., FIRST_INPUT:].reshape(shape)
  previous = 1 + (inputs - 1) % jnp.expand_dims(num_states, (-1, -2))
  is_previous = (inputs > 0) & (inputs < len(INPUTS))
  return _Parts(
    num_states,
    archs[..., 1:FIRST_OPERATION],
    operations,
    jnp.where(is_previous, previous, inputs),
    _up_to(jnp.asarray(_ARITY)[operations], MAX_INPUTS),
  )


def _counts(parts: _Parts) -> jax.Array:
  """How often each node reads each vertex, `int8[..., N, 4 + N]`."""
  vertex = jnp.arange(len(INPUTS) + MAX_NODES)
  vertex = _leading(vertex, parts.inputs.ndim + 1)
  hits = (parts.inputs[..., None] == vertex) & parts.reads[..., None]
  return jnp.sum(hits, axis=-2, dtype=jnp.int8)


def _used(counts: jax.Array, parts: _Parts) -> jax.Array:
  """Which inputs and nodes lead to a state, `bool[..., 4 + N]`."""
  vertex = _leading(jnp.arange(counts.shape[-1]), parts.states.ndim + 1)
  exists = _up_to(parts.num_states, MAX_STATES)
  is_state = parts.states[..., None] + len(INPUTS) == vertex
  used = jnp.any(is_state & exists[..., None], axis=-2)

  def visit(
    used: jax.Array, item: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, None]:  # From the last node on: its readers are done.
    node, reads = item
    return used | (used[..., len(INPUTS) + node, None] & reads), None

  nodes = (jnp.arange(MAX_NODES), jnp.moveaxis(counts > 0, -2, 0))
  return jax.lax.scan(visit, used, nodes, reverse=True)[0]


def _up_to(count: jax.Array, num: int) -> jax.Array:
  """The first `count` of `num` places, `bool[..., num]`."""
  return _leading(jnp.arange(num), count.ndim + 1) < count[..., None]


def _leading(array: jax.Array | np.ndarray, ndim: int) -> jax.Array:
  """An array with leading axes of size one, up to rank `ndim`."""
  return jnp.asarray(array).reshape((1,) * (ndim - array.ndim) + array.shape)
