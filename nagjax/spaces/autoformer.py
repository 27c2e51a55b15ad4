"""AutoFormer's spaces of vision transformers: tiny, small, base, small32.

Chen et al., "AutoFormer: Searching Transformers for Visual Recognition", ICCV
2021, table 1, https://arxiv.org/abs/2107.00651; `small32` is ours, for images
of 32 x 32 pixels.

A network has one embedding width; every layer has a ratio of its inner width to
it and a number of heads, one of `Choices.types`. An architecture is the vector
of the embedding and of the layers' types; `Choices.none` follows the types, and
only layers beyond the least depth have this option. Nothing is inactive: two
vectors are two networks.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import itertools
import json
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import graphs
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

CONFIG = ("layer_num", "mlp_ratio", "num_heads", "embed_dim")
"""Entries of the official configuration dictionaries."""


class Choices(NamedTuple):
  """Options of the networks of one space, all ascending.

  Attributes:
    embeddings: widths.
    depths: numbers of layers, consecutive.
    ratios: inner width of a layer by the embedding.
    heads: numbers of heads of a layer.
  """

  embeddings: tuple[int, ...]
  depths: tuple[int, ...]
  ratios: tuple[float, ...]
  heads: tuple[int, ...]

  @property
  def types(self) -> tuple[tuple[float, int], ...]:
    """Ratio and heads of every type of layer."""
    return tuple(itertools.product(self.ratios, self.heads))

  @property
  def none(self) -> int:
    """Option of a layer that does not exist."""
    return len(self.ratios) * len(self.heads)

  @property
  def max_depth(self) -> int:
    """`L`, the largest number of layers."""
    return self.depths[-1]

  @property
  def cardinalities(self) -> tuple[int, ...]:
    """Options of the embedding and of every layer."""
    always = self.depths[0]
    types = (self.none,) * always
    types += (self.none + 1,) * (self.max_depth - always)
    return (len(self.embeddings), *types)

  @property
  def num_columns(self) -> int:
    """Columns of the features: options of a row, and none."""
    return max(len(self.embeddings), self.none) + 1


SPACES = {
  "tiny": Choices((192, 216, 240), (12, 13, 14), (3.5, 4.0), (3, 4)),
  "small": Choices((320, 384, 448), (12, 13, 14), (3.0, 3.5, 4.0), (5, 6, 7)),
  "base": Choices((528, 576, 624), (14, 15, 16), (3.0, 3.5, 4.0), (9, 10)),
  "small32": Choices(
    (8, 16, 32, 48), (1, 2, 3, 4, 5), (0.5, 1.0, 2.0), (1, 2, 3)
  ),
}


@functools.cache
def autoformer(size: str) -> base.SearchSpace:
  """Returns one of the spaces.

  Args:
    size: a key of `SPACES`.

  Raises:
    ValueError: if there is no such space.

  Example:
    >>> autoformer("tiny").num_variables
    15
  """
  if size not in SPACES:
    raise ValueError(f"size must be one of {', '.join(SPACES)}, got {size!r}.")
  choices = SPACES[size]
  bound = functools.partial
  rows = 1 + choices.max_depth
  chain = np.eye(rows, k=1, dtype=np.float32)
  counts = [choices.none**depth for depth in choices.depths]
  return base.SearchSpace(
    name=f"autoformer/{size}",
    cardinalities=choices.cardinalities,
    to_string=bound(to_string, choices),
    from_string=bound(from_string, choices),
    to_features=bound(to_features, choices),
    from_features=bound(from_features, choices),
    feature_shape=(rows, choices.num_columns),
    to_graph=bound(to_graph, choices),
    to_soft_graph=bound(to_soft_graph, choices),
    is_valid=bound(is_valid, choices),
    num_architectures=len(choices.embeddings) * sum(counts),
    sample_fn=bound(sample, choices),
    feature_graph=base.FeatureGraph(
      adjacency=chain, published_adjacency=chain, positions=tuple(range(rows))
    ),
  )


def tiny() -> base.SearchSpace:
  """Returns the space of networks of about 6 million parameters.

  Example:
    >>> tiny().cardinalities[:2]
    (3, 4)
  """
  return autoformer("tiny")


def small() -> base.SearchSpace:
  """Returns the space of networks of about 23 million parameters.

  Example:
    >>> small().cardinalities[:2]
    (3, 9)
  """
  return autoformer("small")


def base_size() -> base.SearchSpace:
  """Returns the space of networks of about 54 million parameters.

  Example:
    >>> base_size().cardinalities[:2]
    (3, 6)
  """
  return autoformer("base")


def small32() -> base.SearchSpace:
  """Returns the space of networks for images of 32 x 32 pixels.

  Example:
    >>> small32().name, small32().num_architectures
    ('autoformer/small32', 265716)
  """
  return autoformer("small32")


def is_valid(choices: Choices, archs: Archs) -> jax.Array:
  """Whether no layer follows one that is none, `int32[..., 1 + L] -> bool`.

  Example:
    >>> archs = np.asarray([[0, 0, 0, 0, 9, 9], [0, 0, 9, 0, 0, 0]])
    >>> is_valid_fn = functools.partial(is_valid, SPACES["small32"])
    >>> jax.jit(is_valid_fn)(archs).tolist()
    [True, False]
  """
  missing = archs[..., 1:] == choices.none
  gaps = jnp.any(missing[..., :-1] & ~missing[..., 1:], axis=-1)
  return base.in_range(choices.cardinalities, archs) & ~gaps


def depth_of(choices: Choices, archs: Archs) -> jax.Array:
  """Number of layers, `int32[..., 1 + L] -> int32[...]`.

  Example:
    >>> int(depth_of(SPACES["small32"], np.asarray([0, 0, 0, 0, 9, 9])))
    3
  """
  return jnp.sum(archs[..., 1:] != choices.none, axis=-1).astype(jnp.int32)


def sample(choices: Choices, key: Key, num: int) -> Archs:
  """Draws uniformly random architectures, with replacement.

  Depths are as frequent as networks of them are many; AutoFormer's own training
  draws them equally often.

  Args:
    choices: the options.
    key: random key, consumed.
    num: number of architectures.

  Returns:
    `int32[num, 1 + L]`.

  Example:
    >>> draw = functools.partial(sample, SPACES["small32"], num=2)
    >>> jax.eval_shape(draw, jax.random.key(0)).shape
    (2, 6)
  """
  types_key, depth_key = jax.random.split(key)
  bounds = np.asarray([choices.cardinalities], np.int32)
  bounds[:, 1:] = choices.none
  archs = jax.random.randint(
    types_key, (num, bounds.shape[1]), 0, jnp.asarray(bounds), jnp.int32
  )
  counts = np.cumsum([float(choices.none) ** d for d in choices.depths])
  reach = jnp.asarray(counts[None, :-1] / counts[-1], jnp.float32)
  uniform = jax.random.uniform(depth_key, (num, 1))
  steps = jnp.sum(uniform >= reach, axis=-1, dtype=jnp.int32)
  depth = choices.depths[0] + steps
  return with_depth(choices, archs, depth)


def with_depth(choices: Choices, archs: Archs, depth: jax.Array) -> Archs:
  """Takes the layers beyond a depth `int32[...]` away.

  Example:
    >>> arch = np.asarray([0, 1, 2, 3, 4, 5])
    >>> with_depth(SPACES["small32"], arch, np.asarray(4)).tolist()
    [0, 1, 2, 3, 4, 9]
  """
  layer = np.arange(-1, choices.max_depth).reshape(
    (1,) * (archs.ndim - 1) + (-1,)
  )
  return jnp.where(jnp.asarray(layer) < depth[..., None], archs, choices.none)


def to_config(choices: Choices, arch: Sequence[int]) -> dict[str, Any]:
  """The configuration dictionary of AutoFormer's program (host).

  Returns:
    `layer_num`; `mlp_ratio`, `num_heads` and `embed_dim`, one a layer.

  Raises:
    ValueError: if the vector is no architecture.

  Example:
    >>> to_config(SPACES["small32"], [0, 0, 0, 0, 9, 9])["mlp_ratio"]
    [0.5, 0.5, 0.5]
  """
  vector = np.asarray(arch)
  options = choices.cardinalities
  if vector.shape != (len(options),) or not _in_order(choices, vector.tolist()):
    raise ValueError(
      f"A vector is an embedding in 0..{options[0] - 1} and "
      f"{choices.max_depth} types in 0..{choices.none - 1}, or {choices.none} "
      f"for no layer, which only layers beyond {choices.depths[0]} may be and "
      f"no layer follows; got {vector.tolist()}."
    )
  types = [choices.types[t] for t in vector[1:].tolist() if t != choices.none]
  return {
    "layer_num": len(types),
    "mlp_ratio": [ratio for ratio, _ in types],
    "num_heads": [heads for _, heads in types],
    "embed_dim": [choices.embeddings[int(vector[0])]] * len(types),
  }


def from_config(choices: Choices, config: Mapping[str, Any]) -> np.ndarray:
  """Reads an official configuration into `int32[1 + L]`.

  Args:
    choices: the options.
    config: as `to_config` has it; `embed_dim` may be one number. Other entries
      are not read.

  Raises:
    ValueError: if an entry is absent or has another length, or an option is
      none of the space.

  Example:
    >>> config = to_config(SPACES["small32"], [0, 0, 0, 0, 9, 9])
    >>> from_config(SPACES["small32"], config).tolist()
    [0, 0, 0, 0, 9, 9]
  """
  missing = [name for name in CONFIG if name not in config]
  if missing:
    raise ValueError(
      f"A configuration has {', '.join(CONFIG)}, got none of "
      f"{', '.join(missing)}."
    )
  depth, ratios, heads = (config[name] for name in CONFIG[:3])
  widths = {*np.ravel(config["embed_dim"]).tolist()}
  if {*map(len, (ratios, heads))} != {depth} or depth not in choices.depths:
    raise ValueError(
      f"A network has {_listed(choices.depths)} layers, a ratio and a number "
      f"of heads for each; got layer_num {depth}, {len(ratios)} ratios and "
      f"{len(heads)} numbers of heads."
    )
  types = list(zip(map(float, ratios), heads, strict=True))
  if len(widths) != 1 or not widths <= {*choices.embeddings}:
    raise ValueError(
      f"embed_dim must be one of {_listed(choices.embeddings)} in all layers, "
      f"got {sorted(widths)}."
    )
  if unknown := {*types} - {*choices.types}:
    raise ValueError(
      f"Layers have ratios of {_listed(choices.ratios)} and "
      f"{_listed(choices.heads)} heads, got {sorted(unknown)[0]}."
    )
  arch = np.full(1 + choices.max_depth, choices.none, np.int32)
  arch[0] = choices.embeddings.index(widths.pop())
  arch[1 : 1 + depth] = [choices.types.index(t) for t in types]
  return arch


def to_string(choices: Choices, arch: Sequence[int]) -> str:
  """Names one architecture by its official configuration, as JSON (host).

  Example:
    >>> to_string(SPACES["small32"], [0, 0, 0, 0, 9, 9])[:40]
    '{"layer_num": 3, "mlp_ratio": [0.5, 0.5,'
  """
  return json.dumps(to_config(choices, arch))


def from_string(choices: Choices, string: str) -> np.ndarray:
  """Inverse of `to_string`, `int32[1 + L]`; entries in any order.

  Raises:
    ValueError: if it is no such JSON, or no network of the space.

  Example:
    >>> string = to_string(SPACES["small32"], [0, 0, 0, 0, 9, 9])
    >>> from_string(SPACES["small32"], string).tolist()
    [0, 0, 0, 0, 9, 9]
  """
  try:
    config = json.loads(string)
    if not isinstance(config, dict):
      raise TypeError("no dictionary")
    return from_config(choices, config)
  except (json.JSONDecodeError, TypeError) as error:
    form = to_string(choices, [0] * (1 + choices.max_depth))
    raise ValueError(
      f"An architecture is written like {form!r}, got {string[:80]!r}."
    ) from error


def to_features(choices: Choices, archs: Archs) -> jax.Array:
  """One-hot matrix, `int32[..., 1 + L] -> f32[..., 1 + L, C]`.

  The first row is the embedding, the others are the layers. Columns are the
  options of a row and, as the last one, none: as EDNAG has it of MobileNetV3,
  without its rows and columns of input and output. (Its program has no
  transformers.)

  Example:
    >>> view = functools.partial(to_features, SPACES["small32"])
    >>> jax.eval_shape(view, np.asarray([0, 0, 0, 0, 9, 9])).shape
    (6, 10)
  """
  last = choices.num_columns - 1
  layers = jnp.where(archs[..., 1:] == choices.none, last, archs[..., 1:])
  columns = jnp.concatenate([archs[..., :1], layers], axis=-1)
  return jax.nn.one_hot(columns, last + 1, dtype=jnp.float32)


def from_features(
  choices: Choices, features: jax.Array
) -> tuple[Archs, jax.Array]:
  """Decodes by the arg-max of every row's own options; ties go to the left.

  None may be anywhere: layers move to the front, so that the vector is the
  network of those that exist.

  Returns:
    `int32[..., 1 + L]`, and `bool[...]` whether there are enough layers. Too
    few are filled up with layers of the first type.

  Example:
    >>> read = jax.jit(functools.partial(from_features, SPACES["small32"]))
    >>> archs, valid = read(np.eye(6, 10))
    >>> archs.tolist(), bool(valid)
    ([0, 1, 2, 3, 4, 5], True)
  """
  embedding = jnp.argmax(features[..., 0, : len(choices.embeddings)], axis=-1)
  options = [features[..., 1:, : choices.none], features[..., 1:, -1:]]
  types = jnp.argmax(jnp.concatenate(options, axis=-1), axis=-1)
  order = jnp.argsort(types == choices.none, axis=-1, stable=True)
  types = jnp.take_along_axis(types, order, axis=-1)
  always = choices.depths[0]
  valid = jnp.all(types[..., :always] != choices.none, axis=-1)
  types = types.at[..., :always].set(types[..., :always] % choices.none)
  archs = jnp.concatenate([embedding[..., None], types], axis=-1)
  return archs.astype(jnp.int32), valid


def to_graph(choices: Choices, archs: Archs) -> Graph:
  """The chain of the layers that exist, of `int32[..., 1 + L]`; `N = L + 2`.

  Nodes are the embedding, the layers and the output; labels the embeddings, the
  types and the output. A layer that does not exist has neither a label nor
  edges: the one before leads to the one behind.

  Example:
    >>> view = functools.partial(to_graph, SPACES["small32"])
    >>> jax.eval_shape(view, np.asarray([0, 0, 0, 0, 9, 9])).nodes.shape
    (7, 14)
  """
  size = max(choices.cardinalities)
  one_hot = jax.nn.one_hot(archs, size, dtype=jnp.float32)
  return to_soft_graph(choices, one_hot)


def to_soft_graph(choices: Choices, options: jax.Array) -> Graph:
  """`to_graph` of weights of the options, `f32[..., 1 + L, K]`.

  Example:
    >>> view = functools.partial(to_soft_graph, SPACES["small32"])
    >>> jax.eval_shape(view, np.full((6, 10), 0.1)).adjacency.shape
    (7, 7)
  """
  num, none = len(choices.embeddings), choices.none
  batch = [(0, 0)] * (options.ndim - 2)
  first = jnp.pad(options[..., :1, :num], [*batch, (0, 0), (0, none + 1)])
  layers = jnp.pad(options[..., 1:, :none], [*batch, (0, 1), (num, 1)])
  nodes = jnp.concatenate([first, layers], axis=-2).at[..., -1, -1].set(1.0)
  absent = jnp.pad(options[..., 1:, none], [*batch, (1, 1)])
  optional = np.arange(-1, choices.max_depth + 1) >= choices.depths[0]
  optional[-1] = False
  return Graph(nodes, graphs.soft_chain(nodes, absent, optional))


def _in_order(choices: Choices, vector: list[int]) -> bool:
  """`is_valid` of one vector (host)."""
  pairs = zip(vector, choices.cardinalities, strict=True)
  is_none = [t == choices.none for t in vector[1:]]
  return all(0 <= v < k for v, k in pairs) and sorted(is_none) == is_none


def _listed(values: Sequence[float]) -> str:
  return ", ".join(map(str, values))
