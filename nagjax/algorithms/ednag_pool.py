"""EDNAG with a predictor: denoise a pool once, then query it from the top.

This is the pipeline of Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient
Neural Architecture Generation" (figure 2): a predictor guides the whole
denoising inside `init`, which costs no query of the benchmark, and the
generated architectures are evaluated in the order of their predictions. Fitness
may be any function; what it was trained on is not counted here.

`zero_shot` is the same for a surrogate that knows already, such as one that was
meta-learned on other data sets and has read some images of this one
(`surrogates.meta`): EDNAG's search on data sets without a table.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import archive as archive_lib
from nagjax.algorithms import ednag_reference
from nagjax.algorithms.ednag_reference import Config
from nagjax.algorithms.spec import Spec
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

FitnessFn = Callable[[Params, Archs], jax.Array]
"""Maps params and `int32[P, L]` architectures to accuracies `[P]`, percent."""


_SAMPLE_BEST = 94.0
_SAMPLE_MEDIAN = 89.0
"""Percent of the best and of the median of random cells of NAS-Bench-201 on
CIFAR-10, for which the program's map from accuracy to fitness was made."""
_NUM_SAMPLED = 256
"""Random architectures whose predictions are put on this scale."""


@dataclasses.dataclass(frozen=True)
class ZeroShotConfig(Config):
  """Static options; see `ednag_reference.Config` for those of the denoising.

  Attributes:
    population_size: `P`; more than the program's 30, as predictions are free.
    pool_size: architectures that are ranked, of all that the denoising saw.
    batch_size: of them that are queried in a round.
    calibrates: whether predictions may have any scale: those of random
      architectures say what a good one is. Else they are percent.
  """

  population_size: int = 100
  pool_size: int = 100
  batch_size: int = 1
  calibrates: bool = True


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
  """What a reader plots.

  Attributes:
    best_objective: `f32[]`, of the batch; `-inf` if it has none.
  """

  best_objective: jax.Array


def ednag_pool(
  space: SearchSpace,
  fitness_fn: FitnessFn,
  config: Config | None = None,
  *,
  batch_size: int = 1,
) -> Algorithm[State, Params]:
  """Builds the search; its params are handed to `fitness_fn`.

  Args:
    space: the search space.
    fitness_fn: see `FitnessFn`; guides the denoising and ranks the pool.
    config: population, steps and selection of the published program.
    batch_size: architectures of the pool that are queried in a round.
  """
  config = config or Config()

  def init(key: Key, params: Params) -> State:
    archs, valid, fitness = generate(
      key, space, lambda archs: fitness_fn(params, archs), config
    )
    size = config.population_size
    return _ranked(_merged(_no_pool(space, size), space, archs, valid, fitness))

  return _from_the_top(init, batch_size)


def zero_shot(
  space: SearchSpace,
  config: ZeroShotConfig | None = None,
  *,
  surrogate: Surrogate,
) -> Algorithm[State, Params]:
  """Builds the search under a surrogate that knows already.

  Differs from the program: of all architectures that the denoising saw the best
  are ranked, not of its last population alone; and by default predictions are
  put on the scale for which the map to fitness was made, by those of random
  architectures (`_SAMPLE_BEST`), instead of by a map of each data set.

  Args:
    space: the search space.
    config: of the denoising and the pool.
    surrogate: predicts without a fit; its params are the algorithm's.

  Raises:
    ValueError: if the surrogate lives on the host.
  """
  config = config or ZeroShotConfig()
  if surrogate.on_host:
    raise ValueError(
      "The denoising asks the surrogate inside a compiled loop, and this one "
      "lives on the host; use a surrogate that can be compiled."
    )

  def init(key: Key, params: Params) -> State:
    init_key, sample_key, generate_key = jax.random.split(key, 3)
    state = surrogate.init(init_key, params)

    def fitness_fn(archs: Archs) -> jax.Array:
      return surrogate.predict(state, archs).mean

    calibrated = fitness_fn
    if config.calibrates:
      sample = fitness_fn(space.sample(sample_key, _NUM_SAMPLED))
      best, median = jnp.max(sample), jnp.median(sample)
      slope = (_SAMPLE_BEST - _SAMPLE_MEDIAN) / jnp.maximum(best - median, 1e-6)

      def calibrated(archs: Archs) -> jax.Array:
        return _SAMPLE_BEST + slope * (fitness_fn(archs) - best)

    pool = _denoise(generate_key, space, calibrated, config, config.pool_size)[
      1
    ]
    return _ranked(pool)

  algorithm = _from_the_top(init, config.batch_size)
  return algorithm._replace(params=surrogate.params)


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
  state, _ = _denoise(key, space, fitness_fn, config, 0)
  return *ednag_reference.decode(state.x, space, config), state.accuracy


