"""Continuous relaxations of categorical and binary choices, on given noise.

Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", and
Maddison, Mnih and Teh, "The Concrete Distribution", both ICLR 2017. OptiProxy-
NAS (Lyu et al., section 2.2, equations 8 to 10) relaxes operations and edges of
an architecture by them.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def gumbel_softmax(
  logits: jax.Array, gumbel: jax.Array, temperature: ArrayLike
) -> jax.Array:
  """`softmax((logits + gumbel) / temperature)` over the last axis.

  The arg-max of a draw is distributed as `softmax(logits)`. Options that do not
  exist have the logit `-inf` and get 0. With two options this is the binary
  concrete distribution of the difference of their logits.

  Args:
    logits: `f32[..., K]`, finite for at least one option.
    gumbel: `f32[..., K]` standard Gumbel draws.
    temperature: above 0.

  Returns:
    `f32[..., K]` weights of the options, sum 1.
  """
  return jax.nn.softmax((logits + gumbel) / temperature, axis=-1)


def binary_concrete(
  logits: jax.Array, logistic: jax.Array, temperature: ArrayLike
) -> jax.Array:
  """`sigmoid((logits + logistic) / temperature)`.

  A draw exceeds one half with probability `sigmoid(logits)`.

  Args:
    logits: `f32[...]`.
    logistic: `f32[...]` standard logistic draws: differences of two Gumbels.
    temperature: above 0.
  """
  return jax.nn.sigmoid((logits + logistic) / temperature)


def one_gumbel_sigmoid(
  logits: jax.Array, gumbel: jax.Array, temperature: ArrayLike
) -> jax.Array:
  """`sigmoid((logits + gumbel) / temperature)`, OptiProxy-NAS equation 10.

  One Gumbel draw takes the place of a logistic one, as in the paper and its
  program; edges are then present more often than `sigmoid(logits)`, with
  probability `1 - exp(-exp(logits))`.

  Args:
    logits: `f32[...]`.
    gumbel: `f32[...]` standard Gumbel draws.
    temperature: above 0.
  """
  return jax.nn.sigmoid((logits + gumbel) / temperature)


def linear_temperatures(
  num_epochs: int, *, start: float = 0.7, end: float = 0.2
) -> jax.Array:
  """`end + (start - end) (1 - e / E)` for `e = 0, ..., E - 1`, `f32[E]`.

  OptiProxy-NAS, base and minimal temperature of its table 6.
  """
  left = 1 - jnp.arange(num_epochs, dtype=jnp.float32) / num_epochs
  return end + (start - end) * left
