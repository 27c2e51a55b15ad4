"""The table of NAS-Bench-201 accuracies: what its converters have in common.

A table is a `.npz` file without pickles. It holds, one row an architecture:

| array | dtype | meaning |
|---|---|---|
| `arch_str` | `S95[15625]` | official string |
| `ops` | `int8[15625, 6]` | `OPERATIONS` indices in string order |
| `<p>_val`, `<p>_test` | `f32[15625]` | accuracy in percent after 200 epochs |
| `<p>_val_epoch_<e>` | `f32[15625]` | likewise after `e` epochs of these |
| `<p>_val_hp12` | `f32[15625]` | of trainings of 12 epochs alone |
| `<d>_train_time_per_epoch_s` | `f32[15625]` | training seconds per epoch |
| `<d>_params_m`, `<d>_flops_m` | `f32[15625]` | millions |
| `<d>_latency_ms` | `f32[15625]` | milliseconds, if the source has it |
| `cifar10_valid_train_time_per_epoch_s` | `f32[15625]` | on half the images |
| `header` | text, 0-d | JSON: sources and their checksums, units, row order |

with `p` in `cifar10_valid`, `cifar100`, `imagenet16_120` and `d` in `cifar10`,
`cifar100`, `imagenet16_120`, or another data set of a NASLib file. Values are
means over the seeds of a source. NaN is a value that the source does not hold;
an array without any value is absent.

`cifar10_valid_val` belongs to networks trained on half of the training images,
`cifar10_valid_test` to networks trained on all of them, as in the paper.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import math
import os
import pathlib
from typing import Any

import numpy as np

from nagjax import files
from nagjax.benchmarks import epochs
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.pickles import ConversionError
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.nasbench201 import nasbench201

_UNITS = {
  "_val": "percent",
  "_test": "percent",
  "_early": "percent",
  "_train_time_per_epoch_s": "seconds",
  "_params_m": "million parameters",
  "_flops_m": "MFLOPs",
  "_latency_ms": "milliseconds",
}
_ACCURACIES = ("_val", "_test")


@dataclasses.dataclass(frozen=True)
class Table:
  """A converted table.

  Attributes:
    arrays: name to array, one row an architecture, see the module.
    header: what is known of the arrays: `format_version`, `kind`, `source`,
      `files`, `nagjax_version`, `row_order`, `arrays` (for each its `unit` and
      the number of `missing` rows) and `notes`.
  """

  arrays: dict[str, np.ndarray]
  header: dict[str, Any]


def build_table(
  strings: Sequence[str],
  rows: Mapping[int, Mapping[str, float]],
  source: Source,
  *,
  allow_missing: bool = False,
  space: SearchSpace | None = None,
) -> Table:
  """Puts the values of a source into arrays.

  Args:
    strings: all official strings, row by row, see `checked_strings`.
    rows: for each row that the source holds, column name to value.
    source: what the header tells.
    allow_missing: whether accuracies may be missing; they read NaN. Costs may
      always be.
    space: of the strings; NAS-Bench-201 if None.

  Raises:
    ConversionError: if there is no accuracy at all, or some are missing and
      that is not allowed.
  """
  columns: dict[str, np.ndarray] = {}
  for row, values in rows.items():
    for name, value in values.items():
      if not math.isnan(value):
        if name not in columns:
          columns[name] = np.full(len(strings), np.nan)
        columns[name][row] = value
  names = sorted(columns, key=_column_rank)
  accuracies = [name for name in names if name.endswith(_ACCURACIES)]
  if not accuracies:
    raise ConversionError(
      source.path,
      "accuracies after the last epoch",
      "none",
      "Check that --format fits the file.",
    )
  missing = {n: int(np.isnan(columns[n]).sum()) for n in names}
  for name in accuracies:
    if missing[name] and not allow_missing:
      first = int(np.flatnonzero(np.isnan(columns[name]))[0])
      raise missing_error(
        source.path,
        f"{name} of all {len(strings):,} architectures",
        missing[name],
        f"{strings[first]} (row {first})",
      )
  space = space or nasbench201()
  arrays: dict[str, np.ndarray] = {
    "arch_str": np.asarray([s.encode("ascii") for s in strings]),
    "ops": np.asarray([space.from_string(s) for s in strings], np.int8),
  }
  arrays |= {name: columns[name].astype(np.float32) for name in names}
  kind = f"{space.name} table"
  return Table(arrays, _header(kind, source, missing, len(strings)))


def missing_error(
  path: str | os.PathLike[str], expected: str, num_missing: int, first: str
) -> ConversionError:
  """The error for an incomplete source, which `allow_missing` accepts."""
  return ConversionError(
    path,
    expected,
    f"{num_missing:,} missing, the first is {first}",
    "Complete the source, or accept NaN there with --allow_missing.",
  )


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
  """Writes a table; `path` exists only when it is complete.

  Args:
    table: what to write.
    path: a name that ends in `.npz`.

  Raises:
    ValueError: if the name does not.
  """
  if pathlib.Path(path).suffix != ".npz":
    raise ValueError(f"A table's name ends in .npz, got {os.fspath(path)}.")
  files.write_record(path, table.arrays, table.header, compress=True)


def fingerprint(path: str | os.PathLike[str]) -> dict[str, str]:
  """Names a source file in a header: its name and its SHA-256.

  For a directory the checksum is that of the sorted lines `name size` of its
  files: reading 1.3 GB a second time would tell little more.
  """
  path = files.expand(path)
  if path.is_dir():
    entries = sorted(p for p in path.iterdir() if p.is_file())
    listing = "".join(f"{p.name} {p.stat().st_size}\n" for p in entries)
    digest = hashlib.sha256(listing.encode())
    return {"name": path.resolve().name, "listing_sha256": digest.hexdigest()}
  return {"name": path.name, "sha256": files.sha256(path)}


def _header(
  kind: str, source: Source, missing: Mapping[str, int], num_rows: int
) -> dict[str, Any]:
  arrays: dict[str, dict[str, Any]] = {
    "arch_str": {"unit": "official architecture string"},
    "ops": {"unit": "option, in string order"},
  }
  for name in missing:
    arrays[name] = {"unit": _UNITS[_suffix(name)], "missing": missing[name]}
  return make_header(kind, source, num_rows, arrays)


def _suffix(name: str) -> str:
  if epochs.AT_EPOCH in name or name.endswith(epochs.SHORT):
    return "_early"
  return next(suffix for suffix in _UNITS if name.endswith(suffix))


def _column_rank(name: str) -> tuple[int, str, int]:
  """Sorts accuracies by data set, then costs by kind."""
  suffix = _suffix(name)
  kind = list(_UNITS).index(suffix)
  is_accuracy = suffix in _ACCURACIES
  return 0 if is_accuracy else kind, name.removesuffix(suffix), kind
