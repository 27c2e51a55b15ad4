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

from nagjax.convert.pickles import ConversionError
from nagjax.convert.state_dicts import Weights
from nagjax.convert.state_dicts import load_checkpoint
from nagjax.convert.state_dicts import set_encoder_params
from nagjax.networks import noisy
from nagjax.networks import score
from nagjax.networks import set_encoder
from nagjax.networks import transformer
from nagjax.networks.layers import Affine

_SCORE_MARK = "opEmb.fc.weight"
_GCN_MARK = "gcn.0.weight1"
_TRANSFORMER_MARK = "regeress.linears.0.weight"
"""Keys that say whose weights these are, behind some prefix."""
_EXPECTED = "a checkpoint of DiffusionNAG"
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
  return score_params(load_checkpoint(path, _EXPECTED), path, ema=ema)


def surrogate_file(path: str | os.PathLike[str]) -> Surrogate:
  """Reads a checkpoint of a noise-aware predictor; needs PyTorch.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or not of such a predictor.
  """
  return surrogate_params(load_checkpoint(path, _EXPECTED), path)


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
  weights = Weights(state_dict, source, [_SCORE_MARK], advice=_ADVICE, ema=ema)
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
  weights = Weights(
    state_dict, source, [_GCN_MARK, _TRANSFORMER_MARK], advice=_ADVICE
  )
  predictor: noisy.GcnParams | noisy.TransformerParams
  if weights.mark == _GCN_MARK:
    predictor = _gcn(weights)
  else:
    predictor = _transformer(weights)
  return Surrogate(
    predictor,
    set_encoder_params(weights),
  )


def _score(weights: Weights) -> score.Params:
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
  weights: Weights, name: str, output_norm: str, width: int
) -> transformer.Block:
  attention, feed = f"{name}.self_attn", f"{name}.feed_forward"
  *inputs, output = (
    weights.affine(f"{attention}.attn.linears.{i}", width, width)
    for i in range(4)
  )
  up, down = weights.chain(
    f"{feed}.feed_forward.w_1", f"{feed}.feed_forward.w_2", ends=(width, width)
  )
  return transformer.Block(
    attention_norm=weights.norm(f"{attention}.norm", width),
    attention_in=Affine(
      *(jnp.concatenate(parts, -1) for parts in zip(*inputs, strict=True))
    ),
    attention_out=output,
    feed_norm=weights.norm(f"{feed}.norm", width),
    feed=(up, down),
    output_norm=weights.norm(output_norm, width),
  )


def _gcn(weights: Weights) -> noisy.GcnParams:
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


def _transformer(weights: Weights) -> noisy.TransformerParams:
  graph = weights.chain(
    "regeress.linears.0", "regeress.linears.1", ends=(None, None)
  )
  return noisy.TransformerParams(
    _score(weights), graph, _head(weights, graph[-1].bias.shape[0])
  )


def _head(weights: Weights, graph_size: int) -> tuple[Affine, ...]:
  size = set_encoder.CODE_SIZE + graph_size
  return weights.chain("pred_fc.0", "pred_fc.2", ends=(size, 1))
