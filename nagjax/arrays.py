"""Small functions of arrays that several rooms share: ranks and distances."""

import jax
import jax.numpy as jnp


def average_ranks(
  values: jax.Array, used: jax.Array | None = None
) -> jax.Array:
  """Rank of every value among those that count; equal values share theirs.

  Args:
    values: `f32[M]`, not NaN; infinities are values like others.
    used: `bool[M]` which entries count; all by default.

  Returns:
    `f32[M]`, 0 for the smallest, the average of their places for ties; of
    entries that do not count, a place behind all that do.

  Example:
    >>> average_ranks(jnp.asarray([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
  """
  used = jnp.ones(values.shape, bool) if used is None else used
  # Pairs as a product: at the sizes of archives as fast as a sort, and a
  # quarter of its compilation.
  below = (values[None] < values[:, None]).astype(jnp.float32)
  equal = (values[None] == values[:, None]).astype(jnp.float32)
  counts = (below + 0.5 * equal) @ used.astype(jnp.float32)
  return jnp.where(used, counts - 0.5, jnp.sum(used))


def normal_scores(objective: jax.Array, used: jax.Array) -> jax.Array:
  """Replaces values by the normal quantiles of their ranks.

  The result depends on the order alone, so it suits accuracies, losses and
  scores of any scale and with any outliers.

  Args:
    objective: `f32[M]`; `-inf` ranks lowest, ties share the average rank.
    used: `bool[M]` which entries count.

  Returns:
    `f32[M]` with mean near 0 and variance near 1 over the used entries, else 0.
  """
  ranks = average_ranks(objective, used)
  share = (ranks + 0.5) / jnp.maximum(jnp.sum(used), 1)
  share = jnp.where(used, share, 0.5)
  return jax.scipy.special.ndtri(share)


def hamming(x: jax.Array, y: jax.Array) -> jax.Array:
  """Number of differing variables, `int32[P, L], int32[Q, L] -> f32[P, Q]`."""
  # One fused pass over pairs; a reduction over the last axis would not
  # vectorize.
  differs = jnp.zeros((x.shape[0], y.shape[0]), jnp.float32)
  for v in range(x.shape[-1]):
    differs += x[:, None, v] != y[None, :, v]
  return differs
