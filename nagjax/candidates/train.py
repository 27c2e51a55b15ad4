"""Training and evaluating candidate networks.

One function trains one network; `vmap` trains many at once on an accelerator,
`jax.lax.map` one after another, which is faster on a CPU. Networks that are
trained from one key see the same images in the same order, so that they differ
by their architecture only.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax import checks
from nagjax.candidates import cells
from nagjax.candidates.layers import Norm
from nagjax.types import Archs
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a network is trained; the defaults are NAS-Bench-201's.

  Attributes:
    num_epochs: passes over the images.
    batch_size: images of a step; cut to the number of images.
    learning_rate: at the start; falls to 0 by a cosine, epoch by epoch.
    momentum: Nesterov's.
    weight_decay: added to every gradient, of every parameter.
    shift: images are moved by up to so many pixels, zeros coming in.
    flips: whether images are mirrored at random.
    clutter: every image gets another one of the batch on top, weighted by a
      uniform draw from [0, clutter]; the label stays.
    noise: standard deviation of the noise that is added to every image.
  """

  num_epochs: int = 200
  batch_size: int = 256
  learning_rate: float = 0.1
  momentum: float = 0.9
  weight_decay: float = 5e-4
  shift: int = 4
  flips: bool = True
  clutter: float = 0.0
  noise: float = 0.0

  def __post_init__(self) -> None:
    checks.sizes(self, shift=0)
    checks.not_negative(self, "clutter", "noise", "momentum", "weight_decay")
    checks.positive(self, "learning_rate")


NASBENCH201 = Recipe()
"""The benchmark's own; its 12-epoch runs change `num_epochs` only."""
SMALL = Recipe(
  num_epochs=30,
  batch_size=64,
  shift=1,
  flips=False,
  noise=0.15,
)
"""For small images and seconds of a CPU."""


class Images(NamedTuple):
  """Labeled images.

  Attributes:
    x: `f32[n, H, W, C]`.
    y: `int32[n]`, classes from 0.
  """

  x: jax.Array
  y: jax.Array


class Split(NamedTuple):
  """Images in three parts.

  Attributes:
    train: to learn from.
    valid: to choose by.
    test: to judge by.
  """

  train: Images
  valid: Images
  test: Images


class Metrics(NamedTuple):
  """What a classifier is worth, `f32[]` each.

  Attributes:
    accuracy: percent.
    cross_entropy: mean, in nats.
    probability: mean probability of the true class.
  """

  accuracy: jax.Array
  cross_entropy: jax.Array
  probability: jax.Array


class Outcome(NamedTuple):
  """What one training came to.

  A training that diverged has the metrics of a blind guess.

  Attributes:
    valid, test: metrics of the two splits.
    failed: `bool[]` whether it diverged.
    earlier: `[E]` metrics of the valid split after earlier epochs; None if they
      were not asked for.
  """

  valid: Metrics
  test: Metrics
  failed: jax.Array
  earlier: Metrics | None = None


def assess(
  key: Key,
  arch: Archs,
  split: Split,
  config: cells.Config,
  recipe: Recipe,
  epochs: tuple[int, ...] = (),
) -> Outcome:
  """Trains one network and evaluates it; see `fit` for the arguments.

  Args:
    key, arch, split, config, recipe: likewise.
    epochs: before the last, after which it is evaluated as well.
  """
  num = config.num_classes
  if not epochs:
    model = fit(key, arch, split.train, config, recipe)
    return judge(model, arch, split, num)
  models = fit_epochs(
    key, arch, split.train, config, recipe, (*epochs, recipe.num_epochs)
  )
  earlier = jax.lax.map(
    lambda model: evaluate(model, arch, split.valid),
    jax.tree.map(lambda leaf: leaf[:-1], models),
  )
  outcome = judge(jax.tree.map(lambda leaf: leaf[-1], models), arch, split, num)
  failed = ~jnp.isfinite(earlier.cross_entropy)
  return outcome._replace(earlier=_or_guess(earlier, failed, num))


