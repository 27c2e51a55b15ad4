"""Several objectives in the loop: every slot of a batch seeks along a ray.

The hypervolume above a reference point is the mean, over uniformly random
directions, of how far the best architecture reaches along each, to the power of
the number of objectives. So every slot draws a direction of its own: its ray
leaves what has been found at a corner, and what exceeds the corner in every
objective adds to the hypervolume. A batch covers the front without a rule that
keeps its slots apart.

On the scale of the surrogate, an architecture is worth to a slot the least of
its leads over the corner. The least of independent normal predictions is nearly
normal again, with moments that are known, so that every acquisition serves.

References:
  Deng and Zhang, "Approximating hypervolume contributions using a set of
    scalarizations", 2019; Golovin and Zhang, "Random hypervolume
    scalarizations for provable multi-objective black box optimization", ICML
    2020, https://arxiv.org/abs/2006.04655.
  Clark, "The greatest of a finite set of random variables", Operations Research
    1961 (moments).
"""

import jax
import jax.numpy as jnp
from jax.scipy import stats

from nagjax import archive as archive_lib
from nagjax import pareto
from nagjax.acquisition import Acquisition
from nagjax.archive import Archive
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Prediction

_SLACK = 0.2
"""Of the range of an objective: how far below the worst the rays begin."""

_DROP = 2.0
"""Target units over that distance: beyond the worst, anything may be meant."""

_LEAST_DIRECTION = 0.02
"""A ray that is nearly an axis would ignore the other objectives."""


def draw_corners(key: Key, archive: Archive, num: int) -> jax.Array:
  """Where random rays leave what has been found, as targets.

  Rays begin below the worst values of the archive, feasible rows if there are
  any, and their directions are uniform in units of the ranges.

  Args:
    key: random key, consumed.
    archive: with `T` tradeoffs.
    num: of rays.

  Returns:
    `f32[num, 1 + T]` on the scale of `Archive.targets`.
  """
  points = raw_objectives(archive)
  size = points.shape[1]
  counts = archive.used & jnp.all(jnp.isfinite(points), axis=-1)
  feasible = counts & jnp.all(archive.violations <= 0, axis=-1)
  counts = jnp.where(jnp.any(feasible), feasible, counts)
  least = jnp.min(jnp.where(counts[:, None], points, jnp.inf), axis=0)
  largest = jnp.max(jnp.where(counts[:, None], points, -jnp.inf), axis=0)
  known = jnp.any(counts)
  least = jnp.where(known, least, 0.0)
  span = jnp.where(known & (largest > least), largest - least, 1.0)
  heights = jnp.where(counts[:, None], points - least[None], 0.0) / span[None]
  heights += _SLACK
  rays = jnp.abs(jax.random.normal(key, (num, size)))
  rays /= jnp.linalg.norm(rays, axis=-1, keepdims=True)
  rays = jnp.maximum(rays, _LEAST_DIRECTION)
  reach = jnp.min(heights[None] / rays[:, None], axis=-1)
  reach = jnp.max(jnp.where(counts[None], reach, _SLACK), axis=-1)
  corners = rays * reach[:, None] - _SLACK
  corners = corners * span[None] + least[None]
  targets = jax.vmap(_as_targets, (1, 1, 1, None), 1)(
    corners, points, archive.targets[:, :size], counts
  )
  below = jnp.maximum(least[None] - corners, 0.0) / (_SLACK * span[None])
  return targets - _DROP * below


def raw_objectives(archive: Archive) -> jax.Array:
  """What was observed, before it is scaled, `f32[M, 1 + T]`."""
  return jnp.concatenate([archive.value[:, None], archive.others], axis=-1)


def least_lead(objectives: jax.Array, corners: jax.Array) -> jax.Array:
  """The least lead over each corner, `f32[..., 1 + T] -> f32[..., B]`."""
  shape = (1,) * (objectives.ndim - 1) + corners.shape
  return jnp.min(objectives[..., None, :] - corners.reshape(shape), axis=-1)


def seen_from(archive: Archive, corners: jax.Array, penalty: float) -> Archive:
  """An archive of one objective, for those who know no others.

  It is the least lead over the corner that a row leads most, 0 for those that
  are corners; ranks subtract `penalty` times the scaled violations.

  Args:
    archive: with `T` tradeoffs.
    corners: `f32[B, 1 + T]`, from `draw_corners`.
    penalty: of a scaled violation.
  """
  size = corners.shape[1]
  lead = jnp.max(least_lead(archive.targets[:, :size], corners), axis=-1)
  lead = jnp.where(archive.used, lead, 0.0)
  violations = archive.targets[:, size:]
  excess = jnp.sum(jnp.maximum(violations, 0.0), axis=-1)
  alive = archive.used & jnp.all(jnp.isfinite(raw_objectives(archive)), axis=-1)
  return archive._replace(
    value=jnp.where(alive, lead, -jnp.inf),
    objective=jnp.where(alive, lead - penalty * excess, -jnp.inf),
    targets=jnp.concatenate([lead[:, None], violations], axis=-1),
  )


