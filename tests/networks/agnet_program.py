"""An independent NumPy version of AG-Net's generator, one graph at a time.

It reads the published names of weights, so it is the oracle of the importer
too, and keeps nodes and edges in lists, as the published program does.
"""

import numpy as np

from nagjax.convert import agnet

PREFIX = "Decoder.generator."


def state_dict(seed, num_labels, num_rounds):
  """Random weights under the published names, with biases and edges mixed."""
  rng = np.random.default_rng(seed)
  shapes = {}

  def linear(name, outputs, inputs):
    shapes[f"{name}.weight"] = (outputs, inputs)
    shapes[f"{name}.bias"] = (outputs,)

  for direction in ("forward", "backward"):
    for i in range(num_rounds):
      name = f"prop.NodeEmb.GNNLayers_{direction}.{i}"
      linear(f"{name}.msg", 32, 32)
      shapes[f"{name}.upd.weight_ih"] = (48, 32)
      shapes[f"{name}.upd.weight_hh"] = (48, 16)
      shapes[f"{name}.upd.bias_ih"] = (48,)
      shapes[f"{name}.upd.bias_hh"] = (48,)
  for name in ("GraphEmb", "GraphEmb_init"):
    linear(f"prop.{name}.f_m", 32, 32)
    linear(f"prop.{name}.g_m", 1, 32)
  linear("nodeAdd.f_an", 32, 64)
  linear("nodeAdd.f_an_2", num_labels, 32)
  linear("nodeInit.NodeInits.lin_layers.Linear0", 32, num_labels)
  linear("nodeInit.NodeInits.lin_layers.Linear1", 32, 32)
  linear("nodeInit.f_init", 64, 96)
  linear("nodeInit.f_init_2", 32, 64)
  linear("nodeInit.f_start", 64, 64)
  linear("nodeInit.f_start_2", 32, 64)
  linear("nodes.f_s_1", 64, 128)
  linear("nodes.f_s_2", 1, 64)
  state = {
    name: rng.normal(size=shape, scale=0.6 * shape[-1] ** -0.5)
    for name, shape in shapes.items()
  }
  # Edges of both kinds must occur, so what differs between sources must count.
  state["nodes.f_s_1.weight"][:, :32] *= 8
  state["nodes.f_s_2.weight"] *= 8
  # Those that have 32 bits too, for programs of any precision.
  return {
    PREFIX + name: value.astype(np.float32).astype(np.float64)
    for name, value in state.items()
  }


def params(state):
  """The imported weights."""
  return agnet.generator_params(state)


def generate(state, z, num_nodes, num_inputs):
  """Node scores, edge scores, and how many edges passed messages."""
  weights = {k.removeprefix(PREFIX): v for k, v in state.items()}

  def lin(name, x):
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

  def two(first, second, x):
    return lin(second, np.maximum(lin(first, x), 0))

  def types(x):
    name = "nodeInit.NodeInits.lin_layers.Linear"
    return two(f"{name}0", f"{name}1", x)

  def sum_up(name, nodes, gated):
    if not gated:
      return lin(f"prop.{name}.f_m", nodes[-1])
    return sum(
      _sigmoid(lin(f"prop.{name}.g_m", h)) * lin(f"prop.{name}.f_m", h)
      for h in nodes
    )

  num_labels = weights["nodeAdd.f_an_2.bias"].shape[0]
  first = np.eye(num_labels)[1]
  start = two("nodeInit.f_start", "nodeInit.f_start_2", _cat(types(first), z))
  nodes, edges = [start], []
  scores, edge_scores = [20 * first], []
  for i in range(num_nodes - 1):
    passes = i >= num_inputs
    if passes:
      nodes = _messages(weights, nodes, edges)
    summary = sum_up("GraphEmb", nodes, passes)
    summary_init = sum_up("GraphEmb_init", nodes, passes)
    score = two("nodeAdd.f_an", "nodeAdd.f_an_2", _cat(summary, z))
    new = two(
      "nodeInit.f_init",
      "nodeInit.f_init_2",
      _cat(types(score), summary_init, z),
    )
    if passes:
      links = [
        two("nodes.f_s_1", "nodes.f_s_2", _cat(old, new, summary, z))[0]
        for old in nodes
      ]
    elif num_inputs == 1:
      links = [20.0]
    else:
      links = [[-1.0], [1.0, -1.0]][i]
    scores.append(score)
    edge_scores += links
    edges += [(j, i + 1) for j, link in enumerate(links) if link > 0.5]
    nodes.append(new)
  return np.stack(scores), np.asarray(edge_scores), len(edges)


def _messages(weights, nodes, edges):
  rounds = max(int(k.split(".")[3]) for k in weights if "GNNLayers" in k) + 1
  halves = []
  for direction, part in (("forward", slice(16)), ("backward", slice(16, 32))):
    states = [node[part] for node in nodes]
    for i in range(rounds):
      name = f"prop.NodeEmb.GNNLayers_{direction}.{i}"
      inbox = [np.zeros(32) for _ in states]
      for source, target in edges:
        if direction == "backward":
          source, target = target, source
        both = _cat(states[source], states[target])
        inbox[target] = inbox[target] + (
          weights[f"{name}.msg.weight"] @ both + weights[f"{name}.msg.bias"]
        )
      states = [
        _gru(weights, f"{name}.upd", x, h)
        for x, h in zip(inbox, states, strict=True)
      ]
    halves.append(states)
  return [_cat(*pair) for pair in zip(*halves, strict=True)]


def _gru(weights, name, x, h):
  gates_x = weights[f"{name}.weight_ih"] @ x + weights[f"{name}.bias_ih"]
  gates_h = weights[f"{name}.weight_hh"] @ h + weights[f"{name}.bias_hh"]
  reset = _sigmoid(gates_x[:16] + gates_h[:16])
  update = _sigmoid(gates_x[16:32] + gates_h[16:32])
  new = np.tanh(gates_x[32:] + reset * gates_h[32:])
  return (1 - update) * new + update * h


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _cat(*arrays):
  return np.concatenate(arrays)
