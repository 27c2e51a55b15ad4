"""Reading other people's pickles without running them.

A pickle may name any function of the process and call it. The unpickler here
knows the few names that published benchmark files need, numbers and
containers, and refuses every other one before it is looked up.
"""

import bz2
from collections.abc import Callable
from collections.abc import Collection
import io
import math
import os
import pickle
import pickletools
import re
from typing import Any
from typing import BinaryIO
from typing import TypeVar
import zipfile

import numpy as np

from nagjax import files

MAX_BYTES = 1 << 26
"""Largest content of a compressed file, 64 MiB; a real one holds 1.4 MB."""
MAX_NAME = 200
"""Longest name that a pickle may refer to."""

_DTYPE = re.compile(r"[?biufcSU]\d{0,6}")
_ARGUMENTS = {
  ord(op.code): op.arg.n if op.arg else 0 for op in pickletools.opcodes
}
"""Size of the argument of each opcode, or how the size is written."""
_WIDTHS = {
  pickletools.TAKEN_FROM_ARGUMENT1: 1,
  pickletools.TAKEN_FROM_ARGUMENT4: 4,
  pickletools.TAKEN_FROM_ARGUMENT4U: 4,
  pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_NAMES = (ord("c"), ord("i"))
_LONG_PUT, _TEXT_PUT, _STOP = ord("r"), ord("p"), ord(".")


T = TypeVar("T")


class ConversionError(files.FileError):
  """An input file cannot be converted; the message is one line.

  Args:
    file: the file at fault.
    expected: what should have been there.
    got: what was there.
    advice: what the user can do, a sentence.

  Example:
    >>> print(ConversionError("a.pth", "a dict", "a list", "Fetch it again."))
    a.pth: expected a dict, got a list. Fetch it again.
  """

  def __init__(
    self, file: str | os.PathLike[str], expected: str, got: str, advice: str
  ):
    # What came may be text of the file: any length, codes of the terminal.
    got = files.one_line(got)
    super().__init__(
      f"{os.fspath(file)}: expected {files.one_line(expected)}, got {got}. "
      f"{advice}"
    )


class _Latin1Encode:
  """`_codecs.encode` for the one codec by which pickles spell bytes.

  The real function would also run decompressors. An instance without a dict
  cannot be altered by the pickle that calls it.
  """

  __slots__ = ()

  def __call__(self, text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
      raise pickle.UnpicklingError(f"codec {encoding!r} is refused")
    return text.encode("latin1")


class _Dtype:
  """`numpy.dtype` of numbers and text, which no state can make huge."""

  def __init__(self, name: str, align: bool = False, copy: bool = True):
    del align, copy
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
      raise pickle.UnpicklingError(f"dtype {name!r} is refused")
    self.dtype = np.dtype(name)

  def __setstate__(self, state: tuple) -> None:
    _, order, *rest, size, _, _ = state
    if any(part is not None for part in rest) or size not in (
      -1,
      self.dtype.itemsize,
    ):
      raise pickle.UnpicklingError("a structured dtype is refused")
    if order in ("<", ">"):
      self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
  """`numpy.ndarray` whose size is that of the bytes that come with it."""

  def __setstate__(self, state: tuple) -> None:
    version, shape, dtype, fortran_order, content = state
    num = math.prod(shape) * dtype.dtype.itemsize
    if not isinstance(content, bytes) or len(content) != num:
      raise pickle.UnpicklingError(f"an array of shape {shape} is refused")
    super().__setstate__((version, shape, dtype.dtype, fortran_order, content))


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
  """An empty array, to be filled by its state."""
  if kind is not _ARRAY_TYPE or shape != (0,):
    raise pickle.UnpicklingError(f"an array of shape {shape!r} is refused")
  return np.zeros(0, np.uint8).view(_Array)


def _scalar(dtype: _Dtype, content: bytes) -> Any:
  """One number."""
  if len(content) != dtype.dtype.itemsize:
    raise pickle.UnpicklingError("a number of another size is refused")
  return np.frombuffer(content, dtype.dtype)[0]


class PlainRecord:
  """What stands for an object of a class that is known by name alone.

  Nothing of the class is run or looked up.

  Attributes:
    fields: its attributes, as the pickle lists them.
  """

  __slots__ = ("fields",)

  fields: dict[str, Any]

  def __setstate__(self, state: Any) -> None:
    if type(state) is not dict:
      raise pickle.UnpicklingError("a record without named fields is refused")
    self.fields = state


_ARRAY_TYPE = object()
"""Stands for `numpy.ndarray`, which must not be called."""


def _allowed_globals() -> dict[tuple[str, str], Any]:
  allowed: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _Latin1Encode(),
    # Dicts keep their order, and have no attributes that a file could set.
    ("collections", "OrderedDict"): dict,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _ARRAY_TYPE,
  }
  # Renamed in NumPy 2; files of both ages are in use.
  for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    allowed[module, "scalar"] = _scalar
    allowed[module, "_reconstruct"] = _reconstruct
  for module in ("builtins", "__builtin__"):
    for kind in (dict, frozenset, list, set, tuple):
      allowed[module, kind.__name__] = kind
  return allowed


_ALLOWED = _allowed_globals()


class _RestrictedUnpickler(pickle.Unpickler):
  """An unpickler that resolves the names of `_ALLOWED` and `records` alone."""

  def __init__(
    self, stream: BinaryIO, file: str, records: Collection[tuple[str, str]]
  ):
    super().__init__(stream)
    self._file = file
    self._records = records

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) in self._records:
      return PlainRecord
    try:
      return _ALLOWED[module, name]
    except KeyError:
      raise ConversionError(
        self._file,
        "a pickle of plain numbers and containers",
        f"one that refers to {module}.{name}"[:150] + ", which is refused",
        "Nothing of it was executed; fetch the file from its official source.",
      ) from None


