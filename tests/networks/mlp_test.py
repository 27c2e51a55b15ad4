"""Tests of nagjax.networks.lstm and mlp."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
from scipy import special

from nagjax.networks import lstm
from nagjax.networks import mlp
from tests.networks import dense

N, K, H = 5, 3, 6


def lstm_by_hand(weights, nodes, adjacency):
  """Hochreiter and Schmidhuber's cell with a forget gate, one graph."""
  (cell,) = (w for w in weights.values() if "hi" in w)
  head = weights["Dense_0"]
  state, carry = np.zeros(H), np.zeros(H)
  for node in range(N):
    x = np.concatenate([nodes[node], adjacency[:, node]]).astype(np.float64)
    gates = {
      gate: dense.linear(cell["i" + gate], x)
      + dense.linear(cell["h" + gate], state)
      for gate in "ifgo"
    }
    carry = special.expit(gates["f"]) * carry
    carry = carry + special.expit(gates["i"]) * np.tanh(gates["g"])
    state = special.expit(gates["o"]) * np.tanh(carry)
  return dense.linear(head, state)


class LstmTest(parameterized.TestCase):
  def test_forward_pass(self):
    """Oracle: a loop over nodes in NumPy, from the same weights."""
    network = lstm.lstm(N, K, lstm.Config(hidden_size=H, num_heads=2))
    weights = dense.weights(network)
    graphs = dense.graphs(6)
    result = jax.jit(network.apply)(weights, graphs)
    self.assertEqual(result.shape, (6, 2))
    for row, nodes, adjacency in zip(result, *graphs, strict=True):
      np.testing.assert_allclose(
        row,
        lstm_by_hand(weights, np.asarray(nodes), np.asarray(adjacency)),
        atol=2e-5,
      )


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
