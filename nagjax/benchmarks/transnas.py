"""TransNAS-Bench-101: seven tasks in two spaces.

Duan et al., CVPR 2021, https://arxiv.org/abs/2105.11871

The files are `tnb101_micro.npz` and `tnb101_macro.npz`, or
`tnb101_macro_subset.npz` if there is no other. Their rows are in any order:

  ops                     `[n, 6]` digits of the official string; of macro 1..4,
                          and 0 behind the last module
  <task>_val_final        validation metric after the last epoch
  <task>_val_best         optional, the best over the epochs; `<task>` in the
                          subset
  <task>_test_final, <task>_test_best
                          optional, the same of the test images
  <task>_params_m, <task>_flops_m
                          optional, millions; else `flops` and `params` among
                          the `proxy_names` of `<task>_proxies`

with `class_object`, `class_scene`, `autoencoder`, `normal`, `segmentsemantic`,
`room_layout` and `jigsaw`. Metrics are the published ones, of one seed, see
`TASKS`, all maximized: top-1 accuracies and mIoU in percent, SSIM (at most 1,
where EDNAG's table shows it times 100), and the negative loss of the room
layout.

**The objective** is the metric after the last epoch, called as published, such
as `valid_top1`; the best over the epochs is `valid_top1_best`, and is the
objective where the file has no other. The official program and EDNAG report the
latter, whose maximum over noisy epochs is higher (46.32 against 45.59 for the
objects of micro). The test column is of the same epoch as the objective.

A row without the objective is absent. What is absent is no architecture to a
search, see `part`: it is never proposed or charged, and the optimum is that of
the part.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns as columns_lib
from nagjax.benchmarks import tabular
from nagjax.spaces import transnas_macro
from nagjax.spaces import transnas_micro
from nagjax.spaces.base import SearchSpace


class Task(NamedTuple):
  """A task.

  Attributes:
    metric: published name of what the networks were judged by, maximized.
    unit: of the metric.
    least, most: its range; a file with other values is refused.
  """

  metric: str
  unit: str
  least: float
  most: float


_TOP1 = Task("top1", "%", 0.0, 100.0)
_SSIM = Task("ssim", "SSIM", -1.0, 1.0)
TASKS = {
  "class-object": _TOP1,
  "class-scene": _TOP1,
  "autoencoder": _SSIM,
  "normal": _SSIM,
  "segmentsemantic": Task("mIoU", "%", 0.0, 100.0),
  "room-layout": Task("neg_loss", "L2 loss", -np.inf, 0.0),
  "jigsaw": _TOP1,
}
"""The seven tasks by the names that people write."""

MICRO = "transnas-micro"
MACRO = "transnas-macro"
FILES = {
  MICRO: ("tnb101_micro.npz",),
  MACRO: ("tnb101_macro.npz", "tnb101_macro_subset.npz"),
}
"""Files of the two spaces; the first that is there is read."""
EPOCHS = ("final", "best")
"""Which epoch a column is of."""

_COSTS = {"params_m": "million", "flops_m": "million"}
_PROXIES = {"params_m": "params", "flops_m": "flops"}


def make_space(table: str) -> SearchSpace:
  """The space of `transnas-micro` or `transnas-macro`."""
  if table == MICRO:
    return transnas_micro.transnas_micro()
  return transnas_macro.transnas_macro()


def vectors(table: str, ops: np.ndarray) -> np.ndarray:
  """Architectures of the digits of official strings, `int32[n, 6]` (host).

  Args:
    table: `transnas-micro` or `transnas-macro`.
    ops: `int[n, 6]`; of macro 0 behind the last module.
  """
  if table == MICRO:
    return ops.astype(np.int32)
  return np.where(ops == 0, transnas_macro.NONE, ops - 1).astype(np.int32)


def digits(table: str, archs: np.ndarray) -> np.ndarray:
  """Inverse of `vectors`, `int8[n, 6]`."""
  if table == MICRO:
    return archs.astype(np.int8)
  return ((archs + 1) % (transnas_macro.NONE + 1)).astype(np.int8)


def all_architectures(table: str) -> np.ndarray:
  """Every architecture of `transnas-micro` or `transnas-macro`, `int32[n, 6]`.

  Cells are in the order of their digits, the first slowest.
  """
  if table == MACRO:
    return transnas_macro.all_skeletons()
  return make_space(table).all_architectures()[:, ::-1]


def column_of(task: str) -> str:
  """What the columns of a task begin with.

  Example:
    >>> column_of("room-layout")
    'room_layout'
  """
  return task.replace("-", "_")


def load_transnas(
  table: str, task: str, *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads one task of a file as a benchmark.

  Args:
    table: `transnas-micro` or `transnas-macro`.
    task: a key of `TASKS`.
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark whose objective, and test column if the file has it, are of the
    last epoch or else of the best, see the module; the costs `params_m` and
    `flops_m` if it has them. Its space is the part that the file holds.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if the file is damaged.
    ValueError: if there is no such task, or the file lacks it.
  """
  if task not in TASKS:
    raise ValueError(
      f"The tasks of {table} are {', '.join(TASKS)}, got {task!r}."
    )
  path = file_of(table, directory)
  advice = (
    "Convert your copy of TransNAS-Bench-101 with `python -m "
    "experiments.convert --format=transnas --source=COPY "
    f"--space={make_space(table).name} --output={FILES[table][0]}` into that "
    "directory, or name another one with --data_dir or "
    f"{base.DATA_DIRECTORY_VARIABLE}."
  )
  if path is None:
    folder = base.data_directory(directory)
    names = " or ".join(FILES[table])
    raise FileNotFoundError(f"{folder} has no {names}. {advice}")
  known = tasks_of(path)
  if task not in known:
    raise ValueError(
      f"{path} holds the tasks {', '.join(known) or '(none)'}, got {task!r}. "
      f"{advice}"
    )
  try:
    with files.reading(path, "table of TransNAS-Bench-101"):
      return _table(path, table, task)
  except files.FileError as error:
    raise files.FileError(f"{error} {advice}") from error


