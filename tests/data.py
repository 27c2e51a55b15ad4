"""Real tables, for tests that need them: skipped where there are none."""

from collections.abc import Callable
import os
import pathlib
import unittest

import numpy as np

VARIABLE = "NAGJAX_DATA_DIR"


def table_path(name: str) -> pathlib.Path:
  """Where a table would be; a path that does not exist if it is nowhere."""
  return pathlib.Path(os.environ.get(VARIABLE) or "/nonexistent") / name


def needs_table(name: str) -> Callable:
  """Decorates a test that reads a file of the data directory."""
  return unittest.skipUnless(
    table_path(name).is_file(), f"{VARIABLE} holds no {name}"
  )


def read_table(name: str, *columns: str) -> tuple[np.ndarray, ...]:
  """Columns of a table."""
  with np.load(table_path(name), allow_pickle=False) as file:
    return tuple(file[column] for column in columns)
