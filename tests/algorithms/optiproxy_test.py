"""Tests of nagjax.algorithms.optiproxy in a tiny setting."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import problem as problem_lib
from nagjax.algorithms import optiproxy
from nagjax.benchmarks import synthetic
from nagjax.predictors import ensembles
from nagjax.spaces import base
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
LIMIT = 0.4
"""Million parameters that a quarter of the cells keeps."""

TINY = optiproxy.Config(
  num_initial=6,
  batch_size=4,
  archive_size=40,
  proxy="mlp",
  hidden_size=8,
  num_members=2,
  fit_steps=5,
  fit_batch_size=8,
  num_groups=3,
  search_epochs=4,
  interval=2,
  num_samples=12,
  num_constraints=0,
)
UNIFORM = dataclasses.replace(
  TINY, samples_groups=False, num_samples=60, boldness=0.0
)
CONSTRAINED = dataclasses.replace(
  TINY, archive_size=70, fit_steps=60, fit_batch_size=32, num_constraints=1
)


evaluate = jax.jit(problem_lib.Problem.evaluate)


@functools.cache
def problem(constrained=False):
  limits = (problem_lib.Constraint("params_m", LIMIT),) if constrained else ()
  return problem_lib.Problem(synthetic.synthetic(), constraints=limits)


@functools.cache
def few_cells():
  """The 25 NAS-Bench-201 cells whose first four edges are `none`."""
  sizes = (1, 1, 1, 1, 5, 5)
  return dataclasses.replace(
    SPACE,
    cardinalities=sizes,
    num_architectures=25,
    is_valid=functools.partial(base.in_range, sizes),
  )


@functools.cache
def compiled(space, config):
  """`init`, `ask` and `tell`, without params."""
  algorithm = optiproxy.optiproxy(space, config)
  # These programs run for an instant: compiling them is what takes long.
  jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
  )
  return (
    jit(lambda key: algorithm.init(key, ())),
    jit(lambda key, state: algorithm.ask(key, state, ())),
    jit(lambda state, *told: algorithm.tell(state, *told, ())),
  )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def sample(space, seed, num):
  return space.sample(jax.random.key(seed), num)


def answer_of(constrained, archs):
  return evaluate(problem(constrained), archs)


def evaluation(archs, constrained=False, **columns):
  """Every row fresh, on the synthetic benchmark, unless given."""
  answer = answer_of(constrained, archs)
  fresh = jnp.full(archs.shape[0], Status.FRESH, jnp.int8)
  result = Evaluation(
    fresh, answer.objective, answer.objectives, answer.violations
  )
  return result._replace(**columns)


def proposal(archs, valid=None):
  valid = np.ones(len(archs), bool) if valid is None else valid
  return Proposal(jnp.asarray(archs, jnp.int32), jnp.asarray(valid))


def rows(archs):
  return list(map(tuple, np.asarray(archs).tolist()))


def started(space, config, archs, constrained=False):
  """A state that has heard of given architectures."""
  init, _, tell = compiled(space, config)
  archs = jnp.asarray(archs, jnp.int32)
  told = evaluation(archs, constrained)
  return tell(init(jax.random.key(0)), proposal(archs), told)[0]


class AskTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("default", dict()), ("in_order", dict(selects=False))
  )
  def test_proposals_are_new(self, options):
    """Oracle: a Python set of everything that was told."""
    config = dataclasses.replace(TINY, **options)
    init, ask, tell = compiled(SPACE, config)
    archs = sample(SPACE, 0, config.num_initial)
    state = init(jax.random.key(1))
    told = proposal(archs)
    seen = set(rows(archs))
    for round in range(4):
      state, info = tell(state, told, evaluation(told.archs))
      told, state = ask(jax.random.key(round), state)
      self.assertTrue(bool(told.valid.all()))
      new = set(rows(told.archs))
      self.assertLen(new, config.batch_size)
      self.assertFalse(new & seen)
      seen |= new
    self.assertEqual(int(info.archive_size), len(seen) - config.batch_size)
    best = max(evaluation(jnp.asarray(list(seen - new))).objective)
    self.assertAlmostEqual(float(info.best_objective), float(best), places=4)

  @parameterized.parameters(True, False)
  def test_the_last_ones_of_a_small_space_are_found(self, selects):
    """Oracle: the 4 of 25 cells that were not told."""
    space = few_cells()
    config = dataclasses.replace(UNIFORM, selects=selects)
    _, ask, tell = compiled(space, config)
    archs = space.all_architectures()
    missing = [3, 8, 14, 20]
    state = started(space, config, np.delete(archs, missing, axis=0)[:20])
    last = np.delete(archs, missing, axis=0)[20:]
    state, _ = tell(state, proposal(last), evaluation(jnp.asarray(last)))
    self.assertEqual(int(state.archive.num), 21)
    told, state = ask(jax.random.key(2), state)
    self.assertCountEqual(rows(told.archs), rows(archs[missing]))
    # Nothing is left: proposals are still architectures.
    state, _ = tell(state, told, evaluation(told.archs))
    told, _ = ask(jax.random.key(3), state)
    self.assertTrue(bool(told.valid.all() & space.is_valid(told.archs).all()))

  def test_the_proxy_selects_what_it_predicts_best(self):
    """Oracle: predictions of all unseen cells of a small space, sorted."""
    space = few_cells()
    config = UNIFORM
    archs = space.all_architectures()
    state = started(space, config, archs[::3])
    told, state = compiled(space, config)[1](jax.random.key(2), state)
    unseen = np.setdiff1d(np.arange(25), np.arange(25)[::3])
    network = optiproxy.make_proxy(space, config)
    mean, _ = ensembles.predict(
      network, state.members, space.to_graph(jnp.asarray(archs))
    )
    best = unseen[np.argsort(-np.asarray(mean)[unseen])][: config.batch_size]
    self.assertEqual(rows(told.archs), rows(archs[best]))

  def test_the_same_key_gives_the_same_proposals(self):
    """Oracle: equality, and inequality for another key."""
    archs = sample(SPACE, 0, TINY.num_initial)
    state = started(SPACE, TINY, archs)
    ask = compiled(SPACE, TINY)[1]
    one, again, other = (
      ask(jax.random.key(seed), state)[0].archs for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    self.assertNotEqual(rows(one), rows(other))

  @parameterized.product(
    proxy=optiproxy.PROXIES, num_groups=(1, 2), num_constraints=(0, 2)
  )
  def test_every_proxy(self, proxy, num_groups, num_constraints):
    """Oracle: shapes and types of what is asked and remembered."""
    config = dataclasses.replace(
      TINY,
      proxy=proxy,
      num_groups=num_groups,
      num_constraints=num_constraints,
    )
    algorithm = optiproxy.optiproxy(SPACE, config)
    key = jax.random.key(0)
    before = jax.eval_shape(algorithm.init, key, ())
    told, after = jax.eval_shape(algorithm.ask, key, before, ())
    self.assertEqual(after, before)
    self.assertEqual(told.archs.shape, (4, 6))
    self.assertEqual(told.archs.dtype, jnp.int32)
    self.assertEqual(before.archive.violations.shape, (40, num_constraints))

  @parameterized.parameters(nasbench101.nasbench101, darts.darts)
  def test_other_spaces(self, make):
    """Oracle: a set of keys of what was told, and validity."""
    space = make()
    config = dataclasses.replace(TINY, fit_steps=2)
    init, ask, tell = compiled(space, config)
    archs = sample(space, 0, config.num_initial)
    objective = jnp.linspace(90.0, 94.0, config.num_initial)
    answer = Evaluation(
      jnp.full(config.num_initial, Status.FRESH, jnp.int8),
      objective,
      objective[:, None],
      jnp.zeros((config.num_initial, 0)),
    )
    state, _ = tell(init(jax.random.key(1)), proposal(archs), answer)
    told, state = ask(jax.random.key(2), state)
    self.assertTrue(bool(jax.jit(space.is_valid)(told.archs).all()))
    keys = jax.jit(space.keys)(jnp.concatenate([archs, told.archs]))
    seen, new = (
      set(rows(part)) for part in jnp.split(keys, [config.num_initial])
    )
    self.assertLen(new, config.batch_size)
    self.assertFalse(seen & new)
    for leaf in jax.tree.leaves(state.members):
      self.assertTrue(np.isfinite(leaf).all())


class TellTest(absltest.TestCase):
  def test_what_was_told_is_reported(self):
    """Oracle: the number of different rows, and their best value."""
    init, ask, tell = compiled(SPACE, TINY)
    archs = np.zeros((4, 6), np.int32)
    archs[:, 0] = [0, 1, 1, 2]
    told = evaluation(
      jnp.asarray(archs),
      objective=jnp.asarray([5.0, 7.0, 7.0, -jnp.inf]),
      status=jnp.asarray([0, 0, 1, Status.INVALID], jnp.int8),
    )
    state, info = tell(init(jax.random.key(0)), proposal(archs), told)
    self.assertEqual(int(info.archive_size), 3)
    self.assertEqual(float(info.best_objective), 7.0)
    # Failures do not harm the proxy.
    for leaf in jax.tree.leaves(ask(jax.random.key(1), state)):
      if jnp.issubdtype(leaf.dtype, jnp.floating):
        self.assertFalse(np.isnan(leaf).any())


class ConstraintTest(parameterized.TestCase):
  def test_feasible_architectures_are_found(self):
    """Oracle: the share of feasible cells; Spearman over all cells."""
    init, ask, tell = compiled(SPACE, CONSTRAINED)
    state = init(jax.random.key(0))
    told = proposal(sample(SPACE, 1, 20))
    proposed = []
    for round in range(10):
      state, info = tell(state, told, evaluation(told.archs, True))
      told, state = ask(jax.random.key(round), state)
      proposed.append(evaluation(told.archs, True).violations[:, 0])
    archs = jnp.asarray(SPACE.all_architectures())
    answer = answer_of(True, archs)
    share = float((answer.violations <= 0).mean())
    found = np.concatenate(proposed) <= 0
    self.assertGreater(found.mean(), 2 * share)
    self.assertGreater(float(info.best_objective), 80)
    network = optiproxy.make_proxy(SPACE, CONSTRAINED)
    heads = jax.vmap(network.apply, (0, None))(
      state.members.weights, SPACE.to_graph(archs)
    )
    predicted = heads[..., 1].mean(0)
    correlation = stats.spearmanr(predicted, answer.violations[:, 0])[0]
    self.assertGreater(correlation, 0.5)

  def test_the_first_head_learns_the_objective_itself(self):
    """Oracle: the benchmark's column, which the limit does not change."""
    archs = sample(SPACE, 4, 20)
    state = started(SPACE, CONSTRAINED, archs, constrained=True)
    answer = answer_of(True, archs)
    np.testing.assert_allclose(
      state.archive.target[:20], answer.objectives[:, 0]
    )
    np.testing.assert_allclose(state.archive.objective[:20], answer.objective)
    np.testing.assert_allclose(state.archive.violations[:20], answer.violations)
    self.assertLess(float(answer.objective.min()), problem_lib.INFEASIBLE)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("num_initial", 0, "num_initial must be at least 1"),
    ("batch_size", 0, "batch_size must be at least 1"),
    ("num_members", 0, "num_members must be at least 1"),
    ("num_samples", -1, "num_samples must be at least 1"),
    ("proxy", "xgboost", f"{', '.join(optiproxy.PROXIES)}, got 'xgboost'"),
    ("archive_size", 9, "num_initial . batch_size = 10, got 9"),
    ("batch_size", 37, "archive_size must hold|batch_size = 37, got 36"),
  )
  def test_options_that_do_not_fit_are_refused(self, option, value, message):
    """Oracle: the documented ValueError says what came."""
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(TINY, **{option: value})

  def test_groups_have_to_draw_a_batch(self):
    """Oracle: the documented ValueError names the product."""
    with self.assertRaisesRegex(ValueError, "batch_size = 4, got 3"):
      dataclasses.replace(TINY, num_groups=3, num_samples=1)

  def test_sizes_of_the_algorithm(self):
    """Oracle: the options."""
    algorithm = optiproxy.optiproxy(SPACE, TINY)
    self.assertEqual((algorithm.num_initial, algorithm.batch_size), (6, 4))

  @parameterized.parameters(1, 25, 100, 1000)
  def test_preset_and_rounds_spend_the_budget(self, budget):
    """Oracle: all that is evaluated fits the archive, and suffices."""
    options = optiproxy.preset("nasbench201/cifar10", budget)
    config = optiproxy.Config(**options)
    algorithm = optiproxy.optiproxy(SPACE, config)
    num = optiproxy.num_rounds(config, algorithm, budget)
    self.assertGreaterEqual(config.archive_size, budget)
    self.assertGreater(config.num_initial + num * config.batch_size, budget)


if __name__ == "__main__":
  absltest.main()
