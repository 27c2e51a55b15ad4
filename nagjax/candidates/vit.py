"""AutoFormer's vision transformer, whose sub-network is an input.

Chen et al., "AutoFormer: Searching Transformers for Visual Recognition", ICCV
2021, sections 3.2 and 3.3, https://arxiv.org/abs/2107.00651

All networks of a space share the weights of one super-network: a smaller layer
has the first rows and columns of a larger one. Masks make the network of an
architecture, so one compiled program serves them all. Products of queries, keys
and values with relative positions are Shaw et al.'s, in two dimensions,
https://arxiv.org/abs/1803.02155.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import autoformer
from nagjax.spaces import autoformer_counts as counts
from nagjax.types import Archs
from nagjax.types import Key

EPSILON = 1e-5
"""Added to variances."""
DEVIATION = 0.02
"""Of the normal draws of weights, as published. (The program cuts them at -2
and 2, which is 100 deviations.)"""


@dataclasses.dataclass(frozen=True)
class Config:
  """A space's options and the super-network that they are slices of.

  Attributes:
    choices: the options.
    network: the super-network; image size, channels and classes too.
  """

  choices: autoformer.Choices = autoformer.SPACES["small32"]
  network: counts.Network = counts.NETWORKS["small32"]

  def __post_init__(self) -> None:
    network, choices = self.network, self.choices
    if network.image_size % network.patch_size:
      raise ValueError(
        f"patch_size must divide the image's {network.image_size} pixels, got "
        f"{network.patch_size}."
      )
    sizes = (network.embedding, network.depth, network.ratio, network.heads)
    largest = tuple(options[-1] for options in choices)
    if any(s < n for s, n in zip(sizes, largest, strict=True)):
      raise ValueError(
        "The super-network must be at least as large as any network, "
        f"{largest}; got {sizes}."
      )

  @property
  def num_queries(self) -> int:
    """`Q`, channels of all heads."""
    return self.network.heads * self.network.head_size

  @property
  def inner(self) -> int:
    """`F`, inner width of the widest layer."""
    return int(self.network.embedding * self.network.ratio)


class Scale(NamedTuple):
  """What a layer normalization learns.

  Attributes:
    scale, shift: `f32[..., D]` each.
  """

  scale: jax.Array
  shift: jax.Array


class Affine(NamedTuple):
  """A linear layer.

  Attributes:
    weight, bias: `f32[..., in, out]` and `f32[..., out]`.
  """

  weight: jax.Array
  bias: jax.Array


class Tables(NamedTuple):
  """Weights of relative positions, of which there are `R` = `num_rows`.

  Attributes:
    rows, columns: `f32[..., R, head_size]`; row 0 is that of the class token.
  """

  rows: jax.Array
  columns: jax.Array


class Layer(NamedTuple):
  """The layers of the super-network, stacked.

  Attributes:
    attention_norm: before the attention.
    qkv: queries, keys and values, `[3, D, Q]` and bias `[3 Q]`. The first q
      channels of each make a network's weight, but the first 3 q entries its
      bias: that is how the program slices.
    keys, values: relative positions.
    project: `[Q, D]`.
    inner_norm: before the linear layers.
    inner, outer: `[D, F]`, `[F, D]`.
  """

  attention_norm: Scale
  qkv: Affine
  keys: Tables
  values: Tables
  project: Affine
  inner_norm: Scale
  inner: Affine
  outer: Affine


class Params(NamedTuple):
  """Weights of the super-network.

  Attributes:
    patch: `[pixels of a patch, D]`, rows, columns, channels.
    token: `[D]`, the class token.
    positions: `[1 + N, D]`.
    layers: stacked.
    norm: the last one.
    head: `[D, num_classes]`.
  """

  patch: Affine
  token: jax.Array
  positions: jax.Array
  layers: Layer
  norm: Scale
  head: Affine


def init(key: Key, config: Config) -> Params:
  """Draws weights as the program does: normal, of deviation `DEVIATION`.

  The patches' are of the deviation of PyTorch's uniform default.

  Args:
    key: random key, consumed.
    config: the super-network.
  """
  network = config.network
  width, queries, inner = network.embedding, config.num_queries, config.inner
  pixels = network.channels * network.patch_size**2
  lead = (network.depth,)
  keys = iter(jax.random.split(key, 12))

  def draw(*shape: int) -> jax.Array:
    return DEVIATION * jax.random.normal(next(keys), shape)

  def scale(*lead: int) -> Scale:
    return Scale(jnp.ones((*lead, width)), jnp.zeros((*lead, width)))

  def table() -> Tables:
    both = draw(2, *lead, network.num_rows, network.head_size)
    return Tables(both[0], both[1])

  layers = Layer(
    attention_norm=scale(*lead),
    qkv=Affine(draw(*lead, 3, width, queries), jnp.zeros((*lead, 3 * queries))),
    keys=table(),
    values=table(),
    project=Affine(draw(*lead, queries, width), jnp.zeros((*lead, width))),
    inner_norm=scale(*lead),
    inner=Affine(draw(*lead, width, inner), jnp.zeros((*lead, inner))),
    outer=Affine(draw(*lead, inner, width), jnp.zeros((*lead, width))),
  )
  return Params(
    patch=Affine(draw(pixels, width) * _patch_gain(pixels), jnp.zeros(width)),
    token=draw(width),
    positions=draw(network.num_patches + 1, width),
    layers=layers,
    norm=scale(),
    head=Affine(
      draw(width, network.num_classes), jnp.zeros(network.num_classes)
    ),
  )


def apply(
  params: Params,
  arch: Archs,
  images: jax.Array,
  config: Config,
  *,
  key: Key | None = None,
  drop_path: float = 0.0,
) -> jax.Array:
  """Classifies images by one sub-network.

  Args:
    params: weights.
    arch: `int32[1 + L]`, an architecture of the space.
    images: `f32[B, H, W, channels]`, normalized, of the network's size.
    config: the super-network.
    key: random key of `drop_path`, consumed; None to predict.
    drop_path: share of images that leave out the last layer; rises from 0 with
      the layers.

  Returns:
    Logits `f32[B, num_classes]`.
  """
  choices, network = config.choices, config.network
  width = jnp.asarray(choices.embeddings, jnp.int32)[arch[0]]
  is_wide = jnp.arange(network.embedding, dtype=jnp.int32) < width

  def norm(x: jax.Array, scale: Scale) -> jax.Array:
    return _layer_norm(x, scale, is_wide, width)

  x = _patches(images, network.patch_size) @ params.patch.weight
  x = x + params.patch.bias[None, None]
  token = jnp.broadcast_to(params.token, (x.shape[0], 1, network.embedding))
  x = jnp.concatenate([token.astype(x.dtype), x], axis=1)
  x = _masked(x + params.positions[None], is_wide)
  relative = _relative(network)
  rates = drop_path * np.arange(network.depth) / max(network.depth - 1, 1)
  keys = None if key is None else jax.random.split(key, network.depth)

  def layer(
    x: jax.Array, inputs: tuple[Layer, jax.Array, jax.Array, Key | None]
  ) -> tuple[jax.Array, None]:
    weights, kind, rate, layer_key = inputs

    def run(x: jax.Array) -> jax.Array:
      existing = jnp.minimum(kind, choices.none - 1)
      ratio, heads = (
        jnp.asarray(column)[existing] for column in _options(config)
      )
      y = norm(x, weights.attention_norm)
      y = _masked(_attention(y, weights, heads, relative, config), is_wide)
      kept = _kept(layer_key, rate, x)
      z = x + kept[0] * y
      y = norm(z, weights.inner_norm) @ weights.inner.weight
      y = jax.nn.gelu(y + weights.inner.bias[None, None], approximate=False)
      sizes = _inner_sizes(config)[arch[0], ratio]
      y = _masked(y, jnp.arange(config.inner, dtype=jnp.int32) < sizes)
      y = y @ weights.outer.weight + weights.outer.bias[None, None]
      return z + kept[1] * _masked(y, is_wide)

    # Layers that do not exist cost nothing, but where networks are batched.
    return jax.lax.cond(kind != choices.none, run, lambda x: x, x), None

  inputs = (
    params.layers,
    _padded(arch, config),
    jnp.asarray(rates, x.dtype),
    keys,
  )
  x, _ = jax.lax.scan(jax.checkpoint(layer), x, inputs)
  features = jnp.mean(norm(x, params.norm)[:, 1:], axis=1)
  return features @ params.head.weight + params.head.bias[None]


class Slices(NamedTuple):
  """Which weights of attention are a network's, of the shapes of `Layer`.

  Attributes:
    qkv: `bool[L, 1, D, Q]`.
    project: `bool[L, Q, D]`.
  """

  qkv: jax.Array
  project: jax.Array


def slices(arch: Archs, config: Config) -> Slices:
  """Which weights of attention a network has, `int32[1 + L]`."""
  choices, network = config.choices, config.network
  width = jnp.asarray(choices.embeddings, jnp.int32)[arch[0]]
  kinds = _padded(arch, config)
  heads = jnp.asarray(_options(config)[1])[jnp.minimum(kinds, choices.none - 1)]
  sizes = jnp.where(kinds == choices.none, 0, heads) * network.head_size
  wide = jnp.arange(network.embedding, dtype=jnp.int32) < width
  active = (
    jnp.arange(config.num_queries, dtype=jnp.int32)[None] < sizes[:, None]
  )
  qkv = wide[None, :, None] & active[:, None]
  return Slices(qkv[:, None], qkv.swapaxes(1, 2))


def num_params(archs: Archs, config: Config) -> jax.Array:
  """Parameters of each network alone, `int32[..., 1 + L] -> int32[...]`."""
  return _sum(archs, config, 0)


def num_macs(archs: Archs, config: Config) -> jax.Array:
  """Multiply-adds of each for one image, `int32[..., 1 + L] -> f32[...]`."""
  return _sum(archs, config, 1)


def _sum(archs: Archs, config: Config, column: int) -> jax.Array:
  """Sums the closed forms up, which are additive in the layers."""
  choices, network = config.choices, config.network
  dtype = np.int32 if column == 0 else np.float32

  def cost(width: int, types: list[tuple[float, int]]) -> int:
    ratios, heads = [t[0] for t in types], [t[1] for t in types]
    found = counts.count(
      {"embed_dim": [width], "mlp_ratio": ratios, "num_heads": heads}, network
    )
    return found[column]

  fixed = [cost(width, []) for width in choices.embeddings]
  table = [
    [cost(width, [t]) - base for t in choices.types] + [0]
    for width, base in zip(choices.embeddings, fixed, strict=True)
  ]
  found = jnp.asarray(np.asarray(table, dtype))[archs[..., :1], archs[..., 1:]]
  total = jnp.asarray(np.asarray(fixed, dtype))[archs[..., 0]]
  return total + jnp.sum(found, axis=-1, dtype=dtype)


def _padded(arch: Archs, config: Config) -> jax.Array:
  """Types of the super-network's layers, `NONE` behind the deepest."""
  missing = config.network.depth - config.choices.max_depth
  return jnp.pad(arch[1:], (0, missing), constant_values=config.choices.none)


