"""Limits in the loop: slots that improve if feasible, and slots that explore.

The improvement of a candidate counts only if it meets the limits, so that its
expectation is the expected improvement over the best feasible architecture
times the probability of being feasible. More than half of a batch goes by that.
The other slots see the best feasible architecture and the limits as a corner,
as `tradeoffs` does: a candidate is worth the least of its lead over the one and
its distances from the others, whose moments are known, with the optimism of the
slot. Without anything feasible the first slots seek feasibility alone.

References:
  Schonlau, Welch and Jones, "Global versus local search in constrained
    optimization of computer models", 1998; Gardner, Kusner, Xu, Weinberger and
    Cunningham, "Bayesian optimization with inequality constraints", ICML 2014
    (expected improvement times probability).
"""

import jax
import jax.numpy as jnp
from jax.scipy import stats

from nagjax.acquisition import Acquisition
from nagjax.acquisition import log_expected_improvement
from nagjax.algorithms.tradeoffs import least_of_normals
from nagjax.archive import Archive
from nagjax.types import Key
from nagjax.types import Prediction


def best_feasible(archive: Archive) -> tuple[jax.Array, jax.Array]:
  """The target of the best feasible row, and whether there is one.

  Returns:
    `f32[]`, the least target of all if none is feasible, and `bool[]`.
  """
  targets = archive.targets[:, 0]
  feasible = archive.used & jnp.all(archive.violations <= 0, axis=-1)
  feasible &= jnp.isfinite(archive.value)
  is_there = jnp.any(feasible)
  best = jnp.max(jnp.where(feasible, targets, -jnp.inf))
  least = jnp.min(jnp.where(archive.used, targets, 0.0))
  return jnp.where(is_there, best, least), is_there


def log_feasible(prediction: Prediction) -> jax.Array:
  """Logarithm of the probability of meeting every limit, `f32[C]`."""
  violations = prediction.violations
  return jnp.sum(
    stats.norm.logcdf(-violations / _head_stds(prediction)), axis=-1
  )


def slot_values(
  key: Key,
  acquisition: Acquisition,
  prediction: Prediction,
  archive: Archive,
  optimism: jax.Array,
) -> jax.Array:
  """What candidates are worth to every slot, `f32[B, C]`.

  Args:
    key: random key, consumed.
    acquisition: of the slots that explore.
    prediction: of `C` candidates.
    archive: what was evaluated.
    optimism: `f32[B]` of each slot.
  """
  best, is_there = best_feasible(archive)
  chance = log_feasible(prediction)
  gain = log_expected_improvement(prediction.mean, prediction.std, best)
  improves = jnp.where(is_there, gain + chance, chance)
  leads = jnp.concatenate(
    [(prediction.mean - best)[:, None], -prediction.violations], axis=-1
  )
  stds = jnp.concatenate(
    [prediction.std[:, None], _head_stds(prediction)], axis=-1
  )
  mean, std = least_of_normals(leads, stds)
  seen = prediction._replace(mean=mean, std=std, members=None)
  explores = acquisition(key, seen, jnp.float32(0.0), optimism)
  num_slots = optimism.shape[0]
  first = jnp.arange(num_slots) < num_slots // 2 + 1
  return jnp.where(first[:, None], improves[None], explores)


def _head_stds(prediction: Prediction) -> jax.Array:
  """Standard deviations of the violations, `f32[C, K]`."""
  if prediction.head_stds is not None:
    return prediction.head_stds
  return jnp.broadcast_to(prediction.std[:, None], prediction.violations.shape)
