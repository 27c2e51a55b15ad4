"""Tests of nagjax.networks.layers, and of what all graph networks promise."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import networks
from nagjax.networks import layers
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
    # One program for all keys: within one, equal calls may round differently.
    run = jax.jit(lambda key: dropping.apply(weights, graphs, dropout_key=key))
    one, again, other = map(run, map(jax.random.key, (0, 0, 1)))
    expected, without = (
      jax.jit(net.apply)(weights, graphs) for net in (plain, dropping)
    )
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

  @parameterized.product(
    name=NAMES,
    option=(
      ("hidden_size", 0, "hidden_size must be at least 1.*0"),
      ("num_heads", 0, "num_heads must be at least 1.*0"),
      ("num_layers", 0, "num_layers must be at least 1"),
      ("dropout", -0.1, "dropout must be in.*-0.1"),
      ("dropout", 1.0, "dropout must be in.*1.0"),
    ),
  )
  def test_bad_options_are_refused(self, name, option):
    """Oracle: the documented ValueError names the option and the value."""
    field, value, message = option
    if (name, field) == ("lstm", "num_layers"):
      self.skipTest("It has one layer.")
    with self.assertRaisesRegex(ValueError, message):
      getattr(networks, name).Config(**{field: value})


class LayersTest(parameterized.TestCase):
  def test_rows_sum_to_one_or_stay_zero(self):
    """Oracle: by hand."""
    matrix = jnp.asarray([[[1.0, 3.0], [0.0, 0.0]]])
    np.testing.assert_allclose(
      layers.row_normalize(matrix), [[[0.25, 0.75], [0.0, 0.0]]]
    )

  def test_normalize(self):
    """Oracle: NumPy in float64; a large mean costs no precision."""
    rng = np.random.default_rng(0)
    x = 100 + rng.normal(size=(3, 2, 7))
    scale, shift = rng.normal(size=(2, 7)).astype(np.float32)
    found = layers.normalize(layers.Norm(scale, shift), jnp.float32(x))
    expected = dense.layer_norm({"scale": scale, "bias": shift}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
  absltest.main()
