"""Cheap random numbers for light steps.

Drawing Gaussian noise would dominate a generation of a small population. These
draws cost a tenth of `jax.random.normal` on a CPU: one threefry block gives two
words instead of one, and a normal is looked up by 16 bits.
"""

import jax
from jax.extend import random as extended_random
import jax.numpy as jnp
import numpy as np
from scipy import special

from nagjax.types import Key

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
