"""Several processes that share a run, on one machine or many."""

from collections.abc import Iterator
import contextlib
import os
import sys
import threading
import time
from typing import Any

import jax
from jax.experimental import multihost_utils

from . import flags
from .errors import UsageError
from .errors import one_line

HEARTBEAT_SECONDS = 20
"""After which silence a process counts as dead."""

LOOK_SECONDS = 3.0
"""Between two looks for dead processes."""

FLAGS = (
  flags.text(
    "coordinator_address",
    None,
    "Host of process 0 and a free port of it, such as node1:1234: several "
    "processes share the seeds.",
  ),
  flags.whole("num_processes", None, "How many they are."),
  flags.whole("process_id", None, "Which this one is, from 0.", 0),
  flags.switch(
    "distributed",
    False,
    "Find these three in the environment (SLURM, Open MPI, Kubernetes, TPU "
    "pods).",
  ),
)
"""Of binaries that several processes can run."""

_GIVEN = tuple(flag.name for flag in FLAGS[:3])


def join(values: flags.Values) -> None:
  """Joins the processes that the flags name, before JAX is first used.

  Raises:
    UsageError: if they are not all there, or contradict each other.
  """
  given: dict[str, Any] = {name: values[name].value for name in _GIVEN}
  missing = [name for name, value in given.items() if value is None]
  if len(missing) == len(given) and not values.distributed:
    return
  if missing and not values.distributed:
    raise UsageError(
      f"Several processes need --{', --'.join(missing)} as well, or "
      "--distributed, which finds them in the environment."
    )
  if not missing and given["process_id"] >= given["num_processes"]:
    raise UsageError(
      f"--process_id must be below --num_processes={given['num_processes']}, "
      f"got {given['process_id']}."
    )
  # Else JAX ends a process by a signal when another has died.
  jax.config.update("jax_enable_recoverability", True)
  try:
    jax.distributed.initialize(
      **given,
      initialization_timeout=120,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )
  except (RuntimeError, ValueError) as error:
    raise UsageError(
      f"The processes do not find each other: {one_line(error)}"
    ) from error


def is_first() -> bool:
  """Whether this process writes and tells."""
  return jax.process_index() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
  """Ends this process with one line if another dies within the block."""
  if jax.process_count() == 1:
    yield
    return
  done = threading.Event()
  watch = threading.Thread(target=_watch, args=(done,), daemon=True)
  watch.start()
  try:
    yield
    multihost_utils.sync_global_devices("nagjax: done")
    done.set()
    _leave()
  except jax.errors.JaxRuntimeError:
    # What waits for a dead process fails before that one counts as dead.
    watch.join(2 * HEARTBEAT_SECONDS)
    raise
  finally:
    done.set()


def _leave() -> None:
  """Leaves the first process last: the others take their leave of it."""
  everyone = set(range(jax.process_count()))
  end = time.monotonic() + HEARTBEAT_SECONDS
  while is_first() and time.monotonic() < end:
    if _missing(everyone) >= everyone - {0}:
      break
    time.sleep(0.05)
  jax.distributed.shutdown()


def _watch(done: threading.Event) -> None:
  expected = set(range(jax.process_count()))
  while not done.wait(LOOK_SECONDS):
    dead = _missing(expected)
    if dead and not done.wait(LOOK_SECONDS):
      names = " and ".join(map(str, sorted(dead)))
      print(
        f"Process {names} of {len(expected)} has ended, and this one with it; "
        "the same commands go on behind what is done.",
        file=sys.stderr,
        flush=True,
      )
      os._exit(2)


def _missing(expected: set[int]) -> set[int]:
  """Processes that do not answer; the first, if nobody can be asked."""
  # JAX has no public function that asks.
  from jax._src import distributed

  client = distributed.global_state.client
  assert client is not None
  try:
    return expected - set(client.get_live_nodes([*expected]))
  except RuntimeError:
    return {0}
