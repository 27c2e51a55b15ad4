"""Transferred means as a linear trend under a process.

The objective is `a + b m(x) + g(x)` with the transferred mean `m` and a process
`g` of variance `s`. How much the sources leave unexplained (`s`) are
hypotheses, weighed by the marginal likelihood of what was observed. Given one,
`a` and `b` are normal and everything is in closed form; all share the
factorization of the process, so they cost next to nothing. Predictions are the
mean and the variance of the mixture.

Several transfers are several `m`. Each is measured from its average over the
observations, since targets are scores among these.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section
2.7 (explicit basis functions).
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.spaces.base import SearchSpace
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import mean_of
from nagjax.transfer.base import product_kernel
from nagjax.types import Archs
from nagjax.types import Prediction

_PRECISION = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    amplitudes: variances of the process, equally probable.
    offset_std: prior deviation of `a`, around 0.
    slope_std: prior deviation of `b`, around 1 (shared out among the sources).
  """

  amplitudes: tuple[float, ...] = (1.0, 0.3, 0.1)
  offset_std: float = 1.0
  slope_std: float = 0.5

  def __post_init__(self) -> None:
    checks.positive(self, "offset_std", "slope_std")
    if not self.amplitudes or not all(a > 0 for a in self.amplitudes):
      raise ValueError(
        f"amplitudes must be positive numbers, got {self.amplitudes}."
      )


class Prior(NamedTuple):
  """What is believed before anything was observed, `H` hypotheses.

  Attributes:
    space: the space.
    transfers: whose means are the trend.
    amplitudes: `f32[H]`, equally probable.
    mean: `f32[F]` of the coefficients, `F = 1 + S`.
    std: `f32[F]` their deviations.
  """

  space: SearchSpace
  transfers: tuple[Transfer, ...]
  amplitudes: jax.Array
  mean: jax.Array
  std: jax.Array

  @property
  def relaxes(self) -> bool:
    """Whether relaxed architectures have a transferred mean."""
    return all(each.support is not None for each in self.transfers)


class Trend(NamedTuple):
  """What was learned of it.

  Attributes:
    center: `f32[S]` averages of the transferred means over the observations.
    coefficients: `f32[F]`.
    covariance: `f32[F, F]` of the coefficients, over all hypotheses.
    amplitude: `f32[]` expected variance of the process.
    solved: `f32[M, F]` solves of the process for the observed features.
    fitted: `f32[M]` the trend at the observations, 0 where unused.
    weights: `f32[H]` posterior probabilities of the hypotheses.
    log_likelihood: `f32[]` of the targets, over all hypotheses, up to the
      process's determinant and a constant.
  """

  center: jax.Array
  coefficients: jax.Array
  covariance: jax.Array
  amplitude: jax.Array
  solved: jax.Array
  fitted: jax.Array
  weights: jax.Array
  log_likelihood: jax.Array


def prior(
  space: SearchSpace, transfers: Sequence[Transfer], config: Config
) -> Prior:
  """The hypotheses about transfers.

  Example:
    >>> space, flat = SearchSpace("mine", (2, 2)), np.ones((2, 2, 2))
    >>> known = Transfer("mine", flat, 0.3, np.arange(4.0), None, ())
    >>> hypotheses = prior(space, [known], Config())
    >>> view = lambda archs: features(hypotheses, empty(hypotheses, 8), archs)
    >>> jax.jit(view)(jnp.asarray([[0, 1], [1, 1]])).tolist()
    [[1.0, 2.0], [1.0, 3.0]]
  """
  num = len(transfers)
  slopes = [1.0 / num] * num
  stds = [config.offset_std] + [config.slope_std / num**0.5] * num
  return Prior(
    space,
    tuple(transfers),
    jnp.asarray(config.amplitudes, jnp.float32),
    jnp.asarray([0.0, *slopes], jnp.float32),
    jnp.asarray(stds, jnp.float32),
  )


def empty(prior: Prior, size: int) -> Trend:
  """A trend that nothing was fitted to."""
  num_features = len(prior.mean)
  return Trend(
    jnp.zeros(num_features - 1, jnp.float32),
    jnp.zeros(num_features, jnp.float32),
    jnp.zeros((num_features, num_features), jnp.float32),
    jnp.float32(1.0),
    jnp.zeros((size, num_features), jnp.float32),
    jnp.zeros(size, jnp.float32),
    jnp.full_like(prior.amplitudes, 1 / len(prior.amplitudes)),
    jnp.float32(0.0),
  )


