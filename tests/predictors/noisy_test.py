"""Tests of nagjax.predictors.noisy."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
from nagjax.predictors import noisy
import numpy as np

from nagjax.diffusion import sde
from nagjax.networks import guides
from nagjax.networks.base import Network

N, F = 3, 4
EQUATION = sde.ve(0.1, 5.0)
ADJACENCY = jnp.eye(N, k=1)
OCCURS = jnp.ones((N, F + 1), bool).at[:, 0].set(False)
NETWORK = guides.transformer_guide(N, F, hidden_size=16, num_layers=1)


def data(num=500, seed=0):
  """Random rows; good is who has column 2 in row 0."""
  kinds = np.random.default_rng(seed).integers(0, F, (num, N))
  samples = jnp.asarray(2 * np.eye(F)[kinds] - 1, jnp.float32)
  return samples, jnp.asarray(kinds[:, 0] == 2, jnp.float32)


@functools.cache
def fit(loss):
  config = noisy.Config(num_steps=200, learning_rate=1e-2, loss=loss)

  @jax.jit
  def run(key):
    start = noisy.init(key, NETWORK, config)
    return noisy.fit(
      key, NETWORK, start, *data(), ADJACENCY, EQUATION, OCCURS, config
    )

  return run


@functools.cache
def learnt(loss):
  return fit(loss)(jax.random.key(0))


def predictions(weights, t, num=400):
  """At noisy versions of new samples, and their labels."""
  samples, labels = data(num, seed=1)
  times = jnp.full(num, t)
  noise = jax.random.normal(jax.random.key(2), samples.shape)
  value = noisy.value_fn(NETWORK, weights, ADJACENCY, EQUATION, OCCURS)
  x = EQUATION.perturb(samples, times, noise)
  return np.asarray(jax.jit(value)(x, times)), np.asarray(labels)


class NoisyTest(parameterized.TestCase):
  def test_published_predictors_read_the_sample_and_its_deviation(self):
    """Oracle: a network that says what it reads: VE's condition is
    `0.1 * 50^t`."""
    network = Network(
      lambda key: (),
      lambda params, x, condition, adjacency, *, code=None, dropout_key=None: (
        x[:, 0, 0] + 100 * condition + 1000 * code[0] + adjacency[0, 1]
      ),
    )
    value = noisy.published_value_fn(
      network, (), ADJACENCY, EQUATION, jnp.ones(1)
    )
    x, t = data(3)[0], jnp.asarray([0.0, 0.5, 1.0])
    expected = x[:, 0, 0] + 100 * 0.1 * 50**t + 1001
    np.testing.assert_allclose(value(x, t), expected, rtol=1e-5)

  def test_classification(self):
    """Oracle: the rule; nothing but its share of 1/4 where noise hides it."""
    weights = learnt("classification").weights
    values, labels = predictions(weights, 0.05)
    self.assertGreater(np.mean((values > 0) == (labels > 0.5)), 0.97)
    values, _ = predictions(weights, 1.0)
    chances = 1 / (1 + np.exp(-values))
    self.assertAlmostEqual(chances.mean(), 0.25, delta=0.12)
    self.assertLess(chances.std(), 0.15)

  def test_regression(self):
    """Oracle: as above, read as numbers."""
    weights = learnt("regression").weights
    values, labels = predictions(weights, 0.05)
    self.assertLess(np.mean((values - labels) ** 2), 0.03)
    values, _ = predictions(weights, 1.0)
    self.assertAlmostEqual(values.mean(), 0.25, delta=0.12)

  def test_by_hand(self):
    """Oracle: Adam in NumPy on one label, over two fits.

    The moments carry over, and the schedule starts again.
    """
    num_steps, rate = 4, 0.1
    config = noisy.Config(
      num_steps, 2, rate, clip_norm=100.0, loss="regression"
    )
    network = Network(
      lambda key: jnp.float32(3.0),
      lambda weights, x, condition, adjacency: weights + 0 * condition,
    )
    samples = data(5)[0]
    labels = jnp.full(5, 0.5)
    state = noisy.init(jax.random.key(0), network, config)
    for seed in (1, 2):
      state = noisy.fit(
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
    np.testing.assert_allclose(state.weights, w, rtol=1e-4)

  def test_the_same_key_gives_the_same_bits(self):
    """Oracle: equality, and inequality for another key."""
    run = fit("classification")
    one, again, other = (
      np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.weights)])
      for state in (run(jax.random.key(seed)) for seed in (0, 0, 1))
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
      noisy.Config(**{option: value})


if __name__ == "__main__":
  absltest.main()
