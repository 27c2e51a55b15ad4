"""Columns of tables: checked where a user hands them in, found by keys."""

from collections.abc import Mapping
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.files import one_line
from nagjax.spaces.base import SearchSpace
from nagjax.types import Fidelities

NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
"""Of a column that comes from a file."""
NUMBERS = "fiu"
"""Kinds of the columns of a file."""


def as_column(name: str, values: Any, num_rows: int) -> jax.Array:
  """One number for each row, `f32[num_rows]`.

  Args:
    name: of the column, for the error.
    values: integers or floats of any kind, or booleans; NaN is missing.
    num_rows: how many there must be.

  Raises:
    ValueError: if they are not, or float32 cannot hold them.
  """
  if isinstance(values, jax.core.Tracer | jax.ShapeDtypeStruct):
    return values  # type: ignore[return-value]
  if isinstance(values, jax.Array) and not values.is_fully_addressable:
    return values
  try:
    array = np.asarray(values)
  except (ValueError, TypeError, OverflowError):
    array = np.asarray(None)
  if array.dtype.kind not in "biuf" or array.shape != (num_rows,):
    raise ValueError(
      f"Column {one_line(name)} must hold {num_rows} numbers, one for each "
      f"row, got {array.dtype}{list(array.shape)}."
    )
  with np.errstate(over="ignore", under="ignore", invalid="ignore"):
    column = array.astype(np.float32)
    wide = array.astype(np.float64)
    if np.any(wide == np.inf):
      raise ValueError(
        f"Column {one_line(name)} holds +inf; a value that is not known is NaN."
      )
    size = np.abs(wide[np.isfinite(wide)])
    error = np.abs(column.astype(np.float64) - wide)[np.isfinite(wide)]
    if np.any(error > 1e-6 * size + 1e-30 * size.max(initial=0.0)):
      raise ValueError(
        f"Column {one_line(name)} holds numbers that float32 cannot, such as "
        f"{size[np.argmax(error / np.maximum(size, 1e-300))]:g}; scale them."
      )
  if isinstance(values, jax.Array) and values.dtype == jnp.float32:
    return values
  return jnp.asarray(column)


def as_rows(name: str, values: Any, num_rows: int) -> jax.Array:
  """`as_column` of each of several, `f32[n, num_rows]`."""
  if isinstance(values, jax.core.Tracer | jax.ShapeDtypeStruct):
    return values  # type: ignore[return-value]
  return jnp.stack([as_column(name, row, num_rows) for row in values])


def check_percent(name: str, column: jax.Array | np.ndarray) -> None:
  """Checks that what is known of a column are percentages, and something is.

  Args:
    name: of the column, for the message.
    column: `[n]`; what is not finite is not known.

  Raises:
    ValueError: if not.
  """
  known = np.asarray(column)
  known = known[np.isfinite(known)]
  if known.size == 0 or known.min() < 0 or known.max() > 100:
    raise ValueError(f"column {name} must hold accuracies in percent")


def check_names(table: Any) -> None:
  """Checks the names of a `Tabular` and fills those that have a default.

  Raises:
    ValueError: if one is unknown, or no name.
  """
  if not isinstance(table.space, SearchSpace):
    raise ValueError(
      f"{table.name}: space must be a SearchSpace, got {table.space!r:.80}."
    )
  for group in ("queried", "reported"):
    names = getattr(table, group)
    if not isinstance(names, dict) or not all(
      isinstance(name, str) and name for name in names
    ):
      raise ValueError(f"{table.name}: {group} must be columns by their names.")
  if not table.queried:
    raise ValueError(f"{table.name}: a table needs a column to search on.")
  default = "valid_accuracy"
  if default not in table.queried:
    default = next(iter(table.queried))
  object.__setattr__(table, "objective", table.objective or default)
  for name, group in (("objective", "queried"), ("test", "reported")):
    wanted, columns = getattr(table, name), getattr(table, group)
    if wanted is not None and wanted not in columns:
      raise ValueError(
        f"{table.name}: {name} must be one of the {group} columns "
        f"{one_line(', '.join(columns)) or '(none)'}, got {wanted!r:.80}."
      )
  units = table.units
  pairs = tuple(units.items()) if isinstance(units, dict) else tuple(units)
  if not all(
    isinstance(pair, tuple | list)
    and len(pair) == 2
    and all(isinstance(part, str) for part in pair)
    for pair in pairs
  ):
    raise ValueError(f"{table.name}: units must be pairs of column and unit.")
  object.__setattr__(table, "units", tuple(map(tuple, pairs)))


