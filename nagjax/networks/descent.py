"""A network in training, and one step of an optimizer."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.typing import ArrayLike
import optax

from nagjax.types import Params


class TrainState(NamedTuple):
  """A network in the state of its training.

  Attributes:
    params: of the network, or of several along a leading axis.
    opt_state: of the optimizer, which the next training goes on from.
  """

  params: Params
  opt_state: optax.OptState


def begin(
  params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
  """A training at given parameters."""
  return TrainState(params, optimizer.init(params))


def descend(
  state: TrainState,
  loss_fn: Callable[[Params], jax.Array],
  optimizer: optax.GradientTransformation,
  rate: ArrayLike | None = None,
) -> TrainState:
  """One step of an optimizer, its update times `rate: f32[]`, if any."""
  return follow(state, jax.grad(loss_fn)(state.params), optimizer, rate)


def follow(
  state: TrainState,
  gradient: Params,
  optimizer: optax.GradientTransformation,
  rate: ArrayLike | None = None,
) -> TrainState:
  """`descend`, where the gradient of the loss is known."""
  with jax.numpy_dtype_promotion("standard"):  # Optax mixes types.
    update, opt_state = optimizer.update(
      gradient, state.opt_state, state.params
    )
  if rate is not None:
    update = jax.tree.map(lambda leaf: rate * leaf, update)
  return TrainState(optax.apply_updates(state.params, update), opt_state)
