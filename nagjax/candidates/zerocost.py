"""Training-free scores of NAS-Bench-201 cells, from one batch of images.

A score is a pure function `(model, arch, images, config) -> f32[]` of a network
with given weights; `evaluate` draws them from a key. The cell is data: one
compiled program scores all architectures, and `vmap` takes many cells or keys.

Unless a score says otherwise, batches normalize themselves (PyTorch's training
mode), the loss `L` is the mean cross entropy, and sums go over the weights `W`
of convolutions and of the classifier: no biases, nothing of a normalization.
No score is ever NaN; each says what a degenerate cell gets, such as one that
lets no image through. `-inf` counts as a failed evaluation of a `Problem`.

References:
  Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021,
    https://arxiv.org/abs/2101.08134: `grad_norm`, `snip`, `fisher`, `synflow`
    and `jacob_cov` as scores of architectures.
"""

from collections.abc import Callable
from collections.abc import Mapping
import functools
import types as python_types
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax.candidates import cells
from nagjax.candidates import kernels
from nagjax.candidates.layers import Norm
from nagjax.candidates.train import Images
from nagjax.types import Archs
from nagjax.types import Key

JACOBIAN_EPSILON = 1e-5
"""Added to the eigenvalues in `jacob_cov`; Abdelfattah et al.'s program."""

ScoreFn = Callable[[cells.Model, Archs, Images, cells.Config], jax.Array]
"""`(model, int32[6], images, config) -> f32[]`."""


class Score(NamedTuple):
  """A score and how to read it.

  Attributes:
    function: the score of a network with given weights.
    sign: 1 if larger is better, -1 if smaller is.
    needs_images: whether it looks at the images.
    needs_labels: whether it looks at their labels.
    unit: "" if it has none.
  """

  function: ScoreFn
  sign: int = 1
  needs_images: bool = True
  needs_labels: bool = False
  unit: str = ""


def evaluate(
  key: Key, arch: Archs, images: Images, config: cells.Config, *, score: str
) -> jax.Array:
  """Scores one cell by a network with random weights, see `cells.init`.

  Args:
    key: random key, consumed.
    arch: `int32[6]`, one cell.
    images: one batch, of `config.image_shape`.
    config: the network around the cell.
    score: a name in `SCORES`.

  Returns:
    `f32[]`; `SCORES[score].sign` says which direction is better.

  Raises:
    ValueError: if there is no such score.
  """
  function = find(score).function
  return function(cells.init(key, arch, config), arch, images, config)


def find(score: str) -> Score:
  """Returns the score of a name.

  Raises:
    ValueError: if there is none.
  """
  if score not in SCORES:
    known = ", ".join(sorted(SCORES))
    raise ValueError(f"score must be one of {known}, got {score!r}.")
  return SCORES[score]


