"""What runs with several objectives found, against the exact front.

The hypervolume is that above a reference point: the worst value that a feasible
row of the table has in each objective, so that every row counts, or the user's.
Where the table is known both measures have the exact front beside them: the
hypervolume is a share of the front's, and IGD+ is the mean distance of the
front from what was found, in units of the front's range in each objective.
Where it is not, the reference is the worst that these runs found, the
hypervolume is in the product of the objectives' units, and there is no IGD+.
"""

from collections.abc import Sequence
import csv
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax import statistics
from nagjax.problem import Front
from nagjax.problem import Problem

from . import records
from . import results


class Measured(NamedTuple):
  """One algorithm's searches.

  Attributes:
    name: of the algorithm.
    objectives: `f64[S, E, M]` of what each seed paid for in order, `-inf` where
      nothing feasible was found.
    hypervolume: `f64[S, Q]` after every query: a share of the exact front's,
      or in units of the objectives.
    igd_plus: `f64[S, Q]`, or None without an exact front.
  """

  name: str
  objectives: np.ndarray
  hypervolume: np.ndarray
  igd_plus: np.ndarray | None


class Comparison(NamedTuple):
  """All algorithms of a run against the exact front.

  Attributes:
    measured: each of them.
    corner: `f64[M]` the reference point, each objective maximized.
    exact: the front of the table, if that is known.
    summaries: the keys of `summary.json` that several objectives add to each.
    arrays: what `trace.npz` holds of each; points in the units of the columns.
  """

  measured: list[Measured]
  corner: np.ndarray
  exact: Front | None
  summaries: list[dict[str, Any]]
  arrays: list[dict[str, np.ndarray]]


def compare(runs: Sequence[records.Run], problem: Problem) -> Comparison:
  """Measures finished runs of a problem with several objectives."""
  exact = problem.front()
  corner = _corner(problem, exact, runs)
  measured = [_measure(run, corner, exact) for run in runs]
  given = runs[0].record.given_reference
  return Comparison(
    measured,
    corner,
    exact,
    [_summary(one, problem, corner, exact, given) for one in measured],
    [_arrays(one, problem, corner, exact) for one in measured],
  )


def signs(problem: Problem) -> np.ndarray:
  """1 for columns that are maximized, -1 for the others, `f64[M]`."""
  names = problem.objective_names
  return np.asarray([-1.0 if name[0] == "-" else 1.0 for name in names])


def reference_of(
  problem: Problem, exact: Front | None, given: Sequence[str] | None
) -> list[float] | None:
  """The reference point that a user gives, in the units of the columns.

  Args:
    problem: with several objectives.
    exact: its front, if that is known.
    given: a text for each objective; None or nothing for the default.

  Returns:
    None for the default.

  Raises:
    ValueError: if it is no point, or one inside the front, which would leave
      out a part of it.
  """
  if not given:
    return None
  names = problem.objective_names
  if not problem.num_tradeoffs:
    raise ValueError("a reference point needs more than one --objective.")
  try:
    point = [float(text) for text in given]
  except ValueError:
    point = []
  if len(point) != len(names) or not np.isfinite(point).all():
    raise ValueError(
      f"expected a number for each of {', '.join(names)}, got "
      f"{','.join(given)!r}."
    )
  if exact is not None:
    least = exact.objectives.min(axis=0)
    if (signs(problem) * point > least).any():
      bounds = ", ".join(
        f"{name.removeprefix('-')} {'>=' if sign < 0 else '<='} {value:g}"
        for name, sign, value in zip(
          names, signs(problem), signs(problem) * least, strict=True
        )
      )
      raise ValueError(
        f"the point {','.join(given)} lies inside the front, of which a part "
        f"would not count; it must have {bounds}."
      )
  return point


def paid_objectives(trace: results.AnyTrace) -> np.ndarray:
  """The objectives of what each seed paid for, `f64[S, E, M]`, in order.

  `-inf` where nothing feasible was found.
  """
  num_seeds, _, _, width = trace.objectives.shape
  values = np.where(trace.feasible[..., None], trace.objectives, -np.inf)
  values = values.reshape(num_seeds, -1, width).astype(np.float64)
  paid = trace.paid.reshape(num_seeds, -1)
  order = np.argsort(~paid, axis=1, kind="stable")[:, : paid.sum(axis=1).max()]
  values = np.take_along_axis(values, order[..., None], axis=1)
  kept = np.take_along_axis(paid, order, axis=1)
  return np.where(kept[..., None], values, -np.inf)


def _corner(
  problem: Problem, exact: Front | None, runs: Sequence[records.Run]
) -> np.ndarray:
  """The reference point of finished runs, each objective maximized."""
  given = runs[0].record.given_reference
  if given is not None:
    return signs(problem) * given
  if exact is not None:
    return exact.worst
  found = [
    paid_objectives(run.trace).reshape(-1, len(signs(problem))) for run in runs
  ]
  points = np.concatenate(found)
  points = points[np.isfinite(points).all(axis=1)]
  return points.min(axis=0) if len(points) else np.zeros(len(signs(problem)))


