"""The contract that every registered algorithm keeps.

A new algorithm is tested by being registered; its `Spec.tiny` makes it small.
"""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.search import driver
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests.algorithms import registered

every = parameterized.named_parameters(*registered.ALL)


def described(tree):
  """Structure, shapes, types and weakness of a pytree."""
  leaves, structure = jax.tree.flatten(tree)
  return structure, [
    (leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False))
    for leaf in leaves
  ]


def answers(batch_size, space, seed=0):
  """A proposal and evaluations of every status, as shapes or values."""
  rng = np.random.default_rng(seed)
  status = rng.choice([s for s in Status if s != Status.EMPTY], batch_size)
  usable = status <= Status.REPEAT
  objective = rng.uniform(10, 95, batch_size)
  objective = jnp.asarray(np.where(usable, objective, -np.inf), jnp.float32)
  archs = space.sample(jax.random.key(seed), batch_size)
  return (
    Proposal(archs, jnp.asarray(status != Status.INVALID)),
    Evaluation(
      jnp.asarray(status, jnp.int8),
      objective,
      objective[:, None],
      jnp.zeros((batch_size, 0), jnp.float32),
      jnp.asarray(usable),
    ),
  )


class RunContractTest(parameterized.TestCase):
  def assert_equal(self, a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)

  @every
  def test_seeds_do_not_influence_each_other(self, name, variant):
    """Oracle: the same lane beside other seeds, in the same program, which chex
    refuses to trace again. (That lanes are single runs: `on_host_test`.)"""
    a, _ = registered.run_lanes(name, variant)
    b, _ = registered.run_lanes(name, variant, seeds=(5, 1, 7))
    self.assert_equal(registered.lane(a, 1), registered.lane(b, 1))
    self.assert_equal(registered.lane(a, 0), registered.run(name, variant))
    self.assertFalse(np.array_equal(a.archs[0], b.archs[0]))

  @parameterized.named_parameters(*registered.LOOPS)
  @pytest.mark.slow  # Every operation compiles alone.
  def test_without_jit(self, name, variant):
    """Oracle: the compiled search; architectures and look-ups exactly."""
    trace = registered.run_on_host(name, variant, jit=False, num_rounds=2).trace
    num = trace.status.shape[0]
    whole = registered.run(name, variant)
    whole = jax.tree.map(lambda a: a[:num], whole)
    self.assert_equal(trace, whole._replace(test=trace.test))

  @every
  def test_the_budget_is_respected(self, name, variant):
    """Oracle: distinct paid rows of the trace, counted by a Python set."""
    for seed in registered.SEEDS:
      trace = registered.run(name, variant, seed)
      self.assertLessEqual(int(trace.charged[-1]), registered.BUDGET)
      paid = [tuple(a) for a in trace.archs[trace.paid].tolist()]
      self.assertLen(set(paid), len(paid))
      np.testing.assert_array_equal(
        trace.charged, np.cumsum(trace.paid.sum(axis=1))
      )
      spent = np.flatnonzero(trace.charged >= registered.BUDGET)
      if spent.size:
        after = trace.status[spent[0] + 1 :]
        self.assertTrue(np.all(after == Status.EMPTY))
      else:
        self.assertFalse(np.any(trace.status == Status.DENIED))

  @every
  def test_values_are_those_of_the_table(self, name, variant):
    """Oracle: NumPy look-up of every slot that has a value."""
    problem = registered.problem()
    table = np.asarray(problem.benchmark.queried["valid_accuracy"])
    trace = registered.run(name, variant)
    rows = np.asarray(problem.space.index(jnp.asarray(trace.archs)))
    filled = np.isin(trace.status, (Status.FRESH, Status.REPEAT))
    self.assertTrue(np.any(filled))
    np.testing.assert_array_equal(trace.objective[filled], table[rows[filled]])
    self.assertTrue(np.all(np.isfinite(table[rows[filled]])))
    failed = trace.paid & (trace.status == Status.INVALID)
    self.assertTrue(np.all(np.isnan(table[rows[failed]])))
    self.assertTrue(np.all(np.isneginf(trace.objective[failed])))

  @every
  def test_a_benchmark_of_failures_survives(self, name, variant):
    """Oracle: all NaN in; no NaN in the trace or in the state, no value."""
    trace, state = registered.run_lanes(name, variant, failing_share=2.0)
    self.assertTrue(np.all(np.isneginf(trace.objective)))
    self.assertFalse(np.any(trace.status == Status.FRESH))
    self.assertTrue(np.all(trace.charged[:, -1] > 0))
    self.assertTrue(np.all(trace.charged[:, -1] <= registered.BUDGET))
    for leaf in jax.tree.leaves(state.algorithm):
      if jnp.issubdtype(leaf.dtype, jnp.floating):
        self.assertFalse(np.any(np.isnan(leaf)))

  def test_the_checker_of_key_reuse_works(self):
    """Oracle: an algorithm that draws twice from one key is refused."""
    good = registered.make("random", "").algorithm

    def ask(key, state, params):
      del params
      uniform = jax.random.uniform(key, (good.batch_size, 1))
      archs = registered.problem().space.sample(key, good.batch_size)
      return Proposal(archs, uniform[:, 0] < 2), state

    with jax.debug_key_reuse(True):
      with self.assertRaises(jax.errors.KeyReuseError):
        jax.eval_shape(
          lambda key: driver.run(
            key,
            good._replace(ask=ask),
            registered.problem(),
            (),
            budget=9,
            num_rounds=2,
          ),
          jax.random.key(0),
        )


