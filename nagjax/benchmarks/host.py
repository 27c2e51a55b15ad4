"""A benchmark whose query is a Python function: a training run, a cluster."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

EvaluateFn = Callable[[np.ndarray], Mapping[str, ArrayLike] | ArrayLike]
"""Maps distinct architectures `int32[n, L]` to `{column: [n]}`, or to `[n]` if
there is one column. NaN stands for what failed."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class HostBenchmark:
  """A `Benchmark` that asks a Python function, for `run_on_host`.

  Attributes:
    space: the search space.
    evaluate_fn: see `EvaluateFn`. It is called with fresh architectures only,
      each once; what it raises ends the search, which a later call continues.
    columns: what a search may read; the first is the objective, maximized.
    reported: what it returns besides, for the reader only.
    test: the column of `reported` that judges the result, or None.
    name: of the benchmark.
    units: pairs `(column, unit)`.
    identities_fn: `int32[B, L] ->` what is charged once: `uint32[B, 2]` keys,
      or `int32[B]` rows if there are `num_rows`; `space.keys` by default.
    num_rows: number of distinct rows, or None if they are not numbered.

  Raises:
    ValueError: at construction, if a name is none or occurs twice, or rows are
      numbered by nobody.

  Example:
    def train(archs):
      return {"valid_accuracy": [...], "latency_ms": [...]}

    benchmark = HostBenchmark(space, train, ("valid_accuracy", "latency_ms"))
    problem = nagjax.Problem(benchmark, constraints=("latency_ms<=5",))
    search = nagjax.make_search("ednag", problem, budget=40)
    result = nagjax.run_on_host(jax.random.key(0), search, directory="run")
  """

  space: SearchSpace
  evaluate_fn: EvaluateFn
  columns: tuple[str, ...] = ("objective",)
  reported: tuple[str, ...] = ()
  test: str | None = None
  name: str = "host"
  units: tuple[tuple[str, str], ...] = ()
  identities_fn: Callable[[Archs], jax.Array] | None = None
  num_rows: int | None = None

  on_host = True

  def __post_init__(self) -> None:
    for field in ("columns", "reported"):
      names = getattr(self, field)
      if isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise ValueError(
          f'{field} must be names such as ("valid_accuracy",), got {names!r}.'
        )
      object.__setattr__(self, field, tuple(names))
    names = self.columns + self.reported
    if not self.columns or len(set(names)) < len(names):
      raise ValueError(
        "columns and reported must be distinct names and at least one column, "
        f"got {names}."
      )
    if self.test is not None and self.test not in self.reported:
      raise ValueError(f"test must be in {self.reported}, got {self.test!r}.")
    if not callable(self.evaluate_fn):
      raise ValueError(
        f"evaluate_fn must be a function, got {self.evaluate_fn!r}."
      )
    if self.num_rows is not None and self.identities_fn is None:
      raise ValueError("num_rows needs identities_fn, which numbers the rows.")

  @property
  def objective(self) -> str:
    """The first column."""
    return self.columns[0]

  @property
  def objectives(self) -> tuple[str, ...]:
    """The first column alone; a `Problem` may ask for more."""
    return (self.objective,)

  def identities(self, archs: Archs) -> jax.Array:
    """What is charged once: `uint32[B, 2]` keys, or `int32[B]` rows."""
    return (self.identities_fn or self.space.keys)(archs)

  def query(self, archs: Archs) -> dict[str, Any]:
    """Columns that a search may read, each `f32[n]` (host)."""
    found = self.evaluate(archs)
    return {name: found[name] for name in self.columns}

  def report(self, archs: Archs) -> dict[str, Any]:
    """Columns for the reader only, each `f32[n]` (host)."""
    found = self.evaluate(archs)
    return {name: found[name] for name in self.reported}

  def architectures(self) -> None:
    """Not known: nobody evaluates them all."""
    return None

  def evaluate(self, archs: Archs) -> dict[str, np.ndarray]:
    """Calls the function and checks what it returns.

    Args:
      archs: `int32[n, L]`.

    Returns:
      All columns, `columns` and `reported`, each `f32[n]`.

    Raises:
      ValueError: if it returns other names, shapes or kinds than documented, or
        this is called in a compiled function.
    """
    if isinstance(archs, jax.core.Tracer):
      raise ValueError(
        f"{self.name} is evaluated in Python and cannot be compiled; use "
        "run_on_host."
      )
    return named_columns(
      self.evaluate_fn(np.asarray(archs)),
      self.columns + self.reported,
      len(archs),
      "evaluate_fn must return",
    )


def named_columns(
  found: Any, names: tuple[str, ...], num: int, what: str
) -> dict[str, np.ndarray]:
  """Checks values of architectures that come from outside.

  Args:
    found: `{name: [num]}`, or `[num]` if there is one name.
    names: all that must be there.
    num: number of architectures.
    what: beginning of an error, such as "evaluate_fn must return".

  Returns:
    `f32[num]` under every name.

  Raises:
    ValueError: if names are missing or unknown, a column has another shape or
      is no column of numbers.
  """
  if not isinstance(found, Mapping):
    if len(names) > 1:
      raise ValueError(
        f"{what} a dictionary of {', '.join(names)}, got "
        f"{type(found).__name__}."
      )
    found = {names[0]: found}
  if set(found) != set(names):
    raise ValueError(
      f"{what} the columns {', '.join(names)}, got "
      f"{', '.join(map(str, found)) or 'none'}."
    )
  columns = {}
  for name in names:
    try:
      column = np.asarray(found[name])
    except ValueError:  # Rows of different lengths.
      column = np.asarray(None)
    is_float = jnp.issubdtype(column.dtype, jnp.floating)
    if column.shape != (num,) or not (is_float or column.dtype.kind in "biu"):
      raise ValueError(
        f"{what} {num} numbers as {name}, got {column.dtype}"
        f"{list(column.shape)}."
      )
    with np.errstate(over="ignore"):  # What is too large has failed.
      columns[name] = column.astype(np.float32)
  return columns
