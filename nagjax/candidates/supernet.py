"""Training of super-networks: single paths, the sandwich rule, shrinking.

  single_path  Chen et al., "AutoFormer", ICCV 2021, section 3.3,
               https://arxiv.org/abs/2107.00651: one random network a step.
  sandwich     Yu and Huang, "Universally Slimmable Networks", ICCV 2019,
               sections 3.2 and 3.3, https://arxiv.org/abs/1903.05134: the
               largest, the smallest and some random networks a step; all but
               the largest learn from its answers (in-place distillation).
  shrinking    Cai et al., "Once-for-All", ICLR 2020, section 3.4,
               https://arxiv.org/abs/1908.09791: first the largest network, then
               random ones of more and more options, which learn from labels and
               from the answers of the largest network as it was.

A training is a number of epochs, each a pure function of its number and of the
state before, so that it may be killed and go on to the same bits.
"""

import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax import checks
from nagjax.candidates import train
from nagjax.candidates.elastic import Elastic
from nagjax.candidates.elastic import Options
from nagjax.candidates.elastic import Weights
from nagjax.candidates.layers import Norm
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

RULES = ("single_path", "sandwich", "shrinking")

_NOT_DECAYED = ("norm", "bias", "token", "positions")
"""Parts of the names of weights that both programs leave out."""


class Phase(NamedTuple):
  """Some epochs with one set of options; the schedule begins anew.

  Attributes:
    num_epochs: passes over the images.
    learning_rate: at its highest; falls to `Recipe.least_rate` by a cosine.
    num_random: random networks of a step.
    warmup_epochs: over which the rate rises from 0; fewer than all.
    options: what the random networks are drawn from.
    is_largest: whether only the largest network is trained.
    sorting: stage of `Elastic.sort_channels` before the phase, if any.
  """

  num_epochs: int
  learning_rate: float
  num_random: int = 1
  warmup_epochs: int = 0
  options: Options = Options()
  is_largest: bool = False
  sorting: int | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a super-network is trained.

  Attributes:
    phases: one after another.
    rule: one of `RULES`.
    batch_size: images of a step; the rest of an epoch is left out.
    optimizer: `sgd` with Nesterov's momentum, or `adamw`.
    momentum: of `sgd`.
    weight_decay: of all but normalizations, biases, tokens and positions.
    label_smoothing: share of the labels that goes to all classes.
    distillation: weight of the teacher's answers beside the labels, in
      `shrinking`.
    least_rate: the last learning rate.
    drop_path: see `vit.apply`.
    shift, flips: see `train.Recipe`.
  """

  phases: tuple[Phase, ...]
  rule: str = "sandwich"
  batch_size: int = 64
  optimizer: str = "sgd"
  momentum: float = 0.9
  weight_decay: float = 3e-5
  label_smoothing: float = 0.1
  distillation: float = 1.0
  least_rate: float = 0.0
  drop_path: float = 0.0
  shift: int = 4
  flips: bool = True

  def __post_init__(self) -> None:
    if self.rule not in RULES:
      raise ValueError(
        f"rule must be one of {', '.join(RULES)}, got {self.rule!r}."
      )
    if self.optimizer not in ("sgd", "adamw"):
      raise ValueError(
        f"optimizer must be sgd or adamw, got {self.optimizer!r}."
      )
    if not self.phases or any(
      not 0 <= phase.warmup_epochs < phase.num_epochs for phase in self.phases
    ):
      raise ValueError(
        "phases must be some, each of more epochs than those of its warm-up."
      )
    checks.not_negative(
      self, "weight_decay", "distillation", "least_rate", "momentum"
    )
    for name in ("label_smoothing", "drop_path"):
      if not 0 <= getattr(self, name) < 1:
        raise ValueError(
          f"{name} must be in [0, 1), got {getattr(self, name)}."
        )
    if self.batch_size < 2:
      raise ValueError(f"batch_size must be 2 or more, got {self.batch_size}.")

  @property
  def num_epochs(self) -> int:
    """Epochs of all phases."""
    return sum(phase.num_epochs for phase in self.phases)

  def place(self, epoch: int) -> tuple[int, int]:
    """Phase of an epoch, and the epoch's number in it.

    Args:
      epoch: its number in all phases, from 0.

    Raises:
      ValueError: if there are fewer epochs.
    """
    for number, phase in enumerate(self.phases):
      if epoch < phase.num_epochs:
        return number, epoch
      epoch -= phase.num_epochs
    raise ValueError(f"There are {self.num_epochs} epochs.")


def _shrinking(num_gpus: int) -> tuple[Phase, ...]:
  """Cai et al.'s phases; their first one is ours, as nobody published it."""
  rows = (
    Phase(180, 3e-2, 0, 5, is_largest=True),
    Phase(120, 3e-2, 1, 5, Options(depths=(4,), expansions=(6,))),
    Phase(25, 2.5e-3, 2, 0, Options(depths=(3, 4), expansions=(6,))),
    Phase(120, 7.5e-3, 2, 5, Options(expansions=(6,))),
    Phase(25, 2.5e-3, 4, 0, Options(expansions=(4, 6)), sorting=0),
    Phase(120, 7.5e-3, 4, 5, sorting=1),
  )
  return tuple(
    row._replace(learning_rate=row.learning_rate * num_gpus) for row in rows
  )


