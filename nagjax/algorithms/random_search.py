"""Random search: uniformly random architectures without replacement."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.algorithms.spec import Spec
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    batch_size: architectures of a round.
  """

  batch_size: int = 10

  def __post_init__(self) -> None:
    checks.sizes(self)


class State(NamedTuple):
  """What has been drawn.

  Attributes:
    order: `int32[A]` a permutation of the space's indices; empty if the space
      is not enumerable.
    position: `int32[]` how many of them have been proposed.
  """

  order: jax.Array
  position: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_objective: `f32[]`, of the batch; `-inf` if it has none.
  """

  best_objective: jax.Array


def random(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds random search.

  An enumerable space is drawn without replacement. In any other, draws are
  independent and the rare repeat costs nothing, which gives the distinct
  architectures the same distribution.
  """
  config = config or Config()

  def init(key: Key, params: Params) -> State:
    del params
    num = space.num_architectures if space.enumerable else 0
    order = jax.random.permutation(key, num).astype(jnp.int32)
    return State(order, jnp.int32(0))

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    rows = state.position + jnp.arange(config.batch_size)
    state = state._replace(position=state.position + config.batch_size)
    if not space.enumerable:
      archs = space.sample(key, config.batch_size)
      return Proposal(archs, space.is_valid(archs)), state
    last = state.order.shape[0] - 1
    archs = space.from_index(state.order[jnp.minimum(rows, last)])
    return Proposal(archs, rows <= last), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del proposal, params
    return state, Info(jnp.max(evaluation.objective))

  return Algorithm(init, ask, tell, num_initial=0, batch_size=config.batch_size)


SPEC = Spec(build=random, config=Config(), tiny=dict(batch_size=4))
"""How the registry builds it."""
