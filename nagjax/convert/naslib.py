"""The NAS-Bench-201 pickles of NASLib and of the programs built on it.

Mehta et al., "NAS-Bench-Suite: NAS Evaluation is (Now) Surprisingly Easy",
ICLR 2022, https://arxiv.org/abs/2201.13396

One file a data set: architecture string to data set to a dict with the list
`eval_acc1es`, whose length tells what it means.

* Two entries (`nb201_<data set>_val_test_v1_0.pickle` of OptiProxy-NAS):
  validation and test accuracy, means over seeds. For `cifar10-valid` the test
  accuracy is that of networks trained on all of CIFAR-10.
* One entry an epoch (`nb201_<data set>_full_training.pickle` of NASLib, one
  seed), and behind them what upstream measured after the last epoch only:
  - 200: the last one is the validation accuracy, as in NASLib's query; there is
    no test accuracy.
  - 201: 200 validation accuracies, then the accuracy on the test images of the
    network trained on half of the images. The latter is no column of the table
    and is left out.
  - 202: 200 accuracies on all test images, then validation, then test.

Differs from NASLib's query: it returns the very last entry as the validation
accuracy, which for lists of 201 and 202 entries is an accuracy on test images
(NASLib's published `val_accuracy` of CIFAR-100 is the test accuracy).

Full-training files have `cost_info` with `params`, `flops` (millions) and
`train_time` (seconds per epoch). The time of `cifar10-valid` is that of half of
the images, hence no value for `cifar10_train_time_per_epoch_s`.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
import os
import re
from typing import Any

from nagjax.convert.checks import accuracy
from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import ROW_ORDER_OFFICIAL
from nagjax.convert.headers import ROW_ORDER_SPACE
from nagjax.convert.headers import Source
from nagjax.convert.nasbench201_strings import canonical_string
from nagjax.convert.nasbench201_strings import read_order
from nagjax.convert.nasbench201_strings import space_order
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import build_table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import load_pickle

KIND = "NASLib pickles of NAS-Bench-201"

NUM_EPOCHS = 200

FULL_TRAINING_NOTE = (
  "Read from per-epoch lists of one seed; see nagjax.convert.naslib for what"
  " their last entries mean."
)

_DATA_SET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_HALF_DATA_SET = "cifar10-valid"


def naslib_pickles(
  paths: Sequence[str | os.PathLike[str]],
  *,
  order: str | os.PathLike[str] | None = None,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts NASLib-style pickles, one or more, into one table.

  Args:
    paths: the files, each data set in one of them.
    order: where the official order of the rows comes from, since these files
      have none: the `meta.pickle.pbz2` of NATS-Bench or a `.npz` with
      `arch_str`. None takes the order of `nasbench201().index`. Files that are
      joined to the table by row, such as latencies, need the official order.
    allow_missing: whether architectures may be missing; their rows read NaN.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    The table.

  Raises:
    ConversionError: if a file is missing, damaged, incomplete, of another form,
      or holds a data set of an earlier one.
    ValueError: if there are no paths.
  """
  if not paths:
    raise ValueError("paths must name at least one file, got none.")
  strings = space_order() if order is None else read_order(order)
  row_of = {string: row for row, string in enumerate(strings)}
  rows: dict[int, dict[str, float]] = {}
  first_use: dict[str, tuple[str, str]] = {}
  notes: set[str] = set()
  for done, path in enumerate(paths, start=1):
    content = load_pickle(path)
    require(content, dict, path, "the content")
    for key, data_sets in content.items():
      require(key, str, path, "an architecture string")
      row = row_of[canonical_string(key, path)]
      require(data_sets, dict, path, f"the entry of {key}")
      for data_set, entry in data_sets.items():
        _check_data_set(data_set, path, first_use)
        values, is_curve = _entry_values(data_set, entry, path)
        rows.setdefault(row, {}).update(values)
        if is_curve:
          notes.add(FULL_TRAINING_NOTE)
    if progress_fn is not None:
      progress_fn(done, len(paths))
  source = Source(
    path=", ".join(os.fspath(path) for path in paths),
    kind=KIND,
    files=[fingerprint(path) for path in paths],
    row_order=ROW_ORDER_SPACE if order is None else ROW_ORDER_OFFICIAL,
    notes=sorted(notes),
  )
  return build_table(strings, rows, source, allow_missing=allow_missing)


