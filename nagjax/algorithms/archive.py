"""What a search has learned so far, in arrays of a fixed size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.algorithms import choosing
from nagjax.spaces.base import SearchSpace
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status


class Archive(NamedTuple):
  """Distinct architectures and their values; the first `num` rows count.

  Attributes:
    archs: `int32[M, L]`.
    target: `f32[M]` what a surrogate learns: the objective, before it is
      scalarized if there are constraints; `-inf` for failures.
    objective: `f32[M]` the scalarized objective.
    violations: `f32[M, C]`.
    num: `int32[]`.
  """

  archs: jax.Array
  target: jax.Array
  objective: jax.Array
  violations: jax.Array
  num: jax.Array

  @property
  def used(self) -> jax.Array:
    """Which rows count, `bool[M]`."""
    return jnp.arange(self.objective.shape[0]) < self.num


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_objective: `f32[]` best of the archive.
    archive_size: `int32[]`.
  """

  best_objective: jax.Array
  archive_size: jax.Array


def empty(space: SearchSpace, size: int, num_constraints: int) -> Archive:
  """An archive for `size` architectures."""
  return Archive(
    archs=jnp.zeros((size, space.num_variables), jnp.int32),
    target=jnp.full(size, -jnp.inf, jnp.float32),
    objective=jnp.full(size, -jnp.inf, jnp.float32),
    violations=jnp.zeros((size, num_constraints), jnp.float32),
    num=jnp.int32(0),
  )


def add(
  archive: Archive,
  space: SearchSpace,
  proposal: Proposal,
  evaluation: Evaluation,
) -> Archive:
  """Adds what was evaluated and is not there yet.

  Failed architectures are remembered as the worst. Of more than an archive
  holds at once, such as prior data, the best half an archive enters, so that
  there is room for what follows. What does not fit is forgotten.
  """
  size, num_constraints = archive.violations.shape
  archs, objective = proposal.archs, evaluation.objective
  violations = evaluation.violations[:, :num_constraints]
  target = evaluation.objectives[:, 0] if num_constraints else objective
  known = proposal.valid & (evaluation.status != Status.DENIED)
  if archs.shape[0] > size:
    best = jax.lax.top_k(jnp.where(known, objective, -jnp.inf), size // 2)[1]
    archs, objective, known = archs[best], objective[best], known[best]
    target, violations = target[best], violations[best]
  place, num = choosing.new_places(
    space, archs, known, archive.archs, archive.num
  )
  return Archive(
    archs=archive.archs.at[place].set(archs, mode="drop"),
    target=archive.target.at[place].set(target, mode="drop"),
    objective=archive.objective.at[place].set(objective, mode="drop"),
    violations=archive.violations.at[place].set(violations, mode="drop"),
    num=num,
  )


def unseen(
  archive: Archive, space: SearchSpace, archs: jax.Array, valid: jax.Array
) -> jax.Array:
  """Which candidates are valid, not in the archive and no copies, `bool[C]`.

  Args:
    archive: what was evaluated.
    space: the search space.
    archs: `int32[C, L]`.
    valid: `bool[C]`.
  """
  copies = choosing.is_copy(space, archs, valid)
  known = choosing.any_equal(space, archs, archive.archs, archive.used)
  return valid & ~copies & ~known
