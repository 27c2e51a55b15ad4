"""Tests of nagjax.surrogates.gaussian_process against dense NumPy."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from scipy import stats

from nagjax import archive as archive_lib
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import gaussian_process

THETA, NOISE, SIZE, BLOCK = 3.0, 0.1, 24, 8
SPACE = nasbench201.nasbench201()
CONFIG = gaussian_process.Config(
  THETA, NOISE, canonical_share=0.0, count_share=0.0
)
SURROGATE = gaussian_process.gaussian_process(SPACE, CONFIG, archive_size=SIZE)
PARAMS = SURROGATE.params._replace(
  inverse_lengthscale=jnp.float32(1.5), noise=jnp.float32(0.3)
)
QUERIES = np.random.default_rng(9).integers(0, 5, (20, 6))

condition = jax.jit(SURROGATE.condition, static_argnums=2)


@jax.jit
def believed(state, archive, archs):
  return SURROGATE.predict(SURROGATE.fit(None, state, archive), archs)


@jax.jit
def relaxed(state, archive, options):
  """Relaxed prediction, and the gradient of the sum of its parts."""

  def total(options):
    fitted = SURROGATE.fit(None, state, archive)
    found = SURROGATE.relaxed(fitted, options)
    return (found.mean + found.std).sum(), found

  gradient, found = jax.grad(total, has_aux=True)(options)
  return found, gradient


def archive(num, seed=0, num_heads=1):
  """Random rows; those behind `num` hold what must not be read."""
  rng = np.random.default_rng(seed)
  targets = rng.normal(size=(SIZE, num_heads))
  targets[num:] = np.nan
  return archive_lib.empty(SPACE, SIZE, num_heads - 1)._replace(
    archs=jnp.asarray(rng.integers(0, 5, (SIZE, 6)), jnp.int32),
    targets=jnp.asarray(targets, jnp.float32),
    num=jnp.int32(num),
  )


def grown(*nums, block=BLOCK, params=SURROGATE.params):
  """The state after archives of these sizes, one after another."""
  state = SURROGATE.init(None, params)
  for num in nums:
    state = condition(state, archive(num), block)
  return state


def options_of(archs):
  return np.eye(5)[archs]


def dense(archive, options, theta=THETA, noise=NOISE):
  """Mean and deviation in float64, by solving the whole system."""
  num = int(archive.num)
  archs, targets = np.asarray(archive.archs)[:num], archive.targets[:num]
  ratio = np.exp(-theta / 6)

  def kernel(x, y):
    total = x.sum(-1)[:, None] * y.sum(-1)[None]
    same = np.einsum("plk,qlk->pql", x, y)
    return np.prod(ratio * total + (1 - ratio) * same, -1)

  rows = options_of(archs)
  covariance = np.exp(-theta * (archs[:, None] != archs[None]).mean(-1))
  covariance += noise * np.eye(num)
  cross = kernel(options, rows)
  solved = np.linalg.solve(covariance, cross.T)
  mean = solved.T @ np.asarray(targets[:, 0], np.float64)
  variance = np.diag(kernel(options, options)) - np.sum(cross * solved.T, 1)
  return mean, np.sqrt(variance)


class GaussianProcessTest(parameterized.TestCase):
  def assert_posterior(self, state, archive, **params):
    """Compares with the dense solution, at queries and observed rows."""
    archs = np.concatenate([QUERIES, archive.archs[:3]])
    found = believed(state, archive, archs)
    mean, std = dense(archive, options_of(archs), **params)
    np.testing.assert_allclose(found.mean, mean, atol=2e-4)
    np.testing.assert_allclose(found.std, std, atol=2e-4)
    self.assertIsNone(found.members)
    self.assertEqual(int(state.process.num), int(archive.num))

  @parameterized.parameters([(8,)], [(3, 11, 11, 19, SIZE)], [(5, 6, 12)])
  def test_growing_by_blocks(self, nums):
    """Oracle: the dense solution for all rows at once."""
    self.assert_posterior(grown(*nums), archive(nums[-1]))

  def test_one_block_of_more_than_the_archive_holds(self):
    """Oracle: the dense solution; another block changes nothing."""
    state = grown(SIZE, block=SIZE + 6)
    self.assert_posterior(state, archive(SIZE))
    again = condition(state, archive(SIZE), BLOCK)
    jax.tree.map(np.testing.assert_array_equal, again, state)

  def test_params_of_a_sweep(self):
    """Oracle: the dense solution with other hyper-parameters."""
    state = grown(8, params=PARAMS)
    self.assert_posterior(state, archive(8), theta=1.5, noise=0.3)

  def test_the_factor_whitens_the_covariance(self):
    """Oracle: W (K + noise I) W' = I, and W is lower triangular."""
    whiten = np.asarray(grown(4, 12).process.whiten, np.float64)
    np.testing.assert_array_equal(whiten, np.tril(whiten))
    self.assertFalse(np.any(whiten[12:]))
    archs = np.asarray(archive(12).archs[:12])
    covariance = np.exp(-THETA * (archs[:, None] != archs[None]).mean(-1))
    covariance += NOISE * np.eye(12)
    used = whiten[:12, :12]
    np.testing.assert_allclose(
      used @ covariance @ used.T, np.eye(12), atol=1e-5
    )

  def test_without_observations_it_is_the_prior(self):
    """Oracle: mean 0 and deviation 1."""
    found = believed(grown(), archive(0), QUERIES)
    np.testing.assert_array_equal(found.mean, 0)
    np.testing.assert_allclose(found.std, 1, rtol=1e-6)

  @parameterized.parameters(0, 6)
  def test_an_archive_that_has_shrunk_was_forgotten(self, num):
    """Oracle: the dense solution of what came later alone."""
    state = condition(grown(8, 11), archive(num, seed=1), BLOCK)
    state = condition(state, archive(7, seed=1), BLOCK)
    self.assert_posterior(state, archive(7, seed=1))

  def test_relaxed_architectures(self):
    """Oracle: the dense solution, whose product of every variable's weights is
    linear in each, and its central differences."""
    told, step = archive(11), 1e-5
    options = np.random.default_rng(1).dirichlet(np.ones(5), (3, 6))
    found, gradient = relaxed(grown(8, 11), told, jnp.float32(options))
    mean, std = dense(told, options)
    np.testing.assert_allclose(found.mean, mean, atol=2e-4)
    np.testing.assert_allclose(found.std, std, atol=2e-4)

    def total(options):
      mean, std = dense(told, options)
      return mean.sum() + std.sum()

    expected = np.zeros(options.shape)
    for at in np.ndindex(options.shape):
      shift = np.zeros(options.shape)
      shift[at] = step
      rise = total(options + shift) - total(options - shift)
      expected[at] = rise / (2 * step)
    np.testing.assert_allclose(gradient, expected, atol=2e-3)

  def test_an_archive_of_another_search(self):
    """Oracle: the documented error, with both shapes."""
    told = archive_lib.empty(SPACE, SIZE, 2)
    with self.assertRaisesRegex(ValueError, r"\(24, 1\), .* has \(24, 3\)"):
      SURROGATE.fit(None, grown(), told)

  @parameterized.parameters(
    ("inverse_lengthscale", 0.0),
    ("noise", -1.0),
    ("canonical_share", 1.5),
    ("trust", -0.1),
    ("count_share", 2.0),
    ("count_decay", 0.0),
  )
  def test_bad_options(self, option, value):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, option):
      gaussian_process.Config(**{option: value})

  def parts(self, archs, others):
    """Hamming kernels of vectors and of forms, and those of their counts."""
    forms, other_forms = (
      np.asarray(SPACE.canonicalize(jnp.asarray(rows)))
      for rows in (archs, others)
    )

    def hamming(x, y):
      return np.exp(-THETA * (x[:, None] != y[None]).mean(-1))

    def counted(x, y):
      x, y = ((rows[..., None] == np.arange(5)).sum(1) for rows in (x, y))
      apart = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
      return np.exp(-0.5 * apart / 12)

    archs, others = np.asarray(archs), np.asarray(others)
    return (
      hamming(archs, others),
      hamming(forms, other_forms),
      counted(archs, others),
      counted(forms, other_forms),
    )

  def test_violations_choose_between_vectors_and_forms(self):
    """Oracle: for each head the mixture of two dense posteriors, whose weights
    are their densities of what was observed; also of one-hot weights."""
    surrogate = gaussian_process.gaussian_process(
      SPACE, None, 2, archive_size=SIZE
    )
    told = archive(12, num_heads=3)
    targets = np.array(told.targets)
    # The second violation is one of operations, dead or not.
    targets[:, 2] = (np.asarray(told.archs) == 3).sum(axis=1) - 1.2
    told = told._replace(targets=jnp.asarray(targets))
    state = surrogate.init(None, surrogate.params)
    state = surrogate.fit(None, surrogate.condition(state, told, SIZE), told)
    rows, targets = np.asarray(told.archs)[:12], targets[:12]

    def kernel(x, y, of_vectors):
      raw, forms, raw_counts, counts = self.parts(x, y)
      if of_vectors:
        return 0.3 * raw + 0.7 * raw_counts
      return 0.3 * (0.3 * raw + 0.7 * forms) + 0.7 * counts

    means, variances, logs = [], [], []
    for of_vectors in (False, True):
      cross = kernel(QUERIES, rows, of_vectors)
      covariance = kernel(rows, rows, of_vectors) + 0.3 * np.eye(12)
      solved = np.linalg.solve(covariance, cross.T)
      means.append(solved.T @ targets)
      variances.append(1 - np.sum(cross * solved.T, axis=1))
      normal = stats.multivariate_normal(np.zeros(12), covariance)
      logs.append(normal.logpdf(targets.T))
    weights = special.softmax(logs, axis=0)
    means, variances = np.array(means), np.array(variances)[..., None]
    mean = np.sum(weights[:, None] * means, axis=0)
    spread = variances + (means - mean) ** 2
    std = np.sqrt(np.sum(weights[:, None] * spread, axis=0))
    np.testing.assert_allclose(state.belief, weights[1], atol=1e-4)
    self.assertGreater(np.ptp(weights[1]), 0.1)  # They differ.
    for found in (
      surrogate.predict(state, QUERIES),
      surrogate.relaxed(state, jnp.float32(options_of(QUERIES))),
    ):
      heads = np.column_stack([found.mean, found.violations])
      np.testing.assert_allclose(heads, mean, atol=2e-4)
      stds = np.column_stack([found.std, found.head_stds])
      np.testing.assert_allclose(stds, std, atol=2e-4)

  @parameterized.parameters((0.6, 0.0), (0.6, 0.3), (0.0, 1.0))
  @pytest.mark.slow
  def test_forms_and_counts_share_the_variance(self, of_forms, of_counts):
    """Oracle: the dense solution with the sum of three kernels, for vectors and
    for one-hot weights."""
    config = dataclasses.replace(
      CONFIG,
      canonical_share=of_forms,
      count_share=of_counts,
      count_decay=0.5,
    )
    surrogate = gaussian_process.gaussian_process(
      SPACE, config, archive_size=SIZE
    )
    told = archive(12)
    state = surrogate.condition(
      surrogate.init(None, surrogate.params), told, SIZE
    )
    state = surrogate.fit(None, state, told)
    rows = np.asarray(told.archs)[:12]

    def kernel(x, y):
      raw, forms, _, counts = self.parts(x, y)
      product = (1 - of_forms) * raw + of_forms * forms
      return (1 - of_counts) * product + of_counts * counts

    cross = kernel(QUERIES, rows)
    covariance = kernel(rows, rows) + NOISE * np.eye(12)
    solved = np.linalg.solve(covariance, cross.T)
    mean = solved.T @ np.asarray(told.targets[:12, 0], np.float64)
    std = np.sqrt(1 - np.sum(cross * solved.T, axis=1))
    options = jnp.float32(options_of(QUERIES))
    for found in (
      surrogate.predict(state, QUERIES),
      surrogate.relaxed(state, options),
    ):
      np.testing.assert_allclose(found.mean, mean, atol=2e-4)
      np.testing.assert_allclose(found.std, std, atol=2e-4)

  @pytest.mark.slow
  def test_counts_of_a_space_without_graphs_are_a_hamming_kernel(self):
    """Oracle: the same posterior with the decay of the Hamming kernel."""
    space = SearchSpace("flat", (5,) * 6)
    told = archive(12)
    found = []
    for config in (
      dataclasses.replace(CONFIG, inverse_lengthscale=2.0),
      dataclasses.replace(CONFIG, count_share=1.0, count_decay=2.0),
    ):
      surrogate = gaussian_process.gaussian_process(
        space, config, archive_size=SIZE
      )
      state = surrogate.init(None, surrogate.params)
      state = surrogate.condition(state, told, SIZE)
      state = surrogate.fit(None, state, told)
      found.append(surrogate.predict(state, QUERIES))
    np.testing.assert_allclose(found[0].mean, found[1].mean, atol=1e-5)
    np.testing.assert_allclose(found[0].std, found[1].std, atol=1e-5)


if __name__ == "__main__":
  absltest.main()
