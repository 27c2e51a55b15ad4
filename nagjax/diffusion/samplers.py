"""Reverse diffusion steps as functions of arrays and noise.

Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021,
https://arxiv.org/abs/2010.02502
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def ddim_step(
  x: jax.Array,
  x0: jax.Array,
  noise: jax.Array,
  alpha: ArrayLike,
  alpha_next: ArrayLike,
  *,
  noise_scale: ArrayLike = 0.8,
) -> jax.Array:
  """Moves samples from noise level `alpha` to the cleaner `alpha_next`.

  With `e = (x - sqrt(alpha) x0) / sqrt(1 - alpha)` and
  `sigma = noise_scale sqrt((1-alpha')/(1-alpha) (1 - alpha/alpha'))` it returns
  `sqrt(alpha') x0 + sqrt(1 - alpha' - sigma^2) e + sigma z` (equation 12 of the
  paper; equation 4 of EDNAG, whose 0.8 is `noise_scale` and not `sigma`).

  Args:
    x: `[..., D]` samples at level `alpha`.
    x0: `[..., D]` estimate of the clean samples.
    noise: `[..., D]` standard normal draws `z`.
    alpha: level of `x`, below 1; 0 is allowed (then `e = x`).
    alpha_next: level of the result, above `alpha`; at 1 the result is `x0`.
    noise_scale: 0 is deterministic, 1 is ancestral sampling.

  Returns:
    `[..., D]` samples at level `alpha_next`.
  """
  alpha, alpha_next = jnp.float32(alpha), jnp.float32(alpha_next)
  remaining = 1 - alpha_next
  variance = remaining / (1 - alpha) * (1 - alpha / alpha_next)
  sigma = noise_scale * jnp.sqrt(variance)
  # Exactly zero at the last step; rounding must not make it negative.
  direction = jnp.sqrt(jnp.maximum(remaining - sigma**2, 0.0))
  epsilon = (x - jnp.sqrt(alpha) * x0) / jnp.sqrt(1 - alpha)
  return jnp.sqrt(alpha_next) * x0 + direction * epsilon + sigma * noise
