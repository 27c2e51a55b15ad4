"""Several objectives at once: dominance, fronts and their quality, in jit.

Points are `f32[N, M]`, `N` architectures with `M` objectives, all maximized.
The functions compile, may be mapped, and have sizes that do not depend on the
data: rows that do not count are marked by a mask. `statistics` has the same for
the host, in float64.

References:
  Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic
    algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation, 2002.
  Zitzler and Thiele, "Multiobjective evolutionary algorithms: a comparative
    case study and the strength Pareto approach", 1999 (hypervolume).
  Ishibuchi, Masuda, Tanigaki and Nojima, "Modified distance calculation in
    generational distance and inverted generational distance", EMO 2015 (IGD+).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def dominates(points: jax.Array, excess: ArrayLike = 0.0) -> jax.Array:
  """Which rows dominate which, by Deb's rule where limits are exceeded.

  A row dominates another if it exceeds the limits by less; where both exceed
  them equally, if it is nowhere worse and somewhere better.

  Args:
    points: `f32[N, M]`.
    excess: `f32[N]` total violation of the limits, 0 for feasible rows.

  Returns:
    `bool[N, N]`, true at `[i, j]` if `i` dominates `j`.
  """
  excess = jnp.broadcast_to(excess, points.shape[:1])
  first, second = points[:, None], points[None]
  better = jnp.all(first >= second, axis=-1)
  better &= jnp.any(first > second, axis=-1)
  less = excess[:, None] < excess[None]
  return less | ((excess[:, None] == excess[None]) & better)


def front_numbers(dominance: jax.Array, used: ArrayLike = True) -> jax.Array:
  """Sorts rows into fronts, the best of which has the number 0.

  Every front holds what no row outside the fronts before it dominates
  (non-dominated sorting).

  Args:
    dominance: `bool[N, N]`, of `dominates`.
    used: `bool[N]` which rows count; all if not given.

  Returns:
    `int32[N]`; `N` for rows that do not count.
  """
  size = dominance.shape[0]
  used = jnp.broadcast_to(used, (size,))

  def peel(
    state: tuple[jax.Array, jax.Array, jax.Array],
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    number, numbers, left = state
    front = left & ~jnp.any(dominance & left[:, None], axis=0)
    numbers = jnp.where(front, number, numbers)
    return number + 1, numbers, left & ~front

  start = jnp.int32(0), jnp.full(size, size, jnp.int32), used
  return jax.lax.while_loop(lambda state: jnp.any(state[2]), peel, start)[1]


def crowding_distance(points: jax.Array, numbers: jax.Array) -> jax.Array:
  """How far apart the neighbors of a row on its front are, `f32[N]`.

  The sum over objectives of the distance between the next smaller and the next
  larger value on the front, in units of the front's range; infinite at the ends
  of a front. Equal values are neighbors in the order of their rows.

  Args:
    points: `f32[N, M]` finite.
    numbers: `int32[N]` the front of every row, of `front_numbers`.
  """
  size = points.shape[0]

  def one(values: jax.Array) -> jax.Array:
    order = jnp.lexsort((values, numbers))
    value, front = values[order], numbers[order]
    same = front[1:] == front[:-1]
    begins = jnp.concatenate([jnp.ones(1, bool), ~same])
    ends = jnp.concatenate([~same, jnp.ones(1, bool)])
    # Of the front: its least and largest value, spread over its rows.
    least = jax.ops.segment_min(value, front, size + 1)[front]
    largest = jax.ops.segment_max(value, front, size + 1)[front]
    gap = jnp.roll(value, -1) - jnp.roll(value, 1)
    span = largest - least
    gap = jnp.where(span > 0, gap / jnp.where(span > 0, span, 1.0), 0.0)
    gap = jnp.where(begins | ends, jnp.inf, gap)
    return jnp.zeros(size, jnp.float32).at[order].set(gap)

  return jnp.sum(jax.vmap(one, 1)(points), axis=0)


def hypervolume(points: jax.Array, reference: jax.Array) -> jax.Array:
  """The volume that points dominate above a reference, exactly, `f32[]`.

  By slices along the last objective: `O(N^(M - 1))` steps and memory beside the
  sorts, so meant for two and three objectives, and few points where there are
  more.

  Args:
    points: `f32[N, M]`; a row that is not above the reference in every
      objective, such as a failure of `-inf`, adds nothing.
    reference: `f32[M]`.
  """
  heights = jnp.maximum(points - reference[None], 0.0)
  return _volume(jnp.where(jnp.all(heights > 0, -1)[:, None], heights, 0.0))


def _volume(heights: jax.Array) -> jax.Array:
  """Hypervolume of `f32[N, M]` heights of at least 0 above the origin."""
  if heights.shape[1] == 1:
    return jnp.max(heights, initial=0.0)
  heights = heights[jnp.argsort(-heights[:, -1])]
  last = heights[:, -1]
  depths = last - jnp.append(last[1:], 0.0)
  if heights.shape[1] == 2:
    return jnp.sum(depths * jax.lax.cummax(heights[:, 0]))
  # A slice is the union of all rows that reach as far.
  places = jnp.arange(heights.shape[0])
  reach = places[None] <= places[:, None]
  areas = jax.vmap(
    lambda mask: _volume(jnp.where(mask[:, None], heights[:, :-1], 0.0))
  )(reach)
  return jnp.sum(depths * areas)


def igd_plus(
  points: jax.Array, front: jax.Array, scale: ArrayLike = 1.0
) -> jax.Array:
  """Mean distance from a front to what was found, where that is worse.

  The modified inverted generational distance: for every row of the front the
  least `|max(front - point, 0)|` over all points, averaged.

  Args:
    points: `f32[N, M]`; failures of `-inf` are infinitely far.
    front: `f32[F, M]` what could be found.
    scale: `f32[M]` unit of every objective.

  Returns:
    `f32[]`, 0 if the front was found.
  """
  scale = jnp.broadcast_to(scale, front.shape[1:])
  short = (front[:, None] - points[None]) / scale[None, None]
  distance = jnp.sqrt(jnp.sum(jnp.maximum(short, 0.0) ** 2, axis=-1))
  return jnp.mean(jnp.min(distance, axis=-1))
