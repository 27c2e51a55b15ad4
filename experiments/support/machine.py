"""The machine: the start of JAX, its devices, memory, versions of libraries."""

from collections.abc import Sequence
import contextlib
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
from typing import Any
import warnings

import jax

from nagjax import files

from .errors import UsageError
from .errors import one_line
from .errors import user_errors

MOST_CACHED = 2 * 10**9
"""Bytes of compiled programs that are kept where nobody chose a place."""


def start_jax(compilation_cache_dir: str | None = None) -> list[jax.Device]:
  """Sets JAX up before its first use: on CPUs, one device for each core.

  The number of devices changes the speed and no result. A choice that the user
  made elsewhere stays.

  Args:
    compilation_cache_dir: see `make_cache`.

  Returns:
    The local devices.

  Raises:
    UsageError: if the platform that the user chose is not there.
  """
  place = make_cache(compilation_cache_dir)
  if place is not None:
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # Where two processes compile the same program, one of them keeps it.
    message = "Error (reading|writing) persistent compilation cache"
    warnings.filterwarnings("ignore", message)
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
    raise UsageError(f"JAX does not start: {one_line(error)}") from error


def make_cache(compilation_cache_dir: str | None) -> pathlib.Path | None:
  """Creates the directory of compiled programs.

  Args:
    compilation_cache_dir: its name; "" for none at all; None for one below the
      user's folder of caches, unless JAX has been told another. That one is
      kept below two gigabytes, and does without where it cannot be made.

  Raises:
    UsageError: if a directory that was named cannot be made.
  """
  if compilation_cache_dir:
    place = files.expand(compilation_cache_dir)
    with user_errors("--compilation_cache_dir: "):
      place.mkdir(parents=True, exist_ok=True)
    return place
  chosen = jax.config.values["jax_compilation_cache_dir"]
  if compilation_cache_dir is not None or chosen:
    return None
  place = default_cache()
  try:
    place.mkdir(parents=True, exist_ok=True)
    prune(place, MOST_CACHED)
  except OSError:
    return None
  return place


def default_cache() -> pathlib.Path:
  """Where compiled programs are kept: for processors of one kind.

  A folder may be shared by machines that do not understand each other's code.
  """
  home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  kind = f"{platform.machine()} {platform.processor()}"
  with contextlib.suppress(files.FileError):
    lines = files.read_text("/proc/cpuinfo").splitlines()
    kind += next((n for n in lines if n.startswith(("flags", "Features"))), "")
  digest = hashlib.sha256(kind.encode()).hexdigest()[:8]
  return pathlib.Path(home, "nagjax", "xla", f"{platform.machine()}-{digest}")


def prune(folder: pathlib.Path, most: int) -> None:
  """Removes the oldest files of a folder until the rest has `most` bytes."""
  found = [(path.stat(), path) for path in folder.iterdir() if path.is_file()]
  found.sort(key=lambda pair: pair[0].st_mtime, reverse=True)
  total = 0
  for stat, path in found:
    total += stat.st_size
    if total > most:
      path.unlink(missing_ok=True)


def describe_devices(devices: Sequence[jax.Device]) -> str:
  """Returns number and kind, such as `2 x cpu` or `1 x NVIDIA H200`."""
  return f"{len(devices)} x {devices[0].device_kind}"


def describe() -> dict[str, Any]:
  """What speed depends on besides the device.

  Returns:
    The processor's kind, cores that this process may use, threads that XLA was
    told to use (None: it chose), and how many processes wanted to run in the
    last minute (None where the system does not tell).
  """
  load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
  return {
    "processor": platform.processor() or platform.machine(),
    "cores": _num_cores(),
    "threads": os.environ.get("NPROC"),
    "load": load,
  }


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


def _num_cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
