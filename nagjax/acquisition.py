"""Acquisition functions: what a candidate is worth to each slot of a batch.

An acquisition is a function `(key, prediction, best, optimism) -> f32[B, C]`;
all are maximized. As in the program of DiffusionNAG (An et al., ICLR 2024,
https://arxiv.org/abs/2305.16943, section 3.4 and Bayesian optimization), which
follows White, Neiswanger and Savani, "BANANAS", AAAI 2021,
https://arxiv.org/abs/1910.11858, section 3.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy import stats
from jax.typing import ArrayLike

from nagjax.types import Key
from nagjax.types import Prediction

_FAR = -6.0
"""Standard deviations below the best from where the expansion holds."""

Acquisition = Callable[[Key, Prediction, jax.Array, jax.Array], jax.Array]
"""`(key, Prediction, best f32[], optimism f32[B]) -> f32[B, C]`.

One row of values of the `C` candidates for every slot of a batch. `best` is the
best evaluation on the prediction's scale; `optimism` is the factor of the
standard deviation for every slot, where an acquisition has one. The key is
consumed."""


def log_expected_improvement(
  mean: jax.Array, std: jax.Array, best: ArrayLike
) -> jax.Array:
  """`log E[max(y - best, 0)]` of `y ~ N(mean, std^2)`, `f32[...]` each.

  The logarithm, so that far candidates still differ. Where the terms of `pdf(z)
  + z cdf(z)` cancel, it is that of its expansion `pdf(z) / z^2 (1 - 3 / z^2 +
  15 / z^4 - 105 / z^6)`.

  Example:
    >>> value = jax.jit(log_expected_improvement)(1.0, 0.5, best=1.0)
    >>> round(float(value), 3)
    -1.612
  """
  std = jnp.maximum(std, 1e-9)
  z = (mean - best) / std
  far = jnp.minimum(z, _FAR) ** -2
  log_far = jnp.log(far) + jnp.log1p(far * (far * (15 - 105 * far) - 3))
  near = jnp.maximum(z, _FAR)
  log_near = jnp.log(near * stats.norm.cdf(near) + stats.norm.pdf(near))
  tail = stats.norm.logpdf(z) + log_far
  return jnp.log(std) + jnp.where(z < _FAR, tail, log_near)


def log_probability_of_improvement(
  mean: jax.Array, std: jax.Array, best: ArrayLike
) -> jax.Array:
  """`log P(y > best)` of `y ~ N(mean, std^2)`, `f32[...]` each.

  The logarithm, so that far candidates still differ.

  Example:
    >>> value = jax.jit(log_probability_of_improvement)(1.0, 0.5, best=1.0)
    >>> round(float(value), 3)
    -0.693
  """
  return stats.norm.logcdf((mean - best) / jnp.maximum(std, 1e-9))


def upper_confidence_bound(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """`mean + optimism std`, `f32[B, C]`: each slot with its own optimism.

  Example:
    >>> mean, std = jnp.asarray([1.0, 0.75]), jnp.asarray([0.125, 0.5])
    >>> said = Prediction(mean, std, None, jnp.asarray([[], []]))
    >>> optimism = jnp.asarray([0.0, 2.0])  # Of the two slots of a batch.
    >>> jax.jit(upper_confidence_bound)(None, said, 1.0, optimism).tolist()
    [[1.0, 0.75], [1.25, 1.75]]
  """
  del key, best
  return prediction.mean[None] + optimism[:, None] * prediction.std[None]


def expected_improvement(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """`log_expected_improvement`, `f32[B, C]`, the same for every slot.

  Example:
    >>> mean, std = jnp.asarray([1.0, 0.75]), jnp.asarray([0.125, 0.5])
    >>> said = Prediction(mean, std, None, jnp.asarray([[], []]))
    >>> slots = jnp.asarray([0.0, 2.0])
    >>> value = jax.jit(expected_improvement)(None, said, 1.0, slots)
    >>> value.argmax(axis=1).tolist()
    [1, 1]
  """
  del key
  value = log_expected_improvement(prediction.mean, prediction.std, best)
  return _for_every_slot(value, optimism)


def probability_of_improvement(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """`log_probability_of_improvement`, `f32[B, C]`, the same for every slot.

  Example:
    >>> mean, std = jnp.asarray([1.0, 0.75]), jnp.asarray([0.125, 0.5])
    >>> said = Prediction(mean, std, None, jnp.asarray([[], []]))
    >>> slots = jnp.asarray([0.0, 2.0])
    >>> value = jax.jit(probability_of_improvement)(None, said, 1.0, slots)
    >>> value.argmax(axis=1).tolist()
    [0, 0]
  """
  del key
  value = log_probability_of_improvement(prediction.mean, prediction.std, best)
  return _for_every_slot(value, optimism)


def thompson(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """A random member of the surrogate for every slot, `f32[B, C]`.

  A surrogate without members cannot be asked so; a search checks that first.

  Example:
    >>> members = jnp.asarray([[1.0, 0.75], [0.5, 1.25]])
    >>> violations = jnp.asarray([[], []])
    >>> said = Prediction(members[0], members[1], members, violations)
    >>> key, slots = jax.random.key(0), jnp.asarray([0.0, 0.0, 0.0])
    >>> jax.eval_shape(thompson, key, said, 1.0, slots).shape
    (3, 2)
  """
  del best
  members = prediction.members
  assert members is not None
  return members[jax.random.randint(key, optimism.shape, 0, members.shape[0])]


def independent_thompson(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """Draws of `N(mean, std^2)`, `f32[B, C]`: each candidate for each slot.

  Example:
    >>> mean, std = jnp.asarray([1.0, 0.75]), jnp.asarray([0.125, 0.5])
    >>> said = Prediction(mean, std, None, jnp.asarray([[], []]))
    >>> key, slots = jax.random.key(0), jnp.asarray([0.0, 0.0, 0.0])
    >>> jax.eval_shape(independent_thompson, key, said, 1.0, slots).shape
    (3, 2)
  """
  del best
  shape = (*optimism.shape, *prediction.mean.shape)
  draws = jax.random.normal(key, shape)
  return prediction.mean[None] + prediction.std[None] * draws


def mean(
  key: Key, prediction: Prediction, best: jax.Array, optimism: jax.Array
) -> jax.Array:
  """The mean, `f32[B, C]`, the same for every slot.

  Example:
    >>> means, std = jnp.asarray([1.0, 0.75]), jnp.asarray([0.125, 0.5])
    >>> said = Prediction(means, std, None, jnp.asarray([[], []]))
    >>> mean(None, said, 1.0, jnp.asarray([0.0, 2.0])).tolist()
    [[1.0, 0.75], [1.0, 0.75]]
  """
  del key, best
  return _for_every_slot(prediction.mean, optimism)


def optimism_of_slots(
  max_beta: float, batch_size: int, power: float = 2.0
) -> jax.Array:
  """Optimism of every slot of a batch, `f32[B]`, from 0 to `max_beta`.

  `max_beta (b / (B - 1))^power`: 0, 1/16, 1/4, 9/16, 1 times `max_beta` for
  five slots, so that most of a batch exploits; the same for all at the power 0.

  Example:
    >>> optimism_of_slots(16.0, 5).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]
  """
  slots = jnp.arange(batch_size) / max(batch_size - 1, 1)
  return jnp.asarray(max_beta * slots**power, jnp.float32)


def choose_batch(
  values: jax.Array, allowed: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Gives every slot its best candidate that no slot before it has.

  Args:
    values: `f32[B, C]`, from an acquisition.
    allowed: `bool[C]`.

  Returns:
    `int32[B]` candidates and `bool[B]` whether a slot found one.

  Example:
    >>> values = jnp.asarray([[3.0, 2.0, 9.0], [3.0, 2.0, 9.0]])
    >>> allowed = jnp.asarray([True, True, False])
    >>> chosen, found = jax.jit(choose_batch)(values, allowed)
    >>> chosen.tolist(), found.tolist()
    ([0, 1], [True, True])
  """

  def one(
    free: jax.Array, value: jax.Array
  ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # A value may underflow to -inf, which must not mean taken.
    value = jnp.maximum(value, jnp.finfo(value.dtype).min)
    best = jnp.argmax(jnp.where(free, value, -jnp.inf))
    return free.at[best].set(False), (best, free[best])

  return jax.lax.scan(one, allowed, values)[1]


def _for_every_slot(value: jax.Array, optimism: jax.Array) -> jax.Array:
  return jnp.broadcast_to(value, (*optimism.shape, *value.shape))