PRESETS = {
  ("mobilenetv3", "paper"): Recipe(
    _shrinking(32), "shrinking", batch_size=2048
  ),
  ("mobilenetv3", "cpu"): Recipe((Phase(40, 0.05, 1, 1),), batch_size=32),
  ("autoformer", "paper"): Recipe(
    (Phase(500, 1e-3, 1, 20),),
    "single_path",
    batch_size=1024,
    optimizer="adamw",
    weight_decay=0.05,
    least_rate=1e-5,
    drop_path=0.1,
  ),
  ("autoformer", "cpu"): Recipe(
    (Phase(20, 2e-3, 1, 1),),
    batch_size=32,
    optimizer="adamw",
    weight_decay=0.05,
  ),
}
"""By family and name. `paper` is as published where we have it: without the
augmentations by other images, colors and scales, and without averaged weights;
`cpu` is ours, for 4,000 images and minutes."""


class State(NamedTuple):
  """A training between two epochs.

  Attributes:
    weights: of the super-network.
    moments: of the optimizer.
    teacher: weights whose answers `shrinking` learns from, else `()`.
  """

  weights: Weights
  moments: optax.OptState
  teacher: Any


def begin(key: Key, network: Elastic, recipe: Recipe) -> State:
  """A training that begins; `key` is consumed."""
  weights = network.init(key)
  teacher = weights if recipe.rule == "shrinking" else ()
  return State(weights, _optimizer(recipe).init(weights.params), teacher)


def epoch(
  key: Key,
  number: jax.Array,
  state: State,
  images: train.Images,
  network: Elastic,
  recipe: Recipe,
  phase: int,
  alone: Archs | None = None,
) -> tuple[State, jax.Array]:
  """One pass over the images.

  Args:
    key: random key of this epoch, consumed.
    number: `int32[]` of the epoch in its phase.
    state: the training so far.
    images: normalized, to learn from.
    network: the super-network.
    recipe: how it is trained.
    phase: position in `recipe.phases`.
    alone: `int32[L]`, the only network that is trained, by the labels.

  Returns:
    The training, and the mean loss of the first network of every step: of the
    largest one where it takes part.
  """
  now = recipe.phases[phase]
  if alone is None:
    state = _enter(state, network, recipe, phase, number == 0)
  num_images = images.y.shape[0]
  size = min(recipe.batch_size, num_images)
  num_steps = num_images // size
  order_key, steps_key = jax.random.split(key)
  order = jax.random.permutation(order_key, num_images)
  rows = order[: num_steps * size].reshape(num_steps, size)
  tx = _optimizer(recipe)
  augmentation = train.Recipe(shift=recipe.shift, flips=recipe.flips)

  def step(
    carry: tuple[Weights, optax.OptState],
    inputs: tuple[jax.Array, jax.Array, Key],
  ) -> tuple[tuple[Weights, optax.OptState], jax.Array]:
    weights, moments = carry
    chosen, place, step_key = inputs
    look_key, archs_key, drop_key = jax.random.split(step_key, 3)
    x = train.augment(look_key, images.x[chosen], augmentation)
    y = _smooth(images.y[chosen], network.num_classes, recipe.label_smoothing)
    archs, target = alone, None
    if archs is None:
      archs = _archs(archs_key, network, recipe, now)
      target = _answers(network, state.teacher, x)
    gradient, weights, loss = _gradient(
      drop_key,
      weights,
      jnp.atleast_2d(archs),
      x,
      y,
      target,
      network,
      recipe,
    )
    update, moments = tx.update(gradient, moments, weights.params)
    rate = _rate(now, recipe, number * num_steps + place, num_steps)
    update = jax.tree.map(lambda leaf: -rate * leaf, update)
    params = optax.apply_updates(weights.params, update)
    return (weights._replace(params=params), moments), loss

  keys = jax.random.split(steps_key, num_steps)
  places = jnp.arange(num_steps, dtype=jnp.int32)
  (weights, moments), losses = jax.lax.scan(
    step, (state.weights, state.moments), (rows, places, keys)
  )
  return State(weights, moments, state.teacher), jnp.mean(losses)


