"""Predictors of DiffusionNAG that read noisy architectures, to guide sampling.

An, Lee, Jo, Lee and Hwang, "DiffusionNAG: Predictor-guided Neural Architecture
Generation with Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943,
section 3.3: one of graph convolutions for NAS-Bench-201, one of the score
network's transformer for MobileNetV3. Both may read the code of a data set as
well, see `set_encoder`.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.networks import layers
from nagjax.networks import score
from nagjax.networks.base import GuideNetwork
from nagjax.networks.base import Network
from nagjax.networks.layers import Affine
from nagjax.networks.set_encoder import CODE_SIZE
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class GcnConfig:
  """Static options; the defaults are the published training's.

  Attributes:
    num_layers: graph convolutions.
    hidden_size: width of each, even, `H`.
    graph_size: numbers that stand for a graph.
    head_width: of the head's hidden layer; the published weights for transfer
      have 512.
    set_size: numbers that stand for a data set; 0 for a predictor of one.
    dropout: rate behind every convolution, and of the graph's numbers.
  """

  num_layers: int = 4
  hidden_size: int = 144
  graph_size: int = 128
  head_width: int = 32
  set_size: int = CODE_SIZE
  dropout: float = 0.1

  def __post_init__(self) -> None:
    checks.sizes(self, set_size=0)
    if self.hidden_size < 4 or self.hidden_size % 2:
      raise ValueError(
        f"hidden_size must be even and at least 4, got {self.hidden_size}."
      )
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Static options; the defaults are the published training's.

  Attributes:
    encoder: of the score network that reads the architecture.
    head_width: of the head's hidden layer.
    set_size: numbers that stand for a data set; 0 for a predictor of one.
  """

  encoder: score.Config = score.Config(
    num_layers=2, num_heads=2, feed_forward=32
  )
  head_width: int = 512
  set_size: int = CODE_SIZE

  def __post_init__(self) -> None:
    checks.sizes(self, set_size=0)


class GcnParams(NamedTuple):
  """Of `noisy_gcn`.

  Attributes:
    layers: of every convolution, two matrices `f32[in, H]`, along and against
      the edges.
    time: two layers that read the noise level.
    graph: `f32[H, graph_size]`.
    head: two layers.
  """

  layers: tuple[tuple[jax.Array, jax.Array], ...]
  time: tuple[Affine, ...]
  graph: jax.Array
  head: tuple[Affine, ...]


class TransformerParams(NamedTuple):
  """Of `noisy_transformer`.

  Attributes:
    encoder: of the score network.
    graph: two layers that read its output, all nodes at once.
    head: two layers.
  """

  encoder: score.Params
  graph: tuple[Affine, ...]
  head: tuple[Affine, ...]


def noisy_gcn(
  num_nodes: int, num_labels: int, config: GcnConfig | None = None
) -> GuideNetwork:
  """Builds the predictor of NAS-Bench-201, by graph convolutions.

  A layer is the mean of `relu(A' X U)` and `relu(A'' X V)`, where `A'` is the
  adjacency with self-loops, its rows scaled to sum 1, and `A''` the same of its
  transpose. The code of the noise level joins the mean of the nodes only.

  Args:
    num_nodes: `n`.
    num_labels: `F`, columns of a node's row.
    config: see `GcnConfig`.
  """
  config = config or GcnConfig()
  return Network(
    functools.partial(_init_gcn, num_labels=num_labels, config=config),
    functools.partial(_apply_gcn, shape=(num_nodes, num_labels), config=config),
  )


