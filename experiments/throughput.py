"""Measures speed: searches and queries per second, compile time and memory.

Usage:
  python -m experiments.throughput --benchmark=synthetic --seeds=1,64,1024
  python -m experiments.throughput --populations=30,1000,100000
  python -m experiments.throughput --benchmark=nasbench201/cifar10 \
    --algorithm=optiproxy --budget=100 --seeds=1,64 --populations= --parts=64

A sweep over the number of seeds of complete searches, by default the published
EDNAG (30 individuals, 99 steps); one over the size of the population for one
generation of it (denoise, decode, evaluate, select) in the form with linear
memory; and the parts of one round of OptiProxy-NAS (fit the proxy, search and
sample through it, all of `ask`), for so many searches side by side. Every line
runs in a process of its own, so that the peak memory is its own. Writes
throughput.json, throughput.png and prints a table.
"""

from collections.abc import Sequence
import json
import math
import pathlib
import subprocess
import sys
import time
from typing import Any

from absl import flags
import jax
import jax.numpy as jnp

from experiments import common
from nagjax import files
from nagjax import registry
from nagjax import search
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import optiproxy
from nagjax.problem import Problem

OFFICIAL_SECONDS = {"ednag": 1.65, "optiproxy": 85.0}
"""One search of the official program on NAS-Bench-201, one CPU thread; of the
85 to 172 seconds that OptiProxy-NAS takes for 100 queries, the fewest."""

PARTS = ("fit", "generate", "ask")

_FLAGS = flags.FlagValues()
_BENCHMARK = flags.DEFINE_string(
  "benchmark", "synthetic", "What is searched.", flag_values=_FLAGS
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Directory of benchmark files.", flag_values=_FLAGS
)
_ALGORITHM = flags.DEFINE_string(
  "algorithm", "ednag", "What searches.", flag_values=_FLAGS
)
_VARIANT = flags.DEFINE_string(
  "variant",
  None,
  "Its variant; by default the published one of ednag, ours of others.",
  flag_values=_FLAGS,
)
_BUDGET = flags.DEFINE_integer(
  "budget",
  None,
  "Queries of a search; all rows if not set.",
  1,
  flag_values=_FLAGS,
)
_SEEDS = flags.DEFINE_list(
  "seeds", ["1", "64", "1024", "4096"], "Sweep sizes.", flag_values=_FLAGS
)
_POPULATIONS = flags.DEFINE_list(
  "populations",
  ["30", "1000", "10000"],
  "Sizes of one generation; 100000 takes minutes on a CPU.",
  flag_values=_FLAGS,
)
_PARTS = flags.DEFINE_list(
  "parts", [], "Searches side by side of a round.", flag_values=_FLAGS
)
_BATCH_SIZE_SEEDS = flags.DEFINE_integer(
  "batch_size_seeds", 256, "Searches of a chunk.", flag_values=_FLAGS
)
_WORKDIR = flags.DEFINE_string(
  "workdir", "results/throughput", "Where results go.", flag_values=_FLAGS
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replaces earlier results.", flag_values=_FLAGS
)
_MEASURE = flags.DEFINE_string(
  "measure", None, "Internal: one line, as JSON.", flag_values=_FLAGS
)


def main(argv: Sequence[str]) -> int:
  """Runs every measurement, or with --measure the one that it names."""
  return common.run_main(lambda: _run(list(argv)), ValueError)


def _run(argv: list[str]) -> None:
  _FLAGS.unparse_flags()
  _FLAGS(argv)
  if _MEASURE.value is not None:
    print(json.dumps(_measure(json.loads(_MEASURE.value))))
    return
  common.require_extra("matplotlib")
  workdir = pathlib.Path(_WORKDIR.value)
  target = workdir / "throughput.json"
  if target.exists() and not _OVERWRITE.value:
    raise common.UsageError(
      f"{target} exists: choose another --workdir or pass --overwrite."
    )
  tasks = [{"kind": "seeds", "size": n} for n in _sizes("seeds", _SEEDS.value)]
  tasks += [
    {"kind": "population", "size": n}
    for n in _sizes("populations", _POPULATIONS.value)
  ]
  tasks += [
    {"kind": part, "size": n}
    for n in _sizes("parts", _PARTS.value)
    for part in PARTS
  ]
  with common.user_errors("--workdir: "):
    workdir.mkdir(parents=True, exist_ok=True)
  rows = []
  for task in tasks:
    rows.append(_in_process(argv, task))
    print(_line(rows[-1]), flush=True)
  with files.atomic_path(target) as path:
    path.write_text(json.dumps(rows, indent=2) + "\n")
  _plot(rows, workdir / "throughput.png")
  print(f"Wrote {target} and throughput.png.")


def _sizes(flag: str, texts: list[str]) -> list[int]:
  texts = [text for text in texts if text]
  if not all(text.isdigit() and int(text) > 0 for text in texts):
    raise common.UsageError(
      f"--{flag} takes positive numbers, got {','.join(texts)!r}."
    )
  return [int(text) for text in texts]


def _in_process(argv: list[str], task: dict[str, Any]) -> dict[str, Any]:
  command = [sys.executable, "-m", "experiments.throughput", *argv[1:]]
  run = subprocess.run(
    [*command, f"--measure={json.dumps(task)}"],
    capture_output=True,
    text=True,
    check=False,
  )
  if run.returncode != 0:
    reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
    raise common.UsageError(f"Measuring {task} failed: {reason}")
  return json.loads(run.stdout.strip().splitlines()[-1])


