"""The Gaussian process itself: kernel, factorization, solves, as functions.

See `gaussian_process`, which makes a surrogate of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax.arrays import hamming
from nagjax.surrogates import relevance as relevance_lib
from nagjax.transfer.base import product_kernel
from nagjax.types import Archs

_PRECISION = jax.lax.Precision.HIGHEST


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary; the prior variance is 1.

  Attributes:
    inverse_lengthscale: `theta` of the Hamming kernel, `f32[]`, or `f32[L]` for
      one of every variable.
    noise: `f32[]` variance of the observations.
    canonical_share: `f32[]` of the prior variance.
    correlations: `f32[L, K, K]` of the options of every variable, positive;
      None for the Hamming kernel, which is quicker in this form.
  """

  inverse_lengthscale: jax.Array
  noise: jax.Array
  canonical_share: jax.Array
  correlations: jax.Array | None = None


class GaussianProcess(NamedTuple):
  """The inputs seen so far and the inverse Cholesky factor of their covariance.

  Attributes:
    archs: `int32[M, V, L]` inputs, and their canonical forms if `V` is 2; the
      first `num` are in use.
    whiten: `f32[M, M]` lower-triangular `W` with `W (K + noise I) W' = I`.
    num: `int32[]`.
    params: of kernel and noise.
  """

  archs: jax.Array
  whiten: jax.Array
  num: jax.Array
  params: Params


def hamming_correlations(
  inverse_lengthscale: jax.Array, num_variables: int, num_options: int
) -> jax.Array:
  """`(1 - r) I + r 11'` for every variable, `f32[L, K, K]`.

  With `r = exp(-theta / L)` their product is the Hamming kernel.
  """
  ratio = jnp.exp(-inverse_lengthscale / num_variables)
  ratio = jnp.broadcast_to(ratio, num_variables)[:, None, None]
  eye = jnp.eye(num_options, dtype=jnp.float32)[None]
  return (1 - ratio) * eye + ratio


def init(
  capacity: int, num_views: int, num_variables: int, params: Params
) -> GaussianProcess:
  """Returns a process without observations, for up to `capacity` of them."""
  return GaussianProcess(
    archs=jnp.zeros((capacity, num_views, num_variables), jnp.int32),
    whiten=jnp.zeros((capacity, capacity), jnp.float32),
    num=jnp.int32(0),
    params=params,
  )


def kernel(
  process: GaussianProcess, x: Archs, y: Archs | None = None
) -> jax.Array:
  """Prior covariance, `int32[P, V, L], int32[Q, V, L] -> f32[P, Q]`.

  Args:
    process: gives the correlations.
    x: architectures, and their canonical forms.
    y: others; the inputs seen so far if None, with zeros for unused places.
  """
  params = process.params
  others = process.archs if y is None else y
  prior = _sharp_kernel(params, x[:, 0], others[:, 0])
  if x.shape[1] > 1:
    forms = _sharp_kernel(params, x[:, 1], others[:, 1])
    prior += params.canonical_share * (forms - prior)
  return prior if y is not None else jnp.where(used(process)[None], prior, 0.0)


def relaxed_kernel(process: GaussianProcess, options: jax.Array) -> jax.Array:
  """`kernel` to the inputs for weights of options, `-> f32[G, M]`.

  Linear in the weights of each variable, and `kernel` where they are one-hot.

  Args:
    process: gives the inputs and the correlations.
    options: `f32[G, V, L, K]`, and those of the canonical forms.
  """
  matrices = _correlations(process.params, options)
  num_options = options.shape[-1]
  inputs = jax.nn.one_hot(process.archs, num_options, dtype=jnp.float32)
  prior = product_kernel(matrices, options[:, 0], inputs[:, 0])
  if inputs.shape[1] > 1:
    forms = product_kernel(matrices, options[:, 1], inputs[:, 1])
    prior += process.params.canonical_share * (forms - prior)
  return jnp.where(used(process)[None], prior, 0.0)


def relaxed_variance(process: GaussianProcess, options: jax.Array) -> jax.Array:
  """Prior variance of relaxed architectures `f32[G, V, L, K]`, `f32[G]`."""
  matrices = _correlations(process.params, options)
  each = jnp.einsum(
    "gvlj,ljk,gvlk->gvl", options, matrices, options, precision=_PRECISION
  )
  each = jnp.prod(each, axis=-1)
  variance = each[:, 0]
  if options.shape[1] > 1:
    variance += process.params.canonical_share * (each[:, 1] - variance)
  return variance


def used(process: GaussianProcess) -> jax.Array:
  """Which of the `M` places hold an observation, `bool[M]`."""
  return jnp.arange(process.archs.shape[0]) < process.num