def noisy_transformer(
  num_nodes: int,
  num_labels: int,
  config: TransformerConfig | None = None,
  *,
  positions: tuple[int, ...] | None = None,
) -> GuideNetwork:
  """Builds the predictor of MobileNetV3, by the score network's layers.

  Args:
    num_nodes: `n`.
    num_labels: `F`, columns of a node's row.
    config: see `TransformerConfig`.
    positions: see `score.score`; the published predictor has none.

  Raises:
    ValueError: if there is not one position for each node.
  """
  config = config or TransformerConfig()
  encoder = score.score(
    num_nodes, num_labels, config.encoder, positions=positions
  )
  size = num_nodes * num_labels

  def init(key: Key) -> TransformerParams:
    encoder_key, graph_key, head_key = jax.random.split(key, 3)
    return TransformerParams(
      encoder.init(encoder_key),
      layers.init_mlp(graph_key, size, 2 * size, 2 * size),
      layers.init_mlp(
        head_key, config.set_size + 2 * size, config.head_width, 1
      ),
    )

  def apply(
    params: TransformerParams,
    x: jax.Array,
    condition: jax.Array,
    adjacency: jax.Array,
    *,
    code: jax.Array | None = None,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    rows = encoder.apply(
      params.encoder, x, condition, adjacency, dropout_key=dropout_key
    )
    graph = layers.mlp(
      params.graph, rows.reshape(*x.shape[:-2], size), jax.nn.elu
    )
    return _predict(params.head, graph, code, config.set_size)

  return Network(init, apply)


def _init_gcn(key: Key, *, num_labels: int, config: GcnConfig) -> GcnParams:
  layers_key, time_key, graph_key, head_key = jax.random.split(key, 4)
  width = config.hidden_size
  inputs = [num_labels] + [width] * (config.num_layers - 1)
  draw = jax.nn.initializers.xavier_uniform()
  keys = jax.random.split(layers_key, (config.num_layers, 2))
  return GcnParams(
    layers=tuple(
      (draw(pair[0], (size, width)), draw(pair[1], (size, width)))
      for pair, size in zip(keys, inputs, strict=True)
    ),
    time=layers.init_mlp(time_key, width, 4 * width, width),
    graph=layers.init_affine(graph_key, width, config.graph_size).weight,
    head=layers.init_mlp(
      head_key, config.set_size + config.graph_size, config.head_width, 1
    ),
  )


def _apply_gcn(
  params: GcnParams,
  x: jax.Array,
  condition: jax.Array,
  adjacency: jax.Array,
  *,
  code: jax.Array | None = None,
  dropout_key: Key | None = None,
  shape: tuple[int, int],
  config: GcnConfig,
) -> jax.Array:
  score.check_shapes(x, adjacency, shape)
  keys = layers.split_key(dropout_key, config.num_layers + 1)
  adjacency = jnp.asarray(adjacency)
  along = layers.row_normalize(
    adjacency + jnp.eye(shape[0], dtype=adjacency.dtype)
  )
  against = layers.row_normalize(along.T)
  # Nodes first: all architectures share the edges, so one product mixes them.
  state = x.reshape(-1, *shape).swapaxes(0, 1)
  for (forward, backward), key in zip(params.layers, keys[:-1], strict=True):
    left, right = (
      jax.nn.relu(jnp.tensordot(edges, state @ weight, 1))
      for edges, weight in ((along, forward), (against, backward))
    )
    state = layers.dropout(key, config.dropout, (left + right) / 2)
  leading = x.shape[:-2]
  pooled = jnp.mean(state, axis=0).reshape(*leading, config.hidden_size)
  time = layers.time_code(params.time, condition, config.hidden_size)
  pooled = pooled + jnp.broadcast_to(time, pooled.shape)
  graph = layers.dropout(keys[-1], config.dropout, pooled @ params.graph)
  return _predict(params.head, graph, code, config.set_size)


def _predict(
  head: tuple[Affine, ...],
  graph: jax.Array,
  code: jax.Array | None,
  set_size: int,
) -> jax.Array:
  """Joins the codes of data set and graph, `f32[..., size] -> f32[...]`."""
  if (0 if code is None else code.shape[-1]) != set_size:
    raise ValueError(
      f"code must be that of the data set, set_size = {set_size} numbers (None "
      f"for 0), got {None if code is None else code.shape}."
    )
  if code is not None:
    code = jnp.broadcast_to(code, (*graph.shape[:-1], set_size))
    graph = jnp.concatenate([code, graph], axis=-1)
  return layers.mlp(head, graph, jnp.tanh)[..., 0]
