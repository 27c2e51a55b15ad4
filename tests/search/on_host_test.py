"""Tests of nagjax.search.on_host, for every registered algorithm."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax.search import driver
from nagjax.search import on_host
from nagjax.spaces import nasbench201
from nagjax.types import Status
from tests.algorithms import registered
from tests.search import toys

every = parameterized.named_parameters(*registered.ALL)


class Killed(Exception):
  """What interrupts a search."""


class Recorder:
  """Evaluates by look-up, counts, and dies at some calls."""

  def __init__(self, dies_at=()):
    self.dies_at = set(dies_at)
    self.calls = 0
    self.evaluated = []

  def __call__(self, archs):
    self.calls += 1
    if self.calls in self.dies_at:
      raise Killed
    self.evaluated += map(tuple, archs.tolist())
    return registered.look_up(archs)


def space():
  return nasbench201.nasbench201()


def cells(*index):
  return np.asarray(space().from_index(jnp.asarray(index)))


def finite_cells(num):
  """Cells whose evaluation succeeds."""
  value = registered.look_up(space().all_architectures())
  return space().all_architectures()[np.isfinite(value)][100 : 100 + num]


class HostTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name) / "run"

  def assert_equal(self, a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


class EveryAlgorithmTest(HostTestCase):
  @every
  def test_the_search_is_that_of_the_compiled_loop(self, name, variant):
    """Oracle: `run`, slot by slot, until the budget is spent."""
    recorder = Recorder()
    result = registered.run_on_host(name, variant, recorder)
    whole, _ = registered.run(name, variant)
    num = len(result.trace.status)
    self.assert_equal(
      result.trace._replace(test=whole.test[:num]),
      jax.tree.map(lambda a: a[:num], whole),
    )
    self.assertTrue(np.all(whole.status[num:] == Status.EMPTY))
    self.assertTrue(np.all(np.isnan(result.trace.test)))
    paid = whole.archs[whole.paid]
    np.testing.assert_array_equal(result.ledger.archs, paid)
    np.testing.assert_array_equal(
      result.ledger.objective, registered.look_up(paid)
    )
    self.assertEqual(recorder.evaluated, list(map(tuple, paid.tolist())))

  @every
  def test_a_killed_search_continues(self, name, variant):
    """Oracle: the uninterrupted search; nothing is evaluated twice."""
    expected = registered.run_on_host(name, variant)
    recorder = Recorder(dies_at=(1, 3, 4))
    for _ in range(3):
      with self.assertRaises(Killed):
        registered.run_on_host(name, variant, recorder, directory=self.folder)
    result = registered.run_on_host(
      name, variant, recorder, directory=self.folder
    )
    self.assert_equal(result, expected)
    self.assertLen(set(recorder.evaluated), len(recorder.evaluated))
    again = registered.run_on_host(
      name, variant, Recorder(dies_at=(1,)), directory=self.folder
    )
    self.assert_equal(again, expected)


class PriorTest(HostTestCase):
  def run_with_prior(self, prior, recorder, **options):
    return registered.run_on_host(
      "regularized_evolution", "", recorder, prior=prior, **options
    )

  def test_prior_values_are_charged_first_and_not_evaluated_again(self):
    """Oracle: the calls of evaluate_fn and the head of the ledger."""
    archs = finite_cells(5)
    prior = on_host.HostPrior(archs, np.float32([50, 60, np.nan, 55, 40]))
    recorder = Recorder()
    result = self.run_with_prior(prior, recorder)
    np.testing.assert_array_equal(result.ledger.archs[:5], archs)
    np.testing.assert_array_equal(result.ledger.objective[:5], prior.objective)
    self.assertEmpty(set(map(tuple, archs.tolist())) & set(recorder.evaluated))
    fresh, invalid = Status.FRESH, Status.INVALID
    self.assertEqual(
      result.trace.status[:5, 0].tolist(),
      [fresh, fresh, invalid, fresh, fresh],
    )
    self.assertEqual(result.trace.charged[:5].tolist(), [1, 2, 3, 4, 5])
    children = result.trace.archs[5:, 0]
    nearest = (children[0] != archs).sum(1).min()
    self.assertEqual(nearest, 1)

  def test_a_prior_replaces_the_initial_design(self):
    """Oracle: a prior of one row and a budget below the design."""
    prior = on_host.HostPrior(finite_cells(1), np.float32([50]))
    result = self.run_with_prior(prior, Recorder(), budget=3)
    self.assertEqual(int(result.trace.charged[-1]), 3)
    with self.assertRaisesRegex(ValueError, "at least 6"):
      registered.run_on_host("regularized_evolution", "", budget=3)

  def test_a_search_with_a_prior_continues_after_a_kill(self):
    """Oracle: the uninterrupted search."""
    archs = finite_cells(4)
    prior = on_host.HostPrior(archs, np.float32([50, 60, np.nan, 55]))
    expected = self.run_with_prior(prior, Recorder())
    recorder = Recorder(dies_at=(3,))
    with self.assertRaises(Killed):
      self.run_with_prior(prior, recorder, directory=self.folder)
    result = self.run_with_prior(prior, recorder, directory=self.folder)
    self.assert_equal(result, expected)
    self.assertEmpty(set(map(tuple, archs.tolist())) & set(recorder.evaluated))

  def test_a_prior_beyond_the_budget_is_denied(self):
    """Oracle: by hand; a duplicate costs nothing."""
    prior = on_host.HostPrior(
      finite_cells(4)[[0, 0, 1, 2, 3]], np.float32([1, 1, 2, 3, 4])
    )
    result = self.run_with_prior(prior, Recorder(dies_at=(1,)), budget=3)
    self.assertEqual(
      result.trace.status[:, 0].tolist(),
      [Status.FRESH, Status.REPEAT, *[Status.FRESH] * 2, Status.DENIED],
    )
    np.testing.assert_array_equal(result.ledger.objective, [1, 2, 3])


class LoopTest(HostTestCase):
  def run_script(self, archs, valid=None, evaluate_fn=None, **options):
    script = toys.scripted(archs, valid)
    return on_host.run_on_host(
      jax.random.key(0),
      script,
      space(),
      evaluate_fn or registered.look_up,
      **{"budget": 50, "num_rounds": len(archs), "jit": False, **options},
    )

  def test_a_script_of_repeats_invalid_rows_and_denials(self):
    """Oracle: a Python set."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, 12, (6, 4))
    valid = rng.random((6, 4)) < 0.8
    archs = cells(*index.ravel()).reshape(6, 4, 6)
    trace = self.run_script(archs, valid, budget=7).trace
    value, paid = registered.look_up(archs.reshape(-1, 6)).reshape(6, 4), set()
    for r in range(len(trace.status)):
      status, bought, paid = toys.charge(
        index[r].tolist(), valid[r], np.isnan(value[r]), 7, paid
      )
      np.testing.assert_array_equal(trace.status[r], status)
      np.testing.assert_array_equal(trace.paid[r], bought)
      self.assertEqual(trace.charged[r], len(paid))
    self.assertLen(paid, 7)

  def test_what_is_one_query_is_the_callers_choice(self):
    """Oracle: isomorphic cells are evaluated once if they have one name."""
    twins = np.int32([[[3, 0, 1, 0, 0, 1], [1, 0, 3, 0, 0, 1]]])
    self.assertLen(self.run_script(twins).ledger.objective, 2)
    merged = self.run_script(
      twins,
      identities_fn=lambda archs: space().keys(space().canonicalize(archs)),
    )
    self.assertLen(merged.ledger.objective, 1)
    self.assertEqual(merged.trace.objective[0, 0], merged.trace.objective[0, 1])

  def test_progress_is_reported_after_each_round(self):
    """Oracle: by hand."""
    seen = []
    self.run_script(
      cells(20, 21, 20, 22, 23, 24).reshape(3, 2, 6),
      on_round=lambda *at: seen.append(at),
      budget=3,
    )
    self.assertEqual(seen, [(1, 2), (2, 3)])

  def test_a_wrong_number_of_objectives_is_refused(self):
    """Oracle: the documented shape."""
    with self.assertRaisesRegex(ValueError, "2 objectives"):
      self.run_script(
        cells(20, 21).reshape(1, 2, 6), evaluate_fn=lambda a: np.zeros(3)
      )

  def test_a_directory_of_another_search_is_refused(self):
    """Oracle: the documented ValueError, for another key or algorithm."""
    registered.run_on_host("random", "", directory=self.folder)
    with self.assertRaisesRegex(ValueError, "another key"):
      registered.run_on_host("random", "", directory=self.folder, seed=1)
    with self.assertRaisesRegex(ValueError, "another"):
      registered.run_on_host("local_search", "", directory=self.folder)

  def test_what_an_algorithm_cannot_go_on_from_ends_a_search(self):
    """Oracle: the error of its check."""

    def check(state):
      raise FloatingPointError("Step 3")

    space = nasbench201.nasbench201()
    with self.assertRaisesRegex(FloatingPointError, "Step 3"):
      on_host.run_on_host(
        jax.random.key(0),
        toys.climber(space)._replace(check=check),
        space,
        lambda archs: np.zeros(len(archs)),
        toys.climber_params(),
        budget=15,
        num_rounds=4,
      )

  def test_a_damaged_directory_is_refused(self):
    """Oracle: the documented ValueError, which names the file."""
    pathlib.Path(self.folder).mkdir()
    pathlib.Path(self.folder, "search.npz").write_bytes(b"half")
    with self.assertRaisesRegex(ValueError, "search.npz: not a readable"):
      registered.run_on_host("random", "", directory=self.folder)

  def test_a_failure_is_remembered_across_a_restart(self):
    """Oracle: NaN in the ledger; the row is not bought again."""
    (failing,) = np.flatnonzero(
      np.isnan(registered.look_up(space().all_architectures()))
    )[:1]
    archs = cells(failing, 20, failing, 21).reshape(2, 2, 6)
    self.run_script(archs, num_rounds=1, directory=self.folder)
    recorder = Recorder()
    result = self.run_script(archs, evaluate_fn=recorder, directory=self.folder)
    self.assertEqual(recorder.evaluated, [tuple(archs[1, 1].tolist())])
    self.assertTrue(np.isnan(result.ledger.objective[0]))
    self.assertEqual(result.trace.status[1, 0], Status.INVALID)


