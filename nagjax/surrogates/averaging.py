"""Two surrogates as hypotheses, weighed by the evidence that each has.

Bayesian model averaging: the prediction is the mixture of both, with the
posterior probability of each as its weight. What the worse one says fades as
observations come in.

Hoeting, Madigan, Raftery and Volinsky, "Bayesian Model Averaging: A Tutorial",
Statistical Science 1999, equations 1 to 3.
"""

from collections.abc import Callable
import math
from typing import Generic
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.archive import Archive
from nagjax.surrogates import base
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import ParamsT
from nagjax.types import Prediction
from nagjax.types import StateT


class State(NamedTuple, Generic[StateT]):
  """What both remember.

  Attributes:
    first, second: their states.
    belief: `f32[]` probability of the second.
  """

  first: StateT
  second: StateT
  belief: jax.Array


def average(
  first: base.Surrogate[StateT, ParamsT],
  second: base.Surrogate[StateT, ParamsT],
  log_evidence: Callable[[StateT, Archive], jax.Array],
  disbelief: float,
) -> base.Surrogate[State[StateT], tuple[ParamsT, ParamsT]]:
  """Builds the mixture of two surrogates without chance.

  Args:
    first: one; it also predicts the violations.
    second: the other, whose favorites are those of both.
    log_evidence: `(fitted state of either, archive) -> f32[]`, up to a constant
      that both share.
    disbelief: prior probability of the first, between 0 and 1; the second may
      be so much more probable that its own is 1 in floating point.

  Example:
    >>> from nagjax.surrogates.fixed import fixed
    >>> slope = jnp.asarray(2.0)
    >>> one = fixed(lambda params, archs: params * archs[:, 0], slope)
    >>> both = average(one, one, lambda state, archive: state, disbelief=0.1)
    >>> [float(each) for each in both.params]
    [2.0, 2.0]
  """
  log_odds = math.log1p(-disbelief) - math.log(disbelief)

  def init(key: Key, params: tuple[ParamsT, ParamsT]) -> State[StateT]:
    return State(
      first.init(key, params[0]),
      second.init(key, params[1]),
      jnp.float32(1 - disbelief),
    )

  def condition(
    state: State[StateT], archive: Archive, num_new: int
  ) -> State[StateT]:
    assert first.condition is not None and second.condition is not None
    return state._replace(
      first=first.condition(state.first, archive, num_new),
      second=second.condition(state.second, archive, num_new),
    )

  def fit(key: Key, state: State[StateT], archive: Archive) -> State[StateT]:
    one = first.fit(key, state.first, archive)
    other = second.fit(key, state.second, archive)
    gained = log_evidence(other, archive) - log_evidence(one, archive)
    return State(one, other, jax.nn.sigmoid(log_odds + gained))

  def predict(state: State[StateT], archs: Archs) -> Prediction:
    return _mixture(
      first.predict(state.first, archs),
      second.predict(state.second, archs),
      state.belief,
    )

  def relaxed(state: State[StateT], options: jax.Array) -> Prediction:
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
  apart = second.mean - first.mean
  variance = first.std**2 + belief * (second.std**2 - first.std**2)
  variance += belief * (1 - belief) * apart**2
  return first._replace(
    mean=first.mean + belief * apart, std=jnp.sqrt(variance)
  )
