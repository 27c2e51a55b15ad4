"""The graph generator of AG-Net: a latent vector becomes a labeled graph.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section 3,
after the decoder of Lukasik et al., "Smooth Variational Graph Embeddings for
Efficient Neural Architecture Search", IJCNN 2021.

Nodes are added one after another. Logits of a node's type and of its edges from
the nodes before it come from a readout of a graph network over what is there,
and from the latent vector; the logits as they are, not sampled types, make the
embedding of the new node, so everything is differentiable.

Differs from the program: a graph depends on its own latent vector only, while
the program mixes the graphs of a batch where it scores edges.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nagjax.networks import layers
from nagjax.networks.base import Network
from nagjax.networks.layers import Affine
from nagjax.types import Key

LATENT_SIZE = 32
"""Size of the latent vector, of a graph's readout and of a node's embedding."""
CERTAIN = 20.0
"""Logit of what is fixed: the type of the first node and its edge."""
IS_EDGE = 0.5
"""Logits above it are edges for the graph network, though not yet chosen."""

_HALF = LATENT_SIZE // 2
_HIDDEN = 2 * LATENT_SIZE
_INPUT = 1


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_rounds: rounds of message passing; the paper has 2, and 4 for DARTS.
    num_inputs: node types that are inputs. With two, the edges of the first
      three nodes are fixed: the second node has none, the third one from the
      first.
  """

  num_rounds: int = 2
  num_inputs: int = 1

  def __post_init__(self) -> None:
    if self.num_rounds < 1 or self.num_inputs not in (1, 2):
      raise ValueError(
        "num_rounds must be at least 1 and num_inputs 1 or 2, got "
        f"{self.num_rounds} and {self.num_inputs}."
      )


class Round(NamedTuple):
  """One round of messages in one direction.

  Attributes:
    message: of a message, from the states of its source and its target.
    inputs: gates (reset, update, new) from the summed messages.
    states: the same from the state of the node.
  """

  message: Affine
  inputs: Affine
  states: Affine


class Readout(NamedTuple):
  """A gated sum over nodes.

  Attributes:
    values: of a node's state.
    gate: what of them counts, between 0 and 1.
  """

  values: Affine
  gate: Affine


class Params(NamedTuple):
  """Of the generator; `T` node types.

  Attributes:
    forward, backward: rounds along and against the edges.
    readout, start_readout: of the graph, for scores and for new embeddings.
    types: two layers that read a node's type, or its scores.
    first: two layers that make the embedding of the first node.
    later: of every later node.
    node_scores: two layers that score types.
    edge_scores: two layers that score an edge.
  """

  forward: tuple[Round, ...]
  backward: tuple[Round, ...]
  readout: Readout
  start_readout: Readout
  types: tuple[Affine, Affine]
  first: tuple[Affine, Affine]
  later: tuple[Affine, Affine]
  node_scores: tuple[Affine, Affine]
  edge_scores: tuple[Affine, Affine]


class GraphLogits(NamedTuple):
  """A graph as its generator sees it, before any choice.

  Attributes:
    nodes: `f32[n, T]` logits of the node types.
    edges: `f32[n (n - 1) / 2]` logits of the edges, numbered by target: (0, 1),
      (0, 2), (1, 2), (0, 3), ...
  """

  nodes: jax.Array
  edges: jax.Array


LatentApply = Callable[[Params, jax.Array], GraphLogits]
"""`(params, z f32[32]) -> GraphLogits`, of one vector; batches by `vmap`."""
GeneratorNetwork = Network[LatentApply]


def generator(
  num_nodes: int, num_labels: int, config: Config | None = None
) -> GeneratorNetwork:
  """Builds the generator.

  Args:
    num_nodes: `n`.
    num_labels: `T`; type 0 is the output, type 1 the input.
    config: see `Config`; that of one input if not given.

  Raises:
    ValueError: if there is no room for inputs and output.
  """
  config = config or Config()
  if num_nodes < config.num_inputs + 2 or num_labels < config.num_inputs + 1:
    raise ValueError(
      f"A graph needs {config.num_inputs} inputs, an operation and an output, "
      f"got {num_nodes} nodes of {num_labels} types."
    )
  return Network(
    functools.partial(_init, num_labels=num_labels, config=config),
    # Logits are compared with published ones: no shortened floats on a GPU.
    jax.default_matmul_precision("highest")(
      functools.partial(_apply, num_nodes=num_nodes, config=config)
    ),
  )


