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

from typing import NamedTuple
from typing import Protocol

import jax
import jax.numpy as jnp

from nagjax.networks import layers
from nagjax.networks.base import Network
from nagjax.networks.layers import Affine
from nagjax.types import Key

IMAGE_SIZE = 512
"""Published features of an image, those of a ResNet-18 behind its pooling."""
CODE_SIZE = 56
"""Published numbers that stand for a data set."""

_NUM_HEADS = 4


class Attention(NamedTuple):
  """A set that reads another; `Z` is the code's size, published 56.

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


class SetApply(Protocol):
  """Reads the images of a data set."""

  def __call__(
    self, params: Params, images: jax.Array, present: jax.Array | None = None
  ) -> jax.Array:
    """Gives the code of a data set.

    Args:
      params: of the encoder.
      images: `f32[C, S, F]` features of `S` images of each of `C` classes.
      present: `bool[C]` which classes there are, where others fill up an array
        of fixed size; None if all. One at least must be.

    Returns:
      `f32[Z]`.
    """
    ...


def set_encoder(
  image_size: int = IMAGE_SIZE, code_size: int = CODE_SIZE
) -> Network[SetApply]:
  """Builds the encoder of a data set.

  It reads features of some images, published 20, of each class. The order of
  images and of classes does not matter. Parameters start as PyTorch's do.

  Args:
    image_size: numbers that stand for an image, `F`.
    code_size: numbers that stand for the data set, `Z`, a multiple of the 4
      heads.

  Raises:
    ValueError: if a size is not positive or the heads do not divide it.
  """
  if image_size < 1 or code_size < 1 or code_size % _NUM_HEADS:
    raise ValueError(
      f"image_size must be positive and code_size a positive multiple of "
      f"{_NUM_HEADS}, got {image_size} and {code_size}."
    )

  def init(key: Key) -> Params:
    images_key, classes_key = jax.random.split(key)
    return Params(
      images=_init_pool(images_key, image_size, code_size),
      classes=_init_pool(classes_key, code_size, code_size),
    )

  def apply(
    params: Params, images: jax.Array, present: jax.Array | None = None
  ) -> jax.Array:
    if images.ndim != 3 or images.shape[-1] != image_size:
      raise ValueError(
        f"images must be features of the shape [C, S, {image_size}], got "
        f"{images.shape}."
      )
    return _pool(params.classes, _pool(params.images, images)[None], present)[0]

  return Network(init, apply)


def _init_pool(key: Key, inputs: int, size: int) -> SetPool:
  first_key, second_key, seed_key, pool_key, last_key = jax.random.split(key, 5)
  # Xavier's bound for a matrix of one row.
  bound = (6 / (1 + size)) ** 0.5
  return SetPool(
    first=_init_attention(first_key, inputs, size),
    second=_init_attention(second_key, size, size),
    seed=jax.random.uniform(seed_key, (size,), minval=-bound, maxval=bound),
    pool=_init_attention(pool_key, size, size),
    last=layers.init_affine(last_key, size, size),
  )


def _init_attention(key: Key, inputs: int, size: int) -> Attention:
  sizes = (inputs, inputs, inputs, size)
  return Attention(
    *(
      layers.init_affine(part_key, part_inputs, size)
      for part_key, part_inputs in zip(
        jax.random.split(key, 4), sizes, strict=True
      )
    )
  )


def _pool(
  params: SetPool, x: jax.Array, present: jax.Array | None = None
) -> jax.Array:
  """One vector of every set, `f32[B, S, in] -> f32[B, Z]`."""
  x = _read(params.first, x, x, present)
  x = _read(params.second, x, x, present)
  seed = jnp.broadcast_to(params.seed, (x.shape[0], 1, x.shape[-1]))
  read = _read(params.pool, seed, x, present)
  return layers.affine(params.last, read[:, 0])


def _read(
  params: Attention,
  x: jax.Array,
  other: jax.Array,
  present: jax.Array | None,
) -> jax.Array:
  """What `x` reads from `other`, `f32[B, Q, in] -> f32[B, Q, Z]`."""
  queries, keys, values = (
    layers.affine(layer, read).reshape(*read.shape[:2], _NUM_HEADS, -1)
    for layer, read in zip(params[:3], (x, other, other), strict=True)
  )
  size = params.out.bias.shape[0]
  # By hand: `jax.nn.dot_product_attention` takes its softmax in 32 bits always.
  logits = jnp.einsum("bqhd,bshd->bhqs", queries, keys) * size**-0.5
  if present is not None:
    logits = jnp.where(present[None, None, None], logits, -jnp.inf)
  shares = jax.nn.softmax(logits, axis=-1)
  found = queries + jnp.einsum("bhqs,bshd->bqhd", shares, values)
  found = found.reshape(*x.shape[:2], size)
  return found + jax.nn.relu(layers.affine(params.out, found))
