"""Tests of nagjax.algorithms.optiproxy_reference_steps against loops."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.algorithms import optiproxy_reference_steps as steps
from nagjax.algorithms.optiproxy_reference_presets import Config
from nagjax.networks.base import Network
from nagjax.relaxation import proxy_search
from nagjax.spaces import nasbench201
from nagjax.surrogates.fitting import TrainState
from nagjax.types import Graph

SPACE = nasbench201.nasbench201()
CONFIG = Config(
  num_initial=5,
  batch_size=3,
  archive_size=12,
  hidden_size=4,
  fit_epochs=3,
  fit_batch_size=2,
  num_groups=2,
  search_epochs=3,
  verify_ratio=4,
)
NASLIB = (
  "skip_connect",
  "none",
  "nor_conv_3x3",
  "nor_conv_1x1",
  "avg_pool_3x3",
)
OUT_LISTS = ((1, 2, 4), (3, 5), (6,), (6,), (7,), (7,), (7,), ())
"""The published adjacency."""


def configured(**options):
  return dataclasses.replace(CONFIG, **options)


def reference_loss(predictions, targets, config=CONFIG):
  """The published loss of one minibatch, in loops, and its gradient."""
  num = len(targets)
  difference = predictions - targets
  loss, gradient = np.mean(difference**2), 2 * difference / num
  order = sorted(range(num), key=lambda i: -targets[i])
  pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
  for a, b in pairs:
    hinge = config.margin - (predictions[a] - predictions[b])
    if hinge > 0:
      share = config.rank_weight / len(pairs)
      loss += share * hinge
      gradient[a] -= share
      gradient[b] += share
  return loss, gradient


def linear_network():
  """Predicts a weighted sum of the nodes' labels; no dropout."""

  def apply(weights, graph, *, dropout_key=None):
    del dropout_key
    return jnp.einsum("...nk,nk->...", graph.nodes, weights)[..., None]

  return Network(lambda key: jnp.zeros((8, 7)), apply)


def rows_of(archs):
  return {tuple(row) for row in np.asarray(archs).tolist()}


class LossTest(parameterized.TestCase):
  @parameterized.parameters(
    ([1.0, 0.5, -0.5, 2.0],),
    ([0.5, 1.0, 0.5, 1.0, 1.0],),
    ([0.3, 0.3],),
    ([0.7],),
  )
  def test_against_loops_with_ties_and_padding(self, targets):
    """Oracle: the published double loop, float64; a row of padding apart."""
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=len(targets)) * 0.2
    expected, gradient = reference_loss(predictions, np.asarray(targets))

    def padded(predictions):
      return steps.batch_loss(
        jnp.append(predictions, 7.0),
        jnp.asarray([*targets, 9.0], jnp.float32),
        jnp.arange(len(targets) + 1) < len(targets),
        CONFIG,
      )

    loss, slope = jax.value_and_grad(padded)(jnp.float32(predictions))
    self.assertAlmostEqual(float(loss), expected, places=5)
    np.testing.assert_allclose(slope, gradient, atol=1e-6)

  def test_the_order_of_tied_rows_matters(self):
    """Oracle: closed form; the earlier of two equals has to lead."""
    rank = [
      float(
        steps.batch_loss(
          jnp.asarray([lead, 0.0]), jnp.zeros(2), jnp.ones(2, bool), CONFIG
        )
        - lead**2 / 2
      )
      for lead in (0.1, -0.1)
    ]
    np.testing.assert_allclose(rank, [0.0, 0.2 * 0.2], atol=1e-6)

  def test_a_batch_of_nothing(self):
    """Oracle: an empty sum."""
    none = jnp.zeros(3, bool)
    loss = steps.batch_loss(jnp.ones(3), jnp.zeros(3), none, CONFIG)
    self.assertEqual(float(loss), 0.0)


