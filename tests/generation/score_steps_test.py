"""Tests of nagjax.generation.score_steps."""

import functools
import types

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import registry
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_steps

SPACE = registry.make_space("nasbench201")


def linear_model():
  """`(w . arch - 1)^2`, without randomness."""

  def loss(params, archs, t, noise, dropout_key=None):
    del t, noise, dropout_key
    return (archs @ params["w"] - 1.0) ** 2

  return types.SimpleNamespace(loss=loss, shape=(1, 1))


def architectures(num_steps, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(-2, 3, (num_steps, 4, 3)).astype(np.float32)


def by_hand(w, archs, config):
  """Adam, clipping and averages in float64; the average after every step."""
  w = average = np.float64(w)
  m = v = np.zeros_like(w)
  losses, averages, weights = [], [], []
  for step, batch in enumerate(np.float64(archs)):
    error = batch @ w - 1
    losses.append(np.mean(error**2))
    gradient = np.mean(2 * error[:, None] * batch, axis=0)
    gradient *= min(1.0, config.clip_norm / np.linalg.norm(gradient))
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    ratio = m / (1 - 0.9 ** (step + 1))
    ratio = ratio / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    rate = config.learning_rate
    if step < config.warmup_steps:
      rate *= step / config.warmup_steps
    elif config.decay_steps:
      past = step - config.warmup_steps
      share = past / (config.decay_steps - config.warmup_steps)
      rate *= (1 + np.cos(np.pi * min(share, 1.0))) / 2
    w = w - rate * ratio
    decay = min(config.ema_decay, (2 + step) / (11 + step))
    average = decay * average + (1 - decay) * w
    weights.append(w)
    averages.append(average)
  return losses, weights, averages


class TrainTest(parameterized.TestCase):
  @parameterized.parameters(
    ({},),
    ({"warmup_steps": 0},),
    ({"decay_steps": 25},),
    ({"ema_decay": 0.3},),
    ({"clip_norm": 100.0},),
  )
  def test_by_hand(self, options):
    """Oracle: Adam, warm-up, decay, clipping and averages in float64."""
    config = score_steps.Config(
      **{"learning_rate": 0.1, "warmup_steps": 8, **options}
    )
    archs = architectures(30)
    start = score_steps.start({"w": jnp.asarray([0.5, -1, 2])}, config)
    trained, losses = score_steps.train(
      jax.random.key(0), linear_model(), start, archs, config
    )
    expected, weights, averages = by_hand([0.5, -1, 2], archs, config)
    np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(trained.params["w"], weights[-1], atol=1e-4)
    np.testing.assert_allclose(trained.average["w"], averages[-1], atol=1e-4)
    self.assertEqual(int(trained.num_steps), 30)

  def test_the_first_step_changes_nothing(self):
    """Oracle: the same bits, since the warm-up starts at a rate of zero."""
    config = score_steps.Config(learning_rate=0.1, warmup_steps=8)
    start = score_steps.start({"w": jnp.asarray([0.5, -1, 2])}, config)
    first, second = (
      score_steps.train(
        jax.random.key(0), linear_model(), start, architectures(num), config
      )[0]
      for num in (1, 2)
    )
    np.testing.assert_array_equal(first.params["w"], start.params["w"])
    np.testing.assert_array_equal(first.average["w"], start.params["w"])
    self.assertGreater(
      np.abs(second.params["w"] - start.params["w"]).max(), 1e-3
    )

  def test_two_chunks_are_one(self):
    """Oracle: the bits of one scan, wherever the randomness has no part."""
    config = score_steps.Config(
      learning_rate=0.1, warmup_steps=3, decay_steps=10
    )
    start = score_steps.start({"w": jnp.asarray([0.5, -1, 2])}, config)
    archs = architectures(10)

    def train(trained, archs):
      return score_steps.train(
        jax.random.key(0), linear_model(), trained, archs, config
      )

    whole, losses = train(start, archs)
    half, first = train(start, archs[:4])
    again, second = train(half, archs[4:])
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    np.testing.assert_array_equal(np.concatenate([first, second]), losses)

  @parameterized.parameters(True, False)
  def test_what_the_loss_is_given(self, dropout):
    """Oracle: recorded shapes; a dropout key only where dropout is on."""
    given = []

    def loss(params, archs, t, noise, dropout_key=None):
      given.append((t.shape, noise.shape, dropout_key is not None))
      return params * t

    model = types.SimpleNamespace(loss=loss, shape=(2, 5))
    config = score_steps.Config()
    start = score_steps.start(jnp.float32(1), config)
    score_steps.train(
      jax.random.key(0), model, start, jnp.zeros((3, 4, 6)), config,
      dropout=dropout,
    )  # fmt: skip
    self.assertEqual(set(given), {((4,), (4, 2, 5), dropout)})

  @parameterized.parameters(True, False)
  def test_times(self, central):
    """Oracle: moments and quartiles of the triangular and uniform densities."""
    draw = functools.partial(score_steps.draw_times, central=central)
    t = np.asarray(draw(jax.random.key(0), 4096), np.float64)
    self.assertBetween(t.min(), 1e-5, 0.02)
    self.assertBetween(t.max(), 0.98, 1.0)
    self.assertAlmostEqual(t.mean(), 0.5, delta=5 / (12 * 4096) ** 0.5)
    quartile = 0.125**0.5 if central else 0.25
    self.assertAlmostEqual(np.quantile(t, 0.25), quartile, delta=0.04)
    # Evenly spread draws meet the quartile almost exactly.
    error = abs(np.mean(t < quartile) - 0.25)
    self.assertLess(error, 1e-3 if central else 0.04)

  @parameterized.parameters(
    ("learning_rate", 0.0),
    ("clip_norm", 0.0),
    ("warmup_steps", -1),
    ("decay_steps", -1),
    ("ema_decay", 1.0),
  )
  def test_bad_options(self, option, value):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, option):
      score_steps.Config(**{option: value})


