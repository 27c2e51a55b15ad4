"""Tests of nagjax.generation.decoding."""

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg
from scipy import special

from nagjax import generation
from nagjax.networks.generator import GraphLogits
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs

NUM_NODES, NUM_LABELS, NUM_GRAPHS = 4, 3, 2
ENDS = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Of the edges, in the documented order."""


def random_scores(*batch):
  rng = np.random.default_rng(0)
  nodes = rng.normal(size=(*batch, NUM_GRAPHS, NUM_NODES, NUM_LABELS))
  edges = rng.normal(size=(*batch, NUM_GRAPHS, len(ENDS)))
  return GraphLogits(jnp.asarray(2 * nodes), jnp.asarray(2 * edges))


def block_diagonal(values):
  """Adjacency of one architecture from `[C, E]` values of edges."""
  blocks = np.zeros((len(values), NUM_NODES, NUM_NODES))
  for block, row in zip(blocks, values, strict=True):
    for (source, target), value in zip(ENDS, row, strict=True):
      block[source, target] = value
  return linalg.block_diag(*blocks)


class ChooseTest(absltest.TestCase):
  def test_frequencies(self):
    """Oracle: softmax and sigmoid by SciPy, within five deviations."""
    scores = random_scores()
    num = 5000

    def draw(key):
      node_key, edge_key = jax.random.split(key)
      return generation.choose(
        scores,
        jax.random.gumbel(node_key, scores.nodes.shape),
        jax.random.logistic(edge_key, scores.edges.shape),
      )

    drawn = jax.vmap(draw)(jax.random.split(jax.random.key(0), num))
    types = np.asarray(drawn.labels)[..., None] == np.arange(NUM_LABELS)
    expected = special.softmax(np.asarray(scores.nodes, float), axis=-1)
    expected[:, -1] = [1, 0, 0]
    for found, p in (
      (types.mean(0), expected),
      (np.asarray(drawn.edges).mean(0), special.expit(scores.edges)),
    ):
      bound = 5 * np.sqrt(p * (1 - p) / num) + 1e-7
      np.testing.assert_array_less(np.abs(found - p), bound)

  def test_noise_decides(self):
    """Oracle: the largest sum of score and noise, and the sign of it."""
    scores = random_scores(5)
    rng = np.random.default_rng(1)
    gumbel = rng.gumbel(size=scores.nodes.shape)
    logistic = rng.logistic(size=scores.edges.shape)
    found = generation.choose(
      scores, jnp.asarray(gumbel), jnp.asarray(logistic)
    )
    labels = np.argmax(np.asarray(scores.nodes) + gumbel, axis=-1)
    labels[..., -1] = 0
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(
      found.edges, np.asarray(scores.edges) > -logistic
    )


class GraphsTest(absltest.TestCase):
  def test_relaxed(self):
    """Oracle: SciPy's softmax, expit and block_diag, row by row."""
    scores = random_scores(3)
    graph = generation.relaxed_graphs(scores)
    nodes = special.softmax(np.asarray(scores.nodes, float), axis=-1)
    nodes[..., -1, :] = [1, 0, 0]
    for row in range(3):
      np.testing.assert_allclose(
        graph.nodes[row], nodes[row].reshape(-1, NUM_LABELS), rtol=1e-5
      )
      np.testing.assert_allclose(
        graph.adjacency[row],
        block_diagonal(special.expit(scores.edges[row])),
        rtol=1e-5,
      )

  def test_one_hot(self):
    """Oracle: NumPy's identity matrix and SciPy's block_diag."""
    rng = np.random.default_rng(2)
    labels = rng.integers(NUM_LABELS, size=(3, NUM_GRAPHS, NUM_NODES))
    edges = rng.random((3, NUM_GRAPHS, len(ENDS))) < 0.5
    layout = GraphLayout(
      ("output", "input", "operation"),
      NUM_NODES,
      1,
      NUM_GRAPHS,
      encode=lambda archs: archs,
      decode=lambda written, scores: (written, scores),
    )
    graph = generation.one_hot_graphs(
      LabeledGraphs(jnp.asarray(labels), jnp.asarray(edges)), layout
    )
    for row in range(3):
      np.testing.assert_array_equal(
        graph.nodes[row], np.eye(NUM_LABELS)[labels[row].reshape(-1)]
      )
      np.testing.assert_array_equal(
        graph.adjacency[row], block_diagonal(edges[row])
      )


if __name__ == "__main__":
  absltest.main()
