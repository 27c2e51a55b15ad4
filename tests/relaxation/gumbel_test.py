"""Tests of nagjax.relaxation.gumbel."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from nagjax.relaxation import gumbel

NUM = 20_000
"""Draws: four standard errors of a frequency are at most 0.015."""


def draws(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class ClosedFormTest(parameterized.TestCase):
  @parameterized.parameters(0.2, 1.0, 5.0)
  def test_softmax(self, temperature):
    """Oracle: scipy's softmax."""
    logits, noise = draws(2, 3, 4), draws(2, 3, 4, seed=1)
    np.testing.assert_allclose(
      gumbel.gumbel_softmax(logits, noise, temperature),
      special.softmax((logits + noise) / temperature, axis=-1),
      rtol=1e-4,
    )

  @parameterized.parameters(0.2, 1.0)
  def test_sigmoids(self, temperature):
    """Oracle: scipy's logistic function."""
    logits, noise = draws(50), draws(50, seed=1)
    expected = special.expit((logits + noise) / temperature)
    for relax in (gumbel.binary_concrete, gumbel.one_gumbel_sigmoid):
      result = relax(logits, noise, temperature)
      np.testing.assert_allclose(result, expected, rtol=1e-4)

  def test_two_options_are_a_binary_concrete_choice(self):
    """Oracle: binary_concrete of the differences."""
    logits, noise = draws(50, 2), draws(50, 2, seed=1)
    np.testing.assert_allclose(
      gumbel.gumbel_softmax(logits, noise, 0.5)[:, 1],
      gumbel.binary_concrete(
        logits[:, 1] - logits[:, 0], noise[:, 1] - noise[:, 0], 0.5
      ),
      rtol=1e-4,
      atol=1e-7,
    )

  def test_options_that_do_not_exist_get_nothing(self):
    """Oracle: the softmax of the others; the gradient is finite."""
    logits, noise = draws(5, 4), draws(5, 4, seed=1)
    masked = jnp.asarray(logits).at[:, 2].set(-jnp.inf)
    others = np.asarray([0, 1, 3])

    def weights(logits):
      return gumbel.gumbel_softmax(logits, noise, 0.5)

    np.testing.assert_array_equal(weights(masked)[:, 2], 0.0)
    np.testing.assert_allclose(
      weights(masked)[:, others],
      special.softmax((logits + noise)[:, others] / 0.5, axis=-1),
      rtol=1e-4,
    )
    gradient = jax.grad(lambda logits: (weights(logits) ** 2).sum())(masked)
    self.assertTrue(np.isfinite(gradient).all())
    np.testing.assert_array_equal(gradient[:, 2], 0.0)

  @parameterized.parameters(1, 7)
  def test_temperatures(self, num_epochs):
    """Oracle: the published formula, epoch by epoch."""
    result = gumbel.linear_temperatures(num_epochs)
    expected = [
      (1 - epoch / num_epochs) * (0.7 - 0.2) + 0.2
      for epoch in range(num_epochs)
    ]
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    self.assertEqual(result.dtype, jnp.float32)

  def test_other_temperatures(self):
    """Oracle: by hand."""
    result = gumbel.linear_temperatures(4, start=5.0, end=1.0)
    np.testing.assert_allclose(result, [5, 4, 3, 2])


class FrequencyTest(parameterized.TestCase):
  @parameterized.parameters(0.2, 3.0)
  def test_largest_weights_follow_the_softmax(self, temperature):
    """Oracle: softmax of the logits, within four standard errors."""
    logits = np.asarray([0.3, -1.0, 1.2, 0.0], np.float32)
    noise = jax.random.gumbel(jax.random.key(0), (NUM, 4))
    weights = gumbel.gumbel_softmax(logits[None], noise, temperature)
    counts = np.bincount(np.argmax(weights, axis=-1), minlength=4)
    np.testing.assert_allclose(
      counts / NUM, special.softmax(logits), atol=0.015
    )

  @parameterized.parameters(-1.5, 0.0, 0.7)
  def test_edges_of_one_gumbel(self, logit):
    """Oracle: 1 - exp(-exp(b)), from the distribution of a Gumbel draw."""
    noise = jax.random.gumbel(jax.random.key(1), (NUM,))
    weights = gumbel.one_gumbel_sigmoid(jnp.float32(logit), noise, 0.4)
    expected = 1 - np.exp(-np.exp(logit))
    np.testing.assert_allclose((weights > 0.5).mean(), expected, atol=0.015)
    self.assertGreater(expected, special.expit(logit) + 0.01)

  @parameterized.parameters(-1.5, 0.0, 0.7)
  def test_edges_of_a_logistic_draw(self, logit):
    """Oracle: sigmoid(b)."""
    noise = jax.random.logistic(jax.random.key(2), (NUM,))
    weights = gumbel.binary_concrete(jnp.float32(logit), noise, 0.4)
    frequency = (weights > 0.5).mean()
    np.testing.assert_allclose(frequency, special.expit(logit), atol=0.015)


if __name__ == "__main__":
  absltest.main()
