"""Tests of nagjax.search.sweeping against searches that run alone."""

import functools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax.search import checkpoint
from nagjax.search import driver
from nagjax.search import sweeping
from nagjax.search import traces
from nagjax.spaces import nasbench201
from tests.search import toys

BUDGET = 11
NUM_ROUNDS = 10
ROOT = jax.random.key(7)


@functools.cache
def problem():
  return problem_lib.Problem(toys.failing(share=0.2))


@functools.cache
def algorithm():
  return toys.climber(nasbench201.nasbench201())


@functools.cache
def alone():
  """One search as a program of its own."""
  return jax.jit(
    lambda key, params: driver.run(
      key, algorithm(), problem(), params, budget=BUDGET, num_rounds=NUM_ROUNDS
    )
  )


def run_alone(keys, params):
  """Trace and info of every key in a Python loop, `[S, R, ...]`."""
  results = [jax.device_get(alone()(key, params)[:2]) for key in keys]
  return jax.tree.map(lambda *a: np.stack(a), *results)


def search(params=None, **changes):
  params = params or toys.climber_params()
  made = toys.search_of(
    algorithm(), problem(), params, budget=BUDGET, num_rounds=NUM_ROUNDS
  )
  return made._replace(**changes)


def sweep(keys, params=None, num_devices=4, **options):
  devices = jax.local_devices()[:num_devices]
  with mock.patch.object(jax, "local_devices", return_value=devices):
    return sweeping.sweep(keys, search(params), **options)


class SweepTestCase(parameterized.TestCase):
  def assert_same(self, result, expected):
    """The same traces and infos, up to empty rounds at the end."""

    def full(trace, info):
      more = NUM_ROUNDS - info.best.shape[1]
      return traces.tidy(trace), traces.extend_info(info, more, axis=1)

    jax.tree.map(
      np.testing.assert_array_equal, full(*result[:2]), full(*expected[:2])
    )


class SweepTest(SweepTestCase):
  @parameterized.parameters(
    dict(num_devices=4),
    dict(num_devices=1, batch_size_seeds=2, rounds_per_call=4),
    dict(num_devices=2, batch_size_seeds=3, rounds_per_call=20),
  )
  def test_a_search_depends_on_its_key_alone(self, **options):
    """Oracle: a loop of single runs; chunks, devices and calls vary."""
    keys = jax.random.split(ROOT, 5)
    result = sweep(keys, **options)
    self.assertIsInstance(result.trace.status, np.ndarray)
    self.assert_same(result, run_alone(keys, toys.climber_params()))
    ends = [alone()(key, toys.climber_params()).state for key in keys]
    for lane, end in enumerate(ends):
      state = jax.tree.map(lambda leaf, i=lane: leaf[i], result.state)
      np.testing.assert_array_equal(state.ledger.paid, end.ledger.paid)
      np.testing.assert_array_equal(
        jax.random.key_data(state.key), jax.random.key_data(end.key)
      )

  @pytest.mark.slow
  def test_empty_slots_are_the_same_in_every_chunking(self):
    """Oracle: bit for bit, for lanes that end before their neighbors."""
    keys = jax.random.split(ROOT, 5)
    a = sweep(keys, num_devices=1, batch_size_seeds=1, rounds_per_call=1)
    b = sweep(keys, num_devices=1, batch_size_seeds=5, rounds_per_call=1)
    self.assertGreater(len(set(np.sum(a.trace.charged < BUDGET, 1))), 1)
    jax.tree.map(np.testing.assert_array_equal, a[:2], b[:2])

  def test_growing_a_sweep_keeps_the_earlier_seeds(self):
    """Oracle: the smaller sweep, bit for bit in its slots."""
    small = sweep(jax.random.split(ROOT, 3), keeps_state=False)
    large = sweep(jax.random.split(ROOT, 6), keeps_state=False)
    self.assertIsNone(small.state)
    self.assert_same(small, jax.tree.map(lambda a: a[:3], large[:2]))

  def test_swept_params_form_a_grid(self):
    """Oracle: single runs for each value and key, `[V, S, R, ...]`."""
    restarts = (0.0, 0.4, 1.0)
    params = toys.ClimberParams(jnp.float32(restarts), jnp.ones((3, 2)))
    keys = jax.random.split(ROOT, 2)
    result = sweep(keys, params, sweeps_params=True, batch_size_seeds=4)
    self.assertEqual(result.trace.status.shape[:2], (3, 2))
    self.assertEqual(result.state.key.shape, (3, 2))
    for value, restart in enumerate(restarts):
      expected = run_alone(keys, toys.climber_params(restart))
      part = jax.tree.map(lambda a, v=value: a[v], result[:2])
      self.assert_same(part, expected)

  def test_a_warm_start_enters_every_search(self):
    """Oracle: the first slots of each lane."""
    warm_start = driver.WarmStart(
      jnp.full((4, 6), 2, jnp.int32).at[:, 0].set(0)
    )
    trace = sweep(jax.random.split(ROOT, 2), warm_start=warm_start).trace
    archs = trace.archs[:, :2].reshape(2, 4, 6)
    np.testing.assert_array_equal(
      archs, np.broadcast_to(warm_start.archs, (2, 4, 6))
    )
    np.testing.assert_array_equal(trace.paid[:, :2].sum((1, 2)), 1)


