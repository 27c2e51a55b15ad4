"""Training-free scores of DARTS architectures: the two of TE-NAS.

Chen et al., "Neural Architecture Search on ImageNet in Four GPU Hours: A
Theoretically Inspired Perspective" (TE-NAS), ICLR 2021,
https://arxiv.org/abs/2102.11535, section 3.1; as AG-Net uses them: Lukasik et
al., "Learning Where To Look: Generative NAS is Surprisingly Efficient", ECCV
2022, https://arxiv.org/abs/2203.08734.

A score is a pure function `(key, arch, images, config) -> f32[]`; the key draws
the network's weights. The architecture is data: one compiled program scores all
of them. Batches normalize themselves. No score is ever NaN.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
import types as python_types
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.candidates import darts_cells
from nagjax.candidates import kernels
from nagjax.candidates.layers import NormParams
from nagjax.candidates.layers import Relu
from nagjax.candidates.train import Images
from nagjax.types import Archs
from nagjax.types import Key

NUM_IMAGES = 24
"""Images of the published kernel; 14 before networks of 20 cells."""
CROP = 3
"""Rows and columns of the images whose regions are counted."""

_ROWS_AT_ONCE = 8
"""Rows of the kernel's gradients that are computed side by side."""


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is measured; the defaults are the published ones.

  Attributes:
    network: the network around the cells.
    num_networks: a score is the mean over so many draws of the weights.
    num_batches: batches of crops for the linear regions of a network.
    batch_size: crops of a batch.
    centered: see `ntk_condition`.
  """

  network: darts_cells.Config = darts_cells.Config(
    num_channels=1, num_layers=14
  )
  num_networks: int = 3
  num_batches: int = 3
  batch_size: int = 1000
  centered: bool = False

  def __post_init__(self) -> None:
    sizes = self.num_networks, self.num_batches, self.batch_size
    if min(sizes) < 1:
      raise ValueError(
        "num_networks, num_batches and batch_size must be at least 1, got "
        f"{sizes}."
      )
    if min(self.image_shape[:2]) < CROP:
      raise ValueError(
        f"Images must have at least {CROP}x{CROP} pixels, got "
        f"{self.image_shape}."
      )

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of the images."""
    return self.network.image_shape

  @property
  def num_classes(self) -> int:
    """Outputs of the networks."""
    return self.network.num_classes


TENAS = Setting()
"""Published; images are those of CIFAR-10, `NUM_IMAGES` of them."""
QUICK = Setting(
  darts_cells.Config((16, 16, 3), num_channels=1, num_layers=8),
  num_networks=1,
  num_batches=1,
  batch_size=256,
  centered=True,
)
"""Much the same measures in a tenth of the time."""


def ntk_condition(
  key: Key,
  arch: Archs,
  images: jax.Array,
  config: darts_cells.Config,
  *,
  centered: bool = False,
) -> jax.Array:
  """Condition number of the neural tangent kernel; smaller is better.

  `lambda_max / lambda_min` of `G G^T`, where row `i` of `G` is the gradient of
  the sum of the logits of image `i` by the weights of convolutions and of the
  classifier and by the scales of normalizations. At most
  `kernels.MAX_CONDITION`, which is also the value where it is no number (the
  published program: 100,000).

  A normal cell without pooling has a singular kernel: its features are sums of
  normalized ones, so their mean over the batch is constant and the rows of `G`
  add up to 0. The published score of such a cell is rounding, ours is
  `kernels.MAX_CONDITION`. With `centered`, rows lose their mean and the
  direction in which all images agree does not count, for no cell.

  Args:
    key: random key, consumed.
    arch: `int32[22]`, one architecture of `darts`.
    images: `f32[B, H, W, C]`, one batch of `config.image_shape`; `B > 1`.
    config: the network around the cells.
    centered: whether to leave out the direction in which all images agree.
  """
  params = darts_cells.init(key, arch, config)
  rows = image_gradients(params, arch, images, config)
  return kernels.condition_number(rows, centered=centered)


def image_gradients(
  params: darts_cells.Params,
  arch: Archs,
  images: jax.Array,
  config: darts_cells.Config,
) -> jax.Array:
  """The `G` of `ntk_condition`, `f32[B, weights]`; unused weights have 0."""

  def of_images(params: darts_cells.Params) -> jax.Array:
    logits = darts_cells.apply(params, arch, images, config)
    return jnp.sum(logits, axis=-1)

  def row(cotangent: jax.Array) -> jax.Array:
    (gradient,) = pull_back(cotangent)
    return jnp.concatenate([g.reshape(-1) for g in _weights(gradient)])

  _, pull_back = jax.vjp(of_images, params)
  num = images.shape[0]
  return jax.lax.map(row, jnp.eye(num), batch_size=min(_ROWS_AT_ONCE, num))


def linear_regions(
  key: Key, arch: Archs, images: jax.Array, config: darts_cells.Config
) -> jax.Array:
  """Number of linear regions that the images lie in; larger is better.

  The number of distinct patterns of all rectifiers (open or closed) of the
  network without its stem. Patterns are told apart by 64 random bits each.

  Args:
    key: random key, consumed.
    arch: `int32[22]`, one architecture of `darts`.
    images: `f32[T, B, h, w, c]`, several batches such as `crops` makes, each of
      which is normalized by itself; TE-NAS has 3 x 1000 images of 3 x 3 x 1.
    config: the network around the cells; its stem and the shape of its images
      do not matter.
  """
  height, width, channels = images.shape[2:]
  config = dataclasses.replace(
    config,
    stem=darts_cells.Stem.NONE,
    image_shape=(height, width, channels),
  )
  params = darts_cells.init(key, arch, config)

  def hashes(batch: jax.Array) -> jax.Array:
    relus = darts_cells.forward(params, arch, batch, config).relus
    return hash_patterns(relus)

  return num_distinct(jax.lax.map(hashes, images).reshape(-1, 2))