def _options(config: Config) -> tuple[np.ndarray, np.ndarray]:
  """Position of the ratio, and number of heads, of every type."""
  types = config.choices.types
  ratios = [config.choices.ratios.index(ratio) for ratio, _ in types]
  return np.asarray(ratios, np.int32), np.asarray(
    [h for _, h in types], np.int32
  )


def _inner_sizes(config: Config) -> jax.Array:
  """Inner widths, `int32[embeddings, ratios]`."""
  choices = config.choices
  return jnp.asarray(
    [[int(e * r) for r in choices.ratios] for e in choices.embeddings],
    jnp.int32,
  )


def _attention(
  x: jax.Array,
  weights: Layer,
  heads: jax.Array,
  relative: tuple[np.ndarray, np.ndarray],
  config: Config,
) -> jax.Array:
  """Multi-head attention with relative positions, `[B, T, D]`."""
  network = config.network
  num, size = network.heads, network.head_size
  batch, tokens = x.shape[:2]
  channel = jnp.arange(num * size, dtype=jnp.int32)
  active = channel < heads * size
  # The bias is a plain slice of the super-network's: see `Layer`.
  place = (
    jnp.arange(3, dtype=jnp.int32)[:, None] * (heads * size) + channel[None]
  )
  bias = weights.qkv.bias[jnp.minimum(place, 3 * num * size - 1)]
  qkv = jnp.einsum("btd,sdq->sbtq", x, weights.qkv.weight)
  qkv = _masked(qkv + bias[:, None, None], active)
  q, k, v = qkv.reshape(3, batch, tokens, num, size).transpose(0, 1, 3, 2, 4)
  by_key, by_value = (
    table.rows[relative[0]] + table.columns[relative[1]]
    for table in (weights.keys, weights.values)
  )
  logits = jnp.einsum("bhid,bhjd->bhij", q, k)
  logits = logits + jnp.einsum("bhid,ijd->bhij", q, by_key)
  shares = jax.nn.softmax(logits * size**-0.5, axis=-1)
  y = jnp.einsum("bhij,bhjd->bhid", shares, v)
  y = y + jnp.einsum("bhij,ijd->bhid", shares, by_value)
  y = y.transpose(0, 2, 1, 3).reshape(batch, tokens, num * size)
  y = _masked(y, active) @ weights.project.weight
  return y + weights.project.bias[None, None]


