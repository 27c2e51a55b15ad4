"""Parts of graph layouts: how spaces write and read `LabeledGraphs`.

Label 0, the output, also marks the nodes behind it, which do not exist. Edges
are those of `graphs.edge_ends`.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import graphs
from nagjax.types import Archs


class LabeledGraphs(NamedTuple):
  """The graphs of architectures, as a generator writes them node by node.

  An architecture has `C` graphs of `n` nodes; see `GraphLayout`.

  Attributes:
    labels: `int32[..., C, n]` node types.
    edges: `bool[..., C, n (n - 1) / 2]`, numbered by target: (0, 1), (0, 2),
      (1, 2), (0, 3), ...
  """

  labels: jax.Array
  edges: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class GraphLayout:
  """How a generator writes the architectures of a space.

  Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
  Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, with the
  node types and node orders of its program.

  Attributes:
    labels: names of the `T` node types. The first is the output, which also
      marks nodes that do not exist; the next `num_inputs` are inputs.
    num_nodes: `n`.
    num_inputs: node types that are inputs.
    num_graphs: `C`, graphs of one architecture.
    encode: `int32[..., L] -> LabeledGraphs`.
    decode: `(graphs, scores f32[..., C, n (n - 1) / 2]) -> (archs, valid)`.
      Where a graph has too many edges, those of the highest scores stay.
    relax: `(node logits f32[..., C, n, T], edge logits f32[..., C, E]) ->
      f32[..., L, K]`, the weights of the options that scores stand for,
      differentiable; None if nobody said.
  """

  labels: tuple[str, ...]
  num_nodes: int
  num_inputs: int
  num_graphs: int
  encode: Callable[[Archs], LabeledGraphs]
  decode: Callable[[LabeledGraphs, jax.Array], tuple[Archs, jax.Array]]
  relax: Callable[[jax.Array, jax.Array], jax.Array] | None = None

  @property
  def num_edges(self) -> int:
    """Possible edges of one graph."""
    return self.num_nodes * (self.num_nodes - 1) // 2


def positions(names: Sequence[str], options: Sequence[str]) -> np.ndarray:
  """Where each name is among the options, `int32[len(names)]`; -1 if nowhere.

  Example:
    >>> positions(("output", "pool"), ("pool", "conv")).tolist()
    [-1, 0]
  """
  place = {option: index for index, option in enumerate(options)}
  return np.asarray([place.get(name, -1) for name in names], np.int32)


def write(labels: jax.Array, adjacency: jax.Array) -> LabeledGraphs:
  """Moves the nodes that do not exist behind the output.

  Args:
    labels: `int32[..., n]`; 0 for the output, which is last, and for what does
      not exist.
    adjacency: `bool[..., n, n]`, without edges of what does not exist.

  Returns:
    The one graph of each architecture: the other nodes, in their order, and the
    output directly behind them.

  Example:
    >>> adjacency = np.zeros((3, 3), bool)
    >>> adjacency[0, 2] = True  # Node 1 does not exist.
    >>> written = jax.jit(write)(np.asarray([1, 0, 0]), adjacency)
    >>> written.labels.tolist(), written.edges.tolist()
    ([[1, 0, 0]], [[True, False, False]])
  """
  missing = (labels == 0).at[..., -1].set(False)
  order = jnp.argsort(missing, axis=-1, stable=True)
  labels = jnp.take_along_axis(labels, order, axis=-1)
  rows = jnp.take_along_axis(adjacency, order[..., :, None], axis=-2)
  matrix = jnp.take_along_axis(rows, order[..., None, :], axis=-1)
  source, target = graphs.edge_ends(labels.shape[-1])
  edges = matrix[..., source, target]
  return LabeledGraphs(labels[..., None, :], edges[..., None, :])


def end(labels: jax.Array) -> jax.Array:
  """Place of the first output, `int32[..., n] -> int32[...]`; 0 if none.

  Example:
    >>> jax.jit(end)(np.asarray([1, 3, 0, 0])).tolist()
    2
  """
  return jnp.argmax(labels == 0, axis=-1).astype(jnp.int32)


def edges_into(
  edges: jax.Array, target: jax.Array, num_nodes: int
) -> jax.Array:
  """Values of the edges into one node of each graph.

  Args:
    edges: `[..., n (n - 1) / 2]` values.
    target: `int32[...]` nodes.
    num_nodes: `n`.

  Returns:
    `[..., n]`, by source; zero from the target on.

  Example:
    >>> values = np.asarray([7, 8, 9])  # Of (0, 1), (0, 2) and (1, 2).
    >>> jax.jit(edges_into, static_argnums=2)(values, 2, 3).tolist()
    [8, 9, 0]
  """
  source = jnp.arange(num_nodes).reshape((1,) * target.ndim + (-1,))
  target = target[..., None]
  earlier = source < target
  place = jnp.where(earlier, source + target * (target - 1) // 2, 0)
  values = jnp.take_along_axis(edges, place, axis=-1)
  return jnp.where(earlier, values, jnp.zeros_like(values))