def params(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Number of trainable parameters in millions, `f32[]`; larger is better."""
  del model, images
  return cells.num_params(arch, config).astype(jnp.float32) / 1e6


def flops(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Multiplications for one image in millions, `f32[]`; larger is better."""
  del model, images
  return cells.num_macs(arch, config) / 1e6


def synflow(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """The logarithm of the synaptic flow, `f32[]`; larger is better.

  `log sum |W * dR/dW|`, where `R` is the sum of the logits for an image of
  ones, in a network without normalization and with the absolute values of all
  parameters. The sum itself, up to 1e67, is none of 32 bits. A cell that lets
  nothing through gets `-inf`.

  References:
    Tanaka et al., "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, https://arxiv.org/abs/2006.05467.
  """
  del images
  weights, gradients, log_scale = _synaptic_flow(model, arch, config)
  flow = _total(lambda w, g: w * g, weights, gradients)
  return jnp.log(flow) + log_scale


def logsynflow(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Synaptic flow with damped gradients, `f32[]`; larger is better.

  `sum |W * log(1 + dR/dW)|`, with the `R` and the network of `synflow`. A cell
  that lets nothing through gets 0.

  References:
    Cavagnero et al., "FreeREA: Training-Free Evolution-based Architecture
    Search", WACV 2023, https://arxiv.org/abs/2207.05135.
  """
  del images
  weights, gradients, log_scale = _synaptic_flow(model, arch, config)
  # log(1 + g exp(log_scale)) without the overflow; log(0) = -inf gives 0.
  return _total(
    lambda w, g: w * jax.nn.softplus(jnp.log(g) + log_scale), weights, gradients
  )


def grad_norm(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Sum over layers of `||dL/dW||_2`, `f32[]`; larger is better.

  A cell that lets nothing through gets 0.

  References:
    Abdelfattah et al., https://arxiv.org/abs/2101.08134.
  """
  del config
  gradients = _loss_gradients(model, arch, images)
  return _total(lambda g: jnp.sqrt(jnp.sum(g**2, axis=(1, 2))), gradients)


def snip(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """What removing each weight changes, `f32[]`; larger is better.

  `sum |W * dL/dW|`. A cell that lets nothing through gets 0.

  References:
    Lee et al., "SNIP: Single-shot Network Pruning based on Connection
    Sensitivity", ICLR 2019, https://arxiv.org/abs/1810.02340.
  """
  del config
  gradients = _loss_gradients(model, arch, images)
  return _total(lambda w, g: jnp.abs(w * g), _layers(model.params), gradients)


def fisher(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Fisher information of channels, `f32[]`; larger is better.

  A channel `a` of the result of a convolution or of the classifier has `1/2
  mean_b (sum_pixels a dL/da)^2`; the sum counts it once for every weight that
  makes it. A cell that lets nothing through gets the share of the biases of the
  classifier.

  References:
    Theis et al., "Faster gaze prediction with dense networks and Fisher
    pruning", 2018, https://arxiv.org/abs/1801.05787; Turner et al., "BlockSwap:
    Fisher-guided Block Substitution for Network Compression on a Budget", ICLR
    2020, https://arxiv.org/abs/1906.04113.
  """

  def loss_of(probes: cells.Outputs) -> tuple[jax.Array, Any]:
    result = cells.forward(
      model, arch, images.x, norm=Norm.BATCH, probes=probes
    )
    loss = _cross_entropy(result.logits, images.y)
    return loss, (result.outputs, result.logits)

  probes = cells.init_probes(config, images.y.shape[0])
  gradients, (outputs, logits) = jax.grad(loss_of, has_aux=True)(probes)
  by_logits = jax.grad(_cross_entropy)(logits, images.y)
  channels = jax.tree.map(
    lambda a, g: _squares(jnp.sum(a * g, axis=(-3, -2))), outputs, gradients
  )
  weights_of_edge = jnp.where(arch == cells.CONV_1X1, 1, cells.NUM_TAPS)
  widths, taps = config.widths, cells.NUM_TAPS
  total = channels.stem * (taps * config.image_shape[2])
  for stage, width in enumerate(widths):
    edges = jnp.sum(channels.cells[stage], axis=0)
    total += width * jnp.sum(edges * weights_of_edge)
  for stage, (first, second, shortcut) in enumerate(channels.reductions):
    narrow, wide = widths[stage : stage + 2]
    total += taps * (narrow * first + wide * second) + narrow * shortcut
  return total + widths[-1] * _squares(logits * by_logits)


def jacob_cov(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """How little gradients by two images agree, `f32[]`; larger is better.

  `-sum_i log(v_i + e) + 1 / (v_i + e)` with `e = 1e-5` and the eigenvalues
  `v_i` of the correlations between the gradients of the sum of all logits by
  each image. Give it fewer images than an image has numbers: gradients that
  depend on one another cost `1 / e` each. A cell for which some image has no
  gradient, or a constant one, gets `-inf` (the published program: NaN).

  References:
    Mellor et al., "Neural Architecture Search without Training", first version,
    https://arxiv.org/abs/2006.04647v1.
  """
  del config

  def total(x: jax.Array) -> jax.Array:
    return jnp.sum(cells.apply(model, arch, x, norm=Norm.BATCH)[0])

  rows = jax.grad(total)(images.x).reshape(images.x.shape[0], -1)
  # Scaled first, so that squares neither overflow nor vanish.
  rows = _divide(rows, jnp.max(jnp.abs(rows), axis=1, keepdims=True))
  rows = rows - jnp.mean(rows, axis=1, keepdims=True)
  sizes = jnp.sqrt(jnp.sum(rows**2, axis=1, keepdims=True))
  # Singular values of the rows resolve small eigenvalues; correlations do not.
  values = jnp.linalg.svd(_divide(rows, sizes), compute_uv=False) ** 2
  missing = rows.shape[0] - values.shape[0]
  values = jnp.concatenate([values, jnp.zeros(missing)]) + JACOBIAN_EPSILON
  score = -jnp.sum(jnp.log(values) + 1 / values)
  return jnp.where(jnp.all(sizes > 0), score, -jnp.inf)


def naswot(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """How differently images switch rectifiers, `f32[]`; larger is better.

  `log |det K|`, where `K_ij` counts the rectifiers of the network that are open
  for both or closed for both of the images `i` and `j`. Where two images switch
  all of them alike, `K` is singular and the score is `-inf`; other singular
  matrices get `-inf` or, by rounding, a very low value.

  References:
    Mellor et al., "Neural Architecture Search without Training", ICML 2021,
    https://arxiv.org/abs/2006.04647.
  """
  del config
  agreements, _ = _agreements(model, arch, images)
  score = jnp.linalg.slogdet(agreements)[1]
  return jnp.where(jnp.isnan(score), -jnp.inf, score)


def linear_regions(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Number of linear regions that images lie in, `f32[]`; larger is better.

  The number of distinct patterns of all rectifiers (open or closed), counted as
  the sum over images of one by how many share its pattern. It is at most the
  number of images, which all but the poorest cells reach with a few dozen. A
  cell that lets nothing through gets 1.

  Differs from TE-NAS: the network is the whole one of `config`; theirs has one
  channel and no stem, looks at crops of 3x3 pixels and is drawn three times.

  References:
    Chen et al., "Neural Architecture Search on ImageNet in Four GPU Hours: A
    Theoretically Inspired Perspective" (TE-NAS), ICLR 2021,
    https://arxiv.org/abs/2102.11535, section 3.1.2.
  """
  del config
  agreements, num_rectifiers = _agreements(model, arch, images)
  return jnp.sum(1 / jnp.sum(agreements == num_rectifiers, axis=1))


def ntk_condition(
  model: cells.Model, arch: Archs, images: Images, config: cells.Config
) -> jax.Array:
  """Condition number of the tangent kernel, `f32[]`; smaller is better.

  `lambda_max / lambda_min` of `G G^T`, where row `i` of `G` is the gradient of
  the sum of the logits of image `i` by all weights and by the scales of the
  normalizations. At most `kernels.MAX_CONDITION`, which is also the value of a
  cell that lets nothing through. TE-NAS averages it over three networks.

  References:
    Chen et al. (TE-NAS), https://arxiv.org/abs/2102.11535, section 3.1.1.
  """
  del config

  def of_images(params: cells.Params) -> jax.Array:
    network = model._replace(params=params)
    logits, _ = cells.apply(network, arch, images.x, norm=Norm.BATCH)
    return jnp.sum(logits, axis=-1)

  def row(cotangent: jax.Array) -> jax.Array:
    (gradient,) = pull_back(cotangent)
    norms = [layer.norm for layer in _normalized(gradient)]
    scales = [norm.scale for norm in (*norms, gradient.last_norm)]
    parts = [*_layers(gradient), *scales]
    return jnp.concatenate([part.reshape(-1) for part in parts])

  _, pull_back = jax.vjp(of_images, model.params)
  rows = jax.lax.map(row, jnp.eye(images.x.shape[0]))
  return kernels.condition_number(rows)


SCORES: Mapping[str, Score] = python_types.MappingProxyType(
  {
    "fisher": Score(fisher, needs_labels=True),
    "flops": Score(flops, needs_images=False, unit="million"),
    "grad_norm": Score(grad_norm, needs_labels=True),
    "jacob_cov": Score(jacob_cov),
    "linear_regions": Score(linear_regions),
    "logsynflow": Score(logsynflow, needs_images=False),
    "naswot": Score(naswot),
    "ntk_condition": Score(ntk_condition, sign=-1),
    "params": Score(params, needs_images=False, unit="million"),
    "snip": Score(snip, needs_labels=True),
    "synflow": Score(synflow, needs_images=False),
  }
)
"""All scores by name."""


def _loss_gradients(
  model: cells.Model, arch: Archs, images: Images
) -> list[jax.Array]:
  """`dL/dW` of every layer, see `_layers`."""

  def loss(params: cells.Params) -> jax.Array:
    network = model._replace(params=params)
    logits, _ = cells.apply(network, arch, images.x, norm=Norm.BATCH)
    return _cross_entropy(logits, images.y)

  return _layers(jax.grad(loss)(model.params))


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  return jnp.mean(
    optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  )


def _synaptic_flow(
  model: cells.Model, arch: Archs, config: cells.Config
) -> tuple[list[jax.Array], list[jax.Array], jax.Array]:
  """Absolute weights, gradients by them, and what these are scaled by.

  The gradients, none of them negative, are `gradient * exp(log_scale)`.
  """
  absolute = jax.tree.map(jnp.abs, model.params)
  ones = jnp.ones((1, *config.image_shape))

  def total(params: cells.Params) -> tuple[jax.Array, jax.Array]:
    network = model._replace(params=params)
    result = cells.forward(network, arch, ones, norm=Norm.NONE)
    return jnp.sum(result.logits), result.log_scale

  gradients, log_scale = jax.grad(total, has_aux=True)(absolute)
  return _layers(absolute), _layers(gradients), log_scale


def _layers(params: cells.Params) -> list[jax.Array]:
  """Weights of convolutions and of the classifier.

  Returns:
    Groups `f32[layers, fan_in, fan_out]`; what a cell does not use is 0.
  """
  weights = [layer.weight for layer in _normalized(params)]
  matrices = [*(r.shortcut for r in params.reductions), params.classifier]
  return [
    *(w.reshape(-1, w.shape[-3] * w.shape[-2], w.shape[-1]) for w in weights),
    *(matrix[None] for matrix in matrices),
  ]


def _total(fn: Callable[..., jax.Array], *groups: list[jax.Array]) -> jax.Array:
  """Sum of all that `fn` makes of the arrays of the groups."""
  return functools.reduce(jnp.add, map(jnp.sum, map(fn, *groups)))


def _normalized(params: cells.Params) -> list[cells.Layer]:
  """Convolutions with a normalization."""
  layers = [params.stem, *params.cells]
  return layers + [x for block in params.reductions for x in block[:2]]


def _agreements(
  model: cells.Model, arch: Archs, images: Images
) -> tuple[jax.Array, jax.Array]:
  """How many rectifiers two images switch alike, `f32[B, B]`; how many exist.

  Counts are exact below 2^24 rectifiers; NAS-Bench-201 has up to 757,760.
  """
  result = cells.forward(model, arch, images.x, norm=Norm.BATCH)
  batch = images.x.shape[0]
  total, product = jnp.float32(0), jnp.zeros((batch, batch))
  for inputs, exists in result.relus:
    signs = jnp.where(inputs > 0, 1.0, -1.0)
    signs = signs * exists.reshape(*exists.shape, 1, 1, 1, 1)
    signs = jnp.moveaxis(signs, -4, 0).reshape(batch, -1)
    total += jnp.sum(jnp.abs(signs[0]))
    product += signs @ signs.T
  return (total + product) / 2, total


def _squares(information: jax.Array) -> jax.Array:
  """Half the mean square over images, summed, `[..., B, C] -> [...]`."""
  return jnp.sum(jnp.mean(information**2, axis=-2), axis=-1) / 2


def _divide(x: jax.Array, size: jax.Array) -> jax.Array:
  """`x / size`, and `x` where `size` is 0."""
  return x / jnp.where(size > 0, size, 1)
