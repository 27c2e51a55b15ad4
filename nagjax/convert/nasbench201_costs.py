"""Tables of what NAS-Bench-201 cells cost on devices.

A table is a `.npz` file that `nagjax.benchmarks.hardware` joins to the
accuracies if its name begins with `nb201_hw` or `nb201_latency`:

| array | dtype | meaning |
|---|---|---|
| `ops` | `int8[15625, 6]` | operation indices in string order |
| `<device>_ms` | `f32[15625]` | latency, milliseconds |
| `<device>_mj` | `f32[15625]` | energy, millijoules |
| `header` | text, 0-d | JSON: sources and their checksums, units, row order |

NaN is a value that the source does not hold.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
import re

import numpy as np

from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import missing_error
from nagjax.convert.pickles import ConversionError
from nagjax.spaces.nasbench201 import from_string

UNITS = {"_ms": "milliseconds", "_mj": "millijoules"}


def build_costs(
  strings: Sequence[str],
  columns: Mapping[str, Mapping[int, float]],
  source: Source,
  *,
  allow_missing: bool = False,
) -> Table:
  """Puts costs into arrays.

  Args:
    strings: the 15,625 official strings, row by row, see `checked_strings`.
    columns: for each column, row to value.
    source: what the header tells.
    allow_missing: whether rows may be missing; they read NaN.

  Raises:
    ConversionError: if there is no column, or rows are missing and that is not
      allowed.
  """
  if not columns:
    raise ConversionError(
      source.path, "latencies or energies", "none", "Check --format."
    )
  arrays = {"ops": np.asarray([from_string(s) for s in strings], np.int8)}
  about: dict[str, dict[str, str | int]] = {"ops": {"unit": "operation index"}}
  for name, values in columns.items():
    column = np.full(len(strings), np.nan)
    column[list(values)] = list(values.values())
    absent = np.flatnonzero(np.isnan(column))
    if absent.size and not allow_missing:
      first = int(absent[0])
      raise missing_error(
        source.path,
        f"{name} of all {len(strings):,} architectures",
        absent.size,
        f"{strings[first]} (row {first})",
      )
    arrays[name] = column.astype(np.float32)
    about[name] = {"unit": UNITS[name[-3:]], "missing": absent.size}
  header = make_header("nasbench201 costs", source, len(strings), about)
  return Table(arrays, header)


def column_name(path: str | os.PathLike[str]) -> str:
  """The column of a file that is named after its device.

  Example:
    >>> column_name("latency/desktop-cpu-core-i7.pkl")
    'desktop_cpu_core_i7_ms'
  """
  return re.sub(r"[^a-z0-9_]", "_", pathlib.Path(path).stem.lower()) + "_ms"
