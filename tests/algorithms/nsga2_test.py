"""Tests of nagjax.algorithms.nsga2."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import nagjax
from nagjax import statistics
from nagjax.algorithms import nsga2
from nagjax.benchmarks import synthetic
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nagjax.make_space("nasbench201")
CONFIG = nsga2.Config(population_size=5, num_children=4, num_tradeoffs=1)


def answered(objectives, violations, status=None):
  """A proposal of the first cells and what is said of them."""
  num = len(objectives)
  objectives = jnp.asarray(objectives, jnp.float32)
  violations = jnp.asarray(violations, jnp.float32)
  status = np.zeros(num) if status is None else np.asarray(status)
  return Proposal(
    SPACE.from_index(jnp.arange(num)), jnp.asarray(status != Status.INVALID)
  ), Evaluation(
    jnp.asarray(status, jnp.int8),
    objectives[:, 0],
    objectives,
    violations,
    jnp.all(violations <= 0, axis=-1),
  )


def told(*answers):
  algorithm = nsga2.nsga2(SPACE, CONFIG)
  state = algorithm.init(jax.random.key(0), ())
  tell = jax.jit(algorithm.tell)
  for answer in answers:
    state, info = tell(state, *answer, ())
  return algorithm, state, info


class SurvivalTest(absltest.TestCase):
  def test_fronts_first_then_crowding(self):
    """Oracle: by hand. The first front is a, b, c, d; of the second, of e, f, g
    only one end finds a place."""
    objectives = [
      *([9.0, 0.0], [6.0, 5.0], [5.0, 6.0], [0.0, 9.0]),
      *([5.0, 0.0], [2.0, 2.0], [0.0, 5.0]),
    ]
    _, state, info = told(answered(objectives, np.zeros((7, 0))))
    found = SPACE.index(state.archs).tolist()
    # The ends have an infinite distance, and the lower row comes first.
    self.assertEqual(found[:2], [0, 3])
    self.assertCountEqual(found[2:4], [1, 2])
    self.assertEqual(found[4], 4)
    self.assertEqual(int(info.front_size), 4)
    self.assertEqual(float(info.best_objective), 9.0)

  def test_limits_failures_and_repeats(self):
    """Oracle: Deb's rule by hand: feasible ones, then the least excess; what
    failed or was denied never lives, and nothing lives twice."""
    objectives = [[1.0, 1.0], [9.0, 9.0], [8.0, 8.0], [-np.inf] * 2, [7.0, 7.0]]
    violations = [[-1.0], [2.0], [1.0], [np.inf], [0.0]]
    status = [
      *(Status.FRESH, Status.FRESH, Status.REPEAT),
      *(Status.INVALID, Status.DENIED),
    ]
    answer = answered(objectives, violations, status)
    _, state, _ = told(answer, answer)
    self.assertEqual(state.used.tolist(), [True] * 3 + [False] * 2)
    self.assertEqual(SPACE.index(state.archs[:3]).tolist(), [0, 2, 1])


class ChildrenTest(parameterized.TestCase):
  @parameterized.parameters(0.0, 0.3, 1.0)
  def test_redrawn_variables(self, rate):
    """Oracle: the share of variables that differ; the others of a variable
    equally often."""
    archs = jnp.broadcast_to(jnp.arange(5)[:, None], (5, 6)).astype(jnp.int32)
    archs = jnp.tile(archs, (400, 1))
    uniform = jax.random.uniform(jax.random.key(0), (2000, 6, 2))
    found = np.asarray(nsga2.redraw(archs, uniform, SPACE, rate))
    changed = found != archs
    self.assertLess(abs(changed.mean() - rate), 0.03)
    if rate == 1.0:
      steps = np.bincount(((found - archs) % 5).ravel(), minlength=5)
      self.assertEqual(steps[0], 0)
      self.assertGreater(stats.chisquare(steps[1:]).pvalue, 1e-3)

  def test_children_mix_two_parents(self):
    """Oracle: without mutation every variable is that of a parent, and all
    subsets of them occur."""
    config = nsga2.Config(
      population_size=2, num_children=800, mutation_scale=0.0
    )
    algorithm = nsga2.nsga2(SPACE, config)
    state = algorithm.init(jax.random.key(0), ())._replace(
      archs=jnp.asarray([[0] * 6, [4] * 6], jnp.int32), used=jnp.ones(2, bool)
    )
    children = algorithm.ask(jax.random.key(1), state, ())[0].archs
    self.assertEqual(np.unique(children).tolist(), [0, 4])
    self.assertLen(np.unique(children, axis=0), 2**6)

  @parameterized.parameters(
    dict(population_size=0),
    dict(num_children=0),
    dict(crossover_rate=1.5),
    dict(mutation_scale=-1.0),
  )
  def test_bad_values(self, **options):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, next(iter(options))):
      nsga2.Config(**options)


class QualityTest(absltest.TestCase):
  @pytest.mark.slow
  def test_ahead_of_random(self):
    """Oracle: hypervolume of what random search finds, paired by 16 seeds."""
    problem = nagjax.Problem(
      synthetic.synthetic(), ("valid_accuracy", "-params_m")
    )
    volumes = {}
    for name in ("nsga2", "random"):
      search = nagjax.make_search(name, problem, budget=120)
      trace = nagjax.sweep(
        jax.random.split(jax.random.key(0), 16), search
      ).trace
      worst = [0.0, -2.0]
      volumes[name] = [
        statistics.hypervolume(points.reshape(-1, 2), worst)
        for points in trace.objectives
      ]
    self.assertTrue(statistics.ahead(volumes["nsga2"], volumes["random"]))


if __name__ == "__main__":
  absltest.main()