class LearningTest(absltest.TestCase):
  @pytest.mark.slow
  def test_a_rule_is_learnt(self):
    """Oracle: the rule itself: the first operation is a convolution 3x3.

    So it is in a fifth of all architectures, which are what a model of zeros
    knows.
    """
    config = score_models.Config(
      num_layers=1,
      width=32,
      num_heads=4,
      feed_forward=64,
      head_width=64,
      mask="all",
    )
    model = score_models.score_model(SPACE, config)
    training = score_steps.Config(
      learning_rate=5e-3,
      warmup_steps=10,
      decay_steps=150,
      ema_decay=0.95,
      central=True,
    )

    @jax.jit
    def learn(key):
      init_key, arch_key, train_key = jax.random.split(key, 3)
      archs = SPACE.sample(arch_key, 150 * 64).reshape(150, 64, 6)
      archs = archs.at[..., 0].set(3)
      start = score_steps.start(model.init(init_key), training)
      return score_steps.train(train_key, model, start, archs, training)

    @jax.jit
    def generate(params, key):
      options = sampling.Config(num_steps=20, batch_size=300)
      return sampling.generate(key, model, params, 300, options)

    trained, losses = learn(jax.random.key(0))
    self.assertLess(np.mean(losses[-20:]), 0.95 * np.mean(losses[:5]))
    zeros = jax.tree.map(jnp.zeros_like, trained.params)
    for params, low, high in ((trained.average, 0.6, 1.0), (zeros, 0.1, 0.3)):
      found = generate(params, jax.random.key(1))
      self.assertEqual(int(found.bad_step), -1)
      self.assertGreater(np.mean(found.valid), 0.9)
      archs = np.asarray(found.archs)[np.asarray(found.valid)]
      self.assertBetween(np.mean(archs[:, 0] == 3), low, high)
      # The others stay uniform.
      self.assertBetween(np.mean(archs[:, 1:] == 3), 0.14, 0.26)


if __name__ == "__main__":
  absltest.main()
