"""`Problem`: a benchmark and the question that is asked of it."""

from collections.abc import Callable
import math
import re
from typing import NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks.base import Benchmark
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

INFEASIBLE = -1e4
"""Objective of an architecture at the edge of infeasibility."""


class Constraint(NamedTuple):
  """A limit on one queried column: `column <= limit`; NaN is infeasible."""

  column: str
  limit: float

  @classmethod
  def parse(cls, text: str) -> "Constraint":
    """Reads `column<=limit`, such as `params_m<=0.5`.

    Raises:
      ValueError: if the text has another form.
    """
    match = re.fullmatch(r"\s*(\w+)\s*<=\s*(\S+)\s*", text)
    try:
      if match is None:
        raise ValueError
      return cls(match[1], float(match[2]))
    except ValueError:
      raise ValueError(
        f"A constraint looks like raspi4_ms<=5, got {text!r}."
      ) from None


class Answer(NamedTuple):
  """What a problem says of architectures, before any budget.

  Attributes:
    objective: `f32[B]` scalarized objective, maximized; `-inf` where failed.
    objectives: `f32[B, M]` single objectives, maximized.
    violations: `f32[B, C]` relative excess over each limit; `<= 0` is feasible.
    failed: `bool[B]` whether the evaluation has no result.
  """

  objective: jax.Array
  objectives: jax.Array
  violations: jax.Array
  failed: jax.Array


Scalarize = Callable[[jax.Array, jax.Array], jax.Array]
"""Maps objectives `[B, M]` and violations `[B, C]` to one objective `[B]`."""


def feasible_first(objectives: jax.Array, violations: jax.Array) -> jax.Array:
  """Deb's rule: the first objective, and below all of it what is infeasible.

  Infeasible rows are ordered by their total violation.

  References:
    Deb, "An efficient constraint handling method for genetic algorithms", 2000.
  """
  excess = jnp.sum(jnp.maximum(violations, 0.0), axis=-1)
  feasible = jnp.all(violations <= 0, axis=-1)
  return jnp.where(feasible, objectives[..., 0], INFEASIBLE - excess)


@struct.dataclass
class Problem:
  """A benchmark plus the question: objectives, limits and scalarization.

  Attributes:
    benchmark: what is asked.
    objectives: columns of `benchmark.query`, each maximized; the benchmark's
      own if empty. A leading minus sign minimizes a column: `-latency_ms`.
    constraints: limits on columns of `benchmark.query`.
    scalarize: makes one objective of several; `feasible_first` by default.
  """

  benchmark: Benchmark
  objectives: tuple[str, ...] = struct.field(pytree_node=False, default=())
  constraints: tuple[Constraint, ...] = struct.field(
    pytree_node=False, default=()
  )
  scalarize: Scalarize = struct.field(pytree_node=False, default=feasible_first)

  @property
  def space(self) -> SearchSpace:
    """The search space of the benchmark."""
    return self.benchmark.space

  @property
  def objective_names(self) -> tuple[str, ...]:
    """Columns that are maximized."""
    return self.objectives or (self.benchmark.objective,)

  def validate(self) -> "Problem":
    """Returns the problem if its columns exist.

    Raises:
      ValueError: if an objective or a constraint names no queried column.
    """
    one = jnp.zeros((1, self.space.num_variables), jnp.int32)
    known = jax.eval_shape(self.benchmark.query, one)
    used = [name.removeprefix("-") for name in self.objective_names]
    for name in [*used, *(c.column for c in self.constraints)]:
      if name not in known:
        raise ValueError(
          f"{name!r} is no column of {self.benchmark.name}, which can be asked "
          f"for {', '.join(sorted(known))}."
        )
    return self

  def evaluate(self, archs: Archs) -> Answer:
    """Asks the benchmark about `int32[B, L]` architectures."""
    columns = self.benchmark.query(archs)
    objectives = jnp.stack(
      [
        -columns[n[1:]] if n.startswith("-") else columns[n]
        for n in self.objective_names
      ],
      axis=-1,
    )
    batch = objectives.shape[:-1]
    if self.constraints:
      violations = jnp.stack(
        [_violation(columns[c.column], c.limit) for c in self.constraints],
        axis=-1,
      )
    else:
      violations = jnp.zeros((*batch, 0), jnp.float32)
    failed = ~jnp.all(jnp.isfinite(objectives), axis=-1)
    objective = self.scalarize(objectives, violations)
    objective = jnp.where(failed, -jnp.inf, objective)
    return Answer(objective, objectives, violations, failed)

  def test(self, archs: Archs) -> jax.Array:
    """The reader's metric at `archs`, `f32[B]`; NaN if there is none."""
    if self.benchmark.test is None:
      return jnp.full(archs.shape[:-1], jnp.nan, jnp.float32)
    return self.benchmark.report(archs)[self.benchmark.test]

  def optimum(self) -> tuple[float, float, np.ndarray] | None:
    """Best feasible objective, its test metric and its architectures (host).

    Returns:
      The largest objective, the test metric of the first architecture that has
      it, and all architectures within 1e-3 of it, `int32[A, L]`; None if the
      benchmark has no rows or none is feasible.
    """
    archs = self.benchmark.architectures()
    if archs is None:
      return None
    answer = jax.jit(Problem.evaluate)(self, archs)
    ok = ~answer.failed & jnp.all(answer.violations <= 0, axis=-1)
    value = np.where(ok, answer.objective, -np.inf)
    if not np.isfinite(value).any():
      return None
    best = int(np.argmax(value))
    test = float(self.test(jnp.asarray(archs[best : best + 1]))[0])
    return float(value[best]), test, archs[value >= value[best] - 1e-3]


def _violation(column: jax.Array, limit: float) -> jax.Array:
  scale = abs(limit) if limit and math.isfinite(limit) else 1.0
  return jnp.nan_to_num((column - limit) / scale, nan=jnp.inf)
