"""NAS-Bench-201's trainings of 12 and of 200 epochs, of a part of the cells.

The file is `nb201_hp12_1000.npz`, extracted from NATS-Bench, with

  row               `int[n]` cells, by their rows in `nb201.npz`
  fields            names of the columns of the others
  <data set>_hp12, <data set>_hp200
                    `f32[n, fields]` of trainings of 12 and of 200 epochs, of
                    one seed

of which the accuracies on test images are read, in percent. There are no
others, so that such a search shows what can be found for an objective, not how
that generalizes (as of NinaPro in `hardware`). A training of 12 epochs is none
that goes on to 200: its learning rate falls to 0 within them.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for
Architecture Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437
"""

import os

import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns as columns_lib
from nagjax.benchmarks import epochs as epochs_lib
from nagjax.benchmarks import tabular
from nagjax.spaces import nasbench201

FILE = "nb201_hp12_1000.npz"
OBJECTIVE = "accuracy"
_LOW, _FULL = "_hp12", "_hp200"
_FIELD = b"test_accuracy"


def data_sets(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """Names of the data sets of the file, or none if it is absent."""
  path = base.data_directory(directory) / FILE
  if not path.is_file():
    return []
  names = set(files.array_names(path))
  found = (name.removesuffix(_LOW) for name in names if name.endswith(_LOW))
  return sorted(name for name in found if name + _FULL in names)


def load(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads one data set as a benchmark of the cells that the file holds.

  Args:
    data_set: its name, such as "cifar10".
    directory: where the file, and `nb201.npz`, are; see `data_directory`.

  Returns:
    A benchmark with the objective `accuracy`, whose fidelities are 12 and 200
    epochs.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged, or `nb201.npz` is damaged or not there.
    ValueError: if it has no such data set.
  """
  root = base.data_directory(directory)
  path = root / FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there; name another directory with --data_dir or "
      f"{base.DATA_DIRECTORY_VARIABLE}."
    )
  if data_set not in (known := data_sets(directory)):
    raise ValueError(
      f"{path} holds the data sets {', '.join(known) or '(none)'}, got "
      f"{data_set!r}."
    )
  space = nasbench201.nasbench201()
  whole = (space.num_architectures, space.num_variables)
  ops = files.read_arrays(
    root / tabular.NASBENCH201_FILE, {"ops": files.Declared("iu", whole)}
  )["ops"]
  values = files.Declared("f", ("cells", "fields"))
  with files.reading(path, "table of trainings of 12 and 200 epochs"):
    arrays = files.read_arrays(
      path,
      {
        "row": files.Declared("iu", ("cells",)),
        "fields": files.Declared("S", ("fields",)),
        data_set + _LOW: values,
        data_set + _FULL: values,
      },
    )
    row, fields = arrays["row"], arrays["fields"].tolist()
    if _FIELD not in fields or row.min() < 0 or row.max() >= len(ops):
      raise ValueError("its rows or its fields are others")
    place = fields.index(_FIELD)
    low, full = (arrays[data_set + name][:, place] for name in (_LOW, _FULL))
    for name, column in (("12", low), ("200", full)):
      columns_lib.check_percent(f"of {name} epochs", column)
    return tabular.Tabular(
      queried={OBJECTIVE: full},
      space=space,
      archs=ops[row],
      name=f"nasbench201-hp12/{data_set}",
      units=((OBJECTIVE, "%"),),
      fidelities=epochs_lib.short_training(tabular.NASBENCH201_EPOCHS),
      lower={OBJECTIVE: np.stack([low])},
    )
