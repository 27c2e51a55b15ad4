"""Tests of nagjax.algorithms.agnet_training_free on a closed-form problem."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax import generation
from nagjax.algorithms import agnet_training_free
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces import darts
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = darts.darts()
LAYOUT = SPACE.layout
NORMAL, REDUCTION = slice(0, 11), slice(11, 22)
TARGET = np.asarray([3, 3, 4, 3, 2, 3, 5, 3, 1, 2, 4] * 2)

TINY = agnet_training_free.Config(
  num_evaluations=24,
  batch_size=4,
  num_latents=8,
  train_steps=2,
  train_batch_size=4,
)
NUM_ROUNDS = TINY.num_evaluations // TINY.batch_size


@struct.dataclass
class Matches:
  """How many even and how many odd variables are those of `TARGET`.

  No architecture but the target is the best by both. The objective adds them
  up, as in `zerocost/tenas@darts`. Everything fails where `scale` is NaN.
  """

  scale: jax.Array
  name = "matches"
  space = SPACE
  objective = "sum"
  test = None
  units = ()
  num_rows = None

  def identities(self, archs):
    return SPACE.keys(archs)

  def query(self, archs):
    target = TARGET.reshape((1,) * (archs.ndim - 1) + (-1,))
    hits = self.scale * (archs == target)
    even, odd = hits[..., ::2].sum(-1), hits[..., 1::2].sum(-1)
    return {"sum": even + odd, "even": even, "odd": odd}

  def report(self, archs):
    del archs
    return {}

  def architectures(self):
    return None


def problem(scale=1.0):
  return Problem(Matches(jnp.float32(scale)), ("sum", "even", "odd"))


@functools.cache
def weights():
  return generation.load_pretrained(SPACE).params


@functools.cache
def compiled():
  """The first state of a search, one round of it, and `tell` alone."""
  search = agnet_training_free.agnet_training_free(SPACE, TINY)
  budget = TINY.num_evaluations

  def start(key, problem, params):
    return driver.start(key, search, problem, params, budget=budget).state

  def advance(state, problem, params):
    return driver.advance(
      state, search, problem, params, budget=budget, num_rounds=1
    )

  return jax.jit(start), jax.jit(advance), jax.jit(search.tell)


@functools.cache
def play(seed=0, scale=1.0):
  """States before the first and after every round, and traces of rounds."""
  start, advance, _ = compiled()
  states = [start(jax.random.key(seed), problem(scale), weights())]
  traces = []
  for _ in range(NUM_ROUNDS):
    result = advance(states[-1], problem(scale), weights())
    states.append(result.state)
    traces.append(jax.device_get(result.trace))
  return states, traces


def proposed(traces):
  return np.concatenate([trace.archs.reshape(-1, 22) for trace in traces])


def numpy_ranks(values):
  """0 for the largest; equals share the mean of theirs."""
  return stats.rankdata(-values) - 1


def numpy_best(archs):
  """The lowest sum of ranks by even and by odd matches."""
  hits = archs == TARGET
  columns = hits[:, ::2].sum(-1), hits[:, 1::2].sum(-1)
  return archs[np.argmin(sum(map(numpy_ranks, columns)))]


class SearchTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_same_key_same_search(self):
    """Oracle: the first run of the key; another key has another search."""
    states, traces = play()
    play.cache_clear()
    again, traces_again = play()
    jax.tree.map(np.testing.assert_array_equal, traces, traces_again)
    jax.tree.map(
      np.testing.assert_array_equal,
      states[-1].algorithm,
      again[-1].algorithm,
    )
    self.assertFalse(np.array_equal(proposed(traces), proposed(play(1)[1])))

  @parameterized.parameters(0, 1)
  @pytest.mark.slow
  def test_every_evaluation_is_charged(self, seed):
    """Oracle: a Python set of everything that was scored."""
    states, traces = play(seed)
    scored = set()
    for state, trace in zip(states[1:], traces, strict=True):
      self.assertTrue(np.all(trace.status == Status.FRESH))
      scored |= set(map(tuple, trace.archs[0].tolist()))
      self.assertEqual(trace.charged[-1], len(scored))
      self.assertEqual(int(state.algorithm.num), len(scored))
    self.assertLen(scored, TINY.num_evaluations)

  @parameterized.parameters(0, 1)
  @pytest.mark.slow
  def test_one_cell_after_the_other(self, seed):
    """Oracle: the other cell by NumPy: a kept one, then that of the best."""
    states, traces = play(seed)
    first, second = proposed(traces[:3]), proposed(traces[3:])
    kept = np.asarray(states[0].algorithm.best)
    self.assertTrue(np.all(first[:, REDUCTION] == kept[REDUCTION]))
    self.assertLen(set(map(tuple, first[:, NORMAL].tolist())), 12)
    best = numpy_best(first)
    self.assertTrue(np.all(second[:, NORMAL] == best[NORMAL]))
    self.assertLen(set(map(tuple, second[:, REDUCTION].tolist())), 12)
    found = numpy_best(np.concatenate([best[None], second]))
    np.testing.assert_array_equal(states[-1].algorithm.best, found)

  def test_the_generator_of_one_cell_trains(self):
    """Oracle: not before two architectures of a turn have ranks."""
    states, _ = play()
    changes = []
    for before, after in zip(states[:-1], states[1:], strict=True):
      pairs = zip(
        jax.tree.leaves(before.algorithm.trained.params),
        jax.tree.leaves(after.algorithm.trained.params),
        strict=True,
      )
      differs = [np.asarray(a != b).reshape(2, -1).any(1) for a, b in pairs]
      changes.append(np.any(differs, axis=0).tolist())
    nothing, normal, reduction = [False] * 2, [True, False], [False, True]
    self.assertEqual(
      changes, [nothing, normal, normal, nothing, reduction, reduction]
    )

  @pytest.mark.slow
  def test_failures_survive(self):
    """Oracle: what failed changes neither the best nor a generator."""
    states, traces = play(0, np.nan)
    first, last = states[0].algorithm, states[-1].algorithm
    np.testing.assert_array_equal(first.best, last.best)
    jax.tree.map(
      np.testing.assert_array_equal, first.trained.params, last.trained.params
    )
    archs = proposed(traces)
    kept = np.asarray(first.best)
    self.assertTrue(np.all(archs[:12, REDUCTION] == kept[REDUCTION]))
    self.assertTrue(np.all(archs[12:, NORMAL] == kept[NORMAL]))
    self.assertLen(set(map(tuple, archs.tolist())), TINY.num_evaluations)
    self.assertEqual(int(traces[-1].charged[-1]), TINY.num_evaluations)

  @pytest.mark.slow
  def test_better_than_random(self):
    """Oracle: uniformly random architectures, as many, paired by seed.

    The target has 22, a random architecture about 3.
    """
    config = agnet_training_free.Config(num_evaluations=128)
    algorithm = agnet_training_free.agnet_training_free(SPACE, config)
    params = weights()

    def run(key):
      result = driver.run(
        key, algorithm, problem(), params, budget=128, num_rounds=8
      )
      return result.state.algorithm.best

    keys = jax.random.split(jax.random.key(0), 4)
    best = np.asarray(jax.jit(jax.vmap(run))(keys))
    random = jax.vmap(lambda key: SPACE.sample(key, 128))(keys)
    random = np.sum(np.asarray(random) == TARGET, axis=-1).max(axis=1)
    difference = np.sum(best == TARGET, axis=-1) - random
    error = np.std(difference, ddof=1) / np.sqrt(len(keys))
    self.assertGreater(difference.mean() - 2 * error, 0)


def answered(archs, objectives, status=None):
  """A proposal and its evaluation; by default, what is `-inf` has failed."""
  objectives = jnp.asarray(objectives, jnp.float32)
  num = objectives.shape[0]
  if status is None:
    failed = jnp.isneginf(objectives[:, 0])
    status = jnp.where(failed, Status.INVALID, Status.FRESH)
  return (
    Proposal(jnp.asarray(archs, jnp.int32), jnp.ones(num, bool)),
    Evaluation(
      jnp.asarray(status, jnp.int8),
      objectives[:, 0],
      objectives,
      jnp.zeros((num, 0)),
      jnp.isfinite(objectives[:, 0]),
    ),
  )


def start():
  """The state before anything was told."""
  return play()[0][0].algorithm


def tell(state, *answer):
  """The state afterwards."""
  return compiled()[2](state, *answered(*answer), weights())[0]


class TellTest(parameterized.TestCase):
  def test_the_last_objectives_are_ranked(self):
    """Oracle: by hand; the first of three is for readers."""
    archs = np.zeros((3, 22), int)
    archs[:, 0] = range(3)
    rows = [[9.0, 1.0, 1.0], [0.0, 3.0, 2.0], [5.0, 2.0, 3.0]]
    state = tell(start(), archs, rows)
    np.testing.assert_array_equal(
      state.objectives[:3], [[1, 1], [3, 2], [2, 3]]
    )
    # Sums of ranks are 4, 1 and 1.
    np.testing.assert_array_equal(state.best, archs[1])
    self.assertEqual((int(state.num), int(state.graph)), (3, 0))

  @pytest.mark.slow
  def test_peers(self):
    """Oracle: by hand: those with the normal cell of the best, but failures."""
    normals = np.zeros((12, 22), int)
    normals[:, 0], normals[:, 1] = np.divmod(np.arange(12), 7)
    values = np.arange(12.0)
    values[7] = 20
    state = tell(start(), normals, np.stack([values, values], axis=1))
    self.assertEqual(int(state.graph), 1)
    np.testing.assert_array_equal(state.best, normals[7])
    reductions = np.tile(normals[7], (3, 1))
    reductions[:, 11] = 1, 2, 3
    answer = reductions, [[19.0, 19.0], [-np.inf, -np.inf], [1.0, 1.0]]
    state = tell(state, *answer)
    comparable_rows = agnet_training_free.comparable_rows(state, LAYOUT)
    self.assertEqual(np.flatnonzero(comparable_rows).tolist(), [7, 12, 14])
    np.testing.assert_array_equal(state.best, normals[7])

  @pytest.mark.slow
  def test_without_jit(self):
    """Oracle: the compiled `tell`, exactly."""
    archs = SPACE.sample(jax.random.key(6), 4)
    answer = archs, jax.random.normal(jax.random.key(7), (4, 2))
    search = agnet_training_free.agnet_training_free(SPACE, TINY)
    state, _ = search.tell(start(), *answered(*answer), weights())
    jax.tree.map(np.testing.assert_array_equal, state, tell(start(), *answer))

  def test_prior_data_have_no_peers_at_first(self):
    """Oracle: the best of all of them, whatever cell was drawn to be kept."""
    archs = np.asarray(SPACE.sample(jax.random.key(5), 5))
    values = [[0.0, 1.0], [3.0, 4.0], [4.0, 3.0], [2.0, 2.0], [1.0, 0.0]]
    np.testing.assert_array_equal(tell(start(), archs, values).best, archs[1])

  def test_rows_that_do_not_count(self):
    """Oracle: by hand: one of three is new and was not denied."""
    archs = np.zeros((3, 22), int)
    archs[:, 0] = [1, 1, 2]
    values = [[1.0, 1.0], [1.0, 1.0], [-np.inf, -np.inf]]
    status = [Status.FRESH, Status.REPEAT, Status.DENIED]
    state = tell(start(), archs, values, status)
    self.assertEqual(int(state.num), 1)
    np.testing.assert_array_equal(state.best, archs[0])

  def test_too_few_objectives(self):
    """Oracle: the documented error, which says what to do."""
    with self.assertRaisesRegex(ValueError, "is 2, but the problem has 1"):
      tell(start(), np.zeros((1, 22)), [[1.0]])


class WeightsTest(absltest.TestCase):
  def test_weights_add_up(self):
    """Oracle: equation 3 in NumPy, for each objective by itself."""
    rng = np.random.default_rng(0)
    objectives = rng.normal(size=(9, 2))
    used = np.arange(9) < 7
    used[2] = False
    objectives[2] = -np.inf
    num = used.sum()
    expected = np.zeros(9)
    for column in objectives.T:
      ranks = numpy_ranks(column[used])
      expected[used] += 1 / (0.01 * num + ranks)
    found = agnet_training_free.summed_rank_weights(
      jnp.asarray(objectives, jnp.float32), jnp.asarray(used)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters("num_evaluations", "batch_size", "num_objectives")
  def test_bad_values(self, option):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, option):
      dataclasses.replace(TINY, **{option: 0})

  def test_presets(self):
    """Oracle: by hand: two measures of TE-NAS, one objective elsewhere."""
    preset = agnet_training_free.preset
    self.assertEqual(
      preset("zerocost/tenas@darts", 208),
      {"num_evaluations": 208, "num_objectives": 2},
    )
    self.assertEqual(preset("nasbench301/cifar10", 64)["num_objectives"], 1)

  def test_a_space_without_graphs(self):
    """Oracle: the documented error."""
    space = dataclasses.replace(SPACE, layout=None)
    with self.assertRaisesRegex(ValueError, "no layout of graphs"):
      agnet_training_free.agnet_training_free(space)


if __name__ == "__main__":
  absltest.main()
