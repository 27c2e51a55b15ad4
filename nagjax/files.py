"""Writing files so that nothing half-written stays behind."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields a temporary path that becomes `path` if the block succeeds.

  The temporary file lies in the directory of `path` and keeps its suffix, so
  the final rename is atomic. If the block raises, or is interrupted, it is
  removed.

  Example:
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with atomic_path(target) as temporary:
    ...   _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
  """
  path = pathlib.Path(path)
  handle, name = tempfile.mkstemp(
    prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
  )
  os.close(handle)
  temporary = pathlib.Path(name)
  try:
    yield temporary
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