def file_of(
  table: str, directory: str | os.PathLike[str] | None = None
) -> pathlib.Path | None:
  """The file of `transnas-micro` or `transnas-macro`, None if there is none."""
  root = base.data_directory(directory)
  there = (root / name for name in FILES[table] if (root / name).is_file())
  return next(there, None)


def tasks(
  table: str, directory: str | os.PathLike[str] | None = None
) -> list[str]:
  """The tasks of `transnas-micro` or `transnas-macro` that can be loaded."""
  path = file_of(table, directory)
  return [] if path is None else tasks_of(path)


def tasks_of(path: pathlib.Path) -> list[str]:
  """The tasks of which a file has a validation metric, in published order."""
  names = set(files.array_names(path))
  return [task for task in TASKS if names & {*_validation(task)}]


def _validation(task: str) -> dict[str, str]:
  """Arrays that may hold the metric of a task, and their epoch."""
  column = column_of(task)
  epochs = {f"{column}_val_{epoch}": epoch for epoch in EPOCHS}
  return {**epochs, column: "best"}


def _table(path: pathlib.Path, table: str, task: str) -> tabular.Tabular:
  """Makes the benchmark of a file, with checks."""
  arrays, proxy_names = _read(path, task)
  space, about, column = make_space(table), TASKS[task], column_of(task)
  ops = arrays.pop("ops")
  archs = vectors(table, ops)
  queried: dict[str, np.ndarray] = {}
  for name, epoch in _validation(task).items():
    if name in arrays:
      suffix = "" if epoch == "final" else f"_{epoch}"
      queried.setdefault(f"valid_{about.metric}{suffix}", arrays[name])
  objective = next(iter(queried))
  reported = {}
  for epoch in EPOCHS:
    if (name := f"{column}_test_{epoch}") in arrays:
      suffix = "" if epoch == "final" else f"_{epoch}"
      reported[f"test_{about.metric}{suffix}"] = arrays[name]
  for name, values in {**queried, **reported}.items():
    finite = values[np.isfinite(values)]
    if np.any((finite < about.least) | (finite > about.most)):
      raise ValueError(
        f"{name} of {task} must be in [{about.least:g}, {about.most:g}]"
      )
  units = [(name, about.unit) for name in (*queried, *reported)]
  for cost, unit in _COSTS.items():
    if f"{column}_{cost}" in arrays:
      queried[cost] = arrays[f"{column}_{cost}"]
    elif _PROXIES[cost] in proxy_names:
      place = proxy_names.index(_PROXIES[cost])
      queried[cost] = arrays[f"{column}_proxies"][:, place]
    if cost in queried:
      units.append((cost, unit))
  there = np.isfinite(queried[objective])
  test = objective.replace("valid", "test", 1)
  return tabular.Tabular(
    queried={name: values[there] for name, values in queried.items()},
    reported={name: values[there] for name, values in reported.items()},
    name=f"{table}/{task}",
    space=space,
    objective=objective,
    test=test if test in reported else None,
    units=tuple(units),
    archs=archs[there],
  )


def _read(
  path: pathlib.Path, task: str
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The arrays of a task, and the names of its proxies."""
  column = files.Declared(columns_lib.NUMBERS, ("n",), optional=True)
  prefix = column_of(task)
  names = [*_validation(task), *(f"{prefix}_test_{e}" for e in EPOCHS)]
  names += [f"{prefix}_{cost}" for cost in _COSTS]
  arrays = files.read_arrays(
    path,
    {
      "ops": files.Declared("iu", ("n", 6)),
      **dict.fromkeys(names, column),
      f"{prefix}_proxies": files.Declared("f", ("n", "p"), optional=True),
      "proxy_names": files.Declared("SU", ("p",), optional=True),
    },
  )
  proxy_names = []
  if f"{prefix}_proxies" in arrays and "proxy_names" in arrays:
    proxy_names = np.char.decode(arrays["proxy_names"], "ascii").tolist()
  return arrays, proxy_names
