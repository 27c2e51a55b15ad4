"""Trained networks as files: saved with their architecture, applied by name.

A file is a `.npz` without pickles: one array for each leaf of the model, in
order, and a JSON header with the official architecture string, the network
around it, and what the images were normalized by.
"""

import json
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
  header = {
    "kind": KIND,
    "architecture": trained.architecture,
    "config": {
      "image_shape": list(trained.config.image_shape),
      "num_classes": trained.config.num_classes,
      "num_channels": trained.config.num_channels,
      "num_cells": trained.config.num_cells,
    },
    "notes": trained.notes,
  }
  leaves = jax.tree.leaves(jax.device_get(trained.model))
  arrays: dict[str, Any] = {
    f"leaf_{number:03d}": np.asarray(leaf) for number, leaf in enumerate(leaves)
  }
  arrays |= {
    "mean": np.asarray(trained.mean),
    "deviation": np.asarray(trained.deviation),
    "header": np.asarray(json.dumps(header, sort_keys=True)),
  }
  with files.atomic_path(path) as temporary:
    np.savez(temporary, **arrays)


def load(path: str | os.PathLike[str]) -> Trained:
  """Reads what `save` wrote.

  Raises:
    ValueError: if the file is missing, damaged, or something else.
  """
  arrays = files.read_arrays(path)
  try:
    header = json.loads(str(arrays["header"]))
    if header["kind"] != KIND:
      raise ValueError(f"its kind is {header['kind']!r}")
    shape = tuple(header["config"]["image_shape"])
    config = cells.Config(**{**header["config"], "image_shape": shape})
    arch = jnp.asarray(nasbench201.from_string(header["architecture"]))
    like = jax.eval_shape(
      lambda key: cells.init(key, arch, config), jax.random.key(0)
    )
    expected, structure = jax.tree.flatten(like)
    leaves = [arrays[f"leaf_{number:03d}"] for number in range(len(expected))]
    if any(a.shape != b.shape for a, b in zip(leaves, expected, strict=True)):
      raise ValueError("its weights have other shapes than its network")
    if {arrays[name].shape for name in ("mean", "deviation")} != {shape[-1:]}:
      raise ValueError("its mean and deviation are not those of its channels")
    return Trained(
      architecture=header["architecture"],
      config=config,
      model=jax.tree.unflatten(structure, map(jnp.asarray, leaves)),
      mean=jnp.asarray(arrays["mean"]),
      deviation=jnp.asarray(arrays["deviation"]),
      notes=header["notes"],
    )
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} is no network that nagjax saved ({error})."
    ) from error