class FitTest(parameterized.TestCase):
  @parameterized.parameters(0, 2, 5, 8)
  def test_an_epoch_against_numpy(self, count):
    """Oracle: minibatches, gradients and AdamW by hand, in float64."""
    config = configured(weight_decay=0.3)
    rng = np.random.default_rng(count)
    features = rng.normal(size=(8, 8, 7))
    targets = rng.normal(size=8)
    order = rng.permutation(8)
    rate = 0.05
    weights = rng.normal(size=(8, 7))
    start = jnp.float32(weights)
    proxy = TrainState(start, steps.fit_optimizer(config).init(start))
    graphs = Graph(jnp.float32(features), jnp.zeros((8, 8, 8)))

    @jax.jit
    def run(proxy, order, count):
      return steps.fit_epoch(
        jax.random.key(0),
        linear_network(),
        proxy,
        graphs,
        jnp.float32(targets),
        order,
        count,
        rate,
        config,
      )

    # Twice, so that the moments have to persist.
    for _ in range(2):
      proxy = run(proxy, order, jnp.int32(count))
    first, second, number = np.zeros((8, 7)), np.zeros((8, 7)), 0
    for _ in range(2):
      for begin in range(0, count, 2):
        rows = order[begin : min(begin + 2, count)]
        predictions = np.sum(features[rows] * weights, axis=(1, 2))
        _, slope = reference_loss(predictions, targets[rows])
        gradient = np.einsum("b,bnk->nk", slope, features[rows])
        number += 1
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        m = first / (1 - 0.9**number)
        v = second / (1 - 0.999**number)
        weights = weights * (1 - rate * 0.3) - rate * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(proxy.params, weights, atol=1e-4)
    self.assertEqual(number, 2 * -(-count // 2))

  def test_a_fit_takes_every_evaluation_and_no_failure(self):
    """Oracle: the count of minibatches; failures change nothing."""
    network = linear_network()
    weights = network.init(jax.random.key(0))
    archs = SPACE.sample(jax.random.key(1), 12)
    objective = jnp.where(
      jnp.arange(12) % 3 < 2, 50.0 + jnp.arange(12), -jnp.inf
    )
    objective = objective.at[10:].set(-jnp.inf)

    @jax.jit
    def run(archs, objective):
      optimizer = steps.fit_optimizer(CONFIG)
      proxy = TrainState(weights, optimizer.init(weights))
      return steps.fit(
        jax.random.key(2), network, proxy, archs, objective, SPACE, CONFIG
      )

    fitted = run(archs, objective)
    usable = int(jnp.sum(jnp.isfinite(objective)))
    self.assertEqual(usable, 7)
    self.assertEqual(int(fitted.opt_state[0].count), 3 * 4)
    other = jnp.where(jnp.isfinite(objective)[:, None], archs, 4 - archs)
    np.testing.assert_array_equal(fitted.params, run(other, objective).params)
    self.assertTrue(np.all(np.isfinite(fitted.params)))

  @parameterized.parameters(0.0, 0.5)
  def test_the_network_gets_a_key_where_it_drops(self, dropout):
    """Oracle: a network whose only weight shows what it was given."""

    def apply(weights, graph, *, dropout_key=None):
      if dropout_key is None:
        return graph.nodes[:, 0] * weights
      kept = jax.random.uniform(dropout_key)
      return graph.nodes[:, 0] * weights * kept

    config = configured(dropout=dropout)
    proxy = TrainState(
      jnp.ones((1, 1)), steps.fit_optimizer(config).init(jnp.ones((1, 1)))
    )
    graphs = Graph(jnp.ones((12, 1, 1)), jnp.ones((12, 1, 1)))
    a, b, c = (
      steps.fit_epoch(
        jax.random.key(seed),
        Network(None, apply),
        proxy,
        graphs,
        jnp.zeros(12),
        jnp.arange(12),
        jnp.int32(12),
        0.1,
        config,
      )
      .opt_state[0]
      .mu
      for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(a, b)
    self.assertEqual(np.array_equal(a, c), dropout == 0)

  def test_learning_rates(self):
    """Oracle: a scheduler in a loop that steps behind epochs 0, 10, ..."""
    rate, expected = 0.02, []
    for epoch in range(35):
      expected.append(rate)
      if epoch % 10 == 0:
        rate *= 0.9
    rates = steps.learning_rate(jnp.arange(35), 0.02, CONFIG)
    np.testing.assert_allclose(rates, expected, rtol=1e-5)

  def test_standardized_by_constants_or_by_the_evaluations(self):
    """Oracle: NumPy's mean and deviation of the rows in use."""
    objective = jnp.asarray([90.0, -jnp.inf, 70.0, 65.0])
    used = jnp.isfinite(objective)
    own = steps.standardize(objective, used, CONFIG)
    values = np.asarray([90.0, 70.0, 65.0])
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(own[used], expected, rtol=1e-5)
    given = configured(mean=83.67, std=12.8)
    shipped = steps.standardize(objective, used, given)
    np.testing.assert_allclose(shipped[used], (values - 83.67) / 12.8, 1e-5)
    for result in (own, shipped):
      self.assertEqual(float(result[1]), 0.0)
    constant = steps.standardize(jnp.full(4, 5.0), used, CONFIG)
    np.testing.assert_array_equal(constant, 0.0)


class GraphTest(parameterized.TestCase):
  def test_labels_lie_in_naslib_order_on_the_published_nodes(self):
    """Oracle: NASLib's operations by name, and the published out-lists."""
    archs = SPACE.sample(jax.random.key(0), 50)
    graphs = steps.proxy_graph(SPACE, SPACE.one_hot(archs))
    columns = nasbench201.FEATURE_COLUMNS
    for arch, nodes in zip(np.asarray(archs), graphs.nodes, strict=True):
      labels = [columns[int(c)] for c in np.argmax(nodes, axis=-1)]
      spec = [NASLIB[op] for op in nasbench201.to_naslib(arch)]
      self.assertEqual(labels, ["input", *spec, "output"])
    adjacency = np.zeros((8, 8))
    for node, targets in enumerate(OUT_LISTS):
      adjacency[node, list(targets)] = 1
    np.testing.assert_array_equal(graphs.adjacency[7], adjacency)

  def test_two_edges_sit_on_each_others_node(self):
    """Oracle: the true graph with these two labels exchanged."""
    arch = jnp.asarray([0, 1, 2, 3, 4, 0])
    true = SPACE.to_graph(arch).nodes
    proxy = steps.proxy_graph(SPACE, SPACE.one_hot(arch)).nodes
    np.testing.assert_array_equal(
      proxy, true[jnp.asarray([0, 1, 2, 4, 3, 5, 6, 7])]
    )
    self.assertFalse(np.array_equal(proxy, true))


class GroupsTest(parameterized.TestCase):
  def test_only_the_rewarded_operation_gains(self):
    """Oracle: a network that rewards one label of one node."""
    # The third node carries the operation of edge 0 -> 3, the fourth variable.
    weights = jnp.zeros((8, 7)).at[3, 2 + 4].set(1.0)
    config = configured(search_epochs=20, weight_decay=0.0)
    optimizer = steps.search_optimizer(config)
    start = jnp.zeros((2, 6, 5))
    groups = proxy_search.init(start, SPACE.cardinalities, optimizer)
    moved = jax.jit(
      lambda key: steps.search(
        key,
        linear_network(),
        TrainState(weights, ()),
        groups,
        SPACE,
        config,
      )
    )(jax.random.key(0)).logits
    self.assertTrue(np.all(moved[:, 3, 4] > 0.1))
    self.assertTrue(np.all(moved[:, 3, :4] < 0.0))
    others = np.delete(np.asarray(moved), 3, axis=1)
    np.testing.assert_array_equal(others, 0.0)

  @pytest.mark.slow
  def test_the_rate_starts_anew_in_every_round(self):
    """Oracle: a constant gradient, for which Adam's step is the rate."""
    config = configured(search_epochs=12, weight_decay=0.0)
    optimizer = steps.search_optimizer(config)
    state = optimizer.init(jnp.zeros(1))
    moves = []
    for _ in range(24):
      update, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
      moves.append(-float(update[0]))
    expected = [0.02] + [0.018] * 10 + [0.0162]
    np.testing.assert_allclose(moves, 2 * expected, rtol=1e-4)

  def test_operations_of_given_draws(self):
    """Oracle: the unnormalized wheel in Python, float64."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 6, 5)).astype(np.float32)
    noise = rng.random((40, 6, 5)).astype(np.float32)
    uniform = rng.random((40, 6)).astype(np.float32)
    chosen = steps.sample_operations(logits, noise, uniform, noise=0.3)
    for place in np.ndindex(40, 6):
      p = np.exp(np.float64(logits[place]))
      p = p / p.sum() + 0.3 * noise[place]
      wheel = np.cumsum(p / p.sum())
      self.assertEqual(int(chosen[place]), int(np.sum(wheel <= uniform[place])))

  def test_the_noise_flattens_the_probabilities(self):
    """Oracle: for a sure operation, the mean of (1 + u) / (1 + sum of u)."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray([[0.0, -50.0, -50.0, -50.0, -50.0]])
    noise = 0.3 * rng.random((100_000, 5))
    expected = np.mean((1 + noise[:, 0]) / (1 + noise.sum(axis=1)))
    draws = rng.random((20_000, 1, 6)).astype(np.float32)
    chosen = steps.sample_operations(
      logits[None], draws[..., :5], draws[..., 5], noise=0.3
    )
    share = float(np.mean(np.asarray(chosen) == 0))
    self.assertLess(abs(share - expected), 4 * 0.5 / 20_000**0.5)

  def test_a_draw_just_below_one_is_an_operation(self):
    """Oracle: five operations."""
    last = np.nextafter(np.float32(1), np.float32(0))
    chosen = steps.sample_operations(
      jnp.zeros((1, 5)), jnp.zeros((1, 5)), jnp.full(1, last), noise=0.3
    )
    self.assertEqual(int(chosen[0]), 4)

  def test_candidates_are_unseen_or_marked(self):
    """Oracle: set membership; a group with one reachable cell that is known."""
    sure = jnp.full((6, 5), -jnp.inf).at[:, 2].set(0.0)
    # The second group has 2^6 cells, of which the archive holds a few.
    free = jnp.full((6, 5), -jnp.inf).at[:, :2].set(0.0)
    archive = jnp.asarray(np.indices((2,) * 6).reshape(6, -1).T[:7], jnp.int32)
    archive = jnp.concatenate([jnp.full((1, 6), 2, jnp.int32), archive])
    config = configured(noise=0.0)
    for num in (8, 0):
      archs, unseen = jax.jit(
        lambda key, num: steps.sample_unseen(
          key, jnp.stack([sure, free]), archive, num, 60, SPACE, config
        )
      )(jax.random.key(0), jnp.int32(num))
      self.assertEqual(archs.shape, (2 * 120, 6))
      known = rows_of(archive[:num])
      expected = [tuple(a) not in known for a in np.asarray(archs).tolist()]
      np.testing.assert_array_equal(unseen, expected)
      np.testing.assert_array_equal(unseen[:120], num == 0)
      self.assertTrue(np.all(unseen[120:]))

  @parameterized.parameters(1, 3, 6)
  def test_equal_scores_collapse(self, num):
    """Oracle: a dictionary of first occurrences, sorted."""
    scores = [0.5, 2.0, 0.5, -np.inf, 2.0, 1.0, -np.inf, 0.25]
    first = {}
    for place, score in enumerate(scores):
      if score > -np.inf:
        first.setdefault(score, place)
    expected = [first[s] for s in sorted(first, reverse=True)][:num]
    chosen, found = steps.top_unique(jnp.asarray(scores, jnp.float32), num)
    self.assertEqual(int(found.sum()), len(expected))
    self.assertEqual(chosen[found].tolist(), expected)


if __name__ == "__main__":
  absltest.main()
