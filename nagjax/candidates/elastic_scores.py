"""Training-free scores of super-networks' spaces.

  dss                  of vision transformers; Zhou et al., "Training-free
                       Transformer Architecture Search" (TF-TAS), CVPR 2022,
                       https://arxiv.org/abs/2203.12217, section 4.3.
  synflow, logsynflow  of MobileNetV3; see `zerocost`.

A score is a pure function `(key, arch, images, config) -> f32[]`; the key draws
the weights of the super-network, of which the architecture has slices. The
architecture is data: one compiled program scores all of them.
"""

from collections.abc import Mapping
import dataclasses
import types as python_types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import elastic
from nagjax.candidates import mobilenet
from nagjax.candidates import vit
from nagjax.candidates.layers import Norm
from nagjax.candidates.train import Images
from nagjax.types import Archs
from nagjax.types import Key

NUM_IMAGES = 2
"""Images of the default batch, whose shape alone is read."""


@dataclasses.dataclass(frozen=True)
class Setting:
  """The networks that are scored.

  Attributes:
    name: of the super-network, one of `elastic.NETWORKS`.
    image_shape: of the images.
    num_classes: outputs.
  """

  name: str = "autoformer/small32"
  image_shape: tuple[int, int, int] = (32, 32, 3)
  num_classes: int = 10

  def __post_init__(self) -> None:
    if self.image_shape[0] != self.image_shape[1]:
      raise ValueError(f"Images must be square, got {self.image_shape}.")
    self.network()

  def network(self) -> elastic.Elastic:
    """The super-network.

    Raises:
      ValueError: if the images do not suit it.
    """
    return elastic.elastic(
      self.name,
      image_size=self.image_shape[0],
      channels=self.image_shape[2],
      num_classes=self.num_classes,
    )


class Score(NamedTuple):
  """How to read a score; see `zerocost.Score`."""

  sign: int = 1
  unit: str = ""


SCORES: Mapping[str, Mapping[str, Score]] = python_types.MappingProxyType(
  {
    "autoformer": {"dss": Score()},
    "mobilenetv3": {"logsynflow": Score(), "synflow": Score()},
  }
)
"""Scores by family and name."""


def setting(name: str) -> Setting:
  """A super-network for images of its own size."""
  network = elastic.elastic(name)
  return Setting(name, network.image_shape, network.num_classes)


def evaluate(
  key: Key, arch: Archs, images: Images, config: Setting, *, score: str
) -> jax.Array:
  """Scores one architecture by a network with random weights.

  Args:
    key: random key, consumed.
    arch: `int32[L]`, an architecture of the space.
    images: one batch, whose pixels are not read.
    config: the networks.
    score: a name in `SCORES`, of the network's family.

  Returns:
    `f32[]`; larger is better.
  """
  del images
  find(score)
  functions = {"dss": dss, "logsynflow": logsynflow, "synflow": synflow}
  return functions[score](key, arch, config).astype(jnp.float32)


def dss(key: Key, arch: Archs, config: Setting) -> jax.Array:
  """Synaptic diversity of attention plus saliency of the other layers.

    sum over layers of |dL/dW|_* |W|_* of attention (queries, keys and values as
    one matrix, and the projection) + sum |dL/dW * W| of the two linear layers

  with nuclear norms, absolute values of all weights, an image of ones, and the
  sum of the outputs as L.

  Differs from the program: there the slices of queries, keys and values get no
  gradient and keep their signs, so that their terms are zero; and the head
  counts, whose terms are zero but for other numbers of classes than 1000.

  Args:
    key: random key, consumed.
    arch: `int32[1 + L]`.
    config: the networks.
  """
  network = config.network()
  weights = jax.tree.map(jnp.abs, network.init(key))
  ones = jnp.ones((1, *network.image_shape))

  def total(params: vit.Params) -> jax.Array:
    return jnp.sum(network.apply(elastic.Weights(params, ()), arch, ones)[0])

  gradient = jax.grad(total)(weights.params).layers
  layers = weights.params.layers
  assert isinstance(network.config, vit.Config)
  slices = vit.slices(arch, network.config)

  def diversity(path: str) -> jax.Array:
    # Entries beside the slice are zeros, which no nuclear norm sees.
    pair = getattr(gradient, path).weight, getattr(layers, path).weight
    inside = getattr(slices, path)
    norms = [_nuclear(inside.astype(w.dtype) * w) for w in pair]
    return jnp.sum(norms[0] * norms[1])

  def saliency(path: str) -> jax.Array:
    # The gradient of what is not in the slice is zero.
    pair = getattr(gradient, path).weight, getattr(layers, path).weight
    return jnp.sum(jnp.abs(pair[0] * pair[1]))

  return (
    diversity("qkv")
    + diversity("project")
    + saliency("inner")
    + saliency("outer")
  )


