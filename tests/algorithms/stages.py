"""A table with stages of training, for the tests of several fidelities."""

import functools

import numpy as np

from nagjax.benchmarks import synthetic
from nagjax.types import Fidelities

FIDELITIES = Fidelities(("1", "3", "10", "30"), (1, 3, 10, 30), True)


@functools.cache
def table():
  """The synthetic benchmark, with noise that falls from stage to stage."""
  benchmark = synthetic.synthetic()
  value = np.asarray(benchmark.queried["valid_accuracy"])
  noise = np.random.default_rng(0).normal(size=(3, len(value)))
  lower = value + noise * np.asarray([4.0, 2.0, 1.0])[:, None]
  return benchmark.replace(
    fidelities=FIDELITIES, lower={"valid_accuracy": lower}
  )
