"""Tests of Gaussian processes with transfers, against dense NumPy."""

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
from nagjax.surrogates import gaussian_process
from nagjax.transfer.base import Transfer
from tests.transfer import dense

SPACE, SIZE = dense.SPACE, 14
CONFIG = gaussian_process.Config(disbelief=0.4)
EVERY = SPACE.all_architectures()


def transfer(seed):
  rng = np.random.default_rng(seed)
  return Transfer(
    space=SPACE.name,
    correlations=dense.random_correlations(seed, SPACE).astype(np.float32),
    noise=0.1,
    mean=rng.normal(size=len(EVERY)).astype(np.float32),
    support=None,
    sources=(),
  )


def archive(num, targets):
  rng = np.random.default_rng(5)
  rows = rng.permutation(len(EVERY))[:SIZE]
  values = np.full((SIZE, 1), np.nan)
  values[:num, 0] = targets(rows)[:num]
  return rows[:num], archive_lib.empty(SPACE, SIZE, 0)._replace(
    archs=jnp.asarray(EVERY[rows], jnp.int32),
    targets=jnp.asarray(values, jnp.float32),
    num=jnp.int32(num),
  )


def hypotheses(transfers):
  """Log prior, mean and covariance of all architectures, and noise, of each."""
  num = len(transfers)
  alone = 0.3 * dense.covariance(dense.hamming(SPACE), EVERY)
  alone += 0.7 * dense.covariance(dense.hamming(SPACE, 0.5), EVERY)
  yield np.log(0.4), 0.0, alone, 0.3, None
  mixed = 0.7 * np.mean([each.correlations for each in transfers], axis=0)
  mixed += 0.3 * dense.hamming(SPACE)
  least = mixed.min(axis=(1, 2), keepdims=True)
  share = np.maximum(1e-3 - least, 0) / (1 - least)
  process = dense.covariance((1 - share) * mixed + share, EVERY)
  means = np.stack([each.mean for each in transfers], axis=-1)
  for amplitude in (1.0, 0.3, 0.1):

    def linear(center, amplitude=amplitude):
      features = np.hstack([np.ones((len(EVERY), 1)), means - center])
      variances = np.array([1.0] + [0.25 / num] * num)
      covariance = (features * variances) @ features.T
      return features[:, 1:].mean(-1), covariance + amplitude * process

    yield np.log(0.6 / 3), means, linear, 0.1 * amplitude, amplitude


def mixture(rows, targets, transfers):
  """Mean and deviation everywhere, and the probability of the sources."""
  logs, found = [], []
  for log_prior, means, covariance, noise, amplitude in hypotheses(transfers):
    mean = np.zeros(len(EVERY))
    if amplitude is not None:
      center = means[rows].mean(0) if len(rows) else 0.0
      mean, covariance = covariance(center)
    inner = covariance[np.ix_(rows, rows)] + noise * np.eye(len(rows))
    if len(rows):
      log_prior += stats.multivariate_normal(mean[rows], inner).logpdf(targets)
    gain = covariance[:, rows] @ np.linalg.inv(inner)
    logs.append(log_prior)
    variance = np.diag(covariance) - np.sum(gain * covariance[:, rows], axis=1)
    found.append((mean + gain @ (targets - mean[rows]), variance))
  weights = special.softmax(logs)
  means = np.array([mean for mean, _ in found])
  mean = weights @ means
  variance = weights @ (np.array([v for _, v in found]) + (means - mean) ** 2)
  return mean, np.sqrt(variance), 1 - weights[0]


def fitted(transfers, told):
  surrogate = gaussian_process.gaussian_process(
    SPACE, CONFIG, archive_size=SIZE, transfers=transfers
  )

  @jax.jit
  def fit(told):
    state = surrogate.init(None, surrogate.params)
    return surrogate.fit(None, surrogate.condition(state, told, SIZE), told)

  return surrogate, fit(told)


class TransferredTest(parameterized.TestCase):
  @parameterized.parameters((0, 1), (5, 1), (9, 2))
  def test_the_mixture_of_all_hypotheses(self, num, num_transfers):
    """Oracle: each hypothesis as one dense normal distribution of the values of
    all architectures, and Bayes' rule."""
    transfers = [transfer(seed) for seed in range(num_transfers)]
    values = np.random.default_rng(1).normal(size=len(EVERY))
    rows, told = archive(num, lambda rows: values[rows])
    surrogate, state = fitted(transfers, told)
    mean, std, belief = mixture(rows, values[rows], transfers)
    self.assertIsNone(surrogate.relaxed)  # Means by index have no such form.
    found = jax.jit(surrogate.predict)(state, jnp.asarray(EVERY))
    np.testing.assert_allclose(found.mean, mean, atol=2e-4)
    np.testing.assert_allclose(found.std, std, atol=2e-4)
    self.assertAlmostEqual(float(state.belief[0]), belief, delta=1e-4)

  def test_relaxed_architectures(self):
    """Oracle: `predict`, where weights are one-hot."""
    support = EVERY[:10]
    given = transfer(0)._replace(support=support, mean=np.ones(10, np.float32))
    values = np.random.default_rng(1).normal(size=len(EVERY))
    _, told = archive(9, lambda rows: values[rows])
    surrogate, state = fitted([given], told)
    every = jnp.asarray(EVERY)
    expected = jax.jit(surrogate.predict)(state, every)
    found = jax.jit(surrogate.relaxed)(state, SPACE.one_hot(every))
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected
    )

  def test_what_was_observed_decides(self):
    """Property: values that are the transferred means are believed to be, and
    those of another smooth function are not."""
    given = transfer(3)
    other = dense.draw(0, dense.hamming(SPACE, 0.5), SPACE, noise=0.01)
    for values, low, high in ((given.mean, 0.9, 1.0), (other, 0.0, 0.2)):
      _, told = archive(SIZE, lambda rows, values=values: values[rows])
      belief = float(fitted([given], told)[1].belief[0])
      self.assertBetween(belief, low, high)


class FormsTest(absltest.TestCase):
  @pytest.mark.slow
  def test_a_transfer_knows_cells_by_their_canonical_forms(self):
    """Property: where the sources are believed and their mean is flat, cells
    that compute the same have the same deviation; without them they do not."""
    space = nasbench201.nasbench201()
    archs = space.sample(jax.random.key(0), 40)
    forms = space.canonicalize(archs)
    told = archive_lib.empty(space, SIZE, 0)
    told = told._replace(
      archs=archs[:SIZE], targets=told.targets * 0, num=jnp.int32(SIZE)
    )
    flat = Transfer(
      space=space.name,
      correlations=dense.random_correlations(1, space).astype(np.float32),
      noise=0.1,
      mean=np.zeros(space.num_architectures, np.float32),
      support=None,
      sources=(),
    )
    stds = {}
    for disbelief in (1e-30, 1 - 1e-7):
      surrogate = gaussian_process.gaussian_process(
        space,
        gaussian_process.Config(disbelief=disbelief),
        archive_size=SIZE,
        transfers=[flat],
      )
      state = surrogate.init(None, surrogate.params)
      state = surrogate.fit(None, surrogate.condition(state, told, SIZE), told)
      stds[disbelief] = [
        surrogate.predict(state, each).std for each in (archs, forms)
      ]
    apart = {d: float(jnp.max(jnp.abs(a - b))) for d, (a, b) in stds.items()}
    self.assertLess(apart[1e-30], 1e-5)
    self.assertGreater(apart[1 - 1e-7], 0.05)


if __name__ == "__main__":
  absltest.main()
