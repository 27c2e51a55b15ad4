"""Writing files such that nothing half-written stays behind."""

from collections.abc import Iterator
import contextlib
import errno
import hashlib
import os
import pathlib
import platform
import re
import tempfile

from nagjax.files.base import PathLike
from nagjax.files.base import expand
from nagjax.files.base import one_line

_TEMPORARY = re.compile(r"\.nagjax-([0-9a-f]{8})-(\d+)-.*")


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path that becomes `path` if the block succeeds.

  The temporary file lies in the directory of `path` and keeps its suffix, so
  the final rename is atomic. If the block raises, or is interrupted, it is
  removed; what a killed process left in the directory is removed by the next
  call there.

  Raises:
    OSError: if it cannot be written; the error names `path`.

  Example:
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with atomic_path(target) as temporary:
    ...   _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
  """
  path = expand(path)
  remove_stale(path.parent)
  temporary = None
  try:
    handle, name = tempfile.mkstemp(
      prefix=f".nagjax-{_host()}-{os.getpid()}-",
      suffix=path.suffix,
      dir=path.parent,
    )
    os.close(handle)
    temporary = pathlib.Path(name)
    yield temporary
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    os.replace(temporary, path)
  except OSError as error:
    if error.filename not in (None, os.fspath(temporary or path)):
      if temporary is not None:
        raise
    reason = error.strerror or one_line(error)
    raise OSError(error.errno or errno.EIO, reason, os.fspath(path)) from error
  finally:
    if temporary is not None:
      temporary.unlink(missing_ok=True)


def remove_stale(directory: PathLike) -> None:
  """Removes temporary files that dead processes of this machine have left."""
  if os.name != "posix":  # Elsewhere asking after a process may end it.
    return
  with contextlib.suppress(OSError), os.scandir(directory) as entries:
    for entry in entries:
      match = _TEMPORARY.fullmatch(entry.name)
      if match and match[1] == _host() and not _is_alive(int(match[2])):
        pathlib.Path(entry.path).unlink(missing_ok=True)


def _host() -> str:
  """Eight digits of this machine: processes of others look dead from here."""
  return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except (OSError, OverflowError):
    return True
  return True
