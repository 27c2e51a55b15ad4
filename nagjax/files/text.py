"""Reading text: JSON and CSV that others have written."""

import csv
import io
import json
import math
from typing import Any

from nagjax.files.base import FileError
from nagjax.files.base import PathLike
from nagjax.files.base import expand
from nagjax.files.base import one_line
from nagjax.files.base import reading

MAX_TEXT_BYTES = 1 << 28
"""Largest JSON, CSV or text file."""
MAX_DIGITS = 40
"""Digits of an integer in JSON; 64 bits have 20."""


def read_text(path: PathLike, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
  """The text of a UTF-8 file.

  Raises:
    FileError: if it is missing, too large, or no text.
  """
  path = expand(path)
  with reading(path, "text file"), open(path, "rb") as stream:
    content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
      raise FileError(
        f"{path}: expected at most {max_bytes:,} bytes, got more."
      )
    return content.decode("utf-8-sig")


def read_json(path: PathLike, *, allow_nan: bool = False) -> Any:
  """The content of a JSON file, see `parse_json`.

  Raises:
    FileError: if it is missing or no such JSON.
  """
  text = read_text(path)
  with reading(expand(path), "JSON file"):
    return parse_json(text, allow_nan=allow_nan)


def parse_json(text: str, *, allow_nan: bool = False) -> Any:
  """Parses JSON from outside.

  Args:
    text: the JSON.
    allow_nan: whether `NaN` and `Infinity`, which JSON lacks, are accepted.

  Raises:
    ValueError: in one line, if it is none, nests too deeply, or has integers of
      more than `MAX_DIGITS` digits or floats beyond float64.
  """

  def constant(name: str) -> float:
    if not allow_nan:
      raise ValueError(f"{name} is no JSON number")
    return float(name)

  def integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
      raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)

  def real(digits: str) -> float:
    if math.isinf(value := float(digits)):
      raise ValueError(f"{one_line(digits)} is no float64")
    return value

  try:
    return json.loads(
      text, parse_constant=constant, parse_int=integer, parse_float=real
    )
  except RecursionError:
    raise ValueError("it nests too deeply") from None


def read_csv(path: PathLike) -> tuple[list[str], list[dict[str, str]]]:
  """The columns and the rows of a CSV file with a header.

  Raises:
    FileError: if it is missing, has no header or two columns of one name, or a
      row with more or fewer fields than the header.
  """
  text = read_text(path)
  path = expand(path)
  with reading(path, "CSV file"):
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = next(lines, [])
    if not names or len(set(names)) != len(names):
      raise ValueError("its first line must be different names of columns")
    rows = []
    for row in lines:
      if not row:  # An empty line.
        continue
      if len(row) != len(names):
        raise ValueError(
          f"line {lines.line_num} must have {len(names)} fields, got {len(row)}"
        )
      rows.append(dict(zip(names, row, strict=True)))
    return names, rows
