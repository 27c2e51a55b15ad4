"""Tests of the loop that searches with a surrogate share."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax import acquisition
from nagjax.algorithms import ednag
from nagjax.algorithms import optiproxy
from nagjax.algorithms import surrogate_search as loop
from nagjax.benchmarks import synthetic
from nagjax.proposers import base as proposers
from nagjax.proposers import denoising
from nagjax.proposers import random
from nagjax.spaces import nasbench201
from nagjax.surrogates import base as surrogates
from nagjax.surrogates import gaussian_process
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
CONFIG = loop.Config(num_initial=6, batch_size=4, archive_size=40)


def few_cells():
  """A space of 25 architectures."""
  return nagjax.SearchSpace(name="few", cardinalities=(5, 5))


def oracle(value_fn, std=0.0, violation_fn=None):
  """A surrogate that knows the truth, a function of architectures."""

  def predict(state, archs):
    del state
    mean = value_fn(archs)
    violations = jnp.zeros((archs.shape[0], 0))
    if violation_fn is not None:
      violations = violation_fn(archs)[:, None]
    return Prediction(mean, jnp.full_like(mean, std), mean[None], violations)

  return surrogates.Surrogate(
    init=lambda key, params: (),
    fit=lambda key, state, archive: state,
    predict=predict,
  )


def everything(space):
  """A proposer of all architectures, each twice."""
  archs = jnp.asarray(space.all_architectures())

  def propose(key, state, params, belief, archive):
    del key, params, belief, archive
    twice = jnp.concatenate([archs, archs])
    return twice, jnp.ones(twice.shape[0], bool), state

  return proposers.Proposer(proposers.stateless, propose)


def first_digit(archs):
  return archs[:, 0] + archs[:, 1] / 10.0


def told(algorithm, state, archs, objective, status=None, violations=None):
  num = len(archs)
  objective = jnp.asarray(objective, jnp.float32)
  if status is None:
    status = jnp.full(num, Status.FRESH)
  if violations is None:
    violations = jnp.zeros((num, 0))
  evaluation = Evaluation(
    jnp.asarray(status, jnp.int8),
    objective,
    objective[:, None],
    violations,
    jnp.all(violations <= 0, axis=-1),
  )
  proposal = Proposal(jnp.asarray(archs, jnp.int32), jnp.ones(num, bool))
  return jax.jit(algorithm.tell)(state, proposal, evaluation, algorithm.params)


def asked(algorithm, state, seed=0):
  ask = jax.jit(algorithm.ask)
  return ask(jax.random.key(seed), state, algorithm.params)


def rows(archs):
  return list(map(tuple, np.asarray(archs).tolist()))


class AskTest(parameterized.TestCase):
  def _after(self, known, config=CONFIG, **parts):
    space = few_cells()
    algorithm = loop.surrogate_search(
      space,
      parts.get("surrogate", oracle(first_digit)),
      everything(space),
      parts.get("acquisition", acquisition.mean),
      config,
    )
    archs = space.all_architectures()[known]
    state = algorithm.init(jax.random.key(0), algorithm.params)
    state, _ = told(algorithm, state, archs, first_digit(archs))
    return asked(algorithm, state)[0], space.all_architectures()

  @parameterized.parameters(0, 4, 10)
  def test_the_best_unseen_are_proposed(self, shortlist):
    """Oracle: the truth of all unseen architectures, sorted; a shortlist that
    holds the batch changes nothing."""
    known = np.arange(0, 25, 3)
    config = dataclasses.replace(CONFIG, shortlist=shortlist)
    proposal, archs = self._after(known, config)
    unseen = np.setdiff1d(np.arange(25), known)
    best = unseen[np.argsort(-first_digit(archs)[unseen])][:4]
    self.assertEqual(rows(proposal.archs), rows(archs[best]))
    self.assertTrue(np.asarray(proposal.valid).all())

  def test_in_their_order_if_nothing_selects(self):
    """Oracle: the first unseen ones."""
    config = dataclasses.replace(CONFIG, selects=False)
    proposal, archs = self._after(np.asarray([0, 2]), config)
    self.assertEqual(rows(proposal.archs), rows(archs[[1, 3, 4, 5]]))

  def test_every_slot_has_its_own_optimism(self):
    """Oracle: the spread is the negative mean, so that slots whose optimism is
    below 1 take the best that is left, and the others the worst."""

    def predict(state, archs):
      del state
      mean = first_digit(archs)
      return Prediction(mean, -mean, None, jnp.zeros((archs.shape[0], 0)))

    surrogate = oracle(first_digit)._replace(predict=predict)
    proposal, archs = self._after(
      np.asarray([7]),
      surrogate=surrogate,
      acquisition=acquisition.upper_confidence_bound,
    )
    order = np.argsort(first_digit(archs))
    # Four slots have 0, 4/9, 16/9 and 4.
    self.assertEqual(rows(proposal.archs), rows(archs[order[[-1, -2, 0, 1]]]))

  @parameterized.parameters(True, False)
  def test_the_last_ones_of_a_small_space(self, fills):
    """Oracle: the two that were not told; other slots are random or empty."""
    config = dataclasses.replace(CONFIG, fills=fills)
    proposal, archs = self._after(np.delete(np.arange(25), [3, 20]), config)
    self.assertEqual(rows(proposal.archs[:2]), rows(archs[[3, 20]]))
    self.assertEqual(proposal.valid.tolist(), [True, True, fills, fills])

  def test_predicted_violations_are_penalized(self):
    """Oracle: what is feasible comes first, then the least violation."""
    surrogate = oracle(
      first_digit, violation_fn=lambda archs: archs[:, 0] - 2.5
    )
    proposal, archs = self._after(np.asarray([0]), surrogate=surrogate)
    feasible = archs[archs[:, 0] <= 2]
    best = feasible[np.argsort(-first_digit(feasible))][:4]
    self.assertEqual(rows(proposal.archs), rows(best))

  def test_the_best_is_penalized_as_predictions_are(self):
    """Oracle: the targets of the row with the best objective, which violates
    least; an acquisition that is told."""
    seen = []

    def told_best(key, prediction, best, optimism):
      seen.append(float(best))
      return acquisition.mean(key, prediction, best, optimism)

    space = few_cells()
    algorithm = loop.surrogate_search(
      space,
      oracle(first_digit, violation_fn=lambda archs: archs[:, 0] + 1.0),
      everything(space),
      told_best,
      dataclasses.replace(CONFIG, num_constraints=1),
    )
    state = algorithm.init(jax.random.key(0), algorithm.params)
    violations = jnp.asarray([[3.0], [1.0], [2.0]])
    archs = space.all_architectures()[:3]
    state, _ = told(
      algorithm, state, archs, [-3.0, -1.0, -2.0], violations=violations
    )
    algorithm.ask(jax.random.key(0), state, algorithm.params)
    objective, violation = state.archive.targets[1]
    np.testing.assert_allclose(seen, [objective - 5 * violation], rtol=1e-5)

  @parameterized.parameters(2, 0)
  def test_random_until_enough_is_known(self, min_observed):
    """Oracle: with two observations needed and one there, not the best."""
    config = dataclasses.replace(CONFIG, min_observed=min_observed)
    proposal, archs = self._after(np.asarray([0]), config)
    best = rows(archs[np.argsort(-first_digit(archs))][:4])
    self.assertEqual(rows(proposal.archs) == best, min_observed == 0)


class TellTest(absltest.TestCase):
  def test_begins_anew_when_patience_ends(self):
    """Oracle: the documented rule, told one equal value after another."""
    config = ednag.Config(patience=2, patience_growth=3.0)
    algorithm = ednag.ednag(SPACE, config)
    state = algorithm.init(jax.random.key(0), algorithm.params)
    restarts = []
    for index in range(4):
      archs = SPACE.from_index(jnp.asarray([index]))
      state, info = told(algorithm, state, archs, [5.0])
      restarts.append(bool(info.restarts))
    self.assertEqual(restarts, [False, False, True, False])
    self.assertEqual(float(state.patience), 6.0)
    self.assertEqual(int(state.archive.num), 1)
    self.assertEqual(int(state.surrogate.process.num), 1)

  def test_a_full_archive_begins_anew(self):
    """Oracle: with patience a search of a full archive forgets it, as its
    documentation says; without it stays."""
    for patience, left in ((60, 0), (0, 9)):
      config = ednag.Config(
        num_initial=5, batch_size=4, archive_size=9, patience=patience
      )
      algorithm = ednag.ednag(SPACE, config)
      state = algorithm.init(jax.random.key(0), algorithm.params)
      archs = SPACE.from_index(jnp.arange(9))
      state, info = told(algorithm, state, archs, jnp.arange(9.0))
      self.assertEqual(int(info.archive_size), 9)
      self.assertEqual(int(state.archive.num), left)

  @pytest.mark.slow
  def test_conditioning_in_blocks_is_conditioning_at_once(self):
    """Oracle: what a process says that was told everything in one go."""
    options = gaussian_process.Config()
    algorithm = ednag.ednag(SPACE, ednag.Config(patience=0, surrogate=options))
    archs = SPACE.from_index(jnp.arange(0, 1200, 40))
    values = jnp.cos(jnp.arange(30.0))
    states = []
    for sizes in ([30], [20, 5, 5]):
      state = algorithm.init(jax.random.key(0), algorithm.params)
      start = 0
      for size in sizes:
        part = slice(start, start + size)
        state, _ = told(algorithm, state, archs[part], values[part])
        start += size
      states.append(state)
    surrogate = gaussian_process.gaussian_process(
      SPACE, options, archive_size=305
    )
    once, blocks = (
      surrogate.predict(
        surrogate.fit(jax.random.key(0), state.surrogate, state.archive),
        archs + 1,
      )
      for state in states
    )
    np.testing.assert_allclose(once.mean, blocks.mean, atol=1e-4)
    np.testing.assert_allclose(once.std, blocks.std, atol=1e-4)


class PartsTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_parts_as_values(self):
    """Oracle: a surrogate that knows the truth needs one batch."""
    table = synthetic.synthetic()
    problem = nagjax.Problem(table)

    def truth(archs):
      return table.query(archs)[table.objective]

    search = nagjax.make_search(
      "ednag",
      problem,
      budget=60,
      surrogate=oracle(truth),
      proposer=random.random(SPACE, random.Config(num_candidates=8000)),
      acquisition=acquisition.mean,
      options={"shortlist": 0},
    )
    result = jax.jit(functools.partial(nagjax.run, search=search))(
      jax.random.key(0)
    )
    best = problem.optimum().objective
    self.assertGreater(float(result.trace.objective[:6].max()), best - 1.0)

  @parameterized.parameters(1, 25, 100, 1000)
  def test_presets_and_rounds_spend_the_budget(self, budget):
    """Oracle: all that is evaluated fits the archive, and suffices."""
    options = loop.preset(optiproxy.Config(), budget)
    config = dataclasses.replace(optiproxy.Config(), **options)
    num = loop.num_rounds(config, None, budget)
    self.assertGreaterEqual(config.archive_size, budget)
    self.assertGreater(config.num_initial + num * config.batch_size, budget)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("num_initial", -1),
    ("batch_size", 0),
    ("archive_size", 9),
    ("shortlist", 3),
    ("max_beta", -1.0),
    ("penalty", float("inf")),
    ("patience", -1),
  )
  def test_bad_values(self, option, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, option):
      dataclasses.replace(CONFIG, **{option: value})

  def test_denoising_is_the_default_of_ednag(self):
    """Oracle: equal programs are equal searches."""
    made = [
      ednag.ednag(SPACE, ednag.Config(num_initial=5, archive_size=20), **parts)
      for parts in ({}, dict(proposer=denoising.denoising(SPACE)))
    ]
    state = made[0].init(jax.random.key(0), made[0].params)
    one, two = (asked(algorithm, state)[0].archs for algorithm in made)
    np.testing.assert_array_equal(one, two)


if __name__ == "__main__":
  absltest.main()
