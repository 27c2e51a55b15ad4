"""Checks of what a file holds; each failure is a `ConversionError`."""

import math
import os
import re
import reprlib
from typing import Any

import numpy as np

from nagjax.convert.pickles import ConversionError

_COLUMN = re.compile(r"[a-z0-9_]{1,60}")
# Not numbers.Real: its test is ten times slower and a file has 30 million.
_REAL = (int, float, np.floating, np.integer)


def require(
  value: Any,
  kind: type | tuple[type, ...],
  file: str | os.PathLike[str],
  what: str,
) -> Any:
  """Returns `value` if it is a `kind`.

  Args:
    value: a part of the file's content.
    kind: the type or types it must have.
    file: name of the file, for the message.
    what: what the part is, for the message.

  Raises:
    ConversionError: if it is not.
  """
  if not isinstance(value, kind):
    kinds = kind if isinstance(kind, tuple) else (kind,)
    names = " or ".join(k.__name__ for k in kinds)
    raise ConversionError(
      file,
      f"{what} to be a {names}",
      f"a {type(value).__name__}",
      "Check that --format fits the file, or download it again.",
    )
  return value


def require_key(
  mapping: Any, key: Any, file: str | os.PathLike[str], what: str
) -> Any:
  """Returns `mapping[key]` of a dict that must have it.

  Args:
    mapping: a part of the file's content.
    key: what it must hold.
    file: name of the file, for the message.
    what: what the part is, for the message.

  Raises:
    ConversionError: if it is no dict, or has no such key.
  """
  require(mapping, dict, file, what)
  if key not in mapping:
    raise ConversionError(
      file,
      f"{what} to have the key {key!r}",
      f"the keys {shown(list(mapping))}",
      "Check that --format fits the file, or download it again.",
    )
  return mapping[key]


def column_of(name: str, file: str | os.PathLike[str]) -> str:
  """Returns a name of the file that becomes one of a column.

  Raises:
    ConversionError: if it is anything but some lower-case letters, digits, `_`.
  """
  if not _COLUMN.fullmatch(name):
    raise ConversionError(
      file,
      "names of lower-case letters, digits and _",
      shown(name),
      "Check that --format fits the file, or download it again.",
    )
  return name


def accuracy(value: Any, file: str | os.PathLike[str], what: str) -> float:
  """Returns `value` if it is a percentage or NaN, else a `ConversionError`."""
  return number(value, file, what, maximum=100.0)


def number(
  value: Any,
  file: str | os.PathLike[str],
  what: str,
  *,
  minimum: float = 0.0,
  maximum: float = 1e9,
) -> float:
  """Returns `value` as a float if it is NaN or in [minimum, maximum].

  The largest cost of the table is below 1e4, whatever its unit.

  Raises:
    ConversionError: if it is not; the message names `file` and `what`.
  """
  if isinstance(value, _REAL):
    try:
      result = float(value)
    except OverflowError:  # An integer of some hundred digits.
      result = math.inf
    if math.isnan(result) or minimum <= result <= maximum:
      return result
  raise ConversionError(
    file,
    f"{what} to be a number in [{minimum:g}, {maximum:g}]",
    shown(value),
    "The file may be damaged; download it again.",
  )


def shown(value: Any) -> str:
  """A short `repr` of anything a file may hold.

  Example:
    >>> shown([0, 1, 2, 3, 4, 5, 6, 7])
    '[0, 1, 2, 3, 4, 5, ...]'
  """
  try:
    return reprlib.repr(value)
  except ValueError:  # Python refuses to print integers of 4,300 digits.
    return f"a {type(value).__name__}"
