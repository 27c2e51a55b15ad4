"""Tests of nagjax.networks.meta_predictor and dag_gru."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.convert import metad2a
from nagjax.networks import dag_gru
from nagjax.networks import meta_predictor
from nagjax.networks import score
from nagjax.networks import set_encoder
from nagjax.spaces import nasbench201
from nagjax.types import Graph
from tests.networks import diffusionnag_program
from tests.networks import metad2a_program as program

SMALL = meta_predictor.Config(image_size=6, code_size=8, hidden_size=5)
NASBENCH201 = program.adjacency(program.EDGES, 8)


def wide(tree):
  """A tree of 64 bits."""
  return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)


def graphs(types, num_labels, adjacency):
  nodes = np.eye(num_labels, dtype=np.float32)[types]
  return Graph(jnp.asarray(nodes), jnp.asarray(adjacency, jnp.float32))


@functools.cache
def small():
  """A small network of NAS-Bench-201 with weights by name, and some cells."""
  weights = program.state(1, images=6, size=5, code=8)
  params = metad2a.predictor_params(weights, config=SMALL).params
  types = np.random.default_rng(0).integers(0, 7, (3, 8))
  return meta_predictor.meta_predictor(8, 7, SMALL), params, weights, types


class PublishedTest(parameterized.TestCase):
  def test_size(self):
    """Oracle: the published number, which counts layers that nothing reads."""
    network = meta_predictor.meta_predictor(8, 7)
    params = jax.eval_shape(network.init, jax.random.key(0))
    self.assertEqual(
      score.num_params(params) + program.UNUSED, program.NUM_PARAMS
    )
    read = metad2a.predictor_params(program.state(0))
    self.assertEqual((read.num_nodes, read.num_labels), (8, 7))
    self.assertEqual(
      jax.tree.map(jnp.shape, read.params), jax.tree.map(jnp.shape, params)
    )

  def test_weights_of_cells(self):
    """Oracle: the facts' steps in NumPy, node by node, at published sizes."""
    weights = program.state(0)
    params = metad2a.predictor_params(weights).params
    network = meta_predictor.meta_predictor(8, 7)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 20, 512)).astype(np.float32)
    archs = rng.integers(0, 5, (2, 6))
    with jax.enable_x64(True):
      code = network.encode(wide(params), jnp.asarray(images, jnp.float64))
      nodes = nasbench201.to_features(jnp.asarray(archs, jnp.int32))
      graph = Graph(nodes.astype(jnp.float64), jnp.asarray(NASBENCH201))
      result = network.apply(wide(params), graph, code)
    expected_code = diffusionnag_program.set_code(
      weights, images.astype(np.float64)
    )
    np.testing.assert_allclose(code, expected_code, rtol=0, atol=1e-9)
    expected = [
      program.predict(
        weights, [0, *(arch + 2), 1], program.EDGES, expected_code
      )
      for arch in archs
    ]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
    self.assertGreater(np.ptp(expected), 1e-3)

  def test_weights_of_a_chain(self):
    """Oracle: the same, of the 22 nodes of MobileNetV3."""
    weights = program.state(2, 22, 29, images=6, size=5, code=8, heads=False)
    read = metad2a.predictor_params(weights, config=SMALL)
    self.assertEqual((read.num_nodes, read.num_labels), (22, 29))
    network = meta_predictor.meta_predictor(22, 29, SMALL)
    rng = np.random.default_rng(0)
    types, code = rng.integers(0, 29, (2, 22)), rng.normal(size=8)
    edges = [(node, node + 1) for node in range(21)]
    graph = graphs(types, 29, program.adjacency(edges, 22))
    result = network.apply(read.params, graph, jnp.asarray(code, jnp.float32))
    expected = [program.predict(weights, one, edges, code) for one in types]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


