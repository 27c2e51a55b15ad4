"""Which candidates of a search with a surrogate may be proposed."""

import jax
import jax.numpy as jnp

from nagjax import archive as archive_lib
from nagjax.archive import Archive
from nagjax.proposers.base import Belief
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

_SHORTLIST_SPARE = 4
"""Candidates looked at for each place of a shortlist: some are duplicates."""


def unseen(
  archive: Archive,
  space: SearchSpace,
  archs: Archs,
  valid: jax.Array,
  belief: Belief,
  means: jax.Array | None,
  shortlist: int,
) -> tuple[Archs, jax.Array]:
  """Which candidates are valid, not in the archive and no duplicates.

  Args:
    archive: what was evaluated.
    space: the space.
    archs: `int32[C, L]`.
    valid: `bool[C]`.
    belief: by whose means a shortlist is made.
    means: `f32[C]` these, if they are known.
    shortlist: candidates of the best means that are kept; all if 0.

  Returns:
    The candidates, or the shortlist of them, and `bool[...]` which may be
    proposed.
  """
  keys = space.keys(archs)
  allowed = valid & ~archive_lib.contains(keys, archive.keys, archive.used)
  if not 0 < shortlist < archs.shape[0]:
    return archs, allowed & ~archive_lib.is_duplicate(keys, allowed)
  means = belief.predict(archs).mean if means is None else means
  mean = jnp.where(allowed, means, -jnp.inf)
  spare = min(_SHORTLIST_SPARE * shortlist, archs.shape[0])
  mean, order = jax.lax.top_k(mean, spare)
  allowed = allowed[order] & ~archive_lib.is_duplicate(keys[order])
  mean, best = jax.lax.top_k(jnp.where(allowed, mean, -jnp.inf), shortlist)
  return archs[order[best]], allowed[best]
