"""Searches that run on the host, seed after seed, as a sweep runs others."""

from collections.abc import Callable
from collections.abc import Sequence
import os
import time

import jax

from nagjax.search import traces
from nagjax.search.driver import WarmStart
from nagjax.search.on_host import run_on_host
from nagjax.search.running import Search
from nagjax.search.running import check_keys
from nagjax.search.running import check_search
from nagjax.search.sweeping import Progress
from nagjax.search.traces import Result


def sweep_on_host(
  keys: jax.Array,
  search: Search,
  *,
  directories: Sequence[str | os.PathLike[str]] | None = None,
  warm_start: WarmStart | None = None,
  on_progress: Callable[[Progress], None] | None = None,
) -> Result:
  """Runs one search for every key, and goes on with those that were begun.

  Args:
    keys: `[S]` typed keys.
    search: what runs; see `run_on_host`.
    directories: of every search: where it is saved after every round. One that
      is found there is continued.
    warm_start: evaluated in the place of every initial design.
    on_progress: called after every round.

  Returns:
    As of `sweep`; compiling counts as running, and rounds of an earlier process
    do not.

  Raises:
    ValueError: as `run_on_host`, or if there are not as many directories as
      keys.
  """
  check_search(search)
  check_keys(keys)
  num = keys.shape[0]
  if directories is not None and len(directories) != num:
    raise ValueError(
      f"directories must be as many as keys, {num}, got {len(directories)}."
    )
  began = time.perf_counter()
  results = []
  for number in range(num):

    def on_round(done: int, charged: int, number: int = number) -> None:
      if on_progress is not None:
        share = (number + min(charged / search.budget, 1.0)) / num
        on_progress(Progress(number, num, done, search.num_rounds, share))

    result = run_on_host(
      keys[number],
      search,
      warm_start=warm_start,
      directory=None if directories is None else directories[number],
      on_round=on_round,
    )
    results.append(result)
  num_rounds = [len(result.trace.status) for result in results]
  longest = max(num_rounds)
  parts = [
    (
      traces.extend(result.trace, longest),
      traces.extend_info(result.info, longest - rounds, axis=0),
      result.state,
    )
    for result, rounds in zip(results, num_rounds, strict=True)
  ]
  trace, info, state = traces.stack(parts)
  seconds = time.perf_counter() - began
  return Result(trace, info, state, run_seconds=seconds)
