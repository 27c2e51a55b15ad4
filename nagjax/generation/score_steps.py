"""Steps of the training of a score model, as a scan.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, section
3.1, and its program: Adam with a warm-up, clipped gradients, and an exponential
moving average of the parameters, which is what one samples with.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax import checks
from nagjax.generation.score_models import ScoreModel
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

_FIRST_TIME = 1e-5
"""The earliest time that is learnt, as published."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; the defaults are the program's.

  Attributes:
    learning_rate: of Adam, after the warm-up.
    warmup_steps: in which the rate rises from 0; the first step has 0.
    decay_steps: at which the rate has fallen to 0 along a cosine; it stays if
      0.
    clip_norm: largest norm of a gradient.
    ema_decay: of the moving average; smaller at first, `(1 + n) / (10 + n)`.
    central: draw times evenly spread over a batch, and more often from the
      middle, where it is decided what a sample becomes.
  """

  learning_rate: float = 2e-5
  warmup_steps: int = 1000
  decay_steps: int = 0
  clip_norm: float = 1.0
  ema_decay: float = 0.9999
  central: bool = False

  def __post_init__(self) -> None:
    checks.positive(self, "learning_rate", "clip_norm")
    checks.sizes(self, warmup_steps=0, decay_steps=0)
    if not 0 <= self.ema_decay < 1:
      raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")


class TrainState(NamedTuple):
  """A model in the state of its training.

  Attributes:
    params: of the network.
    average: their moving average, with which one samples.
    opt_state: of the optimizer.
    num_steps: `int32[]` steps that are done.
  """

  params: Params
  average: Params
  opt_state: optax.OptState
  num_steps: jax.Array


def start(params: Params, config: Config) -> TrainState:
  """Begins a training at given parameters."""
  return TrainState(
    params, params, _optimizer(config).init(params), jnp.int32(0)
  )


def train(
  key: Key,
  model: ScoreModel,
  state: TrainState,
  archs: Archs,
  config: Config,
  *,
  dropout: bool = False,
) -> tuple[TrainState, jax.Array]:
  """One step for every leading entry of the architectures.

  Args:
    key: random key, consumed.
    model: what is trained.
    state: where to start.
    archs: `int32[S, B, L]` clean architectures.
    config: see `Config`.
    dropout: whether the network's dropout is on.

  Returns:
    The model after `S` steps, and the loss of every step, `f32[S]`.
  """
  optimizer = _optimizer(config)

  def step(
    state: TrainState, inputs: tuple[Key, Archs]
  ) -> tuple[TrainState, jax.Array]:
    key, batch = inputs
    time_key, noise_key, dropout_key = jax.random.split(key, 3)
    t = draw_times(time_key, batch.shape[0], central=config.central)
    noise = jax.random.normal(noise_key, (*t.shape, *model.shape))

    def loss(params: Params) -> jax.Array:
      losses = model.loss(
        params, batch, t, noise, dropout_key if dropout else None
      )
      return jnp.mean(losses)

    value, gradient = jax.value_and_grad(loss)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes types.
      update, opt_state = optimizer.update(gradient, state.opt_state)
    params = optax.apply_updates(state.params, update)
    num = state.num_steps + 1
    decay = jnp.minimum(config.ema_decay, (1.0 + num) / (10.0 + num))
    average = optax.incremental_update(params, state.average, 1 - decay)
    return TrainState(params, average, opt_state, num), value

  keys = jax.random.split(key, archs.shape[0])
  return jax.lax.scan(step, state, (keys, archs))


def draw_times(key: Key, num: int, *, central: bool) -> jax.Array:
  """Times in [1e-5, 1), `f32[num]`; the key is consumed.

  Uniform, or, if `central`, of the triangular density that peaks at 1/2.
  """
  uniform = jax.random.uniform(key, (num,))
  if central:
    uniform = (jnp.arange(num) + uniform) / num
    side = jnp.minimum(uniform, 1 - uniform)
    half = jnp.sqrt(side / 2)
    uniform = jnp.where(uniform < 0.5, half, 1 - half)
  return _FIRST_TIME + (1 - _FIRST_TIME) * uniform


def _optimizer(config: Config) -> optax.GradientTransformation:
  rate: optax.ScalarOrSchedule = config.learning_rate
  if config.decay_steps:
    rate = optax.warmup_cosine_decay_schedule(
      0.0,
      config.learning_rate,
      config.warmup_steps,
      max(config.decay_steps, config.warmup_steps + 1),
    )
  elif config.warmup_steps:
    rate = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adam(rate, b1=0.9, b2=0.999, eps=1e-8),
  )
