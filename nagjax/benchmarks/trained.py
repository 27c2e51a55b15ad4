"""Tables made by `experiments.build_benchmark` from images.

A file holds, one row an architecture:

  ops               `int8[n, 6]` operations
  isomorph          `int16[n]` index of the trained representative
  valid_accuracy, test_accuracy
                    `f32[n, S]` percent, one column a seed
  valid_cross_entropy, test_cross_entropy
                    `f32[n, S]` mean, nats
  valid_probability, test_probability
                    `f32[n, S]` mean probability of the true class
  failed            `bool[n, S]` trainings that diverged; their metrics are
                    those of a blind guess
  valid_<metric>_epoch_<e>
                    `f32[n, S]` likewise, after fewer epochs of these trainings:
                    the fidelities of the table
  params_m, flops_m `f32[n]` million parameters, million multiplications
  header            JSON: the settings of the build

The objective is the mean probability of the true class, in percent: it ranks
like the accuracy, and repeats better from seed to seed, because it is smooth.

A table of a part of the classes of cells is a benchmark of that part, see
`part`.

Such tables ship: `digits`, the cells of NAS-Bench-201, trained on the digits of
scikit-learn with clutter, and `digits-epochs`, a part of them, trained less,
with earlier epochs; `data/digits.manifest.json` and its fellow tell how.
"""

import contextlib
import importlib.resources
import os
import pathlib
from typing import Any

import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns as columns_lib
from nagjax.benchmarks import epochs as epochs_lib
from nagjax.benchmarks import tabular
from nagjax.spaces import nasbench201

KIND = "nagjax trained table"
METRICS = tuple(
  f"{split}_{metric}"
  for split in ("valid", "test")
  for metric in ("accuracy", "cross_entropy", "probability")
)
_COSTS = ("params_m", "flops_m")
VALID_PROBABILITY = "valid_probability"
TEST_PROBABILITY = "test_probability"
PREFIX = "trained_"
"""Of the files of user-made tables in the data directory."""
DIGITS = "digits"
"""The benchmark of the package's own table of all cells."""
DIGITS_EPOCHS = "digits-epochs"
"""That of a part of the cells, with what they were worth at earlier epochs."""
SHIPPED = (DIGITS, DIGITS_EPOCHS)


def shipped(name: str) -> tabular.Tabular:
  """Loads a table that ships, see `load`.

  Args:
    name: one of `SHIPPED`, which is also that of the benchmark.
  """
  with _shipped_path(name) as path:
    return load(path, name=name)


def digits() -> tabular.Tabular:
  """The benchmark `digits` of the 15,625 cells of NAS-Bench-201."""
  return shipped(DIGITS)


def _shipped_path(
  name: str,
) -> contextlib.AbstractContextManager[pathlib.Path]:
  folder = importlib.resources.files("nagjax.benchmarks") / "data"
  file = name.replace("-", "_") + ".npz"
  return importlib.resources.as_file(folder / file)


def load_trained(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads a table of the data directory by its name there; see `load`."""
  return load(_path(data_set, directory), name=f"trained/{data_set}")


def settings(
  name: str, *, directory: str | os.PathLike[str] | None = None
) -> dict[str, Any] | None:
  """How the table of a benchmark was built; None if it is no such table.

  Args:
    name: of the benchmark, `digits` or `trained/<data set>`.
    directory: of the data, see `base.data_directory`.
  """
  kind, _, data_set = name.partition("/")
  if name in SHIPPED:
    with _shipped_path(name) as path:
      return files.read_header(path, KIND).get("settings")
  if kind == "trained" and data_set:
    header = files.read_header(_path(data_set, directory), KIND)
    return header.get("settings")
  return None


def data_sets(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """Names of the tables in the data directory."""
  return sorted(_tables(base.data_directory(directory)))


def _path(
  data_set: str, directory: str | os.PathLike[str] | None
) -> pathlib.Path:
  """Where the table of a data set is, or would be."""
  root = base.data_directory(directory)
  return _tables(root).get(data_set, root / f"{PREFIX}{data_set}.npz")


def _tables(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """Tables by the names of their data sets, which have `-` for `_`."""
  paths = sorted(root.glob(f"{PREFIX}*.npz"))
  return {p.stem.removeprefix(PREFIX).replace("_", "-"): p for p in paths}


def load(path: str | os.PathLike[str], *, name: str) -> tabular.Tabular:
  """Loads a table as a benchmark; metrics are means over its seeds.

  Args:
    path: the file.
    name: of the benchmark.

  Returns:
    A benchmark with objective `valid_probability` and test column
    `test_accuracy`, both percent. An architecture whose trainings all failed
    is a failed evaluation. Of a part of the space, it is a benchmark of that.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged or lacks architectures.
  """
  path = files.expand(path)
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there: make it with `python -m "
      f"experiments.build_benchmark --images=FILE --output={path}`."
    )
  space = nasbench201.nasbench201()
  with files.reading(path, "table of experiments.build_benchmark"):
    settings = dict(files.read_header(path, KIND).get("settings", {}))
    is_part = bool(settings.get("num_representatives"))
    num = "cells" if is_part else space.num_architectures
    by_seed = files.Declared("f", (num, "seeds"))
    declared = {
      "ops": files.Declared("iu", (num, space.num_variables)),
      "failed": files.Declared("b", (num, "seeds")),
      **{key: by_seed for key in METRICS},
      **{key: files.Declared("f", (num,)) for key in _COSTS},
      epochs_lib.at_epoch("valid_*", "*"): by_seed,
    }
    arrays = files.read_arrays(path, declared)
    ops = arrays.pop("ops")
    if not is_part:
      order = columns_lib.order_by_index(space, ops)
      arrays = {key: arrays[key][order] for key in arrays}
    works = ~arrays.pop("failed")
    columns = {
      key: arrays[key] if key in _COSTS else mean_over_seeds(arrays[key], works)
      for key in arrays
    }
    for key in columns:
      if "probability" in key:
        columns[key] = columns[key] * 100.0
    last = dict(settings.get("recipe", {})).get("num_epochs", 0)
    lower, fidelities = {}, None
    for key in METRICS:
      found, rows = epochs_lib.stages(columns, key, last)
      if found is not None:
        if fidelities not in (None, found):
          raise ValueError(f"{key} has other epochs than other metrics")
        fidelities, lower[key] = found, np.stack(rows)
    known = (*METRICS, *_COSTS)
    return tabular.Tabular(
      queried={k: columns[k] for k in known if "test" not in k},
      reported={k: columns[k] for k in known if "test" in k},
      name=name,
      space=space,
      archs=ops if is_part else None,
      objective=VALID_PROBABILITY,
      test=tabular.TEST_ACCURACY,
      units=tuple((key, _unit(key)) for key in known),
      fidelities=fidelities,
      lower=lower,
    )


def mean_over_seeds(values: np.ndarray, works: np.ndarray) -> np.ndarray:
  """What a table serves, `f64[n]`: the mean over the seeds that work.

  Args:
    values: `[n, S]`.
    works: `bool[n, S]`; NaN where none does.
  """
  count = works.sum(axis=1)
  total = np.where(works, values.astype(np.float64), 0.0).sum(axis=1)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _unit(column: str) -> str:
  if column.endswith("cross_entropy"):
    return "nats"
  return "million" if column.endswith("_m") else "%"
