"""A code of a graph: recurrent units along its edges, both ways.

Zhang, Jiang, Cui, Garnett and Chen, "D-VAE: A Variational Autoencoder for
Directed Acyclic Graphs", NeurIPS 2019, section 3, https://arxiv.org/abs/1904.11088,
as in MetaD2A (Lee, Hyung and Hwang, ICLR 2021,
https://arxiv.org/abs/2107.00860): the architecture side of the predictor of
clean architectures of DiffusionNAG and EDNAG.

The nodes are read in their order. The message to a node is the sum over its
predecessors of `sigmoid(W_g c + b_g) * (W_m c)`, where `c` is the state of the
predecessor and the one-hot of its place; a gated unit makes of it and of the
node's label the state of the node. The second pass reads the edges backward.
"""

from typing import NamedTuple
from typing import Protocol

import jax
import jax.numpy as jnp

from nagjax.networks import layers
from nagjax.networks.base import Network
from nagjax.networks.layers import Affine
from nagjax.types import Graph
from nagjax.types import Key


class Direction(NamedTuple):
  """One way through the graphs, with states of size `H`.

  Attributes:
    gate: of a message, `f32[H + N, H]`; the rows behind `H` are of the places.
    mapper: of a message, `f32[H + N, H]`, without a bias.
    inputs, states: of the recurrent unit, `f32[K, 3 H]` and `f32[H, 3 H]`, see
      `layers.gru`.
  """

  gate: Affine
  mapper: jax.Array
  inputs: Affine
  states: Affine


class Params(NamedTuple):
  """Of the encoder.

  Attributes:
    forward: from the first node to the last one.
    backward: from the last node to the first one.
    unify: joins the states of both ends, `f32[2 H, H]`.
    out: behind it, `f32[H, Z]`.
  """

  forward: Direction
  backward: Direction
  unify: Affine
  out: Affine


class GraphCodeApply(Protocol):
  """Reads labeled graphs."""

  def __call__(self, params: Params, graph: Graph) -> jax.Array:
    """Gives codes of graphs.

    Args:
      params: of the encoder.
      graph: nodes `f32[..., N, K]`, any leading axes; adjacency `[N, N]` of all
        of them or `[..., N, N]`. Edges lead from lower to higher nodes; what is
        below the diagonal is not read.

    Returns:
      `f32[..., Z]`; differentiable, also in the nodes and weights of edges.
    """
    ...


def dag_gru(
  num_nodes: int, num_labels: int, *, hidden_size: int, code_size: int
) -> Network[GraphCodeApply]:
  """Builds the encoder; its parameters start as PyTorch's do.

  Args:
    num_nodes: `N`.
    num_labels: `K`, columns of a node's row.
    hidden_size: of a node's state, `H`.
    code_size: numbers that stand for a graph, `Z`.

  Raises:
    ValueError: of `apply`, if nodes have another shape than `[..., N, K]`.
  """

  def init(key: Key) -> Params:
    forward_key, backward_key, unify_key, out_key = jax.random.split(key, 4)
    return Params(
      _init_direction(forward_key, num_nodes, num_labels, hidden_size),
      _init_direction(backward_key, num_nodes, num_labels, hidden_size),
      layers.init_affine(unify_key, 2 * hidden_size, hidden_size),
      layers.init_affine(out_key, hidden_size, code_size),
    )

  def apply(params: Params, graph: Graph) -> jax.Array:
    nodes, adjacency = jnp.asarray(graph.nodes), jnp.asarray(graph.adjacency)
    if nodes.shape[-2:] != (num_nodes, num_labels):
      raise ValueError(
        f"nodes must have the shape [..., {num_nodes}, {num_labels}], got "
        f"{nodes.shape}."
      )
    edges = jnp.broadcast_to(
      adjacency.astype(nodes.dtype), (*nodes.shape[:-2], num_nodes, num_nodes)
    )
    # Row v of `edges` has the sources of node v.
    edges = jnp.triu(edges, 1).swapaxes(-1, -2)
    order = jnp.arange(num_nodes)
    ends = [
      _walk(params.forward, nodes, edges, order),
      _walk(params.backward, nodes, edges.swapaxes(-1, -2), order[::-1]),
    ]
    unified = layers.affine(params.unify, jnp.concatenate(ends, axis=-1))
    return layers.affine(params.out, unified)

  return Network(init, apply)


def _init_direction(
  key: Key, num_nodes: int, num_labels: int, size: int
) -> Direction:
  gate_key, mapper_key, inputs_key, states_key = jax.random.split(key, 4)
  # PyTorch draws all of a recurrent unit by the size of its state.
  bound = size**-0.5

  def unit(unit_key: Key, inputs: int) -> Affine:
    draws = jax.random.uniform(
      unit_key, (inputs + 1, 3 * size), minval=-bound, maxval=bound
    )
    return Affine(draws[:-1], draws[-1])

  return Direction(
    gate=layers.init_affine(gate_key, size + num_nodes, size),
    mapper=layers.init_affine(mapper_key, size + num_nodes, size).weight,
    inputs=unit(inputs_key, num_labels),
    states=unit(states_key, size),
  )


def _walk(
  params: Direction, nodes: jax.Array, sources: jax.Array, order: jax.Array
) -> jax.Array:
  """State of the last node of `order`, `f32[..., H]`.

  Args:
    params: of this way.
    nodes: `f32[..., N, K]`.
    sources: `f32[..., N, N]`, row v has the nodes whose messages v reads.
    order: `int32[N]`.
  """
  size = params.states.weight.shape[0]
  leading = (1,) * (nodes.ndim - 2)

  def step(
    carry: tuple[jax.Array, jax.Array], node: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    messages, _ = carry
    message = jnp.einsum(
      "...u,...uh->...h", jnp.take(sources, node, axis=-2), messages
    )
    label = jnp.take(nodes, node, axis=-2)
    state = layers.gru(params.inputs, params.states, label, message)
    gate, mapped = (
      state @ weight[:size] + weight[size + node].reshape(*leading, -1)
      for weight in (params.gate.weight, params.mapper)
    )
    gate = gate + params.gate.bias.reshape(*leading, -1)
    sent = jax.nn.sigmoid(gate) * mapped
    return (messages.at[..., node, :].set(sent), state), None

  shape = (*nodes.shape[:-1], size)
  dtype = jnp.result_type(nodes, params.mapper)
  start = jnp.zeros(shape, dtype), jnp.zeros((*shape[:-2], size), dtype)
  return jax.lax.scan(step, start, order)[0][1]