def load_pickle(
  path: str | os.PathLike[str], *, records: Collection[tuple[str, str]] = ()
) -> Any:
  """Reads a pickle of numbers, strings, NumPy arrays and containers.

  Args:
    path: the file.
    records: module and name of classes whose objects become `PlainRecord`s.

  Returns:
    The object.

  Raises:
    ConversionError: if the file is missing, damaged, or refers to anything
      beyond the types above.
  """
  path = files.expand(path)
  return guarded(
    lambda: parse_pickle(path.read_bytes(), path, records=records),
    path,
    "a complete pickle",
  )


def load_bz2_pickle(path: str | os.PathLike[str]) -> Any:
  """Reads a bz2-compressed pickle, else like `load_pickle`.

  Raises:
    ConversionError: as `load_pickle`, or if it unpacks to over `MAX_BYTES`.
  """
  path = files.expand(path)

  def read() -> Any:
    with bz2.open(path, "rb") as stream:
      content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
      raise pickle.UnpicklingError(f"more than {MAX_BYTES} bytes of content")
    return parse_pickle(content, path)

  return guarded(read, path, "a complete bz2-compressed pickle")


def load_zip_pickle(
  path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> Any:
  """Reads what PyTorch saved of an object without tensors.

  Args:
    path: the file.
    max_bytes: what it may unpack to.

  Raises:
    ConversionError: as `load_pickle`, or if it is too large.
  """
  path = files.expand(path)

  def read() -> Any:
    with zipfile.ZipFile(path) as archive:
      infos = archive.infolist()
      info = next(i for i in infos if i.filename.endswith("/data.pkl"))
      if info.file_size > max_bytes:
        raise pickle.UnpicklingError(f"more than {max_bytes} bytes of content")
      return parse_pickle(archive.read(info), path)

  return guarded(read, path, "an object without tensors, saved by PyTorch")


def parse_pickle(
  content: bytes,
  file: str | os.PathLike[str],
  *,
  records: Collection[tuple[str, str]] = (),
) -> Any:
  """The object of a pickle, once all that it declares has been checked.

  Args:
    content: the pickle.
    file: where it comes from, for the message.
    records: see `load_pickle`.

  Raises:
    ConversionError: if it refers to anything that is refused.
    Exception: of any kind, if it is damaged; see `guarded`.
  """
  _check_opcodes(content)
  stream = io.BytesIO(content)
  return _RestrictedUnpickler(stream, os.fspath(file), records).load()


def _check_opcodes(content: bytes) -> None:
  """Walks a pickle without loading it.

  A memo has a place for every number below the largest one, and some sizes are
  reserved before they are read: eleven bytes could ask for gigabytes.

  Raises:
    pickle.UnpicklingError: if it is cut off, a number of the memo exceeds that
      of the opcodes, or a size that of the bytes that are left.
  """
  position, number, end = 0, 0, len(content)
  while position < end:
    code = content[position]
    position, number = position + 1, number + 1
    size = _ARGUMENTS.get(code)
    if size is None:
      raise pickle.UnpicklingError(f"byte {position - 1} is no opcode")
    if size >= 0:
      start, position = position, position + size
      if code == _LONG_PUT:
        _check_memo(int.from_bytes(content[start:position], "little"), number)
    elif size == pickletools.UP_TO_NEWLINE:
      for _ in range(2 if code in _NAMES else 1):
        start, position = position, content.find(b"\n", position, end) + 1
        if position == 0:
          raise pickle.UnpicklingError("it is cut off")
        if code in _NAMES and position - start > MAX_NAME:
          raise pickle.UnpicklingError("a name is too long")
      if code == _TEXT_PUT:
        _check_memo(int(content[start : position - 1][:20]), number)
    else:
      width = _WIDTHS[size]
      length = int.from_bytes(content[position : position + width], "little")
      position += width + length
    if position > end:
      raise pickle.UnpicklingError("it is cut off")
    if code == _STOP:
      return
  raise pickle.UnpicklingError("it is cut off")


def _check_memo(place: int, number: int) -> None:
  if not 0 <= place <= number:
    raise pickle.UnpicklingError(f"memo {place} at opcode {number} is refused")


def guarded(
  read_fn: Callable[[], T],
  file: str | os.PathLike[str],
  expected: str,
  advice: str = "The file may be damaged or cut off; download it again.",
) -> T:
  """Calls `read_fn` and turns every failure into a `ConversionError`.

  Args:
    read_fn: opens and reads the file.
    file: its name, for the message.
    expected: what the file should be, for the message.
    advice: what to do about what cannot be read.

  Raises:
    ConversionError: for whatever `read_fn` raises.
  """
  try:
    return read_fn()
  except ConversionError:
    raise
  except Exception as error:  # Damaged pickles may raise any exception at all.
    cause = error
    if isinstance(error, files.FileError) and error.__cause__ is not None:
      cause = error.__cause__  # type: ignore[assignment]
    if isinstance(
      cause, FileNotFoundError | IsADirectoryError | PermissionError
    ):
      raise ConversionError(
        file, expected, f"none ({cause.strerror})", "Check the path."
      ) from error
    raise ConversionError(
      file,
      expected,
      f"one that cannot be read ({type(cause).__name__}: {cause})",
      advice,
    ) from error
