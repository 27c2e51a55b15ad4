"""The Gaussian process itself: kernel, factorization, solves, as functions.

See `gaussian_process`, which makes a surrogate of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax.transfer.base import hamming_correlations
from nagjax.transfer.base import product_kernel
from nagjax.types import Archs

_PRECISION = jax.lax.Precision.HIGHEST

_FEW_LABELS = 16
"""So many are compared one by one in a fused pass, twice as fast on a CPU as a
product of such narrow matrices; more would take long to compile."""
_FEW_OPTIONS = 64
"""Of all variables together; the same for their correlations."""


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary; the prior variance is 1.

  Attributes:
    inverse_lengthscale: `f32[]` `theta` of the Hamming kernel.
    noise: `f32[]` variance of the observations.
    canonical_share: `f32[]` of what the product kernel explains.
    count_share: `f32[]` of the prior variance; None for 0.
    count_decay: `f32[]` of the kernel of the counts.
    correlations: `f32[L, K, K]` of the options of every variable, positive;
      None for the Hamming kernel, which is quicker in this form.
  """

  inverse_lengthscale: jax.Array
  noise: jax.Array
  canonical_share: jax.Array
  count_share: jax.Array | None
  count_decay: jax.Array
  correlations: jax.Array | None = None


class Inputs(NamedTuple):
  """Architectures as the kernel sees them, sharp or relaxed.

  Attributes:
    archs: `int32[P, V, L]`, and their canonical forms if `V` is 2, or only
      these; relaxed ones are weights of options, `f32[P, V, L, K]`.
    counts: `f32[P, T]` how many nodes of the canonical form's graph have each
      label.
  """

  archs: jax.Array
  counts: jax.Array


class GaussianProcess(NamedTuple):
  """The inputs seen so far and the inverse Cholesky factor of their covariance.

  Attributes:
    inputs: `M` of them as columns, `int32[V, L, M]` and `f32[T, M]`, since
      kernels run over them; the first `num` are in use.
    whiten: `f32[M, M]` lower-triangular `W` with `W (K + noise I) W' = I`.
    num: `int32[]`.
    params: of kernel and noise.

  Example:
    >>> params = Params(*jnp.asarray([3.0, 0.3, 0.7, 0.7, 0.5]))
    >>> archs = jnp.asarray([[[0, 1, 2]], [[0, 1, 1]]])
    >>> seen = Inputs(archs, jnp.asarray([[1.0, 0.0], [0.0, 1.0]]))
    >>> observe = lambda: append(init(4, seen, params), seen, num=2)
    >>> process = jax.jit(observe)()
    >>> int(process.num), jax.eval_shape(used, process).shape
    (2, (4,))
    >>> int(jax.jit(forget)(process, True).num)
    0
  """

  inputs: Inputs
  whiten: jax.Array
  num: jax.Array
  params: Params


def init(capacity: int, inputs: Inputs, params: Params) -> GaussianProcess:
  """Returns a process without observations.

  Args:
    capacity: `M`, how many it may have.
    inputs: any, `f32[P, ...]`, for their shapes.
    params: of kernel and noise.
  """
  return GaussianProcess(
    inputs=jax.tree.map(
      lambda leaf: jnp.zeros((*leaf.shape[1:], capacity), leaf.dtype), inputs
    ),
    whiten=jnp.zeros((capacity, capacity), jnp.float32),
    num=jnp.int32(0),
    params=params,
  )


def kernel(
  process: GaussianProcess, x: Inputs, y: Inputs | None = None
) -> jax.Array:
  """Prior covariance, `f32[P, Q]`.

  Args:
    process: gives the correlations.
    x: `P` architectures.
    y: `Q` others; the inputs seen so far if None, with zeros for unused places.

  Example:
    >>> params = Params(*jnp.asarray([3.0, 0.3, 0.7, 0.7, 0.5]))
    >>> archs = jnp.asarray([[[0, 1]], [[1, 1]]])
    >>> seen = Inputs(archs, jnp.asarray([[1.0], [2.0]]))
    >>> process = jax.eval_shape(lambda: init(4, seen, params))
    >>> jax.eval_shape(kernel, process, seen).shape
    (2, 4)
  """
  params = process.params
  others = process.inputs if y is None else _as_columns(y)
  prior = _mixed(
    params,
    [
      _sharp_kernel(params, x.archs[:, view], others.archs[view])
      for view in range(x.archs.shape[1])
    ],
    _count_kernel(params, x, others),
  )
  return prior if y is not None else jnp.where(used(process)[None], prior, 0.0)


