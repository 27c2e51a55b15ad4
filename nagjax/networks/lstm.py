"""A recurrent network that reads the nodes of a graph in topological order."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp

from nagjax.networks.base import GraphNetwork
from nagjax.networks.layers import as_network
from nagjax.networks.layers import check_config
from nagjax.types import Graph


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    hidden_size: width of the state.
    num_heads: outputs.
    dropout: rate before the head.
  """

  hidden_size: int = 64
  num_heads: int = 1
  dropout: float = 0.0

  def __post_init__(self) -> None:
    check_config(self)


def lstm(
  num_nodes: int, num_labels: int, config: Config | None = None
) -> GraphNetwork:
  """Builds the network.

  The input of a step is the label of a node and the column of the adjacency
  that says which nodes feed it; the last state goes through a linear head.

  Hochreiter and Schmidhuber, "Long short-term memory", 1997.
  """
  return as_network(_Lstm(config or Config()), num_nodes, num_labels)


class _Lstm(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, graph: Graph, deterministic: bool) -> jax.Array:
    sources = jnp.swapaxes(graph.adjacency, -1, -2)
    rows = jnp.concatenate([graph.nodes, sources], axis=-1)
    rows = rows.astype(jnp.float32)  # As the carry, in 64 bits too.
    cell = nn.OptimizedLSTMCell(self.config.hidden_size)
    last = jnp.asarray(nn.RNN(cell)(rows))[..., -1, :]
    last = nn.Dropout(self.config.dropout)(last, deterministic=deterministic)
    return nn.Dense(self.config.num_heads)(last)
