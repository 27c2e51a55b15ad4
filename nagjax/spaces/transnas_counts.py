"""Parameters and multiply-adds of TransNAS-Bench-101's backbones (host).

Duan et al., CVPR 2021, https://arxiv.org/abs/2105.11871, after its program. A
backbone maps an image to features; what a task puts on top is not counted. Its
stem is two 3x3 convolutions of stride 2, to 32 and to 64 channels. A module has
two cells, of which the first changes the resolution and the channels. A cell of
the macro space is two 3x3 convolutions beside a shortcut, which is a 1x1
convolution where something changes; in one of the micro space the edges from
the input change what changes, a skip connection by two 1x1 convolutions to half
of the channels each. Every convolution is normalized.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nagjax.spaces import edge_cells
from nagjax.spaces import transnas_macro
from nagjax.spaces import transnas_micro
from nagjax.spaces.mobilenetv3_counts import Counts
from nagjax.spaces.mobilenetv3_counts import convolution

RESOLUTION = 256
"""Height and width of the images of all tasks but Jigsaw, whose tiles have
64."""
STEM_CHANNELS = (32, 64)

_MICRO_MODULES = transnas_micro.SKELETON.partition("-")[2]


class _Cell(NamedTuple):
  """What one cell makes of its input."""

  inputs: int
  outputs: int
  halves: bool
  size: int


def count_micro(arch: Sequence[int], resolution: int = RESOLUTION) -> Counts:
  """Counts the backbone of one cell of `transnas_micro`.

  Args:
    arch: `int[6]`.
    resolution: height and width of the image in pixels.

  Raises:
    ValueError: if the vector is no architecture or the size not positive.

  Example:
    >>> count_micro([3, 3, 3, 3, 3, 3])
    Counts(params=41411616, macs=8469872640)
  """
  space = transnas_micro.transnas_micro()
  operations = space.from_string(space.to_string(arch)).tolist()
  total, cells = _skeleton(_MICRO_MODULES, resolution)
  for cell in cells:
    for op, source in zip(operations, edge_cells.SOURCES, strict=True):
      total = total + _edge(cell, transnas_micro.OPERATIONS[op], source == 0)
  return Counts(*total.tolist())


def count_macro(arch: Sequence[int], resolution: int = RESOLUTION) -> Counts:
  """Counts the backbone of one skeleton of `transnas_macro`.

  Args:
    arch: `int[6]`.
    resolution: height and width of the image in pixels.

  Raises:
    ValueError: if the vector is no architecture or the size not positive.

  Example:
    >>> count_macro([1, 2, 0, 0, 4, 4])
    Counts(params=2334240, macs=4065853440)
  """
  string = transnas_macro.transnas_macro().to_string(arch)
  total, cells = _skeleton(string.split("-")[1], resolution)
  for cell in cells:
    total = total + convolution(cell.inputs, cell.outputs, 3, cell.size)
    total += convolution(cell.outputs, cell.outputs, 3, cell.size)
    if cell.halves or cell.inputs != cell.outputs:
      total += convolution(cell.inputs, cell.outputs, 1, cell.size)
  return Counts(*total.tolist())


def _edge(cell: _Cell, operation: str, from_input: bool) -> np.ndarray:
  inputs = cell.inputs if from_input else cell.outputs
  changes = from_input and (cell.halves or inputs != cell.outputs)
  is_identity = operation == edge_cells.SKIP and not changes
  if operation == edge_cells.NONE or is_identity:
    return np.zeros(2, int)
  # A projecting skip connection is as large as a 1x1 convolution.
  kernel = 3 if operation == "nor_conv_3x3" else 1
  return convolution(inputs, cell.outputs, kernel, cell.size)


def _skeleton(modules: str, resolution: int) -> tuple[np.ndarray, list[_Cell]]:
  """Counts of the stem, and the cells behind it."""
  if resolution < 1:
    raise ValueError(f"resolution must be positive, got {resolution}.")
  channels, size, total = 3, resolution, np.zeros(2, int)
  for outputs in STEM_CHANNELS:
    size = -(-size // 2)
    total = total + convolution(channels, outputs, 3, size)
    channels = outputs
  cells = []
  for digit in modules:
    outputs = channels * (2 if digit in "24" else 1)
    halves = digit in "34"
    size = -(-size // 2) if halves else size
    cells.append(_Cell(channels, outputs, halves, size))
    cells.append(_Cell(outputs, outputs, False, size))
    channels = outputs
  return total, cells
