"""Many searches at once: chunks of seeds, watched from the host.

A chunk of lanes (seeds, or seeds times hyper-parameters) is one compiled
program that advances all of its searches by some rounds. The host calls it
until every lane has spent its budget, so memory is bounded by the chunk and
time by the slowest lane of each chunk.
"""

from collections.abc import Callable
import functools
import time
from typing import NamedTuple

import jax
import numpy as np

from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.sharding import over_devices
from nagjax.types import Algorithm
from nagjax.types import Params
from nagjax.types import Status

DEFAULT_BATCH_SIZE = 256


class Progress(NamedTuple):
  """Where a sweep stands, for a progress bar.

  Attributes:
    chunk: chunks that are finished.
    num_chunks: chunks in all.
    round: rounds done in the current chunk.
    num_rounds: the round limit.
    share: fraction of the sweep's work that is done, by queries spent.
  """

  chunk: int
  num_chunks: int
  round: int
  num_rounds: int
  share: float


class Sweep(NamedTuple):
  """The result of a sweep.

  Attributes:
    trace: arrays with a leading lane axis, `[S, R, ...]`, or `[V, S, R, ...]`
      if hyper-parameters were swept; on the host.
    compile_seconds: time spent tracing and compiling.
    run_seconds: time spent running, transfers to the host included.
    program_bytes: arguments, results and temporaries of the compiled chunk.
  """

  trace: driver.Trace
  compile_seconds: float
  run_seconds: float
  program_bytes: int


