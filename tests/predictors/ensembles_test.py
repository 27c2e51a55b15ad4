"""Tests of nagjax.predictors.ensembles."""

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import networks
from nagjax import spaces
from nagjax.predictors import ensembles
from nagjax.predictors import fitting

SPACE = spaces.nasbench201.nasbench201()


class EnsemblesTest(absltest.TestCase):
  def test_scaled_violations(self):
    """Oracle: NumPy, column by column."""
    rng = np.random.default_rng(0)
    violations = rng.normal(size=(12, 2)).astype(np.float32) * [1.0, 1e3]
    violations[[2, 5], 1] = np.inf
    used = np.arange(12) < 9
    expected = np.zeros((12, 2))
    for column in range(2):
      finite = used & np.isfinite(violations[:, column])
      v = violations[finite, column]
      logs = np.sign(v) * np.log(1 + np.abs(v))
      unit = np.sqrt((logs**2).mean())
      expected[finite, column] = np.clip(logs / unit, -3, 3)
      expected[used & ~finite, column] = 3
    result = ensembles.scaled_violations(
      jnp.asarray(violations, jnp.float32), jnp.asarray(used)
    )
    np.testing.assert_allclose(result, expected, atol=1e-4)
    feasible = (violations <= 0)[used]
    np.testing.assert_array_equal(np.asarray(result)[used] <= 0, feasible)

  def test_predictions_subtract_positive_violations(self):
    """Oracle: NumPy on the heads that every member returns."""
    weights = np.random.default_rng(0).normal(size=(3, 8, 3))
    weights = jnp.asarray(weights, jnp.float32)
    network = networks.Network(
      init=lambda key: weights[0],
      apply=lambda weights, graph: graph.nodes[..., 4] @ weights,
    )
    members = fitting.Fitted(weights, ())
    graphs = SPACE.to_graph(SPACE.sample(jax.random.key(1), 10))
    heads = np.einsum("bn,mnh->mbh", graphs.nodes[..., 4], weights)
    excess = np.maximum(heads[..., 1:].mean(0), 0).sum(-1)
    mean, deviation = ensembles.predict(network, members, graphs, penalty=5.0)
    np.testing.assert_allclose(
      mean, heads[..., 0].mean(0) - 5.0 * excess, atol=1e-4
    )
    np.testing.assert_allclose(
      deviation, heads[..., 0].std(0, ddof=1), atol=1e-4
    )
    self.assertGreater(excess.max(), 0.1)


if __name__ == "__main__":
  absltest.main()
