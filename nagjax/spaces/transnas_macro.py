"""TransNAS-Bench-101, macro: skeletons of four to six modules.

Duan et al., "TransNAS-Bench-101: Improving Transferability and Generalizability
of Cross-Task Neural Architecture Search", CVPR 2021,
https://arxiv.org/abs/2105.11871

The official string `64-xxxx[x[x]]-basic` has a digit for every module: 1 is a
plain module, 2 doubles the channels, 3 halves the resolution, 4 does both. A
skeleton doubles one to three times and halves one to four times, which leaves
210 of four, 750 of five and 2,296 of six modules.

An architecture is the vector of the six modules' types, `digit - 1`, and `NONE`
behind the last one: modules 5 and 6 have this option.
"""

from collections.abc import Sequence
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs
from nagjax.spaces import layouts
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

TYPES = ("normal", "channels", "resolution", "both")
"""Types of modules, in the order of their digits 1..4; all but the first are
called by what they change."""
NONE = len(TYPES)
"""Option of a module that does not exist."""
NUM_MODULES = 6
MIN_MODULES = 4
MAX_DOUBLINGS = 3
MAX_HALVINGS = 4
NUM_ARCHITECTURES = 3256

GENERATED_LABELS = ("output", "input", *TYPES)
"""Node types of generated graphs."""

_CARDINALITIES = (NONE,) * MIN_MODULES + (NONE + 1,) * (
  NUM_MODULES - MIN_MODULES
)
_DOUBLES = np.asarray([0, 1, 0, 1, 0])
_HALVES = np.asarray([0, 0, 1, 1, 0])
_PATTERN = re.compile(r"64-([1-4]{4,6})-basic")


@functools.cache
def transnas_macro() -> base.SearchSpace:
  """Returns the space of all 3,256 skeletons.

  Example:
    >>> transnas_macro().num_architectures
    3256
  """
  return base.SearchSpace(
    name="transnas_macro",
    cardinalities=_CARDINALITIES,
    to_string=to_string,
    from_string=from_string,
    to_features=to_features,
    from_features=from_features,
    feature_shape=(NUM_MODULES, 1 + NONE),
    to_graph=to_graph,
    to_soft_graph=to_soft_graph,
    is_valid=is_valid,
    num_architectures=NUM_ARCHITECTURES,
    sample_fn=sample,
    layout=layouts.GraphLayout(
      labels=GENERATED_LABELS,
      num_nodes=NUM_MODULES + 2,
      num_inputs=1,
      num_graphs=1,
      encode=encode,
      decode=decode,
      relax=relax,
    ),
  )


def is_valid(archs: Archs) -> jax.Array:
  """Whether vectors are skeletons, `int32[..., 6] -> bool[...]`.

  Example:
    >>> archs = np.asarray([[1, 2, 0, 0, 4, 4], [0, 0, 0, 0, 4, 4]])
    >>> jax.jit(is_valid)(archs).tolist()
    [True, False]
  """
  inside = base.in_range(_CARDINALITIES, archs)
  types = jnp.clip(archs, 0, NONE)
  doublings = jnp.sum(jnp.asarray(_DOUBLES)[types], axis=-1)
  halvings = jnp.sum(jnp.asarray(_HALVES)[types], axis=-1)
  missing = types == NONE
  gaps = jnp.any(missing[..., :-1] & ~missing[..., 1:], axis=-1)
  counts = (doublings >= 1) & (doublings <= MAX_DOUBLINGS)
  counts &= (halvings >= 1) & (halvings <= MAX_HALVINGS)
  return inside & ~gaps & counts


def sample(key: Key, num: int) -> Archs:
  """Draws uniformly random skeletons, with replacement, `int32[num, 6]`.

  Example:
    >>> jax.eval_shape(lambda key: sample(key, 2), jax.random.key(0)).shape
    (2, 6)
  """
  rows = jax.random.randint(key, (num,), 0, NUM_ARCHITECTURES)
  return jnp.asarray(all_skeletons())[rows]


