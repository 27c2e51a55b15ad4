"""The search loop in Python, for evaluations that cannot live in jit.

A two-day training run, a cluster, a boosted-tree surrogate: the loop, the
ledger and the keys are those of `run`, so that the same evaluations give the
same search. Everything that the search needs is written after every round.
Limits are those of `Problem`: what exceeds one ranks below all that does not.
"""

from collections.abc import Callable
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.problem import feasible_first
from nagjax.search import checkpoint
from nagjax.search.driver import Trace
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

EvaluateFn = Callable[[np.ndarray], Any]
"""Maps distinct architectures `int32[n, L]` to objectives `[n]`, maximized; NaN
where an evaluation failed. With `num_constraints` it returns a pair, these and
violations `[n, C]`; `<= 0` is feasible, NaN is not."""


class HostPrior(NamedTuple):
  """Earlier evaluations that a search starts from; they are charged first.

  Attributes:
    archs: `int32[P, L]`.
    objective: `f32[P]`, NaN for failures.
    violations: `f32[P, C]`; needed if there are constraints.
  """

  archs: np.ndarray
  objective: np.ndarray
  violations: np.ndarray | None = None


class HostLedger(NamedTuple):
  """What the search has paid for, in the order of payment.

  Attributes:
    archs: `int32[n, L]`.
    objective: `f32[n]`, NaN for failures.
    violations: `f32[n, C]`.
  """

  archs: np.ndarray
  objective: np.ndarray
  violations: np.ndarray


class HostResult(NamedTuple):
  """The end of a search on the host.

  Attributes:
    trace: `[R, ...]`, as of `run`; `test` is NaN throughout.
    ledger: all that was paid for.
  """

  trace: Trace
  ledger: HostLedger


def run_on_host(
  key: Key,
  algorithm: Algorithm,
  space: SearchSpace,
  evaluate_fn: EvaluateFn,
  params: Params = (),
  *,
  budget: int,
  num_rounds: int,
  num_constraints: int = 0,
  prior: HostPrior | None = None,
  directory: str | os.PathLike[str] | None = None,
  identities_fn: Callable[[jax.Array], jax.Array] | None = None,
  jit: bool = True,
  on_round: Callable[[int, int], None] | None = None,
) -> HostResult:
  """Runs one search whose evaluations are made by a Python function.

  Args:
    key: random key, consumed.
    algorithm: the algorithm.
    space: its search space.
    evaluate_fn: called with the fresh architectures of a round only. If it
      raises, the search stops there and a later call continues it.
    params: hyper-parameters and weights of the algorithm.
    budget: the most distinct architectures that are evaluated.
    num_rounds: the most rounds of `ask` and `tell`.
    num_constraints: violations `C` of every evaluation, as many as `algorithm`
      expects.
    prior: told and charged in the place of the initial design.
    directory: where the search is saved after every round; a search found there
      is continued, without evaluating anything twice.
    identities_fn: what counts as one query, `space.keys` by default.
    jit: whether `ask` and `tell` are compiled.
    on_round: called after each round with its number and the queries charged.

  Returns:
    Trace and ledger.

  Raises:
    ValueError: if the budget is below the initial design, or evaluations have
      other shapes than documented.
    checkpoint.CheckpointError: if `directory` holds another search or a damaged
      one.
    Exception: what `algorithm.check` raises.
  """
  needed = 1 if prior is not None else max(1, algorithm.num_initial)
  if budget < needed:
    raise ValueError(f"budget must be at least {needed}, got {budget}.")
  init_key, design_key, search_key = jax.random.split(key, 3)
  ask = jax.jit(algorithm.ask) if jit else algorithm.ask
  tell = jax.jit(algorithm.tell) if jit else algorithm.tell
  clerk = _Clerk(
    space, evaluate_fn, budget, num_constraints, identities_fn or space.keys
  )
  state = algorithm.init(init_key, params)
  saved = _Saved(directory, search_key) if directory is not None else None
  rounds_done, rounds = 0, []
  if saved is not None and saved.exists():
    state, ledger, rounds, rounds_done = saved.load(state, num_constraints)
    clerk.know(ledger)
  else:
    if prior is not None:
      clerk.know_in_advance(prior)
      archs = jnp.asarray(prior.archs, jnp.int32)
    else:
      archs = space.sample(design_key, algorithm.num_initial)
    if archs.shape[0] > 0:
      proposal = Proposal(archs, space.is_valid(archs))
      evaluation, rows = clerk.evaluate(proposal)
      state, _ = tell(state, proposal, evaluation, params)
      rounds.extend(_in_rounds(rows, algorithm.batch_size))
    if saved is not None:
      saved.save(state, clerk.ledger(), rounds, 0)
  while rounds_done < num_rounds and clerk.charged < budget:
    ask_key = jax.random.fold_in(search_key, rounds_done)
    proposal, asked = ask(ask_key, state, params)
    if algorithm.check is not None:
      algorithm.check(asked)
    evaluation, rows = clerk.evaluate(proposal)
    state, _ = tell(asked, proposal, evaluation, params)
    rounds.append(rows)
    rounds_done += 1
    if saved is not None:
      saved.save(state, clerk.ledger(), rounds, rounds_done)
    if on_round is not None:
      on_round(rounds_done, clerk.charged)
  trace = Trace(*(np.stack(column) for column in zip(*rounds, strict=True)))
  return HostResult(trace, clerk.ledger())


