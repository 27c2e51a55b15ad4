"""The part of a space that a table holds, as a space of its own.

What a table lacks is no architecture to a search on it: it is never sampled,
proposed or charged, and the optimum is that of the part.
"""

from collections.abc import Callable
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import columns as columns_lib
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key

KeyFn = Callable[[Archs], jax.Array]


def part_of(
  space: SearchSpace, archs: np.ndarray, keys: np.ndarray, key_fn: KeyFn
) -> SearchSpace:
  """The space of some architectures; all its other views are the space's.

  Args:
    space: the whole.
    archs: `int32[n, L]`, of which each is uniformly drawn by `sample`.
    keys: `[n, W]` those of the architectures, ascending.
    key_fn: `int32[..., L] -> [..., W]`, by which they are found.
  """
  return dataclasses.replace(
    space,
    is_valid=functools.partial(_is_there, space.is_valid, key_fn, keys),
    num_architectures=len(archs),
    sample_fn=functools.partial(_sample, archs),
  )


def find(
  keys: jax.Array, key_fn: KeyFn, archs: Archs
) -> tuple[jax.Array, jax.Array]:
  """Where architectures are among ascending keys, and whether they are.

  Args:
    keys: `[n, W]`.
    key_fn: `int32[..., L] -> [..., W]`.
    archs: `int32[..., L]`.

  Returns:
    `int32[...]`, of what is not there the place of some other, and `bool[...]`.
  """
  wanted = key_fn(archs)
  row = jnp.minimum(columns_lib.lower_bound(keys, wanted), keys.shape[-2] - 1)
  return row, jnp.all(keys[row] == wanted, axis=-1)


def _is_there(
  is_valid: Callable[[Archs], jax.Array],
  key_fn: KeyFn,
  keys: np.ndarray,
  archs: Archs,
) -> jax.Array:
  return is_valid(archs) & find(jnp.asarray(keys), key_fn, archs)[1]


def _sample(archs: np.ndarray, key: Key, num: int) -> Archs:
  return jnp.asarray(archs)[jax.random.randint(key, (num,), 0, len(archs))]
