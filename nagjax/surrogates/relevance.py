"""Automatic relevance determination: a scale for every variable, while it runs.

The Hamming kernel `exp(-sum_l theta_l [x_l != y_l] / L)` with its own decay for
every variable, and the noise, follow the gradient of the log posterior: of the
marginal likelihood of what was observed, under normal priors of the logarithms
around the given values. One step of Adam before every batch; the step costs one
factorization of the whole.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section
5.4.1 (derivatives of the marginal likelihood).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_PRECISION = jax.lax.Precision.HIGHEST

PRIOR_STD = (1.0, 1.0, 0.7)
"""Of the logarithms of the common scale, of the noise, and of each variable."""

MAX_ROWS = 128
"""Observations that a step looks at."""

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Relevance(NamedTuple):
  """What is learned, in units of the prior deviations, and Adam's moments.

  Attributes:
    values: `f32[2 + L]` of the common scale, the noise, and every variable.
    first: `f32[2 + L]`.
    second: `f32[2 + L]`.
    num_steps: `f32[]`.
  """

  values: jax.Array
  first: jax.Array
  second: jax.Array
  num_steps: jax.Array


def init(num_variables: int) -> Relevance:
  """At the prior's mode."""
  zeros = jnp.zeros(2 + num_variables, jnp.float32)
  return Relevance(zeros, zeros, zeros, jnp.float32(0.0))


def scales(
  state: Relevance, inverse_lengthscale: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """`theta_l` of every variable, `f32[L]`, and the noise, `f32[]`.

  Args:
    state: what is learned.
    inverse_lengthscale: `f32[]` where its prior has its mode.
    noise: `f32[]` likewise.
  """
  common, of_noise, each = PRIOR_STD
  logs = common * state.values[0] + each * state.values[2:]
  return (
    inverse_lengthscale * jnp.exp(logs),
    noise * jnp.exp(of_noise * state.values[1]),
  )


def gradient(
  whiten: jax.Array,
  solved: jax.Array,
  parts: tuple[tuple[jax.Array, jax.Array], ...],
  theta: jax.Array,
  noise: jax.Array,
  used: jax.Array,
) -> jax.Array:
  """Derivative of the log marginal likelihood by `Relevance.values`.

  Args:
    whiten: `f32[M, M]` inverse Cholesky factor of the covariance.
    solved: `f32[M]`, the covariance's solve for the targets.
    parts: of the covariance, `f32[M, M]` each, beside the `int32[M, L]`
      architectures between which it is the Hamming kernel.
    theta: `f32[L]`.
    noise: `f32[]`.
    used: `bool[M]` which rows count.

  Returns:
    `f32[2 + L]`.
  """
  inverse = jnp.matmul(whiten.T, whiten, precision=_PRECISION)
  both = solved[:, None] * solved[None] - inverse
  both = jnp.where(used[:, None] & used[None], both, 0.0)
  by_theta = jnp.zeros_like(theta)
  for covariance, archs in parts:
    product = both * covariance
    differs = [
      archs[:, None, v] != archs[None, :, v] for v in range(len(theta))
    ]
    sums = [jnp.sum(jnp.where(each, product, 0.0)) for each in differs]
    by_theta -= 0.5 * jnp.stack(sums) / len(theta)
  by_log = by_theta * theta
  by_noise = 0.5 * jnp.trace(both) * noise
  common, of_noise, each = PRIOR_STD
  return jnp.concatenate(
    [
      jnp.stack([common * jnp.sum(by_log), of_noise * by_noise]),
      each * by_log,
    ]
  )


def step(
  state: Relevance, gradient: jax.Array, learning_rate: float
) -> Relevance:
  """One step of Adam up the log posterior.

  Args:
    state: where it is.
    gradient: `f32[2 + L]` of the log likelihood; the prior's is added.
    learning_rate: of Adam.
  """
  gradient = gradient - state.values
  decay, square_decay = _BETAS
  num_steps = state.num_steps + 1
  first = decay * state.first + (1 - decay) * gradient
  second = square_decay * state.second + (1 - square_decay) * gradient**2
  rise = first / (1 - decay**num_steps)
  size = jnp.sqrt(second / (1 - square_decay**num_steps)) + _EPSILON
  values = state.values + learning_rate * rise / size
  return Relevance(values, first, second, num_steps)
