"""From accuracy to fitness, and from fitness to a density: the maps `g`.

EDNAG (Zhou, Yu and Tang) maps fitness to the probability density of the optimal
samples, equation 7, and leaves `g` open; these are the choices of its program.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

DensityFn = Callable[[jax.Array], jax.Array]
"""Maps the fitness `[P]` of a population to densities `[P]`."""

_KNOTS = (30.0, 50.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0)
_STARTS = (0.0, 30.0, 50.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0)
_OFFSETS = (0.0, 3.0, 23.0, 63.0, 78.0, 103.0, 153.0, 303.0, 503.0)
_SLOPES = (0.1, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 40.0, 50.0)


def piecewise_rescale(accuracy: jax.Array) -> jax.Array:
  """Stretches the upper end of an accuracy in percent, piecewise linearly.

  Continuous, with slope 0.1 below 30, then 1, 2, 3, 5, 10, 30, 40 between the
  knots 30, 50, 70, 75, 80, 85, 90, 95 and 50 above. The published program of
  EDNAG uses it on NAS-Bench-201; the paper does not mention it.

  Args:
    accuracy: `[...]` percent; data-set multipliers are applied before.

  Returns:
    `[...]` fitness.
  """
  piece = sum((accuracy >= knot).astype(jnp.int32) for knot in _KNOTS)
  start, offset, slope = (
    jnp.asarray(table, jnp.float32)[piece]
    for table in (_STARTS, _OFFSETS, _SLOPES)
  )
  return offset + slope * (accuracy - start)


def bounded_rescale(
  accuracy: jax.Array, *, least: ArrayLike, most: ArrayLike = 99999.0
) -> jax.Array:
  """`piecewise_rescale`, and 0 below `least` or above `most`.

  EDNAG's program uses it outside NAS-Bench-201, where what is no architecture
  has an accuracy of 0 or an absurd one.

  Args:
    accuracy: `[...]` percent, multiplied already.
    least, most: bounds of it that still count.

  Returns:
    `[...]` fitness.
  """
  counts = (accuracy >= least) & (accuracy <= most)
  return jnp.where(counts, piecewise_rescale(accuracy), 0.0)


def room_layout_rescale(quality: jax.Array) -> jax.Array:
  """The fitness map of EDNAG's program for losses turned into qualities.

  `23 + 2 (x - 50)` below 70, `piecewise_rescale` from there; 0 for `x <= 50.01`
  and for `x >= 99999`.

  Args:
    quality: `[...]`, 50 plus a number that falls with the loss.

  Returns:
    `[...]` fitness.
  """
  low = 23 + 2 * (quality - 50)
  value = jnp.where(quality < 70, low, piecewise_rescale(quality))
  return jnp.where((quality > 50.01) & (quality < 99999), value, 0.0)


def identity(fitness: jax.Array) -> jax.Array:
  """`g = f`, `f32[P]` both."""
  return fitness


def power(
  fitness: jax.Array,
  *,
  exponent: ArrayLike = 1.0,
  temperature: ArrayLike = 1.0,
) -> jax.Array:
  """`g = (f / temperature)^exponent`, `f32[P]` both."""
  return (fitness / temperature) ** exponent


def exponential(
  fitness: jax.Array,
  *,
  temperature: ArrayLike = 50.0,
  maximum: ArrayLike = 100.0,
) -> jax.Array:
  """`g = exp((f - maximum) / temperature)`, `f32[P]`; 0 if every `f` is 0."""
  density = jnp.exp((fitness - maximum) / temperature)
  return jnp.where(jnp.all(fitness == 0), 0.0, density)


def energy(
  fitness: jax.Array,
  *,
  temperature: ArrayLike = 1.0,
  ceiling: ArrayLike = 5.0,
) -> jax.Array:
  """`g = exp(f / temperature - max f / temperature + ceiling)`.

  Both are `f32[P]`. The best individual has `exp(ceiling)`; EDNAG's programs
  use it everywhere.
  """
  scaled = fitness / temperature
  return jnp.exp(scaled - jnp.max(scaled) + ceiling)
