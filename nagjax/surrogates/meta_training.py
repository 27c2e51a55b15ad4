"""Meta-training: a predictor of images from triplets of many small data sets.

As MetaD2A's predictor is trained (Lee, Hyung and Hwang, ICLR 2021,
https://arxiv.org/abs/2107.00860, section 3.2), with two differences, because
our triplets are few and noisy. What counts is the order of architectures within
a task, so labels are normal scores within it and a task's mean is left out of
the loss. And what is known of the architectures whatever the images, a
`meta.Prior` such as a transfer's mean, is taken from the labels first, see
`without`: the network learns what images change, and is held near zero on
architectures of which triplets say nothing.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nagjax import checks
from nagjax.networks import meta_predictor
from nagjax.networks.layers import Affine
from nagjax.networks.meta_predictor import MetaNetwork
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of a meta-training.

  Attributes:
    num_steps: of AdamW.
    num_tasks: of a step, drawn with replacement; of centered ones as many as
      of others, see `Data`, where there are both.
    num_images: of a class that a step looks at, drawn with replacement.
    num_held: architectures of a step on which the network is held near zero.
    hold_weight: of the variance of its outputs there; that of triplets is 1.
    code_weight: of the mean square of the images' codes: nothing in the network
      bounds them, and large ones leave the head no gradient.
    learning_rate: at the start; falls to 0 by a cosine.
    weight_decay: of AdamW.
  """

  num_steps: int = 1000
  num_tasks: int = 8
  num_images: int = 8
  num_held: int = 64
  hold_weight: float = 3.0
  code_weight: float = 0.01
  learning_rate: float = 2e-3
  weight_decay: float = 1e-3

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.positive(self, "learning_rate")
    checks.not_negative(self, "hold_weight", "code_weight", "weight_decay")


class Data(NamedTuple):
  """Triplets of `T` tasks as arrays.

  Attributes:
    features: `f32[R, F]` of the images of all tasks.
    members: `int32[T, C, M]` rows of each class's images, the rest anything.
    counts: `int32[T, C]` how many there are; 0 for a class that is not there.
    archs: `int32[T, A, L]`.
    labels: `f32[T, A]`, the larger the better, about of deviation 1.
    weights: `f32[T, A]` of each in the loss; 0 for what is not there.
    centered: `bool[T]` whether a task's mean is left out.
  """

  features: np.ndarray
  members: np.ndarray
  counts: np.ndarray
  archs: np.ndarray
  labels: np.ndarray
  weights: np.ndarray
  centered: np.ndarray


def without(data: Data, known: np.ndarray) -> tuple[Data, float]:
  """Takes what is known of the architectures from the labels.

  Args:
    data: the triplets.
    known: `f32[T, A]` of their architectures, whatever the images.

  Returns:
    The triplets with labels less `slope * known`, and the slope: that of least
    squares, but .1 at least, as what is known is not nothing.

  Example:
    >>> data = Data(*np.ones((7, 2, 3)))
    >>> rest, slope = without(data, known=np.full((2, 3), 0.5))
    >>> rest.labels.tolist(), slope
    ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 2.0)
  """
  there = data.weights > 0
  squares = max(float(np.sum(known**2 * there)), 1e-6)
  slope = max(float(np.sum(known * data.labels * there)) / squares, 0.1)
  labels = np.where(there, data.labels - slope * known, 0)
  return data._replace(labels=labels.astype(np.float32)), slope


