"""The MobileNetV3 space of once-for-all networks.

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR 2020, section 3.2, https://arxiv.org/abs/1908.09791

A network has five stages of two to four layers. A layer is an inverted residual
block with a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6, one of `TYPES`.
Layers 1 and 2 of a stage always exist, and layer 4 only if layer 3 does. That
makes (9^2 + 9^3 + 9^4)^5 = 7371^5 = 2.2e19 architectures.

An architecture is the vector of the layers' types, four a stage. Type t is
column t of the papers' matrices; `NONE` follows the types, and only layers 3
and 4 of a stage have this option.

The view of DiffusionNAG (An et al., ICLR 2024,
https://arxiv.org/abs/2305.16943) is `to_features`, `chain_adjacency` and
`to_string`; that of EDNAG (Zhou, Yu and Tang) is `to_ednag_features`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import itertools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
TYPES = tuple(itertools.product(KERNELS, EXPANSIONS))
"""Kernel and expansion of every type of layer, in the papers' order."""
NONE = len(TYPES)
"""Option of a layer that does not exist."""
NUM_STAGES = 5
MAX_DEPTH = 4
DEPTHS = (2, 3, 4)
NUM_LAYERS = NUM_STAGES * MAX_DEPTH
POSITIONS = tuple(range(MAX_DEPTH)) * NUM_STAGES
"""Position of every layer in its stage, as DiffusionNAG encodes it (its option
for another encoding has no effect)."""

GRAPH_LABELS = ("input", *(f"{k}-{e}" for k, e in TYPES), "output")
"""Columns of `Graph.nodes`."""

THRESHOLD = 0.5
"""DiffusionNAG's least value of an entry that counts as one."""

_CHAIN = np.eye(NUM_LAYERS, k=1, dtype=np.float32)
_CARDINALITIES = (NONE, NONE, NONE + 1, NONE + 1) * NUM_STAGES
# Layers 3 and 4: neither, the third, both. A stage is two types and one of
# these, so uniform draws of the three are uniform over the stages.
_TAILS = np.asarray(
  [(NONE, NONE)]
  + [(t, NONE) for t in range(NONE)]
  + list(itertools.product(range(NONE), repeat=2)),
  np.int32,
)
_LAYER = re.compile(r"(\d)-(\d)-(\d)")
_COMPACT = re.compile(r"\d\d(?:,\d\d)*(?:·\d\d(?:,\d\d)*)*")


@functools.cache
def mobilenetv3() -> base.SearchSpace:
  """Returns the space of the 7371^5 once-for-all MobileNetV3 networks.

  There are more than 2^64 of them, so `keys` are hashes.

  Example:
    >>> mobilenetv3().cardinalities[:4]
    (9, 9, 10, 10)
    >>> bool(is_valid(np.asarray([0, 8, 9, 9] * 5)))
    True
  """
  return base.SearchSpace(
    name="mobilenetv3",
    cardinalities=_CARDINALITIES,
    to_string=to_string,
    from_string=from_string,
    to_features=to_features,
    from_features=from_features,
    feature_shape=(NUM_LAYERS, len(TYPES)),
    to_graph=to_graph,
    to_soft_graph=to_soft_graph,
    is_valid=is_valid,
    num_architectures=(len(TYPES) ** 2 * len(_TAILS)) ** NUM_STAGES,
    sample_fn=sample,
    layout=None,
    feature_graph=base.FeatureGraph(
      adjacency=_CHAIN,
      published_adjacency=_CHAIN,
      positions=POSITIONS,
    ),
  )


def sample(key: Key, num: int) -> Archs:
  """Draws uniformly random architectures, with replacement.

  Stages of depth 2, 3 and 4 are as frequent as they are many, 81 : 729 : 6561;
  once-for-all's own training draws depths equally often.

  Args:
    key: random key, consumed.
    num: number of architectures.

  Returns:
    `int32[num, 20]`.

  Example:
    >>> jax.eval_shape(lambda key: sample(key, 2), jax.random.key(0)).shape
    (2, 20)
  """
  bounds = jnp.asarray([[[len(TYPES), len(TYPES), len(_TAILS)]]])
  return from_digits(jax.random.randint(key, (num, NUM_STAGES, 3), 0, bounds))


