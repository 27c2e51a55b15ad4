"""The pieces of DiffusionNAG's networks: codes of numbers, and an encoder.

An, Lee, Jo, Lee and Hwang, "DiffusionNAG: Predictor-guided Neural Architecture
Generation with Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943,
section 3.2, after the encoder of Yan et al., "CATE: Computation-aware Neural
Architecture Encoding with Transformers", ICML 2021,
https://arxiv.org/abs/2102.07108
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.networks.generator import Affine
from nagjax.types import Key

_LONGEST = 10_000.0
"""Wavelengths of the codes go from one to this, over 2 pi."""
_EPSILON = 1e-5
_MASKED = -1e9
"""Score of a pair that is no edge. Not -inf: a row of them is then uniform."""


class Norm(NamedTuple):
  """Layer normalization, `f32[W]` both."""

  scale: jax.Array
  shift: jax.Array


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


def init_affine(key: Key, inputs: int, outputs: int) -> Affine:
  """PyTorch's default, uniform in +-1 / sqrt(inputs); the key is consumed."""
  bound = inputs**-0.5
  draws = jax.random.uniform(
    key, (inputs + 1, outputs), minval=-bound, maxval=bound
  )
  return Affine(draws[:-1], draws[-1])


def init_layers(key: Key, *sizes: int) -> tuple[Affine, ...]:
  """Affine layers from each size to the next; the key is consumed."""
  keys = jax.random.split(key, len(sizes) - 1)
  pairs = zip(sizes[:-1], sizes[1:], strict=True)
  return tuple(
    init_affine(k, *pair) for k, pair in zip(keys, pairs, strict=True)
  )


def affine(layer: Affine, x: jax.Array) -> jax.Array:
  """`x W + b` over the last axis, `f32[..., in] -> f32[..., out]`."""
  return x @ layer.weight + _last(layer.bias, x)


def layers(
  stack: Sequence[Affine],
  x: jax.Array,
  activation: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  """Affine layers with the activation between them, none at the end."""
  for layer in stack[:-1]:
    x = activation(affine(layer, x))
  return affine(stack[-1], x)


def dropout(key: Key | None, rate: float, x: jax.Array) -> jax.Array:
  """Drops entries and scales the others up; without a key, nothing.

  Args:
    key: random key, consumed, or None.
    rate: share to drop.
    x: any array.
  """
  return drop(keep(key, rate, x.shape)[0], rate, x)


def keep(
  key: Key | None, rate: float, *shapes: tuple[int, ...]
) -> list[jax.Array] | list[None]:
  """Draws what is kept in several places at once, `bool` of every shape.

  Half a word decides an entry, to 1.5e-5 of the rate: words of the generator
  would else take longer than the network.

  Args:
    key: random key, consumed, or None for a list of None.
    rate: share to drop.
    *shapes: of the places.
  """
  if key is None or not rate:
    return [None] * len(shapes)
  ends = np.cumsum([math.prod(shape) for shape in shapes])
  words = jax.random.bits(key, (ends[-1] // 2 + 1,))
  halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)
  least = min(round(rate * 2**16), 2**16 - 1)
  parts = jnp.split(halves[: ends[-1]] >= least, ends[:-1])
  return [
    part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
  ]


def drop(kept: jax.Array | None, rate: float, x: jax.Array) -> jax.Array:
  """Applies what `keep` has drawn."""
  return x if kept is None else jnp.where(kept, x / (1 - rate), 0)


def split(key: Key | None, num: int) -> list[Key] | list[None]:
  """As many keys, or None instead of each where there is no key."""
  return [None] * num if key is None else list(jax.random.split(key, num))


def time_code(
  stack: Sequence[Affine], condition: jax.Array, width: int
) -> jax.Array:
  """Reads the noise level, `f32[...] -> f32[..., W]`; see `sinusoids`."""
  return layers(stack, sinusoids(condition, width), jax.nn.silu)


def sinusoids(values: jax.Array, width: int) -> jax.Array:
  """Sines, then cosines of numbers, `f32[...] -> f32[..., width]`.

  Frequencies are `10000^(-i / (width / 2 - 1))`, from 1 down to 1 / 10,000.
  """
  half = width // 2
  values = jnp.asarray(values)
  values = values.astype(jnp.result_type(values, jnp.float32))[..., None]
  rates = _LONGEST ** (-np.arange(half) / (half - 1))
  angles = values * _last(jnp.asarray(rates, values.dtype), values)
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def position_code(positions: Sequence[int], width: int) -> np.ndarray:
  """Sine and cosine of positions by turns, `[n] -> f64[n, width]`.

  Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5,
  https://arxiv.org/abs/1706.03762
  """
  rates = _LONGEST ** (-np.arange(0, width, 2) / width)
  angles = np.asarray(positions)[:, None] * rates
  return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(-1, width)


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
    up, down = init_layers(feed_key, width, feed_forward, width)
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

  def step(x: jax.Array, inputs) -> tuple[jax.Array, jax.Array]:
    block, key = inputs
    in_weights, behind, between, at_end = keep(key, dropout_rate, *places)
    read = affine(block.attention_in, _normalize(block.attention_norm, x))
    read = _attend(read, mask, num_heads, in_weights, dropout_rate)
    x = x + drop(behind, dropout_rate, affine(block.attention_out, read))
    inner = affine(block.feed[0], _normalize(block.feed_norm, x))
    inner = drop(between, dropout_rate, jax.nn.relu(inner))
    x = x + drop(at_end, dropout_rate, affine(block.feed[1], inner))
    return x, _normalize(block.output_norm, x)

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

  As products of small matrices: sums over pairs of nodes are up to twice as
  fast forwards on a CPU, but ten times slower backwards for 20 nodes.
  """
  read = read.reshape(*read.shape[:2], 3, num_heads, -1)
  queries, keys, values = (read[:, :, i] for i in range(3))
  scores = jnp.einsum("bihd,bjhd->bhij", queries, keys)
  scores = scores * values.shape[-1] ** -0.5
  scores = jnp.where(mask[None, None] == 0, _MASKED, scores)
  weights = drop(kept, dropout_rate, jax.nn.softmax(scores, axis=-1))
  result = jnp.einsum("bhij,bjhd->bihd", weights, values)
  return result.reshape(*result.shape[:2], -1)


def _normalize(norm: Norm, x: jax.Array) -> jax.Array:
  """Mean 0 and variance 1 over the last axis, then scale and shift."""
  centered = x - jnp.mean(x, axis=-1, keepdims=True)
  variance = jnp.mean(centered**2, axis=-1, keepdims=True)
  x = centered * jax.lax.rsqrt(variance + _EPSILON)
  return x * _last(norm.scale, x) + _last(norm.shift, x)


def _last(vector: jax.Array, like: jax.Array) -> jax.Array:
  """A vector along the last of as many axes as `like` has."""
  return vector.reshape((1,) * (like.ndim - 1) + (-1,))
