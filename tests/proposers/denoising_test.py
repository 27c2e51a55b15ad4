"""Tests of nagjax.proposers.denoising; the contract covers the rest."""

import functools

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import archive as archive_lib
from nagjax.proposers import base
from nagjax.proposers import denoising
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal

SPACE = nasbench201.nasbench201()
TARGET = jnp.asarray([[3, 3, 2, 1, 3, 3]])


def agreement(archs):
  return jnp.sum(archs == TARGET, axis=-1).astype(jnp.float32)


def belief(penalty=0.0):
  def predict(archs):
    mean = agreement(archs) - 1.2
    return Prediction(mean, mean * 0, None, jnp.zeros((*mean.shape, 0)))

  return base.Belief(predict, None, True, penalty)


@functools.cache
def archive(num):
  empty = archive_lib.empty(SPACE, 100, 0)
  archs = SPACE.sample(jax.random.key(1), num)
  value = agreement(archs)
  answer = Evaluation(
    jnp.zeros(num, jnp.int8),
    value,
    value[:, None],
    jnp.zeros((num, 0)),
    jnp.ones(num, bool),
  )
  proposal = Proposal(archs, jnp.ones(num, bool))
  return archive_lib.add(empty, SPACE, proposal, answer)


class DenoisingTest(absltest.TestCase):
  def test_population_moves_to_the_fit_region(self):
    """Oracle: uniform samples, of which 6 / 5 agree on average; the later of
    the steps that are all candidates agree more."""
    part = denoising.denoising(SPACE)
    propose = jax.jit(
      lambda key: part.propose(key, (), part.params, belief(), archive(60))
    )
    archs, valid, state = propose(jax.random.key(2))
    self.assertTrue(bool(jnp.all(valid)))
    # What it says of them is the belief itself.
    np.testing.assert_allclose(part.means(state), agreement(archs) - 1.2)
    steps = np.asarray(agreement(archs)).reshape(6, 64).mean(axis=1)
    self.assertLess(abs(steps[0] - 6 / 5), 0.6)
    self.assertGreater(steps[-1], 6 / 5 + 0.4)
    self.assertGreater(steps[-1], steps[0])

  def test_observed_fitness(self):
    """Oracle: targets of the archive, less the penalty of what exceeds."""
    filled = archive(60)._replace(
      targets=jnp.asarray([[0.5, 2.0], [1.0, -3.0]] * 50)
    )
    np.testing.assert_allclose(
      belief(penalty=5.0).observed(filled)[:2], [0.5 - 10.0, 1.0]
    )


if __name__ == "__main__":
  absltest.main()
