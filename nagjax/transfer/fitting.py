"""Learns a `Transfer` from tables, by the marginal likelihood.

Values become normal scores, so that any measure of quality will do. On full
tables the likelihood is exact by `kronecker`, on parts of one by a Cholesky
factor over as many rows as are asked for. The correlations of all variables and
the noise are those of greatest likelihood over all sources, each with its
weight; the mean is the weighted sum of the sources' posterior means.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy  # Its part `stats` is slow to import: only as it is used.
from scipy import special

from nagjax import checks
from nagjax.networks import descent
from nagjax.spaces.base import SearchSpace
from nagjax.transfer import kronecker
from nagjax.transfer.base import Transfer
from nagjax.transfer.base import hamming_correlations
from nagjax.transfer.base import product_kernel
from nagjax.transfer.sources import Table
from nagjax.transfer.sources import check_table
from nagjax.transfer.sources import describe

_LEAST_NOISE = 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_steps: of Adam.
    learning_rate: of Adam.
    inverse_lengthscale: of the Hamming kernel where it begins.
    noise: where it begins, in units of the variance of the process.
    max_rows: of a source that is no full table; a random part of a larger one.
      The cost is cubic.
  """

  num_steps: int = 200
  learning_rate: float = 0.03
  inverse_lengthscale: float = 3.0
  noise: float = 0.03
  max_rows: int = 1024

  def __post_init__(self) -> None:
    checks.sizes(self, max_rows=20)
    checks.positive(self, "learning_rate", "inverse_lengthscale", "noise")


class _Params(NamedTuple):
  """What is learned: `A` of every variable `f32[L, K, K]`, and `log n`."""

  factors: jax.Array
  log_noise: jax.Array


def fit(
  tables: Sequence[Table],
  weights: Sequence[float] | None = None,
  config: Config | None = None,
) -> Transfer:
  """Learns from one or several tables of one space.

  Args:
    tables: the sources, see `read_table`.
    weights: positive, one for each; equal by default. Made to sum to 1.
    config: options.

  Raises:
    ValueError: if there is no table, they are of several spaces, one has fewer
      than 20 rows or equal values, or a weight is not positive.

  Example:
    table = transfer.read_table(nagjax.Problem(nagjax.make_benchmark("digits")))
    learned = transfer.fit([table])
    search = nagjax.make_search("ednag", problem, budget=50, transfer=learned)
  """
  config = config or Config()
  tables = list(tables)
  shares = _shares(tables, weights)
  space = tables[0].space
  for table in tables:
    check_table(table)
    if table.space.name != space.name:
      raise ValueError(
        f"All sources must be of one space, got {space.name} and "
        f"{table.space.name}."
      )
  if all(_is_full(table) for table in tables):
    correlations, noise, mean, support = _fit_full(tables, shares, config)
  else:
    correlations, noise, mean, support = _fit_parts(tables, shares, config)
  return Transfer(
    space=space.name,
    correlations=correlations,
    noise=noise,
    mean=mean,
    support=support,
    sources=tuple(map(describe, tables, shares)),
    operations=space.operations,
  )


def likelihood(
  table: Table, learned: Transfer | None = None, config: Config | None = None
) -> float:
  """Negative log likelihood of a row of a table, without the constant.

  Args:
    table: over all rows if it is full, else over the rows that `fit` reads.
    learned: the kernel; that with which `fit` begins if None.
    config: options of `fit`.
  """
  config, space = config or Config(), table.space
  start = _start(space, config)
  if learned is None:
    correlations, noise = kronecker.correlation(start.factors), _noise(start)
  else:
    correlations = jnp.asarray(learned.correlations)
    noise = jnp.asarray(learned.noise, jnp.float32)
  if _is_full(table):
    spectrum = kronecker.decompose(
      _of_variables(correlations, space.cardinalities), noise
    )
    return float(kronecker.negative_log_likelihood(spectrum, _grid(table)))
  archs, scores = _part(table, config.max_rows)
  lower = _factor(correlations, noise, space.one_hot(jnp.asarray(archs)))
  return float(_of_part(lower, jnp.asarray(scores)))