def check_fidelities(table: Any) -> None:
  """Checks the fidelities of a `Tabular` and converts its columns of them.

  Raises:
    ValueError: if names or costs are wrong, or a column has another shape.
  """
  found = table.fidelities
  if found is None:
    if table.lower:
      raise ValueError(f"{table.name}: lower needs fidelities, which say what.")
    return
  names, costs = tuple(map(str, found.names)), tuple(found.costs)
  if len(names) < 2 or len(set(names)) < len(names):
    raise ValueError(
      f"{table.name}: fidelities need two distinct names or more, got "
      f"{one_line(', '.join(names))}."
    )
  whole = all(isinstance(c, int | np.integer) and c is not True for c in costs)
  rising = list(costs) == sorted(set(costs))
  if len(costs) != len(names) or not whole or not rising or costs[0] < 1:
    raise ValueError(
      f"{table.name}: costs of fidelities must be {len(names)} rising whole "
      f"numbers from 1 on, the full one last, got {costs!r:.80}."
    )
  costs = tuple(map(int, costs))
  fixed = Fidelities(names, costs, bool(found.continues))
  object.__setattr__(table, "fidelities", fixed)
  if not table.lower or set(table.lower) - set(table.queried):
    raise ValueError(
      f"{table.name}: lower must hold queried columns at lower fidelities, got "
      f"{one_line(', '.join(table.lower)) or '(none)'}."
    )
  num = len(names) - 1
  for name, rows in table.lower.items():
    if np.shape(rows)[:1] != (num,):
      raise ValueError(
        f"{table.name}: lower[{one_line(name)!r}] must have a row for each of "
        f"{', '.join(names[:-1])}, got the shape {list(np.shape(rows))}."
      )


def order_by_index(space: SearchSpace, ops: np.ndarray) -> np.ndarray:
  """Row of a table for every index of its space, `int[num_architectures]`.

  Args:
    space: an enumerable space.
    ops: integers `[num_architectures, L]`, each architecture once.

  Raises:
    ValueError: if it is not.
  """
  shape = (space.num_architectures, space.num_variables)
  strides = np.cumprod((1, *space.cardinalities[:-1]))
  if ops.shape == shape and ops.min() >= 0:
    index = ops.astype(np.int64) @ strides
    if np.array_equal(np.sort(index), np.arange(len(index))):
      return np.argsort(index)
  raise ValueError(
    f"it must hold each of the {shape[0]} cells once; its ops of shape "
    f"{ops.shape} do not"
  )


def order_of_cells(
  space: SearchSpace, arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
  """`order_by_index` of a file that has `ops`, or else official strings.

  Args:
    space: an enumerable space.
    arrays: of the file: integers `ops` `[num_architectures, L]`, or else the
      strings `arch_str` `[num_architectures]`.

  Raises:
    ValueError: if it has neither, or not each architecture once.
  """
  if "ops" in arrays:
    return order_by_index(space, arrays["ops"])
  if "arch_str" not in arrays:
    raise ValueError("it names its cells neither by ops nor by arch_str")
  strings = arrays["arch_str"]
  if strings.dtype.kind == "S":
    strings = np.char.decode(strings, "ascii")
  ops = np.stack([space.from_string(s) for s in strings.tolist()])
  return order_by_index(space, ops)


def lower_bound(rows: jax.Array, wanted: jax.Array) -> jax.Array:
  """How many rows are less, by bisection: where each would be inserted.

  Args:
    rows: `[n, W]` integers, ascending in the order of their first difference.
    wanted: `[..., W]`.

  Returns:
    `int32[...]`.
  """
  num = rows.shape[0]
  top = num.bit_length() - 1

  def halve(step: jax.Array, low: jax.Array) -> jax.Array:
    next_low = low + (1 << (top - step))
    row = rows[jnp.minimum(next_low, num) - 1]
    # The first word that differs decides.
    less = jnp.zeros(low.shape, bool)
    for word in reversed(range(rows.shape[1])):
      a, b = row[..., word], wanted[..., word]
      less = (a < b) | ((a == b) & less)
    return jnp.where((next_low <= num) & less, next_low, low)

  start = jnp.zeros(wanted.shape[:-1], jnp.int32)
  return jax.lax.fori_loop(0, top + 1, halve, start)