def _measure(task: dict[str, Any]) -> dict[str, Any]:
  devices = common.start_jax()
  if task["kind"] == "seeds":
    measured = _measure_seeds(task["size"])
  elif task["kind"] == "population":
    measured = _measure_population(task["size"])
  else:
    measured = _measure_part(task["kind"], task["size"])
  return {
    **task,
    **measured,
    "peak_memory_mb": common.peak_memory_mb(devices),
    "device": common.describe_devices(devices),
    "versions": common.versions(),
  }


def _measure_seeds(num_seeds: int) -> dict[str, float]:
  """A sweep of complete searches."""
  benchmark = registry.make_benchmark(_BENCHMARK.value, _DATA_DIR.value)
  name = _ALGORITHM.value
  variant = "reference" if name == "ednag" else ""
  if _VARIANT.value is not None:
    variant = _VARIANT.value
  budget = _BUDGET.value or benchmark.num_rows
  if budget is None:
    raise ValueError(f"{benchmark.name} has no rows: set --budget.")
  made = registry.make_search(name, benchmark, budget=budget, variant=variant)
  began = time.process_time()
  result = search.sweep(
    jax.random.split(jax.random.key(0), num_seeds),
    made.algorithm,
    Problem(benchmark),
    made.params,
    budget=budget,
    num_rounds=made.num_rounds,
    batch_size_seeds=_BATCH_SIZE_SEEDS.value,
  )
  # Compilation included: seconds of all threads.
  cpu_seconds = time.process_time() - began
  lookups = result.trace.status.size
  return {
    "compile_seconds": result.compile_seconds,
    "run_seconds": result.run_seconds,
    "searches_per_second": num_seeds / result.run_seconds,
    "queries_per_second": lookups / result.run_seconds,
    "cpu_seconds_per_search": cpu_seconds / num_seeds,
    "times_official": (
      num_seeds * OFFICIAL_SECONDS.get(name, math.nan) / result.run_seconds
    ),
    "program_mb": result.program_bytes / 1e6,
  }


def _measure_population(size: int) -> dict[str, float]:
  """One generation of a large population, memory linear in its size."""
  benchmark = registry.make_benchmark(_BENCHMARK.value, _DATA_DIR.value)
  budget = benchmark.num_rows
  assert budget is not None
  problem = Problem(benchmark)
  config = ednag_reference.Config(
    population_size=size, block_size=min(size, 256), gumbel=True
  )
  algorithm = ednag_reference.ednag_reference(benchmark.space, config)

  def generation(state, problem):
    return search.advance(
      state, algorithm, problem, (), budget=budget, num_rounds=1
    )[0]

  state, _ = search.start(
    jax.random.key(0), algorithm, problem, (), budget=budget
  )
  # Round 0 only evaluates the start: measure a later generation, from the
  # middle of a search.
  began = time.perf_counter()
  compiled = jax.jit(generation).lower(state, problem).compile()
  compile_seconds = time.perf_counter() - began
  state = state._replace(
    algorithm=state.algorithm._replace(
      step=jnp.int32(config.num_steps // 2),
      accuracy=jnp.linspace(0.0, 90.0, size),
    )
  )
  began = time.perf_counter()
  jax.block_until_ready(compiled(state, problem))
  run_seconds = time.perf_counter() - began
  return {
    "compile_seconds": compile_seconds,
    "run_seconds": run_seconds,
    "searches_per_second": 1 / run_seconds,
    "queries_per_second": size / run_seconds,
  }


def _measure_part(part: str, num_searches: int) -> dict[str, float]:
  """One part of a round of OptiProxy-NAS, from the middle of a search."""
  benchmark = registry.make_benchmark(_BENCHMARK.value, _DATA_DIR.value)
  budget = _BUDGET.value or 100
  space = benchmark.space
  made = registry.make_search("optiproxy", benchmark, budget=budget)
  config, algorithm = made.config, made.algorithm
  functions = {
    "fit": lambda key, state: optiproxy.fit(key, state, space, config),
    "generate": lambda key, state: optiproxy.generate(
      key, state, space, config
    ),
    "ask": lambda key, state: algorithm.ask(key, state, ()),
  }
  keys = jax.random.split(jax.random.key(0), num_searches)

  def middle(key):
    state, _ = search.start(
      key,
      algorithm,
      Problem(benchmark),
      (),
      budget=budget,
      prior=search.Prior(space.sample(key, budget // 2)),
    )
    return state.algorithm

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
    "queries_per_second": num_searches * config.batch_size / run_seconds,
  }


def _line(row: dict[str, Any]) -> str:
  what = f"{row['size']:>7} {row['kind']:<10}"
  text = (
    f"{what} compile {row['compile_seconds']:6.1f} s  "
    f"run {row['run_seconds']:8.2f} s  "
    f"{row['queries_per_second']:12.0f} look-ups/s  "
    f"peak {row['peak_memory_mb']:6.0f} MB"
  )
  if row["kind"] == "seeds":
    text += (
      f"  {row['searches_per_second']:8.1f} searches/s = "
      f"{row['times_official']:.0f} x official, "
      f"{row['cpu_seconds_per_search']:.2f} CPU s each"
    )
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


if __name__ == "__main__":
  common.run_program(main)
