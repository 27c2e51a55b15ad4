"""Local search: walk to better neighbours, restart in a local optimum.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture
Search", UAI 2021, https://arxiv.org/abs/2005.02960

Two rules of acceptance. `local_search` moves to the first neighbour that is
better, as soon as it is seen; `local_search_all` reads all neighbours and then
moves to the best one. Known neighbours are visited again and cost nothing.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

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
    read_all: whether all neighbours are read before moving
      (`local_search_all`).
  """

  read_all: bool = False


class State(NamedTuple):
  """The walk.

  Attributes:
    centre: `int32[L]` the architecture whose neighbours are visited.
    centre_objective: `f32[]`, `-inf` before the first start.
    order: `int32[M]` the order of its neighbours (first improvement only).
    position: `int32[]` neighbours already visited; `M` asks for a restart.
  """

  centre: jax.Array
  centre_objective: jax.Array
  order: jax.Array
  position: jax.Array


class Info(NamedTuple):
  """What a reader plots: the centre's objective, `f32[]`."""

  centre_objective: jax.Array


def local_search(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds local search.

  A restart is one uniformly random architecture that becomes the centre
  whatever its value. With `read_all`, a round proposes all neighbours or, at a
  restart, one architecture and otherwise invalid rows.
  """
  config = config or Config()
  num_neighbours = space.num_neighbours
  batch_size = num_neighbours if config.read_all else 1

  def init(key: Key, params: Params) -> State:
    del key, params
    return State(
      centre=jnp.zeros(space.num_variables, jnp.int32),
      centre_objective=jnp.float32(-jnp.inf),
      order=jnp.arange(num_neighbours, dtype=jnp.int32),
      position=jnp.int32(num_neighbours),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    restart_key, order_key = jax.random.split(key)
    restarts = state.position >= num_neighbours
    fresh = space.sample(restart_key, 1)
    neighbours, valid = space.neighbours(state.centre)
    draws = jax.random.bits(order_key, (num_neighbours,))
    order = jnp.argsort(draws).astype(jnp.int32)
    if config.read_all:
      archs = jnp.where(restarts, fresh, neighbours[order])
      first = jnp.arange(batch_size) == 0
      return Proposal(archs, jnp.where(restarts, first, valid[order])), state
    # The order of a new centre's neighbours is kept until the next move.
    order = jnp.where(state.position == 0, order, state.order)
    chosen = order[jnp.minimum(state.position, num_neighbours - 1)]
    archs = jnp.where(restarts, fresh, neighbours[chosen][None])
    valid = jnp.where(restarts, True, valid[chosen])
    return Proposal(archs, valid[None]), state._replace(order=order)

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    best = jnp.argmax(evaluation.objective)
    objective = evaluation.objective[best]
    restarts = state.position >= num_neighbours
    usable = objective > -jnp.inf
    moves = usable & (restarts | (objective > state.centre_objective))
    visited = num_neighbours if config.read_all else state.position + 1
    # A restart that failed (denied, invalid) is tried again.
    stays_at = jnp.where(restarts, num_neighbours, visited)
    state = State(
      centre=jnp.where(moves, proposal.archs[best], state.centre),
      centre_objective=jnp.where(moves, objective, state.centre_objective),
      order=state.order,
      position=jnp.where(moves, 0, stays_at).astype(jnp.int32),
    )
    return state, Info(state.centre_objective)

  return Algorithm(init, ask, tell, num_initial=0, batch_size=batch_size)
