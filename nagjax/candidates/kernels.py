"""Condition numbers of the neural tangent kernel.

Chen et al. (TE-NAS), ICLR 2021, https://arxiv.org/abs/2102.11535, section
3.1.1: networks whose kernel is well conditioned are easy to train.
"""

import jax
import jax.numpy as jnp

MAX_CONDITION = 1e7
"""Largest condition number; beyond it eigenvalues are rounding."""


def condition_number(rows: jax.Array, *, centered: bool = False) -> jax.Array:
  """Condition number of `G G^T`, `f32[B, weights] -> f32[]`.

  Args:
    rows: `G`, the gradient of each of `B` images.
    centered: whether rows lose their mean, and the direction in which all
      images agree does not count.

  Returns:
    `lambda_max / lambda_min`, at most `MAX_CONDITION`, which is also the value
    where it is no number.
  """
  if centered:
    rows = rows - jnp.mean(rows, axis=0, keepdims=True)
  size = jnp.max(jnp.abs(rows))
  rows = rows / jnp.where(size > 0, size, 1)
  kernel = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
  values = jnp.linalg.eigvalsh(kernel)
  largest, smallest = values[-1], values[int(centered)]
  # A comparison with NaN is false.
  is_regular = largest < MAX_CONDITION * smallest
  condition = largest / jnp.where(is_regular, smallest, 1)
  return jnp.where(is_regular, condition, MAX_CONDITION)
