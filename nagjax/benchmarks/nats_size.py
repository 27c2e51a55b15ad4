"""NATS-Bench's size space: one row for each of 32,768 combinations of widths.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for
Architecture Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437

The file is `nats_size.npz`, which `experiments.convert
--format=nats-bench-size` writes. It has the columns of `nb201.npz`, see
`tabular`, of networks trained for 90 epochs; `ops` are positions of widths.
"""

import os

from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.spaces import nats_size as space_lib

FILE = "nats_size.npz"
NUM_EPOCHS = 90


def load_nats_size(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads one data set of `nats_size.npz` as a benchmark.

  Args:
    data_set: its name, such as "cifar10".
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark as `tabular.load_nasbench201`, with `train_seconds` of 90
    epochs.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged.
    ValueError: if it has no such data set.
  """
  path = base.data_directory(directory) / FILE
  advice = (
    "Convert the directory NATS-sss-v1_0-50262-simple with `python -m "
    "experiments.convert --format=nats-bench-size --source=DIRECTORY "
    f"--output={path}`, or name another directory with --data_dir or "
    f"{base.DATA_DIRECTORY_VARIABLE}."
  )
  official = tabular.Official(
    table="nats-size",
    title="table of NATS-Bench's size space",
    space=space_lib.nats_size(),
    num_epochs=NUM_EPOCHS,
    advice=advice,
  )
  return tabular.load_official(path, data_set, official)


def data_sets(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """Names of the data sets of the file, or none if it is absent."""
  path = base.data_directory(directory) / FILE
  return sorted(tabular.official_data_sets(path))
