"""Sub-networks trained alone, by the recipe that trains them all.

The networks stay slices of the super-network's weights, so the architecture is
an input here too: one compiled program trains them one after another, at the
price of the widest one of the same depth.
"""

import jax
import jax.numpy as jnp

from nagjax.candidates import supernet
from nagjax.candidates.elastic import Elastic
from nagjax.candidates.elastic import Weights
from nagjax.candidates.train import Images
from nagjax.types import Archs
from nagjax.types import Key


def train_alone(
  key: Key,
  arch: Archs,
  images: Images,
  network: Elastic,
  recipe: supernet.Recipe,
  weights: Weights | None = None,
) -> Weights:
  """Trains one sub-network by the labels.

  Args:
    key: random key, consumed.
    arch: `int32[L]`, the sub-network.
    images: normalized, to learn from.
    network: the super-network, whose slices are trained.
    recipe: how; its phases one after another, with one network a step.
    weights: to begin with, such as inherited ones; drawn if None.

  Returns:
    Weights of which those of the sub-network are trained.
  """
  init_key, epochs_key = jax.random.split(key)
  begun = supernet.begin(init_key, network, recipe)
  state = begun._replace(teacher=())
  if weights is not None:
    state = state._replace(weights=weights)
  for phase, now in enumerate(recipe.phases):
    keys = jax.random.split(
      jax.random.fold_in(epochs_key, phase), now.num_epochs
    )

    def epoch(
      state: supernet.State, inputs: tuple[Key, jax.Array], phase: int = phase
    ) -> tuple[supernet.State, None]:
      epoch_key, number = inputs
      state, _ = supernet.epoch(
        *(epoch_key, number, state, images, network, recipe, phase), alone=arch
      )
      return state, None

    numbers = jnp.arange(now.num_epochs, dtype=jnp.int32)
    state = state._replace(moments=begun.moments)
    state, _ = jax.lax.scan(epoch, state, (keys, numbers))
  return state.weights
