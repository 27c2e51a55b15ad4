"""A closed-form landscape over the NAS-Bench-201 cells, with known optima.

It needs no data, so tests and first steps can use it. The landscape is the
upper envelope of cones around a few peaks in weighted Hamming distance,

  valid_accuracy(x) = max_b ( height_b - sum_e w_e [x_e != peak_b,e] ),

so the peaks are its only local optima (of single changes), each peak's basin is
the set where its cone is the highest, and the global optimum is the first peak.
It is far easier than a real table: report no result of a method on it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import tabular
from nagjax.spaces import nasbench201
from nagjax.types import Archs

PEAKS = np.asarray(
  [
    [3, 3, 2, 1, 3, 3],
    [2, 4, 3, 3, 1, 2],
    [4, 2, 1, 2, 2, 4],
    [1, 0, 4, 4, 0, 1],
  ],
  np.int32,
)
"""Centers of the basins, `[4, 6]`; the first is the global optimum."""
HEIGHTS = np.asarray([94.0, 93.0, 92.0, 90.0], np.float32)
"""Validation accuracy at each peak, percent."""
EDGE_WEIGHTS = np.asarray([2.0, 2.5, 3.0, 3.5, 4.0, 4.5], np.float32)
"""Percent lost for each edge that differs from the peak."""

_PARAMETERS_M = np.asarray([0.0, 0.0, 0.02, 0.2, 0.0], np.float32)


def cones(archs: Archs) -> jax.Array:
  """Value of every cone, `int32[..., 6] -> f32[..., 4]`, percent."""
  leading = (1,) * (archs.ndim - 1)
  differs = archs[..., None, :] != PEAKS.reshape(leading + PEAKS.shape)
  lost = differs.astype(jnp.float32) @ jnp.asarray(EDGE_WEIGHTS)
  return jnp.asarray(HEIGHTS).reshape(leading + HEIGHTS.shape) - lost


def basin(archs: Archs) -> jax.Array:
  """Which peak's cone is the highest, `int32[..., 6] -> int32[...]`."""
  return jnp.argmax(cones(archs), axis=-1).astype(jnp.int32)


def synthetic() -> tabular.Tabular:
  """Returns the landscape as a benchmark named `synthetic`.

  The test accuracy is the validation accuracy minus 0.25 for each distinct
  operation of the cell: correlated, and with another order near the top.
  """
  space = nasbench201.nasbench201()
  archs = jnp.asarray(space.all_architectures())
  valid = jnp.max(cones(archs), axis=-1)
  num_distinct = jnp.sum(jnp.any(space.one_hot(archs) > 0, axis=1), axis=-1)
  params = 0.3 + jnp.asarray(_PARAMETERS_M)[archs].sum(-1)
  return tabular.Tabular(
    queried={tabular.VALID_ACCURACY: valid, "params_m": params},
    reported={
      tabular.TEST_ACCURACY: valid - 0.25 * num_distinct.astype(jnp.float32)
    },
    name="synthetic",
    space=space,
    test=tabular.TEST_ACCURACY,
    units=(
      (tabular.VALID_ACCURACY, "%"),
      (tabular.TEST_ACCURACY, "%"),
      ("params_m", "million"),
    ),
  )
