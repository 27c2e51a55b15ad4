"""Tests of nagjax.surrogates.meta_training."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.networks import meta_predictor
from nagjax.spaces import nasbench201
from nagjax.surrogates import meta
from nagjax.surrogates import meta_training

SPACE = nasbench201.nasbench201()
SIZES = meta_predictor.Config(image_size=3, code_size=8, hidden_size=16)
CONFIG = meta_training.Config(
  num_steps=450,
  num_tasks=8,
  num_images=2,
  num_held=4,
  learning_rate=0.01,
  hold_weight=0.01,
)


def planted(num_tasks, seed=0):
  """Tasks whose images say whether 3x3 convolutions are good or bad."""
  rng = np.random.default_rng(seed)
  sign = np.where(np.arange(num_tasks) % 2, 1.0, -1.0)
  archs = rng.integers(0, 5, (num_tasks, 6, 6)).astype(np.int32)
  labels = sign[:, None] * ((archs == 3).sum(-1) - 1.2)
  features = rng.normal(0, 0.3, (num_tasks, 2, 5, 3))
  features[..., 0] += sign[:, None, None]
  members = np.arange(num_tasks * 10).reshape(num_tasks, 2, 5)
  return meta_training.Data(
    features=features.reshape(-1, 3).astype(np.float32),
    members=members.astype(np.int32),
    counts=np.full((num_tasks, 2), 5, np.int32),
    archs=archs,
    labels=labels.astype(np.float32),
    weights=np.ones(labels.shape, np.float32),
    centered=np.ones(num_tasks, bool),
  )


class FitTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_learns_that_images_change_the_order(self):
    """Oracle: the planted rule, on images that it has not seen."""
    data = planted(48)
    network = meta.network(SPACE, SIZES)
    to_graph = meta.view(SPACE).to_graph
    params, losses = jax.jit(
      lambda key: meta_training.fit(
        key, network, to_graph, data, data.archs[0], CONFIG
      )
    )(jax.random.key(0))
    self.assertEqual(losses.shape, (450, 2))
    self.assertLess(
      float(losses[-50:, 0].mean()), 0.5 * float(losses[:5, 0].mean())
    )
    fresh = planted(8, seed=1)
    images, _ = meta_training.draw(
      jax.random.key(1), jax.tree.map(jnp.asarray, fresh), jnp.arange(8), 3
    )
    codes = jax.vmap(network.encode, (None, 0))(params, images)
    graphs = to_graph(jnp.asarray(fresh.archs))
    said = network.apply(params, graphs, codes[:, None])
    correlations = [
      np.corrcoef(found, labels)[0, 1]
      for found, labels in zip(np.asarray(said), fresh.labels, strict=True)
    ]
    self.assertGreater(np.mean(correlations), 0.6)

  @parameterized.parameters((0.7, 0.7), (-0.7, 0.1))
  def test_the_prior_is_taken_from_labels(self, planted_slope, slope):
    """Oracle: a planted slope, but .1 at least, of what is there."""
    data = planted(4)
    known = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    weights = np.ones((4, 6), np.float32)
    weights[:, 4:] = 0
    labels = np.where(weights > 0, planted_slope * known, 99).astype("f4")
    data = data._replace(labels=labels, weights=weights)
    found, found_slope = meta_training.without(data, known)
    self.assertAlmostEqual(found_slope, slope, places=5)
    expected = (planted_slope - slope) * known * weights
    np.testing.assert_allclose(found.labels, expected, atol=1e-5)

  @pytest.mark.slow
  def test_standardized_features_are_absorbed(self):
    """Oracle: the network on standardized features itself."""
    network = meta.network(SPACE, SIZES)
    params = network.init(jax.random.key(0))
    raw = np.random.default_rng(0).normal(5, 3, (40, 3)).astype(np.float32)
    mean, deviation = meta_training.standardize(raw)
    images = ((raw - mean) / deviation)[:8].reshape(2, 4, 3)
    expected = network.encode(params, jnp.asarray(images))
    absorbed = meta_training.absorb(params, mean, deviation)
    found = network.encode(absorbed, jnp.asarray(raw[:8].reshape(2, 4, 3)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

  def test_draws_images_of_the_class(self):
    """Oracle: the members and counts; a class without images is absent."""
    data = planted(3)._replace(features=np.arange(30.0)[:, None])
    data = data._replace(counts=np.asarray([[2, 5], [1, 0], [5, 5]], np.int32))
    data = jax.tree.map(jnp.asarray, data)
    images, present = meta_training.draw(
      jax.random.key(0), data, jnp.asarray([1, 0]), 40
    )
    found = [[set(np.asarray(c)[:, 0]) for c in task] for task in images]
    self.assertEqual(found[0][0], {10.0})
    self.assertEqual(found[1], [{0.0, 1.0}, {5.0, 6.0, 7.0, 8.0, 9.0}])
    np.testing.assert_array_equal(present, [[True, False], [True, True]])

  @parameterized.parameters((True,), (False,))
  def test_error(self, centered):
    """Oracle: closed form in NumPy, of what has a weight."""
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(2, 3, 4))
    weights = rng.uniform(0.1, 1, (3, 4))
    weights[:, 3] = 0
    total = 0.0
    for row in range(3):
      error, weight = outputs[row, :3] - labels[row, :3], weights[row, :3]
      if centered:
        error = error - np.average(error, weights=weight)
      total += np.sum(weight * error**2)
    found = meta_training._error(
      *map(jnp.asarray, (outputs, labels, weights, np.full(3, centered)))
    )
    np.testing.assert_allclose(found, total / weights.sum(), rtol=1e-5)


if __name__ == "__main__":
  absltest.main()
