"""The score network of DiffusionNAG, a transformer over nodes.

An, Lee, Jo, Lee and Hwang, "DiffusionNAG: Predictor-guided Neural Architecture
Generation with Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943,
section 3.2. The program calls it CATE.
"""

import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.networks import layers
from nagjax.networks import transformer
from nagjax.networks.base import Network
from nagjax.networks.base import ScoreNetwork
from nagjax.networks.layers import Affine
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; the defaults are the paper's.

  Attributes:
    num_layers: blocks, `L`.
    width: of a node's state, even, at least 4, `W`.
    num_heads: attention heads, a divisor of `width`.
    feed_forward: width between the two layers of a block that read each node.
    head_width: of the two hidden layers that turn states into scores; 0 for
      `2 L W`.
    time_width: of the hidden layer that reads the noise level; 0 for `4 W`.
    dropout: rate, see `transformer.encode`; also behind the embedding.
    tied_init: whether all blocks, and the four matrices of the attention, start
      as copies of one. Differs from the program by default, which does so by
      accident of copying a module.
  """

  num_layers: int = 12
  width: int = 64
  num_heads: int = 8
  feed_forward: int = 128
  head_width: int = 0
  time_width: int = 0
  dropout: float = 0.1
  tied_init: bool = False

  def __post_init__(self) -> None:
    checks.sizes(self, head_width=0, time_width=0)
    if self.width < 4 or self.width % 2 or self.width % self.num_heads:
      raise ValueError(
        "width must be even, at least 4 and a multiple of num_heads, got "
        f"{self.width} and {self.num_heads}."
      )
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")


class Params(NamedTuple):
  """Of the score network.

  Attributes:
    embedding: of a node's row, `f32[F, W]`.
    time: two layers that read the noise level.
    blocks: of the encoder, stacked.
    head: three layers from the states of a node after every block, `L W`, to
      its row of scores, `F`.
  """

  embedding: Affine
  time: tuple[Affine, ...]
  blocks: transformer.Block
  head: tuple[Affine, ...]


def score(
  num_nodes: int,
  num_labels: int,
  config: Config | None = None,
  *,
  positions: tuple[int, ...] | None = None,
) -> ScoreNetwork:
  """Builds the network.

  A node's embedding, the code of its position and that of the noise level are
  added up; blocks of attention along the edges and of layers for each node
  follow; the outputs of all blocks together give the scores.

  Weights start as PyTorch's layers do.

  Args:
    num_nodes: `n`.
    num_labels: `F`, columns of a node's row.
    config: see `Config`; the paper's if not given.
    positions: of each node, for its code: 0..7 in NAS-Bench-201, 0..3 within a
      stage of MobileNetV3. None for nodes without one.

  Raises:
    ValueError: if there is not one position for each node.

  Example:
    >>> network = score(8, 7, positions=tuple(range(8)))
    >>> num_params(jax.eval_shape(network.init, jax.random.key(0)))
    3989575
  """
  config = config or Config()
  if positions is not None and len(positions) != num_nodes:
    raise ValueError(
      f"positions must name one for each of {num_nodes} nodes, got {positions}."
    )
  return Network(
    functools.partial(_init, num_labels=num_labels, config=config),
    functools.partial(
      _apply, shape=(num_nodes, num_labels), positions=positions, config=config
    ),
  )


def num_params(params: Any) -> int:
  """Numbers in a pytree of arrays, or of their shapes."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def check_shapes(x: jax.Array, mask: jax.Array, shape: tuple[int, int]) -> None:
  """Checks that rows of nodes, and edges between them, belong to a space.

  Args:
    x: should be `[..., n, F]`.
    mask: should be `[n, n]`.
    shape: `(n, F)`.

  Raises:
    ValueError: if they do not.
  """
  num_nodes, num_labels = shape
  if x.shape[-2:] != shape or mask.shape != (num_nodes, num_nodes):
    raise ValueError(
      f"Expected rows of nodes [..., {num_nodes}, {num_labels}] and edges "
      f"[{num_nodes}, {num_nodes}], got {x.shape} and {mask.shape}."
    )


def _init(key: Key, *, num_labels: int, config: Config) -> Params:
  embedding_key, time_key, blocks_key, head_key = jax.random.split(key, 4)
  width, features = config.width, config.num_layers * config.width
  head_width = config.head_width or 2 * features
  return Params(
    embedding=layers.init_affine(embedding_key, num_labels, width),
    time=layers.init_mlp(
      time_key, width, config.time_width or 4 * width, width
    ),
    blocks=transformer.init_blocks(
      blocks_key,
      config.num_layers,
      width,
      config.feed_forward,
      tied=config.tied_init,
    ),
    head=layers.init_mlp(
      head_key, features, head_width, head_width, num_labels
    ),
  )


def _apply(
  params: Params,
  x: jax.Array,
  condition: jax.Array,
  mask: jax.Array,
  *,
  dropout_key: Key | None = None,
  shape: tuple[int, int],
  positions: tuple[int, ...] | None,
  config: Config,
) -> jax.Array:
  check_shapes(x, mask, shape)
  leading = x.shape[:-2]
  embedding_key, blocks_key = layers.split_key(dropout_key, 2)
  time = layers.time_code(params.time, condition, config.width)
  time = jnp.broadcast_to(time, (*leading, config.width))
  state = layers.affine(params.embedding, x.reshape(-1, *shape))
  state = layers.dropout(
    embedding_key, config.dropout, config.width**0.5 * state
  )
  state = state + time.reshape(-1, 1, config.width)
  if positions is not None:
    code = layers.position_code(positions, config.width)
    state = state + jnp.asarray(code, state.dtype)[None]
  states = transformer.encode(
    params.blocks,
    state,
    mask,
    num_heads=config.num_heads,
    dropout_rate=config.dropout,
    dropout_key=blocks_key,
  )
  scores = layers.mlp(params.head, states, jax.nn.elu)
  return scores.reshape(x.shape)
