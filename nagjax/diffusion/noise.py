"""Cheap random numbers for light steps.

Drawing Gaussian noise would dominate a generation of a small population. These
draws cost a tenth of `jax.random.normal` on a CPU: one threefry block gives two
words instead of one, and a normal is looked up by 16 bits.
"""

from collections.abc import Callable
import math

import jax
from jax.extend import random as extended_random
import jax.numpy as jnp
import numpy as np
from scipy import special

from nagjax.types import Key

DrawFn = Callable[[jax.Array], jax.Array]
"""`uniform`, `gumbel` or `coarse_normal`: draws of random words."""

_NUM_QUANTILES = 2**16
_QUANTILES = special.ndtri(
  (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
).astype(np.float32)


def words(key: Key, num: int) -> jax.Array:
  """Random 32-bit words, `uint32[num]`; other than `jax.random.bits` gives.

  Args:
    key: random key, consumed.
    num: how many.
  """
  if jax.random.key_impl(key) != jax.random.key_impl(jax.random.key(0)) or (
    jax.random.key_data(key).shape != (2,)
  ):
    return jax.random.bits(key, (num,))
  even = num + num % 2
  counts = jnp.arange(even, dtype=jnp.uint32)
  return extended_random.threefry_2x32(jax.random.key_data(key), counts)[:num]


def draws(
  key: Key, **wanted: tuple[DrawFn, tuple[int, ...]]
) -> dict[str, jax.Array]:
  """All draws of a step at once, by name.

  They are made of the `words` of the key in the order in which they are asked
  for, each beginning with a word of its own.

  Args:
    key: random key, consumed.
    **wanted: by name, kind and shape.

  Returns:
    Arrays of these shapes, such as `f32[P, L]`.

  Example:
    >>> found = draws(
    ...   jax.random.key(0), start=(uniform, (5, 3)), noise=(gumbel, (4, 5, 3))
    ... )
    >>> found["noise"].shape
    (4, 5, 3)
  """
  # A word has two normal draws.
  nums = {
    name: -(-math.prod(shape) // (2 if kind is coarse_normal else 1))
    for name, (kind, shape) in wanted.items()
  }
  bits = words(key, sum(nums.values()))
  found, start = {}, 0
  for name, (kind, shape) in wanted.items():
    values = kind(bits[start : start + nums[name]])
    found[name] = values[: math.prod(shape)].reshape(shape)
    start += nums[name]
  return found


def coarse_normal(bits: jax.Array) -> jax.Array:
  """Two standard normal draws of 16 bits from every word, `[n] -> f32[2 n]`.

  The draws are the quantiles at `(k + 1/2) / 2^16`: mean 0, variance 1 - 5e-5,
  and no draw beyond 4.33.
  """
  halves = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)
  return jnp.asarray(_QUANTILES)[halves]


def gumbel(bits: jax.Array) -> jax.Array:
  """A standard Gumbel draw of 24 bits from every word, `f32[...]`."""
  inside = ((bits >> 8).astype(jnp.float32) + 0.5) * 2.0**-24
  inside = jnp.minimum(inside, 1 - 2.0**-24)  # The largest rounds up to one.
  return -jnp.log(-jnp.log(inside))


def uniform(bits: jax.Array) -> jax.Array:
  """A uniform draw in [0, 1) of 24 bits from every word, `f32[...]`."""
  return (bits >> 8).astype(jnp.float32) * 2.0**-24
