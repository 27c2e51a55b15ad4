"""Runs the counterparts of published numbers, and keeps what they gave.

A result is what one command printed, in numbers: `Results` maps commands to
dictionaries that JSON can hold. Every `[mean, std, low, high]` has the 95 %
interval of the mean over seeds; null is unknown, of results that were copied
from older notes.
"""

from collections.abc import Sequence
import functools
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import surrogate
from nagjax.problem import Problem

from . import machine
from . import planning
from . import records
from . import results
from .errors import UsageError
from .errors import user_errors
from .papers.base import Run

Result = dict[str, Any]
Results = dict[str, Result]

QUICK_SEEDS = 3
QUICK_BUDGET = 30
CACHE = "compilation_cache_dir"
STAND_IN = "digits"
"""The benchmark of quick runs whose own is not there."""

_KEPT = ("algorithm", "variant", "set", "surrogate", "proposer", "acquisition")
"""Flags that every benchmark has; the others name columns of one."""
_QUICK_POOL = {"num_generated": "20", "num_train": "12"}
_READ_AT = (
  *(1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 64, 75, 96, 100, 125, 150, 192, 200),
  *(250, 300, 400, 500),
)
"""Queries at which the best so far is kept."""


class Planned(NamedTuple):
  """A run, ready to start.

  Attributes:
    binary: which one runs.
    arguments: its flags.
    problem: what it asks.
    notes: in what it differs from the paper, by the table that is there.
  """

  binary: str
  arguments: list[str]
  problem: Problem
  notes: list[str]

  @property
  def command(self) -> str:
    """As it is typed; under it the result is kept."""
    return command_of(self.binary, self.arguments)


def command_of(binary: str, arguments: Sequence[str]) -> str:
  """The command line of a run."""
  return f"python -m experiments.{binary} {shlex.join(arguments)}"


def declared(run: Run) -> str:
  """The command of a run where nothing changes it."""
  plan = [f"--num_seeds={run.num_seeds}", *run.command.split()]
  benchmark = [part for part in plan if part.startswith("--benchmark=")]
  rest = [part for part in plan if part not in benchmark]
  return command_of(run.binary, [*benchmark, *rest])


def plan(
  run: Run,
  data_dir: str | None,
  *,
  num_seeds: int | None = None,
  quick: bool = False,
) -> Planned:
  """Finds the table of a run, and what that changes.

  Args:
    run: as the paper's module declares it.
    data_dir: where tables are.
    num_seeds: at most so many searches.
    quick: whether a few searches of a few queries are enough, on another table
      if its own is not there.

  Raises:
    UsageError: if there is no such table, or it lacks a column.
  """
  given = [part.split("=", 1) for part in run.command.split()]
  name = next(value for flag, value in given if flag == "--benchmark")
  notes = []
  try:
    benchmark, name = _benchmark(name, data_dir)
  except UsageError:
    if not quick:
      raise
    notes.append(f"quick: {STAND_IN} in the place of {name}")
    benchmark, name = _benchmark(STAND_IN, None)
    given = [pair for pair in given if pair[0].removeprefix("--") in _KEPT]
  seeds = min(run.num_seeds, num_seeds or run.num_seeds)
  if quick:
    seeds = min(seeds, QUICK_SEEDS)
    given = _quick(given, run.binary)
  changed = {"--benchmark": name, "--num_seeds": str(seeds)}
  given = [pair for pair in given if pair[0] not in changed]
  values: dict[str, list[Any]] = {
    flag: [p[1] for p in given if p[0] == flag] for flag, *_ in given
  }
  best = f"{benchmark.objective}_best"
  columns = getattr(benchmark, "queried", {})
  if "--objective" not in values and best in columns:
    # The best over the epochs, where every architecture has one.
    if np.isfinite(np.asarray(columns[best])).all():
      changed["--objective"] = best
      values["--objective"] = [best]
  with user_errors(f"{name}: "):
    problem = Problem(
      benchmark,
      tuple(values.get("--objective", ())),
      tuple(values.get("--constraint", ())),
    )
  arguments = [
    "=".join(pair) for pair in (*changed.items(), *map(tuple, given))
  ]
  return Planned(
    run.binary, arguments, problem, [*notes, *differences(problem, run)]
  )


def differences(problem: Problem, run: Run) -> list[str]:
  """What a table makes different from the paper, in words."""
  benchmark = problem.benchmark
  name = problem.objective_names[0]
  notes = []
  if run.figure == "test" and benchmark.test is None:
    notes.append("validation accuracies, where the paper has the test's")
  elif run.figure == "test" and name.endswith("test_accuracy"):
    notes.append("searched by test accuracy, as there is no other")
  if benchmark.name.startswith("transnas") and not name.endswith("best"):
    notes.append("after the last epoch, where the paper has the best epoch")
  if note := planning.part_note(benchmark):
    notes.append(f"a table of {note}")
  if isinstance(benchmark, surrogate.TreeBenchmark):
    num = benchmark.card.num_rows
    by = "by others" if num is None else f"to {num:,} networks"
    notes.append(f"predictions of a surrogate that was fitted {by}")
  return notes


