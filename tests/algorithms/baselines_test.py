"""What the baselines do, replayed from their traces."""

import collections
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax.algorithms import local_search
from nagjax.algorithms import random_search
from nagjax.algorithms import regularized_evolution
from nagjax.search import driver
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests.algorithms import registered


def space():
  return nasbench201.nasbench201()


@functools.cache
def trace_of(name, budget, num_rounds, seed=0, **options):
  """A longer search than the contract's, on a table with failures."""
  builders = {
    "random": (random_search.random, random_search.Config),
    "local_search": (local_search.local_search, local_search.Config),
    "evolution": (
      regularized_evolution.regularized_evolution,
      regularized_evolution.Config,
    ),
  }
  builder, config = builders[name]
  algorithm = builder(space(), config(**options))
  search = jax.jit(
    lambda key, problem: driver.run(
      key, algorithm, problem, (), budget=budget, num_rounds=num_rounds
    )[0]
  )
  return jax.device_get(search(jax.random.key(seed), registered.problem()))


def neighbors(arch):
  """The 24 cells at Hamming distance one, as tuples."""
  return {
    (*arch[:edge], op, *arch[edge + 1 :])
    for edge in range(6)
    for op in range(5)
    if op != arch[edge]
  }


def slots(trace):
  """Filled slots in order: cell, status, objective."""
  rows = zip(
    trace.archs.reshape(-1, 6).tolist(),
    trace.status.ravel().tolist(),
    trace.objective.ravel().tolist(),
    strict=True,
  )
  return [(tuple(a), s, o) for a, s, o in rows if s != Status.EMPTY]