def _relative(network: counts.Network) -> tuple[np.ndarray, np.ndarray]:
  """Rows of the tables for every query and key, two `int[1 + N, 1 + N]`.

  0 where either is the class token, else the distance of key from query, cut at
  `max_relative`, plus that and 1.
  """
  side = network.image_size // network.patch_size
  found = []
  for place in np.divmod(np.arange(side**2), side):
    distance = place[None, :] - place[:, None]
    cut = np.clip(distance, -network.max_relative, network.max_relative)
    found.append(np.pad(cut + network.max_relative + 1, ((1, 0), (1, 0))))
  return found[0], found[1]


def _patches(images: jax.Array, size: int) -> jax.Array:
  """Pixels of every patch, `[B, H, W, C] -> [B, N, size * size * C]`."""
  batch, height, width, channels = images.shape
  rows, columns = height // size, width // size
  x = images.reshape(batch, rows, size, columns, size, channels)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)


def _layer_norm(
  x: jax.Array, scale: Scale, is_wide: jax.Array, width: jax.Array
) -> jax.Array:
  """Layer normalization over the active channels; the others become 0."""
  share = (1 / width.astype(jnp.float32)).astype(x.dtype)
  mean = jnp.sum(x, axis=-1, keepdims=True) * share
  centered = _masked(x - mean, is_wide)
  variance = jnp.sum(centered**2, axis=-1, keepdims=True) * share
  x = centered * jax.lax.rsqrt(variance + EPSILON)
  return _masked(x * scale.scale[None, None] + scale.shift[None, None], is_wide)


def _masked(x: jax.Array, active: jax.Array) -> jax.Array:
  """Zeros in the channels that are not active."""
  shape = (1,) * (x.ndim - 1) + active.shape
  return jnp.where(active.reshape(shape), x, jnp.zeros((), x.dtype))


def _kept(key: Key | None, rate: jax.Array, x: jax.Array) -> jax.Array:
  """Factors of the two halves of a layer by image, `[2, B, 1, 1]` or ones."""
  if key is None:
    return jnp.ones((2, 1, 1, 1), x.dtype)
  drawn = jax.random.bernoulli(key, 1 - rate, (2, x.shape[0], 1, 1))
  return drawn.astype(x.dtype) / (1 - rate)


def _patch_gain(pixels: int) -> float:
  """PyTorch's default deviation of a convolution, by `DEVIATION`."""
  return (3 * pixels) ** -0.5 / DEVIATION
