"""The exact likelihood of a product kernel over a whole enumerable table.

On a full grid of architectures the covariance is a Kronecker product, `K = s
(R_1 x ... x R_L + n I)`, so six eigendecompositions of 5 x 5 matrices replace
one of 15,625 x 15,625. With `R_l = V_l diag(w_l) V_l'`, `lambda = w_1 x ... x
w_L + n` and `u = (V_1 x ... x V_L)' z`, the negative log likelihood of a row is
`(log mean(u^2 / lambda) + mean log lambda) / 2` up to a constant, with the
amplitude `s` at its maximum.

Saatci, "Scalable inference for structured Gaussian process models", 2012,
chapter 5. The correlations are those of Pelamatti et al., "Efficient global
optimization of constrained mixed variable problems", 2019, without their
angles: each is `A A'` scaled to a unit diagonal.
"""

from collections.abc import Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

JITTER = 1e-4
"""Keeps `A A'` positive definite."""

_PRECISION = jax.lax.Precision.HIGHEST


class Spectrum(NamedTuple):
  """Eigendecomposition of a covariance over the grid, without its amplitude.

  Attributes:
    vectors: for every variable, `f32[C_l, C_l]`.
    eigenvalues: for every variable, `f32[C_l]`.
    products: `f32[C_1, ..., C_L]` eigenvalues of the product of correlations.
    values: the same with the noise added, `lambda`.
  """

  vectors: tuple[jax.Array, ...]
  eigenvalues: tuple[jax.Array, ...]
  products: jax.Array
  values: jax.Array


def correlation(factor: jax.Array) -> jax.Array:
  """`D (A A' + JITTER I) D` with unit diagonal, `f32[..., C, C]` of `A`."""
  size = factor.shape[-1]
  product = jnp.matmul(
    factor, jnp.swapaxes(factor, -1, -2), precision=_PRECISION
  )
  jitter = jnp.broadcast_to(JITTER * jnp.eye(size), product.shape)
  product = product + jitter
  scale = jax.lax.rsqrt(jnp.diagonal(product, axis1=-2, axis2=-1))
  return product * scale[..., :, None] * scale[..., None, :]


def decompose(correlations: Sequence[jax.Array], noise: jax.Array) -> Spectrum:
  """The spectrum for correlations `f32[C_l, C_l]` and a noise ratio `f32[]`."""
  pairs = [jnp.linalg.eigh(matrix) for matrix in correlations]
  # Rounding may leave tiny negative eigenvalues.
  eigenvalues = tuple(jnp.maximum(values, 0.0) for values, _ in pairs)
  products = _outer(eigenvalues)
  vectors = tuple(vectors for _, vectors in pairs)
  return Spectrum(vectors, eigenvalues, products, products + noise)


def negative_log_likelihood(
  spectrum: Spectrum, targets: jax.Array
) -> jax.Array:
  """Per row, without the constant `(1 + log 2 pi) / 2`, amplitude at its best.

  Args:
    spectrum: of the covariance.
    targets: `f32[C_1, ..., C_L]`.
  """
  rotated = _rotate(spectrum, targets)
  amplitude = jnp.mean(rotated**2 / spectrum.values)
  return 0.5 * (jnp.log(amplitude) + jnp.mean(jnp.log(spectrum.values)))


def amplitude(spectrum: Spectrum, targets: jax.Array) -> jax.Array:
  """The amplitude `s` of greatest likelihood, `f32[]`."""
  return jnp.mean(_rotate(spectrum, targets) ** 2 / spectrum.values)


def posterior_mean(spectrum: Spectrum, targets: jax.Array) -> jax.Array:
  """The mean at every row given all of them, `f32[C_1, ..., C_L]`."""
  shrunk = _rotate(spectrum, targets) * spectrum.products / spectrum.values
  return _apply(spectrum.vectors, shrunk)


def leave_one_out(spectrum: Spectrum, targets: jax.Array) -> jax.Array:
  """The mean at every row given all others, `f32[C_1, ..., C_L]`.

  `z_i - a_i / [K^-1]_ii` with `a = K^-1 z`; Rasmussen and Williams, equation
  5.12.
  """
  solved = _rotate(spectrum, targets) / spectrum.values
  solved = _apply(spectrum.vectors, solved)
  squares = tuple(vectors**2 for vectors in spectrum.vectors)
  return targets - solved / _apply(squares, 1.0 / spectrum.values)


def gradients(
  spectrum: Spectrum, targets: jax.Array
) -> tuple[list[jax.Array], jax.Array]:
  """Derivatives of `negative_log_likelihood` without those of eigenvectors.

  Eigenvectors of equal eigenvalues have no derivative; the likelihood has.

  Args:
    spectrum: of the covariance.
    targets: `f32[C_1, ..., C_L]`.

  Returns:
    For every correlation its derivative, and `f32[]` that by the noise.
  """
  rotated = _rotate(spectrum, targets)
  scale = jnp.mean(rotated**2 / spectrum.values)
  solved = rotated / spectrum.values
  by_correlation = []
  for axis, vectors in enumerate(spectrum.vectors):
    size = len(vectors)
    ones = jnp.ones(size)
    others = _outer(
      [ones if i == axis else v for i, v in enumerate(spectrum.eigenvalues)]
    )
    trace = _rows(others / spectrum.values, axis).sum(axis=1)
    data = jnp.matmul(
      _rows(solved, axis), _rows(solved * others, axis).T, precision=_PRECISION
    )
    inner = jnp.diag(trace) - data / scale
    by_correlation.append(vectors @ inner @ vectors.T / (2 * targets.size))
  by_noise = jnp.sum(1.0 / spectrum.values) - jnp.sum(solved**2) / scale
  return by_correlation, by_noise / (2 * targets.size)


def _outer(values: Sequence[jax.Array]) -> jax.Array:
  """Outer product of vectors, `f32[C_1, ..., C_L]`."""
  return functools.reduce(jnp.multiply.outer, values)


def _rows(grid: jax.Array, axis: int) -> jax.Array:
  """The grid with one axis first and the others flat, `f32[C_l, -1]`."""
  return jnp.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)


def _rotate(spectrum: Spectrum, grid: jax.Array) -> jax.Array:
  return _apply(tuple(v.T for v in spectrum.vectors), grid)


def _apply(matrices: Sequence[jax.Array], grid: jax.Array) -> jax.Array:
  """`(M_1 x ... x M_L) grid`, one contraction for every axis."""
  for axis, matrix in enumerate(matrices):
    grid = jnp.moveaxis(
      jnp.tensordot(matrix, grid, axes=(1, axis), precision=_PRECISION),
      0,
      axis,
    )
  return grid