def fit(
  prior: Prior,
  whiten: jax.Array,
  archs: Archs,
  targets: jax.Array,
  used: jax.Array,
) -> Trend:
  """Weighs the hypotheses by what was observed.

  Args:
    prior: the hypotheses.
    whiten: `f32[M, M]` of the process.
    archs: `int32[M, L]` observed.
    targets: `f32[M]`.
    used: `bool[M]` which rows count.

  Example:
    >>> space, flat = SearchSpace("mine", (2, 2)), np.ones((2, 2, 2))
    >>> known = Transfer("mine", flat, 0.3, np.arange(4.0), None, ())
    >>> hypotheses = prior(space, [known], Config())
    >>> learn = lambda *observed: fit(hypotheses, *observed)
    >>> archs, used = jnp.asarray([[0, 1], [1, 1]]), jnp.asarray([True, True])
    >>> whiten, targets = jnp.ones((2, 2)), jnp.ones(2)
    >>> trend = jax.eval_shape(learn, whiten, archs, targets, used)
    >>> trend.coefficients.shape
    (2,)
  """
  means = jnp.where(used[:, None], _means(prior, archs), 0.0)
  count = jnp.maximum(jnp.sum(used, dtype=jnp.float32), 1.0)
  center = jnp.sum(means, axis=0) / count
  observed = jnp.where(used[:, None], _with_one(means - center[None]), 0.0)
  white = jnp.matmul(whiten, observed, precision=_PRECISION)
  target = jnp.where(used, targets, 0.0)
  target = jnp.matmul(whiten, target, precision=_PRECISION)
  num = jnp.sum(used, dtype=jnp.float32)
  mean, std = prior.mean, prior.std
  rest = target - jnp.matmul(white, mean, precision=_PRECISION)

  def one(amplitude: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    scaled = white * (std / jnp.sqrt(amplitude))[None]
    inner = jnp.matmul(scaled.T, scaled, precision=_PRECISION)
    inner += jnp.eye(len(std), dtype=jnp.float32)
    inverse = jnp.linalg.inv(inner)
    gained = scaled.T @ rest / jnp.sqrt(amplitude)
    shift = inverse @ gained
    misfit = jnp.sum(rest**2) / amplitude - gained @ shift
    log_det = jnp.linalg.slogdet(inner)[1] + num * jnp.log(amplitude)
    covariance = std[:, None] * inverse * std[None]
    return mean + std * shift, covariance, -0.5 * (misfit + log_det)

  coefficients, covariances, evidence = jax.vmap(one)(prior.amplitudes)
  weights = jax.nn.softmax(evidence)
  average = weights @ coefficients
  apart = coefficients - average[None]
  spread = covariances + apart[:, :, None] * apart[:, None, :]
  return Trend(
    center=center,
    coefficients=average,
    covariance=jnp.sum(weights[:, None, None] * spread, axis=0),
    amplitude=weights @ prior.amplitudes,
    solved=jnp.matmul(whiten.T, white, precision=_PRECISION),
    fitted=jnp.matmul(observed, average, precision=_PRECISION),
    weights=weights,
    log_likelihood=jax.nn.logsumexp(evidence) - np.log(len(weights)),
  )


def features(prior: Prior, trend: Trend, archs: Archs) -> jax.Array:
  """One, and every transferred mean from its center, `f32[P, F]`."""
  return _with_one(_means(prior, archs) - trend.center[None])


def relaxed_features(
  prior: Prior, trend: Trend, options: jax.Array
) -> jax.Array:
  """`features` of relaxed architectures `f32[G, L, K]`; see `Prior.relaxes`."""
  means = []
  for transfer in prior.transfers:
    assert transfer.support is not None
    support = prior.space.one_hot(jnp.asarray(transfer.support))
    cross = product_kernel(jnp.asarray(transfer.correlations), options, support)
    mean = jnp.asarray(transfer.mean)
    means.append(jnp.matmul(cross, mean, precision=_PRECISION))
  return _with_one(jnp.stack(means, axis=-1) - trend.center[None])


def add(
  prediction: Prediction, trend: Trend, features: jax.Array, cross: jax.Array
) -> Prediction:
  """Adds the trend to the prediction of the process alone.

  Args:
    prediction: of the process fitted to what the trend leaves.
    trend: what was learned.
    features: `f32[P, F]` of the architectures.
    cross: `f32[P, M]` their prior covariance with the observations.
  """
  mean = jnp.matmul(features, trend.coefficients, precision=_PRECISION)
  rest = features - jnp.matmul(cross, trend.solved, precision=_PRECISION)
  spread = jnp.matmul(rest, trend.covariance, precision=_PRECISION) * rest
  variance = trend.amplitude * prediction.std**2 + jnp.sum(spread, axis=-1)
  return prediction._replace(
    mean=prediction.mean + mean, std=jnp.sqrt(jnp.maximum(variance, 1e-6))
  )


def _means(prior: Prior, archs: Archs) -> jax.Array:
  means = [mean_of(each, prior.space, archs) for each in prior.transfers]
  return jnp.stack(means, axis=-1)


def _with_one(means: jax.Array) -> jax.Array:
  return jnp.pad(means, ((0, 0), (1, 0)), constant_values=1.0)
