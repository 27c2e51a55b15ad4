"""analog-nasbench: NAS-Bench-201 cells on analog hardware, by `pip`.

https://github.com/IBM/analog-nas

`pip install analog-nasbench` brings `data.anb`, a pickle of one dict from the
six operations of a cell, as NASLib numbers them, to an object with accuracies
on CIFAR-10's test images in percent and, for four times after the weights were
programmed, what is left of two of them: mean and standard deviation.

They become `analog_nasbench.npz`, which `nagjax.benchmarks.analog` joins:

| array | dtype | meaning |
|---|---|---|
| `ops` | `int8[15625, 6]` | operation indices in string order |
| `<way>_acc` | `f32[15625]` | accuracy, percent, of the ways in `WAYS` |
| `<way>_drift_<s>` | `f32[15625]` | of `DRIFTING`, `s` seconds later, percent |
| `<way>_drift_<s>_std` | `f32[15625]` | its standard deviation, percent |
| `header` | text, 0-d | JSON: source and its checksum, units, row order |
"""

from collections.abc import Callable
import os
from typing import Any

import numpy as np

from nagjax.convert.checks import accuracy
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import ROW_ORDER_SPACE
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.packages import Package
from nagjax.convert.packages import folder
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import PlainRecord
from nagjax.convert.pickles import guarded
from nagjax.convert.pickles import load_pickle
from nagjax.spaces import nasbench201

PACKAGE = Package("analog-nasbench", "analognasbench", "0.1.3")
FILES = {"nasbench201": "analog_nasbench.npz"}
"""File of each table."""
WAYS = ("baseline", "ptq", "qat", "noisy", "analog")
"""Digital weights; quantized after the training and during it; under the noise
of analog memory; trained for analog hardware."""
DRIFTING = ("baseline", "analog")
SECONDS = (60, 3600, 86400, 2592000)
"""A minute, an hour, a day and 30 days after programming."""

_RECORDS = (
  ("analognasbench.data", "Architecture"),
  ("analognasbench.data", "DriftMeasurement"),
)
_AGAIN = f"Run `pip install --force-reinstall {PACKAGE.distribution}`."


def analog_nasbench(
  source: str | os.PathLike[str] | None = None,
  *,
  progress_fn: Callable[[int, int], None] | None = None,
) -> dict[str, Table]:
  """Converts the package; nothing is written.

  Args:
    source: its folder; None finds what is installed.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    For the name of a file its table; row `i` is the index `i` of the space.

  Raises:
    ConversionError: if the package is absent or of another version, or its file
      is missing, damaged, of another form, or lacks cells.
  """
  path = folder(PACKAGE, source) / "data.anb"
  space = nasbench201.nasbench201()
  num = space.num_architectures
  columns = read(path)
  absent = np.flatnonzero(np.isnan(columns[f"{WAYS[0]}_acc"]))
  if absent.size:
    cell = space.all_architectures()[absent[0]].tolist()
    raise ConversionError(
      path,
      f"all {num:,} cells",
      f"{num - absent.size:,}, without {nasbench201.to_string(cell)}",
      _AGAIN,
    )
  about: dict[str, dict[str, Any]] = {"ops": {"unit": "operation index"}}
  about |= {name: {"unit": "percent", "missing": 0} for name in columns}
  cells = space.all_architectures().astype(np.int8)
  header = make_header(
    "nasbench201 analog accuracies",
    Source(
      path=os.fspath(path),
      kind=f"{PACKAGE.distribution} {PACKAGE.version}",
      files=[fingerprint(path)],
      row_order=ROW_ORDER_SPACE,
      notes=["Accuracies on test images of cifar10."],
      data_set="cifar10",
    ),
    num,
    about,
  )
  if progress_fn is not None:
    progress_fn(1, 1)
  return {FILES["nasbench201"]: Table({"ops": cells, **columns}, header)}


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads the file of the package, complete or not.

  Args:
    path: the file.

  Returns:
    For each column `f32[15625]` in the order of the space's index; NaN where
    the file has no such cell.

  Raises:
    ConversionError: if it is missing, damaged or of another form, or has a cell
      under the operations of another one.
  """
  content = require(
    load_pickle(path, records=_RECORDS), dict, path, "the content"
  )
  return guarded(
    lambda: _columns(content, path), path, "cells and their accuracies", _AGAIN
  )


def _columns(
  content: dict[Any, Any], path: str | os.PathLike[str]
) -> dict[str, np.ndarray]:
  """What `read` returns."""
  space = nasbench201.nasbench201()
  strides = np.cumprod((1, *space.cardinalities[:-1]))
  columns: dict[str, np.ndarray] = {}
  for key, record in content.items():
    try:
      row = int(nasbench201.from_naslib(key) @ strides)
    except ValueError as error:
      raise ConversionError(
        path, "keys of six operations in 0..4", shown(key), _AGAIN
      ) from error
    fields = _fields(record, path, f"cell {key}")
    own = require_key(fields, "architecture", path, f"cell {key}")
    if own != key:
      raise ConversionError(
        path, f"cell {key} under its operations", shown(own), _AGAIN
      )
    for name, value in _values(fields, path, f"cell {key}").items():
      if name not in columns:
        columns[name] = np.full(space.num_architectures, np.nan, np.float32)
      columns[name][row] = value
  if not columns:
    raise ConversionError(path, "cells", "none", _AGAIN)
  return columns


def _values(
  fields: dict[str, Any], path: str | os.PathLike[str], what: str
) -> dict[str, float]:
  """The columns of one cell."""
  found = {}

  def put(column: str, fields: dict[str, Any], name: str) -> None:
    value = require_key(fields, name, path, what)
    found[column] = accuracy(value, path, f"{name} of {what}")

  for way in WAYS:
    put(f"{way}_acc", fields, f"{way}_accuracy")
  for way in DRIFTING:
    for seconds in SECONDS:
      name = f"{way}_drift_{seconds}"
      drift = _fields(require_key(fields, name, path, what), path, name)
      put(name, drift, "value")
      put(f"{name}_std", drift, "uncertainty")
  return found


def _fields(
  record: Any, path: str | os.PathLike[str], what: str
) -> dict[str, Any]:
  """Attributes of an object of the package."""
  require(record, PlainRecord, path, what)
  return getattr(record, "fields", {})
