"""Measures speed: searches and queries per second, compile time and memory.

  python -m experiments.throughput --benchmark=synthetic --seeds=1,64,1024
  python -m experiments.throughput --populations=30,1000,100000
  python -m experiments.throughput --benchmark=nasbench201/cifar10 \
    --algorithm=optiproxy --budget=100 --seeds=1,64 --parts=64

A sweep over the number of seeds of complete searches, by default the published
EDNAG (30 individuals, 99 steps); one over the size of the population for one
generation of it (denoise, decode, evaluate, select) in the form with linear
memory; and the parts of one round of OptiProxy-NAS (fit the proxy, search and
sample through it, all of `ask`), for so many searches side by side. Every line
runs in a process of its own, so that the peak memory is its own. A look-up is
an evaluation that was asked for, be it charged, repeated or denied. Writes
throughput.json, throughput.png and prints a table.
"""

from collections.abc import Sequence
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

from nagjax import files
from nagjax import registry
from nagjax import search
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import surrogate_search
from nagjax.problem import Problem
from nagjax.proposers import gradient
from nagjax.search.driver import SearchState
from nagjax.surrogates import ensemble

from .support import flags
from .support import machine
from .support import outputs
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import require_extra

PARTS = ("fit", "generate", "ask")
RECORD = "throughput.json"
"""Is written last."""

_VARIANT = "Its variant; by default the published one of ednag, ours of others."
_OFFICIAL = (
  "Seconds of one search of a published program on this machine: how many times"
  " as many searches run here is printed beside it."
)
_POPULATIONS = (
  "Sizes of one generation of the published EDNAG, for --algorithm=ednag;"
  " 100000 takes minutes on a CPU. By default 30, 1000 and 10000."
)


def _run(values: flags.Values) -> None:
  if values.measure is not None:
    with user_errors("--measure: "):
      task = files.parse_json(values.measure)
    print(json.dumps(_measure(task, values)))
    return
  require_extra("matplotlib")
  # Compilation is measured: programs are kept where that is asked for.
  machine.make_cache(values.compilation_cache_dir or "")
  tasks = _tasks(values)
  with user_errors():
    _plan(values)
  with outputs.claimed_workdir(
    values.workdir, [RECORD], overwrite=values.overwrite
  ) as workdir:
    rows = []
    for task in tasks:
      rows.append(_in_process(flags.command(values), task))
      print(_line(rows[-1]), flush=True)
    _plot(rows, workdir / "throughput.png")
    with files.atomic_path(workdir / RECORD) as path:
      path.write_text(json.dumps(rows, indent=2) + "\n")
  print(f"Wrote {workdir / RECORD} and throughput.png.")


def _tasks(values: flags.Values) -> list[dict[str, Any]]:
  """What is measured, one line of the table each.

  Raises:
    UsageError: if a size is none, or a part is of another algorithm.
  """
  name = values.algorithm
  if values.populations is None:
    populations = ["30", "1000", "10000"] if name == "ednag" else []
  else:
    populations = values.populations
  sizes = {
    "seeds": _sizes("seeds", values.seeds),
    "populations": _sizes("populations", populations),
    "parts": _sizes("parts", values.parts),
  }
  for flag, owner in (("populations", "ednag"), ("parts", "optiproxy")):
    if sizes[flag] and name != owner:
      raise UsageError(
        f"--{flag} measures {owner}; leave it out with --algorithm={name}."
      )
  return [
    *({"kind": "seeds", "size": n} for n in sizes["seeds"]),
    *({"kind": "population", "size": n} for n in sizes["populations"]),
    *({"kind": part, "size": n} for n in sizes["parts"] for part in PARTS),
  ]


