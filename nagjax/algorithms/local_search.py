"""Local search: walk to better neighbors, restart in a local optimum.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture
Search", UAI 2021, https://arxiv.org/abs/2005.02960

Two rules of acceptance. `local_search` moves to the first neighbor that is
better, as soon as it is seen; `local_search_all` reads all neighbors and then
moves to the best one. Known neighbors are visited again and cost nothing.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

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
    read_all: whether all neighbors are read before moving
      (`local_search_all`).
  """

  read_all: bool = False


class State(NamedTuple):
  """The walk.

  Attributes:
    center: `int32[L]` the architecture whose neighbors are visited.
    center_objective: `f32[]`, `-inf` before the first start.
    order: `int32[M]` the order of its neighbors (first improvement only).
    position: `int32[]` neighbors already visited; `M` asks for a restart.
  """

  center: jax.Array
  center_objective: jax.Array
  order: jax.Array
  position: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    center_objective: `f32[]`, of the center after the round; `-inf` before the
      first start.
  """

  center_objective: jax.Array


def local_search(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds local search.

  A restart is one uniformly random architecture that becomes the center
  whatever its value. With `read_all`, a round proposes all neighbors or, at a
  restart, one architecture and otherwise invalid rows.
  """
  config = config or Config()
  num_neighbors = space.num_neighbors
  batch_size = num_neighbors if config.read_all else 1

  def init(key: Key, params: Params) -> State:
    del key, params
    return State(
      center=jnp.zeros(space.num_variables, jnp.int32),
      center_objective=jnp.float32(-jnp.inf),
      order=jnp.arange(num_neighbors, dtype=jnp.int32),
      position=jnp.int32(num_neighbors),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    restart_key, order_key = jax.random.split(key)
    restarts = state.position >= num_neighbors
    fresh = space.sample(restart_key, 1)
    neighbors, valid = space.neighbors(state.center)
    draws = jax.random.bits(order_key, (num_neighbors,))
    order = jnp.argsort(draws).astype(jnp.int32)
    if config.read_all:
      archs = jnp.where(restarts, fresh, neighbors[order])
      first = jnp.arange(batch_size) == 0
      return Proposal(archs, jnp.where(restarts, first, valid[order])), state
    # What is no architecture comes last, and no round is lost on it.
    order = order[jnp.argsort(~valid[order], stable=True)]
    # The order of a new center's neighbors is kept until the next move.
    order = jnp.where(state.position == 0, order, state.order)
    chosen = order[jnp.minimum(state.position, num_neighbors - 1)]
    restarts |= ~valid[chosen]
    archs = jnp.where(restarts, fresh, neighbors[chosen][None])
    position = jnp.where(restarts, num_neighbors, state.position)
    state = state._replace(order=order, position=position)
    return Proposal(archs, space.is_valid(archs)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    best = jnp.argmax(evaluation.objective)
    objective = evaluation.objective[best]
    restarts = state.position >= num_neighbors
    usable = objective > -jnp.inf
    moves = usable & (restarts | (objective > state.center_objective))
    visited = num_neighbors if config.read_all else state.position + 1
    # A restart that failed (denied, invalid) is tried again.
    stays_at = jnp.where(restarts, num_neighbors, visited)
    state = State(
      center=jnp.where(moves, proposal.archs[best], state.center),
      center_objective=jnp.where(moves, objective, state.center_objective),
      order=state.order,
      position=jnp.where(moves, 0, stays_at).astype(jnp.int32),
    )
    return state, Info(state.center_objective)

  return Algorithm(init, ask, tell, num_initial=0, batch_size=batch_size)


SPEC = Spec(build=local_search, config=Config())
"""How the registry builds it."""
READ_ALL = Spec(build=local_search, config=Config(read_all=True))
"""The same, which reads all neighbors first."""
