"""NAS-Bench-201: the one large `.pth` file.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", ICLR 2020, https://arxiv.org/abs/2001.00326

`NAS-Bench-201-v1_0-e61699.pth` and `-v1_1-096897.pth` are dicts with
`meta_archs` (the list of architectures) and `arch2infos`: official index to the
records of two recipes, `less` (12 epochs) and `full` (200 epochs), which newer
code calls `12` and `200`. The latter is converted, and of the former what
`nats_bench` keeps. Version 1.0 has no training times for the latter; the arrays
of times are then absent.
"""

from collections.abc import Callable
import os
from typing import Any

from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import Source
from nagjax.convert.nasbench201_records import LAST_EPOCH
from nagjax.convert.nasbench201_records import earlier_values
from nagjax.convert.nasbench201_records import record_values
from nagjax.convert.nasbench201_strings import checked_strings
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import build_table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.nasbench201_table import missing_error
from nagjax.convert.pickles import ConversionError
from nagjax.convert.torch_files import load_torch
from nagjax.convert.torch_files import numpy_globals

KIND = "NAS-Bench-201 .pth"

_EXPECTED = "a NAS-Bench-201 .pth file"


def nasbench201_pth_file(
  path: str | os.PathLike[str],
  *,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts `NAS-Bench-201-v1_0-e61699.pth` or `-v1_1-096897.pth`.

  Needs PyTorch, about four minutes a gigabyte for its restricted unpickler,
  and as much memory as the official reader: the file becomes Python objects as
  a whole.

  Args:
    path: the file.
    allow_missing: whether architectures may be missing; their rows read NaN.
    progress_fn: called with the numbers of records done and to do, or None.

  Returns:
    The table; row `i` is the official index `i`.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, incomplete, or refers to anything but numbers and containers.
  """
  content = _load(path)
  strings = checked_strings(
    require_key(content, "meta_archs", path, "the content"), path
  )
  infos = require_key(content, "arch2infos", path, "the content")
  require(infos, dict, path, "arch2infos")
  absent = [row for row in range(len(strings)) if row not in infos]
  if absent and not allow_missing:
    raise missing_error(
      path,
      f"the records of {len(strings):,} architectures",
      len(absent),
      f"index {absent[0]}",
    )
  rows = {}
  for done, (row, parts) in enumerate(infos.items(), start=1):
    if not (isinstance(row, int) and 0 <= row < len(strings)):
      raise ConversionError(
        path,
        f"indices below {len(strings):,} in arch2infos",
        shown(row),
        "The file may be damaged; download it again.",
      )
    require(parts, dict, path, f"entry {row} of arch2infos")
    name = "full" if "full" in parts else "200"
    record = require_key(parts, name, path, f"entry {row} of arch2infos")
    short = parts.get("less", parts.get("12"))
    rows[row] = record_values(record, row, strings[row], path) | earlier_values(
      record, short, path, last_epoch=LAST_EPOCH
    )
    if progress_fn is not None:
      progress_fn(done, len(infos))
  source = Source(path=os.fspath(path), kind=KIND, files=[fingerprint(path)])
  return build_table(strings, rows, source, allow_missing=allow_missing)


def _load(path: str | os.PathLike[str]) -> Any:
  """Reads the file by PyTorch's restricted unpickler, without tensors."""
  return load_torch(path, _EXPECTED, numpy_globals())
