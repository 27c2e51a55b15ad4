"""Training of the small extractor: one classifier of several data sets at once.

The features are to serve images of any size, so every batch is seen at a
resolution of its own, and some images gray.
"""

import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax import checks
from nagjax.candidates import extractors
from nagjax.candidates import layers
from nagjax.candidates import train
from nagjax.candidates.layers import Norm
from nagjax.types import Key

RESOLUTIONS = (8, 12, 16, extractors.SMALL_SIZE)
"""At which a batch is seen, drawn uniformly."""
GRAY_SHARE = 0.3
"""Of the images."""


@dataclasses.dataclass(frozen=True)
class Config:
  """How an extractor is trained.

  Attributes:
    widths: channels of each layer of stride 2.
    num_epochs: passes over the images.
    batch_size: images of a step; the rest of an epoch is left out.
    learning_rate: at the start; falls to 0 by a cosine.
    weight_decay: added to the gradients.
  """

  widths: tuple[int, ...] = (24, 48, 96, 128)
  num_epochs: int = 20
  batch_size: int = 128
  learning_rate: float = 0.1
  weight_decay: float = 5e-4

  def __post_init__(self) -> None:
    checks.positive(self, "learning_rate")
    checks.not_negative(self, "weight_decay")
    if not self.widths or min(self.widths) < 1:
      raise ValueError(f"widths must be positive, got {self.widths}.")
    checks.sizes(self)


class Model(NamedTuple):
  """A network in training.

  Attributes:
    weights: `f32[9, C_in, C_out]` of every layer.
    norms: behind each.
    moments: of the normalizations.
    head: `f32[C, classes]`, of the means of the last maps.
    bias: `f32[classes]`.
  """

  weights: tuple[jax.Array, ...]
  norms: tuple[layers.NormParams, ...]
  moments: tuple[layers.Moments, ...]
  head: jax.Array
  bias: jax.Array


def init(key: Key, num_classes: int, config: Config) -> Model:
  """Draws weights by He's rule; `key` is consumed."""
  widths = (extractors.NUM_CHANNELS, *config.widths)
  keys = jax.random.split(key, len(config.widths) + 1)
  weights = tuple(
    jax.random.normal(k, (9, n, m)) * (2 / (9 * n)) ** 0.5
    for k, n, m in zip(keys[1:], widths[:-1], widths[1:], strict=True)
  )
  norms, moments = zip(
    *(layers.init_norm((width,)) for width in config.widths), strict=True
  )
  head = jax.random.normal(keys[0], (widths[-1], num_classes))
  return Model(
    weights, norms, moments, head * widths[-1] ** -0.5, jnp.zeros(num_classes)
  )


def apply(
  model: Model, x: jax.Array, norm: Norm
) -> tuple[jax.Array, tuple[layers.Moments, ...]]:
  """Classifies images `f32[B, 32, 32, 3]` of about -1 to 1.

  Returns:
    Logits `f32[B, classes]`, and the moments.
  """
  found = []
  for weight, params, old in zip(
    model.weights, model.norms, model.moments, strict=True
  ):
    x = layers.convolve(x, weight, stride=2)
    x, moments = layers.normalize(x, params, old, norm)
    x = jax.nn.relu(x)
    found.append(moments)
  features = jnp.mean(x, axis=(1, 2))
  return features @ model.head + model.bias[None], tuple(found)


def fold(model: Model) -> extractors.Small:
  """The network without its classifier, normalizations in the weights."""
  weights, biases = [], []
  for weight, params, moments in zip(
    model.weights, model.norms, model.moments, strict=True
  ):
    scale = params.scale * jax.lax.rsqrt(moments.variance + layers.EPSILON)
    weights.append(weight * scale[None, None])
    biases.append(params.shift - moments.mean * scale)
  return extractors.Small(tuple(weights), tuple(biases))


class State(NamedTuple):
  """A training between two epochs.

  Attributes:
    model: the network.
    momentum: state of `optimizer`.
    step: `int32[]`, minibatches so far.
  """

  model: Model
  momentum: optax.OptState
  step: jax.Array


