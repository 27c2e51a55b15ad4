"""NATS-Bench's size space: the widths of a network of five parts.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for
Architecture Topology and Size", TPAMI 2021,
https://arxiv.org/abs/2009.00437

An architecture is the vector of five choices out of `WIDTHS`, numbers of
channels; its official string has them in this order, `8:16:64:8:8`, and the
official index is their mixed-radix number, the first one slowest. Graphs and
features are those of any space, see `generic`.
"""

from collections.abc import Sequence
import functools
import re

import numpy as np

from nagjax.spaces import base

WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
NUM_PARTS = 5

_PATTERN = re.compile(r"\d{1,2}(:\d{1,2}){4}")


@functools.cache
def nats_size() -> base.SearchSpace:
  """Returns the space of all 32,768 combinations of widths.

  Example:
    >>> nats_size().num_architectures
    32768
  """
  return base.SearchSpace(
    name="nats_size",
    cardinalities=(len(WIDTHS),) * NUM_PARTS,
    to_string=to_string,
    from_string=from_string,
  )


def to_string(arch: Sequence[int]) -> str:
  """Names one architecture as the official files do.

  Example:
    >>> to_string([0, 1, 7, 0, 0])
    '8:16:64:8:8'
  """
  return ":".join(str(WIDTHS[k]) for k in arch)


def from_string(string: str) -> np.ndarray:
  """Inverse of `to_string`, `int32[5]`.

  Raises:
    ValueError: if the string has another form or another width.

  Example:
    >>> from_string("8:16:64:8:8").tolist()
    [0, 1, 7, 0, 0]
  """
  found = string.strip()
  widths = (
    [int(width) for width in found.split(":")]
    if (_PATTERN.fullmatch(found))
    else []
  )
  if not widths or not {*widths} <= {*WIDTHS}:
    raise ValueError(
      f"An architecture of the size space is {NUM_PARTS} of the widths "
      f"{', '.join(map(str, WIDTHS))}, such as '8:16:64:8:8', got "
      f"{string[:80]!r}."
    )
  return np.asarray([WIDTHS.index(width) for width in widths], np.int32)
