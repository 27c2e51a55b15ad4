"""Tests of searches whose proposals name fidelities."""

import functools
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import search as search_lib
from nagjax.benchmarks import tabular
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import CostedEvaluation
from nagjax.types import CostedProposal
from nagjax.types import Fidelities
from nagjax.types import Status
from tests.search import toys

FIDELITIES = Fidelities(("1", "4", "10"), (1, 4, 10), True)
SPACE = SearchSpace("toy", (4, 3, 2))
NUM = 24


@functools.cache
def table(continues=True):
  """Random values at every fidelity; two rows fail at the lowest."""
  rng = np.random.default_rng(1)
  lower = rng.random((2, NUM))
  lower[0, [3, 7]] = np.nan
  return tabular.Tabular(
    queried={"accuracy": rng.random(NUM), "cost_m": rng.random(NUM)},
    reported={"test": rng.random(NUM)},
    test="test",
    space=SPACE,
    fidelities=FIDELITIES._replace(continues=continues),
    lower={"accuracy": lower},
  )


def wanderer(num_initial=3):
  """Proposes random rows at random fidelities; keeps what it was told."""

  def init(key, params):
    del key, params
    return jnp.int32(0)

  def ask(key, state, params):
    del params
    archs = SPACE.sample(key, 2)
    fidelity = jnp.sum(archs, axis=-1).astype(jnp.int32) % 3
    return CostedProposal(archs, jnp.ones(2, bool), fidelity), state

  def tell(state, proposal, evaluation, params):
    del state, proposal, params
    assert isinstance(evaluation, CostedEvaluation)
    return evaluation.spent, evaluation.spent

  return Algorithm(init, ask, tell, num_initial, 2, fidelity=1)


class TableTest(parameterized.TestCase):
  def test_every_row_at_its_fidelity(self):
    """Oracle: the arrays; columns without fidelities have one value."""
    archs = jnp.asarray(SPACE.all_architectures())
    fidelity = np.arange(NUM) % 3
    found = table().query_at(archs, jnp.asarray(fidelity))
    rows = np.asarray(SPACE.index(archs))
    full = np.asarray(table().queried["accuracy"])
    lower = np.asarray(table().lower["accuracy"])
    whole = np.concatenate([lower, full[None]])
    np.testing.assert_array_equal(found["accuracy"], whole[fidelity, rows])
    np.testing.assert_array_equal(
      found["cost_m"], table().query(archs)["cost_m"]
    )

  def test_rows_of_a_part_keep_their_fidelities(self):
    """Oracle: the arrays, in the order in which they came."""
    archs = SPACE.all_architectures()[[5, 1, 17]]
    lower = np.arange(6.0).reshape(2, 3)
    part = tabular.Tabular(
      queried={"accuracy": [7.0, 8.0, 9.0]},
      space=SPACE,
      archs=archs,
      fidelities=FIDELITIES,
      lower={"accuracy": lower},
    )
    for at in (0, 1):
      found = part.query_at(jnp.asarray(archs), jnp.full(3, at))
      np.testing.assert_array_equal(found["accuracy"], lower[at])
    again = part.replace(name="other")
    np.testing.assert_array_equal(
      again.lower["accuracy"], part.lower["accuracy"]
    )

  @parameterized.named_parameters(
    ("no_fidelities", dict(fidelities=None), "needs fidelities"),
    ("one", dict(fidelities=Fidelities(("1",), (1,))), "two distinct names"),
    ("same", dict(fidelities=Fidelities(("1", "1"), (1, 2))), "distinct names"),
    *(
      (f"costs_{place}", dict(fidelities=Fidelities(("a", "b", "c"), costs)))
      + ("rising whole numbers from 1 on",)
      for place, costs in enumerate(
        ((0, 1, 2), (-1, 1, 2), (1, 1, 2), (1, 2), (1, 2.5, 3), (3, 2, 1))
      )
    ),
    ("no_columns", dict(lower={}), "queried columns at lower fidelities"),
    ("unknown", dict(lower={"x": np.ones((2, NUM))}), "at lower fidelities"),
    ("rows", dict(lower={"accuracy": np.ones((3, NUM))}), "a row for each of"),
    ("length", dict(lower={"accuracy": np.ones((2, 9))}), "must hold 24"),
  )
  def test_refused(self, changes, words):
    """Oracle: one line that says what was expected."""
    with self.assertRaisesRegex(ValueError, words) as raised:
      table().replace(**changes)
    self.assertNotIn("\n", str(raised.exception))

  def test_fidelities_of_a_problem(self):
    """Oracle: an objective has them or not."""
    self.assertEqual(Problem(table()).fidelities, FIDELITIES)
    self.assertIsNone(Problem(table(), ("-cost_m",)).fidelities)
    self.assertIsNone(Problem(toys.failing()).fidelities)


