"""DARTS cells: the space of NAS-Bench-301.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
https://arxiv.org/abs/1806.09055
Zela et al., "Surrogate NAS Benchmarks: Going Beyond the Limited Search Spaces
of Tabular NAS Benchmarks", ICLR 2022, https://arxiv.org/abs/2008.09777

A network repeats two cells, normal and reduction. A cell has two inputs (nodes
0 and 1) and four nodes 2..5; each of these sums two operations, which read from
two different earlier nodes. The cell's output concatenates nodes 2..5.

An architecture is the vector of the normal cell followed by that of the
reduction cell. A cell's vector holds eight operations (two for each node, the
one with the smaller source first) and three numbers that choose the pair of
sources of nodes 3, 4 and 5 among `PAIRS`; node 2 always reads from (0, 1).
Every vector is an architecture, and no two are the same genotype.

Nothing is identified by `canonicalize`: cells whose nodes are renamed compute
the same up to the order of the output's channels, but carry other genotypes,
and NAS-Bench-301 predicts other values for them.
"""

from collections.abc import Sequence
import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nagjax.spaces import base
from nagjax.spaces import darts_layout
from nagjax.spaces.checks import checked_archs
from nagjax.types import Archs
from nagjax.types import Graph

OPERATIONS = (
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
CELLS = ("normal", "reduce")
PAIRS = {n: tuple(itertools.combinations(range(n), 2)) for n in range(2, 6)}
"""Pairs of sources of each node, in lexicographic order."""

GRAPH_LABELS = ("input", *OPERATIONS, "output")
"""Columns of `Graph.nodes`."""

_NUM_OPS = 8
_CHOOSING = (3, 4, 5)
_CARDINALITIES = (len(OPERATIONS),) * _NUM_OPS + (3, 6, 10)
_CELL_SIZE = len(_CARDINALITIES)
_NUM_OPTIONS = max(_CARDINALITIES)
_CELL_NODES = 11  # Two inputs, eight operations, the output.
_FIRST_EDGE = {2: 0, 3: 2, 4: 5, 5: 9}
_NUM_EDGES = 14

_PAIR = re.compile(r"\('(\w+)',(\d+)\)")
_LIST = r"\[((?:\('\w+',\d+\)(?:,|(?=\])))*)\]"
_CONCAT = r"(?:range\(2,6\)|\[2,3,4,5\])"
_PATTERN = re.compile(
  rf"Genotype\(normal={_LIST},normal_concat={_CONCAT},"
  rf"reduce={_LIST},reduce_concat={_CONCAT}\)"
)


@functools.cache
def darts() -> base.SearchSpace:
  """Returns the space of the 1.1e18 pairs of DARTS cells.

  Example:
    >>> darts().num_architectures
    1076746950455072400
  """
  cardinalities = _CARDINALITIES * len(CELLS)
  topology = (False,) * _NUM_OPS + (True,) * len(_CHOOSING)
  return base.SearchSpace(
    name="darts",
    cardinalities=cardinalities,
    to_string=to_string,
    from_string=from_string,
    to_features=to_features,
    from_features=from_features,
    feature_shape=(len(cardinalities), _NUM_OPTIONS),
    to_graph=to_graph,
    to_soft_graph=to_soft_graph,
    is_valid=functools.partial(base.in_range, cardinalities),
    num_architectures=math.prod(cardinalities),
    topology=topology * len(CELLS),
    layout=base.GraphLayout(
      labels=darts_layout.LABELS,
      num_nodes=darts_layout.NUM_NODES,
      num_inputs=2,
      num_graphs=len(CELLS),
      encode=encode,
      decode=decode,
    ),
  )


def to_string(arch: Sequence[int]) -> str:
  """Writes one architecture as the genotype text of the DARTS programs.

  Example:
    >>> to_string([3] * 8 + [0] * 3 + [2] * 8 + [0] * 3)[:34]
    "Genotype(normal=[('sep_conv_3x3', "
  """
  parts = []
  for name, cell in zip(CELLS, to_genotype(arch).tolist(), strict=True):
    pairs = [(OPERATIONS[op], source) for source, op in cell]
    parts.append(f"{name}={pairs}, {name}_concat=range(2, 6)")
  return f"Genotype({', '.join(parts)})"


def from_string(string: str) -> np.ndarray:
  """Reads a genotype text into `int32[22]`.

  The two pairs of a node may come in either order, and the concatenated nodes
  as `range(2, 6)` or as a list.

  Raises:
    ValueError: if the text has another form or is no cell of this space.

  Example:
    >>> arch = [3] * 8 + [0] * 3 + [2] * 8 + [0] * 3
    >>> from_string(to_string(arch)).tolist() == arch
    True
  """
  text = "".join(string.split()).replace('"', "'")
  match = _PATTERN.fullmatch(text)
  if match is None:
    raise ValueError(
      "A DARTS genotype looks like Genotype(normal=[('sep_conv_3x3', 0), ...], "
      "normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6)), "
      f"got {string!r}."
    )
  cells = [_PAIR.findall(body) for body in match.groups()]
  for name, cell in zip(CELLS, cells, strict=True):
    unknown = {op for op, _ in cell} - set(OPERATIONS)
    if unknown:
      raise ValueError(
        f"Operations are {', '.join(OPERATIONS)}; got "
        f"{', '.join(sorted(unknown))} in {string!r}."
      )
    if len(cell) != _NUM_OPS:
      raise ValueError(
        f"The {name} cell must have {_NUM_OPS} operations, got {len(cell)}."
      )
  return from_genotype(
    [[(int(s), OPERATIONS.index(op)) for op, s in cell] for cell in cells]
  )


def to_genotype(arch: Sequence[int]) -> np.ndarray:
  """Pairs `(source, operation)` of one architecture, `int32[2, 8, 2]`.

  Raises:
    ValueError: if the vector is no architecture.

  Example:
    >>> genotype = to_genotype([3] * 8 + [0] * 3 + [2] * 8 + [0] * 3)
    >>> genotype[0, :3].tolist(), from_genotype(genotype)[:3].tolist()
    ([[0, 3], [1, 3], [0, 3]], [3, 3, 3])
  """
  vector = checked_archs("darts", _CARDINALITIES * len(CELLS), arch)
  genotype = np.empty((len(CELLS), _NUM_OPS, 2), np.int32)
  cells = np.reshape(vector, (len(CELLS), _CELL_SIZE))
  genotype[..., 1] = cells[:, :_NUM_OPS]
  for cell, chosen in zip(genotype, cells[:, _NUM_OPS:], strict=True):
    pairs = zip(_CHOOSING, chosen, strict=True)
    cell[:2, 0] = PAIRS[2][0]
    cell[2:, 0] = [source for n, i in pairs for source in PAIRS[n][i]]
  return genotype


def from_genotype(genotype: ArrayLike) -> np.ndarray:
  """Inverse of `to_genotype`; the two pairs of a node may be exchanged.

  Args:
    genotype: integers `[2, 8, 2]`: normal and reduction cell, two pairs
      `(source, operation)` for each of the nodes 2..5.

  Returns:
    `int32[22]`.

  Raises:
    ValueError: if it is no cell of this space.
  """
  cells = np.asarray(genotype)
  if cells.shape != (len(CELLS), _NUM_OPS, 2):
    raise ValueError(
      f"A genotype must have shape (2, {_NUM_OPS}, 2), got {cells.shape}."
    )
  parts = [_vector(n, c) for n, c in zip(CELLS, cells.tolist(), strict=True)]
  return np.asarray([v for part in parts for v in part], np.int32)


def to_features(archs: Archs) -> jax.Array:
  """One-hot options, one row a variable, padded with zeros, `f32[..., 22, 10]`.

  Rows follow the vector; columns are operations or pairs of sources.

  Example:
    >>> there_and_back = lambda archs: from_features(to_features(archs))
    >>> archs, valid = jax.jit(there_and_back)(np.arange(22) % 3)
    >>> archs[:6].tolist(), bool(valid)
    ([0, 1, 2, 0, 1, 2], True)
  """
  return jax.nn.one_hot(archs, _NUM_OPTIONS, dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes a 22 x 10 matrix by the arg-max of each row; ties go to the left.

  Columns beyond a row's options are padding and never chosen, so every matrix
  decodes to an architecture.

  Returns:
    `int32[..., 22]` and `bool[...]`, all true.
  """
  num = np.asarray(_CARDINALITIES * len(CELLS))
  options = jnp.asarray(np.arange(_NUM_OPTIONS) < num[:, None])
  masked = jnp.where(
    jnp.broadcast_to(options, features.shape), features, -jnp.inf
  )
  archs = jnp.argmax(masked, axis=-1).astype(jnp.int32)
  return archs, jnp.ones(archs.shape[:-1], bool)


def to_graph(archs: Archs) -> Graph:
  """The data flow of both cells, operations on nodes: `f32[..., 22, 9]`.

  Nodes of a cell: its two inputs, its eight operations in the order of the
  vector, its output; the reduction cell follows the normal cell, whose output
  feeds both of its inputs. Labels are `GRAPH_LABELS`. An operation that reads
  from node 2..5 has edges from both operations of that node; all eight feed the
  output. As laid out by OptiProxy-NAS.

  Example:
    >>> graph = jax.eval_shape(to_graph, np.zeros(22, int))
    >>> graph.nodes.shape, graph.adjacency.shape
    ((22, 9), (22, 22))
  """
  return to_soft_graph(to_features(archs))


def to_soft_graph(options: jax.Array) -> Graph:
  """`to_graph` of weights of the options, `f32[..., 22, 10]`.

  An edge into an operation weighs as much as all pairs with its source.

  Example:
    >>> jax.eval_shape(to_soft_graph, np.zeros((22, 10))).nodes.shape
    (22, 9)
  """
  batch = options.shape[:-2]
  fixed_nodes, fixed_edges, pair_edges = _graph_parts()
  topology = np.asarray(darts().topology)
  ops = options[..., np.flatnonzero(~topology), : len(OPERATIONS)]
  pairs = options[..., np.flatnonzero(topology), :]
  rows = np.flatnonzero(~fixed_nodes.any(axis=1))
  nodes = jnp.broadcast_to(fixed_nodes, (*batch, *fixed_nodes.shape))
  nodes = nodes.at[..., rows, 1:-1].set(ops)
  edges = jnp.einsum(
    "...vk,vkij->...ij", pairs, pair_edges, precision="highest"
  )
  return Graph(nodes, edges + jnp.broadcast_to(fixed_edges, edges.shape))


def encode(archs: Archs) -> base.LabeledGraphs:
  """AG-Net's graphs of the normal and the reduction cell.

  Nodes are those of one cell in `to_graph`; see `darts_layout.write`.

  Example:
    >>> there_and_back = lambda archs: decode(encode(archs), np.zeros((2, 55)))
    >>> archs, valid = jax.jit(there_and_back)(np.arange(22) % 3)
    >>> archs[:6].tolist(), bool(valid)
    ([0, 1, 2, 0, 1, 2], True)
  """
  cells = archs.reshape(*archs.shape[:-1], len(CELLS), _CELL_SIZE)
  return darts_layout.write(
    cells[..., :_NUM_OPS], _sources(cells[..., _NUM_OPS:])
  )


def decode(
  written: base.LabeledGraphs, scores: jax.Array
) -> tuple[Archs, jax.Array]:
  """Reads AG-Net's graphs; see `darts_layout.read`.

  The vectors are always architectures; valid is whether both graphs are cells.
  """
  operations, sources, valid = darts_layout.read(written, scores)
  low, high = sources[..., 2::2], sources[..., 3::2]
  node = jnp.asarray(_CHOOSING).reshape((1,) * (low.ndim - 1) + (-1,))
  # Before (low, high), `PAIRS` has those of lower first sources.
  chosen = low * (2 * node - low - 1) // 2 + high - low - 1
  cells = jnp.concatenate([operations, chosen], axis=-1)
  return jax.lax.collapse(cells, cells.ndim - 2), jnp.all(valid, axis=-1)


def _configspace_names() -> tuple[tuple[str, ...], np.ndarray]:
  """Names in ConfigSpace's order, and the column of each in ours."""
  names, conditional = [], []
  for cell in CELLS:
    names += [f"edge_{cell}_{edge}" for edge in range(_NUM_EDGES)]
    names += [f"inputs_node_{cell}_{node}" for node in _CHOOSING]
    conditional += [e >= 2 for e in range(_NUM_EDGES)] + [False] * 3
  order = sorted(range(len(names)), key=lambda i: (conditional[i], names[i]))
  return tuple(names[i] for i in order), np.asarray(order)


CONFIGSPACE_NAMES, _CONFIGSPACE_ORDER = _configspace_names()
"""Columns of `to_configspace`."""


def to_configspace(archs: Archs) -> jax.Array:
  """The encoding that NAS-Bench-301's boosted trees read, `f32[..., 34]`.

  Columns are `CONFIGSPACE_NAMES`, in the order of ConfigSpace: what is always
  active, then what depends on it, each by name as text. `edge_<cell>_<i>` is
  the operation on one of the 14 possible edges, numbered by target, then
  source, or NaN where there is none; `inputs_node_<cell>_<n>` is the pair of
  sources. NAS-Bench-301's own vector has columns for its constant training
  settings in between, and writes -1 for NaN.

  Example:
    >>> jax.eval_shape(to_configspace, np.zeros((5, 22), int)).shape
    (5, 34)
  """
  cells = archs.reshape(*archs.shape[:-1], len(CELLS), _CELL_SIZE)
  ops, chosen = cells[..., :_NUM_OPS], cells[..., _NUM_OPS:]
  first = np.repeat(list(_FIRST_EDGE.values()), 2)
  used = _sources(chosen) + first.reshape((1,) * archs.ndim + (-1,))
  active = jax.nn.one_hot(used, _NUM_EDGES, dtype=bool)
  op = jnp.sum(jnp.where(active, ops[..., None], 0), axis=-2)
  edges = jnp.where(jnp.any(active, axis=-2), op, jnp.nan)
  columns = jnp.concatenate([edges, chosen], axis=-1, dtype=jnp.float32)
  return jax.lax.collapse(columns, -2)[..., jnp.asarray(_CONFIGSPACE_ORDER)]


def to_statistics(archs: Archs) -> jax.Array:
  """Numbers that trees would have to count, `f32[..., 46]`.

  For each cell: how many of its operations are of each kind (7), how many of
  these read from an input (7), the readers of nodes 0..4 (5), and the depth of
  nodes 2..5, the most operations on a way from an input (4).

  Example:
    >>> jax.eval_shape(to_statistics, np.zeros((5, 22), int)).shape
    (5, 46)
  """
  cells = archs.reshape(*archs.shape[:-1], len(CELLS), _CELL_SIZE)
  ops = jax.nn.one_hot(cells[..., :_NUM_OPS], len(OPERATIONS))
  source = jax.nn.one_hot(_sources(cells[..., _NUM_OPS:]), 5)
  reads_input = jnp.sum(source[..., :2], axis=-1, keepdims=True)
  depth = jnp.zeros_like(source[..., 0, :2])
  for node in PAIRS:
    into = source[..., 2 * node - 4 : 2 * node - 2, :node]
    before = jnp.sum(into * depth[..., None, :], axis=-1)
    deepest = jnp.max(before, axis=-1, keepdims=True)
    depth = jnp.concatenate([depth, deepest + 1.0], axis=-1)
  counts = [jnp.sum(x, axis=-2) for x in (ops, ops * reads_input, source)]
  columns = jnp.concatenate([*counts, depth[..., 2:]], axis=-1)
  return jax.lax.collapse(columns, -2)


def _sources(chosen: jax.Array) -> jax.Array:
  """Source of every operation, `int32[..., 3] -> int32[..., 8]`."""
  table = np.zeros((len(_CHOOSING), _NUM_OPTIONS, 2), np.int32)
  for row, node in zip(table, _CHOOSING, strict=True):
    row[: len(PAIRS[node])] = PAIRS[node]
  pairs = jnp.asarray(table)[np.arange(len(_CHOOSING)), chosen]
  first = jnp.broadcast_to(jnp.asarray([0, 1]), (*chosen.shape[:-1], 2))
  return jnp.concatenate([first, jax.lax.collapse(pairs, -2)], axis=-1)


def _vector(name: str, cell: list[list[int]]) -> list[int]:
  """Checks one cell, `[8, 2]` pairs, and returns its part of the vector."""
  ops, chosen = [], []
  for node, pairs in PAIRS.items():
    start = 2 * (node - 2)
    (low, op), (high, other) = sorted(cell[start : start + 2])
    if (low, high) not in pairs:
      raise ValueError(
        f"Node {node} of the {name} cell must have two different sources in "
        f"0..{node - 1}, got {low} and {high}."
      )
    for number in (op, other):
      if number not in range(len(OPERATIONS)):
        raise ValueError(
          f"Operations are numbered 0..{len(OPERATIONS) - 1}, got {number} at "
          f"node {node} of the {name} cell."
        )
    ops += [op, other]
    chosen.append(pairs.index((low, high)))
  return ops + chosen[1:]


@functools.cache
def _graph_parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Fixed nodes `[22, 9]`, fixed edges `[22, 22]`, edges `[6, 10, 22, 22]`."""
  num = len(CELLS) * _CELL_NODES
  nodes = np.zeros((num, len(GRAPH_LABELS)), np.float32)
  edges = np.zeros((num, num), np.float32)
  chosen = np.zeros((2 * len(_CHOOSING), _NUM_OPTIONS, num, num), np.float32)
  for cell in range(len(CELLS)):
    start = cell * _CELL_NODES
    end = start + _CELL_NODES - 1
    nodes[start : start + 2, 0] = 1.0
    nodes[end, -1] = 1.0
    edges[start, start + 2] = edges[start + 1, start + 3] = 1.0
    edges[start + 2 : end, end] = 1.0
    for variable, node in enumerate(_CHOOSING, cell * len(_CHOOSING)):
      for option, pair in enumerate(PAIRS[node]):
        for target, source in zip(_rows(node), pair, strict=True):
          rows = start + np.asarray(_rows(source))
          chosen[variable, option, rows, start + target] = 1.0
  edges[_CELL_NODES - 1, _CELL_NODES : _CELL_NODES + 2] = 1.0
  return nodes, edges, chosen


def _rows(node: int) -> tuple[int, ...]:
  """Rows of a DARTS node in the graph of its cell: an input, or two ops."""
  return (node,) if node < 2 else (2 * node - 2, 2 * node - 1)
