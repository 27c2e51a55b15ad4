"""What a network is here: a pure pair of functions on graphs."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import Protocol

import jax

from nagjax.types import Graph
from nagjax.types import Key

Weights = Any
"""A pytree of arrays."""


class ApplyFn(Protocol):
  """Maps weights and graphs with any leading axes to `f32[..., num_heads]`."""

  def __call__(
    self, weights: Weights, graph: Graph, *, dropout_key: Key | None = None
  ) -> jax.Array:
    """Without a key nothing is dropped; a key is consumed."""
    ...


class Network(NamedTuple):
  """A network over node-labeled graphs, differentiable in the graph.

  Attributes:
    init: `key -> weights`; the key is consumed.
    apply: see `ApplyFn`.
  """

  init: Callable[[Key], Weights]
  apply: ApplyFn