def measure(
  planned: Planned, data_dir: str | None, cache: str | None = None
) -> Result:
  """Runs a command in a process of its own, and reads what it wrote.

  Args:
    planned: what to run.
    data_dir: where tables are.
    cache: where compiled programs are kept.

  Raises:
    UsageError: with the binary's own words, if it refused.
  """
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    places = {"workdir": folder, "data_dir": data_dir, CACHE: cache}
    given = [f"--{k}={v}" for k, v in places.items() if v is not None]
    code, line = start(planned.binary, [*planned.arguments, *given])
    if code == 130:
      raise KeyboardInterrupt
    if code:
      raise UsageError(f"{planned.command}: {line}")
    read = _read_pool if planned.binary == "pool_statistics" else _read_search
    found = read(folder, planned.problem)
  return {**found, "notes": planned.notes, "versions": machine.versions()}


def start(binary: str, arguments: Sequence[str]) -> tuple[int, str]:
  """Runs `python -m experiments.BINARY`; its progress stays visible."""
  package = __name__.split(".")[0]
  command = [sys.executable, "-m", f"{package}.{binary}", *arguments]
  process = subprocess.Popen(
    command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
  )
  last = ""
  assert process.stderr is not None
  with process:
    for line in process.stderr:
      last = line.strip() or last
      print(line, end="", file=sys.stderr)
  return process.returncode, last


def read_results(path: pathlib.Path) -> Results:
  """What earlier runs kept; nothing if there is no such file.

  Raises:
    files.FileError: if it is damaged.
  """
  if not path.exists():
    return {}
  found = files.read_json(path)
  if not isinstance(found, dict) or not all(
    isinstance(result, dict) for result in found.values()
  ):
    raise files.FileError(f"{path}: expected results by command.")
  return found


def write_results(path: pathlib.Path, found: Results) -> None:
  """Writes results, a line each."""
  lines = [
    f"{json.dumps(command)}: {json.dumps(result, allow_nan=False)}"
    for command, result in sorted(found.items())
  ]
  with files.atomic_path(path) as temporary:
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    temporary.write_text(text, encoding="utf-8")


def _quick(given: list[list[str]], binary: str) -> list[list[str]]:
  """The same with few queries, or small pools."""
  if binary == "pool_statistics":
    kept = [p for p in given if p[0].removeprefix("--") not in _QUICK_POOL]
    return [*kept, *([f"--{k}", v] for k, v in _QUICK_POOL.items())]
  budgets = [int(value) for flag, value in given if flag == "--budget"]
  budget = min([QUICK_BUDGET, *budgets])
  kept = [pair for pair in given if pair[0] != "--budget"]
  return [*kept, ["--budget", str(budget)]]


@functools.lru_cache(maxsize=4)
def _load(name: str, data_dir: str | None) -> Benchmark:
  with user_errors():
    return registry.make_benchmark(name, data_dir)


def _benchmark(name: str, data_dir: str | None) -> tuple[Benchmark, str]:
  """A benchmark and its name, without a prefix that its table cannot have."""
  plain = name.removeprefix(registry.TEST_ACCURACY_PREFIX)
  if plain != name and _load(plain, data_dir).test is None:
    name = plain
  return _load(name, data_dir), name


def _spread(values: np.ndarray) -> list[float] | None:
  """Mean, standard deviation and interval; None if there is no value."""
  finite = np.asarray(values, np.float64)[np.isfinite(values)]
  if not len(finite):
    return None
  found = statistics.mean_interval(finite)
  numbers = [found.mean, found.std, found.low, found.high]
  return [
    round(x, 5) if np.isfinite(x) else round(found.mean, 5) for x in numbers
  ]


def _read_search(folder: pathlib.Path, problem: Problem) -> Result:
  """The numbers of one algorithm's `summary.json` and `trace.npz`."""
  (summary,) = files.read_json(folder / records.SUMMARY)
  (run,) = records.read_run(folder)
  past = results.history(run.trace)
  optimum = None if problem.num_tradeoffs else problem.optimum()
  most = int(past.charged[:, -1].max())
  best = statistics.best_so_far(past.objective, past.charged, most)
  position = past.objective.argmax(axis=1)[:, None]
  test = np.take_along_axis(past.test, position, axis=1)[:, 0]
  found: Result = {
    "num_seeds": len(best),
    "queries": round(float(past.charged[:, -1].mean()), 2),
    "objective": _spread(best[:, -1]),
    "test": _spread(test),
    "feasible": round(summary["feasible_share_mean"], 5),
    "seconds": round(summary["run_seconds"] / len(best), 5),
    "device": summary["device"],
    "curve": {
      str(at): _spread(best[:, at - 1]) for at in _READ_AT if at <= most
    },
  }
  if optimum is not None:
    needed = results.queries_to_optimum(past, optimum)
    found["optimum"] = [round(float(x), 5) for x in optimum[:2]]
    found["needed"] = [int(x) if np.isfinite(x) else None for x in needed]
    if not np.isfinite(found["optimum"][1]):
      found["optimum"][1] = None
  if "hypervolume_mean" in summary:
    low, high = summary["hypervolume_ci95"]
    spread = (summary["hypervolume_mean"], summary["hypervolume_std"])
    found["hypervolume"] = [round(x, 6) for x in (*spread, low, high)]
  return found


def _read_pool(folder: pathlib.Path, problem: Problem) -> Result:
  """The numbers of `pool.json`, by source and statistic."""
  del problem
  rows = files.read_json(folder / "pool.json")["rows"]
  found: Result = {"num_seeds": len(rows["guided"])}
  for source, seeds in rows.items():
    for name in seeds[0]:
      values = [np.nan if s[name] is None else s[name] for s in seeds]
      found[f"{source}/{name}"] = _spread(np.array(values, np.float64))
  return found
