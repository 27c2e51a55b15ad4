"""Files of DiffusionNAG's published predictors of noisy architectures.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943, section 3.3; the
weights come in by `convert.diffusionnag`. What is loaded guides a sampler:

    guide = guide_files.load("guide.npz", nasbench201.nasbench201())
    code = guide.encode(features)
    value = noise_aware.published_value_fn(
      guide.network, guide.params, adjacency, sde, code)
    score_fn = guidance.guided(score_fn, value, scale)
"""

import os
from typing import NamedTuple

import jax
import numpy as np

from nagjax import files
from nagjax.networks import noisy
from nagjax.networks import set_encoder
from nagjax.networks.base import GuideNetwork
from nagjax.spaces.base import SearchSpace

KIND = "nagjax noise-aware predictor"

_MAX_BYTES = 64 << 20


class Guide(NamedTuple):
  """A predictor of noisy architectures with its reader of data sets.

  Attributes:
    space: the search space.
    head_width: of the predictor's head; the published ones have 32 or 512.
    params: of `network`.
    encoder: of `set_encoder.set_encoder()`.
  """

  space: SearchSpace
  head_width: int
  params: noisy.GcnParams | noisy.TransformerParams
  encoder: set_encoder.Params

  @property
  def network(self) -> GuideNetwork:
    """Reads rows, their noise and the code of a data set."""
    return network(self.space, self.head_width)

  def encode(self, images: jax.Array) -> jax.Array:
    """The code of a data set, `f32[C, S, 512] -> f32[56]`."""
    return set_encoder.set_encoder().apply(self.encoder, images)


def network(space: SearchSpace, head_width: int) -> GuideNetwork:
  """The published network of a space.

  Raises:
    ValueError: if none was published for it.

  Example:
    >>> from nagjax.spaces.nasbench201 import nasbench201
    >>> published = network(nasbench201(), 512)
    >>> params = jax.eval_shape(published.init, jax.random.key(0))
    >>> type(params).__name__
    'GcnParams'
  """
  shape = space.feature_shape
  if space.name == "nasbench201":
    return noisy.noisy_gcn(*shape, noisy.GcnConfig(head_width=head_width))
  if space.name == "mobilenetv3":
    config = noisy.TransformerConfig(head_width=head_width)
    return noisy.noisy_transformer(*shape, config)
  raise ValueError(
    "Predictors of noisy architectures were published for nasbench201 and "
    f"mobilenetv3, not for {space.name}."
  )


def check(guide: Guide) -> None:
  """Checks that weights are those of the published network.

  Raises:
    ValueError: naming a weight of another shape.
  """
  expected = files.leaves_by_name(_shapes(guide.space, guide.head_width))
  found = files.leaves_by_name(_tree(guide))
  for name, leaf in expected.items():
    shape = found[name].shape if name in found else None
    if shape != leaf.shape:
      raise ValueError(
        f"{name} must have the shape {list(leaf.shape)}, got "
        f"{None if shape is None else list(shape)}."
      )
  if others := set(found) - set(expected):
    raise ValueError(f"{min(others)} is of another network.")


def save(path: str | os.PathLike[str], guide: Guide) -> None:
  """Writes a predictor; the file exists only when it is complete.

  Raises:
    ValueError: for the reasons of `check`.
    OSError: if it cannot be written.
  """
  check(guide)
  header = {
    "kind": KIND,
    "space": guide.space.name,
    "head_width": guide.head_width,
  }
  tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), _tree(guide))
  files.save_tree(path, tree, header, compress=True)


def load(path: str | os.PathLike[str], space: SearchSpace) -> Guide:
  """Reads what `save` wrote.

  Args:
    path: the file.
    space: of which it must predict.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  header = files.read_header(path, KIND)
  with files.reading(path, KIND):
    if header["space"] != space.name:
      found = files.one_line(repr(header["space"]))
      raise ValueError(f"it predicts of the space {found}, not {space.name}")
    head_width = int(header["head_width"])
    like = _shapes(space, head_width)
    tree, _ = files.load_tree(path, like, kind=KIND, max_bytes=_MAX_BYTES)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)):
      raise ValueError("some of its weights are not finite")
    return Guide(space, head_width, tree["params"], tree["encoder"])


def _tree(guide: Guide) -> dict:
  return {"params": guide.params, "encoder": guide.encoder}


def _shapes(space: SearchSpace, head_width: int) -> dict:
  """Shapes of the published network's weights, as 32 bits."""
  key = jax.random.key(0)
  made = {
    "params": jax.eval_shape(network(space, head_width).init, key),
    "encoder": jax.eval_shape(set_encoder.set_encoder().init, key),
  }
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), made
  )
