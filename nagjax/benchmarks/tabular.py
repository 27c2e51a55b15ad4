"""Tabular benchmarks: one row of recorded metrics for every architecture.

A table is a dictionary of `f32[num_rows]` columns in the order of the space's
`index`; a query is a gather. The file of NAS-Bench-201 is `nb201.npz`:

  arch_str                        `[15625]` bytes, official strings, any order
  <prefix>_val, <prefix>_test     accuracy after 200 epochs, percent, seed mean
  <data set>_train_time_per_epoch_s, _params_m, _flops_m
                                  optional; seconds, millions, millions

where a data set is every prefix that has a `_val` column (a trailing `_valid`
belongs to the prefix only: `cifar10_valid_val` is CIFAR-10). Missing values are
NaN and count as failed evaluations.
"""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import io
import math
import os
import pathlib
from typing import Any
from typing import TypeVar
import zipfile
import zlib

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import base
from nagjax.files import read_arrays
from nagjax.spaces import nasbench201 as nasbench201_space
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

VALID_ACCURACY = "valid_accuracy"
TEST_ACCURACY = "test_accuracy"
TRAIN_SECONDS = "train_seconds"
NASBENCH201_FILE = "nb201.npz"
NASBENCH201_EPOCHS = 200

_Table = TypeVar("_Table", bound=Any)

_COST_COLUMNS = {"params_m": "million", "flops_m": "million"}


@struct.dataclass
class Tabular:
  """A `Benchmark` whose answers are columns of a table.

  Attributes:
    queried: columns that a search may read, each `f32[num_rows]`.
    reported: columns for the reader, each `f32[num_rows]`.
    name, space, objective, test, units: see `Benchmark`.
  """

  queried: dict[str, jax.Array]
  reported: dict[str, jax.Array]
  name: str = struct.field(pytree_node=False)
  space: SearchSpace = struct.field(pytree_node=False)
  objective: str = struct.field(pytree_node=False, default=VALID_ACCURACY)
  test: str | None = struct.field(pytree_node=False, default=None)
  units: tuple[tuple[str, str], ...] = struct.field(
    pytree_node=False, default=()
  )

  @property
  def num_rows(self) -> int:
    """Number of rows, one for each architecture of the space."""
    return self.space.num_architectures

  def identities(self, archs: Archs) -> jax.Array:
    """Row of each architecture, `int32[..., L] -> int32[...]`."""
    return self.space.index(archs)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns that a search may read at `archs`, each `f32[...]`."""
    return _gather(self.queried, self.identities(archs))

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns for the reader at `archs`, each `f32[...]`."""
    return _gather(self.reported, self.identities(archs))

  def architectures(self) -> np.ndarray:
    """All architectures by row, `int32[num_rows, L]`."""
    return self.space.all_architectures()


def search_on_test_accuracy(benchmark: _Table) -> _Table:
  """Lets the search read the test accuracy, as some published programs do.

  The result of such a search says nothing about generalization; it exists to
  reproduce published numbers (EDNAG on NAS-Bench-201, for one).

  Args:
    benchmark: a `Tabular`, or another record of columns with its attributes.

  Raises:
    ValueError: if the benchmark has no test column.
  """
  if benchmark.test is None:
    raise ValueError(f"{benchmark.name} has no test column to search on.")
  return benchmark.replace(
    queried={
      **benchmark.queried,
      benchmark.test: benchmark.reported[benchmark.test],
    },
    name=f"search-on-test-accuracy:{benchmark.name}",
    objective=benchmark.test,
  )