def from_digits(digits: jax.Array) -> Archs:
  """Makes architectures of digits, of which any combination is one.

  Args:
    digits: `int32[..., 5, 3]`: the types of a stage's first two layers, 0..8,
      and the choice of its last two, 0..90.

  Returns:
    `int32[..., 20]`; different digits are different architectures.
  """
  tails = jnp.asarray(_TAILS)[digits[..., 2]]
  stages = jnp.concatenate([digits[..., :2], tails], axis=-1)
  return jax.lax.collapse(stages, stages.ndim - 2).astype(jnp.int32)


def is_valid(archs: Archs) -> jax.Array:
  """Whether no stage skips a layer, `int32[..., 20] -> bool[...]`."""
  missing = _by_stage(archs) == NONE
  gaps = jnp.any(missing[..., 2] & ~missing[..., 3], axis=-1)
  return base.in_range(_CARDINALITIES, archs) & ~gaps


def to_stages(arch: Sequence[int]) -> list[list[tuple[int, int]]]:
  """Kernel and expansion of the layers that exist, by stage (host).

  Raises:
    ValueError: if the vector is no architecture.

  Example:
    >>> from_stages(to_stages([0, 8, 9, 9] * 5))[:4].tolist()
    [0, 8, 9, 9]
  """
  vector = np.asarray(arch)
  is_vector = vector.dtype.kind in "iu" and vector.shape == (NUM_LAYERS,)
  if not is_vector or not _IS_VALID(vector):
    raise ValueError(
      f"A MobileNetV3 vector is {NUM_STAGES} times two types in 0..{NONE - 1} "
      f"and two of 0..{NONE}, where {NONE} is no layer and no layer follows "
      f"one that is none; got {vector.tolist()}."
    )
  stages = vector.reshape(NUM_STAGES, MAX_DEPTH).tolist()
  return [[TYPES[t] for t in stage if t != NONE] for stage in stages]


