"""The networks of DARTS cells in NumPy, by loops over cells, edges and pixels.

Images are `[B, H, W, C]`; everything is computed in 64 bits.
"""

import jax
import numpy as np

from nagjax.spaces import darts


class Network:
  """One network; `rectified` collects the results of all rectifiers.

  Attributes:
    logits: `[B, num_classes]`.
    rectified: arrays `[B, ...]`.
    num_norms: how many pairs of scale and shift were used.
  """

  def __init__(self, params, arch, x, config):
    params = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
    self.rectified, self.num_norms = [], 0
    normal, reduction = darts.to_genotype(arch)
    cells = [
      jax.tree.map(lambda leaf, j=j: leaf[j], group)
      for group in params.cells
      for j in range(len(group.inputs))
    ]
    x = np.asarray(x, float)
    before, x, halve = self.stem(params.stem, x, config.stem.value)
    for number, cell in enumerate(cells):
      reduces = number in (len(cells) // 3, 2 * len(cells) // 3)
      genotype = reduction if reduces else normal
      y = self.cell(before, x, cell, genotype, halve, 2 if reduces else 1)
      before, x, halve = x, y, reduces
    self.logits = x.mean((1, 2)) @ params.classifier + params.bias

  def stem(self, layers, x, kind):
    if kind == "none":
      return x, x, False
    if kind == "cifar":
      (layer,) = layers
      x = self.norm(convolve(x, layer.weight, 1), layer.norm)
      return x, x, False
    first, second, third = layers
    x = self.norm(convolve(x, first.weight, 2), first.norm)
    x = self.norm(convolve(self.relu(x), second.weight, 2), second.norm)
    y = self.norm(convolve(self.relu(x), third.weight, 2), third.norm)
    return x, y, True

  def cell(self, before, x, weights, genotype, halve, stride):
    inputs, norms = weights.inputs, weights.input_norm
    first, second = (
      type(norms)(norms.scale[i], norms.shift[i]) for i in (0, 1)
    )
    if halve:
      channels, half = before.shape[-1], inputs.shape[-1] // 2
      pair = inputs[0, :channels, :half], inputs[0, channels:, half:][:channels]
      nodes = [self.halve(before, pair, first)]
    else:
      product = self.relu(before) @ inputs[0, : before.shape[-1]]
      nodes = [self.norm(product, first)]
    product = self.relu(x) @ inputs[1, : x.shape[-1]]
    nodes.append(self.norm(product, second))
    results = []
    for e, (source, op) in enumerate(genotype.tolist()):
      edge = jax.tree.map(lambda leaf, e=e: leaf[e], weights.edges)
      step = stride if source < 2 else 1
      name = darts.OPERATIONS[op]
      results.append(self.operation(name, nodes[source], edge, step))
      if e % 2:
        nodes.append(results[-2] + results[-1])
    return np.concatenate(nodes[2:], axis=-1)

  def operation(self, name, x, edge, stride):
    kind, _, size = name.rpartition("_")
    first, second = (
      jax.tree.map(lambda leaf, i=i: leaf[i], edge) for i in (0, 1)
    )
    if kind.endswith("pool"):
      return pool(x, np.max if kind.startswith("max") else np.mean, stride)
    if name == "skip_connect":
      half = x.shape[-1] // 2
      pair = first.pointwise[:, :half], first.pointwise[:, half:]
      return x if stride == 1 else self.halve(x, pair, first.norm)
    size = int(size[0])
    if kind == "dil_conv":
      return self.separable(x, first, size, 2, stride)
    y = self.separable(x, first, size, 1, stride)
    return self.separable(y, second, size, 1, 1)

  def separable(self, x, weights, size, dilation, stride):
    margin = (5 - size) // 2
    kernel = weights.depthwise.reshape(5, 5, -1)
    kernel = kernel[margin : 5 - margin, margin : 5 - margin]
    y = depthwise(self.relu(x), kernel, dilation, stride)
    return self.norm(y @ weights.pointwise, weights.norm)

  def halve(self, x, pair, norm):
    x = self.relu(x)
    odd = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
    parts = [y[:, ::2, ::2] @ w for y, w in zip((x, odd), pair, strict=True)]
    return self.norm(np.concatenate(parts, axis=-1), norm)

  def relu(self, x):
    x = np.maximum(x, 0)
    self.rectified.append(x)
    return x

  def norm(self, x, params):
    self.num_norms += x.shape[-1]
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5) * params.scale + params.shift


def depthwise(x, kernel, dilation, stride):
  """`[B, H, W, C]` with `[k, k, C]`, zeros around."""
  batch, height, width, channels = x.shape
  y = np.zeros((batch, -(-height // stride), -(-width // stride), channels))
  for i, j in np.ndindex(y.shape[1:3]):
    for u, v in np.ndindex(kernel.shape[:2]):
      row = stride * i + dilation * (u - len(kernel) // 2)
      column = stride * j + dilation * (v - len(kernel) // 2)
      if 0 <= row < height and 0 <= column < width:
        y[:, i, j] += x[:, row, column] * kernel[u, v]
  return y


def convolve(x, weight, stride):
  """3x3 convolution with `[9, C_in, C_out]`, zeros around."""
  parts = [
    depthwise(x, weight[..., c].reshape(3, 3, -1), 1, stride).sum(-1)
    for c in range(weight.shape[-1])
  ]
  return np.stack(parts, axis=-1)


def pool(x, reduce_fn, stride):
  """Of the 3x3 pixels around each that exist."""
  height, width = x.shape[1:3]
  rows = []
  for i in range(0, height, stride):
    windows = [
      x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
      for j in range(0, width, stride)
    ]
    rows.append(np.stack([reduce_fn(w, axis=(1, 2)) for w in windows], 1))
  return np.stack(rows, axis=1)