class RandomTest(parameterized.TestCase):
  def test_nothing_is_drawn_twice(self):
    """Oracle: a Python set; every slot costs a query."""
    trace = trace_of("random", 400, 100, batch_size=7)
    cells = [cell for cell, _, _ in slots(trace)]
    paid = [cell for cell, status, _ in slots(trace) if status != Status.DENIED]
    self.assertLen(set(cells), len(cells))
    self.assertLen(paid, 400)
    np.testing.assert_array_equal(
      trace.charged, np.minimum(7 * np.arange(1, 101), 400)
    )

  def test_the_whole_space_is_a_permutation(self):
    """Oracle: all 15,625 indices; then only invalid rows."""
    algorithm = random_search.random(
      space(), random_search.Config(batch_size=5000)
    )
    state = algorithm.init(jax.random.key(0), ())
    seen = []
    for _ in range(4):
      proposal, state = algorithm.ask(jax.random.key(1), state, ())
      seen += np.asarray(space().index(proposal.archs))[proposal.valid].tolist()
    self.assertEqual(sorted(seen), list(range(15625)))
    self.assertNotEqual(seen, sorted(seen))

  def test_draws_are_uniform(self):
    """Oracle: chi-square over the first 100 cells of 30 keys."""
    algorithm = random_search.random(space())
    init = jax.jit(lambda key: algorithm.init(key, ()).order[:100])
    keys = jax.random.split(jax.random.key(0), 30)
    order = np.concatenate([init(key) for key in keys])
    for group in (order % 25, order // 625):
      counts = np.bincount(group, minlength=25)
      self.assertLen(counts, 25)
      self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_options_are_checked(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "batch_size must be at least 1"):
      random_search.Config(batch_size=0)


class LocalSearchTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_first_improvement(self, seed):
    """Oracle: the walk replayed in Python, slot by slot."""
    trace = trace_of("local_search", 150, 400, seed=seed)
    center, value, unvisited, starts, moves = None, -np.inf, set(), 0, 0
    for cell, status, objective in slots(trace):
      usable = status in (Status.FRESH, Status.REPEAT)
      if center is None or not unvisited:
        starts += 1
        if usable:
          center, value, unvisited = cell, objective, neighbors(cell)
        continue
      self.assertIn(cell, unvisited)
      unvisited.remove(cell)
      if usable and objective > value:
        center, value, unvisited = cell, objective, neighbors(cell)
        moves += 1
    self.assertGreaterEqual(starts, 2)
    self.assertGreater(moves, 5)
    self.assertEqual(trace.charged[-1], 150)

  @parameterized.parameters(0, 1)
  def test_best_improvement(self, seed):
    """Oracle: the walk replayed in Python, round by round."""
    trace = trace_of("local_search", 300, 40, seed=seed, read_all=True)
    center, value, at_optimum, starts, moves = None, -np.inf, True, 0, 0
    for archs, status, objective in zip(
      trace.archs, trace.status, trace.objective, strict=True
    ):
      if np.all(status == Status.EMPTY):
        break
      if at_optimum:
        starts += 1
        self.assertTrue(np.all(status[1:] == Status.INVALID))
        if np.isfinite(objective[0]):
          center, value = tuple(archs[0].tolist()), objective[0]
          at_optimum = False
        continue
      self.assertEqual(set(map(tuple, archs.tolist())), neighbors(center))
      best = int(np.argmax(objective))
      at_optimum = objective[best] <= value
      if not at_optimum:
        center, value = tuple(archs[best].tolist()), objective[best]
        moves += 1
    self.assertGreaterEqual(starts, 2)
    self.assertGreater(moves, 3)

  def test_neighbors_are_visited_in_a_random_order(self):
    """Oracle: chi-square of the first of 24 neighbors, 4,800 keys."""
    algorithm = local_search.local_search(space())
    state = algorithm.init(jax.random.key(0), ())._replace(
      center=jnp.full(6, 2, jnp.int32),
      center_objective=jnp.float32(50),
      position=jnp.int32(0),
    )
    first = jax.jit(
      jax.vmap(lambda key: algorithm.ask(key, state, ())[0].archs[0])
    )(jax.random.split(jax.random.key(0), 4800))
    _, counts = np.unique(np.asarray(first), axis=0, return_counts=True)
    self.assertLen(counts, 24)
    self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_a_neighbor_as_good_is_no_move(self):
    """Oracle: equal values everywhere; 24 visits, then a restart."""
    algorithm = local_search.local_search(space())
    state = algorithm.init(jax.random.key(0), ())
    ask, tell = jax.jit(algorithm.ask), jax.jit(algorithm.tell)
    cells = []
    for step in range(26):
      key = jax.random.fold_in(jax.random.key(1), step)
      proposal, state = ask(key, state, ())
      value = jnp.full(1, 50.0)
      evaluation = Evaluation(
        jnp.zeros(1, jnp.int8),
        value,
        value[:, None],
        jnp.zeros((1, 0)),
        jnp.isfinite(value),
      )
      state, _ = tell(state, proposal, evaluation, ())
      cells.append(tuple(proposal.archs[0].tolist()))
    self.assertEqual(set(cells[1:25]), neighbors(cells[0]))
    self.assertEqual(int(state.position), 0)
    self.assertEqual(tuple(state.center.tolist()), cells[25])

  def test_a_failed_start_is_tried_again(self):
    """Oracle: three failures, then a value."""
    algorithm = local_search.local_search(space())
    state = algorithm.init(jax.random.key(0), ())
    ask, tell = jax.jit(algorithm.ask), jax.jit(algorithm.tell)
    for step, value in enumerate((-np.inf, -np.inf, -np.inf, 40.0)):
      self.assertEqual(int(state.position), 24)
      key = jax.random.fold_in(jax.random.key(1), step)
      proposal, state = ask(key, state, ())
      value = jnp.full(1, value)
      evaluation = Evaluation(
        jnp.zeros(1, jnp.int8),
        value,
        value[:, None],
        jnp.zeros((1, 0)),
        jnp.isfinite(value),
      )
      state, _ = tell(state, proposal, evaluation, ())
    np.testing.assert_array_equal(state.center, proposal.archs[0])
    self.assertEqual(int(state.position), 0)


class RegularizedEvolutionTest(parameterized.TestCase):
  @parameterized.parameters((30, 10, 0), (5, 2, 1))
  def test_children_of_the_living(self, population_size, sample_size, seed):
    """Oracle: a deque; each child differs from a living one in one edge."""
    trace = trace_of(
      "evolution",
      120,
      200,
      seed=seed,
      population_size=population_size,
      sample_size=sample_size,
    )
    rows = slots(trace)
    living = collections.deque(
      (cell for cell, _, _ in rows[:population_size]), population_size
    )
    self.assertLen(living, population_size)
    for child, _, _ in rows[population_size:]:
      self.assertTrue(neighbors(child) & set(living))
      living.append(child)
    self.assertEqual(trace.charged[-1], 120)

  def test_the_ring_replaces_the_oldest(self):
    """Oracle: the last P rows that were told, in a deque."""
    config = regularized_evolution.Config(population_size=4)
    algorithm = regularized_evolution.regularized_evolution(space(), config)
    state = algorithm.init(jax.random.key(0), ())
    told = collections.deque(maxlen=4)
    rng = np.random.default_rng(0)
    for size in (4, 1, 1, 3, 1, 9, 2):
      archs = rng.integers(0, 5, (size, 6)).astype(np.int32)
      objective = jnp.asarray(rng.uniform(0, 90, size), jnp.float32)
      state, info = algorithm.tell(
        state,
        Proposal(jnp.asarray(archs), jnp.ones(size, bool)),
        Evaluation(
          jnp.zeros(size, jnp.int8),
          objective,
          objective[:, None],
          jnp.zeros((size, 0)),
          jnp.ones(size, bool),
        ),
        (),
      )
      told.extend(
        zip(map(tuple, archs.tolist()), objective.tolist(), strict=True)
      )
      rows = zip(
        map(tuple, state.archs.tolist()), state.objective.tolist(), strict=True
      )
      self.assertCountEqual(list(rows), list(told))
      oldest = tuple(state.archs[state.oldest].tolist())
      self.assertEqual(oldest, told[0][0])
      self.assertAlmostEqual(
        float(info.best_objective), max(o for _, o in told), places=4
      )

  def test_the_parent_is_the_best_of_a_tournament_with_replacement(self):
    """Oracle: rank k of P wins with ((P-k+1)/P)^s - ((P-k)/P)^s."""
    size, draws = 5, 3
    config = regularized_evolution.Config(
      population_size=size, sample_size=draws
    )
    algorithm = regularized_evolution.regularized_evolution(space(), config)
    state = algorithm.init(jax.random.key(0), ())._replace(
      # Constant cells: a child has exactly one nearest member.
      archs=jnp.broadcast_to(jnp.arange(5, dtype=jnp.int32)[:, None], (5, 6)),
      objective=jnp.asarray([30.0, 90.0, 10.0, 50.0, 70.0]),
      num_filled=jnp.int32(5),
    )
    children = np.asarray(
      jax.jit(jax.vmap(lambda key: algorithm.ask(key, state, ())[0].archs[0]))(
        jax.random.split(jax.random.key(0), 6000)
      )
    )
    members = np.arange(5)[:, None, None] == children[None]
    parent = members.sum(-1).argmax(0)
    counts = np.bincount(parent, minlength=5)[[1, 4, 3, 0, 2]]
    above = np.arange(size, 0, -1) / size
    share = above**draws - (above - 1 / size) ** draws
    self.assertGreater(stats.chisquare(counts, 6000 * share).pvalue, 1e-3)
    changed = np.argmax(children != parent[:, None], axis=1)
    self.assertTrue(np.all((children != parent[:, None]).sum(1) == 1))
    self.assertGreater(stats.chisquare(np.bincount(changed)).pvalue, 1e-3)

  @pytest.mark.slow
  def test_a_short_prior_is_the_whole_population(self):
    """Oracle: children of 300 keys are neighbors of its two cells alone."""
    algorithm = regularized_evolution.regularized_evolution(space())
    archs = jnp.asarray([[1, 2, 3, 4, 1, 2], [3, 3, 3, 3, 3, 3]], jnp.int32)
    objective = jnp.asarray([10.0, 20.0])
    evaluation = Evaluation(
      jnp.zeros(2, jnp.int8),
      objective,
      objective[:, None],
      jnp.zeros((2, 0)),
      jnp.ones(2, bool),
    )
    state, _ = algorithm.tell(
      algorithm.init(jax.random.key(0), ()),
      Proposal(archs, jnp.ones(2, bool)),
      evaluation,
      (),
    )
    children = jax.vmap(lambda key: algorithm.ask(key, state, ())[0].archs[0])(
      jax.random.split(jax.random.key(1), 300)
    )
    worse, better = (neighbors(tuple(arch)) for arch in archs.tolist())
    found = set(map(tuple, children.tolist()))
    self.assertLessEqual(found, worse | better)
    self.assertTrue(found & better)

  def test_options_are_checked(self):
    """Oracle: the documented ValueErrors."""
    for name in ("population_size", "sample_size"):
      with self.assertRaisesRegex(ValueError, f"{name} must be at least 1"):
        regularized_evolution.Config(**{name: 0})


if __name__ == "__main__":
  absltest.main()
