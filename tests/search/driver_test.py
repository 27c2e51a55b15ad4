"""Tests of nagjax.search.driver with algorithms whose proposals are known."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import problem as problem_lib
from nagjax import search as search_lib
from nagjax.benchmarks import synthetic
from nagjax.search import driver
from nagjax.search import traces
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
  def search(key, problem, params, warm_start):
    return driver.run(
      key,
      algorithm,
      problem,
      params,
      budget=budget,
      num_rounds=num_rounds,
      warm_start=warm_start,
    )

  return search


def run(
  algorithm, problem, *, budget, num_rounds, seed=0, params=(), warm_start=None
):
  search = compiled(algorithm, budget, num_rounds)
  result = search(jax.random.key(seed), problem, params, warm_start)
  return jax.device_get(result.trace), result.state


class RunTest(parameterized.TestCase):
  @parameterized.parameters(
    ("rows", 9, 4, 17, 1), ("rows", 12, 1, 8, 2), ("keys", 9, 4, 17, 1)
  )
  def test_the_trace_of_a_script(
    self, kind, rounds, batch_size, budget, num_ended
  ):
    """Oracle: Python set and table look-up, with failures and denials.

    A failure is invalid and charged once, a budget that no batch divides is
    spent exactly, and what is after the end holds nothing while the algorithm
    goes on with what it has paid for.
    """
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
          trace.test[r], np.where(usable, test[rows[r]], -np.inf)
        )
        np.testing.assert_array_equal(
          trace.objectives[r, :, 0], trace.objective[r]
        )
        np.testing.assert_array_equal(trace.paid[r], bought)
      else:
        for name, filler in traces.FILLERS.items():
          np.testing.assert_array_equal(getattr(trace, name)[r], filler, name)
      self.assertEqual(int(trace.charged[r]), len(paid))
      ended = len(paid) >= budget
    after = np.all(trace.status == Status.EMPTY, axis=1)
    self.assertEqual(int(after.sum()), num_ended)
    self.assertEqual(int(state.ledger.charged), len(paid))
    self.assertEqual(int(state.round), rounds)

  def test_what_an_algorithm_is_told_of_rows_without_a_result(self):
    """Oracle: the fields of Evaluation; nothing is NaN."""
    archs = space().from_index(jnp.asarray([3, 5, 6, 7]))
    valid = jnp.asarray([True, True, False, True])
    silence = jnp.zeros((4, 1))
    listener = Algorithm(
      init=lambda *_: Evaluation(
        jnp.zeros(4, jnp.int8),
        jnp.zeros(4),
        silence,
        silence,
        silence[:, 0] > 0,
      ),
      ask=lambda key, state, params: (Proposal(archs, valid), state),
      tell=lambda state, proposal, evaluation, params: (evaluation, ()),
      num_initial=0,
      batch_size=4,
    )
    problem = make_problem(
      constraints=(problem_lib.Constraint("params_m", 0.2),)
    )
    trace, state = run(listener, problem, budget=2, num_rounds=1)
    evaluation = state.algorithm
    for name, field in evaluation._asdict().items():
      np.testing.assert_array_equal(getattr(trace, name)[0], field)
    self.assertFalse(np.any(evaluation.feasible))
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
    self.assertLess(float(evaluation.objective[1]), problem_lib.LEAST_FEASIBLE)
    self.assertGreater(float(evaluation.violations[1, 0]), 0)

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
  @parameterized.parameters((0, 0), (9, 3))
  def test_the_design_fills_the_first_rounds(self, num_initial, num_first):
    """Oracle: counting slots; padding is empty."""
    _, _, archs = random_script(5, 4)
    algorithm = toys.scripted(archs, num_initial=num_initial)
    trace, state = run(algorithm, make_problem(), budget=50, num_rounds=5)
    self.assertEqual(trace.status.shape, (num_first + 5, 4))
    slots = trace.status[:num_first].ravel()
    self.assertTrue(np.all(slots[:num_initial] != Status.EMPTY))
    self.assertTrue(np.all(slots[num_initial:] == Status.EMPTY))
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

  def test_a_warm_start_takes_the_place_of_the_design_and_is_charged_first(
    self,
  ):
    """Oracle: by hand; a failure and a duplicate among them."""
    rows = [40, 3, 41, 40, 42]
    warm_start = driver.WarmStart(space().from_index(jnp.asarray(rows)))
    archs = space().from_index(jnp.asarray([[41, 43], [44, 45]]))
    trace, state = run(
      toys.scripted(archs, num_initial=7),
      make_problem(),
      budget=5,
      num_rounds=2,
      warm_start=warm_start,
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
      trace.archs[:3].reshape(6, 6)[:5], warm_start.archs
    )
    self.assertEqual(state.algorithm.status[1].tolist(), [denied, denied])

  def test_a_warm_start_beyond_the_budget_is_denied_in_order(self):
    """Oracle: by hand."""
    warm_start = driver.WarmStart(space().from_index(jnp.arange(40, 46)))
    trace, _ = run(
      toys.scripted(np.zeros((1, 3, 6))),
      make_problem(),
      budget=4,
      num_rounds=1,
      warm_start=warm_start,
    )
    self.assertEqual(
      trace.status.ravel().tolist(),
      [Status.FRESH] * 4 + [Status.DENIED] * 2 + [Status.EMPTY] * 3,
    )


class StartAndAdvanceTest(parameterized.TestCase):
  def test_start_and_advance_in_pieces_are_run(self):
    """Oracle: run, bit for bit; infos are frozen like the trace."""
    params = toys.climber_params()
    algorithm = toys.climber(space())
    whole = compiled(algorithm, 15, 12)(
      jax.random.key(0), make_problem(), params, None
    )
    search = toys.search_of(algorithm, make_problem(), params)
    advance = jax.jit(
      lambda state: search_lib.advance(state, search, num_rounds=4)
    )
    part = jax.jit(lambda key: search_lib.start(key, search))(jax.random.key(0))
    self.assertIsNone(part.info)
    parts, infos = [part.trace], []
    for _ in range(3):
      part = advance(part.state)
      parts.append(part.trace)
      infos.append(part.info)
    for pieces, expected in ((parts, whole.trace), (infos, whole.info)):
      joined = jax.tree.map(lambda *a: np.concatenate(a), *pieces)
      jax.tree.map(np.testing.assert_array_equal, joined, expected)
    jax.tree.map(
      np.testing.assert_array_equal,
      whole.state._replace(key=jax.random.key_data(whole.state.key)),
      part.state._replace(key=jax.random.key_data(part.state.key)),
    )

  def test_an_info_for_every_round_of_ask_and_tell(self):
    """Oracle: the best of the trace so far; nothing once it has ended."""
    algorithm, num_rounds = toys.climber(space()), 12
    result = compiled(algorithm, 15, num_rounds)(
      jax.random.key(0), make_problem(), toys.climber_params(), None
    )
    trace, info = jax.device_get((result.trace, result.info))
    best = np.maximum.accumulate(trace.objective.max(axis=1))[-num_rounds:]
    ended = (trace.status[-num_rounds:] == Status.EMPTY).all(axis=1)
    self.assertBetween(int(ended.sum()), 1, num_rounds - 1)
    np.testing.assert_array_equal(info.best, np.where(ended, -np.inf, best))
    np.testing.assert_array_equal(info.num_valid, np.where(ended, 0, 2))

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
      trace = search(jax.random.key(0), problem, params, None).trace
      best[kind] = trace.archs.reshape(-1, 6)[jnp.argmax(trace.objective)]
      expected = problem.evaluate(best[kind][None]).objective[0]
      self.assertEqual(float(trace.objective.max()), float(expected))
    self.assertFalse(bool(jnp.all(best["plain"] == best["reversed"])))
    self.assertEqual(search._cache_size(), 1)


if __name__ == "__main__":
  absltest.main()
