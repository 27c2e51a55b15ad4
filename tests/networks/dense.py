"""Random graphs, and the layers of the networks in NumPy, float64."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from nagjax.types import Graph


def graphs(*leading, num_nodes=5, num_labels=3, seed=0):
  """Random one-hot labels and upper-triangular edges with weights."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, num_labels, (*leading, num_nodes))
  shape = (*leading, num_nodes, num_nodes)
  edges = rng.integers(0, 2, shape) * rng.uniform(0.5, 1.0, shape)
  return Graph(
    jnp.asarray(np.eye(num_labels)[labels], jnp.float32),
    jnp.asarray(np.triu(edges, 1), jnp.float32),
  )


def permuted(graph, order):
  """The same graph with its nodes in another order."""
  return Graph(
    graph.nodes[..., order, :], graph.adjacency[..., order, :][..., order]
  )


def weights(network, seed=0):
  """Random weights of the shapes of `init`, none of which is 0."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  return jax.tree.map(
    lambda leaf: jnp.asarray(
      rng.normal(size=leaf.shape) / np.sqrt(leaf.shape[0]), jnp.float32
    ),
    shapes,
  )


def linear(layer, x):
  """`x W + b`, or without `b` where the layer has none."""
  kernel = np.asarray(layer["kernel"], np.float64)
  return x @ kernel + np.asarray(layer.get("bias", 0.0), np.float64)


def layer_norm(layer, x):
  """Mean 0 and variance 1 over the last axis, then scale and bias."""
  centered = x - x.mean(-1, keepdims=True)
  x = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
  return x * np.asarray(layer["scale"]) + np.asarray(layer["bias"])


def relu(x):
  """`max(0, x)`."""
  return np.maximum(x, 0)


def gelu_erf(x):
  """`x Phi(x)` with the normal distribution function."""
  return x * special.ndtr(x)


def gelu_tanh(x):
  """Hendrycks and Gimpel's approximation."""
  inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
  return 0.5 * x * (1 + np.tanh(inner))