class StepContractTest(parameterized.TestCase):
  @every
  def test_init_has_a_shape_without_being_run(self, name, variant):
    """Oracle: jax.eval_shape against the state that a real search ends with."""
    search = registered.make(name, variant)
    shape = jax.eval_shape(
      search.algorithm.init, jax.random.key(0), search.params
    )
    state = registered.run_lanes(name, variant)[1].algorithm
    self.assertEqual(described(shape), described(registered.lane(state, 0)))

  @every
  def test_types_are_stable_through_ask_and_tell(self, name, variant):
    """Oracle: the state before, twice around; a proposal of `batch_size`."""
    search = registered.make(name, variant)
    algorithm, params = search.algorithm, search.params
    batch = algorithm.batch_size
    space = registered.problem().space
    answer = answers(batch, space)[1]
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, params)
    infos = []
    for _ in range(2):
      proposal, asked = jax.eval_shape(algorithm.ask, key, state, params)
      self.assertEqual(proposal.archs.shape, (batch, space.num_variables))
      self.assertEqual(proposal.archs.dtype, jnp.int32)
      self.assertEqual(proposal.valid.shape, (batch,))
      self.assertEqual(proposal.valid.dtype, bool)
      told, info = jax.eval_shape(
        algorithm.tell, asked, proposal, answer, params
      )
      self.assertEqual(described(told), described(state))
      infos.append(described(info))
      state = told
    self.assertEqual(infos[0], infos[1])

  @every
  def test_tell_accepts_any_leading_size(self, name, variant):
    """Oracle: state types and Info types of one row."""
    search = registered.make(name, variant)
    algorithm, params = search.algorithm, search.params
    space = registered.problem().space
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, params)
    kinds = set()
    for size in (1, 2, algorithm.batch_size, 40):
      told, info = jax.eval_shape(
        algorithm.tell, state, *answers(size, space), params
      )
      self.assertEqual(described(told), described(state))
      kinds.add(str(described(info)))
    self.assertLen(kinds, 1)

  @parameterized.named_parameters(*registered.LOOPS)
  def test_many_rows_at_once(self, name, variant):
    """Oracle: the space of what is proposed after them."""
    search = registered.make(name, variant)
    algorithm, space = search.algorithm, registered.problem().space

    @jax.jit
    def proposal_after(key, answer, params):
      state = algorithm.init(key, params)
      told, _ = algorithm.tell(state, *answer, params)
      return algorithm.ask(key, told, params)[0]

    key, answer = jax.random.key(0), answers(40, space)
    proposal = proposal_after(key, answer, search.params)
    self.assertTrue(np.all(space.is_valid(proposal.archs[proposal.valid])))

  @every
  def test_an_algorithm_declares_its_sizes(self, name, variant):
    """Oracle: Python integers that may be static."""
    search = registered.make(name, variant)
    self.assertIsInstance(search.algorithm.num_initial, int)
    self.assertIsInstance(search.algorithm.batch_size, int)
    self.assertGreaterEqual(search.algorithm.num_initial, 0)
    self.assertGreater(search.algorithm.batch_size, 0)
    self.assertGreater(search.num_rounds, 0)
    hash(search.config)
    for leaf in jax.tree.leaves(search.params):
      self.assertIsInstance(leaf, jax.Array)
      self.assertFalse(leaf.weak_type)


if __name__ == "__main__":
  absltest.main()
