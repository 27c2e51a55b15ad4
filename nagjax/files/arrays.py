"""Files of arrays: `.npz` without pickles, with a JSON header."""

from collections.abc import Mapping
import fnmatch
import itertools
import json
import math
import pathlib
from typing import Any
from typing import NamedTuple
import zipfile

import numpy as np

from nagjax.files.atomic import atomic_path
from nagjax.files.base import FileError
from nagjax.files.base import PathLike
from nagjax.files.base import expand
from nagjax.files.base import one_line
from nagjax.files.base import reading
from nagjax.files.text import MAX_TEXT_BYTES
from nagjax.files.text import parse_json

MAX_BYTES = 2 << 30
"""What an array file may unpack to, unless its reader knows better."""

HEADER = "header"

_KINDS = {
  "b": "booleans",
  "i": "integers",
  "u": "unsigned integers",
  "f": "floats",
  "U": "text",
  "S": "bytes",
}


class Declared(NamedTuple):
  """What an array of a file must be.

  Attributes:
    kinds: letters of NumPy's `dtype.kind`, any of `b i u f U S`.
    shape: sizes; a word is a size that all arrays share which use the word,
      None any size. None instead of a tuple is any shape.
    optional: whether the file may lack it.
  """

  kinds: str
  shape: tuple[int | str | None, ...] | None = ()
  optional: bool = False


class Record(NamedTuple):
  """The content of an array file.

  Attributes:
    arrays: by name.
    header: what it says of them, JSON.
  """

  arrays: dict[str, np.ndarray]
  header: dict[str, Any]


def write_record(
  path: PathLike,
  arrays: Mapping[str, Any],
  header: Mapping[str, Any] | None = None,
  *,
  compress: bool = False,
) -> None:
  """Writes arrays and a header; the file exists only when it is complete.

  Args:
    path: the `.npz` file.
    arrays: by name; numbers or text.
    header: JSON without NaN, or None for no header.
    compress: whether to compress.

  Raises:
    ValueError: if an array or the header cannot be stored.
    OSError: if the file cannot be written.
  """
  arrays = {name: np.asarray(array) for name, array in arrays.items()}
  if HEADER in arrays and header is not None:
    raise ValueError(f"An array must not be called {HEADER!r}.")
  if header is not None:
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    arrays[HEADER] = np.asarray(text)
  for name, array in arrays.items():
    if array.dtype.kind not in "biufcSU":
      raise ValueError(f"{name} of type {array.dtype} cannot be stored.")
  method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
  with (
    atomic_path(path) as temporary,
    zipfile.ZipFile(temporary, "w", method) as archive,
  ):
    for name, array in arrays.items():
      with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def read_record(
  path: PathLike,
  declared: Mapping[str, Declared] | None = None,
  *,
  kind: str | None = None,
  only: bool = False,
  max_bytes: int = MAX_BYTES,
) -> Record:
  """Reads what `write_record` wrote, or any `.npz` without pickles.

  Nothing is unpacked before all that the file declares has been checked.

  Args:
    path: the file.
    declared: what its arrays must be, by name or by a pattern such as `*_ms`,
      which need not occur. Others are not read. None reads all.
    kind: what the header must call the file; None needs no header.
    only: whether other arrays than the declared ones are refused.
    max_bytes: what the arrays that are read may unpack to.

  Raises:
    FileError: if the file is missing, damaged, too large, or something else.
  """
  path = expand(path)
  with reading(path, ".npz file"), open(path, "rb") as stream:
    archive = _Archive(path, stream)
    header = archive.header(kind)
    chosen = archive.choose(declared, only)
    total = sum(member.num_bytes for member in chosen.values())
    if total > max_bytes:
      raise FileError(
        f"{path}: expected at most {max_bytes:,} bytes of arrays, got a file "
        f"that declares {total:,}."
      )
    return Record({name: archive.read(m) for name, m in chosen.items()}, header)


def read_arrays(
  path: PathLike,
  declared: Mapping[str, Declared] | None = None,
  *,
  max_bytes: int = MAX_BYTES,
) -> dict[str, np.ndarray]:
  """The arrays of `read_record`, by name; see there for the arguments.

  Shapes and dtypes are those of the file, such as `f32[N]`, as declared.

  Raises:
    FileError: if the file is missing, damaged, too large, or something else.
  """
  return read_record(path, declared, max_bytes=max_bytes).arrays


def array_names(path: PathLike) -> list[str]:
  """Names of the arrays of a file, in its order; nothing is unpacked.

  Raises:
    FileError: if the file is missing or damaged.
  """
  path = expand(path)
  with reading(path, ".npz file"), open(path, "rb") as stream:
    return list(_Archive(path, stream).choose(None, False))


def read_header(path: PathLike, kind: str) -> dict[str, Any]:
  """The header of `read_record`; nothing else is unpacked.

  Raises:
    FileError: if the file is missing, damaged, or something else.
  """
  return read_record(path, {}, kind=kind).header


class _Member(NamedTuple):
  """An array of an archive, as it declares itself."""

  info: zipfile.ZipInfo
  dtype: np.dtype
  shape: tuple[int, ...]
  fortran_order: bool
  offset: int

  @property
  def num_bytes(self) -> int:
    return self.dtype.itemsize * math.prod(self.shape)


