"""Stochastic differential equations that turn data into noise.

Song et al., "Score-Based Generative Modeling through Stochastic Differential
Equations", ICLR 2021, https://arxiv.org/abs/2011.13456, as used by DiffusionNAG
(An et al., ICLR 2024, https://arxiv.org/abs/2305.16943).

All are linear, `dx = rate(t) x dt + diffusion(t) dw` for t in [0, 1], so that
`x_t ~ N(mean(t) x_0, std(t)^2)`.
"""

from collections.abc import Callable
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

TimeFn = Callable[[ArrayLike], jax.Array]
StepsFn = Callable[[ArrayLike, int], tuple[jax.Array, jax.Array]]

NUM_SCALES = 1000
"""Steps of the discretized forms, and of the published samplers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sde:
  """A linear diffusion and what belongs to it.

  Attributes:
    name: `ve`, `vp` or `subvp`.
    rate: `t -> f32`, the drift is `rate(t) x`.
    diffusion: `t -> f32`, `g(t)`.
    mean: `t -> f32`, share of the data that is left.
    std: `t -> f32`, of the noise; above 0 for t above 0.
    time_of: `log(mean / std) -> t`, the inverse of `log_snr`.
    prior_std: of `x_1`, which is drawn around 0.
    end_time: where sampling stops.
    condition: `t -> f32`, what the published score network is told.
    steps: `(t, num_scales) -> (factor, noise)`, one step of the discretized
      chain, `x' = factor x + noise z`.
    langevin_factor: `t -> f32`, scales the step of the Langevin corrector.
    divides_by_std: whether the published network's output is `-std` times the
      score; else it is the score.
  """

  name: str
  rate: TimeFn
  diffusion: TimeFn
  mean: TimeFn
  std: TimeFn
  time_of: TimeFn
  prior_std: float
  end_time: float
  condition: TimeFn
  steps: StepsFn
  langevin_factor: TimeFn
  divides_by_std: bool

  def log_snr(self, t: ArrayLike) -> jax.Array:
    """`log(mean(t) / std(t))`, `f32[...]` as `t` is, and falling in it."""
    return jnp.log(self.mean(t)) - jnp.log(self.std(t))

  def perturb(self, x: jax.Array, t: jax.Array, noise: jax.Array) -> jax.Array:
    """A draw of `x_t` given `x_0`.

    Args:
      x: `f32[..., n, F]` clean samples.
      t: `f32[...]` times.
      noise: `f32[..., n, F]` standard normal draws.
    """
    mean, std = (
      value[..., None, None] for value in (self.mean(t), self.std(t))
    )
    return mean * x + std * noise


def ve(sigma_min: float = 0.1, sigma_max: float = 5.0) -> Sde:
  """Variance exploding: `std(t) = sigma_min (sigma_max / sigma_min)^t`.

  The defaults are DiffusionNAG's for NAS-Bench-201; its score network of
  MobileNetV3 has `sigma_max` 1, its transfer configuration 20. The noise at
  time 0 is `sigma_min`, not 0.

  Raises:
    ValueError: unless `0 < sigma_min < sigma_max`.
  """
  if not 0 < sigma_min < sigma_max:
    raise ValueError(
      f"0 < sigma_min < sigma_max is needed, got {sigma_min}, {sigma_max}."
    )
  low, range_ = math.log(sigma_min), math.log(sigma_max / sigma_min)

  def std(t: ArrayLike) -> jax.Array:
    return jnp.exp(low + range_ * jnp.asarray(t, jnp.float32))

  def steps(t: ArrayLike, num_scales: int) -> tuple[jax.Array, jax.Array]:
    index = _index(t, num_scales)
    now, before = (std(i / (num_scales - 1)) for i in (index, index - 1))
    before = jnp.where(index == 0, 0.0, before)
    return jnp.ones_like(now), jnp.sqrt(now**2 - before**2)

  return Sde(
    name="ve",
    rate=lambda t: jnp.zeros_like(std(t)),
    diffusion=lambda t: std(t) * math.sqrt(2 * range_),
    mean=lambda t: jnp.ones_like(std(t)),
    std=std,
    time_of=lambda log_snr: (-jnp.asarray(log_snr) - low) / range_,
    prior_std=sigma_max,
    end_time=1e-5,
    condition=std,
    steps=steps,
    langevin_factor=lambda t: jnp.ones_like(std(t)),
    divides_by_std=False,
  )


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Sde:
  """Variance preserving: `beta(t) = beta_min + t (beta_max - beta_min)`.

  `mean = exp(c)` and `std^2 = 1 - exp(2 c)` with `c = -t^2 (beta_max -
  beta_min) / 4 - t beta_min / 2`. Differs from the published program: `std` by
  `expm1`, whose plain form is 0.6 % off at t = 1e-5 in 32 bits.

  Raises:
    ValueError: unless `0 < beta_min < beta_max`.
  """
  _check_betas(beta_min, beta_max)

  return _preserving(
    "vp",
    (beta_min, beta_max),
    diffusion=lambda t: jnp.sqrt(_beta(t, beta_min, beta_max)),
    std=lambda t: jnp.sqrt(-jnp.expm1(2 * _exponent(t, beta_min, beta_max))),
    # mean^2 / (1 - mean^2) = exp(2 l), so -2 c = log(1 + exp(-2 l)).
    minus_twice=lambda log_snr: jnp.logaddexp(0.0, -2 * log_snr),
    steps=functools.partial(_ddpm_steps, beta_min, beta_max),
  )


def subvp(beta_min: float = 0.1, beta_max: float = 20.0) -> Sde:
  """Like `vp` with less noise on the way: `std = 1 - exp(2 c)`.

  Raises:
    ValueError: unless `0 < beta_min < beta_max`.
  """
  _check_betas(beta_min, beta_max)

  def diffusion(t: ArrayLike) -> jax.Array:
    left = -jnp.expm1(4 * _exponent(t, beta_min, beta_max))
    return jnp.sqrt(_beta(t, beta_min, beta_max) * left)

  def steps(t: ArrayLike, num_scales: int) -> tuple[jax.Array, jax.Array]:
    rate = -0.5 * _beta(t, beta_min, beta_max)
    return 1 + rate / num_scales, diffusion(t) / math.sqrt(num_scales)

  return _preserving(
    "subvp",
    (beta_min, beta_max),
    diffusion=diffusion,
    std=lambda t: -jnp.expm1(2 * _exponent(t, beta_min, beta_max)),
    # mean / (1 - mean^2) = 1 / (2 sinh(-c)) = exp(l).
    minus_twice=lambda log_snr: 2 * jnp.arcsinh(0.5 * jnp.exp(-log_snr)),
    steps=steps,
  )


def make(name: str, low: float, high: float) -> Sde:
  """`ve(low, high)`, `vp(low, high)` or `subvp(low, high)` by name.

  Raises:
    ValueError: if the name is another one.
  """
  known = {"ve": ve, "vp": vp, "subvp": subvp}
  if name not in known:
    raise ValueError(f"sde must be one of {', '.join(known)}, got {name!r}.")
  return known[name](low, high)


def _preserving(
  name: str,
  betas: tuple[float, float],
  *,
  diffusion: TimeFn,
  std: TimeFn,
  minus_twice: Callable[[jax.Array], jax.Array],
  steps: StepsFn,
) -> Sde:
  """What the variance preserving equations share.

  `minus_twice` maps the logarithm of mean over std to `-2 c`.
  """

  def time_of(log_snr: ArrayLike) -> jax.Array:
    """Solves `-2 c(t) = twice` without cancellation."""
    twice = minus_twice(jnp.asarray(log_snr, jnp.float32))
    low, range_ = betas[0], betas[1] - betas[0]
    return 2 * twice / (low + jnp.sqrt(low**2 + 2 * range_ * twice))

  return Sde(
    name=name,
    rate=lambda t: -0.5 * _beta(t, *betas),
    diffusion=diffusion,
    mean=lambda t: jnp.exp(_exponent(t, *betas)),
    std=std,
    time_of=time_of,
    prior_std=1.0,
    end_time=1e-3,
    condition=lambda t: (NUM_SCALES - 1) * jnp.asarray(t, jnp.float32),
    steps=steps,
    langevin_factor=lambda t: _ddpm_steps(*betas, t, NUM_SCALES)[0] ** 2,
    divides_by_std=True,
  )


def _ddpm_steps(
  low: float, high: float, t: ArrayLike, num_scales: int
) -> tuple[jax.Array, jax.Array]:
  """The chain of Ho, Jain and Abbeel, "DDPM", 2020."""
  betas = jnp.linspace(low, high, num_scales) / num_scales
  beta = betas[_index(t, num_scales)]
  return jnp.sqrt(1 - beta), jnp.sqrt(beta)


def _beta(t: ArrayLike, low: float, high: float) -> jax.Array:
  return low + jnp.asarray(t, jnp.float32) * (high - low)


def _exponent(t: ArrayLike, low: float, high: float) -> jax.Array:
  """`c(t)`, the logarithm of the mean."""
  t = jnp.asarray(t, jnp.float32)
  return -0.25 * t**2 * (high - low) - 0.5 * t * low


def _index(t: ArrayLike, num_scales: int) -> jax.Array:
  """Published index `int(t (num_scales - 1))` of a discretized form."""
  return (jnp.asarray(t, jnp.float32) * (num_scales - 1)).astype(jnp.int32)


def _check_betas(beta_min: float, beta_max: float) -> None:
  if not 0 < beta_min < beta_max:
    raise ValueError(
      f"0 < beta_min < beta_max is needed, got {beta_min}, {beta_max}."
    )
