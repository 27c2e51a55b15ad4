"""Latency and energy of NAS-Bench-201 cells, joined to a table as columns.

Every `nb201_hw*.npz` and `nb201_latency*.npz` of the data directory is read:

  ops               `int[15625, 6]` the cells, any order
  <device>_ms       `f32[15625]` latency, milliseconds
  <device>_mj       `f32[15625]` energy, millijoules
  <task>_acc        `f32[15625]` accuracy on another task, percent

  header            JSON, optional; `data_set` says for which the costs were
                    measured

Other arrays are left alone. The names become columns that a search may read, so
`--constraint=raspi4_ms<=5` works; NaN was not measured, and is infeasible under
a limit. Where two files have one name, the one that was measured for the
benchmark's data set wins; a column that was measured for another says so in its
unit (`ms, cifar10`). Else the file that comes first in the order of names wins:
`nb201_hw_nas_bench.npz`, converted from the publication itself,
before the copy of its columns in `nb201_latency.npz`. Accuracies on other tasks
(NinaPro) are test accuracies and there are no others: such a search shows what
can be found for an objective, not how that generalizes.

Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark",
ICLR 2021, https://arxiv.org/abs/2103.10584
Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via
Meta-Learning", NeurIPS 2021, https://arxiv.org/abs/2106.08630
Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs", NeurIPS 2020,
https://arxiv.org/abs/2007.08668 (LatBench)
Tu et al., "NAS-Bench-360", NeurIPS 2022, https://arxiv.org/abs/2110.05668
"""

import os

from nagjax.benchmarks import beside
from nagjax.benchmarks import tabular

PATTERNS = ("nb201_hw*.npz", "nb201_latency*.npz")
MEASURED_ON = {"raspi4_ms": "cifar10", "eyeriss_ms": "cifar10"}
"""Columns of HW-NAS-Bench whose copies in `nb201_latency.npz` do not say it."""
UNITS = {"_ms": "ms", "_mj": "mJ", "_acc": "%"}


def with_hardware(
  benchmark: tabular.Tabular,
  directory: str | os.PathLike[str] | None = None,
) -> tabular.Tabular:
  """Adds what is known of devices to the columns that a search may read.

  Args:
    benchmark: a table of NAS-Bench-201 cells.
    directory: where the files of the module are; see `data_directory`.

  Returns:
    The benchmark with the columns and their units; unchanged if there are no
    such files.

  Raises:
    FileError: if a file is damaged, or is none of these cells.
  """
  data_set = benchmark.name.partition("/")[2]
  costs = beside.columns_beside(
    PATTERNS,
    benchmark.space,
    [f"*{suffix}" for suffix in UNITS],
    data_set=data_set,
    directory=directory,
  )

  def unit(name: str) -> str:
    measured_on = costs[name].data_set or MEASURED_ON.get(name)
    suffix = "" if measured_on in (None, data_set) else f", {measured_on}"
    return UNITS["_" + name.rpartition("_")[2]] + suffix

  values = {name: column.values for name, column in costs.items()}
  return beside.join(benchmark, values, unit)
