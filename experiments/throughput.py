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
an evaluation that was asked for, be it charged, repeated or denied. The limit
beside a search's CPU seconds is that of its arithmetic: its floating-point
operations at the speed of a large product of matrices on one core, or on one
accelerator. Writes throughput.json, throughput.png and prints a table.

--preset=accelerator measures in 8 minutes what an accelerator is for: sweeps of
1 to 1,048,576 searches of the published EDNAG and of the four systems, a
generation of a million individuals, samples of the published score network in
bfloat16 and steps of its training. A size that would take longer than what is
left is left out. On a CPU all sizes are small.
"""

from collections.abc import Callable
from collections.abc import Sequence
import json
import math
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from nagjax import files
from nagjax import registry
from nagjax import search
from nagjax.problem import Problem

from .support import flags
from .support import machine
from .support import outputs
from .support import speed
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import require_extra

DEFAULTS = ("ednag", "optiproxy", "agnet", "diffusionnag")
"""Whose sweeps the preset measures, beside the published EDNAG's."""

PRESET_MINUTES = 8

RATES = {
  "searches_per_second": "searches/s",
  "lookups_per_second": "look-ups/s",
  "samples_per_second": "samples/s",
  "steps_per_second": "steps/s",
}
"""Units of what a row may have."""

RECORD = "throughput.json"
"""Is written last."""

_VARIANT = "Its variant; by default the published one of ednag, ours of others."
_OFFICIAL = (
  "Seconds of one search of a published program on this machine: how many times"
  " as many searches run here is printed beside it."
)
_PRESET = (
  "What is measured in the place of --algorithm, --seeds, --populations and"
  " --parts."
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
  if values.preset is None:
    seconds, tasks = math.inf, _tasks(values)
    with user_errors():
      _plan(tasks[0], values)
  else:
    # A process of its own: this one must not hold an accelerator.
    found = _in_process(flags.command(values), {"kind": "devices"})
    seconds, tasks = 60 * PRESET_MINUTES, preset_tasks(found["accelerator"])
  ends = time.monotonic() + seconds
  with outputs.claimed_workdir(
    values.workdir, [RECORD], overwrite=values.overwrite
  ) as workdir:
    rows: list[dict[str, Any]] = []
    for task in tasks:
      if too_long(task, rows, ends - time.monotonic()):
        print(f"{_what(task)} left out: it would take too long.", flush=True)
        continue
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
  variant = "reference" if name == "ednag" else ""
  if values.variant is not None:
    variant = values.variant
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
  found = [
    *(("seeds", n) for n in sizes["seeds"]),
    *(("population", n) for n in sizes["populations"]),
    *((part, n) for n in sizes["parts"] for part in speed.PARTS),
  ]
  which = {"algorithm": name, "variant": variant, "budget": values.budget}
  return [{"kind": kind, "size": size, **which} for kind, size in found]


def preset_tasks(on_accelerator: bool) -> list[dict[str, Any]]:
  """What `--preset=accelerator` measures; small sizes on a CPU."""
  seeds = [1, 1024, 65_536, 1_048_576] if on_accelerator else [1, 8]
  searches = [
    ("ednag", "reference", None if on_accelerator else 300),
    *((name, "", 100 if on_accelerator else 30) for name in DEFAULTS),
  ]
  rest = [
    ("population", 1_000_000 if on_accelerator else 1000),
    ("samples", 65_536 if on_accelerator else 64),
    ("training", 256 if on_accelerator else 16),
  ]
  names = "algorithm", "variant", "budget"
  return [
    *(
      {"kind": "seeds", "size": size, **dict(zip(names, which, strict=True))}
      for which in searches
      for size in seeds
    ),
    *(
      {"kind": kind, "size": size}
      | dict(zip(names, ("ednag", "reference", None), strict=True))
      for kind, size in rest
    ),
  ]


def too_long(
  task: dict[str, Any], rows: Sequence[dict[str, Any]], seconds_left: float
) -> bool:
  """Whether a task will not end in time, by the last smaller one of its kind.

  Args:
    task: what is to be measured.
    rows: what was.
    seconds_left: until the preset ends.
  """
  same = ("kind", "algorithm", "variant")
  before = [row for row in rows if all(row[k] == task[k] for k in same)]
  if not before:
    return seconds_left <= 0
  last = before[-1]
  growth = task["size"] / last["size"]
  needed = last["compile_seconds"] + growth * last["run_seconds"]
  return needed > seconds_left


def _plan(task: dict[str, Any], values: flags.Values) -> search.Search:
  """What is measured of a search.

  Raises:
    FileNotFoundError: if the benchmark's file is absent.
    ValueError: if a name is unknown, or --budget is needed and not there.
  """
  benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
  budget = task["budget"] or benchmark.num_rows
  if task["kind"] in speed.PARTS:
    budget = task["budget"] or 100
  if budget is None:
    raise ValueError(f"{benchmark.name} has no rows: set --budget.")
  return registry.make_search(
    task["algorithm"],
    Problem(benchmark),
    budget=budget,
    variant=task["variant"],
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
  if task["kind"] == "devices":
    return {"accelerator": devices[0].platform != "cpu"}
  made, size = _plan(task, values), task["size"]
  measures: dict[str, Callable[[], dict[str, Any]]] = {
    "seeds": lambda: speed.sweep(
      size,
      made,
      batch_size_seeds=values.batch_size_seeds,
      official_seconds=values.official_seconds,
    ),
    "population": lambda: speed.generation(size, made),
    "samples": lambda: speed.samples(size, made.problem.space),
    "training": lambda: speed.training(size, made.problem.space),
  }
  if task["kind"] in speed.PARTS:
    measured = speed.part(task["kind"], size, made)
  else:
    measured = measures[task["kind"]]()
  return {
    **task,
    "benchmark": values.benchmark,
    **measured,
    "peak_memory_mb": machine.peak_memory_mb(devices),
    "device": machine.describe_devices(devices),
    **machine.describe(),
    "versions": machine.versions(),
  }


def _what(task: dict[str, Any]) -> str:
  name = ":".join(filter(None, (task["algorithm"], task["variant"])))
  return f"{name:<16} {task['size']:>8} {task['kind']:<10}"


def _line(row: dict[str, Any]) -> str:
  text = (
    f"{_what(row)} compile {row['compile_seconds']:6.1f} s  "
    f"run {row['run_seconds']:8.2f} s  "
    f"peak {row['peak_memory_mb']:6.0f} MB"
  )
  for rate, unit in RATES.items():
    if rate in row:
      text += f"  {row[rate]:.5g} {unit}"
  if row["kind"] == "seeds":
    text += f"  {row['cpu_seconds_per_search']:.2g} CPU s each"
    text += f" (limit {row['limit_seconds_per_search']:.2g} s)"
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
    for name in dict.fromkeys((r["algorithm"], r["variant"]) for r in chosen):
      own = [r for r in chosen if (r["algorithm"], r["variant"]) == name]
      axis.loglog(
        [row["size"] for row in own],
        [row[column] for row in own],
        "o-",
        label=":".join(filter(None, name)),
      )
      axis.legend()
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
    flags.choice("preset", None, ["accelerator"], _PRESET),
    flags.text("measure", None, "Internal: one line, as JSON."),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
