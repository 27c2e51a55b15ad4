"""Parameters and multiply-adds of MobileNetV3 networks, exactly (host).

The layers around the searched ones are those of the once-for-all programs (Cai
et al., ICLR 2020, https://arxiv.org/abs/1908.09791), after Howard et al.,
"Searching for MobileNetV3", ICCV 2019, https://arxiv.org/abs/1905.02244:

  a 3x3 convolution of stride 2 to 16 channels; a depthwise 3x3 and a 1x1
  convolution to 16 channels; the five stages; a 1x1 convolution to 960
  channels; their mean over the image; a 1x1 convolution to 1280 channels,
  without normalization; the classifier of 1000 classes.

A searched layer expands its input by a 1x1 convolution, goes on with a
depthwise convolution, in some stages with squeeze-and-excitation, and ends with
a 1x1 convolution. Its expansion multiplies the channels of its own input.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nagjax.spaces import mobilenetv3


class Stage(NamedTuple):
  """What the layers of a stage have in common.

  Attributes:
    channels: of every layer's output, at width 1.
    stride: of the first layer.
    squeezes: whether the layers squeeze and excite.
  """

  channels: int
  stride: int
  squeezes: bool


class Network(NamedTuple):
  """The layers around the searched ones, and how wide all are.

  Attributes:
    stages: of the searched layers.
    first_channels: of the first convolution and the first block.
    first_stride: of the first convolution.
    final_channels: of the last convolution.
    num_features: of the layer before the classifier.
    num_classes: outputs.
    channels: of the image.
    image_size: pixels of an image's side.
  """

  stages: tuple[Stage, ...]
  first_channels: int
  first_stride: int
  final_channels: int
  num_features: int
  num_classes: int = 1000
  channels: int = 3
  image_size: int = 224


STAGES = (
  Stage(24, 2, False),
  Stage(40, 2, True),
  Stage(80, 2, False),
  Stage(112, 1, True),
  Stage(160, 2, True),
)
NETWORKS = {
  "imagenet": Network(STAGES, 16, 2, 960, 1280),
  "small32": Network(
    (
      Stage(8, 2, False),
      Stage(8, 1, True),
      Stage(8, 2, False),
      Stage(16, 1, True),
      Stage(16, 1, True),
    ),
    *(8, 2, 48, 64),
    num_classes=10,
    image_size=32,
  ),
}
"""The once-for-all network, and ours for images of 32 x 32 pixels: the same
architectures, two fewer strides, and as narrow as multiples of 8 channels
allow, so that minutes of a CPU train them."""


class Counts(NamedTuple):
  """Size of a network.

  Attributes:
    params: trained numbers, with scale and shift of every normalization and
      without its running statistics.
    macs: multiply-adds of convolutions and the classifier for one image.
  """

  params: int
  macs: int


def count(
  arch: Sequence[int],
  resolution: int | None = None,
  width: float = 1.0,
  network: Network = NETWORKS["imagenet"],
) -> Counts:
  """Counts one network.

  Args:
    arch: `int[20]`, an architecture of `mobilenetv3`.
    resolution: height and width of the image in pixels; the network's if None.
    width: factor of all numbers of channels; published are 1.0 and 1.2.
    network: the layers around.

  Returns:
    Parameters and multiply-adds.

  Raises:
    ValueError: if the vector is no architecture or a size is not positive.

  Example:
    >>> count([8] * 20)
    Counts(params=7664760, macs=566170656)
  """
  stages = mobilenetv3.to_stages(arch)
  costs = tables(resolution, width, network)
  total = costs.fixed.copy()
  for number, layers in enumerate(stages):
    for position, layer in enumerate(layers):
      place = number * mobilenetv3.MAX_DEPTH + position
      total += costs.layers[place, mobilenetv3.TYPES.index(layer)]
  return Counts(*total.tolist())


class Tables(NamedTuple):
  """What a network is the sum of: parameters and multiply-adds.

  Attributes:
    fixed: `int[2]` of the layers around.
    layers: `int[20, 10, 2]` of every layer of every type; zeros of none.
  """

  fixed: np.ndarray
  layers: np.ndarray


def tables(
  resolution: int | None = None,
  width: float = 1.0,
  network: Network = NETWORKS["imagenet"],
) -> Tables:
  """Costs of single layers, which do not depend on the other ones (host).

  See `count` for the arguments.

  Raises:
    ValueError: if a size is not positive.

  Example:
    >>> tables().layers.shape
    (20, 10, 2)
  """
  resolution = network.image_size if resolution is None else resolution
  if resolution < 1 or width <= 0:
    raise ValueError(
      f"resolution and width must be positive, got {resolution} and {width}."
    )
  size = -(-resolution // network.first_stride)
  channels = make_divisible(width * network.first_channels)
  fixed = convolution(network.channels, channels, 3, size)
  fixed += convolution(1, channels, 3, size)
  fixed += convolution(channels, channels, 1, size)
  rows = []
  for stage in network.stages:
    outputs = make_divisible(width * stage.channels)
    for position in range(mobilenetv3.MAX_DEPTH):
      small = -(-size // stage.stride) if position == 0 else size
      rows.append([np.zeros(2, int)])
      for kernel, expansion in reversed(mobilenetv3.TYPES):
        middle = make_divisible(channels * expansion)
        total = convolution(channels, middle, 1, size)
        total += convolution(1, middle, kernel, small)
        if stage.squeezes:
          total += _squeeze_and_excitation(middle)
        total += convolution(middle, outputs, 1, small)
        rows[-1].insert(0, total)
      channels, size = outputs, small
  final = make_divisible(width * network.final_channels)
  features = make_divisible(max(width, 1.0) * network.num_features)
  fixed += convolution(channels, final, 1, size)
  fixed += _linear(final, features, bias=False)
  fixed += _linear(features, network.num_classes)
  return Tables(fixed, np.asarray(rows))


def make_divisible(channels: float) -> int:
  """Rounds to a multiple of 8 (halves up), to at least 8 and 0.9 `channels`.

  Example:
    >>> make_divisible(19.2), make_divisible(28.8)
    (24, 32)
  """
  rounded = max(8, int(channels + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * channels else rounded


def convolution(
  inputs: int, outputs: int, kernel: int, size: int
) -> np.ndarray:
  """Parameters and multiply-adds of a normalized convolution, `int[2]`.

  A depthwise one has one input.

  Example:
    >>> convolution(16, 24, kernel=3, size=10).tolist()
    [3504, 345600]
  """
  weights = inputs * outputs * kernel**2
  return np.asarray([weights + 2 * outputs, weights * size**2])


def _linear(inputs: int, outputs: int, bias: bool = True) -> np.ndarray:
  weights = inputs * outputs
  return np.asarray([weights + bias * outputs, weights])


def _squeeze_and_excitation(channels: int) -> np.ndarray:
  """Two layers on the channels' means, over a quarter of the channels."""
  squeezed = make_divisible(channels // 4)
  return _linear(channels, squeezed) + _linear(squeezed, channels)
