"""What a benchmark is, and where benchmark files are found."""

import os
import pathlib
from typing import Protocol

import jax
import numpy as np

from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

DATA_DIRECTORY_VARIABLE = "NAGJAX_DATA_DIR"


class Benchmark(Protocol):
  """A pytree of arrays that answers questions about architectures.

  What a search may see (`query`) and what only a reader sees (`report`) are
  separate functions, so that no search reads a test metric by accident. Static
  attributes describe the columns; all arrays are leaves, so a benchmark is
  passed to compiled functions as an argument.

  `Problem` also uses, where a benchmark has them: `query_and_report(archs)`,
  the columns of both at once where that is cheaper;
  `check_limits({column: limit})`, which raises ValueError if no architecture
  can meet them; `lower` and `fidelities`, columns at fidelities below the full
  one (`TabularBenchmark`); and `on_host` with `columns`, of what Python
  evaluates (`HostBenchmark`).

  Attributes:
    name: name in the registry, `<table>/<data set>`.
    space: the search space.
    objective: the default objective, a column of `query`, maximized.
    objectives: those of a search that names none; `(objective,)` by default.
    test: the column of `report` that judges the result, or None.
    units: pairs `(column, unit)`.
    num_rows: number of distinct rows, or None if it has no rows.
  """

  @property
  def name(self) -> str: ...
  @property
  def space(self) -> SearchSpace: ...
  @property
  def objective(self) -> str: ...
  @property
  def objectives(self) -> tuple[str, ...]:
    return (self.objective,)

  @property
  def test(self) -> str | None: ...
  @property
  def units(self) -> tuple[tuple[str, str], ...]: ...
  @property
  def num_rows(self) -> int | None: ...

  def identities(self, archs: Archs) -> jax.Array:
    """What is charged once: `int32[...]` rows, or `uint32[..., 2]` keys."""
    ...

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns that a search may read, each `f32[...]`; NaN where missing."""
    ...

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns for the reader only, each `f32[...]`; NaN where missing."""
    ...

  def architectures(self) -> np.ndarray | None:
    """One architecture of every row, `int32[num_rows, L]`, or None."""
    ...


class Computed:
  """What benchmarks without rows have in common: a base for them.

  Every architecture of their space has an answer, and there is nothing that
  only the reader sees.
  """

  @property
  def objectives(self: Benchmark) -> tuple[str, ...]:
    """The objective alone."""
    return (self.objective,)

  @property
  def test(self) -> None:
    """There is no test metric."""
    return None

  @property
  def num_rows(self) -> None:
    """There are no rows: every architecture of the space has an answer."""
    return None

  def identities(self: Benchmark, archs: Archs) -> jax.Array:
    """Keys of the space, `int32[..., L] -> uint32[..., 2]`."""
    return self.space.keys(archs)

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """No columns, `int32[..., L] -> {}`."""
    del archs
    return {}

  def architectures(self) -> None:
    """There are no rows."""
    return None


def is_on_host(benchmark: Benchmark) -> bool:
  """Whether a benchmark is Python that cannot be traced (`HostBenchmark`)."""
  return getattr(benchmark, "on_host", False)


def data_directory(
  explicit: str | os.PathLike[str] | None = None,
) -> pathlib.Path:
  """Returns the directory of benchmark files.

  Args:
    explicit: a directory that wins over the environment, as from `--data_dir`.

  Returns:
    `explicit`, else `NAGJAX_DATA_DIR`, else `~/.cache/nagjax`; a leading `~` is
    the user's home.
  """
  chosen = explicit or os.environ.get(DATA_DIRECTORY_VARIABLE)
  return pathlib.Path(chosen or "~/.cache/nagjax").expanduser()
