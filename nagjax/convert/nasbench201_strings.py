"""The list of all NAS-Bench-201 architectures and its official order."""

import functools
import os
import pathlib
import re
from typing import Any

from nagjax import files
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.convert.pickles import load_bz2_pickle
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.nasbench201 import nasbench201
from nagjax.spaces.nasbench201 import to_string

META_FILE = "meta.pickle.pbz2"
"""Name of the file that lists the architectures in a NATS-Bench directory."""

_SIZE_SPACE = re.compile(r"\d+(:\d+)+")
_TITLES = {
  "nasbench201": "NAS-Bench-201",
  "nats_size": "the size space of NATS-Bench",
}


def checked_strings(
  strings: Any,
  file: str | os.PathLike[str],
  space: SearchSpace | None = None,
) -> list[str]:
  """Returns the strings of all architectures if that is what `strings` is.

  Args:
    strings: the list of a file, one architecture a row.
    file: name of the file, for the message.
    space: that of the list; NAS-Bench-201's 15,625 cells if None.

  Raises:
    ConversionError: if it is anything else; it says so if the list is that of
      the size space of NATS-Bench, and should not be.
  """
  space = space or nasbench201()
  is_cells = space.name == "nasbench201"
  num = space.num_architectures
  expected = f"the {num:,} architecture strings of {_TITLES[space.name]}"
  require(strings, (list, tuple), file, "the list of architectures")
  checked = []
  for string in strings:
    require(string, str, file, "an architecture string")
    if is_cells and _SIZE_SPACE.fullmatch(string):
      raise ConversionError(
        file,
        expected,
        f"the size space of NATS-Bench ({string!r})",
        "Use the topology space (NATS-tss-v1_0-3ffb9-simple), or"
        " --format=nats-bench-size.",
      )
    checked.append(canonical_string(string, file, space))
  if len(checked) != num or len(set(checked)) != num:
    raise ConversionError(
      file,
      expected,
      f"{len(checked):,} strings, {len(set(checked)):,} of them distinct",
      "The file may be damaged or cut off; download it again.",
    )
  return checked


def canonical_string(
  string: str,
  file: str | os.PathLike[str],
  space: SearchSpace | None = None,
) -> str:
  """Returns the official spelling of one architecture string.

  Args:
    string: of the file.
    file: its name, for the message.
    space: NAS-Bench-201 if None.

  Raises:
    ConversionError: if it is none; the message names `file`.
  """
  space = space or nasbench201()
  if space.name == "nasbench201" and string in _known_strings():
    return string
  try:
    return space.to_string(space.from_string(string).tolist())
  except ValueError as error:
    raise ConversionError(
      file,
      f"an architecture string of {_TITLES[space.name]}",
      repr(string),
      "Check that --format fits the file, or download it again.",
    ) from error


@functools.cache
def space_order() -> tuple[str, ...]:
  """The strings of all cells in the order of the space's `index`."""
  cells = nasbench201().all_architectures().tolist()
  return tuple(to_string(cell) for cell in cells)


def read_order(
  path: str | os.PathLike[str], space: SearchSpace | None = None
) -> list[str]:
  """Reads the official order of the architectures.

  Args:
    path: the `meta.pickle.pbz2` of a NATS-Bench directory, or a `.npz` table
      with `arch_str`.
    space: NAS-Bench-201 if None.

  Raises:
    ConversionError: if it is neither.
  """
  if pathlib.Path(path).suffix == ".npz":
    strings = guarded(
      lambda: _npz_strings(path), path, "a .npz table with arch_str"
    )
  else:
    meta = load_bz2_pickle(path)
    strings = require_key(meta, "meta_archs", path, "the content")
  return checked_strings(strings, path, space)


def _npz_strings(path: str | os.PathLike[str]) -> list[str]:
  declared = {"arch_str": files.Declared("SU", (None,))}
  return files.read_arrays(path, declared)["arch_str"].astype(str).tolist()


@functools.cache
def _known_strings() -> frozenset[str]:
  return frozenset(space_order())
