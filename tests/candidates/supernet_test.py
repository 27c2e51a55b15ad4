"""Tests of nagjax.candidates.supernet and elastic: training, statistics."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import elastic
from nagjax.candidates import layers
from nagjax.candidates import supernet
from nagjax.candidates import train
from nagjax.spaces import mobilenetv3

KEY = jax.random.key(0)
ADAM = supernet.Recipe(
  (supernet.Phase(4, 3e-3, 1, 1),),
  batch_size=16,
  optimizer="adamw",
  shift=0,
  flips=False,
)


def vit():
  return elastic.elastic("autoformer/small32", image_size=8, num_classes=3)


@functools.cache
def images():
  """Three classes, told apart by the mean of a channel."""
  rng = np.random.default_rng(0)
  y = np.arange(48) % 3
  x = 0.5 * rng.normal(size=(48, 8, 8, 3)) + 2 * np.eye(3)[y][:, None, None]
  return train.Images(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32))


@functools.cache
def program(recipe, phase=0):
  network, data = vit(), images()
  return jax.jit(
    lambda key, number, state: supernet.epoch(
      key, number, state, data, network, recipe, phase
    )
  )


def trained(recipe, num_epochs):
  state = supernet.begin(KEY, vit(), recipe)
  losses = []
  for number in range(num_epochs):
    phase, place = recipe.place(number)
    key = jax.random.fold_in(KEY, number)
    state, loss = program(recipe, phase)(key, jnp.int32(place), state)
    losses.append(float(loss))
  return state, losses


class TrainingTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_sub_networks_learn_together(self):
    """Oracle: the loss falls, and both ends tell the classes apart."""
    state, losses = trained(ADAM, 4)
    self.assertLess(losses[-1], 0.8 * losses[0])
    network = vit()
    data = images()
    judge = jax.jit(lambda w, a: elastic.evaluate(network, w, a, data).accuracy)
    for arch in (network.smallest, network.largest):
      self.assertGreater(float(judge(state.weights, arch)), 80.0)

  @pytest.mark.slow
  def test_one_step_of_the_sandwich(self):
    """Oracle: gradients of the three networks, one by one, summed; the last
    two learn from the first one's answers."""
    network, recipe = vit(), dataclasses.replace(ADAM, label_smoothing=0.0)
    weights = network.init(KEY)
    archs = jnp.stack([network.largest, network.draw(KEY, 1, _ALL)[0]])
    archs = jnp.concatenate([archs, jnp.asarray(network.smallest)[None]])
    x, y = images().x[:8], jax.nn.one_hot(images().y[:8], 3)

    @jax.jit
    def both(params):
      found, _, loss = supernet._gradient(
        KEY, weights, archs, x, y, None, network, recipe
      )

      def cross_entropy(params, arch, wanted):
        logits, _ = network.apply(elastic.Weights(params, ()), arch, x)
        return -jnp.mean(jnp.sum(wanted * jax.nn.log_softmax(logits), -1))

      first = network.apply(weights, archs[0], x)[0]
      total = jax.tree.map(jnp.zeros_like, params)
      for number in range(3):
        wanted = y if number == 0 else jax.nn.softmax(first)
        one = jax.grad(cross_entropy)(params, archs[number], wanted)
        total = jax.tree.map(jnp.add, total, one)
      return found, total, loss, cross_entropy(params, archs[0], y)

    found, expected, loss, loss_alone = both(weights.params)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      found,
      expected,
    )
    self.assertAlmostEqual(float(loss), float(loss_alone), places=5)

  @pytest.mark.slow
  def test_a_new_phase_begins_anew(self):
    """Oracle: the teacher is the network at the end of the first phase, and
    the momentum of the epoch before is forgotten."""
    phases = (
      supernet.Phase(1, 1e-2, 0, is_largest=True),
      supernet.Phase(2, 1e-2, 1),
    )
    recipe = supernet.Recipe(phases, "shrinking", 16, shift=0)
    first, _ = trained(recipe, 1)
    second, _ = trained(recipe, 2)
    jax.tree.map(np.testing.assert_array_equal, second.teacher, first.weights)
    third, _ = trained(recipe, 3)
    jax.tree.map(np.testing.assert_array_equal, third.teacher, first.weights)
    fresh = supernet._enter(first, vit(), recipe, 1, jnp.asarray(True)).moments
    self.assertFalse(any(np.any(leaf) for leaf in jax.tree.leaves(fresh)))
    self.assertEqual(
      [recipe.place(n) for n in range(3)], [(0, 0), (1, 0), (1, 1)]
    )

  def test_the_rate_of_a_phase(self):
    """Oracle: written by hand: up in a line, down in half a cosine."""
    phase = supernet.Phase(4, 0.4, 1, 2)
    recipe = dataclasses.replace(ADAM, phases=(phase,), least_rate=0.1)
    steps = [0, 5, 10, 15, 20]
    found = [float(supernet._rate(phase, recipe, s, 5)) for s in steps]
    np.testing.assert_allclose(found, [0.0, 0.2, 0.4, 0.25, 0.1], atol=1e-6)

  def test_what_is_decayed(self):
    """Oracle: weights without a gradient shrink, or stay, by their names."""
    params = vit().init(KEY).params
    tx = supernet._optimizer(dataclasses.replace(ADAM, weight_decay=0.5))
    zeros = jax.tree.map(jnp.zeros_like, params)
    update, _ = tx.update(zeros, tx.init(params), params)
    for leaf, weight in (
      (update.head.weight, params.head.weight),
      (update.layers.qkv.weight, params.layers.qkv.weight),
      (update.layers.keys.rows, params.layers.keys.rows),
    ):
      np.testing.assert_allclose(leaf, 0.5 * weight, rtol=1e-6)
    for leaf in (update.token, update.positions, update.norm.scale):
      self.assertFalse(np.any(leaf))

  @parameterized.parameters(
    (dict(rule="path"), "rule must be one of single_path, sandwich"),
    (dict(optimizer="adam"), "sgd or adamw"),
    (dict(phases=()), "phases must be some"),
    (dict(phases=(supernet.Phase(1, 0.1, 1, 1),)), "more epochs than"),
    (dict(batch_size=1), "batch_size"),
    (dict(label_smoothing=1.0), r"in \[0, 1\)"),
    (dict(weight_decay=-1.0), "weight_decay"),
  )
  def test_wrong_recipes(self, change, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(ADAM, **change)


_ALL = elastic.Options()


class ElasticTest(parameterized.TestCase):
  def test_networks_of_the_phases(self):
    """Oracle: the options, in plain Python; every option is seen."""
    network = elastic.elastic("mobilenetv3/small32")
    options = elastic.Options((3, 7), (3, 4), (6,))
    archs = np.asarray(network.draw(KEY, 200, options))
    types = {mobilenetv3.TYPES[t] for t in archs[archs != 9].tolist()}
    self.assertEqual(types, {(3, 6), (7, 6)})
    depths = (archs.reshape(-1, 4) != 9).sum(1)
    self.assertEqual({*depths.tolist()}, {3, 4})
    self.assertAlmostEqual((depths == 3).mean(), 0.5, delta=0.06)
    every = network.draw(KEY, 300, _ALL)
    self.assertTrue(network.space.is_valid(every).all())
    self.assertLen(np.unique(every), 10)

  @parameterized.parameters(*elastic.NETWORKS)
  def test_ends(self, name):
    """Oracle: no drawn network has fewer or more parameters."""
    network = elastic.elastic(name)
    ends = jnp.stack([network.smallest, network.largest])
    self.assertTrue(network.space.is_valid(ends).all())
    archs = network.draw(KEY, 100, _ALL)
    self.assertTrue(network.space.is_valid(archs).all())
    low, high = network.num_params(ends).tolist()
    found = np.asarray(network.num_params(archs))
    self.assertLess(low, found.min())
    self.assertLess(found.max(), high)

  @parameterized.parameters(
    ("vit", {}, "network must be one of mobilenetv3/imagenet"),
    ("autoformer/tiny", dict(image_size=50), "must divide the image's 50"),
    ("autoformer/tiny", dict(width=2.0), "width is of mobilenetv3"),
  )
  def test_no_such_network(self, name, sizes, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      elastic.elastic(name, **sizes)

  def test_calibration(self):
    """Oracle: means over batches of what a normalization sees, in NumPy; a
    network whose only layer is one."""

    def apply(weights, arch, x, norm):
      scale = layers.NormParams(jnp.ones(3), jnp.zeros(3))
      _, moments = layers.normalize(x, scale, weights.statistics, norm)
      return x, moments

    network = vit()._replace(apply=apply)
    weights = elastic.Weights((), layers.init_norm((3,))[1])
    x = images().x
    found = elastic.calibrated(network, weights, 0, x, batch_size=20)
    parts = np.asarray(x[:40]).reshape(2, -1, 3)
    mean, variance = found.statistics
    np.testing.assert_allclose(mean, parts.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(variance, parts.var(1).mean(0), rtol=1e-5)
    same = elastic.calibrated(network, weights, 0, x[:0])
    self.assertIs(same, weights)


if __name__ == "__main__":
  absltest.main()
