"""Selection: elites, diverse individuals and a roulette without replacement.

Each function returns positions in the pool. Draws are arguments. EDNAG, section
"Optimization Strategies for Selection"; details from its published program.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax.evolution.denoising import map_blocks

_MAX_PAIRWISE = 256
"""Pools up to this size are compared pair by pair, larger ones are sorted."""


def elite(fitness: jax.Array, num: int) -> jax.Array:
  """The best individuals of distinct fitness, `[Q] -> int32[num]`.

  In descending order, one that equals its predecessor is passed over. If there
  are too few, the sorted list is taken again from its top. Ties go to the lower
  position.
  """
  return _first_accepted(fitness, _is_first_of_equals(fitness), num)


def diverse(
  diversity_score: jax.Array,
  fitness: jax.Array,
  num: int,
  *,
  least_share: ArrayLike = 0.1,
) -> jax.Array:
  """The most distinct individuals that are fit enough, `int32[num]`.

  In descending order of diversity, those with `fitness >= least_share * max`
  are taken; if there are too few, the sorted list is taken again from its top.
  Elites are not excluded.

  Args:
    diversity_score: `[Q]`.
    fitness: `[Q]`.
    num: how many.
    least_share: see above.
  """
  fit = fitness >= least_share * jnp.max(fitness)
  return _first_accepted(diversity_score, fit, num)


def diversity(x: jax.Array, *, block_size: int | None = None) -> jax.Array:
  """Summed Euclidean distance to the pool, scaled to [0, 1], `[Q, D] -> [Q]`.

  Distances come from one matrix product. Its rounding reaches 1e-3 for equal
  individuals, against sums in the hundreds; the estimator, where small
  distances decide, takes differences instead.

  Differs from the published program: if all are equal the result is 0, not NaN.

  Args:
    x: `[Q, D]` the pool.
    block_size: None holds all distances; a number works on that many rows at a
      time, with memory linear in `Q` and the same result to rounding.
  """
  squares = jnp.sum(x**2, axis=-1)

  def total(rows: jax.Array) -> jax.Array:
    product = jnp.matmul(rows, x.T, precision=jax.lax.Precision.HIGHEST)
    own = jnp.sum(rows**2, axis=-1)
    distances = own[:, None] + squares[None] - 2 * product
    return jnp.sum(jnp.sqrt(jnp.maximum(distances, 0.0)), axis=-1)

  summed = total(x) if block_size is None else map_blocks(total, x, block_size)
  return min_max(summed)


def min_max(values: jax.Array) -> jax.Array:
  """Scales values to [0, 1]; all 0 if they are equal, `[Q] -> [Q]`."""
  low, high = jnp.min(values), jnp.max(values)
  span = high - low
  return jnp.where(span > 0, (values - low) / span, 0.0)


def roulette_weights(
  fitness: jax.Array, diversity_score: jax.Array
) -> jax.Array:
  """`0.9 minmax(f (1 + v)) + 0.1`, `[Q] -> [Q]`, the published weights."""
  return 0.9 * min_max(fitness * (1 + diversity_score)) + 0.1


def roulette(
  weights: jax.Array,
  taken: jax.Array,
  uniform: jax.Array,
  num: int,
  *,
  redraw: bool = False,
) -> jax.Array:
  """Fills slots by the published wheel, without replacement, `int32[num]`.

  The wheel is `c = cumsum(weights / sum)` over the whole pool. A slot goes to
  the first free individual `j` with `r <= c_j`, so that the share of one that
  is taken falls to the next free one: the wheel is not renormalized.

  Args:
    weights: `[Q]` positive.
    taken: `bool[Q]` individuals that are not available.
    uniform: `[A]` draws. With `redraw`, attempts in order: one beyond the last
      free individual is spent and the slot drawn again, as the published
      program does; slots that are still empty when the draws end are -1.
      Without, draw `k` fills slot `k`, scaled to the reachable part of the
      wheel, which has the same distribution and needs no second attempt (`A =
      num`).
    num: number of slots; at least as many must be free.
    redraw: see above.

  Raises:
    ValueError: if there are not `num` draws, without `redraw`.
  """
  if not redraw and uniform.shape[0] != num:
    raise ValueError(f"uniform must hold {num} draws, got {uniform.shape[0]}.")
  wheel = jnp.cumsum(weights / jnp.sum(weights))
  position = jnp.arange(weights.shape[0], dtype=jnp.int32)

  def spin(
    carry: tuple[jax.Array, jax.Array], draw: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    taken, filled = carry
    top = jnp.max(jnp.where(taken, -jnp.inf, wheel))
    draw = draw if redraw else draw * top
    chosen = jnp.argmax(~taken & (wheel >= draw)).astype(jnp.int32)
    hit = (draw <= top) & (filled < num)
    taken = taken | (hit & (position == chosen))
    return (taken, filled + hit.astype(jnp.int32)), jnp.where(hit, chosen, -1)

  _, chosen = jax.lax.scan(spin, (taken, jnp.int32(0)), uniform)
  if not redraw:
    return chosen
  order = jnp.argsort(chosen < 0, stable=True)
  chosen = jnp.concatenate([chosen[order], jnp.full(num, -1, jnp.int32)])
  return chosen[:num]


def gumbel_top_k(
  log_weights: jax.Array, gumbel: jax.Array, num: int
) -> jax.Array:
  """Draws without replacement, in proportion to weights, `int32[num]`.

  The `num` largest of `log w + Gumbel` are a sequence of draws in which each
  next one is proportional to the weights that remain (Kool, van Hoof and
  Welling, "Stochastic Beams and Where to Find Them", 2019). One sort serves any
  number, where `roulette` is sequential.

  Args:
    log_weights: `[Q]`, `-inf` for individuals that are not available.
    gumbel: `[Q]` standard Gumbel draws.
    num: how many.
  """
  return jax.lax.top_k(log_weights + gumbel, num)[1].astype(jnp.int32)


def _first_accepted(
  score: jax.Array, accepted: jax.Array, num: int
) -> jax.Array:
  """The `num` best that are accepted, then the best of all, `int32[num]`.

  Accepted individuals need a finite score.
  """
  if num == 0:
    return jnp.zeros(0, jnp.int32)
  value, best = jax.lax.top_k(jnp.where(accepted, score, -jnp.inf), num)
  spare = jax.lax.top_k(score, num)[1]
  num_accepted = jnp.sum(value > -jnp.inf)
  slot = jnp.arange(num)
  spare = spare[jnp.maximum(slot - num_accepted, 0)]
  return jnp.where(slot < num_accepted, best, spare).astype(jnp.int32)


def _is_first_of_equals(values: jax.Array) -> jax.Array:
  """Whether no earlier entry has the same value, `[Q] -> bool[Q]`."""
  position = jnp.arange(values.shape[0])
  if values.shape[0] <= _MAX_PAIRWISE:
    same = values[:, None] == values[None]
    return ~jnp.any(same & (position[None] < position[:, None]), axis=-1)
  order = jnp.argsort(values, stable=True)
  ranked = values[order]
  first = jnp.concatenate([jnp.ones(1, bool), ranked[1:] != ranked[:-1]])
  return jnp.zeros_like(first).at[order].set(first)
