"""Images that a user names, and how they are divided."""

import hashlib

import numpy as np

from nagjax.candidates import images as images_lib

from .errors import user_errors
from .program import require_extra

SPLIT_SEED = 0
"""Of the division into images to learn from, to choose by and to judge by."""


def read(name: str) -> images_lib.Labeled:
  """Reads scikit-learn's digits, or a file.

  Raises:
    UsageError: if the images are refused.
  """
  if name == "digits":
    require_extra("sklearn")
    from sklearn import datasets  # Optional: the extra `experiments`.

    found = datasets.load_digits()
    return images_lib.check(
      found.images[..., None].astype(np.float32), found.target
    )
  with user_errors("--images: "):
    return images_lib.load(name)


def digest(*arrays: np.ndarray) -> str:
  """SHA-256 of shapes, types and contents."""
  found = hashlib.sha256()
  for array in arrays:
    found.update(repr((array.shape, array.dtype.str)).encode())
    found.update(np.ascontiguousarray(array).tobytes())
  return found.hexdigest()
