"""Reading other people's pickles without running them.

A pickle may name any function of the process and call it. The unpickler here
knows the few names that published benchmark files need, numbers and
containers, and refuses every other one before it is looked up.
"""

import bz2
from collections.abc import Callable
import io
import os
import pickle
from typing import Any
from typing import BinaryIO

import numpy as np

MAX_BYTES = 1 << 28
"""Largest content of a compressed file, 256 MiB; a real one holds 1.4 MB."""

_MAX_MESSAGE = 200


class ConversionError(ValueError):
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
    got = "".join(c if c.isprintable() else "?" for c in " ".join(got.split()))
    if len(got) > _MAX_MESSAGE:
      got = got[:_MAX_MESSAGE] + "..."
    super().__init__(
      f"{os.fspath(file)}: expected {expected}, got {got}. {advice}"
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


def _allowed_globals() -> dict[tuple[str, str], Any]:
  # The functions are taken from what NumPy itself pickles: their modules are
  # private and were renamed in NumPy 2, files of both ages are in use.
  scalar: Any = np.float64(0).__reduce__()[0]
  reconstruct: Any = np.zeros(0).__reduce__()[0]
  allowed: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _Latin1Encode(),
    # Dicts keep their order, and have no attributes that a file could set.
    ("collections", "OrderedDict"): dict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
  }
  for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    allowed[module, "scalar"] = scalar
    allowed[module, "_reconstruct"] = reconstruct
  for module in ("builtins", "__builtin__"):
    for kind in (dict, frozenset, list, set, tuple):
      allowed[module, kind.__name__] = kind
  return allowed


_ALLOWED = _allowed_globals()


class _RestrictedUnpickler(pickle.Unpickler):
  """An unpickler that resolves the names of `_ALLOWED` and no other."""

  def __init__(self, stream: BinaryIO, file: str):
    super().__init__(stream)
    self._file = file

  def find_class(self, module: str, name: str) -> Any:
    try:
      return _ALLOWED[module, name]
    except KeyError:
      raise ConversionError(
        self._file,
        "a pickle of plain numbers and containers",
        f"one that refers to {module}.{name}, which is refused",
        "Nothing of it was executed; fetch the file from its official source.",
      ) from None


def load_pickle(path: str | os.PathLike[str]) -> Any:
  """Reads a pickle of numbers, strings, NumPy arrays and containers.

  Args:
    path: the file.

  Returns:
    The object.

  Raises:
    ConversionError: if the file is missing, damaged, or refers to anything
      beyond the types above.
  """
  file = os.fspath(path)

  def read() -> Any:
    with open(file, "rb") as stream:
      return _RestrictedUnpickler(stream, file).load()

  return guarded(read, file, "a complete pickle")


def load_bz2_pickle(path: str | os.PathLike[str]) -> Any:
  """Reads a bz2-compressed pickle, else like `load_pickle`."""
  file = os.fspath(path)

  def read() -> Any:
    with bz2.open(file, "rb") as stream:
      content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
      raise pickle.UnpicklingError(f"more than {MAX_BYTES} bytes of content")
    return _RestrictedUnpickler(io.BytesIO(content), file).load()

  return guarded(read, file, "a complete bz2-compressed pickle")


def guarded(
  read_fn: Callable[[], Any], file: str | os.PathLike[str], expected: str
) -> Any:
  """Calls `read_fn` and turns every failure into a `ConversionError`.

  Args:
    read_fn: opens and reads the file.
    file: its name, for the message.
    expected: what the file should be, for the message.
  """
  try:
    return read_fn()
  except ConversionError:
    raise
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise ConversionError(
      file, expected, f"none ({error.strerror})", "Check the path."
    ) from error
  except Exception as error:  # Damaged pickles may raise any exception at all.
    raise ConversionError(
      file,
      expected,
      f"one that cannot be read ({type(error).__name__}: {error})",
      "The file may be damaged or cut off; download it again.",
    ) from error
