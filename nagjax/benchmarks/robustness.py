"""Robust accuracies of NAS-Bench-201 cells, joined to a table as columns.

Every `nb201_robustness*.npz` of the data directory is read:

  ops                      `int[15625, 6]` the cells, any order
  <prefix>_<column>        `f32[15625]` accuracy, percent

with a prefix for each data set, such as `cifar100` or `imagenet16_120`; a
benchmark has the columns of its own data set, without the prefix. Their names
are in `nagjax.convert.robustness`, which writes such files. Where two files
have one name, the file that comes first in the order of names wins.

A search may read them, so `--objective=glass_blur_sev3` works. They were
measured on test images, and there are no others: such a search shows what can
be found for an objective, not how that generalizes. `clean` is a test accuracy
as any other, and for the reader only.

Jung, Lukasik and Keuper, "Neural Architecture Design and Robustness: A
Dataset", ICLR 2023, https://openreview.net/forum?id=p8coElqiSDw
"""

import os

from nagjax.benchmarks import beside
from nagjax.benchmarks import tabular

PATTERNS = ("nb201_robustness*.npz",)
CLEAN = "clean"
UNIT = "%"


def with_robustness(
  benchmark: tabular.Tabular,
  directory: str | os.PathLike[str] | None = None,
) -> tabular.Tabular:
  """Adds robust accuracies to the columns that a search may read.

  Args:
    benchmark: a table of NAS-Bench-201 cells, `nasbench201/<data set>`.
    directory: where the files of the module are; see `data_directory`.

  Returns:
    The benchmark with the columns and their units; unchanged if no file has
    any of its data set.

  Raises:
    FileError: if a file is damaged, or is none of these cells.
  """
  start = prefix(benchmark.name.partition("/")[2])
  columns = beside.columns_beside(
    PATTERNS,
    benchmark.space,
    [f"{start}*"],
    maximum=100.0,
    directory=directory,
  )
  return beside.join(
    benchmark,
    {name.removeprefix(start): c.values for name, c in columns.items()},
    lambda _: UNIT,
    reported=(CLEAN,),
  )


def prefix(data_set: str) -> str:
  """What the columns of a data set begin with in a file.

  Example:
    >>> prefix("ImageNet16-120")
    'imagenet16_120_'
  """
  return data_set.lower().replace("-", "_") + "_"
