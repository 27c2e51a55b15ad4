"""Light networks that guide a sampler, and learn in a few hundred steps.

They read what DiffusionNAG's predictors of noisy architectures read (An et al.,
ICLR 2024, https://arxiv.org/abs/2305.16943, section 3.3): rows and a noise
level. Differs from those, which are in `noisy`: no saturating layer, since with
few steps a hyperbolic tangent stays where it falls, and rows are probabilities.
"""

import jax
import jax.numpy as jnp

from nagjax.networks import gcn
from nagjax.networks import score
from nagjax.networks.base import GuideNetwork
from nagjax.networks.base import Network
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params

_LONGEST = 1000.0
"""Condition of the strongest noise, as of `999 t`."""


def gcn_guide(
  num_nodes: int, num_labels: int, *, hidden_size: int, num_layers: int = 3
) -> GuideNetwork:
  """Graph convolutions, with the noise level as a further column of each row.

  Args:
    num_nodes: `n`.
    num_labels: `F`, columns of a node's row.
    hidden_size: width of every layer.
    num_layers: graph convolutions.
  """
  network = gcn.gcn(
    num_nodes,
    num_labels + 1,
    gcn.Config(hidden_size=hidden_size, num_layers=num_layers),
  )

  def apply(
    params: Params,
    x: jax.Array,
    condition: jax.Array,
    adjacency: jax.Array,
    *,
    code: jax.Array | None = None,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    del code
    level = jnp.broadcast_to(
      condition[..., None, None] / _LONGEST, (*x.shape[:-1], 1)
    )
    graph = Graph(
      jnp.concatenate([x, level], axis=-1),
      jnp.broadcast_to(adjacency, (*x.shape[:-2], num_nodes, num_nodes)),
    )
    return network.apply(params, graph, dropout_key=dropout_key)[..., 0]

  return Network(network.init, apply)


def transformer_guide(
  num_nodes: int, num_labels: int, *, hidden_size: int, num_layers: int = 2
) -> GuideNetwork:
  """The score network's transformer; what it says of all entries is added up.

  Args:
    num_nodes: `n`.
    num_labels: `F`, columns of a node's row.
    hidden_size: width, a multiple of 4.
    num_layers: blocks.
  """
  network = score.score(
    num_nodes,
    num_labels,
    score.Config(
      num_layers=num_layers,
      width=hidden_size,
      num_heads=4,
      feed_forward=2 * hidden_size,
      head_width=2 * hidden_size,
      dropout=0.0,
    ),
    positions=tuple(range(num_nodes)),
  )

  def apply(
    params: Params,
    x: jax.Array,
    condition: jax.Array,
    adjacency: jax.Array,
    *,
    code: jax.Array | None = None,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    del code
    output = network.apply(
      params, x, condition, adjacency, dropout_key=dropout_key
    )
    return jnp.sum(output, axis=(-2, -1)) / num_labels

  return Network(network.init, apply)
