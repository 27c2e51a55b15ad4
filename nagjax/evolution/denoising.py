"""Fitness-guided denoising: EDNAG's Bayes estimator and its normalization.

Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural Architecture
Generation", section "Denoising Process of EDNAG", equations 5 to 9; the
estimator goes back to Zhang et al., "Diffusion Models are Evolutionary
Algorithms", 2024.

The estimator is attention over the population: the logits are
`log g_j - |x_i - sqrt(alpha) x_j|^2 / (2 (1 - alpha))`, the values are the
individuals.
"""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax.arrays import hamming

FLOOR = 1e-9
"""Added to density, kernel and normalizer by the published program."""

_BLOCK = 256


def bayes_estimate(
  x: jax.Array,
  density: jax.Array,
  alpha: ArrayLike,
  *,
  floor: float = FLOOR,
  block_size: int | None = None,
) -> jax.Array:
  """Estimates the clean sample behind every individual (equation 8).

  `x0_i = sum_j w_ij x_j / (sum_j w_ij + floor)` with
  `w_ij = (g_j + floor)(K_ij + floor) / (1/P + floor)` and the unnormalized
  kernel `K_ij = exp(-|x_i - sqrt(alpha) x_j|^2 / (2 (1 - alpha)))`.

  Differs from the paper: the kernel is no normalized density (the factor
  cancels), and the floors give every individual a global view of the population
  that decides where all kernels underflow. Both follow the published program; a
  log-sum-exp form without floors would not.

  Args:
    x: `[P, D]` noisy population, queries and values alike.
    density: `[P]` density `g >= 0` of each individual.
    alpha: noise level of `x`, below 1.
    floor: see above.
    block_size: None holds the `[P, P]` weights; a number works on that many
      rows at a time, with memory linear in `P` and the same result to rounding.

  Returns:
    `[P, D]`.
  """
  num = x.shape[0]
  alpha = jnp.asarray(alpha, jnp.float32)
  weights_of = functools.partial(_weights, density=density, alpha=alpha)

  def estimate(rows: jax.Array) -> jax.Array:
    kernel = weights_of(squared_distances(rows, jnp.sqrt(alpha) * x), floor)
    weights = kernel / (1 / num + floor)
    total = jnp.sum(weights, axis=-1, keepdims=True) + floor
    mean = jnp.matmul(weights, x, precision=jax.lax.Precision.HIGHEST)
    return mean / total

  if block_size is None:
    return estimate(x)
  return map_blocks(estimate, x, block_size)


def normalize(
  x: jax.Array, *, low: float = -1.0, high: float = 1.0
) -> jax.Array:
  """Stretches each individual to `[low, high]`, over all its coordinates.

  Published EDNAG programs do this after denoising and after mutation; the paper
  does not mention it. Differs from them: a constant individual becomes the
  middle of the range, not NaN.

  Args:
    x: `[..., D]` individuals.
    low: value of the smallest coordinate.
    high: value of the largest coordinate.

  Returns:
    `[..., D]`.
  """
  smallest = jnp.min(x, axis=-1, keepdims=True)
  span = jnp.max(x, axis=-1, keepdims=True) - smallest
  unit = jnp.where(span > 0, (x - smallest) / span, 0.5)
  return low + (high - low) * unit


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
  """`|x_i - y_j|^2` by differences, `[P, D], [Q, D] -> [P, Q]`.

  The expanded form `|x|^2 - 2 x y + |y|^2` would lose distances below 1e-6,
  which decide the estimator at the last steps.
  """
  return jnp.sum((x[:, None] - y[None]) ** 2, axis=-1)


def map_blocks(
  fn: Callable[[jax.Array], jax.Array],
  rows: jax.Array,
  block_size: int = _BLOCK,
) -> jax.Array:
  """Applies `fn: [b, D] -> [b, ...]` to blocks of rows, one after another.

  The last block is filled up with copies of the first row.
  """
  num = rows.shape[0]
  filler = jnp.broadcast_to(rows[:1], (-num % block_size, *rows.shape[1:]))
  blocks = jnp.concatenate([rows, filler])
  blocks = blocks.reshape(-1, block_size, *rows.shape[1:])
  result = jax.lax.map(fn, blocks)
  return result.reshape(-1, *result.shape[2:])[:num]


def _weights(
  distances: jax.Array, floor: float, *, density: jax.Array, alpha: jax.Array
) -> jax.Array:
  kernel = jnp.exp(-distances / (2 * (1 - alpha)))
  return (density[None] + np.float32(floor)) * (kernel + np.float32(floor))


def categorical_estimate(
  archs: jax.Array,
  values: jax.Array,
  fitness: jax.Array,
  alpha: ArrayLike,
  *,
  num_options: int,
  temperature: ArrayLike,
  distance: ArrayLike = 1.0,
) -> jax.Array:
  """The Bayes estimate for architectures as categorical vectors.

  The same attention as `bayes_estimate` with `log g = f / temperature` and the
  Hamming distance `h`, which for one-hot vectors is half the squared Euclidean
  one: the logits are `f_j / temperature - distance h_ij / (1 - alpha)`, the
  values are one-hot. The estimate is a distribution over the options of every
  variable.

  Args:
    archs: `int32[P, L]` noisy population, the queries.
    values: `int32[V, L]` architectures whose fitness is known or predicted.
    fitness: `[V]` their fitness; `-inf` excludes one.
    alpha: share of variables that are still signal, below 1.
    num_options: `K`.
    temperature: smaller follows fitness more closely.
    distance: of two vectors that differ in one variable.

  Returns:
    `f32[P, L, K]` probabilities.
  """
  num_variables = archs.shape[-1]
  logits = (fitness / temperature)[None]
  logits -= distance * hamming(archs, values) / (1 - alpha)
  weights = jax.nn.softmax(logits, axis=-1)
  one_hot = jax.nn.one_hot(values, num_options, dtype=jnp.float32)
  estimate = weights @ one_hot.reshape(values.shape[0], -1)
  return estimate.reshape(-1, num_variables, num_options)


def categorical_step(
  estimate: jax.Array,
  uniform: jax.Array,
  alpha_next: ArrayLike,
  cardinalities: tuple[int, ...],
) -> jax.Array:
  """Draws the population at the cleaner level `alpha_next`.

  A variable is drawn from the estimate with probability `alpha_next`, else
  uniformly: the reverse step of uniform categorical diffusion that forgets the
  current state (Austin et al., "Structured Denoising Diffusion Models in
  Discrete State-Spaces", 2021).

  Args:
    estimate: `f32[P, L, K]` probabilities.
    uniform: `f32[P, L]` draws in [0, 1), which the cumulated probabilities
      place: five times cheaper than a Gumbel draw for every option.
    alpha_next: share of variables that are signal in the result.
    cardinalities: options of each variable.

  Returns:
    `int32[P, L]`.
  """
  num = np.asarray(cardinalities, np.int32)[None]
  possible = np.arange(estimate.shape[-1]) < num[..., None]
  evenly = 1 / num[..., None].astype(np.float32)
  mixed = alpha_next * estimate + (1 - alpha_next) * evenly
  mixed = jnp.where(possible, mixed, 0.0)
  target = uniform * jnp.sum(mixed, axis=-1)
  drawn = jnp.zeros(uniform.shape, jnp.int32)
  below = jnp.zeros_like(target)
  for option in range(estimate.shape[-1] - 1):
    below += mixed[..., option]
    drawn += (target >= below).astype(jnp.int32)
  # Of rounding only: the target is below the sum.
  return jnp.minimum(drawn, num - 1)