def append(
  process: GaussianProcess, archs: Archs, num: ArrayLike
) -> GaussianProcess:
  """Observes the first `num` of `int32[B, V, L]` inputs.

  Others are ignored, and so is what exceeds the capacity.
  """
  capacity, size = process.archs.shape[0], archs.shape[0]
  place = process.num + jnp.arange(size)
  keep = (jnp.arange(size) < num) & (place < capacity)
  place = jnp.where(keep, place, capacity)
  cross = kernel(process, archs)
  cross = jnp.matmul(cross, process.whiten.T, precision=_PRECISION)
  cross = jnp.where(keep[:, None], cross, 0.0)
  eye = jnp.eye(size, dtype=jnp.float32)  # Also in a process of 64 bits.
  own = kernel(process, archs, archs) + process.params.noise * eye
  own = own - jnp.matmul(cross, cross.T, precision=_PRECISION)
  own = jnp.where(keep[:, None] & keep[None], own, eye)
  inverse = jax.scipy.linalg.solve_triangular(
    jnp.linalg.cholesky(own), eye, lower=True
  )
  rows = -jnp.matmul(
    inverse,
    jnp.matmul(cross, process.whiten, precision=_PRECISION),
    precision=_PRECISION,
  )
  # Scattering to place M drops a row, and a column.
  rows = rows.at[:, place].set(inverse, mode="drop")
  return process._replace(
    archs=process.archs.at[place].set(archs, mode="drop"),
    whiten=process.whiten.at[place].set(rows, mode="drop"),
    num=process.num + jnp.sum(keep, dtype=jnp.int32),
  )


def forget(process: GaussianProcess, forgets: jax.Array) -> GaussianProcess:
  """Drops all observations where `forgets: bool[]` holds."""
  return process._replace(
    whiten=jnp.where(forgets, 0.0, process.whiten),
    num=jnp.where(forgets, 0, process.num),
  )


def scaled(params: Params, relevance: relevance_lib.Relevance) -> Params:
  """Hyper-parameters with learned scales in the place of the given ones."""
  theta, noise = relevance_lib.scales(
    relevance, params.inverse_lengthscale, params.noise
  )
  return params._replace(inverse_lengthscale=theta, noise=noise)


def with_scales(
  process: GaussianProcess, relevance: relevance_lib.Relevance, params: Params
) -> GaussianProcess:
  """The same observations under learned scales, factorized anew.

  Args:
    process: the observations.
    relevance: what was learned.
    params: around which it was learned.
  """
  params = scaled(params, relevance)
  process = process._replace(params=params)
  eye = jnp.eye(len(process.archs), dtype=jnp.float32)
  known = used(process)
  covariance = jnp.where(known[:, None], kernel(process, process.archs), 0.0)
  covariance += jnp.where(known, params.noise, 1.0)[None] * eye
  whiten = jax.scipy.linalg.solve_triangular(
    jnp.linalg.cholesky(covariance), eye, lower=True
  )
  return process._replace(whiten=jnp.where(known[:, None], whiten, 0.0))


def scale_gradient(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """`relevance.gradient` at the scales of a process, for targets `f32[M]`.

  From the first `relevance.MAX_ROWS` observations alone: the cost is cubic, and
  so many say enough of so few numbers.
  """
  rows = min(len(process.archs), relevance_lib.MAX_ROWS)
  process = process._replace(
    archs=process.archs[:rows],
    # Lower triangular: its corner belongs to the first rows.
    whiten=process.whiten[:rows, :rows],
    num=jnp.minimum(process.num, rows),
  )
  params, num_views = process.params, process.archs.shape[1]
  share = params.canonical_share if num_views > 1 else jnp.float32(0.0)
  shares = (1 - share, share)[:num_views]
  views = [process.archs[:, view] for view in range(num_views)]
  parts = tuple(
    (weight * _sharp_kernel(params, archs, archs), archs)
    for weight, archs in zip(shares, views, strict=True)
  )
  return relevance_lib.gradient(
    process.whiten,
    solve(process, targets[:rows, None])[:, 0],
    parts,
    params.inverse_lengthscale,
    params.noise,
    used(process),
  )


def solve(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """Solves for the mean: `(K + noise I)^-1 targets`, `f32[M, H]` both."""
  targets = jnp.where(used(process)[:, None], targets, 0.0)
  whitened = jnp.matmul(process.whiten, targets, precision=_PRECISION)
  return jnp.matmul(process.whiten.T, whitened, precision=_PRECISION)


def _correlations(params: Params, options: jax.Array) -> jax.Array:
  if params.correlations is not None:
    return params.correlations
  return hamming_correlations(params.inverse_lengthscale, *options.shape[-2:])


def _sharp_kernel(params: Params, x: Archs, y: Archs) -> jax.Array:
  """The product kernel, `int32[P, L], int32[Q, L] -> f32[P, Q]`."""
  if params.correlations is None:
    theta = params.inverse_lengthscale
    if jnp.ndim(theta):
      return jnp.exp(-hamming(x, y, theta) / x.shape[-1])
    return jnp.exp(-theta / x.shape[-1] * hamming(x, y))
  # Correlations are positive, so one product of matrices serves all variables.
  num_options = params.correlations.shape[-1]
  left = jax.nn.one_hot(x, num_options, dtype=jnp.float32)
  right = jax.nn.one_hot(y, num_options, dtype=jnp.float32)
  left = jnp.einsum(
    "plj,ljk->plk", left, jnp.log(params.correlations), precision=_PRECISION
  )
  left, right = left.reshape(len(x), -1), right.reshape(len(y), -1)
  return jnp.exp(jnp.matmul(left, right.T, precision=_PRECISION))
