"""What the binaries share: exit codes, the start of JAX, progress, versions."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import csv
import dataclasses
import importlib.metadata
import importlib.util
import math
import os
import pathlib
import platform
import re
import signal
import sys
import tempfile
import time
from types import FrameType
from typing import Any
from typing import NoReturn

from absl import flags
import jax
import numpy as np
from numpy.typing import ArrayLike

from nagjax.search import Progress
from nagjax.spaces.base import SearchSpace

ReportFn = Callable[[str, Progress | None], None]
"""Takes the name of a search and where its sweep stands; None: it begins."""

_PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class UsageError(ValueError):
  """Something that the user can mend; its message becomes one line."""


def run_main(
  run_fn: Callable[[], None], *errors: type[Exception], written: str = "nothing"
) -> int:
  """Runs a binary and turns the user's errors into one line on stderr.

  Args:
    run_fn: the binary.
    *errors: exceptions that the user can mend, besides `UsageError`, errors of
      flags and errors of the operating system.
    written: what an interruption leaves behind, for its message.

  Returns:
    The exit code: 0; 2 for what the user can mend; 130 for an interruption.
  """
  mended: tuple[type[Exception], ...] = (UsageError, flags.Error, OSError)
  mended += errors
  try:
    run_fn()
  except KeyboardInterrupt:
    print(f"Interrupted; {written} was written.", file=sys.stderr)
    return 130
  except mended as error:
    print(_one_line(error), file=sys.stderr)
    return 2
  return 0


def run_program(main: Callable[[Sequence[str]], int]) -> NoReturn:
  """Runs `main` as a program; SIGTERM removes temporary files as well."""
  signal.signal(signal.SIGTERM, terminate)
  sys.exit(main(sys.argv))


def terminate(signal_number: int, frame: FrameType | None) -> None:
  """Ends the process by an exception, so that temporary files are removed."""
  del frame
  sys.exit(128 + signal_number)


def read_flags(
  values: flags.FlagValues, argv: Sequence[str], doc: str | None
) -> bool:
  """Reads a command line of flags alone.

  Args:
    values: the binary's flags, one of them `help`; filled in.
    argv: the command line, program name first.
    doc: what --help prints before the flags.

  Returns:
    Whether help was asked for and printed: there is nothing else to do.

  Raises:
    UsageError: if an argument is no flag.
  """
  rest = values(list(argv))[1:]
  if rest:
    raise UsageError(f"Every argument is a flag, got {rest[0]!r}.")
  if values.help:
    print(f"{doc}\nFlags:\n{values.get_help()}")
  return values.help


def check_table_path(path: str | pathlib.Path, overwrite: bool) -> pathlib.Path:
  """A .npz file that a binary may write.

  Raises:
    UsageError: if it is none, or exists and may not be replaced.
  """
  output = pathlib.Path(path)
  if output.suffix != ".npz":
    raise UsageError(f"--output must end in .npz, got {output}.")
  if output.exists() and not overwrite:
    raise UsageError(
      f"{output} exists; choose another --output or pass --overwrite."
    )
  return output


@contextlib.contextmanager
def user_errors(prefix: str = "") -> Iterator[None]:
  """Makes the errors of a check the user's; for use before anything runs.

  Args:
    prefix: what the message begins with, such as the flag at fault.
  """
  try:
    yield
  except UsageError:
    raise
  except (ValueError, OSError) as error:
    raise UsageError(prefix + _one_line(error)) from error


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
  """Makes running out of memory the user's error, with advice."""
  try:
    yield
  except (jax.errors.JaxRuntimeError, MemoryError) as error:
    if isinstance(error, MemoryError) or "EXHAUSTED" in str(error):
      raise UsageError(f"Out of memory: {advice}.") from error
    raise


def require_extra(*modules: str) -> None:
  """Checks that optional libraries are there.

  Raises:
    UsageError: naming the extra that installs them.
  """
  missing = [m for m in modules if importlib.util.find_spec(m) is None]
  if missing:
    raise UsageError(
      f"{' and '.join(missing)} cannot be imported; install them with "
      "`pip install nagjax[experiments]`."
    )


