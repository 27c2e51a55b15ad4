"""Tests of nagjax.benchmarks.encodings: what NAS-Bench-301's trees read."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import encodings
from nagjax.spaces import darts
from nagjax.spaces import nasbench201

# A configuration in NAS-Bench-301's repository, as in darts_test.
PUBLISHED = [2, 3, 3, 2, 5, 6, 3, 2, 0, 1, 4, 0, 1, 2, 6, 3, 4, 3, 5, 0, 3, 7]

# What ConfigSpace 0.6.1 makes of it and of the settings of a query.
BEFORE = [
  *(0.5863451791322553, 0, 0, 0, 0.16666444442962952, 0.3099999239999697),
  *(0, 0, 0, 0),
]
ALWAYS_ACTIVE_CELLS = [2, 3, 0, 1], [0, 1, 4, 0, 3, 7]
CHANNELS = 0.003149999006299998
BEHIND = [
  *(0.000749999001499998, 0, 0, -3.6888794541139363, 0.8988764044943821),
  *(-8.111728083308073, 0.009949999019899998, 1e-12, 0, 0, 0.7051278400653053),
]
CONDITIONAL = [
  *(3, 2, -1, -1, 3, 2, -1, 5, -1, 6, -1, -1),
  *(-1, 3, 5, -1, 2, 6, -1, -1, 3, 4, -1, -1),
]


class NASBench301Test(parameterized.TestCase):
  def test_a_published_run(self):
    """Oracle: ConfigSpace's own vector of the same configuration."""
    edges, inputs = ALWAYS_ACTIVE_CELLS
    expected = [*BEFORE, *edges, CHANNELS, *inputs, *BEHIND, *CONDITIONAL]
    archs = jnp.asarray([[PUBLISHED]], jnp.int32)
    encode = jax.jit(
      lambda a: encodings.encode("nasbench301", darts.darts(), a)
    )
    got = encode(archs)
    self.assertEqual((got.shape, got.dtype), ((1, 1, 56), jnp.float32))
    np.testing.assert_allclose(got[0, 0], expected, rtol=2e-7)

  def test_names(self):
    """Oracle: the order of NAS-Bench-301's configspace.json, by hand."""
    names = encodings.NASBENCH301_NAMES
    self.assertLen(set(names), 56)
    short = [name.split(":")[-1] for name in names]
    self.assertEqual(
      short[8:17],
      [
        "auxiliary",
        "drop_path_prob",
        "edge_normal_0",
        "edge_normal_1",
        "edge_reduce_0",
        "edge_reduce_1",
        "init_channels",
        "inputs_node_normal_3",
        "inputs_node_normal_4",
      ],
    )
    self.assertEqual(
      short[26:34],
      [
        "weight_decay",
        "T_max",
        "eta_min",
        "lr_scheduler",
        "batch_loss_computation_technique",
        "alpha",
        "edge_normal_10",
        "edge_normal_11",
      ],
    )

  def test_samples(self):
    """Oracle: the cells' own encoding by name; the rest never changes."""
    archs = darts.darts().sample(jax.random.key(0), 20)
    got = encodings.encode("nasbench301", darts.darts(), archs)
    columns = dict(zip(encodings.NASBENCH301_NAMES, got.T, strict=True))
    cells = np.asarray(darts.to_configspace(archs))
    for name, cell in zip(darts.CONFIGSPACE_NAMES, cells.T, strict=True):
      column = columns.pop(f"NetworkSelectorDatasetInfo:darts:{name}")
      np.testing.assert_array_equal(column, np.where(cell >= 0, cell, -1))
    self.assertLen(columns, 22)
    for name, column in columns.items():
      self.assertEqual(float(jnp.ptp(column)), 0.0, name)

  def test_other_spaces_are_refused(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "space darts, got nasbench201"):
      encodings.encode(
        "nasbench301", nasbench201.nasbench201(), jnp.zeros((1, 6), jnp.int32)
      )


if __name__ == "__main__":
  absltest.main()
