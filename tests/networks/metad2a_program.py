"""An independent NumPy version of the predictor of clean architectures.

It reads weights by their published names, so it is the oracle of the importer
too. Everything is a loop over single architectures, nodes and edges, as the
facts sheet describes it, in float64.
"""

import numpy as np

from tests.networks import diffusionnag_program as program

UNUSED = program.UNUSED + 512 * 56 + 56 + 1024 * 512 + 512
"""Numbers in `set_fc`, `fc2` and `hv_unify`, which nothing reads."""
NUM_PARAMS = 4_020_361
"""Numbers in the published weights of NAS-Bench-201."""

EDGES = (
  *((0, 1), (1, 2), (1, 3), (1, 5), (2, 3), (2, 6)),
  *((3, 4), (3, 6), (4, 5), (5, 6), (6, 7)),
)
"""Of every NAS-Bench-201 cell, as published."""


def adjacency(edges, num_nodes):
  """`[N, N]`, 1 for an edge i -> j."""
  matrix = np.zeros((num_nodes, num_nodes))
  for source, target in edges:
    matrix[source, target] = 1
  return matrix


def state(
  seed, num_nodes=8, num_labels=7, *, images=512, size=512, code=56, heads=True
):
  """Random weights by their published names.

  `heads`: with the three layers that nothing reads.
  """
  shapes = {}
  for way in ("forward", "backward"):
    shapes[f"grue_{way}.weight_ih"] = (3 * size, num_labels)
    shapes[f"grue_{way}.weight_hh"] = (3 * size, size)
    shapes[f"grue_{way}.bias_ih"] = (3 * size,)
    shapes[f"grue_{way}.bias_hh"] = (3 * size,)
    _linear(shapes, f"gate_{way}.0", size, size + num_nodes)
    shapes[f"mapper_{way}.0.weight"] = (size, size + num_nodes)
  _linear(shapes, "hg_unify.0", size, 2 * size)
  _linear(shapes, "fc1", code, size)
  if heads:
    _linear(shapes, "fc2", code, size)
    _linear(shapes, "hv_unify.0", size, 2 * size)
    _linear(shapes, "set_fc.0", code, images)
  for name, inputs in (("intra_setpool", images), ("inter_setpool", code)):
    for part, read in (("enc.0", inputs), ("enc.1", code), ("dec.0", code)):
      for letter in "qkv":
        _linear(shapes, f"{name}.{part}.mab.fc_{letter}", code, read)
      _linear(shapes, f"{name}.{part}.mab.fc_o", code, code)
    shapes[f"{name}.dec.0.S"] = (1, 1, code)
    _linear(shapes, f"{name}.dec.1", code, code)
  _linear(shapes, "pred_fc.0", size, 2 * code)
  _linear(shapes, "pred_fc.2", 1, size)
  rng = np.random.default_rng(seed)
  return {
    name: rng.normal(size=shape, scale=shape[-1] ** -0.5)
    .astype(np.float32)
    .astype(np.float64)
    for name, shape in shapes.items()
  }


def predict(weights, types, edges, code):
  """Prediction for one architecture of node types `int[N]`."""
  h = np.concatenate([code, graph_code(weights, types, edges)])
  h = np.tanh(_apply(weights, "pred_fc.0", h))
  return _apply(weights, "pred_fc.2", h)[0]


def graph_code(weights, types, edges):
  """Code of one architecture."""
  num = len(types)
  last = _pass(weights, "forward", types, edges, range(num))
  backward = [(target, source) for source, target in edges]
  first = _pass(weights, "backward", types, backward, reversed(range(num)))
  h = _apply(weights, "hg_unify.0", np.concatenate([last, first]))
  return _apply(weights, "fc1", h)


def _pass(weights, way, types, edges, order):
  labels = np.eye(weights[f"grue_{way}.weight_ih"].shape[1])
  places = np.eye(len(types))
  states = {}
  for node in order:
    message = np.zeros(weights[f"grue_{way}.weight_hh"].shape[1])
    for source, target in edges:
      if target == node:
        c = np.concatenate([states[source], places[source]])
        gate = _sigmoid(_apply(weights, f"gate_{way}.0", c))
        message = message + gate * (weights[f"mapper_{way}.0.weight"] @ c)
    states[node] = _gru(weights, f"grue_{way}", labels[types[node]], message)
  return states[node]


def _gru(weights, name, x, h):
  size = len(h)
  left = weights[f"{name}.weight_ih"] @ x + weights[f"{name}.bias_ih"]
  right = weights[f"{name}.weight_hh"] @ h + weights[f"{name}.bias_hh"]
  reset = _sigmoid(left[:size] + right[:size])
  update = _sigmoid(left[size : 2 * size] + right[size : 2 * size])
  new = np.tanh(left[2 * size :] + reset * right[2 * size :])
  return (1 - update) * new + update * h


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _apply(weights, name, x):
  return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def _linear(shapes, name, outputs, inputs):
  shapes[f"{name}.weight"] = (outputs, inputs)
  shapes[f"{name}.bias"] = (outputs,)
