"""The training records that NATS-Bench and NAS-Bench-201 have in common.

Both store, for each architecture and each training recipe, a dict with
`arch_index`, `arch_str` and `all_results`: `(data set, seed)` to one training
run, whose `eval_acc1es` maps `split@epoch` to an accuracy in percent.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for
Architecture Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437
"""

from collections.abc import Iterable
from collections.abc import Mapping
import math
import os
from typing import Any

import numpy as np

from nagjax.benchmarks import epochs
from nagjax.convert.checks import accuracy
from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.nasbench201_strings import canonical_string
from nagjax.convert.pickles import ConversionError
from nagjax.spaces.base import SearchSpace

LAST_EPOCH = 199
"""The recipe of both benchmarks' tables of cells trains for 200 epochs."""

# CIFAR-10 is searched on half of its training images and reported after
# training on all of them: two data sets of the records make one pair.
ACCURACY_COLUMNS = (
  ("cifar10_valid_val", "cifar10-valid", "x-valid"),
  ("cifar10_valid_test", "cifar10", "ori-test"),
  ("cifar100_val", "cifar100", "x-valid"),
  ("cifar100_test", "cifar100", "x-test"),
  ("imagenet16_120_val", "ImageNet16-120", "x-valid"),
  ("imagenet16_120_test", "ImageNet16-120", "x-test"),
)
"""Column of the table, data set and split of the records."""

EARLIER_EPOCHS = (1, 2, 3, 5, 8, 12, 25, 50, 100)
"""Of the epochs before the last, those that a table keeps. Validation
accuracies of all epochs are there for CIFAR-10 alone."""

COST_COLUMNS = (
  ("cifar10", "cifar10"),
  ("cifar100", "cifar100"),
  ("imagenet16_120", "ImageNet16-120"),
)
"""Prefix of the cost columns, data set of the records."""


def record_values(
  record: Any,
  row: int,
  arch_str: str,
  file: str | os.PathLike[str],
  *,
  space: SearchSpace | None = None,
  last_epoch: int = LAST_EPOCH,
) -> dict[str, float]:
  """Reads one record.

  Args:
    record: the dict of one architecture and recipe.
    row: official index that it must have.
    arch_str: official string that it must have.
    file: name of the file, for errors.
    space: of the string; NAS-Bench-201 if None.
    last_epoch: of the recipe.

  Returns:
    Column name to the mean over seeds. A column that no seed has is left out.

  Raises:
    ConversionError: if the record has another form or another architecture.
  """
  index = require_key(record, "arch_index", file, "a record")
  string = require_key(record, "arch_str", file, "a record")
  require(index, (int, np.integer), file, "arch_index of a record")
  require(string, str, file, "arch_str of a record")
  if index != row or canonical_string(string, file, space) != arch_str:
    raise ConversionError(
      file,
      f"architecture {row}, {arch_str}",
      f"{shown(index)}, {string}",
      "The file may have been renamed; unpack or download it again.",
    )
  runs = _runs_by_data_set(record, file)
  values: dict[str, float] = {}
  for column, data_set, split in ACCURACY_COLUMNS:
    key = f"{split}@{last_epoch}"
    found = (run["eval_acc1es"].get(key) for run in runs.get(data_set, ()))
    _put_mean(
      values,
      column,
      (
        accuracy(value, file, f"{key} of {data_set}, architecture {row}")
        for value in found
        if value is not None
      ),
    )
  for prefix, data_set in COST_COLUMNS:
    costs = [_costs(run, file, row) for run in runs.get(data_set, ())]
    for name in ("train_time_per_epoch_s", "params_m", "flops_m"):
      _put_mean(values, f"{prefix}_{name}", (cost[name] for cost in costs))
  return values


def earlier_values(
  record: Any, short: Any, file: str | os.PathLike[str], *, last_epoch: int
) -> dict[str, float]:
  """Validation accuracies of fewer epochs than the last.

  Args:
    record: the dict of one architecture, see `record_values`.
    short: that of its trainings of 12 epochs, None if there are none.
    file: name of the file, for errors.
    last_epoch: of the recipe of `record`.

  Returns:
    Column name to the mean over seeds, see `benchmarks.epochs`.

  Raises:
    ConversionError: if a record has another form.
  """
  values: dict[str, float] = {}
  wanted = [
    (record, epoch - 1, epochs.at_epoch("", epoch))
    for epoch in EARLIER_EPOCHS
    if epoch <= last_epoch
  ]
  if short is not None:
    wanted.append((short, epochs.SHORT_EPOCHS - 1, epochs.SHORT))
  runs_of = {id(r): _runs_by_data_set(r, file) for r, _, _ in wanted}
  for source, epoch, suffix in wanted:
    for column, data_set, split in ACCURACY_COLUMNS:
      key = f"{split}@{epoch}"
      if column.endswith("_val"):
        runs = runs_of[id(source)].get(data_set, ())
        found = [run["eval_acc1es"].get(key) for run in runs]
        what = f"{key} of {data_set}"
        checked = (accuracy(v, file, what) for v in found if v is not None)
        _put_mean(values, column + suffix, checked)
  return values


def _runs_by_data_set(
  record: Any, file: str | os.PathLike[str]
) -> dict[str, list[dict[str, Any]]]:
  results = require_key(record, "all_results", file, "a record")
  require(results, dict, file, "all_results of a record")
  runs: dict[str, list[dict[str, Any]]] = {}
  for key, run in results.items():
    if not (isinstance(key, tuple) and key and isinstance(key[0], str)):
      raise ConversionError(
        file,
        "all_results to have keys (data set, seed)",
        shown(key),
        "The file may be damaged; download it again.",
      )
    accuracies = require_key(run, "eval_acc1es", file, "a training run")
    require(accuracies, dict, file, "eval_acc1es of a training run")
    runs.setdefault(key[0], []).append(run)
  return runs


def _costs(
  run: Mapping[str, Any], file: str | os.PathLike[str], row: int
) -> dict[str, float]:
  """Costs of one run; NaN where upstream stores None."""

  def cost(value: Any, what: str) -> float:
    return math.nan if value is None else number(value, file, what)

  times = run.get("train_times")
  if times is None:
    times = {}
  require(times, dict, file, "train_times of a training run")
  where = f"of architecture {row}"
  seconds = [cost(value, f"train_times {where}") for value in times.values()]
  return {
    "train_time_per_epoch_s": _mean(seconds),
    "params_m": cost(run.get("params"), f"params {where}"),
    "flops_m": cost(run.get("flop"), f"flop {where}"),
  }


def _put_mean(
  values: dict[str, float], column: str, found: Iterable[float]
) -> None:
  mean = _mean([value for value in found if not math.isnan(value)])
  if not math.isnan(mean):
    values[column] = mean


def _mean(values: list[float]) -> float:
  return math.fsum(values) / len(values) if values else math.nan
