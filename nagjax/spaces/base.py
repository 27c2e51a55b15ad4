"""`SearchSpace`: the static description of a set of architectures.

Between modules an architecture is an integer vector `int32[L]`; every other
form (one-hot matrix, graph, string, index) is a view that the space computes.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

_MAX_INDEX = 2**31


@dataclasses.dataclass(frozen=True, eq=False)
class SearchSpace:
  """A search space: `L` categorical variables and the views of them.

  A space is compared by identity, so its factory is cached and it may be a
  static argument of a compiled function.

  Attributes:
    name: name in the registry.
    cardinalities: number of options of each of the `L` variables.
    to_string: `int[L] -> str`, the official name of one architecture (host).
    from_string: the inverse; raises `ValueError` on anything else (host).
    to_features: `int32[..., L] -> f32[..., R, C]`, the papers' one-hot matrix.
    from_features: `f32[..., R, C] -> (archs, valid)`, arg-max decoding.
    feature_shape: `(R, C)`.
    to_graph: `int32[..., L] -> Graph`, node-labelled data flow.
    canonicalise: maps architectures of one computation to one representative.
    is_valid: `int32[..., L] -> bool[...]`, whether a vector is an architecture.
    num_architectures: how many distinct architectures there are.
  """

  name: str
  cardinalities: tuple[int, ...]
  to_string: Callable[[Sequence[int]], str]
  from_string: Callable[[str], np.ndarray]
  to_features: Callable[[Archs], jax.Array]
  from_features: Callable[[jax.Array], tuple[Archs, jax.Array]]
  feature_shape: tuple[int, int]
  to_graph: Callable[[Archs], Graph]
  canonicalise: Callable[[Archs], Archs]
  is_valid: Callable[[Archs], jax.Array]
  num_architectures: int

  @property
  def num_variables(self) -> int:
    """`L`, the length of an architecture vector."""
    return len(self.cardinalities)

  @property
  def num_options(self) -> int:
    """`K`, the largest number of options of any variable."""
    return max(self.cardinalities)

  @property
  def enumerable(self) -> bool:
    """Whether every vector is an architecture and has a 31-bit `index`."""
    num_vectors = math.prod(self.cardinalities)
    return num_vectors == self.num_architectures and num_vectors < _MAX_INDEX

  @property
  def num_neighbours(self) -> int:
    """`M`, the number of vectors that differ in exactly one variable."""
    return sum(k - 1 for k in self.cardinalities)

  def sample(self, key: Key, num: int) -> Archs:
    """Draws `num` uniformly random architectures, with replacement.

    Args:
      key: random key, consumed.
      num: number of architectures.

    Returns:
      `int32[num, L]`.
    """
    return self.from_uniform(jax.random.uniform(key, (num, self.num_variables)))

  def from_uniform(self, uniform: jax.Array) -> Archs:
    """`sample` of given draws in [0, 1), `f32[..., L] -> int32[..., L]`."""
    num = _along_last(self.cardinalities, uniform.ndim)
    return jnp.minimum((uniform * num).astype(jnp.int32), num - 1)

  def index(self, archs: Archs) -> jax.Array:
    """Ranks architectures: `sum_l archs[l] * prod_{m<l} K_m`, `int32[...]`.

    Raises:
      ValueError: if the space has no such index.
    """
    self._require_enumerable("index")
    strides = np.cumprod((1, *self.cardinalities[:-1]))
    return archs @ jnp.asarray(strides, jnp.int32)

  def from_index(self, index: jax.Array) -> Archs:
    """Inverse of `index`: `int32[...] -> int32[..., L]`."""
    self._require_enumerable("from_index")
    digits = []
    for cardinality in self.cardinalities:
      digits.append(index % cardinality)
      index = index // cardinality
    return jnp.stack(digits, axis=-1).astype(jnp.int32)

  def keys(self, archs: Archs) -> jax.Array:
    """Names every vector by two words, `int32[..., L] -> uint32[..., 2]`.

    The words are mixed-radix numbers of the first and the remaining variables,
    so two vectors share a key only if they are equal.
    """
    radices = np.asarray(self.cardinalities, np.uint64)
    split = int(np.searchsorted(np.cumsum(np.log2(radices)), 32.0))
    words = []
    for part in (slice(0, split), slice(split, None)):
      strides = np.cumprod(np.append(np.uint64(1), radices[part]))[:-1]
      if np.sum(np.log2(radices[part])) > 32:
        raise ValueError(
          f"{self.name} has more than 2**64 vectors; give it a hashed key."
        )
      digits = archs[..., part].astype(jnp.uint32)
      words.append(digits @ jnp.asarray(strides, jnp.uint32))
    return jnp.stack(words, axis=-1).astype(jnp.uint32)

  def neighbours(self, archs: Archs) -> tuple[Archs, jax.Array]:
    """Lists all vectors at Hamming distance one.

    Args:
      archs: `int32[..., L]`.

    Returns:
      `int32[..., M, L]` vectors, ordered by variable, and `bool[..., M]`
      whether each is an architecture.
    """
    variable, step = _single_changes(self.cardinalities)
    delta = np.zeros((len(step), self.num_variables), np.int32)
    delta[np.arange(len(step)), variable] = step
    result = archs[..., None, :] + delta.reshape(
      (1,) * (archs.ndim - 1) + delta.shape
    )
    result = result % _along_last(self.cardinalities, result.ndim)
    return result, self.is_valid(result)

  def mutate(self, archs: Archs, uniform: jax.Array) -> Archs:
    """Changes one uniformly chosen variable to a different value.

    Args:
      archs: `int32[..., L]`.
      uniform: `f32[..., 2]` uniform draws in [0, 1): the variable, the new
        value.
    """
    num = jnp.asarray(self.cardinalities, jnp.int32)
    # A product of a float below one and a small integer may round up to it.
    variable = (uniform[..., 0] * self.num_variables).astype(jnp.int32)
    variable = jnp.minimum(variable, self.num_variables - 1)
    step = 1 + (uniform[..., 1] * (num[variable] - 1)).astype(jnp.int32)
    step = jnp.minimum(step, num[variable] - 1)
    position = _along_last(np.arange(self.num_variables), archs.ndim)
    delta = jnp.where(position == variable[..., None], step[..., None], 0)
    return (archs + delta) % _along_last(self.cardinalities, archs.ndim)

  def one_hot(self, archs: Archs) -> jax.Array:
    """The minimal one-hot view, `int32[..., L] -> f32[..., L, K]`."""
    return jax.nn.one_hot(archs, self.num_options, dtype=jnp.float32)

  def all_architectures(self) -> np.ndarray:
    """Every architecture of an enumerable space, `int32[A, L]`, by index."""
    self._require_enumerable("all_architectures")
    rank = np.arange(self.num_architectures)
    strides = np.cumprod((1, *self.cardinalities[:-1]))
    digits = rank[:, None] // strides % np.asarray(self.cardinalities)
    return digits.astype(np.int32)

  def _require_enumerable(self, what: str) -> None:
    if not self.enumerable:
      raise ValueError(
        f"{what} needs an enumerable space; {self.name} has "
        f"{self.num_architectures} architectures. Use keys instead."
      )


def in_range(cardinalities: tuple[int, ...], archs: Archs) -> jax.Array:
  """Whether every variable has one of its options, `bool[...]`."""
  num = _along_last(cardinalities, archs.ndim)
  return jnp.all((archs >= 0) & (archs < num), axis=-1)


def _along_last(values: Sequence[int] | np.ndarray, ndim: int) -> jax.Array:
  """A vector as an `int32[1, ..., 1, L]` array of rank `ndim`."""
  return jnp.asarray(values, jnp.int32).reshape((1,) * (ndim - 1) + (-1,))


def _single_changes(
  cardinalities: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
  """Variable and cyclic step of each single change, two `int[M]` arrays."""
  pairs = [(v, s) for v, k in enumerate(cardinalities) for s in range(1, k)]
  variable, step = np.asarray(pairs, np.int32).T
  return variable, step
