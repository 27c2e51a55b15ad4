"""What a surrogate is: what a search believes about the architectures.

A surrogate is fitted to the archive of a search and predicts the objective, on
the scale of `Archive.targets`, and the violation of every constraint.
"""

from collections.abc import Callable
from typing import Generic
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax.archive import Archive
from nagjax.types import NO_PARAMS
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import ParamsT
from nagjax.types import Prediction
from nagjax.types import StateT


class Surrogate(NamedTuple, Generic[StateT, ParamsT]):
  """A surrogate as a value made of pure functions.

  Attributes:
    init: `(key, params) -> state`.
    fit: `(key, state, archive) -> state`; goes on from the last fit where that
      is exact or cheaper. Called before every batch.
    predict: `(state, archs int32[C, L]) -> Prediction`.
    relaxed: `(state, options f32[G, L, K]) -> Prediction`, the same for weights
      of the options of every variable, differentiable in them; None if the
      surrogate has no such form.
    condition: `(state, archive, num_new) -> state`: takes in the last rows of
      the archive, `num_new` (a Python integer) at most, without chance; called
      after every evaluation. None if `fit` does everything.
    params: default hyper-parameters, arrays that a sweep may vary.
    has_members: whether predictions have `members`.
    on_host: whether `fit` and `predict` are Python that cannot be traced. Then
      every round begins with `init`, and `condition` is not called.
    guides: whether a proposer may follow it where it has no relaxed form, by
      how it ranks architectures that are drawn.
    favorites: `int32[F, L]` architectures that are candidates of every round
      beside those of the proposer; None for no others.
  """

  init: Callable[[Key, ParamsT], StateT]
  fit: Callable[[Key, StateT, Archive], StateT]
  predict: Callable[[StateT, Archs], Prediction]
  relaxed: Callable[[StateT, jax.Array], Prediction] | None = None
  condition: Callable[[StateT, Archive, int], StateT] | None = None
  params: ParamsT = NO_PARAMS
  has_members: bool = True
  on_host: bool = False
  guides: bool = True
  favorites: Archs | None = None


def penalize(prediction: Prediction, penalty: ArrayLike) -> Prediction:
  """Subtracts `penalty` times the predicted violations from the means.

  Example:
    >>> mean, std = jnp.asarray([1.0, 0.5]), jnp.asarray([0.1, 0.1])
    >>> said = Prediction(mean, std, None, jnp.asarray([[0.5], [-0.5]]))
    >>> jax.jit(penalize)(said, 2.0).mean.tolist()
    [0.0, 0.5]
  """
  excess = jnp.sum(jnp.maximum(prediction.violations, 0.0), axis=-1)
  members = prediction.members
  if members is not None:
    members = members - (penalty * excess)[None]
  return prediction._replace(
    mean=prediction.mean - penalty * excess, members=members
  )


def of_members(heads: jax.Array) -> Prediction:
  """The prediction of an ensemble.

  Args:
    heads: `f32[M, ..., 1 + K]`, objective and violations by each member.

  Returns:
    Means, and standard deviations over the members (ddof 1), whose gradient is
    0 where they agree.

  Example:
    >>> heads = jnp.asarray([[[1.0, 0.0]], [[3.0, 0.0]]])  # [M, C, 1 + K].
    >>> said = jax.jit(of_members)(heads)
    >>> said.mean.tolist(), said.members.tolist()
    ([2.0], [[1.0], [3.0]])
  """
  members = heads[..., 0]
  mean, std = _moments(members)
  violations, head_stds = _moments(heads[..., 1:])
  return Prediction(mean, std, members, violations, head_stds)


def _moments(members: jax.Array) -> tuple[jax.Array, jax.Array]:
  mean = jnp.mean(members, axis=0)
  squares = jnp.sum((members - mean[None]) ** 2, axis=0)
  variance = squares / max(members.shape[0] - 1, 1)
  return mean, jnp.sqrt(jnp.maximum(variance, 1e-8))
