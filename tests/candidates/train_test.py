"""Tests of nagjax.candidates.train."""

import dataclasses
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from nagjax.candidates import cells
from nagjax.candidates import train

CONFIG = cells.Config(
  image_shape=(4, 4, 1), num_classes=2, num_channels=2, num_cells=1
)
RECIPE = train.Recipe(
  num_epochs=4, batch_size=16, shift=0, flips=False, noise=0.1
)
ARCH = (3, 2, 1, 1, 4, 3)


def make_images(num, seed):
  """Two classes: bright above, bright below."""
  rng = np.random.default_rng(seed)
  y = rng.integers(0, 2, num)
  x = rng.normal(size=(num, 4, 4, 1)).astype(np.float32)
  x[:, :2] += np.where(y == 0, 2.0, -2.0)[:, None, None, None]
  return train.Images(jnp.asarray(x), jnp.asarray(y, jnp.int32))


SPLIT = train.Split(make_images(40, 0), make_images(30, 1), make_images(30, 2))


KEYS = jax.random.split(jax.random.key(0), 2)


def linear_init(key, arch, config):
  """A network in the place of cells, which compiles in a moment."""
  del arch
  num_inputs = int(np.prod(config.image_shape))
  weight = 0.1 * jax.random.normal(key, (num_inputs, config.num_classes))
  params = {"weight": weight, "bias": jnp.zeros(config.num_classes)}
  return cells.Model(params, jnp.float32(0))


def linear_apply(model, arch, images, *, norm=train.Norm.RUNNING):
  """A cell of zeros sees nothing; batches are counted as statistics are."""
  x = images.reshape(images.shape[0], -1) * jnp.any(arch > 0)
  logits = x @ model.params["weight"] + model.params["bias"][None]
  return logits, model.statistics + (norm is train.Norm.BATCH)


class LinearCase(parameterized.TestCase):
  """The trainer knows a network by these two functions alone.

  That cells learn is tested where tables are built and the best are trained.
  """

  def setUp(self):
    super().setUp()
    for name, stub in (("init", linear_init), ("apply", linear_apply)):
      self.enter_context(mock.patch.object(cells, name, stub))


class AssessTest(LinearCase):
  def test_learns_and_depends_on_the_cell_alone(self):
    """Oracle: an easy task; the same cell elsewhere in the batch."""
    archs = jnp.asarray([ARCH, (3,) * 6, (0,) * 6])
    first, again = (
      train.assess_many(KEYS, order, SPLIT, CONFIG, RECIPE)
      for order in (archs, archs[::-1])
    )
    for a, b in zip(
      jax.tree.leaves(first), jax.tree.leaves(again), strict=True
    ):
      self.assertEqual(a.shape, (3, 2))
      np.testing.assert_array_equal(a, b[::-1])
    self.assertGreater(float(first.test.accuracy[:2].min()), 80.0)
    # A cell of zeros sees nothing: it guesses.
    self.assertLess(float(first.test.probability[2].max()), 0.6)
    self.assertFalse(np.any(first.failed))

  @pytest.mark.slow
  def test_divergence_is_a_recorded_failure(self):
    """Oracle: the metrics of a guess; no NaN."""
    broken = SPLIT._replace(
      train=SPLIT.train._replace(x=SPLIT.train.x.at[0, 0, 0, 0].set(jnp.inf))
    )
    archs = jnp.asarray([ARCH] * 3)
    result = train.assess_many(KEYS, archs, broken, CONFIG, RECIPE)
    self.assertTrue(np.all(result.failed))
    for metrics in (result.valid, result.test):
      np.testing.assert_allclose(metrics.accuracy, 50.0)
      np.testing.assert_allclose(metrics.cross_entropy, np.log(2), rtol=1e-6)
      np.testing.assert_allclose(metrics.probability, 0.5)


class FitTest(LinearCase):
  def test_sgd_over_epochs(self):
    """Oracle: Nesterov's momentum, decay, cosine and the gradient in NumPy,
    step by step; the last batch of an epoch is filled up from its beginning."""
    recipe = dataclasses.replace(RECIPE, num_epochs=3, batch_size=32, noise=0.0)
    arch, key = jnp.asarray(ARCH), jax.random.key(3)
    model = train.fit(key, arch, SPLIT.train, CONFIG, recipe)
    init_key, epochs_key = jax.random.split(key)
    weight = np.asarray(cells.init(init_key, arch, CONFIG).params["weight"])
    weights = np.concatenate([weight, np.zeros((1, 2))]).astype(np.float64)
    speed = np.zeros_like(weights)
    x = np.asarray(SPLIT.train.x, np.float64).reshape(40, -1)
    x = np.concatenate([x, np.ones((40, 1))], axis=1)
    for epoch, epoch_key in enumerate(jax.random.split(epochs_key, 3)):
      rate = 0.1 * 0.5 * (1 + np.cos(np.pi * epoch / 3))
      order = jax.random.permutation(jax.random.split(epoch_key)[0], 40)
      for rows in (order[:32], jnp.concatenate([order[32:], order[:24]])):
        rows = np.asarray(rows)
        expected = np.eye(2)[np.asarray(SPLIT.train.y)[rows]]
        error = special.softmax(x[rows] @ weights, axis=1) - expected
        gradient = x[rows].T @ error / len(rows) + 5e-4 * weights
        speed = 0.9 * speed + gradient
        weights -= rate * (gradient + 0.9 * speed)
    np.testing.assert_allclose(model.params["weight"], weights[:-1], rtol=1e-4)
    np.testing.assert_allclose(model.params["bias"], weights[-1], rtol=1e-4)
    self.assertEqual(float(model.statistics), 6)


