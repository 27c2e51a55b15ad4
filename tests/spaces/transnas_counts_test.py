"""Tests of nagjax.spaces.transnas_counts against the official program."""

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax.spaces import transnas_counts as counts
from nagjax.spaces import transnas_macro
from nagjax.spaces import transnas_micro
from tests import data

# As counted by running the official program on images of 256 x 256.
MICRO = (
  ("3_33_333", 41_411_616, 8_469_872_640),
  ("1_02_333", 22_520_608, 4_585_947_136),
  ("2_22_222", 4_645_920, 1_020_788_736),
  ("1_11_111", 540_960, 165_150_720),
  ("0_00_000", 19_488, 89_653_248),
)
MACRO = (
  ("1234", 3_400_224, 3_998_744_576),
  ("2311", 2_334_240, 4_065_853_440),
  ("41414", 13_990_688, 2_908_225_536),
)
# NASLib's networks, of which the table's counts are, tell 100 objects and 63
# scenes apart; the official program 75 and 47.
HEAD_PARAMS = {
  "class_object": 513 * 100,
  "class_scene": 513 * 63,
  "autoencoder": 22_871_859,
}


class CountTest(parameterized.TestCase):
  @parameterized.parameters(*MICRO)
  def test_micro(self, digits, params, macs):
    """Oracle: the official program."""
    arch = transnas_micro.from_string(f"64-41414-{digits}")
    self.assertEqual(counts.count_micro(arch), (params, macs))

  @parameterized.parameters(*MACRO)
  def test_macro(self, digits, params, macs):
    """Oracle: the official program."""
    arch = transnas_macro.from_string(f"64-{digits}-basic")
    self.assertEqual(counts.count_macro(arch), (params, macs))

  def test_the_resolution_changes_multiply_adds_alone(self):
    """Oracle: a quarter of the pixels, where every size is even."""
    arch = transnas_macro.from_string("64-2311-basic")
    small, large = counts.count_macro(arch, 128), counts.count_macro(arch, 256)
    self.assertEqual((small.params, 4 * small.macs), large)

  def test_what_cannot_be_counted(self):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, "positive, got 0"):
      counts.count_micro([0] * 6, 0)
    with self.assertRaisesRegex(ValueError, "must be in 0..3"):
      counts.count_micro([4] * 6)
    with self.assertRaisesRegex(ValueError, "4 to 6 modules"):
      counts.count_macro([0] * 6)

  @data.needs_table("tnb101_micro.npz")
  def test_parameters_of_the_real_table(self):
    """Oracle: the table, less the head of each task."""
    ops, *columns = data.read_table(
      "tnb101_micro.npz", "ops", *(f"{task}_params_m" for task in HEAD_PARAMS)
    )
    rows = np.arange(0, 4096, 41)
    found = [counts.count_micro(ops[r].astype(int)).params for r in rows]
    for column, head in zip(columns, HEAD_PARAMS.values(), strict=True):
      np.testing.assert_allclose(
        column[rows] * 1e6, np.asarray(found) + head, rtol=1e-6
      )


if __name__ == "__main__":
  absltest.main()