def judge(
  model: cells.Model, arch: Archs, split: Split, num_classes: int
) -> Outcome:
  """Evaluates a trained network by the images that it did not learn from.

  Args:
    model: the network.
    arch: `int32[6]` its cell.
    split: the images.
    num_classes: of the images, for the blind guess.
  """
  valid = evaluate(model, arch, split.valid)
  test = evaluate(model, arch, split.test)
  losses = jnp.stack([valid.cross_entropy, test.cross_entropy])
  failed = ~jnp.all(jnp.isfinite(losses))
  return Outcome(
    _or_guess(valid, failed, num_classes),
    _or_guess(test, failed, num_classes),
    failed,
  )


def _or_guess(metrics: Metrics, failed: jax.Array, num_classes: int) -> Metrics:
  """Metrics, or those of a blind guess where a training failed."""
  share = jnp.float32(1 / num_classes)
  guess = Metrics(100 * share, -jnp.log(share), share)
  return jax.tree.map(
    lambda value, blind: jnp.where(failed, blind, value), metrics, guess
  )


def assess_many(
  keys: jax.Array,
  archs: Archs,
  split: Split,
  config: cells.Config,
  recipe: Recipe,
  *,
  epochs: tuple[int, ...] = (),
  batch_size: int | None = None,
) -> Outcome:
  """`assess` of every cell with every key, leading axes `[n, S]`.

  The trainings of one cell run at the same time: they share its operations.

  Args:
    keys: `[S]` random keys, consumed.
    archs: `int32[n, 6]` cells.
    split: the images.
    config: the network around the cells.
    recipe: how they are trained.
    epochs: before the last, after which they are evaluated as well.
    batch_size: cells that train at the same time; None for one after another,
      which is fastest on a CPU.
  """

  def every_key(arch: Archs) -> Outcome:
    return jax.vmap(
      lambda key: assess(key, arch, split, config, recipe, epochs)
    )(keys)

  return jax.lax.map(every_key, archs, batch_size=batch_size)


def fit(
  key: Key, arch: Archs, images: Images, config: cells.Config, recipe: Recipe
) -> cells.Model:
  """Trains one network from its random start.

  Differs from NAS-Bench-201: the last batch of an epoch is filled up with
  images from the epoch's beginning, so that all have one size; zeros that come
  in at the borders are those of normalized images.

  Args:
    key: random key, consumed.
    arch: `int32[6]`, one cell.
    images: what it learns from.
    config: the network around the cell.
    recipe: how it is trained.
  """
  return _fit(key, arch, images, config, recipe, lambda model: None)[0]


def fit_epochs(
  key: Key,
  arch: Archs,
  images: Images,
  config: cells.Config,
  recipe: Recipe,
  epochs: tuple[int, ...],
) -> cells.Model:
  """The network of `fit` as it was after some epochs, leading axis `[E]`.

  Args:
    key, arch, images, config, recipe: see `fit`.
    epochs: from 1 to `recipe.num_epochs`.
  """
  _, models = _fit(key, arch, images, config, recipe, lambda model: model)
  rows = jnp.asarray(epochs) - 1
  return jax.tree.map(lambda leaf: leaf[rows], models)


_Carry = tuple[cells.Model, optax.OptState]
"""A network and its optimizer between two steps."""


