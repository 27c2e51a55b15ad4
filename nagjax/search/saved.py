"""The file in which a search on the host is saved after every round."""

from collections.abc import Iterator
import contextlib
import hashlib
import json
import os
from typing import Any
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.problem import Problem
from nagjax.search import checkpoint
from nagjax.search import traces
from nagjax.search.driver import WarmStart
from nagjax.search.traces import Trace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


class SavedSearch:
  """The file of one search, and what it was asked."""

  def __init__(
    self,
    directory: str | os.PathLike[str],
    problem: Problem,
    warm_start: WarmStart | None,
  ):
    self.path = files.expand(directory) / "search.npz"
    self._asked = describe(problem, warm_start)

  @contextlib.contextmanager
  def claimed(self) -> Iterator[None]:
    """Keeps other runs from the directory, which is made."""
    self.path.parent.mkdir(parents=True, exist_ok=True)
    with files.claimed(self.path.parent):
      yield

  def exists(self) -> bool:
    """Whether there is anything to continue."""
    return self.path.is_file()

  def save(
    self, key: Key, inner: Any, rounds: list[Trace], infos: list[Any]
  ) -> None:
    """Writes key, state, rounds and infos in the place of the earlier ones."""
    asked = np.frombuffer(json.dumps(self._asked).encode(), np.uint8)
    columns = tuple(traces.stack(rounds)) if rounds else ()
    leaves = jax.tree.leaves(traces.stack(infos)) if infos else ()
    sizes = np.asarray([len(rounds), len(infos)])
    tree = (key, inner, asked, sizes, columns, tuple(leaves))
    checkpoint.save(self.path, tree)

  def load(self, key: Key, inner: Any) -> tuple[Any, list[Trace], list[tuple]]:
    """Reads state, rounds and the leaves of every info.

    Raises:
      checkpoint.CheckpointError: if the file is damaged or of another search.
    """
    arrays = checkpoint.read_leaves(self.path)
    num = 1 + len(jax.tree.leaves(inner))
    # Arrays that grow take their shape from the file.
    grown = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays[num:]]
    template = (key, inner, *grown)
    held, inner, *rest = checkpoint.load(self.path, template)
    if not np.array_equal(jax.random.key_data(held), jax.random.key_data(key)):
      self._refuse("another key")
    try:
      asked, sizes, *columns = map(np.asarray, rest)
      asked = json.loads(asked.tobytes())
      num_rounds, num_infos = sizes.tolist()
    except ValueError:
      self._refuse("another version")
    for what, ours in self._asked.items():
      if asked.get(what) != ours:
        self._refuse(f"another {what}")
    num_columns = len(Trace._fields) if num_rounds else 0
    rounds = list(map(Trace._make, zip(*columns[:num_columns], strict=True)))
    leaves = list(zip(*columns[num_columns:], strict=True))
    return inner, rounds, leaves or [()] * num_infos

  def _refuse(self, what: str) -> NoReturn:
    raise checkpoint.CheckpointError(
      f"{self.path} holds a search with {what}; choose another directory, or "
      "ask the same."
    )


def describe(problem: Problem, warm_start: WarmStart | None) -> dict[str, Any]:
  """What saved searches must have in common with those that continue them.

  Example:
    >>> import nagjax
    >>> problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    >>> describe(problem, warm_start=None)["objective"]
    ['valid_probability']
  """
  digest = None
  if warm_start is not None:
    hashed = hashlib.sha256(np.asarray(warm_start.archs, np.int32).tobytes())
    for name, column in sorted((warm_start.columns or {}).items()):
      hashed.update(name.encode() + np.asarray(column, np.float32).tobytes())
    digest = hashed.hexdigest()
  scalarize = problem.scalarize
  return {
    "space": problem.space.name,
    "benchmark": problem.benchmark.name,
    "objective": list(problem.objective_names),
    "constraint": [list(constraint) for constraint in problem.constraints],
    "scalarize": getattr(scalarize, "__qualname__", type(scalarize).__name__),
    "warm start": digest,
  }


def restore_infos(
  leaves: list[tuple],
  algorithm: Algorithm,
  inner: Any,
  rounds: list[Trace],
  params: Params,
) -> list[Any]:
  """Saved infos in the structure that `tell` gives them."""
  if not leaves:
    return []
  last = rounds[-1]
  proposal = Proposal(last.archs, jnp.ones(len(last.archs), bool))
  evaluation = Evaluation(*(getattr(last, f) for f in Evaluation._fields))
  shape_of = jax.eval_shape
  if algorithm.on_host:
    shape_of = lambda tell, *arguments: tell(*arguments)  # noqa: E731
  _, info = shape_of(algorithm.tell, inner, proposal, evaluation, params)
  structure = jax.tree.structure(info)
  return [jax.tree.unflatten(structure, part) for part in leaves]
