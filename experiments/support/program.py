"""A binary as a program: exit codes, the user's errors as one line."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import gc
import importlib.util
import io
import signal
import sys
from types import FrameType

from absl import flags as absl_flags
import jax

from nagjax import files

from . import flags
from .errors import UsageError
from .errors import one_line


def binary(
  run_fn: Callable[[absl_flags.FlagValues], None],
  declared: Sequence[flags.Flag],
  doc: str | None,
  *errors: type[Exception],
  written: str = "nothing",
) -> Callable[..., int]:
  """Makes the `main` of a binary.

  Args:
    run_fn: does the work, given the flags.
    declared: the flags, besides those of every binary.
    doc: what --help prints before the flags.
    *errors: exceptions that the user can mend, besides `UsageError`, errors of
      files, of flags and of the operating system.
    written: what an interruption leaves behind, for its message.

  Returns:
    Takes a command line, program name first (the process's own if there is
    none, which then becomes a program: SIGTERM removes temporary files), and
    returns the exit code: 0; 2 for what the user can mend, with one line on
    stderr; 130 for an interruption.
  """

  def main(argv: Sequence[str] | None = None) -> int:
    if argv is None:
      _become_program()
      argv = sys.argv

    def run() -> None:
      values = flags.read(argv, declared, doc)
      if values is not None:
        run_fn(values)

    return run_main(run, *errors, written=written)

  return main


def run_main(
  run_fn: Callable[[], None], *errors: type[Exception], written: str = "nothing"
) -> int:
  """Runs `run_fn`; see `binary` for the arguments and the exit code."""
  mended: tuple[type[Exception], ...] = (UsageError, files.FileError)
  mended += (absl_flags.Error, OSError, *errors)
  try:
    run_fn()
  except KeyboardInterrupt:
    print(f"Interrupted; {written} was written.", file=sys.stderr)
    return 130
  except mended as error:
    print(one_line(error), file=sys.stderr)
    return 2
  return 0


def terminate(signal_number: int, frame: FrameType | None) -> None:
  """Ends the process by an exception, so that temporary files are removed."""
  del frame
  sys.exit(128 + signal_number)


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
  """Makes running out of memory the user's error, with advice."""
  try:
    yield
  except (jax.errors.JaxRuntimeError, MemoryError) as error:
    if isinstance(error, MemoryError) or "EXHAUSTED" in str(error):
      raise UsageError(f"Out of memory: {advice}.") from error
    raise


def require_extra(*modules: str, extra: str = "experiments") -> None:
  """Checks that optional libraries are there.

  Raises:
    UsageError: naming the extra that installs them.
  """
  missing = [m for m in modules if importlib.util.find_spec(m) is None]
  if missing:
    raise UsageError(
      f"{' and '.join(missing)} cannot be imported; install them with "
      f"`pip install nagjax[{extra}]`."
    )


def _become_program() -> None:
  """Handles signals, prints any file name, and seldom looks for garbage.

  What is imported stays, and tracing makes millions of objects that stay until
  it ends: to look through them takes half a second of each compilation.
  """
  gc.freeze()
  gc.set_threshold(100_000)
  signal.signal(signal.SIGINT, signal.default_int_handler)
  signal.signal(signal.SIGTERM, terminate)
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="backslashreplace")