@functools.cache
def all_skeletons() -> np.ndarray:
  """Every skeleton, `int32[3256, 6]`, short ones first (host).

  Example:
    >>> all_skeletons().shape
    (3256, 6)
  """
  found = []
  for num in range(MIN_MODULES, NUM_MODULES + 1):
    for types in itertools.product(range(NONE), repeat=num):
      found.append((*types, *(NONE,) * (NUM_MODULES - num)))
  vectors = np.asarray(found, np.int32)
  with jax.ensure_compile_time_eval():
    return vectors[np.asarray(is_valid(jnp.asarray(vectors)))]


def to_string(arch: Sequence[int]) -> str:
  """Names one skeleton as the official file does.

  Raises:
    ValueError: if the vector is no skeleton.

  Example:
    >>> to_string([1, 2, 0, 0, 4, 4])
    '64-2311-basic'
  """
  modules = [t for t in arch if t != NONE]
  string = f"64-{''.join(str(t + 1) for t in modules)}-basic"
  if _read(string) != list(arch):
    raise ValueError(_message(list(arch)))
  return string


def from_string(string: str) -> np.ndarray:
  """Reads an official string into `int32[6]`.

  Raises:
    ValueError: if the string is none, or that of no skeleton of the space.

  Example:
    >>> from_string("64-2311-basic").tolist()
    [1, 2, 0, 0, 4, 4]
  """
  arch = _read(string.strip())
  if arch is None:
    raise ValueError(_message(string[:80]))
  return np.asarray(arch, np.int32)


