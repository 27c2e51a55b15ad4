"""Files: written so that nothing half-written stays behind, and read safely."""

from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import tempfile
import zipfile
import zlib

import numpy as np


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


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all arrays of a .npz file, without pickles.

  Raises:
    ValueError: if the file is missing or damaged, in one line.
  """
  try:
    # From memory: a damaged archive would leave an open file behind.
    content = io.BytesIO(pathlib.Path(path).read_bytes())
    with np.load(content, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
    for name, array in arrays.items():
      if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is no array")
    return arrays
  except (
    ValueError,
    OSError,
    EOFError,
    AttributeError,  # A single array instead of an archive.
    TypeError,
    RuntimeError,  # An archive with a password.
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    reason = " ".join(str(error).split())
    raise ValueError(f"{path}: not a readable .npz file ({reason}).") from error
