"""Acquisition functions: what an unseen candidate is worth.

As in the program of DiffusionNAG (An et al., ICLR 2024,
https://arxiv.org/abs/2305.16943, section 3.4 and Bayesian optimization), which
follows White, Neiswanger and Savani, "BANANAS", AAAI 2021,
https://arxiv.org/abs/1910.11858, section 3. All are maximized.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy import stats
from jax.typing import ArrayLike

from nagjax.types import Key

_FAR = -6.0
"""Deviations below the best from where the expansion holds."""
EXPLORATION = 0.5
"""Published deviations that the upper confidence bound adds."""

Acquisition = Callable[[Key, jax.Array, ArrayLike, int], jax.Array]
"""`(key, predictions f32[members, C], best, B) -> f32[B, C]`, one row for every
slot of a batch; the key is consumed."""


def moments(predictions: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation (ddof 1) over members, `f32[C]` each."""
  mean = jnp.mean(predictions, axis=0)
  centered = predictions - mean[None]
  freedom = max(predictions.shape[0] - 1, 1)
  return mean, jnp.sqrt(jnp.sum(centered**2, axis=0) / freedom)


def expected_improvement(
  mean: jax.Array, deviation: jax.Array, best: ArrayLike
) -> jax.Array:
  """`log E[max(y - best, 0)]` of `y ~ N(mean, deviation^2)`.

  The logarithm, so that far candidates still differ. Where the terms of `pdf(z)
  + z cdf(z)` cancel, it is that of its expansion `pdf(z) / z^2 (1 - 3 / z^2 +
  15 / z^4 - 105 / z^6)`.
  """
  deviation = jnp.maximum(deviation, 1e-9)
  z = (mean - best) / deviation
  far = jnp.minimum(z, _FAR) ** -2
  log_far = jnp.log(far) + jnp.log1p(far * (far * (15 - 105 * far) - 3))
  near = jnp.maximum(z, _FAR)
  log_near = jnp.log(near * stats.norm.cdf(near) + stats.norm.pdf(near))
  tail = stats.norm.logpdf(z) + log_far
  return jnp.log(deviation) + jnp.where(z < _FAR, tail, log_near)


def probability_of_improvement(
  mean: jax.Array, deviation: jax.Array, best: ArrayLike
) -> jax.Array:
  """`log P(y > best)`; the logarithm, so that far candidates still differ."""
  return stats.norm.logcdf((mean - best) / jnp.maximum(deviation, 1e-9))


def upper_confidence_bound(
  mean: jax.Array, deviation: jax.Array, beta: ArrayLike = EXPLORATION
) -> jax.Array:
  """`mean + beta deviation`."""
  return mean + beta * deviation


def make(name: str) -> Acquisition:
  """An acquisition function by name, one of `NAMES`.

  Raises:
    ValueError: if there is none of this name.
  """
  if name not in _ACQUISITIONS:
    raise ValueError(
      f"acquisition must be one of {', '.join(NAMES)}, got {name!r}."
    )
  return _ACQUISITIONS[name]


def _of_moments(function: Callable[..., jax.Array]) -> Acquisition:
  """The same value for every slot."""

  def acquisition(
    key: Key, predictions: jax.Array, best: ArrayLike, batch_size: int
  ) -> jax.Array:
    del key
    value = function(*moments(predictions), best)
    return jnp.broadcast_to(value, (batch_size, *value.shape))

  return acquisition


def _thompson(
  key: Key, predictions: jax.Array, best: ArrayLike, batch_size: int
) -> jax.Array:
  """A random member for every slot."""
  del best
  member = jax.random.randint(key, (batch_size,), 0, predictions.shape[0])
  return predictions[member]


def _independent_thompson(
  key: Key, predictions: jax.Array, best: ArrayLike, batch_size: int
) -> jax.Array:
  """A draw of every candidate for every slot."""
  del best
  mean, deviation = moments(predictions)
  draws = jax.random.normal(key, (batch_size, *mean.shape))
  return mean[None] + deviation[None] * draws


_ACQUISITIONS: dict[str, Acquisition] = {
  "ei": _of_moments(expected_improvement),
  "its": _independent_thompson,
  "mean": _of_moments(lambda mean, deviation, best: mean),
  "pi": _of_moments(probability_of_improvement),
  "thompson": _thompson,
  "ucb": _of_moments(
    lambda mean, deviation, best: upper_confidence_bound(mean, deviation)
  ),
}
NAMES = tuple(_ACQUISITIONS)