def start_jax(compilation_cache_dir: str | None = None) -> list[jax.Device]:
  """Sets JAX up before its first use: on CPUs, one device for each core.

  The number of devices changes the speed and no result. A choice that the user
  made elsewhere stays.

  Args:
    compilation_cache_dir: where compiled programs are kept, if given.

  Returns:
    The local devices.

  Raises:
    UsageError: if the platform that the user chose is not there.
  """
  if compilation_cache_dir is not None:
    with user_errors("--compilation_cache_dir: "):
      pathlib.Path(compilation_cache_dir).mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", compilation_cache_dir)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  flag = "xla_force_host_platform_device_count"
  chosen = flag in os.environ.get("XLA_FLAGS", "")
  if jax.config.values["jax_num_cpu_devices"] < 0 and not chosen:
    # Raises if JAX runs already: then the calling program has chosen.
    with contextlib.suppress(RuntimeError):
      jax.config.update("jax_num_cpu_devices", _num_cores())
    # A device has a core to itself: splitting its small products over further
    # threads costs a third of the speed of a sweep.
    flags_now = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags_now:
      one_thread = "--xla_cpu_multi_thread_eigen=false"
      os.environ["XLA_FLAGS"] = f"{flags_now} {one_thread}".strip()
    # The devices share one thread pool and may wait in it: without a spare
    # thread, as many devices as threads can deadlock. More of them are slower.
    os.environ.setdefault("NPROC", str(_num_cores() + 1))
  try:
    return jax.local_devices()
  except RuntimeError as error:
    raise UsageError(f"JAX does not start: {_one_line(error)}") from error


def read_options(
  texts: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, str]]:
  """Reads texts such as `ednag.population_size=20`.

  Args:
    texts: values of `--set`.
    names: the algorithms that run.

  Returns:
    Options and their values by algorithm, as text.

  Raises:
    UsageError: if a text has another form or names another algorithm.
  """
  options: dict[str, dict[str, str]] = {name: {} for name in names}
  for text in texts:
    match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", text)
    if match is None:
      raise UsageError(
        f"--set looks like ednag.population_size=20, got {text!r}."
      )
    if match[1] not in options:
      raise UsageError(
        f"--set={text}: {match[1]} is not in --algorithm={','.join(names)}."
      )
    options[match[1]][match[2]] = match[3]
  return options


def read_prior(path: str, space: SearchSpace) -> np.ndarray:
  """Reads the column `architecture` of a CSV file.

  Args:
    path: the file.
    space: to which its official strings belong.

  Returns:
    `int32[P, L]`, the distinct ones in their order.

  Raises:
    UsageError: naming the file and the line at fault.
  """
  archs: dict[tuple[int, ...], None] = {}
  with (
    user_errors("--prior: "),
    open(path, newline="", encoding="utf-8-sig") as file,
  ):
    reader = csv.DictReader(file)
    try:
      if "architecture" not in (reader.fieldnames or ()):
        raise ValueError(
          "expected a header with the column architecture, got "
          f"{','.join(reader.fieldnames or ())[:80]!r}."
        )
      for row in reader:
        arch = space.from_string(row["architecture"] or "")
        archs[tuple(arch.tolist())] = None
      if not archs:
        raise ValueError("expected one architecture or more, got none.")
    except (ValueError, csv.Error) as error:
      raise ValueError(f"{path}:{max(reader.line_num, 1)}: {error}") from error
  return np.asarray(list(archs), np.int32)


def prepare_workdir(
  workdir: pathlib.Path, names: Sequence[str], *, overwrite: bool
) -> None:
  """Creates the directory for the results, and checks that it takes files.

  Args:
    workdir: the directory.
    names: files of results.
    overwrite: whether it may hold some of them.

  Raises:
    UsageError: if it may not or does not.
  """
  with user_errors("--workdir: "):
    held = [name for name in names if (workdir / name).exists()]
    if held and not overwrite:
      raise UsageError(
        f"{workdir} holds {held[0]}; choose another --workdir or pass "
        "--overwrite."
      )
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass


