"""NAS-Bench-101: cells of at most seven vertices and nine edges.

Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
ICML 2019, https://arxiv.org/abs/1902.09635

An architecture is the vector of 21 edges x -> y, numbered `x + y (y - 1) / 2`
and each absent (0) or present (1), and of the operations of vertices 1..5.
Vertex 0 is the input, vertex 6 the output. A vertex that lies on no path
between them is not part of the cell: so smaller cells are vectors too. A vector
is an architecture if such a path exists and at most nine edges remain. Many
vectors are one architecture; `canonicalize` and the space's `keys` tell.
"""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs
from nagjax.spaces import layouts
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
INPUT = "input"
OUTPUT = "output"
NUM_VERTICES = 7
NUM_EDGES = NUM_VERTICES * (NUM_VERTICES - 1) // 2
NUM_INNER = NUM_VERTICES - 2
NUM_VARIABLES = NUM_EDGES + NUM_INNER
MAX_EDGES = 9
NUM_ARCHITECTURES = 423_624

LABELS = (OUTPUT, INPUT, *OPERATIONS)
"""Columns of the graphs' node labels, in OptiProxy-NAS's order."""

GENERATED_LABELS = (
  OUTPUT,
  INPUT,
  "conv1x1-bn-relu",
  "conv3x3-bn-relu",
  "maxpool3x3",
)
"""Node types of AG-Net's graphs, in its order."""

_CARDINALITIES = (2,) * NUM_EDGES + (len(OPERATIONS),) * NUM_INNER
_ABSENT = 3
"""The digit of a vertex that is not part of the cell, in canonical codes."""

_NUM_CELL_TRIES = 24
"""Draws of `sample_cells` for one cell, of which a share of 0.269 is taken."""


@functools.cache
def nasbench101() -> base.SearchSpace:
  """Returns the space of all 423,624 NAS-Bench-101 cells.

  Example:
    >>> nasbench101().num_architectures
    423624
  """
  return base.SearchSpace(
    name="nasbench101",
    cardinalities=_CARDINALITIES,
    to_string=to_string,
    from_string=from_string,
    to_features=to_features,
    from_features=from_features,
    feature_shape=(NUM_VARIABLES, len(OPERATIONS)),
    to_graph=to_graph,
    to_soft_graph=to_soft_graph,
    canonicalize=canonicalize,
    is_valid=is_valid,
    num_architectures=NUM_ARCHITECTURES,
    topology=(True,) * NUM_EDGES + (False,) * NUM_INNER,
    sample_fn=sample_cells,
    key_fn=keys,
    layout=base.GraphLayout(
      labels=GENERATED_LABELS,
      num_nodes=NUM_VERTICES,
      num_inputs=1,
      num_graphs=1,
      encode=encode,
      decode=decode,
    ),
  )


def is_valid(archs: Archs) -> jax.Array:
  """Whether vectors are cells, `int32[..., 26] -> bool[...]`.

  Example:
    >>> jax.jit(is_valid)(np.zeros(26, np.int32)).tolist()  # Without edges.
    False
  """
  edges, present = _pruned(archs)
  connected = present[..., -1] & (jnp.sum(edges, axis=-1) <= MAX_EDGES)
  return connected & base.in_range(_CARDINALITIES, archs)


def codes(archs: Archs) -> jax.Array:
  """Names cells up to isomorphism, `int32[..., 26] -> int32[...]`.

  The `graphs.canonical_code` of the pruned graph, with operations as digits
  and 3 for vertices that are not part of the cell.

  Example:
    >>> cells = np.zeros((5, 26), np.int32)
    >>> [jax.eval_shape(f, cells).shape for f in (codes, keys, canonicalize)]
    [(5,), (5, 2), (5, 26)]
    >>> jax.eval_shape(from_codes, np.zeros(5, np.int32)).shape
    (5, 26)
  """
  edges, present = _pruned(archs)
  digits = jnp.where(present[..., 1:-1], archs[..., NUM_EDGES:], _ABSENT)
  return graphs.canonical_code(edges, digits)


def from_codes(code: jax.Array) -> Archs:
  """The canonical vectors of codes, `int32[...] -> int32[..., 26]`."""
  edges, digits = graphs.decode(code, NUM_VERTICES)
  operations = jnp.where(digits == _ABSENT, 0, digits)
  return jnp.concatenate([edges, operations], axis=-1).astype(jnp.int32)


def keys(archs: Archs) -> jax.Array:
  """Equal for isomorphic cells only, `int32[..., 26] -> uint32[..., 2]`."""
  code = codes(archs).astype(jnp.uint32)
  return jnp.stack([code, jnp.zeros_like(code)], axis=-1)


