"""DiffusionNAG's published weights: PyTorch state dictionaries in, params out.

An, Lee, Jo, Lee and Hwang, "DiffusionNAG: Predictor-guided Neural Architecture
Generation with Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943;
its program saves training checkpoints, dictionaries of `model`, `optimizer`,
`ema`, `step` and `config`.
"""

from collections.abc import Mapping
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.pickles import ConversionError
from nagjax.convert.torch_files import load_torch
from nagjax.networks import noisy
from nagjax.networks import score
from nagjax.networks import set_encoder
from nagjax.networks import transformer
from nagjax.networks.layers import Affine
from nagjax.networks.layers import Norm

_SCORE_MARK = "opEmb.fc.weight"
_GCN_MARK = "gcn.0.weight1"
_TRANSFORMER_MARK = "regeress.linears.0.weight"
"""Keys that say whose weights these are, behind some prefix."""
_ADVICE = "Pass a checkpoint of DiffusionNAG, or the `model` of one."


class Surrogate(NamedTuple):
  """A noise-aware predictor with its reader of data sets.

  Attributes:
    predictor: of architectures.
    set_encoder: makes the code of the data set, of `set_encoder.set_encoder`.
  """

  predictor: noisy.GcnParams | noisy.TransformerParams
  set_encoder: set_encoder.Params


def score_file(
  path: str | os.PathLike[str], *, ema: bool = True
) -> score.Params:
  """Reads a checkpoint of a score network; needs PyTorch.

  Args:
    path: the file.
    ema: see `score_params`.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or not of a score network.
  """
  return score_params(_load(path), path, ema=ema)


def surrogate_file(path: str | os.PathLike[str]) -> Surrogate:
  """Reads a checkpoint of a noise-aware predictor; needs PyTorch.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or not of such a predictor.
  """
  return surrogate_params(_load(path), path)


def score_params(
  state_dict: Mapping[str, Any],
  source: str | os.PathLike[str] = "state_dict",
  *,
  ema: bool = True,
) -> score.Params:
  """Reads the weights of a score network.

  Args:
    state_dict: arrays (anything that NumPy reads) by their published names,
      with any common prefix, or a whole checkpoint.
    source: what to call it in errors.
    ema: whether to take a checkpoint's moving averages, which the paper samples
      with, instead of its last weights. Without meaning for arrays by name.

  Returns:
    Params for `score.score(num_nodes, F, positions, Config(num_heads=8))`, with
    `F` and all sizes as in the dictionary; heads leave no trace there.

  Raises:
    ConversionError: if a weight is missing or has another shape.
  """
  weights = _Weights(state_dict, source, [_SCORE_MARK], ema=ema)
  if weights.has(_TRANSFORMER_MARK):
    raise ConversionError(
      source,
      "the weights of a score network",
      "those of a predictor, which has a smaller one inside",
      "Read it by surrogate_params.",
    )
  return _score(weights)


def surrogate_params(
  state_dict: Mapping[str, Any], source: str | os.PathLike[str] = "state_dict"
) -> Surrogate:
  """Reads the weights of a noise-aware predictor with its reader of data sets.

  Args:
    state_dict: as for `score_params`; of a checkpoint the last weights count,
      the program keeps no averages of predictors.
    source: what to call it in errors.

  Returns:
    Params of `noisy_gcn` or `noisy_transformer`, as the names of weights say.
    A layer that nothing reads, `set_fc`, is left out.

  Raises:
    ConversionError: if a weight is missing or has another shape.
  """
  weights = _Weights(
    state_dict, source, [_GCN_MARK, _TRANSFORMER_MARK], ema=False
  )
  predictor: noisy.GcnParams | noisy.TransformerParams
  if weights.mark == _GCN_MARK:
    predictor = _gcn(weights)
  else:
    predictor = _transformer(weights)
  return Surrogate(
    predictor,
    set_encoder.Params(
      _set_pool(weights, "intra_setpool", set_encoder.IMAGE_SIZE),
      _set_pool(weights, "inter_setpool", set_encoder.CODE_SIZE),
    ),
  )


class _Weights:
  """Looks up arrays and checks them."""

  def __init__(
    self,
    content: Mapping[str, Any],
    source: str | os.PathLike[str],
    marks: list[str],
    *,
    ema: bool,
  ):
    self._source = source
    if isinstance(content.get("model"), Mapping):
      content = _of_checkpoint(content, source, ema=ema)
    self._arrays = content
    found = [
      (key.removesuffix(mark), mark)
      for key in content
      for mark in marks
      if key.endswith(mark)
    ]
    if len(found) != 1:
      raise ConversionError(
        source,
        f"one key ending in {' or '.join(marks)}",
        f"{len(found)}",
        _ADVICE,
      )
    self._prefix, self.mark = found[0]

  def has(self, name: str) -> bool:
    return self._prefix + name in self._arrays

  def array(self, name: str, *shape: int | None) -> jax.Array:
    """The array of a name, where None stands for any size."""
    key = self._prefix + name
    if not self.has(name):
      raise ConversionError(self._source, f"the key {key}", "none", _ADVICE)
    value = self._arrays[key]
    if hasattr(value, "detach"):
      # Parameters refuse to become arrays before they leave their graph.
      value = value.detach()
    value = np.asarray(value, np.float32)
    if len(value.shape) != len(shape) or any(
      wanted not in (None, size)
      for wanted, size in zip(shape, value.shape, strict=True)
    ):
      wanted = tuple("any" if size is None else size for size in shape)
      raise ConversionError(
        self._source,
        f"{key} of shape ({', '.join(map(str, wanted))})",
        f"{value.shape}",
        _ADVICE,
      )
    return jnp.asarray(value)

  def affine(
    self, name: str, inputs: int | None = None, outputs: int | None = None
  ) -> Affine:
    weight = self.array(f"{name}.weight", outputs, inputs)
    return Affine(weight.T, self.array(f"{name}.bias", weight.shape[0]))

  def chain(self, *names: str, ends: tuple[int | None, int | None]):
    """Layers that follow one another, from and to the sizes of `ends`."""
    layers: list[Affine] = []
    size = ends[0]
    for name in names:
      last = ends[1] if name == names[-1] else None
      layers.append(self.affine(name, size, last))
      size = layers[-1].bias.shape[0]
    return tuple(layers)

  def norm(self, name: str, width: int) -> Norm:
    return Norm(
      self.array(f"{name}.weight", width), self.array(f"{name}.bias", width)
    )

  def count(self, name: str) -> int:
    """How many numbered parts follow a name, from 0; at least 1."""
    start = f"{self._prefix}{name}."
    parts = {
      key.removeprefix(start).split(".")[0]
      for key in self._arrays
      if key.startswith(start)
    }
    return max(1, len(parts))


