"""Tests of nagjax.generation.retraining."""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax import generation
from nagjax.generation import retraining
from nagjax.networks.generator import GraphLogits
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs
from tests.networks import dense

LAYOUT = GraphLayout(
  ("output", "input", "operation"),
  num_nodes=4,
  num_inputs=1,
  num_graphs=2,
  encode=lambda archs: archs,
  decode=lambda graphs, logits: (graphs, logits),
)
NETWORK = retraining.make_generator(LAYOUT)
GENERATE = jax.jit(functools.partial(retraining.generate, NETWORK))
RATE = 0.01


def initial_params():
  return jax.tree.map(
    lambda *leaves: jnp.stack(leaves),
    *(dense.weights(NETWORK, seed) for seed in range(2)),
  )


def batches():
  """Random targets and latent vectors: two steps of two architectures."""
  rng = np.random.default_rng(0)
  labels = rng.integers(3, size=(2, 2, 2, 4))
  edges = rng.random((2, 2, 2, 6)) < 0.5
  z = rng.normal(size=(2, 2, 2, 32))
  graphs = LabeledGraphs(jnp.asarray(labels, jnp.int32), jnp.asarray(edges))
  return graphs, jnp.asarray(z, jnp.float32)


@functools.partial(jax.jit, static_argnames=("config", "guidance"))
def train(trained, targets, z, config, guidance):
  def edge_mean(logits):
    return jnp.mean(logits.edges, axis=(-2, -1))

  return retraining.train(
    NETWORK,
    trained,
    targets,
    z,
    config,
    value_fn=edge_mean if guidance else None,
    guidance=guidance,
  )


@jax.jit
@jax.grad
def gradient_of_one(params, labels, edges, z, guidance):
  """Of the loss of one graph, graphs out."""
  logits = NETWORK.apply(params, z)
  chosen = logits.nodes[jnp.arange(4), labels]
  nodes = jnp.log(jnp.sum(jnp.exp(logits.nodes), axis=-1)) - chosen
  signs = jnp.where(edges, 1.0, -1.0)
  links = jnp.log1p(jnp.exp(-signs * logits.edges))
  value = jnp.mean(logits.edges) / 2  # Half of the mean over both graphs.
  return jnp.mean(nodes) + jnp.mean(links) - guidance * value


def gradients(params, targets, z, guidance):
  """Every leaf's gradient, one graph after the other, `[2, ...]` each."""
  rows = []
  for c in range(2):
    own = jax.tree.map(lambda leaf, c=c: leaf[c], params)
    ones = [
      jax.tree.leaves(
        gradient_of_one(
          own,
          targets.labels[row, c],
          targets.edges[row, c],
          z[row, c],
          guidance,
        )
      )
      for row in range(2)
    ]
    rows.append([np.mean(leaves, axis=0) for leaves in zip(*ones, strict=True)])
  return [np.stack(leaves) for leaves in zip(*rows, strict=True)]