def canonicalize(archs: Archs) -> Archs:
  """The same `int32[..., 26]` for all that are one cell.

  Vertices that are not part of the cell come last among the inner ones, without
  edges and with operation 0.
  """
  return from_codes(codes(archs))


def sample_cells(key: Key, num: int) -> Archs:
  """Draws cells, each of the 423,624 with the same probability.

  A uniformly random vector favors cells that many vectors describe. Here a
  matrix of a whole cell and operations are drawn until the vector is the
  canonical one of its cell, of which there is exactly one. If none of 24 draws
  is (probability 0.0005), the last stands.

  Args:
    key: random key, consumed.
    num: number of cells; draws are independent.

  Returns:
    `int32[num, 26]`.

  Example:
    >>> jax.eval_shape(lambda k: sample_cells(k, 2), jax.random.key(0)).shape
    (2, 26)
  """
  matrix_key, operation_key = jax.random.split(key)
  matrices = jnp.asarray(_whole_matrices())
  draws = (num, _NUM_CELL_TRIES)
  chosen = jax.random.randint(
    matrix_key, draws, 0, matrices.shape[0], jnp.int32
  )
  operations = jax.random.randint(
    operation_key, (*draws, NUM_INNER), 0, len(OPERATIONS), jnp.int32
  )
  tries = jnp.concatenate([matrices[chosen], operations], axis=-1)
  taken = jnp.all(canonicalize(tries) == tries, axis=-1)
  first = jnp.argmax(taken.at[:, -1].set(True), axis=-1)
  return jnp.take_along_axis(tries, first[:, None, None], axis=1)[:, 0]


def to_graph(archs: Archs) -> Graph:
  """The pruned cell as a graph, operations on vertices.

  Rows of vertices that are not part of the cell are zero. Vertices keep their
  places: the output is vertex 6 of every cell (OptiProxy-NAS moves it up and
  puts the zero rows last).

  Returns:
    Nodes `f32[..., 7, 5]`, labeled by `LABELS`; adjacency `f32[..., 7, 7]`.

  Example:
    >>> conv = from_string("010001000:input,conv3x3-bn-relu,output")
    >>> jax.jit(to_graph)(conv).adjacency[0].tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> jax.eval_shape(to_soft_graph, np.zeros((26, 3))).adjacency.shape
    (7, 7)
  """
  edges, present = _pruned(archs)
  nodes, _ = to_soft_graph(
    jax.nn.one_hot(archs, len(OPERATIONS), dtype=jnp.float32)
  )
  adjacency = graphs.adjacency_matrix(edges.astype(jnp.float32), NUM_VERTICES)
  return Graph(nodes * present[..., None], adjacency)


def to_soft_graph(options: jax.Array) -> Graph:
  """The graph of weights of the options, `f32[..., 26, 3]`, not pruned.

  An edge has the weight of its option 1, an inner vertex the weights of its
  operations.
  """
  adjacency = graphs.adjacency_matrix(options[..., :NUM_EDGES, 1], NUM_VERTICES)
  shape = (*options.shape[:-2], NUM_VERTICES, len(LABELS))
  nodes = jnp.zeros(shape, options.dtype)
  nodes = nodes.at[..., 0, LABELS.index(INPUT)].set(1.0)
  nodes = nodes.at[..., -1, LABELS.index(OUTPUT)].set(1.0)
  nodes = nodes.at[..., 1:-1, 2:].set(options[..., NUM_EDGES:, :])
  return Graph(nodes, adjacency)


def encode(archs: Archs) -> base.LabeledGraphs:
  """AG-Net's graphs, labels `[..., 1, 7]`: the pruned cell, then its output."""
  edges, present = _pruned(archs)
  types = jnp.asarray(layouts.positions(OPERATIONS, GENERATED_LABELS))
  labels = jnp.pad(
    types[archs[..., NUM_EDGES:]], [(0, 0)] * (archs.ndim - 1) + [(1, 1)]
  )
  labels = labels.at[..., 0].set(GENERATED_LABELS.index(INPUT))
  return layouts.write(
    jnp.where(present, labels, 0), graphs.adjacency_matrix(edges, NUM_VERTICES)
  )