def _plan(values: flags.Values) -> search.Search:
  """What the flags name.

  Raises:
    FileNotFoundError: if the benchmark's file is absent.
    ValueError: if a name is unknown, or --budget is needed and not there.
  """
  benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
  name = values.algorithm
  variant = "reference" if name == "ednag" else ""
  if values.variant is not None:
    variant = values.variant
  budget = values.budget or benchmark.num_rows
  if budget is None:
    raise ValueError(f"{benchmark.name} has no rows: set --budget.")
  return registry.make_search(
    name,
    Problem(benchmark),
    budget=budget,
    variant=variant,
    data_dir=values.data_dir,
  )


def _sizes(flag: str, texts: Sequence[str]) -> list[int]:
  texts = [text for text in texts if text]
  if not all(text.isdigit() and int(text) > 0 for text in texts):
    raise UsageError(
      f"--{flag} takes positive numbers, got {','.join(texts)!r}."
    )
  return [int(text) for text in texts]


def _in_process(given: list[str], task: dict[str, Any]) -> dict[str, Any]:
  # The package has another name where it is installed.
  module = f"{(__package__ or '').partition('.')[0]}.throughput"
  command = [sys.executable, "-m", module, *given]
  run = subprocess.run(
    [*command, f"--measure={json.dumps(task)}"],
    capture_output=True,
    text=True,
    check=False,
    # Else the last line of an error is advice on this variable.
    env=os.environ | {"JAX_TRACEBACK_FILTERING": "off"},
  )
  if run.returncode != 0:
    reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
    raise UsageError(f"Measuring {task} failed: {reason}")
  return files.parse_json(run.stdout.strip().splitlines()[-1])


def _measure(task: dict[str, Any], values: flags.Values) -> dict[str, Any]:
  devices = machine.start_jax(values.compilation_cache_dir or "")
  if task["kind"] == "seeds":
    measured = _measure_seeds(task["size"], values)
  elif task["kind"] == "population":
    measured = _measure_population(task["size"], _plan(values))
  else:
    measured = _measure_part(task["kind"], task["size"], values)
  return {
    **task,
    "algorithm": values.algorithm,
    "variant": values.variant,
    "benchmark": values.benchmark,
    "budget": values.budget,
    **measured,
    "peak_memory_mb": machine.peak_memory_mb(devices),
    "device": machine.describe_devices(devices),
    **machine.describe(),
    "versions": machine.versions(),
  }


def _measure_seeds(num_seeds: int, values: flags.Values) -> dict[str, Any]:
  """A sweep of complete searches."""
  made = _plan(values)
  began = time.process_time()
  result = search.sweep(
    jax.random.split(jax.random.key(0), num_seeds),
    made,
    batch_size_seeds=values.batch_size_seeds,
    keeps_state=False,
  )
  # Compilation included: seconds of all threads.
  cpu_seconds = time.process_time() - began
  lookups = result.trace.status.size
  official = values.official_seconds
  return {
    "compile_seconds": result.compile_seconds,
    "run_seconds": result.run_seconds,
    "searches_per_second": num_seeds / result.run_seconds,
    "lookups_per_second": lookups / result.run_seconds,
    "cpu_seconds_per_search": cpu_seconds / num_seeds,
    "times_official": official and num_seeds * official / result.run_seconds,
    "program_mb": result.program_bytes / 1e6,
  }


