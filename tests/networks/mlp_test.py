"""Tests of nagjax.networks.mlp."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax.networks import mlp
from tests.networks import dense

N, K = 5, 3


class MlpTest(parameterized.TestCase):
  @parameterized.parameters((1, 1), (3, 2))
  def test_forward_pass(self, num_layers, num_heads):
    """Oracle: matrix products in NumPy, from the same weights."""
    config = mlp.Config(
      hidden_size=8, num_layers=num_layers, num_heads=num_heads
    )
    network = mlp.mlp(N, K, config)
    weights = dense.weights(network)
    graphs = dense.graphs(6)
    x = []
    for nodes, adjacency in zip(*graphs, strict=True):
      edges = [adjacency[i, j] for j in range(N) for i in range(j)]
      x.append(np.concatenate([np.ravel(nodes), np.asarray(edges)]))
    x = np.stack(x).astype(np.float64)
    self.assertEqual(x.shape, (6, N * K + N * (N - 1) // 2))
    for i in range(num_layers):
      x = dense.gelu_tanh(dense.linear(weights[f"Dense_{i}"], x))
    x = dense.linear(weights[f"Dense_{num_layers}"], x)
    result = jax.jit(network.apply)(weights, graphs)
    self.assertEqual(result.shape, (6, num_heads))
    np.testing.assert_allclose(result, x, atol=2e-5)


if __name__ == "__main__":
  absltest.main()
