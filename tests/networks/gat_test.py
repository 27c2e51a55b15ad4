"""Tests of nagjax.networks.gat."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
from scipy import special

from nagjax.networks import gat
from tests.networks import dense

N, K = 5, 3
CONFIG = gat.Config(hidden_size=8, num_heads=2)


def build(config=CONFIG):
  network = gat.gat(N, K, config)
  return dense.weights(network), jax.jit(network.apply)


def attend(x, edges, layers):
  values, left, right = layers
  x = dense.linear(values, x)
  score = dense.linear(left, x) + dense.linear(right, x).T
  score = np.where(score > 0, score, 0.2 * score)
  with np.errstate(divide="ignore"):
    return special.softmax(score + np.log(edges), axis=1) @ x


def expected(weights, nodes, adjacency, num_layers=2):
  """One graph; a weight of an edge is a logarithm inside the softmax."""
  layers = iter([weights[f"Dense_{i}"] for i in range(7 * num_layers + 1)])

  def take(num):
    return [next(layers) for _ in range(num)]

  x = np.asarray(nodes, np.float64)
  along = np.asarray(adjacency, np.float64) + np.eye(len(x))
  for i in range(num_layers):
    halves = [attend(x, edges, take(3)) for edges in (along, along.T)]
    halves = dense.gelu_tanh(np.concatenate(halves, axis=1))
    x = dense.linear(next(layers), halves)
    x = dense.layer_norm(weights[f"LayerNorm_{i}"], x)
  return dense.linear(next(layers), dense.gelu_tanh(x.mean(0)))


class GatTest(parameterized.TestCase):
  def test_forward_pass(self):
    """Oracle: softmax over neighbors in NumPy, from the same weights."""
    weights, apply = build()
    graphs = dense.graphs(6)
    result = apply(weights, graphs)
    self.assertEqual(result.shape, (6, 2))
    for row, nodes, adjacency in zip(result, *graphs, strict=True):
      np.testing.assert_allclose(
        row, expected(weights, nodes, adjacency), atol=2e-5
      )

  def test_the_order_of_nodes_does_not_matter(self):
    """Oracle: the same graph with its nodes permuted."""
    weights, apply = build()
    graphs = dense.graphs(4)
    result = apply(weights, graphs)
    other = apply(weights, dense.permuted(graphs, np.asarray([3, 0, 4, 2, 1])))
    np.testing.assert_allclose(result, other, atol=1e-5)
    self.assertGreater(float(np.ptp(result)), 0.01)

  def test_large_scores_do_not_overflow(self):
    """Oracle: NumPy, whose softmax is safe; exp of such scores is infinite."""
    weights, apply = build(gat.Config(hidden_size=8, num_layers=1))
    for name in ("Dense_1", "Dense_2", "Dense_4", "Dense_5"):
      weights[name] = {"kernel": 1e3 * weights[name]["kernel"]}
    graphs = dense.graphs(3)
    for row, nodes, adjacency in zip(
      apply(weights, graphs), *graphs, strict=True
    ):
      np.testing.assert_allclose(
        row, expected(weights, nodes, adjacency, 1), atol=1e-4
      )


if __name__ == "__main__":
  absltest.main()
