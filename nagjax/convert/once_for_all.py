"""The published once-for-all MobileNetV3 super-networks, as ours.

Cai et al., "Once-for-All", ICLR 2020, https://arxiv.org/abs/1908.09791; its
files are `ofa_mbv3_d234_e346_k357_w1.0` and `.._w1.2`.
"""

from collections.abc import Mapping
import os
import re
from typing import Any

import jax
import jax.numpy as jnp

from nagjax.candidates import mobilenet_weights as ours
from nagjax.candidates.layers import Moments
from nagjax.candidates.layers import NormParams
from nagjax.convert.pickles import ConversionError
from nagjax.convert.state_dicts import Weights
from nagjax.convert.state_dicts import load_checkpoint
from nagjax.spaces import mobilenetv3_counts as counts

WIDTHS = (1.0, 1.2)
"""Published ones."""

_MARK = "first_conv.conv.weight"
_WRAPPERS = ("state_dict", "checkpoint")
"""Keys that may lead to the weights, one in another."""
_ADVICE = (
  "Pass an elastic super-network of width 1.0 or 1.2, with kernels of 7 and "
  "their two matrices."
)


def once_for_all_file(
  path: str | os.PathLike[str],
) -> tuple[ours.Config, ours.Model]:
  """Reads a published checkpoint; needs PyTorch.

  Returns:
    What `once_for_all` makes of it.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or no super-network.
  """
  content = load_checkpoint(path, "a once-for-all super-network")
  return once_for_all(content, path)


def once_for_all(
  content: Mapping[str, Any], source: str | os.PathLike[str] = "state_dict"
) -> tuple[ours.Config, ours.Model]:
  """Reads the weights of a published super-network.

  Args:
    content: arrays (anything that NumPy reads) by their published names, of
      this or of older versions of the program, or a dictionary around them.
    source: what to call it in errors.

  Returns:
    The layers around the searched ones, and the weights.

  Raises:
    ConversionError: naming the key, its expected and its found shape.
  """
  for wrapper in _WRAPPERS:
    if isinstance(content.get(wrapper), Mapping):
      content = content[wrapper]
  weights = Weights(
    {_renamed(key): value for key, value in content.items()},
    source,
    [_MARK],
    advice=_ADVICE,
  )
  config = _config(weights, source)
  reader = _Reader(weights)
  places = config.places
  channels = config.channels(config.network.first_channels)
  stem, stem_moments = reader.conv("first_conv", (channels, 3, 3, 3))
  depthwise, first_moments = reader.conv(
    "blocks.0.conv.depth_conv", (channels, 1, 3, 3)
  )
  linear, second_moments = reader.conv(
    "blocks.0.conv.point_linear", (channels, channels, 1, 1)
  )
  blocks, moments = [], []
  for number, place in enumerate(places):
    first = 1 + number // 2 * (ours.NUM_LATER + 1)
    found = [
      reader.block(f"blocks.{place_number}.conv", place)
      for place_number in (
        range(first + 1, first + 1 + ours.NUM_LATER) if number % 2 else [first]
      )
    ]
    if number % 2:
      found = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)]
    blocks.append(found[0][0])
    moments.append(found[0][1])
  final_channels = config.channels(config.network.final_channels)
  final, final_moments = reader.conv(
    "final_expand_layer", (final_channels, places[-1].outputs, 1, 1)
  )
  classes = config.network.num_classes
  mix = weights.array(
    "feature_mix_layer.conv.weight", config.num_features, final_channels, 1, 1
  )
  params = ours.Params(
    stem=stem,
    first=(depthwise, linear),
    blocks=tuple(blocks),
    final=final,
    mix=mix[:, :, 0, 0].T,
    classifier=weights.array(
      "classifier.linear.weight", classes, config.num_features
    ).T,
    bias=weights.array("classifier.linear.bias", classes),
  )
  statistics = ours.Statistics(
    stem_moments,
    (first_moments, second_moments),
    tuple(moments),
    final_moments,
  )
  return config, ours.Model(params, statistics)


class _Reader:
  """Layers by their published names."""

  def __init__(self, weights: Weights):
    self._weights = weights

  def conv(
    self, name: str, shape: tuple[int, int, int, int]
  ) -> tuple[ours.Conv, Moments]:
    """A convolution `[out, in, k, k]` and its normalization."""
    outputs, inputs, size, _ = shape
    weight = self._weights.array(f"{name}.conv.weight", *shape)
    # Taps first; a layer of one tap, or of one input, lacks that axis.
    weight = weight.transpose(2, 3, 1, 0)
    if size == 1:
      weight = weight.reshape(inputs, outputs)
    elif inputs == 1:
      weight = weight.reshape(size * size, outputs)
    else:
      weight = weight.reshape(size * size, inputs, outputs)
    parts = ("weight", "bias", "running_mean", "running_var")
    scale, shift, mean, variance = (
      self._weights.array(f"{name}.bn.{part}", outputs) for part in parts
    )
    return ours.Conv(weight, NormParams(scale, shift)), Moments(mean, variance)

  def block(
    self, name: str, place: ours.Place
  ) -> tuple[ours.Block, ours.BlockMoments]:
    """An elastic layer."""
    array = self._weights.array
    middle, squeezed = place.middles[-1], place.squeezed[-1]
    expand, expand_moments = self.conv(
      f"{name}.inverted_bottleneck", (middle, place.inputs, 1, 1)
    )
    depthwise, depthwise_moments = self.conv(
      f"{name}.depth_conv", (middle, 1, ours.MAX_KERNEL, ours.MAX_KERNEL)
    )
    project, project_moments = self.conv(
      f"{name}.point_linear", (place.outputs, middle, 1, 1)
    )
    squeeze = None
    if place.squeezes:
      layer = f"{name}.depth_conv.se.fc"
      squeeze = ours.Squeeze(
        array(f"{layer}.reduce.weight", squeezed, middle, 1, 1)[..., 0, 0].T,
        array(f"{layer}.reduce.bias", squeezed),
        array(f"{layer}.expand.weight", middle, squeezed, 1, 1)[..., 0, 0].T,
        array(f"{layer}.expand.bias", middle),
      )
    block = ours.Block(
      expand=expand,
      depthwise=depthwise,
      to_5=array(f"{name}.depth_conv.conv.7to5_matrix", 25, 25),
      to_3=array(f"{name}.depth_conv.conv.5to3_matrix", 9, 9),
      squeeze=squeeze,
      project=project,
    )
    return block, ours.BlockMoments(
      expand_moments, depthwise_moments, project_moments
    )


def _renamed(key: str) -> str:
  """A name of the newest program, whose wrappers repeat no word."""
  key = str(key).replace(".mobile_inverted_conv.", ".conv.")
  key = re.sub(r"\.(conv|bn)\.\1\.", r".\1.", key)
  # The matrices stand beside the wrapped weight: `depth_conv.conv`.
  return key


def _config(weights: Weights, source: str | os.PathLike[str]) -> ours.Config:
  """Width and classes, by the sizes of the first and the last layer."""
  channels = weights.array(_MARK, None, 3, 3, 3).shape[0]
  classes = weights.array("classifier.linear.bias", None).shape[0]
  network = counts.NETWORKS["imagenet"]._replace(num_classes=classes)
  for width in WIDTHS:
    config = ours.Config(network, width)
    if config.channels(network.first_channels) == channels:
      return config
  raise ConversionError(
    source, "16 or 24 channels of first_conv", f"{channels}", _ADVICE
  )