def to_features(archs: Archs) -> jax.Array:
  """EDNAG's one-hot matrix, `int32[..., 6] -> f32[..., 6, 5]`.

  Rows are modules; columns are none and the digits 1..4.

  Example:
    >>> to_features(np.asarray([1, 2, 0, 0, 4, 4])).argmax(-1).tolist()
    [2, 3, 1, 1, 0, 0]
  """
  return jax.nn.one_hot((archs + 1) % (NONE + 1), NONE + 1, dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes a 6 x 5 matrix by the arg-max of its rows; ties go to the left.

  As published, the modules that exist move together, wherever the none rows
  are.

  Returns:
    `int32[..., 6]` and `bool[...]` whether it is a skeleton. Modules 1..4 that
    do not exist read 0.

  Example:
    >>> modules = np.eye(5)[[2, 0, 3, 1, 1, 0]]
    >>> archs, valid = jax.jit(from_features)(modules)
    >>> archs.tolist(), bool(valid)
    ([1, 2, 0, 0, 4, 4], True)
  """
  digits = jnp.argmax(features, axis=-1).astype(jnp.int32)
  types = jnp.where(digits == 0, NONE, digits - 1)
  order = jnp.argsort(types == NONE, axis=-1, stable=True)
  types = jnp.take_along_axis(types, order, axis=-1)
  return _in_range(types)


def to_graph(archs: Archs) -> Graph:
  """The chain of the modules that exist, nodes `f32[..., 8, 6]`.

  Nodes are input, the modules, output; labels are input, `TYPES`, output. A
  module that does not exist has neither a label nor edges: the one before leads
  to the output.

  Example:
    >>> graph = jax.jit(to_graph)(np.asarray([1, 2, 0, 0, 4, 4]))
    >>> graph.adjacency[4].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
  """
  return to_soft_graph(jax.nn.one_hot(archs, NONE + 1, dtype=jnp.float32))


def to_soft_graph(options: jax.Array) -> Graph:
  """`to_graph` of weights of the options, `f32[..., 6, 5]`.

  Example:
    >>> graph = jax.eval_shape(to_soft_graph, np.full((6, 5), 0.2))
    >>> graph.nodes.shape, graph.adjacency.shape
    ((8, 6), (8, 8))
  """
  batch = [(0, 0)] * (options.ndim - 2)
  nodes = jnp.pad(options[..., :NONE], [*batch, (1, 1), (1, 1)])
  nodes = nodes.at[..., 0, 0].set(1.0).at[..., -1, -1].set(1.0)
  optional = np.pad(np.asarray(_CARDINALITIES) > NONE, 1)
  absent = jnp.pad(options[..., NONE], [*batch, (1, 1)])
  return Graph(nodes, graphs.soft_chain(nodes, absent, optional))


def encode(archs: Archs) -> layouts.LabeledGraphs:
  """The chain of the modules that exist, then the output: labels `[..., 1, 8]`.

  Example:
    >>> written = jax.jit(encode)(np.asarray([1, 2, 0, 0, 4, 4]))
    >>> written.labels.tolist()
    [[1, 3, 4, 2, 2, 0, 0, 0]]
    >>> archs, valid = jax.jit(decode)(written, np.zeros(28))
    >>> archs.tolist(), bool(valid)
    ([1, 2, 0, 0, 4, 4], True)
  """
  batch = [(0, 0)] * (archs.ndim - 1)
  labels = jnp.pad((archs + 2) % (NONE + 2), [*batch, (1, 1)])
  labels = labels.at[..., 0].set(GENERATED_LABELS.index("input"))
  source, target = graphs.edge_ends(NUM_MODULES + 2)
  exists = labels[..., source] != 0
  edges = exists.at[..., target != source + 1].set(False)
  return layouts.LabeledGraphs(labels[..., None, :], edges[..., None, :])


def decode(
  written: layouts.LabeledGraphs, scores: jax.Array
) -> tuple[Archs, jax.Array]:
  """Reads the graphs of `encode` as `int32[..., 6]`; edges are not looked at.

  A chain has no free edge: what counts are the modules in front of the first
  output.
  """
  del scores
  labels = written.labels[..., 0, :]
  modules = labels[..., 1:-1]
  gone = jnp.cumsum(modules == 0, axis=-1) > 0
  archs, valid = _in_range(jnp.where(gone, NONE, modules - 2))
  return archs, valid & (labels[..., 0] == 1) & (labels[..., -1] == 0)


def relax(nodes: jax.Array, edges: jax.Array) -> jax.Array:
  """Weights of the options that scores stand for, `f32[..., 6, 5]`.

  What a module may be besides its options has no weight.

  Example:
    >>> jax.eval_shape(relax, np.zeros((1, 8, 6)), np.zeros((1, 28))).shape
    (6, 5)
  """
  del edges
  weights = jax.nn.softmax(nodes[..., 0, 1:-1, :], axis=-1)
  none = weights[..., 0].at[..., :MIN_MODULES].set(0.0)
  return jnp.concatenate([weights[..., 2:], none[..., None]], axis=-1)


def _in_range(types: jax.Array) -> tuple[Archs, jax.Array]:
  """Vectors in range, and which were skeletons before they were made so."""
  last = np.asarray(_CARDINALITIES, np.int32) - 1
  last = last.reshape((1,) * (types.ndim - 1) + (-1,))
  inside = jnp.where((types < 0) | (types > last), 0, types)
  return inside, jnp.all(inside == types, axis=-1) & is_valid(inside)


def _read(string: str) -> list[int] | None:
  """The vector of an official string, None if there is none (host)."""
  match = _PATTERN.fullmatch(string)
  types = [int(digit) - 1 for digit in match[1]] if match else []
  doublings, halvings = _DOUBLES[types].sum(), _HALVES[types].sum()
  if not (1 <= doublings <= MAX_DOUBLINGS and 1 <= halvings <= MAX_HALVINGS):
    return None
  return types + [NONE] * (NUM_MODULES - len(types))


def _message(got: object) -> str:
  return (
    "A TransNAS-Bench-101 skeleton looks like '64-2311-basic', with "
    f"{MIN_MODULES} to {NUM_MODULES} modules of which 1 to {MAX_DOUBLINGS} "
    f"double the channels (2, 4) and 1 to {MAX_HALVINGS} halve the resolution "
    f"(3, 4); got {got!r}."
  )
