"""The search loop in Python, for what cannot live in one compiled program.

A two-day training run, a cluster, a boosted-tree surrogate: the problem, the
ledger, the arithmetic and the keys are those of `run`, so that the same
evaluations give the same search. Everything that a search needs is written
after every round.
"""

from collections.abc import Callable
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp

from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.search import traces
from nagjax.search.driver import SearchState
from nagjax.search.driver import WarmStart
from nagjax.search.host_ledger import HostLedger
from nagjax.search.running import Search
from nagjax.search.running import check_key
from nagjax.search.running import check_search
from nagjax.search.saved import SavedSearch
from nagjax.search.saved import restore_infos
from nagjax.search.traces import Result
from nagjax.search.traces import Trace
from nagjax.types import Key


def run_on_host(
  key: Key,
  search: Search,
  problem: Problem | None = None,
  *,
  warm_start: WarmStart | None = None,
  directory: str | os.PathLike[str] | None = None,
  on_round: Callable[[int, int], None] | None = None,
) -> Result:
  """Runs one search in Python.

  Args:
    key: random key, consumed.
    search: what runs. `ask` and `tell` are compiled, unless its algorithm says
      `on_host`.
    problem: the question, that of the search by default; over the same space,
      mostly of a `HostBenchmark`.
    warm_start: told and charged in the place of the initial design; not
      evaluated if it has `columns`.
    directory: where the search is saved after every round. One that is found
      there is continued, without evaluating anything twice; its budget may have
      grown.
    on_round: called after each round with its number and the queries charged.

  Returns:
    Trace, infos and final state, on the host. What was paid for is
    `trace.archs[trace.paid]`.

  Raises:
    ValueError: if the search cannot start, the benchmark returns what it should
      not, or `directory` holds another search, a damaged one, one that has
      paid for more than the budget, or one that another process runs.
    Exception: what the benchmark or `algorithm.check` raises; a later call
      continues the search.
  """
  check_search(search)
  check_key(key)
  if problem is None:
    problem = search.problem
  check_search(search._replace(problem=problem))
  _check_same_space(search.problem, problem)
  if search.algorithm.fidelity is not None:
    raise ValueError(
      "A search of several fidelities is one compiled program; use run or "
      "sweep, and a surrogate that can be compiled."
    )
  driver.check_budget(
    search.algorithm, problem, budget=search.budget, warm_start=warm_start
  )
  run = functools.partial(_run, key, search, problem, warm_start, on_round)
  if directory is None:
    return run(None)
  saved = SavedSearch(directory, problem, warm_start)
  with saved.claimed():
    return run(saved)


def _run(
  key: Key,
  search: Search,
  problem: Problem,
  warm_start: WarmStart | None,
  on_round: Callable[[int, int], None] | None,
  saved: SavedSearch | None,
) -> Result:
  """`run_on_host` of what has been checked and claimed."""
  algorithm, budget, params = search.algorithm, search.budget, search.params
  init_key, design_key, search_key = jax.random.split(key, 3)
  init, ask, tell = algorithm.init, algorithm.ask, algorithm.tell
  if not algorithm.on_host:
    init, ask, tell = jax.jit(init), jax.jit(ask), jax.jit(tell)
  ledger = HostLedger(problem, budget, warm_start)
  inner = init(init_key, params)
  rounds: list[Trace] = []
  infos: list[Any] = []
  if saved is not None and saved.exists():
    inner, rounds, leaves = saved.load(search_key, inner)
    ledger.restore(rounds, saved.path)
    infos = restore_infos(leaves, algorithm, inner, rounds, params)
  else:
    proposal = driver.first_proposal(design_key, algorithm, problem, warm_start)
    if proposal.valid.shape[0] > 0:
      evaluation, rows = ledger.evaluate(proposal)
      compiled = algorithm._replace(tell=tell)
      inner, _ = driver.tell_design(
        compiled, problem, inner, proposal, evaluation, params
      )
      design = traces.in_rounds(rows, algorithm.batch_size)
      rounds = [
        Trace(*row) for row in zip(*jax.device_get(design), strict=True)
      ]
    if saved is not None:
      saved.save(search_key, inner, rounds, infos)
  while len(infos) < search.num_rounds and ledger.charged < budget:
    ask_key = jax.random.fold_in(search_key, len(infos))
    proposal, asked = ask(ask_key, inner, params)
    driver.check_proposal(proposal, algorithm, problem)
    if algorithm.check is not None:
      algorithm.check(asked)
    evaluation, rows = ledger.evaluate(proposal)
    inner, info = tell(asked, proposal, evaluation, params)
    rounds.append(jax.device_get(rows))
    infos.append(jax.device_get(info))
    if saved is not None:
      saved.save(search_key, inner, rounds, infos)
    if on_round is not None:
      on_round(len(infos), ledger.charged)
  return Result(
    trace=traces.stack(rounds),
    info=traces.stack(infos) if infos else None,
    state=SearchState(inner, ledger.state, search_key, jnp.int32(len(infos))),
  )


def _check_same_space(ours: Problem, theirs: Problem) -> None:
  if ours.space.cardinalities != theirs.space.cardinalities or (
    ours.space.name != theirs.space.name
  ):
    raise ValueError(
      f"problem must be over the space {ours.space.name} of the search, got "
      f"{theirs.space.name}."
    )
