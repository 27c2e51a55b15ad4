"""The archive: what a search has learned so far, in arrays of a fixed size.

Every algorithm that is made of parts has one. It carries the keys of its
architectures, so that nobody computes an identity twice.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.arrays import normal_scores
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

_MAX_SCALED = 3.0
"""Largest violation that a surrogate learns, in root mean squares."""


class Archive(NamedTuple):
  """Distinct architectures and their values; the first `num` rows count.

  Attributes:
    archs: `int32[M, L]`.
    keys: `uint32[M, 2]`, their `SearchSpace.keys`.
    value: `f32[M]` the first objective before it is scalarized if there are
      constraints, else the scalarized one; `-inf` for failures.
    objective: `f32[M]` the scalarized objective, by which rows are ranked.
    others: `f32[M, T]` the objectives that are traded off against the first.
    violations: `f32[M, C]`.
    targets: `f32[M, 1 + T + C]` what surrogates learn, on a scale near 1:
      normal scores of `value` and of `others`, then `scaled_violations`; zeros
      where unused.
    num: `int32[]`.
  """

  archs: jax.Array
  keys: jax.Array
  value: jax.Array
  objective: jax.Array
  others: jax.Array
  violations: jax.Array
  targets: jax.Array
  num: jax.Array

  @property
  def used(self) -> jax.Array:
    """Which rows count, `bool[M]`."""
    return jnp.arange(self.objective.shape[0]) < self.num


def empty(
  space: SearchSpace, size: int, num_constraints: int, num_tradeoffs: int = 0
) -> Archive:
  """An archive for `size` architectures."""
  return Archive(
    archs=jnp.zeros((size, space.num_variables), jnp.int32),
    keys=jnp.zeros((size, 2), jnp.uint32),
    value=jnp.full(size, -jnp.inf, jnp.float32),
    objective=jnp.full(size, -jnp.inf, jnp.float32),
    others=jnp.full((size, num_tradeoffs), -jnp.inf, jnp.float32),
    violations=jnp.zeros((size, num_constraints), jnp.float32),
    targets=jnp.zeros((size, 1 + num_tradeoffs + num_constraints), jnp.float32),
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
  holds at once, such as a long warm start, the best half an archive enters, so
  that there is room for what follows. What does not fit is forgotten.

  Raises:
    ValueError: if the problem has fewer constraints or objectives than the
      archive.
  """
  size, num_constraints = archive.violations.shape
  num_tradeoffs = archive.others.shape[1]
  if evaluation.violations.shape[-1] < num_constraints:
    raise ValueError(
      f"num_constraints = {num_constraints} must be at most the problem's "
      f"{evaluation.violations.shape[-1]} constraints."
    )
  if evaluation.objectives.shape[-1] < 1 + num_tradeoffs:
    raise ValueError(
      f"num_tradeoffs = {num_tradeoffs} must be less than the problem's "
      f"{evaluation.objectives.shape[-1]} objectives."
    )
  archs, objective = proposal.archs, evaluation.objective
  violations = evaluation.violations[:, :num_constraints]
  value = evaluation.objectives[:, 0] if num_constraints else objective
  others = evaluation.objectives[:, 1 : 1 + num_tradeoffs]
  known = proposal.valid & (evaluation.status != Status.DENIED)
  keys = space.keys(archs)
  if archs.shape[0] > size:
    # A duplicate would take the place of another one of the best.
    known &= ~is_duplicate(keys, known)
    order = jnp.where(known, objective, -jnp.inf)
    best = jax.lax.top_k(order, size // 2)[1]
    archs, keys, known = archs[best], keys[best], known[best]
    objective, value, others, violations = (
      leaf[best] for leaf in (objective, value, others, violations)
    )
  place, num = new_places(keys, known, archive.keys, archive.num)
  value = archive.value.at[place].set(value, mode="drop")
  others = archive.others.at[place].set(others, mode="drop")
  violations = archive.violations.at[place].set(violations, mode="drop")
  used = jnp.arange(size) < num
  scores = [
    normal_scores(value, used),
    *(normal_scores(column, used) for column in others.T),
  ]
  return Archive(
    archs=archive.archs.at[place].set(archs, mode="drop"),
    keys=archive.keys.at[place].set(keys, mode="drop"),
    value=value,
    objective=archive.objective.at[place].set(objective, mode="drop"),
    others=others,
    violations=violations,
    targets=jnp.concatenate(
      [jnp.stack(scores, -1), scaled_violations(violations, used)], axis=-1
    ),
    num=num,
  )


def forget(archive: Archive, forgets: jax.Array) -> Archive:
  """Empties the archive where `forgets: bool[]` holds."""
  return archive._replace(
    value=jnp.where(forgets, -jnp.inf, archive.value),
    others=jnp.where(forgets, -jnp.inf, archive.others),
    objective=jnp.where(forgets, -jnp.inf, archive.objective),
    targets=jnp.where(forgets, 0.0, archive.targets),
    num=jnp.where(forgets, 0, archive.num),
  )


def contains(keys: jax.Array, known: jax.Array, used: jax.Array) -> jax.Array:
  """Whether each of `uint32[C, 2]` is among the used rows of `uint32[M, 2]`."""
  return jnp.any(_equal(keys, known) & used[None], axis=-1)


def is_duplicate(keys: jax.Array, counts: jax.Array | None = None) -> jax.Array:
  """Whether each of `uint32[C, 2]` equals an earlier row that counts.

  Args:
    keys: of architectures.
    counts: `bool[C]` rows that others can duplicate; all by default.
  """
  counts = jnp.ones(keys.shape[0], bool) if counts is None else counts
  position = jnp.arange(keys.shape[0])
  earlier = _equal(keys, keys) & (position[None] < position[:, None])
  return jnp.any(earlier & counts[None], axis=-1)


def new_places(
  keys: jax.Array, known: jax.Array, archived: jax.Array, num: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Where an archive that is filled from the front takes new rows.

  Args:
    keys: `uint32[B, 2]` of the rows.
    known: `bool[B]` rows that have an answer.
    archived: `uint32[M, 2]` keys of the archive.
    num: `int32[]`, how many of these are in use.

  Returns:
    `int32[B]` places, `M` or more (which a scatter drops) for rows that are
    unknown, duplicates of known ones, in the archive already or too many; and
    the new `num`.
  """
  size = archived.shape[0]
  keep = known & ~contains(keys, archived, jnp.arange(size) < num)
  keep &= ~is_duplicate(keys, known)
  places = jnp.where(keep, num + jnp.cumsum(keep) - 1, size)
  total = num + jnp.sum(keep, dtype=jnp.int32)
  return places, jnp.minimum(total, size)


def best_row(archive: Archive) -> jax.Array:
  """The place of the best row by `Archive.objective`, `int32[]`."""
  return jnp.argmax(jnp.where(archive.used, archive.objective, -jnp.inf))


def scaled_violations(violations: jax.Array, used: jax.Array) -> jax.Array:
  """Violations as targets near 1 whose sign still says what is feasible.

  `sign(v) log(1 + |v|)` in units of its root mean square: costs spread over
  orders of magnitude, and the limit is what matters. Violations of failures,
  which are infinite, count as three units.

  Args:
    violations: `f32[M, C]`, positive where a limit is exceeded.
    used: `bool[M]` which rows count.
  """
  finite = jnp.isfinite(violations) & used[:, None]
  logs = jnp.sign(violations) * jnp.log1p(jnp.abs(violations))
  squares = jnp.where(finite, logs, 0.0) ** 2
  count = jnp.maximum(jnp.sum(finite, axis=0, dtype=jnp.float32), 1)
  scale = jnp.sqrt(jnp.sum(squares, axis=0) / count + 1e-12)
  scaled = jnp.where(finite, logs, jnp.inf) / scale[None]
  bound = _MAX_SCALED
  return jnp.where(used[:, None], jnp.clip(scaled, -bound, bound), 0.0)


def mutate_top(
  archive: Archive,
  space: SearchSpace,
  uniform: jax.Array,
  random: Archs,
  num_parents: int,
) -> Archs:
  """Single mutations of the best rows in turn, `int32[C, L]`.

  Args:
    archive: the rows; failures are no parents.
    space: the search space.
    uniform: `f32[C, 2]` draws of `SearchSpace.mutate`.
    random: `int32[C, L]` what is returned while no row has a value.
    num_parents: best rows that are mutated.
  """
  num_parents = min(num_parents, archive.objective.shape[0])
  values = jnp.where(archive.used, archive.objective, -jnp.inf)
  best, parents = jax.lax.top_k(values, num_parents)
  num_alive = jnp.maximum(jnp.sum(jnp.isfinite(best)), 1)
  turn = parents[jnp.arange(uniform.shape[0]) % num_alive]
  mutated = space.mutate(archive.archs[turn], uniform)
  return jnp.where(jnp.isfinite(best[0]), mutated, random)


def _equal(x: jax.Array, y: jax.Array) -> jax.Array:
  """Which pairs of keys are equal, `uint32[P, 2], uint32[Q, 2] -> [P, Q]`."""
  # By words: a reduction over a last axis of two would not vectorize.
  equal = x[:, None, 0] == y[None, :, 0]
  return equal & (x[:, None, 1] == y[None, :, 1])
