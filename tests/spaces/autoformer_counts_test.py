"""Tests of nagjax.spaces.autoformer_counts against published networks."""

from absl.testing import absltest
from absl.testing import parameterized

from nagjax.spaces import autoformer
from nagjax.spaces import autoformer_counts as counts

T = dict(
  layer_num=13,
  embed_dim=[192] * 13,
  mlp_ratio=[3.5, 3.5, 3, 3.5, 3, 3, 4, 4, 3.5, 4, 3.5, 4, 3.5],
  num_heads=[3] * 10 + [4, 3, 3],
)
S = dict(
  layer_num=13,
  embed_dim=[384] * 13,
  mlp_ratio=[3, 3.5, 3, 3.5] + [4] * 7 + [3.5, 4],
  num_heads=[6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7],
)
B = dict(
  layer_num=14,
  embed_dim=[576] * 14,
  mlp_ratio=[3.5, 3.5, 4, 3.5, 4, 3.5, 3.5, 3, 4, 4, 3, 4, 3, 3.5],
  num_heads=[9] * 5 + [10, 9, 9, 10, 9, 10, 9, 9, 10],
)


def uniform(width, depth, ratio, heads):
  return dict(
    layer_num=depth,
    embed_dim=[width] * depth,
    mlp_ratio=[ratio] * depth,
    num_heads=[heads] * depth,
  )


def ends(size):
  """The smallest and the largest network of a space."""
  choices = autoformer.SPACES[size]
  return tuple(
    uniform(*(options[end] for options in choices)) for end in (0, -1)
  )


class CountTest(parameterized.TestCase):
  @parameterized.parameters(
    ("tiny", T, 5_867_944, 1_481_938_432, 1_344_034_362),
    ("small", S, 22_891_432, 5_161_400_832, 4_892_144_730),
    ("base", B, 53_691_688, 11_691_179_008, 11_236_929_660),
  )
  def test_published_networks(self, size, config, params, macs, flops):
    """Oracle: counted by running the official program, and its own FLOPs."""
    network = counts.NETWORKS[size]
    self.assertEqual(counts.count(config, network), (params, macs))
    self.assertEqual(counts.published_flops(config, network), flops)

  @parameterized.parameters(
    ("tiny", 11_669_224), ("small", 34_790_440), ("base", 80_160_360)
  )
  def test_super_networks(self, size, params):
    """Oracle: the official program's modules, counted."""
    network = counts.NETWORKS[size]
    config = uniform(
      network.embedding, network.depth, network.ratio, network.heads
    )
    self.assertEqual(counts.count(config, network).params, params)

  @parameterized.parameters(
    ("tiny", 5_366_056, 10_517_272),
    ("small", 13_057_320, 34_790_440),
    ("base", 41_687_896, 76_882_264),
  )
  def test_the_ends_of_a_space(self, size, least, most):
    """Oracle: the official program's modules, counted."""
    network = counts.NETWORKS[size]
    found = [counts.count(config, network).params for config in ends(size)]
    self.assertEqual(found, [least, most])

  def test_costs_of_the_ends_of_the_tiny_space(self):
    """Oracle: the official program; multiply-adds and its own FLOPs."""
    network = counts.NETWORKS["tiny"]
    macs = [counts.count(config, network).macs for config in ends("tiny")]
    self.assertEqual(macs, [1_345_368_576, 2_541_425_024])
    flops = [counts.published_flops(c, network) for c in ends("tiny")]
    self.assertEqual(flops, [1_225_422_264, 2_340_356_964])


if __name__ == "__main__":
  absltest.main()