def sweep(
  keys: jax.Array,
  algorithm: Algorithm,
  problem: Problem,
  params: Params,
  *,
  budget: int,
  num_rounds: int,
  prior: driver.Prior | None = None,
  sweeps_params: bool = False,
  batch_size_seeds: int = DEFAULT_BATCH_SIZE,
  rounds_per_call: int | None = None,
  on_progress: Callable[[Progress], None] | None = None,
) -> Sweep:
  """Runs one search for every key, in chunks of bounded memory.

  A search depends on its own key alone: not on the number of seeds, the size of
  chunks or the number of devices (all local devices share the lanes).

  Args:
    keys: `[S]` typed keys; `split(root, S)` keeps earlier seeds when S grows.
    algorithm: the algorithm.
    problem: the question.
    params: hyper-parameters; with `sweeps_params`, leaves with a leading axis
      V.
    budget: the most distinct rows that a search may read.
    num_rounds: the most rounds of a search.
    prior: evaluated in the place of every initial design.
    sweeps_params: whether all seeds run for each of `V` params.
    batch_size_seeds: lanes of a chunk.
    rounds_per_call: rounds between two looks from the host.
    on_progress: called after every look.

  Returns:
    Trace and measurements.

  Raises:
    ValueError: if the budget is below the initial design, or there is no key.
    Exception: what `algorithm.check` raises.
  """
  driver.validate_budget(algorithm, problem, budget=budget, prior=prior)
  num_seeds = keys.shape[0]
  if num_seeds < 1:
    raise ValueError("A sweep needs at least one key.")
  lane_keys, lane_params, num_values = _lanes(keys, params, sweeps_params)
  num_lanes = lane_keys.shape[0]
  num_devices = len(jax.local_devices())
  size = min(batch_size_seeds, num_lanes)
  size = -(-size // num_devices) * num_devices
  starts = range(0, num_lanes, size)
  per_call = rounds_per_call or max(1, min(num_rounds, -(-num_rounds // 20)))
  program = _Program(
    algorithm, problem, budget, per_call, prior, sweeps_params, num_devices
  )

  def take(start: int) -> tuple[jax.Array, Params]:
    rows = np.minimum(np.arange(start, start + size), num_lanes - 1)
    values = lane_params
    if sweeps_params:
      values = jax.tree.map(lambda leaf: leaf[rows], lane_params)
    return lane_keys[rows], values

  began = time.perf_counter()
  compiled = program.compile(*take(0))
  compile_seconds = time.perf_counter() - began

  began = time.perf_counter()
  chunks = []
  for number, start in enumerate(starts):
    chunk_keys, chunk_params = take(start)
    state, trace = compiled.start(chunk_keys, problem, chunk_params)
    parts, done = [jax.device_get(trace)], 0
    while done < num_rounds:
      state, trace = compiled.advance(state, problem, chunk_params)
      parts.append(jax.device_get(trace))
      done += per_call
      if algorithm.check is not None:
        algorithm.check(state.algorithm)
      charged = np.asarray(parts[-1].charged)[:, -1]
      if on_progress is not None:
        spent = max(float(charged.mean()) / budget, done / num_rounds)
        share = (number + min(spent, 1.0)) / len(starts)
        on_progress(Progress(number, len(starts), done, num_rounds, share))
      if charged.min() >= budget:
        break
    chunks.append(_join_rounds(parts, num_rounds))
  trace = _join_lanes(chunks, num_lanes)
  run_seconds = time.perf_counter() - began
  if sweeps_params:
    shape = (num_values, num_seeds)
    trace = jax.tree.map(lambda a: a.reshape(shape + a.shape[1:]), trace)
  return Sweep(trace, compile_seconds, run_seconds, compiled.program_bytes)


class _Compiled(NamedTuple):
  start: Callable
  advance: Callable
  program_bytes: int


class _Program(NamedTuple):
  """The two compiled halves of a chunk, and what they are compiled for."""

  algorithm: Algorithm
  problem: Problem
  budget: int
  rounds_per_call: int
  prior: driver.Prior | None
  sweeps_params: bool
  num_devices: int

  def compile(self, keys: jax.Array, params: Params) -> _Compiled:
    params_axis = 0 if self.sweeps_params else None

    def start(keys, problem, params):
      run = functools.partial(
        driver.start, budget=self.budget, prior=self.prior
      )
      return jax.vmap(
        lambda key, value: run(key, self.algorithm, problem, value),
        (0, params_axis),
      )(keys, params)

    def advance(state, problem, params):
      run = functools.partial(
        driver.advance, budget=self.budget, num_rounds=self.rounds_per_call
      )
      return jax.vmap(
        lambda state, value: run(state, self.algorithm, problem, value),
        (0, params_axis),
      )(state, params)

    is_split = (True, False, self.sweeps_params)
    start = over_devices(start, self.num_devices, is_split)
    advance = over_devices(advance, self.num_devices, is_split)
    state, _ = jax.eval_shape(start, keys, self.problem, params)
    first = jax.jit(start).lower(keys, self.problem, params).compile()
    state = jax.tree.map(
      lambda leaf, sharding: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      state,
      first.output_shardings[0],
    )
    rest = (
      jax.jit(advance, donate_argnums=0)
      .lower(state, self.problem, params)
      .compile()
    )
    return _Compiled(first, rest, _bytes(rest))


def _bytes(compiled) -> int:
  try:
    memory = compiled.memory_analysis()
  except NotImplementedError:
    return 0
  if memory is None:
    return 0
  return int(
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
  )


def _lanes(
  keys: jax.Array, params: Params, sweeps_params: bool
) -> tuple[jax.Array, Params, int]:
  """Keys and params of every lane, params varying slowest."""
  if not sweeps_params:
    return keys, params, 1
  sizes = {leaf.shape[0] for leaf in jax.tree.leaves(params)}
  if len(sizes) != 1:
    raise ValueError(
      f"Swept params need one common leading axis, got sizes {sorted(sizes)}."
    )
  (num_values,) = sizes
  num_seeds = keys.shape[0]
  lane = np.arange(num_values * num_seeds)
  params = jax.tree.map(lambda leaf: leaf[lane // num_seeds], params)
  return keys[lane % num_seeds], params, num_values


def _join_rounds(parts: list[driver.Trace], num_rounds: int) -> driver.Trace:
  """Concatenates the calls of a chunk and cuts rounds beyond the limit."""
  total = parts[0].status.shape[1] + num_rounds
  return jax.tree.map(
    lambda *arrays: np.concatenate(arrays, axis=1)[:, :total], *parts
  )


def _join_lanes(chunks: list[driver.Trace], num_lanes: int) -> driver.Trace:
  """Stacks chunks whose searches ended after different numbers of rounds."""
  rounds = max(chunk.status.shape[1] for chunk in chunks)
  return jax.tree.map(
    lambda *arrays: np.concatenate(arrays)[:num_lanes],
    *(extend(chunk, rounds) for chunk in chunks),
  )


def extend(trace: driver.Trace, num_rounds: int) -> driver.Trace:
  """Lengthens a host trace `[S, R, ...]` by empty rounds."""
  missing = num_rounds - trace.status.shape[1]
  if missing == 0:
    return trace
  filler = {"status": Status.EMPTY, "objective": -np.inf, "test": np.nan}

  def pad(name: str, array: np.ndarray) -> np.ndarray:
    widths = [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2)
    if name == "charged":
      return np.pad(array, widths, mode="edge")
    return np.pad(array, widths, constant_values=filler.get(name, 0))

  return driver.Trace(
    **{name: pad(name, array) for name, array in trace._asdict().items()}
  )
