"""Tests of nagjax.search.ledger against a Python set."""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.search import ledger as ledger_lib
from nagjax.types import Status
from tests.search import toys

NUM_ROWS = 70
LARGE = 2**32 - 1


def as_keys(rows):
  """Distinct two-word keys of some rows, in no order, the largest included."""
  rng = np.random.default_rng(1)
  table = rng.integers(0, 2**32, (NUM_ROWS, 2), dtype=np.uint64)
  table[:4] = [[0, 0], [0, LARGE], [LARGE, 0], [LARGE, LARGE - 1]]
  table[10:40, 0] = 5  # Equal first words: the second one decides.
  table[40:50] = table[10:20, ::-1]
  return table[rows].astype(np.uint32)


FORMS = {
  "bitmap": (NUM_ROWS, lambda rows: rows.astype(np.int32)),
  "keys": (None, as_keys),
}


@functools.partial(jax.jit, static_argnums=3)
def charge(ledger, identities, valid, budget):
  return ledger_lib.charge(ledger, identities, valid, budget)


class LedgerTest(parameterized.TestCase):
  @parameterized.parameters(
    *itertools.product(("bitmap", "keys"), (1, 16, 128, 129), (23,)),
    *itertools.product(("bitmap", "keys"), (16,), (1,)),
  )
  def test_random_batches(self, form, size, budget):
    """Oracle: a Python set, over rounds with duplicates and invalid rows."""
    num_rows, identities = FORMS[form]
    rng = np.random.default_rng(size)
    ledger, paid = ledger_lib.init(num_rows, budget), set()
    seen = set()
    for _ in range(30 if size == 1 else 4):
      rows = rng.integers(0, rng.choice([5, NUM_ROWS]), size)
      valid = rng.random(size) < 0.8
      status, ledger = charge(
        ledger, jnp.asarray(identities(rows)), jnp.asarray(valid), budget
      )
      expected, _, paid = toys.charge(
        rows.tolist(), valid, [False] * size, budget, paid
      )
      np.testing.assert_array_equal(status, expected)
      self.assertEqual(status.dtype, jnp.int8)
      self.assertEqual(int(ledger.charged), len(paid))
      seen |= set(expected)
    if size > 1:
      self.assertEqual(seen, set(Status) - {Status.EMPTY})

  @parameterized.parameters("bitmap", "keys")
  def test_the_ledger_holds_what_was_paid(self, form):
    """Oracle: repeats after a full ledger, row by row."""
    num_rows, identities = FORMS[form]
    rows = np.asarray([3, 3, 64, 31, 32, 0, 69, 1])
    ledger = ledger_lib.init(num_rows, 6)
    valid = jnp.ones(8, bool)
    _, ledger = charge(ledger, jnp.asarray(identities(rows)), valid, 6)
    every = jnp.asarray(identities(np.arange(NUM_ROWS)))
    status, after = charge(ledger, every, jnp.ones(NUM_ROWS, bool), 6)
    repeats = np.flatnonzero(np.asarray(status) == Status.REPEAT)
    self.assertEqual(repeats.tolist(), [0, 3, 31, 32, 64, 69])
    np.testing.assert_array_equal(after.paid, ledger.paid)
    self.assertEqual(int(after.charged), 6)

  @parameterized.parameters("bitmap", "keys")
  def test_surplus_is_denied_in_order_and_its_duplicates_too(self, form):
    """Oracle: by hand."""
    num_rows, identities = FORMS[form]
    rows = np.asarray([7, 7, 8, 9, 8, 9, 7])
    status, ledger = charge(
      ledger_lib.init(num_rows, 2),
      jnp.asarray(identities(rows)),
      jnp.ones(7, bool),
      2,
    )
    fresh, repeat, denied = Status.FRESH, Status.REPEAT, Status.DENIED
    self.assertEqual(
      status.tolist(), [fresh, repeat, fresh, denied, repeat, denied, repeat]
    )
    self.assertEqual(int(ledger.charged), 2)

  def test_an_invalid_row_is_free_and_hides_nothing(self):
    """Oracle: by hand; its identity may be anything, even out of range."""
    rows = jnp.asarray([4, 4, -1, 10_000, 4], jnp.int32)
    valid = jnp.asarray([False, True, False, False, True])
    status, ledger = charge(ledger_lib.init(NUM_ROWS, 5), rows, valid, 5)
    invalid = Status.INVALID
    self.assertEqual(
      status.tolist(), [invalid, Status.FRESH, invalid, invalid, Status.REPEAT]
    )
    self.assertEqual(int(ledger.charged), 1)
    self.assertEqual(int(np.sum(np.asarray(ledger.paid) != 0)), 1)

  @parameterized.parameters("bitmap", "keys")
  def test_an_empty_batch_changes_nothing(self, form):
    """Oracle: the ledger before."""
    num_rows, identities = FORMS[form]
    ledger = ledger_lib.init(num_rows, 3)
    empty = jnp.asarray(identities(np.zeros(0, int)))
    status, after = charge(ledger, empty, jnp.zeros(0, bool), 3)
    self.assertEqual(status.shape, (0,))
    jax.tree.map(np.testing.assert_array_equal, ledger, after)

  @parameterized.parameters("bitmap", "keys")
  def test_shapes_and_types_are_stable(self, form):
    """Oracle: jax.eval_shape of the ledger before and after."""
    num_rows, identities = FORMS[form]
    ledger = ledger_lib.init(num_rows, 3)
    rows = jnp.asarray(identities(np.arange(4)))
    _, after = jax.eval_shape(
      lambda b: ledger_lib.charge(b, rows, jnp.ones(4, bool), 3), ledger
    )
    for a, b in zip(ledger, after, strict=True):
      self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype))
      self.assertFalse(b.weak_type)

  def test_lanes_are_independent(self):
    """Oracle: a loop over lanes instead of vmap."""
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.integers(0, NUM_ROWS, (5, 12)), jnp.int32)
    valid = jnp.asarray(rng.random((5, 12)) < 0.7)
    ledger = ledger_lib.init(NUM_ROWS, 6)
    status, after = jax.vmap(lambda r, v: ledger_lib.charge(ledger, r, v, 6))(
      rows, valid
    )
    for lane in range(5):
      one, single = charge(ledger, rows[lane], valid[lane], 6)
      np.testing.assert_array_equal(status[lane], one)
      np.testing.assert_array_equal(after.paid[lane], single.paid)


if __name__ == "__main__":
  absltest.main()