class ChunksTest(SweepTestCase):
  def sweep(self, keys, watch=None, **options):
    return sweep(
      keys,
      num_devices=1,
      batch_size_seeds=2,
      keeps_state=False,
      directory=self.directory,
      on_progress=watch,
      **options,
    )

  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory()), "new"
    )

  def test_an_interrupted_sweep_goes_on(self):
    """Oracle: a sweep that nothing interrupts, and the chunks that are run."""
    keys = jax.random.split(ROOT, 7)
    seen = []

    def watch(progress):
      seen.append(progress.chunk)
      if progress.chunk == 2:
        raise KeyboardInterrupt

    with self.assertRaises(KeyboardInterrupt):
      self.sweep(keys, watch)
    self.assertEqual(sorted(set(seen)), [0, 1, 2])
    seen.clear()
    result = self.sweep(keys, lambda progress: seen.append(progress.chunk))
    self.assertEqual(sorted(set(seen)), [2, 3])
    expected = sweep(keys, num_devices=1)
    self.assert_same(result, expected)
    again = self.sweep(keys)
    self.assert_same(again, expected)
    self.assertEqual((again.compile_seconds, again.program_bytes), (0.0, 0))

  @pytest.mark.slow
  def test_what_is_of_another_question_is_run_again(self):
    """Oracle: chunks of other keys, params and budgets are not taken."""
    keys = jax.random.split(ROOT, 4)
    self.sweep(keys)
    changed = (
      (search(), keys[1:]),
      (search(toys.climber_params(jnp.float32(0.9))), keys),
      (search(budget=BUDGET - 1), keys),
    )
    for other, keys in changed:
      result = sweeping.sweep(
        keys, other, keeps_state=False, directory=self.directory
      )
      self.assert_same(result, sweeping.sweep(keys, other))

  def test_a_damaged_file_and_states_are_refused(self):
    """Oracle: the documented errors name the file, and what to pass."""
    keys = jax.random.split(ROOT, 2)
    self.sweep(keys)
    (path,) = self.directory.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with self.assertRaisesRegex(checkpoint.CheckpointError, path.name):
      self.sweep(keys)
    with self.assertRaisesRegex(ValueError, "keeps_state=False"):
      sweep(keys, directory=self.directory)


class MeasurementTest(SweepTestCase):
  @pytest.mark.slow
  def test_memory_is_bounded_by_the_chunk(self):
    """Oracle: the compiler's own count, for 4 times as many seeds."""
    few = sweep(jax.random.split(ROOT, 4), batch_size_seeds=4)
    many = sweep(jax.random.split(ROOT, 16), batch_size_seeds=4)
    wide = sweep(jax.random.split(ROOT, 16), batch_size_seeds=16)
    self.assertGreater(few.program_bytes, 0)
    self.assertEqual(few.program_bytes, many.program_bytes)
    self.assertGreater(wide.program_bytes, many.program_bytes)
    self.assertGreater(few.compile_seconds, 0)
    self.assertGreater(few.run_seconds, 0)

  def test_progress_is_reported_after_every_call(self):
    """Oracle: two chunks; shares rise to one."""
    seen = []
    sweep(
      jax.random.split(ROOT, 5),
      batch_size_seeds=4,
      rounds_per_call=3,
      on_progress=seen.append,
    )
    self.assertEqual({p.chunk for p in seen}, {0, 1})
    self.assertEqual({p.num_chunks for p in seen}, {2})
    self.assertEqual([p.round for p in seen if p.chunk == 0][:2], [3, 6])
    shares = [p.share for p in seen]
    self.assertEqual(shares, sorted(shares))
    self.assertEqual(shares[-1], 1.0)
    self.assertTrue(all(0 < share <= 1 for share in shares))

  def test_a_sweep_ends_when_every_lane_has_spent_its_budget(self):
    """Oracle: the number of calls, counted."""
    script = toys.scripted(
      np.asarray(problem().space.from_index(jnp.arange(200))).reshape(100, 2, 6)
    )
    seen = []
    result = sweeping.sweep(
      jax.random.split(ROOT, 4),
      toys.search_of(script, problem(), budget=8, num_rounds=100),
      rounds_per_call=3,
      on_progress=seen.append,
    )
    self.assertLen(seen, 2)
    self.assertEqual(result.trace.charged.shape, (4, 6))
    self.assertEqual(result.trace.charged[:, 3:].tolist(), [[8] * 3] * 4)


class CompilerTest(SweepTestCase):
  @parameterized.parameters(
    (False, "", {"xla_backend_optimization_level": 2}),
    (False, "--xla_backend_optimization_level=3", None),
    (True, "", None),
  )
  def test_a_level_that_was_chosen_stays(self, quickly, flags, expected):
    """Oracle: the documented rule, on CPUs."""
    held = {"jax_disable_most_optimizations": quickly}
    with (
      mock.patch.dict("os.environ", XLA_FLAGS=flags),
      mock.patch.object(jax, "config", mock.Mock(values=held)),
      mock.patch.object(jax, "default_backend", return_value="cpu"),
    ):
      self.assertEqual(sweeping._compiler_options(), expected)


class RefusalTest(SweepTestCase):
  def test_what_an_algorithm_cannot_go_on_from_ends_a_sweep(self):
    """Oracle: the error of its check, at the first look from the host."""
    looks = []

    def check(state):
      looks.append(state)
      raise FloatingPointError("Step 3")

    broken = search(algorithm=algorithm()._replace(check=check))
    with self.assertRaisesRegex(FloatingPointError, "Step 3"):
      sweeping.sweep(jax.random.split(ROOT, 2), broken, rounds_per_call=2)
    self.assertLen(looks, 1)

  def test_swept_params_need_a_common_leading_axis(self):
    """Oracle: the documented ValueError names the sizes."""
    params = toys.ClimberParams(jnp.zeros(3), jnp.ones((2, 2)))
    with self.assertRaisesRegex(ValueError, r"\[2, 3\]"):
      sweep(jax.random.split(ROOT, 2), params, sweeps_params=True)


if __name__ == "__main__":
  absltest.main()
