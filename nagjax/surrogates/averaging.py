"""Two surrogates as hypotheses, weighed by the evidence that each has.

Bayesian model averaging: the prediction is the mixture of both, with the
posterior probability of each as its weight. What the worse one says fades as
observations come in.

Hoeting, Madigan, Raftery and Volinsky, "Bayesian Model Averaging: A Tutorial",
Statistical Science 1999, equations 1 to 3.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.archive import Archive
from nagjax.surrogates import base
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Prediction


class State(NamedTuple):
  """What both remember.

  Attributes:
    first, second: their states.
    belief: `f32[1 + C]` probability of the second, for the objective and for
      each violation.
    log_evidence: `f32[1 + C]` of the mixture, on the scale of both.
  """

  first: Any
  second: Any
  belief: jax.Array
  log_evidence: jax.Array


def average(
  first: base.Surrogate[Any, Any],
  second: base.Surrogate[Any, Any],
  log_evidence: Callable[[Any, Archive], jax.Array],
  log_odds: Sequence[float],
) -> base.Surrogate[State, tuple[Any, Any]]:
  """Builds the mixture of two surrogates without chance.

  Args:
    first: one; may be a mixture itself.
    second: the other, whose favorites are those of both.
    log_evidence: `(fitted state of either, archive) -> f32[1 + C]`, up to
      constants that both share; `State.log_evidence` of a mixture.
    log_odds: prior ones of the second, for the objective and each of the `C`
      violations; minus infinity leaves one to the first.

  Example:
    >>> from nagjax.surrogates.fixed import fixed
    >>> slope = jnp.asarray(2.0)
    >>> one = fixed(lambda params, archs: params * archs[:, 0], slope)
    >>> both = average(one, one, lambda state, archive: state, [0.0])
    >>> [float(each) for each in both.params]
    [2.0, 2.0]
  """
  odds = jnp.asarray(log_odds, jnp.float32)

  def init(key: Key, params: tuple[Any, Any]) -> State:
    return State(
      first.init(key, params[0]),
      second.init(key, params[1]),
      jax.nn.sigmoid(odds),
      jnp.zeros_like(odds),
    )

  def condition(state: State, archive: Archive, num_new: int) -> State:
    assert first.condition is not None and second.condition is not None
    return state._replace(
      first=first.condition(state.first, archive, num_new),
      second=second.condition(state.second, archive, num_new),
    )

  def fit(key: Key, state: State, archive: Archive) -> State:
    one = first.fit(key, state.first, archive)
    other = second.fit(key, state.second, archive)
    evidence = log_evidence(one, archive)
    gained = odds + (log_evidence(other, archive) - evidence)
    # Of `p a + (1 - p) b` with `p = sigmoid(odds)`.
    mixed = evidence + jax.nn.softplus(gained) - jax.nn.softplus(odds)
    return State(one, other, jax.nn.sigmoid(gained), mixed)

  def predict(state: State, archs: Archs) -> Prediction:
    return _mixture(
      first.predict(state.first, archs),
      second.predict(state.second, archs),
      state.belief,
    )

  def relaxed(state: State, options: jax.Array) -> Prediction:
    assert first.relaxed is not None and second.relaxed is not None
    return _mixture(
      first.relaxed(state.first, options),
      second.relaxed(state.second, options),
      state.belief,
    )

  relaxes = first.relaxed is not None and second.relaxed is not None
  return base.Surrogate(
    init=init,
    fit=fit,
    predict=predict,
    relaxed=relaxed if relaxes else None,
    condition=condition,
    has_members=False,
    params=(first.params, second.params),
    favorites=second.favorites,
  )


def _mixture(
  first: Prediction, second: Prediction, belief: jax.Array
) -> Prediction:
  mean, std = _mixed(
    (first.mean, first.std), (second.mean, second.std), belief[0]
  )
  if belief.shape[0] == 1:
    return first._replace(mean=mean, std=std)
  violations, head_stds = jax.vmap(_mixed, (-1, -1, 0), -1)(
    _of_heads(first), _of_heads(second), belief[1:]
  )
  return first._replace(
    mean=mean, std=std, violations=violations, head_stds=head_stds
  )


def _of_heads(prediction: Prediction) -> tuple[jax.Array, jax.Array]:
  """Means and standard deviations of the violations, `f32[..., C]`."""
  means, stds = prediction.violations, prediction.head_stds
  if stds is None:
    stds = jnp.broadcast_to(prediction.std[..., None], means.shape)
  return means, stds


def _mixed(
  first: tuple[jax.Array, jax.Array],
  second: tuple[jax.Array, jax.Array],
  belief: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Moments of a mixture of two, each with its mean and deviation.

  Args:
    first, second: `f32[...]` twice.
    belief: `f32[]` probability of the second.
  """
  apart = second[0] - first[0]
  variance = first[1] ** 2 + belief * (second[1] ** 2 - first[1] ** 2)
  variance += belief * (1 - belief) * apart**2
  return first[0] + belief * apart, jnp.sqrt(variance)