def reconstruction_loss(
  logits: GraphLogits, labels: jax.Array, edges: jax.Array
) -> jax.Array:
  """How far logits are from a graph, `f32[...]` in nats; section 3.

  Mean cross entropy of all nodes plus mean binary cross entropy of all edges,
  padding and what is fixed included, as published.

  Args:
    logits: of a graph, any leading axes.
    labels: `int32[..., n]`.
    edges: `bool[..., n (n - 1) / 2]`.
  """
  nodes = optax.softmax_cross_entropy_with_integer_labels(logits.nodes, labels)
  links = optax.sigmoid_binary_cross_entropy(
    logits.edges, edges.astype(jnp.float32)
  )
  return jnp.mean(nodes, axis=-1) + jnp.mean(links, axis=-1)


def _init(key: Key, *, num_labels: int, config: Config) -> Params:
  """PyTorch's default initialization."""
  keys = iter(jax.random.split(key, 6 * config.num_rounds + 14))
  wide = LATENT_SIZE

  def affine(inputs: int, outputs: int, bound: float | None = None) -> Affine:
    weight_key, bias_key = jax.random.split(next(keys))
    bound = inputs**-0.5 if bound is None else bound
    draw = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
    return Affine(
      draw(weight_key, (inputs, outputs)), draw(bias_key, (outputs,))
    )

  def one_round() -> Round:
    return Round(
      message=affine(2 * _HALF, wide),
      inputs=affine(wide, 3 * _HALF, _HALF**-0.5),
      states=affine(_HALF, 3 * _HALF, _HALF**-0.5),
    )

  return Params(
    forward=tuple(one_round() for _ in range(config.num_rounds)),
    backward=tuple(one_round() for _ in range(config.num_rounds)),
    readout=Readout(affine(wide, wide), affine(wide, 1)),
    start_readout=Readout(affine(wide, wide), affine(wide, 1)),
    types=(affine(num_labels, wide), affine(wide, wide)),
    first=(affine(2 * wide, _HIDDEN), affine(_HIDDEN, wide)),
    later=(affine(3 * wide, _HIDDEN), affine(_HIDDEN, wide)),
    node_scores=(affine(2 * wide, wide), affine(wide, num_labels)),
    edge_scores=(affine(4 * wide, _HIDDEN), affine(_HIDDEN, 1)),
  )


class _Partial(NamedTuple):
  """A graph that is being written.

  Attributes:
    states: `f32[n, 32]` embeddings; rows of missing nodes are arbitrary.
    is_edge: `f32[n, n]` by source and target, for the messages.
  """

  states: jax.Array
  is_edge: jax.Array