def relaxed_kernel(process: GaussianProcess, x: Inputs) -> jax.Array:
  """`kernel` to the inputs seen so far of relaxed ones, `f32[G, M]`.

  `kernel` where weights are one-hot. The product is linear in the weights of
  each variable.

  Example:
    >>> params = Params(*jnp.asarray([3.0, 0.3, 0.7, 0.7, 0.5]))
    >>> archs, counts = jnp.ones((2, 1, 3), int), jnp.ones((2, 5))
    >>> process = jax.eval_shape(lambda: init(4, Inputs(archs, counts), params))
    >>> x = Inputs(jnp.ones((7, 1, 3, 2)), jnp.ones((7, 5)))
    >>> jax.eval_shape(relaxed_kernel, process, x).shape
    (7, 4)
    >>> jax.eval_shape(relaxed_variance, process, x).shape
    (7,)
  """
  params = process.params
  matrices = _correlations(params, x.archs)
  inputs = jax.nn.one_hot(
    jnp.swapaxes(process.inputs.archs, 1, 2),
    x.archs.shape[-1],
    dtype=jnp.float32,
  )
  prior = _mixed(
    params,
    [
      product_kernel(matrices, x.archs[:, view], inputs[view])
      for view in range(x.archs.shape[1])
    ],
    _count_kernel(params, x, process.inputs),
  )
  return jnp.where(used(process)[None], prior, 0.0)


def relaxed_variance(process: GaussianProcess, x: Inputs) -> jax.Array:
  """Prior variance of relaxed architectures, `f32[G]`."""
  matrices = _correlations(process.params, x.archs)
  each = jnp.einsum(
    "gvlj,ljk,gvlk->vgl", x.archs, matrices, x.archs, precision=_PRECISION
  )
  products = jnp.prod(each, axis=-1)
  return _mixed(process.params, products, jnp.float32(1.0))


def used(process: GaussianProcess) -> jax.Array:
  """Which of the `M` places hold an observation, `bool[M]`."""
  return jnp.arange(process.whiten.shape[0]) < process.num


def append(
  process: GaussianProcess, inputs: Inputs, num: ArrayLike
) -> GaussianProcess:
  """Observes the first `num` of `B` inputs.

  Others are ignored, and so is what exceeds the capacity.
  """
  capacity, size = process.whiten.shape[0], inputs.archs.shape[0]
  place = process.num + jnp.arange(size)
  keep = (jnp.arange(size) < num) & (place < capacity)
  place = jnp.where(keep, place, capacity)
  cross = kernel(process, inputs)
  cross = jnp.matmul(cross, process.whiten.T, precision=_PRECISION)
  cross = jnp.where(keep[:, None], cross, 0.0)
  eye = jnp.eye(size, dtype=jnp.float32)  # Also in a process of 64 bits.
  own = kernel(process, inputs, inputs) + process.params.noise * eye
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
    inputs=jax.tree.map(
      lambda old, new: old.at[..., place].set(new, mode="drop"),
      process.inputs,
      _as_columns(inputs),
    ),
    whiten=process.whiten.at[place].set(rows, mode="drop"),
    num=process.num + jnp.sum(keep, dtype=jnp.int32),
  )


def forget(process: GaussianProcess, forgets: jax.Array) -> GaussianProcess:
  """Drops all observations where `forgets: bool[]` holds."""
  return process._replace(
    whiten=jnp.where(forgets, 0.0, process.whiten),
    num=jnp.where(forgets, 0, process.num),
  )


