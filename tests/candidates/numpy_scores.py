"""Training-free scores in NumPy, by their definitions and complex derivatives.

`f'(x) = Im f(x + i h) / h` is exact for tiny `h`: every number of the network
is moved in turn, and what its logits do is all that the scores need.
"""

import jax
import numpy as np
from scipy import special

from nagjax.spaces import nasbench201

STEP = 1e-30
WEIGHTS = ("weight", "shortcut", "classifier")
"""Fields of `cells.Params` that hold weights."""


class Network:
  """The network of a cell in NumPy, of real or of complex numbers."""

  def __init__(self, arch, params, labels, *, normalize=True):
    self.arch, self.labels, self.normalize = arch, labels, normalize
    paths, self.treedef = jax.tree.flatten_with_path(params)
    self.names = [jax.tree_util.keystr(path) for path, _ in paths]
    self.leaves = [np.asarray(leaf, complex) for _, leaf in paths]

  def positions(self, *fields):
    """Leaves whose path names one of the fields."""
    return [i for i, n in enumerate(self.names) if any(f in n for f in fields)]

  def logits(self, x, tamper=lambda name, y: y):
    """Logits `[B, K]`; `tamper` may change what a layer gives."""
    params = jax.tree.unflatten(self.treedef, self.leaves)
    self.open = []
    x = tamper(("stem",), conv(x, params.stem.weight))
    x = self.norm(x, params.stem.norm)
    for stage in range(len(params.cells)):
      if stage:
        block, name = params.reductions[stage - 1], ("reduction", stage - 1)
        y = tamper((*name, 0), conv(self.relu(x), block.first.weight, 2))
        y = self.relu(self.norm(y, block.first.norm))
        y = tamper((*name, 1), conv(y, block.second.weight))
        y = self.norm(y, block.second.norm)
        x = tamper((*name, 2), halve(x) @ block.shortcut) + y
      for n in range(len(params.cells[stage].weight)):
        layers = jax.tree.map(lambda leaf, n=n: leaf[n], params.cells[stage])
        x = self.cell(x, layers, tamper, ("cells", stage, n))
    x = self.relu(self.norm(x, params.last_norm)).mean(axis=(1, 2))
    return tamper(("classifier",), x @ params.classifier + params.bias)

  def cell(self, x, layers, tamper, name):
    nodes = [x, 0 * x, 0 * x, 0 * x]
    for e, op in enumerate(self.arch):
      layer = jax.tree.map(lambda leaf, e=e: leaf[e], layers)
      source, target = nasbench201.SOURCES[e], nasbench201.TARGETS[e]
      y = nodes[source]
      if op == 0:
        y = 0 * y
      elif op == 2:
        y = tamper((*name, e), self.relu(y) @ layer.weight[4])
        y = self.norm(y, layer.norm)
      elif op == 3:
        y = tamper((*name, e), conv(self.relu(y), layer.weight))
        y = self.norm(y, layer.norm)
      elif op == 4:
        box = np.ones((9, 1, 1)) * np.eye(y.shape[-1])
        y = conv(y, box) / conv(np.ones_like(y), box)
      nodes[target] = nodes[target] + y
    return nodes[3]

  def relu(self, x):
    self.open.append(x.real.reshape(len(x), -1) > 0)
    return np.where(x.real > 0, x, 0)

  def norm(self, x, norm):
    if not self.normalize:
      return x
    x = x - x.mean(axis=(0, 1, 2))
    variance = (x**2).mean(axis=(0, 1, 2))
    return x / np.sqrt(variance + 1e-5) * norm.scale + norm.shift

  def by_leaf(self, position, x):
    """Derivative of the logits by each number of a leaf, `[B, K, *shape]`.

    Weights that a cell does not use are 0, and so are their derivatives.
    """
    leaf = self.leaves[position]
    result = np.zeros((*self.logits(x).shape, leaf.size))
    for i in np.flatnonzero(leaf):
      leaf.flat[i] += 1j * STEP
      result[..., i] = self.logits(x).imag / STEP
      leaf.flat[i] = leaf.flat[i].real
    return result.reshape(*result.shape[:2], *leaf.shape)

  def loss_by(self, x, by_something):
    """Chain rule from derivatives of the logits, `[B, K, ...] -> [...]`."""
    logits = self.logits(x).real
    error = special.softmax(logits, axis=-1)
    error[np.arange(len(x)), self.labels] -= 1
    return np.tensordot(error / len(x), by_something, axes=2)