class MetaPredictorTest(parameterized.TestCase):
  def test_single_precision(self):
    """Oracle: the facts' steps in NumPy; one architecture after another."""
    network, params, weights, types = small()
    code = np.random.default_rng(1).normal(size=8).astype(np.float32)
    graph = graphs(types, 7, NASBENCH201)
    result = jax.jit(network.apply)(params, graph, code)
    expected = [
      program.predict(weights, one, program.EDGES, code) for one in types
    ]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    each = jax.vmap(
      lambda nodes: network.apply(params, Graph(nodes, graph.adjacency), code)
    )(graph.nodes)
    np.testing.assert_allclose(each, result, rtol=0, atol=1e-6)

  def test_every_graph_has_its_edges(self):
    """Oracle: NumPy on each graph; what is below the diagonal is not read."""
    network, params, weights, types = small()
    code = np.random.default_rng(1).normal(size=8).astype(np.float32)
    adjacency = np.random.default_rng(2).integers(0, 2, (3, 8, 8))
    graph = graphs(types, 7, adjacency)
    result = network.apply(params, graph, code)
    expected = [
      program.predict(weights, one, np.argwhere(np.triu(edges, 1)), code)
      for one, edges in zip(types, adjacency, strict=True)
    ]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)

  @pytest.mark.slow
  def test_gradients(self):
    """Oracle: differences of the NumPy version, in weights and in the code."""
    network, params, weights, types = small()
    code = np.random.default_rng(1).normal(size=8)
    with jax.enable_x64(True):
      graph = graphs(types[:1], 7, NASBENCH201)
      graph = Graph(*wide(graph))
      gradient = jax.grad(
        lambda params, code: network.apply(params, graph, code)[0], (0, 1)
      )(wide(params), jnp.asarray(code))
    of_graph = gradient[0].graph
    cases = {
      "gate_forward.0.weight": of_graph.forward.gate.weight.T,
      "gate_backward.0.bias": of_graph.backward.gate.bias,
      "mapper_forward.0.weight": of_graph.forward.mapper.T,
      "grue_backward.weight_hh": of_graph.backward.states.weight.T,
      "grue_forward.bias_hh": of_graph.forward.states.bias,
      "hg_unify.0.weight": of_graph.unify.weight.T,
      "pred_fc.0.weight": gradient[0].head[0].weight.T,
    }
    rng = np.random.default_rng(3)
    for name, found in cases.items():
      step = 1e-5 * rng.normal(size=found.shape)
      ends = [
        program.predict(
          weights | {name: weights[name] + sign * step},
          *(types[0], program.EDGES, code),
        )
        for sign in (1, -1)
      ]
      difference = (ends[0] - ends[1]) / 2
      np.testing.assert_allclose(
        np.sum(np.asarray(found) * step), difference, rtol=1e-5
      )
    step = 1e-5 * rng.normal(size=8)
    ends = [
      program.predict(weights, types[0], program.EDGES, code + sign * step)
      for sign in (1, -1)
    ]
    np.testing.assert_allclose(
      np.sum(np.asarray(gradient[1]) * step), (ends[0] - ends[1]) / 2, rtol=1e-5
    )

  def test_absent_classes(self):
    """Oracle: the code without them."""
    network, params, _, _ = small()
    images = np.random.default_rng(4).normal(size=(4, 3, 6))
    images = images.astype(np.float32)
    images[1] = 1e3
    present = jnp.asarray([True, False, True, True])
    encode = jax.jit(network.encode)
    result = encode(params, images, present)
    expected = encode(params, images[[0, 2, 3]])
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    gradient = jax.jit(
      jax.grad(lambda images: jnp.sum(network.encode(params, images, present)))
    )(jnp.asarray(images))
    self.assertTrue(np.all(np.isfinite(gradient)))
    np.testing.assert_array_equal(gradient[1], 0)

  @pytest.mark.slow
  def test_start(self):
    """Oracle: PyTorch's bounds, by the inputs of a layer and the state's size
    of a recurrent unit."""
    network = meta_predictor.meta_predictor(8, 7)
    graph = jax.jit(network.init)(jax.random.key(0)).graph
    self.assertIsInstance(graph, dag_gru.Params)
    for array, fan in (
      (graph.forward.gate.weight, 520),
      (graph.backward.mapper, 520),
      (graph.forward.inputs.weight, 512),
      (graph.backward.states.weight, 512),
      (graph.unify.weight, 1024),
    ):
      bound = fan**-0.5
      self.assertBetween(np.max(np.abs(array)), 0.98 * bound, bound)

  @parameterized.parameters(
    ({"image_size": 0}, "image_size"),
    ({"hidden_size": 0}, "hidden_size"),
    ({"code_size": 6}, "multiple of 4"),
  )
  def test_bad_config(self, options, message):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, message):
      meta_predictor.Config(**options)

  def test_bad_shapes(self):
    """Oracle: the documented errors."""
    network, params, _, types = small()
    with self.assertRaisesRegex(ValueError, r"\[C, S, 6\], got \(2, 3, 7\)"):
      network.encode(params, jnp.zeros((2, 3, 7)))
    with self.assertRaisesRegex(ValueError, r"\[\.\.\., 8, 7\]"):
      graph = graphs(types, 8, NASBENCH201)
      network.apply(params, graph, jnp.zeros(8))
    with self.assertRaisesRegex(ValueError, "multiple of 4, got 512 and 6"):
      set_encoder.set_encoder(code_size=6)


if __name__ == "__main__":
  absltest.main()
