"""The path encoding: which sequences of operations lead through a graph.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural
Architectures for Neural Architecture Search", AAAI 2021, "Path encoding",
https://arxiv.org/abs/1910.11858

A path leads along edges from an input to an output; its sequence is that of the
labels in between. The encoding has one feature for every sequence and says
whether any path reads so. Of `K` labels and lengths 1..3 there are
`K + K^2 + K^3`: 155 in NAS-Bench-201, whose label `none` is one like others, as
published. NAS-Bench-101 has the lengths 0..5 and 364 features.

The number of features grows with the power of the length, so long sequences are
left out, as in the paper's truncated encoding. Within 400 features the cells of
DARTS are described by paths of at most two operations, those of NAS-Bench-NLP
by paths of at most three.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.networks import mlp
from nagjax.networks.base import GraphNetwork
from nagjax.types import Graph


class Paths(NamedTuple):
  """The sequences that an encoding tells apart; static.

  Attributes:
    source: label of vertices at which a path may start.
    targets: vertices at which it may end, `T`; each has features of its own.
    steps: labels of the vertices in between, `K` columns of `Graph.nodes`.
    shortest: least number of vertices in between.
    longest: the greatest number that is encoded.
  """

  source: int
  targets: tuple[int, ...]
  steps: tuple[int, ...]
  shortest: int
  longest: int

  @property
  def num_features(self) -> int:
    """`F`, the sum of `T K^l` over all lengths `l`."""
    lengths = range(self.shortest, self.longest + 1)
    num_sequences = sum(len(self.steps) ** length for length in lengths)
    return len(self.targets) * num_sequences


def possible_paths(graph: Graph, max_features: int = 400) -> Paths:
  """Reads off a space's graphs which sequences there can be (host).

  A vertex with the label of the first one is an input, one with that of the
  last one an output, as at the ends of both cells of DARTS.

  Args:
    graph: all graphs of a space laid over one another, one `[N, K]` and
      `[N, N]`: what `SearchSpace.to_soft_graph` makes of ones.
    max_features: limit of `Paths.num_features`, which bounds the length.

  Returns:
    The sequences of all lengths that occur, up to the limit.

  Raises:
    ValueError: if the shortest paths alone have more sequences, or if no path
      leads from an input to an output.
  """
  nodes, edges = np.asarray(graph.nodes) > 0, np.asarray(graph.adjacency) > 0
  source, target = int(np.argmax(nodes[0])), int(np.argmax(nodes[-1]))
  ends = (source, target)
  steps = tuple(k for k in range(nodes.shape[1]) if k not in ends)
  targets = tuple(np.flatnonzero(nodes[:, target]).tolist())
  inner = nodes[:, list(steps)].any(axis=1)
  reached, lengths = nodes[:, source], []
  for length in range(nodes.shape[0] - 1):
    arrived = reached @ edges
    if arrived[list(targets)].any():
      lengths.append(length)
    reached = arrived & inner
  if not lengths:
    raise ValueError("No path leads from an input to an output of the graphs.")
  for longest in reversed(lengths):
    paths = Paths(source, targets, steps, lengths[0], longest)
    if paths.num_features <= max_features:
      return paths
  raise ValueError(
    f"Paths of {paths.longest} vertices have {paths.num_features} features, "
    f"more than max_features = {max_features}. Allow more, or use a predictor "
    "that reads graphs."
  )


def path_encoding(graph: Graph, paths: Paths) -> jax.Array:
  """Whether each sequence is that of a path.

  Args:
    graph: nodes `f32[..., N, K]`, adjacency `f32[..., N, N]`, upper triangular.
    paths: from `possible_paths`.

  Returns:
    `f32[..., F]` zeros and ones, by length, then target, then sequence in
    lexicographic order of `paths.steps`.
  """
  nodes, edges = graph
  batch, num = nodes.shape[:-2], nodes.shape[-2]
  steps = nodes[..., np.asarray(paths.steps)]
  into_targets = edges[..., np.asarray(paths.targets)]

  def extend(arrived: jax.Array, edges: jax.Array) -> jax.Array:
    """Sequences at the ends of edges that leave the vertices arrived at."""
    longer = jnp.einsum("...vs,...vk,...vw->...wsk", arrived, steps, edges)
    return _indicators(longer.reshape(*batch, edges.shape[-1], -1))

  sources = nodes[..., paths.source]
  arrived = _indicators(sources[..., None, :] @ edges).reshape(*batch, num, 1)
  features = [arrived[..., np.asarray(paths.targets), :]]
  for length in range(1, paths.longest + 1):
    features.append(extend(arrived, into_targets))
    if length < paths.longest:
      arrived = extend(arrived, edges)
  return jnp.concatenate(
    [part.reshape(*batch, -1) for part in features[paths.shortest :]], axis=-1
  )


def path_mlp(paths: Paths, config: mlp.Config) -> GraphNetwork:
  """A multi-layer perceptron that reads `as_graph` of an encoding."""
  return mlp.mlp(1, paths.num_features, config)


def as_graph(encoding: jax.Array) -> Graph:
  """Features as the labels of a single vertex, `f32[..., F] -> Graph`.

  So an encoding goes wherever graphs go, computed once instead of per step.
  """
  adjacency = jnp.zeros((*encoding.shape[:-1], 1, 1), jnp.float32)
  return Graph(encoding[..., None, :], adjacency)


def _indicators(counts: jax.Array) -> jax.Array:
  """Keeps numbers of paths from growing beyond what floats hold exactly."""
  return (counts > 0).astype(jnp.float32)