def conv(x, weight, stride=1):
  height, width = x.shape[1:3]
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  total = 0
  for tap in range(9):
    i, j = divmod(tap, 3)
    seen = padded[:, i : i + height : stride, j : j + width : stride]
    total = total + seen @ weight[tap]
  return total


def halve(x):
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def scores(arch, params, images):
  """All scores but sizes of one network, `{name: float}`."""
  x, labels = np.asarray(images.x, float), np.asarray(images.y)
  net = Network(arch, params, labels)
  net.logits(x)
  bits = np.concatenate(net.open, axis=1).astype(float)
  kernel = bits @ bits.T + (1 - bits) @ (1 - bits).T
  result = {
    "naswot": np.linalg.slogdet(kernel)[1],
    "linear_regions": len({tuple(row) for row in bits}),
    "snip": 0.0,
    "grad_norm": 0.0,
  }
  rows = []
  for position in net.positions(*WEIGHTS, "scale"):
    by_leaf = net.by_leaf(position, x)
    rows.append(by_leaf.sum(axis=1).reshape(len(x), -1))
    if "scale" in net.names[position]:
      continue
    gradient = net.loss_by(x, by_leaf)
    result["snip"] += np.abs(net.leaves[position].real * gradient).sum()
    in_cells = "cells" in net.names[position]
    layers = gradient.reshape(-1, *gradient.shape[2 if in_cells else 0 :])
    result["grad_norm"] += sum(map(np.linalg.norm, layers))
  rows = np.concatenate(rows, axis=1)
  values = np.linalg.eigvalsh(rows @ rows.T)
  result["ntk_condition"] = values[-1] / values[0]
  result["jacob_cov"] = jacob_cov_of(net, x)
  result["fisher"] = fisher_of(net, x)
  result.update(synaptic_flow_of(arch, params, x.shape[1:]))
  return result


def jacob_cov_of(net, x):
  """Every number of every image is moved."""
  columns = []
  for image in range(len(x)):
    for i in range(x[0].size):
      moved = x.astype(complex)
      moved[image].flat[i] += 1j * STEP
      columns.append(net.logits(moved).imag.sum() / STEP)
  rows = np.asarray(columns).reshape(len(x), -1)
  values = np.linalg.eigvalsh(np.corrcoef(rows))
  return -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))


def fisher_of(net, x):
  """Each channel of each image is stretched: `a dL/da`, summed over pixels."""
  params = jax.tree.unflatten(net.treedef, net.leaves)
  outputs = {}
  net.logits(x, lambda name, y: outputs.setdefault(name, y))
  total = 0.0
  for name, output in outputs.items():
    match name:
      case "cells", stage, n, edge:
        weight = params.cells[stage].weight[n, edge]
      case "reduction", stage, which:
        block = params.reductions[stage]
        weight = (block.first.weight, block.second.weight, block.shortcut)
        weight = weight[which]
      case ("stem",):
        weight = params.stem.weight
      case ("classifier",):
        weight = params.classifier
    for channel in range(output.shape[-1]):
      squares = []
      for image in range(len(x)):

        def stretch(at, y, name=name, image=image, channel=channel):
          if at == name:
            y = y.astype(complex)
            y[image, ..., channel] *= 1 + 1j * STEP
          return y

        moved = net.logits(x, stretch).imag / STEP
        squares.append(net.loss_by(x, moved) ** 2)
      num_weights = np.count_nonzero(weight[..., channel])
      total += num_weights * np.mean(squares) / 2
  return total


def synaptic_flow_of(arch, params, image_shape):
  """Both scores without normalization, for an image of ones."""
  absolute = jax.tree.map(np.abs, params)
  net = Network(arch, absolute, None, normalize=False)
  ones = np.ones((1, *image_shape))
  flow, damped = 0.0, 0.0
  for position in net.positions(*WEIGHTS):
    gradient = net.by_leaf(position, ones).sum(axis=(0, 1))
    weight = net.leaves[position].real
    flow += np.sum(weight * gradient)
    damped += np.sum(weight * np.log1p(gradient))
  return {"synflow": np.log(flow), "logsynflow": damped}
