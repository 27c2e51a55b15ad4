"""Small algorithms and benchmarks whose searches a test can predict."""

import functools
from typing import NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.search import Search
from nagjax.types import Algorithm
from nagjax.types import Proposal
from nagjax.types import Status


class Heard(NamedTuple):
  """What a scripted algorithm was told, and how often it was asked."""

  round: jax.Array
  num_before: jax.Array
  status: jax.Array
  objective: jax.Array


def scripted(archs, valid=None, *, num_initial=0):
  """Proposes `archs[r]` in round `r` and writes down all that it is told."""
  archs = jnp.asarray(archs, jnp.int32)
  rounds, batch_size = archs.shape[:2]
  if valid is None:
    valid = np.ones((rounds, batch_size), bool)
  valid = jnp.asarray(valid)

  def init(key, params):
    del key, params
    return Heard(
      jnp.int32(0),
      jnp.int32(0),
      jnp.full((rounds, batch_size), Status.EMPTY, jnp.int8),
      jnp.zeros((rounds, batch_size)),
    )

  def ask(key, state, params):
    del key, params
    proposal = Proposal(archs[state.round], valid[state.round])
    return proposal, state._replace(round=state.round + 1)

  def tell(state, proposal, evaluation, params):
    del proposal, params
    if evaluation.status.shape[0] != batch_size:
      num = state.num_before + evaluation.status.shape[0]
      return state._replace(num_before=num), ()
    at = state.round - 1
    return state._replace(
      status=state.status.at[at].set(evaluation.status),
      objective=state.objective.at[at].set(evaluation.objective),
    ), ()

  return Algorithm(init, ask, tell, num_initial, batch_size)


class ClimberParams(NamedTuple):
  """`f32[]` chance of a fresh random proposal; `f32[2]` only added up."""

  restart: jax.Array
  weights: jax.Array


class Climber(NamedTuple):
  """The best architecture so far."""

  arch: jax.Array
  objective: jax.Array


class ClimberInfo(NamedTuple):
  """The best objective so far `f32[]`, and a number of proposals `int32[]`."""

  best: jax.Array
  num_valid: jax.Array


@functools.cache
def climber(space, *, batch_size=2, num_initial=3):
  """Mutates the best architecture, or restarts now and then.

  A restart is one of a few architectures, so that repeats are common and
  searches end after different numbers of rounds.
  """

  def init(key, params):
    del key, params
    arch = jnp.zeros(space.num_variables, jnp.int32)
    return Climber(arch, jnp.float32(-jnp.inf))

  def ask(key, state, params):
    # One draw, sliced: short programs compile fast.
    width = space.num_variables
    uniform = jax.random.uniform(key, (batch_size, width + 3))
    options = jnp.asarray(space.cardinalities)[None]
    fresh = (uniform[:, :width] * options).astype(jnp.int32)
    fresh = fresh.at[:, 1:].set(0)
    best = jnp.broadcast_to(state.arch, fresh.shape)
    child = space.mutate(best, uniform[:, width : width + 2])
    restarts = uniform[:, -1:] < params.restart
    archs = jnp.where(restarts, fresh, child)
    return Proposal(archs, jnp.ones(batch_size, bool)), state

  def tell(state, proposal, evaluation, params):
    del params
    best = jnp.argmax(evaluation.objective)
    better = evaluation.objective[best] > state.objective
    state = Climber(
      jnp.where(better, proposal.archs[best], state.arch),
      jnp.where(better, evaluation.objective[best], state.objective),
    )
    return state, ClimberInfo(state.objective, jnp.sum(proposal.valid))

  return Algorithm(init, ask, tell, num_initial, batch_size)


def search_of(algorithm, problem, params=(), *, budget=15, num_rounds=12):
  """A `Search` that no registry made."""
  return Search(algorithm, params, None, problem, budget, num_rounds)


def climber_params(restart=0.5):
  """Params of one climber."""
  return ClimberParams(jnp.float32(restart), jnp.ones(2, jnp.float32))


@struct.dataclass
class Rowless:
  """A benchmark that has keys instead of rows."""

  table: tabular.Tabular

  name = "rowless"
  objective = "valid_accuracy"
  test = "test_accuracy"
  num_rows = None

  @property
  def space(self):
    return self.table.space

  def identities(self, archs):
    return self.space.keys(archs)

  def query(self, archs):
    return self.table.query(archs)

  def report(self, archs):
    return self.table.report(archs)

  def architectures(self):
    return None


def failing(share=0.0, *, rows=(), seed=0):
  """The synthetic benchmark with a share of its rows, or given rows, NaN."""
  base = synthetic.synthetic()
  value = np.array(base.queried["valid_accuracy"])
  value[np.random.default_rng(seed).random(len(value)) < share] = np.nan
  value[list(rows)] = np.nan
  return base.replace(
    queried={**base.queried, "valid_accuracy": jnp.asarray(value)}
  )


def charge(names, valid, failed, budget, paid=()):
  """The rules of the ledger with a Python set.

  Args:
    names: hashable identities in order.
    valid: whether each is an architecture.
    failed: whether each evaluation fails.
    budget: the most distinct names.
    paid: what is known before.

  Returns:
    Statuses, whether each was paid for, and the set of names afterwards.
  """
  known, status, bought = set(paid), [], []
  for name, is_valid, is_failed in zip(names, valid, failed, strict=True):
    bought.append(is_valid and name not in known and len(known) < budget)
    if not is_valid:
      status.append(Status.INVALID)
    elif name in known or bought[-1]:
      fresh = Status.FRESH if bought[-1] else Status.REPEAT
      status.append(Status.INVALID if is_failed else fresh)
      known.add(name)
    else:
      status.append(Status.DENIED)
  return status, bought, known
