"""Latencies of NAS-Bench-201 cells: the files of HELP and of LatBench.

Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via
Meta-Learning", NeurIPS 2021, https://arxiv.org/abs/2106.08630
Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs", NeurIPS 2020,
https://arxiv.org/abs/2007.08668

Both have one file a device, and the device is its name: `raspi4.pt` becomes the
column `raspi4_ms`.

* HELP, `data/nasbench201/latency/*.pt`: what PyTorch saved of a list of
  milliseconds by official index. Such a file is a zip archive with a pickle of
  numbers in it; PyTorch is not needed.
* LatBench, `*.pkl`: a dict from the six operations of a cell, in string order,
  to seconds. Cells that were not measured are absent.

Write them as `nb201_latency.npz`, or any name that begins so.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import os

from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import shown
from nagjax.convert.headers import ROW_ORDER_OFFICIAL
from nagjax.convert.headers import ROW_ORDER_SPACE
from nagjax.convert.headers import Source
from nagjax.convert.nasbench201_costs import build_costs
from nagjax.convert.nasbench201_costs import column_name
from nagjax.convert.nasbench201_strings import read_order
from nagjax.convert.nasbench201_strings import space_order
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import load_pickle
from nagjax.convert.pickles import load_zip_pickle
from nagjax.spaces.nasbench201 import from_string

KIND_HELP = "HELP latencies of NAS-Bench-201"
KIND_LATBENCH = "LatBench latencies of NAS-Bench-201"

Path = str | os.PathLike[str]


def help_latencies(
  paths: Sequence[Path],
  *,
  order: Path,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts the latency lists of HELP, one a device.

  Args:
    paths: the files, named after their devices.
    order: what the official index means: the `meta.pickle.pbz2` of NATS-Bench
      or a `.npz` with `arch_str`.
    allow_missing: whether values may be NaN.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    The table; row `i` is the official index `i`.

  Raises:
    ConversionError: if a file is missing, damaged or of another form.
  """
  strings = read_order(order)

  def latencies(path: Path) -> Iterable[tuple[int, float]]:
    values = require(load_zip_pickle(path), (list, tuple), path, "the content")
    if len(values) != len(strings):
      raise ConversionError(
        path,
        f"{len(strings):,} latencies",
        f"{len(values):,}",
        "Check that --format fits the file, or download it again.",
      )
    return enumerate(number(value, path, "a latency") for value in values)

  return _convert(
    paths,
    latencies,
    strings,
    KIND_HELP,
    ROW_ORDER_OFFICIAL,
    allow_missing,
    progress_fn,
  )


def latbench_pickles(
  paths: Sequence[Path],
  *,
  order: Path | None = None,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts the latency dicts of LatBench, one a device.

  Args:
    paths: the files, named after their devices.
    order: as in `help_latencies`; None takes the order of the space's index.
    allow_missing: whether cells may be missing; their rows read NaN.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    The table.

  Raises:
    ConversionError: if a file is missing, damaged, incomplete or of another
      form.
  """
  strings = space_order() if order is None else read_order(order)
  row_of = {
    tuple(int(op) for op in from_string(string)): row
    for row, string in enumerate(strings)
  }

  def latencies(path: Path) -> Iterable[tuple[int, float]]:
    content = require(load_pickle(path), dict, path, "the content")
    for cell, seconds in content.items():
      if cell not in row_of:
        raise ConversionError(
          path,
          "tuples of the six operations of a cell",
          shown(cell),
          "Check that --format fits the file, or download it again.",
        )
      yield row_of[cell], 1000.0 * number(seconds, path, "a latency")

  return _convert(
    paths,
    latencies,
    strings,
    KIND_LATBENCH,
    ROW_ORDER_SPACE if order is None else ROW_ORDER_OFFICIAL,
    allow_missing,
    progress_fn,
  )


def _convert(
  paths: Sequence[Path],
  latencies_fn: Callable[[Path], Iterable[tuple[int, float]]],
  strings: Sequence[str],
  kind: str,
  row_order: str,
  allow_missing: bool,
  progress_fn: Callable[[int, int], None] | None,
) -> Table:
  if not paths:
    raise ValueError("paths must name at least one file, got none.")
  columns: dict[str, dict[int, float]] = {}
  for done, path in enumerate(paths, start=1):
    name = column_name(path)
    if name in columns:
      raise ConversionError(
        path,
        "files of different devices",
        f"{name} twice",
        "Name each file after its device.",
      )
    columns[name] = dict(latencies_fn(path))
    if progress_fn is not None:
      progress_fn(done, len(paths))
  source = Source(
    path=", ".join(os.fspath(path) for path in paths),
    kind=kind,
    files=[fingerprint(path) for path in paths],
    row_order=row_order,
  )
  return build_costs(strings, columns, source, allow_missing=allow_missing)
