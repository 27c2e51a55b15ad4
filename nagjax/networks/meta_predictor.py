"""Predicts of a data set and an architecture: no noise, no training.

The meta-learned predictor of MetaD2A (Lee, Hyung and Hwang, "Rapid Neural
Architecture Search by Learning to Generate Graphs from Datasets", ICLR 2021,
https://arxiv.org/abs/2107.00860), by which DiffusionNAG ranks what it generated
(An et al., ICLR 2024, https://arxiv.org/abs/2305.16943, section 4.1) and EDNAG
denoises (Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural
Architecture Generation", figure 2). The code of the images comes from
`set_encoder`, that of the architecture from `dag_gru`; a head joins them.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple
from typing import Protocol

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.networks import dag_gru
from nagjax.networks import layers
from nagjax.networks import set_encoder
from nagjax.networks.layers import Affine
from nagjax.types import Graph
from nagjax.types import Key

NUM_IMAGES = 20
"""Published images of a class."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; the defaults are the published ones.

  Attributes:
    image_size: features of an image, `F`.
    code_size: numbers that stand for a data set, and for a graph, `Z`.
    hidden_size: of a node's state and of the head's hidden layer, `H`.
  """

  image_size: int = set_encoder.IMAGE_SIZE
  code_size: int = set_encoder.CODE_SIZE
  hidden_size: int = 512

  def __post_init__(self) -> None:
    checks.sizes(self)
    if self.code_size % 4:
      raise ValueError(
        f"code_size must be a multiple of 4, got {self.code_size}."
      )


PUBLISHED = Config()
"""Sizes of the published weights."""


class Params(NamedTuple):
  """Of the predictor.

  Attributes:
    images: of the encoder of data sets.
    graph: of the encoder of architectures.
    head: two layers.
  """

  images: set_encoder.Params
  graph: dag_gru.Params
  head: tuple[Affine, ...]


class MetaApply(Protocol):
  """Predicts of architectures by the code of a data set."""

  def __call__(
    self, params: Params, graph: Graph, code: jax.Array
  ) -> jax.Array:
    """Applies the network.

    Args:
      params: of the predictor.
      graph: see `dag_gru.GraphCodeApply`; published are those of
        `surrogates.meta`.
      code: `f32[..., Z]` of the data set; fewer leading axes are broadcast, so
        that one code, computed once, serves all architectures.

    Returns:
      `f32[...]` in units of the training's labels, the larger the better.
    """
    ...


class Encode(Protocol):
  """Gives the code of a data set."""

  def __call__(
    self, params: Params, images: jax.Array, present: jax.Array | None = None
  ) -> jax.Array:
    """Applies the encoder of data sets.

    Args:
      params: of the predictor.
      images: `f32[C, S, F]` features of `S` images of each of `C` classes.
      present: `bool[C]`, see `set_encoder.SetApply`.

    Returns:
      `f32[Z]`.
    """
    ...


class MetaNetwork(NamedTuple):
  """A predictor of data sets and architectures, as pure functions.

  Attributes:
    init: `key -> params`; the key is consumed.
    encode: see `Encode`.
    apply: see `MetaApply`.
  """

  init: Callable[[Key], Params]
  encode: Encode
  apply: MetaApply


def meta_predictor(
  num_nodes: int, num_labels: int, config: Config = PUBLISHED
) -> MetaNetwork:
  """Builds the predictor.

  Args:
    num_nodes: `N`.
    num_labels: `K`, columns of a node's row.
    config: sizes.

  Example:
    >>> network = meta_predictor(4, 3, Config(8, 4, 6))
    >>> params = network.init(jax.random.key(0))
    >>> code = network.encode(params, jnp.ones((2, 5, 8)))
    >>> graph = Graph(jnp.ones((10, 4, 3)), jnp.eye(4, k=1))
    >>> network.apply(params, graph, code).shape
    (10,)
  """
  data = set_encoder.set_encoder(config.image_size, config.code_size)
  architectures = dag_gru.dag_gru(
    num_nodes,
    num_labels,
    hidden_size=config.hidden_size,
    code_size=config.code_size,
  )

  def init(key: Key) -> Params:
    images_key, graph_key, head_key = jax.random.split(key, 3)
    return Params(
      data.init(images_key),
      architectures.init(graph_key),
      layers.init_mlp(head_key, 2 * config.code_size, config.hidden_size, 1),
    )

  def encode(
    params: Params, images: jax.Array, present: jax.Array | None = None
  ) -> jax.Array:
    return data.apply(params.images, images, present)

  def apply(params: Params, graph: Graph, code: jax.Array) -> jax.Array:
    found = architectures.apply(params.graph, graph)
    code = jnp.broadcast_to(code, (*found.shape[:-1], config.code_size))
    joined = jnp.concatenate([code, found], axis=-1)
    return layers.mlp(params.head, joined, jnp.tanh)[..., 0]

  return MetaNetwork(init, encode, apply)
