"""Tests of nagjax.algorithms.low_fidelity."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from nagjax import registry
from nagjax import search as search_lib
from nagjax.algorithms import low_fidelity
from nagjax.problem import Problem
from nagjax.types import Status
from tests.algorithms import stages

BUDGET = 8
PROMOTE = 3
NAMES = ("random", "regularized_evolution")


@functools.cache
def swept(name):
  """A search at 3 of 30, and its trace."""
  search = registry.make_search(
    name,
    Problem(stages.table()),
    budget=BUDGET,
    fidelity="3",
    promote=PROMOTE,
    options=registry.algorithm_spec(name).tiny,
  )
  keys = jax.random.split(jax.random.key(0), 2)
  return search, search_lib.sweep(keys, search).trace


class LowFidelityTest(parameterized.TestCase):
  @parameterized.parameters(*NAMES)
  def test_the_first_phase_is_an_ordinary_search(self, name):
    """Oracle: the search of a table whose only column is the low one."""
    search, trace = swept(name)
    table = stages.table()
    alone = table.replace(
      queried={
        **table.queried,
        "valid_accuracy": table.lower["valid_accuracy"][1],
      },
      fidelities=None,
      lower={},
    )
    ordinary = registry.make_search(
      name,
      Problem(alone),
      budget=search.config.num_low,
      options=registry.algorithm_spec(name).tiny,
    )
    keys = jax.random.split(jax.random.key(0), 2)
    expected = search_lib.sweep(keys, ordinary).trace
    for seed in range(2):
      low = trace.fidelity[seed] == 1
      low &= trace.status[seed] != Status.EMPTY
      num = int(low.all(axis=1).sum())
      self.assertGreater(num, 2)
      for field in ("archs", "status", "objective", "charged"):
        ours = getattr(trace, field)[seed][:num]
        theirs = getattr(expected, field)[seed][:num]
        used = expected.status[seed][:num] != Status.DENIED
        used = used.all(axis=1)
        np.testing.assert_array_equal(ours[used], theirs[used], field)

  @parameterized.parameters(*NAMES)
  @pytest.mark.slow
  def test_the_best_are_promoted(self, name):
    """Oracle: NumPy sorts what was found; costs summed up."""
    search, traces = swept(name)
    for seed in range(2):
      trace = jax.tree.map(lambda a, s=seed: a[s], traces)
      low = trace.paid & (trace.fidelity == 1)
      full = trace.paid & (trace.fidelity == 3)
      values = {
        tuple(arch): value
        for arch, value in zip(
          trace.archs[low], trace.objective[low], strict=True
        )
      }
      promoted = [values[tuple(arch)] for arch in trace.archs[full]]
      best = sorted(values.values(), reverse=True)[: len(promoted)]
      self.assertEqual(promoted, best)
      self.assertGreaterEqual(len(promoted), PROMOTE)
      self.assertLessEqual(low.sum(), search.config.num_low)
      # A training goes on from where it ended before.
      np.testing.assert_array_equal(trace.cost[full], 27)
      self.assertLessEqual(trace.cost.sum(), BUDGET * 30)
      self.assertGreater(trace.cost.sum() + 27, BUDGET * 30)

  @parameterized.named_parameters(
    ("unknown", dict(fidelity="4"), "one of 1, 3, 10, below"),
    ("full", dict(fidelity="30"), "one of 1, 3, 10, below"),
    ("no_promotion", dict(fidelity="3", promote=0), "at least 1, got 0"),
    ("all", dict(fidelity="3", promote=9), "pays nothing at fidelity 3"),
    ("alone", dict(promote=2), "needs a fidelity"),
    ("design", dict(fidelity="10", promote=7), "initial design"),
  )
  def test_refused(self, changes, words):
    """Oracle: one line that says what was expected."""
    problem = Problem(stages.table())
    with self.assertRaisesRegex(ValueError, words) as raised:
      registry.make_search(
        "regularized_evolution", problem, budget=BUDGET, **changes
      )
    self.assertNotIn("\n", str(raised.exception))

  def test_problems_and_algorithms_without_one(self):
    """Oracle: several objectives, one fidelity, all fidelities."""
    table = stages.table()
    several = Problem(table, ("valid_accuracy", "-params_m"))
    for problem in (several, Problem(table, ("-params_m",))):
      with self.assertRaisesRegex(ValueError, "none there"):
        registry.make_search("random", problem, budget=9, fidelity="3")
    with self.assertRaisesRegex(ValueError, "asks for no fidelities itself"):
      registry.make_search("hyperband", Problem(table), budget=9, fidelity="3")

  def test_half_of_the_budget_is_kept(self):
    """Oracle: by hand: 5 full evaluations, of which 4 are partly paid."""
    plan = low_fidelity.plan(stages.FIDELITIES, "3", None, 9, 10**6)
    self.assertEqual((plan.promote, plan.place), (4, 1))
    self.assertEqual(plan.num_low, (9 * 30 - 4 * 27) // 3)
    few = low_fidelity.plan(stages.FIDELITIES, "3", None, 9, 20)
    self.assertEqual(few.num_low, 20)


if __name__ == "__main__":
  absltest.main()
