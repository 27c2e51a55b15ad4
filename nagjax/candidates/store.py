"""Trained networks as files: saved with their architecture, applied by name.

A file holds the leaves of the model, by what the images were normalized, and a
header with the official architecture string and the network around it.
"""

import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import files
from nagjax.candidates import cells
from nagjax.spaces import nasbench201

KIND = "nagjax trained network"


class Trained(NamedTuple):
  """A trained network.

  Attributes:
    architecture: official string of its cell.
    config: the network around the cell.
    model: weights and running statistics.
    mean, deviation: by which images are normalized, `f32[channels]` each.
    notes: what else is known, as JSON.
  """

  architecture: str
  config: cells.Config
  model: cells.Model
  mean: jax.Array
  deviation: jax.Array
  notes: dict[str, Any]


def predict(trained: Trained, images: jax.Array) -> jax.Array:
  """Logits of raw images, `[B, H, W, C] -> f32[B, num_classes]`.

  Raises:
    ValueError: if the images are not as large as those of the training.
  """
  if jnp.ndim(images) != 4 or images.shape[1:] != trained.config.image_shape:
    raise ValueError(
      f"images must have the shape [B, *{trained.config.image_shape}], got "
      f"{jnp.shape(images)}."
    )
  arch = jnp.asarray(nasbench201.from_string(trained.architecture))
  scale = 1 / trained.deviation
  x = (jnp.asarray(images, jnp.float32) - trained.mean[None, None, None]) * (
    scale[None, None, None]
  )
  return cells.apply(trained.model, arch, x)[0]


def save(path: str | os.PathLike[str], trained: Trained) -> None:
  """Writes a network; the file exists only when it is complete."""
  config = trained.config
  header = {
    "kind": KIND,
    "architecture": trained.architecture,
    "config": {
      "image_shape": list(config.image_shape),
      "num_classes": config.num_classes,
      "num_channels": config.num_channels,
      "num_cells": config.num_cells,
    },
    "notes": trained.notes,
  }
  tree = {
    "model": trained.model,
    "mean": trained.mean,
    "deviation": trained.deviation,
  }
  files.save_tree(path, tree, header)


def load(path: str | os.PathLike[str]) -> Trained:
  """Reads what `save` wrote.

  Raises:
    FileError: if the file is missing, damaged, or something else.
  """
  record = files.read_record(path, kind=KIND)
  arrays, header = record
  with files.reading(path, KIND):
    shape = tuple(header["config"]["image_shape"])
    config = cells.Config(**{**header["config"], "image_shape": shape})
    if config.num_cells > len(arrays):
      raise ValueError(f"it has too few weights for {config.num_cells} cells")
    arch = jnp.asarray(nasbench201.from_string(header["architecture"]))
    expected, structure = jax.tree.flatten(
      jax.eval_shape(
        lambda key: cells.init(key, arch, config), jax.random.key(0)
      )
    )
    # By their order: earlier versions called them by numbers.
    names = [name for name in arrays if name not in ("mean", "deviation")]
    if len(names) != len(expected):
      raise ValueError(f"its network has {len(expected)} arrays of weights")
    leaves = [
      files.restore_leaf(path, name, record, leaf)
      for name, leaf in zip(names, expected, strict=True)
    ]
    channels = jax.ShapeDtypeStruct(shape[-1:], jnp.float32)
    mean, deviation = (
      files.restore_leaf(path, name, record, channels)
      for name in ("mean", "deviation")
    )
    return Trained(
      architecture=header["architecture"],
      config=config,
      model=jax.tree.unflatten(structure, leaves),
      mean=mean,
      deviation=deviation,
      notes=header["notes"],
    )
