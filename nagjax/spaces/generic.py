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
  """Every vector, `int32[prod of K_l, L]`, the first variable fastest."""
  rank = np.arange(np.prod(cardinalities))
  strides = np.cumprod((1, *cardinalities[:-1]))
  digits = rank[:, None] // strides % np.asarray(cardinalities)
  return digits.astype(np.int32)


def canonicalize(archs: Archs) -> Archs:
  """Returns what it is given: every vector is a computation of its own."""
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
  """
  chosen = jnp.argmax(features, axis=-1).astype(jnp.int32)
  last = _along_last(np.asarray(cardinalities) - 1, chosen.ndim)
  return jnp.minimum(chosen, last), jnp.all(chosen <= last, axis=-1)


def to_soft_graph(cardinalities: tuple[int, ...], options: jax.Array) -> Graph:
  """The graph of the module for weights of options, `f32[..., L, K]`.

  Labels are input, output, and the options of every variable.
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
    is_valid: of the space.
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
  first = _along_last(_first_labels(cardinalities), archs.ndim)
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
  digits = labels[..., 1:-1] - _along_last(
    _first_labels(cardinalities), labels.ndim
  )
  last = _along_last(np.asarray(cardinalities) - 1, labels.ndim)
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


def _along_last(values: np.ndarray, ndim: int) -> jax.Array:
  return jnp.asarray(values, jnp.int32).reshape((1,) * (ndim - 1) + (-1,))
