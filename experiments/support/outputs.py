"""What binaries write: claimed at the start, whole or not there at all."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import pathlib
import tempfile

from nagjax import files

from .errors import UsageError
from .errors import user_errors


@contextlib.contextmanager
def claimed_output(
  path: str | os.PathLike[str],
  *,
  overwrite: bool,
  suffix: str = ".npz",
  flag: str = "output",
) -> Iterator[pathlib.Path]:
  """Keeps other runs from a file while the block runs.

  Args:
    path, overwrite, suffix, flag: see `check_output`.

  Yields:
    The file.

  Raises:
    UsageError: if another run holds it, or for the reasons of `check_output`.
  """
  output = check_output(path, overwrite=overwrite, suffix=suffix, flag=flag)
  with _claimed(output):
    yield check_output(path, overwrite=overwrite, suffix=suffix, flag=flag)


@contextlib.contextmanager
def claimed_workdir(
  path: str | os.PathLike[str],
  results: Sequence[str] = (),
  *,
  overwrite: bool = False,
) -> Iterator[pathlib.Path]:
  """Creates a directory for results, and keeps other runs from it.

  Args:
    path: the directory.
    results: files that say that results are there: those that are written last.
    overwrite: whether it may hold some of them.

  Yields:
    The directory.

  Raises:
    UsageError: if another run holds it, or it has results or takes no file.
  """
  workdir = pathlib.Path(path)
  with user_errors("--workdir: "):
    try:
      _check_workdir(workdir, results, overwrite)
    except UsageError:
      _remove_lock(workdir)
      raise
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
  with _claimed(workdir):
    # Another run may have ended in between.
    _check_workdir(workdir, results, overwrite)
    yield workdir


def _remove_lock(path: pathlib.Path) -> None:
  """Removes the lock of a run that was killed when its results were there."""
  if (path / ".lock").exists():
    with contextlib.suppress(OSError, files.FileError), files.claimed(path):
      pass


@contextlib.contextmanager
def _claimed(path: pathlib.Path) -> Iterator[None]:
  """`files.claimed`; its errors, not those of the block, are the user's."""
  with contextlib.ExitStack() as stack:
    with user_errors(f"{path}: "):
      stack.enter_context(files.claimed(path))
    yield


def check_output(
  path: str | os.PathLike[str],
  *,
  overwrite: bool,
  suffix: str = ".npz",
  flag: str = "output",
) -> pathlib.Path:
  """A file that a binary may write; nothing is created.

  Args:
    path: the file.
    overwrite: whether it may exist.
    suffix: what its name must end in.
    flag: which one chose it, for the messages.

  Raises:
    UsageError: if it has another suffix, its directory takes no file, or it
      exists and may not be replaced.
  """
  output = pathlib.Path(path)
  if output.suffix != suffix:
    raise UsageError(f"--{flag} must end in {suffix}, got {output}.")
  if not output.parent.is_dir():
    raise UsageError(f"{output.parent}: no such directory; create it first.")
  if not os.access(output.parent, os.W_OK):
    raise UsageError(f"{output.parent}: not writable; choose another --{flag}.")
  # A link that leads nowhere, or to itself, is something that exists.
  if output.is_dir() or (os.path.lexists(output) and not overwrite):
    raise UsageError(
      f"{output} exists; choose another --{flag} or pass --overwrite."
    )
  return output


def make_parent(path: str) -> None:
  """Creates the directory of an output.

  Raises:
    UsageError: if that cannot be done.
  """
  with user_errors("--output: "):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)


def _check_workdir(
  workdir: pathlib.Path, results: Sequence[str], overwrite: bool
) -> None:
  held = [name for name in results if os.path.lexists(workdir / name)]
  if held and not overwrite:
    raise UsageError(
      f"{workdir} holds {held[0]}; choose another --workdir or pass "
      "--overwrite."
    )
