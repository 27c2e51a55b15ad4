"""`Problem`: a benchmark and the question that is asked of it."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
import re
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import statistics
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import is_on_host
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Fidelities

LEAST_FEASIBLE = -(2.0**96)
"""`feasible_first` gives no feasible row less, and every infeasible one."""

_EDGE = 0x6F8FFFFF
"""Bits of a float above `-LEAST_FEASIBLE`; an eighth of the bits of infinity
above it lies the largest finite float."""


class Constraint(NamedTuple):
  """A limit on one queried column: `column <= limit`; NaN is infeasible.

  Attributes:
    column: of `Benchmark.query`.
    limit: the largest value that is feasible, in the unit of the column.

  Example:
    >>> Constraint.parse("params_m<=0.5")
    Constraint(column='params_m', limit=0.5)
  """

  column: str
  limit: float

  @classmethod
  def parse(cls, text: str) -> "Constraint":
    """Reads `column<=limit`, such as `params_m<=0.5`.

    Raises:
      ValueError: if the text has another form, or the limit is not finite.
    """
    match = re.fullmatch(r"\s*(\w+)\s*<=\s*(\S+)\s*", text)
    try:
      if match is None:
        raise ValueError
      constraint = cls(match[1], float(match[2]))
    except ValueError:
      raise ValueError(
        f"A constraint looks like raspi4_ms<=5, got {text!r}."
      ) from None
    if not math.isfinite(constraint.limit):
      raise ValueError(f"A limit must be finite, got {text!r}.")
    return constraint


class Answer(NamedTuple):
  """What a problem says of architectures, before any budget.

  Attributes:
    objective: `f32[B]` scalarized objective, maximized; `-inf` where failed.
    objectives: `f32[B, M]` single objectives, maximized.
    violations: `f32[B, C]` relative excess over each limit, infinite where the
      column is NaN; `<= 0` is feasible.
    failed: `bool[B]` whether the evaluation has no result.
  """

  objective: jax.Array
  objectives: jax.Array
  violations: jax.Array
  failed: jax.Array

  @property
  def feasible(self) -> jax.Array:
    """Whether a row has a result and meets every limit, `bool[B]`."""
    return ~self.failed & jnp.all(self.violations <= 0, axis=-1)


class Optimum(NamedTuple):
  """The best feasible row of a benchmark.

  Attributes:
    objective: the largest scalarized objective.
    test: the reader's metric of the first architecture that has it, NaN if
      there is none.
    archs: `int32[A, L]` all architectures within `tolerance` of it.
  """

  objective: float
  test: float
  archs: np.ndarray


class Front(NamedTuple):
  """The exact Pareto front of the feasible rows of a benchmark.

  Attributes:
    objectives: `f64[F, M]` distinct, each maximized, the best first one first.
    archs: `int32[F, L]` an architecture of each.
    worst: `f64[M]` the least value of every objective over feasible rows.
  """

  objectives: np.ndarray
  archs: np.ndarray
  worst: np.ndarray

  @property
  def span(self) -> np.ndarray:
    """Range of every objective on the front, 1 where it has none, `f64[M]`."""
    span = np.ptp(self.objectives, axis=0)
    return np.where(span > 0, span, 1.0)


Scalarize = Callable[[jax.Array, jax.Array], jax.Array]
"""Maps objectives `[B, M]` and violations `[B, C]` to one objective `[B]`, each
row by itself. Both loops compile it, so it uses `jax.numpy`."""


def feasible_first(objectives: jax.Array, violations: jax.Array) -> jax.Array:
  """Deb's rule: the first objective, and below all of it what is infeasible.

  Infeasible rows are ordered by their total violation, NaN last. Their value
  has no unit: it is a float below `LEAST_FEASIBLE` whose bits are those of the
  excess, without the last three. So no objective of a feasible row, whatever
  its scale, comes below it, and excesses that differ by more than a millionth
  of themselves keep their order.

  Args:
    objectives: `f32[..., M]`, each maximized; the first is read.
    violations: `f32[..., C]`; `<= 0` is feasible.

  References:
    Deb, "An efficient constraint handling method for genetic algorithms", 2000.

  Example:
    >>> objectives = np.asarray([[1.0], [9.0], [8.0]])
    >>> violations = np.asarray([[-1.0], [0.5], [2.0]])
    >>> value = jax.jit(feasible_first)(objectives, violations)
    >>> np.argsort(value).tolist()  # The last one is the best.
    [2, 1, 0]
  """
  violations = jnp.where(jnp.isnan(violations), jnp.inf, violations)
  feasible = jnp.all(violations <= 0, axis=-1)
  excess = jnp.sum(jnp.maximum(violations, 0.0), axis=-1, dtype=jnp.float32)
  bits = jax.lax.bitcast_convert_type(excess, jnp.int32)
  place = jax.lax.bitcast_convert_type((bits >> 3) + _EDGE, jnp.float32)
  first = jnp.maximum(objectives[..., 0], LEAST_FEASIBLE)
  return jnp.where(feasible, first, -place)


def tolerance(objective: float) -> float:
  """How far below the best objective a row may lie to be "at the optimum".

  A hundred-thousandth of the scale on which the best objective is read, its
  next power of ten: 1e-3 for accuracies in percent, 1e-5 for the same table in
  fractions, so that both have the same optimal rows.

  Args:
    objective: the best objective of the benchmark.

  Example:
    >>> tolerance(94.37), tolerance(0.9437)
    (0.001, 1e-05)
  """
  if not objective:
    return 0.0
  # Rounded, so that 0.1 in float32 is no more than a tenth.
  return 10.0 ** (math.ceil(round(math.log10(abs(objective)), 6)) - 5)


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
  """A benchmark plus the question: objectives, limits and scalarization.

  A pytree whose leaves are the benchmark's; the question is static.

  Attributes:
    benchmark: what is asked.
    objectives: columns of `benchmark.query`, each maximized; the benchmark's
      own if empty. A leading minus sign minimizes a column: `-latency_ms`.
      Several are traded off against each other, by algorithms that can; others
      maximize what `scalarize` makes of them.
    constraints: limits on columns of `benchmark.query`, as `Constraint` or as
      text such as `params_m<=0.5`.
    scalarize: makes one objective of several; `feasible_first` by default.

  Raises:
    ValueError: if an objective or a constraint names no queried column or has
      another form, two objectives are of one column, or nothing is feasible.

  Example:
    >>> import nagjax
    >>> columns = {"acc": [70.0, 80.0, 90.0], "ms": [2.0, 3.0, 5.0]}
    >>> space = nagjax.SearchSpace("mine", (3,))
    >>> table = nagjax.Tabular(queried=columns, space=space)
    >>> Problem(table, ("acc",), ("ms<=4",)).optimum().objective
    80.0
  """

  benchmark: Benchmark
  objectives: tuple[str, ...] = ()
  constraints: tuple[Constraint, ...] = ()
  scalarize: Scalarize = feasible_first

  def __post_init__(self) -> None:
    for name in ("objectives", "constraints"):
      value = getattr(self, name)
      if isinstance(value, str) or not isinstance(value, tuple | list):
        raise ValueError(
          f"{name} must be a tuple such as ({_example(name)},), got {value!r}."
        )
    objectives = tuple(self.objectives)
    constraints = tuple(_constraint(value) for value in self.constraints)
    object.__setattr__(self, "objectives", objectives)
    object.__setattr__(self, "constraints", constraints)
    if not callable(self.scalarize):
      raise ValueError(f"scalarize must be a function, got {self.scalarize!r}.")
    known = _column_names(self.benchmark)
    for name in objectives:
      if not isinstance(name, str):
        raise ValueError(f"An objective is the name of a column, got {name!r}.")
    columns = [name.removeprefix("-") for name in objectives]
    if len(set(columns)) < len(columns):
      raise ValueError(
        f"Objectives must be of different columns, got {', '.join(objectives)}."
      )
    for name in self.column_names:
      if name not in known:
        raise ValueError(
          f"{name!r} is no column of {self.benchmark.name}, which can be asked "
          f"for {', '.join(sorted(known))}."
        )
    check_limits = getattr(self.benchmark, "check_limits", None)
    if constraints and check_limits is not None:
      check_limits({limit.column: limit.limit for limit in constraints})

  def tree_flatten(self) -> tuple[tuple[Benchmark], Any]:
    """The benchmark, and what is static."""
    return (self.benchmark,), (
      self.objectives,
      self.constraints,
      self.scalarize,
    )

  @classmethod
  def tree_unflatten(cls, static: Any, children: Any) -> "Problem":
    """The inverse; nothing is checked, as leaves may be anything here."""
    problem = object.__new__(cls)
    names = (field.name for field in dataclasses.fields(cls))
    for name, value in zip(names, (*children, *static), strict=True):
      object.__setattr__(problem, name, value)
    return problem

  def replace(self, **changes: Any) -> "Problem":
    """The problem with other fields, checked as a new one."""
    return dataclasses.replace(self, **changes)

  @property
  def space(self) -> SearchSpace:
    """The search space of the benchmark."""
    return self.benchmark.space

  @property
  def objective_names(self) -> tuple[str, ...]:
    """Columns that are maximized, or minimized after a minus sign.

    Those of a benchmark are its `objectives`, if it has several, else its
    `objective`.
    """
    several = getattr(self.benchmark, "objectives", ())
    return self.objectives or tuple(several) or (self.benchmark.objective,)

  @property
  def num_tradeoffs(self) -> int:
    """Objectives beside the first that a search trades off against it.

    None if one is asked for, or `scalarize` makes one of several. A benchmark
    with several of its own has one that sums them up, and is asked for that.
    """
    trades = self.scalarize is feasible_first
    return max(len(self.objectives) - 1, 0) if trades else 0

  @property
  def column_names(self) -> tuple[str, ...]:
    """Distinct columns of the benchmark that the question needs."""
    objectives = [name.removeprefix("-") for name in self.objective_names]
    limited = [constraint.column for constraint in self.constraints]
    return tuple(dict.fromkeys([*objectives, *limited]))

  @property
  def fidelities(self) -> Fidelities | None:
    """At which the objective is known; None if at the full one alone.

    None as well where several are traded off: what is known of one does not say
    what to evaluate again.
    """
    if self.num_tradeoffs:
      return None
    lower = getattr(self.benchmark, "lower", {})
    names = (name.removeprefix("-") for name in self.objective_names)
    if not any(name in lower for name in names):
      return None
    return self.benchmark.fidelities  # type: ignore[attr-defined]

  def evaluate(self, archs: Archs, fidelity: jax.Array | None = None) -> Answer:
    """Asks the benchmark about `int32[B, L]` architectures.

    Args:
      archs: these.
      fidelity: `int32[B]` of every one among `fidelities`; the full one if
        None.
    """
    if fidelity is None:
      return self.answer(self.benchmark.query(archs))
    benchmark: Any = self.benchmark
    return self.answer(benchmark.query_at(archs, fidelity))

  def answer(self, columns: Mapping[str, jax.Array]) -> Answer:
    """Makes an answer of what the benchmark says, row by row.

    Args:
      columns: `f32[B]` each, at least `column_names`.

    Raises:
      ValueError: if `scalarize` returns another shape than `[B]`.
    """
    objectives = jnp.stack(
      [
        -columns[n[1:]] if n.startswith("-") else columns[n]
        for n in self.objective_names
      ],
      axis=-1,
    )
    batch = objectives.shape[:-1]
    violations = jnp.zeros((*batch, 0), jnp.float32)
    if self.constraints:
      violations = jnp.stack(
        [_violation(columns[c.column], c.limit) for c in self.constraints],
        axis=-1,
      )
    objective = jnp.asarray(self.scalarize(objectives, violations))
    if jnp.shape(objective) != batch:
      raise ValueError(
        f"scalarize must return one objective a row, shape {batch}, got "
        f"{jnp.shape(objective)}."
      )
    failed = ~jnp.all(jnp.isfinite(objectives), axis=-1)
    failed |= ~jnp.isfinite(objective)
    objective = jnp.where(failed, -jnp.inf, objective).astype(jnp.float32)
    return Answer(objective, objectives, violations, failed)

  def test(self, archs: Archs) -> jax.Array:
    """The reader's metric at `archs`, `f32[B]`; NaN if there is none."""
    if self.benchmark.test is None:
      return jnp.full(archs.shape[:-1], jnp.nan, jnp.float32)
    return self.benchmark.report(archs)[self.benchmark.test]

  def evaluate_and_test(self, archs: Archs) -> tuple[Answer, jax.Array]:
    """`evaluate` and `test` of `int32[..., L]`, at once if that is cheaper."""
    both = getattr(self.benchmark, "query_and_report", None)
    if both is None or self.benchmark.test is None:
      return self.evaluate(archs), self.test(archs)
    queried, reported = both(archs)
    return self.answer(queried), reported[self.benchmark.test]

  def optimum(self) -> Optimum | None:
    """Finds the best feasible row (host).

    Returns:
      None if the benchmark has no rows or none is feasible.
    """
    rows = self._rows()
    if rows is None:
      return None
    archs, answer = rows
    value = np.where(answer.feasible, np.float64(answer.objective), -np.inf)
    best = int(np.argmax(value))
    if not np.isfinite(value[best]):
      return None
    test = float(self.test(jnp.asarray(archs[best : best + 1]))[0])
    objective = float(value[best])
    is_best = value >= objective - tolerance(objective)
    return Optimum(objective, test, archs[is_best])

  def front(self) -> Front | None:
    """Finds the exact front of the objectives (host).

    Returns:
      None if the benchmark has no rows or none is feasible.
    """
    rows = self._rows()
    if rows is None:
      return None
    archs, answer = rows
    archs = archs[answer.feasible]
    points = np.asarray(answer.objectives, np.float64)[answer.feasible]
    if not len(points):
      return None
    best = np.flatnonzero(statistics.pareto_front(points))
    best = best[np.unique(points[best], axis=0, return_index=True)[1][::-1]]
    return Front(points[best], archs[best], points.min(axis=0))

  def _rows(self) -> tuple[np.ndarray, Answer] | None:
    """All architectures and their answers (host); None if it has no rows."""
    archs = self.benchmark.architectures()
    if archs is None:
      return None
    answer = jax.device_get(jax.jit(Problem.evaluate)(self, archs))
    return np.asarray(archs), answer


def _violation(column: jax.Array, limit: float) -> jax.Array:
  excess = (column - limit) / (abs(limit) or 1.0)
  return jnp.where(jnp.isnan(excess), jnp.inf, excess)


def _column_names(benchmark: Benchmark) -> tuple[str, ...]:
  if is_on_host(benchmark):
    return benchmark.columns  # type: ignore[attr-defined]
  one = jnp.zeros((1, benchmark.space.num_variables), jnp.int32)
  return tuple(jax.eval_shape(lambda b, a: b.query(a), benchmark, one))


def _constraint(value: Any) -> Constraint:
  if isinstance(value, str):
    return Constraint.parse(value)
  match value:
    case (str(column), limit) if np.ndim(limit) == 0 and not isinstance(
      limit, str
    ):
      if math.isfinite(limit):
        return Constraint(column, float(limit))
  raise ValueError(
    "A constraint is a column and a finite limit, such as "
    f"{_example('constraints')}, got {value!r}."
  )


def _example(name: str) -> str:
  return {"objectives": '"-latency_ms"', "constraints": '"latency_ms<=5"'}[name]
