"""What a proposer is: where the candidates of a search come from."""

from collections.abc import Callable
import enum
from typing import Generic
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.archive import Archive
from nagjax.types import NO_PARAMS
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import ParamsT
from nagjax.types import Prediction
from nagjax.types import StateT


class Needs(enum.IntEnum):
  """What a proposer asks of the surrogate; each includes those before it.

  `NOTHING`; `PREDICT`: predictions, which may be made on the host; `TRACED`:
  predictions inside a compiled loop; `RELAXED`: those of relaxed architectures.
  """

  NOTHING = 0
  PREDICT = 1
  TRACED = 2
  RELAXED = 3


class Belief(NamedTuple):
  """A fitted surrogate, as a proposer sees it; violations are penalized.

  Attributes:
    predict: `archs int32[C, L] -> Prediction`.
    relaxed: `options f32[G, L, K] -> Prediction`, differentiable; None if the
      surrogate has no such form.
    guides: whether ranks of drawn architectures may be followed instead.
    penalty: of a violation, in units of `Archive.targets`.

  Example:
    >>> from nagjax.surrogates.fixed import fixed
    >>> known = fixed(lambda params, archs: archs[:, 0] * 1.0)
    >>> predict = lambda archs: known.predict((), archs)
    >>> belief = Belief(predict, relaxed=None, guides=True, penalty=1.0)
    >>> belief.predict(jnp.asarray([[3, 0], [1, 1]])).mean.tolist()
    [3.0, 1.0]
  """

  predict: Callable[[Archs], Prediction]
  relaxed: Callable[[jax.Array], Prediction] | None
  guides: bool
  penalty: float

  def observed(self, archive: Archive) -> jax.Array:
    """What was observed, on the scale of the predicted means, `f32[M]`."""
    excess = jnp.sum(jnp.maximum(archive.targets[:, 1:], 0.0), axis=-1)
    return archive.targets[:, 0] - self.penalty * excess


class Proposer(NamedTuple, Generic[StateT, ParamsT]):
  """A source of candidates as a value made of pure functions.

  Attributes:
    init: `(key, params) -> state`.
    propose: `(key, state, params, Belief, Archive) -> (archs int32[C, L], valid
      bool[C], state)`. Candidates may repeat each other and what the archive
      holds: the search leaves these out.
    params: default hyper-parameters and weights, arrays.
    needs: see `Needs`.
    failed_step: `state -> int32[]`, the first step of a sampler that was not
      finite, or -1; a search with a failed step proposes nothing and ends with
      an error. None if nothing can fail.
    means: `state -> f32[C]`, the predicted means of what was proposed last, of
      a proposer that has asked for them anyway; None if the search has to.
  """

  init: Callable[[Key, ParamsT], StateT]
  propose: Callable[
    [Key, StateT, ParamsT, Belief, Archive], tuple[Archs, jax.Array, StateT]
  ]
  params: ParamsT = NO_PARAMS
  needs: Needs = Needs.NOTHING
  failed_step: Callable[[StateT], jax.Array] | None = None
  means: Callable[[StateT], jax.Array] | None = None


def stateless(key: Key, params: Params) -> tuple[()]:
  """`init` of a proposer that remembers nothing.

  Example:
    >>> stateless(None, ())
    ()
  """
  del key, params
  return ()
