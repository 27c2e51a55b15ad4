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
  params_m, flops_m `f32[n]` million parameters, million multiplications
  header            JSON: the settings of the build

The objective is the mean probability of the true class, in percent: it ranks
like the accuracy, and repeats better from seed to seed, because it is smooth.

One such table ships, `digits`: the cells of NAS-Bench-201, trained on the
digits of scikit-learn with clutter; `data/digits.manifest.json` tells how.
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
SHIPPED = "digits"
"""The benchmark of the package's own table."""


def digits() -> tabular.Tabular:
  """Loads the table that ships, see `load`.

  Returns:
    The benchmark `digits` of the 15,625 cells of NAS-Bench-201.
  """
  with _shipped_path() as path:
    return load(path, name=SHIPPED)


def _shipped_path() -> contextlib.AbstractContextManager[pathlib.Path]:
  folder = importlib.resources.files("nagjax.benchmarks") / "data"
  return importlib.resources.as_file(folder / f"{SHIPPED}.npz")


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
  if name == SHIPPED:
    with _shipped_path() as path:
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
    is a failed evaluation.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged or lacks architectures.
  """
  path = files.expand(path)
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there: make it with `python -m "
      f"experiments.build_benchmark --images=FILE --output={path}`."
    )
  space = nasbench201.nasbench201()
  num = space.num_architectures
  declared = {
    "ops": files.Declared("iu", (num, space.num_variables)),
    "failed": files.Declared("b", (num, "seeds")),
    **{key: files.Declared("f", (num, "seeds")) for key in METRICS},
    **{key: files.Declared("f", (num,)) for key in _COSTS},
  }
  with files.reading(path, "table of experiments.build_benchmark"):
    # A trial lacks cells, which says more than the shape of its arrays.
    settings = dict(files.read_header(path, KIND).get("settings", {}))
    if trial := settings.get("num_representatives"):
      raise ValueError(f"a trial of {trial} representatives lacks cells")
    arrays = files.read_arrays(path, declared)
    order = columns_lib.order_by_index(space, arrays["ops"])
    arrays = {key: arrays[key][order] for key in arrays if key != "ops"}
    works = ~arrays.pop("failed")
    columns = {key: mean_over_seeds(arrays[key], works) for key in METRICS}
    columns |= {key: arrays[key] for key in _COSTS}
    for key in (VALID_PROBABILITY, TEST_PROBABILITY):
      columns[key] = columns[key] * 100.0
    reported = {key: columns.pop(key) for key in METRICS if "test" in key}
    return tabular.Tabular(
      queried=columns,
      reported=reported,
      name=name,
      space=space,
      objective=VALID_PROBABILITY,
      test=tabular.TEST_ACCURACY,
      units=tuple((key, _unit(key)) for key in (*METRICS, *_COSTS)),
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
