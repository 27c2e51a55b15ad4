"""Tests of nagjax.search.driver with algorithms whose proposals are known."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import problem as problem_lib
from nagjax.benchmarks import synthetic
from nagjax.search import driver
from nagjax.spaces import nasbench201
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests.search import toys

NAN_ROWS = (3, 10, 11, 12)


def space():
  return nasbench201.nasbench201()


def make_problem(kind="rows", **question):
  table = toys.failing(rows=NAN_ROWS)
  benchmark = table if kind == "rows" else toys.Rowless(table)
  return problem_lib.Problem(benchmark, **question)


def random_script(rounds, batch_size, num_names=30, seed=0):
  """Rows out of a few, so that repeats are common, and some invalid ones."""
  rng = np.random.default_rng(seed)
  rows = rng.integers(0, num_names, (rounds, batch_size))
  valid = rng.random((rounds, batch_size)) < 0.85
  return rows, valid, np.asarray(space().from_index(jnp.asarray(rows)))


@functools.cache
def compiled(algorithm, budget, num_rounds):
  """One program for each algorithm and size, shared by the tests."""

  @jax.jit
  def search(key, problem, params, prior):
    return driver.run(
      key,
      algorithm,
      problem,
      params,
      budget=budget,
      num_rounds=num_rounds,
      prior=prior,
    )

  return search


def run(
  algorithm, problem, *, budget, num_rounds, seed=0, params=(), prior=None
):
  search = compiled(algorithm, budget, num_rounds)
  trace, state = search(jax.random.key(seed), problem, params, prior)
  return jax.device_get(trace), state


class RunTest(parameterized.TestCase):
  @parameterized.parameters(
    ("rows", 9, 4, 17),
    ("rows", 12, 1, 8),
    ("rows", 3, 7, 21),
    ("keys", 9, 4, 17),
  )
  def test_the_trace_of_a_script(self, kind, rounds, batch_size, budget):
    """Oracle: Python set and table look-up, with failures and denials."""
    rows, valid, archs = random_script(rounds, batch_size)
    problem = make_problem(kind)
    trace, state = run(
      toys.scripted(archs, valid), problem, budget=budget, num_rounds=rounds
    )
    table = toys.failing(rows=NAN_ROWS)
    value = np.asarray(table.queried["valid_accuracy"])
    test = np.asarray(table.reported["test_accuracy"])
    paid, ended = set(), False
    for r in range(rounds):
      failed = np.isnan(value[rows[r]])
      status, bought, paid = toys.charge(
        rows[r].tolist(), valid[r], failed, budget, paid
      )
      usable = np.isin(status, (Status.FRESH, Status.REPEAT))
      np.testing.assert_array_equal(state.algorithm.status[r], status)
      if not ended:
        np.testing.assert_array_equal(trace.archs[r], archs[r])
        np.testing.assert_array_equal(trace.status[r], status)
        np.testing.assert_array_equal(trace.feasible[r], usable)
        np.testing.assert_array_equal(
          trace.objective[r], np.where(usable, value[rows[r]], -np.inf)
        )
        np.testing.assert_array_equal(
          trace.test[r], np.where(usable, test[rows[r]], np.nan)
        )
        np.testing.assert_array_equal(trace.paid[r], bought)
      self.assertEqual(int(trace.charged[r]), len(paid))
      ended = len(paid) >= budget
    self.assertEqual(int(state.ledger.charged), len(paid))
    self.assertEqual(int(state.round), rounds)

  def test_failed_evaluations_are_invalid_and_charged_once(self):
    """Oracle: by hand; row 3 is NaN."""
    archs = space().from_index(jnp.asarray([[3, 3], [3, 5]]))
    trace, _ = run(toys.scripted(archs), make_problem(), budget=9, num_rounds=2)
    invalid = Status.INVALID
    self.assertEqual(
      trace.status.tolist(), [[invalid, invalid], [invalid, Status.FRESH]]
    )
    self.assertEqual(trace.paid.tolist(), [[True, False], [False, True]])
    self.assertEqual(trace.charged.tolist(), [1, 2])

  def test_what_an_algorithm_is_told_of_rows_without_a_result(self):
    """Oracle: the fields of Evaluation; nothing is NaN."""
    archs = space().from_index(jnp.asarray([3, 5, 6, 7]))
    valid = jnp.asarray([True, True, False, True])
    silence = jnp.zeros((4, 1))
    listener = Algorithm(
      init=lambda *_: Evaluation(
        jnp.zeros(4, jnp.int8), jnp.zeros(4), silence, silence
      ),
      ask=lambda key, state, params: (Proposal(archs, valid), state),
      tell=lambda state, proposal, evaluation, params: (evaluation, ()),
      num_initial=0,
      batch_size=4,
    )
    problem = make_problem(
      constraints=(problem_lib.Constraint("params_m", 0.2),)
    )
    _, state = run(listener, problem, budget=2, num_rounds=1)
    evaluation = state.algorithm
    without = [0, 2, 3]  # Failed, invalid, denied.
    np.testing.assert_array_equal(
      evaluation.status,
      [Status.INVALID, Status.FRESH, Status.INVALID, Status.DENIED],
    )
    for field, value in (
      (evaluation.objective, -np.inf),
      (evaluation.objectives[:, 0], -np.inf),
      (evaluation.violations[:, 0], np.inf),
    ):
      np.testing.assert_array_equal(np.asarray(field)[without], value)
      self.assertTrue(np.isfinite(field[1]))
    self.assertLess(float(evaluation.objective[1]), -1e3)
    self.assertGreater(float(evaluation.violations[1, 0]), 0)

  def test_a_budget_that_no_batch_divides_is_spent_exactly(self):
    """Oracle: interface.md; surplus of the last batch is denied in order."""
    archs = space().from_index(jnp.arange(20, 32).reshape(3, 4))
    trace, _ = run(toys.scripted(archs), make_problem(), budget=6, num_rounds=3)
    fresh, denied = Status.FRESH, Status.DENIED
    self.assertEqual(trace.charged.tolist(), [4, 6, 6])
    self.assertEqual(trace.status[1].tolist(), [fresh, fresh, denied, denied])
    self.assertEqual(trace.status[2].tolist(), [Status.EMPTY] * 4)

  def test_the_trace_is_frozen_after_the_end(self):
    """Oracle: the docstring of Trace: an empty slot holds nothing."""
    archs = space().from_index(jnp.asarray([[20, 21], [20, 22], [21, 20]]))
    trace, state = run(
      toys.scripted(archs), make_problem(), budget=2, num_rounds=3
    )
    self.assertEqual(trace.charged.tolist(), [2, 2, 2])
    self.assertEqual(trace.status[1:].tolist(), [[Status.EMPTY] * 2] * 2)
    self.assertFalse(np.any(trace.paid[1:]))
    # The algorithm itself goes on, on what it has paid for.
    self.assertEqual(
      state.algorithm.status[1:].tolist(),
      [[Status.REPEAT, Status.DENIED], [Status.REPEAT, Status.REPEAT]],
    )
    np.testing.assert_array_equal(trace.objective[1:], -np.inf)
    np.testing.assert_array_equal(trace.test[1:], np.nan)
    self.assertFalse(np.any(trace.feasible[1:]))

  def test_the_test_metric_never_reaches_the_algorithm(self):
    """Oracle: the same search on a table with other test accuracies."""
    problem = make_problem()
    other = problem.benchmark.replace(
      reported={
        "test_accuracy": problem.benchmark.reported["test_accuracy"] * 0
      }
    )
    options = dict(budget=15, num_rounds=12, params=toys.climber_params())
    a, first = run(toys.climber(space()), problem, **options)
    b, second = run(
      toys.climber(space()), problem_lib.Problem(other), **options
    )
    np.testing.assert_array_equal(a.archs, b.archs)
    jax.tree.map(
      np.testing.assert_array_equal, first.algorithm, second.algorithm
    )


class InitialDesignTest(parameterized.TestCase):
  @parameterized.parameters((0, 0), (4, 1), (9, 3))
  def test_the_design_fills_the_first_rounds(self, num_initial, num_first):
    """Oracle: counting slots; padding is empty."""
    _, _, archs = random_script(5, 4)
    algorithm = toys.scripted(archs, num_initial=num_initial)
    trace, state = run(algorithm, make_problem(), budget=50, num_rounds=5)
    self.assertEqual(trace.status.shape, (num_first + 5, 4))
    slots = trace.status[:num_first].ravel()
    self.assertTrue(np.all(slots[:num_initial] != Status.EMPTY))
    padding = slice(num_initial, None)
    self.assertTrue(np.all(slots[padding] == Status.EMPTY))
    flat = jax.tree.map(
      lambda a: a[:num_first].reshape(-1, *a.shape[2:])[padding],
      trace._replace(charged=trace.status),
    )
    self.assertTrue(np.all(flat.objective == -np.inf))
    self.assertTrue(np.all(np.isnan(flat.test)))
    self.assertFalse(np.any(flat.paid) or np.any(flat.feasible))
    if num_initial != 4:  # A design of exactly one batch looks like a round.
      self.assertEqual(int(state.algorithm.num_before), num_initial)
    np.testing.assert_array_equal(trace.charged, np.cumsum(trace.paid.sum(1)))

  def test_the_design_is_random_by_key(self):
    """Oracle: two keys differ; the design is told before the first ask."""
    algorithm = toys.climber(space(), num_initial=6)
    options = dict(
      budget=30, num_rounds=1, params=toys.climber_params(restart=0.0)
    )
    a, _ = run(algorithm, make_problem(), seed=0, **options)
    b, _ = run(algorithm, make_problem(), seed=1, **options)
    self.assertFalse(np.array_equal(a.archs[:3], b.archs[:3]))
    best = a.archs[:3].reshape(6, 6)[np.argmax(a.objective[:3])]
    self.assertTrue(np.all((a.archs[3] != best).sum(1) == 1))

  def test_prior_data_takes_the_place_of_the_design_and_is_charged_first(self):
    """Oracle: by hand; a failure and a duplicate among the prior."""
    rows = [40, 3, 41, 40, 42]
    prior = driver.Prior(space().from_index(jnp.asarray(rows)))
    archs = space().from_index(jnp.asarray([[41, 43], [44, 45]]))
    trace, state = run(
      toys.scripted(archs, num_initial=7),
      make_problem(),
      budget=5,
      num_rounds=2,
      prior=prior,
    )
    fresh, repeat, denied = Status.FRESH, Status.REPEAT, Status.DENIED
    invalid, empty = Status.INVALID, Status.EMPTY
    self.assertEqual(
      trace.status.tolist(),
      [
        [fresh, invalid],
        [fresh, repeat],
        [fresh, empty],
        [repeat, fresh],
        [empty, empty],
      ],
    )
    self.assertEqual(trace.charged.tolist(), [2, 3, 4, 5, 5])
    self.assertEqual(int(state.algorithm.num_before), 5)
    np.testing.assert_array_equal(
      trace.archs[:3].reshape(6, 6)[:5], prior.archs
    )
    self.assertEqual(state.algorithm.status[1].tolist(), [denied, denied])

  def test_a_prior_beyond_the_budget_is_denied_in_order(self):
    """Oracle: by hand."""
    prior = driver.Prior(space().from_index(jnp.arange(40, 46)))
    trace, _ = run(
      toys.scripted(np.zeros((1, 3, 6))),
      make_problem(),
      budget=4,
      num_rounds=1,
      prior=prior,
    )
    self.assertEqual(
      trace.status.ravel().tolist(),
      [Status.FRESH] * 4 + [Status.DENIED] * 2 + [Status.EMPTY] * 3,
    )

  def test_an_impossible_budget_is_refused(self):
    """Oracle: the documented ValueErrors."""
    algorithm = toys.climber(space(), num_initial=6)
    call = functools.partial(
      driver.run,
      jax.random.key(0),
      algorithm,
      make_problem(),
      toys.climber_params(),
      num_rounds=1,
    )
    with self.assertRaisesRegex(ValueError, "at least 6"):
      call(budget=5)
    with self.assertRaisesRegex(ValueError, "15625 rows"):
      call(budget=15626)
    prior = driver.Prior(jnp.zeros((1, 6), jnp.int32))
    with self.assertRaisesRegex(ValueError, "at least 1"):
      call(budget=0, prior=prior)
    jax.eval_shape(lambda: call(budget=1, prior=prior))


class StartAndAdvanceTest(parameterized.TestCase):
  def test_start_and_advance_in_pieces_are_run(self):
    """Oracle: run, bit for bit."""
    problem, params = make_problem(), toys.climber_params()
    algorithm = toys.climber(space())
    whole, end = run(
      algorithm, problem, budget=15, num_rounds=12, params=params
    )
    start = jax.jit(
      lambda key: driver.start(key, algorithm, problem, params, budget=15)
    )
    advance = jax.jit(
      lambda state: driver.advance(
        state, algorithm, problem, params, budget=15, num_rounds=4
      )
    )
    state, trace = start(jax.random.key(0))
    parts = [trace]
    for _ in range(3):
      state, trace = advance(state)
      parts.append(trace)
    pieces = jax.tree.map(lambda *a: np.concatenate(a), *parts)
    jax.tree.map(np.testing.assert_array_equal, pieces, whole)
    jax.tree.map(
      np.testing.assert_array_equal,
      end._replace(key=jax.random.key_data(end.key)),
      state._replace(key=jax.random.key_data(state.key)),
    )

  def test_the_table_is_an_argument_of_the_program(self):
    """Oracle: one compiled search on two tables."""
    algorithm, params = toys.climber(space()), toys.climber_params()
    search = compiled(algorithm, 15, 12)
    search.clear_cache()
    best = {}
    for kind, benchmark in (
      ("plain", synthetic.synthetic()),
      ("reversed", synthetic.synthetic()),
    ):
      if kind == "reversed":
        queried = benchmark.queried
        value = 100 - queried["valid_accuracy"]
        benchmark = benchmark.replace(
          queried={**queried, "valid_accuracy": value}
        )
      problem = problem_lib.Problem(benchmark)
      trace, _ = search(jax.random.key(0), problem, params, None)
      best[kind] = trace.archs.reshape(-1, 6)[jnp.argmax(trace.objective)]
      expected = problem.evaluate(best[kind][None]).objective[0]
      self.assertEqual(float(trace.objective.max()), float(expected))
    self.assertFalse(bool(jnp.all(best["plain"] == best["reversed"])))
    self.assertEqual(search._cache_size(), 1)


if __name__ == "__main__":
  absltest.main()
