"""Tests of nagjax.algorithms.halving."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from nagjax import registry
from nagjax import search as search_lib
from nagjax.algorithms import halving
from nagjax.problem import Problem
from nagjax.types import Fidelities
from nagjax.types import Status
from tests.algorithms import stages

BUDGET = 6


@functools.cache
def swept(name, seeds=(0, 1)):
  """A search and the trace of two seeds."""
  problem = Problem(stages.table())
  search = registry.make_search(name, problem, budget=BUDGET)
  keys = jax.random.split(jax.random.key(0), 3)[np.asarray(seeds)]
  return search, search_lib.sweep(keys, search).trace


class ScheduleTest(parameterized.TestCase):
  def test_brackets_of_powers(self):
    """Oracle: table 1 of the Hyperband paper: R = 81, reduction 3."""
    costs = (1, 3, 9, 27, 81)
    fidelities = Fidelities(tuple(map(str, costs)), costs, False)
    found = halving.hyperband_schedule(halving.Config(fidelities=fidelities))
    sizes = [
      *([81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]),
    ]
    expected = [
      place
      for first, bracket in enumerate(sizes)
      for place, num in enumerate(bracket, first)
      for _ in range(num)
    ]
    np.testing.assert_array_equal(found.fidelity, expected)
    self.assertEqual(found.cost, sum(costs[place] for place in expected))
    begins = np.flatnonzero((found.rank == -1) & (found.slot == 0))
    self.assertLen(begins, 5)

  @parameterized.parameters(True, False)
  def test_the_largest_bracket(self, continues):
    """Oracle: its cost counted by hand; one more would exceed the budget."""
    fidelities = Fidelities(("1", "3", "10"), (1, 3, 10), continues)
    config = halving.Config(fidelities=fidelities, budget=10)
    found = halving.halving_schedule(config)
    num = int((found.fidelity == 0).sum())

    def cost(num):
      later = (2, 7) if continues else (3, 10)
      return num + num // 3 * later[0] + num // 10 * later[1]

    self.assertEqual(found.cost, cost(num))
    self.assertLessEqual(cost(num), 100)
    self.assertGreater(cost(num + 1), 100)

  def test_small_budgets_and_tables_begin_higher(self):
    """Oracle: one full evaluation is one; a table of nine has nine rows."""
    fidelities = Fidelities(("1", "50"), (1, 50), False)
    one = halving.halving_schedule(
      halving.Config(fidelities=fidelities, budget=1)
    )
    np.testing.assert_array_equal(one.fidelity, [1])
    few = halving.halving_schedule(
      halving.Config(fidelities=fidelities, budget=9, num_rows=9)
    )
    self.assertEqual(few.cost, 9 * 50)
    alone = halving.hyperband_schedule(halving.Config(budget=3))
    self.assertEqual((alone.cost, alone.rank.tolist()), (1, [-1]))

  def test_refused(self):
    """Oracle: the message."""
    with self.assertRaisesRegex(ValueError, "reduction must be at least 2"):
      halving.Config(reduction=1)


class SearchTest(parameterized.TestCase):
  @parameterized.parameters("successive_halving", "hyperband")
  def test_the_best_of_a_rung_are_promoted(self, name):
    """Oracle: NumPy sorts every rung that the trace shows, by the table."""
    search, traces = swept(name)
    schedule = {
      "successive_halving": halving.halving_schedule,
      "hyperband": halving.hyperband_schedule,
    }[name](search.config)
    for seed in range(2):
      trace = jax.tree.map(
        lambda a, s=seed: a[s, :, 0], traces._replace(charged=None)
      )
      used = np.flatnonzero(trace.status != Status.EMPTY)
      place = used % len(schedule.slot)
      np.testing.assert_array_equal(
        trace.fidelity[used], schedule.fidelity[place]
      )
      rung, before, num_promoted = [], [], 0
      for step, at in zip(used, place, strict=True):
        if schedule.slot[at] == 0:
          before, rung = rung, []
        arch = tuple(trace.archs[step])
        if schedule.rank[at] >= 0 and trace.status[step] != Status.INVALID:
          values = sorted((value for value, _ in before), reverse=True)
          wanted = values[schedule.rank[at]]
          self.assertIn((wanted, arch), before)
          num_promoted += 1
        rung.append((trace.objective[step], arch))
      self.assertGreater(num_promoted, 3)
      self.assertLessEqual(trace.cost.sum(), BUDGET * 30)
      self.assertGreater(trace.cost.sum(), (BUDGET - 1) * 30)
      new = schedule.rank[place] < 0
      drawn = [tuple(arch) for arch in trace.archs[used][new]]
      self.assertLen(set(drawn), len(drawn))

  @pytest.mark.slow
  def test_a_seed_depends_on_its_key_alone(self):
    """Oracle: the same seed beside another one."""
    other = jax.tree.map(lambda a: a[:1], swept("hyperband", (1, 2))[1])
    same = jax.tree.map(lambda a: a[1:], swept("hyperband")[1])
    jax.tree.map(
      np.testing.assert_array_equal,
      search_lib.tidy(other),
      search_lib.tidy(same),
    )


if __name__ == "__main__":
  absltest.main()
