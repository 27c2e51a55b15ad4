"""From traces to numbers and files, and the merging of runs.

Everything that a file says is computed here from a `Record` (what was asked)
and a `Trace` (what happened), so that a merged run and a run in one go are the
same. Means of objectives are over the seeds that found something feasible.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
from typing import Any
from typing import NamedTuple
import zipfile
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from nagjax import files
from nagjax import statistics
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import tabular
from nagjax.problem import Problem
from nagjax.search import Trace
from nagjax.search import sweeping
from nagjax.types import Status

SUMMARY = "summary.json"
TRACE = "trace.npz"
ARCHITECTURES = "architectures.csv"
CURVE = "curve.png"
PARETO = "pareto.png"
FILES = (SUMMARY, TRACE, ARCHITECTURES, CURVE, PARETO)

SUCCESS_TOLERANCE = 1e-3
SUCCESS_QUERIES = (50, 100, 150, 192, 200, 300, 400, 500)
_ROWS_PER_CALL = 2**20
_DAMAGE = (
  *(ValueError, KeyError, TypeError, EOFError, OSError),
  *(zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged `trace.npz` raises."""


class Record(NamedTuple):
  """What one algorithm was asked, and what its sweep took.

  Attributes:
    algorithm, variant, benchmark, objective, constraint, budget, config: see
      `summary.json`.
    prior: number and SHA-256 of the architectures of `--prior`, or None.
    seed_ranges: pairs `[first, end)` of the seeds, increasing.
    compile_seconds, run_seconds, peak_memory_mb, versions, device: likewise.
  """

  algorithm: str
  variant: str
  benchmark: str
  objective: str
  constraint: str | None
  budget: int
  config: dict[str, Any]
  prior: dict[str, Any] | None
  seed_ranges: list[list[int]]
  compile_seconds: float
  run_seconds: float
  peak_memory_mb: float | None
  versions: dict[str, str]
  device: str

  @property
  def name(self) -> str:
    """See `full_name`."""
    return full_name(self.algorithm, self.variant)

  @property
  def num_seeds(self) -> int:
    """Number of searches."""
    return sum(end - first for first, end in self.seed_ranges)


_ASKED = (
  "algorithm variant benchmark objective constraint budget config prior".split()
)
"""Fields of `Record` that runs of one sweep have in common."""


class Optimum(NamedTuple):
  """The best feasible row: its objective and test metric (NaN if none)."""

  objective: float
  test: float


class History(NamedTuple):
  """A trace in order of evaluation, `[S, E]` each.

  Attributes:
    objective: `f32`, -inf where nothing feasible was evaluated.
    test: `f32` the reader's metric.
    charged: `int64` queries charged until after each evaluation.
  """

  objective: np.ndarray
  test: np.ndarray
  charged: np.ndarray


class Found(NamedTuple):
  """The `A` distinct rows that all seeds paid for, best feasible ones first.

  Attributes:
    archs: `int32[A, L]`.
    objective, test: `f32[A]`.
    feasible: `bool[A]`.
    num_seeds: `int[A]` seeds that paid for it.
  """

  archs: np.ndarray
  objective: np.ndarray
  test: np.ndarray
  feasible: np.ndarray
  num_seeds: np.ndarray


def full_name(algorithm: str, variant: str) -> str:
  """Algorithm and variant, as on plots and in `trace.npz`."""
  return f"{algorithm}:{variant}" if variant else algorithm


def tidy(trace: Trace) -> Trace:
  """Clears empty slots and cuts the rounds after all searches have ended.

  What lies there depends on how a sweep was cut into chunks; the rest does not.
  """
  used = np.asarray(trace.status) != Status.EMPTY
  num_rounds = int(np.flatnonzero(used.any(axis=(0, 2))).max(initial=-1)) + 1
  filler = {"status": Status.EMPTY, "objective": -np.inf, "test": np.nan}
  arrays: dict[str, Any] = {}
  for name, value in trace._asdict().items():
    array = np.asarray(value)[:, :num_rounds]
    if name != "charged":
      empty = ~used[:, :num_rounds]
      array = array.copy()
      array[empty] = filler.get(name, 0)
    arrays[name] = array
  return Trace(**arrays)


