"""An independent NumPy version of DiffusionNAG's networks, node by node.

It reads weights by their published names, so it is the oracle of the importers
too. Everything is a loop over single architectures, nodes and heads, as the
facts sheet describes it, in float64.
"""

import math

import numpy as np

NUM_SCORE = {7: 3_989_575, 9: 3_992_777}
"""Numbers in the published score networks, by columns of a node's row."""
UNUSED = 512 * 56 + 56
"""Numbers in `set_fc`, which the program keeps and never reads."""

ADJACENCY = np.zeros((8, 8))
"""Of NAS-Bench-201, as published."""
for _source, _target in (
  *((0, 1), (0, 2), (0, 3), (1, 4), (1, 5)),
  *((2, 6), (3, 7), (4, 6), (5, 7), (6, 7)),
):
  ADJACENCY[_source, _target] = 1
CHAIN = np.eye(20, k=1)
"""Of MobileNetV3."""
STAGES = tuple(range(4)) * 5
"""Positions of MobileNetV3's nodes."""


def closure(adjacency):
  """1 where some walk leads from i to j."""
  reach = adjacency != 0
  for k in range(len(reach)):
    for i in range(len(reach)):
      for j in range(len(reach)):
        reach[i, j] |= reach[i, k] and reach[k, j]
  return reach.astype(np.float64)


def score_state(seed, num_labels, num_layers=12, width=64, feed_forward=128):
  """Random weights of a score network."""
  shapes = _encoder_shapes(num_labels, num_layers, width, feed_forward)
  return _draw(seed, shapes)


def gcn_state(seed, num_labels=7, head_width=32):
  """Random weights of NAS-Bench-201's predictor, with its set encoder."""
  shapes = {}
  for i in range(4):
    for name in ("weight1", "weight2"):
      shapes[f"gcn.{i}.{name}"] = (144 if i else num_labels, 144)
  shapes["fc1.weight"] = (128, 144)
  _linear(shapes, "timeEmb1", 576, 144)
  _linear(shapes, "timeEmb2", 144, 576)
  _add_set_and_head(shapes, 128, head_width)
  return _draw(seed, shapes)


def transformer_state(seed, num_nodes=20, num_labels=9):
  """Random weights of MobileNetV3's predictor, with its set encoder."""
  shapes = _encoder_shapes(num_labels, 2, 64, 32)
  size = num_nodes * num_labels
  _linear(shapes, "regeress.linears.0", 2 * size, size)
  _linear(shapes, "regeress.linears.1", 2 * size, 2 * size)
  _add_set_and_head(shapes, 2 * size, 512)
  return _draw(seed, shapes)


