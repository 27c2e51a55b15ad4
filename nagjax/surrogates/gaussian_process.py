"""A Gaussian process over architectures that grows by blocks inside jit.

The kernel is a product over the variables, `k(x, y) = prod_l R_l[x_l, y_l]` with
a correlation matrix `R_l` of the options of each: it holds interactions of every
order, needs no encoding of the space, and is linear in the weights of each
variable's options, so that relaxed architectures have it too. By default it is
the Hamming kernel `exp(-theta h / L)`; a `Transfer` brings others, and a mean.
A share of the covariance is that of the canonical forms, since architectures
that compute the same hardly differ in value.

Kernel and noise are fixed during a search, so the factorization does not depend
on the targets, and a block of new rows costs `O(B M^2)`.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter
2 and appendix A.3 (block inverse of the Cholesky factor).
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from nagjax import checks
from nagjax.archive import Archive
from nagjax.spaces import generic
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import base
from nagjax.surrogates import trend as trend_lib
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import favorites
from nagjax.transfer.base import product_kernel
from nagjax.transfer.sources import check_usable
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Prediction

_PRECISION = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options, from which the default `Params` are made.

  Attributes:
    inverse_lengthscale: `theta` of the Hamming kernel, the decay of the
      correlation over a whole vector.
    noise: see `Params`.
    canonical_share: of the prior variance that canonical forms explain. Spaces
      whose vectors are all their own canonical form are not changed by it.
    trust: share of transferred correlations, the rest being the Hamming kernel.
    num_favorites: architectures of the best transferred means that are
      candidates in every round.
    trend: how a transferred mean is believed.
  """

  inverse_lengthscale: float = 3.0
  noise: float = 0.1
  canonical_share: float = 0.7
  trust: float = 0.7
  num_favorites: int = 128
  trend: trend_lib.Config = trend_lib.Config()

  def __post_init__(self):
    checks.positive(self, "inverse_lengthscale", "noise")
    checks.sizes(self, num_favorites=0)
    for name in ("canonical_share", "trust"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f"{name} must be between 0 and 1, got {getattr(self, name)}."
        )


