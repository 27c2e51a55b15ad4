"""Graphs as AG-Net writes them, for the tests of all layouts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.spaces import nasbench_nlp
from nagjax.spaces import transnas_macro
from nagjax.spaces import transnas_micro

SPACES = {
  "nasbench101": nasbench101.nasbench101,
  "nasbench201": nasbench201.nasbench201,
  "darts": darts.darts,
  "nasbench_nlp": nasbench_nlp.nasbench_nlp,
  "transnas_macro": transnas_macro.transnas_macro,
  "transnas_micro": transnas_micro.transnas_micro,
}
# Node types in the order of AG-Net's programs.
LABELS = {
  "nasbench101": "output input conv1x1-bn-relu conv3x3-bn-relu maxpool3x3",
  "nasbench201": (
    "output input nor_conv_1x1 nor_conv_3x3 avg_pool_3x3 skip_connect none"
  ),
  "darts": (
    "output input input_1 identity max_pool_3x3 avg_pool_3x3 skip_connect "
    "sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5"
  ),
  "nasbench_nlp": (
    "output input activation_sigm activation_tanh activation_leaky_relu "
    "elementwise_sum elementwise_prod linear blend"
  ),
  # Ours, as AG-Net has no such spaces.
  "transnas_macro": "output input normal channels resolution both",
  "transnas_micro": "output input nor_conv_1x1 nor_conv_3x3 skip_connect none",
}


def pairs_of(num):
  """Possible edges in the order of the layouts."""
  return [(s, t) for t in range(num) for s in range(t)]


@functools.cache
def compiled(name):
  """Encoder, decoder and keys of a space."""
  space = SPACES[name]()
  return (
    jax.jit(space.layout.encode),
    jax.jit(space.layout.decode),
    jax.jit(space.keys),
  )


@functools.cache
def samples(name):
  """Sampled architectures; all of small spaces."""
  space = SPACES[name]()
  if space.enumerable:
    return jnp.asarray(space.all_architectures())
  if name == "transnas_macro":
    return jnp.asarray(transnas_macro.all_skeletons())
  num = {"nasbench101": 3000, "darts": 2000, "nasbench_nlp": 400}[name]
  return jax.jit(space.sample, static_argnums=1)(jax.random.key(0), num)


@functools.cache
def disturbed(name, seed=0):
  """Written samples with a few other labels and edges, and random scores."""
  rng = np.random.default_rng(seed)
  written = jax.tree.map(np.array, compiled(name)[0](samples(name)[:2000]))
  labels, edges = written
  num_labels = len(SPACES[name]().layout.labels)
  other = rng.integers(0, num_labels, labels.shape)
  labels = np.where(rng.random(labels.shape) < 0.02, other, labels)
  edges = edges ^ (
    rng.random(edges.shape) < 0.2 * rng.random((len(edges), 1, 1))
  )
  scores = rng.normal(size=edges.shape).astype(np.float32)
  return base.LabeledGraphs(labels.astype(np.int32), edges), scores


def graphs_of(name, *graphs):
  """Written graphs `(label names, edges)`, padded to the layout's size."""
  layout = SPACES[name]().layout
  labels = np.zeros((len(graphs), layout.num_nodes), np.int32)
  edges = np.zeros((len(graphs), layout.num_edges), bool)
  for row, (names, pairs) in enumerate(graphs):
    labels[row, : len(names)] = [layout.labels.index(n) for n in names]
    for s, t in pairs:
      edges[row, s + t * (t - 1) // 2] = True
  return base.LabeledGraphs(jnp.asarray(labels), jnp.asarray(edges))


def names_and_pairs(name, written, graph=0):
  """One written graph as label names and a set of edges."""
  layout = SPACES[name]().layout
  labels = [layout.labels[i] for i in written.labels[graph].tolist()]
  on = zip(pairs_of(layout.num_nodes), written.edges[graph], strict=True)
  return labels, {pair for pair, is_on in on if is_on}


def decode(name, *graphs, scores=None):
  """Decodes graphs given as `(label names, edges)`; scores by edge."""
  written = graphs_of(name, *graphs)
  values = np.zeros(written.edges.shape, np.float32)
  for (graph, s, t), score in (scores or {}).items():
    values[graph, s + t * (t - 1) // 2] = score
  arch, valid = compiled(name)[1](written, jnp.asarray(values))
  return np.asarray(arch), bool(valid)