def _measure(
  run: records.Run, corner: np.ndarray, exact: Front | None
) -> Measured:
  """Hypervolume and IGD+ of all seeds by queries."""
  objectives = paid_objectives(run.trace)
  queries = max(run.record.budget, objectives.shape[1])
  volume = statistics.hypervolume_curve(objectives, queries, corner)
  if exact is None:
    return Measured(run.record.name, objectives, volume, None)
  whole = statistics.hypervolume(exact.objectives, corner)
  distance = statistics.igd_plus_curve(
    objectives, queries, exact.objectives, exact.span
  )
  share = volume / whole if whole else np.ones_like(volume)
  return Measured(run.record.name, objectives, share, distance)


def _arrays(
  measured: Measured, problem: Problem, corner: np.ndarray, exact: Front | None
) -> dict[str, np.ndarray]:
  """See `Comparison.arrays`."""
  found = {
    "hypervolume": measured.hypervolume,
    "reference": signs(problem) * corner,
  }
  if exact is not None and measured.igd_plus is not None:
    found["igd_plus"] = measured.igd_plus
    found["front"] = signs(problem) * exact.objectives
  return found


def _summary(
  measured: Measured,
  problem: Problem,
  corner: np.ndarray,
  exact: Front | None,
  given: list[float] | None,
) -> dict[str, Any]:
  """See `Comparison.summaries`."""
  last = measured.hypervolume[:, -1]
  mean, std, low, high = results.interval(last)
  queries = measured.hypervolume.shape[1]
  by_count = {
    str(n): float(measured.hypervolume[:, n - 1].mean())
    for n in results.counts_shown(queries)
  }
  distance = None
  if (
    measured.igd_plus is not None and np.isfinite(measured.igd_plus).all(0)[-1]
  ):
    distance = float(measured.igd_plus[:, -1].mean())
  return {
    "reference": (signs(problem) * corner).tolist(),
    "given_reference": given,
    "hypervolume_is_share": exact is not None,
    "hypervolume_mean": mean,
    "hypervolume_std": std,
    "hypervolume_ci95": [low, high],
    "hypervolume_at": by_count,
    "igd_plus_mean": distance,
    "front_size": None if exact is None else len(exact.objectives),
    "front_found_mean": None if exact is None else _found(measured, exact),
  }


def _found(measured: Measured, exact: Front) -> float:
  """Mean number of points of the exact front that a seed has found."""
  # A trace holds float32, as the table does.
  points = {tuple(row) for row in exact.objectives.astype(np.float32).tolist()}
  each = [
    len(points & set(map(tuple, rows.astype(np.float32).tolist())))
    for rows in measured.objectives
  ]
  return float(np.mean(each))


def write_front(
  path: pathlib.Path, runs: Sequence[records.Run], problem: Problem
) -> None:
  """Writes what no other row dominates of all that an algorithm's seeds found.

  A column for each objective, in the units of the table; a valid
  `--warm_start`.
  """
  names = [name.removeprefix("-") for name in problem.objective_names]
  with (
    files.atomic_path(path) as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("architecture", *names, "num_seeds", "algorithm"))
    for run in runs:
      kept = run.trace.paid & run.trace.feasible
      archs, points = run.trace.archs[kept], run.trace.objectives[kept]
      archs, first, counts = np.unique(
        archs, axis=0, return_index=True, return_counts=True
      )
      best = np.flatnonzero(statistics.pareto_front(points[first]))
      best = best[np.argsort(-points[first][best, 0], kind="stable")]
      for row in best:
        values = signs(problem) * points[first[row]]
        string = problem.space.to_string(archs[row].tolist())
        texts = [np.float32(value) for value in values]
        writer.writerow((string, *texts, counts[row], run.record.name))


def lines(summaries: Sequence[dict[str, Any]], problem: Problem) -> list[str]:
  """What is printed of the fronts, a line for each algorithm."""
  first = summaries[0]
  point = ", ".join(f"{value:g}" for value in first["reference"])
  names = ", ".join(problem.objective_names)
  what = "Hypervolume"
  if first["hypervolume_is_share"]:
    what = f"Hypervolume of the exact front's ({first['front_size']} points)"
  found = [f"{what} of {names}; reference {point}:"]
  for summary in summaries:
    name = records.full_name(summary["algorithm"], summary["variant"])
    mean, high = summary["hypervolume_mean"], summary["hypervolume_ci95"][1]
    half = 0.0 if high is None else high - mean
    if summary["hypervolume_is_share"]:
      text = f"{mean:.3%} +- {half:.3%}"
      if summary["igd_plus_mean"] is not None:
        text += f", IGD+ {summary['igd_plus_mean']:.5f}"
      text += f", {summary['front_found_mean']:.1f} points of the front"
    else:
      text = f"{mean:,.5g} +- {half:,.3g}"
    if "num_tradeoffs" not in summary["config"] and name != "random":
      text += " (does not trade objectives off)"
    found.append(f"  {name:24} {text}")
  return found
