"""Tests of nagjax.search.running: one search, and what is refused."""

import pickle

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import search as search_lib
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from tests.search import toys

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2)


def search(**changes):
  made = toys.search_of(
    toys.climber(nasbench201.nasbench201()),
    Problem(toys.failing()),
    toys.climber_params(),
  )
  return made._replace(**changes)


def warm(archs, **options):
  return dict(warm_start=search_lib.WarmStart(archs, **options))


CELL = np.zeros((1, 6), np.int64)
CALLS = {
  "run": (search_lib.run, KEY),
  "start": (search_lib.start, KEY),
  "sweep": (search_lib.sweep, KEYS),
  "run_on_host": (search_lib.run_on_host, KEY),
  "sweep_on_host": (search_lib.sweep_on_host, KEYS),
}


class RunTest(parameterized.TestCase):
  def test_a_search_is_a_constant_of_a_program(self):
    """Oracle: the lower level, with the same parts."""
    made = search(num_rounds=3)
    warm_start = search_lib.WarmStart(CELL)
    result = jax.jit(
      lambda key: search_lib.run(key, made, warm_start=warm_start)
    )(KEY)
    expected = jax.jit(
      lambda key, params: driver.run(
        key,
        made.algorithm,
        made.problem,
        params,
        budget=made.budget,
        num_rounds=3,
        warm_start=warm_start,
      )
    )(KEY, made.params)
    jax.tree.map(np.testing.assert_array_equal, result[:2], expected[:2])

  def test_results_can_be_pickled(self):
    """Oracle: the result itself; for a search, what the error says."""
    made = search(num_rounds=1)
    result = search_lib.run_on_host(KEY, made)
    again = pickle.loads(pickle.dumps(result))
    jax.tree.map(np.testing.assert_array_equal, again[:2], result[:2])
    with self.assertRaisesRegex(TypeError, "pickle its result"):
      pickle.dumps(made)


class RefusalTest(parameterized.TestCase):
  @parameterized.product(
    call=list(CALLS),
    case=(
      (dict(search="ednag"), "search must be a Search.*got str"),
      (dict(problem=toys.failing()), "must be a Problem.*got Tabular"),
      (dict(budget=30.0), "budget must be a whole number, got 30.0"),
      (dict(budget=True), "budget must be a whole number"),
      (dict(budget=2), "budget must be at least 3 for the initial design: 2"),
      (dict(budget=15626), "at most the 15625 rows"),
      (dict(num_rounds=0), "num_rounds must be at least 1, got 0"),
      (dict(num_rounds=2.0), "num_rounds must be a whole number"),
      (warm(CELL[0]), r"int32\[P, 6\].*shape \[6\]"),
      (warm(CELL[:0]), "at least one"),
      (warm(CELL[:, :4]), r"nasbench201, got shape \[1, 4\]"),
      (warm(CELL * 0.5), "must be whole numbers, got float64"),
      (warm(CELL - 1), r"architectures of nasbench201, row 0 is \[-1, -1"),
      (warm(CELL + 2**32), r"row 0 is \[4294967296"),
      (dict(warm_start=CELL), "must be a WarmStart.*got ndarray"),
      (dict(warm(CELL), budget=0), "at least 1 for a search: 0"),
    ),
  )
  def test_searches(self, call, case):
    """Oracle: the documented ValueError, before anything runs, in one line."""
    function, keys = CALLS[call]
    changes, message = dict(case[0]), case[1]
    options = {}
    if "warm_start" in changes:
      options["warm_start"] = changes.pop("warm_start")
    made = changes.pop("search", None) or search(**changes)
    with self.assertRaisesRegex(ValueError, message) as caught:
      function(keys, made, **options)
    self.assertNotIn("\n", str(caught.exception))

  @parameterized.parameters(
    (KEYS, r"one typed key.*got keys of shape \[2\]"),
    (jax.random.PRNGKey(0), r"one typed key.*got uint32\[2\]"),
    (0, "one typed key.*got a int"),
    ([KEY], "one typed key.*got a list"),
  )
  def test_keys_of_one_search(self, key, message):
    """Oracle: the documented ValueError."""
    for call in (search_lib.run, search_lib.start, search_lib.run_on_host):
      with self.assertRaisesRegex(ValueError, message):
        call(key, search())

  @parameterized.parameters(
    (KEY, r"array \[S\].*got keys of shape \[\]"),
    (KEYS[:0], "got none"),
    (KEYS[None], r"got keys of shape \[1, 2\]"),
    (jax.random.key_data(KEYS), r"array \[S\].*got uint32\[2, 2\]"),
    ([KEY, KEY], "array .*got a list"),
    (3, "array .*got a int"),
  )
  def test_keys_of_many(self, keys, message):
    """Oracle: the documented ValueError."""
    for call in (search_lib.sweep, search_lib.sweep_on_host):
      with self.assertRaisesRegex(ValueError, message):
        call(keys, search())

  def test_sizes_of_a_sweep(self):
    """Oracle: the documented ValueErrors."""
    for options, message in (
      (dict(batch_size_seeds=0), "batch_size_seeds must be at least 1"),
      (dict(batch_size_seeds=1.5), "batch_size_seeds must be a whole"),
      (dict(rounds_per_call=0), "rounds_per_call must be at least 1"),
    ):
      with self.assertRaisesRegex(ValueError, message):
        search_lib.sweep(KEYS, search(), **options)
    with self.assertRaisesRegex(ValueError, "num_rounds must be at least 1"):
      search_lib.advance(None, search(), num_rounds=0)
    with self.assertRaisesRegex(ValueError, "state of a result.*got NoneType"):
      search_lib.advance(None, search())

  @parameterized.parameters(0, 3)
  @pytest.mark.slow
  def test_an_algorithm_of_another_space(self, num_initial):
    """Oracle: the documented ValueError, with and without a design."""
    other = nasbench101.nasbench101()
    archs = jnp.zeros((2, 2, other.num_variables), jnp.int32)
    script = toys.scripted(archs, num_initial=num_initial)
    message = r"propose int32\[2, 6\] for the space nasbench201.*got \[2, "
    for algorithm in (
      script,
      toys.climber(other),
      toys.climber(other)._replace(num_initial=num_initial),
    ):
      made = search(algorithm=algorithm)
      for call in (search_lib.run, search_lib.run_on_host):
        with self.assertRaisesRegex(ValueError, message):
          call(KEY, made)


if __name__ == "__main__":
  absltest.main()
