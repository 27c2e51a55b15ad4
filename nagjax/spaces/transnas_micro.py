"""TransNAS-Bench-101, micro: cells whose edges carry one of four operations.

Duan et al., "TransNAS-Bench-101: Improving Transferability and Generalizability
of Cross-Task Neural Architecture Search", CVPR 2021,
https://arxiv.org/abs/2105.11871

An architecture is the vector of the digits of its official string
`64-41414-a_bc_def`: the operations of the edges 0->1, 0->2, 1->2, 0->3, 1->3,
2->3, numbered as in `OPERATIONS`. The skeleton `64-41414` is fixed: five
modules of two cells, of which the first, the third and the fifth halve the
resolution and double the channels. All 4,096 strings are rows of the tables,
whether their cells are connected or not.

Operations have the names of NAS-Bench-201's, in its order and without pooling.
Where a cell changes the resolution or the channels, a skip connection from the
input is a projection, which NAS-Bench-201 never has.
"""

from collections.abc import Sequence
import functools
import re

import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import edge_cells
from nagjax.types import Archs

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
NUM_EDGES = edge_cells.NUM_EDGES
SKELETON = "64-41414"

GENERATED_LABELS = (
  "output",
  "input",
  "nor_conv_1x1",
  "nor_conv_3x3",
  "skip_connect",
  "none",
)
"""Node types of generated graphs, in the order of AG-Net's NAS-Bench-201."""

_PATTERN = re.compile(SKELETON + r"-(\d)_(\d)(\d)_(\d)(\d)(\d)")


@functools.cache
def transnas_micro() -> base.SearchSpace:
  """Returns the space of all 4,096 cells.

  Its features are the 6 x 4 one-hot matrix of EDNAG's program, whose rows are
  the edges, decoded by the arg-max of its rows.

  Example:
    >>> transnas_micro().num_architectures
    4096
  """
  return base.SearchSpace(
    name="transnas_micro",
    cardinalities=(len(OPERATIONS),) * NUM_EDGES,
    to_string=to_string,
    from_string=from_string,
    to_soft_graph=edge_cells.soft_graph,
    canonicalize=canonicalize,
    layout=edge_cells.layout(OPERATIONS, GENERATED_LABELS),
    operations=OPERATIONS,
  )


def to_string(arch: Sequence[int]) -> str:
  """Names one cell as the official file does.

  Example:
    >>> to_string([1, 0, 2, 3, 3, 3])
    '64-41414-1_02_333'
  """
  a, b, c, d, e, f = arch
  return f"{SKELETON}-{a}_{b}{c}_{d}{e}{f}"


def from_string(string: str) -> np.ndarray:
  """Reads an official string into `int32[6]`.

  Raises:
    ValueError: if the string is none, or has another skeleton.

  Example:
    >>> from_string("64-41414-1_02_333").tolist()
    [1, 0, 2, 3, 3, 3]
  """
  match = _PATTERN.fullmatch(string.strip())
  arch = [int(digit) for digit in match.groups()] if match else []
  if match is None or max(arch) >= len(OPERATIONS):
    raise ValueError(
      "A TransNAS-Bench-101 cell looks like '64-41414-1_02_333', with digits "
      f"0..{len(OPERATIONS) - 1} for {', '.join(OPERATIONS)}; got "
      f"{string[:80]!r}."
    )
  return np.asarray(arch, np.int32)


def canonicalize(archs: Archs) -> Archs:
  """Maps each cell to the first cell that is the same network.

  See `edge_cells.representatives` for the rule; skip connections from the input
  stay, as they are projections in three of the ten cells. It leaves 1,696
  classes. The official table has 2,963 different rows: some isomorphic cells
  share a training run, others were trained apart.

  Example:
    >>> import jax
    >>> jax.jit(canonicalize)(np.asarray([3, 0, 0, 0, 0, 0])).tolist()
    [0, 0, 0, 0, 0, 0]
  """
  space = transnas_micro()
  representative = jnp.asarray(_representatives())
  return space.from_index(representative[space.index(archs)])


@functools.cache
def _representatives() -> np.ndarray:
  """Index of the representative of every cell, `int32[4096]`."""
  cells = transnas_micro().all_architectures()
  return edge_cells.representatives(cells, OPERATIONS, input_skips=False)
