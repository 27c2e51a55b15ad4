"""Columns of files that lie beside a table, joined to it by the cells."""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Mapping
from collections.abc import Sequence
import math
import os
import pathlib
import re
from typing import Any
from typing import NamedTuple

import jax
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns as columns_lib
from nagjax.benchmarks.tabular import Tabular
from nagjax.spaces.base import SearchSpace

_DATA_SET = re.compile(r"[A-Za-z0-9-]{1,40}")


class Beside(NamedTuple):
  """A column of a file that lies beside a table.

  Attributes:
    values: `f32[num_architectures]` in the order of the index.
    data_set: for which it was measured; None if the file does not say.
  """

  values: jax.Array
  data_set: str | None


def columns_beside(
  patterns: Sequence[str],
  space: SearchSpace,
  names: Sequence[str],
  *,
  data_set: str | None = None,
  maximum: float = math.inf,
  rows_of: str | None = None,
  directory: str | os.PathLike[str] | None = None,
) -> dict[str, Beside]:
  """Columns of the files that lie beside a table.

  Args:
    patterns: of the files' names. Each is a `.npz` whose `ops` names the cells,
      in any order (see `rows_of`); its header may say its `data_set`.
    space: the space of the table.
    names: patterns of the names of the columns.
    data_set: that of the table. Where several files have a column, one that was
      measured for this data set wins, then the first in the order of names.
    maximum: the largest value; the smallest is 0, and NaN is not known.
    rows_of: name of the file whose rows those files have that lack `ops`; None
      if all need it.
    directory: where the files are; see `data_directory`.

  Returns:
    For each name, in their order, the column.

  Raises:
    FileError: if a file is damaged, or is none of these cells.
  """
  root = base.data_directory(directory)
  found: dict[str, Beside] = {}
  for path in sorted(path for p in patterns for path in root.glob(p)):
    rows = None if rows_of is None else root / rows_of
    for name, column in _columns_of(path, space, names, maximum, rows).items():
      known = found.get(name)
      if known is None or data_set == column.data_set != known.data_set:
        found[name] = column
  return {name: found[name] for name in sorted(found)}


def join(
  benchmark: Tabular,
  columns: Mapping[str, jax.Array],
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
  shown = {name: columns[name] for name in columns if name in reported}
  read = {name: columns[name] for name in columns if name not in reported}
  return benchmark.replace(
    queried={**benchmark.queried, **read},
    reported={**benchmark.reported, **shown},
    units=(*benchmark.units, *((name, unit_fn(name)) for name in columns)),
  )


def _columns_of(
  path: pathlib.Path,
  space: SearchSpace,
  names: Sequence[str],
  maximum: float,
  rows_of: pathlib.Path | None,
) -> dict[str, Beside]:
  """The wanted columns of one file."""
  num = space.num_architectures
  ops = {"ops": files.Declared("iu", (num, space.num_variables))}
  declared = {
    name: files.Declared(columns_lib.NUMBERS, (num,)) for name in names
  }
  if rows_of is not None and "ops" not in files.array_names(path):
    arrays, header = files.read_record(path, declared)
    try:
      arrays |= files.read_arrays(rows_of, ops)
    except files.FileError as error:
      raise files.FileError(
        f"{path} has no array ops, so its rows are those of {rows_of.name}: "
        f"{error} Convert either again."
      ) from error
  else:
    arrays, header = files.read_record(path, {**ops, **declared})
  with files.reading(path, "file of columns"):
    order = columns_lib.order_by_index(space, arrays.pop("ops"))
    measured_on = _measured_on(header)
    limits = "of 0 or more" if maximum == math.inf else f"in [0, {maximum:g}]"
    found = {}
    for name, values in arrays.items():
      if not columns_lib.NAME.fullmatch(name):
        raise ValueError(f"{files.one_line(name)} is no name of a column")
      if np.any((values < 0) | (values > maximum)):
        raise ValueError(f"column {name} must hold {num} numbers {limits}")
      column = columns_lib.as_column(name, values[order], num)
      found[name] = Beside(column, measured_on)
  return found


def _measured_on(header: dict[str, Any]) -> str | None:
  """The data set that a header names, in a key or, once, in a note."""
  note = re.search(r"Costs of ([\w-]+)\.", str(header.get("notes")))
  data_set = header.get("data_set", note and note[1])
  if data_set is None:
    return None
  if not isinstance(data_set, str) or not _DATA_SET.fullmatch(data_set):
    raise ValueError("its data_set is no name")
  return data_set.lower()
