"""Settings of the whole test run, made before jax is first used."""

import functools
import os
import pathlib
import tempfile

import chex
import jax
import pytest

_USER = getattr(os, "getuid", int)()
_CACHE = pathlib.Path(tempfile.gettempdir(), f"nagjax-test-cache-{_USER}")

# Linux lets a process map 65,530 regions of memory, and kills it in some
# allocation when they are used up. A compiled program takes about fifteen.
_MAPPED = pathlib.Path("/proc/self/maps")
_MANY_MAPPED = 20_000

# XLA's newer way to generate code takes half of the time of a compilation
# without optimization.
_NO_EMITTERS = "--xla_cpu_use_fusion_emitters=false"

# The devices share one thread pool and wait in it for parts of their own work:
# without spare threads, as many devices as threads can deadlock.
os.environ.setdefault("NPROC", "16")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
# The programs that tests start keep theirs in the same place.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# After the settings: this import uses jax.
from tests.algorithms import registered  # noqa: E402


def _share_context():
  """Lowers programs in one MLIR context.

  jax makes one for each, which takes a third of the time of a small program and
  2 MB as long as it is kept; these tests have 20,000 small ones.
  """
  from jax._src.interpreters import mlir  # noqa: PLC0415  Private: may move.

  new = mlir.make_ir_context
  shared = functools.cache(new)

  def context():
    # A program that is lowered while another is would become a part of it.
    return new() if mlir.ir.Context.current else shared()

  mlir.make_ir_context = context


def pytest_configure(config):
  """Compiles short tests quickly; two workers may write one cache entry."""
  if config.option.markexpr == "not slow":
    # Nearly all of their time is compilation, and most of that optimization.
    # The programs that they start inherit the variables.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if jax.__version_info__[:2] == (0, 10):  # An unknown flag ends the process.
      flags = os.environ.get("XLA_FLAGS", "")
      os.environ["XLA_FLAGS"] = f"{flags} {_NO_EMITTERS}".strip()
      _share_context()
    quickly = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] != "0"
    jax.config.update("jax_disable_most_optimizations", quickly)
  for what in ("reading", "writing"):
    config.addinivalue_line(
      "filterwarnings", f"ignore:Error {what} persistent compilation cache"
    )


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
  """Drops the compiled programs of a worker that holds many of them."""
  yield
  if _MAPPED.exists() and _MAPPED.read_bytes().count(b"\n") > _MANY_MAPPED:
    jax.clear_caches()
    # What is compiled again is traced again.
    chex.clear_trace_counter()


def pytest_collection_modifyitems(items):
  """Puts the tests of one registered algorithm side by side, and first.

  They share compiled programs, and workers take neighbors.
  """
  for item in items:
    if item.name.endswith(tuple(f"_{name}" for name in registered.SLOW)):
      item.add_marker(pytest.mark.slow)
  marks = [f"_{case['testcase_name']}" for case in registered.ALL]

  def group(item):
    hits = [i for i, mark in enumerate(marks) if item.name.endswith(mark)]
    return hits[0] if hits else len(marks)

  items.sort(key=group)