def history(trace: Trace) -> History:
  """Flattens rounds and slots, and counts queries slot by slot."""
  num_seeds = len(trace.status)

  def flat(array):
    return np.asarray(array).reshape(num_seeds, -1)

  return History(
    objective=flat(np.where(trace.feasible, trace.objective, -np.inf)),
    test=flat(trace.test),
    charged=flat(trace.paid).cumsum(axis=1),
  )


def distinct_rows(trace: Trace, benchmark: Benchmark) -> Found:
  """Collects the distinct rows that were paid for."""
  paid = np.asarray(trace.paid)
  archs = np.asarray(trace.archs)[paid]
  _, first, counts = np.unique(
    _identities(benchmark, archs), return_index=True, return_counts=True
  )
  objective = np.asarray(trace.objective)[paid]
  feasible = np.asarray(trace.feasible)[paid]
  order = np.lexsort((-objective[first], ~feasible[first]))
  first = first[order]
  return Found(
    archs=archs[first],
    objective=objective[first],
    test=np.asarray(trace.test)[paid][first],
    feasible=feasible[first],
    num_seeds=counts[order],
  )


def by_parts(fn: Callable[[jax.Array], Any], archs: np.ndarray) -> Any:
  """Applies `fn` to `[N, L]` architectures in parts; returns host arrays."""
  starts = range(0, max(len(archs), 1), _ROWS_PER_CALL)
  parts = [fn(jnp.asarray(archs[i : i + _ROWS_PER_CALL])) for i in starts]
  return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def summarize(
  record: Record,
  trace: Trace,
  found: Found,
  benchmark: Benchmark,
  optimum: Optimum | None,
) -> dict[str, Any]:
  """Returns one object of `summary.json`; None stands for what is unknown."""
  past = history(trace)
  has_any = np.isfinite(past.objective).any(axis=1)
  position = past.objective.argmax(axis=1)[:, None]
  best = np.take_along_axis(past.objective, position, axis=1)[has_any, 0]
  test = np.take_along_axis(past.test, position, axis=1)[has_any, 0]
  mean, std, low, high = _interval(best)
  test_mean, test_std, _, _ = _interval(test[np.isfinite(test)])
  return {
    "algorithm": record.algorithm,
    "variant": record.variant,
    "benchmark": record.benchmark,
    "objective": record.objective,
    "constraint": record.constraint,
    "num_seeds": record.num_seeds,
    "budget": record.budget,
    "queries_mean": float(trace.paid.sum(axis=(1, 2)).mean()),
    "best_objective_mean": mean,
    "best_objective_std": std,
    "best_objective_ci95": [low, high],
    "best_test_mean": test_mean,
    "best_test_std": test_std,
    "optimum_objective": optimum and optimum.objective,
    "optimum_test": optimum and _or_none(optimum.test),
    **_success(past, record.budget, optimum),
    "feasible_rate": float(has_any.mean()),
    "simulated_gpu_hours_mean": _gpu_hours(record, found, benchmark),
    "compile_seconds": record.compile_seconds,
    "run_seconds": record.run_seconds,
    "searches_per_second": record.num_seeds / record.run_seconds,
    "peak_memory_mb": record.peak_memory_mb,
    "config": record.config,
    "versions": record.versions,
    "device": record.device,
    "prior": record.prior,
    "seed_ranges": record.seed_ranges,
    "feasible_share_mean": _feasible_share(trace),
  }


def _feasible_share(trace: Trace) -> float:
  """Mean over seeds of the share of paid queries that meet every limit."""
  num_paid = trace.paid.sum(axis=(1, 2))
  num_feasible = (trace.paid & trace.feasible).sum(axis=(1, 2))
  return float((num_feasible / np.maximum(num_paid, 1)).mean())


