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
from nagjax.surrogates import fixed
from tests.search import toys

BUDGET = 17
MAX_ROUNDS = 9
FAILING_SHARE = 0.1
SEEDS = (0, 1, 2)

ALL = [
  dict(
    testcase_name=f"{name}-{variant or 'default'}", name=name, variant=variant
  )
  for name in registry.algorithm_names()
  for variant in registry.variant_names(name)
]
"""For `parameterized.named_parameters`."""


SLOW = "agnet-training_free", "diffusionnag-pool", "diffusionnag-zero_shot"
"""Variants whose programs compile for ten seconds, though nearly all that they
consist of is in other variants; the conftest marks their tests as slow."""

OWN_LOOPS = [
  case
  for case in ALL
  if (
    registry.algorithm_spec(case["name"], case["variant"]).parts is None
    or case["testcase_name"] == "ednag-default"
  )
  and case["testcase_name"] != "diffusionnag-zero_shot"
]
"""Algorithms with a loop of their own, and one of those that share theirs."""

LOOPS = [
  case
  for case in OWN_LOOPS
  if case["testcase_name"] not in ("agnet-training_free", "optiproxy-reference")
]
"""Those of them that train no networks: steps that compile soon."""

SLOW_LOOPS = [case for case in OWN_LOOPS if case not in LOOPS]
"""The others."""


def knowing():
  """A surrogate for the algorithms that need one: it likes large numbers."""
  weights = jnp.arange(1, 7, dtype=jnp.float32)
  return fixed.fixed(
    lambda params, archs: archs.astype(jnp.float32) @ params, weights
  )


def given(name, variant):
  """The arguments without which an algorithm cannot be made."""
  needs = registry.algorithm_spec(name, variant).needs_surrogate
  return {"surrogate": knowing()} if needs else {}


@functools.cache
def make(name, variant):
  """One registered algorithm, its params and its tiny number of rounds."""
  search = registry.make_search(
    name,
    problem_lib.Problem(synthetic.synthetic()),
    budget=BUDGET,
    variant=variant,
    options=registry.algorithm_spec(name, variant).tiny,
    **given(name, variant),
  )
  return search._replace(num_rounds=min(search.num_rounds, MAX_ROUNDS))


@functools.cache
def problem(failing_share=FAILING_SHARE):
  """The synthetic benchmark; some of its evaluations fail."""
  return problem_lib.Problem(toys.failing(share=failing_share))


def runner(name, variant):
  """The search as a function of key, problem and params."""
  search = make(name, variant)

  def run(key, problem, params):
    return driver.run(
      key,
      search.algorithm,
      problem,
      params,
      budget=BUDGET,
      num_rounds=search.num_rounds,
    )

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
  """`runner` over several keys, the one program of an algorithm's tests."""

  def lanes(keys, problem, params):
    run = runner(name, variant)
    return jax.vmap(run, (0, None, None))(keys, problem, params)

  # chex counts traces by the name of a function.
  lanes.__name__ = f"run_{name}_{variant}"
  return jax.jit(chex.assert_max_traces(lanes, n=1))


@functools.cache
def run_lanes(name, variant, seeds=SEEDS, failing_share=FAILING_SHARE):
  """Traces and final states of three seeds."""
  keys = jnp.stack([jax.random.key(seed) for seed in seeds])
  result = compiled(name, variant)(
    keys, problem(failing_share), make(name, variant).params
  )
  return jax.device_get(result.trace), result.state


def run(name, variant, seed=0):
  """The trace of one tiny search, beside those of the other `SEEDS`."""
  return lane(run_lanes(name, variant)[0], SEEDS.index(seed))


def lane(tree, index):
  """One lane of a trace or of a state."""
  return jax.tree.map(lambda a: a[index], tree)