def synflow(key: Key, arch: Archs, config: Setting) -> jax.Array:
  """The logarithm of the synaptic flow, as `zerocost.synflow` has it.

  Weights of squeeze-and-excitation count, the kernels' matrices do not.

  Args:
    key: random key, consumed.
    arch: `int32[20]`.
    config: the networks.
  """
  weights, gradients, log_scale = _synaptic_flow(key, arch, config)
  return jnp.log(weights @ gradients) + log_scale


def logsynflow(key: Key, arch: Archs, config: Setting) -> jax.Array:
  """Synaptic flow with damped gradients, as `zerocost.logsynflow` has it.

  See `synflow` for the weights that count and for the arguments.
  """
  weights, gradients, log_scale = _synaptic_flow(key, arch, config)
  return weights @ jax.nn.softplus(jnp.log(gradients) + log_scale)


def _synaptic_flow(
  key: Key, arch: Archs, config: Setting
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Absolute weights `f32[n]`, gradients by them, what these are scaled by.

  The gradients, none of them negative, are `gradient * exp(log_scale)`.
  """
  network = config.network()
  assert isinstance(network.config, mobilenet.Config)
  layers = network.config
  params, statistics = mobilenet.init(key, layers)
  absolute = jax.tree.map(jnp.abs, params)
  ones = jnp.ones((1, *network.image_shape))

  def total(params: mobilenet.Params) -> tuple[jax.Array, jax.Array]:
    model = mobilenet.Model(params, statistics)
    result = mobilenet.forward(model, arch, ones, layers, norm=Norm.NONE)
    return jnp.sum(result.logits), result.log_scale

  gradients, log_scale = jax.grad(total, has_aux=True)(absolute)
  return _weights(absolute), _weights(gradients), log_scale


def _weights(params: mobilenet.Params) -> jax.Array:
  """Weights of all convolutions and of the classifier, `f32[n]`."""
  found = [conv.weight for conv in (params.stem, *params.first, params.final)]
  for block in params.blocks:
    convs = (block.expand, block.depthwise, block.project)
    found += [conv.weight for conv in convs]
    if block.squeeze is not None:
      found += [block.squeeze.reduce, block.squeeze.expand]
  found += [params.mix, params.classifier]
  return jnp.concatenate([leaf.ravel() for leaf in found])


def find(score: str) -> Score:
  """Returns the score of a name.

  Raises:
    ValueError: if there is none.
  """
  known = {
    name: found for row in SCORES.values() for name, found in row.items()
  }
  if score not in known:
    raise ValueError(
      f"score must be one of {', '.join(sorted(known))}, got {score!r}."
    )
  return known[score]


def _nuclear(matrix: jax.Array) -> jax.Array:
  """Sums of singular values, `[L, (3,) m, n] -> [L]`; thirds side by side."""
  if matrix.ndim == 4:
    matrix = jnp.concatenate(
      [matrix[:, part] for part in np.arange(3)], axis=-1
    )
  return jnp.sum(jnp.linalg.svd(matrix, compute_uv=False), axis=-1)
