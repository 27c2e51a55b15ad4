"""What `throughput` measures, one function each, and the units of its table.

Every function returns seconds of compilation and of the run, and what was done
in a second.
"""

from collections.abc import Callable
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp

from nagjax import search
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import surrogate_search
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_steps
from nagjax.generation import score_training
from nagjax.networks import score as score_lib
from nagjax.networks.base import ScoreNetwork
from nagjax.problem import Problem
from nagjax.proposers import gradient
from nagjax.search.driver import SearchState
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import ensemble
from nagjax.types import Params
from nagjax.types import Status

from . import arithmetic

PARTS = ("fit", "generate", "ask")
"""Of a round of OptiProxy-NAS."""

TRAINING_STEPS = 20
"""Of the score network, in one program."""


def sweep(
  num_seeds: int,
  made: search.Search,
  *,
  batch_size_seeds: int,
  official_seconds: float | None = None,
) -> dict[str, Any]:
  """A sweep of complete searches.

  Args:
    num_seeds: how many searches.
    made: one of them.
    batch_size_seeds: searches at a time.
    official_seconds: of one search of a published program on this machine.
  """
  began = time.process_time()
  result = search.sweep(
    jax.random.split(jax.random.key(0), num_seeds),
    made,
    batch_size_seeds=batch_size_seeds,
    keeps_state=False,
  )
  # Compilation included: seconds of all threads.
  cpu_seconds = time.process_time() - began
  lookups = result.trace.status.size
  official = official_seconds
  operations = _operations(made, result.trace)
  rate = arithmetic.sustained_rate()
  return {
    "compile_seconds": result.compile_seconds,
    "run_seconds": result.run_seconds,
    "searches_per_second": num_seeds / result.run_seconds,
    "lookups_per_second": lookups / result.run_seconds,
    "cpu_seconds_per_search": cpu_seconds / num_seeds,
    "times_official": official and num_seeds * official / result.run_seconds,
    "program_mb": result.program_bytes / 1e6,
    "operations_per_search": operations,
    "operations_per_second": rate,
    "limit_seconds_per_search": operations / rate,
  }


def _operations(made: search.Search, trace: search.Trace) -> float:
  """Floating-point operations of a search, on average, until its budget ends.

  Args:
    made: the search.
    trace: `[S, R, ...]` of many of them.
  """
  key = jax.random.key(0)
  start = functools.partial(search.start, search=made)
  advance = functools.partial(search.advance, search=made, num_rounds=1)
  first = jax.eval_shape(start, key)
  num_rounds = (trace.status != Status.EMPTY).any(axis=-1).sum(axis=1).mean()
  num_rounds -= first.trace.status.shape[0]
  of_round = arithmetic.operations(advance, first.state)
  return arithmetic.operations(start, key) + float(num_rounds) * of_round