def _fit(
  key: Key,
  arch: Archs,
  images: Images,
  config: cells.Config,
  recipe: Recipe,
  keep: Callable[[cells.Model], Any],
) -> tuple[cells.Model, Any]:
  """The trained network, and what `keep` makes of it after every epoch."""
  init_key, epochs_key = jax.random.split(key)
  model = cells.init(init_key, arch, config)
  num_images = images.y.shape[0]
  batch_size = min(recipe.batch_size, num_images)
  num_steps = -(-num_images // batch_size)
  rates = optax.cosine_decay_schedule(recipe.learning_rate, recipe.num_epochs)
  optimizer = optax.chain(
    optax.add_decayed_weights(recipe.weight_decay),
    optax.sgd(
      lambda step: rates(step // num_steps), recipe.momentum, nesterov=True
    ),
  )

  def loss(
    params: cells.Params, statistics: cells.Statistics, batch: Images
  ) -> tuple[jax.Array, cells.Statistics]:
    logits, statistics = cells.apply(
      cells.Model(params, statistics), arch, batch.x, norm=Norm.BATCH
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
    return jnp.mean(losses), statistics

  def step(carry: _Carry, inputs: tuple[jax.Array, Key]) -> tuple[_Carry, None]:
    (params, statistics), state = carry
    rows, step_key = inputs
    batch = Images(augment(step_key, images.x[rows], recipe), images.y[rows])
    gradient, statistics = jax.grad(loss, has_aux=True)(
      params, statistics, batch
    )
    update, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, update)
    return (cells.Model(params, statistics), state), None

  def epoch(carry: _Carry, epoch_key: Key) -> tuple[_Carry, Any]:
    order_key, steps_key = jax.random.split(epoch_key)
    order = jax.random.permutation(order_key, num_images)
    rows = jnp.resize(order, (num_steps, batch_size))
    keys = jax.random.split(steps_key, num_steps)
    carry, _ = jax.lax.scan(step, carry, (rows, keys))
    return carry, keep(carry[0])

  (model, _), kept = jax.lax.scan(
    epoch,
    (model, optimizer.init(model.params)),
    jax.random.split(epochs_key, recipe.num_epochs),
  )
  return model, kept


def augment(key: Key, x: jax.Array, recipe: Recipe) -> jax.Array:
  """Flips, moves and clutters images, then adds noise, `[B, H, W, C]`."""
  flip_key, shift_key, clutter_key, noise_key = jax.random.split(key, 4)
  num, height, width, _ = x.shape
  if recipe.flips:
    flip = jax.random.bernoulli(flip_key, shape=(num, 1, 1, 1))
    x = jnp.where(flip, x[:, :, ::-1], x)
  if recipe.shift:
    pad = recipe.shift
    start = jax.random.randint(shift_key, (2, num, 1), 0, 2 * pad + 1)
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows = start[0] + jnp.arange(height)[None]
    columns = start[1] + jnp.arange(width)[None]
    image = jnp.arange(num)[:, None, None]
    x = padded[image, rows[:, :, None], columns[:, None, :]]
  if recipe.clutter:
    weight = jax.random.uniform(clutter_key, (num, 1, 1, 1))
    x = x + recipe.clutter * weight * jnp.roll(x, 1, axis=0)
  if recipe.noise:
    x = x + recipe.noise * jax.random.normal(noise_key, x.shape)
  return x


def evaluate(
  model: cells.Model, arch: Archs, images: Images, *, batch_size: int = 100
) -> Metrics:
  """Classifies images with the running statistics; see `Metrics`."""
  return measure(
    lambda x: cells.apply(model, arch, x)[0], images, batch_size=batch_size
  )


def measure(
  classify_fn: Callable[[jax.Array], jax.Array],
  images: Images,
  *,
  batch_size: int = 100,
) -> Metrics:
  """What a classifier is worth, some images at a time.

  Args:
    classify_fn: `f32[B, H, W, C] -> f32[B, num_classes]`, logits.
    images: to judge by.
    batch_size: `B`; the last one may be smaller.
  """
  every = measure_each(classify_fn, images, batch_size=batch_size)
  return jax.tree.map(jnp.mean, every)


def measure_each(
  classify_fn: Callable[[jax.Array], jax.Array],
  images: Images,
  *,
  batch_size: int = 100,
) -> Metrics:
  """`measure` image by image, each `f32[n]`."""
  num = images.y.shape[0]

  def one_batch(batch: Images) -> Metrics:
    logits = classify_fn(batch.x)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
    hits = jnp.argmax(logits, axis=-1) == batch.y
    return Metrics(100.0 * hits.astype(jnp.float32), losses, jnp.exp(-losses))

  size = min(batch_size, num)
  whole = num - num % size
  batches = jax.tree.map(
    lambda leaf: leaf[:whole].reshape(-1, size, *leaf.shape[1:]), images
  )
  rows = jax.lax.map(one_batch, batches)
  rows = jax.tree.map(lambda leaf: leaf.reshape(-1), rows)
  if whole < num:
    rest = one_batch(jax.tree.map(lambda leaf: leaf[whole:], images))
    rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows, rest)
  return rows
