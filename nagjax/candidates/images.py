"""Images for candidate networks: checks, and the split into three parts."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.candidates import train
from nagjax.types import Key

HELD_OUT_SHARE = 0.2
"""Of all images, to choose by, and again to judge by."""


CHANNELS = (1, 3, 4)
"""Of gray, colored and transparent images."""


class Labeled(NamedTuple):
  """Images on the host.

  Attributes:
    x: `f32[n, H, W, C]`, raw pixels.
    y: `int32[n]`, labels from 0 without a gap.
  """

  x: np.ndarray
  y: np.ndarray

  @property
  def num_classes(self) -> int:
    """Number of classes."""
    return int(self.y.max()) + 1


class Prepared(NamedTuple):
  """Images in three parts, and what they were normalized by.

  Attributes:
    split: the parts.
    mean, deviation: of each channel, `f32[channels]`.
  """

  split: train.Split
  mean: np.ndarray
  deviation: np.ndarray


def load(path: str | os.PathLike[str]) -> Labeled:
  """Reads `x` (uint8 or float `[n, H, W, C]`) and `y` (integers) of a .npz.

  Raises:
    FileError: if the file is damaged.
    ValueError: if it is missing, or `check` refuses it.
  """
  path = files.expand(path)
  if not path.is_file():
    raise ValueError(
      f"{path}: expected a .npz file with the arrays x and y, got no file."
    )
  any_numbers = files.Declared("biufcSU", None)
  arrays = files.read_arrays(path, {"x": any_numbers, "y": any_numbers})
  try:
    return check(arrays["x"], arrays["y"])
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error


def check(x: np.ndarray, y: np.ndarray) -> Labeled:
  """Checks images and labels.

  Args:
    x: uint8 or float `[n, H, W, C]`.
    y: integers `[n]`, classes from 0 without a gap.

  Raises:
    ValueError: saying what was expected and what came.
  """
  if x.ndim != 4 or min(x.shape) < 1:
    raise ValueError(
      f"x must have the shape [n, height, width, channels], got {x.shape}; a "
      "gray image has one channel."
    )
  if x.shape[-1] not in CHANNELS:
    hint = ""
    if x.shape[1] in CHANNELS:
      hint = "; move the channels to the end by x.transpose(0, 2, 3, 1)"
    raise ValueError(
      "x must have the shape [n, height, width, channels] with 1, 3 or 4 "
      f"channels, got {x.shape}{hint}."
    )
  if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
    raise ValueError(f"x must be uint8 or float, got {x.dtype}.")
  x = as_float32(x)
  if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
    raise ValueError(
      f"y must be {x.shape[0]} integers, one for each image, got {y.dtype} of "
      f"shape {y.shape}."
    )
  present = np.unique(y)
  if len(present) < 2:
    raise ValueError(
      f"y must have two classes or more, got {present.tolist()}."
    )
  if present[0] < 0 or present[-1] != len(present) - 1:
    raise ValueError(
      f"y must number its {len(present)} classes from 0 to {len(present) - 1} "
      f"without a gap, got labels from {present[0]} to {present[-1]}."
    )
  if x.max() == x.min():
    raise ValueError("x must not be constant.")
  return Labeled(x, y.astype(np.int32))


def as_float32(x: np.ndarray) -> np.ndarray:
  """Images as `float32`, in the shape `[...]` they have.

  Raises:
    ValueError: if a pixel is not finite there.
  """
  with np.errstate(over="ignore"):  # What float32 cannot hold is infinite.
    x = x.astype(np.float32)
  if not np.isfinite(x).all():
    raise ValueError("x must be finite as float32, got NaN or infinite values.")
  return x


def as_bytes(x: np.ndarray) -> np.ndarray:
  """The same images as `uint8[...]`, if all pixels are whole, 0 to 255."""
  if 0 <= x.min() and x.max() <= 255 and np.array_equal(x, np.floor(x)):
    return x.astype(np.uint8)
  return x


def default_sizes(num: int) -> tuple[int, int]:
  """Images to learn from and to choose by, of `num`; as many judge."""
  held_out = round(HELD_OUT_SHARE * num)
  return num - 2 * held_out, held_out


def order_of(key: Key, num: int) -> np.ndarray:
  """The order in which `split` divides `num` images, `int[num]` positions.

  Args:
    key: of `split`.
    num: of the images.
  """
  order_key = jax.random.split(key, 3)[0]
  return np.asarray(jax.random.permutation(order_key, num))


def split(
  key: Key,
  images: Labeled,
  *,
  num_train: int,
  num_valid: int,
  recipe: train.Recipe,
  num_views: int = 1,
) -> Prepared:
  """Normalizes and divides images into three parts.

  Images to choose and to judge by are augmented as those to learn from are, a
  fixed number of times: on small data sets that makes a harder task, whose
  results spread more.

  Args:
    key: random key, consumed.
    images: all of them; the order is drawn.
    num_train: images to learn from; their mean and deviation by channel
      normalize all.
    num_valid: images to choose by; the rest judges.
    recipe: says how images are augmented.
    num_views: augmented copies of every image; 0 for the images as they are.

  Raises:
    ValueError: if a part would be empty, or the first lacks a class.
  """
  num = len(images.y)
  if num_train < 1 or num_valid < 1 or num_train + num_valid >= num:
    raise ValueError(
      f"num_train and num_valid must leave some of the {num} images, got "
      f"{num_train} and {num_valid}."
    )
  _, valid_key, test_key = jax.random.split(key, 3)
  order = order_of(key, num)
  x, y = images.x[order], images.y[order]
  if len(np.unique(y[:num_train])) < images.num_classes:
    raise ValueError(
      f"Some of the {images.num_classes} classes have no image among the "
      f"{num_train} to learn from; more of them must be."
    )
  axes = (0, 1, 2)
  mean = x[:num_train].mean(axes, dtype=np.float64).astype(np.float32)
  deviation = x[:num_train].std(axes, dtype=np.float64).astype(np.float32)
  deviation = np.where(deviation > 0, deviation, np.float32(1))
  x = (x - mean) / deviation

  def views(view_key: Key, part: slice) -> train.Images:
    if num_views == 0:
      return train.Images(jnp.asarray(x[part]), jnp.asarray(y[part]))
    copies = jnp.asarray(np.concatenate([x[part]] * num_views))
    labels = jnp.asarray(np.concatenate([y[part]] * num_views))
    return train.Images(train.augment(view_key, copies, recipe), labels)

  end = num_train + num_valid
  parts = train.Split(
    train=train.Images(jnp.asarray(x[:num_train]), jnp.asarray(y[:num_train])),
    valid=views(valid_key, slice(num_train, end)),
    test=views(test_key, slice(end, None)),
  )
  return Prepared(parts, mean, deviation)
