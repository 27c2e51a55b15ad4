"""What several networks share: layers as functions of their parameters.

Two kinds of network are made of them. Those of flax modules (`as_network`) are
our own. Those of published weights are plain functions of NamedTuples, whose
fields are the names in the files of weights.

Layer normalization is flax's. By hand stay `dropout`, which takes half a random
word for an entry, and the recurrent unit, whose published form has two biases.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.networks.base import GraphNetwork
from nagjax.networks.base import Network
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params

_LONGEST = 10_000.0
"""Wavelengths of the codes go from one to this, over 2 pi."""
_LAYER_NORM = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)


class Affine(NamedTuple):
  """`x @ weight + bias`.

  Attributes:
    weight: `f32[in, out]`.
    bias: `f32[out]`.
  """

  weight: jax.Array
  bias: jax.Array


class Norm(NamedTuple):
  """Layer normalization.

  Attributes:
    scale, shift: `f32[W]`.
  """

  scale: jax.Array
  shift: jax.Array


def init_affine(key: Key, inputs: int, outputs: int) -> Affine:
  """PyTorch's default, uniform in +-1 / sqrt(inputs); the key is consumed."""
  bound = inputs**-0.5
  draws = jax.random.uniform(
    key, (inputs + 1, outputs), minval=-bound, maxval=bound
  )
  return Affine(draws[:-1], draws[-1])


def init_mlp(key: Key, *sizes: int) -> tuple[Affine, ...]:
  """Affine layers from each size to the next; the key is consumed."""
  keys = jax.random.split(key, len(sizes) - 1)
  pairs = zip(sizes[:-1], sizes[1:], strict=True)
  return tuple(
    init_affine(k, *pair) for k, pair in zip(keys, pairs, strict=True)
  )


def affine(layer: Affine, x: jax.Array) -> jax.Array:
  """`x W + b` over the last axis, `f32[..., in] -> f32[..., out]`."""
  return x @ layer.weight + _last(layer.bias, x)


def mlp(
  stack: Sequence[Affine],
  x: jax.Array,
  activation: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  """Affine layers, the activation between them, `[..., in] -> [..., out]`."""
  for layer in stack[:-1]:
    x = activation(affine(layer, x))
  return affine(stack[-1], x)


def normalize(norm: Norm, x: jax.Array) -> jax.Array:
  """Mean 0 and variance 1 over the last axis of `[..., W]`, then the rest."""
  params = {"scale": norm.scale, "bias": norm.shift}
  return jnp.asarray(_LAYER_NORM.apply({"params": params}, x))


def gru(
  inputs: Affine, states: Affine, x: jax.Array, state: jax.Array
) -> jax.Array:
  """A gated recurrent unit, `f32[..., in], f32[..., H] -> f32[..., H]`.

  Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
  Statistical Machine Translation", EMNLP 2014, in PyTorch's form: both layers
  have a bias, and the reset gate acts behind the second one.

  Args:
    inputs: gates (reset, update, new) from the input, `f32[in, 3 H]`.
    states: the same from the state, `f32[H, 3 H]`.
    x: the input.
    state: before.
  """
  reset_in, update_in, new_in = jnp.split(affine(inputs, x), 3, axis=-1)
  reset_state, update_state, new_state = jnp.split(
    affine(states, state), 3, axis=-1
  )
  reset = jax.nn.sigmoid(reset_in + reset_state)
  update = jax.nn.sigmoid(update_in + update_state)
  new = jnp.tanh(new_in + reset * new_state)
  return (1 - update) * new + update * state


def dropout(key: Key | None, rate: float, x: jax.Array) -> jax.Array:
  """Drops entries and scales the others up; without a key, nothing.

  Args:
    key: random key, consumed, or None.
    rate: share to drop.
    x: any array, `[...]`.
  """
  return drop(keep(key, rate, x.shape)[0], rate, x)


def keep(
  key: Key | None, rate: float, *shapes: tuple[int, ...]
) -> list[jax.Array] | list[None]:
  """Draws what is kept in several places at once, `bool[...]` of each shape.

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
  """Applies what `keep` has drawn to `x`, `[...]` both."""
  return x if kept is None else jnp.where(kept, x / (1 - rate), 0)


def split_key(key: Key | None, num: int) -> list[Key] | list[None]:
  """As many keys, or None instead of each where there is no key."""
  return [None] * num if key is None else list(jax.random.split(key, num))


def time_code(
  stack: Sequence[Affine], condition: jax.Array, width: int
) -> jax.Array:
  """Reads the noise level, `f32[...] -> f32[..., W]`; see `sinusoids`."""
  return mlp(stack, sinusoids(condition, width), jax.nn.silu)


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


def row_normalize(matrix: jax.Array) -> jax.Array:
  """Scales rows to sum 1, `f32[..., N, N]`; rows of zeros stay."""
  total = jnp.sum(matrix, axis=-1, keepdims=True)
  return matrix / jnp.where(total == 0, 1.0, total)


def as_network(
  module: nn.Module, num_nodes: int, num_labels: int
) -> GraphNetwork:
  """Wraps a module whose call takes `(graph, deterministic)`."""
  # Of 32 bits also where a network is made in a process of 64.
  example = Graph(
    jnp.zeros((num_nodes, num_labels), jnp.float32),
    jnp.zeros((num_nodes, num_nodes), jnp.float32),
  )

  def init(key: Key) -> Params:
    return module.init(key, example, deterministic=True)["params"]

  def apply(
    params: Params, graph: Graph, *, dropout_key: Key | None = None
  ) -> jax.Array:
    output = module.apply(
      {"params": params},
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
  checks.sizes(config)
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


def _last(vector: jax.Array, like: jax.Array) -> jax.Array:
  """A vector along the last of as many axes as `like` has."""
  return vector.reshape((1,) * (like.ndim - 1) + (-1,))