def _apply(
  params: Params, z: jax.Array, *, num_nodes: int, config: Config
) -> GraphLogits:
  num_labels = params.types[0].weight.shape[0]
  first = jax.nn.one_hot(_INPUT, num_labels)
  state = _two_layers(
    params.first, jnp.concatenate([_two_layers(params.types, first), z])
  )
  states = jnp.zeros((num_nodes, LATENT_SIZE)).at[0].set(state)
  graph = _Partial(states, jnp.zeros((num_nodes, num_nodes)))

  def add(
    graph: _Partial,
    last: jax.Array | int,
    readouts: Sequence[jax.Array],
    fixed: np.ndarray | None,
  ) -> tuple[_Partial, tuple[jax.Array, jax.Array]]:
    """Writes the node after `last`; gives its scores and those of its edges."""
    summary, start = readouts
    node = _two_layers(params.node_scores, jnp.concatenate([summary, z]))
    kind = _two_layers(params.types, node)
    state = _two_layers(params.later, jnp.concatenate([kind, start, z]))
    if fixed is None:
      edges = _edge_scores(params, graph.states, state, summary, z)
    else:
      edges = jnp.asarray(fixed)
    exists = jnp.arange(num_nodes) <= last
    is_edge = ((edges > IS_EDGE) & exists).astype(jnp.float32)
    graph = _Partial(
      graph.states.at[last + 1].set(state),
      graph.is_edge.at[:, last + 1].set(is_edge),
    )
    return graph, (node, edges)

  rounds = [
    jax.tree.map(lambda *pair: jnp.stack(pair), *pair)
    for pair in zip(params.forward, params.backward, strict=True)
  ]

  def later(
    graph: _Partial, last: jax.Array
  ) -> tuple[_Partial, tuple[jax.Array, jax.Array]]:
    graph = graph._replace(states=_pass_messages(rounds, graph))
    exists = (jnp.arange(num_nodes) <= last).astype(jnp.float32)
    readouts = [
      _gated_sum(readout, graph.states, exists)
      for readout in (params.readout, params.start_readout)
    ]
    return add(graph, last, readouts, None)

  rows = []
  # A graph of one node, or of a second input, has no messages and no gates.
  for last in range(config.num_inputs):
    readouts = [
      layers.affine(readout.values, graph.states[last])
      for readout in (params.readout, params.start_readout)
    ]
    graph, row = add(graph, last, readouts, _fixed(last, num_nodes, config))
    rows.append(row)
  lasts = jnp.arange(config.num_inputs, num_nodes - 1)
  _, (nodes, edges) = jax.lax.scan(later, graph, lasts)
  # Fewer rows than nodes: the first node has no edges into it.
  starts = [jnp.stack(column) for column in zip(*rows, strict=True)]
  nodes = jnp.concatenate([CERTAIN * first[None], starts[0], nodes])
  edges = jnp.concatenate([starts[1], edges])
  target, source = np.tril_indices(num_nodes, -1)
  return GraphLogits(nodes, edges[target - 1, source])


def _fixed(last: int, num_nodes: int, config: Config) -> np.ndarray:
  """The constant scores of edges into the node after `last`, `f32[n]`."""
  scores = np.zeros(num_nodes, np.float32)
  if config.num_inputs == 1:
    scores[0] = CERTAIN
  elif last == 0:
    scores[0] = -1.0
  else:
    scores[:2] = 1.0, -1.0
  return scores


def _pass_messages(rounds: Sequence[Round], graph: _Partial) -> jax.Array:
  """All rounds in both directions, `f32[n, 32]`.

  Args:
    rounds: leading axis 2, along and against the edges: both directions are
      one computation, which halves what is compiled.
    graph: so far.
  """
  states = jnp.stack(jnp.split(graph.states, 2, axis=-1))
  into = jnp.stack([graph.is_edge.T, graph.is_edge])
  for weights in rounds:
    states = jax.vmap(_one_round)(weights, states, into)
  return jnp.concatenate([states[0], states[1]], axis=-1)


def _one_round(weights: Round, state: jax.Array, into: jax.Array) -> jax.Array:
  """Sums messages and updates states by a gated recurrent unit.

  Args:
    weights: of the round.
    state: `f32[n, 16]`.
    into: `f32[n, n]`, 1 where the row's node gets a message from the column's.
  """
  # A message is linear in both ends, so the sum over sources is a product.
  source, target = jnp.split(weights.message.weight, 2)
  degree = jnp.sum(into, axis=-1, keepdims=True)
  own = state @ target + weights.message.bias[None]
  messages = into @ (state @ source) + degree * own
  return layers.gru(weights.inputs, weights.states, messages, state)


def _gated_sum(
  readout: Readout, states: jax.Array, exists: jax.Array
) -> jax.Array:
  gate = jax.nn.sigmoid(layers.affine(readout.gate, states)) * exists[:, None]
  return jnp.sum(gate * layers.affine(readout.values, states), axis=0)


def _edge_scores(
  params: Params,
  states: jax.Array,
  state: jax.Array,
  summary: jax.Array,
  z: jax.Array,
) -> jax.Array:
  """GraphLogits of edges from every node to the new one, `f32[n]`."""
  hidden, last = params.edge_scores
  # What all sources share is multiplied once.
  shared = jnp.concatenate([state, summary, z])
  of_source, of_rest = (
    hidden.weight[:LATENT_SIZE],
    hidden.weight[LATENT_SIZE:],
  )
  inner = states @ of_source + (shared @ of_rest + hidden.bias)[None]
  return layers.affine(last, jax.nn.relu(inner))[:, 0]


def _two_layers(stack: tuple[Affine, Affine], x: jax.Array) -> jax.Array:
  return layers.mlp(stack, x, jax.nn.relu)
