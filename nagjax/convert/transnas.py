"""TransNAS-Bench-101: the official file, and NASLib's.

Duan et al., CVPR 2021, https://arxiv.org/abs/2105.11871

`transnas-bench_v10141024.pth` maps `data` to `macro` and `micro` to official
string to task to `metrics` (a list, one value an epoch, for each of
`valid_top1`, `test_top1` and so on) and `model_info` (`model_params`,
`model_FLOPs`, millions). What becomes of a list is the `mode`: `best`, the
maximum over the epochs and the official reader's default, or `final`, the last
one. The best of the test metric is its own maximum too, as in that reader,
which is not the epoch of the best validation metric.

NASLib's `zc_transbench101_micro.json` and `zc_transbench101_macro.json`
(Krishnakumar et al., "NAS-Bench-Suite-Zero", NeurIPS 2022,
https://arxiv.org/abs/2210.03230) map task to the tuple of digits to
`val_accuracy`, which is the best over the epochs, and to scores, among them
`params` and `flops`. They hold a part of the architectures.

`nagjax.benchmarks.transnas` documents the tables that are written.
"""

import ast
from collections.abc import Callable
from collections.abc import Mapping
import math
import os
from typing import Any
import zipfile

import numpy as np

from nagjax import files
from nagjax.benchmarks import transnas
from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.nasbench201_table import missing_error
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.convert.pickles import load_zip_pickle
from nagjax.convert.torch_files import load_torch
from nagjax.convert.torch_files import numpy_globals

KIND = "TransNAS-Bench-101"
MODES = {
  "best": "the best over the epochs",
  "final": "those after the last epoch",
}
"""What is read of the values of all epochs, by the name of the mode."""
SPACES = {"transnas_micro": transnas.MICRO, "transnas_macro": transnas.MACRO}
"""Tables by the names of their spaces."""

_MAX_BYTES = 1 << 31
_TASKS = {transnas.column_of(task): task for task in transnas.TASKS}
_COSTS = {"model_params": "params_m", "model_FLOPs": "flops_m"}
_SCORES = {"params": "params_m", "flops": "flops_m"}
_Rows = dict[tuple[int, ...], dict[str, float]]


