"""A Gaussian process over architectures that grows by blocks inside jit.

The kernel is `k(x, y) = exp(-theta h(x, y) / L)` with the Hamming distance `h`,
a product over the variables, so it holds interactions of every order and needs
no encoding of the space. Kernel and noise are fixed, so the factorization does
not depend on the targets, and a block of new rows costs `O(B M^2)`.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter
2 and appendix A.3 (block inverse of the Cholesky factor).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax.arrays import hamming

_PRECISION = jax.lax.Precision.HIGHEST


class GaussianProcess(NamedTuple):
  """The inputs seen so far and the inverse Cholesky factor of their covariance.

  Attributes:
    archs: `int32[M, L]` inputs; the first `num` are in use.
    whiten: `f32[M, M]` lower-triangular `W` with `W (K + noise I) W' = I`.
    num: `int32[]`.
    theta: `f32[]` decay of the correlation over the whole vector.
    noise: `f32[]` variance of the observations; the prior variance is 1.
  """

  archs: jax.Array
  whiten: jax.Array
  num: jax.Array
  theta: jax.Array
  noise: jax.Array


def init(
  capacity: int, num_variables: int, *, theta: ArrayLike, noise: ArrayLike
) -> GaussianProcess:
  """Returns a process without observations, for up to `capacity` of them."""
  return GaussianProcess(
    archs=jnp.zeros((capacity, num_variables), jnp.int32),
    whiten=jnp.zeros((capacity, capacity), jnp.float32),
    num=jnp.int32(0),
    theta=jnp.asarray(theta, jnp.float32),
    noise=jnp.asarray(noise, jnp.float32),
  )


def kernel(process: GaussianProcess, x: jax.Array, y: jax.Array) -> jax.Array:
  """Prior covariance, `int32[P, L], int32[Q, L] -> f32[P, Q]`."""
  return jnp.exp(-process.theta / x.shape[-1] * hamming(x, y))


def used(process: GaussianProcess) -> jax.Array:
  """Which of the `M` places hold an observation, `bool[M]`."""
  return jnp.arange(process.archs.shape[0]) < process.num


def append(
  process: GaussianProcess, archs: jax.Array, keep: jax.Array
) -> tuple[GaussianProcess, jax.Array]:
  """Observes new inputs.

  Args:
    process: the process.
    archs: `int32[B, L]`.
    keep: `bool[B]` which rows to observe; the others are ignored, and so is
      what exceeds the capacity.

  Returns:
    The process and `int32[B]` the place of every row, `M` for ignored ones.
  """
  capacity, size = process.archs.shape[0], archs.shape[0]
  place = process.num + jnp.cumsum(keep) - 1
  keep = keep & (place < capacity)
  place = jnp.where(keep, place, capacity).astype(jnp.int32)
  cross = kernel(process, archs, process.archs) * used(process)[None]
  cross = jnp.matmul(cross, process.whiten.T, precision=_PRECISION)
  cross = jnp.where(keep[:, None], cross, 0.0)
  own = kernel(process, archs, archs) + process.noise * jnp.eye(size)
  own = own - jnp.matmul(cross, cross.T, precision=_PRECISION)
  own = jnp.where(keep[:, None] & keep[None], own, jnp.eye(size))
  inverse = jax.scipy.linalg.solve_triangular(
    jnp.linalg.cholesky(own), jnp.eye(size), lower=True
  )
  rows = -jnp.matmul(
    inverse,
    jnp.matmul(cross, process.whiten, precision=_PRECISION),
    precision=_PRECISION,
  )
  # Scattering to place M drops a row, and a column.
  rows = rows.at[:, place].set(inverse, mode="drop")
  process = process._replace(
    archs=process.archs.at[place].set(archs, mode="drop"),
    whiten=process.whiten.at[place].set(rows, mode="drop"),
    num=process.num + jnp.sum(keep, dtype=jnp.int32),
  )
  return process, place


def forget(process: GaussianProcess, forgets: jax.Array) -> GaussianProcess:
  """Drops all observations where `forgets: bool[]` holds."""
  return process._replace(
    whiten=jnp.where(forgets, 0.0, process.whiten),
    num=jnp.where(forgets, 0, process.num),
  )


def weights(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """Solves for the mean: `(K + noise I)^-1 targets`, `f32[M] -> f32[M]`."""
  targets = jnp.where(used(process), targets, 0.0)
  whitened = jnp.matmul(process.whiten, targets, precision=_PRECISION)
  return jnp.matmul(process.whiten.T, whitened, precision=_PRECISION)


def mean(
  process: GaussianProcess, weights: jax.Array, archs: jax.Array
) -> jax.Array:
  """Posterior mean at `int32[P, L]`, `f32[P]`; `weights` from `weights`."""
  cross = kernel(process, archs, process.archs)
  return jnp.matmul(cross, weights, precision=_PRECISION)


def deviation(process: GaussianProcess, archs: jax.Array) -> jax.Array:
  """Posterior standard deviation of the function at `int32[P, L]`, `f32[P]`."""
  cross = kernel(process, archs, process.archs) * used(process)[None]
  whitened = jnp.matmul(cross, process.whiten.T, precision=_PRECISION)
  variance = 1 - jnp.sum(whitened**2, axis=-1)
  return jnp.sqrt(jnp.maximum(variance, 1e-6))
