"""Tests of nagjax.networks.wrapping, and of what all networks promise."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax import networks
from nagjax.types import Graph
from tests.networks import dense

N, K = 5, 3
NAMES = ("gat", "gcn", "lstm", "mlp")


def build(name, **options):
  module = getattr(networks, name)
  config = module.Config(hidden_size=8, num_heads=2, **options)
  return getattr(module, name)(N, K, config)


class FlattenTest(parameterized.TestCase):
  def test_labels_by_node_then_edges_by_target(self):
    """Oracle: the documented order, by a loop."""
    adjacency = np.arange(16.0, dtype=np.float32).reshape(4, 4)
    nodes = 100 + np.arange(8.0, dtype=np.float32).reshape(4, 2)
    expected = list(nodes.ravel())
    for source, target in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]:
      expected.append(adjacency[source, target])
    np.testing.assert_array_equal(
      networks.flatten(Graph(nodes, adjacency)), expected
    )

  def test_leading_axes(self):
    """Oracle: each graph on its own."""
    graphs = dense.graphs(2, 3)
    flat = networks.flatten(graphs)
    for i in np.ndindex(2, 3):
      one = jax.tree.map(lambda leaf, i=i: leaf[i], graphs)
      np.testing.assert_array_equal(flat[i], networks.flatten(one))


class NetworkTest(parameterized.TestCase):
  @parameterized.parameters(*NAMES)
  def test_leading_axes(self, name):
    """Oracle: each graph on its own."""
    network = build(name)
    weights, graphs = dense.weights(network), dense.graphs(2, 3)
    apply = jax.jit(network.apply)
    result = apply(weights, graphs)
    self.assertEqual(result.shape, (2, 3, 2))
    for i in np.ndindex(2, 3):
      one = jax.tree.map(lambda leaf, i=i: leaf[i], graphs)
      np.testing.assert_allclose(result[i], apply(weights, one), atol=1e-5)
    self.assertGreater(float(np.ptp(result)), 0.01)

  @parameterized.parameters(*NAMES)
  def test_drops_with_a_key_only(self, name):
    """Oracle: the network without dropout; equality for equal keys."""
    plain, dropping = build(name), build(name, dropout=0.3)
    weights, graphs = dense.weights(plain), dense.graphs(4)

    @jax.jit
    def run(*keys):
      plainly = [net.apply(weights, graphs) for net in (plain, dropping)]
      return plainly + [
        dropping.apply(weights, graphs, dropout_key=key) for key in keys
      ]

    keys = map(jax.random.key, (0, 0, 1))
    expected, without, one, again, other = run(*keys)
    np.testing.assert_array_equal(without, expected)
    np.testing.assert_array_equal(one, again)
    for dropped in (expected, other):
      self.assertGreater(float(np.abs(one - dropped).max()), 1e-3)

  @parameterized.parameters(*NAMES)
  def test_depends_on_labels_and_on_edges(self, name):
    """Oracle: gradients of neither are zero; of both they are finite."""
    network = build(name)
    weights = dense.weights(network)
    gradient = jax.grad(lambda graph: network.apply(weights, graph).sum())
    for leaf in jax.jit(gradient)(dense.graphs()):
      self.assertTrue(np.isfinite(leaf).all())
      self.assertGreater(float(np.abs(leaf).max()), 1e-4)

  @parameterized.product(name=NAMES, option=("hidden_size", "num_heads"))
  def test_sizes_below_one_are_refused(self, name, option):
    """Oracle: the documented ValueError names the option."""
    with self.assertRaisesRegex(ValueError, f"{option} must be at least 1.*0"):
      getattr(networks, name).Config(**{option: 0})

  @parameterized.parameters("gat", "gcn", "mlp")
  def test_networks_without_layers_are_refused(self, name):
    """Oracle: the documented ValueError names the option."""
    with self.assertRaisesRegex(ValueError, "num_layers must be at least 1"):
      getattr(networks, name).Config(num_layers=0)

  @parameterized.product(name=NAMES, rate=(-0.1, 1.0))
  def test_dropout_outside_its_range_is_refused(self, name, rate):
    """Oracle: the documented ValueError quotes the rate."""
    with self.assertRaisesRegex(ValueError, f"dropout must be in.*{rate}"):
      getattr(networks, name).Config(dropout=rate)


if __name__ == "__main__":
  absltest.main()
