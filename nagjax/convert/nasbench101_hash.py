"""The module hash that names cells in the files of NAS-Bench-101.

Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
ICML 2019, section 2.1, https://arxiv.org/abs/1902.09635
"""

from collections.abc import Sequence
import hashlib

import numpy as np

from nagjax.spaces import nasbench101

_LABELS = {
  nasbench101.INPUT: -1,
  nasbench101.OUTPUT: -2,
  **{name: label for label, name in enumerate(nasbench101.OPERATIONS)},
}


def module_hash(arch: Sequence[int]) -> str:
  """The hash of one cell, equal for isomorphic cells (host).

  Every vertex starts with a hash of its out-degree, in-degree and label; in
  each of `V` rounds it takes in the sorted hashes of its predecessors and of
  its successors. The result is the MD5 of the sorted list.

  Args:
    arch: `int[26]` a cell.

  Returns:
    32 hexadecimal digits.

  Raises:
    ValueError: if the vector is no cell.
  """
  matrix, names = nasbench101.to_matrix(arch)
  degrees = zip(matrix.sum(axis=1), matrix.sum(axis=0), names, strict=True)
  hashes = [
    _md5(str((int(leaving), int(entering), _LABELS[name])))
    for leaving, entering, name in degrees
  ]
  for _ in names:
    hashes = [
      _md5(
        f"{_joined(hashes, matrix[:, v])}|{_joined(hashes, matrix[v])}|{own}"
      )
      for v, own in enumerate(hashes)
    ]
  return _md5(str(sorted(hashes)))


def _joined(hashes: list[str], chosen: np.ndarray) -> str:
  return "".join(sorted(hashes[v] for v in np.flatnonzero(chosen)))


def _md5(text: str) -> str:
  return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