class _Archive:
  """A `.npz` whose declarations have been checked, and nothing unpacked."""

  def __init__(self, path: pathlib.Path, stream: Any):
    self._path = path
    self._zip = zipfile.ZipFile(stream)
    self._members: dict[str, _Member] = {}
    for info in self._zip.infolist():
      name = info.filename.removesuffix(".npy")
      if name == info.filename or name in self._members:
        raise ValueError(f"{one_line(info.filename)} is no array, or is twice")
      if info.flag_bits & 1:
        raise ValueError("it is encrypted")
      with self._zip.open(info) as member:
        self._members[name] = _member(info, member)

  def choose(
    self, declared: Mapping[str, Declared] | None, only: bool
  ) -> dict[str, _Member]:
    """The declared arrays, all as they were declared."""
    members = {n: m for n, m in self._members.items() if n != HEADER}
    if declared is None:
      return members
    chosen, sizes = {}, dict[str, int]()
    for pattern, wanted in declared.items():
      is_pattern = "*" in pattern
      names = fnmatch.filter(members, pattern) if is_pattern else [pattern]
      for name in names:
        if name in members:
          _check(self._path, name, members[name], wanted, sizes)
          chosen[name] = members[name]
        elif not wanted.optional:
          raise FileError(
            f"{self._path} has no array {name}, only "
            f"{one_line(', '.join(members) or 'none')}."
          )
    if only and (others := set(members) - set(chosen)):
      raise FileError(
        f"{self._path} has arrays that do not belong there: "
        f"{one_line(', '.join(sorted(others)))}."
      )
    return chosen

  def header(self, kind: str | None) -> dict[str, Any]:
    """The header, empty if there is none and none is needed."""
    header: Any = {}
    if HEADER in self._members:
      member = self._members[HEADER]
      if member.dtype.kind not in "US" or member.shape != ():
        raise ValueError("its header is no text")
      if member.num_bytes > MAX_TEXT_BYTES:
        raise ValueError(f"its header has {member.num_bytes:,} bytes")
      text = self.read(member).item()
      header = parse_json(text if isinstance(text, str) else text.decode())
    elif kind is not None:
      raise FileError(f"{self._path}: expected a {kind}, got no header.")
    if not isinstance(header, dict):
      raise ValueError("its header is no dictionary")
    if kind is not None and header.get("kind") != kind:
      raise FileError(
        f"{self._path}: expected a {kind}, got the kind "
        f"{one_line(repr(header.get('kind')))}."
      )
    return header

  def read(self, member: _Member) -> np.ndarray:
    """Unpacks an array."""
    stream: Any  # `IO[bytes]` of the stubs lacks `readinto`.
    with self._zip.open(member.info) as stream:
      stream.read(member.offset)
      content = bytearray(member.num_bytes)
      view = memoryview(content)
      while view and (num := stream.readinto(view)):
        view = view[num:]
      if view or stream.read(1):
        raise ValueError(f"{member.info.filename} is cut off")
    array: np.ndarray = np.frombuffer(content, member.dtype)
    if member.fortran_order:
      return array.reshape(member.shape[::-1]).T
    return array.reshape(member.shape)


def _member(info: zipfile.ZipInfo, stream: Any) -> _Member:
  """Reads what an array declares, and that it is as long as it says."""
  name = one_line(info.filename)
  version = np.lib.format.read_magic(stream)
  readers = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }
  if version not in readers:
    raise ValueError(f"{name} has the format {version}")
  shape, fortran_order, dtype = readers[version](stream)
  if dtype.kind not in "biufcSU" or dtype.names or dtype.subdtype:
    raise ValueError(f"{name} holds {dtype}, neither numbers nor text")
  member = _Member(info, dtype, shape, fortran_order, stream.tell())
  if min(shape, default=0) < 0 or (
    member.offset + member.num_bytes != info.file_size
  ):
    raise ValueError(
      f"{name} declares {dtype}{list(shape)}, which is not its size"
    )
  return member


def _check(
  path: pathlib.Path,
  name: str,
  member: _Member,
  wanted: Declared,
  sizes: dict[str, int],
) -> None:
  """Compares an array with its declaration."""
  fits = member.dtype.kind in wanted.kinds
  if wanted.shape is not None:
    fits &= len(member.shape) == len(wanted.shape)
    for size, expected in itertools.zip_longest(member.shape, wanted.shape):
      if isinstance(expected, str):
        expected = sizes.setdefault(expected, size or 0)
      fits &= expected in (None, size)
  if not fits:
    kinds = " or ".join(_KINDS[kind] for kind in wanted.kinds)
    shown = [
      "*" if n is None else f"{n}={sizes[n]}" if isinstance(n, str) else str(n)
      for n in wanted.shape or ()
    ]
    shape = f" of shape [{', '.join(shown)}]"
    if wanted.shape is None:
      shape = ""
    raise FileError(
      f"{path}: array {one_line(name)} must hold {kinds}{shape}, got "
      f"{member.dtype}{list(member.shape)}."
    )
