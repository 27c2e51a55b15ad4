"""Tests of nagjax.networks.score and transformer."""

import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.convert import diffusionnag
from nagjax.networks import layers
from nagjax.networks import score
from tests.networks import diffusionnag_program as program

NASBENCH201 = (8, 7, tuple(range(8)))
MOBILENETV3 = (20, 9, program.STAGES)
SMALL = score.Config(num_layers=2, width=16, num_heads=4, feed_forward=8)
SIGMAS = (0.1, 1.7)


def build(space, config=None):
  *sizes, positions = space
  return score.score(*sizes, config, positions=positions)


def shapes_of(config):
  init = build(NASBENCH201, config).init
  return jax.eval_shape(init, jax.random.key(0))


@functools.cache
def small_network():
  """The network, its compiled `apply`, and weights."""
  network = build(NASBENCH201, SMALL)
  return (
    network,
    jax.jit(network.apply),
    jax.jit(network.init)(jax.random.key(0)),
  )


def inputs(num_nodes, num_labels, *leading):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(*leading, num_nodes, num_labels)).astype(np.float32)
  return x, np.resize(np.asarray(SIGMAS, np.float32), leading)


class ScoreTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("nasbench201", NASBENCH201, program.ADJACENCY),
    ("nasbench201_closure", NASBENCH201, program.closure(program.ADJACENCY)),
    ("mobilenetv3", MOBILENETV3, program.CHAIN),
    ("mobilenetv3_closure", MOBILENETV3, program.closure(program.CHAIN)),
    ("no_positions", (*NASBENCH201[:2], None), program.ADJACENCY),
  )
  def test_published_weights(self, space, mask):
    """Oracle: the facts' steps in NumPy, node by node and head by head."""
    state = program.score_state(0, space[1])
    params = diffusionnag.score_params(state)
    apply = jax.jit(build(space).apply)
    x, condition = inputs(*space[:2], 2)
    expected = [
      program.score(
        state, row.astype(np.float64), float(c), mask, space[2], num_heads=8
      )
      for row, c in zip(x, condition, strict=True)
    ]
    result = apply(params, x, condition, jnp.asarray(mask, jnp.float32))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    self.assertGreater(np.ptp(expected), 1.0)
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      x, condition = x.astype(np.float64), condition.astype(np.float64)
      result = apply(wide, x, condition, mask)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)

  @parameterized.parameters((NASBENCH201,), (MOBILENETV3,))
  def test_size(self, space):
    """Oracle: the published numbers of parameters."""
    init = build(space).init
    params = jax.eval_shape(init, jax.random.key(0))
    self.assertEqual(score.num_params(params), program.NUM_SCORE[space[1]])

  def test_leading_axes(self):
    """Oracle: one architecture after another, and `vmap`."""
    network, apply, params = small_network()
    x, condition = inputs(8, 7, 2, 3)
    result = apply(params, x, condition, program.ADJACENCY)
    one_by_one = [
      apply(params, x[i], condition[i], program.ADJACENCY)
      for i in np.ndindex(2, 3)
    ]
    mapped = jax.jit(jax.vmap(network.apply, (None, 0, 0, None)))(
      params, x, condition, program.ADJACENCY
    )
    np.testing.assert_allclose(result.reshape(6, 8, 7), one_by_one, atol=1e-6)
    np.testing.assert_allclose(result, mapped, atol=1e-6)
    one_condition = apply(params, x, condition[0, 0], program.ADJACENCY)
    np.testing.assert_allclose(one_condition[0, 0], result[0, 0], atol=1e-6)

  def test_gradients(self):
    """Oracle: differences of the loss; and finite where a row has no edge."""
    network, _, params = small_network()
    x, condition = inputs(8, 7, 2)

    @jax.jit
    def loss(params, x):
      result = network.apply(params, x, condition, program.ADJACENCY)
      return jnp.mean(result**2)

    gradient = jax.jit(jax.grad(loss, (0, 1)))(params, x)
    for leaf in jax.tree.leaves(gradient):
      self.assertTrue(np.all(np.isfinite(leaf)))
      self.assertGreater(np.max(np.abs(leaf)), 0)
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
      step = 1e-4 * np.random.default_rng(1).normal(size=x.shape)
      difference = (loss(wide, x + step) - loss(wide, x - step)) / 2
    np.testing.assert_allclose(
      difference, np.sum(gradient[1] * step), rtol=1e-3
    )

  def test_dropout(self):
    """Oracle: the facts' places; without a key nothing drops."""
    network, apply, params = small_network()
    x, condition = inputs(8, 7, 3)
    places = []

    def record(kept, rate, x):
      places.append((kept.dtype, kept.shape, rate, x.shape))
      return x

    def run(apply, **kwargs):
      return apply(params, x, condition, program.ADJACENCY, **kwargs)

    with mock.patch.object(layers, "drop", record):
      jax.eval_shape(lambda: run(network.apply, dropout_key=jax.random.key(0)))
    wide = (3, 8, 16)
    shapes = [wide, (3, 4, 8, 8), wide, (3, 8, 8), wide]
    self.assertEqual(
      places, [(jnp.bool, shape, 0.1, shape) for shape in shapes]
    )

    plain = run(apply)
    dropped = [run(apply, dropout_key=jax.random.key(i)) for i in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    self.assertGreater(np.max(np.abs(dropped[0] - plain)), 1e-3)
    self.assertGreater(np.max(np.abs(dropped[0] - dropped[2])), 1e-3)

  @parameterized.parameters(True, False)
  def test_start(self, tied):
    """Oracle: PyTorch's bounds; copies where the program copies."""
    config = score.Config(num_layers=2, tied_init=tied)
    init = jax.jit(build(NASBENCH201, config).init)
    params = init(jax.random.key(0))
    blocks = params.blocks
    for layer in (params.embedding, *params.time, *params.head):
      bound = layer.weight.shape[0] ** -0.5
      for leaf in layer:
        self.assertBetween(float(jnp.max(jnp.abs(leaf))), 0.8 * bound, bound)
    for layer in (blocks.attention_in, blocks.attention_out, *blocks.feed):
      bound = layer.weight.shape[1] ** -0.5
      for leaf in layer:
        self.assertBetween(float(jnp.max(jnp.abs(leaf))), 0.9 * bound, bound)
        copies = bool(jnp.all(leaf[0] == leaf[1]))
        self.assertEqual(copies, tied)
    queries, keys, values = jnp.split(blocks.attention_in.weight, 3, axis=-1)
    for matrix in (queries, keys):
      self.assertEqual(bool(jnp.all(matrix == values)), tied)
    out = blocks.attention_out.weight
    self.assertEqual(bool(jnp.all(out == values)), tied)
    np.testing.assert_array_equal(blocks.feed_norm.scale, np.ones((2, 64)))
    np.testing.assert_array_equal(blocks.feed_norm.shift, np.zeros((2, 64)))

  def test_sizes_of_layers(self):
    """Oracle: the documented meaning of 0, and of other numbers."""
    for widths, head, time in (((0, 0), 64, 64), ((5, 6), 5, 6)):
      params = shapes_of(score.Config(2, 16, 4, 8, *widths))
      self.assertEqual(params.head[1].weight.shape, (head, head))
      self.assertEqual(params.time[0].weight.shape, (16, time))

  @parameterized.parameters(
    ({"num_layers": 0}, "num_layers"),
    ({"num_heads": 0}, "num_heads"),
    ({"feed_forward": 0}, "feed_forward"),
    ({"width": 62, "num_heads": 8}, "62 and 8"),
    ({"width": 2, "num_heads": 1}, "at least 4"),
    ({"width": 9, "num_heads": 3}, "even"),
    ({"head_width": -1}, "head_width"),
    ({"time_width": -1}, "time_width"),
    ({"dropout": 1.0}, "dropout"),
  )
  def test_bad_config(self, options, name):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, name):
      score.Config(**options)

  def test_another_space(self):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, "each of 8 nodes"):
      score.score(8, 7, positions=(0, 1))
    network, params = build(NASBENCH201, SMALL), shapes_of(SMALL)
    for shape, edges in (((8, 6), 8), ((8, 7), 7)):
      with self.assertRaisesRegex(ValueError, r"\[..., 8, 7\]"):
        network.apply(
          params, jnp.ones(shape), jnp.ones(()), jnp.ones((edges, edges))
        )


