"""Tests of nagjax.networks.guides."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.networks import guides
from tests.networks import dense

N, F = 4, 3
MAKERS = {"gcn": guides.gcn_guide, "transformer": guides.transformer_guide}
ADJACENCY = jnp.asarray(np.triu(np.ones((N, N)), 1), jnp.float32)
X = np.random.default_rng(0).normal(size=(5, N, F)).astype(np.float32)
LEVELS = np.asarray([0.0, 1.0, 50.0, 500.0, 999.0], np.float32)


class GuidesTest(parameterized.TestCase):
  @parameterized.parameters(*MAKERS)
  def test_values_and_gradients(self, name):
    """Oracle: one row after another; gradients in all rows of a sample, of any
    size, and values that differ with the level of the noise."""
    network = MAKERS[name](N, F, hidden_size=8, num_layers=2)
    params = dense.weights(network)

    @jax.jit
    def run(x, level):
      value = network.apply(params, x, level, ADJACENCY)
      return jnp.sum(value), value

    run_all = jax.jit(jax.value_and_grad(run, has_aux=True))
    (_, found), slopes = run_all(X, LEVELS)
    self.assertEqual(found.shape, (5,))
    self.assertTrue(np.all(np.abs(slopes).max(-1) > 1e-7))
    for row in range(5):
      alone = run(X[row], LEVELS[row])[0]
      np.testing.assert_allclose(found[row], alone, rtol=1e-4, atol=1e-5)
    (_, values), _ = run_all(np.repeat(X[:1], 5, axis=0), LEVELS)
    self.assertLen(set(values.tolist()), 5)
    (_, values), slopes = run_all(50 * X, LEVELS)
    self.assertTrue(np.all(np.isfinite(values)))
    self.assertTrue(np.all(np.abs(slopes).max((1, 2)) > 1e-7))

  def test_what_a_transformer_says_is_added_up(self):
    """Oracle: the last layer's biases alone, when its weights are zeros."""
    network = guides.transformer_guide(N, F, hidden_size=8)
    params = dense.weights(network)
    last = params.head[-1]._replace(
      weight=jnp.zeros_like(params.head[-1].weight),
      bias=jnp.asarray([1.0, 2.0, 4.5]),
    )
    params = params._replace(head=(*params.head[:-1], last))
    found = jax.jit(network.apply)(params, X, LEVELS, ADJACENCY)
    np.testing.assert_allclose(found, N * 7.5 / F, rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
