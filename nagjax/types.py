"""The words that every module of nagjax uses.

Shapes in this library are written with `B` batch, `P` population, `L` variables
of an architecture, `N` nodes, `K` operations, `T` steps and `S` seeds.
"""

from collections.abc import Callable
import enum
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import NoReturn
from typing import Self
from typing import TypeVar

import jax

Key = jax.Array
"""A typed random key, as made by `jax.random.key`."""

Archs = jax.Array
"""Architectures as integer vectors, `int32[..., L]`."""

Params = Any
"""Hyper-parameters and weights, a pytree of arrays; `()` if there are none."""

Info = Any
"""What a reader plots of a round, a pytree of arrays."""

StateT = TypeVar("StateT")
"""What an algorithm or a part of one remembers, a pytree of arrays."""

ParamsT = TypeVar("ParamsT")
"""The `Params` of an algorithm or of a part of one."""

NO_PARAMS: Any = ()
"""Of what has no hyper-parameters and no weights."""


class Status(enum.IntEnum):
  """What became of one proposal.

  `EMPTY` occurs in traces only: it marks slots that no proposal filled (the end
  of a short initial design, rounds after the search has ended).
  """

  FRESH = 0
  REPEAT = 1
  DENIED = 2
  INVALID = 3
  EMPTY = 4


class Fidelities(NamedTuple):
  """Evaluations of one objective that cost less than a full one, and that.

  Attributes:
    names: such as `("12", "200")` epochs, the full one last.
    costs: whole numbers in any one unit, rising: epochs, seconds.
    continues: whether they are stages of one training: an evaluation then tells
      the values of all cheaper ones as well, and costs what it costs more than
      the dearest one before it. Else each is a training of its own.
  """

  names: tuple[str, ...]
  costs: tuple[int, ...]
  continues: bool = True


class Proposal(NamedTuple):
  """Architectures that an algorithm wants evaluated.

  Attributes:
    archs: `int32[B, L]` architectures.
    valid: `bool[B]` whether each row is an architecture at all. A decode that
      is none is an invalid row, not an exception.
  """

  archs: jax.Array
  valid: jax.Array


class CostedProposal(NamedTuple):
  """A `Proposal` of an algorithm that names fidelities.

  Attributes:
    archs, valid: of `Proposal`.
    fidelity: `int32[B]` at which of the `Fidelities` each is wanted.
  """

  archs: jax.Array
  valid: jax.Array
  fidelity: jax.Array


AnyProposal = Proposal | CostedProposal


class Evaluation(NamedTuple):
  """What the driver returns for a `Proposal`.

  Attributes:
    status: `int8[B]`, members of `Status`.
    objective: `f32[B]` scalarized objective, maximized; `-inf` where the row
      was denied or is invalid. Of an infeasible row only its place in the order
      means something: compare and rank it, and average feasible rows alone.
    objectives: `f32[B, M]` the objectives before scalarization, each maximized.
    violations: `f32[B, C]` constraint violations; `<= 0` is feasible.
    feasible: `bool[B]` whether the row has a value and meets every limit.
  """

  status: jax.Array
  objective: jax.Array
  objectives: jax.Array
  violations: jax.Array
  feasible: jax.Array


class CostedEvaluation(NamedTuple):
  """An `Evaluation` at fidelities that the proposal named.

  Attributes:
    status, objective, objectives, violations, feasible: of `Evaluation`.
    spent: `int32[]` what the search has paid by now, in the unit of the costs
      of its `Fidelities`.
  """

  status: jax.Array
  objective: jax.Array
  objectives: jax.Array
  violations: jax.Array
  feasible: jax.Array
  spent: jax.Array


class Prediction(NamedTuple):
  """What a surrogate says of `C` architectures, on a scale near 1.

  Attributes:
    mean: `f32[C]` of the objective.
    std: `f32[C]` standard deviation: how far it may be off.
    members: `f32[M, C]` means of the members of an ensemble, or None.
    violations: `f32[C, K]` of the constraints; `<= 0` is feasible. A surrogate
      of several objectives has those beside the first before them.
    head_stds: `f32[C, K]` standard deviations of `violations`; None if they are
      all `std`.
  """

  mean: jax.Array
  std: jax.Array
  members: jax.Array | None
  violations: jax.Array
  head_stds: jax.Array | None = None


class Algorithm(NamedTuple, Generic[StateT, ParamsT]):
  """A search algorithm: a value made of pure functions and two static sizes.

  An `Algorithm[State, Params]` says to a type checker which state its functions
  hand on to each other, and which params they take.

  Attributes:
    init: `(key, params) -> State`.
    ask: `(key, state, params) -> (Proposal, State)`, `batch_size` rows.
    tell: `(state, Proposal, Evaluation, params) -> (State, Info)`, for any
      leading size `B`: the initial design and a warm start enter here too.
    num_initial: uniformly random architectures that the driver evaluates and
      tells first; 0 if `init` makes its own population.
    batch_size: number of proposals of every `ask`.
    check: called on the host with a state now and then, or with many (leading
      axes); raises if the search must not go on. None if every state may.
    on_host: whether `ask` and `tell` cannot be traced; such an algorithm runs
      by `run_on_host` alone.
    params: the default `Params`: hyper-parameters and weights, arrays.
    fidelity: at which of the `Fidelities` the driver evaluates the initial
      design or a warm start; its proposals then name theirs. None of an
      algorithm that knows the full one alone.
  """

  init: Callable[[Key, ParamsT], StateT]
  ask: Callable[[Key, StateT, ParamsT], tuple[AnyProposal, StateT]]
  tell: Callable[[StateT, Any, Evaluation, ParamsT], tuple[StateT, Info]]
  num_initial: int
  batch_size: int
  check: Callable[[StateT], None] | None = None
  on_host: bool = False
  params: ParamsT = NO_PARAMS
  fidelity: int | None = None

  def __reduce__(self) -> NoReturn:
    """Says what to pickle instead.

    Raises:
      TypeError: always.
    """
    raise TypeError(
      "An Algorithm holds functions and cannot be pickled: pickle its name and "
      "its config, and build it again."
    )

  def __copy__(self) -> Self:
    return self

  def __deepcopy__(self, memo: dict) -> Self:
    return self


class Graph(NamedTuple):
  """A node-labeled directed graph.

  Attributes:
    nodes: `f32[..., N, K]` one-hot node labels.
    adjacency: `f32[..., N, N]` edge indicators, `[i, j] = 1` for an edge i ->
      j.
  """

  nodes: jax.Array
  adjacency: jax.Array
