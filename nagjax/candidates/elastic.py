"""What a super-network is to training and to searches, whatever its space.

An `Elastic` network is a space, its weights and one function in which the
architecture is an input. Those of the spaces `mobilenetv3` and `autoformer/*`
are here.
"""

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import mobilenet
from nagjax.candidates import train
from nagjax.candidates import vit
from nagjax.candidates.layers import Norm
from nagjax.spaces import autoformer
from nagjax.spaces import autoformer_counts
from nagjax.spaces import mobilenetv3
from nagjax.spaces import mobilenetv3_counts
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params


class Weights(NamedTuple):
  """Weights, and running statistics of what is normalized by batches.

  Attributes:
    params: what gradients change.
    statistics: `()` where no layer has any.
  """

  params: Params
  statistics: Any


class Options(NamedTuple):
  """Options that a training draws from; None for all of the space.

  Those of MobileNetV3, which progressive shrinking adds one after another.

  Attributes:
    kernels, depths, expansions: see `mobilenetv3`.
  """

  kernels: tuple[int, ...] | None = None
  depths: tuple[int, ...] | None = None
  expansions: tuple[int, ...] | None = None


class Elastic(NamedTuple):
  """A super-network.

  Attributes:
    space: its sub-networks.
    config: its layers.
    init: `key -> Weights`.
    apply: `(weights, arch, images, norm, key, drop_path) -> (logits,
      statistics)`; the last two are of training.
    draw: `(key, num, options) -> archs`, as published programs draw them in
      training: depths equally often.
    smallest, largest: two architectures.
    num_params, num_macs: `archs -> [...]`.
    image_shape: `(height, width, channels)`.
    num_classes: outputs.
    sort_channels: `(weights, stage) -> weights`, see
      `mobilenet_weights.sort_channels`; returns those of AutoFormer.
  """

  space: SearchSpace
  config: mobilenet.Config | vit.Config
  init: Callable[[Key], Weights]
  apply: Callable[..., tuple[jax.Array, Any]]
  draw: Callable[[Key, int, Options], Archs]
  smallest: np.ndarray
  largest: np.ndarray
  num_params: Callable[[Archs], jax.Array]
  num_macs: Callable[[Archs], jax.Array]
  image_shape: tuple[int, int, int]
  num_classes: int
  sort_channels: Callable[[Weights, int], Weights]


NETWORKS = (
  *(f"mobilenetv3/{name}" for name in mobilenetv3_counts.NETWORKS),
  *(f"autoformer/{name}" for name in autoformer_counts.NETWORKS),
)
"""Names of super-networks: of MobileNetV3's two, and of every space."""


@functools.cache
def elastic(
  name: str,
  *,
  image_size: int | None = None,
  channels: int = 3,
  num_classes: int | None = None,
  width: float = 1.0,
) -> Elastic:
  """Returns a super-network.

  Args:
    name: one of `NETWORKS`.
    image_size: pixels of an image's side; the network's own if None.
    channels: of the images.
    num_classes: outputs; the network's own if None.
    width: factor of the channels, of MobileNetV3 only.

  Raises:
    ValueError: if there is no such network, or a size does not suit it.
  """
  if name not in NETWORKS:
    raise ValueError(
      f"network must be one of {', '.join(NETWORKS)}, got {name!r}."
    )
  family, _, size = name.partition("/")
  tables = (mobilenetv3_counts, autoformer_counts)[family == "autoformer"]
  network: Any = tables.NETWORKS[size]
  network = network._replace(
    image_size=image_size or network.image_size,
    channels=channels,
    num_classes=num_classes or network.num_classes,
  )
  shape = (network.image_size, network.image_size, channels)
  if family == "mobilenetv3":
    config = mobilenet.Config(network, width)
    return _mobilenet(config, shape)
  if width != 1.0:
    raise ValueError(f"width is of mobilenetv3, got {width} of {name}.")
  return _vit(vit.Config(autoformer.SPACES[size], network), size, shape)


def calibrated(
  network: Elastic,
  weights: Weights,
  arch: Archs,
  images: jax.Array,
  *,
  batch_size: int = 200,
) -> Weights:
  """Weights with the statistics that a sub-network has on some images.

  As the once-for-all program makes them: means over batches of the batch's
  means and biased variances, each batch normalized by its own.

  Args:
    network: the super-network.
    weights: of it.
    arch: `int32[L]`, the sub-network.
    images: `f32[n, H, W, C]`; what does not fill a batch is left out. With none
      the weights are returned as they are.
    batch_size: images of a batch, at most `n`.
  """
  num = images.shape[0]
  if not num or not jax.tree.leaves(weights.statistics):
    return weights
  size = min(batch_size, num)
  batches = images[: num - num % size].reshape(-1, size, *images.shape[1:])

  def one(batch: jax.Array) -> Any:
    return network.apply(weights, arch, batch, norm=Norm.MEASURE)[1]

  found = jax.lax.map(one, batches)
  means = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), found)
  return weights._replace(statistics=means)


