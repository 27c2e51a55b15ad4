"""From a generator's logits to graphs.

Leading axes end with `C`, the graphs of one architecture; a network reads the
graphs of an architecture as one graph without edges between them.
"""

import jax
import jax.numpy as jnp

from nagjax.networks.generator import GraphLogits
from nagjax.spaces import graphs
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs
from nagjax.types import Graph


def choose(
  logits: GraphLogits,
  gumbel: jax.Array,
  logistic: jax.Array,
) -> LabeledGraphs:
  """Draws node types and edges, each by itself, from their logits.

  Args:
    logits: nodes `f32[..., n, T]` and edges `f32[..., n (n - 1) / 2]`.
    gumbel: standard Gumbel draws, as `logits.nodes`.
    logistic: standard logistic draws, as `logits.edges`.

  Returns:
    Graphs whose last node is the output.
  """
  labels = jnp.argmax(logits.nodes + gumbel, axis=-1)
  labels = labels.astype(jnp.int32).at[..., -1].set(0)
  return LabeledGraphs(labels, logits.edges + logistic > 0)


def relaxed_graphs(logits: GraphLogits) -> Graph:
  """Probabilities in the place of types and edges; differentiable.

  Args:
    logits: leading axes `[..., C]`.

  Returns:
    Nodes `f32[..., C n, T]`, adjacency `f32[..., C n, C n]`.
  """
  nodes = jax.nn.softmax(logits.nodes, axis=-1)
  # As in `choose`: the last node is the output, whatever its logits.
  last = jax.nn.one_hot(0, nodes.shape[-1])
  return _side_by_side(
    nodes.at[..., -1, :].set(last), jax.nn.sigmoid(logits.edges)
  )


def one_hot_graphs(labeled: LabeledGraphs, layout: GraphLayout) -> Graph:
  """The same form for graphs themselves."""
  nodes = jax.nn.one_hot(labeled.labels, len(layout.labels))
  return _side_by_side(nodes, labeled.edges.astype(jnp.float32))


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
