"""Tests of nagjax.surrogates.noise_aware."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.diffusion import sde
from nagjax.networks.base import Network
from nagjax.surrogates import noise_aware

N, F = 3, 4
EQUATION = sde.ve(0.1, 5.0)
ADJACENCY = jnp.eye(N, k=1)
OCCURS = jnp.ones((N, F + 1), bool).at[:, 0].set(False)
NETWORK = Network(
  init=lambda key: 0.1 * jax.random.normal(key, (F + 1,)),
  apply=lambda params, x, condition, adjacency: (
    x[:, 0] @ params[:-1] + params[-1]
  ),
)
"""Reads the first row, which is all that there is to know."""


def data(num=500, seed=0):
  """Random rows; good ones have column 2 in row 0."""
  kinds = np.random.default_rng(seed).integers(0, F, (num, N))
  samples = jnp.asarray(2 * np.eye(F)[kinds] - 1, jnp.float32)
  return samples, jnp.asarray(kinds[:, 0] == 2, jnp.float32)


@jax.jit
def fit(key):
  config = noise_aware.Config(num_steps=200, learning_rate=0.1)
  start = noise_aware.init(key, NETWORK, config)
  return noise_aware.fit(
    key, NETWORK, start, *data(), ADJACENCY, EQUATION, OCCURS, config
  )


@jax.jit
def predictions(params, t):
  """At noisy versions of new samples."""
  samples, _ = data(400, seed=1)
  times = jnp.full(400, t)
  noise = jax.random.normal(jax.random.key(2), samples.shape)
  value = noise_aware.value_fn(NETWORK, params, ADJACENCY, EQUATION, OCCURS)
  return value(EQUATION.perturb(samples, times, noise), times)


class NoiseAwareTest(parameterized.TestCase):
  def test_published_predictors_read_the_sample_and_its_deviation(self):
    """Oracle: a network that says what it reads: VE's condition is
    `0.1 * 50^t`."""
    network = Network(
      lambda key: (),
      lambda params, x, condition, adjacency, *, code=None, dropout_key=None: (
        x[:, 0, 0] + 100 * condition + 1000 * code[0] + adjacency[0, 1]
      ),
    )
    value = noise_aware.published_value_fn(
      network, (), ADJACENCY, EQUATION, jnp.ones(1)
    )
    x, t = data(3)[0], jnp.asarray([0.0, 0.5, 1.0])
    expected = x[:, 0, 0] + 100 * 0.1 * 50**t + 1001
    np.testing.assert_allclose(value(x, t), expected, rtol=1e-5)

  def test_classification(self):
    """Oracle: the rule; nothing but its share of 1/4 where noise hides it."""
    params = fit(jax.random.key(0)).params
    _, labels = data(400, seed=1)
    values = predictions(params, 0.05)
    self.assertGreater(np.mean((values > 0) == (labels > 0.5)), 0.97)
    chances = jax.nn.sigmoid(predictions(params, 1.0))
    self.assertAlmostEqual(chances.mean(), 0.25, delta=0.12)
    self.assertLess(chances.std(), 0.15)

  def test_by_hand(self):
    """Oracle: Adam in NumPy on one label, over two fits.

    The moments carry over, and the schedule starts again.
    """
    num_steps, rate = 4, 0.1
    config = noise_aware.Config(
      num_steps, 2, rate, clip_norm=100.0, loss="regression"
    )
    network = Network(
      lambda key: jnp.float32(3.0),
      lambda weights, x, condition, adjacency: weights + 0 * condition,
    )
    samples = data(5)[0]
    labels = jnp.full(5, 0.5)
    state = noise_aware.init(jax.random.key(0), network, config)
    for seed in (1, 2):
      state = noise_aware.fit(
        jax.random.key(seed), network, state, samples, labels, ADJACENCY,
        EQUATION, OCCURS, config,
      )  # fmt: skip
    w, m, v = 3.0, 0.0, 0.0
    for step in range(2 * num_steps):
      gradient = 2 * (w - 0.5)
      m = 0.9 * m + 0.1 * gradient
      v = 0.999 * v + 0.001 * gradient**2
      ratio = m / (1 - 0.9 ** (step + 1))
      ratio /= np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8
      cosine = 0.5 * (1 + np.cos(np.pi * (step % num_steps) / num_steps))
      w -= cosine * rate * ratio
    np.testing.assert_allclose(state.params, w, rtol=1e-4)

  def test_the_same_key_gives_the_same_bits(self):
    """Oracle: equality, and inequality for another key."""
    one, again, other = (
      np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.params)])
      for state in (fit(jax.random.key(seed)) for seed in (0, 0, 1))
    )
    np.testing.assert_array_equal(one, again)
    self.assertGreater(np.abs(one - other).max(), 1e-3)

  @parameterized.parameters(
    ("num_steps", 0),
    ("batch_size", 0),
    ("learning_rate", 0.0),
    ("clip_norm", 0.0),
    ("loss", "hinge"),
  )
  def test_bad_options(self, option, value):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, option):
      noise_aware.Config(**{option: value})


if __name__ == "__main__":
  absltest.main()
