"""Every registered algorithm in a tiny setting on the synthetic benchmark."""

import functools

import jax
import numpy as np

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax.benchmarks import synthetic
from nagjax.search import driver
from tests.search import toys

BUDGET = 17
MAX_ROUNDS = 9

TINY = {
  ("ednag", ""): dict(
    num_initial=5,
    batch_size=3,
    archive_size=20,
    population_size=6,
    num_steps=2,
    num_elites=4,
    num_candidates=5,
  ),
  ("ednag", "reference"): dict(population_size=7, num_steps=6, elite_share=0.2),
  ("random", ""): dict(batch_size=4),
  ("regularized_evolution", ""): dict(population_size=6, sample_size=3),
}
"""Options that make an algorithm small; one that is not here has none."""

ALL = [
  dict(
    testcase_name=f"{name}-{variant or 'default'}", name=name, variant=variant
  )
  for name in registry.algorithm_names()
  for variant in registry.variant_names(name)
]
"""For `parameterized.named_parameters`."""


@functools.cache
def make(name, variant, budget=BUDGET):
  """One registered algorithm, its params and its tiny number of rounds."""
  search = registry.make_search(
    name,
    synthetic.synthetic(),
    budget=budget,
    variant=variant,
    options=TINY.get((name, variant)),
  )
  return search._replace(num_rounds=min(search.num_rounds, MAX_ROUNDS))


@functools.cache
def problem(failing_share=0.1):
  """The synthetic benchmark; some of its evaluations fail."""
  return problem_lib.Problem(toys.failing(share=failing_share))


def runner(name, variant, budget=BUDGET, num_rounds=None):
  """The search as a function of key, problem and params."""
  search = make(name, variant)
  num_rounds = num_rounds or search.num_rounds

  def run(key, problem, params):
    return driver.run(
      key,
      search.algorithm,
      problem,
      params,
      budget=budget,
      num_rounds=num_rounds,
    )[0]

  return run


@functools.cache
def compiled(name, variant, budget=BUDGET):
  """`runner`, compiled once for all tests of a process."""
  return jax.jit(runner(name, variant, budget))


@functools.cache
def compiled_lanes(name, variant):
  """`runner` over several keys, compiled once."""
  return jax.jit(jax.vmap(runner(name, variant), (0, None, None)))


def run(name, variant, seed=0, **options):
  """The trace of one tiny search, on the host."""
  search = compiled(name, variant, **options)
  params = make(name, variant).params
  return jax.device_get(search(jax.random.key(seed), problem(), params))


def lane(trace, index):
  """One lane of a trace."""
  return jax.tree.map(lambda a: np.asarray(a)[index], trace)
