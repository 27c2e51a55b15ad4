"""Tests of nagjax.networks.lstm."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
from scipy import special

from nagjax.networks import lstm
from tests.networks import dense

N, K, H = 5, 3, 6


def expected(weights, nodes, adjacency):
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
        expected(weights, np.asarray(nodes), np.asarray(adjacency)),
        atol=2e-5,
      )


if __name__ == "__main__":
  absltest.main()
