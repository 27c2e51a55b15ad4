"""What surrogate models read: architectures as vectors of numbers.

The encoding `nasbench301` is the vector that the published boosted trees of
NAS-Bench-301 were fitted to (Zela et al., "Surrogate NAS Benchmarks", ICLR
2022, https://arxiv.org/abs/2008.09777): the numeric form of a ConfigSpace
configuration that holds the cells and all settings of the training. A number
is scaled to 0..1 by the bounds of its setting, a choice is its position, a
constant is 0, a normally distributed setting is its logarithm, and what does
not apply is -1. The settings are those of every query of that benchmark.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import darts
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs


def _scaled(
  value: float, low: float, high: float, *, log: bool = False
) -> float:
  """Position of a value between two bounds, 0..1."""
  if log:
    value, low, high = math.log(value), math.log(low), math.log(high)
  return (value - low) / (high - low)


def _scaled_int(value: int, low: int, high: int, *, log: bool = False) -> float:
  """The same for integers, each the middle of a range nearly one wide."""
  return _scaled(value, low - 0.49999, high + 0.49999, log=log)


_SCHEDULE = "SimpleLearningrateSchedulerSelector:"
_DARTS = "NetworkSelectorDatasetInfo:darts:"
_NUM_ALWAYS_ACTIVE = 10  # Of the columns of darts.to_configspace.

# NAS-Bench-301 replaces the bounds of layers, channels, T_max and eta_min in
# its own configspace.json by 1..10000 and 0..10000.
_SETTINGS = {
  "CreateImageDataLoader:batch_size": _scaled_int(96, 64, 128, log=True),
  "ImageAugmentation:augment": 0.0,
  "ImageAugmentation:autoaugment": 0.0,
  "ImageAugmentation:cutout": 0.0,
  "ImageAugmentation:cutout_holes": _scaled_int(1, 1, 3),
  "ImageAugmentation:cutout_length": _scaled_int(16, 1, 50),
  "ImageAugmentation:fastautoaugment": 0.0,
  "LossModuleSelectorIndices:loss_module": 0.0,
  f"{_DARTS}auxiliary": 0.0,
  f"{_DARTS}drop_path_prob": 0.0,
  f"{_DARTS}init_channels": _scaled_int(32, 1, 10000),
  f"{_DARTS}layers": _scaled_int(8, 1, 10000),
  "NetworkSelectorDatasetInfo:network": 0.0,
  "OptimizerSelector:optimizer": 0.0,
  "OptimizerSelector:sgd:learning_rate": math.log(0.025),
  "OptimizerSelector:sgd:momentum": _scaled(0.9, 0.1, 0.99),
  "OptimizerSelector:sgd:weight_decay": math.log(0.0003),
  f"{_SCHEDULE}cosine_annealing:T_max": _scaled_int(100, 1, 10000),
  f"{_SCHEDULE}cosine_annealing:eta_min": _scaled(1e-8, 0.0, 10000.0),
  f"{_SCHEDULE}lr_scheduler": 0.0,
  "SimpleTrainNode:batch_loss_computation_technique": 0.0,
  "SimpleTrainNode:mixup:alpha": _scaled(0.2, 0.01, 0.7, log=True),
}


def _nasbench301_names() -> tuple[tuple[str, ...], np.ndarray]:
  """Names of all columns, and where each is behind `darts.to_configspace`."""
  names = [_DARTS + name for name in darts.CONFIGSPACE_NAMES]
  names += _SETTINGS
  conditional = range(_NUM_ALWAYS_ACTIVE, len(darts.CONFIGSPACE_NAMES))
  order = sorted(range(len(names)), key=lambda i: (i in conditional, names[i]))
  return tuple(names[i] for i in order), np.asarray(order)


NASBENCH301_NAMES, _NASBENCH301_ORDER = _nasbench301_names()
"""Columns of the encoding `nasbench301`: what is always active by name, then
what depends on it."""


def _options(space: SearchSpace, archs: Archs) -> jax.Array:
  """One-hot options of all variables, flattened."""
  return jax.lax.collapse(space.one_hot(archs), -2)


def _graph(space: SearchSpace, archs: Archs) -> jax.Array:
  """Labels and adjacency of the graph, flattened."""
  flat = [jax.lax.collapse(part, -2) for part in space.to_graph(archs)]
  return jnp.concatenate(flat, axis=-1)


def _motifs(space: SearchSpace, archs: Archs) -> jax.Array:
  """Options; counts of labels, and of edges between two labels."""
  nodes, adjacency = space.to_graph(archs)
  into = jnp.matmul(adjacency, nodes, precision="highest")
  between = jnp.matmul(jnp.swapaxes(nodes, -1, -2), into, precision="highest")
  counts = jnp.sum(nodes, axis=-2)
  parts = [_options(space, archs), counts, jax.lax.collapse(between, -2)]
  return jnp.concatenate(parts, axis=-1)


def _configspace(space: SearchSpace, archs: Archs) -> jax.Array:
  """The cells of NAS-Bench-301's encoding; NaN for what does not apply."""
  _require_darts(space)
  return darts.to_configspace(archs)


def _cells(space: SearchSpace, archs: Archs) -> jax.Array:
  """The same, and counts and depths."""
  _require_darts(space)
  parts = [darts.to_configspace(archs), darts.to_statistics(archs)]
  return jnp.concatenate(parts, axis=-1)


def _nasbench301(space: SearchSpace, archs: Archs) -> jax.Array:
  """All 56 numbers that NAS-Bench-301 shows to its boosted trees."""
  _require_darts(space)
  cells = darts.to_configspace(archs)
  cells = jnp.where(jnp.isnan(cells), -1.0, cells)
  settings = jnp.asarray(list(_SETTINGS.values()), jnp.float32)
  settings = jnp.broadcast_to(settings, (*archs.shape[:-1], len(_SETTINGS)))
  columns = jnp.concatenate([cells, settings], axis=-1)
  return columns[..., jnp.asarray(_NASBENCH301_ORDER)]


def _require_darts(space: SearchSpace) -> None:
  if space.name != "darts":
    raise ValueError(f"the encoding is for the space darts, got {space.name}.")


ENCODINGS: dict[str, Callable[[SearchSpace, Archs], jax.Array]] = {
  "cells": _cells,
  "configspace": _configspace,
  "graph": _graph,
  "motifs": _motifs,
  "nasbench301": _nasbench301,
  "options": _options,
}
"""Feature vectors by name, `(space, int32[..., L]) -> f32[..., F]`."""


def encode(encoding: str, space: SearchSpace, archs: Archs) -> jax.Array:
  """Features of canonical architectures, so that the same have the same.

  Args:
    encoding: a key of `ENCODINGS`.
    space: the search space.
    archs: `int32[..., L]`.

  Returns:
    `f32[..., F]`.

  Raises:
    ValueError: if the encoding is for another space.
  """
  return ENCODINGS[encoding](space, space.canonicalize(archs))
