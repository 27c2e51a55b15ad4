"""Makes a `Network` of a flax module, which stays inside."""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from nagjax.networks.base import Network
from nagjax.networks.base import Weights
from nagjax.types import Graph
from nagjax.types import Key


def as_network(module: nn.Module, num_nodes: int, num_labels: int) -> Network:
  """Wraps a module whose call takes `(graph, deterministic)`."""
  example = Graph(
    jnp.zeros((num_nodes, num_labels)), jnp.zeros((num_nodes, num_nodes))
  )

  def init(key: Key) -> Weights:
    return module.init(key, example, deterministic=True)["params"]

  def apply(
    weights: Weights, graph: Graph, *, dropout_key: Key | None = None
  ) -> jax.Array:
    output = module.apply(
      {"params": weights},
      graph,
      deterministic=dropout_key is None,
      rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return jnp.asarray(output)

  return Network(init, apply)


def check_config(config: Any) -> None:
  """Checks the options of a network.

  Raises:
    ValueError: if a size is below 1 or `dropout` is not in [0, 1).
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if field.type is int and value < 1:
      raise ValueError(f"{field.name} must be at least 1, got {value}.")
  if not 0 <= config.dropout < 1:
    raise ValueError(f"dropout must be in [0, 1), got {config.dropout}.")


def flatten(graph: Graph) -> jax.Array:
  """A graph as one vector: labels by node, then edges by target.

  Edges are ordered (0, 1), (0, 2), (1, 2), (0, 3), ..., the layout of AG-Net.

  Args:
    graph: nodes `f32[..., N, K]`, adjacency `f32[..., N, N]`, upper triangular.

  Returns:
    `f32[..., N K + N (N - 1) / 2]`.
  """
  nodes, adjacency = graph
  num = adjacency.shape[-1]
  target, source = jnp.tril_indices(num, k=-1)
  edges = adjacency[..., source, target]
  return jnp.concatenate([nodes.reshape(*nodes.shape[:-2], -1), edges], axis=-1)
