"""EDNAG with a predictor: denoise a pool once, then query it from the top.

This is the pipeline of Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient
Neural Architecture Generation" (figure 2): a predictor guides the whole
denoising inside `init`, which costs no query of the benchmark, and the
generated architectures are evaluated in the order of their predictions. Fitness
may be any function; what it was trained on is not counted here.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.algorithms import ednag_reference
from nagjax.algorithms.ednag_reference import Config
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

FitnessFn = Callable[[Params, Archs], jax.Array]
"""Maps params and `int32[P, L]` architectures to accuracies `[P]`, percent."""


class State(NamedTuple):
  """The ranked pool.

  Attributes:
    archs: `int32[P, L]`, the best prediction first.
    valid: `bool[P]`; copies of a better row are not valid.
    position: `int32[]` the next to be proposed.
  """

  archs: jax.Array
  valid: jax.Array
  position: jax.Array


class Info(NamedTuple):
  """What a reader plots: best objective of the batch, `f32[]`."""

  best_objective: jax.Array


def ednag_pool(
  space: SearchSpace,
  fitness_fn: FitnessFn,
  config: Config | None = None,
  *,
  batch_size: int = 1,
) -> Algorithm:
  """Builds the search; its params are handed to `fitness_fn`."""
  config = config or Config()

  def init(key: Key, params: Params) -> State:
    archs, valid, fitness = generate(
      key, space, lambda archs: fitness_fn(params, archs), config
    )
    fitness = jnp.where(valid, fitness, -jnp.inf)
    order = jnp.argsort(fitness, descending=True, stable=True)
    archs, valid = archs[order], valid[order]
    same = jnp.all(archs[:, None] == archs[None], axis=-1)
    copies = jnp.any(jnp.tril(same & valid[None], k=-1), axis=-1)
    return State(archs, valid & ~copies, jnp.int32(0))

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del key, params
    rows = state.position + jnp.arange(batch_size)
    last = state.archs.shape[0] - 1
    inside = jnp.minimum(rows, last)
    proposal = Proposal(
      state.archs[inside], state.valid[inside] & (rows <= last)
    )
    return proposal, state._replace(position=state.position + batch_size)

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del proposal, params
    return state, Info(jnp.max(evaluation.objective))

  return Algorithm(init, ask, tell, num_initial=0, batch_size=batch_size)


def generate(
  key: Key,
  space: SearchSpace,
  fitness_fn: Callable[[Archs], jax.Array],
  config: Config | None = None,
) -> tuple[Archs, jax.Array, jax.Array]:
  """Runs the published denoising under any fitness function.

  Args:
    key: random key, consumed.
    space: the search space.
    fitness_fn: accuracies in percent of `int32[P, L]`, `[P]`.
    config: population, steps and selection of the published program.

  Returns:
    The final population: architectures `int32[P, L]`, `bool[P]` whether each is
    one, and their fitness `f32[P]`, 0 where it is none.
  """
  config = config or Config()
  algorithm = ednag_reference.ednag_reference(space, config)
  init_key, loop_key = jax.random.split(key)

  def generation(state, round_number):
    ask_key = jax.random.fold_in(loop_key, round_number)
    proposal, state = algorithm.ask(ask_key, state, ())
    value = jnp.where(proposal.valid, fitness_fn(proposal.archs), -jnp.inf)
    evaluation = Evaluation(
      status=jnp.where(proposal.valid, Status.FRESH, Status.INVALID),
      objective=value,
      objectives=value[:, None],
      violations=jnp.zeros((value.shape[0], 0), jnp.float32),
      feasible=proposal.valid,
    )
    return algorithm.tell(state, proposal, evaluation, ())[0], None

  state = algorithm.init(init_key, ())
  num_rounds = config.num_steps + config.normalizes_population
  state, _ = jax.lax.scan(generation, state, jnp.arange(num_rounds))
  return *ednag_reference.decode(state.x, space, config), state.accuracy
