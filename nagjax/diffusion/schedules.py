"""Noise schedules: how much of the signal survives at each diffusion step.

A schedule is a table `alpha` of length `T`, `alpha[t]` the share of the
variance that is still signal (the papers' alpha-bar), decreasing in `t`.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp
import numpy as np

ScheduleFn = Callable[[int], jax.Array]
"""Maps the number of steps `T` to the table `f32[T]`."""


def cosine(num_steps: int) -> jax.Array:
  """`alpha_t = (cos(pi t / (T - 1)) + 1) / 2`, from exactly 1 to exactly 0.

  This is the schedule of EDNAG's programs (its paper states the range of
  `exponential`).

  Args:
    num_steps: `T`, at least 2.

  Returns:
    `f32[T]`.
  """
  _check(num_steps)
  phase = np.pi * np.arange(num_steps) / (num_steps - 1)
  alpha = (np.cos(phase) + 1) / 2
  alpha[0], alpha[-1] = 1.0, 0.0
  return jnp.asarray(alpha, jnp.float32)


def linear(
  num_steps: int, *, epsilon: float = 1e-4, power: float = 1.0
) -> jax.Array:
  """`linspace(1 - eps, eps^(2 / p), T)^p`, from `1 - eps` to `eps^2`.

  Args:
    num_steps: `T`, at least 2.
    epsilon: distance of the first value from one.
    power: the exponent `p`.

  Returns:
    `f32[T]`.
  """
  _check(num_steps)
  ends = (1 - epsilon, (epsilon**2) ** (1 / power))
  return jnp.asarray(np.linspace(*ends, num_steps) ** power, jnp.float32)


def exponential(num_steps: int, *, epsilon: float = 1e-4) -> jax.Array:
  """DDPM's schedule in closed form, from `1 - eps` to `eps`.

  `alpha = exp(-b s - c s^2)` with `s = linspace(1/T, 1, T)` and `b`, `c` such
  that the ends are as stated (Ho, Jain and Abbeel 2020, the continuous limit of
  a linear beta schedule). The range is that of EDNAG's section "Experiment
  Setup".

  Args:
    num_steps: `T`, at least 2.
    epsilon: distance of the ends from one and zero.

  Returns:
    `f32[T]`.
  """
  _check(num_steps)
  steps = float(num_steps)
  first, last = math.log(1 / (1 - epsilon)), math.log(epsilon)
  b = (steps**2 * first + last) / (steps - 1)
  c = -steps * (steps * first + last) / (steps - 1)
  s = np.linspace(1 / steps, 1, num_steps)
  return jnp.asarray(np.exp(-b * s - c * s**2), jnp.float32)


def _check(num_steps: int) -> None:
  if num_steps < 2:
    raise ValueError(f"num_steps must be at least 2, got {num_steps}.")