def _enter(
  state: State,
  network: Elastic,
  recipe: Recipe,
  phase: int,
  is_first: jax.Array,
) -> State:
  """The state with which an epoch begins: phases forget the momentum.

  The teacher is the largest network at the end of the first phase.
  """
  if phase == 0:
    return state
  weights, teacher = state.weights, state.teacher
  if phase == 1 and recipe.rule == "shrinking":
    teacher = _where(is_first, weights, teacher)
  sorting = recipe.phases[phase].sorting
  if sorting is not None:
    ordered = network.sort_channels(weights, sorting)
    weights = _where(is_first, ordered, weights)
  fresh = _optimizer(recipe).init(weights.params)
  return State(weights, _where(is_first, fresh, state.moments), teacher)


def _where(condition: jax.Array, first: Any, second: Any) -> Any:
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), first, second)


def _archs(key: Key, network: Elastic, recipe: Recipe, phase: Phase) -> Archs:
  """The networks of one step, `int32[n, L]`; the teacher of others first."""
  drawn = network.draw(key, phase.num_random, phase.options)
  ends = jnp.stack(
    [jnp.asarray(network.largest), jnp.asarray(network.smallest)]
  )
  if phase.is_largest:
    return ends[:1]
  if recipe.rule == "sandwich":
    return jnp.concatenate([ends[:1], drawn, ends[1:]])
  return drawn


def _answers(network: Elastic, teacher: Any, x: jax.Array) -> jax.Array | None:
  """Probabilities of the classes by the teacher, None if there is none."""
  if not isinstance(teacher, Weights):
    return None
  largest = jnp.asarray(network.largest)
  logits, _ = network.apply(teacher, largest, x, norm=Norm.BATCH)
  return jax.nn.softmax(logits)


def _gradient(
  key: Key,
  weights: Weights,
  archs: Archs,
  x: jax.Array,
  y: jax.Array,
  target: jax.Array | None,
  network: Elastic,
  recipe: Recipe,
) -> tuple[Params, Weights, jax.Array]:
  """The sum of the networks' gradients, the statistics, the first one's loss.

  One network after another: they share one program and its memory.
  """
  drop_path = recipe.drop_path

  def loss(
    params: Params,
    statistics: Any,
    arch: Archs,
    wanted: jax.Array,
    drop_key: Key,
  ) -> tuple[jax.Array, tuple[Any, jax.Array]]:
    logits, statistics = network.apply(
      Weights(params, statistics),
      arch,
      x,
      norm=Norm.BATCH,
      key=drop_key if drop_path else None,
      drop_path=drop_path,
    )
    value = jnp.mean(optax.softmax_cross_entropy(logits, wanted))
    return value, (statistics, jax.lax.stop_gradient(jax.nn.softmax(logits)))

  def one(
    carry: tuple[Params, Any, jax.Array],
    inputs: tuple[Archs, jax.Array, Key],
  ) -> tuple[tuple[Params, Any, jax.Array], jax.Array]:
    total, statistics, answers = carry
    arch, is_first, drop_key = inputs
    if target is not None:
      # The sum of two cross-entropies, of mixed labels.
      wanted = y + recipe.distillation * target
    elif recipe.rule == "sandwich":
      wanted = jnp.where(is_first, y, answers)
    else:
      wanted = y
    (value, (statistics, said)), gradient = jax.value_and_grad(
      loss, has_aux=True
    )(weights.params, statistics, arch, wanted, drop_key)
    total = jax.tree.map(jnp.add, total, gradient)
    answers = jnp.where(is_first, said, answers)
    return (total, statistics, answers), value

  num = archs.shape[0]
  carry = (
    jax.tree.map(jnp.zeros_like, weights.params),
    weights.statistics,
    jnp.zeros_like(y),
  )
  is_first = jnp.arange(num) == 0
  (total, statistics, _), values = jax.lax.scan(
    one, carry, (archs, is_first, jax.random.split(key, num))
  )
  return total, weights._replace(statistics=statistics), values[0]


def _smooth(labels: jax.Array, num_classes: int, share: float) -> jax.Array:
  one_hot = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
  return optax.smooth_labels(one_hot, share)


def _rate(
  phase: Phase, recipe: Recipe, step: jax.Array, num_steps: int
) -> jax.Array:
  """Learning rate of a step of a phase: linear up, then a cosine."""
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0 if phase.warmup_epochs else phase.learning_rate,
    peak_value=phase.learning_rate,
    warmup_steps=phase.warmup_epochs * num_steps,
    decay_steps=phase.num_epochs * num_steps,
    end_value=recipe.least_rate,
  )
  return jnp.asarray(schedule(step), jnp.float32)


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
  """What makes an update of a gradient, the rate aside."""

  def is_decayed(params: Params) -> Any:
    def one(path: Any, leaf: jax.Array) -> bool:
      del leaf
      name = jax.tree_util.keystr(path)
      return not any(part in name for part in _NOT_DECAYED)

    return jax.tree.map_with_path(one, params)

  decay = optax.add_decayed_weights(recipe.weight_decay, is_decayed)
  if recipe.optimizer == "adamw":
    return optax.chain(optax.scale_by_adam(), decay)
  return optax.chain(decay, optax.trace(recipe.momentum, nesterov=True))
