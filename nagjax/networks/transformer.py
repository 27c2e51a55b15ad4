"""The encoder of DiffusionNAG's networks: pre-norm blocks, all outputs kept.

An, Lee, Jo, Lee and Hwang, "DiffusionNAG: Predictor-guided Neural Architecture
Generation with Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943,
section 3.2, after the encoder of Yan et al., "CATE: Computation-aware Neural
Architecture Encoding with Transformers", ICML 2021,
https://arxiv.org/abs/2102.07108
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.networks import layers
from nagjax.networks.layers import Affine
from nagjax.networks.layers import Norm
from nagjax.networks.layers import init_affine
from nagjax.networks.layers import init_mlp
from nagjax.types import Key

_MASKED = -1e9
"""Logit of a pair that is no edge. Not -inf: a row of them is then uniform."""


class Block(NamedTuple):
  """One block of the encoder, `W` wide; stacked, `[L, ...]`, of all blocks.

  Attributes:
    attention_norm: before the attention.
    attention_in: queries, keys and values, `f32[W, 3 W]`.
    attention_out: from all heads.
    feed_norm: before the two layers that read each node by itself.
    feed: these layers.
    output_norm: of what the block adds to the encoder's output.
  """

  attention_norm: Norm
  attention_in: Affine
  attention_out: Affine
  feed_norm: Norm
  feed: tuple[Affine, Affine]
  output_norm: Norm


def init_blocks(
  key: Key, num_layers: int, width: int, feed_forward: int, *, tied: bool
) -> Block:
  """PyTorch's default initialization of a stack of blocks.

  Args:
    key: random key, consumed.
    num_layers: `L`.
    width: `W`.
    feed_forward: width between the two layers that read each node.
    tied: whether all blocks, and the four matrices of the attention, start as
      copies of one, as published.
  """
  norm = Norm(jnp.ones(width), jnp.zeros(width))

  def block(key: Key) -> Block:
    in_key, out_key, feed_key = jax.random.split(key, 3)
    attention_out = init_affine(out_key, width, width)
    if tied:
      weight, bias = attention_out
      attention_in = Affine(jnp.tile(weight, (1, 3)), jnp.tile(bias, 3))
    else:
      attention_in = init_affine(in_key, width, 3 * width)
    up, down = init_mlp(feed_key, width, feed_forward, width)
    return Block(norm, attention_in, attention_out, norm, (up, down), norm)

  if tied:
    return jax.tree.map(
      lambda leaf: jnp.broadcast_to(leaf, (num_layers, *leaf.shape)), block(key)
    )
  return jax.vmap(block)(jax.random.split(key, num_layers))


def encode(
  blocks: Block,
  x: jax.Array,
  mask: jax.Array,
  *,
  num_heads: int,
  dropout_rate: float = 0.0,
  dropout_key: Key | None = None,
) -> jax.Array:
  """Runs a stack of pre-norm blocks and keeps the output of each.

  Node i attends to the nodes that row i of the mask has; to all alike if it has
  none, as the output of a cell has no successor.

  Args:
    blocks: stacked, `[L, ...]`.
    x: `f32[B, n, W]`.
    mask: `f32[n, n]`, not 0 where node i attends to node j.
    num_heads: attention heads, a divisor of `W`.
    dropout_rate: behind attention and feed-forward layers, between the two of
      the latter, and of attention weights.
    dropout_key: random key, consumed, or None to drop nothing.

  Returns:
    `f32[B, n, L W]`, the normalized outputs of all blocks side by side; the
    blocks themselves pass on the sums as they are.
  """
  num_layers, width = blocks.output_norm.scale.shape
  batch, num_nodes, _ = x.shape
  places = (
    (batch, num_heads, num_nodes, num_nodes),
    (batch, num_nodes, width),
    (batch, num_nodes, blocks.feed[0].bias.shape[-1]),
    (batch, num_nodes, width),
  )

  def step(
    x: jax.Array, inputs: tuple[Block, Key | None]
  ) -> tuple[jax.Array, jax.Array]:
    block, key = inputs
    in_attention, behind, between, at_end = layers.keep(
      key, dropout_rate, *places
    )
    read = layers.affine(
      block.attention_in, layers.normalize(block.attention_norm, x)
    )
    read = _attend(read, mask, num_heads, in_attention, dropout_rate)
    read = layers.affine(block.attention_out, read)
    x = x + layers.drop(behind, dropout_rate, read)
    inner = layers.normalize(block.feed_norm, x)
    inner = jax.nn.relu(layers.affine(block.feed[0], inner))
    inner = layers.drop(between, dropout_rate, inner)
    inner = layers.affine(block.feed[1], inner)
    x = x + layers.drop(at_end, dropout_rate, inner)
    return x, layers.normalize(block.output_norm, x)

  drop_keys = None
  if dropout_key is not None:
    drop_keys = jax.random.split(dropout_key, num_layers)
  _, outputs = jax.lax.scan(step, x, (blocks, drop_keys))
  return jnp.moveaxis(outputs, 0, 2).reshape(batch, num_nodes, -1)


def _attend(
  read: jax.Array,
  mask: jax.Array,
  num_heads: int,
  kept: jax.Array | None,
  dropout_rate: float,
) -> jax.Array:
  """Attention of all heads, `f32[B, n, 3 W] -> f32[B, n, W]`.

  By hand, since shares may be dropped, and as products of small matrices: sums
  over pairs of nodes are up to twice as fast forwards on a CPU, but ten times
  slower backwards for 20 nodes.
  """
  read = read.reshape(*read.shape[:2], 3, num_heads, -1)
  queries, keys, values = (read[:, :, i] for i in range(3))
  logits = jnp.einsum("bihd,bjhd->bhij", queries, keys)
  logits = logits * values.shape[-1] ** -0.5
  logits = jnp.where(mask[None, None] == 0, _MASKED, logits)
  shares = layers.drop(kept, dropout_rate, jax.nn.softmax(logits, axis=-1))
  result = jnp.einsum("bhij,bjhd->bihd", shares, values)
  return result.reshape(*result.shape[:2], -1)
