"""Parameters, multiply-adds and published FLOPs of AutoFormer's networks.

Chen et al., "AutoFormer", ICCV 2021, https://arxiv.org/abs/2107.00651. A
network cuts an image into patches, embeds them by one convolution, adds a class
token and positions, goes through its layers (attention with relative positions,
two linear layers) and classifies the mean of the patches.
"""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from nagjax.spaces.mobilenetv3_counts import Counts


class Network(NamedTuple):
  """A super-network: what all networks of a space are slices of.

  Attributes:
    embedding, heads, depth, ratio: its sizes, at least those of any network.
    head_size: channels of a head.
    patch_size: pixels of a patch's side.
    max_relative: largest distance, in patches, that has a position of its own.
    image_size: pixels of an image's side.
    channels: of the image.
    num_classes: outputs.
  """

  embedding: int
  heads: int
  depth: int
  ratio: float
  head_size: int = 64
  patch_size: int = 16
  max_relative: int = 14
  image_size: int = 224
  channels: int = 3
  num_classes: int = 1000

  @property
  def num_patches(self) -> int:
    """Patches of an image."""
    return (self.image_size // self.patch_size) ** 2

  @property
  def num_rows(self) -> int:
    """Rows of a table of relative positions: one more is the class token's."""
    return 2 * self.max_relative + 2


NETWORKS = {
  "tiny": Network(256, 4, 14, 4.0),
  "small": Network(448, 7, 14, 4.0),
  "base": Network(640, 10, 16, 4.0),
  "small32": Network(
    *(48, 3, 5, 2.0),
    head_size=16,
    patch_size=8,
    max_relative=3,
    image_size=32,
    num_classes=10,
  ),
}
"""Of the spaces of `autoformer.SPACES`; that of 32 pixels is ours."""


def count(config: Mapping[str, Any], network: Network) -> Counts:
  """Counts one network (host).

  Args:
    config: official, as of `autoformer.to_config`; options may be others than
      those of a space, as the published tiny network's are.
    network: what it is a slice of.

  Returns:
    Parameters, and multiply-adds of one image, products with relative positions
    included.

  Example:
    >>> layers = dict(mlp_ratio=[4.0] * 14, num_heads=[4] * 14)
    >>> config = dict(layer_num=14, embed_dim=[256] * 14, **layers)
    >>> count(config, NETWORKS["tiny"]).params
    11669224
  """
  width, layers = _sizes(config, network)
  tokens = network.num_patches + 1
  pixels = network.channels * network.patch_size**2
  params = (pixels + 1) * width + (tokens + 1) * width + 2 * width
  params += (width + 1) * network.num_classes
  macs = network.num_patches * pixels * width + width * network.num_classes
  for inner, queries in layers:
    products = 4 * width * queries + 2 * width * inner
    params += products + 3 * queries + width + inner + width + 4 * width
    params += 4 * network.num_rows * network.head_size
    macs += tokens * products + 4 * tokens**2 * queries
  return Counts(params, macs)


def published_flops(config: Mapping[str, Any], network: Network) -> int:
  """What `get_complexity` of AutoFormer's program returns for its images.

  Differs from `count`: with one token too many, half of the classes' layer and
  of the softmax, and the lengths of the tables (14) where the program's
  products with relative positions are larger.

  Example:
    >>> layers = dict(mlp_ratio=[4.0] * 14, num_heads=[4] * 14)
    >>> config = dict(layer_num=14, embed_dim=[256] * 14, **layers)
    >>> published_flops(config, NETWORKS["tiny"])
    2567412892
  """
  width, layers = _sizes(config, network)
  patches, reach = network.num_patches, network.max_relative
  length = patches + 2
  pixels = network.channels * network.patch_size**2
  total = width + patches * pixels * width + (patches + 1) * width / 2
  for inner, queries in layers:
    total += 2 * length * width + 4 * length * queries * width
    total += 2 * length**2 * queries + 2 * reach * length**2
    total += length**2 / 2 + length * queries / 2 + 2 * length * width * inner
  return int(total + (patches + 1) * width * network.num_classes)


def _sizes(
  config: Mapping[str, Any], network: Network
) -> tuple[int, list[tuple[int, int]]]:
  """Embedding, and inner width and channels of the heads of every layer."""
  width = config["embed_dim"][0]
  return width, [
    (int(width * ratio), network.head_size * heads)
    for ratio, heads in zip(
      config["mlp_ratio"], config["num_heads"], strict=True
    )
  ]
