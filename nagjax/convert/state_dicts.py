"""Weights by their published names: what importers of PyTorch's share."""

from collections.abc import Mapping
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.pickles import ConversionError
from nagjax.convert.torch_files import load_torch
from nagjax.networks import set_encoder
from nagjax.networks.layers import Affine
from nagjax.networks.layers import Norm


class _Unread:
  """In the place of a checkpoint's options, of which nothing is used."""

  def __setstate__(self, state: Any) -> None:
    del state


def load_checkpoint(
  path: str | os.PathLike[str], expected: str
) -> dict[str, Any]:
  """Reads a file of weights by PyTorch's restricted unpickler.

  Args:
    path: the file.
    expected: what it should be, for messages.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or no dictionary of what PyTorch's own list allows.
  """
  options = (_Unread, "ml_collections.config_dict.config_dict.ConfigDict")
  content = load_torch(path, expected, [options])
  require(content, dict, path, "the content")
  return content


class Weights:
  """Arrays by their published names, behind some prefix, checked."""

  def __init__(
    self,
    content: Mapping[str, Any],
    source: str | os.PathLike[str],
    marks: list[str],
    *,
    advice: str,
    ema: bool = False,
  ):
    """Finds the prefix.

    Args:
      content: arrays (anything that NumPy reads) by name, or a whole
        checkpoint.
      source: what to call it in errors.
      marks: ends of names that say whose weights these are: exactly one name
        must have one.
      advice: what a user can do about a wrong file.
      ema: whether to take a checkpoint's moving averages.

    Raises:
      ConversionError: if no name has a mark, or several.
    """
    self._source, self._advice = source, advice
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
        advice,
      )
    self._prefix, self.mark = found[0]

  def has(self, name: str) -> bool:
    """Whether there is an array of a name."""
    return self._prefix + name in self._arrays

  def array(self, name: str, *shape: int | None) -> jax.Array:
    """The array of a name, `f32[*shape]`, where None stands for any size.

    Raises:
      ConversionError: if there is none, or it has another shape.
    """
    key = self._prefix + name
    if not self.has(name):
      raise ConversionError(
        self._source, f"the key {key}", "none", self._advice
      )
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
        self._advice,
      )
    return jnp.asarray(value)

  def affine(
    self, name: str, inputs: int | None = None, outputs: int | None = None
  ) -> Affine:
    """A layer `name.weight`, which PyTorch has as `[out, in]`, `name.bias`."""
    weight = self.array(f"{name}.weight", outputs, inputs)
    return Affine(weight.T, self.array(f"{name}.bias", weight.shape[0]))

  def chain(
    self, *names: str, ends: tuple[int | None, int | None]
  ) -> tuple[Affine, ...]:
    """Layers that follow one another, from and to the sizes of `ends`."""
    layers: list[Affine] = []
    size = ends[0]
    for name in names:
      last = ends[1] if name == names[-1] else None
      layers.append(self.affine(name, size, last))
      size = layers[-1].bias.shape[0]
    return tuple(layers)

  def norm(self, name: str, width: int) -> Norm:
    """A layer normalization."""
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


def set_encoder_params(
  weights: Weights,
  image_size: int = set_encoder.IMAGE_SIZE,
  code_size: int = set_encoder.CODE_SIZE,
) -> set_encoder.Params:
  """The reader of data sets of MetaD2A's and DiffusionNAG's predictors.

  Args:
    weights: of a predictor.
    image_size, code_size: see `set_encoder.set_encoder`.

  Raises:
    ConversionError: if a weight is missing or has another shape.
  """
  return set_encoder.Params(
    _set_pool(weights, "intra_setpool", image_size, code_size),
    _set_pool(weights, "inter_setpool", code_size, code_size),
  )


def _set_pool(
  weights: Weights, name: str, inputs: int, size: int
) -> set_encoder.SetPool:

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
