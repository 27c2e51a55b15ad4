"""Many searches at once: chunks of seeds, watched from the host.

A chunk of lanes (seeds, or seeds times hyper-parameters) is one compiled
program that advances all of its searches by some rounds. The host calls it
until every lane has spent its budget, so memory is bounded by the chunk and
time by the slowest lane of each chunk.
"""

from collections.abc import Callable
import functools
import os
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.search import ledgers
from nagjax.search import traces
from nagjax.search.chunks import SavedChunks
from nagjax.search.running import Search
from nagjax.search.running import check_keys
from nagjax.search.running import check_search
from nagjax.search.traces import Result
from nagjax.search.traces import Trace
from nagjax.sharding import over_devices
from nagjax.sharding import over_processes
from nagjax.sharding import part_of_process
from nagjax.types import Params

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


def sweep(
  keys: jax.Array,
  search: Search,
  *,
  warm_start: driver.WarmStart | None = None,
  sweeps_params: bool = False,
  batch_size_seeds: int = DEFAULT_BATCH_SIZE,
  rounds_per_call: int | None = None,
  keeps_state: bool = True,
  directory: str | os.PathLike[str] | None = None,
  on_progress: Callable[[Progress], None] | None = None,
) -> Result:
  """Runs one search for every key, in chunks of bounded memory.

  A search depends on its own key alone: not on the number of seeds, the size of
  chunks or the number of devices (all devices share the lanes). Where
  `jax.distributed` has joined several processes, all of them call this with the
  same arguments, each runs its part of the lanes, and all get the whole result.

  Args:
    keys: `[S]` typed keys; `split(root, S)` keeps earlier seeds when S grows.
    search: what runs; with `sweeps_params` the leaves of its `params` have a
      leading axis V.
    warm_start: evaluated in the place of every initial design.
    sweeps_params: whether all seeds run for each of `V` params.
    batch_size_seeds: lanes of a chunk.
    rounds_per_call: rounds between two looks from the host.
    keeps_state: whether the final states are kept, on the host; without, the
      result's state is None and memory holds little more than the traces.
    directory: where traces of finished chunks are kept: the same sweep after a
      kill goes on behind them. Of this sweep alone, and without states.
    on_progress: called after every look.

  Returns:
    Arrays with a leading lane axis, `[S, ...]`, or `[V, S, ...]` if params were
    swept, on the host; and measurements.

  Raises:
    ValueError: if the keys are none, the search cannot start or cannot be
      compiled, a size is below 1, or there is a directory and states are kept.
    CheckpointError: if the file of a chunk is damaged.
    Exception: what `algorithm.check` raises.

  Example:
    keys = jax.random.split(jax.random.key(0), 100)
    best = nagjax.sweep(keys, search).trace.objective.max(axis=(1, 2))
  """
  check_search(search)
  check_keys(keys)
  driver.check_count("batch_size_seeds", batch_size_seeds, least=1)
  if rounds_per_call is not None:
    driver.check_count("rounds_per_call", rounds_per_call, least=1)
  num_rounds, num_seeds = search.num_rounds, keys.shape[0]
  lane_keys, lane_params, num_values = _lanes(
    keys, search.params, sweeps_params
  )
  num_lanes = lane_keys.shape[0]
  num_devices = len(jax.local_devices())
  lanes = part_of_process(num_lanes)
  size = min(batch_size_seeds, len(lanes))
  size = -(-size // num_devices) * num_devices
  starts = lanes[::size]
  per_call = rounds_per_call or max(1, -(-num_rounds // 20))
  program = _Program(search, per_call, warm_start, sweeps_params, num_devices)

  def take(start: int) -> tuple[jax.Array, Params]:
    rows = np.minimum(np.arange(start, start + size), num_lanes - 1)
    values = lane_params
    if sweeps_params:
      values = jax.tree.map(lambda leaf: leaf[rows], lane_params)
    return lane_keys[rows], values

  saved = None
  if directory is not None:
    if keeps_state:
      raise ValueError(
        "directory keeps no states of searches: pass keeps_state=False."
      )
    template = functools.partial(program.template, *take(0))
    saved = SavedChunks(directory, search, warm_start, template)

  began = time.perf_counter()
  compiled, compile_seconds = None, 0.0
  chunks: list[tuple[Trace, Any, Any]] = []
  for number, start in enumerate(starts):
    chunk_keys, chunk_params = take(start)
    if saved is not None:
      held = saved.load(start, (chunk_keys, chunk_params))
      if held is not None:
        chunks.append((*held, None))
        continue
    if compiled is None:
      compiling = time.perf_counter()
      compiled = program.compile(chunk_keys, chunk_params)
      compile_seconds = time.perf_counter() - compiling
    first = compiled.start(chunk_keys, search.problem, chunk_params)
    parts, state, done = [jax.device_get(first[:2])], first.state, 0
    while done < num_rounds:
      rest = compiled.advance(state, search.problem, chunk_params)
      parts.append(jax.device_get(rest[:2]))
      state = rest.state
      done += per_call
      if search.algorithm.check is not None:
        search.algorithm.check(state.algorithm)
      ledger = ledgers.counters(state.ledger)
      if on_progress is not None:
        spent = ledgers.share_spent(ledger, search.problem, search.budget)
        spent = max(float(spent.mean()), done / num_rounds)
        share = (number + min(spent, 1.0)) / len(starts)
        on_progress(Progress(number, len(starts), done, num_rounds, share))
      if ledgers.has_ended(ledger, search.problem, search.budget).all():
        break
    joined = _join_rounds(parts, num_rounds)
    if saved is not None:
      saved.save(start, (chunk_keys, chunk_params), joined)
    chunks.append((*joined, _to_host(state) if keeps_state else None))
  most = max(chunk[0].status.shape[1] for chunk in chunks)
  most = int(over_processes(np.asarray([most])).max())
  mine = _join_lanes(chunks, len(lanes), most)
  trace, info, state = over_processes(mine, num_lanes)
  run_seconds = time.perf_counter() - began - compile_seconds
  result = Result(trace, info, state)
  if sweeps_params:
    shape = (num_values, num_seeds)
    result = jax.tree.map(lambda a: a.reshape(shape + a.shape[1:]), result[:3])
    result = Result(*result)
  return result._replace(
    compile_seconds=compile_seconds,
    run_seconds=run_seconds,
    program_bytes=compiled.program_bytes if compiled else 0,
  )


class _Compiled(NamedTuple):
  start: Callable
  advance: Callable
  program_bytes: int


class _Program(NamedTuple):
  """The two compiled halves of a chunk, and what they are compiled for."""

  search: Search
  rounds_per_call: int
  warm_start: driver.WarmStart | None
  sweeps_params: bool
  num_devices: int

  def template(self, keys: jax.Array, params: Params) -> tuple[Trace, Any]:
    """Trace and info as a chunk has them, but for the number of rounds."""
    start, advance = self._functions()
    problem = self.search.problem
    state = jax.eval_shape(start, keys, problem, params).state
    return jax.eval_shape(advance, state, problem, params)[:2]

  def compile(self, keys: jax.Array, params: Params) -> _Compiled:
    start, advance = self._functions()
    is_split = (True, False, self.sweeps_params)
    start = over_devices(start, self.num_devices, is_split)
    advance = over_devices(advance, self.num_devices, is_split)
    problem = self.search.problem
    options = _compiler_options()
    traced = jax.jit(start).trace(keys, problem, params)
    first = traced.lower().compile(options)
    state = jax.tree.map(
      lambda leaf, sharding: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      traced.out_info.state,
      first.output_shardings.state,
    )
    lowered = jax.jit(advance, donate_argnums=0).lower(state, problem, params)
    rest = lowered.compile(options)
    return _Compiled(first, rest, _bytes(rest))

  def _functions(self) -> tuple[Callable, Callable]:
    axes = (0, 0 if self.sweeps_params else None)
    algorithm, budget = self.search.algorithm, self.search.budget

    def start(keys: jax.Array, problem: Problem, params: Params) -> _Part:
      run = functools.partial(
        driver.start, budget=budget, warm_start=self.warm_start
      )
      return jax.vmap(
        lambda key, value: _Part(*run(key, algorithm, problem, value)[:3]), axes
      )(keys, params)

    def advance(
      state: driver.SearchState, problem: Problem, params: Params
    ) -> _Part:
      run = functools.partial(
        driver.advance, budget=budget, num_rounds=self.rounds_per_call
      )
      return jax.vmap(
        lambda state, value: _Part(*run(state, algorithm, problem, value)[:3]),
        axes,
      )(state, params)

    return start, advance


class _Part(NamedTuple):
  """A `Result` of a compiled call, in which everything has a lane axis."""

  trace: Trace
  info: Any
  state: driver.SearchState


def _compiler_options() -> dict[str, Any] | None:
  """What is not XLA's default: on CPUs, one level less of optimization.

  The last takes from a quarter to half of the time of a compilation, and
  programs are no faster by it. A level that the user chose stays.
  """
  name = "xla_backend_optimization_level"
  chosen = jax.config.values["jax_disable_most_optimizations"]
  chosen |= name in os.environ.get("XLA_FLAGS", "")
  if jax.default_backend() != "cpu" or chosen:
    return None
  return {name: 2}


def _bytes(compiled: jax.stages.Compiled) -> int:
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


def _join_rounds(
  parts: list[tuple[Trace, Any]], num_rounds: int
) -> tuple[Trace, Any]:
  """Concatenates the calls of a chunk and cuts rounds beyond the limit."""
  all_traces, infos = zip(*parts, strict=True)
  total = all_traces[0].status.shape[1] + num_rounds

  def join(limit: int, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, axis=1)[:, :limit]

  trace = jax.tree.map(functools.partial(join, total), *all_traces)
  return trace, jax.tree.map(functools.partial(join, num_rounds), *infos[1:])


def _join_lanes(
  chunks: list[tuple[Trace, Any, Any]], num_lanes: int, num_rounds: int
) -> tuple[Trace, Any, Any]:
  """Stacks chunks whose searches ended after different numbers of rounds."""
  extended = [
    (
      traces.extend(trace, num_rounds),
      traces.extend_info(info, num_rounds - trace.status.shape[1], axis=1),
      state,
    )
    for trace, info, state in chunks
  ]

  def join(*leaves: Any) -> Any:
    xp = np if isinstance(leaves[0], np.ndarray) else jnp
    return xp.concatenate(leaves)[:num_lanes]

  return jax.tree.map(join, *extended)


def _to_host(state: driver.SearchState) -> driver.SearchState:
  """A state as NumPy arrays, but for its keys."""
  return jax.tree.map(
    lambda leaf: (
      leaf if traces.is_key(leaf) else np.asarray(jax.device_get(leaf))
    ),
    state,
  )
