"""Latency and energy of NAS-Bench-201 cells, joined to a table as costs.

Every `nb201_hw*.npz` and `nb201_latency*.npz` of the data directory is read:

  ops               `int[15625, 6]` the cells, any order
  <device>_ms       `f32[15625]` latency, milliseconds
  <device>_mj       `f32[15625]` energy, millijoules

Other arrays are left alone. The names become columns that a search may read, so
`--constraint=raspi4_ms<=5` works; NaN was not measured, and is infeasible under
a limit. Where two files have one name, the file that comes first in the order
of names wins: `nb201_hw_nas_bench.npz`, converted from the publication itself,
before the copy of its columns in `nb201_latency.npz`.

Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark",
ICLR 2021, https://arxiv.org/abs/2103.10584
Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via
Meta-Learning", NeurIPS 2021, https://arxiv.org/abs/2106.08630
Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs", NeurIPS 2020,
https://arxiv.org/abs/2007.08668 (LatBench)
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.files import read_arrays
from nagjax.spaces.base import SearchSpace

PATTERNS = ("nb201_hw*.npz", "nb201_latency*.npz")
UNITS = {"_ms": "ms", "_mj": "mJ"}


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
    ValueError: if a file is damaged, or is none of these cells.
  """
  root = pathlib.Path(directory) if directory else base.data_directory()
  costs: dict[str, np.ndarray] = {}
  for path in sorted(path for p in PATTERNS for path in root.glob(p)):
    costs = {**_read_costs(path, benchmark.space), **costs}
  names = sorted(costs)
  return benchmark.replace(  # type: ignore[attr-defined]
    queried={
      **benchmark.queried,
      **{name: jnp.asarray(costs[name]) for name in names},
    },
    units=(*benchmark.units, *((n, UNITS[n[-3:]]) for n in names)),
  )


def _read_costs(
  path: pathlib.Path, space: SearchSpace
) -> dict[str, np.ndarray]:
  """Columns of one file in the order of the space's index."""
  arrays = read_arrays(path)
  if "ops" not in arrays:
    raise ValueError(f"{path} names its cells by no ops; convert it again.")
  try:
    order = tabular.order_by_index(space, arrays["ops"])
  except ValueError as error:
    raise ValueError(f"{path} {error}") from error
  costs = {}
  for name, column in arrays.items():
    if name.endswith(tuple(UNITS)):
      is_number = column.dtype.kind in "fiu"
      if column.shape != order.shape or not is_number or np.any(column < 0):
        raise ValueError(
          f"{path}: column {name} must hold {len(order)} numbers of 0 or more,"
          f" got others, or {column.dtype}{list(column.shape)}."
        )
      costs[name] = column[order].astype(np.float32)
  return costs
