"""A Gaussian process over architectures that grows by blocks inside jit.

The kernel is `k(x, y) = exp(-theta h / L)` with the Hamming distance `h` and
the inverse lengthscale `theta`: a product over the variables, so it holds
interactions of every order, needs no encoding of the space, and is linear in
the weights of each variable's options, so that relaxed architectures have it
too. Kernel and noise are fixed, so the factorization does not depend on the
targets, and a block of new rows costs `O(B M^2)`.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter
2 and appendix A.3 (block inverse of the Cholesky factor).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from nagjax import checks
from nagjax.archive import Archive
from nagjax.arrays import hamming
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import base
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Prediction

_PRECISION = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options: the values of the default `Params`, see there."""

  inverse_lengthscale: float = 4.0
  noise: float = 0.1

  def __post_init__(self):
    checks.positive(self, "inverse_lengthscale", "noise")


TINY = Config()
"""Options for tests of the contract."""


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary.

  Attributes:
    inverse_lengthscale: `f32[]` decay of the correlation over a whole vector.
    noise: `f32[]` variance of the observations; the prior variance is 1.
  """

  inverse_lengthscale: jax.Array
  noise: jax.Array


class State(NamedTuple):
  """What the surrogate remembers.

  Attributes:
    process: conditioned on the archive.
    weights: `f32[M, 1 + C]` solves for the means of objective and violations.
  """

  process: "GaussianProcess"
  weights: jax.Array


class GaussianProcess(NamedTuple):
  """The inputs seen so far and the inverse Cholesky factor of their covariance.

  Attributes:
    archs: `int32[M, L]` inputs; the first `num` are in use.
    whiten: `f32[M, M]` lower-triangular `W` with `W (K + noise I) W' = I`.
    num: `int32[]`.
    params: of kernel and noise.
  """

  archs: jax.Array
  whiten: jax.Array
  num: jax.Array
  params: Params


def gaussian_process(
  space: SearchSpace,
  config: Config | None = None,
  num_constraints: int = 0,
  *,
  archive_size: int,
) -> base.Surrogate:
  """Builds the surrogate.

  Constraints share the kernel of the objective.

  Args:
    space: the space.
    config: options.
    num_constraints: violations that are learned.
    archive_size: rows of the archive, `M`.
  """
  config = config or Config()

  def init_state(key: Key, params: Params) -> State:
    del key
    return State(
      init(archive_size, space.num_variables, params),
      jnp.zeros((archive_size, 1 + num_constraints), jnp.float32),
    )

  def condition(state: State, archive: Archive, num_new: int) -> State:
    # An archive that has shrunk was forgotten.
    process = forget(state.process, archive.num < state.process.num)
    rows = process.num + jnp.arange(min(num_new, archive_size))
    inside = jnp.minimum(rows, archive_size - 1)
    process = append(process, archive.archs[inside], archive.num - process.num)
    return state._replace(process=process)

  def fit(key: Key, state: State, archive: Archive) -> State:
    del key
    if archive.targets.shape != state.weights.shape:
      raise ValueError(
        "The process was built for an archive_size and 1 + num_constraints of "
        f"{state.weights.shape}, and the search has {archive.targets.shape}."
      )
    return state._replace(weights=solve(state.process, archive.targets))

  def predict(state: State, archs: Archs) -> Prediction:
    cross = kernel(state.process, archs)
    return _posterior(state, cross, jnp.ones(cross.shape[0], jnp.float32))

  def relaxed(state: State, options: jax.Array) -> Prediction:
    cross = relaxed_kernel(state.process, options)
    return _posterior(state, cross, relaxed_variance(state.process, options))

  return base.Surrogate(
    init=init_state,
    fit=fit,
    predict=predict,
    relaxed=relaxed,
    condition=condition,
    has_members=False,
    params=Params(
      jnp.float32(config.inverse_lengthscale), jnp.float32(config.noise)
    ),
  )


def init(capacity: int, num_variables: int, params: Params) -> GaussianProcess:
  """Returns a process without observations, for up to `capacity` of them."""
  return GaussianProcess(
    archs=jnp.zeros((capacity, num_variables), jnp.int32),
    whiten=jnp.zeros((capacity, capacity), jnp.float32),
    num=jnp.int32(0),
    params=params,
  )


def kernel(
  process: GaussianProcess, x: Archs, y: Archs | None = None
) -> jax.Array:
  """Prior covariance, `int32[P, L], int32[Q, L] -> f32[P, Q]`.

  Args:
    process: gives the lengthscale.
    x: architectures.
    y: others; the inputs seen so far if None, with zeros for unused places.
  """
  decay = -process.params.inverse_lengthscale / x.shape[-1]
  if y is not None:
    return jnp.exp(decay * hamming(x, y))
  prior = jnp.exp(decay * hamming(x, process.archs))
  return jnp.where(used(process)[None], prior, 0.0)


def relaxed_kernel(process: GaussianProcess, options: jax.Array) -> jax.Array:
  """`kernel` to the inputs for weights of options, `f32[G, L, K] -> f32[G, M]`.

  `prod_l (r + (1 - r) u_l[y_l])` with `r = exp(-theta / L)`: linear in the
  weights `u_l` of each variable, and `kernel` where they are one-hot.
  """
  num_variables, num_options = options.shape[-2:]
  ratio = jnp.exp(-process.params.inverse_lengthscale / num_variables)
  inputs = jax.nn.one_hot(process.archs, num_options, dtype=jnp.float32)
  same = jnp.einsum("glk,mlk->lgm", options, inputs)
  prior = jnp.prod(ratio + (1 - ratio) * same, axis=0)
  return jnp.where(used(process)[None], prior, 0.0)


def relaxed_variance(process: GaussianProcess, options: jax.Array) -> jax.Array:
  """Prior variance of relaxed architectures, `f32[G, L, K] -> f32[G]`."""
  ratio = jnp.exp(-process.params.inverse_lengthscale / options.shape[-2])
  same = jnp.sum(options**2, axis=-1)
  return jnp.prod(ratio + (1 - ratio) * same, axis=-1)


def used(process: GaussianProcess) -> jax.Array:
  """Which of the `M` places hold an observation, `bool[M]`."""
  return jnp.arange(process.archs.shape[0]) < process.num


def append(
  process: GaussianProcess, archs: Archs, num: ArrayLike
) -> GaussianProcess:
  """Observes the first `num` of `int32[B, L]` inputs.

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


def solve(process: GaussianProcess, targets: jax.Array) -> jax.Array:
  """Solves for the mean: `(K + noise I)^-1 targets`, `f32[M, H]` both."""
  targets = jnp.where(used(process)[:, None], targets, 0.0)
  whitened = jnp.matmul(process.whiten, targets, precision=_PRECISION)
  return jnp.matmul(process.whiten.T, whitened, precision=_PRECISION)


def _posterior(
  state: State, cross: jax.Array, variance: jax.Array
) -> Prediction:
  """Mean and spread of the function, from its covariances `f32[P, M]`.

  Args:
    state: the fitted surrogate.
    cross: prior covariance with the inputs.
    variance: `f32[P]` prior variance.
  """
  heads = jnp.matmul(cross, state.weights, precision=_PRECISION)
  whitened = jnp.matmul(cross, state.process.whiten.T, precision=_PRECISION)
  rest = variance - jnp.sum(whitened**2, axis=-1)
  return Prediction(
    mean=heads[:, 0],
    std=jnp.sqrt(jnp.maximum(rest, 1e-6)),
    members=None,
    violations=heads[:, 1:],
  )