def decode(
  written: base.LabeledGraphs, scores: jax.Array
) -> tuple[Archs, jax.Array]:
  """Reads AG-Net's graphs up to the first output, as `int32[..., 26]`.

  The vectors are not pruned. Valid are those that start with an input, have
  operations up to the output and satisfy `is_valid`; a graph of more than nine
  edges is not one, whatever the scores.

  Example:
    >>> written = jax.eval_shape(encode, np.zeros((5, 26), np.int32))
    >>> jax.eval_shape(decode, written, written.edges)[0].shape
    (5, 26)
  """
  del scores
  labels, edges = written.labels[..., 0, :], written.edges[..., 0, :]
  end = layouts.end(labels)
  _, target = graphs.edge_ends(NUM_VERTICES - 1)
  kept = target.reshape((1,) * end.ndim + (-1,)) < end[..., None]
  inner = edges[..., : len(target)] & kept
  into_output = layouts.edges_into(edges, end, NUM_VERTICES)[..., :-1]
  numbers = jnp.asarray(layouts.positions(GENERATED_LABELS, OPERATIONS))
  operations = numbers[labels[..., 1:-1]]
  vertex = jnp.arange(1, 1 + NUM_INNER).reshape((1,) * end.ndim + (-1,))
  fits = (operations >= 0) | (vertex >= end[..., None])
  archs = jnp.concatenate(
    [inner, into_output, jnp.maximum(operations, 0)], axis=-1, dtype=jnp.int32
  )
  valid = is_valid(archs) & jnp.all(fits, axis=-1)
  return archs, valid & (labels[..., 0] == GENERATED_LABELS.index(INPUT))


