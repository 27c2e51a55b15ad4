"""Every registered algorithm under the settings that a user may give JAX.

`jax_numpy_rank_promotion=raise` is that of all tests, see `conftest`.
"""

import os
import pathlib
import pickle
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax import registry
from nagjax import search as search_lib
from tests.algorithms import registered

every = parameterized.named_parameters(*registered.ALL)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

TYPES = "int32 int8 float32 float32 float32 float32 bool bool int32".split()
"""Of the fields of a `Trace`."""

RUN = """
import sys
import warnings
import jax
import jax.numpy as jnp
import numpy as np
warnings.simplefilter("error")
from tests.algorithms import registered
from tests.algorithms import settings_test
assert jnp.zeros(1).dtype == np.float64
for name, _, variant in (text.partition(":") for text in sys.argv[1:]):
  search, problem = registered.make(name, variant), registered.problem()
  run = jax.jit(registered.runner(name, variant),
                compiler_options={"xla_backend_optimization_level": 0})
  trace = run(jax.random.key(0), problem, search.params).trace
  types = [str(leaf.dtype) for leaf in trace]
  assert types == settings_test.TYPES, (name, types)
  table = np.asarray(problem.benchmark.queried["valid_accuracy"])
  rows = np.asarray(problem.space.index(trace.archs))
  filled = np.isfinite(trace.objective)
  assert filled.any(), name
  np.testing.assert_array_equal(trace.objective[filled], table[rows[filled]])
  assert 0 < trace.charged[-1] <= registered.BUDGET, name
"""
"""Searches in a process of 64 bits: values are those of the table, and types
those of a process of 32 bits."""


def compiled_trace(name, variant):
  """Traces of three seeds, by the program that all tests share."""
  keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
  run, params = registered.compiled, registered.make(name, variant).params
  result = run(name, variant)(keys, registered.problem(), params)
  return jax.device_get(result.trace)


def traced(name, variant):
  """Shapes and types of a search's trace."""
  search = registered.make(name, variant)
  return jax.eval_shape(
    registered.runner(name, variant),
    jax.random.key(3),
    registered.problem(),
    search.params,
  ).trace


def run_in_64_bits(*cases):
  names = [f"{case['name']}:{case['variant']}" for case in cases]
  environment = {
    **os.environ,
    "JAX_ENABLE_X64": "1",
    "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
    "PYTHONPATH": str(ROOT),
  }
  done = subprocess.run(
    [sys.executable, "-c", RUN, *names],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  return done.returncode, done.stderr


class SettingsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    registered.problem()  # Made before a setting holds.

  @every
  def test_debug_nans(self, name, variant):
    """Oracle: the search without the setting; a tenth of the evaluations are
    NaN. The setting looks at all that a program returns, states included."""
    expected = compiled_trace(name, variant)
    with jax.debug_nans(True):
      trace = compiled_trace(name, variant)
    jax.tree.map(np.testing.assert_array_equal, trace, expected)

  @parameterized.named_parameters(*registered.LOOPS)
  @pytest.mark.slow
  def test_debug_nans_on_the_host(self, name, variant):
    """Oracle: the compiled search without the setting."""
    whole = search_lib.tidy(registered.lane(compiled_trace(name, variant), 0))
    with jax.debug_nans(True):
      on_host = registered.run_on_host(name, variant)
    jax.tree.map(np.testing.assert_array_equal, on_host.trace, whole)

  def test_debug_nans_of_sweeps(self):
    """Oracle: the sweep without the setting."""
    search = registered.make("random", "")
    search = search._replace(problem=registered.problem())
    keys = jax.random.split(jax.random.key(0), 3)
    expected = nagjax.sweep(keys, search)
    with jax.debug_nans(True):
      found = nagjax.sweep(keys, search)
    jax.tree.map(np.testing.assert_array_equal, found[:2], expected[:2])

  def test_the_setting_sees_nans(self):
    """Oracle: a program that returns NaN, compiled as the searches are."""

    def run(x):
      return jnp.log(x)

    program = jax.jit(run)
    program(jnp.float32(-1))
    with jax.debug_nans(True), self.assertRaises(FloatingPointError):
      program(jnp.float32(-1))

  @every
  def test_types_and_keys(self, name, variant):
    """Oracle: jax's own refusal of mixed types and checker of key reuse, over
    the whole program; the documented types of a trace."""
    with jax.numpy_dtype_promotion("strict"), jax.debug_key_reuse(True):
      trace = traced(name, variant)
    self.assertEqual([str(leaf.dtype) for leaf in trace], TYPES)

  @pytest.mark.slow
  def test_a_process_of_64_bits(self):
    """Oracle: look-up of the values, in a process of its own."""
    one = dict(name="regularized_evolution", variant="")
    self.assertEqual(run_in_64_bits(one), (0, ""))

  @pytest.mark.slow
  def test_every_algorithm_in_a_process_of_64_bits(self):
    """Oracle: look-up of the values, in a process of its own."""
    self.assertEqual(run_in_64_bits(*registered.ALL), (0, ""))

  @every
  def test_what_can_be_pickled(self, name, variant):
    """Oracle: what was pickled; of what holds functions, what to do instead."""
    search = registered.make(name, variant)
    config, params = pickle.loads(pickle.dumps((search.config, search.params)))
    self.assertEqual(config, search.config)
    jax.tree.map(np.testing.assert_array_equal, params, search.params)
    with self.assertRaisesRegex(TypeError, "pickle its name and its config"):
      pickle.dumps(search.algorithm)
    with self.assertRaisesRegex(TypeError, "pickle its result"):
      pickle.dumps(search)


class SpacesTest(parameterized.TestCase):
  @parameterized.parameters(*registry.space_names())
  def test_views_have_the_same_types_in_64_bits(self, name):
    """Oracle: the types without the setting."""
    space = nagjax.make_space(name)
    archs = jax.ShapeDtypeStruct((2, space.num_variables), jnp.int32)

    def views(archs):
      forms = space.canonicalize(archs)
      one_hot = space.one_hot(archs)
      soft, features = space.to_soft_graph(one_hot), space.to_features(archs)
      return (
        *(forms, one_hot, soft, features, space.to_graph(forms)),
        *(space.keys(archs), space.is_valid(archs), space.neighbors(archs)),
        *(space.from_features(features), space.sample(jax.random.key(0), 3)),
      )

    expected = jax.eval_shape(views, archs)
    with jax.enable_x64(True):
      self.assertEqual(jax.eval_shape(views, archs), expected)


class PartsTest(parameterized.TestCase):
  @parameterized.parameters(
    *(dict(surrogate=name) for name in registry.surrogate_names()),
    *(dict(proposer=name) for name in registry.proposer_names()),
  )
  @pytest.mark.slow
  def test_parts_in_64_bits_and_with_strict_types(self, **parts):
    """Oracle: jax's own refusal of mixed types; warnings are errors."""
    if parts.get("surrogate", "").startswith("xgb"):
      self.skipTest("It is not traced.")
    problem = registered.problem()
    for setting in (jax.numpy_dtype_promotion("strict"), jax.enable_x64(True)):
      with setting:
        search = nagjax.make_search("ednag", problem, budget=25, **parts)
        jax.eval_shape(
          lambda key, made=search: nagjax.run(key, made).trace,
          jax.random.key(0),
        )


if __name__ == "__main__":
  absltest.main()
