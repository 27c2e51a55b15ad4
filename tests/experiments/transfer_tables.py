"""Small tables with names, for the tests of binaries that learn from them."""

import contextlib
from unittest import mock

import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import Tabular
from tests.transfer import dense

ARCHS = dense.SPACE.all_architectures()
KERNEL = dense.random_correlations(5, dense.SPACE)


def table(name, seed, rows=slice(None)):
  """A table that is drawn from the one process of all, or some rows of it."""
  cost = np.random.default_rng(seed + 100).normal(size=48)
  is_part = rows != slice(None)
  return Tabular(
    queried={
      "worth": jnp.asarray(dense.draw(seed, KERNEL, dense.SPACE)[rows]),
      "cost": jnp.asarray(cost[rows]),
    },
    space=dense.SPACE,
    name=name,
    objective="worth",
    archs=ARCHS[rows] if is_part else None,
  )


@contextlib.contextmanager
def registered():
  """Registers `first`, `second`, `third`, `part` and `poor` for a while."""
  with mock.patch.dict(registry._TABLES):
    for seed, name in enumerate(("first", "second", "third")):
      registry.register_benchmark(name, table(name, seed))
    registry.register_benchmark("part", table("part", 3, slice(4, 40)))
    registry.register_benchmark("poor", table("poor", 4, slice(0, 19)))
    yield
