"""A multi-layer perceptron on flattened graphs."""

import dataclasses

from flax import linen as nn
import jax

from nagjax.networks.base import GraphNetwork
from nagjax.networks.layers import as_network
from nagjax.networks.layers import check_config
from nagjax.networks.layers import flatten
from nagjax.types import Graph


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    hidden_size: width of every layer.
    num_layers: hidden layers.
    num_heads: outputs.
    dropout: rate behind every layer.
  """

  hidden_size: int = 64
  num_layers: int = 2
  num_heads: int = 1
  dropout: float = 0.0

  def __post_init__(self) -> None:
    check_config(self)


def mlp(
  num_nodes: int, num_labels: int, config: Config | None = None
) -> GraphNetwork:
  """Builds the network; it knows nodes by their position only."""
  return as_network(_Mlp(config or Config()), num_nodes, num_labels)


class _Mlp(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, graph: Graph, deterministic: bool) -> jax.Array:
    x = flatten(graph)
    for _ in range(self.config.num_layers):
      x = nn.gelu(nn.Dense(self.config.hidden_size)(x))
      x = nn.Dropout(self.config.dropout)(x, deterministic=deterministic)
    return nn.Dense(self.config.num_heads)(x)