def describe_devices(devices: Sequence[jax.Device]) -> str:
  """Returns number and kind, such as `2 x cpu` or `1 x NVIDIA H200`."""
  return f"{len(devices)} x {devices[0].device_kind}"


def peak_memory_mb(devices: Sequence[jax.Device]) -> float | None:
  """Returns the peak of the devices, or of the process where they tell none."""
  peaks = [(d.memory_stats() or {}).get("peak_bytes_in_use") for d in devices]
  known = [peak for peak in peaks if peak is not None]
  if known:
    return sum(known) / 1e6
  try:
    import resource
  except ImportError:  # Windows.
    return None
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def key_numbers(keys: ArrayLike) -> np.ndarray:
  """A space's keys `uint32[..., 2]` as numbers, `uint64[...]`, flat."""
  pairs = np.asarray(keys).reshape(-1, 2).astype(np.uint64)
  return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]


def versions(*more: str) -> dict[str, str]:
  """Returns the versions that a result depends on.

  Args:
    *more: further libraries that made it.
  """
  found = {"python": platform.python_version()}
  for name in ("nagjax", "jax", "jaxlib", "numpy", *more):
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = "source tree"
  return found


def describe_config(config: Any) -> dict[str, Any]:
  """A Config as JSON: functions by name, numbers that JSON lacks as text."""

  def plain(value):
    if isinstance(value, tuple | list):
      return [plain(item) for item in value]
    if callable(value):
      return f"{value.__module__}.{getattr(value, '__qualname__', '?')}"
    if isinstance(value, float) and not math.isfinite(value):
      return str(value)
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known else repr(value)

  return {
    field.name: plain(getattr(config, field.name))
    for field in dataclasses.fields(config)
  }


@contextlib.contextmanager
def progress() -> Iterator[ReportFn]:
  """Yields a function that shows progress on stderr.

  A live bar on a terminal, a line now and then elsewhere.
  """
  if not sys.stderr.isatty():
    yield _PlainProgress()
    return
  from rich import console
  from rich import progress as rich_progress

  with rich_progress.Progress(
    rich_progress.TextColumn("{task.description}"),
    rich_progress.BarColumn(),
    rich_progress.TaskProgressColumn(),
    rich_progress.TextColumn("{task.fields[detail]}"),
    rich_progress.TimeElapsedColumn(),
    rich_progress.TimeRemainingColumn(),
    console=console.Console(stderr=True),
  ) as bar:
    tasks: dict[str, rich_progress.TaskID] = {}

    def report(name: str, now: Progress | None) -> None:
      if name not in tasks:
        tasks[name] = bar.add_task(name, total=1.0, detail="compiling")
      if now is not None:
        bar.update(tasks[name], completed=now.share, detail=_detail(now))

    yield report


class _PlainProgress:
  """Prints a line at the start of a search, and then every ten seconds."""

  def __init__(self) -> None:
    self._first: tuple[float, float] | None = None
    self._printed = 0.0

  def __call__(self, name: str, now: Progress | None) -> None:
    seconds = time.monotonic()
    if now is None:
      self._first = None
      self._print(f"{name}: compiling")
    elif self._first is None:
      self._first, self._printed = (seconds, now.share), seconds
    elif seconds - self._printed >= _PLAIN_SECONDS and now.share < 1.0:
      self._printed = seconds
      began, share = self._first
      left = (
        (seconds - began) * (1.0 - now.share) / max(now.share - share, 1e-9)
      )
      self._print(
        f"{name}: {now.share:.0%}, {_detail(now)}, about {left:,.0f} s left"
      )

  def _print(self, line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _detail(now: Progress) -> str:
  return (
    f"chunk {now.chunk + 1:,} of {now.num_chunks:,}, "
    f"round {min(now.round, now.num_rounds):,} of at most {now.num_rounds:,}"
  )


def _num_cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _one_line(error: BaseException) -> str:
  return " ".join(str(error).split())
