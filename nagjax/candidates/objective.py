"""A training-free score as a benchmark: `zerocost/<score>@<space>`.

A query builds the network of a cell, draws its weights and scores it on one
fixed batch of images; nothing is trained and no table is read. The key and the
batch belong to the benchmark, so a cell has one value, as in a table.
"""

from flax import struct
import jax
import jax.numpy as jnp

from nagjax.candidates import cells
from nagjax.candidates import zerocost as scores
from nagjax.candidates.train import Images
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key

IMAGE_SHAPE = (8, 8, 1)
"""Height, width and channels of the images of the default batch."""
NUM_IMAGES = 32
"""Images of the default batch."""
NUM_CLASSES = 10
"""Labels of the default batch."""
NUM_CHANNELS = 8
"""Width of the first stage of the default network."""

_SPACES = {"nasbench201": nasbench201.nasbench201}
_COARSE = 4
"""Rows and columns of the noise that the default images interpolate."""


@struct.dataclass
class ZeroCost:
  """A `Benchmark` whose only column is a training-free score.

  The column is what a search maximises: the score, negated where smaller is
  better (`zerocost.SCORES`). There is no test column. Cells are scored one
  after another, so memory does not grow with their number, unless `batch_size`
  of them are scored side by side: faster on an accelerator. Under `vmap` the
  cells of all lanes are scored side by side.

  Attributes:
    key: draws the weights; every cell gets the same key.
    images: the batch.
    score: a name in `zerocost.SCORES`; the objective.
    space: the search space.
    config: the network around the cell.
    batch_size: how many cells are scored side by side; None for one.
  """

  key: Key
  images: Images
  score: str = struct.field(pytree_node=False)
  space: SearchSpace = struct.field(pytree_node=False)
  config: cells.Config = struct.field(pytree_node=False)
  batch_size: int | None = struct.field(pytree_node=False, default=None)

  @property
  def name(self) -> str:
    """Name in the registry."""
    return f"zerocost/{self.score}@{self.space.name}"

  @property
  def objective(self) -> str:
    """The score's name."""
    return self.score

  @property
  def test(self) -> None:
    """There is no test column."""
    return None

  @property
  def units(self) -> tuple[tuple[str, str], ...]:
    """Unit of the score, if it has one."""
    unit = scores.find(self.score).unit
    return ((self.score, unit),) if unit else ()

  @property
  def num_rows(self) -> int:
    """One row for each architecture of the space."""
    return self.space.num_architectures

  def identities(self, archs: Archs) -> jax.Array:
    """Index of each architecture, `int32[..., L] -> int32[...]`."""
    return self.space.index(archs)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """The score of each architecture, `int32[..., L] -> f32[...]`."""
    sign = scores.find(self.score).sign

    def one(arch: Archs) -> jax.Array:
      return sign * scores.evaluate(
        self.key, arch, self.images, self.config, score=self.score
      )

    flat = archs.reshape(-1, archs.shape[-1])
    values = jax.lax.map(one, flat, batch_size=self.batch_size)
    return {self.score: values.reshape(archs.shape[:-1])}

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Nothing: a score has no test metric."""
    del archs
    return {}

  def architectures(self) -> None:
    """None, so that nobody scores the whole space to learn its optimum."""
    return None


def zerocost(
  score: str,
  space_name: str,
  *,
  key: Key,
  images: Images | None = None,
  config: cells.Config | None = None,
  batch_size: int | None = None,
) -> ZeroCost:
  """Returns the benchmark `zerocost/<score>@<space>`.

  Args:
    score: a name in `zerocost.SCORES`.
    space_name: "nasbench201".
    key: random key that draws the weights of every network.
    images: the batch; `synthetic_images` if there is none.
    config: the network around the cell. By default one cell a stage and
      `NUM_CHANNELS` channels, for the shape and the labels of the images.
    batch_size: how many cells are scored side by side; None for one.

  Raises:
    ValueError: if the score or the space is unknown, or if the images do not
      suit the network.

  Example:
    >>> benchmark = zerocost("naswot", "nasbench201", key=jax.random.key(0))
    >>> benchmark.name
    'zerocost/naswot@nasbench201'
  """
  scores.find(score)
  if space_name not in _SPACES:
    known = ", ".join(sorted(_SPACES))
    raise ValueError(f"space must be one of {known}, got {space_name!r}.")
  if config is None:
    config = _default_config(images)
  if images is None:
    images = synthetic_images(config)
  images = Images(
    jnp.asarray(images.x, jnp.float32), jnp.asarray(images.y, jnp.int32)
  )
  if images.x.shape[1:] != config.image_shape or images.y.ndim != 1:
    raise ValueError(
      f"images must have the shape [B, *{config.image_shape}] and labels the "
      f"shape [B], got {images.x.shape} and {images.y.shape}."
    )
  if images.x.shape[0] != images.y.shape[0] or images.y.shape[0] < 1:
    raise ValueError(
      "There must be a label for each image and at least one image, got "
      f"{images.x.shape[0]} images and {images.y.shape[0]} labels."
    )
  return ZeroCost(
    key=key,
    images=images,
    score=score,
    space=_SPACES[space_name](),
    config=config,
    batch_size=batch_size,
  )


def synthetic_images(
  config: cells.Config, num_images: int = NUM_IMAGES
) -> Images:
  """A batch that is no data set: smooth random images from a fixed key.

  Gaussian noise on a grid of 4x4 pixels, interpolated to the size of the
  images, each channel with mean 0 and variance 1 over the batch. The labels
  count through the classes and say nothing about the images.

  Args:
    config: gives the shape of the images and the number of classes.
    num_images: `B`.
  """
  height, width, channels = config.image_shape
  coarse = jax.random.normal(
    jax.random.key(0), (num_images, _COARSE, _COARSE, channels)
  )
  x = jax.image.resize(coarse, (num_images, height, width, channels), "linear")
  x = x - jnp.mean(x, axis=(0, 1, 2), keepdims=True)
  x = x / jnp.std(x, axis=(0, 1, 2), keepdims=True)
  labels = jnp.arange(num_images, dtype=jnp.int32) % config.num_classes
  return Images(x, labels)


def _default_config(images: Images | None) -> cells.Config:
  shape, num_classes = IMAGE_SHAPE, NUM_CLASSES
  if images is not None:
    if jnp.ndim(images.x) != 4 or jnp.size(images.y) == 0:
      raise ValueError(
        "images must have the shape [B, H, W, C], at least one, got "
        f"{jnp.shape(images.x)}."
      )
    _, height, width, channels = images.x.shape
    shape = (height, width, channels)
    num_classes = max(2, int(jnp.max(images.y)) + 1)
  return cells.Config(
    image_shape=shape,
    num_classes=num_classes,
    num_channels=NUM_CHANNELS,
    num_cells=1,
  )
