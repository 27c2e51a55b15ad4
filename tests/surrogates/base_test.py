"""Tests of nagjax.surrogates.base."""

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.surrogates import base

HEADS = np.random.default_rng(0).normal(size=(3, 8, 3)).astype(np.float32)


class PredictionTest(absltest.TestCase):
  def test_moments_of_members(self):
    """Oracle: NumPy, with ddof 1."""
    found = base.of_members(jnp.asarray(HEADS))
    np.testing.assert_array_equal(found.members, HEADS[..., 0])
    np.testing.assert_allclose(found.mean, HEADS[..., 0].mean(0), atol=1e-6)
    np.testing.assert_allclose(
      found.std, HEADS[..., 0].std(0, ddof=1), atol=1e-5
    )
    np.testing.assert_allclose(
      found.violations, HEADS[..., 1:].mean(0), atol=1e-6
    )

  def test_members_that_agree(self):
    """Oracle: hardly any deviation, and no gradient of it; so for one."""
    same = jnp.broadcast_to(HEADS[:1], HEADS.shape)
    for heads in (same, same[:1]):
      gradient, std = jax.grad(
        lambda heads: (base.of_members(heads).std.sum(),) * 2, has_aux=True
      )(heads)
      np.testing.assert_array_equal(gradient, np.zeros(heads.shape))
      self.assertBetween(float(std), 0.0, 1e-2)

  def test_penalty(self):
    """Oracle: NumPy: what exceeds a limit alone is subtracted."""
    plain = base.of_members(jnp.asarray(HEADS))
    found = base.penalize(plain, 5.0)
    excess = np.maximum(plain.violations, 0).sum(-1)
    self.assertGreater(excess.max(), 0.1)
    self.assertEqual(excess.min(), 0)
    np.testing.assert_allclose(found.mean, plain.mean - 5 * excess, atol=1e-5)
    np.testing.assert_allclose(
      found.members, plain.members - 5 * excess[None], atol=1e-5
    )
    np.testing.assert_array_equal(found.std, plain.std)
    self.assertIsNone(base.penalize(plain._replace(members=None), 5.0).members)


if __name__ == "__main__":
  absltest.main()
