"""A Gaussian process over architectures that grows by blocks inside jit.

Most of the covariance is that of how many operations of each kind a graph has,
`exp(-decay |n(x) - n(y)|^2 / (2 L))`: where an operation stands matters less
than that it is there. The rest is a product over the variables,
`k(x, y) = prod_l R_l[x_l, y_l]` with a correlation matrix `R_l` of the options
of each, which holds interactions of every order, needs no encoding of the
space, and is linear in the weights of each variable's options. By default it is
the Hamming kernel `exp(-theta h / L)`. Canonical forms have a share of their
own, since architectures that compute the same hardly differ in value.

A `Transfer` brings correlations of canonical forms, in the place of all these,
and a mean. With one there are two processes, this and the one without, and what
was observed decides between them: a search whose table the sources do not
resemble comes back to its own.

What else is learned may be a limit, such as a latency, and dead operations cost
time as living ones do. Where there is such a head, a process that sees vectors
alone and counts their operations stands beside this one, and the evidence of
each head decides between them.

A block of new rows costs `O(B M^2)`.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter
2 and appendix A.3 (block inverse of the Cholesky factor).
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import math
from typing import Any
from typing import Literal
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.archive import Archive
from nagjax.spaces import generic
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import averaging
from nagjax.surrogates import base
from nagjax.surrogates import process as process_lib
from nagjax.surrogates import trend as trend_lib
from nagjax.surrogates.process import GaussianProcess
from nagjax.surrogates.process import Params
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import check_fits
from nagjax.transfer.base import favorites
from nagjax.transfer.base import hamming_correlations
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Prediction

_PRECISION = jax.lax.Precision.HIGHEST

_LEAST_CORRELATION = 1e-3

_Shown = Literal["both", "forms", "vectors"]


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options, from which the default `Params` are made.

  Attributes:
    inverse_lengthscale: `theta` of the Hamming kernel, the decay of the
      correlation over a whole vector.
    noise: see `Params`. Transferred correlations explain more and bring the
      noise that they were learned with.
    canonical_share: of what the product kernel explains, that of canonical
      forms. Spaces whose vectors are all their own canonical form are not
      changed by it.
    count_share: of the prior variance, that of the counts of operations.
    count_decay: of the correlation with the squared distance of the counts, of
      which a change in every variable at random is about `2 L`.
    trust: share of transferred correlations, the rest being the Hamming kernel.
    disbelief: prior probability that the sources of a transfer say nothing.
    num_favorites: architectures of the best transferred means that are
      candidates in every round.
    trend: how a transferred mean is believed, if it is.
  """

  inverse_lengthscale: float = 3.0
  noise: float = 0.3
  canonical_share: float = 0.7
  count_share: float = 0.7
  count_decay: float = 0.5
  trust: float = 0.7
  disbelief: float = 0.1
  num_favorites: int = 128
  trend: trend_lib.Config = trend_lib.Config()

  def __post_init__(self) -> None:
    checks.positive(self, "inverse_lengthscale", "noise", "count_decay")
    checks.sizes(self, num_favorites=0)
    for name in ("canonical_share", "count_share", "trust"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f"{name} must be between 0 and 1, got {getattr(self, name)}."
        )
    if not 0 < self.disbelief < 1:
      raise ValueError(
        f"disbelief must be between 0 and 1, neither included, got "
        f"{self.disbelief}."
      )


