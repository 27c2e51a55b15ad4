"""Tests of nagjax.generation.sampling."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import registry
from nagjax.diffusion import guidance
from nagjax.diffusion import score_matching
from nagjax.generation import sampling
from nagjax.generation import score_models

CONFIG = score_models.Config(
  num_layers=1, width=8, num_heads=2, feed_forward=8, head_width=8
)
CONV = 5
"""Column of a convolution 3x3 in the features of NAS-Bench-201."""


@functools.cache
def exact():
  """A model of NAS-Bench-201 that is exact.

  Rows are independent and uniform there, which a network of zeros says.
  """
  model = score_models.score_model(registry.make_space("nasbench201"), CONFIG)
  return model, jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))


def generate(num, config, **options):
  model, params = exact()

  @jax.jit
  def run(key):
    return sampling.generate(key, model, params, num, config, **options)

  return jax.tree.map(np.asarray, run(jax.random.key(0)))


class GenerateTest(parameterized.TestCase):
  @parameterized.parameters(
    ("few_step", 20, True),
    ("probability_flow", 60, True),
    ("predictor_corrector", 100, True),
    ("predictor_corrector", 100, False),
  )
  @pytest.mark.slow
  def test_the_exact_score_gives_the_space(self, sampler, num_steps, corrector):
    """Oracle: uniform operations, within five standard errors and 1 %."""
    config = sampling.Config(sampler, num_steps, 250, corrector)
    found = generate(700, config)  # The last batch is cut.
    self.assertEqual(found.archs.shape, (700, 6))
    self.assertEqual(found.valid.shape, (700,))
    self.assertEqual(found.bad_step, -1)
    self.assertGreater(found.valid.mean(), 0.95)
    archs = found.archs[found.valid]
    for kind in range(5):
      error = (0.16 / archs.size) ** 0.5
      self.assertAlmostEqual(
        (archs == kind).mean(), 0.2, delta=5 * error + 0.01
      )

  @parameterized.parameters((0.0, 0.2), (1.0, 0.8))
  def test_guided(self, scale, share):
    """Oracle: Bayes' rule.

    The likelihood of "good" is 1 for an architecture whose first operation is
    the convolution, and 1/16 for others: (1/5) / (1/5 + 4/5 / 16) = 0.8. What
    is known of it at a noisy row is its posterior, here without any training.
    """
    model, _ = exact()

    def log_good(x, t):
      rows = score_matching.flat_posterior(x, t, model.sde, model.occurs)
      chance = rows[:, 1, CONV]
      return jnp.log(chance + (1 - chance) / 16)

    found = generate(
      800,
      sampling.Config(num_steps=30, batch_size=400),
      steer=lambda score_fn: guidance.guided(score_fn, log_good, scale),
    )
    self.assertGreater(found.valid.mean(), 0.95)
    first, others = found.archs[:, 0], found.archs[:, 1:]
    self.assertAlmostEqual((first == CONV - 2).mean(), share, delta=0.08)
    self.assertAlmostEqual((others == CONV - 2).mean(), 0.2, delta=0.04)

  def test_a_score_that_breaks_is_reported(self):
    """Oracle: the first step, and no valid sample."""
    config = sampling.Config(num_steps=5, batch_size=4)
    found = generate(
      10,
      config,
      steer=lambda score_fn: lambda x, t: jnp.nan * score_fn(x, t),
    )
    self.assertEqual(found.bad_step, 0)
    self.assertFalse(found.valid.any())

  @parameterized.parameters(
    ({"sampler": "other"}, "few_step, .*'other'"),
    ({"num_steps": 1}, "num_steps"),
    ({"batch_size": 0}, "batch_size"),
  )
  def test_bad_options(self, options, message):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, message):
      sampling.Config(**options)


class MeasureTest(absltest.TestCase):
  def test_by_hand(self):
    """Oracle: counts: 6 of 8 valid, 4 different, 3 of these new, 4 rows new."""
    names = np.asarray([3, 3, 5, 7, 7, 9, 4, 4])
    valid = np.asarray([True] * 6 + [False] * 2)
    found = sampling.measure(names, valid, np.asarray([3, 4, 8]))
    np.testing.assert_allclose(found, (6 / 8, 4 / 6, 3 / 4, 4 / 6))

  def test_nothing_to_share(self):
    """Oracle: NaN without a training set, and without a valid sample."""
    names = np.asarray([3, 3])
    found = sampling.measure(names, np.ones(2, bool))
    np.testing.assert_array_equal(found, (1.0, 0.5, np.nan, np.nan))
    found = sampling.measure(names, np.zeros(2, bool), names)
    np.testing.assert_array_equal(found, (0.0, np.nan, np.nan, np.nan))


if __name__ == "__main__":
  absltest.main()
