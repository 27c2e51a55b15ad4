"""Tests of nagjax.spaces.mobilenetv3_counts against published networks."""

from absl.testing import absltest
from absl.testing import parameterized

from nagjax.spaces import mobilenetv3
from nagjax.spaces import mobilenetv3_counts as counts

# Width, kernel, expansion, depth, parameters, multiply-adds at 224 and 160, as
# counted by running the once-for-all programs.
UNIFORM = (
  (1.0, 7, 6, 4, 7_664_760, 566_170_656, 291_318_048),
  (1.0, 3, 3, 2, 3_410_792, 121_278_672, 63_240_528),
  (1.0, 5, 4, 3, 4_551_792, 250_746_944, 129_548_864),
  (1.0, 3, 6, 4, 7_299_960, 433_141_536, None),
  (1.0, 5, 6, 4, 7_445_880, 486_353_184, None),
  (1.0, 7, 6, 2, 4_837_928, 282_627_744, None),
  (1.2, 7, 6, 4, 10_701_632, 843_101_040, 433_563_888),
  (1.2, 3, 3, 2, 4_602_456, 193_078_200, 100_320_888),
  (1.2, 5, 4, 3, 6_245_312, 385_659_168, 198_948_384),
)

# Networks that once-for-all found: name, width, resolution, parameters,
# multiply-adds, architecture.
SpecializED = (
  ("flops_595m", 1.2, 236, 9_135_928, 595_189_032,
   "33,54,33 · 54,54,36,53 · 76,56,33,54 · 36,56,76,34 · 36,36,56,33"),
  ("flops_482m", 1.2, 224, 9_066_368, 482_413_168,
   "53,33,33 · 54,34,54,33 · 54,56,33,33 · 56,76,36,54 · 76,36,36,33"),
  ("flops_389m", 1.2, 224, 8_386_544, 389_487_856,
   "33,33 · 53,56,33 · 54,54,33 · 56,54,34,34 · 36,36,76,33"),
  ("note10_64ms", 1.2, 260, 9_109_040, 743_131_000,
   "33,36,33 · 54,36,33,53 · 56,56,34,74 · 56,36,36,34 · 36,36,56,33"),
  ("pixel1_143ms", 1.2, 240, 9_221_888, 641_756_192,
   "53,36,33 · 56,56,36,53 · 76,56,36,34 · 56,36,56,34 · 36,36,56,33"),
  ("pixel1_79ms", 1.2, 224, 8_168_608, 355_469_648,
   "33,33 · 53,34 · 74,54,33 · 56,34,34,33 · 36,36,36,33"),
  ("pixel1_58ms", 1.0, 220, 5_809_576, 229_846_296,
   "33,33 · 74,53,33 · 56,54,53 · 34,74,53 · 56,76,36,34"),
  ("note10_22ms", 1.0, 224, 5_863_056, 237_063_424,
   "33,33 · 53,34,34 · 74,54,54 · 54,36,34 · 36,36,36,33"),
  ("note8_22ms", 1.0, 140, 4_304_592, 67_196_888,
   "33,33 · 53,53 · 74,33 · 53,34 · 36,76"),
)  # fmt: skip


class CountTest(parameterized.TestCase):
  @parameterized.parameters(*UNIFORM)
  def test_networks_of_equal_layers(
    self, width, kernel, expansion, depth, params, macs_224, macs_160
  ):
    """Oracle: the once-for-all program's modules, counted."""
    arch = mobilenetv3.from_stages([[(kernel, expansion)] * depth] * 5)
    self.assertEqual(counts.count(arch, 224, width), (params, macs_224))
    if macs_160 is not None:
      self.assertEqual(counts.count(arch, 160, width), (params, macs_160))

  @parameterized.named_parameters(*SpecializED)
  def test_published_networks(self, width, resolution, params, macs, text):
    """Oracle: the published configurations, built and counted upstream."""
    arch = mobilenetv3.from_compact(text)
    found = counts.count(arch, resolution, width)
    self.assertEqual((found.params, found.macs), (params, macs))

  def test_the_super_network(self):
    """Oracle: upstream's 7,678,880 numbers include 20 kernel transforms."""
    matrices = mobilenetv3.NUM_LAYERS * (25**2 + 9**2)
    self.assertEqual(counts.count([8] * 20).params + matrices, 7_678_880)

  def test_a_layer_that_is_added(self):
    """Oracle: closed form of one layer of stage 1, 24 channels at 56 pixels."""
    two = mobilenetv3.from_stages([[(3, 3)] * 2] * 5)
    three = mobilenetv3.from_stages(
      [[(3, 3)] * 2 + [(7, 4)]] + [[(3, 3)] * 2] * 4
    )
    weights = 24 * 96 + 49 * 96 + 96 * 24
    before, after = counts.count(two), counts.count(three)
    norms = 2 * (96 + 96 + 24)
    self.assertEqual(after.params - before.params, weights + norms)
    self.assertEqual(after.macs - before.macs, weights * 56**2)

  @parameterized.parameters(
    (0.1, 8), (4, 8), (8.8, 8), (12, 16), (19.2, 24), (28.8, 32), (134.4, 136)
  )
  def test_channels(self, channels, expected):
    """Oracle: rounded by hand; 16 would be below 0.9 of 19.2."""
    self.assertEqual(counts.make_divisible(channels), expected)

  @parameterized.parameters(
    (dict(resolution=0), "positive, got 0 and 1.0"),
    (dict(width=-1.2), "positive, got 224 and -1.2"),
  )
  def test_sizes_are_checked(self, sizes, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      counts.count([8] * 20, **sizes)

  def test_a_vector_that_is_no_architecture(self):
    """Oracle: the documented ValueError; layer 4 without layer 3."""
    with self.assertRaisesRegex(ValueError, "MobileNetV3 vector"):
      counts.count([0, 0, 9, 0] * 5)


if __name__ == "__main__":
  absltest.main()
