"""Tests of nagjax.generation.retraining."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import generation
from nagjax.generation import retraining
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import LabelledGraphs

LAYOUT = GraphLayout(
  ("output", "input", "operation"),
  num_nodes=4,
  num_inputs=1,
  num_graphs=2,
  encode=lambda archs: archs,
  decode=lambda written, scores: (written, scores),
)
NETWORK = retraining.make_generator(LAYOUT)
GENERATE = jax.jit(functools.partial(retraining.generate, NETWORK))
RATE = 0.01


def initial_params():
  return jax.vmap(NETWORK.init)(jax.random.split(jax.random.key(0), 2))


def batches():
  """Random targets and latent vectors: two steps of two architectures."""
  rng = np.random.default_rng(0)
  labels = rng.integers(3, size=(2, 2, 2, 4))
  edges = rng.random((2, 2, 2, 6)) < 0.5
  z = rng.normal(size=(2, 2, 2, 32))
  written = LabelledGraphs(jnp.asarray(labels, jnp.int32), jnp.asarray(edges))
  return written, jnp.asarray(z, jnp.float32)


@functools.partial(jax.jit, static_argnames=("config", "guidance"))
def train(trained, targets, z, config, guidance):
  def edge_mean(scores):
    return jnp.mean(scores.edges, axis=(-2, -1))

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
  """Of the loss of one graph, written out."""
  scores = NETWORK.apply(params, z)
  chosen = scores.nodes[jnp.arange(4), labels]
  nodes = jnp.log(jnp.sum(jnp.exp(scores.nodes), axis=-1)) - chosen
  signs = jnp.where(edges, 1.0, -1.0)
  links = jnp.log1p(jnp.exp(-signs * scores.edges))
  value = jnp.mean(scores.edges) / 2  # Half of the mean over both graphs.
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
      clear = np.sqrt(slope) > 1e-5
      np.testing.assert_allclose(leaf[clear], expected[clear], atol=RATE / 50)
    if decay_steps:
      still = train(found, targets, z, config, guidance)
      chex.assert_trees_all_equal(still.params, found.params)

  def test_one_graph_becomes_certain(self):
    """Oracle: decoding gives the only target that there was."""
    labels = np.asarray([[1, 2, 2, 0], [1, 2, 0, 0]])
    edges = np.asarray([[1, 0, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0]], bool)
    targets = LabelledGraphs(
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
    scores = GENERATE(trained.params, z)
    written = generation.choose(
      scores,
      jnp.asarray(rng.gumbel(size=scores.nodes.shape)),
      jnp.asarray(rng.logistic(size=scores.edges.shape)),
    )
    self.assertGreater(np.mean(np.asarray(written.labels) == labels), 0.99)
    self.assertGreater(np.mean(np.asarray(written.edges) == edges), 0.99)


class GenerateTest(absltest.TestCase):
  def test_equals_one_by_one(self):
    """Oracle: the network of each graph on each latent vector alone."""
    params = initial_params()
    z = jax.random.normal(jax.random.key(2), (2, 3, 2, 32))
    scores = GENERATE(params, z)
    self.assertEqual(scores.nodes.shape, (2, 3, 2, 4, 3))
    apply = jax.jit(NETWORK.apply)
    for place in np.ndindex(2, 3, 2):
      own = jax.tree.map(lambda leaf, c=place[-1]: leaf[c], params)
      expected = apply(own, z[place])
      np.testing.assert_allclose(
        scores.nodes[place], expected.nodes, rtol=1e-4, atol=1e-5
      )
      np.testing.assert_allclose(
        scores.edges[place], expected.edges, rtol=1e-4, atol=1e-5
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
    """Oracle: SciPy's ordinal ranks of the used entries."""
    rng = np.random.default_rng(3)
    objective = rng.integers(5, size=20).astype(np.float32)  # With ties.
    used = rng.random(20) < 0.7
    rank = stats.rankdata(-objective[used], method="ordinal") - 1
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


if __name__ == "__main__":
  absltest.main()