def column_prefix(data_set: str) -> str:
  """Prefix of the accuracy columns of a data set.

  Example:
    >>> column_prefix("cifar10-valid"), column_prefix("ImageNet16-120")
    ('cifar10_valid', 'imagenet16_120')
  """
  return data_set.lower().replace("-", "_")


def _check_data_set(
  data_set: Any,
  path: str | os.PathLike[str],
  first_use: dict[str, tuple[str, str]],
) -> None:
  """Checks a name; for each prefix, `first_use` has its spelling and file."""
  require(data_set, str, path, "a data set name")
  if not _DATA_SET.fullmatch(data_set):
    raise ConversionError(
      path,
      "data set names of letters, digits, - and _",
      shown(data_set),
      "Check that --format fits the file.",
    )
  use = (data_set, os.fspath(path))
  spelling, first = first_use.setdefault(column_prefix(data_set), use)
  if spelling != data_set:
    raise ConversionError(
      path,
      "one spelling of each data set",
      f"{data_set} beside {spelling} of {first}",
      "Convert them one by one.",
    )
  if first != os.fspath(path):
    raise ConversionError(
      path,
      "each data set in one file",
      f"{data_set}, which {first} holds as well",
      "Name only one of the two.",
    )


def _entry_values(
  data_set: str, entry: Any, path: str | os.PathLike[str]
) -> tuple[dict[str, float], bool]:
  """Columns of one architecture and data set; whether it is a full training."""
  curve = require_key(entry, "eval_acc1es", path, f"an entry of {data_set}")
  require(curve, (list, tuple), path, f"eval_acc1es of {data_set}")
  losses = entry.get("train_losses", entry.get("train_acc1es"))
  if losses is not None:
    require(losses, (list, tuple), path, f"train_losses of {data_set}")
  num_epochs = NUM_EPOCHS if losses is None else len(losses)
  is_curve = losses is not None or len(curve) != 2
  num_extra = len(curve) - num_epochs if is_curve else 2
  if not num_epochs or num_extra not in (0, 1, 2):
    raise ConversionError(
      path,
      f"eval_acc1es of {data_set} to have 2 entries, or {num_epochs} to"
      f" {num_epochs + 2}",
      f"{len(curve)}",
      "Check that --format fits the file, or download it again.",
    )
  what = f"eval_acc1es of {data_set}"
  prefix = column_prefix(data_set)
  # 0 extra entries: [..., val]; 1: [..., val, other]; 2: [..., val, test].
  val = curve[-1] if num_extra == 0 else curve[-2]
  values = {f"{prefix}_val": accuracy(val, path, what)}
  if num_extra == 2 and not (is_curve and data_set == _HALF_DATA_SET):
    values[f"{prefix}_test"] = accuracy(curve[-1], path, what)
  costs = entry.get("cost_info")
  if costs is not None:
    require(costs, dict, path, f"cost_info of {data_set}")
    values |= _cost_values(data_set, costs, path)
  return values, is_curve


def _cost_values(
  data_set: str, costs: dict[str, Any], path: str | os.PathLike[str]
) -> dict[str, float]:
  names = {"params": "params_m", "flops": "flops_m"}
  if data_set != _HALF_DATA_SET:
    names["train_time"] = "train_time_per_epoch_s"
  prefix = column_prefix(data_set.removesuffix("-valid"))
  values = {}
  for key, name in names.items():
    value = costs.get(key)
    found = math.nan if value is None else number(value, path, key)
    values[f"{prefix}_{name}"] = found
  return values