TINY = Config()
"""Options for tests of the contract."""


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary; the prior variance is 1.

  Attributes:
    correlations: `f32[L, K, K]` of the options of every variable.
    noise: `f32[]` variance of the observations.
    canonical_share: `f32[]` of the prior variance.
  """

  correlations: jax.Array
  noise: jax.Array
  canonical_share: jax.Array


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


class State(NamedTuple):
  """What the surrogate remembers.

  Attributes:
    process: conditioned on the archive.
    weights: `f32[M, 1 + C]` solves for the means of objective and violations.
    trend: what was learned of the transferred means; None without them.
  """

  process: GaussianProcess
  weights: jax.Array
  trend: trend_lib.Trend | None


def gaussian_process(
  space: SearchSpace,
  config: Config | None = None,
  num_constraints: int = 0,
  *,
  archive_size: int,
  transfers: Sequence[Transfer] = (),
) -> base.Surrogate:
  """Builds the surrogate.

  Constraints share the kernel of the objective.

  Args:
    space: the space.
    config: options.
    num_constraints: violations that are learned.
    archive_size: rows of the archive, `M`.
    transfers: what was learned on other tables of the space.

  Raises:
    ValueError: if a transfer is of another space.
  """
  config = config or Config()
  check_usable(transfers, space)
  views = _views(space)
  prior = trend_lib.prior(space, transfers, config.trend)
  num_views = views(jnp.zeros((1, space.num_variables), jnp.int32)).shape[1]

  def init_state(key: Key, params: Params) -> State:
    del key
    return State(
      init(archive_size, num_views, space.num_variables, params),
      jnp.zeros((archive_size, 1 + num_constraints), jnp.float32),
      None if prior is None else trend_lib.empty(prior, archive_size),
    )

  def condition(state: State, archive: Archive, num_new: int) -> State:
    # An archive that has shrunk was forgotten.
    process = forget(state.process, archive.num < state.process.num)
    rows = process.num + jnp.arange(min(num_new, archive_size))
    inside = jnp.minimum(rows, archive_size - 1)
    process = append(
      process, views(archive.archs[inside]), archive.num - process.num
    )
    return state._replace(process=process)

  def fit(key: Key, state: State, archive: Archive) -> State:
    del key
    if archive.targets.shape != state.weights.shape:
      raise ValueError(
        "The process was built for an archive_size and 1 + num_constraints of "
        f"{state.weights.shape}, and the search has {archive.targets.shape}."
      )
    process, targets = state.process, archive.targets
    if prior is None:
      return state._replace(weights=solve(process, targets))
    trend = trend_lib.fit(
      prior, process.whiten, archive.archs, targets[:, 0], used(process)
    )
    rest = targets.at[:, 0].add(-trend.fitted)
    return state._replace(weights=solve(process, rest), trend=trend)

  def predict(state: State, archs: Archs) -> Prediction:
    options = space.one_hot(views(archs))
    cross = kernel(state.process, options)
    found = _posterior(state, cross, jnp.ones(cross.shape[0], jnp.float32))
    if prior is None:
      return found
    assert state.trend is not None
    return trend_lib.add(
      found, state.trend, trend_lib.features(prior, state.trend, archs), cross
    )

  def relaxed(state: State, options: jax.Array) -> Prediction:
    # Taken for its own canonical form, as a mixture has none.
    both = jnp.broadcast_to(
      options[:, None], (len(options), num_views, *options.shape[1:])
    )
    cross = kernel(state.process, both)
    variance = relaxed_variance(state.process, options)
    found = _posterior(state, cross, variance)
    if prior is None:
      return found
    assert state.trend is not None
    return trend_lib.add(
      found,
      state.trend,
      trend_lib.relaxed_features(prior, state.trend, options),
      cross,
    )

  return base.Surrogate(
    init=init_state,
    fit=fit,
    predict=predict,
    relaxed=relaxed if prior is None or prior.relaxes else None,
    condition=condition,
    has_members=False,
    params=Params(
      correlations(space, config, transfers),
      jnp.float32(config.noise),
      jnp.float32(config.canonical_share),
    ),
    favorites=_favorites(space, config, transfers),
  )


def hamming_correlations(
  space: SearchSpace, inverse_lengthscale: ArrayLike
) -> jax.Array:
  """`(1 - r) I + r 11'` for every variable, `f32[L, K, K]`.

  With `r = exp(-theta / L)` their product is the Hamming kernel.
  """
  size = space.num_options
  ratio = jnp.exp(-jnp.asarray(inverse_lengthscale) / space.num_variables)
  eye = jnp.eye(size, dtype=jnp.float32)
  matrix = (1 - ratio.astype(jnp.float32)) * eye + ratio.astype(jnp.float32)
  return jnp.broadcast_to(matrix, (space.num_variables, size, size))


def correlations(
  space: SearchSpace, config: Config, transfers: Sequence[Transfer] = ()
) -> jax.Array:
  """Hamming correlations, mixed with the mean of the transferred ones."""
  own = hamming_correlations(space, config.inverse_lengthscale)
  if not transfers:
    return own
  given = np.mean([each.correlations for each in transfers], axis=0)
  given = jnp.asarray(given, jnp.float32)
  return config.trust * given + (1 - config.trust) * own


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
  process: GaussianProcess, x: jax.Array, y: jax.Array | None = None
) -> jax.Array:
  """Prior covariance, `f32[P, V, L, K], f32[Q, V, L, K] -> f32[P, Q]`.

  Args:
    process: gives the correlations.
    x: weights of the options, one-hot for architectures.
    y: others; the inputs seen so far if None, with zeros for unused places.
  """
  params, known = process.params, None
  if y is None:
    y = jax.nn.one_hot(process.archs, x.shape[-1], dtype=jnp.float32)
    known = used(process)[None]
  prior = product_kernel(params.correlations, x[:, 0], y[:, 0])
  if x.shape[1] > 1:
    forms = product_kernel(params.correlations, x[:, 1], y[:, 1])
    prior += params.canonical_share * (forms - prior)
  return prior if known is None else jnp.where(known, prior, 0.0)


def relaxed_variance(process: GaussianProcess, options: jax.Array) -> jax.Array:
  """Prior variance of relaxed architectures, `f32[G, L, K] -> f32[G]`."""
  variance = jnp.einsum(
    "glj,ljk,glk->gl",
    options,
    process.params.correlations,
    options,
    precision=_PRECISION,
  )
  return jnp.prod(variance, axis=-1)


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
  num_options = process.params.correlations.shape[-1]
  options = jax.nn.one_hot(archs, num_options, dtype=jnp.float32)
  cross = kernel(process, options)
  cross = jnp.matmul(cross, process.whiten.T, precision=_PRECISION)
  cross = jnp.where(keep[:, None], cross, 0.0)
  eye = jnp.eye(size, dtype=jnp.float32)  # Also in a process of 64 bits.
  own = kernel(process, options, options) + process.params.noise * eye
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


def _views(space: SearchSpace):
  """`int32[P, L] -> int32[P, V, L]`: architectures and their canonical forms.

  Only architectures where nothing is identified.
  """
  if space.canonicalize is generic.canonicalize:
    return lambda archs: archs[:, None]
  return lambda archs: jnp.stack([archs, space.canonicalize(archs)], axis=1)


def _favorites(
  space: SearchSpace, config: Config, transfers: Sequence[Transfer]
) -> jax.Array | None:
  if not transfers or not config.num_favorites:
    return None
  share = -(-config.num_favorites // len(transfers))
  each = [favorites(transfer, space, share) for transfer in transfers]
  return jnp.asarray(np.concatenate(each))


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
