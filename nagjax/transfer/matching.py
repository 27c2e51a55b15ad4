"""Transfers between spaces whose variables choose among the same operations.

NAS-Bench-201 and the micro space of TransNAS-Bench-101 put named operations on
the same six edges; the latter lacks pooling. What was learned on one serves the
other, operation by operation.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import generic
from nagjax.spaces.base import SearchSpace
from nagjax.transfer.base import Source
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import product_kernel

_MAX_VECTORS = 1 << 20
_CHUNK = 4096


def matched(transfer: Transfer, space: SearchSpace) -> Transfer:
  """What a transfer says of another space with operations of the same names.

  Correlations and means are those of the operations that the two have in
  common. One that the transfer does not know correlates with no other, and
  architectures that have it have the mean 0, that of all normal scores.

  Args:
    transfer: what was learned.
    space: of the search.

  Returns:
    The transfer itself if it is of that space, or if the two have not as many
    variables or no two operations of one name: then `check_fits` refuses it.
  """
  known, names = transfer.operations, space.operations
  place = np.asarray([known.index(n) if n in known else -1 for n in names], int)
  num_variables = len(transfer.correlations)
  if (
    transfer.space == space.name
    or num_variables != space.num_variables
    or np.sum(place >= 0) < 2
    or math.prod(space.cardinalities) > _MAX_VECTORS
  ):
    return transfer
  both = np.outer(place >= 0, place >= 0)
  correlations = np.tile(
    np.eye(len(names), dtype=np.float32), (num_variables, 1, 1)
  )
  correlations[:, both] = transfer.correlations[:, place][:, :, place][:, both]
  return Transfer(
    space=space.name,
    correlations=correlations,
    noise=transfer.noise,
    mean=_mean(transfer, place[generic.all_vectors(space.cardinalities)]),
    support=None,
    sources=tuple(_source(s, place) for s in transfer.sources),
    operations=names,
  )


def _mean(transfer: Transfer, digits: np.ndarray) -> np.ndarray:
  """The mean of `int[N, L]` options of the transfer's own space.

  It is 0 where an option is -1.
  """
  is_known = np.all(digits >= 0, axis=1)
  mean = np.zeros(len(digits), np.float32)
  num_options = transfer.correlations.shape[-1]
  if transfer.support is None:
    strides = num_options ** np.arange(digits.shape[1])
    mean[is_known] = transfer.mean[digits[is_known] @ strides]
    return mean
  support = jax.nn.one_hot(jnp.asarray(transfer.support), num_options)
  rows = np.flatnonzero(is_known)
  for start in range(0, len(rows), _CHUNK):
    chunk = rows[start : start + _CHUNK]
    options = jax.nn.one_hot(jnp.asarray(digits[chunk]), num_options)
    cross = product_kernel(jnp.asarray(transfer.correlations), options, support)
    mean[chunk] = np.asarray(cross) @ np.asarray(transfer.mean)
  return mean


def _source(source: Source, place: np.ndarray) -> Source:
  """A source with the rows of its probe that the other space has."""
  options = np.full(1 + max(source.probe_archs.max(initial=0), place.max()), -1)
  there = place >= 0
  options[place[there]] = np.flatnonzero(there)
  probe = options[source.probe_archs]
  kept = np.all(probe >= 0, axis=1)
  return source._replace(
    probe_archs=probe[kept].astype(np.int32),
    probe_values=source.probe_values[kept],
  )
