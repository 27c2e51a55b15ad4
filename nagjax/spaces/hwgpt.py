"""HW-GPT-Bench: decoder-only language models of three sizes, S, M and L.

Sukthanker et al., "HW-GPT-Bench: Hardware-Aware Architecture Benchmark for
Language Models", NeurIPS 2024, https://arxiv.org/abs/2405.10299

A model has a width (embedding), a number of layers and, all together, biases or
not; every layer has a number of heads, each of 64 channels, and a ratio of its
inner width to the model's. An architecture is the vector

  embedding, layers, bias, MLP ratio of layers 1..L, heads of layers 1..L

of positions in the lists of `Choices`, L being the largest number of layers.
What belongs to layers that a model does not have is inactive: two vectors that
differ there alone are one architecture, and its canonical form has zeros there.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import generic
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

BIASES = (True, False)
EMBEDDING, LAYERS, BIAS = range(3)
"""Variables in front of those of the layers."""
FIRST = 3
"""The first variable of the layers."""


class Choices(NamedTuple):
  """Options of the models of one size, three each.

  Attributes:
    embeddings: widths.
    layers: numbers of layers, ascending and consecutive.
    ratios: inner width of a layer by that of the model.
    heads: numbers of heads of a layer.
  """

  embeddings: tuple[int, int, int]
  layers: tuple[int, int, int]
  ratios: tuple[int, int, int]
  heads: tuple[int, int, int]

  @property
  def max_layers(self) -> int:
    """`L`, the largest number of layers."""
    return self.layers[-1]


SIZES = {
  "s": Choices((192, 384, 768), (10, 11, 12), (2, 3, 4), (4, 8, 12)),
  "m": Choices((256, 512, 1024), (22, 23, 24), (2, 3, 4), (8, 12, 16)),
  "l": Choices((320, 640, 1280), (34, 35, 36), (2, 3, 4), (8, 16, 20)),
}


@functools.cache
def hwgpt(size: str) -> base.SearchSpace:
  """Returns the space of the models of one size.

  Args:
    size: a key of `SIZES`.

  Raises:
    ValueError: if there is no such size.

  Example:
    >>> hwgpt("s").num_variables
    27
  """
  if size not in SIZES:
    raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}.")
  choices = SIZES[size]
  cardinalities = (3, 3, 2) + (3,) * (2 * choices.max_layers)
  bound = functools.partial
  space = base.SearchSpace(
    name=f"hwgpt_{size}",
    cardinalities=cardinalities,
    to_string=bound(to_string, choices),
    from_string=bound(from_string, choices),
    to_graph=bound(to_graph, cardinalities, choices),
    to_soft_graph=bound(generic.to_soft_graph, cardinalities),
    canonicalize=bound(canonicalize, choices),
    num_architectures=6 * sum(9**depth for depth in choices.layers),
    sample_fn=bound(sample, cardinalities, choices),
  )
  return dataclasses.replace(
    space, key_fn=functools.partial(_canonical_keys, space)
  )


def hwgpt_s() -> base.SearchSpace:
  """Returns the space of 10 to 12 layers.

  Example:
    >>> hwgpt_s().cardinalities[LAYERS]
    3
  """
  return hwgpt("s")


def hwgpt_m() -> base.SearchSpace:
  """Returns the space of 22 to 24 layers.

  Example:
    >>> hwgpt_m().num_variables
    51
  """
  return hwgpt("m")


def hwgpt_l() -> base.SearchSpace:
  """Returns the space of 34 to 36 layers.

  Example:
    >>> hwgpt_l().num_variables
    75
  """
  return hwgpt("l")


def is_active(choices: Choices, archs: Archs) -> jax.Array:
  """Which variables count, `int32[..., 3 + 2 L] -> bool[..., 3 + 2 L]`.

  Example:
    >>> active = is_active(SIZES["s"], np.zeros(27, np.int32))
    >>> int(active.sum())  # 10 layers of 12.
    23
  """
  layer = np.arange(choices.max_layers)
  # Those in front belong to layer 0, which every model has.
  layer = np.concatenate([np.zeros(FIRST, int), layer, layer])
  depth = archs[..., LAYERS, None] + choices.layers[0]
  return jnp.asarray(layer).reshape((1,) * (archs.ndim - 1) + (-1,)) < depth


def canonicalize(choices: Choices, archs: Archs) -> Archs:
  """Zeros in the place of what does not count, `int32[..., 3 + 2 L]`.

  Example:
    >>> first = jax.jit(functools.partial(canonicalize, SIZES["s"]))
    >>> first(np.ones(27, np.int32))[FIRST:].tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
  """
  return jnp.where(is_active(choices, archs), archs, 0)


def sample(
  cardinalities: tuple[int, ...], choices: Choices, key: Key, num: int
) -> Archs:
  """Draws uniformly random architectures, in their canonical form.

  Numbers of layers are as frequent as architectures of them are many, 1 : 9 :
  81; the benchmark's own program draws them equally often.

  Args:
    cardinalities: numbers of options.
    choices: the options.
    key: random key, consumed.
    num: number of architectures.

  Returns:
    `int32[num, 3 + 2 L]`.

  Example:
    >>> space, key = hwgpt_s(), jax.random.key(0)
    >>> draw = functools.partial(sample, space.cardinalities, SIZES["s"], num=2)
    >>> jax.eval_shape(draw, key).shape
    (2, 27)
  """
  uniform = jax.random.uniform(key, (num, len(cardinalities)))
  options = jnp.asarray(cardinalities, jnp.int32)[None]
  archs = (uniform * options.astype(jnp.float32)).astype(jnp.int32)
  archs = jnp.minimum(archs, options - 1)
  reach = jnp.asarray([[1 / 91, 10 / 91]], jnp.float32)
  depth = jnp.sum(uniform[:, LAYERS, None] >= reach, axis=-1)
  archs = archs.at[:, LAYERS].set(depth.astype(jnp.int32))
  return canonicalize(choices, archs)


def to_string(choices: Choices, arch: Sequence[int]) -> str:
  """Names one architecture by its options, those of its layers in a row.

  Example:
    >>> to_string(SIZES["s"], [0] * 27)[:50]
    'embed_dim=192,bias=True,mlp_ratio=2:2:2:2:2:2:2:2:'
  """
  depth, num = choices.layers[arch[LAYERS]], choices.max_layers
  ratios = [choices.ratios[k] for k in arch[FIRST:][:depth]]
  heads = [choices.heads[k] for k in arch[FIRST + num :][:depth]]
  return (
    f"embed_dim={choices.embeddings[arch[EMBEDDING]]},"
    f"bias={BIASES[arch[BIAS]]},"
    f"mlp_ratio={':'.join(map(str, ratios))},"
    f"n_head={':'.join(map(str, heads))}"
  )


def from_string(choices: Choices, string: str) -> np.ndarray:
  """Inverse of `to_string`, the canonical form, `int32[3 + 2 L]`.

  Raises:
    ValueError: if the string has another form, or options of another space.

  Example:
    >>> from_string(SIZES["s"], to_string(SIZES["s"], [0] * 27)).shape
    (27,)
  """
  num = choices.max_layers
  arch = np.zeros(FIRST + 2 * num, np.int32)
  try:
    names, values = zip(
      *(part.split("=") for part in string.strip().split(",")), strict=True
    )
    if names != ("embed_dim", "bias", "mlp_ratio", "n_head"):
      raise ValueError(names)
    ratios, heads = ([int(k) for k in v.split(":")] for v in values[2:])
    if len(ratios) != len(heads):
      raise ValueError(len(heads))
    arch[EMBEDDING] = choices.embeddings.index(int(values[0]))
    arch[LAYERS] = choices.layers.index(len(ratios))
    arch[BIAS] = [str(bias) for bias in BIASES].index(values[1])
    arch[FIRST:][: len(ratios)] = [choices.ratios.index(k) for k in ratios]
    arch[FIRST + num :][: len(heads)] = [choices.heads.index(k) for k in heads]
  except ValueError as error:
    raise ValueError(
      f"An architecture is written like {to_string(choices, [0] * len(arch))!r}"
      f", with {', '.join(map(str, choices.layers))} layers, widths of "
      f"{choices.embeddings}, ratios of {choices.ratios} and heads of "
      f"{choices.heads}; got {string[:80]!r}."
    ) from error
  return arch


def to_graph(
  cardinalities: tuple[int, ...], choices: Choices, archs: Archs
) -> Graph:
  """The graph of any space, without the nodes of what does not count.

  Such a node, of `f32[..., N, K]`, has neither a label nor edges.

  Example:
    >>> sizes = hwgpt_s().cardinalities
    >>> view = functools.partial(to_graph, sizes, SIZES["s"])
    >>> jax.eval_shape(view, np.zeros(27, np.int32)).nodes.shape
    (29, 82)
  """
  active = is_active(choices, archs).astype(jnp.float32)
  options = jax.nn.one_hot(archs, max(cardinalities), dtype=jnp.float32)
  graph = generic.to_soft_graph(cardinalities, options * active[..., None])
  exists = jnp.pad(
    active,
    [(0, 0)] * (archs.ndim - 1) + [(1, 1)],
    constant_values=1.0,
  )
  there = exists[..., :, None] * exists[..., None, :]
  return Graph(graph.nodes, graph.adjacency * there)


def _canonical_keys(space: base.SearchSpace, archs: Archs) -> jax.Array:
  return space.keys(space.canonicalize(archs))