def queries_to_optimum(past: History, optimum: Optimum) -> np.ndarray:
  """Returns `float64[S]`: queries until the optimum is found, inf if never."""
  target = optimum.objective - SUCCESS_TOLERANCE
  return statistics.queries_to_target(past.objective, past.charged, target)


def optimum_of(problem: Problem) -> Optimum | None:
  """Returns the best feasible row, None if the benchmark does not know it."""
  answer = problem.optimum()
  return None if answer is None else Optimum(*answer[:2])


def write_summary(path: pathlib.Path, summaries: Sequence[Mapping]) -> None:
  """Writes `summary.json`."""
  text = json.dumps(list(summaries), indent=2, allow_nan=False)
  with files.atomic_path(path) as temporary:
    temporary.write_text(text + "\n", encoding="utf-8")


def write_traces(path: pathlib.Path, traces: Mapping[str, Trace]) -> None:
  """Writes `trace.npz`: plain names for one algorithm, else with a prefix."""
  arrays = {}
  for name, trace in traces.items():
    prefix = f"{name}/" if len(traces) > 1 else ""
    arrays.update({prefix + k: v for k, v in trace._asdict().items()})
  with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
    np.savez_compressed(file, **arrays)


def read_run(directory: pathlib.Path) -> list[tuple[Record, Trace]]:
  """Reads what `write_summary` and `write_traces` wrote.

  Raises:
    OSError: if there is no summary.
    UsageError: if a file is damaged.
  """
  try:
    text = (directory / SUMMARY).read_text(encoding="utf-8")
    records = [
      Record(**{field: entry[field] for field in Record._fields})
      for entry in json.loads(text)
    ]
    seeds = [record.num_seeds for record in records]
  except (ValueError, KeyError, TypeError) as error:
    raise common.UsageError(
      f"{directory / SUMMARY} is damaged or of another version: {error!r}."
    ) from error
  if not records:
    raise common.UsageError(f"{directory / SUMMARY} holds no algorithm.")
  runs = []
  try:
    with (
      open(directory / TRACE, "rb") as opened,  # np.load leaves it open.
      np.load(opened, allow_pickle=False) as file,
    ):
      for record, num_seeds in zip(records, seeds, strict=True):
        prefix = f"{record.name}/" if len(records) > 1 else ""
        trace = Trace(*(file[prefix + field] for field in Trace._fields))
        if {len(array) for array in trace} != {num_seeds}:
          raise ValueError(f"expected {num_seeds} seeds")
        runs.append((record, trace))
  except _DAMAGE as error:
    raise common.UsageError(
      f"{directory / TRACE} is damaged or of another run: {error!r}."
    ) from error
  return runs


def merge(
  runs: Mapping[str, list[tuple[Record, Trace]]],
) -> list[tuple[Record, Trace]]:
  """Combines runs of disjoint seed ranges into the run of all their seeds.

  Args:
    runs: by directory, what `read_run` returned.

  Returns:
    The same for the combined run, algorithms as in the first directory.

  Raises:
    UsageError: if the runs differ in more than their seeds, or share seeds.
  """
  (first_name, first), *others = runs.items()
  for name, run in others:
    if sorted(r.name for r, _ in run) != sorted(r.name for r, _ in first):
      raise common.UsageError(
        f"{first_name} and {name} hold different algorithms."
      )
  merged = []
  for record, _ in first:
    parts = {
      directory: next(part for part in run if part[0].name == record.name)
      for directory, run in runs.items()
    }
    merged.append(_merge_algorithm(parts))
  return merged


