"""What all readers share: paths, messages, one kind of error."""

from collections.abc import Iterator
import contextlib
import hashlib
import os
import pathlib

PathLike = str | os.PathLike[str]

_MAX_MESSAGE = 200


class FileError(ValueError):
  """A file cannot be used; the message is one line that names it."""


def expand(path: PathLike) -> pathlib.Path:
  """A path whose leading `~` is the user's home."""
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError:  # There is no such user: `~` is a part of the name.
    return pathlib.Path(path)


def one_line(text: object) -> str:
  """Text from outside for a message: one line, printable, not too long."""
  line = " ".join(str(text).split())
  line = "".join(c if c.isprintable() else "?" for c in line)
  return line if len(line) <= _MAX_MESSAGE else line[:_MAX_MESSAGE] + "..."


@contextlib.contextmanager
def reading(path: PathLike, what: str) -> Iterator[None]:
  """Turns every failure of a block into one `FileError`.

  Args:
    path: the file that the block reads.
    what: what it should be, such as ".npz file".

  Raises:
    FileError: if the block fails.
  """
  try:
    yield
  except FileError:
    raise
  # A damaged file may raise anything: zipfile, zlib, lzma, tokenize, memory.
  except Exception as error:
    reason = one_line(error) or type(error).__name__
    raise FileError(
      f"{os.fspath(path)}: not a readable {what} ({reason})."
    ) from error


def sha256(path: PathLike) -> str:
  """The SHA-256 of a file, in hexadecimal.

  Raises:
    FileError: if it cannot be read.
  """
  path = expand(path)
  with reading(path, "file"), open(path, "rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()