def fit(
  key: Key,
  network: MetaNetwork,
  to_graph: Callable[[Archs], Graph],
  data: Data,
  archs: np.ndarray,
  config: Config,
) -> tuple[meta_predictor.Params, jax.Array]:
  """Trains a predictor from a random start; for `jit`.

  Args:
    key: random key, consumed.
    network: of `meta.network`.
    to_graph: of `meta.view`.
    data: the triplets; features about of mean 0 and deviation 1.
    archs: `int32[N, L]` of which some are held at every step.
    config: how it is trained.

  Returns:
    The weights, and `f32[num_steps, 2]` the two losses of every step.
  """
  init_key, steps_key = jax.random.split(key)
  tx = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(
      optax.cosine_decay_schedule(config.learning_rate, config.num_steps),
      weight_decay=config.weight_decay,
    ),
  )
  data, archs = jax.tree.map(jnp.asarray, (data, archs))
  # Of either kind as often as of the other, however many there are.
  num_centered = jnp.sum(data.centered)
  sizes = jnp.where(
    data.centered, num_centered, len(data.centered) - num_centered
  )
  shares = (1 / sizes) / jnp.sum(1 / sizes)

  def loss(
    params: meta_predictor.Params, step_key: Key
  ) -> tuple[jax.Array, jax.Array]:
    task_key, images_key, held_key = jax.random.split(step_key, 3)
    tasks = jax.random.choice(
      task_key, len(data.counts), (config.num_tasks,), p=shares
    )
    images, present = draw(images_key, data, tasks, config.num_images)
    rows = jax.random.choice(held_key, len(archs), (config.num_held,))
    held = to_graph(archs[rows])
    codes = jax.vmap(network.encode, (None, 0, 0))(params, images, present)
    outputs = jax.vmap(network.apply, (None, 0, 0))(
      params, jax.vmap(to_graph)(data.archs[tasks]), codes
    )
    # The same for all tasks, so that its graphs are read once.
    of_held = jax.vmap(network.apply, (None, None, 0))(params, held, codes)
    weights = data.weights[tasks]
    of_triplets = _error(
      outputs, data.labels[tasks], weights, data.centered[tasks]
    )
    # Less their mean, which says nothing of the order.
    size = jnp.mean(jnp.var(of_held, axis=1))
    total = of_triplets + config.hold_weight * size
    total += config.code_weight * jnp.mean(codes**2)
    return total, jnp.stack([of_triplets, size])

  def step(
    carry: tuple[meta_predictor.Params, optax.OptState], step_key: Key
  ) -> tuple[tuple[meta_predictor.Params, optax.OptState], jax.Array]:
    params, state = carry
    gradient, losses = jax.grad(loss, has_aux=True)(params, step_key)
    update, state = tx.update(gradient, state, params)
    return (optax.apply_updates(params, update), state), losses

  params = network.init(init_key)
  (params, _), losses = jax.lax.scan(
    step,
    (params, tx.init(params)),
    jax.random.split(steps_key, config.num_steps),
  )
  return params, losses


def draw(
  key: Key, data: Data, tasks: jax.Array, num_images: int
) -> tuple[jax.Array, jax.Array]:
  """Draws images of every class of some tasks, with replacement.

  Args:
    key: random key, consumed.
    data: has the images.
    tasks: `int32[B]`.
    num_images: of a class, `S`.

  Returns:
    Features `f32[B, C, S, F]`, and `bool[B, C]` which classes are there.

  Example:
    >>> images, rows = jnp.ones((9, 4)), jnp.ones((2, 3, 5), int)
    >>> data = Data(images, rows, jnp.ones((2, 3), int), *[None] * 4)
    >>> key, tasks = jax.random.key(0), jnp.asarray([0, 1, 1])
    >>> jax.eval_shape(lambda key: draw(key, data, tasks, 6), key)[0].shape
    (3, 3, 6, 4)
  """
  counts = data.counts[tasks]
  share = jax.random.uniform(key, (*counts.shape, num_images))
  place = (share * counts[..., None]).astype(jnp.int32)
  rows = jnp.take_along_axis(data.members[tasks], place, axis=-1)
  return jnp.asarray(data.features)[rows], counts > 0


def standardize(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and deviation of every feature, `f32[F]` each; no deviation is 0.

  Example:
    >>> mean, deviation = standardize(np.asarray([[1.0, 5.0], [3.0, 5.0]]))
    >>> mean.tolist(), deviation.tolist()
    ([2.0, 5.0], [1.0, 1.0])
  """
  mean = features.mean(0, dtype=np.float64).astype(np.float32)
  deviation = features.std(0, dtype=np.float64).astype(np.float32)
  return mean, np.where(deviation > 1e-6, deviation, np.float32(1))


def absorb(
  params: meta_predictor.Params, mean: np.ndarray, deviation: np.ndarray
) -> meta_predictor.Params:
  """Weights that take features as they are, of such for standardized ones.

  Args:
    params: of a predictor of `(features - mean) / deviation`.
    mean, deviation: `f32[F]`.
  """

  def takes_raw(layer: Affine) -> Affine:
    weight = layer.weight / deviation[:, None]
    return layer._replace(weight=weight, bias=layer.bias - mean @ weight)

  pool = params.images.images
  first = pool.first._replace(
    query=takes_raw(pool.first.query),
    key=takes_raw(pool.first.key),
    value=takes_raw(pool.first.value),
  )
  images = params.images._replace(images=pool._replace(first=first))
  return params._replace(images=images)


def _error(
  outputs: jax.Array, labels: jax.Array, weights: jax.Array, centered: jax.Array
) -> jax.Array:
  """Weighted mean square, without the mean of each task that is centered."""
  error = (outputs - labels) * (weights > 0)
  total = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-6)
  mean = jnp.sum(weights * error, axis=1, keepdims=True) / total
  error = error - jnp.where(centered[:, None], mean, 0.0)
  return jnp.sum(weights * error**2) / jnp.maximum(jnp.sum(weights), 1e-6)
