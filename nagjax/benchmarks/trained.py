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
import functools
import importlib.resources
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.spaces import nasbench201

KIND = "nagjax trained table"
METRICS = tuple(
  f"{split}_{metric}"
  for split in ("valid", "test")
  for metric in ("accuracy", "cross_entropy", "probability")
)
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
    place = _shipped_path()
  elif kind == "trained" and data_set:
    place = contextlib.nullcontext(_path(data_set, directory))
  else:
    return None
  with place as path:
    header = files.read_arrays(path)["header"]
  return json.loads(str(header)).get("settings")


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
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there: make it with `python -m "
      f"experiments.build_benchmark --images=FILE --output={path}`."
    )
  space = nasbench201.nasbench201()
  try:
    arrays = files.read_arrays(path)
    header = json.loads(str(arrays["header"]))
    if header["kind"] != KIND:
      raise ValueError(f"its kind is {header['kind']!r}")
    if num := header.get("settings", {}).get("num_representatives"):
      raise ValueError(f"a trial with {num} representatives has not all cells")
    order = tabular.order_by_index(space, arrays["ops"])
    works = ~arrays["failed"][order]
    metrics = {
      key: mean_over_seeds(arrays[key][order], works) for key in METRICS
    }
    costs = {key: arrays[key][order] for key in ("params_m", "flops_m")}
  except (ValueError, KeyError, IndexError, TypeError) as error:
    raise ValueError(
      f"{path} is no complete table of experiments.build_benchmark ({error})."
    ) from error
  for key in (VALID_PROBABILITY, TEST_PROBABILITY):
    metrics[key] *= 100.0
  queried = {key: metrics[key] for key in METRICS if key.startswith("valid")}
  reported = {key: metrics[key] for key in METRICS if key.startswith("test")}
  as_columns = functools.partial(
    jax.tree.map, lambda column: jnp.asarray(column, jnp.float32)
  )
  return tabular.Tabular(
    queried=as_columns({**queried, **costs}),
    reported=as_columns(reported),
    name=name,
    space=space,
    objective=VALID_PROBABILITY,
    test=tabular.TEST_ACCURACY,
    units=tuple((key, _unit(key)) for key in (*METRICS, *costs)),
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