def transnas_pth_file(
  path: str | os.PathLike[str],
  *,
  space: str = "transnas_micro",
  mode: str = "best",
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts one space of `transnas-bench_v10141024.pth`.

  Only a file that an old PyTorch saved, which is no zip archive, needs PyTorch.

  Args:
    path: the file.
    space: `transnas_micro` or `transnas_macro`.
    mode: `best` or `final`, see the module.
    allow_missing: whether architectures may be missing; their rows read NaN,
      which makes them absent.
    progress_fn: called with the numbers of architectures done and to do, or
      None.

  Raises:
    ConversionError: if the file is missing, damaged, incomplete, of another
      form, holds an unknown task, or refers to anything but numbers and
      containers.
  """
  table = _check(path, space, mode)
  content = require_key(_load(path), "data", path, "the content")
  level = space.removeprefix("transnas_")
  archs = require_key(content, level, path, "data")
  require(archs, dict, path, level)
  rows: _Rows = {}
  for done, (string, tasks) in enumerate(archs.items(), start=1):
    require(string, str, path, "an architecture")
    row = rows.setdefault(_place(string, space, path), {})
    if row:
      raise _doubled(path, string)
    require(tasks, dict, path, f"the entry of {string}")
    for name, entry in tasks.items():
      row.update(_values(name, entry, mode, path))
    if progress_fn is not None:
      progress_fn(done, len(archs))
  note = f"Metrics are {MODES[mode]}."
  return _build(table, rows, path, "official file", note, allow_missing)


def transnas_naslib_json(
  path: str | os.PathLike[str],
  *,
  space: str = "transnas_micro",
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts `zc_transbench101_micro.json` or `zc_transbench101_macro.json`.

  Args:
    path: the file.
    space: whose architectures it holds.
    allow_missing: whether architectures may be missing, as they are in the
      published files; their rows read NaN, which makes them absent.
    progress_fn: called with the numbers of tasks done and to do, or None.

  Raises:
    ConversionError: if the file is missing, damaged, incomplete, of another
      form, or holds an unknown task.
  """
  table = _check(path, space, "best")
  content = guarded(lambda: files.read_json(path), path, "a complete JSON file")
  require(content, dict, path, "the content")
  rows: _Rows = {}
  for done, (name, archs) in enumerate(content.items(), start=1):
    column = _column(name, path)
    require(archs, dict, path, name)
    for key, entry in archs.items():
      row = rows.setdefault(_place(_string(key, table, path), space, path), {})
      if f"{column}_val_best" in row:
        raise _doubled(path, key)
      value = require_key(entry, "val_accuracy", path, f"the entry of {key}")
      row[f"{column}_val_best"] = _metric(value, column, path)
      for score, cost in _SCORES.items():
        if score in entry:
          found = require_key(entry[score], "score", path, f"{score} of {key}")
          row[f"{column}_{cost}"] = number(found, path, f"{score} of {key}")
    if progress_fn is not None:
      progress_fn(done, len(content))
  note = f"Validation metrics are {MODES['best']}."
  return _build(table, rows, path, "NASLib", note, allow_missing)


def _check(path: str | os.PathLike[str], space: str, mode: str) -> str:
  """The table of a space, once the options are known ones."""
  for what, got, known in (("space", space, SPACES), ("mode", mode, MODES)):
    if got not in known:
      raise ConversionError(
        path, f"--{what} to be {' or '.join(known)}", got, "Choose one of them."
      )
  return SPACES[space]


def _load(path: str | os.PathLike[str]) -> Any:
  path = files.expand(path)
  if path.is_file() and not zipfile.is_zipfile(path):
    return load_torch(path, "the file of TransNAS-Bench-101", numpy_globals())
  return load_zip_pickle(path, max_bytes=_MAX_BYTES)


def _values(
  name: str, entry: Any, mode: str, path: str | os.PathLike[str]
) -> dict[str, float]:
  """Columns of one architecture and task."""
  column = _column(name, path)
  metrics = require_key(entry, "metrics", path, f"an entry of {name}")
  metric = transnas.TASKS[_TASKS[column]].metric
  require_key(metrics, f"valid_{metric}", path, f"metrics of {name}")
  values = {}
  for split, short in (("valid", "val"), ("test", "test")):
    curve = metrics.get(f"{split}_{metric}")
    if curve is None:
      continue
    what = f"{split}_{metric} of {name}"
    if not require(curve, (list, tuple), path, what):
      raise ConversionError(
        path, f"{what} to have values", "none", "Download the file again."
      )
    checked = [_metric(value, column, path) for value in curve]
    known = [value for value in checked if not math.isnan(value)]
    best = max(known, default=math.nan)
    values[f"{column}_{short}_{mode}"] = best if mode == "best" else checked[-1]
  info = entry.get("model_info", {})
  require(info, dict, path, f"model_info of {name}")
  for key, cost in _COSTS.items():
    if key in info:
      values[f"{column}_{cost}"] = number(info[key], path, f"{key} of {name}")
  return values


def _column(name: Any, path: str | os.PathLike[str]) -> str:
  """What columns of a task begin with."""
  require(name, str, path, "a task")
  if name not in _TASKS:
    raise ConversionError(
      path,
      f"the tasks {', '.join(_TASKS)}",
      name,
      "Check that --format fits the file.",
    )
  return name


def _metric(value: Any, column: str, path: str | os.PathLike[str]) -> float:
  about = transnas.TASKS[_TASKS[column]]
  what = f"{about.metric} of {column}"
  return number(value, path, what, minimum=about.least, maximum=about.most)


def _place(
  string: str, space: str, path: str | os.PathLike[str]
) -> tuple[int, ...]:
  """The vector of an official string."""
  made = transnas.make_space(SPACES[space])
  try:
    return tuple(made.from_string(string).tolist())
  except ValueError as error:
    raise ConversionError(
      path,
      f"architectures of {space}",
      string,
      "Check --space, or download the file again.",
    ) from error


def _string(key: str, table: str, path: str | os.PathLike[str]) -> str:
  """The official string of a tuple of digits, written as text."""
  try:
    digits = [int(digit) for digit in ast.literal_eval(key)]
  except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
    digits = []
  text = "".join(map(str, digits))
  if len(text) != len(digits) or not digits:
    raise ConversionError(
      path, "tuples of digits", shown(key), "Check that --format fits the file."
    )
  if table == transnas.MACRO:
    return f"64-{text.rstrip('0')}-basic"
  return f"64-41414-{text[:1]}_{text[1:3]}_{text[3:]}"


def _doubled(path: str | os.PathLike[str], string: str) -> ConversionError:
  return ConversionError(
    path,
    "each architecture once",
    f"{shown(string)} twice",
    "The file may be damaged; download it again.",
  )


def _build(
  table: str,
  rows: Mapping[tuple[int, ...], Mapping[str, float]],
  path: str | os.PathLike[str],
  kind: str,
  note: str,
  allow_missing: bool,
) -> Table:
  """Puts the values of a source into arrays, one row an architecture."""
  archs = transnas.all_architectures(table)
  places = [tuple(arch) for arch in archs.tolist()]
  names = sorted({name for row in rows.values() for name in row})
  if not any("_val_" in name for name in names):
    raise ConversionError(
      path, f"architectures of {table}", "none", "Check --format and --space."
    )
  arrays = {"ops": transnas.digits(table, archs)}
  about: dict[str, dict[str, str | int]] = {
    "ops": {"unit": "digits of the official string"}
  }
  for name in names:
    column = np.asarray(
      [rows.get(place, {}).get(name, np.nan) for place in places]
    )
    absent = np.flatnonzero(np.isnan(column))
    if absent.size and "_val_" in name and not allow_missing:
      space = transnas.make_space(table)
      raise missing_error(
        path,
        f"{name} of all {len(places):,} architectures",
        absent.size,
        space.to_string(places[absent[0]]),
      )
    arrays[name] = column.astype(np.float32)
    about[name] = {"unit": _unit(name), "missing": absent.size}
  source = Source(
    path=os.fspath(path),
    kind=f"{KIND}, {kind}",
    files=[fingerprint(path)],
    row_order="digit",
    notes=[note],
  )
  return Table(
    arrays, make_header(f"{table} table", source, len(places), about)
  )


def _unit(name: str) -> str:
  if name.endswith("_m"):
    return "million"
  task = next(column for column in _TASKS if name.startswith(column))
  return transnas.TASKS[_TASKS[task]].unit
