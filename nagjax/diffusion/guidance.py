"""Steering a sampler by the gradient of a predictor.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, section
3.2: the score of architectures that are likely to have a property is the score
plus the gradient of the property's log-likelihood.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

ScoreFn = Callable[[jax.Array, jax.Array], jax.Array]
"""`(x f32[B, n, F], t f32[B]) -> f32[B, n, F]`."""

ValueFn = Callable[[jax.Array, jax.Array], jax.Array]
"""`(x f32[B, n, F], t f32[B]) -> f32[B]`, differentiable, row by row."""

_PUBLISHED_SCALES = {
  "mobilenetv3": (100_000.0, 500.0, 199),
  "nasbench201": (10_000.0, 300.0, 33),
}
"""First scale, its fall from round to round, and how often it falls: by the
program's list, or, where it has none, while the scale is positive (the program
ends after 20 rounds)."""


def guided(
  score_fn: ScoreFn,
  value_fn: ValueFn,
  scale: ArrayLike,
  *,
  norm_controlled: bool = False,
) -> ScoreFn:
  """Adds `scale` times the gradient of a value to a score.

  With `value_fn` the prediction itself this is the published program, whose
  scale makes up for what its gradient lacks; with `log_likelihood` of it
  equation 6 of the paper, at the scale 1.

  Args:
    score_fn: unconditional score.
    value_fn: what to climb; say `-f` for a property that should be small.
    scale: factor of the gradient.
    norm_controlled: scale every sample's gradient to the norm of its score
      first (the program's option "ratio scaling").
  """

  def score(x: jax.Array, t: jax.Array) -> jax.Array:
    base = score_fn(x, t)
    gradient = jax.grad(lambda x: jnp.sum(value_fn(x, t)))(x)
    if norm_controlled:
      gradient = gradient * (_norm(base) / jnp.maximum(_norm(gradient), 1e-12))
    return base + scale * gradient

  return score


def log_likelihood(
  value_fn: ValueFn, target: ArrayLike, std: ArrayLike
) -> ValueFn:
  """`log N(target; f(x, t), std^2)` without its constant."""
  return lambda x, t: -0.5 * jnp.square((target - value_fn(x, t)) / std)


def log_odds(value_fn: ValueFn) -> ValueFn:
  """`log sigmoid(f(x, t))`: the likelihood of "good" of a classifier."""
  return lambda x, t: jax.nn.log_sigmoid(value_fn(x, t))


def published_scale(space_name: str, round_number: int) -> float:
  """The program's factor of a prediction's gradient.

  The program samples batch after batch until enough distinct architectures are
  there, and lowers the factor for each.

  Args:
    space_name: `nasbench201` or `mobilenetv3`.
    round_number: of the batch, from 0; the last factor stays.

  Raises:
    ValueError: if nothing was published for the space.
  """
  if space_name not in _PUBLISHED_SCALES:
    known = ", ".join(sorted(_PUBLISHED_SCALES))
    raise ValueError(f"space_name must be one of {known}, got {space_name!r}.")
  first, fall, most = _PUBLISHED_SCALES[space_name]
  return first - fall * min(round_number, most)


def _norm(x: jax.Array) -> jax.Array:
  """Norm of every sample, `f32[B, 1, 1]`."""
  return jnp.sqrt(jnp.sum(x**2, axis=(-2, -1), keepdims=True))
