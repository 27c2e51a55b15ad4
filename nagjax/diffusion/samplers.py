"""Reverse diffusion: steps on arrays and noise, and samplers made of them.

Song et al., "Score-Based Generative Modeling through Stochastic Differential
Equations", ICLR 2021, https://arxiv.org/abs/2011.13456 (predictors, correctors,
probability flow); Song, Meng and Ermon, "Denoising Diffusion Implicit Models",
ICLR 2021, https://arxiv.org/abs/2010.02502; Lu et al., "DPM-Solver++", 2022,
https://arxiv.org/abs/2211.01095 (the few-step solver).

A sampler is a scan over times. Its random numbers are a key, or the draws
themselves, which makes a published chain repeatable.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax import checks
from nagjax.diffusion.guidance import ScoreFn
from nagjax.diffusion.score_matching import mean_of_score
from nagjax.diffusion.sde import NUM_SCALES
from nagjax.diffusion.sde import Sde
from nagjax.types import Key

PREDICTORS = ("euler_maruyama", "reverse_diffusion", "none")
CORRECTORS = ("langevin", "none")
_FARTHEST = 1e4
"""Deviations of the prior that no sample of a working sampler reaches."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of `predictor_corrector`; defaults are DiffusionNAG's.

  Attributes:
    num_steps: times, from 1 to the equation's end.
    predictor: one of `PREDICTORS`.
    corrector: one of `CORRECTORS`; comes before the predictor.
    snr: signal-to-noise ratio of the corrector.
    denoise: end with the predictor's mean instead of a noisy sample.
  """

  num_steps: int = NUM_SCALES
  predictor: str = "euler_maruyama"
  corrector: str = "langevin"
  snr: float = 0.16
  denoise: bool = True

  def __post_init__(self) -> None:
    checks.sizes(self, num_steps=2)
    checks.positive(self, "snr")
    checks.choices(self, predictor=PREDICTORS, corrector=CORRECTORS)


class Sampled(NamedTuple):
  """What a sampler ends with.

  Attributes:
    x: `f32[B, n, F]` samples.
    bad_step: `int32[]` the first step, from 0, at which a sample was not
      finite or beyond all noise; -1 if none was. See `check_finite`.
  """

  x: jax.Array
  bad_step: jax.Array


def check_finite(bad_step: jax.Array) -> None:
  """Checks on the host that a sampler went well.

  Args:
    bad_step: `int32[]` of `Sampled`.

  Raises:
    FloatingPointError: if not; says at which step.
  """
  step = int(bad_step)
  if step >= 0:
    raise FloatingPointError(
      f"Step {step} of the sampler gave samples that are not finite, or far "
      "beyond all noise: the weights are damaged, or the guidance is too "
      "strong."
    )


def draw_prior(key: Key, sde: Sde, shape: tuple[int, ...]) -> jax.Array:
  """Where samplers start, `N(0, prior_std^2)` of `shape`, such as `[B, n, F]`.

  The key is consumed.
  """
  return sde.prior_std * jax.random.normal(key, shape)


def predictor_corrector(
  score_fn: ScoreFn,
  sde: Sde,
  start: jax.Array,
  randomness: Key | jax.Array,
  config: Config | None = None,
) -> Sampled:
  """The published sampler: Langevin correction, then a step back in time.

  Args:
    score_fn: the score, of a batch.
    sde: the equation.
    start: `f32[B, n, F]` samples at time 1.
    randomness: random key, consumed; or the draws `f32[T, 2, B, n, F]`, those
      of the corrector before those of the predictor.
    config: predictor, corrector and steps; the published ones if not given.

  Returns:
    The samples at the equation's end.

  Raises:
    ValueError: if the draws have another shape.
  """
  config = config or Config()
  times = jnp.linspace(1.0, sde.end_time, config.num_steps)
  xs = _per_step(randomness, (config.num_steps, 2, *start.shape))

  def step(
    x: jax.Array, inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    t, noise = inputs
    if _is_key(noise):
      noise = jax.random.normal(noise, (2, *x.shape))
    batch_t = jnp.broadcast_to(t, x.shape[:1])
    if config.corrector == "langevin":
      x = langevin_step(
        x, score_fn(x, batch_t), noise[0], config.snr, sde.langevin_factor(t)
      )
    mean = x
    if config.predictor == "euler_maruyama":
      score = score_fn(x, batch_t)
      x, mean = euler_maruyama_step(
        x, score, noise[1], t, 1 / config.num_steps, sde
      )
    elif config.predictor == "reverse_diffusion":
      score = score_fn(x, batch_t)
      x, mean = reverse_diffusion_step(
        x, score, noise[1], t, config.num_steps, sde
      )
    return x, mean

  def tracked(
    carry: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    x, _ = carry
    x, mean = step(x, inputs)
    return (x, mean), _all_sound(mean, sde)

  (x, mean), finite = jax.lax.scan(tracked, (start, start), (times, xs))
  return Sampled(mean if config.denoise else x, _first_bad(finite))


def langevin_step(
  x: jax.Array,
  score: jax.Array,
  noise: jax.Array,
  snr: ArrayLike,
  factor: ArrayLike,
) -> jax.Array:
  """`x + eta s + sqrt(2 eta) z`, `eta = 2 factor (snr |z| / |s|)^2`.

  Algorithm 5 of Song et al. (2021), with the norms of the samples averaged over
  the batch, as published.

  Args:
    x: `f32[B, n, F]`.
    score: `f32[B, n, F]` at `x`.
    noise: `f32[B, n, F]` standard normal draws.
    snr: signal-to-noise ratio.
    factor: scale of the step.
  """
  ratio = snr * _mean_norm(noise) / jnp.maximum(_mean_norm(score), 1e-12)
  eta = 2 * factor * ratio**2
  return x + eta * score + jnp.sqrt(2 * eta) * noise


def euler_maruyama_step(
  x: jax.Array,
  score: jax.Array,
  noise: jax.Array,
  t: ArrayLike,
  size: ArrayLike,
  sde: Sde,
) -> tuple[jax.Array, jax.Array]:
  """A step of the reverse equation: samples `f32[B, n, F]`, and their mean."""
  diffusion = sde.diffusion(t)
  mean = x - (sde.rate(t) * x - diffusion**2 * score) * size
  return mean + diffusion * jnp.sqrt(jnp.float32(size)) * noise, mean


def reverse_diffusion_step(
  x: jax.Array,
  score: jax.Array,
  noise: jax.Array,
  t: ArrayLike,
  num_scales: int,
  sde: Sde,
) -> tuple[jax.Array, jax.Array]:
  """A step back along the chain: samples `f32[B, n, F]`, and their mean."""
  factor, std = sde.steps(t, num_scales)
  mean = (2 - factor) * x + std**2 * score
  return mean + std * noise, mean


def probability_flow(
  score_fn: ScoreFn, sde: Sde, start: jax.Array, num_steps: int
) -> Sampled:
  """Heun's method on the probability flow; two scores a step, no noise.

  `dx = (rate x - g^2 s / 2) dt` (equation 13 of Song et al., 2021).

  Args:
    score_fn: the score, of a batch.
    sde: the equation.
    start: `f32[B, n, F]` samples at time 1.
    num_steps: of equal length in time.
  """
  times = jnp.linspace(1.0, sde.end_time, num_steps + 1)

  def slope(x: jax.Array, t: jax.Array) -> jax.Array:
    score = score_fn(x, jnp.broadcast_to(t, x.shape[:1]))
    return sde.rate(t) * x - 0.5 * sde.diffusion(t) ** 2 * score

  def step(
    x: jax.Array, inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    t, then = inputs
    first = slope(x, t)
    second = slope(x + (then - t) * first, then)
    x = x + (then - t) * 0.5 * (first + second)
    return x, _all_sound(x, sde)

  x, finite = jax.lax.scan(step, start, (times[:-1], times[1:]))
  return Sampled(x, _first_bad(finite))


def few_step(
  score_fn: ScoreFn, sde: Sde, start: jax.Array, num_steps: int
) -> Sampled:
  """DPM-Solver++(2M): the probability flow to second order, a score a step.

  Times are equally spaced in `log_snr`. The step is exact for a constant clean
  mean and extrapolates it from the step before (Lu et al., algorithm 2). Ends
  with the clean mean at the last time.

  Args:
    score_fn: the score, of a batch.
    sde: the equation.
    start: `f32[B, n, F]` samples at time 1.
    num_steps: scores, at least 2.

  Raises:
    ValueError: if there are fewer.
  """
  if num_steps < 2:
    raise ValueError(f"num_steps must be at least 2, got {num_steps}.")
  log_snr = jnp.linspace(sde.log_snr(1.0), sde.log_snr(sde.end_time), num_steps)
  times = jnp.clip(sde.time_of(log_snr), sde.end_time, 1.0)
  gaps = jnp.diff(log_snr)

  def clean_at(x: jax.Array, t: jax.Array) -> jax.Array:
    batch_t = jnp.broadcast_to(t, x.shape[:1])
    return mean_of_score(score_fn(x, batch_t), x, batch_t, sde)

  def step(
    carry: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    x, previous = carry
    t, then, gap, weight = inputs
    clean = clean_at(x, t)
    forecast = clean + weight * (clean - previous)
    x = (
      sde.std(then) / sde.std(t) * x
      - sde.mean(then) * jnp.expm1(-gap) * forecast
    )
    return (x, clean), _all_sound(x, sde)

  # The first step knows no other clean mean.
  weights = jnp.full(num_steps - 1, 0.5).at[0].set(0.0)
  (x, _), finite = jax.lax.scan(
    step,
    (start, jnp.zeros_like(start)),
    (times[:-1], times[1:], gaps, weights),
  )
  x = clean_at(x, times[-1])
  return Sampled(x, _first_bad(jnp.append(finite, _all_sound(x, sde))))


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


def _per_step(randomness: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """A key, or draws of the shape, for every step of a scan."""
  if _is_key(randomness):
    return jax.random.split(randomness, shape[0])
  if randomness.shape != shape:
    raise ValueError(
      f"Draws of the shape {shape} are needed, got {randomness.shape}."
    )
  return randomness


def _is_key(randomness: jax.Array) -> bool:
  return jnp.issubdtype(randomness.dtype, jax.dtypes.prng_key)


def _mean_norm(x: jax.Array) -> jax.Array:
  """Norms of the samples, their mean."""
  return jnp.mean(jnp.sqrt(jnp.sum(x**2, axis=tuple(range(1, x.ndim)))))


def _all_sound(x: jax.Array, sde: Sde) -> jax.Array:
  """Whether samples are finite, and not far beyond all noise."""
  return jnp.all(jnp.abs(x) < _FARTHEST * sde.prior_std)


def _first_bad(finite: jax.Array) -> jax.Array:
  """Number of the first step that was not sound, or -1."""
  return jnp.where(jnp.all(finite), -1, jnp.argmin(finite)).astype(jnp.int32)
