"""Accuracies of NAS-Bench-201 cells on analog hardware, joined as columns.

Every `analog_nasbench*.npz` of the data directory is read:

  ops                      `int[15625, 6]` the cells, any order; a file without
                           it has the rows of `nb201.npz`
  <way>_acc, <way>_drift_* `f32[15625]` accuracy on CIFAR-10, percent

`nagjax.convert.analog_nasbench` writes such files and says what they hold. The
benchmark `nasbench201/cifar10` has the columns, and a search may read them, so
`--objective=analog_acc` and `--objective=analog_drift_2592000` work. They were
measured on test images, and there are no others: such a search shows what can
be found for an objective, not how that generalizes. `baseline_acc` is a test
accuracy as any other, and for the reader only.

In the published file some accuracies a minute after programming exceed those
before it: by more than a point in 12 cells, by 30 points in that of skips only.
"""

import os

from nagjax.benchmarks import beside
from nagjax.benchmarks import tabular

PATTERNS = ("analog_nasbench*.npz",)
DATA_SET = "cifar10"
"""Whose images they were measured on."""
BASELINE = "baseline_acc"
UNIT = "%"


def with_analog(
  benchmark: tabular.Tabular,
  directory: str | os.PathLike[str] | None = None,
) -> tabular.Tabular:
  """Adds accuracies on analog hardware to what a search may read.

  Args:
    benchmark: a table of NAS-Bench-201 cells, `nasbench201/<data set>`.
    directory: where the files of the module are; see `data_directory`.

  Returns:
    The benchmark with the columns and their units; unchanged if it is of
    another data set than `DATA_SET`, or there is no such file.

  Raises:
    FileError: if a file is damaged, or is none of these cells.
  """
  if benchmark.name.partition("/")[2] != DATA_SET:
    return benchmark
  columns = beside.columns_beside(
    PATTERNS,
    benchmark.space,
    ["*_acc", "*_drift_*"],
    maximum=100.0,
    rows_of=tabular.NASBENCH201_FILE,
    directory=directory,
  )
  return beside.join(
    benchmark,
    {name: column.values for name, column in columns.items()},
    lambda _: UNIT,
    reported=(BASELINE,),
  )