def load_nasbench201(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> Tabular:
  """Loads one data set of `nb201.npz` as a benchmark.

  Args:
    data_set: its name, such as "cifar10", "cifar100" or "imagenet16-120".
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark with objective `valid_accuracy`, test column `test_accuracy`
    (if the file has it), costs `params_m` and `flops_m` and, for the reader,
    `train_seconds` (200 epochs).

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, or has no such data set.
  """
  root = base.data_directory(directory)
  path = root / NASBENCH201_FILE
  with _open(path, origin="NAS-Bench-201 or NATS-Bench") as file:
    prefix = _prefix(path, file.files, data_set)
    stem = prefix.removesuffix("_valid")
    order = _nasbench201_order(path, file)
    column = _ColumnReader(path, file, order)
    queried = {VALID_ACCURACY: column.percent(f"{prefix}_val")}
    units = [(VALID_ACCURACY, "%"), (TEST_ACCURACY, "%")]
    for name, unit in _COST_COLUMNS.items():
      if f"{stem}_{name}" in file.files:
        queried[name] = column.read(f"{stem}_{name}")
        units.append((name, unit))
    reported = {}
    if f"{prefix}_test" in file.files:
      reported[TEST_ACCURACY] = column.percent(f"{prefix}_test")
    if f"{stem}_train_time_per_epoch_s" in file.files:
      per_epoch = column.read(f"{stem}_train_time_per_epoch_s")
      reported[TRAIN_SECONDS] = per_epoch * NASBENCH201_EPOCHS
      units.append((TRAIN_SECONDS, "s"))
  return Tabular(
    queried=jax.tree.map(jnp.asarray, queried),
    reported=jax.tree.map(jnp.asarray, reported),
    name=f"nasbench201/{data_set}",
    space=nasbench201_space.nasbench201(),
    test=TEST_ACCURACY if TEST_ACCURACY in reported else None,
    units=tuple(units),
  )


def nasbench201_data_sets(
  directory: str | os.PathLike[str] | None = None,
) -> list[str]:
  """Names of the data sets of `nb201.npz`, or none if the file is absent."""
  root = base.data_directory(directory)
  path = root / NASBENCH201_FILE
  if not path.is_file():
    return []
  with _open(path, origin="NAS-Bench-201 or NATS-Bench") as file:
    return sorted(_data_sets(file.files))


def order_by_index(space: SearchSpace, ops: np.ndarray) -> np.ndarray:
  """Row of a table for every index of its space, `int[num_architectures]`.

  Args:
    space: an enumerable space.
    ops: integers `[num_architectures, L]`, each architecture once.

  Raises:
    ValueError: if it is not; the sentence lacks the file, its subject.
  """
  shape = (space.num_architectures, space.num_variables)
  strides = np.cumprod((1, *space.cardinalities[:-1]))
  if ops.shape == shape and ops.min() >= 0:
    index = ops.astype(np.int64) @ strides
    if np.array_equal(np.sort(index), np.arange(len(index))):
      return np.argsort(index)
  raise ValueError(
    f"must hold each of the {shape[0]} cells once; its ops of shape "
    f"{ops.shape} do not."
  )


def columns_beside(
  patterns: Sequence[str],
  space: SearchSpace,
  wanted_fn: Callable[[str], bool],
  *,
  maximum: float = math.inf,
  directory: str | os.PathLike[str] | None = None,
) -> dict[str, np.ndarray]:
  """Columns of the files that lie beside a table, in the order of the index.

  Args:
    patterns: of the files' names. Each is a `.npz` whose `ops` names the cells,
      in any order. Where two files have a column, that of the file which comes
      first in the order of names wins.
    space: the space of the table.
    wanted_fn: tells by its name whether an array is such a column.
    maximum: the largest value; the smallest is 0, and NaN is not known.
    directory: where the files are; see `data_directory`.

  Returns:
    For each name, in their order, `f32[num_architectures]`.

  Raises:
    ValueError: if a file is damaged, or is none of these cells.
  """
  root = base.data_directory(directory)
  columns: dict[str, np.ndarray] = {}
  for path in sorted(path for p in patterns for path in root.glob(p)):
    columns = {**_columns_of(path, space, wanted_fn, maximum), **columns}
  return {name: columns[name] for name in sorted(columns)}


def join(
  benchmark: Tabular,
  columns: Mapping[str, np.ndarray],
  unit_fn: Callable[[str], str],
  *,
  reported: Container[str] = (),
) -> Tabular:
  """Adds columns to a table.

  Args:
    benchmark: the table.
    columns: for each name `[num_rows]`, in the order of the index.
    unit_fn: gives the unit of a name.
    reported: names that only the reader sees; a search may read the others.
  """
  arrays = {name: jnp.asarray(column) for name, column in columns.items()}
  shown = {name: array for name, array in arrays.items() if name in reported}
  return benchmark.replace(  # type: ignore[attr-defined]
    queried={
      **benchmark.queried,
      **{name: array for name, array in arrays.items() if name not in shown},
    },
    reported={**benchmark.reported, **shown},
    units=(*benchmark.units, *((name, unit_fn(name)) for name in arrays)),
  )


def _columns_of(
  path: pathlib.Path,
  space: SearchSpace,
  wanted_fn: Callable[[str], bool],
  maximum: float,
) -> dict[str, np.ndarray]:
  """The wanted columns of one file."""
  arrays = read_arrays(path)
  if "ops" not in arrays:
    raise ValueError(f"{path} names its cells by no ops; convert it again.")
  try:
    order = order_by_index(space, arrays["ops"])
  except ValueError as error:
    raise ValueError(f"{path} {error}") from error
  limits = "of 0 or more" if maximum == math.inf else f"in [0, {maximum:g}]"
  columns = {}
  for name, column in arrays.items():
    if wanted_fn(name):
      is_number = column.dtype.kind in "fiu"
      if (
        column.shape != order.shape
        or not is_number
        or np.any((column < 0) | (column > maximum))
      ):
        raise ValueError(
          f"{path}: column {name} must hold {len(order)} numbers {limits}, got"
          f" others, or {column.dtype}{list(column.shape)}."
        )
      columns[name] = column[order].astype(np.float32)
  return columns


def _gather(
  columns: dict[str, jax.Array], rows: jax.Array
) -> dict[str, jax.Array]:
  return {name: column[rows] for name, column in columns.items()}


def _open(path: pathlib.Path, *, origin: str) -> np.lib.npyio.NpzFile:
  advice = (
    f"convert your copy of {origin} with `python -m experiments.convert "
    f"--format=FORMAT --source=COPY --output={path}`, or name "
    f"another directory with --data_dir or {base.DATA_DIRECTORY_VARIABLE}"
  )
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there: {advice}.")
  try:
    # From memory: a damaged archive would leave an open file behind.
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
  except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(
      f"{path} is not a readable .npz file ({error}): {advice}."
    ) from error


def _data_sets(names: list[str]) -> dict[str, str]:
  """Maps data-set names to the column prefixes of a file."""
  prefixes = [n.removesuffix("_val") for n in names if n.endswith("_val")]
  return {p.replace("_", "-").removesuffix("-valid"): p for p in prefixes}


def _prefix(path: pathlib.Path, names: list[str], data_set: str) -> str:
  known = _data_sets(names)
  if data_set not in known:
    raise ValueError(
      f"{path} holds the data sets {', '.join(sorted(known)) or '(none)'}, got "
      f"{data_set!r}."
    )
  return known[data_set]


def _nasbench201_order(
  path: pathlib.Path, file: np.lib.npyio.NpzFile
) -> np.ndarray:
  """Row of the file for every index of the space, `int[15625]`."""
  space = nasbench201_space.nasbench201()
  if "ops" in file.files:
    ops = _read(path, file, "ops")
  elif "arch_str" in file.files:
    strings = [bytes(s).decode("ascii") for s in _read(path, file, "arch_str")]
    ops = np.stack([nasbench201_space.from_string(s) for s in strings])
  else:
    raise ValueError(
      f"{path} names its architectures neither by ops nor by arch_str."
    )
  try:
    return order_by_index(space, ops)
  except ValueError as error:
    raise ValueError(f"{path} {error}") from error


@dataclasses.dataclass(frozen=True)
class _ColumnReader:
  """Reads columns in the order of the space's index, with checks."""

  path: pathlib.Path
  file: np.lib.npyio.NpzFile
  order: np.ndarray

  def read(self, name: str) -> np.ndarray:
    column = _read(self.path, self.file, name)
    if column.shape != self.order.shape:
      raise ValueError(
        f"{self.path}: column {name} must have shape {self.order.shape}, got "
        f"{column.shape}."
      )
    return column[self.order].astype(np.float32)

  def percent(self, name: str) -> np.ndarray:
    column = self.read(name)
    finite = column[np.isfinite(column)]
    if finite.size == 0 or finite.min() < 0 or finite.max() > 100:
      raise ValueError(
        f"{self.path}: column {name} must hold accuracies in percent."
      )
    return column


def _read(
  path: pathlib.Path, file: np.lib.npyio.NpzFile, name: str
) -> np.ndarray:
  try:
    return file[name]
  except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as e:
    raise ValueError(
      f"{path}: array {name} cannot be read ({e}); convert the file again."
    ) from e
