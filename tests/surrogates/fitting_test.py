"""Tests of nagjax.surrogates.fitting."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import flatten_util
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import networks
from nagjax.surrogates import fitting
from nagjax.types import Graph

CAPACITY, NUM, N, K = 24, 16, 4, 3
CONFIG = fitting.Config(num_steps=30, batch_size=12, learning_rate=0.01)
NETWORK = networks.mlp.mlp(N, K, networks.mlp.Config(hidden_size=8))


def data(poison=0.0, seed=0):
  """A data set whose target is linear; rows behind `NUM` hold `poison`."""
  rng = np.random.default_rng(seed)
  nodes = np.eye(K)[rng.integers(0, K, (CAPACITY, N))]
  adjacency = np.triu(rng.integers(0, 2, (CAPACITY, N, N)), 1).astype(float)
  targets = nodes[:, :, 0].sum(1) - adjacency.sum((1, 2))
  targets = (targets - targets.mean()) / targets.std()
  for array in (nodes, adjacency, targets):
    array[NUM:] = poison
  graphs = Graph(
    jnp.asarray(nodes, jnp.float32), jnp.asarray(adjacency, jnp.float32)
  )
  return graphs, jnp.asarray(targets[:, None], jnp.float32)


@jax.jit
def fit(key, state, graphs, targets, num):
  return fitting.fit(key, NETWORK, state, graphs, targets, num, CONFIG)


@functools.cache
def first():
  return jax.jit(lambda key: fitting.init(key, NETWORK, CONFIG))(
    jax.random.key(0)
  )


def weights(seed=1, last_target=None):
  """All weights after one fit, as a vector."""
  graphs, targets = data()
  if last_target is not None:
    targets = targets.at[NUM - 1].set(last_target)
  fitted = fit(jax.random.key(seed), first(), graphs, targets, NUM)
  return flatten_util.ravel_pytree(fitted.params)[0]


def ranking_by_loops(predictions, targets, margin):
  hinges = [
    max(0.0, margin - (f - g))
    for f, y in zip(predictions, targets, strict=True)
    for g, z in zip(predictions, targets, strict=True)
    if y > z
  ]
  return sum(hinges) / max(len(hinges), 1)


class LossTest(parameterized.TestCase):
  @parameterized.product(margin=(0.0, 0.1, 1.0), levels=(1, 3, 100))
  def test_ranking_loss(self, margin, levels):
    """Oracle: loops over pairs; ties are no pair, one level has none."""
    rng = np.random.default_rng(levels)
    predictions = rng.normal(size=9).astype(np.float32)
    targets = rng.integers(0, levels, 9).astype(np.float32)
    result = fitting.ranking_loss(predictions, targets, margin)
    expected = ranking_by_loops(predictions, targets, margin)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    self.assertEqual(expected == 0, levels == 1)

  def test_ranking_loss_of_a_single_row(self):
    """Oracle: no pair; its gradient is 0 as well."""
    one = jnp.ones(1)
    value, gradient = jax.value_and_grad(fitting.ranking_loss)(one, one)
    self.assertEqual(float(value), 0.0)
    np.testing.assert_array_equal(gradient, [0.0])

  def test_perfect_ranks_cost_nothing(self):
    """Oracle: every lead exceeds the margin."""
    targets = jnp.arange(5.0)
    self.assertEqual(float(fitting.ranking_loss(targets, targets)), 0.0)

  def test_proxy_loss(self):
    """Oracle: squares and loops in NumPy, head by head."""
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, 7, 3)).astype(np.float32)
    expected = 0.0
    for head in range(3):
      f, y = predictions[:, head], targets[:, head]
      expected += ((f - y) ** 2).mean() + 0.5 * ranking_by_loops(f, y, 0.3)
    result = fitting.proxy_loss(
      predictions, targets, rank_weight=0.5, margin=0.3
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5)

  def test_heads_that_are_missing(self):
    """Oracle: the documented error; one column would be repeated."""
    with self.assertRaisesRegex(ValueError, r"head.*\(4, 1\).*\(4, 2\)"):
      fitting.proxy_loss(jnp.zeros((4, 1)), jnp.zeros((4, 2)))


class FitTest(parameterized.TestCase):
  def test_reduces_the_loss_and_orders_the_rows(self):
    """Oracle: Spearman's correlation with the targets."""
    graphs, targets = data()
    fitted = first()
    for seed in range(4):
      key = jax.random.key(seed)
      fitted = fit(key, fitted, graphs, targets, NUM)
    apply = jax.jit(NETWORK.apply)
    before, after = (
      apply(params, graphs)[:NUM] for params in (first().params, fitted.params)
    )
    self.assertLess(
      float(fitting.proxy_loss(after, targets[:NUM])),
      0.1 * float(fitting.proxy_loss(before, targets[:NUM])),
    )
    correlation = stats.spearmanr(after[:, 0], targets[:NUM, 0])[0]
    self.assertGreater(correlation, 0.95)

  @parameterized.parameters(1, NUM)
  def test_rows_that_do_not_count_have_no_influence(self, num):
    """Oracle: the same fit with NaN in their places."""
    key = jax.random.key(1)
    expected = fit(key, first(), *data(), num)
    graphs, targets = data()
    poisoned = [
      leaf.at[num:].set(jnp.nan)
      for leaf in (graphs.nodes, graphs.adjacency, targets)
    ]
    result = fit(key, first(), Graph(*poisoned[:2]), poisoned[2], num)
    jax.tree.map(np.testing.assert_array_equal, result, expected)
    for leaf in jax.tree.leaves(result):
      self.assertTrue(np.isfinite(leaf).all())

  def test_what_has_influence(self):
    """Oracle: equal bits for an equal fit; others for another key, and for
    another target of the last row that counts."""
    np.testing.assert_array_equal(weights(), weights())
    self.assertGreater(np.abs(weights(2) - weights()).max(), 1e-4)
    gaps = weights(last_target=0.0) - weights(last_target=3.0)
    self.assertGreater(np.abs(gaps).max(), 1e-3)

  def test_two_fits_in_a_row(self):
    """Oracle: AdamW in NumPy on the only row, its moments carried over.

    The schedule starts anew with the second fit.
    """
    num_steps, rate, decay = 5, 0.1, 0.2
    config = fitting.Config(
      num_steps=num_steps,
      batch_size=3,
      learning_rate=rate,
      weight_decay=decay,
    )
    network = networks.Network(
      init=lambda key: jax.random.normal(key, (K,)),
      apply=lambda weights, graph, dropout_key=None: (
        graph.nodes[:, 0] @ weights
      )[:, None],
    )
    x, target = np.asarray([1.0, -2.0, 0.5]), 0.7
    graphs = Graph(
      jnp.full((4, 1, K), jnp.nan).at[0, 0].set(x), jnp.zeros((4, 1, 1))
    )
    targets = jnp.full((4, 1), jnp.nan).at[0].set(target)
    fitted = fitting.init(jax.random.key(0), network, config)
    w = np.asarray(fitted.params, np.float64)
    run = jax.jit(
      lambda fitted: fitting.fit(
        jax.random.key(1), network, fitted, graphs, targets, 1, config
      )
    )
    fitted = run(run(fitted))

    m = v = np.zeros(K)
    for step in range(2 * num_steps):
      gradient = 2 * (x @ w - target) * x
      m = 0.9 * m + 0.1 * gradient
      v = 0.999 * v + 0.001 * gradient**2
      m_hat = m / (1 - 0.9 ** (step + 1))
      v_hat = v / (1 - 0.999 ** (step + 1))
      cosine = 0.5 * (1 + np.cos(np.pi * (step % num_steps) / num_steps))
      w = w - cosine * rate * (m_hat / (np.sqrt(v_hat) + 1e-8) + decay * w)
    np.testing.assert_allclose(fitted.params, w, rtol=1e-4)
    self.assertEqual(int(fitted.opt_state[0].count), 2 * num_steps)

  @parameterized.parameters(True, False)
  def test_the_network_has_a_key_only_if_dropout_is_on(self, dropout):
    """Oracle: what the network is given."""
    config = fitting.Config(num_steps=3, dropout=dropout)
    given = []

    def apply(weights, graph, *, dropout_key=None):
      given.append(dropout_key is not None)
      return weights[None] * graph.nodes[:, 0, :1]

    network = networks.Network(lambda key: jnp.ones(1), apply)
    fitted = fitting.init(jax.random.key(0), network, config)
    jax.eval_shape(
      lambda key: fitting.fit(key, network, fitted, *data(), NUM, config),
      jax.random.key(0),
    )
    self.assertEqual(set(given), {dropout})

  @parameterized.parameters(
    ("num_steps", 0), ("batch_size", 0), ("learning_rate", 0.0)
  )
  def test_numbers_out_of_range_are_refused(self, option, value):
    """Oracle: the documented ValueError names the option."""
    with self.assertRaisesRegex(ValueError, option):
      fitting.Config(**{option: value})


if __name__ == "__main__":
  absltest.main()
