"""Tests of searches on the host against the compiled loop."""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import search as search_lib
from nagjax.benchmarks import HostBenchmark
from nagjax.problem import Problem
from nagjax.search import traces
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Status
from tests.algorithms import registered
from tests.search import toys

COLUMNS = ("valid_accuracy", "params_m")
KEY = jax.random.key(0)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


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
    return look_up(archs)


space = nasbench201.nasbench201


@functools.cache
def table():
  """The synthetic benchmark; a tenth of its evaluations fail."""
  return toys.failing(share=0.1)


def look_up(archs):
  """All columns of `int32[n, 6]` cells by positional arithmetic."""
  rows = archs @ 5 ** np.arange(6)
  columns = {**table().queried, **table().reported}
  return {name: np.asarray(column)[rows] for name, column in columns.items()}


def on_host(evaluate_fn=look_up, **question):
  """The question of a benchmark that is a Python function."""
  benchmark = HostBenchmark(
    space(), evaluate_fn, COLUMNS, ("test_accuracy",), "test_accuracy"
  )
  return Problem(benchmark, **question)


def climb(problem=None, **sizes):
  return toys.search_of(
    toys.climber(space()),
    problem or Problem(table()),
    toys.climber_params(),
    **sizes,
  )


def script(*rows, **sizes):
  """A search that proposes given cells, one tuple of them a round."""
  archs = np.asarray(space().from_index(jnp.asarray(rows)))
  sizes = {"budget": 50, "num_rounds": len(rows), **sizes}
  return toys.search_of(toys.scripted(archs), Problem(table()), **sizes)


def cells(*index):
  return np.asarray(space().from_index(jnp.asarray(index)))


def compiled(search, **options):
  run = jax.jit(lambda key: search_lib.run(key, search, **options)[:2])
  return jax.device_get(run(KEY))


def assert_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_same_search(result, whole):
  """Trace and infos, until the budget is spent."""
  assert_equal(result.trace, traces.tidy(whole[0]))
  infos = jax.tree.leaves(result.info)
  for ours, theirs in zip(infos, jax.tree.leaves(whole[1]), strict=True):
    np.testing.assert_array_equal(ours, theirs[: len(ours)])


class HostTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name) / "run"


class EveryLoopTest(HostTestCase):
  @parameterized.named_parameters(*registered.LOOPS)
  def test_a_search_that_is_killed_is_that_of_the_compiled_loop(
    self, name, variant
  ):
    """Oracle: `run`, slot by slot; nothing is evaluated twice."""
    self._kill_and_go_on(name, variant)

  @parameterized.named_parameters(*registered.SLOW_LOOPS)
  @pytest.mark.slow
  def test_one_that_trains_networks_and_is_killed(self, name, variant):
    """Oracle: as above."""
    self._kill_and_go_on(name, variant)

  def _kill_and_go_on(self, name, variant):
    made = registered.make(name, variant)
    search = made._replace(problem=registered.problem())
    trace = registered.run(name, variant)
    recorder = Recorder(dies_at=(1, 3, 4))
    run = functools.partial(
      search_lib.run_on_host,
      KEY,
      search,
      on_host(recorder),
      directory=self.folder,
    )
    for _ in range(3):
      with self.assertRaises(Killed):
        run()
    result = run()
    assert_equal(result.trace, traces.tidy(trace))
    paid = map(tuple, trace.archs[trace.paid].tolist())
    self.assertEqual(recorder.evaluated, list(paid))
    calls = recorder.calls
    again = run()
    assert_equal(again[:2], result[:2])
    self.assertEqual(recorder.calls, calls)


