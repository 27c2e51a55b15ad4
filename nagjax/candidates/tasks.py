"""Tasks for meta-learning: small data sets that are drawn from larger ones.

A predictor that reads images (Lee, Hyung and Hwang, "Rapid Neural Architecture
Search by Learning to Generate Graphs from Datasets", ICLR 2021,
https://arxiv.org/abs/2107.00860, section 4) learns from many data sets, of
which each says how some architectures do. Here a task is some classes of an
image file, some of their images, seen small and at times gray.

All tasks of one resolution have arrays of one shape, so that one compiled
program trains on all: images are repeated where a task has fewer, and outputs
beyond its classes are never asked for.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import images as images_lib
from nagjax.candidates import train
from nagjax.types import Key

NUM_CHANNELS = 3
"""Of the images that a task shows; gray ones have it three times."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What tasks are drawn from.

  Attributes:
    resolutions: pixels of a side; a resolution is drawn as often as its number
      of pixels is small, so that each costs the same time.
    min_classes, max_classes: of a task, drawn uniformly; more, up to the
      latter, where they have too few images for `min_train`.
    min_train, max_train: images to learn from, drawn uniformly, and cut to
      three fifths of what the classes have.
    max_valid: images to choose by, of the rest.
    gray_share: of the tasks of colored images that are seen gray.
  """

  resolutions: tuple[int, ...] = (8, 12, 16)
  min_classes: int = 4
  max_classes: int = 10
  min_train: int = 250
  max_train: int = 400
  max_valid: int = 1000
  gray_share: float = 0.25

  def __post_init__(self) -> None:
    if not self.resolutions or min(self.resolutions) < 4:
      raise ValueError(
        f"resolutions must be numbers from 4, got {self.resolutions}."
      )
    ranges = {
      "classes": (2, self.min_classes, self.max_classes),
      "train": (self.max_classes, self.min_train, self.max_train),
    }
    for name, (least, low, high) in ranges.items():
      if not least <= low <= high:
        raise ValueError(
          f"min_{name} and max_{name} must be ordered and at least {least}, "
          f"got {low} and {high}."
        )
    if self.max_valid < 1 or not 0 <= self.gray_share <= 1:
      raise ValueError(
        "max_valid must be positive and gray_share from 0 to 1, got "
        f"{self.max_valid} and {self.gray_share}."
      )


class Task(NamedTuple):
  """A data set, as rows of a larger one.

  Attributes:
    resolution: pixels of a side.
    gray: whether it is seen without its colors.
    classes: `int[c]` labels of the larger one; `classes[i]` has the label `i`.
    train: `int[n]` rows of the images to learn from.
    valid: `int[m]` rows of those to choose by.
  """

  resolution: int
  gray: bool
  classes: np.ndarray
  train: np.ndarray
  valid: np.ndarray


def draw(
  rng: np.random.Generator, images: images_lib.Labeled, limits: Limits
) -> Task:
  """Draws a task; its classes have about equal shares of every part.

  Args:
    rng: of NumPy; advanced.
    images: the larger data set.
    limits: what is drawn from.

  Raises:
    ValueError: if the images have too few of every class.
  """
  sizes = np.asarray(limits.resolutions)
  shares = 1 / sizes.astype(np.float64) ** 2
  resolution = int(rng.choice(sizes, p=shares / shares.sum()))
  most = min(limits.max_classes, images.num_classes)
  least = min(limits.min_classes, most)
  num_classes = int(rng.integers(least, most + 1))
  order = rng.permutation(images.num_classes)
  total = np.cumsum(np.bincount(images.y, minlength=len(order))[order])
  enough = int(np.searchsorted(3 * total, 5 * limits.min_train)) + 1
  num_classes = min(max(num_classes, enough), most)
  classes = np.sort(order[:num_classes])
  num_train = int(rng.integers(limits.min_train, limits.max_train + 1))
  gray = bool(rng.random() < limits.gray_share)

  # The first image of each class, then the second of each, and so on.
  rows = [rng.permutation(np.flatnonzero(images.y == c)) for c in classes]
  turn = np.concatenate([np.arange(len(r)) for r in rows])
  joined = np.concatenate(rows)
  joined = joined[np.lexsort((rng.random(len(joined)), turn))]
  num_train = min(num_train, 3 * len(joined) // 5)
  if num_train < 2 * num_classes:
    raise ValueError(
      f"{num_classes} classes have {len(joined)} images: a task takes four of "
      "a class, or more."
    )
  return Task(
    resolution=resolution,
    gray=gray or images.x.shape[-1] == 1,
    classes=classes,
    train=joined[:num_train],
    valid=joined[num_train : num_train + limits.max_valid],
  )


def look(task: Task, x: np.ndarray) -> np.ndarray:
  """Images as a task shows them.

  Args:
    task: says how.
    x: `f32[n, H, W, C]` with 1, 3 or 4 channels, the last transparency, which
      is left out.

  Returns:
    `f32[n, R, R, 3]`, squashed to squares.
  """
  x = x[..., :NUM_CHANNELS]
  if task.gray:
    x = x.mean(axis=-1, keepdims=True)
  small = jax.image.resize(
    jnp.asarray(x),
    (len(x), task.resolution, task.resolution, x.shape[-1]),
    "linear",
    antialias=True,
  )
  return np.broadcast_to(np.asarray(small), (*small.shape[:3], NUM_CHANNELS))


def prepare(
  key: Key,
  task: Task,
  images: images_lib.Labeled,
  limits: Limits,
  recipe: train.Recipe,
) -> tuple[train.Images, train.Images]:
  """Images to learn from and to choose by, `max_train` and `max_valid` of them.

  Normalized by channel, by the mean and deviation of those to learn from. Where
  a task has fewer, they are repeated; those to choose by are augmented as the
  others will be, every repetition anew, see `images.split`.

  Args:
    key: random key, consumed.
    task: what is shown.
    images: what it was drawn from.
    limits: what it was drawn by.
    recipe: says how images are augmented.
  """
  parts = []
  learned = look(task, images.x[task.train])
  mean = learned.mean((0, 1, 2), dtype=np.float64).astype(np.float32)
  deviation = learned.std((0, 1, 2), dtype=np.float64).astype(np.float32)
  deviation = np.where(deviation > 0, deviation, np.float32(1))
  for x, rows, num in (
    (learned, task.train, limits.max_train),
    (look(task, images.x[task.valid]), task.valid, limits.max_valid),
  ):
    chosen = np.resize(np.arange(len(rows)), num)
    labels = np.searchsorted(task.classes, images.y[rows])
    parts.append(
      train.Images(
        jnp.asarray(((x - mean) / deviation)[chosen]),
        jnp.asarray(labels[chosen], jnp.int32),
      )
    )
  learn, choose = parts
  return learn, choose._replace(x=train.augment(key, choose.x, recipe))
