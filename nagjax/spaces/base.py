"""`SearchSpace`: the static description of a set of architectures.

Between modules an architecture is an integer vector `int32[L]`; every other
form (one-hot matrix, graph, string, index) is a view that the space computes.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import math
import pickle
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import checks
from nagjax.spaces import generic
from nagjax.spaces.generic import in_range as in_range
from nagjax.spaces.layouts import GraphLayout as GraphLayout
from nagjax.spaces.layouts import LabeledGraphs as LabeledGraphs
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

_MAX_INDEX = 2**31
_MAX_COUNTED = 2**20
_MAX_TRIES = 10_000
_DEFAULT: Any = object()
"""Of fields that are made from `cardinalities`, see `generic`."""


class FeatureGraph(NamedTuple):
  """How the rows of `SearchSpace.to_features` are connected, for DiffusionNAG.

  An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943.

  Attributes:
    adjacency: `f32[R, R]`, `[i, j] = 1` for an edge i -> j.
    published_adjacency: the same as its program has it.
    positions: number of each row, for its code.
  """

  adjacency: np.ndarray
  published_adjacency: np.ndarray
  positions: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchSpace:
  """A search space: `L` categorical variables and the views of them.

  `name` and `cardinalities` are enough: the other fields then are the views of
  `generic`. A space is compared by identity, so its factory is cached and it
  may be a static argument of a compiled function.

  Attributes:
    name: name in the registry.
    cardinalities: number of options of each of the `L` variables.
    to_string: `int[L] -> str`, the official name of one architecture (host).
    from_string: the inverse; raises `ValueError` on anything else (host).
    to_features: `int32[..., L] -> f32[..., R, C]`, the papers' one-hot matrix.
    from_features: `f32[..., R, C] -> (archs, valid)`, arg-max decoding.
    feature_shape: `(R, C)`.
    to_graph: `int32[..., L] -> Graph`, node-labeled data flow.
    to_soft_graph: `f32[..., L, K] -> Graph`, the same for weights of the
      options of every variable: linear in each variable's row, equal to the
      graph (before any pruning) where every row is one-hot, differentiable.
      Fixed edges are ones and zeros, tied entries share a variable.
    canonicalize: maps architectures of one computation to one representative.
    is_valid: `int32[..., L] -> bool[...]`, whether a vector is an architecture;
      every vector in range if not given.
    num_architectures: how many distinct architectures there are. If not given,
      valid vectors are counted.
    topology: for every variable, whether it chooses connections rather than
      operations; all operations if empty.
    num_tries: draws of `sample` for one architecture, where not every vector is
      one; the last draw stands if none is. If 0, as many as leave one in 1e9
      without any.
    sample_fn: `(key, num) -> int32[num, L]`, `sample` of a space in which
      several vectors are one architecture.
    key_fn: `int32[..., L] -> uint32[..., 2]`, `keys` of a space in which
      several vectors are one architecture.
    layout: how a graph generator writes architectures; None if it cannot.
    feature_graph: how the rows of features are connected; None if nobody said.
    operations: names of the options, where they are those of every variable;
      transfers are matched by them. Empty if nobody said.

  Raises:
    ValueError: if fields contradict each other; `to_string` and `from_string`
      for anything that is no architecture, or no string of one.

  Example:
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> space.to_string([3, 0, 2]), space.num_architectures
    ('3,0,2', 48)
  """

  name: str
  cardinalities: tuple[int, ...]
  to_string: Callable[[Sequence[int]], str] = generic.to_string
  from_string: Callable[[str], np.ndarray] = generic.from_string
  to_features: Callable[[Archs], jax.Array] = _DEFAULT
  from_features: Callable[[jax.Array], tuple[Archs, jax.Array]] = _DEFAULT
  feature_shape: tuple[int, int] = _DEFAULT
  to_graph: Callable[[Archs], Graph] = _DEFAULT
  to_soft_graph: Callable[[jax.Array], Graph] = _DEFAULT
  canonicalize: Callable[[Archs], Archs] = _DEFAULT
  is_valid: Callable[[Archs], jax.Array] = _DEFAULT
  num_architectures: int = 0
  topology: tuple[bool, ...] = ()
  num_tries: int = 0
  sample_fn: Callable[[Key, int], Archs] | None = None
  key_fn: Callable[[Archs], jax.Array] | None = None
  layout: GraphLayout | None = _DEFAULT
  feature_graph: FeatureGraph | None = None
  operations: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    cardinalities = checks.checked_cardinalities(self.name, self.cardinalities)
    in_range_fn = functools.partial(in_range, cardinalities)
    is_valid = in_range_fn if self.is_valid is _DEFAULT else self.is_valid
    soft = functools.partial(generic.to_soft_graph, cardinalities)
    values = {
      "to_features": self.one_hot,
      "from_features": functools.partial(generic.from_features, cardinalities),
      "feature_shape": (len(cardinalities), max(cardinalities)),
      "to_soft_graph": soft,
      "to_graph": self._graph,
      "canonicalize": generic.canonicalize,
      "is_valid": is_valid,
      "layout": generic.layout(cardinalities, is_valid),
    }
    together = ("to_features", "from_features", "feature_shape")
    if len({getattr(self, name) is _DEFAULT for name in together}) > 1:
      raise ValueError(
        f"{self.name}: {', '.join(together)} are given together or not at all."
      )
    if self.to_soft_graph is _DEFAULT and self.to_graph is not _DEFAULT:
      raise ValueError(f"{self.name}: to_graph needs to_soft_graph as well.")
    for name, value in values.items():
      if getattr(self, name) is _DEFAULT:
        object.__setattr__(self, name, value)
    if self.operations and {len(self.operations)} != {*cardinalities}:
      raise ValueError(
        f"{self.name}: operations must name the options of every variable, got "
        f"{len(self.operations)} for {cardinalities}."
      )
    if len(self.topology) not in (0, len(cardinalities)):
      raise ValueError(
        f"{self.name}: topology must say it of {len(cardinalities)} variables, "
        f"got {len(self.topology)}."
      )
    object.__setattr__(self, "cardinalities", cardinalities)
    for name in ("to_string", "from_string"):
      function = checks.checked(getattr(self, name), self.name, cardinalities)
      object.__setattr__(self, name, function)
    self._count()

  def __repr__(self) -> str:
    return f"SearchSpace({self.name!r}, {self.cardinalities})"

  def __getstate__(self) -> dict[str, Any]:
    state = dict(self.__dict__)
    for name, value in state.items():
      if getattr(value, "__self__", None) is not self:
        try:
          pickle.dumps(value)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
          raise TypeError(
            f"{self.name} cannot be pickled: {name} is no function of a "
            "module. Pickle the name of the space and make it again."
          ) from error
    return state

  def _graph(self, archs: Archs) -> Graph:
    return self.to_soft_graph(self.one_hot(archs))

  def _count(self) -> None:
    """Fills `num_architectures` and `num_tries`."""
    num_vectors, num = math.prod(self.cardinalities), self.num_architectures
    if not num and getattr(self.is_valid, "func", None) is in_range:
      num = num_vectors
    elif not num and num_vectors <= _MAX_COUNTED:
      vectors = generic.all_vectors(self.cardinalities)
      with jax.ensure_compile_time_eval():
        num = int(np.sum(np.asarray(self.is_valid(jnp.asarray(vectors)))))
    if not 1 <= num <= num_vectors:
      raise ValueError(
        f"{self.name} must have 1 to {num_vectors} architectures, got {num}; "
        "say num_architectures where they cannot be counted."
      )
    object.__setattr__(self, "num_architectures", num)
    if not self.num_tries:
      missed = math.log1p(-num / num_vectors) if num < num_vectors else -np.inf
      tries = min(math.ceil(math.log(1e-9) / missed), _MAX_TRIES)
      object.__setattr__(self, "num_tries", max(tries, 1))

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
    return self.every_vector_valid and self.num_architectures < _MAX_INDEX

  @property
  def every_vector_valid(self) -> bool:
    """Whether every vector is an architecture, and each a different one."""
    return self.num_architectures == math.prod(self.cardinalities)

  @property
  def num_nodes(self) -> int:
    """`N`, the number of nodes of a graph."""
    return self._graph_shape().adjacency.shape[-1]

  @property
  def num_labels(self) -> int:
    """Number of node labels, the last size of `Graph.nodes`."""
    return self._graph_shape().nodes.shape[-1]

  @property
  def num_neighbors(self) -> int:
    """`M`, the number of vectors that differ in exactly one variable."""
    return sum(k - 1 for k in self.cardinalities)

  def sample(self, key: Key, num: int) -> Archs:
    """Draws `num` uniformly random architectures, with replacement.

    Where not every vector is an architecture, each is the first valid one of
    `num_tries` uniformly random vectors.

    Args:
      key: random key, consumed.
      num: number of architectures.

    Returns:
      `int32[num, L]`.
    """
    if self.sample_fn is not None:
      return self.sample_fn(key, num)
    if self.every_vector_valid:
      uniform = jax.random.uniform(key, (num, self.num_variables))
      return self.from_uniform(uniform)
    shape = (num, self.num_tries, self.num_variables)
    tries = self.from_uniform(jax.random.uniform(key, shape))
    valid = self.is_valid(tries).at[:, -1].set(True)
    first = jnp.argmax(valid, axis=-1)
    return jnp.take_along_axis(tries, first[:, None, None], axis=1)[:, 0]

  def from_uniform(self, uniform: jax.Array) -> Archs:
    """`sample` of given draws in [0, 1), `f32[..., L] -> int32[..., L]`."""
    num = generic.along_last(self.cardinalities, uniform.ndim)
    chosen = (uniform * num.astype(jnp.float32)).astype(jnp.int32)
    return jnp.minimum(chosen, num - 1)

  def index(self, archs: Archs) -> jax.Array:
    """Ranks architectures: `sum_l archs[l] * prod_{m<l} K_m`, `int32[...]`.

    Args:
      archs: `int32[..., L]`. Arrays of NumPy and lists are checked.

    Raises:
      ValueError: if the space has no such index, or a list is no architectures.
    """
    self._require_enumerable("index")
    if not isinstance(archs, jax.Array):
      archs = jnp.asarray(
        checks.checked_archs(self.name, self.cardinalities, archs)
      )
    strides = np.cumprod((1, *self.cardinalities[:-1]))
    return archs @ jnp.asarray(strides, jnp.int32)

  def from_index(self, index: jax.Array) -> Archs:
    """Inverse of `index`: `int32[...] -> int32[..., L]`.

    Raises:
      ValueError: if the space has no such index, or numbers that are no arrays
        of JAX are out of range.
    """
    self._require_enumerable("from_index")
    if not isinstance(index, jax.Array):
      size = (self.num_architectures,)
      index = checks.checked_archs("index", size, np.asarray(index)[..., None])[
        ..., 0
      ]
    digits = []
    for cardinality in self.cardinalities:
      digits.append(index % cardinality)
      index = index // cardinality
    return jnp.stack(digits, axis=-1).astype(jnp.int32)

  def keys(self, archs: Archs) -> jax.Array:
    """Names architectures by two words, `int32[..., L] -> uint32[..., 2]`.

    Two vectors share a key only if they are the same architecture. The words
    are mixed-radix numbers of the first and the remaining variables; in a space
    of more than 2^64 vectors they are two hashes, which may collide with
    probability 2^-64.
    """
    if self.key_fn is not None:
      return self.key_fn(archs)
    radices = np.asarray(self.cardinalities, np.uint64)
    split = int(np.searchsorted(np.cumsum(np.log2(radices)), 32.0))
    words = []
    for part in (slice(0, split), slice(split, None)):
      strides = np.cumprod(np.append(np.uint64(1), radices[part]))[:-1]
      if np.sum(np.log2(radices[part])) > 32:
        return _hashes(archs)
      digits = archs[..., part].astype(jnp.uint32)
      words.append(digits @ jnp.asarray(strides, jnp.uint32))
    return jnp.stack(words, axis=-1).astype(jnp.uint32)

  def neighbors(self, archs: Archs) -> tuple[Archs, jax.Array]:
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
    result = result % generic.along_last(self.cardinalities, result.ndim)
    return result, self.is_valid(result)

  def mutate(self, archs: Archs, uniform: jax.Array) -> Archs:
    """Changes one uniformly chosen variable to a different value.

    Where not every vector is another architecture, changes that lead to none
    or to the same one are left out; an architecture without any other stays as
    it is.

    Args:
      archs: `int32[..., L]`.
      uniform: `f32[..., 2]` uniform draws in [0, 1): the variable, the new
        value.
    """
    if not self.every_vector_valid:
      return self._mutate_validly(archs, uniform[..., 0])
    num = jnp.asarray(self.cardinalities, jnp.int32)
    # A product of a float below one and a small integer may round up to it.
    variable = (uniform[..., 0] * self.num_variables).astype(jnp.int32)
    variable = jnp.minimum(variable, self.num_variables - 1)
    num_steps = (num[variable] - 1).astype(jnp.float32)
    step = 1 + (uniform[..., 1] * num_steps).astype(jnp.int32)
    step = jnp.minimum(step, num[variable] - 1)
    position = generic.along_last(np.arange(self.num_variables), archs.ndim)
    delta = jnp.where(position == variable[..., None], step[..., None], 0)
    return (archs + delta) % generic.along_last(self.cardinalities, archs.ndim)

  def _mutate_validly(self, archs: Archs, uniform: jax.Array) -> Archs:
    """`mutate` conditional on validity, by inversion of one draw."""
    changed, valid = self.neighbors(archs)
    same = self.keys(changed) == self.keys(archs)[..., None, :]
    valid = valid & ~jnp.all(same, axis=-1)
    variable, _ = _single_changes(self.cardinalities)
    share = 1.0 / (np.asarray(self.cardinalities)[variable] - 1.0)
    share = share.astype(np.float32).reshape((1,) * (archs.ndim - 1) + (-1,))
    reach = jnp.cumsum(jnp.where(valid, share, 0.0), axis=-1)
    passed = reach <= (uniform * reach[..., -1])[..., None]
    chosen = jnp.minimum(jnp.sum(passed, axis=-1), valid.shape[-1] - 1)
    chosen = jnp.expand_dims(chosen, (-1, -2))
    result = jnp.take_along_axis(changed, chosen, axis=-2)[..., 0, :]
    return jnp.where(jnp.any(valid, axis=-1)[..., None], result, archs)

  def one_hot(self, archs: Archs) -> jax.Array:
    """The minimal one-hot view, `int32[..., L] -> f32[..., L, K]`."""
    return jax.nn.one_hot(archs, self.num_options, dtype=jnp.float32)

  def all_architectures(self) -> np.ndarray:
    """Every architecture of an enumerable space, `int32[A, L]`, by index."""
    self._require_enumerable("all_architectures")
    return generic.all_vectors(self.cardinalities)

  def _graph_shape(self) -> Graph:
    shape = (self.num_variables, self.num_options)
    options = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(self.to_soft_graph, options)

  def _require_enumerable(self, what: str) -> None:
    if not self.enumerable:
      raise ValueError(
        f"{what} needs an enumerable space; {self.name} has "
        f"{self.num_architectures} architectures. Use keys instead."
      )


def require_layout(space: SearchSpace) -> GraphLayout:
  """The layout of a space that has one.

  Raises:
    ValueError: if it has none.

  Example:
    >>> require_layout(SearchSpace("mine", (4, 4, 3))).num_nodes
    5
  """
  if space.layout is None:
    raise ValueError(f"{space.name} has no layout of graphs to generate.")
  return space.layout


def _hashes(archs: Archs) -> jax.Array:
  """Two independent hashes of vectors, `int32[..., L] -> uint32[..., 2]`.

  Polynomials in the digits with odd multipliers, finished by the mixer of
  MurmurHash3 (Appleby, public domain).
  """
  words = []
  for base, seed in ((0x9E3779B1, 0x85EBCA77), (0xC2B2AE3D, 0x27D4EB2F)):
    word = jnp.full(archs.shape[:-1], seed, jnp.uint32)
    for variable in range(archs.shape[-1]):
      word = (word ^ (word >> 15)) * jnp.uint32(base)
      word = word + archs[..., variable].astype(jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
      word = (word ^ (word >> shift)) * jnp.uint32(factor)
    words.append(word)
  return jnp.stack(words, axis=-1)


def _single_changes(
  cardinalities: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
  """Variable and cyclic step of each single change, two `int[M]` arrays."""
  pairs = [(v, s) for v, k in enumerate(cardinalities) for s in range(1, k)]
  variable, step = np.asarray(pairs, np.int32).T
  return variable, step
