"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import importlib.util
import sys
import time

from nagjax.generation import resumable
from nagjax.search import Progress

ReportFn = Callable[[str, float | None, str], None]
"""Takes a name, the share that is done (None: it begins) and a detail."""

_PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def of_sweep(report: ReportFn, name: str) -> Callable[[Progress], None]:
  """What a sweep calls as `on_progress`, to be reported under a name."""
  report(name, None, "compiling")

  def on_progress(now: Progress) -> None:
    detail = (
      f"chunk {now.chunk + 1:,} of {now.num_chunks:,}, "
      f"round {min(now.round, now.num_rounds):,} of at most {now.num_rounds:,}"
    )
    report(name, now.share, detail)

  return on_progress


@contextlib.contextmanager
def of_training() -> Iterator[resumable.ProgressFn]:
  """Yields what a resumable training calls as `on_progress`."""
  with progress() as report:

    def on_progress(
      done: int, num_chunks: int, measures: Mapping[str, float]
    ) -> None:
      if not measures:
        report("training", None, "compiling")
        return
      found = ", ".join(f"{name} {x:.3g}" for name, x in measures.items())
      report("training", done / num_chunks, f"chunk {done:,}, {found}")

    yield on_progress


@contextlib.contextmanager
def progress() -> Iterator[ReportFn]:
  """Yields a function that shows progress on stderr."""
  if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
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

    def report(name: str, share: float | None, detail: str) -> None:
      if name not in tasks:
        tasks[name] = bar.add_task(name, total=1.0, detail=detail)
      bar.update(tasks[name], completed=share or 0.0, detail=detail)

    yield report


@contextlib.contextmanager
def silence() -> Iterator[ReportFn]:
  """Yields a function that shows nothing."""
  yield lambda name, share, detail: None


class _PlainProgress:
  """Prints a line at the start of a search, and then every ten seconds."""

  def __init__(self) -> None:
    self._first: tuple[float, float] | None = None
    self._printed = 0.0

  def __call__(self, name: str, share: float | None, detail: str) -> None:
    seconds = time.monotonic()
    if share is None:
      self._first = None
      self._print(f"{name}: {detail}")
    elif self._first is None:
      self._first, self._printed = (seconds, share), seconds
    elif seconds - self._printed >= _PLAIN_SECONDS and share < 1.0:
      self._printed = seconds
      began, before = self._first
      left = (seconds - began) * (1.0 - share) / max(share - before, 1e-9)
      self._print(f"{name}: {share:.0%}, {detail}, about {left:,.0f} s left")

  def _print(self, line: str) -> None:
    print(line, file=sys.stderr, flush=True)
