"""A code of a data set: pooled image features, by class and then over classes.

Lee, Hyung and Hwang, "Rapid Neural Architecture Search by Learning to Generate
Graphs from Datasets", ICLR 2021, https://arxiv.org/abs/2107.00860 (MetaD2A),
after Lee et al., "Set Transformer", ICML 2019,
https://arxiv.org/abs/1810.00825; the data-set side of DiffusionNAG's and
EDNAG's predictors.

Differs from the Set Transformer as the programs do: scores are divided by the
root of the full width, the residual is the projected query, and nothing is
normalized.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.networks import layers
from nagjax.networks.base import Network
from nagjax.networks.layers import Affine
from nagjax.types import Key

IMAGE_SIZE = 512
"""Features of an image, those of a ResNet-18 behind its pooling."""
CODE_SIZE = 56
"""Numbers that stand for a data set."""

_NUM_HEADS = 4


class Attention(NamedTuple):
  """A set that reads another; `Z` is 56.

  Attributes:
    query: of the elements that read, `f32[in, Z]`.
    key, value: of the elements that are read, `f32[in, Z]`.
    out: behind the heads, `f32[Z, Z]`.
  """

  query: Affine
  key: Affine
  value: Affine
  out: Affine


class SetPool(NamedTuple):
  """One vector from a set.

  Attributes:
    first, second: in which the set reads itself.
    seed: `f32[Z]` the element that reads the set.
    pool: by which it does.
    last: behind it.
  """

  first: Attention
  second: Attention
  seed: jax.Array
  pool: Attention
  last: Affine


class Params(NamedTuple):
  """Of the set encoder.

  Attributes:
    images: pools the images of a class.
    classes: pools the classes.
  """

  images: SetPool
  classes: SetPool


SetApply = Callable[[Params, jax.Array], jax.Array]
"""`(params, images f32[C, S, 512]) -> f32[56]`."""


def set_encoder() -> Network[SetApply]:
  """Builds the encoder of a data set.

  It reads `f32[C, S, 512]`, features of some images, published 20, of each of
  `C` classes, and gives `f32[56]`. The order of images and of classes does not
  matter. Parameters start as PyTorch's do.
  """
  return Network(_init, _apply)


def _init(key: Key) -> Params:
  images_key, classes_key = jax.random.split(key)
  return Params(
    images=_init_pool(images_key, IMAGE_SIZE),
    classes=_init_pool(classes_key, CODE_SIZE),
  )


def _apply(params: Params, images: jax.Array) -> jax.Array:
  return _pool(params.classes, _pool(params.images, images)[None])[0]


def _init_pool(key: Key, inputs: int) -> SetPool:
  first_key, second_key, seed_key, pool_key, last_key = jax.random.split(key, 5)
  # Xavier's bound for a matrix of one row.
  bound = (6 / (1 + CODE_SIZE)) ** 0.5
  return SetPool(
    first=_init_attention(first_key, inputs),
    second=_init_attention(second_key, CODE_SIZE),
    seed=jax.random.uniform(
      seed_key, (CODE_SIZE,), minval=-bound, maxval=bound
    ),
    pool=_init_attention(pool_key, CODE_SIZE),
    last=layers.init_affine(last_key, CODE_SIZE, CODE_SIZE),
  )


def _init_attention(key: Key, inputs: int) -> Attention:
  sizes = (inputs, inputs, inputs, CODE_SIZE)
  return Attention(
    *(
      layers.init_affine(part_key, size, CODE_SIZE)
      for part_key, size in zip(jax.random.split(key, 4), sizes, strict=True)
    )
  )


def _pool(params: SetPool, x: jax.Array) -> jax.Array:
  """One vector of every set, `f32[B, S, in] -> f32[B, 56]`."""
  x = _read(params.first, x, x)
  x = _read(params.second, x, x)
  seed = jnp.broadcast_to(params.seed, (x.shape[0], 1, CODE_SIZE))
  return layers.affine(params.last, _read(params.pool, seed, x)[:, 0])


def _read(params: Attention, x: jax.Array, other: jax.Array) -> jax.Array:
  """What `x` reads from `other`, `f32[B, Q, in] -> f32[B, Q, 56]`."""
  queries, keys, values = (
    layers.affine(layer, read).reshape(*read.shape[:2], _NUM_HEADS, -1)
    for layer, read in zip(params[:3], (x, other, other), strict=True)
  )
  # By hand: `jax.nn.dot_product_attention` takes its softmax in 32 bits always.
  logits = jnp.einsum("bqhd,bshd->bhqs", queries, keys) * CODE_SIZE**-0.5
  shares = jax.nn.softmax(logits, axis=-1)
  found = queries + jnp.einsum("bhqs,bshd->bqhd", shares, values)
  found = found.reshape(*x.shape[:2], CODE_SIZE)
  return found + jax.nn.relu(layers.affine(params.out, found))