def _score(weights: _Weights) -> score.Params:
  embedding = weights.affine("opEmb.fc")
  num_labels, width = embedding.weight.shape
  start = "graph_encoder.encoder_f"
  num_layers = weights.count(f"{start}.layers")
  blocks = [
    _block(weights, f"{start}.layers.{i}", f"{start}.norms.{i}", width)
    for i in range(num_layers)
  ]
  return score.Params(
    embedding,
    weights.chain("timeEmb1", "timeEmb2", ends=(width, width)),
    jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks),
    weights.chain(
      *(f"final.linears.{i}" for i in range(3)),
      ends=(num_layers * width, num_labels),
    ),
  )


def _block(
  weights: _Weights, name: str, output_norm: str, width: int
) -> transformer.Block:
  attention, feed = f"{name}.self_attn", f"{name}.feed_forward"
  *inputs, output = (
    weights.affine(f"{attention}.attn.linears.{i}", width, width)
    for i in range(4)
  )
  return transformer.Block(
    attention_norm=weights.norm(f"{attention}.norm", width),
    attention_in=Affine(
      *(jnp.concatenate(parts, -1) for parts in zip(*inputs, strict=True))
    ),
    attention_out=output,
    feed_norm=weights.norm(f"{feed}.norm", width),
    feed=weights.chain(
      f"{feed}.feed_forward.w_1",
      f"{feed}.feed_forward.w_2",
      ends=(width, width),
    ),
    output_norm=weights.norm(output_norm, width),
  )


def _gcn(weights: _Weights) -> noisy.GcnParams:
  width = weights.array("gcn.0.weight1", None, None).shape[1]
  layers = []
  for i in range(weights.count("gcn")):
    forward = weights.array(f"gcn.{i}.weight1", width if i else None, width)
    backward = weights.array(f"gcn.{i}.weight2", *forward.shape)
    layers.append((forward, backward))
  graph = weights.array("fc1.weight", None, width).T
  return noisy.GcnParams(
    tuple(layers),
    weights.chain("timeEmb1", "timeEmb2", ends=(width, width)),
    graph,
    _head(weights, graph.shape[1]),
  )


def _transformer(weights: _Weights) -> noisy.TransformerParams:
  graph = weights.chain(
    "regeress.linears.0", "regeress.linears.1", ends=(None, None)
  )
  return noisy.TransformerParams(
    _score(weights), graph, _head(weights, graph[-1].bias.shape[0])
  )


def _head(weights: _Weights, graph_size: int) -> tuple[Affine, ...]:
  size = set_encoder.CODE_SIZE + graph_size
  return weights.chain("pred_fc.0", "pred_fc.2", ends=(size, 1))


def _set_pool(weights: _Weights, name: str, inputs: int) -> set_encoder.SetPool:
  size = set_encoder.CODE_SIZE

  def attention(part: str, inputs: int) -> set_encoder.Attention:
    return set_encoder.Attention(
      *(
        weights.affine(f"{name}.{part}.mab.fc_{letter}", width, size)
        for letter, width in zip("qkvo", (*(inputs,) * 3, size), strict=True)
      )
    )

  return set_encoder.SetPool(
    first=attention("enc.0", inputs),
    second=attention("enc.1", size),
    seed=weights.array(f"{name}.dec.0.S", 1, 1, size)[0, 0],
    pool=attention("dec.0", size),
    last=weights.affine(f"{name}.dec.1", size, size),
  )


def _of_checkpoint(
  content: Mapping[str, Any], source: str | os.PathLike[str], *, ema: bool
) -> Mapping[str, Any]:
  """The arrays by name of a training checkpoint."""
  arrays = content["model"]
  if not ema:
    return arrays
  averages = require_key(content.get("ema"), "shadow_params", source, "ema")
  # They are a list in the order of the model, which has nothing but weights.
  shapes = [np.shape(value) for value in arrays.values()]
  if [np.shape(value) for value in averages] != shapes:
    raise ConversionError(
      source,
      f"a moving average for each of {len(arrays)} weights, in their order",
      f"{len(averages)} averages, or other shapes",
      "Pass ema=False to take the last weights.",
    )
  return dict(zip(arrays, averages, strict=True))


class _Unread:
  """In the place of a checkpoint's options, of which nothing is used."""

  def __setstate__(self, state: Any) -> None:
    del state


def _load(path: str | os.PathLike[str]) -> dict[str, Any]:
  options = (_Unread, "ml_collections.config_dict.config_dict.ConfigDict")
  content = load_torch(path, "a checkpoint of DiffusionNAG", [options])
  require(content, dict, path, "the content")
  return content