class SameQuestionTest(HostTestCase):
  @parameterized.parameters(
    dict(),
    dict(constraints=("params_m<=0.6",)),
    dict(objectives=("valid_accuracy", "-params_m")),
    dict(
      objectives=("-params_m", "valid_accuracy"),
      constraints=("params_m<=0.8", "valid_accuracy<=80"),
      scalarize=lambda objectives, violations: (
        objectives[..., 1] - 9 * jnp.maximum(violations, 0).sum(-1)
      ),
    ),
  )
  def test_both_loops_and_both_benchmarks_agree(self, **question):
    """Oracle: the compiled loop, bit for bit, infos included."""
    search = climb(Problem(table(), **question))
    whole = compiled(search)
    self.assertEqual(
      whole[0].objectives.shape[-1], len(search.problem.objective_names)
    )
    for problem in (None, on_host(**question)):
      result = search_lib.run_on_host(KEY, search, problem)
      assert_same_search(result, whole)
      self.assertEqual(int(result.state.round), len(result.info.best))
      paid = int(result.trace.charged[-1])
      self.assertEqual(int(result.state.ledger.charged), paid)

  def test_keys_instead_of_rows(self):
    """Oracle: the compiled loop on a benchmark without rows."""
    search = climb(Problem(toys.Rowless(table())))
    assert_same_search(
      search_lib.run_on_host(KEY, search, on_host()), compiled(search)
    )

  @pytest.mark.slow
  def test_a_search_that_cannot_be_traced(self):
    """Oracle: the compiled loop; its functions see no tracer."""

    def concrete(function):
      def call(*arguments):
        self.assertFalse(
          any(
            isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arguments)
          )
        )
        return function(*arguments)

      return call

    search = climb(num_rounds=4)
    algorithm = search.algorithm
    python = algorithm._replace(
      ask=concrete(algorithm.ask), tell=concrete(algorithm.tell), on_host=True
    )
    ours = search._replace(algorithm=python)
    whole = compiled(search)
    for _ in range(2):  # The second one is read from the file.
      result = search_lib.run_on_host(KEY, ours, directory=self.folder)
      assert_same_search(result, whole)
    for call in (search_lib.run, search_lib.start):
      with self.assertRaisesRegex(ValueError, "algorithm runs in Python.*host"):
        call(KEY, ours)
    with self.assertRaisesRegex(ValueError, "benchmark host runs in Python"):
      search_lib.run(KEY, climb(on_host()))


class WarmStartTest(HostTestCase):
  def setUp(self):
    super().setUp()
    self.archs = cells(400, 400, 401, 402, 403)

  def test_it_is_the_warm_start_of_the_compiled_loop(self):
    """Oracle: `run`, for values that the benchmark would give too."""
    warm_start = search_lib.WarmStart(self.archs)
    whole = compiled(climb(), warm_start=warm_start)
    known = warm_start._replace(columns=look_up(self.archs))
    for given, num in ((warm_start, 4), (known, 0)):
      recorder = Recorder()
      result = search_lib.run_on_host(
        KEY, climb(), on_host(recorder), warm_start=given
      )
      assert_same_search(result, whole)
      seen = set(map(tuple, self.archs.tolist())) & set(recorder.evaluated)
      self.assertLen(seen, num)
    with self.assertRaisesRegex(ValueError, "columns are for run_on_host"):
      search_lib.run(KEY, climb(), warm_start=known)

  def test_its_values_are_charged_first_and_not_asked_for(self):
    """Oracle: by hand: duplicate, failure, infeasible, beyond the budget."""
    columns = {
      "valid_accuracy": [50, 99, np.nan, 70, 80],
      "params_m": np.float32([0.1, 0.1, 0.1, 9, 0.1]),
      "seconds": ["more", "is", "no", "harm", "."],
    }
    result = search_lib.run_on_host(
      KEY,
      climb(budget=3),
      on_host(Recorder(dies_at=(1,)), constraints=("params_m<=0.5",)),
      warm_start=search_lib.WarmStart(self.archs, columns),
    )
    fresh, repeat = Status.FRESH, Status.REPEAT
    trace = jax.tree.map(
      lambda a: a.reshape(6, *a.shape[2:])[:5],
      result.trace._replace(charged=result.trace.paid),
    )
    self.assertEqual(
      trace.status.tolist(),
      [fresh, repeat, Status.INVALID, fresh, Status.DENIED],
    )
    self.assertEqual(
      trace.objectives[:, 0].tolist(), [50, 50, -np.inf, 70, -np.inf]
    )
    self.assertEqual(trace.feasible.tolist(), [True, True] + [False] * 3)
    self.assertEqual(trace.test.tolist(), [-np.inf] * 5)
    self.assertIsNone(result.info)

  @parameterized.parameters(
    (dict(valid_accuracy=[1, 2]), "5 numbers as valid_accuracy, got int.*2"),
    (dict(params_m=[1] * 5), "columns valid_accuracy, got none"),
    (
      dict(valid_accuracy=list("abcde")),
      "5 numbers as valid_accuracy, got <U1",
    ),
  )
  def test_other_values_are_refused(self, columns, message):
    """Oracle: the documented ValueError."""
    warm_start = search_lib.WarmStart(self.archs, columns)
    with self.assertRaisesRegex(ValueError, f"warm_start.columns .*{message}"):
      search_lib.run_on_host(KEY, climb(), warm_start=warm_start)


