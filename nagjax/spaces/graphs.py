"""Small directed acyclic graphs inside compiled programs.

A graph of `N` vertices has its input first and its output last; an edge leads
from a lower to a higher vertex. Its `E = N (N - 1) / 2` possible edges are
numbered `x + y (y - 1) / 2` for x -> y, that is by target.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 8192
"""Graphs whose relabelings are in memory at the same time."""


def edge_ends(num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
  """Source and target of every possible edge, two `int[E]` arrays.

  Example:
    >>> [ends.tolist() for ends in edge_ends(3)]
    [[0, 0, 1], [1, 2, 2]]
  """
  target, source = np.tril_indices(num_vertices, -1)
  return source, target


def adjacency_matrix(edges: jax.Array, num_vertices: int) -> jax.Array:
  """Spreads values of edges over a matrix, `[..., E] -> [..., N, N]`.

  Example:
    >>> values = np.asarray([1, 0, 2], np.int32)
    >>> jax.jit(adjacency_matrix, static_argnums=1)(values, 3).tolist()
    [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
  """
  source, target = edge_ends(num_vertices)
  shape = (*edges.shape[:-1], num_vertices, num_vertices)
  return jnp.zeros(shape, edges.dtype).at[..., source, target].set(edges)


def closure(adjacency: jax.Array) -> jax.Array:
  """Which vertices can be reached from which, each from itself.

  Args:
    adjacency: `bool[..., N, N]` of any directed graphs.

  Returns:
    `bool[..., N, N]`.

  Example:
    >>> edges = np.asarray([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    >>> jax.jit(closure)(edges).astype(int).tolist()
    [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
  """
  num = adjacency.shape[-1]
  shape = (1,) * (adjacency.ndim - 2) + (num, num)
  reach = adjacency | jnp.eye(num, dtype=bool).reshape(shape)
  for _ in range((num - 2).bit_length()):  # Each step doubles the length.
    reach = jnp.any(reach[..., :, :, None] & reach[..., None, :, :], axis=-2)
  return reach


def on_a_path(adjacency: jax.Array) -> jax.Array:
  """Which vertices lie on a path from the first to the last one.

  Args:
    adjacency: `bool[..., N, N]` of any directed graphs.

  Returns:
    `bool[..., N]`; all false if there is no such path.

  Example:
    >>> edges = np.asarray([[0, 0, 1], [0, 0, 0], [0, 0, 0]], bool)
    >>> jax.jit(on_a_path)(edges).tolist()
    [True, False, True]
  """
  reach = closure(adjacency)
  return reach[..., 0, :] & reach[..., :, -1]


def soft_chain(
  nodes: jax.Array, absent: jax.Array, optional: np.ndarray
) -> jax.Array:
  """Edges of a chain some of whose vertices may be absent.

  An edge from or to a vertex that is optional weighs as much as its ends exist
  and no vertex between them does.

  Args:
    nodes: `f32[..., N, K]` weights of the labels.
    absent: `f32[..., N]` weight of a vertex's absence.
    optional: `bool[N]` which vertices may be absent; others are there.

  Returns:
    `f32[..., N, N]`.

  Example:
    >>> nodes, absent = np.ones((3, 1)), np.asarray([0.0, 0.5, 0.0])
    >>> optional = np.asarray([False, True, False])
    >>> jax.jit(lambda *x: soft_chain(*x, optional))(nodes, absent).tolist()
    [[0.0, 1.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
  """
  num = nodes.shape[-2]
  shape = (1,) * (absent.ndim - 1) + (num,)
  may_miss = jnp.asarray(optional).reshape(shape)
  exists = jnp.where(may_miss, jnp.sum(nodes, axis=-1), 1.0)
  absent = jnp.where(may_miss, absent, 0.0)
  adjacency = jnp.zeros((*nodes.shape[:-1], num), nodes.dtype)
  skipped = jnp.ones_like(exists)
  runs = "".join("x" if is_optional else " " for is_optional in optional)
  for step in range(1, 2 + max(map(len, runs.split()), default=0)):
    source = np.arange(num - step)
    weight = exists[..., :-step] * skipped[..., :-step] * exists[..., step:]
    adjacency = adjacency.at[..., source, source + step].set(weight)
    skipped = skipped * jnp.roll(absent, -step, axis=-1)
  return adjacency


def canonical_code(edges: jax.Array, digits: jax.Array) -> jax.Array:
  """Names labeled graphs up to the order of their inner vertices.

  The code is the least of all numbers `adjacency * 4^(N-2) + labels`, over the
  (N-2)! permutations of the inner vertices that leave no edge pointing
  backwards: bit `e` of `adjacency` is edge `e`, two bits of `labels` are the
  label of an inner vertex, the first one least significant. Isolated vertices
  come last, as the highest edges weigh most.

  Args:
    edges: `bool[..., E]` of graphs of 3 to 7 vertices.
    digits: `int32[..., N - 2]` labels of the inner vertices, 0..3.

  Returns:
    `int32[...]`, below 2^31.

  Example:
    >>> code = jax.jit(canonical_code)(np.ones(3, bool), np.asarray([2]))
    >>> edges, digits = jax.jit(decode, static_argnums=1)(code, 3)
    >>> int(code), edges.tolist(), digits.tolist()
    (30, [True, True, True], [2])
  """
  num_edges, num_inner = edges.shape[-1], digits.shape[-1]
  least = functools.partial(_least_code, relabelings(num_inner + 2))
  rows = (edges.reshape(-1, num_edges), digits.reshape(-1, num_inner))
  codes = jax.lax.map(lambda row: least(*row), rows, batch_size=_CHUNK)
  return codes.reshape(digits.shape[:-1])


def decode(code: jax.Array, num_vertices: int) -> tuple[jax.Array, jax.Array]:
  """Edges `bool[..., E]` and digits `int32[..., N - 2]` of codes."""
  num_inner = num_vertices - 2
  edges = _bits(code >> 2 * num_inner, num_vertices * (num_vertices - 1) // 2)
  bits = _bits(code, 2 * num_inner).reshape((*code.shape, num_inner, 2))
  return edges.astype(bool), bits[..., 0] + 2 * bits[..., 1]


class Relabelings(NamedTuple):
  """What each edge and each digit adds to the code of each permutation.

  Attributes:
    edges: `f32[E, P]`. An edge that would point backwards weighs as much as a
      number above all codes.
    digits: `f32[N - 2, P]`.
  """

  edges: np.ndarray
  digits: np.ndarray


@functools.cache
def relabelings(num_vertices: int) -> Relabelings:
  """The weights of all `P = (N - 2)!` permutations of the inner vertices.

  Example:
    >>> relabelings(4).edges.shape
    (6, 2)
  """
  source, target = edge_ends(num_vertices)
  inner = itertools.permutations(range(1, num_vertices - 1))
  position = np.asarray([(0, *p, num_vertices - 1) for p in inner])
  x, y = position[:, source], position[:, target]
  bit = np.where(x < y, x + y * (y - 1) // 2, len(source))
  digit = 4.0 ** (position[:, 1:-1] - 1)
  return Relabelings(
    (2.0**bit).T.astype(np.float32), digit.T.astype(np.float32)
  )


def _least_code(
  weights: Relabelings, edges: jax.Array, digits: jax.Array
) -> jax.Array:
  """`canonical_code` of one graph, by two exact products.

  Every weight is a power of two and every possible code of at most 21 edges is
  exact in float32, if the product is; sums with a backward edge may round, but
  never to a number below the weight of that edge.
  """
  dot = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)
  adjacency = dot(edges.astype(jnp.float32), weights.edges)
  labels = dot(digits.astype(jnp.float32), weights.digits).astype(jnp.int32)
  forwards = adjacency < 2.0 ** edges.shape[0]
  code = adjacency.astype(jnp.int32) * 4 ** digits.shape[0] + labels
  return jnp.min(jnp.where(forwards, code, jnp.iinfo(jnp.int32).max))


def _bits(code: jax.Array, num: int) -> jax.Array:
  """The lowest bits of `int32[...]`, `int32[..., num]`."""
  place = jnp.arange(num).reshape((1,) * code.ndim + (num,))
  return (code[..., None] >> place) & 1