def generation(size: int, made: search.Search) -> dict[str, float]:
  """One generation of a large population, memory linear in its size."""
  config = ednag_reference.Config(
    population_size=size, block_size=min(size, 256), gumbel=True
  )
  algorithm = ednag_reference.ednag_reference(made.problem.space, config)
  made = made._replace(algorithm=algorithm, params=algorithm.params)

  def one(state: SearchState, problem: Problem) -> SearchState:
    return search.advance(
      state, made._replace(problem=problem), num_rounds=1
    ).state

  state = search.start(jax.random.key(0), made).state
  # Round 0 only evaluates the start: measure a later generation, from the
  # middle of a search.
  state = state._replace(
    algorithm=state.algorithm._replace(
      step=jnp.int32(config.num_steps // 2),
      accuracy=jnp.linspace(0.0, 90.0, size),
    )
  )
  # Large ones take minutes.
  timed = _timed(one, state, made.problem, runs_first=False)
  run_seconds = timed["run_seconds"]
  return timed | {
    "searches_per_second": 1 / run_seconds,
    "lookups_per_second": size / run_seconds,
  }


def part(name: str, num_searches: int, made: search.Search) -> dict[str, float]:
  """One of `PARTS` of a round of OptiProxy-NAS, from the middle of a search."""
  space = made.problem.space
  config, algorithm, params = made.config, made.algorithm, made.params
  surrogate = ensemble.graph_networks(space, config.surrogate)
  proposer = gradient.gradient(space, config.proposer)

  def generate(key: jax.Array, state: surrogate_search.State) -> Any:
    belief = surrogate_search.make_belief(
      surrogate, state.surrogate, config.penalty
    )
    return proposer.propose(
      key, state.proposer, params.proposer, belief, state.archive
    )

  functions = {
    "fit": lambda key, state: surrogate.fit(
      key, state.surrogate, state.archive
    ),
    "generate": generate,
    "ask": lambda key, state: algorithm.ask(key, state, params),
  }
  keys = jax.random.split(jax.random.key(0), num_searches)

  def middle(key: jax.Array) -> surrogate_search.State:
    begun = search.WarmStart(space.sample(key, made.budget // 2))
    return search.start(key, made, warm_start=begun).state.algorithm

  states = jax.block_until_ready(jax.jit(jax.vmap(middle))(keys))
  timed = _timed(jax.vmap(functions[name]), keys, states)
  run_seconds = timed["run_seconds"]
  return timed | {
    "searches_per_second": num_searches / run_seconds,
    "lookups_per_second": num_searches * config.batch_size / run_seconds,
  }


def samples(num: int, space: SearchSpace) -> dict[str, float]:
  """Architectures from the published score network, in bfloat16.

  Weights are random: a sample costs what it costs with others.
  """
  config = score_models.published(space.name)
  shape = score_models.score_model(space, config).shape
  model = score_models.score_model(space, config, _in_bfloat16(shape))
  sampler = sampling.Config(batch_size=num)

  def run(key: jax.Array, params: Params) -> jax.Array:
    return sampling.generate(key, model, params, num, sampler).archs

  key = jax.random.key(0)
  timed = _timed(run, key, model.init(key))
  return timed | {"samples_per_second": num / timed["run_seconds"]}


def training(batch_size: int, space: SearchSpace) -> dict[str, float]:
  """`TRAINING_STEPS` of the published training of the score network."""
  config = score_training.preset(space, "paper")
  model = score_models.score_model(space, config.model)
  key = jax.random.key(0)
  state = score_steps.start(model.init(key), config.optimizer)
  archs = space.sample(key, TRAINING_STEPS * batch_size)
  archs = archs.reshape(TRAINING_STEPS, batch_size, -1)

  def run(
    key: jax.Array, state: score_steps.TrainState, archs: jax.Array
  ) -> jax.Array:
    return score_steps.train(
      key, model, state, archs, config.optimizer, dropout=True
    )[1]

  timed = _timed(run, key, state, archs)
  return timed | {"steps_per_second": TRAINING_STEPS / timed["run_seconds"]}


def _in_bfloat16(shape: tuple[int, int]) -> ScoreNetwork:
  """The published network for samples of a shape, computing in bfloat16."""
  network = score_lib.score(*shape, score_lib.Config())

  def half(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree)

  def apply(params: Params, *inputs: jax.Array, **options: Any) -> jax.Array:
    halves = half((params, inputs))
    return network.apply(halves[0], *halves[1], **options).astype(jnp.float32)

  return network._replace(apply=apply)


def _timed(
  function: Callable[..., Any], *arguments: Any, runs_first: bool = True
) -> dict[str, float]:
  """Seconds to compile a function, and of a run, by default the second."""
  began = time.perf_counter()
  program = jax.jit(function).lower(*arguments).compile()
  compile_seconds = time.perf_counter() - began
  if runs_first:
    jax.block_until_ready(program(*arguments))
  began = time.perf_counter()
  jax.block_until_ready(program(*arguments))
  return {
    "compile_seconds": compile_seconds,
    "run_seconds": time.perf_counter() - began,
  }