def _merge_algorithm(
  parts: Mapping[str, tuple[Record, Trace]],
) -> tuple[Record, Trace]:
  first_name, (first, _) = next(iter(parts.items()))
  records = [record for record, _ in parts.values()]
  for name, (record, _) in parts.items():
    for field in _ASKED:
      ours, theirs = getattr(first, field), getattr(record, field)
      if ours != theirs:
        raise common.UsageError(
          f"{first_name} and {name} differ in {field} of {record.name}: "
          f"{ours!r} and {theirs!r}."
        )
  seeds = np.concatenate([_seeds(record) for record in records])
  distinct, counts = np.unique(seeds, return_counts=True)
  if (counts > 1).any():
    raise common.UsageError(
      f"Runs must have disjoint seeds; {distinct[counts > 1][0]} is in more "
      f"than one of {', '.join(parts)}."
    )
  traces = [trace for _, trace in parts.values()]
  num_rounds = max(trace.status.shape[1] for trace in traces)
  extended = [sweeping.extend(trace, num_rounds) for trace in traces]
  order = np.argsort(seeds)
  arrays: list[Any] = [
    np.concatenate(parts)[order] for parts in zip(*extended, strict=True)
  ]
  peaks = [r.peak_memory_mb for r in records if r.peak_memory_mb is not None]
  record = first._replace(
    seed_ranges=_ranges(distinct),
    compile_seconds=sum(r.compile_seconds for r in records),
    run_seconds=sum(r.run_seconds for r in records),
    peak_memory_mb=max(peaks, default=None),
    versions={
      name: _distinct(r.versions.get(name, "unknown") for r in records)
      for name in first.versions
    },
    device=_distinct(r.device for r in records),
  )
  return record, Trace(*arrays)


def _seeds(record: Record) -> np.ndarray:
  return np.concatenate([np.arange(*bounds) for bounds in record.seed_ranges])


def _ranges(seeds: np.ndarray) -> list[list[int]]:
  """Sorted distinct seeds as pairs `[first, end)`."""
  parts = np.split(seeds, np.flatnonzero(np.diff(seeds) > 1) + 1)
  return [[int(part[0]), int(part[-1]) + 1] for part in parts]


def _distinct(texts) -> str:
  return ", ".join(dict.fromkeys(texts))


def _identities(benchmark: Benchmark, archs: np.ndarray) -> np.ndarray:
  """What is charged once, as one integer for each of `[N, L]`, `[N]`."""
  identities = by_parts(benchmark.identities, archs)
  if identities.ndim == 1:
    return identities
  return common.key_numbers(identities)


def _gpu_hours(
  record: Record, found: Found, benchmark: Benchmark
) -> float | None:
  """Mean hours of training that a search stands for, if the table tells."""
  report = by_parts(benchmark.report, found.archs)
  if tabular.TRAIN_SECONDS not in report:
    return None
  seconds = report[tabular.TRAIN_SECONDS].astype(np.float64)
  return float(np.nansum(seconds * found.num_seeds)) / 3600 / record.num_seeds


def _success(
  past: History, budget: int, optimum: Optimum | None
) -> dict[str, Any]:
  """The keys of `summary.json` that need to know the optimum."""
  if optimum is None:
    keys = ("success_rate", "success_at", "queries_to_optimum_median")
    return dict.fromkeys(keys)
  needed = queries_to_optimum(past, optimum)
  counts = [n for n in sorted({*SUCCESS_QUERIES, budget}) if n <= budget]
  shares = map(float, statistics.success_at(needed, counts))
  return {
    "success_rate": float(np.isfinite(needed).mean()),
    "success_at": dict(zip(map(str, counts), shares, strict=True)),
    "queries_to_optimum_median": statistics.median_queries(needed),
  }


def _interval(values: np.ndarray) -> tuple[float | None, ...]:
  """Mean, std, low and high, None where there is none."""
  if not values.size:
    return (None,) * 4
  mean, std, low, high, _ = statistics.mean_interval(values)
  return tuple(_or_none(value) for value in (mean, std, low, high))


def _or_none(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None
