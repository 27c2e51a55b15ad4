"""Images that a user names, and how they are divided."""

import jax
import numpy as np

from nagjax import arrays
from nagjax.candidates import images as images_lib

from .errors import UsageError
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


def shrink(
  labeled: images_lib.Labeled,
  *,
  resolution: int | None = None,
  num_images: int | None = None,
) -> tuple[images_lib.Labeled, np.ndarray]:
  """Fewer and smaller images, for quick trainings.

  Args:
    labeled: the images.
    resolution: most pixels of the longer side, which others are resized to.
    num_images: about how many; of every class the same number at most, drawn
      from a fixed seed.

  Returns:
    The images, and their positions among all, `int[n]`.

  Raises:
    UsageError: if there are fewer images than two a class.
  """
  rows = np.arange(len(labeled.y))
  if num_images is not None and num_images < len(rows):
    most = num_images // labeled.num_classes
    if most < 2:
      raise UsageError(
        f"--num_images must be at least two for each of the "
        f"{labeled.num_classes} classes, got {num_images}."
      )
    drawn = np.random.default_rng(SPLIT_SEED).permutation(rows)
    rows = np.sort(
      np.concatenate(
        [
          drawn[labeled.y[drawn] == label][:most]
          for label in range(labeled.num_classes)
        ]
      )
    )
  x, longer = labeled.x[rows], max(labeled.x.shape[1:3])
  if resolution is not None and resolution < longer:
    height, width = (
      max(1, round(side * resolution / longer)) for side in x.shape[1:3]
    )
    shape = (len(x), height, width, x.shape[3])
    x = np.asarray(jax.image.resize(x, shape, "linear"))
  return images_lib.Labeled(x, labeled.y[rows]), rows


def digest(x: np.ndarray, y: np.ndarray) -> str:
  """SHA-256 of images and labels."""
  return arrays.digest((x, y))
