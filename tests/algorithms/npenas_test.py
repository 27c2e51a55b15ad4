"""Tests of NPENAS; the loop that it shares is tested with BANANAS."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax.algorithms import npenas
from nagjax.algorithms import predictor_search
from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.search import driver
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.spaces import nasbench_nlp

TINY = dict(batch_size=4, archive_size=40, num_candidates=60, fit_steps=60)
OPERATION_VALUE = np.asarray([0.0, 1.0, 2.0, 3.0, 1.0], np.float32)


def space():
  return nasbench201.nasbench201()


@functools.cache
def tiny():
  """A small search, compiled, after 40 values that are sums over edges."""
  algorithm = npenas.npenas(space(), npenas.Config(**TINY))
  archs = space().sample(jax.random.key(1), 40)
  state = predictor_search.State(
    archs, jnp.asarray(OPERATION_VALUE)[archs].sum(-1), jnp.int32(40)
  )
  return jax.jit(algorithm.ask), state


class SelectionTest(parameterized.TestCase):
  def test_children_are_mutations_of_the_best(self):
    """Oracle: Hamming distances to the five best, by NumPy."""
    ask, state = tiny()
    archs = np.asarray(state.archs)
    best = archs[np.argsort(-np.asarray(state.objective), kind="stable")[:5]]
    proposal, after = ask(jax.random.key(0), state, ())
    children = np.asarray(proposal.archs)
    apart = (children[:, None] != best[None]).sum(-1)
    self.assertTrue(np.all((apart == 1).any(axis=1)))
    known = (children[:, None] != archs[None]).sum(-1)
    self.assertTrue(np.all(known > 0))
    self.assertLen(np.unique(children, axis=0), 4)
    jax.tree.map(np.testing.assert_array_equal, after, state)

  def test_predictions_select(self):
    """Oracle: the value that is being predicted, of all that could be chosen.

    Chance would give the neighbors' mean; the children lie well above it.
    """
    ask, state = tiny()
    best = state.archs[jax.lax.top_k(state.objective, 5)[1]]
    around = np.asarray(space().neighbors(best)[0]).reshape(-1, 6)
    values = OPERATION_VALUE[around].sum(-1)
    keys = jax.random.split(jax.random.key(0), 5)
    chosen = np.concatenate([ask(k, state, ())[0].archs for k in keys])
    gain = OPERATION_VALUE[chosen].sum(-1).mean() - values.mean()
    self.assertGreater(gain, values.std())

  @parameterized.parameters(
    nasbench101.nasbench101, darts.darts, nasbench_nlp.nasbench_nlp
  )
  def test_other_spaces(self, make_space):
    """Oracle: shapes of the contract, without running anything."""
    algorithm = npenas.npenas(make_space(), npenas.Config(**TINY))
    state = jax.eval_shape(algorithm.init, jax.random.key(0), ())
    proposal, after = jax.eval_shape(
      algorithm.ask, jax.random.key(0), state, ()
    )
    self.assertEqual(proposal.archs.shape, (4, make_space().num_variables))
    self.assertEqual(after, state)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    (dict(num_parents=0), "num_parents must be at least 1, got 0"),
    (dict(num_parents=40, archive_size=39), "archive_size must be at least 40"),
  )
  def test_options_are_checked(self, options, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      npenas.Config(**options)

  def test_sizes_follow_the_budget(self):
    """Oracle: the budget; the initial design if that is larger."""
    self.assertEqual(npenas.preset("synthetic", 150), {"archive_size": 150})
    self.assertEqual(npenas.preset("synthetic", 7), {"archive_size": 10})


class SearchTest(parameterized.TestCase):
  @parameterized.parameters(("cifar10", 91.5), ("cifar100", 72.7))
  @pytest.mark.slow
  def test_quality_at_100_queries(self, data_set, least):
    """Oracle: BANANAS's published means, 91.5 and 73.0 %, of 12 seeds."""
    try:
      benchmark = tabular.load_nasbench201(data_set)
    except FileNotFoundError:
      self.skipTest(f"No table in {base.data_directory()}.")
    algorithm = npenas.npenas(space(), npenas.Config(archive_size=100))
    search = jax.jit(
      jax.vmap(
        lambda key, problem: (
          driver.run(key, algorithm, problem, (), budget=100, num_rounds=11)[
            0
          ].objective
        ),
        (0, None),
      )
    )
    keys = jax.random.split(jax.random.key(0), 12)
    objective = search(keys, problem_lib.Problem(benchmark))
    self.assertGreater(float(jnp.mean(jnp.max(objective, (1, 2)))), least)


if __name__ == "__main__":
  absltest.main()