class _Clerk:
  """Keeps the ledger and buys what is fresh: the only mutable thing here."""

  def __init__(
    self,
    space: SearchSpace,
    evaluate_fn: EvaluateFn,
    budget: int,
    num_constraints: int,
    identities_fn: Callable[[jax.Array], jax.Array],
  ):
    self._space = space
    self._evaluate_fn = evaluate_fn
    self._budget = budget
    self._num_constraints = num_constraints
    self._identities_fn = identities_fn
    # A row of values is the objective and its violations.
    self._values: dict[bytes, np.ndarray] = {}
    self._archs: list[np.ndarray] = []
    self._advance: dict[bytes, np.ndarray] = {}

  @property
  def charged(self) -> int:
    return len(self._values)

  def know(self, ledger: HostLedger) -> None:
    """Restores what was paid for."""
    rows = np.column_stack([ledger.objective, ledger.violations])
    for name, arch, row in zip(
      self._names(ledger.archs), ledger.archs, rows, strict=True
    ):
      self._pay(name, arch, row)

  def know_in_advance(self, prior: HostPrior) -> None:
    """Values that need no evaluation when they are paid for."""
    names = self._names(prior.archs)
    answer: Any = prior.objective
    if self._num_constraints:
      answer = prior.objective, prior.violations
    rows = self._rows(answer, len(names), "prior must hold")
    self._advance = dict(zip(names, rows, strict=True))

  def ledger(self) -> HostLedger:
    archs = np.asarray(self._archs, np.int32)
    rows = np.asarray(list(self._values.values()), np.float32)
    rows = rows.reshape(-1, 1 + self._num_constraints)
    return HostLedger(
      archs.reshape(-1, self._space.num_variables), rows[:, 0], rows[:, 1:]
    )

  def evaluate(self, proposal: Proposal) -> tuple[Evaluation, Trace]:
    archs = np.asarray(proposal.archs)
    valid = np.asarray(proposal.valid)
    names = self._names(archs)
    status = np.full(len(names), Status.DENIED, np.int8)
    buys: dict[bytes, int] = {}
    for row, name in enumerate(names):
      if not valid[row]:
        status[row] = Status.INVALID
      elif name in self._values or name in buys:
        status[row] = Status.REPEAT
      elif self.charged + len(buys) < self._budget:
        status[row] = Status.FRESH
        buys[name] = row
    self._buy(archs, buys)
    paid = status == Status.FRESH
    bought = paid | (status == Status.REPEAT)
    value = np.full((len(names), 1 + self._num_constraints), np.nan, np.float32)
    for row in np.flatnonzero(bought).tolist():
      value[row] = self._values[names[row]]
    usable = bought & np.isfinite(value[:, 0])
    status[bought & ~usable] = Status.INVALID
    objectives = jnp.where(usable[:, None], value[:, :1], -jnp.inf)
    known = usable[:, None] & ~np.isnan(value[:, 1:])
    violations = jnp.where(known, value[:, 1:], jnp.inf)
    objective = feasible_first(objectives, violations)
    evaluation = Evaluation(
      status=jnp.asarray(status),
      objective=jnp.where(usable, objective, -jnp.inf),
      objectives=objectives,
      violations=violations,
    )
    rows = Trace(
      archs=archs,
      status=status,
      objective=np.asarray(evaluation.objective),
      test=np.full(len(names), np.nan, np.float32),
      feasible=usable & np.all(value[:, 1:] <= 0, axis=-1),
      paid=paid,
      charged=np.int32(self.charged),
    )
    return evaluation, rows

  def _buy(self, archs: np.ndarray, buys: dict[bytes, int]) -> None:
    unknown = [name for name in buys if name not in self._advance]
    values = dict(self._advance)
    if unknown:
      fresh = archs[[buys[name] for name in unknown]]
      rows = self._rows(
        self._evaluate_fn(fresh), len(fresh), "evaluate_fn must return"
      )
      values.update(zip(unknown, rows, strict=True))
    for name, row in buys.items():
      self._pay(name, archs[row], values[name])

  def _pay(self, name: bytes, arch: np.ndarray, values: np.ndarray) -> None:
    self._values[name] = values
    self._archs.append(np.asarray(arch, np.int32))

  def _rows(self, answer: Any, num: int, what: str) -> np.ndarray:
    """Objectives and violations side by side, `f32[num, 1 + C]`."""
    wanted = f"{num} objectives"
    if self._num_constraints:
      wanted += f" and violations of shape {(num, self._num_constraints)}"
    else:
      answer = answer, np.zeros((num, 0))
    shapes = [np.shape(part) for part in answer]
    if shapes != [(num,), (num, self._num_constraints)]:
      raise ValueError(
        f"{what} {wanted}, got shapes {', '.join(map(str, shapes))}."
      )
    return np.column_stack(answer).astype(np.float32)

  def _names(self, archs: np.ndarray) -> list[bytes]:
    identities = np.asarray(self._identities_fn(jnp.asarray(archs)))
    return [identity.tobytes() for identity in identities]