def to_features(archs: Archs) -> jax.Array:
  """One-hot options of all variables, `f32[..., 26, 3]`.

  Rows 0..20 are the edges: absent, present, and a column that is always 0. Rows
  21..25 are the operations of vertices 1..5.

  Example:
    >>> conv = from_string("010001000:input,conv3x3-bn-relu,output")
    >>> archs, valid = jax.jit(from_features)(to_features(conv))
    >>> to_string(archs), bool(valid)
    ('010001000:input,conv3x3-bn-relu,output', True)
  """
  return jax.nn.one_hot(archs, len(OPERATIONS), dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes rows by their largest option; ties go to the left.

  The third column of an edge is not read.

  Returns:
    `int32[..., 26]` vectors and `bool[...]` whether each is a cell.
  """
  edges = jnp.argmax(features[..., :NUM_EDGES, :2], axis=-1)
  operations = jnp.argmax(features[..., NUM_EDGES:, :], axis=-1)
  archs = jnp.concatenate([edges, operations], axis=-1).astype(jnp.int32)
  return archs, is_valid(archs)


def to_matrix(arch: Sequence[int]) -> tuple[np.ndarray, tuple[str, ...]]:
  """The pruned cell as upstream writes it (host); see `from_matrix`.

  Returns:
    Adjacency `int64[V, V]`, strictly upper triangular, and the names of its
    vertices, in the order of the vector.

  Raises:
    ValueError: if the vector is no cell.
  """
  vector = np.asarray(arch)
  is_vector = vector.dtype.kind in "iu" and vector.shape == (NUM_VARIABLES,)
  if not is_vector or not (
    np.all(vector >= 0) and np.all(vector < np.asarray(_CARDINALITIES))
  ):
    raise ValueError(
      f"A NAS-Bench-101 vector has {NUM_EDGES} edges in 0..1 and {NUM_INNER} "
      f"operations in 0..2, got {vector.tolist()}."
    )
  matrix = np.zeros((NUM_VERTICES, NUM_VERTICES), np.int64)
  matrix[graphs.edge_ends(NUM_VERTICES)] = vector[:NUM_EDGES]
  inner = (OPERATIONS[op] for op in vector[NUM_EDGES:])
  return _prune(matrix, (INPUT, *inner, OUTPUT))


def from_matrix(
  adjacency: Sequence[Sequence[int]] | np.ndarray, operations: Sequence[str]
) -> np.ndarray:
  """Reads a cell as upstream writes it (host).

  Example:
    >>> conv = from_matrix([[0, 1, 0], [0, 0, 1], [0, 0, 0]],
    ...                    ["input", "conv3x3-bn-relu", "output"])
    >>> to_string(conv)
    '010001000:input,conv3x3-bn-relu,output'
    >>> to_matrix(conv)[0].tolist()
    [[0, 1, 0], [0, 0, 1], [0, 0, 0]]

  Args:
    adjacency: `[V, V]` zeros and ones, strictly upper triangular.
    operations: names of the vertices: `input`, any of `OPERATIONS`, `output`.

  Returns:
    `int32[26]`; vertices on no path from input to output are left out, the
    others keep their order.

  Raises:
    ValueError: if this is no cell: of another form, with an unknown operation,
      without a path from input to output, or with more than 7 vertices or 9
      edges on such paths.
  """
  matrix, names = np.asarray(adjacency), tuple(operations)
  shape = (len(names), len(names))
  if (
    matrix.shape != shape or len(names) < 2 or not np.isin(matrix, (0, 1)).all()
  ):
    raise ValueError(
      "A cell has one 0/1 matrix of V x V and V >= 2 operations, got shape "
      f"{matrix.shape} and {len(names)} operations."
    )
  if np.tril(matrix).any():
    raise ValueError(
      "Edges must lead from a lower to a higher vertex (a strictly upper "
      f"triangular matrix), got {matrix.tolist()}."
    )
  if (names[0], names[-1]) != (INPUT, OUTPUT) or not (
    set(names[1:-1]) <= set(OPERATIONS)
  ):
    raise ValueError(
      f"Operations are {INPUT}, any of {', '.join(OPERATIONS)}, and {OUTPUT}; "
      f"got {', '.join(names)}."
    )
  matrix, names = _prune(matrix.astype(np.int64), names)
  full = np.zeros((NUM_VERTICES, NUM_VERTICES), np.int32)
  place = [*range(len(names) - 1), NUM_VERTICES - 1]
  full[np.ix_(place, place)] = matrix
  arch = np.zeros(NUM_VARIABLES, np.int32)
  arch[:NUM_EDGES] = full[graphs.edge_ends(NUM_VERTICES)]
  inner = [OPERATIONS.index(name) for name in names[1:-1]]
  arch[NUM_EDGES : NUM_EDGES + len(inner)] = inner
  return arch


def to_string(arch: Sequence[int]) -> str:
  """Names one cell: its matrix by rows, a colon, its operations (host).

  Upstream has no string; matrix and operations are written as in its records.
  Isomorphic cells may have different strings.

  Raises:
    ValueError: if the vector is no cell.
  """
  matrix, names = to_matrix(arch)
  return "".join(map(str, matrix.ravel())) + ":" + ",".join(names)


def from_string(string: str) -> np.ndarray:
  """Reads `to_string`'s form into `int32[26]`; see `from_matrix`.

  Raises:
    ValueError: if the string has another form or names no cell.
  """
  bits, colon, names = string.strip().partition(":")
  operations = names.split(",")
  num = len(operations)
  if not colon or set(bits) - set("01") or len(bits) != num * num:
    raise ValueError(
      "A NAS-Bench-101 string is a 0/1 matrix by rows and its operations, such "
      f"as '010001000:input,{OPERATIONS[0]},output'; got {string!r}."
    )
  matrix = np.asarray([int(bit) for bit in bits], np.int64)
  return from_matrix(matrix.reshape(num, num), operations)


def _pruned(archs: Archs) -> tuple[jax.Array, jax.Array]:
  """Edges of the cell, `bool[..., 21]`, and its vertices, `bool[..., 7]`."""
  edges = archs[..., :NUM_EDGES] == 1
  present = graphs.on_a_path(graphs.adjacency_matrix(edges, NUM_VERTICES))
  source, target = graphs.edge_ends(NUM_VERTICES)
  return edges & present[..., source] & present[..., target], present


@functools.cache
def _whole_matrices() -> np.ndarray:
  """Edges of all cells without superfluous ones, `int32[M, 21]` (host).

  Inner vertices that are not part of the cell come last, as in canonical forms.
  """
  numbers = np.arange(1 << NUM_EDGES, dtype="<u4").view(np.uint8)
  edges = np.unpackbits(numbers.reshape(-1, 4), axis=1, bitorder="little")
  edges = edges[edges.sum(axis=1) <= MAX_EDGES, :NUM_EDGES]
  source, target = graphs.edge_ends(NUM_VERTICES)
  vertices = range(NUM_VERTICES)
  left = np.stack([edges[:, source == v].any(axis=1) for v in vertices], 1)
  entered = np.stack([edges[:, target == v].any(axis=1) for v in vertices], 1)
  inner = left[:, 1:-1]
  # In an acyclic graph this puts every vertex with an edge on a path.
  whole = left[:, 0] & entered[:, -1] & (inner == entered[:, 1:-1]).all(axis=1)
  whole &= (inner[:, :-1] >= inner[:, 1:]).all(axis=1)
  return edges[whole].astype(np.int32)


def _prune(
  matrix: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Leaves out what is on no path, and checks the published limits (host)."""
  num = len(names)
  reach = np.linalg.matrix_power(np.eye(num, dtype=np.int64) + matrix, num) > 0
  kept = np.flatnonzero(reach[0] & reach[:, -1])
  matrix = matrix[np.ix_(kept, kept)]
  if not len(kept):
    raise ValueError("A cell needs a path from its input to its output.")
  if len(kept) > NUM_VERTICES or matrix.sum() > MAX_EDGES:
    raise ValueError(
      f"A cell has at most {NUM_VERTICES} vertices and {MAX_EDGES} edges on "
      f"paths from input to output, got {len(kept)} and {matrix.sum()}."
    )
  return matrix, tuple(names[v] for v in kept)
