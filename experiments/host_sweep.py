"""Searches that run on the host, seed after seed, as a sweep runs others."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax import search as search_lib
from nagjax.problem import Problem
from nagjax.search import sweeping
from nagjax.types import Status

from .support import results

_ROWS = 32
"""Evaluations are filled up to a multiple: few sizes to compile for."""


def sweep_on_host(
  keys: jax.Array,
  search: registry.Search,
  problem: Problem,
  *,
  budget: int,
  directories: Sequence[pathlib.Path],
  prior: search_lib.Prior | None = None,
  on_progress: Callable[[search_lib.Progress], None] | None = None,
) -> search_lib.Sweep:
  """Runs one search for every key, and goes on with those that were begun.

  Args:
    keys: `[S]` typed keys.
    search: what runs, `search.on_host` or not.
    problem: the question.
    budget: the most distinct rows that a search may read.
    directories: of every search: where it is saved after every round. One that
      is found there is continued.
    prior: evaluated in the place of every initial design.
    on_progress: called after every round.

  Returns:
    Trace and measurements, as of `search.sweep`; compiling counts as running,
    and rounds of an earlier process do not.
  """
  began = time.perf_counter()
  evaluate_fn = make_evaluate_fn(problem)
  traces = []
  for number, directory in enumerate(directories):

    def on_round(done: int, charged: int, number: int = number) -> None:
      if on_progress is not None:
        share = (number + min(charged / budget, 1.0)) / len(directories)
        on_progress(
          search_lib.Progress(
            number, len(directories), done, search.num_rounds, share
          )
        )

    result = search_lib.run_on_host(
      keys[number],
      search.algorithm,
      problem.space,
      evaluate_fn,
      search.params,
      budget=budget,
      num_rounds=search.num_rounds,
      num_constraints=len(problem.constraints),
      prior=_evaluated(prior, evaluate_fn),
      directory=directory,
      identities_fn=problem.benchmark.identities,
      jit=not search.on_host,
      on_round=on_round,
    )
    traces.append(jax.tree.map(lambda a: np.asarray(a)[None], result.trace))
  num_rounds = max(trace.status.shape[1] for trace in traces)
  trace = jax.tree.map(
    lambda *arrays: np.concatenate(arrays),
    *(sweeping.extend(trace, num_rounds) for trace in traces),
  )
  trace = trace._replace(test=_test(problem, trace))
  return search_lib.Sweep(trace, 0.0, time.perf_counter() - began, 0)


def make_evaluate_fn(problem: Problem) -> Callable[[np.ndarray], Any]:
  """What `run_on_host` asks of a problem; see `search.on_host.EvaluateFn`."""
  evaluate = jax.jit(Problem.evaluate)

  def evaluate_fn(archs: np.ndarray) -> Any:
    padded = np.pad(archs, ((0, -len(archs) % _ROWS), (0, 0)), mode="edge")
    answer = jax.device_get(evaluate(problem, jnp.asarray(padded)))
    answer = jax.tree.map(lambda leaf: leaf[: len(archs)], answer)
    objective = np.where(answer.failed, np.nan, answer.objectives[:, 0])
    return (objective, answer.violations) if problem.constraints else objective

  return evaluate_fn


def _evaluated(
  prior: search_lib.Prior | None, evaluate_fn: Callable[[np.ndarray], Any]
) -> search_lib.HostPrior | None:
  if prior is None:
    return None
  archs = np.asarray(prior.archs)
  answer = evaluate_fn(archs)
  if isinstance(answer, tuple):
    return search_lib.HostPrior(archs, *answer)
  return search_lib.HostPrior(archs, answer)


def _test(problem: Problem, trace: search_lib.Trace) -> np.ndarray:
  """The reader's metric of what has a value, `f32[S, R, B]`."""
  usable = np.asarray(trace.status) <= Status.REPEAT
  test = np.full(usable.shape, np.nan, np.float32)
  test[usable] = results.by_parts(
    jax.jit(problem.test), np.asarray(trace.archs)[usable]
  )
  return test