def _fit_full(
  tables: list[Table], shares: list[float], config: Config
) -> tuple[np.ndarray, float, np.ndarray, None]:
  space = tables[0].space
  cards = space.cardinalities
  grids = [_grid(table) for table in tables]

  def loss(params: _Params) -> tuple[jax.Array, jax.Array]:
    matrices = _of_variables(kronecker.correlation(params.factors), cards)
    noise = _noise(params)
    spectrum = kronecker.decompose(
      jax.lax.stop_gradient(matrices), jax.lax.stop_gradient(noise)
    )
    # Linear in the parameters with the gradient of the likelihood: that of the
    # eigenvectors themselves need not exist.
    linear, value = jnp.float32(0.0), jnp.float32(0.0)
    for grid, share in zip(grids, shares, strict=True):
      by_matrix, by_noise = jax.lax.stop_gradient(
        kronecker.gradients(spectrum, grid)
      )
      terms = [
        jnp.sum(g * matrix)
        for g, matrix in zip(by_matrix, matrices, strict=True)
      ]
      linear += share * (sum(terms) + by_noise * noise)
      value += share * kronecker.negative_log_likelihood(spectrum, grid)
    return linear, value

  params = _descend(loss, _start(space, config), config)
  correlations = kronecker.correlation(params.factors)
  noise = _noise(params)
  spectrum = kronecker.decompose(_of_variables(correlations, cards), noise)
  mean = sum(
    share * kronecker.posterior_mean(spectrum, grid)
    for grid, share in zip(grids, shares, strict=True)
  )
  return (
    _padded(correlations, space),
    float(noise),
    # The index of a space counts its first variable fastest.
    np.asarray(mean, np.float32).ravel(order="F"),
    None,
  )