def evaluate(
  network: Elastic,
  weights: Weights,
  arch: Archs,
  images: train.Images,
  *,
  batch_size: int = 100,
) -> train.Metrics:
  """Classifies images by a sub-network with its inherited weights.

  Args:
    network: the super-network.
    weights: of it, mostly `calibrated` ones.
    arch: `int32[L]`, the sub-network.
    images: `n` of them, as `network.apply` takes them.
    batch_size: images that are classified at once.

  Returns:
    Means over the images, `f32[]` each.
  """
  every = evaluate_each(network, weights, arch, images, batch_size=batch_size)
  return jax.tree.map(jnp.mean, every)


def evaluate_each(
  network: Elastic,
  weights: Weights,
  arch: Archs,
  images: train.Images,
  *,
  batch_size: int = 100,
) -> train.Metrics:
  """`evaluate` image by image, each `f32[n]`."""

  def classify(x: jax.Array) -> jax.Array:
    return network.apply(weights, arch, x)[0].astype(jnp.float32)

  return train.measure_each(classify, images, batch_size=batch_size)


def _mobilenet(
  config: mobilenet.Config, shape: tuple[int, int, int]
) -> Elastic:
  def init(key: Key) -> Weights:
    return Weights(*mobilenet.init(key, config))

  def apply(
    weights: Weights,
    arch: Archs,
    images: jax.Array,
    norm: Norm = Norm.RUNNING,
    key: Key | None = None,
    drop_path: float = 0.0,
  ) -> tuple[jax.Array, Any]:
    del key, drop_path
    model = mobilenet.Model(*weights)
    return mobilenet.apply(model, arch, images, config, norm=norm)

  deepest = [mobilenetv3.NONE - 1] * mobilenetv3.NUM_LAYERS
  shallow = [0, 0, mobilenetv3.NONE, mobilenetv3.NONE] * mobilenetv3.NUM_STAGES
  return Elastic(
    space=mobilenetv3.mobilenetv3(),
    config=config,
    init=init,
    apply=apply,
    draw=_draw_mobilenet,
    smallest=np.asarray(shallow, np.int32),
    largest=np.asarray(deepest, np.int32),
    num_params=functools.partial(mobilenet.num_params, config=config),
    num_macs=functools.partial(mobilenet.num_macs, config=config),
    image_shape=shape,
    num_classes=config.network.num_classes,
    sort_channels=lambda weights, stage: Weights(
      *mobilenet.sort_channels(mobilenet.Model(*weights), config, stage)
    ),
  )


def _draw_mobilenet(key: Key, num: int, options: Options) -> Archs:
  """Kernels, expansions and depths, each uniform among its options."""
  keys = jax.random.split(key, 3)

  def pick(pick_key: Key, values: Any, every: Any, size: int) -> jax.Array:
    places = [every.index(value) for value in values or every]
    drawn = jax.random.randint(pick_key, (num, size), 0, len(places))
    return jnp.asarray(places, jnp.int32)[drawn]

  layers, stages = mobilenetv3.NUM_LAYERS, mobilenetv3.NUM_STAGES
  kernels = pick(keys[0], options.kernels, mobilenetv3.KERNELS, layers)
  every = mobilenetv3.EXPANSIONS
  expansions = pick(keys[1], options.expansions, every, layers)
  depths = pick(keys[2], options.depths, mobilenetv3.DEPTHS, stages)
  exists = np.asarray(mobilenetv3.POSITIONS)[None] < (
    mobilenetv3.DEPTHS[0] + jnp.repeat(depths, mobilenetv3.MAX_DEPTH, axis=1)
  )
  types = len(every) * kernels + expansions
  return jnp.where(exists, types, mobilenetv3.NONE)


def _vit(config: vit.Config, size: str, shape: tuple[int, int, int]) -> Elastic:
  choices = config.choices

  def init(key: Key) -> Weights:
    return Weights(vit.init(key, config), ())

  def apply(
    weights: Weights,
    arch: Archs,
    images: jax.Array,
    norm: Norm = Norm.RUNNING,
    key: Key | None = None,
    drop_path: float = 0.0,
  ) -> tuple[jax.Array, Any]:
    del norm
    logits = vit.apply(
      weights.params, arch, images, config, key=key, drop_path=drop_path
    )
    return logits, ()

  def draw(key: Key, num: int, options: Options) -> Archs:
    del options
    archs_key, depth_key = jax.random.split(key)
    options_of = [
      [len(choices.embeddings)] + [choices.none] * choices.max_depth
    ]
    bounds = jnp.asarray(options_of, jnp.int32)
    archs = jax.random.randint(archs_key, (num, bounds.shape[1]), 0, bounds)
    depths = jnp.asarray(choices.depths, jnp.int32)
    drawn = jax.random.randint(depth_key, (num,), 0, len(choices.depths))
    return autoformer.with_depth(choices, archs, depths[drawn])

  missing = choices.max_depth - choices.depths[0]
  smallest = [0] * (1 + choices.depths[0]) + [choices.none] * missing
  largest = [len(choices.embeddings) - 1]
  largest += [choices.none - 1] * choices.max_depth
  return Elastic(
    space=autoformer.autoformer(size),
    config=config,
    init=init,
    apply=apply,
    draw=draw,
    smallest=np.asarray(smallest, np.int32),
    largest=np.asarray(largest, np.int32),
    num_params=functools.partial(vit.num_params, config=config),
    num_macs=functools.partial(vit.num_macs, config=config),
    image_shape=shape,
    num_classes=config.network.num_classes,
    sort_channels=lambda weights, stage: weights,
  )
