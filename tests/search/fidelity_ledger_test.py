"""Tests of nagjax.search.fidelity_ledger."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.search import fidelity_ledger
from nagjax.types import Fidelities
from nagjax.types import Status

COSTS = (1, 3, 10)
ROWS = 5
LIMIT = 40


def by_hand(state, proposed, continues):
  """A ledger of Python: what is known, what is spent, whether it is over."""
  known, spent, over = state
  statuses, paid = [], []
  for row, at, valid in proposed:
    if not valid:
      status, cost = Status.INVALID, 0
    elif (row, at) in known:
      status, cost = Status.REPEAT, 0
    else:
      have = [COSTS[f] for r, f in known if r == row] if continues else []
      cost = COSTS[at] - max(have, default=0)
      if over or spent + cost > LIMIT:
        status, cost = Status.DENIED, 0
      else:
        status = Status.FRESH
        lowest = 0 if continues else at
        known |= {(row, f) for f in range(lowest, at + 1)}
    spent += cost
    statuses.append(status)
    paid.append(cost)
  bought = Status.FRESH in statuses or Status.REPEAT in statuses
  over |= spent >= LIMIT or (Status.DENIED in statuses and not bought)
  return statuses, paid, (known, spent, over)


class ChargeTest(parameterized.TestCase):
  @parameterized.parameters(True, False)
  def test_costs_repeats_and_the_budget(self, continues):
    """Oracle: a ledger of Python sets over random batches."""
    fidelities = Fidelities(("a", "b", "c"), COSTS, continues)
    charge = jax.jit(
      functools.partial(
        fidelity_ledger.charge, limit=LIMIT, fidelities=fidelities
      )
    )
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
      ledger, state = fidelity_ledger.init(ROWS), (set(), 0, False)
      for _ in range(6):
        batch = rng.integers([0, 0, 0], [ROWS, 3, 8], (4, 3))
        rows, at, valid = batch[:, 0], batch[:, 1], batch[:, 2] > 0
        found, cost, ledger = charge(
          ledger, jnp.asarray(rows), jnp.asarray(at), jnp.asarray(valid)
        )
        statuses, paid, state = by_hand(
          state, zip(rows, at, valid, strict=True), continues
        )
        np.testing.assert_array_equal(found, statuses)
        np.testing.assert_array_equal(cost, paid)
        self.assertEqual(int(ledger.spent), state[1])
        self.assertLessEqual(state[1], LIMIT)
        over = bool(fidelity_ledger.has_ended(ledger, LIMIT))
        self.assertEqual(over, state[2])
        seen |= set(statuses)
    self.assertLen(seen, 4)

  def test_a_larger_budget_goes_on(self):
    """Oracle: what was denied under one limit is no end under another."""
    ledger = fidelity_ledger.init(2)._replace(closed_at=jnp.int32(10))
    self.assertTrue(fidelity_ledger.has_ended(ledger, 10))
    self.assertFalse(fidelity_ledger.has_ended(ledger, 20))
    self.assertTrue(
      fidelity_ledger.has_ended(ledger._replace(spent=jnp.int32(20)), 20)
    )


if __name__ == "__main__":
  absltest.main()
