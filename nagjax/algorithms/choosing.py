"""Choosing a batch among candidates: what several algorithms share."""

from typing import Any

import jax
import jax.numpy as jnp

from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs


def choose(
  mean: jax.Array, deviation: jax.Array, beta: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Gives each slot the free candidate with the best `mean + beta deviation`.

  Args:
    mean: `f32[C]`; `-inf` excludes a candidate.
    deviation: `f32[C]`.
    beta: `f32[B]` optimizm of the slots, in the order in which they choose.

  Returns:
    `int32[B]` candidates and `bool[B]` whether a slot found one.
  """

  def pick(mean, beta):
    value = mean + beta * deviation
    best = jnp.argmax(value)
    return mean.at[best].set(-jnp.inf), (best, value[best] > -jnp.inf)

  return jax.lax.scan(pick, mean, beta)[1]


def optimizm(boldness: float, batch_size: int) -> jax.Array:
  """`beta` of every slot: 0, 1/16, 1/4, 9/16, 1 times the boldness for five.

  Most of a batch exploits, whatever the boldness.
  """
  slots = jnp.arange(batch_size) / max(batch_size - 1, 1)
  return jnp.asarray(boldness * slots**2, jnp.float32)


def any_equal(
  space: SearchSpace, archs: Archs, archive: Archs, used: jax.Array
) -> jax.Array:
  """Whether each of `int32[C, L]` is a used row of the archive, `bool[C]`."""
  names, known = space.keys(archs), space.keys(archive)
  equal = jnp.all(names[:, None] == known[None], axis=-1)
  return jnp.any(equal & used[None], axis=-1)


def is_copy(
  space: SearchSpace, archs: Archs, counts: jax.Array | None = None
) -> jax.Array:
  """Whether each of `int32[C, L]` equals an earlier row, `bool[C]`.

  Args:
    space: the search space.
    archs: the rows.
    counts: `bool[C]` rows that others can be copies of; all by default.
  """
  names = space.keys(archs)
  counts = jnp.ones(archs.shape[0], bool) if counts is None else counts
  order = jnp.lexsort((~counts, names[:, 1], names[:, 0]))
  # The sort is stable, so the first of equal rows that count is the earliest.
  same = jnp.all(names[order][1:] == names[order][:-1], axis=-1)
  same &= counts[order][:-1]
  return jnp.zeros(archs.shape[0], bool).at[order[1:]].set(same)


def new_places(
  space: SearchSpace,
  archs: Archs,
  known: jax.Array,
  archive: Archs,
  num: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Where an archive that is filled from the front takes new rows.

  Args:
    space: the search space.
    archs: `int32[B, L]`.
    known: `bool[B]` rows that have an answer.
    archive: `int32[M, L]`; the first `num` rows are in use.
    num: `int32[]`.

  Returns:
    `int32[B]` places, `M` or more (which a scatter drops) for rows that are
    unknown, copies, in the archive already or too many; and the new `num`.
  """
  size = archive.shape[0]
  used = jnp.arange(size) < num
  keep = known & ~any_equal(space, archs, archive, used)
  keep &= ~is_copy(space, archs)
  places = jnp.where(keep, num + jnp.cumsum(keep) - 1, size)
  total = num + jnp.sum(keep, dtype=jnp.int32)
  return places, jnp.minimum(total, size)


def num_rounds(config: Any, algorithm: Algorithm, budget: int) -> int:
  """Rounds that a budget needs, and a few for repeats."""
  del config
  rest = max(budget - algorithm.num_initial, 1)
  needed = -(-rest // algorithm.batch_size)
  return needed + 2 + needed // 10
