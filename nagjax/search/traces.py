"""What a search did, in arrays: the trace, its empty slots and the result.

The functions below work on the traces of one search, `[R, B]`, and of many,
`[..., R, B]`.
"""

from collections.abc import Sequence
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.types import Info
from nagjax.types import StateT
from nagjax.types import Status

ArrayHere = Any
"""`jax.Array` inside a program, `numpy.ndarray` once a trace is on the host."""


class Trace(NamedTuple):
  """What a search did and what it paid, `R` rounds of `B` slots.

  A warm start or the initial design fills the first rounds in order. Slots that
  hold no proposal have the status `EMPTY` and the values of `FILLERS`.

  Attributes:
    archs: `int32[R, B, L]`.
    status: `int8[R, B]`, members of `Status`.
    objective: `f32[R, B]` scalarized objective, `-inf` where there is none. Of
      infeasible rows only its order means something; see `Evaluation`.
    objectives: `f32[R, B, M]` before scalarization, `-inf` where there is none.
    violations: `f32[R, B, C]` excess over each limit, `inf` where there is
      none.
    test: `f32[R, B]` the reader's metric, `-inf` where there is none.
    feasible: `bool[R, B]` whether a row has a value and meets every limit.
    paid: `bool[R, B]` whether the slot was charged (fresh, or fresh and
      failed).
    charged: `int32[R]` distinct rows paid for up to the end of each round.
  """

  archs: ArrayHere
  status: ArrayHere
  objective: ArrayHere
  objectives: ArrayHere
  violations: ArrayHere
  test: ArrayHere
  feasible: ArrayHere
  paid: ArrayHere
  charged: ArrayHere


class CostedTrace(NamedTuple):
  """A `Trace` of a search whose proposals named fidelities.

  Attributes:
    archs, status, objective, objectives, violations, test, feasible, paid: of
      `Trace`; each value is that at the fidelity, and `test` that of full
      evaluations.
    charged: `int32[R]` evaluations paid for up to the end of each round.
    fidelity: `int8[R, B]` of every evaluation, a place in `Fidelities`.
    cost: `int32[R, B]` what was paid for it, in the unit of the costs.
  """

  archs: ArrayHere
  status: ArrayHere
  objective: ArrayHere
  objectives: ArrayHere
  violations: ArrayHere
  test: ArrayHere
  feasible: ArrayHere
  paid: ArrayHere
  charged: ArrayHere
  fidelity: ArrayHere
  cost: ArrayHere


AnyTrace = TypeVar("AnyTrace", bound=Trace | CostedTrace)

FILLERS = {
  "archs": 0,
  "status": Status.EMPTY,
  "objective": -np.inf,
  "objectives": -np.inf,
  "violations": np.inf,
  "test": -np.inf,
  "feasible": False,
  "paid": False,
}
"""What an empty slot holds in every field of a `Trace` that has slots. None is
NaN, so that searches run under `jax_debug_nans`."""

COSTED_FILLERS = {**FILLERS, "fidelity": 0, "cost": 0}
"""The same of a `CostedTrace`."""


class Result(NamedTuple, Generic[StateT]):
  """What a search returns, and with leading axes what many return.

  Attributes:
    trace: what happened.
    info: what `tell` says of every round of ask and tell, leaves `[A, ...]`:
      of the last `A` rounds of the trace, after those of the initial design.
      Where the search had ended, floats are `-inf` and other numbers 0. None if
      nothing was asked.
    state: the `SearchState` in which it ended.
    compile_seconds: time spent tracing and compiling; of sweeps.
    run_seconds: time spent running, transfers to the host included; of sweeps.
    program_bytes: arguments, results and temporaries of the compiled chunk.
  """

  trace: Trace
  info: Info
  state: StateT
  compile_seconds: float = 0.0
  run_seconds: float = 0.0
  program_bytes: int = 0


def clear(trace: AnyTrace, empty: ArrayHere) -> AnyTrace:
  """Empties the slots that a mask marks, `bool[..., R, B]` or fewer axes.

  Example:
    >>> rows = Trace(*np.zeros((9, 1, 3)))
    >>> clear(rows, np.asarray([[False, True, True]])).objective.tolist()
    [[0.0, -inf, -inf]]
  """
  xp = np if isinstance(trace.status, np.ndarray) else jnp
  empty = xp.broadcast_to(empty, trace.status.shape)

  def fill(name: str, column: ArrayHere) -> ArrayHere:
    if name == "charged":
      return column
    extra = (1,) * (column.ndim - empty.ndim)
    value = xp.asarray(COSTED_FILLERS[name], column.dtype)
    return xp.where(empty.reshape(empty.shape + extra), value, column)

  return type(trace)(**{k: fill(k, v) for k, v in trace._asdict().items()})