def _measure_population(size: int, made: search.Search) -> dict[str, float]:
  """One generation of a large population, memory linear in its size."""
  config = ednag_reference.Config(
    population_size=size, block_size=min(size, 256), gumbel=True
  )
  algorithm = ednag_reference.ednag_reference(made.problem.space, config)
  made = made._replace(algorithm=algorithm, params=algorithm.params)

  def generation(state: SearchState, problem: Problem) -> SearchState:
    return search.advance(
      state, made._replace(problem=problem), num_rounds=1
    ).state

  state = search.start(jax.random.key(0), made).state
  # Round 0 only evaluates the start: measure a later generation, from the
  # middle of a search.
  began = time.perf_counter()
  compiled = jax.jit(generation).lower(state, made.problem).compile()
  compile_seconds = time.perf_counter() - began
  state = state._replace(
    algorithm=state.algorithm._replace(
      step=jnp.int32(config.num_steps // 2),
      accuracy=jnp.linspace(0.0, 90.0, size),
    )
  )
  began = time.perf_counter()
  jax.block_until_ready(compiled(state, made.problem))
  run_seconds = time.perf_counter() - began
  return {
    "compile_seconds": compile_seconds,
    "run_seconds": run_seconds,
    "searches_per_second": 1 / run_seconds,
    "lookups_per_second": size / run_seconds,
  }


def _measure_part(
  part: str, num_searches: int, values: flags.Values
) -> dict[str, float]:
  """One part of a round of OptiProxy-NAS, from the middle of a search."""
  benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
  budget, space = values.budget or 100, benchmark.space
  made = registry.make_search("optiproxy", Problem(benchmark), budget=budget)
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
    begun = search.WarmStart(space.sample(key, budget // 2))
    return search.start(key, made, warm_start=begun).state.algorithm

  states = jax.block_until_ready(jax.jit(jax.vmap(middle))(keys))
  began = time.perf_counter()
  program = jax.jit(jax.vmap(functions[part])).lower(keys, states).compile()
  compile_seconds = time.perf_counter() - began
  jax.block_until_ready(program(keys, states))
  began = time.perf_counter()
  jax.block_until_ready(program(keys, states))
  run_seconds = time.perf_counter() - began
  return {
    "compile_seconds": compile_seconds,
    "run_seconds": run_seconds,
    "searches_per_second": num_searches / run_seconds,
    "lookups_per_second": num_searches * config.batch_size / run_seconds,
  }


def _line(row: dict[str, Any]) -> str:
  what = f"{row['size']:>7} {row['kind']:<10}"
  text = (
    f"{what} compile {row['compile_seconds']:6.1f} s  "
    f"run {row['run_seconds']:8.2f} s  "
    f"{row['lookups_per_second']:12.0f} look-ups/s  "
    f"peak {row['peak_memory_mb']:6.0f} MB"
  )
  if row["kind"] == "seeds":
    text += (
      f"  {row['searches_per_second']:8.1f} searches/s, "
      f"{row['cpu_seconds_per_search']:.2f} CPU s each"
    )
    if row["times_official"] is not None:
      text += f", {row['times_official']:.0f} x official"
  return text


def _plot(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
  from matplotlib import figure as mpl  # Optional: the extra `experiments`.

  figure = mpl.Figure(figsize=(9, 3.5), layout="constrained")
  axes = figure.subplots(1, 2)
  panels = (
    ("seeds", "searches_per_second", "searches at once", "searches per second"),
    ("population", "run_seconds", "population", "seconds of one generation"),
  )
  for axis, (kind, column, x_label, y_label) in zip(axes, panels, strict=True):
    chosen = [row for row in rows if row["kind"] == kind]
    axis.loglog(
      [row["size"] for row in chosen], [row[column] for row in chosen], "o-"
    )
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.grid(alpha=0.3)
  with files.atomic_path(path) as temporary:
    figure.savefig(temporary, dpi=150)


main = binary(
  _run,
  [
    *flags.common(
      "data_dir",
      "overwrite",
      "batch_size_seeds",
      benchmark="synthetic",
      workdir="results/throughput",
      budget=(None, "Queries of a search; all rows if not set."),
    ),
    flags.text("algorithm", "ednag", "What searches."),
    flags.text("variant", None, _VARIANT),
    flags.items("seeds", ["1", "64", "1024", "4096"], "Sweep sizes."),
    flags.items("populations", None, _POPULATIONS),
    flags.items("parts", [], "Searches side by side of a round."),
    flags.number("official_seconds", None, _OFFICIAL),
    flags.text("measure", None, "Internal: one line, as JSON."),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
