"""The views of a space that says nothing but how many options it has.

Its graph has an input, one node for each variable and an output; the input
leads to every variable, and each to the output. A node is labeled by its
variable and option together (`x2=0`), because the same option of two variables
need not mean the same.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import graphs
from nagjax.spaces import layouts
from nagjax.types import Archs
from nagjax.types import Graph

_PATTERN = re.compile(r"\d{1,9}(,\d{1,9})*")


def all_vectors(cardinalities: tuple[int, ...]) -> np.ndarray:
  """Every vector, `int32[prod of K_l, L]`, the first variable fastest.

  Example:
    >>> all_vectors((2, 3)).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]
  """
  rank = np.arange(np.prod(cardinalities))
  strides = np.cumprod((1, *cardinalities[:-1]))
  digits = rank[:, None] // strides % np.asarray(cardinalities)
  return digits.astype(np.int32)


def in_range(cardinalities: tuple[int, ...], archs: Archs) -> jax.Array:
  """Whether every variable has one of its options, `bool[...]`.

  Example:
    >>> archs = np.asarray([[3, 0, 2], [4, 0, 0]])
    >>> jax.jit(in_range, static_argnums=0)((4, 4, 3), archs).tolist()
    [True, False]
  """
  num = along_last(cardinalities, archs.ndim)
  return jnp.all((archs >= 0) & (archs < num), axis=-1)


def along_last(values: Sequence[int] | np.ndarray, ndim: int) -> jax.Array:
  """A vector as an array of rank `ndim`, `int32[1, ..., 1, L]`.

  Example:
    >>> along_last([4, 4, 3], 2).tolist()
    [[4, 4, 3]]
  """
  return jnp.asarray(values, jnp.int32).reshape((1,) * (ndim - 1) + (-1,))


def canonicalize(archs: Archs) -> Archs:
  """Returns its `int32[..., L]`: every vector is a computation of its own.

  Example:
    >>> canonicalize(np.asarray([3, 0, 2])).tolist()
    [3, 0, 2]
  """
  return archs


def to_string(arch: Sequence[int]) -> str:
  """Names one architecture by its options, separated by commas.

  Example:
    >>> to_string([3, 0, 2])
    '3,0,2'
  """
  return ",".join(str(int(option)) for option in arch)


def from_string(string: str) -> np.ndarray:
  """Inverse of `to_string`, `int32[L]`.

  Raises:
    ValueError: if the string is no list of numbers.

  Example:
    >>> from_string("3,0,2").tolist()
    [3, 0, 2]
  """
  if not _PATTERN.fullmatch(string):
    raise ValueError(
      f"An architecture is written like '3,0,2', got {string[:80]!r}."
    )
  return np.asarray(string.split(","), np.int32)


def from_features(
  cardinalities: Sequence[int], features: jax.Array
) -> tuple[Archs, jax.Array]:
  """Decodes a one-hot matrix by the arg-max of its rows; ties go to the left.

  Args:
    cardinalities: `L` numbers of options.
    features: `f32[..., L, K]`.

  Returns:
    `int32[..., L]` and `bool[...]` whether every variable has the option that
    its row chose. Where one has not, its last option is read.

  Example:
    >>> weights = np.asarray([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    >>> archs, valid = jax.jit(from_features, static_argnums=0)((2, 3), weights)
    >>> archs.tolist(), bool(valid)
    ([0, 2], True)
  """
  chosen = jnp.argmax(features, axis=-1).astype(jnp.int32)
  last = along_last(np.asarray(cardinalities) - 1, chosen.ndim)
  return jnp.minimum(chosen, last), jnp.all(chosen <= last, axis=-1)


def to_soft_graph(cardinalities: tuple[int, ...], options: jax.Array) -> Graph:
  """The graph of the module for weights of options, `f32[..., L, K]`.

  Labels are input, output, and the options of every variable.

  Example:
    >>> uniform = np.full((2, 3), 1 / 3)
    >>> graph = jax.eval_shape(lambda x: to_soft_graph((3, 3), x), uniform)
    >>> graph.nodes.shape, graph.adjacency.shape
    ((4, 8), (4, 4))
  """
  num = len(cardinalities)
  variable, option = _pairs(cardinalities)
  batch = options.shape[:-2]
  nodes = jnp.zeros((*batch, num + 2, len(variable) + 2), jnp.float32)
  nodes = nodes.at[..., 0, 0].set(1.0).at[..., num + 1, 1].set(1.0)
  column = 2 + np.arange(len(variable))
  nodes = nodes.at[..., variable + 1, column].set(
    options[..., variable, option]
  )
  adjacency = jnp.asarray(_adjacency(num), jnp.float32)
  return Graph(nodes, jnp.broadcast_to(adjacency, (*batch, num + 2, num + 2)))


def layout(
  cardinalities: tuple[int, ...], is_valid: Callable[[Archs], jax.Array]
) -> layouts.GraphLayout:
  """How a generator writes the graphs of the module.

  No edge is free, so edges are not looked at when a graph is read.

  Args:
    cardinalities: `L` numbers of options.
    is_valid: of the space, `int32[..., L] -> bool[...]`.

  Example:
    >>> layout((4, 4), lambda archs: archs[..., 0] >= 0).labels[:4]
    ('output', 'input', 'x0=0', 'x0=1')
  """
  pairs = zip(*_pairs(cardinalities), strict=True)
  return layouts.GraphLayout(
    labels=("output", "input", *(f"x{v}={k}" for v, k in pairs)),
    num_nodes=len(cardinalities) + 2,
    num_inputs=1,
    num_graphs=1,
    encode=functools.partial(_encode, cardinalities),
    decode=functools.partial(_decode, cardinalities, is_valid),
    relax=functools.partial(_relax, cardinalities),
  )


def _encode(
  cardinalities: tuple[int, ...], archs: Archs
) -> layouts.LabeledGraphs:
  first = along_last(_first_labels(cardinalities), archs.ndim)
  padding = [(0, 0)] * (archs.ndim - 1) + [(1, 1)]
  labels = jnp.pad(archs + first, padding).at[..., 0].set(1)
  num = len(cardinalities)
  edges = jnp.asarray(_adjacency(num)[graphs.edge_ends(num + 2)])
  edges = jnp.broadcast_to(edges, (*archs.shape[:-1], 1, len(edges)))
  return layouts.LabeledGraphs(labels[..., None, :], edges)


def _decode(
  cardinalities: tuple[int, ...],
  is_valid: Callable[[Archs], jax.Array],
  written: layouts.LabeledGraphs,
  scores: jax.Array,
) -> tuple[Archs, jax.Array]:
  """Reads labels; valid if each is an option of its variable."""
  del scores
  labels = written.labels[..., 0, :]
  digits = labels[..., 1:-1] - along_last(
    _first_labels(cardinalities), labels.ndim
  )
  last = along_last(np.asarray(cardinalities) - 1, labels.ndim)
  archs = jnp.clip(digits, 0, last)
  valid = jnp.all(digits == archs, axis=-1) & is_valid(archs)
  return archs, valid & (labels[..., 0] == 1) & (labels[..., -1] == 0)


def _relax(
  cardinalities: tuple[int, ...], nodes: jax.Array, edges: jax.Array
) -> jax.Array:
  """Weights of options, `f32[..., L, K]`, 0 for those that do not exist."""
  del edges
  weights = jax.nn.softmax(nodes[..., 0, 1:-1, :], axis=-1)
  variable, option = _pairs(cardinalities)
  shape = (len(cardinalities), max(cardinalities))
  label = np.zeros(shape, np.int32)
  label[variable, option] = 2 + np.arange(len(variable))
  exists = np.arange(shape[1]) < np.asarray(cardinalities)[:, None]
  picked = weights[..., np.arange(shape[0])[:, None], label]
  return jnp.where(
    jnp.asarray(exists)[(None,) * (picked.ndim - 2)], picked, 0.0
  )


def _pairs(cardinalities: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Variable and option of every label, two `int[sum of K_l]` arrays."""
  variable = np.repeat(np.arange(len(cardinalities)), cardinalities)
  option = np.concatenate([np.arange(k) for k in cardinalities])
  return variable, option


def _first_labels(cardinalities: tuple[int, ...]) -> np.ndarray:
  """The label of the first option of each variable, `int[L]`."""
  return 2 + np.cumsum((0, *cardinalities[:-1]))


def _adjacency(num_variables: int) -> np.ndarray:
  """From the input to every variable, and from each to the output."""
  matrix = np.zeros((num_variables + 2,) * 2, bool)
  matrix[0, 1:-1] = matrix[1:-1, -1] = True
  return matrix
