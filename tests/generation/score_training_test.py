"""Tests of nagjax.generation.score_training; kills are in resumable_test."""

import tempfile

from absl.testing import absltest
from absl.testing import parameterized
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.generation import sampling
from nagjax.generation import score_training
from nagjax.networks import Network
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace


class _Rows(nn.Module):
  """A user's network, which reads a sample at once."""

  @nn.compact
  def __call__(self, x, condition):
    level = jnp.broadcast_to(condition[..., None] / 1000, (*x.shape[:-2], 1))
    flat = jnp.concatenate([x.reshape(*x.shape[:-2], -1), level], axis=-1)
    size = x.shape[-2] * x.shape[-1]
    return nn.Dense(size)(nn.gelu(nn.Dense(8)(flat))).reshape(x.shape)


class TrainTest(absltest.TestCase):
  @pytest.mark.slow
  def test_an_own_network_of_an_own_space(self):
    """Oracle: the settings, and the bits of a second call, which only reads.

    Samples of so few steps are valid since rows are read as probabilities.
    """
    space = SearchSpace("mine", (2, 3, 2))
    module = _Rows()

    def init(key):
      return module.init(key, jnp.zeros((3, 3)), jnp.zeros(()))

    def apply(params, x, condition, mask, *, dropout_key=None):
      return module.apply(params, x, condition)

    config = score_training.Config(
      sampler=sampling.Config(num_steps=4),
      num_steps=4,
      batch_size=8,
      chunk_size=2,
      num_reported=30,
    )
    with tempfile.TemporaryDirectory() as folder:
      found, again = (
        score_training.train_score_model(
          space,
          config,
          network=Network(init, apply),
          seed=5,
          directory=folder,
        )
        for _ in range(2)
      )
    jax.tree.map(np.testing.assert_array_equal, found.params, again.params)
    self.assertEqual(found.notes, again.notes)
    self.assertEqual(found.notes["network"], "own")
    self.assertEqual((found.notes["space"], found.notes["seed"]), ("mine", 5))
    self.assertEqual(found.params["params"]["Dense_0"]["bias"].shape, (9,))
    self.assertGreater(found.notes["validity"], 0.9)
    self.assertIsNone(found.notes["novelty"])


class ConfigTest(parameterized.TestCase):
  def test_choice_of_targets(self):
    """Oracle: distinct, a half, another half for another seed; None is all."""
    space = nasbench201.nasbench201()
    one, again, other = (
      score_training.choose_targets(space, 0.5, seed) for seed in (0, 0, 1)
    )
    self.assertLen(np.unique(one, axis=0), 7812)
    np.testing.assert_array_equal(one, again)
    shared = {*map(tuple, one.tolist())} & {*map(tuple, other.tolist())}
    self.assertAlmostEqual(len(shared) / 7812, 0.5, delta=0.04)
    self.assertIsNone(score_training.choose_targets(space, 1.0, 0))
    with self.assertRaisesRegex(ValueError, "enumerable"):
      score_training.choose_targets(mobilenetv3.mobilenetv3(), 0.5, 0)

  @parameterized.parameters(
    ("num_steps", 0), ("chunk_size", 0), ("training_share", 0.0)
  )
  def test_bad_config(self, name, value):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, name):
      score_training.Config(**{name: value})

  def test_another_preset(self):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, "preset must be one of"):
      score_training.preset(nasbench201.nasbench201(), "other")


if __name__ == "__main__":
  absltest.main()
