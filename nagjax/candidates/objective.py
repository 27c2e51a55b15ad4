"""A training-free score as a benchmark: `zerocost/<score>@<space>`.

A query builds the network of an architecture, draws its weights and scores it
on one fixed batch of images; nothing is trained and no table is read. The key
and the batch belong to the benchmark, so an architecture has one value, as in a
table.

`zerocost/tenas@darts` has two scores, `ntk` and `regions`, and a column `tenas`
for whoever needs one number: the logarithm of regions over condition number.
TE-NAS itself adds up ranks, which depend on what else was scored, so a search
by them asks for all `objectives`.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks.catalog import Table
from nagjax.candidates import cells
from nagjax.candidates import darts_scores
from nagjax.candidates import elastic_scores
from nagjax.candidates import images as images_lib
from nagjax.candidates import zerocost as scores
from nagjax.candidates.train import Images
from nagjax.spaces import autoformer
from nagjax.spaces import darts
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key

IMAGE_SHAPE = (8, 8, 1)
"""Height, width and channels of the images of the default batch; for `darts`
`darts_scores.QUICK` has them, as it has the network."""
NUM_IMAGES = 32
"""Images of the default batch; for `darts` `darts_scores.NUM_IMAGES`."""
NUM_CLASSES = 10
"""Labels of the default batch."""
NUM_CHANNELS = 8
"""Width of the first stage of the default network."""

Config = cells.Config | darts_scores.Setting | elastic_scores.Setting
"""What is around a cell of NAS-Bench-201 and of DARTS; super-networks."""

_COARSE = 4
"""Rows and columns of the noise that the default images interpolate."""


@struct.dataclass
class ZeroCost:
  """A `Benchmark` whose columns are training-free scores, mostly one.

  A column is what a search maximizes: the score, negated where smaller is
  better (`zerocost.SCORES`, `darts_scores.SCORES`). Where there are several,
  one more is the sum of their logarithms. There is no test column. What a query
  costs is one evaluation, however many scores it gives.
  Architectures are scored one after another, so memory does not grow with their
  number, unless `batch_size` of them are scored side by side: faster on an
  accelerator. Under `vmap` those of all lanes are scored side by side.

  Attributes:
    key: draws the weights; every architecture gets the same key.
    images: the batch.
    score: a name in `score_names`.
    space: the search space.
    config: the network around the cell.
    batch_size: how many are scored side by side; None for one.
  """

  key: Key
  images: Images
  score: str = struct.field(pytree_node=False)
  space: SearchSpace = struct.field(pytree_node=False)
  config: Config = struct.field(pytree_node=False)
  batch_size: int | None = struct.field(pytree_node=False, default=None)

  @property
  def name(self) -> str:
    """Name in the registry."""
    return f"zerocost/{self.score}@{self.space.name}"

  @property
  def columns(self) -> tuple[str, ...]:
    """The scores that make up a query."""
    return _SPACES[self.space.name].names()[self.score]

  @property
  def objective(self) -> str:
    """The score's name."""
    return self.score

  @property
  def objectives(self) -> tuple[str, ...]:
    """`objective`, then the scores that it sums up, if there are several."""
    several = self.columns if len(self.columns) > 1 else ()
    return self.objective, *several

  @property
  def test(self) -> None:
    """There is no test column."""
    return None

  @property
  def units(self) -> tuple[tuple[str, str], ...]:
    """Units of the scores that have one."""
    find = _SPACES[self.space.name].find
    pairs = [(column, find(column).unit) for column in self.columns]
    return tuple((column, unit) for column, unit in pairs if unit)

  @property
  def num_rows(self) -> int | None:
    """One for each architecture of the space; None if they are too many."""
    space = self.space
    return space.num_architectures if space.enumerable else None

  def identities(self, archs: Archs) -> jax.Array:
    """Index of each architecture `int32[...]`, or its key `uint32[..., 2]`."""
    space = self.space
    return space.index(archs) if space.enumerable else space.keys(archs)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """The scores of each architecture, `int32[..., L] -> f32[...]`."""
    space = _SPACES[self.space.name]
    signs = {column: space.find(column).sign for column in self.columns}

    def one(arch: Archs) -> dict[str, jax.Array]:
      evaluate = functools.partial(
        space.evaluate, self.key, arch, self.images, self.config
      )
      found = {column: evaluate(score=column) for column in signs}
      result = {column: signs[column] * found[column] for column in signs}
      if len(signs) > 1:
        logs = [signs[column] * jnp.log(found[column]) for column in signs]
        result[self.objective] = jnp.sum(jnp.stack(logs))
      return result

    flat = archs.reshape(-1, archs.shape[-1])
    values = jax.lax.map(one, flat, batch_size=self.batch_size)
    return jax.tree.map(lambda v: v.reshape(archs.shape[:-1]), values)

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """No columns, `int32[..., L] -> {}`: a score has no test metric."""
    del archs
    return {}

  def architectures(self) -> None:
    """None, so that nobody scores the whole space to learn its optimum."""
    return None


def space_names() -> list[str]:
  """Names of the spaces whose architectures can be scored."""
  return sorted(_SPACES)


def score_names(space_name: str) -> list[str]:
  """Names of the scores of a space."""
  return sorted(_SPACES[space_name].names())


