"""Mutation operators on continuous individuals."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

_DIGITS = 5
"""Binary digits of the largest exponent of a cheap power."""


def polynomial_mutation(
  x: jax.Array,
  uniform: jax.Array,
  strength: jax.Array,
  *,
  rate: ArrayLike = 0.6,
  index: ArrayLike = 5.0,
) -> jax.Array:
  """Deb's bounded polynomial mutation with one draw for a whole individual.

  With bounds -1 and 1, `d1 = (x + 1)/2`, `d2 = (1 - x)/2` and `m` the draw:
  `delta = (2m + (1-2m)(1-d1)^(n+1))^(1/(n+1)) - 1` for `m <= 1/2`, else
  `delta = 1 - (2(1-m) + (2m-1)(1-d2)^(n+1))^(1/(n+1))`; `x <- x + 2 delta`.

  Args:
    x: `[P, D]` individuals in [-1, 1].
    uniform: `[P]` uniform draws; an individual mutates where they are `<=
      rate`.
    strength: `[P]` uniform draws `m`, shared by all coordinates of an
      individual.
    rate: share of individuals that mutate.
    index: distribution index `n`; larger is weaker. An integer type, at most
      30, is several times cheaper than a float.

  Returns:
    `[P, D]`.

  References:
    Deb and Agrawal, "A niched-penalty approach for constraint handling in
    genetic algorithms", 1999. EDNAG's program uses it after every denoising
    step.
  """
  exponent = jnp.asarray(index) + 1
  m = strength[:, None]
  low = m <= 0.5
  # Both branches are one formula in the distance to the bound that limits them.
  room = jnp.where(low, 1 - x, 1 + x) / 2
  weight = jnp.where(low, 2 * m, 2 * (1 - m))
  is_integer = jnp.issubdtype(exponent.dtype, jnp.integer)
  power = _integer_power if is_integer else _power
  base = weight + (1 - weight) * power(room, exponent)
  root = _power(base, 1 / exponent.astype(jnp.float32))
  delta = jnp.where(low, root - 1, 1 - root)
  return jnp.where(uniform[:, None] <= rate, x + 2 * delta, x)


def _power(base: jax.Array, exponent: jax.Array) -> jax.Array:
  """`base^exponent` for `base >= 0`, through a vectorized exp and log."""
  return jnp.exp(exponent * jnp.log(jnp.maximum(base, 0.0)))


def _integer_power(base: jax.Array, exponent: jax.Array) -> jax.Array:
  """`base^exponent` for an integer in 0..31, by its binary digits."""
  result = jnp.ones_like(base)
  for digit in range(_DIGITS):
    has_digit = (exponent >> digit) & 1 == 1
    result = jnp.where(has_digit, result * base, result)
    base = base * base
  return result
