"""Tests of nagjax.networks.guides."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.networks import guides

N, F = 4, 3
MAKERS = {"gcn": guides.gcn_guide, "transformer": guides.transformer_guide}
ADJACENCY = jnp.asarray(np.triu(np.ones((N, N)), 1), jnp.float32)
X = np.random.default_rng(0).normal(size=(5, N, F)).astype(np.float32)
LEVELS = np.asarray([0.0, 1.0, 50.0, 500.0, 999.0], np.float32)


def made(name):
  network = MAKERS[name](N, F, hidden_size=8, num_layers=2)
  weights = network.init(jax.random.key(0))
  return lambda x, level: network.apply(weights, x, level, ADJACENCY)


class GuidesTest(parameterized.TestCase):
  @parameterized.parameters(*((name,) for name in MAKERS))
  def test_each_row_alone(self, name):
    """Oracle: a loop over the batch."""
    apply = made(name)
    found = jax.jit(apply)(X, LEVELS)
    self.assertEqual(found.shape, (5,))
    for row in range(5):
      np.testing.assert_allclose(
        found[row], apply(X[row], LEVELS[row]), rtol=1e-4, atol=1e-5
      )

  @parameterized.parameters(*((name,) for name in MAKERS))
  def test_everything_has_influence(self, name):
    """Oracle: the gradients in all rows, and the level of the noise."""
    apply = made(name)
    slopes = jax.grad(lambda x: jnp.sum(apply(x, LEVELS)))(jnp.asarray(X))
    self.assertTrue(np.all(np.abs(slopes).max(-1) > 1e-7))
    values = [float(apply(X[0], level)) for level in LEVELS]
    self.assertLen(set(values), 5)

  @parameterized.parameters(*((name,) for name in MAKERS))
  def test_large_inputs_do_not_saturate(self, name):
    """Oracle: finite values, and gradients that are not zero."""
    apply = made(name)
    x = jnp.asarray(50 * X)
    slopes = jax.grad(lambda x: jnp.sum(apply(x, LEVELS)))(x)
    self.assertTrue(np.all(np.isfinite(apply(x, LEVELS))))
    self.assertTrue(np.all(np.abs(slopes).max((1, 2)) > 1e-7))

  def test_what_a_transformer_says_is_added_up(self):
    """Oracle: the last layer's biases alone, when its weights are zeros."""
    network = guides.transformer_guide(N, F, hidden_size=8)
    weights = network.init(jax.random.key(0))
    last = weights.head[-1]._replace(
      weight=jnp.zeros_like(weights.head[-1].weight),
      bias=jnp.asarray([1.0, 2.0, 4.5]),
    )
    weights = weights._replace(head=(*weights.head[:-1], last))
    found = network.apply(weights, X, LEVELS, ADJACENCY)
    np.testing.assert_allclose(found, N * 7.5 / F, rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