class LoopTest(parameterized.TestCase):
  def assert_same(self, a, b):
    """But for rounds after all searches have ended."""
    a, b = search_lib.tidy(a), search_lib.tidy(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)

  @parameterized.parameters(True, False)
  def test_what_is_told_and_paid(self, continues):
    """Oracle: the table, and the costs summed up by Python."""
    problem = Problem(table(continues))
    search = toys.search_of(wanderer(), problem, budget=6, num_rounds=40)
    keys = jax.random.split(jax.random.key(0), 3)
    trace = search_lib.sweep(keys, search).trace
    archs = jnp.asarray(trace.archs)
    rows = np.asarray(SPACE.index(archs))
    whole = np.concatenate(
      [
        np.asarray(problem.benchmark.lower["accuracy"]),
        np.asarray(problem.benchmark.queried["accuracy"])[None],
      ]
    )
    used = trace.status != Status.EMPTY
    value = whole[trace.fidelity, rows]
    bought = np.isin(trace.status, (Status.FRESH, Status.REPEAT))
    np.testing.assert_array_equal(trace.objective[bought], value[bought])
    self.assertTrue(np.isnan(value[used & (trace.status == 3)]).all())
    np.testing.assert_array_equal(
      np.isfinite(trace.test), bought & (trace.fidelity == 2)
    )
    spent = trace.cost.sum(axis=(1, 2))
    self.assertTrue((spent <= 60).all() and (spent > 45).all(), spent)
    np.testing.assert_array_equal(trace.cost > 0, trace.paid)
    self.assertTrue((trace.fidelity[:, :1][used[:, :1]] == 1).all())
    np.testing.assert_array_equal(
      trace.charged, trace.paid.sum(axis=2).cumsum(axis=1)
    )

  @pytest.mark.slow
  def test_seeds_halves_and_files(self):
    """Oracle: one run in one go; a sweep of fewer seeds; what was saved."""
    problem = Problem(table())
    search = toys.search_of(wanderer(), problem, budget=6, num_rounds=12)
    keys = jax.random.split(jax.random.key(0), 3)
    many = search_lib.sweep(keys, search, rounds_per_call=5).trace
    fewer = search_lib.sweep(keys[:1], search).trace
    self.assert_same(jax.tree.map(lambda a: a[:1], many), fewer)
    first = search_lib.start(keys[0], search)
    half = search_lib.advance(first.state, search, num_rounds=6)
    path = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory()), "state.npz"
    )
    search_lib.save(path, half.state)
    state = search_lib.load(path, half.state)
    rest = search_lib.advance(state, search, num_rounds=6)
    parts = first.trace, half.trace, rest.trace
    whole = jax.tree.map(lambda *a: np.concatenate(a), *parts)
    self.assert_same(whole, jax.tree.map(lambda a: a[0], many))
    told = max(int(half.info.max()), int(rest.info.max()))
    self.assertEqual(told, int(rest.state.ledger.spent))

  @pytest.mark.slow
  def test_finished_chunks_are_read_again(self):
    """Oracle: the sweep without files; the second sweep compiles nothing."""
    search = toys.search_of(wanderer(), Problem(table()), budget=6)
    keys = jax.random.split(jax.random.key(0), 2)
    sweep = functools.partial(search_lib.sweep, keys, search, keeps_state=False)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    written, read = sweep(directory=folder), sweep(directory=folder)
    self.assertEqual(read.compile_seconds, 0.0)
    for found in (written, read):
      self.assertIsInstance(found.trace, search_lib.CostedTrace)
      self.assert_same(found.trace, sweep().trace)

  def test_refused(self):
    """Oracle: one line that says what is wrong."""
    cases = (
      (Problem(toys.failing()), wanderer(), 5, "has one of valid_accuracy"),
      (Problem(table(), ("-cost_m",)), wanderer(), 5, "has one of -cost_m"),
      (Problem(table()), wanderer()._replace(fidelity=3), 5, "begins at"),
      (Problem(table()), wanderer(), 0, "at least"),
      (Problem(table()), wanderer(9), 3, "at least 4"),
    )
    for problem, algorithm, budget, words in cases:
      with self.assertRaisesRegex(ValueError, words):
        driver.check_budget(algorithm, problem, budget=budget)
    with self.assertRaisesRegex(ValueError, "one compiled program"):
      search = toys.search_of(wanderer(), Problem(table()), budget=5)
      search_lib.run_on_host(jax.random.key(0), search)


if __name__ == "__main__":
  absltest.main()
