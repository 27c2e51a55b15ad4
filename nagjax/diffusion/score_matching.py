"""What is learnt: scores and denoisers, from perturbed data.

Song et al., "Score-Based Generative Modeling through Stochastic Differential
Equations", ICLR 2021, https://arxiv.org/abs/2011.13456; An et al.,
"DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, equation 3.

The score of `x_t` and the mean of the clean data given `x_t` are two names of
one thing: `score = (mean(t) E[x_0 | x_t] - x_t) / std(t)^2`. Rows of an
architecture are one-hot, so that mean is a softmax over the columns (Dieleman
et al., "Continuous diffusion for categorical data", 2022,
https://arxiv.org/abs/2211.15089, section 3): a network that gives its logits
never leaves the simplex, and is trained by cross-entropy.
"""

import jax
import jax.numpy as jnp

from nagjax.diffusion.sde import NUM_SCALES
from nagjax.diffusion.sde import Sde


def scale(features: jax.Array) -> jax.Array:
  """One-hot features as data, `2 v - 1`, `f32[...]` both."""
  return 2 * features - 1


def unscale(x: jax.Array) -> jax.Array:
  """Data as features, `(x + 1) / 2`, `f32[...]` both."""
  return (x + 1) / 2


def network_inputs(
  x: jax.Array, t: jax.Array, sde: Sde
) -> tuple[jax.Array, jax.Array]:
  """Samples of variance one and `999 t`, what our own networks read.

  Args:
    x: `f32[..., n, F]` perturbed samples; the data are of size one.
    t: `f32[...]` times.
    sde: the equation.
  """
  size = jnp.sqrt(sde.mean(t) ** 2 + sde.std(t) ** 2)
  return x / size[..., None, None], (NUM_SCALES - 1) * t


def flat_posterior(
  x: jax.Array, t: jax.Array, sde: Sde, occurs: jax.Array
) -> jax.Array:
  """Columns of rows if all that occur are equally likely, `f32[..., n, F]`.

  What the noise itself says of every row: one-hot without noise, flat with a
  lot of it.

  Args:
    x: `f32[..., n, F]` perturbed samples.
    t: `f32[...]` times.
    sde: the equation.
    occurs: see `log_probabilities`.
  """
  logits = row_logits(jnp.zeros_like(x), x, t, sde)
  return unscale(denoise(logits, occurs))


def published_score(output: jax.Array, t: jax.Array, sde: Sde) -> jax.Array:
  """The score that DiffusionNAG reads from its network's output.

  Args:
    output: `f32[..., n, F]`.
    t: `f32[...]` times.
    sde: the equation.
  """
  if not sde.divides_by_std:
    return output
  return -output / sde.std(t)[..., None, None]


def score_loss(score: jax.Array, noise: jax.Array, std: jax.Array) -> jax.Array:
  """Denoising score matching: mean of `(std score + z)^2`, `f32[...]`.

  The weight is `std^2` (equation 7 of Song et al. with the weights of their
  section 3.3), as published.

  Args:
    score: `f32[..., n, F]` at the perturbed samples.
    noise: `f32[..., n, F]` the draws `z` of the perturbation.
    std: `f32[...]` of the perturbation.
  """
  error = std[..., None, None] * score + noise
  return jnp.mean(error**2, axis=(-2, -1))


def row_logits(
  output: jax.Array, x: jax.Array, t: jax.Array, sde: Sde
) -> jax.Array:
  """Log-odds of every column of a row against a row of zeros, `f32[..., n, F]`.

  Bayes' rule: the likelihood of `x_t` is Gaussian and known, which leaves the
  network the prior and what the other rows say.

  Args:
    output: `f32[..., n, F]` of the network.
    x: `f32[..., n, F]` perturbed samples.
    t: `f32[...]` times.
    sde: the equation.
  """
  factor = 2 * sde.mean(t) / sde.std(t) ** 2
  return output + factor[..., None, None] * x


def denoise(logits: jax.Array, occurs: jax.Array) -> jax.Array:
  """`E[x_0 | x_t]` of rows that are one-hot or empty, `f32[..., n, F]`.

  Args:
    logits: see `row_logits`.
    occurs: see `log_probabilities`.
  """
  return scale(jnp.exp(log_probabilities(logits, occurs)[..., 1:]))


def log_probabilities(logits: jax.Array, occurs: jax.Array) -> jax.Array:
  """Of an empty row, then of every column, `f32[..., n, F + 1]`.

  Args:
    logits: see `row_logits`; an empty row has the logit 0.
    occurs: `bool[n, F + 1]` whether a row of the space is ever empty, and
      whether it ever has the column; what never occurs has no probability.
  """
  padding = [(0, 0)] * (logits.ndim - 1) + [(1, 0)]
  shape = (1,) * (logits.ndim - 2) + occurs.shape
  logits = jnp.where(occurs.reshape(shape), jnp.pad(logits, padding), -1e30)
  return jax.nn.log_softmax(logits, axis=-1)


def row_loss(
  logits: jax.Array, features: jax.Array, occurs: jax.Array
) -> jax.Array:
  """Cross-entropy of rows, their mean, `f32[...]`.

  Args:
    logits: `f32[..., n, F]`, see `row_logits`.
    features: `f32[..., n, F]` the clean rows, one-hot or zero.
    occurs: see `log_probabilities`.
  """
  targets = with_empty(features)
  losses = jnp.sum(targets * log_probabilities(logits, occurs), axis=-1)
  return -jnp.mean(losses, axis=-1)


def with_empty(features: jax.Array) -> jax.Array:
  """Features and, in front, whether a row is empty, `f32[..., n, F + 1]`."""
  empty = 1 - jnp.sum(features, axis=-1, keepdims=True)
  return jnp.concatenate([empty, features], axis=-1)


def score_of_mean(
  clean: jax.Array, x: jax.Array, t: jax.Array, sde: Sde
) -> jax.Array:
  """The score of `x_t` of clean mean `clean`, `f32[B, n, F]` (Tweedie)."""
  mean, std = (value[..., None, None] for value in (sde.mean(t), sde.std(t)))
  return (mean * clean - x) / std**2


def mean_of_score(
  score: jax.Array, x: jax.Array, t: jax.Array, sde: Sde
) -> jax.Array:
  """Inverse of `score_of_mean`."""
  mean, std = (value[..., None, None] for value in (sde.mean(t), sde.std(t)))
  return (x + std**2 * score) / mean