class LoopTest(HostTestCase):
  def test_a_script_of_repeats_invalid_rows_and_denials(self):
    """Oracle: a Python set."""
    rng = np.random.default_rng(0)
    index, valid = rng.integers(0, 12, (6, 4)), rng.random((6, 4)) < 0.8
    archs = cells(*index.ravel()).reshape(6, 4, 6)
    search = script(*index, budget=7)
    search = search._replace(algorithm=toys.scripted(archs, valid))
    trace = search_lib.run_on_host(KEY, search, on_host()).trace
    value = look_up(archs.reshape(-1, 6))["valid_accuracy"].reshape(6, 4)
    paid = set()
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
    search = script((0, 0))._replace(algorithm=toys.scripted(twins))
    merged = HostBenchmark(
      space(),
      lambda archs: np.arange(len(archs)),
      identities_fn=lambda archs: space().keys(space().canonicalize(archs)),
    )
    separate = search_lib.run_on_host(KEY, search, on_host())
    self.assertEqual(separate.trace.charged.tolist(), [2])
    together = search_lib.run_on_host(KEY, search, Problem(merged))
    self.assertEqual(together.trace.charged.tolist(), [1])
    self.assertEqual(together.trace.objective.tolist(), [[0, 0]])

  def test_progress_is_reported_after_each_round(self):
    """Oracle: by hand."""
    seen = []
    search_lib.run_on_host(
      KEY,
      script((20, 21), (20, 22), (23, 24), budget=3),
      on_round=lambda *at: seen.append(at),
    )
    self.assertEqual(seen, [(1, 2), (2, 3)])

  def test_what_an_algorithm_cannot_go_on_from_ends_a_search(self):
    """Oracle: the error of its check."""

    def check(state):
      raise FloatingPointError("Step 3")

    search = script((20, 21))
    broken = search.algorithm._replace(check=check)
    with self.assertRaisesRegex(FloatingPointError, "Step 3"):
      search_lib.run_on_host(KEY, search._replace(algorithm=broken))

  def test_another_space_is_refused(self):
    """Oracle: the documented ValueError names both."""
    other = HostBenchmark(nasbench101.nasbench101(), look_up, COLUMNS)
    with self.assertRaisesRegex(ValueError, "nasbench201.*got nasbench101"):
      search_lib.run_on_host(KEY, climb(), Problem(other))
    with self.assertRaisesRegex(ValueError, "must be a Problem.*HostBenchmark"):
      search_lib.run_on_host(KEY, climb(), other)


