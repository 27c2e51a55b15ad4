"""From what happened to numbers.

Everything that `summary.json` says is computed here from a `Record` and a
`Trace`, so that a merged run and a run in one go are the same. Means of
objectives are over the seeds that found something feasible.
"""

from collections.abc import Callable
from collections.abc import Mapping
import csv
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax import files
from nagjax import statistics
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import is_on_host
from nagjax.benchmarks import tabular
from nagjax.problem import Optimum
from nagjax.problem import tolerance
from nagjax.search import CostedTrace
from nagjax.search import Trace

from .records import Record

AnyTrace = Trace | CostedTrace
SUCCESS_QUERIES = (50, 100, 150, 192, 200, 300, 400, 500)
_ROWS_PER_CALL = 2**20
NUM_ARCHITECTURES = 100
"""Rows of `architectures.csv` for each algorithm."""


class History(NamedTuple):
  """A trace in order of evaluation, `[S, E]` each.

  Attributes:
    objective: `f32`, -inf where nothing feasible was evaluated.
    test: `f32` the reader's metric, -inf where there is none.
    charged: `int64` queries charged until after each evaluation; where it has a
      fidelity, the cost of all in units of `1 / scale` full evaluations.
    scale: 1 without fidelities.
  """

  objective: np.ndarray
  test: np.ndarray
  charged: np.ndarray
  scale: int = 1

  def best(self, budget: int) -> np.ndarray:
    """The best after 1, ..., `budget` full evaluations, `f32[S, budget]`."""
    best = statistics.best_so_far(
      self.objective, self.charged, budget * self.scale
    )
    return best[:, self.scale - 1 :: self.scale]


class Found(NamedTuple):
  """The `A` distinct rows that all seeds paid for, best feasible ones first.

  Attributes:
    archs: `int32[A, L]`.
    objective, test: `f32[A]`.
    feasible: `bool[A]`.
    num_seeds: `int[A]` seeds that paid for it.
    objectives, violations: `f32[A, M]`, `f32[A, C]`, see `Answer`.
  """

  archs: np.ndarray
  objective: np.ndarray
  test: np.ndarray
  feasible: np.ndarray
  num_seeds: np.ndarray
  objectives: np.ndarray
  violations: np.ndarray


def is_full(
  trace: AnyTrace, fidelities: Mapping[str, Any] | None
) -> np.ndarray:
  """Which evaluations are full ones, `bool[S, R, B]`.

  Args:
    trace: of the searches.
    fidelities: of `Record`, None if all are.
  """
  if fidelities is None or not isinstance(trace, CostedTrace):
    return np.ones(np.shape(trace.paid), bool)
  return np.asarray(trace.fidelity) == len(fidelities["costs"]) - 1


def history(
  trace: AnyTrace, fidelities: Mapping[str, Any] | None = None
) -> History:
  """Flattens rounds and slots, and counts queries slot by slot.

  Args:
    trace: of the searches; what is not a full evaluation has no value here.
    fidelities: of `Record`.
  """
  num_seeds = len(trace.status)

  def flat(array: ArrayLike) -> np.ndarray:
    return np.asarray(array).reshape(num_seeds, -1)

  counts = trace.feasible & is_full(trace, fidelities)
  paid, scale = trace.paid, 1
  if fidelities is not None and isinstance(trace, CostedTrace):
    paid, scale = trace.cost, max(fidelities["costs"])
  return History(
    objective=flat(np.where(counts, trace.objective, -np.inf)),
    test=flat(trace.test),
    charged=flat(paid).cumsum(axis=1, dtype=np.int64),
    scale=scale,
  )


def distinct_rows(
  trace: AnyTrace,
  benchmark: Benchmark,
  fidelities: Mapping[str, Any] | None = None,
) -> Found:
  """Collects the distinct rows that were paid for, in full evaluations."""
  paid = np.asarray(trace.paid) & is_full(trace, fidelities)
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
    objectives=np.asarray(trace.objectives)[paid][first],
    violations=np.asarray(trace.violations)[paid][first],
  )


