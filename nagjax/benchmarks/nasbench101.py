"""The table of NAS-Bench-101: one row for each of its 423,624 cells.

The file is `nb101.npz`, rows in any order:

  n_vertices     `[A]` number of vertices V of the pruned cell, 2..7
  adj_bits       `[A]` bit `x + y (y - 1) / 2` is the edge x -> y
  ops            `[A, 5]` operations of vertices 1..V-2: 0 conv3x3, 1 conv1x1,
                 2 maxpool3x3; the rest is -1
  test_acc       `[A]` **fraction**, mean of the runs at 108 epochs
  val_acc        optional, the same on the validation images
  params         `[A]` number of trainable parameters

Without `val_acc` there is nothing but the test accuracy that a search could
read: the objective is then called `mean_test_accuracy`, wherever it is shown.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.spaces import graphs
from nagjax.spaces import nasbench101 as space_lib
from nagjax.types import Archs

FILE = "nb101.npz"
NAME = "nasbench101/cifar10"
MEAN_TEST_ACCURACY = "mean_test_accuracy"
PARAMS = "params_m"


def load_nasbench101(
  *, directory: str | os.PathLike[str] | None = None
) -> tabular.Tabular:
  """Loads `nb101.npz` as a benchmark.

  Args:
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark with objective `valid_accuracy`, test column `test_accuracy` and
    `params_m`, a cost. If the file has no `val_acc`, the objective is
    `mean_test_accuracy`, the same number as the test column: **such a search
    reads test accuracies**, and says nothing about generalization.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged, has impossible values, or does not hold each
      of the 423,624 graphs once.
  """
  root = base.data_directory(directory)
  path = root / FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there: convert your copy of NAS-Bench-101, or name "
      f"another directory with --data_dir or {base.DATA_DIRECTORY_VARIABLE}."
    )
  num = space_lib.NUM_ARCHITECTURES
  declared = {
    "n_vertices": files.Declared("iu", (num,)),
    "adj_bits": files.Declared("iu", (num,)),
    "ops": files.Declared("iu", (num, 5)),
    "test_acc": files.Declared("f", (num,)),
    "val_acc": files.Declared("f", (num,), optional=True),
    "params": files.Declared("fiu", (num,)),
  }
  try:
    arrays = files.read_arrays(path, declared)
    with files.reading(path, "table of NAS-Bench-101"):
      return _table(arrays)
  except files.FileError as error:
    raise files.FileError(
      f"{error} Convert your copy of NAS-Bench-101 again."
    ) from error


def vectors(
  num_vertices: np.ndarray, adjacency_bits: np.ndarray, operations: np.ndarray
) -> np.ndarray:
  """Turns the file's description of graphs into vectors (host).

  Args:
    num_vertices: `int[A]`.
    adjacency_bits: `int[A]`.
    operations: `int[A, 5]`, -1 where a graph has no such vertex.

  Returns:
    `int32[A, 26]`.

  Raises:
    ValueError: if a number is out of its range.
  """
  num = num_vertices.astype(np.int64)[:, None]
  bits = adjacency_bits.astype(np.int64)[:, None]
  inner = np.arange(1, space_lib.NUM_VERTICES - 1) < num - 1
  if not (
    np.all((num >= 2) & (num <= space_lib.NUM_VERTICES))
    and np.all((bits >= 0) & (bits < 1 << (num * (num - 1) // 2)))
    and np.all(np.where(inner, operations >= 0, operations == -1))
    and np.all(operations < len(space_lib.OPERATIONS))
  ):
    raise ValueError(
      "n_vertices must be in 2..7, adj_bits without bits of other vertices, "
      "ops in 0..2 at inner vertices and -1 elsewhere."
    )
  source, target = graphs.edge_ends(space_lib.NUM_VERTICES)
  # Vertex V - 1, the output, becomes vertex 6.
  is_last = target == space_lib.NUM_VERTICES - 1
  end = np.where(is_last, num - 1, target)
  exists = (source < end) & (is_last | (target < num - 1))
  edges = (bits >> (source + end * (end - 1) // 2)) & exists
  edges = np.where(exists, edges, 0)
  return np.concatenate(
    [edges, np.maximum(operations, 0)], axis=1, dtype=np.int32
  )


def _table(arrays: dict[str, np.ndarray]) -> tabular.Tabular:
  """Makes the benchmark of a file's arrays, with checks."""
  num_rows = space_lib.NUM_ARCHITECTURES
  archs = vectors(arrays["n_vertices"], arrays["adj_bits"], arrays["ops"])
  codes, valid = map(np.asarray, _codes(jnp.asarray(archs)))
  order = np.argsort(codes)
  codes = codes[order]
  if not valid.all() or np.any(codes[1:] == codes[:-1]):
    raise ValueError(
      f"its rows must be {num_rows} different cells; {(~valid).sum()} are no "
      f"cells and {num_rows - len(np.unique(codes))} repeat another."
    )
  params = arrays["params"][order] / 1e6
  if not np.all((params > 0) & (params < 1e3)):
    raise ValueError("params must be numbers of parameters.")
  test = _percent("test_acc", arrays["test_acc"][order])
  if "val_acc" in arrays:
    objective = tabular.VALID_ACCURACY
    searched = _percent("val_acc", arrays["val_acc"][order])
  else:
    objective, searched = MEAN_TEST_ACCURACY, test
  queried = {objective: searched, PARAMS: params}
  return tabular.Tabular(
    queried=queried,
    reported={tabular.TEST_ACCURACY: test},
    name=NAME,
    space=space_lib.nasbench101(),
    objective=objective,
    test=tabular.TEST_ACCURACY,
    units=(
      (objective, "%"),
      (tabular.TEST_ACCURACY, "%"),
      (PARAMS, "million"),
    ),
    archs=jax.jit(space_lib.from_codes)(codes).astype(jnp.int8),
    key_fn=_key,
    keys=jnp.asarray(codes)[:, None],
  )


def _key(archs: Archs) -> jax.Array:
  """A graph's code as the only word of its key."""
  return space_lib.codes(archs)[..., None]


@jax.jit
def _codes(archs: Archs) -> tuple[jax.Array, jax.Array]:
  return space_lib.codes(archs), space_lib.is_valid(archs)


def _percent(name: str, fraction: np.ndarray) -> np.ndarray:
  """A column of fractions in percent, `f32[A]`."""
  if not np.all((fraction >= 0) & (fraction <= 1)):
    raise ValueError(f"{name} must hold fractions in 0..1.")
  return (fraction * 100.0).astype(np.float32)