class _Saved:
  """The files of one search."""

  def __init__(self, directory: str | os.PathLike[str], key: Key):
    self._path = pathlib.Path(directory) / "search.npz"
    self._key = key

  def exists(self) -> bool:
    return self._path.is_file()

  def save(self, state, ledger: HostLedger, rounds: list, done: int) -> None:
    self._path.parent.mkdir(parents=True, exist_ok=True)
    sizes = np.asarray([len(ledger.objective), len(rounds), done])
    columns = [np.stack(c) for c in zip(*rounds, strict=True)]
    tree = (self._key, state, sizes, tuple(ledger), tuple(columns))
    checkpoint.save(self._path, tree)

  def load(self, state, num_constraints: int):
    """Reads a search; arrays that grow take their shape from the file."""
    arrays = checkpoint.read_leaves(self._path)
    num = len(jax.tree.leaves(state))
    grown = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays[1 + num :]]
    template = (self._key, state, *grown)
    key, state, sizes, *rest = checkpoint.load(self._path, template)
    if not np.array_equal(
      jax.random.key_data(key), jax.random.key_data(self._key)
    ):
      raise checkpoint.CheckpointError(
        f"{self._path} holds a search with another key; choose another "
        "directory or the same key."
      )
    width = len(HostLedger._fields)
    ledger = HostLedger(*map(np.asarray, rest[:width]))
    if ledger.violations.shape[1:] != (num_constraints,):
      raise checkpoint.CheckpointError(
        f"{self._path} holds a search of another version, or with another "
        f"number of constraints than {num_constraints}; choose another "
        "directory."
      )
    columns = [np.asarray(column) for column in rest[width:]]
    rounds = [Trace(*row) for row in zip(*columns, strict=True)]
    return state, ledger, rounds, int(sizes[2])


def _in_rounds(rows: Trace, batch_size: int) -> list[Trace]:
  """Lays out the rows of a design as rounds of `batch_size` slots."""
  num = len(rows.status)
  size = -(-num // batch_size) * batch_size
  filler = {"status": Status.EMPTY, "objective": -np.inf, "test": np.nan}
  before = int(rows.charged) - int(rows.paid.sum())
  columns = {}
  for name, column in rows._asdict().items():
    if name != "charged":
      widths = [(0, size - num)] + [(0, 0)] * (column.ndim - 1)
      columns[name] = np.pad(
        column, widths, constant_values=filler.get(name, 0)
      )
  charged = before + np.cumsum(columns["paid"])
  return [
    Trace(
      **{name: c[i : i + batch_size] for name, c in columns.items()},
      charged=np.int32(charged[i + batch_size - 1]),
    )
    for i in range(0, size, batch_size)
  ]