class SavedTest(HostTestCase):
  def run_saved(self, search=None, problem=None, key=KEY, **options):
    return search_lib.run_on_host(
      key, search or climb(), problem, directory=self.folder, **options
    )

  def test_a_failure_is_remembered(self):
    """Oracle: the row is not bought again."""
    value = look_up(space().all_architectures())["valid_accuracy"]
    failing = int(np.flatnonzero(np.isnan(value))[0])
    rows = (failing, 20), (failing, 21)
    recorder = Recorder()
    self.run_saved(script(*rows, num_rounds=1), on_host(recorder))
    result = self.run_saved(script(*rows), on_host(recorder))
    asked = cells(failing, 20, 21).tolist()
    self.assertEqual(recorder.evaluated, list(map(tuple, asked)))
    self.assertEqual(result.trace.status[1, 0], Status.INVALID)
    self.assertEqual(result.trace.paid[:, 0].tolist(), [True, False])

  def test_a_budget_may_grow_and_not_shrink_below_what_was_paid(self):
    """Oracle: counting calls; the documented ValueError."""
    recorder = Recorder()
    problem = on_host(recorder)
    self.run_saved(climb(budget=8), problem)
    self.assertLen(recorder.evaluated, 8)
    result = self.run_saved(climb(budget=12), problem)
    self.assertEqual(int(result.trace.charged[-1]), 12)
    self.assertLen(set(recorder.evaluated), 12)
    self.assertLen(recorder.evaluated, 12)
    with self.assertRaisesRegex(ValueError, "paid for 12 .*at least.*got 11"):
      self.run_saved(climb(budget=11), problem)

  def test_another_search_is_refused(self):
    """Oracle: the documented ValueError says what is different."""
    warm_start = search_lib.WarmStart(cells(30, 31))
    self.run_saved(warm_start=warm_start)
    for changes, message in (
      (dict(key=jax.random.key(1)), "another key"),
      (dict(search=script((20, 21))), "another algorithm"),
      (dict(problem=Problem(table(), ("-params_m",))), "another objective"),
      (
        dict(problem=Problem(table(), constraints=("params_m<=1",))),
        "another constraint",
      ),
      (
        dict(problem=Problem(table(), scalarize=lambda o, v: o[..., 0])),
        "another scalarize",
      ),
      (dict(problem=on_host()), "another benchmark"),
      (dict(warm_start=None), "another warm start"),
      (dict(warm_start=search_lib.WarmStart(cells(30, 32))), "another warm"),
      (
        dict(
          warm_start=warm_start._replace(columns=dict(valid_accuracy=[1, 2]))
        ),
        "another warm start",
      ),
    ):
      with self.subTest(message):
        with self.assertRaisesRegex(ValueError, message) as caught:
          self.run_saved(**{"warm_start": warm_start, **changes})
        self.assertNotIn("\n", str(caught.exception))

  @pytest.mark.slow
  def test_two_runs_at_once(self):
    """Oracle: the second is refused in one line while the first lives, in this
    process or another; a process that was killed holds nothing."""
    recorder = Recorder()

    def evaluate(archs):
      with self.assertRaisesRegex(ValueError, "another run is writing .*run;"):
        self.run_saved()
      return recorder(archs)

    code = (
      "import sys, time; from nagjax import files\n"
      "with files.claimed(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    )
    self.folder.mkdir()
    with subprocess.Popen(
      [sys.executable, "-c", code, self.folder],
      stdout=subprocess.PIPE,
      env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
      process.stdout.readline()
      with self.assertRaisesRegex(ValueError, "another run is writing .*run;"):
        self.run_saved()
      process.kill()
    self.run_saved(problem=on_host(evaluate))
    self.assertNotEmpty(recorder.evaluated)
    names = [path.name for path in self.folder.iterdir()]
    self.assertEqual(names, ["search.npz"])

  def test_a_damaged_directory_is_refused(self):
    """Oracle: the documented ValueError, which names the file."""
    self.folder.mkdir()
    path = self.folder / "search.npz"
    path.write_bytes(b"half")
    with self.assertRaisesRegex(ValueError, "search.npz"):
      self.run_saved()
    search_lib.save(path, jax.device_get(climb().algorithm.init(KEY, ())))
    with self.assertRaisesRegex(ValueError, "search.npz.*another"):
      self.run_saved()


if __name__ == "__main__":
  absltest.main()
