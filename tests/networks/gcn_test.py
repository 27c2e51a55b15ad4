"""Tests of nagjax.networks.gcn."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.networks import gcn
from nagjax.types import Graph
from tests.networks import dense

N, K = 5, 3
DEFAULT = gcn.Config(hidden_size=8, num_heads=2)
PUBLISHED = gcn.Config(hidden_size=8, num_heads=2, published=True)


def build(config):
  network = gcn.gcn(N, K, config)
  return dense.weights(network), jax.jit(network.apply)


def rows_to_one(matrix):
  return matrix / matrix.sum(1, keepdims=True)


def expected(weights, nodes, adjacency, config, num=N):
  """One graph; `num` divides the sum over its nodes."""
  act = dense.relu if config.published else dense.gelu_tanh
  x = np.asarray(nodes, np.float64)
  along = rows_to_one(np.asarray(adjacency, np.float64) + np.eye(len(x)))
  against = rows_to_one(along.T)
  layer = iter(range(99))

  def next_linear(x):
    return dense.linear(weights[f"Dense_{next(layer)}"], x)

  for i in range(config.num_layers):
    left = act(along @ next_linear(x))
    right = act(against @ next_linear(x))
    x = next_linear(np.concatenate([left, right], axis=1))
    x = dense.layer_norm(weights[f"LayerNorm_{i}"], x)
  pooled = x.sum(0) / num
  if config.published:
    return next_linear(dense.gelu_erf(pooled))
  return next_linear(dense.gelu_tanh(next_linear(pooled)))


class GcnTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("default", DEFAULT),
    ("published", PUBLISHED),
    ("three_layers", gcn.Config(hidden_size=4, num_layers=3)),
  )
  def test_forward_pass(self, config):
    """Oracle: the layers in NumPy, from the same weights."""
    weights, apply = build(config)
    graphs = dense.graphs(6)
    result = apply(weights, graphs)
    self.assertEqual(result.shape, (6, config.num_heads))
    for row, nodes, adjacency in zip(result, *graphs, strict=True):
      np.testing.assert_allclose(
        row, expected(weights, nodes, adjacency, config), atol=2e-5
      )

  def test_the_published_form_has_one_linear_layer_less(self):
    """Oracle: the published program has no layer between pooling and head."""
    default, published = build(DEFAULT)[0], build(PUBLISHED)[0]
    self.assertEqual(set(default) - set(published), {"Dense_7"})
    for head in (default["Dense_7"], published["Dense_6"]):
      self.assertEqual(
        {k: v.shape for k, v in head.items()}, {"kernel": (8, 2)}
      )

  @parameterized.named_parameters(
    ("default", DEFAULT, True), ("published", PUBLISHED, False)
  )
  def test_padding(self, config, ignored):
    """Oracle: NumPy on the smaller graph, its sum divided by all places.

    The published program counts padding, so there the two differ.
    """
    weights, apply = build(config)
    nodes, adjacency = dense.graphs(num_nodes=3)
    small = expected(weights, nodes, adjacency, config)
    for place in ([0, 1, 2], [0, 2, 4]):
      padded = Graph(
        jnp.zeros((N, K)).at[np.asarray(place)].set(nodes),
        jnp.zeros((N, N)).at[np.ix_(place, place)].set(adjacency),
      )
      result = apply(weights, padded)
      close = np.allclose(result, small, atol=2e-5)
      self.assertEqual(close, ignored)

  @parameterized.named_parameters(
    ("default", DEFAULT), ("published", PUBLISHED)
  )
  def test_the_order_of_nodes_does_not_matter(self, config):
    """Oracle: the same graph with its nodes permuted."""
    weights, apply = build(config)
    graphs = dense.graphs(4)
    result = apply(weights, graphs)
    other = apply(weights, dense.permuted(graphs, np.asarray([3, 0, 4, 2, 1])))
    np.testing.assert_allclose(result, other, atol=1e-5)
    self.assertGreater(float(np.ptp(result)), 0.01)

  def test_the_direction_of_edges_matters(self):
    """Oracle: separate weights for the two directions."""
    weights, apply = build(DEFAULT)
    graphs = dense.graphs(4)
    turned = graphs._replace(adjacency=jnp.swapaxes(graphs.adjacency, -1, -2))
    gap = jnp.abs(apply(weights, graphs) - apply(weights, turned))
    self.assertGreater(float(gap.max()), 1e-3)


if __name__ == "__main__":
  absltest.main()
