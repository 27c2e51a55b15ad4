"""AG-Net's published generators: PyTorch state dictionaries in, our params out.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734; its
program saves them as `state_dicts/<space>/best.model`.
"""

from collections.abc import Mapping
import os
from typing import Any

import jax.numpy as jnp
import numpy as np

from nagjax.convert.checks import require
from nagjax.convert.pickles import ConversionError
from nagjax.convert.torch_files import load_torch
from nagjax.networks import generator
from nagjax.networks.layers import Affine

_HALF = generator.LATENT_SIZE // 2
_WIDE = generator.LATENT_SIZE
_MARK = "prop.GraphEmb.f_m.weight"
"""A key that every state dictionary has, behind some prefix."""
_ADVICE = "Pass the state dictionary of an AG-Net generator (best.model)."


def generator_file(path: str | os.PathLike[str]) -> generator.Params:
  """Reads a published `best.model`; needs PyTorch.

  Returns:
    What `generator_params` makes of it.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or no state dictionary of a generator.
  """
  content = load_torch(path, "a state dictionary of AG-Net")
  require(content, dict, path, "the content")
  # Parameters refuse to become arrays before they leave their graph.
  state_dict = {
    key: value.detach() if hasattr(value, "detach") else value
    for key, value in content.items()
    if isinstance(key, str)
  }
  return generator_params(state_dict, path)


def generator_params(
  state_dict: Mapping[str, Any], source: str | os.PathLike[str] = "state_dict"
) -> generator.Params:
  """Reads the weights of a published generator.

  Args:
    state_dict: arrays (anything that NumPy reads) by their published names,
      with any common prefix; others, such as the predictor's, are ignored.
    source: what to call it in errors.

  Returns:
    Params for `generator(num_nodes, T, Config(num_rounds, num_inputs))`, with
    `T` and the number of rounds as in the dictionary.

  Raises:
    ConversionError: if a weight is missing or has another shape.
  """
  prefixes = [k.removesuffix(_MARK) for k in state_dict if k.endswith(_MARK)]
  if len(prefixes) != 1:
    raise ConversionError(
      source, f"one key ending in {_MARK}", f"{len(prefixes)}", _ADVICE
    )

  def array(name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    key = prefixes[0] + name
    if key not in state_dict:
      raise ConversionError(source, f"the key {key}", "none", _ADVICE)
    value = np.asarray(state_dict[key], np.float32)
    if len(value.shape) != len(shape) or any(
      wanted not in (None, size)
      for wanted, size in zip(shape, value.shape, strict=True)
    ):
      raise ConversionError(
        source, f"{key} of shape {shape}", f"{value.shape}", _ADVICE
      )
    return value

  def affine(
    name: str, inputs: int | None, outputs: int | None, suffix: str = ""
  ) -> Affine:
    weight = array(f"{name}.weight{suffix}", (outputs, inputs))
    bias = array(f"{name}.bias{suffix}", weight.shape[:1])
    return Affine(jnp.asarray(weight.T), jnp.asarray(bias))

  def rounds(direction: str) -> tuple[generator.Round, ...]:
    names = f"prop.NodeEmb.GNNLayers_{direction}."
    start = prefixes[0] + names
    numbers = {k.removeprefix(start)[0] for k in state_dict if start in k}
    return tuple(
      generator.Round(
        message=affine(f"{names}{number}.msg", 2 * _HALF, _WIDE),
        inputs=affine(f"{names}{number}.upd", _WIDE, 3 * _HALF, "_ih"),
        states=affine(f"{names}{number}.upd", _HALF, 3 * _HALF, "_hh"),
      )
      for number in range(max(1, len(numbers)))
    )

  def readout(name: str) -> generator.Readout:
    return generator.Readout(
      affine(f"prop.{name}.f_m", _WIDE, _WIDE),
      affine(f"prop.{name}.g_m", _WIDE, 1),
    )

  linear = "nodeInit.NodeInits.lin_layers.Linear"
  params = generator.Params(
    forward=rounds("forward"),
    backward=rounds("backward"),
    readout=readout("GraphEmb"),
    start_readout=readout("GraphEmb_init"),
    types=(
      affine(f"{linear}0", None, _WIDE),
      affine(f"{linear}1", _WIDE, _WIDE),
    ),
    first=(
      affine("nodeInit.f_start", 2 * _WIDE, 2 * _WIDE),
      affine("nodeInit.f_start_2", 2 * _WIDE, _WIDE),
    ),
    later=(
      affine("nodeInit.f_init", 3 * _WIDE, 2 * _WIDE),
      affine("nodeInit.f_init_2", 2 * _WIDE, _WIDE),
    ),
    node_scores=(
      affine("nodeAdd.f_an", 2 * _WIDE, _WIDE),
      affine("nodeAdd.f_an_2", _WIDE, None),
    ),
    edge_scores=(
      affine("nodes.f_s_1", 4 * _WIDE, 2 * _WIDE),
      affine("nodes.f_s_2", 2 * _WIDE, 1),
    ),
  )
  num_types = params.types[0].weight.shape[0]
  if params.node_scores[1].bias.shape != (num_types,) or len(
    params.forward
  ) != len(params.backward):
    raise ConversionError(
      source,
      f"scores of {num_types} node types, and as many rounds forwards as "
      "backwards",
      f"{params.node_scores[1].bias.shape[0]} types, {len(params.forward)} and "
      f"{len(params.backward)} rounds",
      _ADVICE,
    )
  return params