def mutants(
  key: Key, archive: Archive, space: SearchSpace, num: int, num_parents: int
) -> Archs:
  """Single mutations of the rows at the corners, `int32[num, L]`.

  Args:
    key: random key, consumed.
    archive: as `seen_from` shows it.
    space: the space.
    num: of mutants.
    num_parents: of corners.
  """
  mutate_key, random_key = jax.random.split(key)
  return archive_lib.mutate_top(
    archive,
    space,
    jax.random.uniform(mutate_key, (num, 2)),
    space.sample(random_key, num),
    num_parents,
  )


def means_and_stds(
  prediction: Prediction, num_tradeoffs: int
) -> tuple[jax.Array, jax.Array, Prediction]:
  """Takes a prediction apart whose first violations are further objectives.

  Returns:
    `f32[..., 1 + T]` means and standard deviations of the objectives, and the
    prediction without the further ones. Where the surrogate has one deviation
    for all, it is that of each.
  """
  heads, stds = prediction.violations, prediction.head_stds
  others = heads[..., :num_tradeoffs]
  if stds is None:
    stds = jnp.broadcast_to(prediction.std[..., None], heads.shape)
  return (
    jnp.concatenate([prediction.mean[..., None], others], axis=-1),
    jnp.concatenate(
      [prediction.std[..., None], stds[..., :num_tradeoffs]], axis=-1
    ),
    prediction._replace(
      members=None, violations=heads[..., num_tradeoffs:], head_stds=None
    ),
  )


def largest_lead(prediction: Prediction, corners: jax.Array) -> Prediction:
  """What is believed of the largest of the least leads over corners.

  Args:
    prediction: further objectives first among violations.
    corners: `f32[B, 1 + T]`.

  Returns:
    The lead of the means, with the deviation of the first objective, and the
    violations without the further objectives.
  """
  means, _, rest = means_and_stds(prediction, corners.shape[1] - 1)
  return rest._replace(mean=jnp.max(least_lead(means, corners), axis=-1))


def least_of_normals(
  means: jax.Array, stds: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Mean and standard deviation of the least of independent normal variables.

  Exact for two; more are taken in one by one, as if the least of those before
  were normal.

  Args:
    means, stds: `f32[..., M]`.
  """
  mean, variance = means[..., 0], stds[..., 0] ** 2
  for place in range(1, means.shape[-1]):
    other, spread = means[..., place], stds[..., place] ** 2
    apart = jnp.sqrt(jnp.maximum(variance + spread, 1e-12))
    z = (other - mean) / apart
    first, second = stats.norm.cdf(z), stats.norm.cdf(-z)
    density = apart * stats.norm.pdf(z)
    square = (mean**2 + variance) * first + (other**2 + spread) * second
    square -= (mean + other) * density
    mean = mean * first + other * second - density
    variance = jnp.maximum(square - mean**2, 0.0)
  return mean, jnp.sqrt(jnp.maximum(variance, 1e-8))


def slot_values(
  key: Key,
  acquisition: Acquisition,
  prediction: Prediction,
  corners: jax.Array,
  optimism: jax.Array,
  penalty: float,
) -> jax.Array:
  """What candidates are worth to slots with a corner each, `f32[B, C]`.

  Args:
    key: random key, consumed.
    acquisition: of one objective.
    prediction: of `C` candidates, further objectives first among violations.
    corners: `f32[B, 1 + T]`.
    optimism: `f32[B]` of each slot.
    penalty: of a predicted violation.
  """
  means, stds, rest = means_and_stds(prediction, corners.shape[1] - 1)
  excess = jnp.sum(jnp.maximum(rest.violations, 0.0), axis=-1)

  def one(key: Key, corner: jax.Array, optimism: jax.Array) -> jax.Array:
    mean, std = least_of_normals(means - corner[None], stds)
    seen = rest._replace(mean=mean - penalty * excess, std=std)
    return acquisition(key, seen, jnp.float32(0.0), optimism[None])[0]

  keys = jax.random.split(key, optimism.shape[0])
  return jax.vmap(one)(keys, corners, optimism)


def joins_front(archive: Archive, num_before: jax.Array) -> jax.Array:
  """Whether a row from `num_before` on is dominated by nothing, `bool[]`."""
  points = raw_objectives(archive)
  excess = jnp.sum(jnp.maximum(archive.violations, 0.0), axis=-1)
  rows = jnp.arange(points.shape[0])
  new = archive.used & (rows >= num_before)
  new &= jnp.all(jnp.isfinite(points), axis=-1)
  dominance = pareto.dominates(points, excess) & archive.used[:, None]
  return jnp.any(new & ~jnp.any(dominance, axis=0))


def _as_targets(
  values: jax.Array, observed: jax.Array, targets: jax.Array, used: jax.Array
) -> jax.Array:
  """Values on the scale of targets, between those of what was observed.

  Args:
    values: `f32[B]` raw.
    observed: `f32[M]` raw.
    targets: `f32[M]`, a rising function of `observed`.
    used: `bool[M]` which count.
  """
  order = jnp.argsort(jnp.where(used, observed, jnp.inf))
  last = jnp.maximum(jnp.sum(used) - 1, 0)
  places = jnp.minimum(jnp.arange(order.shape[0]), last)
  return jnp.interp(values, observed[order][places], targets[order][places])