class CellsTest(absltest.TestCase):
  @pytest.mark.slow  # Side by side, every operation is compiled for each edge.
  def test_at_once_is_one_after_another(self):
    """Oracle: lax.map, to rounding that training amplifies."""
    archs = jnp.asarray([ARCH, (3,) * 6, (1,) * 6])
    one, many = (
      train.assess_many(KEYS, archs, SPLIT, CONFIG, RECIPE, batch_size=size)
      for size in (None, 3)
    )
    difference = np.abs(one.valid.probability - many.valid.probability)
    # A ReLU that rounding switches moves one training visibly, not the others.
    self.assertLess(np.median(difference), 1e-4)
    self.assertLess(np.max(difference), 0.02)


class RecipeTest(parameterized.TestCase):
  @parameterized.parameters(
    dict(num_epochs=0),
    dict(learning_rate=0.0),
    dict(learning_rate=float("nan")),
    dict(clutter=float("nan")),
    dict(noise=float("inf")),
    dict(weight_decay=-1.0),
    dict(momentum=float("nan")),
  )
  def test_refused(self, **options):
    """Oracle: the ValueError, which names the option."""
    with self.assertRaisesRegex(ValueError, next(iter(options))):
      train.Recipe(**options)


class AugmentTest(parameterized.TestCase):
  def test_shifts_flips_and_noise(self):
    """Oracle: every result is a shifted, perhaps mirrored copy."""
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4, 1)
    recipe = train.Recipe(shift=1, flips=True)
    batch = jnp.asarray(np.repeat(x, 200, axis=0))
    result = np.asarray(train.augment(jax.random.key(0), batch, recipe))
    possible = set()
    for image in (x[0, :, :, 0], x[0, :, ::-1, 0]):
      padded = np.pad(image, 1)
      for i in range(3):
        for j in range(3):
          possible.add(padded[i : i + 3, j : j + 4].tobytes())
    found = {np.ascontiguousarray(r[..., 0]).tobytes() for r in result}
    self.assertEqual(found, possible)

  def test_clutter(self):
    """Oracle: constant images; each gets the one before it, by its share."""
    num = 400
    x = jnp.arange(1.0, num + 1)[:, None, None, None] * jnp.ones((1, 2, 3, 1))
    recipe = train.Recipe(shift=0, flips=False, clutter=0.8)
    result = np.asarray(train.augment(jax.random.key(0), x, recipe))
    np.testing.assert_array_equal(result, result[:, :1, :1] + 0 * result)
    before = np.roll(np.arange(1, num + 1), 1)
    share = (result[:, 0, 0, 0] - np.arange(1, num + 1)) / before
    self.assertBetween(share.min(), 0, 0.02)
    self.assertBetween(share.max(), 0.78, 0.8 + 1e-5)
    self.assertAlmostEqual(share.mean(), 0.4, delta=0.04)

  def test_noise(self):
    """Oracle: mean and deviation of 20,000 draws."""
    recipe = train.Recipe(shift=0, flips=False, noise=0.5)
    noisy = train.augment(jax.random.key(0), jnp.zeros((20, 50, 20, 1)), recipe)
    self.assertAlmostEqual(float(jnp.mean(noisy)), 0.0, delta=0.02)
    self.assertAlmostEqual(float(jnp.std(noisy)), 0.5, delta=0.01)


class EvaluateTest(LinearCase):
  def test_metrics_and_uneven_batches(self):
    """Oracle: softmax in NumPy over all images."""
    arch = jnp.asarray(ARCH)
    model = cells.init(jax.random.key(0), arch, CONFIG)
    logits, _ = cells.apply(model, arch, SPLIT.test.x)
    weights = np.exp(np.asarray(logits, np.float64))
    chosen = weights[np.arange(30), SPLIT.test.y] / weights.sum(1)
    for batch_size in (7, 30, 500):
      result = train.evaluate(model, arch, SPLIT.test, batch_size=batch_size)
      hits = np.argmax(logits, 1) == np.asarray(SPLIT.test.y)
      self.assertAlmostEqual(
        float(result.accuracy), 100 * hits.mean(), places=3
      )
      self.assertAlmostEqual(float(result.probability), chosen.mean(), places=5)
      self.assertAlmostEqual(
        float(result.cross_entropy), -np.log(chosen).mean(), places=5
      )


if __name__ == "__main__":
  absltest.main()