class TrainTest(parameterized.TestCase):
  @parameterized.parameters((0.0, 0, 1.0), (0.5, 2, 0.5))
  @pytest.mark.slow
  def test_two_steps(self, guidance, decay_steps, second_share):
    """Oracle: Adam's formulas in NumPy on the gradients of single graphs.

    Half way along the cosine the rate is a half; behind it nothing moves.
    """
    config = retraining.Config(RATE, 0.5, decay_steps)
    targets, z = batches()
    start = initial_params()
    structure = jax.tree.structure(start)
    found = train(retraining.start(start, config), targets, z, config, guidance)
    params = [np.asarray(leaf) for leaf in jax.tree.leaves(start)]
    first = second = [0.0] * len(params)
    for step, rate in enumerate((RATE, RATE * second_share)):
      tree = jax.tree.unflatten(structure, map(jnp.asarray, params))
      batch = jax.tree.map(lambda leaf, n=step: leaf[n], targets)
      slope = gradients(tree, batch, z[step], guidance)
      first = [0.5 * m + 0.5 * g for m, g in zip(first, slope, strict=True)]
      second = [
        0.999 * v + 0.001 * g**2 for v, g in zip(second, slope, strict=True)
      ]
      for i, (m, v) in enumerate(zip(first, second, strict=True)):
        mean = m / (1 - 0.5 ** (step + 1))
        size = np.sqrt(v / (1 - 0.999 ** (step + 1)))
        params[i] = params[i] - rate * mean / (size + 1e-8)
    after = [np.asarray(leaf) for leaf in jax.tree.leaves(found.params)]
    for leaf, expected, slope in zip(after, params, second, strict=True):
      # Where a gradient is all rounding, so is the direction of the step.
      clear = np.sqrt(slope) > 5e-5
      np.testing.assert_allclose(leaf[clear], expected[clear], atol=RATE / 50)
    if decay_steps:
      still = train(found, targets, z, config, guidance)
      chex.assert_trees_all_equal(still.params, found.params)

  @pytest.mark.slow
  def test_one_graph_becomes_certain(self):
    """Oracle: decoding gives the only target that there was."""
    labels = np.asarray([[1, 2, 2, 0], [1, 2, 0, 0]])
    edges = np.asarray([[1, 0, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0]], bool)
    targets = LabeledGraphs(
      jnp.asarray(np.broadcast_to(labels, (2, 2, 2, 4)), jnp.int32),
      jnp.asarray(np.broadcast_to(edges, (2, 2, 2, 6))),
    )
    config = retraining.Config(RATE, 0.5)
    trained = retraining.start(initial_params(), config)
    rng = np.random.default_rng(1)
    for _ in range(80):
      z = jnp.asarray(rng.normal(size=(2, 2, 2, 32)), jnp.float32)
      trained = train(trained, targets, z, config, 0.0)
    z = jnp.asarray(rng.normal(size=(100, 2, 32)), jnp.float32)
    logits = GENERATE(trained.params, z)
    graphs = generation.choose(
      logits,
      jnp.asarray(rng.gumbel(size=logits.nodes.shape)),
      jnp.asarray(rng.logistic(size=logits.edges.shape)),
    )
    self.assertGreater(np.mean(np.asarray(graphs.labels) == labels), 0.99)
    self.assertGreater(np.mean(np.asarray(graphs.edges) == edges), 0.99)


class GenerateTest(absltest.TestCase):
  def test_equals_one_by_one(self):
    """Oracle: the network of each graph on each latent vector alone."""
    params = initial_params()
    z = jax.random.normal(jax.random.key(2), (2, 3, 2, 32))
    logits = GENERATE(params, z)
    self.assertEqual(logits.nodes.shape, (2, 3, 2, 4, 3))
    apply = jax.jit(NETWORK.apply)
    for place in np.ndindex(2, 3, 2):
      own = jax.tree.map(lambda leaf, c=place[-1]: leaf[c], params)
      expected = apply(own, z[place])
      np.testing.assert_allclose(
        logits.nodes[place], expected.nodes, rtol=1e-4, atol=1e-5
      )
      np.testing.assert_allclose(
        logits.edges[place], expected.edges, rtol=1e-4, atol=1e-5
      )

  def test_rounds(self):
    """Oracle: two rounds, and four where there are two inputs (facts 1.2)."""
    self.assertLen(initial_params().forward, 2)
    labels = ("output", "input", "input_1", "operation")
    darts = GraphLayout(labels, 5, 2, 1, LAYOUT.encode, LAYOUT.decode)
    like = jax.eval_shape(
      retraining.make_generator(darts).init, jax.random.key(0)
    )
    self.assertLen(like.backward, 4)


class WeightsTest(parameterized.TestCase):
  @parameterized.parameters(0.01, 1.0)
  def test_rank_weights(self, k):
    """Oracle: SciPy's average ranks of the used entries."""
    rng = np.random.default_rng(3)
    objective = rng.integers(5, size=20).astype(np.float32)  # With ties.
    used = rng.random(20) < 0.7
    rank = stats.rankdata(-objective[used], method="average") - 1
    expected = np.zeros(20)
    expected[used] = 1 / (k * used.sum() + rank)
    objective[~used] = 9.0  # Better than all that count.
    found = generation.rank_weights(
      jnp.asarray(objective), jnp.asarray(used), k=k
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  def test_an_empty_archive(self):
    """Oracle: nothing used, no weight."""
    found = generation.rank_weights(jnp.zeros(3), jnp.zeros(3, bool))
    np.testing.assert_array_equal(found, np.zeros(3))


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("learning_rate", 0.0), ("first_moment", 1.0), ("decay_steps", -1)
  )
  def test_bad_config(self, name, value):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, name):
      retraining.Config(**{name: value})