def zerocost(
  score: str,
  space_name: str,
  *,
  key: Key,
  images: Images | None = None,
  config: Config | None = None,
  batch_size: int | None = None,
) -> ZeroCost:
  """Returns the benchmark `zerocost/<score>@<space>`.

  Args:
    score: a name in `zerocost.SCORES`; of `darts_scores.NAMES` for `darts`, of
      `elastic_scores.SCORES` for transformers and MobileNetV3.
    space_name: "darts", "nasbench201", "mobilenetv3" or "autoformer/<size>".
    key: random key that draws the weights of every network.
    images: the batch; `synthetic_images` if there is none.
    config: the network around the cell, for the shape and the labels of the
      images. By default one cell a stage and `NUM_CHANNELS` channels; for
      `darts` `darts_scores.QUICK`, for `mobilenetv3` the network for images
      of 32 pixels.
    batch_size: how many are scored side by side; None for one.

  Raises:
    ValueError: if the score or the space is unknown, or if the images do not
      suit the network.

  Example:
    >>> benchmark = zerocost("naswot", "nasbench201", key=jax.random.key(0))
    >>> benchmark.name
    'zerocost/naswot@nasbench201'
  """
  if space_name not in _SPACES:
    known = ", ".join(space_names())
    raise ValueError(f"space must be one of {known}, got {space_name!r}.")
  space = _SPACES[space_name]
  if score not in space.names():
    known = ", ".join(score_names(space_name))
    raise ValueError(f"score must be one of {known}, got {score!r}.")
  if config is None:
    config = _default_config(space, images)
  if images is None:
    images = synthetic_images(config, space.num_images)
  images = _check(images, config)
  return ZeroCost(
    key=key,
    images=images,
    score=score,
    space=space.make(),
    config=config,
    batch_size=batch_size,
  )


def synthetic_images(config: Config, num_images: int = NUM_IMAGES) -> Images:
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


class _Space(NamedTuple):
  """How the architectures of a space are scored.

  Attributes:
    make: returns the space.
    names: returns the benchmarks' names and their columns.
    find: a score's sign and unit.
    evaluate: scores one architecture.
    default: what is around it by default, but for the images' shape.
    num_images: of the default batch.
  """

  make: Callable[[], SearchSpace]
  names: Callable[[], Mapping[str, tuple[str, ...]]]
  find: Callable[[str], Any]
  evaluate: Callable[..., jax.Array]
  default: Config
  num_images: int


def _elastic(network: str, make: Callable[[], SearchSpace]) -> _Space:
  """The space of a super-network."""
  known = elastic_scores.SCORES[network.partition("/")[0]]
  return _Space(
    make,
    lambda: {name: (name,) for name in known},
    elastic_scores.find,
    elastic_scores.evaluate,
    elastic_scores.setting(network),
    elastic_scores.NUM_IMAGES,
  )


_SPACES = {
  "darts": _Space(
    darts.darts,
    lambda: darts_scores.NAMES,
    darts_scores.find,
    darts_scores.evaluate,
    darts_scores.QUICK,
    darts_scores.NUM_IMAGES,
  ),
  "nasbench201": _Space(
    nasbench201.nasbench201,
    lambda: {name: (name,) for name in scores.SCORES},
    scores.find,
    scores.evaluate,
    cells.Config(IMAGE_SHAPE, NUM_CLASSES, NUM_CHANNELS, num_cells=1),
    NUM_IMAGES,
  ),
  "mobilenetv3": _elastic("mobilenetv3/small32", mobilenetv3.mobilenetv3),
  **{
    f"autoformer/{size}": _elastic(
      f"autoformer/{size}", functools.partial(autoformer.autoformer, size)
    )
    for size in autoformer.SPACES
  },
}


def _check(images: Images, config: Config) -> Images:
  """The batch as arrays, if the network can be scored by it.

  Raises:
    ValueError: if it cannot.
  """
  x, y = np.asarray(images.x), np.asarray(images.y)
  if x.shape[1:] != config.image_shape or y.ndim != 1:
    raise ValueError(
      f"images must have the shape [B, *{config.image_shape}] and labels the "
      f"shape [B], got {x.shape} and {y.shape}."
    )
  if len(x) != len(y) or len(y) < 2:
    raise ValueError(
      "There must be a label for each image and at least two images, got "
      f"{len(x)} images and {len(y)} labels."
    )
  x = images_lib.as_float32(x)
  if not np.issubdtype(y.dtype, np.integer):
    raise ValueError(f"labels must be integers, got {y.dtype}.")
  if y.min() < 0 or y.max() >= config.num_classes:
    raise ValueError(
      f"labels must be from 0 to {config.num_classes - 1}, got {y.min()} to "
      f"{y.max()}."
    )
  return Images(jnp.asarray(x), jnp.asarray(y, jnp.int32))


def _default_config(space: _Space, images: Images | None) -> Config:
  if images is None:
    return space.default
  if jnp.ndim(images.x) != 4 or jnp.size(images.y) == 0:
    raise ValueError(
      "images must have the shape [B, H, W, C], at least one, got "
      f"{jnp.shape(images.x)}."
    )
  _, height, width, channels = images.x.shape
  suits = functools.partial(
    dataclasses.replace,
    image_shape=(height, width, channels),
    num_classes=max(2, int(jnp.max(images.y)) + 1),
  )
  default = space.default
  if isinstance(default, darts_scores.Setting):
    return dataclasses.replace(default, network=suits(default.network))
  return suits(default)


def _names(data_dir: str | None) -> list[str]:
  del data_dir
  return [
    f"zerocost/{score}@{space}"
    for space in space_names()
    for score in score_names(space)
  ]


def _load(name: str, data_dir: str | None) -> ZeroCost | None:
  del data_dir
  score, has_space, space = name.removeprefix("zerocost/").partition("@")
  if not has_space:
    return None
  return zerocost(score, space, key=jax.random.key(0))


TABLE = Table(_names, _load)
"""The benchmarks `zerocost/<score>@<space>`."""
