"""Runs on disk: what was asked, what happened, and the merging of both.

`summary.json` is written last: a directory that holds one holds results.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import math
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax import search as search_lib
from nagjax.problem import Constraint
from nagjax.search import CostedTrace
from nagjax.search import Result
from nagjax.search import Trace
from nagjax.spaces import SearchSpace
from nagjax.types import Status

from . import flags
from .errors import UsageError
from .errors import one_line
from .errors import user_errors

SUMMARY = "summary.json"
TRACE = "trace.npz"
ARCHITECTURES = "architectures.csv"
CURVE = "curve.png"
PARETO = "pareto.png"
FRONT = "front.csv"
FRONT_PLOT = "front.png"
FRONT_FILES = (FRONT, FRONT_PLOT)
FILES = (SUMMARY, TRACE, ARCHITECTURES, CURVE, PARETO, *FRONT_FILES)

_INFO = "info/"
"""Before the names of what an algorithm tells of its rounds."""


class Record(NamedTuple):
  """What one algorithm was asked, and what its sweep took.

  Attributes:
    algorithm, variant, benchmark, objective, budget, config: see
      `summary.json`.
    objectives: columns that are maximized.
    constraints: limits, `{"column": ..., "limit": ...}` each.
    warm_start: number and SHA-256 of the architectures of `--warm_start`, or
      None.
    seed_ranges: pairs `[first, end)` of the seeds, increasing.
    fidelities: names, costs and whether they are stages of one training, of an
      algorithm that asks for several; None of any other.
    given_reference: the user's point for the hypervolume of several objectives,
      in the units of their columns, or None.
    compile_seconds, run_seconds, peak_memory_mb, versions, device: likewise.
  """

  algorithm: str
  variant: str
  benchmark: str
  objective: str
  objectives: list[str]
  constraints: list[dict[str, Any]]
  budget: int
  config: dict[str, Any]
  warm_start: dict[str, Any] | None
  seed_ranges: list[list[int]]
  compile_seconds: float
  run_seconds: float
  peak_memory_mb: float | None
  versions: dict[str, str]
  device: str
  given_reference: list[float] | None = None
  fidelities: dict[str, Any] | None = None

  @property
  def name(self) -> str:
    """See `full_name`."""
    return full_name(self.algorithm, self.variant)

  @property
  def num_seeds(self) -> int:
    """Number of searches."""
    return sum(end - first for first, end in self.seed_ranges)

  @property
  def constraint(self) -> str | None:
    """The limits for a reader, such as `raspi4_ms<=5, params_m<=0.5`."""
    limits = (Constraint(**limit) for limit in self.constraints)
    texts = [
      f"{limit.column}<={repr(float(limit.limit)).removesuffix('.0')}"
      for limit in limits
    ]
    return ", ".join(texts) or None


_ASKED = (
  "algorithm variant benchmark objectives constraints budget config warm_start "
  "given_reference fidelities"
).split()
"""Fields of `Record` that runs of one sweep have in common."""


class Run(NamedTuple):
  """One algorithm's sweep.

  Attributes:
    record: what was asked.
    trace: what happened, `[S, R, ...]`.
    info: what the algorithm tells of its rounds, `[S, R, ...]` each, by name.
  """

  record: Record
  trace: Trace | CostedTrace
  info: Mapping[str, np.ndarray] = {}


def full_name(algorithm: str, variant: str) -> str:
  """Algorithm and variant, as on plots and in `trace.npz`."""
  return f"{algorithm}:{variant}" if variant else algorithm


def describe_config(config: Any) -> dict[str, Any]:
  """A Config as JSON: functions by name, numbers that JSON lacks as text."""

  def plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
      return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
      return describe_config(value)
    if callable(value):
      return f"{value.__module__}.{getattr(value, '__qualname__', '?')}"
    if isinstance(value, float) and not math.isfinite(value):
      return str(value)
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known else repr(value)

  return {
    field.name: plain(getattr(config, field.name))
    for field in dataclasses.fields(config)
  }


def make_run(record: Record, result: Result) -> Run:
  """What is kept of a sweep, `[S, R, ...]`.

  What depends on how it was cut into chunks is cleared: empty slots, and rounds
  after all searches have ended.
  """
  trace = search_lib.tidy(result.trace)
  num_rounds = trace.status.shape[1]
  leaves, _ = jax.tree_util.tree_flatten_with_path(result.info)
  info = {}
  for path, leaf in leaves:
    array = np.asarray(leaf)
    # The rounds of the initial design tell nothing.
    missing = result.trace.status.shape[1] - array.shape[1]
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    info[name] = _pad_rounds(array, missing, 0)[:, :num_rounds]
  return Run(record, trace, info)


def _pad_rounds(array: np.ndarray, before: int, after: int) -> np.ndarray:
  """Lengthens info `[S, R, ...]` by rounds of nothing, as a search does."""
  widths = [(0, 0), (before, after)] + [(0, 0)] * (array.ndim - 2)
  nothing = -np.inf if array.dtype.kind == "f" else 0
  return np.pad(array, widths, constant_values=nothing)


def write_summary(path: pathlib.Path, summaries: Sequence[Mapping]) -> None:
  """Writes `summary.json`."""
  text = json.dumps(list(summaries), indent=2, allow_nan=False)
  with files.atomic_path(path) as temporary:
    temporary.write_text(text + "\n", encoding="utf-8")


def write_traces(
  path: pathlib.Path,
  runs: Sequence[Run],
  more: Sequence[Mapping[str, np.ndarray]] = (),
) -> None:
  """Writes `trace.npz`: plain names for one algorithm, else with a prefix.

  Args:
    path: the file to write.
    runs: one for each algorithm.
    more: further arrays of each, which `read_run` leaves alone.
  """
  arrays: dict[str, np.ndarray] = {}
  for run, others in zip(runs, more or [{}] * len(runs), strict=True):
    prefix = f"{run.record.name}/" if len(runs) > 1 else ""
    arrays |= {prefix + k: v for k, v in others.items()}
    arrays |= {prefix + k: v for k, v in run.trace._asdict().items()}
    arrays |= {f"{prefix}{_INFO}{k}": v for k, v in run.info.items()}
  with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_run(directory: pathlib.Path) -> list[Run]:
  """Reads what `write_summary` and `write_traces` wrote.

  Raises:
    UsageError: if a file is missing or damaged.
  """
  path = directory / SUMMARY
  try:
    records = [
      # A summary without several objectives has no reference.
      Record(**{name: entry[name] for name in Record._fields if name in entry})
      for entry in files.read_json(path)
    ]
    for record in records:
      _check(record)
  except files.FileError as error:
    raise UsageError(str(error)) from error
  except (ValueError, LookupError, TypeError) as error:
    raise UsageError(
      f"{path} is damaged or of another version: {one_line(repr(error))}."
    ) from error
  names = [record.name for record in records]
  if not names:
    raise UsageError(f"{path} holds no algorithm.")
  if len(set(names)) < len(names):
    raise UsageError(f"{path} holds {', '.join(names)}, expected each once.")
  path, runs = directory / TRACE, []
  for record in records:
    prefix = f"{record.name}/" if len(records) > 1 else ""
    begin = prefix + _INFO
    kinds = _TRACE if record.fidelities is None else _COSTED_TRACE
    declared = {prefix + name: kind for name, kind in kinds.items()}
    with user_errors():
      arrays = files.read_arrays(
        path, {**declared, f"{begin}*": files.Declared("biuf", None)}
      )
      cls = Trace if record.fidelities is None else CostedTrace
      trace = cls(*(arrays[prefix + field] for field in cls._fields))
      _check_trace(trace, f"{path}: {prefix}")
      info = {
        name.removeprefix(begin): array
        for name, array in arrays.items()
        if name.startswith(begin)
      }
      expected = (record.num_seeds, trace.status.shape[1])
      for name, array in {"status": trace.status, **info}.items():
        if array.shape[:2] != expected:
          raise ValueError(
            f"{path} is damaged or of another run: expected {expected[0]} "
            f"seeds and {expected[1]} rounds of {prefix}{name}, got "
            f"{array.shape}."
          )
    runs.append(Run(record, trace, info))
  return runs


def _check_trace(trace: Trace | CostedTrace, where: str) -> None:
  """Raises ValueError if a field holds what no search writes."""
  if not np.isin(trace.status, list(Status)).all():
    raise ValueError(f"{where}status holds what is no status.")
  for name, array in trace._asdict().items():
    if array.dtype.kind == "f" and np.isnan(array).any():
      raise ValueError(f"{where}{name} holds NaN; what is not known is -inf.")
  counted = np.cumsum(trace.paid.sum(axis=-1), axis=-1)
  if not np.array_equal(trace.charged, counted):
    raise ValueError(f"{where}charged does not count what was paid.")


def check_archs(runs: Sequence[Run], space: SearchSpace) -> None:
  """Checks that what was paid for are architectures of a space.

  Raises:
    UsageError: if a run holds anything else.
  """
  for run in runs:
    archs = run.trace.archs[run.trace.paid]
    fits = archs.shape[-1] == space.num_variables
    if not fits or not np.all(space.is_valid(jnp.asarray(archs, jnp.int32))):
      raise UsageError(
        f"The trace of {run.record.name} holds what is no architecture of "
        f"{space.name}: it is damaged, or of another benchmark."
      )


def _check(record: Record) -> None:
  """Raises ValueError or TypeError if a field is something else."""
  texts = (record.algorithm, record.variant, record.benchmark, record.objective)
  if not all(isinstance(text, str) for text in texts):
    raise TypeError("names must be text")
  if not 0 < record.num_seeds <= flags.LARGEST or record.budget < 1:
    raise ValueError(f"{record.num_seeds} seeds, budget {record.budget}")
  _ = record.constraint, len(record.objectives), dict(record.versions)
  if record.fidelities is not None and min(record.fidelities["costs"]) < 1:
    raise ValueError(f"fidelities {record.fidelities}")
  point = record.given_reference
  if point is not None and len(point) != len(record.objectives):
    raise ValueError(f"given_reference {point}")


_SLOTS = ("seeds", "rounds", "slots")
_TRACE = {
  name: files.Declared(kinds, (*_SLOTS, *more))
  for name, kinds, *more in (
    ("archs", "i", "variables"),
    ("status", "i"),
    ("objective", "f"),
    ("objectives", "f", "objectives"),
    ("violations", "f", "limits"),
    ("test", "f"),
    ("feasible", "b"),
    ("paid", "b"),
  )
} | {"charged": files.Declared("i", _SLOTS[:2])}
"""What the arrays of `trace.npz` are."""

_COSTED_TRACE = _TRACE | {
  name: files.Declared("i", _SLOTS) for name in ("fidelity", "cost")
}
"""The same where algorithms ask for several fidelities."""


def merge(runs: Mapping[str, Sequence[Run]]) -> list[Run]:
  """Combines runs of disjoint seed ranges into the run of all their seeds.

  Args:
    runs: by directory, what `read_run` returned.

  Returns:
    The same for the combined run, algorithms as in the first directory.

  Raises:
    UsageError: if the runs differ in more than their seeds, or share seeds.
  """
  (first_name, first), *others = runs.items()
  names = [run.record.name for run in first]
  for directory, found in others:
    if sorted(run.record.name for run in found) != sorted(names):
      raise UsageError(
        f"{first_name} and {directory} hold different algorithms."
      )
  return [
    _merge_algorithm(
      {
        directory: next(run for run in found if run.record.name == name)
        for directory, found in runs.items()
      }
    )
    for name in names
  ]


def _merge_algorithm(parts: Mapping[str, Run]) -> Run:
  first_name, (first, *_) = next(iter(parts.items()))
  records = [run.record for run in parts.values()]
  for name, (record, *_) in parts.items():
    for field in _ASKED:
      ours, theirs = getattr(first, field), getattr(record, field)
      if ours != theirs:
        raise UsageError(
          f"{first_name} and {name} differ in {field} of {record.name}: "
          f"{ours!r} and {theirs!r}."
        )
  seeds = np.concatenate([_seeds(record) for record in records])
  distinct, counts = np.unique(seeds, return_counts=True)
  if (counts > 1).any():
    raise UsageError(
      f"Runs must have disjoint seeds; {distinct[counts > 1][0]} is in more "
      f"than one of {', '.join(parts)}."
    )
  traces = [run.trace for run in parts.values()]
  num_rounds = max(trace.status.shape[1] for trace in traces)
  extended = [search_lib.extend(trace, num_rounds) for trace in traces]
  order = np.argsort(seeds)
  trace = type(traces[0])(
    *(np.concatenate(arrays)[order] for arrays in zip(*extended, strict=True))
  )
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
  info = {
    name: np.concatenate(
      [
        _pad_rounds(run.info[name], 0, num_rounds - run.trace.status.shape[1])
        for run in parts.values()
      ]
    )[order]
    for name in next(iter(parts.values())).info
  }
  return Run(record, trace, info)


def _seeds(record: Record) -> np.ndarray:
  return np.concatenate([np.arange(*bounds) for bounds in record.seed_ranges])


def _ranges(seeds: np.ndarray) -> list[list[int]]:
  """Sorted distinct seeds as pairs `[first, end)`."""
  parts = np.split(seeds, np.flatnonzero(np.diff(seeds) > 1) + 1)
  return [[int(part[0]), int(part[-1]) + 1] for part in parts]


def _distinct(texts: Iterable[str]) -> str:
  return ", ".join(dict.fromkeys(texts))