class _Pool(NamedTuple):
  """The best so far: `int32[M, L]`, and their values `f32[M]`, -inf if none."""

  archs: jax.Array
  value: jax.Array


def _denoise(
  key: Key,
  space: SearchSpace,
  fitness_fn: Callable[[Archs], jax.Array],
  config: Config,
  pool_size: int,
) -> tuple[ednag_reference.State, _Pool]:
  """The last population, and the best that was seen on the way."""
  algorithm = ednag_reference.ednag_reference(space, config)
  init_key, loop_key = jax.random.split(key)

  def generation(
    carry: tuple[ednag_reference.State, _Pool], round_number: jax.Array
  ) -> tuple[tuple[ednag_reference.State, _Pool], None]:
    state, pool = carry
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
    if pool_size:
      pool = _merged(pool, space, proposal.archs, proposal.valid, value)
    return (algorithm.tell(state, proposal, evaluation, ())[0], pool), None

  start = algorithm.init(init_key, ()), _no_pool(space, pool_size)
  num_rounds = config.num_steps + config.normalizes_population
  return jax.lax.scan(generation, start, jnp.arange(num_rounds))[0]


def _no_pool(space: SearchSpace, size: int) -> _Pool:
  return _Pool(
    jnp.zeros((size, space.num_variables), jnp.int32),
    jnp.full(size, -jnp.inf, jnp.float32),
  )


def _merged(
  pool: _Pool,
  space: SearchSpace,
  archs: Archs,
  valid: jax.Array,
  value: jax.Array,
) -> _Pool:
  """The best distinct architectures of a pool and of others, in order."""
  archs = jnp.concatenate([pool.archs, archs])
  value = jnp.where(valid & jnp.isfinite(value), value, -jnp.inf)
  value = jnp.concatenate([pool.value, value])
  counts = jnp.isfinite(value)
  copies = archive_lib.is_duplicate(space.keys(archs), counts)
  value = jnp.where(copies, -jnp.inf, value)
  order = jnp.argsort(value, descending=True, stable=True)
  order = order[: pool.value.shape[0]]
  return _Pool(archs[order], value[order])


def _ranked(pool: _Pool) -> State:
  return State(pool.archs, jnp.isfinite(pool.value), jnp.int32(0))


def _from_the_top(
  init: Callable[[Key, Params], State], batch_size: int
) -> Algorithm[State, Params]:
  """An algorithm that queries a ranked pool."""

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


def _preset(benchmark: str, budget: int) -> dict[str, Any]:
  """A pool as large as the budget at least; the program's individuals."""
  options = dict(ednag_reference.preset(benchmark, budget))
  # Predictions are not what the benchmark's own objective is.
  for name in ("accuracy_scale", "accuracy_fn", "rescale_fn"):
    options.pop(name, None)
  return {**options, "pool_size": max(ZeroShotConfig.pool_size, budget)}


def _num_rounds(
  config: ZeroShotConfig, algorithm: Algorithm, budget: int
) -> int:
  del algorithm, budget
  return -(-config.pool_size // config.batch_size)


ZERO_SHOT = Spec(
  build=zero_shot,
  config=ZeroShotConfig(),
  preset=_preset,
  num_rounds=_num_rounds,
  needs_surrogate=True,
  tiny=dict(population_size=20, num_steps=5, batch_size=2),
)
"""How the registry builds `zero_shot`."""