class PolicyGradientTest(parameterized.TestCase):
  """A distribution of six graphs: one free node of three types, one edge."""

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(1)
    nodes, edges = rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 1))
    self.logits = GraphLogits(
      jnp.asarray(nodes, jnp.float32), jnp.asarray(edges, jnp.float32)
    )
    self.worth = jnp.asarray([0.3, 2.0, -jnp.inf, 1.0, 0.3, -1.0])
    pairs = [(t, e) for t in range(3) for e in (False, True)]
    self.graphs = LabeledGraphs(
      jnp.asarray([[[t, 0]] for t, _ in pairs]),
      jnp.asarray([[[e]] for _, e in pairs]),
    )

  def _probabilities(self, logits):
    likelihood = jax.vmap(retraining.log_likelihood, (None, 0))
    return jnp.exp(likelihood(logits, self.graphs))

  def test_log_likelihood(self):
    """Oracle: softmax and sigmoid by NumPy; the whole is 1."""
    node = np.exp(self.logits.nodes[0, 0])
    edge = 1 / (1 + np.exp(-self.logits.edges[0, 0]))
    expected = np.outer(node / node.sum(), [1 - edge, edge]).reshape(-1)
    found = self._probabilities(self.logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    self.assertAlmostEqual(float(found.sum()), 1.0, places=5)

  def test_log_likelihood_of_draws(self):
    """Oracle: shares among 20,000 graphs of `generation.choose`."""
    num = 20_000
    logits = jax.tree.map(
      lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), self.logits
    )
    node_key, edge_key = jax.random.split(jax.random.key(0))
    drawn = generation.choose(
      logits,
      jax.random.gumbel(node_key, logits.nodes.shape),
      jax.random.logistic(edge_key, logits.edges.shape),
    )
    place = 2 * drawn.labels[:, 0, 0] + drawn.edges[:, 0, 0]
    share = np.bincount(place, minlength=6) / num
    np.testing.assert_allclose(
      share, self._probabilities(self.logits), atol=0.015
    )

  def test_advantages(self):
    """Oracle: brute force over pairs."""
    worth = np.asarray(self.worth)
    expected = [np.sign(v - np.delete(worth, i)) for i, v in enumerate(worth)]
    np.testing.assert_allclose(
      retraining.advantages(self.worth), np.mean(expected, axis=1), rtol=1e-6
    )
    np.testing.assert_array_equal(retraining.advantages(worth[:1]), [0.0])

  def test_expected_gradient(self):
    """Oracle: the gradient of the chance to be above a graph of now, less that
    to be below it, summed over all pairs; the estimate, over all 216 draws."""
    now = self._probabilities(self.logits)
    above = self.worth[:, None] > self.worth[None]
    balance = (above * 1.0 - above.T * 1.0) @ now
    exact = jax.jit(
      jax.grad(lambda logits: self._probabilities(logits) @ balance)
    )(self.logits)

    def estimate(draw):
      graphs = jax.tree.map(lambda leaf: leaf[draw][None], self.graphs)
      advantage = retraining.advantages(self.worth[draw])[None]

      def value(logits):
        one = jax.tree.map(lambda leaf: leaf[None], logits)
        return retraining.policy_gradient(one, graphs, advantage)[0]

      chance = jnp.prod(now[draw])
      return jax.tree.map(lambda g: chance * g, jax.grad(value)(self.logits))

    draws = jnp.asarray(list(itertools.product(range(6), repeat=3)))
    estimates = jax.jit(jax.vmap(estimate))(draws)
    total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), estimates)
    self.assertGreater(float(jnp.abs(exact.nodes).max()), 0.01)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), total, exact
    )


if __name__ == "__main__":
  absltest.main()