def clear_info(info: Any, empty: jax.Array) -> Any:
  """Empties the info of one round if a flag `bool[]` says so.

  Example:
    >>> info = {"best": jnp.asarray([0.5])}
    >>> clear_info(info, jnp.asarray(True))["best"].tolist()
    [-inf]
  """
  return jax.tree.map(
    lambda leaf: jnp.where(empty, _nothing(leaf.dtype), leaf), info
  )


def in_rounds(rows: AnyTrace, batch_size: int) -> AnyTrace:
  """Lays out the rows of a design `[n, ...]` as rounds of `batch_size` slots.

  The design is the first that is charged, so that its counter is recomputed.

  Example:
    >>> rows = Trace(*np.ones((9, 3), int))
    >>> rounds = jax.jit(in_rounds, static_argnums=1)(rows, 2)
    >>> rounds.status.shape, rounds.charged.tolist()
    ((2, 2), [2, 3])
  """
  num_rounds = -(-rows.status.shape[0] // batch_size)
  missing = num_rounds * batch_size - rows.status.shape[0]

  def lay_out(name: str, column: jax.Array) -> jax.Array:
    widths = [(0, missing)] + [(0, 0)] * (column.ndim - 1)
    column = jnp.pad(column, widths, constant_values=COSTED_FILLERS[name])
    return column.reshape(num_rounds, batch_size, *column.shape[1:])

  slots = {
    name: lay_out(name, column)
    for name, column in rows._asdict().items()
    if name in COSTED_FILLERS
  }
  charged = jnp.cumsum(jnp.sum(slots["paid"], axis=1, dtype=jnp.int32))
  return type(rows)(**slots, charged=charged.astype(jnp.int32))


def extend(trace: AnyTrace, num_rounds: int) -> AnyTrace:
  """Lengthens a trace on the host to `num_rounds` by empty rounds.

  Example:
    >>> rounds = Trace(*np.zeros((9, 1, 2)))
    >>> extend(rounds, 2).objective.tolist()
    [[0.0, 0.0], [-inf, -inf]]
  """
  axis = trace.status.ndim - 2
  missing = num_rounds - trace.status.shape[axis]
  fields = {
    name: _lengthen(column, axis, missing, COSTED_FILLERS.get(name))
    for name, column in trace._asdict().items()
  }
  return type(trace)(**fields)


def extend_info(info: Any, num_more: int, *, axis: int) -> Any:
  """Lengthens infos on the host by `num_more` rounds of nothing.

  Example:
    >>> extend_info({"best": np.asarray([0.5])}, 2, axis=0)["best"].tolist()
    [0.5, -inf, -inf]
  """
  return jax.tree.map(
    lambda leaf: _lengthen(leaf, axis, num_more, _nothing(leaf.dtype)), info
  )


def tidy(trace: AnyTrace) -> AnyTrace:
  """Empties what is unused and cuts the rounds after all searches have ended.

  What lies there may depend on how a sweep was cut into chunks; what is left
  does not.

  Example:
    >>> rounds = extend(Trace(*np.zeros((9, 1, 2))), 5)
    >>> tidy(rounds).objective.tolist()
    [[0.0, 0.0]]
  """
  trace = jax.tree.map(np.asarray, trace)
  empty = trace.status == Status.EMPTY
  axis = empty.ndim - 2
  others = tuple(i for i in range(empty.ndim) if i != axis)
  used = np.flatnonzero(~empty.all(axis=others))
  num_rounds = int(used.max(initial=-1)) + 1
  return jax.tree.map(
    lambda column: column.take(np.arange(num_rounds), axis=axis),
    clear(trace, empty),
  )


def stack(trees: Sequence[Any]) -> Any:
  """Stacks pytrees on the host, `[len(trees), ...]`; keys stay on a device.

  Example:
    >>> infos = [{"best": np.asarray(1)}, {"best": np.asarray(2)}]
    >>> stack(infos)["best"].tolist()
    [1, 2]
  """

  def stack(*leaves: Any) -> Any:
    return (jnp if is_key(leaves[0]) else np).stack(leaves)

  return jax.tree.map(stack, *trees)


def is_key(leaf: Any) -> bool:
  """Whether an array holds typed random keys.

  Example:
    >>> bool(is_key(jax.random.key(0))), bool(is_key(np.zeros(2)))
    (True, False)
  """
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _lengthen(
  column: np.ndarray, axis: int, missing: int, filler: Any
) -> np.ndarray:
  if missing <= 0:
    return column
  widths = [(0, missing if i == axis else 0) for i in range(column.ndim)]
  if filler is None:
    return np.pad(column, widths, mode="edge")
  return np.pad(column, widths, constant_values=filler)


def _nothing(dtype: Any) -> Any:
  is_float = jnp.issubdtype(dtype, jnp.floating)
  return np.asarray(-np.inf if is_float else 0, dtype)