def optimizer(config: Config, num_steps: int) -> optax.GradientTransformation:
  """SGD with Nesterov's momentum; of `num_steps` in all."""
  return optax.chain(
    optax.add_decayed_weights(config.weight_decay),
    optax.sgd(
      optax.cosine_decay_schedule(config.learning_rate, num_steps),
      0.9,
      nesterov=True,
    ),
  )


def epoch(
  key: Key,
  state: State,
  images: train.Images,
  config: Config,
  tx: optax.GradientTransformation,
) -> tuple[State, jax.Array]:
  """One pass over the images.

  Args:
    key: random key, consumed.
    state: the training so far.
    images: `f32[n, 32, 32, 3]` of about -1 to 1, and labels.
    config: how it is trained.
    tx: of `optimizer`.

  Returns:
    The training, and the mean cross-entropy.
  """
  recipe = train.Recipe(shift=4, flips=True)
  num_images = images.y.shape[0]
  size = min(config.batch_size, num_images)
  order_key, steps_key = jax.random.split(key)
  order = jax.random.permutation(order_key, num_images)
  rows = order[: num_images // size * size].reshape(-1, size)

  def loss(
    trained: Any,
    moments: tuple[layers.Moments, ...],
    x: jax.Array,
    y: jax.Array,
  ) -> tuple[jax.Array, tuple[layers.Moments, ...]]:
    model = _model(trained, moments)
    logits, moments = apply(model, x, Norm.BATCH)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return jnp.mean(losses), moments

  def step(
    carry: State, inputs: tuple[jax.Array, Key]
  ) -> tuple[State, jax.Array]:
    model, momentum, number = carry
    chosen, step_key = inputs
    augment_key, look_key = jax.random.split(step_key)
    x = train.augment(augment_key, images.x[chosen], recipe)
    x = _look(look_key, x)
    trained = _trained(model)
    (value, moments), gradient = jax.value_and_grad(loss, has_aux=True)(
      trained, model.moments, x, images.y[chosen]
    )
    update, momentum = tx.update(gradient, momentum, trained)
    trained = optax.apply_updates(trained, update)
    model = _model(trained, moments)
    return State(model, momentum, number + 1), value

  keys = jax.random.split(steps_key, len(rows))
  state, losses = jax.lax.scan(step, state, (rows, keys))
  return state, jnp.mean(losses)


def start(
  key: Key, num_classes: int, config: Config, tx: optax.GradientTransformation
) -> State:
  """A training that begins; `key` is consumed."""
  model = init(key, num_classes, config)
  return State(model, tx.init(_trained(model)), jnp.int32(0))


def _trained(model: Model) -> tuple:
  """What gradients change."""
  return model.weights, model.norms, model.head, model.bias


def _model(trained: tuple, moments: tuple[layers.Moments, ...]) -> Model:
  weights, norms, head, bias = trained
  return Model(weights, norms, moments, head, bias)


def seen_at(size: int, x: jax.Array) -> jax.Array:
  """Images as they look at another resolution, in the size they have.

  Args:
    size: rows and columns of the other resolution.
    x: `f32[B, H, W, C]`.
  """
  shape = (x.shape[0], size, size, x.shape[-1])
  small = jax.image.resize(x, shape, "linear")
  return jax.image.resize(small, x.shape, "linear")


def _look(key: Key, x: jax.Array) -> jax.Array:
  """Images at a drawn resolution, and some of them gray."""
  size_key, gray_key = jax.random.split(key)

  x = jax.lax.switch(
    jax.random.randint(size_key, (), 0, len(RESOLUTIONS)),
    [functools.partial(seen_at, size) for size in RESOLUTIONS],
    x,
  )
  gray = jax.random.bernoulli(gray_key, GRAY_SHARE, (x.shape[0], 1, 1, 1))
  return jnp.where(gray, jnp.mean(x, axis=-1, keepdims=True), x)