def score(state, x, condition, mask, positions, num_heads):
  """Rows of one architecture, `[n, F]`."""
  width = state["opEmb.fc.bias"].shape[0]
  code = _time_code(state, condition, width)
  rows = []
  for node, row in enumerate(x):
    h = math.sqrt(width) * _lin(state, "opEmb.fc", row) + code
    if positions is not None:
      for i in range(width // 2):
        angle = positions[node] / 10000 ** (2 * i / width)
        h[2 * i] += math.sin(angle)
        h[2 * i + 1] += math.cos(angle)
    rows.append(h)
  kept = [[] for _ in rows]
  start = "graph_encoder.encoder_f"
  for i in range(_count(state, f"{start}.norms")):
    name = f"{start}.layers.{i}"
    rows = _block(state, name, rows, mask, num_heads)
    for outputs, h in zip(kept, rows, strict=True):
      outputs.append(_norm(state, f"{start}.norms.{i}", h))
  return np.stack([_head(state, np.concatenate(h)) for h in kept])


def gcn(state, x, condition, adjacency, code):
  """Prediction for one architecture by graph convolutions."""
  num = len(x)
  along = _rows_to_one(adjacency + np.eye(num))
  sides = (_rows_to_one(along), _rows_to_one(along.T))
  rows = list(x)
  for layer in range(4):
    new = []
    for i in range(num):
      halves = []
      for side, name in zip(sides, ("weight1", "weight2"), strict=True):
        weight = state[f"gcn.{layer}.{name}"]
        mixed = sum(side[i, j] * (rows[j] @ weight) for j in range(num))
        halves.append(np.maximum(mixed, 0))
      new.append((halves[0] + halves[1]) / 2)
    rows = new
  mean = sum(rows) / num + _time_code(state, condition, 144)
  return _predict(state, state["fc1.weight"] @ mean, code)


def transformer(state, x, condition, adjacency, code):
  """Prediction for one architecture by the transformer."""
  rows = score(state, x, condition, adjacency, None, num_heads=2)
  h = _elu(_lin(state, "regeress.linears.0", rows.reshape(-1)))
  return _predict(state, _lin(state, "regeress.linears.1", h), code)


def set_code(state, images):
  """Code of a data set from `[C, S, 512]`."""
  classes = [_set_pool(state, "intra_setpool", list(one)) for one in images]
  return _set_pool(state, "inter_setpool", classes)


def _block(state, name, rows, mask, num_heads):
  normed = [_norm(state, f"{name}.self_attn.norm", h) for h in rows]
  queries, keys, values = (
    [_lin(state, f"{name}.self_attn.attn.linears.{i}", h) for h in normed]
    for i in range(3)
  )
  size = len(rows[0]) // num_heads
  result = []
  for i, h in enumerate(rows):
    heads = []
    for start in range(0, len(h), size):
      part = slice(start, start + size)
      scores = [
        queries[i][part] @ keys[j][part] / math.sqrt(size)
        if mask[i, j]
        else -1e9
        for j in range(len(rows))
      ]
      heads.append(_weighted(scores, [v[part] for v in values]))
    name_out = f"{name}.self_attn.attn.linears.3"
    h = h + _lin(state, name_out, np.concatenate(heads))
    inner = _norm(state, f"{name}.feed_forward.norm", h)
    inner = _lin(state, f"{name}.feed_forward.feed_forward.w_1", inner)
    inner = np.maximum(inner, 0)
    result.append(
      h + _lin(state, f"{name}.feed_forward.feed_forward.w_2", inner)
    )
  return result


def _head(state, h):
  for i in range(2):
    h = _elu(_lin(state, f"final.linears.{i}", h))
  return _lin(state, "final.linears.2", h)


def _time_code(state, condition, width):
  half = width // 2
  rates = [math.exp(-math.log(10000) * i / (half - 1)) for i in range(half)]
  code = [math.sin(condition * rate) for rate in rates]
  code += [math.cos(condition * rate) for rate in rates]
  h = _lin(state, "timeEmb1", np.asarray(code))
  return _lin(state, "timeEmb2", h / (1 + np.exp(-h)))


def _predict(state, graph, code):
  h = np.concatenate([code, graph])
  h = np.tanh(_lin(state, "pred_fc.0", h))
  return _lin(state, "pred_fc.2", h)[0]


def _set_pool(state, name, elements):
  for i in range(2):
    elements = _read(state, f"{name}.enc.{i}.mab", elements, elements)
  seed = state[f"{name}.dec.0.S"][0, 0]
  (pooled,) = _read(state, f"{name}.dec.0.mab", [seed], elements)
  return _lin(state, f"{name}.dec.1", pooled)


def _read(state, name, elements, others):
  keys = [_lin(state, f"{name}.fc_k", other) for other in others]
  values = [_lin(state, f"{name}.fc_v", other) for other in others]
  result = []
  for element in elements:
    query = _lin(state, f"{name}.fc_q", element)
    heads = []
    for start in range(0, 56, 14):
      part = slice(start, start + 14)
      scores = [query[part] @ key[part] / math.sqrt(56) for key in keys]
      heads.append(query[part] + _weighted(scores, [v[part] for v in values]))
    h = np.concatenate(heads)
    result.append(h + np.maximum(_lin(state, f"{name}.fc_o", h), 0))
  return result


def _weighted(scores, values):
  shares = np.exp(np.asarray(scores) - max(scores))
  shares = shares / shares.sum()
  return sum(share * value for share, value in zip(shares, values, strict=True))


def _norm(state, name, h):
  h = (h - h.mean()) / np.sqrt(h.var() + 1e-5)
  return h * state[f"{name}.weight"] + state[f"{name}.bias"]


def _lin(state, name, x):
  return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def _elu(x):
  return np.where(x > 0, x, np.expm1(x))


def _rows_to_one(matrix):
  return matrix / matrix.sum(1, keepdims=True)


def _count(state, name):
  return 1 + max(
    int(key.removeprefix(f"{name}.").split(".")[0])
    for key in state
    if key.startswith(f"{name}.")
  )


def _encoder_shapes(num_labels, num_layers, width, feed_forward):
  shapes = {}
  _linear(shapes, "opEmb.fc", width, num_labels)
  _linear(shapes, "timeEmb1", 4 * width, width)
  _linear(shapes, "timeEmb2", width, 4 * width)
  start = "graph_encoder.encoder_f"
  for i in range(num_layers):
    name = f"{start}.layers.{i}"
    _linear(shapes, f"{name}.self_attn.norm", width)
    for j in range(4):
      _linear(shapes, f"{name}.self_attn.attn.linears.{j}", width, width)
    _linear(shapes, f"{name}.feed_forward.norm", width)
    feed = f"{name}.feed_forward.feed_forward"
    _linear(shapes, f"{feed}.w_1", feed_forward, width)
    _linear(shapes, f"{feed}.w_2", width, feed_forward)
  for i in range(num_layers):
    _linear(shapes, f"{start}.norms.{i}", width)
  wide = num_layers * width
  _linear(shapes, "final.linears.0", 2 * wide, wide)
  _linear(shapes, "final.linears.1", 2 * wide, 2 * wide)
  _linear(shapes, "final.linears.2", num_labels, 2 * wide)
  return shapes


def _add_set_and_head(shapes, graph_size, head_width):
  for name, inputs in (("intra_setpool", 512), ("inter_setpool", 56)):
    for part, size in (("enc.0", inputs), ("enc.1", 56)):
      _add_reader(shapes, f"{name}.{part}.mab", size)
    shapes[f"{name}.dec.0.S"] = (1, 1, 56)
    _add_reader(shapes, f"{name}.dec.0.mab", 56)
    _linear(shapes, f"{name}.dec.1", 56, 56)
  _linear(shapes, "set_fc.0", 56, 512)
  _linear(shapes, "pred_fc.0", head_width, 56 + graph_size)
  _linear(shapes, "pred_fc.2", 1, head_width)


def _add_reader(shapes, name, inputs):
  for letter in "qkv":
    _linear(shapes, f"{name}.fc_{letter}", 56, inputs)
  _linear(shapes, f"{name}.fc_o", 56, 56)


def _linear(shapes, name, outputs, *inputs):
  shapes[f"{name}.weight"] = (outputs, *inputs)
  shapes[f"{name}.bias"] = (outputs,)


def _draw(seed, shapes):
  """Numbers that 32 bits hold too, for programs of any precision."""
  rng = np.random.default_rng(seed)
  state = {}
  for name, shape in shapes.items():
    is_norm = name.endswith("weight") and len(shape) == 1
    scale = 0.3 if len(shape) == 1 else shape[-1] ** -0.5
    value = is_norm + rng.normal(size=shape, scale=scale)
    state[name] = value.astype(np.float32).astype(np.float64)
  return state
