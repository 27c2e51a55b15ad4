"""`Transfer`: what was learned on some tables and serves searches on others.

A correlation matrix for every variable, and a mean for every architecture: what
a Gaussian process with a product kernel makes of the sources. It names them,
and a search on one of them is refused.
"""

from collections.abc import Sequence
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax.spaces import generic
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

_PRECISION = jax.lax.Precision.HIGHEST


class Source(NamedTuple):
  """A table that a transfer was learned from.

  Attributes:
    name: of its benchmark.
    objective: the column, with a minus sign where it is minimized.
    digest: SHA-256 of what was read: rows and values.
    weight: share of the likelihood, and of the mean.
    num_rows: how many rows were read.
    probe_archs: `int32[P, L]` some of them.
    probe_values: `f32[P]` their values, to recognize the table by.
  """

  name: str
  objective: str
  digest: str
  weight: float
  num_rows: int
  probe_archs: np.ndarray
  probe_values: np.ndarray


class Transfer(NamedTuple):
  """What was learned.

  Attributes:
    space: name of the search space.
    correlations: `f32[L, K, K]` of the options of every variable, with ones on
      the diagonal; unit matrices where a variable has fewer options.
    noise: ratio of the noise to the variance of the process.
    mean: `f32[N]` in normal scores, of every architecture by its index, or of
      the support by its weights; then the mean is `k(x, support) weights`.
    support: `int32[N, L]`, or None if the mean is by index.
    sources: where it comes from.
    operations: names of the options of every variable, of which spaces that
      have them in common know each other; empty if they have none.
  """

  space: str
  correlations: np.ndarray
  noise: float
  mean: np.ndarray
  support: np.ndarray | None
  sources: tuple[Source, ...]
  operations: tuple[str, ...] = ()

  @property
  def names(self) -> str:
    """The sources as a text."""
    return ", ".join(source.name for source in self.sources)


def hamming_correlations(
  inverse_lengthscale: ArrayLike, num_variables: int, num_options: int
) -> jax.Array:
  """`(1 - r) I + r 11'` for every variable, `f32[L, K, K]`.

  With `r = exp(-theta / L)` their product is the Hamming kernel.
  """
  ratio = jnp.exp(-jnp.float32(inverse_lengthscale) / num_variables)
  eye = jnp.eye(num_options, dtype=jnp.float32)
  matrix = (1 - ratio) * eye + ratio
  return jnp.broadcast_to(matrix, (num_variables, *eye.shape))


def product_kernel(
  correlations: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
  """`prod_l x_l' R_l y_l`, linear in the weights of every variable.

  Args:
    correlations: `f32[L, K, K]`.
    x: `f32[P, L, K]` weights of the options, one-hot for architectures.
    y: `f32[Q, L, K]`.

  Returns:
    `f32[P, Q]`.
  """
  left = jnp.einsum("plj,ljk->lpk", x, correlations, precision=_PRECISION)
  pairs = jnp.einsum("lpk,qlk->lpq", left, y, precision=_PRECISION)
  return jnp.prod(pairs, axis=0)


def mean_of(transfer: Transfer, space: SearchSpace, archs: Archs) -> jax.Array:
  """The transferred mean of architectures, `int32[P, L] -> f32[P]`."""
  mean = jnp.asarray(transfer.mean)
  if transfer.support is None:
    strides = np.cumprod((1, *space.cardinalities[:-1]))
    return mean[archs @ jnp.asarray(strides, jnp.int32)]
  cross = product_kernel(
    jnp.asarray(transfer.correlations),
    space.one_hot(archs),
    space.one_hot(jnp.asarray(transfer.support)),
  )
  return jnp.matmul(cross, mean, precision=_PRECISION)


def favorites(transfer: Transfer, space: SearchSpace, num: int) -> np.ndarray:
  """The `int32[F <= num, L]` architectures of the best transferred means."""
  if transfer.support is None:
    archs, mean = generic.all_vectors(space.cardinalities), transfer.mean
  else:
    archs = transfer.support
    mean = np.asarray(mean_of(transfer, space, jnp.asarray(archs)))
  # A table may hold a part of the space only.
  mean = np.where(space.is_valid(jnp.asarray(archs)), mean, -np.inf)
  best = np.argsort(-mean, kind="stable")[: min(num, np.isfinite(mean).sum())]
  return np.asarray(archs[best], np.int32)


def check_fits(transfers: Sequence[Transfer], space: SearchSpace) -> None:
  """Checks that transfers are of a space.

  Raises:
    ValueError: if one is none, of another space, or has arrays of other shapes.
  """
  for transfer in transfers:
    if not isinstance(transfer, Transfer):
      raise ValueError(
        "transfer must be a Transfer, as transfer.fit and transfer.load "
        f"return, or the name of one, got a {type(transfer).__name__}."
      )
    if transfer.space != space.name:
      raise ValueError(
        f"The transfer of {transfer.names} is of the space {transfer.space}, "
        f"and the search of {space.name}; use one of that space."
      )
    _check_shapes(transfer, space)


def _check_shapes(transfer: Transfer, space: SearchSpace) -> None:
  """Raises ValueError if arrays of a transfer are not of its space."""
  size = space.num_options
  shape = (space.num_variables, size, size)
  fits = np.shape(transfer.correlations) == shape
  if transfer.support is None:
    fits &= len(transfer.mean) == math.prod(space.cardinalities)
  else:
    support = np.asarray(transfer.support)
    fits &= support.shape == (len(transfer.mean), space.num_variables)
    fits = fits and bool(
      np.all((support >= 0) & (support < space.cardinalities))
    )
  if not fits:
    raise ValueError(
      f"The transfer of {transfer.names} does not fit {space.name}: it needs "
      f"correlations {shape}, and a mean of all architectures or of a support."
    )