def hash_patterns(relus: tuple[Relu, ...]) -> jax.Array:
  """A random number for each image's pattern of rectifiers, `uint32[B, 2]`.

  The sum of the random numbers of those that are open: two patterns have the
  same one with probability `2^-64`.
  """
  patterns = []
  for inputs, exists in relus:
    is_open = (inputs > 0) & exists.reshape(*exists.shape, 1, 1, 1, 1)
    is_open = jnp.moveaxis(is_open, -4, 0)
    patterns.append(is_open.reshape(is_open.shape[0], -1))
  pattern = jnp.concatenate(patterns, axis=1)[:, None]
  bits = jax.random.bits(jax.random.key(0), (1, 2, pattern.shape[-1]))
  terms = jnp.where(pattern, bits, jnp.uint32(0))
  return jnp.sum(terms, axis=-1, dtype=jnp.uint32)


def num_distinct(hashes: jax.Array) -> jax.Array:
  """How many rows of `uint32[B, 2]` differ, `f32[]`."""
  first, second = jax.lax.sort(tuple(hashes.T), num_keys=2)
  changes = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
  return 1 + jnp.sum(changes, dtype=jnp.float32)


def crops(key: Key, images: jax.Array, num_images: int) -> jax.Array:
  """Random crops of one channel, `f32[B, H, W, C] -> f32[num_images, 3, 3, 1]`.

  Args:
    key: random key, consumed.
    images: of at least 3x3 pixels.
    num_images: how many crops; each is of a random image, place and channel.
  """
  limits = jnp.asarray(images.shape) - jnp.asarray((0, CROP - 1, CROP - 1, 0))
  uniform = jax.random.uniform(key, (num_images, 4))
  starts = jnp.floor(uniform * limits[None]).astype(jnp.int32)

  def crop(start: jax.Array) -> jax.Array:
    return jax.lax.dynamic_slice(images, tuple(start), (1, CROP, CROP, 1))[0]

  return jax.vmap(crop)(starts)


class Score(NamedTuple):
  """A measure of a `Setting` and how to read it.

  Attributes:
    function: `(key, int32[22], f32[B, H, W, C], setting) -> f32[]`, of one
      network.
    sign: 1 if larger is better, -1 if smaller is.
    unit: "" if it has none.
  """

  function: Callable[[Key, Archs, jax.Array, Setting], jax.Array]
  sign: int = 1
  unit: str = ""


def evaluate(
  key: Key, arch: Archs, images: Images, setting: Setting, *, score: str
) -> jax.Array:
  """Scores one architecture by networks with random weights.

  Args:
    key: random key, consumed.
    arch: `int32[22]`, one architecture of `darts`.
    images: one batch, of `setting.image_shape`.
    setting: networks, repetitions and crops.
    score: a name in `SCORES`.

  Returns:
    `f32[]`; `SCORES[score].sign` says which direction is better.

  Raises:
    ValueError: if there is no such score.
  """
  function = find(score).function
  return jnp.mean(
    jax.lax.map(
      lambda network_key: function(network_key, arch, images.x, setting),
      jax.random.split(key, setting.num_networks),
    )
  )


def find(score: str) -> Score:
  """Returns the score of a name.

  Raises:
    ValueError: if there is none.
  """
  if score not in SCORES:
    known = ", ".join(sorted(SCORES))
    raise ValueError(f"score must be one of {known}, got {score!r}.")
  return SCORES[score]


def _ntk(
  key: Key, arch: Archs, images: jax.Array, setting: Setting
) -> jax.Array:
  network, centered = setting.network, setting.centered
  return ntk_condition(key, arch, images, network, centered=centered)


def _regions(
  key: Key, arch: Archs, images: jax.Array, setting: Setting
) -> jax.Array:
  crop_key, network_key = jax.random.split(key)
  shape = setting.num_batches, setting.batch_size
  batches = crops(crop_key, images, math.prod(shape))
  batches = batches.reshape(*shape, *batches.shape[1:])
  return linear_regions(network_key, arch, batches, setting.network)


SCORES: Mapping[str, Score] = python_types.MappingProxyType(
  {"ntk": Score(_ntk, sign=-1), "regions": Score(_regions)}
)
"""Both scores by name."""

NAMES: Mapping[str, tuple[str, ...]] = python_types.MappingProxyType(
  {"ntk": ("ntk",), "regions": ("regions",), "tenas": ("ntk", "regions")}
)
"""Names of benchmarks, `zerocost/<name>@darts`, and their scores."""


def _weights(gradient: darts_cells.Params) -> list[jax.Array]:
  """What the kernel derives by: everything but biases and shifts."""
  parts = gradient.stem, gradient.cells, gradient.classifier
  is_norm = lambda node: isinstance(node, NormParams)  # noqa: E731
  return jax.tree.leaves(
    jax.tree.map(lambda x: x.scale if is_norm(x) else x, parts, is_leaf=is_norm)
  )
