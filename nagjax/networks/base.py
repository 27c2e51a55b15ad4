"""What a network is here: a pure pair of functions.

All networks have one shape, `Network(init, apply)`. What `apply` takes is the
convention of a family:

  GraphApply    labeled graphs -> numbers           gcn, gat, lstm, mlp, paths
  ScoreApply    noisy rows -> a row for each         score
  GuideApply    noisy rows -> one number             noisy, guides
  LatentApply   a latent vector -> a graph's logits  generator
"""

from collections.abc import Callable
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

import jax

from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params

ApplyT = TypeVar("ApplyT", bound=Callable[..., Any])


class Network(NamedTuple, Generic[ApplyT]):
  """A pure pair of functions; a user's own is as good as ours.

  Attributes:
    init: `key -> params`, a pytree of arrays; the key is consumed.
    apply: takes the params first, then what its family says, with any leading
      axes; differentiable.

  Example:
    >>> import jax.numpy as jnp
    >>> network = Network(
    ...   init=lambda key: jax.random.normal(key, (3,)),
    ...   apply=lambda params, graph, *, dropout_key=None: (
    ...     jnp.mean(graph.nodes, axis=-2) @ params[:, None]
    ...   ),
    ... )
  """

  init: Callable[[Key], Params]
  apply: ApplyT


class GraphApply(Protocol):
  """Reads node-labeled graphs, as predictors do."""

  def __call__(
    self, params: Params, graph: Graph, *, dropout_key: Key | None = None
  ) -> jax.Array:
    """Applies the network.

    Args:
      params: of the network.
      graph: any leading axes.
      dropout_key: random key, consumed; without one nothing is dropped.

    Returns:
      `f32[..., num_heads]`.
    """
    ...


class ScoreApply(Protocol):
  """Reads noisy architectures row by row, as score networks do."""

  def __call__(
    self,
    params: Params,
    x: jax.Array,
    condition: jax.Array,
    mask: jax.Array,
    *,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    """Applies the network.

    Args:
      params: of the network.
      x: `f32[..., n, F]` noisy node rows, any leading axes.
      condition: `f32[...]` noise level: `sigma(t)` of a variance-exploding
        process, `999 t` of the others. Fewer leading axes are broadcast.
      mask: `f32[n, n]`, 1 where node i attends to node j: the adjacency or its
        transitive closure.
      dropout_key: random key, consumed; without one nothing is dropped.

    Returns:
      `f32[..., n, F]`, the output as it is: see `generation.score_models` for
      what it means.
    """
    ...


class GuideApply(Protocol):
  """Predicts from noisy architectures, to guide a sampler."""

  def __call__(
    self,
    params: Params,
    x: jax.Array,
    condition: jax.Array,
    adjacency: jax.Array,
    *,
    code: jax.Array | None = None,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    """Applies the network.

    Args:
      params: of the network.
      x: `f32[..., n, F]` noisy node rows, any leading axes.
      condition: `f32[...]` noise level, see `ScoreApply`.
      adjacency: `f32[n, n]` of all architectures, or its transitive closure.
      code: `f32[..., set_size]` of the data set, None if there is only one.
        Fewer leading axes are broadcast, as those of `condition`.
      dropout_key: random key, consumed; without one nothing is dropped.

    Returns:
      `f32[...]`, the larger the better, in units of the training's labels.
    """
    ...


GraphNetwork = Network[GraphApply]
ScoreNetwork = Network[ScoreApply]
GuideNetwork = Network[GuideApply]
