"""Graph convolutions along and against the edges, for small labeled graphs.

The proxy of Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based
End-to-End Neural Architecture Search", section 2.3, after Wen et al., "Neural
Predictor for Neural Architecture Search", ECCV 2020,
https://arxiv.org/abs/1912.00848
"""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp

from nagjax.networks.base import GraphNetwork
from nagjax.networks.layers import as_network
from nagjax.networks.layers import check_config
from nagjax.networks.layers import row_normalize
from nagjax.types import Graph


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    hidden_size: width of every layer, `H`.
    num_layers: graph convolutions.
    num_heads: outputs.
    dropout: rate behind every layer and before the head.
    published: the published program's form: ReLU instead of GELU in the layers,
      nothing between pooling and the linear head, and nodes without a label
      (padding) counted like others.
  """

  hidden_size: int = 32
  num_layers: int = 2
  num_heads: int = 1
  dropout: float = 0.0
  published: bool = False

  def __post_init__(self) -> None:
    check_config(self)


def gcn(
  num_nodes: int, num_labels: int, config: Config | None = None
) -> GraphNetwork:
  """Builds the network.

  A layer is `LayerNorm(W [act(A' X U) ; act(A'' X V)])`, where `A'` is the
  adjacency with self-loops, its rows scaled to sum 1, and `A''` the same of its
  transpose. The nodes' mean goes through the head.

  Differs from the paper: separate `U` and `V` for the two directions (as
  published); rows without a label, which are padding, do not enter the mean.

  Args:
    num_nodes: `N`.
    num_labels: size of the label rows.
    config: see `Config`.
  """
  return as_network(_Gcn(config or Config()), num_nodes, num_labels)


class _Gcn(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, graph: Graph, deterministic: bool) -> jax.Array:
    config = self.config
    x, adjacency = graph
    num = adjacency.shape[-1]
    looped = adjacency + jnp.eye(num).reshape(
      (1,) * (adjacency.ndim - 2) + (num, num)
    )
    along = row_normalize(looped)
    against = row_normalize(jnp.swapaxes(along, -1, -2))
    present = jnp.sum(x, axis=-1, keepdims=True)
    activation = nn.relu if config.published else nn.gelu
    for _ in range(config.num_layers):
      # Activated before they are joined: on CPUs XLA takes twice as long for an
      # activation of joined halves.
      halves = [
        activation(
          matrix
          @ nn.Dense(
            config.hidden_size,
            use_bias=False,
            kernel_init=nn.initializers.xavier_uniform(),
          )(x)
        )
        for matrix in (along, against)
      ]
      x = jnp.concatenate(halves, axis=-1)
      x = nn.Dense(config.hidden_size)(x)
      x = nn.LayerNorm(epsilon=1e-5)(x)
      x = nn.Dropout(config.dropout)(x, deterministic=deterministic)
    if not config.published:
      x = x * present
    # The size of the space's graphs, not of this one: large graphs weigh more.
    pooled = jnp.sum(x, axis=-2) / num
    if not config.published:
      pooled = nn.Dense(config.hidden_size)(pooled)
    pooled = nn.gelu(pooled, approximate=not config.published)
    pooled = nn.Dropout(config.dropout)(pooled, deterministic=deterministic)
    return nn.Dense(config.num_heads, use_bias=False)(pooled)