TINY = Config()
"""Options for tests of the contract."""


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

  Args:
    space: the space.
    config: options.
    num_constraints: violations that are learned.
    archive_size: rows of the archive, `M`.
    transfers: what was learned on other tables of the space.

  Raises:
    ValueError: if a transfer is of another space.

  Example:
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> surrogate = gaussian_process(space, archive_size=8)
    >>> key, archs = jax.random.key(0), jnp.asarray([[0, 1, 2], [3, 3, 0]])
    >>> state = jax.eval_shape(surrogate.init, key, surrogate.params)
    >>> jax.eval_shape(surrogate.predict, state, archs).mean.shape
    (2,)
  """
  config = config or Config()
  check_fits(transfers, space)
  build = functools.partial(
    _process, space, config, num_constraints, archive_size
  )
  found: base.Surrogate[Any, Any] = build("both")
  if num_constraints and _identifies(space):
    found = averaging.average(
      found,
      build("vectors"),
      _log_evidence,
      [0.0] * (1 + num_constraints),
    )
  if transfers:
    log_odds = math.log1p(-config.disbelief) - math.log(config.disbelief)
    found = averaging.average(
      found,
      build("forms", tuple(transfers)),
      _log_evidence,
      [log_odds] + [-math.inf] * num_constraints,
    )
  return found


def _process(
  space: SearchSpace,
  config: Config,
  num_constraints: int,
  archive_size: int,
  shown: _Shown,
  transfers: tuple[Transfer, ...] = (),
) -> base.Surrogate[State, Params]:
  """One process; see `gaussian_process` and `_views` for the arguments."""
  views = _views(space, shown)
  noise = config.noise
  if transfers:
    noise = float(np.mean([each.noise for each in transfers]))
  prior = trend_lib.prior(space, transfers, config.trend) if transfers else None
  relaxed_views = _relaxed_views(space, shown)
  example = views(jnp.zeros((1, space.num_variables), jnp.int32))

  def init_state(key: Key, params: Params) -> State:
    del key
    return State(
      process_lib.init(archive_size, example, params),
      jnp.zeros((archive_size, 1 + num_constraints), jnp.float32),
      None if prior is None else trend_lib.empty(prior, archive_size),
    )

  def condition(state: State, archive: Archive, num_new: int) -> State:
    # An archive that has shrunk was forgotten.
    process = process_lib.forget(state.process, archive.num < state.process.num)
    rows = process.num + jnp.arange(min(num_new, archive_size))
    inside = jnp.minimum(rows, archive_size - 1)
    process = process_lib.append(
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
      return state._replace(weights=process_lib.solve(process, targets))
    trend = trend_lib.fit(
      prior,
      process.whiten,
      archive.archs,
      targets[:, 0],
      process_lib.used(process),
    )
    rest = targets.at[:, 0].add(-trend.fitted)
    return state._replace(weights=process_lib.solve(process, rest), trend=trend)

  def predict(state: State, archs: Archs) -> Prediction:
    cross = process_lib.kernel(state.process, views(archs))
    found = _posterior(state, cross, jnp.ones(cross.shape[0], jnp.float32))
    if prior is None:
      return found
    assert state.trend is not None
    return trend_lib.add(
      found, state.trend, trend_lib.features(prior, state.trend, archs), cross
    )

  def relaxed(state: State, options: jax.Array) -> Prediction:
    both = relaxed_views(options)
    cross = process_lib.relaxed_kernel(state.process, both)
    variance = process_lib.relaxed_variance(state.process, both)
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
      jnp.float32(config.inverse_lengthscale),
      jnp.float32(noise),
      jnp.float32(config.canonical_share),
      None if transfers else jnp.float32(config.count_share),
      jnp.float32(config.count_decay),
      _transferred(space, config, transfers),
    ),
    favorites=_favorites(space, config, transfers),
  )


def _log_evidence(
  state: State | averaging.State, archive: Archive
) -> jax.Array:
  """Log marginal likelihoods `f32[1 + C]`, up to constants."""
  if isinstance(state, averaging.State):
    return state.log_evidence
  found = process_lib.log_likelihood(state.process, archive.targets)
  if state.trend is None:
    return found
  determinant = process_lib.log_determinant(state.process)
  return found.at[0].set(state.trend.log_likelihood + determinant)


def _transferred(
  space: SearchSpace, config: Config, transfers: Sequence[Transfer]
) -> jax.Array | None:
  """The mean of transferred correlations, mixed with Hamming ones."""
  if not transfers:
    return None
  given = np.mean([each.correlations for each in transfers], axis=0)
  own = hamming_correlations(
    config.inverse_lengthscale, space.num_variables, space.num_options
  )
  mixed = config.trust * given + (1 - config.trust) * np.asarray(own)
  # The matrix of ones is a correlation too; enough of it makes all
  # positive, whose logarithms the process takes.
  least = mixed.min(axis=(1, 2), keepdims=True)
  share = np.maximum(_LEAST_CORRELATION - least, 0) / (1 - least)
  return jnp.asarray((1 - share) * mixed + share, jnp.float32)


def _views(
  space: SearchSpace, shown: _Shown
) -> Callable[[Archs], process_lib.Inputs]:
  """`int32[P, L]` architectures as the kernel sees them.

  Args:
    space: the space; its vectors are their own forms if it identifies nothing.
    shown: vectors, their canonical forms or both; operations are counted in
      the forms unless only vectors are shown.
  """

  def views(archs: Archs) -> process_lib.Inputs:
    forms = archs if shown == "vectors" else space.canonicalize(archs)
    seen = [forms]
    if _identifies(space) and shown == "both":
      seen = [archs, forms]
    return process_lib.Inputs(
      jnp.stack(seen, axis=1), _counts(space.to_graph(forms))
    )

  return views


def _relaxed_views(
  space: SearchSpace, shown: _Shown
) -> Callable[[jax.Array], process_lib.Inputs]:
  """`f32[G, L, K]` weights as the kernel sees them.

  The canonical form is that of the options of most weight: a mixture has none.
  Its derivative is that of the weights, as if they were their own form
  (straight through).
  """

  def relaxed(options: jax.Array) -> process_lib.Inputs:
    counts = _counts(space.to_soft_graph(options))
    soft = options[:, None]
    if shown == "vectors" or not _identifies(space):
      return process_lib.Inputs(soft, counts)
    sharp = _views(space, shown)(jnp.argmax(options, axis=-1).astype(jnp.int32))
    forms = space.one_hot(sharp.archs[:, -1:])
    forms += soft - jax.lax.stop_gradient(soft)
    counts = sharp.counts + (counts - jax.lax.stop_gradient(counts))
    both = [soft, forms][-sharp.archs.shape[1] :]
    return process_lib.Inputs(jnp.concatenate(both, axis=1), counts)

  return relaxed


def _identifies(space: SearchSpace) -> bool:
  return space.canonicalize is not generic.canonicalize


def _counts(graph: Graph) -> jax.Array:
  """How many nodes have each label, `f32[P, T]`."""
  # Node by node it is one fused pass; a reduction would not vectorize.
  total = jnp.zeros((), jnp.float32)
  for node in range(graph.nodes.shape[-2]):
    total += graph.nodes[..., node, :]
  return total


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
