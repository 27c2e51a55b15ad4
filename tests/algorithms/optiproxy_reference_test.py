"""Tests of nagjax.algorithms.optiproxy_reference and its settings."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax.algorithms import optiproxy_reference
from nagjax.algorithms import optiproxy_reference_presets
from nagjax.benchmarks import tabular
from nagjax.search import driver
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests import data

SPACE = nasbench201.nasbench201()
CONFIG = optiproxy_reference.Config(
  num_initial=5,
  batch_size=3,
  archive_size=12,
  hidden_size=4,
  fit_epochs=3,
  fit_batch_size=2,
  num_groups=2,
  search_epochs=3,
  verify_ratio=4,
)


def configured(**options):
  return dataclasses.replace(CONFIG, **options)


def rows_of(archs):
  return {tuple(row) for row in np.asarray(archs).tolist()}


@functools.cache
def algorithm():
  """The tiny search with its compiled parts."""
  made = optiproxy_reference.optiproxy_reference(SPACE, CONFIG)
  return made._replace(
    init=jax.jit(made.init), ask=jax.jit(made.ask), tell=jax.jit(made.tell)
  )


def evaluated(proposal, denied=()):
  num = proposal.archs.shape[0]
  status = np.where(proposal.valid, Status.FRESH, Status.INVALID)
  status[list(denied)] = Status.DENIED
  value = 60.0 + jnp.sum(proposal.archs, axis=-1)
  value = jnp.where(jnp.asarray(status) == Status.FRESH, value, -jnp.inf)
  return Evaluation(
    jnp.asarray(status, jnp.int8),
    value,
    value[:, None],
    jnp.zeros((num, 0)),
    jnp.isfinite(value),
  )


class RoundTest(parameterized.TestCase):
  def test_a_search_round_by_round(self):
    """Oracle: the order of the first call, a set of what was proposed."""
    state = algorithm().init(jax.random.key(0), ())
    first = np.asarray(state.initial)
    untrained = jax.tree.leaves(state.proxy)
    seen = []
    for round_ in range(4):
      key = jax.random.key(10 + round_)
      proposal, state = algorithm().ask(key, state, ())
      archs = np.asarray(proposal.archs)[np.asarray(proposal.valid)]
      fitted = jax.tree.leaves(state.proxy)
      equal = [
        np.array_equal(a, b) for a, b in zip(untrained, fitted, strict=True)
      ]
      if round_ < 2:
        np.testing.assert_array_equal(archs, first[3 * round_ : 3 * round_ + 3])
        self.assertTrue(all(equal))
      else:
        self.assertLen(rows_of(archs), 3)
        self.assertFalse(rows_of(archs) & rows_of(seen))
        self.assertFalse(all(equal))
      seen.extend(archs.tolist())
      state, info = algorithm().tell(state, proposal, evaluated(proposal), ())
      self.assertEqual(int(info.archive_size), len(seen))
      np.testing.assert_array_equal(state.archs[: len(seen)], seen)
    self.assertEqual(float(info.best_objective), 60.0 + np.max(np.sum(seen, 1)))

  def test_prior_data_takes_the_place_of_the_first_call(self):
    """Oracle: two evaluations leave three of five initial architectures."""
    state = algorithm().init(jax.random.key(0), ())
    archs = SPACE.sample(jax.random.key(1), 3)
    prior = Proposal(archs, jnp.asarray([True, True, False]))
    state, info = algorithm().tell(state, prior, evaluated(prior), ())
    self.assertEqual(int(info.archive_size), 2)
    proposal, _ = algorithm().ask(jax.random.key(2), state, ())
    np.testing.assert_array_equal(proposal.archs, state.initial[2:])

  def test_what_was_denied_is_not_remembered(self):
    """Oracle: the rows that were not."""
    state = algorithm().init(jax.random.key(0), ())
    proposal, state = algorithm().ask(jax.random.key(1), state, ())
    answer = evaluated(proposal, denied=[1])
    state, info = algorithm().tell(state, proposal, answer, ())
    self.assertEqual(int(info.archive_size), 2)
    np.testing.assert_array_equal(
      state.archs[:2], proposal.archs[jnp.asarray([0, 2])]
    )

  def test_groups_start_inside_their_range(self):
    """Oracle: the bounds; a Latin hypercube has one group in each half."""
    logits = algorithm().init(jax.random.key(3), ()).groups.logits
    halves = np.sort(np.floor((np.asarray(logits) - 0.9) / 0.05 + 1e-4), axis=0)
    np.testing.assert_array_equal(halves[0], 0)
    np.testing.assert_array_equal(halves[1], 1)


class SettingsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201/cifar10", 100, 9, (10, 10), (144, 7, 500), (300, 5, 40)),
    ("nasbench201/cifar100", 100, 18, (10, 5), (128, 20, 100), (100, 20, 20)),
    (
      "nasbench201/imagenet16-120",
      100,
      18,
      (10, 5),
      (128, 20, 200),
      (50, 50, 20),
    ),
    (
      "nasbench201/imagenet16-120",
      190,
      36,
      (10, 5),
      (128, 20, 200),
      (100, 50, 20),
    ),
    (
      "nasbench201/imagenet16-120",
      280,
      46,
      (50, 5),
      (128, 20, 200),
      (100, 50, 20),
    ),
    ("synthetic", 100, 9, (10, 10), (144, 7, 500), (300, 5, 40)),
  )
  def test_shipped_settings(self, name, budget, num_steps, sizes, fit, search):
    """Oracle: the table of the published configurations."""
    config = optiproxy_reference.Config(
      **optiproxy_reference_presets.preset(name, budget)
    )
    self.assertEqual((config.num_initial, config.batch_size), sizes)
    self.assertEqual(
      (config.hidden_size, config.fit_batch_size, config.fit_epochs), fit
    )
    self.assertEqual(
      (config.search_epochs, config.num_groups, config.verify_ratio), search
    )
    rounds = optiproxy_reference.num_rounds(config, None, budget)
    self.assertEqual(rounds - -(-sizes[0] // sizes[1]), num_steps)
    self.assertEqual(sizes[0] + num_steps * sizes[1], budget)

  @parameterized.parameters(
    ("nasbench201/cifar10", 83.67, 12.80),
    ("search-on-test-accuracy:nasbench201/cifar10", 83.67, 12.80),
    ("nasbench201/cifar100", 61.28, 12.14),
    ("nasbench201/imagenet16-120", 45.79, 9.24),
    ("synthetic", None, None),
  )
  def test_shipped_constants(self, name, mean, std):
    """Oracle: the published constants, the mean of ImageNet as it is."""
    preset = optiproxy_reference_presets.preset(name, 100)
    for field, value in (("mean", mean), ("std", std)):
      if value is None:
        self.assertNotIn(field, preset)
      else:
        self.assertAlmostEqual(preset[field], value, delta=0.01)

  @data.needs_table("nb201.npz")
  def test_constants_are_those_of_whole_tables(self):
    """Oracle: the tables, all cells; ImageNet's mean is not among them."""
    folder = data.table_path("nb201.npz").parent
    for name in ("cifar10", "cifar100"):
      preset = optiproxy_reference_presets.preset(f"nasbench201/{name}", 100)
      table = tabular.load_nasbench201(name, directory=folder)
      column = np.float64(table.queried["valid_accuracy"])
      self.assertAlmostEqual(preset["mean"], column.mean(), delta=0.05)
      self.assertAlmostEqual(preset["std"], column.std(), delta=0.05)

  @parameterized.parameters(
    (dict(num_groups=0), "num_groups must be at least 1, got 0"),
    (dict(archive_size=7), "archive_size must be at least 8, got 7"),
    (dict(mean=80.0), "both be None"),
    (dict(mean=80.0, std=0.0), "std positive"),
    (dict(end_temperature=0.9), "temperatures must fall"),
  )
  def test_options_are_checked(self, options, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      configured(**options)

  def test_another_space_is_refused(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(
      ValueError, "nasbench201 only, got nasbench101"
    ):
      optiproxy_reference.optiproxy_reference(nasbench101.nasbench101())


@pytest.mark.slow
class PublishedResultTest(parameterized.TestCase):
  @data.needs_table("nb201.npz")
  def test_best_validation_on_cifar100(self):
    """Oracle: 6 runs of the published program, 3.5 standard errors."""
    folder = data.table_path("nb201.npz").parent
    benchmark = tabular.load_nasbench201("cifar100", directory=folder)
    config = optiproxy_reference.Config(
      **optiproxy_reference_presets.preset(benchmark.name, 100)
    )
    made = optiproxy_reference.optiproxy_reference(SPACE, config)
    run = jax.jit(
      lambda key, problem: (
        driver.run(key, made, problem, (), budget=100, num_rounds=20)[
          0
        ].objective
      )
    )
    problem = problem_lib.Problem(benchmark)
    best = [float(run(jax.random.key(s), problem).max()) for s in range(3)]
    error = 0.191 * (1 / 6 + 1 / 3) ** 0.5
    self.assertLess(abs(np.mean(best) - 73.408), 3.5 * error, best)


if __name__ == "__main__":
  absltest.main()