class DropoutTest(parameterized.TestCase):
  @parameterized.parameters((None, 0.5), (0, 0.0))
  def test_nothing_drops(self, seed, rate):
    """Oracle: no key, or no rate, no change."""
    key = None if seed is None else jax.random.key(seed)
    x = jnp.arange(3.0)
    np.testing.assert_array_equal(layers.dropout(key, rate, x), x)

  def test_shares(self):
    """Oracle: the binomial's mean and spread; kept entries keep the mean."""
    x = jnp.full(40_000, 3.0)
    result = layers.dropout(jax.random.key(0), 0.25, x)
    kept = result != 0
    np.testing.assert_allclose(result[kept], 4.0, rtol=1e-6)
    spread = np.sqrt(0.25 * 0.75 / 40_000)
    self.assertLess(abs(float(jnp.mean(kept)) - 0.75), 4 * spread)

  def test_places_are_apart(self):
    """Oracle: the covariance of independent draws is 0, within its spread."""
    shapes = ((100, 99), (3, 33, 100))
    kept = layers.keep(jax.random.key(0), 0.5, *shapes)
    self.assertEqual(tuple(part.shape for part in kept), shapes)
    signs = [2.0 * np.asarray(part).reshape(-1) - 1 for part in kept]
    spread = 9_900**-0.5
    for left, right in (
      (signs[0], signs[1]),
      (signs[0][::2], signs[0][1::2]),
      (signs[1][:-1], signs[1][1:]),
    ):
      self.assertLess(abs(np.mean(left * right)), 6 * spread)


if __name__ == "__main__":
  absltest.main()