class ConstraintTest(HostTestCase):
  LIMIT = 0.7

  def limited(self, archs):
    """Objectives and the relative excess of parameters, on the host."""
    benchmark = registered.problem().benchmark
    params = np.asarray(benchmark.queried["params_m"])
    excess = (params[archs @ 5 ** np.arange(6)] - self.LIMIT) / self.LIMIT
    return registered.look_up(archs), excess[:, None]

  def run_script(self, archs, evaluate_fn, **options):
    return on_host.run_on_host(
      jax.random.key(0),
      toys.scripted(archs),
      space(),
      evaluate_fn,
      **{"num_constraints": 1, "budget": 50, "num_rounds": len(archs)},
      jit=False,
      **options,
    )

  def test_the_search_is_that_of_the_compiled_loop(self):
    """Oracle: `run` with the same limit, also after a kill."""
    self.assert_same_search("regularized_evolution", "", num_rounds=7)

  @pytest.mark.slow
  def test_limits_that_an_algorithm_learns(self):
    """Oracle: `run` with the same limit, also after a kill."""
    self.assert_same_search("optiproxy", "reference", num_rounds=2)

  def assert_same_search(self, name, variant, num_rounds):
    search = registry.make_search(
      name,
      registered.problem().benchmark,
      budget=11,
      num_constraints=1,
      variant=variant,
      options=registered.TINY[name, variant],
    )
    limit = problem_lib.Constraint("params_m", self.LIMIT)
    problem = registered.problem().replace(constraints=(limit,))
    options = dict(budget=11, num_rounds=num_rounds)
    run = jax.jit(driver.run, static_argnums=1, static_argnames=options)
    key = jax.random.key(0)
    whole, _ = run(key, search.algorithm, problem, search.params, **options)
    self.assertLen(set(np.asarray(whole.feasible[whole.paid]).tolist()), 2)
    calls = []

    def evaluate(archs):
      calls.append(len(archs))
      if len(calls) == 2:
        raise Killed
      return self.limited(archs)

    def start():
      return on_host.run_on_host(
        key,
        search.algorithm,
        space(),
        evaluate,
        search.params,
        num_constraints=1,
        directory=self.folder,
        **options,
      )

    with self.assertRaises(Killed):
      start()
    result = start()
    num = len(result.trace.status)
    self.assertTrue(np.all(whole.status[num:] == Status.EMPTY))
    expected = jax.tree.map(lambda column: column[:num], whole)
    for field in ("archs", "status", "feasible", "paid", "charged"):
      np.testing.assert_array_equal(
        getattr(result.trace, field), getattr(expected, field), field
      )
    np.testing.assert_allclose(
      result.trace.objective, expected.objective, rtol=1e-6
    )
    objective, violations = self.limited(result.ledger.archs)
    np.testing.assert_array_equal(result.ledger.objective, objective)
    np.testing.assert_allclose(result.ledger.violations, violations, rtol=1e-6)

  def test_what_is_infeasible(self):
    """Oracle: Deb's rule by hand; NaN is infeasible, a failure is neither."""
    answer = np.float32([50, 60, 70, np.nan])
    excess = np.float32([[0], [0.5], [np.nan], [-1]])
    result = self.run_script(
      cells(20, 21, 22, 23)[None], lambda archs: (answer, excess)
    )
    np.testing.assert_array_equal(
      result.trace.objective[0], [50, -10000.5, -np.inf, -np.inf]
    )
    self.assertEqual(
      result.trace.feasible[0].tolist(), [True, False, False, False]
    )
    fresh, invalid = Status.FRESH, Status.INVALID
    self.assertEqual(
      result.trace.status[0].tolist(), [fresh, fresh, fresh, invalid]
    )
    np.testing.assert_array_equal(result.ledger.violations, excess)

  @parameterized.parameters(
    (np.zeros(2), r"shape \(2, 1\), got shapes \(\), \(\)"),
    ((np.zeros(2), np.zeros(2)), r"got shapes \(2,\), \(2,\)"),
    ((np.zeros(2), np.zeros((2, 2))), r"got shapes \(2,\), \(2, 2\)"),
    ((np.zeros(3), np.zeros((2, 1))), "return 2 objectives"),
  )
  def test_other_shapes_are_refused(self, answer, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      self.run_script(cells(20, 21)[None], lambda archs: answer)

  def test_a_prior_has_violations(self):
    """Oracle: by hand; a prior without them is refused."""
    archs = cells(20, 21)
    prior = on_host.HostPrior(archs, np.float32([50, 60]))
    with self.assertRaisesRegex(ValueError, "prior must hold 2 objectives and"):
      self.run_script(archs[None], self.limited, prior=prior)
    prior = prior._replace(violations=np.float32([[1], [-1]]))
    result = self.run_script(archs[None], None, prior=prior)
    self.assertEqual(result.trace.objective[0].tolist(), [-10001, 60])
    np.testing.assert_array_equal(result.ledger.violations, prior.violations)

  def test_a_directory_with_other_constraints_is_refused(self):
    """Oracle: the documented ValueError."""
    script = cells(20, 21)[None]
    self.run_script(script, self.limited, directory=self.folder)
    with self.assertRaisesRegex(ValueError, "number of constraints than 0"):
      on_host.run_on_host(
        jax.random.key(0),
        toys.scripted(script),
        space(),
        registered.look_up,
        budget=50,
        num_rounds=1,
        directory=self.folder,
      )


if __name__ == "__main__":
  absltest.main()
