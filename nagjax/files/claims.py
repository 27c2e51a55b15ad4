"""Claims: what one run at a time may write, a file or a directory."""

from collections.abc import Iterator
import contextlib
import os
import pathlib

from nagjax.files.base import FileError
from nagjax.files.base import PathLike
from nagjax.files.base import expand

try:
  import fcntl
except ImportError:  # Windows.
  fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def claimed(path: PathLike) -> Iterator[None]:
  """Keeps other runs from a directory, or a file, while the block runs.

  A claim is a lock on a hidden file, in the directory or beside the file, that
  the operating system drops when the process ends, in whatever way.

  Raises:
    FileError: if another run holds it.
    OSError: if the hidden file cannot be made.
  """
  path = expand(path)
  place = (
    path / ".lock" if path.is_dir() else path.parent / f".{path.name}.lock"
  )
  handle = _hold(path, place)
  try:
    yield
  finally:
    if fcntl is None:
      os.close(handle)  # Windows removes no open file.
    with contextlib.suppress(OSError):
      place.unlink()
    if fcntl is not None:
      os.close(handle)


def _hold(path: pathlib.Path, place: pathlib.Path) -> int:
  """Locks `place` on behalf of `path`; returns its handle."""
  while True:
    handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      _lock(handle)
      # Its holder may have removed the file since it was opened.
      if os.path.samestat(os.fstat(handle), os.stat(place)):
        return handle
    except FileNotFoundError:
      pass
    except (BlockingIOError, PermissionError) as error:
      os.close(handle)
      raise FileError(
        f"another run is writing {path}; wait for it, or choose another place."
      ) from error
    except OSError:  # A file system without locks.
      return handle
    os.close(handle)


def _lock(handle: int) -> None:
  """Raises OSError if another process, or another claim, holds the lock."""
  if fcntl is not None:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  else:
    import msvcrt

    msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
