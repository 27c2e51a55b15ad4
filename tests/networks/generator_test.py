"""Tests of nagjax.networks.generator, and of the published weights' names."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.networks import generator
from tests.networks import agnet_program

SIZES = (
  ("nasbench201", 8, 7, 2, 1),
  ("nasbench301", 11, 11, 4, 2),
  ("nlp", 26, 9, 2, 1),
)


def build(num_nodes, num_labels, num_rounds, num_inputs):
  config = generator.Config(num_rounds, num_inputs)
  return generator.generator(num_nodes, num_labels, config)


class GeneratorTest(parameterized.TestCase):
  @parameterized.named_parameters(*SIZES)
  def test_scores(self, num_nodes, num_labels, num_rounds, num_inputs):
    """Oracle: the facts' steps in NumPy, node by node and edge by edge."""
    network = build(num_nodes, num_labels, num_rounds, num_inputs)
    states = [
      agnet_program.state_dict(seed, num_labels, num_rounds)
      for seed in (1, 2, 3, 6)
    ]
    params = jax.tree.map(
      lambda *leaves: jnp.stack(leaves), *map(agnet_program.params, states)
    )
    z = np.random.default_rng(1).normal(size=(3, 32))
    one_network = jax.vmap(network.apply, (None, 0))
    apply = jax.jit(jax.vmap(one_network, (0, None)))
    # Rounding grows from node to node, so the long graphs need 64 bits.
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      scores = apply(wide, jnp.asarray(z))
    num_mixed = 0
    for row, column in np.ndindex(len(states), len(z)):
      nodes, edges, num_edges = agnet_program.generate(
        states[row], z[column], num_nodes, num_inputs
      )
      near = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-9)
      near(scores.nodes[row, column], nodes)
      near(scores.edges[row, column], edges)
      num_mixed += 1 < num_edges < len(edges)
    # Otherwise messages would hardly be tested.
    self.assertGreater(num_mixed, 2)

  def test_scores_of_32_bits(self):
    """Oracle: the same, to the precision that users of the weights need."""
    state = agnet_program.state_dict(1, 7, 2)
    z = np.random.default_rng(1).normal(size=32)
    apply = jax.jit(build(8, 7, 2, 1).apply)
    scores = apply(agnet_program.params(state), z)
    nodes, edges, _ = agnet_program.generate(state, z, 8, 1)
    np.testing.assert_allclose(scores.nodes, nodes, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores.edges, edges, rtol=0, atol=1e-5)

  def test_constants(self):
    """Oracle: what the facts sheet says is fixed."""
    params = agnet_program.params(agnet_program.state_dict(0, 4, 1))
    scores = jax.jit(build(5, 4, 1, 1).apply)(params, jnp.ones(32))
    np.testing.assert_array_equal(scores.nodes[0], [0, 20, 0, 0])
    self.assertEqual(scores.edges[0], 20)
    params = agnet_program.params(agnet_program.state_dict(0, 5, 1))
    scores = jax.jit(build(6, 5, 1, 2).apply)(params, jnp.ones(32))
    np.testing.assert_array_equal(scores.edges[:3], [-1, 1, -1])

  def test_start(self):
    """Oracle: PyTorch's bounds, and the published shapes."""
    network = build(8, 7, 2, 1)
    params = network.init(jax.random.key(0))
    like = agnet_program.params(agnet_program.state_dict(0, 7, 2))
    self.assertEqual(jax.tree.map(jnp.shape, params), _shapes(like))
    weight = params.later[0].weight
    self.assertLessEqual(jnp.max(jnp.abs(weight)), 96**-0.5)
    self.assertGreater(jnp.max(jnp.abs(weight)), 0.95 * 96**-0.5)
    gate = params.forward[0].inputs.weight
    self.assertBetween(jnp.max(jnp.abs(gate)), 0.95 * 0.25, 0.25)

  @pytest.mark.slow
  def test_gradient_reaches_all_weights(self):
    """Oracle: every weight but the gates' and messages' unused ones moves."""
    network = build(8, 7, 1, 1)
    params = agnet_program.params(agnet_program.state_dict(3, 7, 1))
    z = jax.random.normal(jax.random.key(0), (4, 32))

    def loss(params):
      scores = jax.vmap(network.apply, (None, 0))(params, z)
      return jnp.mean(
        generator.reconstruction_loss(
          scores, jnp.full((4, 8), 2), jnp.ones((4, 28), bool)
        )
      )

    gradient = jax.jit(jax.grad(loss))(params)
    moved = jax.tree.map(lambda g: float(jnp.max(jnp.abs(g))) > 0, gradient)
    self.assertTrue(all(jax.tree.leaves(moved)), moved)

  def test_loss(self):
    """Oracle: logarithms of softmax and sigmoid, averaged by hand."""
    nodes = np.log([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    edges = np.log([3.0])  # A probability of 0.75.
    scores = generator.GraphLogits(jnp.asarray(nodes), jnp.asarray(edges))
    loss = generator.reconstruction_loss(
      scores, jnp.asarray([0, 2]), jnp.asarray([False])
    )
    expected = -np.log([0.5, 0.6]).mean() - np.log(0.25)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

  @parameterized.named_parameters(
    ("rounds", {"num_rounds": 0}, "num_rounds"),
    ("inputs", {"num_inputs": 3}, "num_inputs"),
  )
  def test_bad_config(self, options, name):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, name):
      generator.Config(**options)

  def test_too_small(self):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, "2 nodes of 7 types"):
      generator.generator(2, 7)


def _shapes(tree):
  return jax.tree.map(jnp.shape, tree)


if __name__ == "__main__":
  absltest.main()
