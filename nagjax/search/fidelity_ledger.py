"""The ledger of searches whose queries name a fidelity: it charges their cost.

What is bought is an architecture at a fidelity. It costs what `Fidelities` say:
where cheaper ones are stages of the same training, what is known at one is
known at all cheaper ones for nothing, and a dearer one costs the rest. Costs
are whole numbers, so that sums are exact; a budget is in full evaluations.
Proposals are charged one after another in their order, and what the rest of the
budget cannot pay is denied. A search ends when all that it asks for in a round
is denied, even if the rest would pay for something cheaper.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.types import Fidelities
from nagjax.types import Status

MAX_FIDELITIES = 32
"""One bit each."""


class FidelityLedger(NamedTuple):
  """What one search has paid for.

  Attributes:
    known: `uint32[num_rows]`, a bit for each fidelity that was paid for.
    spent: `int32[]`, in the unit of the costs.
    charged: `int32[]`, number of evaluations paid for.
    closed_at: `int32[]`, the limit under which all that was asked for last was
      denied, which ends a search; 0 if there was none.
  """

  known: jax.Array
  spent: jax.Array
  charged: jax.Array
  closed_at: jax.Array


def init(num_rows: int) -> FidelityLedger:
  """Returns an empty ledger for a benchmark of so many rows."""
  zero = jnp.int32(0)
  return FidelityLedger(jnp.zeros(num_rows, jnp.uint32), zero, zero, zero)


def limit_of(budget: int, fidelities: Fidelities) -> int:
  """A budget of full evaluations in the unit of the costs.

  Example:
    >>> limit_of(10, Fidelities(("12", "200"), (12, 200)))
    2000
  """
  return budget * fidelities.costs[-1]


def has_ended(ledger: FidelityLedger, limit: int) -> jax.Array:
  """Whether a search with this limit is over, `bool[]`.

  Example:
    >>> bool(has_ended(init(num_rows=100), limit=2000))
    False
  """
  return (ledger.spent >= limit) | (ledger.closed_at >= limit)


def charge(
  ledger: FidelityLedger,
  rows: jax.Array,
  fidelity: jax.Array,
  valid: jax.Array,
  limit: int,
  fidelities: Fidelities,
) -> tuple[jax.Array, jax.Array, FidelityLedger]:
  """Decides what becomes of each proposal and pays for the fresh ones.

  Args:
    ledger: what has been paid for.
    rows: `int32[B]` of the benchmark.
    fidelity: `int32[B]` places in `fidelities`.
    valid: `bool[B]` whether each is an architecture.
    limit: the most that may be spent, in the unit of the costs.
    fidelities: what they cost.

  Returns:
    `int8[B]` members of `Status`, `int32[B]` what was paid for each, and the
    ledger afterwards.

  Example:
    >>> fidelities = Fidelities(("12", "200"), (12, 200))
    >>> pay = jax.jit(charge, static_argnums=(4, 5))
    >>> rows, at = jnp.asarray([7, 7]), jnp.asarray([0, 1])
    >>> valid = jnp.asarray([True, True])
    >>> _, cost, ledger = pay(init(100), rows, at, valid, 2000, fidelities)
    >>> cost.tolist(), int(ledger.spent)
    ([12, 188], 200)
  """
  costs = jnp.asarray(fidelities.costs, jnp.int32)
  is_open = ~has_ended(ledger, limit)
  paid_before = jnp.concatenate([jnp.zeros(1, jnp.int32), costs])

  def one(
    ledger: FidelityLedger, proposed: tuple[jax.Array, ...]
  ) -> tuple[FidelityLedger, tuple[jax.Array, jax.Array]]:
    row, at, is_valid = proposed
    known = ledger.known[row]
    bit = jnp.uint32(1) << at.astype(jnp.uint32)
    bits = bit
    cost = costs[at]
    if fidelities.continues:
      # Those that are known are the cheapest ones, up to the dearest.
      cost -= paid_before[jax.lax.population_count(known).astype(jnp.int32)]
      bits |= bit - 1
    repeats = (known & bit) != 0
    buys = is_valid & ~repeats & is_open & (ledger.spent + cost <= limit)
    cost = jnp.where(buys, cost, 0)
    status = jnp.where(repeats, Status.REPEAT, Status.DENIED)
    status = jnp.where(buys, Status.FRESH, status)
    status = jnp.where(is_valid, status, Status.INVALID).astype(jnp.int8)
    bits = jnp.where(buys, bits, jnp.uint32(0))
    ledger = ledger._replace(
      known=ledger.known.at[row].set(known | bits),
      spent=ledger.spent + cost,
      charged=ledger.charged + buys.astype(jnp.int32),
    )
    return ledger, (status, cost)

  ledger, (status, cost) = jax.lax.scan(one, ledger, (rows, fidelity, valid))
  closes = jnp.any(status == Status.DENIED)
  closes &= ~jnp.any((status == Status.FRESH) | (status == Status.REPEAT))
  closed_at = jnp.where(closes, jnp.int32(limit), ledger.closed_at)
  return status, cost, ledger._replace(closed_at=closed_at)