def from_stages(stages: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
  """Inverse of `to_stages`, `int32[20]`.

  Raises:
    ValueError: if these are not five stages of two to four known layers.
  """
  depths = [len(stage) for stage in stages]
  if len(depths) != NUM_STAGES or not {*depths} <= {*DEPTHS}:
    raise ValueError(
      f"A network has {NUM_STAGES} stages of {DEPTHS[0]} to {DEPTHS[-1]} "
      f"layers, got stages of {depths}."
    )
  unknown = {layer for stage in stages for layer in stage} - {*TYPES}
  if unknown:
    raise ValueError(
      f"Layers have kernels {KERNELS} and expansions {EXPANSIONS}, got the "
      f"pairs {sorted(unknown)}."
    )
  arch = np.full((NUM_STAGES, MAX_DEPTH), NONE, np.int32)
  for row, stage in zip(arch, stages, strict=True):
    row[: len(stage)] = [TYPES.index(layer) for layer in stage]
  return arch.reshape(NUM_LAYERS)


def to_string(arch: Sequence[int]) -> str:
  """Names one architecture as MetaD2A and DiffusionNAG do (host).

  Layers are `depth-kernel-expansion`, where depth is that of their stage, or
  `0-0-0` for none.

  Example:
    >>> to_string([0, 8, 9, 9] * 5)[:24]
    '2-3-3_2-7-6_0-0-0_0-0-0_'
    >>> from_string(to_string([0, 8, 9, 9] * 5))[:4].tolist()
    [0, 8, 9, 9]
  """
  layers = []
  for stage in to_stages(arch):
    layers += [f"{len(stage)}-{k}-{e}" for k, e in stage]
    layers += ["0-0-0"] * (MAX_DEPTH - len(stage))
  return "_".join(layers)


def from_string(string: str) -> np.ndarray:
  """Reads the string of `to_string` into `int32[20]`.

  Raises:
    ValueError: if the string has another form or names no architecture.
  """
  layers = [tuple(map(int, layer)) for layer in _LAYER.findall(string)]
  stages = [
    [(kernel, expansion) for depth, kernel, expansion in stage if depth]
    for stage in _split(layers)
  ]
  arch = from_stages(stages)
  expected = to_string(arch.tolist())
  if string.strip() != expected:
    raise ValueError(
      f"A MobileNetV3 string looks like {expected!r}, got {string!r}."
    )
  return arch


def to_ofa(arch: Sequence[int]) -> dict[str, list[int]]:
  """The configuration dictionary of the once-for-all programs (host).

  Returns:
    `d`: 5 depths; `ks` and `e`: 20 kernels and expansions. Layers that do not
    exist read 3 and 3 there, as in the training data of DiffusionNAG's
    surrogate; the programs do not read them.

  Example:
    >>> config = to_ofa([0, 8, 9, 9] * 5)
    >>> config["d"], from_ofa(config)[:4].tolist()
    ([2, 2, 2, 2, 2], [0, 8, 9, 9])
  """
  stages = to_stages(arch)
  layers: list[tuple[int, int]] = []
  for stage in stages:
    layers += stage + [TYPES[0]] * (MAX_DEPTH - len(stage))
  return {
    "d": [len(stage) for stage in stages],
    "ks": [kernel for kernel, _ in layers],
    "e": [expansion for _, expansion in layers],
  }


def from_ofa(config: Mapping[str, Any]) -> np.ndarray:
  """Reads a once-for-all configuration into `int32[20]`.

  Args:
    config: `d`, `ks` and `e` as in `to_ofa`. Kernels and expansions of layers
      beyond the depth may be anything, and other entries (width, resolution)
      are not read.

  Raises:
    ValueError: if an entry is absent or has another length, or if it is no
      architecture.
  """
  sizes = {"d": NUM_STAGES, "ks": NUM_LAYERS, "e": NUM_LAYERS}
  got = {name: len(config[name]) for name in sizes if name in config}
  if got != sizes:
    raise ValueError(f"A configuration has the lists {sizes}, got {got}.")
  depths, kernels, expansions = ([int(v) for v in config[n]] for n in sizes)
  if not {*depths} <= {*DEPTHS}:
    raise ValueError(f"Depths are {DEPTHS}, got {depths}.")
  stages = _split(list(zip(kernels, expansions, strict=True)))
  return from_stages([s[:d] for s, d in zip(stages, depths, strict=True)])


def to_compact(arch: Sequence[int]) -> str:
  """One architecture for people to read (host).

  Example:
    >>> to_compact([0, 8, 9, 9] * 5)
    '33,76 · 33,76 · 33,76 · 33,76 · 33,76'
    >>> from_compact(to_compact([0, 8, 9, 9] * 5))[:4].tolist()
    [0, 8, 9, 9]
  """
  stages = to_stages(arch)
  return " · ".join(",".join(f"{k}{e}" for k, e in stage) for stage in stages)


def from_compact(text: str) -> np.ndarray:
  """Reads the text of `to_compact` into `int32[20]`, with or without spaces.

  Raises:
    ValueError: if the text has another form or is no architecture.
  """
  joined = "".join(text.split())
  if not _COMPACT.fullmatch(joined):
    raise ValueError(
      f"A network looks like {to_compact([0, 8, NONE, NONE] * 5)!r}, kernel "
      f"and expansion of its layers by stage; got {text!r}."
    )
  stages = [stage.split(",") for stage in joined.split("·")]
  return from_stages([[(int(b[0]), int(b[1])) for b in s] for s in stages])


def to_features(archs: Archs) -> jax.Array:
  """DiffusionNAG's matrix, `int32[..., 20] -> f32[..., 20, 9]`.

  Columns are `TYPES`; layers that do not exist are rows of zeros. The published
  surrogate was trained with the first type in their place, which is
  `to_features(jnp.where(archs == NONE, 0, archs))`, and the published ranking
  puts random types there.

  Example:
    >>> there_and_back = lambda archs: from_features(to_features(archs))
    >>> jax.jit(there_and_back)(np.asarray([0, 8, 9, 9] * 5))[0][:4].tolist()
    [0, 8, 9, 9]
  """
  return jax.nn.one_hot(archs, len(TYPES), dtype=jnp.float32)


def from_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes a 20 x 9 matrix with entries around 0 and 1.

  Differs from DiffusionNAG: a row with several entries of at least `THRESHOLD`
  is its largest one (ties go to the left), not an error. See `quantize` and
  `published_validity` for the published rule.

  Returns:
    `int32[..., 20]`, `NONE` where no entry reaches the threshold, and
    `bool[...]` whether it is an architecture.
  """
  types = jnp.argmax(features, axis=-1).astype(jnp.int32)
  exists = jnp.max(features, axis=-1) >= THRESHOLD
  archs = jnp.where(exists, types, NONE)
  return archs, is_valid(archs)


def quantize(features: jax.Array) -> jax.Array:
  """DiffusionNAG's decoding, `f32[..., 20, 9]`: ones from `THRESHOLD` on."""
  return (features >= THRESHOLD).astype(jnp.float32)


def published_validity(features: jax.Array) -> jax.Array:
  """DiffusionNAG's error codes of quantized matrices.

  Differs from the program: no error is 0 instead of -1.

  Args:
    features: `f32[..., 20, 9]` of zeros and ones.

  Returns:
    `int32[...]`, the first that applies: 1 if a layer has several types, 2 if
    the first or second layer of a stage has none, 3 if the fourth has one but
    not the third; else 0.
  """
  num = _by_stage(jnp.sum(features, axis=-1))
  several = jnp.any(num > 1, axis=(-2, -1))
  missing = jnp.any(num[..., :2] == 0, axis=(-2, -1))
  gaps = jnp.any((num[..., 2] == 0) & (num[..., 3] > 0), axis=-1)
  code = jnp.where(missing, 2, jnp.where(gaps, 3, 0))
  return jnp.where(several, 1, code).astype(jnp.int32)


def to_ednag_features(archs: Archs) -> jax.Array:
  """EDNAG's one-hot matrix, `int32[..., 20] -> f32[..., 22, 12]`.

  Rows: input, the layers, output. Columns: input, output, `TYPES`, none.
  """
  ends = jnp.broadcast_to(jnp.asarray([0, 1]), (*archs.shape[:-1], 2))
  columns = jnp.concatenate([ends[..., :1], archs + 2, ends[..., 1:]], axis=-1)
  return jax.nn.one_hot(columns, NONE + 3, dtype=jnp.float32)


def from_ednag_features(features: jax.Array) -> tuple[Archs, jax.Array]:
  """Decodes a 22 x 12 matrix by the arg-max of its rows; ties go to the left.

  Valid as published: the ends are input and output, no layer is, and each stage
  has at least two layers, wherever its none rows are.

  Differs from EDNAG: layers move in front of the none rows of their stage, so
  that the vector is the network of these layers. The published predictor reads
  the types in their places, with a 3-3 layer for none.

  Returns:
    `int32[..., 20]` and `bool[...]`. A layer that chose input or output reads
    0.
  """
  columns = jnp.argmax(features, axis=-1).astype(jnp.int32)
  ends = (columns[..., 0] == 0) & (columns[..., -1] == 1)
  layers = columns[..., 1:-1]
  stages = _by_stage(jnp.maximum(layers - 2, 0))
  order = jnp.argsort(stages == NONE, axis=-1, stable=True)
  stages = jnp.take_along_axis(stages, order, axis=-1)
  archs = jax.lax.collapse(stages, stages.ndim - 2)
  return archs, ends & jnp.all(layers >= 2, axis=-1) & is_valid(archs)


def chain_adjacency() -> jax.Array:
  """DiffusionNAG's attention mask, layer i to i + 1, `f32[20, 20]`.

  It is the same for all architectures and leads through absent layers.
  """
  return jnp.asarray(_CHAIN)


def to_graph(archs: Archs) -> Graph:
  """The chain of the layers that exist, nodes `f32[..., 22, 11]`.

  Nodes are input, the layers, output, labeled by `GRAPH_LABELS`. A layer that
  does not exist has neither a label nor edges: the one before leads to the one
  behind.

  Example:
    >>> jax.eval_shape(to_graph, np.zeros(20, int)).nodes.shape
    (22, 11)
    >>> jax.eval_shape(to_soft_graph, np.zeros((20, 10))).adjacency.shape
    (22, 22)
  """
  return to_soft_graph(jax.nn.one_hot(archs, NONE + 1, dtype=jnp.float32))


def to_soft_graph(options: jax.Array) -> Graph:
  """`to_graph` of weights of the options, `f32[..., 20, 10]`.

  Layers 1 and 2 of a stage exist. An edge to or from another one weighs as much
  as its ends exist and no layer between them does.
  """
  batch = [(0, 0)] * (options.ndim - 2)
  nodes = jnp.pad(options[..., :NONE], [*batch, (1, 1), (1, 1)])
  nodes = nodes.at[..., 0, 0].set(1.0).at[..., -1, -1].set(1.0)
  optional = np.pad(np.asarray(POSITIONS) >= DEPTHS[0], 1)
  absent = jnp.pad(options[..., NONE], [*batch, (1, 1)])
  return Graph(nodes, graphs.soft_chain(nodes, absent, optional))


def _split(layers: list[Any]) -> list[list[Any]]:
  """Splits a list of layers by stage (host)."""
  return [layers[i : i + MAX_DEPTH] for i in range(0, len(layers), MAX_DEPTH)]


def _by_stage(layers: jax.Array) -> jax.Array:
  """Splits the layers by stage, `[..., 20] -> [..., 5, 4]`."""
  return layers.reshape(*layers.shape[:-1], NUM_STAGES, MAX_DEPTH)


_IS_VALID = jax.jit(is_valid)
