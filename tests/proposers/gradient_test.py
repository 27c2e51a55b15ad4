"""Tests of nagjax.proposers.gradient; the contract covers the rest."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import archive as archive_lib
from nagjax.proposers import base
from nagjax.proposers import gradient
from nagjax.spaces import nasbench201
from nagjax.types import Prediction

SPACE = nasbench201.nasbench201()
TARGET = jax.nn.one_hot(jnp.asarray([3, 3, 2, 1, 3, 3]), 5)


def agreement(options):
  """Largest at one cell, and linear in the weights of the options."""
  mean = jnp.sum(options * TARGET[None], axis=(-2, -1))
  return Prediction(mean, mean * 0, None, jnp.zeros((*mean.shape, 0)))


def proposed(config):
  part = gradient.gradient(SPACE, config)
  belief = base.Belief(
    lambda archs: agreement(SPACE.one_hot(archs)), agreement, True, 0.0
  )
  archive = archive_lib.empty(SPACE, 9, 0)
  propose = jax.jit(
    lambda key: part.propose(key, (), part.params, belief, archive)
  )
  archs, valid, _ = propose(jax.random.key(0))
  assert bool(jnp.all(valid))
  return np.asarray(agreement(SPACE.one_hot(archs)).mean)


class GradientTest(parameterized.TestCase):
  def test_groups_climb(self):
    """Oracle: uniform samples agree in 6 / 5 of the variables on average."""
    climbed = proposed(gradient.Config(num_groups=4))
    random = proposed(gradient.Config(num_groups=4, samples_groups=False))
    self.assertEqual(climbed.shape, (4 * 64,))
    self.assertLess(abs(random.mean() - 6 / 5), 0.3)
    self.assertGreater(climbed.mean(), 3.0)

  @parameterized.parameters(
    ("num_groups", 0), ("learning_rate", 0.0), ("max_beta", -1.0)
  )
  def test_bad_values(self, option, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, option):
      dataclasses.replace(gradient.Config(), **{option: value})


if __name__ == "__main__":
  absltest.main()
