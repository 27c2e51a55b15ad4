"""Latent vectors that a search generates from.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section
4.1. Training draws them from the standard normal distribution.
"""

import jax
import jax.numpy as jnp

UNIFORM_BOUND = 3.0
"""The published program draws every component from [-3, 3]."""
COVERAGE = 0.99
"""The paper's grid spans this share of the standard normal distribution."""


def uniform_latents(uniform: jax.Array) -> jax.Array:
  """The program's form: uniform draws in [0, 1) become [-3, 3), `f32[...]`."""
  return UNIFORM_BOUND * (2 * uniform - 1)


def quantile_latents(uniform: jax.Array, *, num_points: int = 10) -> jax.Array:
  """The paper's form: each component is a point of a regular grid, `f32[...]`.

  The paper has "a grid, containing the 99%-quantiles". Read here as equally
  spaced points between the quantiles that enclose 99 % of the standard normal
  distribution; it does not say how many.

  Args:
    uniform: uniform draws in [0, 1), `f32[...]`.
    num_points: points of the grid.

  Raises:
    ValueError: if there are not two.
  """
  if num_points < 2:
    raise ValueError(f"num_points must be at least 2, got {num_points}.")
  bound = jax.scipy.special.ndtri((1 + COVERAGE) / 2)
  point = jnp.minimum(jnp.floor(uniform * num_points), num_points - 1)
  return bound * (2 * point / (num_points - 1) - 1)
