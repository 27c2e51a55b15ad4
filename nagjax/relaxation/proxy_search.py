"""Optimizing the logits of architectures through a differentiable proxy.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search", section 2.4 and algorithm 1: groups of variables are
relaxed by Gumbel-softmax and follow the gradient of the proxy, operations
(`alpha`) and connections (`beta`) in turn.

A space says which variables choose connections (`topology`), how many options
each has, and how weights of the options make a graph (`to_soft_graph`, which
knows fixed edges and tied entries). So nothing here knows a space by name.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nagjax.relaxation.gumbel import gumbel_softmax
from nagjax.types import Archs

ValueFn = Callable[[jax.Array], jax.Array]
"""Maps weights of options `f32[G, L, K]` to what is maximized, `f32[G]`."""


class Variables(NamedTuple):
  """The relaxed architectures of `G` groups and their optimizer.

  Attributes:
    logits: `f32[G, L, K]`; `-inf` where an option does not exist.
    opt_state: of the optimizer.
  """

  logits: jax.Array
  opt_state: optax.OptState


def existing_options(cardinalities: Sequence[int]) -> np.ndarray:
  """Which options a variable has, `bool[L, K]`."""
  sizes = np.asarray(cardinalities)
  return np.arange(sizes.max()) < sizes[:, None]


def init(
  logits: jax.Array,
  cardinalities: Sequence[int],
  optimizer: optax.GradientTransformation,
) -> Variables:
  """Starts from logits `f32[G, L, K]`."""
  exists = jnp.asarray(existing_options(cardinalities))[None]
  logits = jnp.where(exists, logits, -jnp.inf)
  return Variables(logits, optimizer.init(jnp.where(exists, logits, 0.0)))


def optimize(
  variables: Variables,
  value_fn: ValueFn,
  gumbel: jax.Array,
  temperatures: jax.Array,
  optimizer: optax.GradientTransformation,
  *,
  topology: Sequence[bool] = (),
  interval: int = 1,
) -> Variables:
  """Follows the gradient of the proxy for `E` epochs.

  Args:
    variables: where to start.
    value_fn: what is maximized, group by group.
    gumbel: `f32[E, G, L, K]` standard Gumbel draws.
    temperatures: `f32[E]` of the relaxation.
    optimizer: as given to `init`.
    topology: which variables choose connections; if some do, `interval` epochs
      of steps for the operations alternate with as many for the connections.
    interval: see there.

  Returns:
    The variables afterwards.
  """
  is_topology = np.zeros(variables.logits.shape[-2], bool)
  is_topology[: len(topology)] = topology
  alternates = is_topology.any() and not is_topology.all()
  exists = jnp.isfinite(variables.logits)

  def epoch(
    variables: Variables, inputs: tuple[jax.Array, ...]
  ) -> tuple[Variables, None]:
    number, noise, temperature = inputs
    logits, opt_state = variables

    def total(logits: jax.Array) -> jax.Array:
      masked = jnp.where(exists, logits, -jnp.inf)
      return -jnp.sum(value_fn(gumbel_softmax(masked, noise, temperature)))

    finite = jnp.where(exists, logits, 0.0)
    gradient = jnp.where(exists, jax.grad(total)(finite), 0.0)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes types.
      update, new_state = optimizer.update(gradient, opt_state, finite)
    if alternates:
      turn = (number // interval) % 2 == 1
      moves = (jnp.asarray(is_topology) == turn)[None, :, None]
      # What does not move keeps its moments too.
      update = jnp.where(moves, update, 0.0)
      new_state = jax.tree.map(
        lambda new, old: jnp.where(moves, new, old) if new.ndim == 3 else new,
        new_state,
        opt_state,
      )
    logits = jnp.where(exists, optax.apply_updates(finite, update), -jnp.inf)
    return Variables(logits, new_state), None

  num_epochs = temperatures.shape[0]
  inputs = (jnp.arange(num_epochs), gumbel, temperatures)
  return jax.lax.scan(epoch, variables, inputs)[0]


def sample(logits: jax.Array, gumbel: jax.Array) -> Archs:
  """Draws architectures of the groups, by the Gumbel-max rule.

  Args:
    logits: `f32[G, L, K]`.
    gumbel: `f32[G, Q, L, K]` standard Gumbel draws.

  Returns:
    `int32[G, Q, L]`, each variable distributed as `softmax(logits)`.
  """
  return jnp.argmax(logits[:, None] + gumbel, axis=-1).astype(jnp.int32)
