"""Graph attention along and against the edges, dense and masked."""

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
    hidden_size: width of every layer.
    num_layers: attention layers.
    num_heads: outputs (not attention heads, of which a layer has one for each
      direction).
    dropout: rate behind every layer.
  """

  hidden_size: int = 32
  num_layers: int = 2
  num_heads: int = 1
  dropout: float = 0.0

  def __post_init__(self) -> None:
    check_config(self)


def gat(
  num_nodes: int, num_labels: int, config: Config | None = None
) -> GraphNetwork:
  """Builds the network.

  Attention of node i to j is `a_ij exp(leaky_relu(l_i + r_j))`, scaled to sum 1
  over j, where `a` is the adjacency with self-loops; so that weighted edges,
  those of relaxed graphs, count in proportion.

  Velickovic et al., "Graph Attention Networks", ICLR 2018,
  https://arxiv.org/abs/1710.10903
  """
  return as_network(_Gat(config or Config()), num_nodes, num_labels)


class _Gat(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, graph: Graph, deterministic: bool) -> jax.Array:
    x, adjacency = graph
    num = adjacency.shape[-1]
    loops = jnp.eye(num).reshape((1,) * (adjacency.ndim - 2) + (num, num))
    along = adjacency + loops
    against = jnp.swapaxes(along, -1, -2)
    for _ in range(self.config.num_layers):
      # Activated before they are joined, as in `gcn`: sooner on CPUs.
      halves = [nn.gelu(self._attend(x, edges)) for edges in (along, against)]
      x = nn.Dense(self.config.hidden_size)(jnp.concatenate(halves, axis=-1))
      x = nn.LayerNorm(epsilon=1e-5)(x)
      x = nn.Dropout(self.config.dropout)(x, deterministic=deterministic)
    pooled = nn.gelu(jnp.mean(x, axis=-2))
    return nn.Dense(self.config.num_heads)(pooled)

  def _attend(self, x: jax.Array, edges: jax.Array) -> jax.Array:
    values = nn.Dense(self.config.hidden_size)(x)
    left = nn.Dense(1, use_bias=False)(values)
    right = jnp.swapaxes(nn.Dense(1, use_bias=False)(values), -1, -2)
    logits = nn.leaky_relu(left + right, 0.2)
    # Any constant cancels; the largest over the edges keeps one weight at 1.
    largest = jnp.max(jnp.where(edges > 0, logits, -jnp.inf), -1, keepdims=True)
    logits = logits - jax.lax.stop_gradient(largest)
    share = edges * jnp.exp(jnp.where(edges > 0, logits, 0.0))
    share = share / jnp.sum(share, axis=-1, keepdims=True)
    return share @ values
