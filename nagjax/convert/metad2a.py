"""Published weights of the predictor of clean architectures.

MetaD2A (Lee, Hyung and Hwang, "Rapid Neural Architecture Search by Learning to
Generate Graphs from Datasets", ICLR 2021, https://arxiv.org/abs/2107.00860)
trained it; DiffusionNAG ranks by it and EDNAG denoises by it. The file is a
PyTorch state dictionary, or a checkpoint with one in `model`.
"""

from collections.abc import Mapping
import os
from typing import Any
from typing import NamedTuple

from nagjax.convert.pickles import ConversionError
from nagjax.convert.state_dicts import Weights
from nagjax.convert.state_dicts import load_checkpoint
from nagjax.convert.state_dicts import set_encoder_params
from nagjax.networks import dag_gru
from nagjax.networks import meta_predictor
from nagjax.networks.layers import Affine

_MARK = "grue_forward.weight_ih"
_EXPECTED = "a checkpoint of MetaD2A's or EDNAG's predictor"
_ADVICE = f"Pass {_EXPECTED}, or the `model` of one."


class Predictor(NamedTuple):
  """Weights and what they are made for.

  Attributes:
    params: of `meta_predictor.meta_predictor`.
    num_nodes: of the architectures' graphs: 8 of NAS-Bench-201, 22 of
      MobileNetV3.
    num_labels: types of nodes: 7 and 29.
  """

  params: meta_predictor.Params
  num_nodes: int
  num_labels: int


def predictor_file(
  path: str | os.PathLike[str],
  config: meta_predictor.Config = meta_predictor.PUBLISHED,
) -> Predictor:
  """Reads a checkpoint; needs PyTorch.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, of another network or of other widths.
  """
  return predictor_params(load_checkpoint(path, _EXPECTED), path, config)


def predictor_params(
  state_dict: Mapping[str, Any],
  source: str | os.PathLike[str] = "state_dict",
  config: meta_predictor.Config = meta_predictor.PUBLISHED,
) -> Predictor:
  """Reads the weights.

  Args:
    state_dict: arrays (anything that NumPy reads) by their published names,
      with any common prefix, or a whole checkpoint. Three layers that nothing
      reads, `set_fc`, `fc2` and `hv_unify`, are left out.
    source: what to call it in errors.
    config: the widths that the weights must have.

  Raises:
    ConversionError: if a weight is missing or has another shape.
  """
  weights = Weights(state_dict, source, [_MARK], advice=_ADVICE)
  size, code_size = config.hidden_size, config.code_size
  num_labels = weights.array(_MARK, 3 * size, None).shape[1]
  wide = weights.array("gate_forward.0.weight", size, None).shape[1]
  num_nodes = wide - size
  if num_nodes < 2:
    raise ConversionError(
      source,
      f"gate_forward.0.weight of shape ({size}, {size} and a column a node)",
      f"({size}, {wide})",
      _ADVICE,
    )

  def unit(name: str, letters: str, inputs: int) -> Affine:
    weight = weights.array(f"{name}.weight_{letters}", 3 * size, inputs)
    return Affine(weight.T, weights.array(f"{name}.bias_{letters}", 3 * size))

  def direction(way: str) -> dag_gru.Direction:
    return dag_gru.Direction(
      gate=weights.affine(f"gate_{way}.0", wide, size),
      mapper=weights.array(f"mapper_{way}.0.weight", size, wide).T,
      inputs=unit(f"grue_{way}", "ih", num_labels),
      states=unit(f"grue_{way}", "hh", size),
    )

  params = meta_predictor.Params(
    images=set_encoder_params(weights, config.image_size, code_size),
    graph=dag_gru.Params(
      direction("forward"),
      direction("backward"),
      unify=weights.affine("hg_unify.0", 2 * size, size),
      out=weights.affine("fc1", size, code_size),
    ),
    head=weights.chain("pred_fc.0", "pred_fc.2", ends=(2 * code_size, 1)),
  )
  return Predictor(params, num_nodes, num_labels)
