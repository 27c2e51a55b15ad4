"""Tests of nagjax.candidates.darts_cells."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import darts_cells
from nagjax.candidates.darts_cells import Stem
from nagjax.spaces import darts
from tests.candidates import numpy_darts

CONFIGS = {
  "cifar": darts_cells.Config((7, 6, 3), 4, num_channels=2, num_layers=4),
  "imagenet": darts_cells.Config(
    (25, 18, 2), 3, num_channels=2, num_layers=3, stem=Stem.IMAGENET
  ),
  "none": darts_cells.Config(
    (3, 3, 1), 3, num_channels=1, num_layers=5, stem=Stem.NONE
  ),
}
SHORT = {
  "avg": "avg_pool_3x3",
  "dil3": "dil_conv_3x3",
  "dil5": "dil_conv_5x5",
  "max": "max_pool_3x3",
  "sep3": "sep_conv_3x3",
  "skip": "skip_connect",
}


def read(*cells):
  """An architecture of texts such as `sep3(0) skip(1) ...`."""
  genotype = []
  for cell in cells:
    pairs = [pair.rstrip(")").split("(") for pair in cell.split()]
    ops = [darts.OPERATIONS.index(SHORT[op]) for op, _ in pairs]
    genotype.append(
      [(int(s), op) for (_, s), op in zip(pairs, ops, strict=True)]
    )
  return darts.from_genotype(genotype)


def uniform(op):
  cell = f"{op}(0) {op}(1) " * 4
  return read(cell, cell)


PUBLISHED = {
  "DARTS_V1": read(
    "sep3(1) sep3(0) skip(0) sep3(1) skip(0) sep3(1) sep3(0) skip(2)",
    "max(0) max(1) skip(2) max(0) max(0) skip(2) skip(2) avg(0)",
  ),
  "DARTS_V2": read(
    "sep3(0) sep3(1) sep3(0) sep3(1) sep3(1) skip(0) skip(0) dil3(2)",
    "max(0) max(1) skip(2) max(1) max(0) skip(2) skip(2) max(1)",
  ),
  "sep3": uniform("sep3"),
  "dil5": uniform("dil5"),
  "skip": uniform("skip"),
  "max": uniform("max"),
}
COUNTS = {
  "CIFAR10": (
    (3_169_414, 3_645_840, 500_987_520),
    (3_349_342, 3_825_768, 528_359_040),
    (4_701_718, 5_178_144, 711_665_280),
    (3_257_110, 3_733_536, 522_552_960),
    (1_580_950, 2_057_376, 248_505_984),
    (1_370_134, 1_846_560, 227_272_320),
  ),
  "NASBENCH301": (
    (871_786, 1_340_020, 152_441_856),
    (919_722, 1_387_956, 159_765_504),
    (1_520_874, 1_989_108, 233_477_120),
    (1_038_570, 1_506_804, 174_167_040),
    (559_338, 1_027_572, 95_982_592),
    (392_426, 860_660, 79_205_376),
  ),
  "IMAGENET": (
    (4_510_432, 5_771_208, 505_864_704),
    (4_718_752, 5_979_528, 529_911_552),
    (6_548_320, 7_809_096, 712_012_800),
    (4_696_672, 5_957_448, 526_035_456),
    (2_800_480, 4_061_256, 294_297_600),
    (2_427_232, 3_688_008, 265_396_224),
  ),
}
"""Parameters, these with the auxiliary classifier, and multiplications."""


@functools.cache
def programs(stem):
  """`init` and `forward`, each compiled once for all architectures."""
  config = CONFIGS[stem]
  init = functools.partial(darts_cells.init, config=config)
  forward = functools.partial(darts_cells.forward, config=config)
  return (
    jax.jit(init),
    jax.jit(forward),
  )


def samples(num):
  return darts.darts().sample(jax.random.key(0), num)


class CountsTest(parameterized.TestCase):
  @parameterized.parameters(*COUNTS)
  def test_published(self, setting):
    """Oracle: counts of the networks that the published program builds."""
    config = getattr(darts_cells, setting)
    archs = jnp.asarray(np.stack(list(PUBLISHED.values())))
    counted = (
      darts_cells.num_params(archs, config),
      darts_cells.num_params(archs, config, auxiliary=True),
      darts_cells.num_macs(archs, config),
    )
    np.testing.assert_array_equal(np.stack(counted, axis=-1), COUNTS[setting])

  @parameterized.parameters(*CONFIGS)
  def test_the_arrays(self, stem):
    """Oracle: weights that are not 0, and channels that NumPy normalizes."""
    config, archs = CONFIGS[stem], samples(4)
    for arch in archs:
      params = programs(stem)[0](jax.random.key(1), arch)
      x = np.zeros((1, *config.image_shape))
      norms = numpy_darts.Network(params, arch, x, config).num_norms
      edges = [cell.edges for cell in params.cells]
      weights = [
        params.classifier,
        params.bias,
        *(layer.weight for layer in params.stem),
        *(cell.inputs for cell in params.cells),
        *(edge.depthwise for edge in edges),
        *(edge.pointwise for edge in edges),
      ]
      used = sum(int(np.count_nonzero(w)) for w in weights)
      counted = int(darts_cells.num_params(arch, config))
      self.assertEqual(counted, used + 2 * norms)

  def test_leading_axes_and_overflow(self):
    """Oracle: single architectures; the documented ValueError."""
    archs = samples(6).reshape(2, 3, 22)
    macs = darts_cells.num_macs(archs, darts_cells.CIFAR10)
    self.assertEqual(macs.shape, (2, 3))
    one = darts_cells.num_macs(archs[1, 2], darts_cells.CIFAR10)
    self.assertEqual(int(macs[1, 2]), int(one))
    with self.assertRaisesRegex(ValueError, "32 bits"):
      darts_cells.num_macs(archs, darts_cells.Config(num_channels=360))


class NetworkTest(parameterized.TestCase):
  @parameterized.parameters(*CONFIGS)
  @pytest.mark.slow
  def test_forward(self, stem):
    """Oracle: NumPy loops; one program serves all architectures."""
    config, (init, forward) = CONFIGS[stem], programs(stem)
    x = np.random.default_rng(0).normal(size=(3, *config.image_shape))
    x = jnp.asarray(x, jnp.float32)
    archs = [*samples(4), *(jnp.asarray(a) for a in PUBLISHED.values())]
    for arch in archs:
      params = init(jax.random.key(1), arch)
      expected = numpy_darts.Network(params, arch, x, config).logits
      result = forward(params, arch, x)
      np.testing.assert_allclose(result.logits, expected, rtol=1e-3, atol=1e-3)
    self.assertEqual(forward._cache_size(), 1)

  @pytest.mark.slow
  def test_draws_are_shared_and_scaled_by_fan_in(self):
    """Oracle: bounds 1 / sqrt(fan in); equal draws of two architectures."""
    config = darts_cells.Config(num_channels=32, num_layers=3)
    mixed, plain = (
      darts_cells.init(jax.random.key(0), jnp.asarray(PUBLISHED[a]), config)
      for a in ("DARTS_V2", "sep3")
    )
    cell, other = mixed.cells[0], plain.cells[0]
    np.testing.assert_array_equal(cell.inputs, other.inputs)
    np.testing.assert_array_equal(
      cell.edges.depthwise[:, 0], other.edges.depthwise[:, 0]
    )
    bounds = (
      (mixed.stem[0].weight, 27**-0.5),
      (cell.inputs, 96**-0.5),
      (cell.edges.depthwise[:, 0], 1 / 3),
      (cell.edges.pointwise[:, 0], 32**-0.5),
      (mixed.classifier, 512**-0.5),
    )
    for weight, bound in bounds:
      self.assertBetween(float(jnp.abs(weight).max()), 0.95 * bound, bound)
    skip = cell.edges.pointwise[:, 4:6]  # Sorted by source: skip, sep3.
    self.assertEqual(float(jnp.abs(skip[:, 0]).max()), 0.0)
    self.assertGreater(float(jnp.abs(skip[:, 1]).min()), 0.0)

  @parameterized.parameters(
    ({"image_shape": (8, 8)}, "image_shape"),
    ({"num_layers": 2}, "num_layers at least 3"),
    ({"num_channels": 3, "stem": Stem.IMAGENET}, "even"),
    (
      {"image_shape": (8, 8, 5), "num_channels": 1, "stem": Stem.NONE},
      "at most",
    ),
  )
  def test_config_is_validated(self, options, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      darts_cells.Config(**options)


if __name__ == "__main__":
  absltest.main()
