"""Functions of arrays that several rooms need: ranks, distances, digests."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np


def average_ranks(values: jax.Array, used: ArrayLike = True) -> jax.Array:
  """Ranks from 0, the least first, of the entries that count.

  Ties share the mean of their ranks, as `scipy.stats.rankdata` has it (which
  begins at 1). Entries are compared pair by pair, which for some hundreds of
  them is faster on a CPU than a sort, above all under `vmap`.

  Args:
    values: `f32[M]`, no NaN; infinities are values like others.
    used: `bool[M]` which entries count; all if not given.

  Returns:
    `f32[M]`; of an entry that is not used, how many are below it, and half of
    its equals.

  Example:
    >>> average_ranks(jnp.asarray([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
  """
  used = jnp.broadcast_to(used, values.shape)
  other, own = values[:, None], values[None]
  share = jnp.where(other < own, 1.0, jnp.where(other == own, 0.5, 0.0))
  # The sum over the first axis vectorizes; one half is the entry itself.
  below = jnp.sum(jnp.where(used[:, None], share, 0.0), axis=0)
  return (below - jnp.where(used, 0.5, 0.0)).astype(jnp.float32)


def normal_scores(objective: jax.Array, used: ArrayLike = True) -> jax.Array:
  """Replaces values by the normal quantiles of their ranks.

  The result depends on the order alone, so it suits accuracies, losses and
  scores of any scale and with any outliers. Equal values have equal scores:
  those of their average rank.

  Args:
    objective: `f32[M]`; `-inf`, a failure, ranks lowest.
    used: `bool[M]` which entries count; all if not given.

  Returns:
    `f32[M]` with mean near 0 and variance near 1 over the used entries, else 0.
  """
  used = jnp.broadcast_to(used, objective.shape)
  num = jnp.maximum(jnp.sum(used, dtype=jnp.float32), 1)
  share = (average_ranks(objective, used) + 0.5) / num
  return jax.scipy.special.ndtri(jnp.where(used, share, 0.5))


def hamming(x: jax.Array, y: jax.Array) -> jax.Array:
  """Number of differing variables, `int32[P, L], int32[Q, L] -> f32[P, Q]`."""
  # One fused pass over pairs; a reduction over the last axis would not
  # vectorize.
  total = jnp.zeros((x.shape[0], y.shape[0]), jnp.float32)
  for v in range(x.shape[-1]):
    total += (x[:, None, v] != y[None, :, v]).astype(jnp.float32)
  return total


def key_numbers(keys: ArrayLike) -> np.ndarray:
  """A space's keys `uint32[..., 2]` as numbers, `uint64[...]`, flat (host)."""
  pairs = np.asarray(keys).reshape(-1, 2).astype(np.uint64)
  return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]


def digest(tree: Any) -> str:
  """SHA-256 of the shapes, types and contents of all leaves (host).

  Args:
    tree: of arrays of any shapes, random keys among them.

  Example:
    >>> digest(jnp.zeros(2))[:8]
    '190494ab'
  """
  found = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(
      leaf.dtype, jax.dtypes.prng_key
    ):
      leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    found.update(repr((array.shape, array.dtype.str)).encode())
    found.update(np.ascontiguousarray(array).tobytes())
  return found.hexdigest()
