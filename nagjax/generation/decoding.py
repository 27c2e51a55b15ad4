"""From a generator's scores to graphs.

Leading axes end with `C`, the graphs of one architecture; a network reads the
graphs of an architecture as one graph without edges between them.
"""

import jax
import jax.numpy as jnp

from nagjax.networks.generator import Scores
from nagjax.spaces import graphs
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs
from nagjax.types import Graph


def choose(
  scores: Scores,
  gumbel: jax.Array,
  logistic: jax.Array,
) -> LabeledGraphs:
  """Draws node types and edges, each by itself, from their scores as logits.

  Args:
    scores: nodes `f32[..., n, T]` and edges `f32[..., n (n - 1) / 2]`.
    gumbel: standard Gumbel draws, as `scores.nodes`.
    logistic: standard logistic draws, as `scores.edges`.

  Returns:
    Graphs whose last node is the output.
  """
  labels = jnp.argmax(scores.nodes + gumbel, axis=-1)
  labels = labels.astype(jnp.int32).at[..., -1].set(0)
  return LabeledGraphs(labels, scores.edges + logistic > 0)


def relaxed_graphs(scores: Scores) -> Graph:
  """Probabilities in the place of types and edges; differentiable.

  Args:
    scores: leading axes `[..., C]`.

  Returns:
    Nodes `f32[..., C n, T]`, adjacency `f32[..., C n, C n]`.
  """
  nodes = jax.nn.softmax(scores.nodes, axis=-1)
  # As in `choose`: the last node is the output, whatever its scores.
  last = jax.nn.one_hot(0, nodes.shape[-1])
  return _side_by_side(
    nodes.at[..., -1, :].set(last), jax.nn.sigmoid(scores.edges)
  )


def one_hot_graphs(written: LabeledGraphs, layout: GraphLayout) -> Graph:
  """The same form for graphs themselves."""
  nodes = jax.nn.one_hot(written.labels, len(layout.labels))
  return _side_by_side(nodes, written.edges.astype(jnp.float32))


def _side_by_side(nodes: jax.Array, edges: jax.Array) -> Graph:
  """Joins `[..., C, n, T]` and `[..., C, E]` to one graph."""
  num_graphs, num_nodes = nodes.shape[-3:-1]
  adjacency = graphs.adjacency_matrix(edges, num_nodes)
  blocks = jnp.eye(num_graphs).reshape(
    (1,) * (edges.ndim - 2) + (num_graphs, 1, num_graphs, 1)
  )
  joined = blocks * adjacency[..., :, :, None, :]
  size = num_graphs * num_nodes
  return Graph(
    nodes.reshape(*nodes.shape[:-3], size, nodes.shape[-1]),
    joined.reshape(*joined.shape[:-4], size, size),
  )
