"""Tests of nagjax.algorithms.optiproxy in a tiny setting."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import networks
from nagjax import problem as problem_lib
from nagjax.algorithms import optiproxy
from nagjax.benchmarks import synthetic
from nagjax.predictors import fitting
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
    self.assertEqual(int(state.num), 21)
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
    mean, _ = optiproxy.predict(
      network, state.members, space.to_graph(jnp.asarray(archs)), config
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
    self.assertEqual(before.violations.shape, (40, num_constraints))

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


class TellTest(parameterized.TestCase):
  def test_what_enters_the_archive(self):
    """Oracle: by hand; an algorithm forgets neither failures nor order."""
    init, ask, tell = compiled(SPACE, TINY)
    archs = np.zeros((8, 6), np.int32)
    archs[:, 0] = [0, 1, 1, 2, 3, 4, 0, 0]
    archs[6:, 1] = [1, 2]
    fresh, failed = Status.FRESH, Status.INVALID
    repeat, denied = Status.REPEAT, Status.DENIED
    status = [fresh, fresh, repeat, failed, denied, fresh, failed, fresh]
    valid = [True] * 6 + [False, True]
    objective = [5.0, 7.0, 7.0, -np.inf, -np.inf, 6.0, -np.inf, 4.0]
    told = evaluation(
      jnp.asarray(archs),
      status=jnp.asarray(status, jnp.int8),
      objective=jnp.asarray(objective, jnp.float32),
    )
    state, info = tell(init(jax.random.key(0)), proposal(archs, valid), told)
    kept = [0, 1, 3, 5, 7]
    self.assertEqual(int(info.archive_size), len(kept))
    self.assertEqual(float(info.best_objective), 7.0)
    expected = np.pad(
      np.asarray(objective)[kept], (0, 35), constant_values=-np.inf
    )
    np.testing.assert_array_equal(state.archs[:5], archs[kept])
    np.testing.assert_array_equal(state.objective, expected)
    np.testing.assert_array_equal(state.target, expected)
    # Told again, nothing is new but what was denied.
    again, info = tell(
      state,
      proposal(archs, valid),
      told._replace(status=jnp.full(8, repeat, jnp.int8)),
    )
    self.assertEqual(int(info.archive_size), len(kept) + 1)
    np.testing.assert_array_equal(again.archs[:5], state.archs[:5])
    np.testing.assert_array_equal(again.archs[5], archs[4])
    # Failures do not harm the proxy.
    for leaf in jax.tree.leaves(ask(jax.random.key(1), state)):
      if jnp.issubdtype(leaf.dtype, jnp.floating):
        self.assertFalse(np.isnan(leaf).any())

  def test_a_large_prior_leaves_its_best(self):
    """Oracle: the sorted objectives of the prior; half the archive is free."""
    archs = np.asarray(sample(SPACE, 3, 60))
    archs = np.unique(archs, axis=0)
    self.assertGreater(len(archs), TINY.archive_size)
    told = evaluation(jnp.asarray(archs))
    # A better one that was not paid for does not count.
    status = np.full(len(archs), Status.FRESH, np.int8)
    status[np.argmax(told.objective)] = Status.DENIED
    init, _, tell = compiled(SPACE, TINY)
    state, info = tell(
      init(jax.random.key(0)), proposal(archs), told._replace(status=status)
    )
    half = TINY.archive_size // 2
    self.assertEqual(int(info.archive_size), half)
    best = np.sort(np.asarray(told.objective)[status == Status.FRESH])
    np.testing.assert_array_equal(np.sort(state.objective[:half]), best[-half:])
    np.testing.assert_allclose(
      answer_of(False, state.archs[:half]).objective, state.objective[:half]
    )

  def test_a_full_archive_keeps_what_it_has(self):
    """Oracle: the first rows that were told, up to its size."""
    archs = SPACE.all_architectures()[:48].reshape(3, 16, 6)
    init, _, tell = compiled(SPACE, TINY)
    state = init(jax.random.key(0))
    for batch in archs:
      told = evaluation(jnp.asarray(batch))
      state, info = tell(state, proposal(batch), told)
    self.assertEqual(int(info.archive_size), TINY.archive_size)
    np.testing.assert_array_equal(
      state.archs, archs.reshape(-1, 6)[: TINY.archive_size]
    )


class ConstraintTest(parameterized.TestCase):
  def test_scaled_violations(self):
    """Oracle: NumPy, column by column."""
    rng = np.random.default_rng(0)
    violations = rng.normal(size=(12, 2)).astype(np.float32) * [1.0, 1e3]
    violations[[2, 5], 1] = np.inf
    used = np.arange(12) < 9
    expected = np.zeros((12, 2))
    for column in range(2):
      finite = used & np.isfinite(violations[:, column])
      v = violations[finite, column]
      logs = np.sign(v) * np.log(1 + np.abs(v))
      unit = np.sqrt((logs**2).mean())
      expected[finite, column] = np.clip(logs / unit, -3, 3)
      expected[used & ~finite, column] = 3
    result = optiproxy.scaled_violations(
      jnp.asarray(violations, jnp.float32), jnp.asarray(used)
    )
    np.testing.assert_allclose(result, expected, atol=1e-4)
    feasible = (violations <= 0)[used]
    np.testing.assert_array_equal(np.asarray(result)[used] <= 0, feasible)

  def test_predictions_subtract_positive_violations(self):
    """Oracle: NumPy on the heads that every member returns."""
    weights = np.random.default_rng(0).normal(size=(3, 8, 3))
    weights = jnp.asarray(weights, jnp.float32)
    network = networks.Network(
      init=lambda key: weights[0],
      apply=lambda weights, graph: graph.nodes[..., 4] @ weights,
    )
    members = fitting.Fitted(weights, ())
    graphs = SPACE.to_graph(sample(SPACE, 1, 10))
    heads = np.einsum("bn,mnh->mbh", graphs.nodes[..., 4], weights)
    config = CONSTRAINED
    excess = np.maximum(heads[..., 1:].mean(0), 0).sum(-1)
    mean, deviation = optiproxy.predict(network, members, graphs, config)
    np.testing.assert_allclose(
      mean, heads[..., 0].mean(0) - config.penalty * excess, atol=1e-4
    )
    np.testing.assert_allclose(
      deviation, heads[..., 0].std(0, ddof=1), atol=1e-4
    )
    self.assertGreater(excess.max(), 0.1)

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
    np.testing.assert_allclose(state.target[:20], answer.objectives[:, 0])
    np.testing.assert_allclose(state.objective[:20], answer.objective)
    np.testing.assert_allclose(state.violations[:20], answer.violations)
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
