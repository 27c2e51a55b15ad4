"""A surrogate that knows already: a function learned elsewhere, as it is.

What a predictor of other data sets says of the architectures. Nothing is
learned from the archive, so that a search by its mean goes down a ranking.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from nagjax.archive import Archive
from nagjax.surrogates.base import Surrogate
from nagjax.types import NO_PARAMS
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import ParamsT
from nagjax.types import Prediction

ArchFn = Callable[[ParamsT, Archs], jax.Array]
"""`(params, int32[C, L]) -> f32[C]`, the larger the better."""


def fixed(
  predict_fn: ArchFn[ParamsT],
  params: ParamsT = NO_PARAMS,
  *,
  std: float = 1.0,
  num_constraints: int = 0,
) -> Surrogate[ParamsT, ParamsT]:
  """Builds the surrogate; its params are handed to `predict_fn`.

  Args:
    predict_fn: means on any scale; mind that of others where parts compare it.
    params: default arrays of it.
    std: how far it may be off, everywhere.
    num_constraints: of the search; nothing is known of them, so that no
      violation is predicted.

  Example:
    >>> surrogate = fixed(lambda params, archs: jnp.sum(archs, axis=-1) * 1.0)
    >>> state = surrogate.init(jax.random.key(0), surrogate.params)
    >>> surrogate.predict(state, jnp.ones((2, 6), jnp.int32)).mean.tolist()
    [6.0, 6.0]
  """

  def init(key: Key, params: ParamsT) -> ParamsT:
    del key
    return params

  def fit(key: Key, state: ParamsT, archive: Archive) -> ParamsT:
    del key, archive
    return state

  def predict(state: ParamsT, archs: Archs) -> Prediction:
    mean = predict_fn(state, archs)
    return Prediction(
      mean=mean,
      std=jnp.full_like(mean, std),
      members=None,
      violations=jnp.zeros((mean.shape[0], num_constraints), mean.dtype),
    )

  return Surrogate(init, fit, predict, params=params, has_members=False)
