"""Tests of BANANAS and of the loop that it shares with NPENAS."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax import problem as problem_lib
from nagjax.algorithms import bananas
from nagjax.algorithms import predictor_search
from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.search import driver
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.spaces import nasbench_nlp
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

TINY = dict(
  batch_size=4, archive_size=30, num_candidates=60, hidden_size=4, fit_steps=3
)


def space():
  return nasbench201.nasbench201()


@functools.cache
def tiny(**options):
  """A small search and its compiled functions."""
  algorithm = bananas.bananas(space(), bananas.Config(**TINY, **options))
  return algorithm._replace(
    ask=jax.jit(algorithm.ask), tell=jax.jit(algorithm.tell)
  )


def told(archs, objective, status=None, state=None):
  """The state after an evaluation."""
  objective = jnp.asarray(objective, jnp.float32)
  if status is None:
    status = np.where(np.isfinite(objective), Status.FRESH, Status.INVALID)
  num = objective.shape[0]
  if state is None:
    state = tiny().init(jax.random.key(0), ())
  return tiny().tell(
    state,
    Proposal(jnp.asarray(archs, jnp.int32), jnp.ones(num, bool)),
    Evaluation(
      jnp.asarray(status, jnp.int8),
      objective,
      objective[:, None],
      jnp.zeros((num, 0)),
    ),
    (),
  )


def distance(a, b):
  """Differing variables of every pair, `[A, B]`."""
  return (np.asarray(a)[:, None] != np.asarray(b)[None]).sum(-1)


class ThompsonTest(parameterized.TestCase):
  def test_draws_have_the_moments_of_the_ensemble(self):
    """Oracle: NumPy's mean and standard deviation, 20,000 draws of each."""
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=(3, 4)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.asarray(
      jax.vmap(bananas.thompson, (0, None))(keys, jnp.asarray(predictions))
    )
    deviation = predictions.std(axis=0, ddof=1)
    error = np.abs(draws.mean(axis=0) - predictions.mean(axis=0))
    self.assertTrue(np.all(error < 5 * deviation / np.sqrt(20_000)))
    np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.03)
    correlation = np.corrcoef(draws.T)[np.triu_indices(4, 1)]
    self.assertLess(np.abs(correlation).max(), 0.04)

  def test_a_single_member_is_certain(self):
    """Oracle: its own predictions."""
    predictions = jnp.asarray([[3.0, -1.0, 2.0]])
    draw = bananas.thompson(jax.random.key(0), predictions)
    np.testing.assert_array_equal(draw, predictions[0])