def by_parts(fn: Callable[[jax.Array], Any], archs: np.ndarray) -> Any:
  """Applies `fn` to `[N, L]` architectures in parts; returns host arrays."""
  starts = range(0, max(len(archs), 1), _ROWS_PER_CALL)
  parts = [fn(jnp.asarray(archs[i : i + _ROWS_PER_CALL])) for i in starts]
  return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def summarize(
  record: Record,
  trace: AnyTrace,
  found: Found,
  benchmark: Benchmark,
  optimum: Optimum | None,
) -> dict[str, Any]:
  """Returns one object of `summary.json`; None stands for what is unknown."""
  past = history(trace, record.fidelities)
  has_any = np.isfinite(past.objective).any(axis=1)
  position = past.objective.argmax(axis=1)[:, None]
  best = np.take_along_axis(past.objective, position, axis=1)[has_any, 0]
  test = np.take_along_axis(past.test, position, axis=1)[has_any, 0]
  mean, std, low, high = interval(best)
  test_mean, test_std, _, _ = interval(test[np.isfinite(test)])
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
    "simulated_gpu_hours_mean": _gpu_hours(record, trace, found, benchmark),
    "compile_seconds": record.compile_seconds,
    "run_seconds": record.run_seconds,
    "searches_per_second": record.num_seeds / record.run_seconds,
    "peak_memory_mb": record.peak_memory_mb,
    "config": record.config,
    "versions": record.versions,
    "device": record.device,
    "objectives": record.objectives,
    "constraints": record.constraints,
    "warm_start": record.warm_start,
    "seed_ranges": record.seed_ranges,
    "feasible_share_mean": _feasible_share(trace),
    "fidelities": record.fidelities,
    "cost_mean": float(past.charged[:, -1].mean()) / past.scale,
  }


def _feasible_share(trace: AnyTrace) -> float:
  """Mean over seeds of the share of paid queries that meet every limit."""
  num_paid = trace.paid.sum(axis=(1, 2))
  num_feasible = (trace.paid & trace.feasible).sum(axis=(1, 2))
  return float((num_feasible / np.maximum(num_paid, 1)).mean())


def queries_to_optimum(past: History, optimum: Optimum) -> np.ndarray:
  """Returns `float64[S]`: queries until the optimum is found, inf if never.

  Where they have fidelities, what they cost in full evaluations.
  """
  target = optimum.objective - tolerance(optimum.objective)
  needed = statistics.queries_to_target(past.objective, past.charged, target)
  return needed / past.scale


def _identities(benchmark: Benchmark, archs: np.ndarray) -> np.ndarray:
  """What is charged once, as one integer for each of `[N, L]`, `[N]`."""
  identities = by_parts(benchmark.identities, archs)
  if identities.ndim == 1:
    return identities
  pairs = identities.reshape(-1, 2).astype(np.uint64)
  return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]


def _gpu_hours(
  record: Record, trace: AnyTrace, found: Found, benchmark: Benchmark
) -> float | None:
  """Mean hours of training that a search stands for, if the table tells."""
  archs, trainings = found.archs, found.num_seeds
  if not is_on_host(benchmark):
    # A report that is computed may take as long as the search.
    names = jax.eval_shape(benchmark.report, jnp.asarray(archs[:1]))
    if tabular.TRAIN_SECONDS not in names:
      return None
  if record.fidelities is not None and isinstance(trace, CostedTrace):
    archs = trace.archs[trace.paid]
    trainings = trace.cost[trace.paid] / max(record.fidelities["costs"])
  report = by_parts(benchmark.report, archs)
  if tabular.TRAIN_SECONDS not in report:
    return None
  seconds = report[tabular.TRAIN_SECONDS].astype(np.float64)
  return float(np.nansum(seconds * trainings)) / 3600 / record.num_seeds


def _success(
  past: History, budget: int, optimum: Optimum | None
) -> dict[str, Any]:
  """The keys of `summary.json` that need to know the optimum."""
  if optimum is None:
    keys = ("success_rate", "success_at", "queries_to_optimum_median")
    return dict.fromkeys(keys)
  needed = queries_to_optimum(past, optimum)
  counts = counts_shown(budget)
  shares = map(float, statistics.success_at(needed, counts))
  return {
    "success_rate": float(np.isfinite(needed).mean()),
    "success_at": dict(zip(map(str, counts), shares, strict=True)),
    "queries_to_optimum_median": statistics.median_queries(needed),
  }


def counts_shown(budget: int) -> list[int]:
  """Numbers of queries at which a summary says how far searches were."""
  return [n for n in sorted({*SUCCESS_QUERIES, budget}) if n <= budget]


def interval(values: np.ndarray) -> tuple[float | None, ...]:
  """Mean, std, low and high, None where there is none."""
  if not values.size:
    return (None,) * 4
  mean, std, low, high, _ = statistics.mean_interval(values)
  return tuple(_or_none(value) for value in (mean, std, low, high))


def _or_none(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None


def write_architectures(
  path: pathlib.Path, founds: Mapping[str, Found], benchmark: Benchmark
) -> None:
  """Writes the best feasible architectures of every algorithm."""
  header = ("architecture", "objective", "test", "num_seeds", "algorithm")
  with (
    files.atomic_path(path) as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for name, rows in founds.items():
      for i in range(min(int(rows.feasible.sum()), NUM_ARCHITECTURES)):
        string = benchmark.space.to_string(rows.archs[i].tolist())
        test = rows.test[i] if np.isfinite(rows.test[i]) else ""
        writer.writerow(
          (string, rows.objective[i], test, rows.num_seeds[i], name)
        )
