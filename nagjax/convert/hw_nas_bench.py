"""HW-NAS-Bench: latency and energy on six devices.

Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark",
ICLR 2021, https://arxiv.org/abs/2103.10584

`HW-NAS-Bench-v1_0.pickle` maps `nasbench201` to data set to lists by official
index: `config` (dicts with `arch_str`), `<device>_latency` in milliseconds and
`<device>_energy` in millijoules. They become `<device>_ms` and `<device>_mj`;
devices are edgegpu, raspi4, edgetpu, pixel3, eyeriss and fpga, energies of
edgegpu, eyeriss and fpga. Other lists, and the operators of FBNet, are left
out. Write it as `nb201_hw_nas_bench.npz`.
"""

from collections.abc import Callable
import os

from nagjax.convert.checks import column_of
from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.headers import ROW_ORDER_OFFICIAL
from nagjax.convert.headers import ROW_ORDER_SPACE
from nagjax.convert.headers import Source
from nagjax.convert.nasbench201_costs import build_costs
from nagjax.convert.nasbench201_strings import canonical_string
from nagjax.convert.nasbench201_strings import space_order
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import load_pickle

KIND = "HW-NAS-Bench"
DATA_SET = "cifar10"

_SUFFIXES = {"_latency": "_ms", "_energy": "_mj"}


def hw_nas_bench_pickle(
  path: str | os.PathLike[str],
  *,
  data_set: str = DATA_SET,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts `HW-NAS-Bench-v1_0.pickle`.

  Args:
    path: the file.
    data_set: whose input sizes and classes the costs are of: "cifar10",
      "cifar100" or "ImageNet16-120".
    allow_missing: whether architectures may be missing; their rows read NaN.
    progress_fn: called with the numbers of lists done and to do, or None.

  Returns:
    The table; row `i` is the official index `i`, or that of the space if
    architectures are missing.

  Raises:
    ConversionError: if the file is missing, damaged, incomplete, of another
      form, or lacks the data set.
  """
  content = require_key(load_pickle(path), "nasbench201", path, "the content")
  lists = require_key(content, data_set, path, "nasbench201")
  configs = require_key(lists, "config", path, data_set)
  strings = [
    canonical_string(require_key(config, "arch_str", path, "config"), path)
    for config in require(configs, (list, tuple), path, "config")
  ]
  if len(set(strings)) != len(strings):
    raise ConversionError(
      path,
      "each architecture once in config",
      f"{len(strings):,}, {len(set(strings)):,} of them distinct",
      "The file may be damaged; download it again.",
    )
  is_complete = len(strings) == len(space_order())
  order = strings if is_complete else space_order()
  row_of = {string: row for row, string in enumerate(order)}
  columns = {}
  for done, (name, values) in enumerate(lists.items(), start=1):
    device, _, metric = require(name, str, path, "a name").rpartition("_")
    if f"_{metric}" in _SUFFIXES:
      require(values, (list, tuple), path, name)
      if len(values) != len(strings):
        raise ConversionError(
          path,
          f"{name} to have {len(strings):,} values as config",
          f"{len(values):,}",
          "The file may be damaged; download it again.",
        )
      column = column_of(device, path) + _SUFFIXES[f"_{metric}"]
      columns[column] = {
        row_of[string]: number(value, path, name)
        for string, value in zip(strings, values, strict=True)
      }
    if progress_fn is not None:
      progress_fn(done, len(lists))
  source = Source(
    path=os.fspath(path),
    kind=KIND,
    files=[fingerprint(path)],
    row_order=ROW_ORDER_OFFICIAL if is_complete else ROW_ORDER_SPACE,
    notes=[f"Costs of {data_set}."],
    data_set=data_set.lower(),
  )
  return build_costs(order, columns, source, allow_missing=allow_missing)