def solve(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """Solves for the mean: `(K + noise I)^-1 targets`, `f32[M, H]` both.

  Example:
    >>> params = Params(*jnp.asarray([3.0, 0.3, 0.7, 0.7, 0.5]))
    >>> archs, counts = jnp.ones((2, 1, 3), int), jnp.ones((2, 5))
    >>> process = jax.eval_shape(lambda: init(4, Inputs(archs, counts), params))
    >>> jax.eval_shape(solve, process, jnp.ones((4, 2))).shape
    (4, 2)
  """
  targets = jnp.where(used(process)[:, None], targets, 0.0)
  whitened = jnp.matmul(process.whiten, targets, precision=_PRECISION)
  return jnp.matmul(process.whiten.T, whitened, precision=_PRECISION)


def log_likelihood(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """Of targets `f32[M, H]`, marginal and up to constants, `f32[H]`.

  Example:
    >>> params = Params(*jnp.asarray([3.0, 0.3, 0.7, 0.7, 0.5]))
    >>> archs, counts = jnp.ones((2, 1, 3), int), jnp.ones((2, 5))
    >>> process = jax.eval_shape(lambda: init(4, Inputs(archs, counts), params))
    >>> jax.eval_shape(log_likelihood, process, jnp.ones((4, 2))).shape
    (2,)
    >>> jax.eval_shape(log_determinant, process).shape
    ()
  """
  targets = jnp.where(used(process)[:, None], targets, 0.0)
  whitened = jnp.matmul(process.whiten, targets, precision=_PRECISION)
  return log_determinant(process) - 0.5 * jnp.sum(whitened**2, axis=0)


def log_determinant(process: GaussianProcess) -> jax.Array:
  """Of `W`, which is minus half that of the covariance, `f32[]`."""
  diagonal = jnp.where(used(process), jnp.diagonal(process.whiten), 1.0)
  return jnp.sum(jnp.log(diagonal))


def _as_columns(inputs: Inputs) -> Inputs:
  return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), inputs)


def _correlations(params: Params, options: jax.Array) -> jax.Array:
  if params.correlations is not None:
    return params.correlations
  return hamming_correlations(params.inverse_lengthscale, *options.shape[-2:])


def _mixed(
  params: Params, products: Sequence[jax.Array] | jax.Array, counts: jax.Array
) -> jax.Array:
  """Shares out the variance among product kernels and that of the counts."""
  prior = products[0]
  if len(products) > 1:
    prior += params.canonical_share * (products[1] - prior)
  if params.count_share is None:
    return prior
  return prior + params.count_share * (counts - prior)


def _count_kernel(params: Params, x: Inputs, y: Inputs) -> jax.Array:
  """`exp(-decay |n(x) - n(y)|^2 / (2 L))` of `P` rows and `Q` columns.

  Where every option has a label of its own it is a Hamming kernel again.
  """
  if x.counts.shape[1] <= _FEW_LABELS:
    distance = jnp.zeros((x.counts.shape[0], y.counts.shape[1]), jnp.float32)
    for label in range(x.counts.shape[1]):
      distance += (x.counts[:, label][:, None] - y.counts[label][None]) ** 2
  else:
    cross = jnp.matmul(x.counts, y.counts, precision=_PRECISION)
    own = jnp.sum(x.counts**2, axis=-1), jnp.sum(y.counts**2, axis=0)
    distance = jnp.maximum(own[0][:, None] + own[1][None] - 2 * cross, 0.0)
  return jnp.exp(-params.count_decay / (2 * y.archs.shape[1]) * distance)


def _sharp_kernel(params: Params, x: Archs, y: Archs) -> jax.Array:
  """The product kernel, `int32[P, L], int32[L, Q] -> f32[P, Q]`."""
  num_variables, ones = len(y), jnp.ones((len(x), y.shape[1]), jnp.float32)
  if params.correlations is None:
    # A product of choices is twice as fast as the exponential of a sum.
    apart = jnp.exp(-params.inverse_lengthscale / num_variables)
    prior = ones
    for v in range(num_variables):
      prior *= jnp.where(x[:, v][:, None] == y[v][None], 1.0, apart)
    return prior
  num_options = params.correlations.shape[-1]
  rows = params.correlations[jnp.arange(num_variables)[None], x]
  if num_variables * num_options <= _FEW_OPTIONS:
    prior = ones
    for v in range(num_variables):
      factor = rows[:, v, 0][:, None]
      for k in range(1, num_options):
        factor = jnp.where(y[v][None] == k, rows[:, v, k][:, None], factor)
      prior *= factor
    return prior
  # Correlations are positive, so one product of matrices serves all variables.
  left = jnp.log(rows).reshape(len(x), -1)
  right = jax.nn.one_hot(y, num_options, axis=1, dtype=jnp.float32)
  right = right.reshape(-1, y.shape[1])
  return jnp.exp(jnp.matmul(left, right, precision=_PRECISION))
