"""The ledger: which rows a search has paid for, and what it may still buy.

A query is a distinct row of the benchmark. The ledger charges each distinct row
once, gives repeats for nothing, and denies what exceeds the budget in the order
of the proposals. Where the benchmark has rows the ledger is a bitmap; else it
is a sorted array of keys of static size `budget`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.types import Status

_WORD = 32
_MAX_PAIRWISE = 128
"""Batches up to this size are compared pair by pair, larger ones are sorted."""


class Ledger(NamedTuple):
  """Rows that one search has paid for.

  Attributes:
    paid: `uint32[W]`, one bit for each row, or `uint32[budget, 2]` sorted keys,
      filled up with the largest key.
    charged: `int32[]`, number of distinct rows paid for.
  """

  paid: jax.Array
  charged: jax.Array


def init(num_rows: int | None, budget: int) -> Ledger:
  """Returns an empty ledger.

  Args:
    num_rows: rows of the benchmark; None for a ledger of keys.
    budget: the most distinct rows that a search may read.

  Example:
    >>> init(num_rows=100, budget=20).paid.shape  # Bits of 32 rows each.
    (4,)
    >>> init(num_rows=None, budget=20).paid.shape  # Keys.
    (20, 2)
  """
  if num_rows is None:
    paid = jnp.full((budget, 2), 0xFFFFFFFF, jnp.uint32)
  else:
    paid = jnp.zeros(-(-num_rows // _WORD), jnp.uint32)
  return Ledger(paid, jnp.int32(0))


def charge(
  ledger: Ledger, identities: jax.Array, valid: jax.Array, budget: int
) -> tuple[jax.Array, Ledger]:
  """Decides what becomes of each proposal and pays for the fresh ones.

  Args:
    ledger: what has been paid for.
    identities: `int32[B]` rows, or `uint32[B, 2]` keys.
    valid: `bool[B]` whether each row is an architecture.
    budget: the most distinct rows that a search may read.

  Returns:
    `int8[B]` members of `Status` and the ledger afterwards.

  Example:
    >>> rows, valid = jnp.asarray([7, 7, 8, 9]), jnp.asarray([True] * 4)
    >>> pay = jax.jit(charge, static_argnums=3)
    >>> status, ledger = pay(init(num_rows=100, budget=2), rows, valid, 2)
    >>> [Status(s).name for s in status.tolist()], int(ledger.charged)
    (['FRESH', 'REPEAT', 'FRESH', 'DENIED'], 2)
  """
  first = _first_occurrence(identities, valid)
  is_first = first == jnp.arange(valid.shape[0])
  known = valid & _contains(ledger, identities)
  new = valid & ~known & is_first
  granted = new & (ledger.charged + jnp.cumsum(new) <= budget)
  status = jnp.full(valid.shape, Status.DENIED, jnp.int8)
  status = jnp.where(known | granted[first], Status.REPEAT, status)
  status = jnp.where(granted, Status.FRESH, status)
  status = jnp.where(valid, status, Status.INVALID).astype(jnp.int8)
  charged = ledger.charged + jnp.sum(granted, dtype=jnp.int32)
  return status, Ledger(_insert(ledger, identities, granted), charged)


def _contains(ledger: Ledger, identities: jax.Array) -> jax.Array:
  if ledger.paid.ndim == 1:
    word = ledger.paid[identities // _WORD]
    return (word >> _bit(identities)) & 1 == 1
  position = _search(ledger.paid, identities)
  found = ledger.paid[jnp.minimum(position, ledger.paid.shape[0] - 1)]
  inside = position < ledger.charged
  return inside & jnp.all(found == identities, axis=-1)


def _insert(
  ledger: Ledger, identities: jax.Array, granted: jax.Array
) -> jax.Array:
  if ledger.paid.ndim == 1:
    # Granted rows are distinct and unpaid: adding their bits is setting them.
    bits = jnp.where(granted, jnp.uint32(1) << _bit(identities), 0)
    return ledger.paid.at[identities // _WORD].add(bits.astype(jnp.uint32))
  new = jnp.where(granted[:, None], identities, jnp.uint32(0xFFFFFFFF))
  high, low = jnp.concatenate([ledger.paid, new]).T
  merged = jnp.stack(jax.lax.sort((high, low), num_keys=2), axis=-1)
  return merged[: ledger.paid.shape[0]]


def _bit(rows: jax.Array) -> jax.Array:
  return (rows % _WORD).astype(jnp.uint32)


def _search(paid: jax.Array, keys: jax.Array) -> jax.Array:
  """First position whose key is not below each of `keys`, `int32[B]`."""
  low = jnp.zeros(keys.shape[:-1], jnp.int32)
  high = jnp.full(keys.shape[:-1], paid.shape[0], jnp.int32)

  def halve(
    _: jax.Array, bounds: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    low, high = bounds
    middle = (low + high) // 2
    at = paid[jnp.minimum(middle, paid.shape[0] - 1)]
    below = (at[:, 0] < keys[:, 0]) | (
      (at[:, 0] == keys[:, 0]) & (at[:, 1] < keys[:, 1])
    )
    active = low < high
    low = jnp.where(active & below, middle + 1, low)
    return low, jnp.where(active & ~below, middle, high)

  low, _ = jax.lax.fori_loop(0, paid.shape[0].bit_length(), halve, (low, high))
  return low


def _first_occurrence(identities: jax.Array, valid: jax.Array) -> jax.Array:
  """Position of the first valid equal proposal of each, `int32[B]`."""
  batch = valid.shape[0]
  position = jnp.arange(batch, dtype=jnp.int32)
  if batch <= 1:
    return position
  if batch <= _MAX_PAIRWISE:
    same = identities[:, None] == identities[None]
    if identities.ndim == 2:
      same = jnp.all(same, axis=-1)
    earlier = jnp.where(same & valid[None], position[None], batch)
    return jnp.minimum(jnp.min(earlier, axis=-1), position)
  columns = (identities,) if identities.ndim == 1 else tuple(identities.T)
  *sorted_columns, order = jax.lax.sort(
    ((~valid).astype(jnp.int32), *columns, position),
    num_keys=1 + len(columns),
    is_stable=True,
  )
  starts = jnp.zeros(batch, bool).at[0].set(True)
  for column in sorted_columns:
    starts = starts.at[1:].set(starts[1:] | (column[1:] != column[:-1]))
  run_start = jax.lax.cummax(jnp.where(starts, position, 0))
  first = jnp.zeros(batch, jnp.int32).at[order].set(order[run_start])
  return jnp.where(valid, first, position)