class LoopTest(parameterized.TestCase):
  def test_proposals_are_unseen_mutations_of_the_best(self):
    """Oracle: Hamming distances to the five best, counted by NumPy."""
    archs = np.asarray(space().sample(jax.random.key(1), 25))
    objective = np.random.default_rng(0).permutation(25) + 60.0
    state, info = told(archs, objective)
    best = archs[np.argsort(-objective)[:5]]
    parents = set()
    for seed in range(4):
      proposal, _ = tiny().ask(jax.random.key(seed), state, ())
      to_best = distance(proposal.archs, best)
      self.assertTrue(np.all((to_best == 1).any(axis=1)))
      self.assertTrue(np.all(distance(proposal.archs, archs) > 0))
      self.assertLen(np.unique(proposal.archs, axis=0), 4)
      self.assertTrue(np.all(proposal.valid))
      parents |= set(np.flatnonzero((to_best == 1).any(axis=0)).tolist())
    self.assertGreater(len(parents), 1)
    self.assertEqual(float(info.best_objective), objective.max())
    self.assertEqual(int(info.archive_size), 25)

  def test_mutants_take_turns_among_what_has_a_value(self):
    """Oracle: constant cells, each the only one near its mutants."""
    archs = np.repeat(np.arange(5)[:, None], 6, axis=1)
    state, _ = told(archs, [30.0, -np.inf, 90.0, 50.0, -np.inf])
    config = bananas.Config(**TINY)
    children = predictor_search.mutants(
      jax.random.key(0), state, space(), config
    )
    nearest = distance(children, archs).argmin(axis=1)
    self.assertTrue(np.all(distance(children, archs).min(axis=1) == 1))
    np.testing.assert_array_equal(nearest, np.tile([2, 3, 0], 20))

  def test_without_any_value_proposals_are_random(self):
    """Oracle: no parent, so nearly all differ in several edges."""
    archs = np.zeros((1, 6), np.int32)
    state, info = told(archs, [-np.inf])
    proposals = [
      tiny().ask(jax.random.key(seed), state, ())[0].archs for seed in range(10)
    ]
    apart = distance(np.concatenate(proposals), archs)[:, 0]
    # The mean of a uniform draw is 6 * 4 / 5.
    self.assertAlmostEqual(apart.mean(), 4.8, delta=0.6)
    self.assertEqual(int(info.archive_size), 1)

  def test_an_explored_neighborhood_leaves_random_proposals(self):
    """Oracle: the best cell with its 24 neighbors, all of them known."""
    cell = jnp.full((1, 6), 2, jnp.int32)
    around, _ = space().neighbors(cell[0])
    archs = jnp.concatenate([cell, around])
    state, _ = told(archs, [90.0] + [-np.inf] * 24)
    proposal, _ = tiny().ask(jax.random.key(0), state, ())
    self.assertTrue(np.all(distance(proposal.archs, cell) > 1))

  def test_the_archive_is_what_was_evaluated_once(self):
    """Oracle: a Python dict of the first value of every cell, in order."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 5, (12, 6))
    state, expected = None, {}
    for _ in range(5):
      rows = rng.integers(0, 12, 6)
      objective = rng.uniform(50, 90, 6)
      status = rng.choice([Status.FRESH, Status.REPEAT, Status.DENIED], 6)
      objective[status == Status.DENIED] = -np.inf
      state, info = told(cells[rows], objective, status, state)
      for row, value, kind in zip(rows, objective, status, strict=True):
        if kind != Status.DENIED:
          expected.setdefault(tuple(cells[row].tolist()), np.float32(value))
    num = len(expected)
    self.assertEqual(int(state.num), num)
    self.assertEqual(
      list(map(tuple, state.archs[:num].tolist())), list(expected)
    )
    np.testing.assert_array_equal(
      state.objective[:num], np.asarray(list(expected.values()))
    )
    self.assertTrue(np.all(np.isneginf(state.objective[num:])))

  def test_what_comes_after_the_archive_is_full_is_forgotten(self):
    """Oracle: the first 30 of 50 distinct cells."""
    archs = space().all_architectures()[:50]
    state, _ = told(archs[:20], np.arange(20.0))
    state, info = told(archs[20:], np.arange(20.0, 50.0), state=state)
    np.testing.assert_array_equal(state.archs, archs[:30])
    self.assertEqual(float(info.best_objective), 29.0)
    self.assertEqual(int(info.archive_size), 30)

  def test_the_ensemble_learns_from_the_archive(self):
    """Oracle: a sum over edges, ranked for 500 cells that it has not seen."""
    archs = space().sample(jax.random.key(5), 600)
    value = jnp.asarray([0.0, 1.0, 2.0, 3.0, 1.0])[archs].sum(-1)
    config = bananas.Config(archive_size=100, fit_steps=150)
    state = predictor_search.State(archs[:100], value[:100], jnp.int32(100))
    network, view = bananas.predictor(space(), config)
    members = jax.jit(
      lambda key: predictor_search.fit(key, state, network, view, config)
    )(jax.random.key(0))
    predictions = jax.vmap(network.apply, (0, None))(members, view(archs[100:]))
    self.assertEqual(predictions.shape, (3, 500, 1))
    for member in predictions[..., 0]:
      self.assertGreater(stats.spearmanr(member, value[100:]).statistic, 0.6)
    # Members start and draw their minibatches apart.
    self.assertGreater(float(jnp.min(jnp.std(predictions, axis=0))), 1e-4)

  @parameterized.parameters(
    nasbench101.nasbench101, darts.darts, nasbench_nlp.nasbench_nlp
  )
  def test_other_spaces(self, make_space):
    """Oracle: shapes of the contract, without running anything."""
    algorithm = bananas.bananas(make_space(), bananas.Config(**TINY))
    state = jax.eval_shape(algorithm.init, jax.random.key(0), ())
    proposal, after = jax.eval_shape(
      algorithm.ask, jax.random.key(0), state, ()
    )
    self.assertEqual(proposal.archs.shape, (4, make_space().num_variables))
    self.assertEqual(after, state)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    (dict(batch_size=0), "batch_size must be at least 1, got 0"),
    (dict(max_features=0), "max_features must be at least 1, got 0"),
    (dict(fit_learning_rate=0.0), "fit_learning_rate must be positive"),
    (dict(archive_size=9), "archive_size must be at least 10, got 9"),
    (dict(num_candidates=9), "num_candidates must be at least 10, got 9"),
  )
  def test_options_are_checked(self, options, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      bananas.Config(**options)

  @parameterized.parameters((100, 100, 11), (105, 105, 13), (10, 10, 3))
  def test_sizes_follow_the_budget(self, budget, archive_size, rounds):
    """Oracle: ceil((budget - 10) / 10), then 2 and a tenth more."""
    options = bananas.preset("synthetic", budget)
    self.assertEqual(options, {"archive_size": archive_size})
    config = bananas.Config(**options)
    algorithm = bananas.bananas(space(), config)
    self.assertEqual(bananas.num_rounds(config, algorithm, budget), rounds)


class SearchTest(parameterized.TestCase):
  @parameterized.parameters(("cifar10", 91.35), ("cifar100", 72.3))
  @pytest.mark.slow
  def test_quality_at_100_queries(self, data_set, least):
    """Oracle: the published mean of 91.5 and 73.0 %, less three errors."""
    try:
      benchmark = tabular.load_nasbench201(data_set)
    except FileNotFoundError:
      self.skipTest(f"No table in {base.data_directory()}.")
    algorithm = bananas.bananas(space(), bananas.Config(archive_size=100))
    search = jax.jit(
      jax.vmap(
        lambda key, problem: (
          driver.run(key, algorithm, problem, (), budget=100, num_rounds=11)[
            0
          ].objective
        ),
        (0, None),
      )
    )
    keys = jax.random.split(jax.random.key(0), 12)
    objective = search(keys, problem_lib.Problem(benchmark))
    self.assertGreater(float(jnp.mean(jnp.max(objective, (1, 2)))), least)


if __name__ == "__main__":
  absltest.main()
