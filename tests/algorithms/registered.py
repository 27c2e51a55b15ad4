"""Every registered algorithm in a tiny setting on the synthetic benchmark."""

import functools

import chex
import jax
import jax.numpy as jnp

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import synthetic
from nagjax.search import driver
from tests.search import toys

BUDGET = 17
MAX_ROUNDS = 9
FAILING_SHARE = 0.1

QUICKLY = {"xla_backend_optimization_level": 0}
"""Options of compilation: it takes longer than the tiny searches."""

ALL = [
  dict(
    testcase_name=f"{name}-{variant or 'default'}", name=name, variant=variant
  )
  for name in registry.algorithm_names()
  for variant in registry.variant_names(name)
]
"""For `parameterized.named_parameters`."""


@functools.cache
def make(name, variant):
  """One registered algorithm, its params and its tiny number of rounds."""
  search = registry.make_search(
    name,
    problem_lib.Problem(synthetic.synthetic()),
    budget=BUDGET,
    variant=variant,
    options=registry.algorithm_spec(name, variant).tiny,
  )
  return search._replace(num_rounds=min(search.num_rounds, MAX_ROUNDS))


@functools.cache
def problem(failing_share=FAILING_SHARE):
  """The synthetic benchmark; some of its evaluations fail."""
  return problem_lib.Problem(toys.failing(share=failing_share))


def runner(name, variant, num_rounds=None):
  """The search as a function of key, problem and params."""
  search = make(name, variant)
  num_rounds = num_rounds or search.num_rounds

  def run(key, problem, params):
    return driver.run(
      key,
      search.algorithm,
      problem,
      params,
      budget=BUDGET,
      num_rounds=num_rounds,
    )

  # chex counts traces by the name of a function.
  run.__name__ = f"run_{name}_{variant}"
  return run


def run_on_host(name, variant, seed=0, jit=True, num_rounds=None):
  """The same search in Python."""
  made = make(name, variant)
  search = made._replace(
    algorithm=made.algorithm._replace(on_host=not jit),
    problem=problem(),
    num_rounds=num_rounds or made.num_rounds,
  )
  return search_lib.run_on_host(jax.random.key(seed), search)


@functools.cache
def compiled(name, variant):
  """`runner` as one program for all tests of a process; traced once."""
  return jax.jit(
    chex.assert_max_traces(runner(name, variant), n=1),
    compiler_options=QUICKLY,
  )


@functools.cache
def compiled_lanes(name, variant):
  """`runner` over several keys, compiled once."""
  return jax.jit(
    jax.vmap(runner(name, variant), (0, None, None)), compiler_options=QUICKLY
  )


def run(name, variant, seed=0, failing_share=FAILING_SHARE):
  """Trace and final state of one tiny search."""
  result = compiled(name, variant)(
    jax.random.key(seed), problem(failing_share), make(name, variant).params
  )
  return jax.device_get(result.trace), result.state


def run_lanes(name, variant, *seeds):
  """Traces of several seeds in one program."""
  keys = jnp.stack([jax.random.key(seed) for seed in seeds])
  result = compiled_lanes(name, variant)(
    keys, problem(), make(name, variant).params
  )
  return jax.device_get(result.trace)


def lane(trace, index):
  """One lane of a trace."""
  return jax.tree.map(lambda a: a[index], trace)
