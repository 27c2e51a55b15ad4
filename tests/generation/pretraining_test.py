"""Tests of nagjax.generation.pretraining; kills are in resumable_test."""

import dataclasses
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax.generation import pretraining
from nagjax.generation import retraining
from nagjax.networks import Network
from nagjax.networks.generator import GraphLogits
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace

TINY = pretraining.Config(4, 2, 1, num_trials=2, num_reported=3)


class PretrainTest(absltest.TestCase):
  def test_a_space_of_the_users(self):
    """Oracle: the settings; a bias learns the labels of the only target."""
    space = SearchSpace("mine", (3, 2, 4))
    layout, measures = space.layout, []
    target = np.asarray([[0, 1, 2]], np.int32)
    shape = (layout.num_nodes, len(layout.labels))
    cheap = Network(
      lambda key: (jnp.zeros(shape), jnp.zeros(layout.num_edges)),
      lambda params, z: GraphLogits(*params),
    )
    with mock.patch.object(retraining, "make_generator", lambda layout: cheap):
      params, notes = pretraining.pretrain(
        space,
        TINY,
        seed=3,
        targets=target,
        on_progress=lambda done, all_, found: measures.append((done, found)),
      )
    self.assertEqual(params[0].shape, (layout.num_graphs, *shape))
    np.testing.assert_array_equal(
      jnp.argmax(params[0], axis=-1), layout.encode(target[0]).labels
    )
    self.assertEqual((notes["space"], notes["instances"]), ("mine", 4))
    self.assertEqual((notes["num_reported"], notes["seed"]), (3, 3))
    self.assertEqual([done for done, _ in measures], [0, 1, 2])
    self.assertEqual(
      round(measures[-1][1]["loss"], 6), notes["history"][-1]["loss"]
    )

  def test_published_sizes(self):
    """Oracle: the targets of the weights in the package."""
    for name, num in (("nasbench201", 200_000), ("mine", 400_000)):
      config = pretraining.default_config(SearchSpace(name, (2, 2)))
      self.assertEqual(config.num_instances, num)


class MeasureTest(absltest.TestCase):
  def test_measures(self):
    """Oracle: counted by hand: 5 of 8 valid, 3 different, 1 a target."""
    numbers = [1, 1, 2, 2, 3, 4, 4, 5]
    valid = [True] * 5 + [False] * 3
    outcome = pretraining.Outcome(
      jnp.arange(8.0),
      jnp.asarray(valid),
      jnp.asarray([[7, n] for n in numbers], jnp.uint32),
    )
    targets = arrays.key_numbers([[7, 2], [8, 1], [7, 5]])
    space = nasbench201.nasbench201()
    with mock.patch.object(pretraining, "decode_many", lambda *args: outcome):
      found = pretraining.measure(
        jax.random.key(0), space, None, 8, names=targets
      )
    self.assertEqual(
      found,
      {
        "num_reported": 8,
        "reconstruction_loss": 3.5,
        "validity": 0.625,
        "uniqueness": 0.6,
        "novelty": round(2 / 3, 6),
      },
    )

  def test_targets_are_drawn_again(self):
    """Oracle: recorded draws of the training's own chunks."""
    space = nasbench201.nasbench201()
    drawn = []

    def sample(key, num):
      archs = space.from_uniform(jax.random.uniform(key, (num, 6)))
      jax.debug.callback(lambda rows: drawn.append(np.asarray(rows)), archs)
      return archs

    recorded = dataclasses.replace(space, sample_fn=sample)
    config = pretraining.Config(40, 4, 5)
    names = pretraining.target_names(recorded, config, seed=3)
    jax.effects_barrier()
    archs = np.concatenate(drawn)
    self.assertLen(archs, 40)
    expected = {tuple(key) for key in np.asarray(space.keys(archs)).tolist()}
    found = {(int(n) >> 32, int(n) & (2**32 - 1)) for n in names}
    self.assertEqual(found, expected)
    many = dataclasses.replace(config, num_instances=16_000)
    self.assertIsNone(pretraining.target_names(space, many))


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("num_instances", 0), ("batch_size", 0), ("learning_rate", 0.0)
  )
  def test_bad_config(self, name, value):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, name):
      pretraining.Config(**{name: value})


if __name__ == "__main__":
  absltest.main()