def _fit_parts(
  tables: list[Table], shares: list[float], config: Config
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
  space = tables[0].space
  parts = [_part(table, config.max_rows) for table in tables]
  inputs = [space.one_hot(jnp.asarray(archs)) for archs, _ in parts]
  targets = [jnp.asarray(scores) for _, scores in parts]

  def loss(params: _Params) -> tuple[jax.Array, jax.Array]:
    correlations = kronecker.correlation(params.factors)
    value = jnp.float32(0.0)
    for x, z, share in zip(inputs, targets, shares, strict=True):
      value += share * _of_part(_factor(correlations, _noise(params), x), z)
    return value, value

  params = _descend(loss, _start(space, config), config)
  correlations, noise = kronecker.correlation(params.factors), _noise(params)
  solved = [
    share
    * jax.scipy.linalg.cho_solve((_factor(correlations, noise, x), True), z)
    for x, z, share in zip(inputs, targets, shares, strict=True)
  ]
  return (
    _padded(correlations, space),
    float(noise),
    np.concatenate([np.asarray(each, np.float32) for each in solved]),
    np.concatenate([archs for archs, _ in parts]).astype(np.int32),
  )


def _factor(
  correlations: jax.Array, noise: jax.Array, x: jax.Array
) -> jax.Array:
  """Cholesky factor of the covariance of some rows, without its amplitude."""
  cov = product_kernel(correlations, x, x)
  return jnp.linalg.cholesky(cov + noise * jnp.eye(len(x)))


def _of_part(lower: jax.Array, z: jax.Array) -> jax.Array:
  """`kronecker.negative_log_likelihood` of rows with this Cholesky factor."""
  white = jax.scipy.linalg.solve_triangular(lower, z, lower=True)
  logs = 2 * jnp.mean(jnp.log(jnp.diagonal(lower)))
  return 0.5 * (jnp.log(jnp.mean(white**2)) + logs)


def _descend(
  loss: Callable[[_Params], tuple[jax.Array, jax.Array]],
  params: _Params,
  config: Config,
) -> _Params:
  optimizer = optax.adam(config.learning_rate)

  @jax.jit
  def run(params: _Params) -> tuple[_Params, jax.Array]:
    def step(
      train: descent.TrainState, _: None
    ) -> tuple[descent.TrainState, jax.Array]:
      gradient, value = jax.grad(loss, has_aux=True)(train.params)
      return descent.follow(train, gradient, optimizer), value

    train = descent.begin(params, optimizer)
    train, values = jax.lax.scan(step, train, length=config.num_steps)
    return train.params, values

  params, values = run(params)
  if not np.all(np.isfinite(values)):
    raise ValueError(
      "The likelihood became infinite while a transfer was learned; try a "
      f"learning_rate below {config.learning_rate}."
    )
  return params


def _start(space: SearchSpace, config: Config) -> _Params:
  """The Hamming kernel."""
  matrices = hamming_correlations(
    config.inverse_lengthscale, space.num_variables, space.num_options
  )
  return _Params(
    jnp.linalg.cholesky(matrices),
    jnp.asarray(np.log(config.noise), jnp.float32),
  )


def _noise(params: _Params) -> jax.Array:
  return _LEAST_NOISE + jnp.exp(params.log_noise)


def _of_variables(
  correlations: jax.Array, cardinalities: Sequence[int]
) -> list[jax.Array]:
  """The matrix of every variable without the options that it lacks."""
  return [correlations[i, :c, :c] for i, c in enumerate(cardinalities)]


def _padded(correlations: jax.Array, space: SearchSpace) -> np.ndarray:
  """Correlations with unit matrices for options that a variable lacks."""
  result = np.array(correlations, np.float32)
  for variable, cardinality in enumerate(space.cardinalities):
    result[variable, cardinality:] = 0.0
    result[variable, :, cardinality:] = 0.0
    absent = np.arange(cardinality, space.num_options)
    result[variable, absent, absent] = 1.0
  return result


def _is_full(table: Table) -> bool:
  """Whether a table holds every vector of an enumerable space once."""
  space = table.space
  if not space.every_vector_valid or len(table.values) != np.prod(
    [float(c) for c in space.cardinalities]
  ):
    return False
  index = np.asarray(space.index(jnp.asarray(table.archs)))
  return len(np.unique(index)) == len(index)


def _grid(table: Table) -> jax.Array:
  """Normal scores of a full table, `f32[C_1, ..., C_L]`."""
  order = np.ravel_multi_index(table.archs.T, table.space.cardinalities)
  grid = np.empty(len(order), np.float32)
  grid[order] = _scores(table.values)
  return jnp.asarray(grid.reshape(table.space.cardinalities))


def _part(table: Table, max_rows: int) -> tuple[np.ndarray, np.ndarray]:
  """Architectures and normal scores of at most `max_rows` rows."""
  rows = np.arange(len(table.values))
  if len(rows) > max_rows:
    rows = np.random.default_rng(0).choice(rows, max_rows, replace=False)
    rows.sort()
  return np.asarray(table.archs)[rows], _scores(table.values)[rows]


def _scores(values: np.ndarray) -> np.ndarray:
  """Normal scores `f32[N]` of all rows; failures are the worst."""
  values = np.where(np.isfinite(values), values, -np.inf)
  share = (scipy.stats.rankdata(values) - 0.5) / len(values)
  return special.ndtri(share).astype(np.float32)


def _shares(
  tables: Sequence[Table], weights: Sequence[float] | None
) -> list[float]:
  if not tables:
    raise ValueError("A transfer needs at least one source, got none.")
  given = [1.0] * len(tables) if weights is None else list(map(float, weights))
  if len(given) != len(tables) or not all(
    np.isfinite(w) and w > 0 for w in given
  ):
    raise ValueError(
      f"weights must be {len(tables)} positive numbers, got {weights}."
    )
  return [weight / sum(given) for weight in given]
