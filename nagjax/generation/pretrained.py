"""Weights of pretrained generators as files, and where they are found.

A file is a `.npz` without pickles: one float32 array for each leaf of the
weights, called by its place (`forward.0.message.weight`), with the leading axis
`C` of `GraphLayout.num_graphs`, and a JSON header with the space, its layout
and notes on how the weights came about.
"""

import importlib.resources
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.generation import retraining
from nagjax.networks.generator import Params
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import SearchSpace

KIND = "nagjax graph generator"


class Pretrained(NamedTuple):
  """Weights, and what is known about them.

  Attributes:
    params: leading axis `C`, one generator for each graph of an architecture.
    notes: as JSON: how they were trained, and what they generate.
  """

  params: Params
  notes: dict[str, Any]


def file_name(space: SearchSpace) -> str:
  """What the file of a space is called, `agnet_<space>.npz`."""
  return f"agnet_{space.name}.npz"


def save(
  path: str | os.PathLike[str], space: SearchSpace, pretrained: Pretrained
) -> None:
  """Writes weights; the file exists only when it is complete.

  Raises:
    ValueError: if they are not those of a generator of the space.
  """
  check_params(pretrained.params, space)
  arrays: dict[str, Any] = {
    name: np.asarray(leaf, np.float32)
    for name, leaf in _by_name(pretrained.params).items()
  }
  header = {**_identity(space), "notes": pretrained.notes}
  text = json.dumps(header, sort_keys=True, allow_nan=False)
  with files.atomic_path(path) as temporary:
    np.savez(temporary, **arrays, header=np.asarray(text))


def load(path: str | os.PathLike[str], space: SearchSpace) -> Pretrained:
  """Reads what `save` wrote for the space.

  Raises:
    ValueError: if the file is missing, damaged, something else, or of another
      space or layout.
  """
  layout = require_layout(space)
  arrays: dict[str, Any] = files.read_arrays(path)
  try:
    header = json.loads(str(arrays.pop("header")))
    for key, wanted in _identity(space).items():
      if header[key] != wanted:
        raise ValueError(f"its {key} is {header[key]!r}, not {wanted!r}")
    like = _like(layout)
    _check_shapes(arrays, _by_name(like), space)
    if not all(np.isfinite(array).all() for array in arrays.values()):
      raise ValueError("some of its weights are not finite")
    notes = dict(header["notes"])
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} holds no generator of {space.name} ({error}); make one by "
      f"`{command(space)}`."
    ) from error
  leaves = [jnp.asarray(arrays[name], jnp.float32) for name in _by_name(like)]
  return Pretrained(jax.tree.unflatten(jax.tree.structure(like), leaves), notes)


def load_pretrained(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> Pretrained:
  """Finds and reads the weights of a space.

  Args:
    space: the space.
    directory: where files of the user are; one of its weights wins over the
      package's. See `benchmarks.data_directory`.

  Raises:
    FileNotFoundError: if there are none, with the command that makes them.
    ValueError: if the file that was found cannot be used.
  """
  name = file_name(space)
  if directory is not None:
    own = pathlib.Path(directory, name)
    if own.is_file():
      return load(own, space)
  shipped = importlib.resources.files("nagjax.generation") / "data" / name
  if not shipped.is_file():
    where = "" if directory is None else f"{os.fspath(directory)} and in "
    raise FileNotFoundError(
      f"No pretrained generator of {space.name}: expected {name} in {where}the "
      f"package. Make it by `{command(space, directory)}`."
    )
  with importlib.resources.as_file(shipped) as path:
    return load(path, space)


def command(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> str:
  """The command that trains a generator of the space and writes its file.

  Args:
    space: the space.
    directory: where the file belongs; the user's choice if None.
  """
  output = pathlib.Path(directory or "DATA_DIR", file_name(space))
  return (
    f"python -m experiments.train_generator --space={space.name} "
    f"--output={output}"
  )


def check_params(params: Params, space: SearchSpace) -> None:
  """Checks that weights are those of a generator of the space.

  Raises:
    ValueError: if they are not.
  """
  expected = _by_name(_like(require_layout(space)))
  _check_shapes(_by_name(params), expected, space)


def require_layout(space: SearchSpace) -> GraphLayout:
  """The layout of a space that has one.

  Raises:
    ValueError: if it has none.
  """
  if space.layout is None:
    raise ValueError(f"{space.name} has no layout of graphs to generate.")
  return space.layout


def _identity(space: SearchSpace) -> dict[str, Any]:
  """What tells weights of one layout from those of another."""
  layout = require_layout(space)
  return {
    "kind": KIND,
    "space": space.name,
    "labels": list(layout.labels),
    "num_nodes": layout.num_nodes,
    "num_graphs": layout.num_graphs,
    "num_rounds": len(_like(layout).forward),
  }


def _like(layout: GraphLayout) -> Params:
  """Shapes of the weights."""
  keys = jax.random.split(jax.random.key(0), layout.num_graphs)
  return jax.eval_shape(jax.vmap(retraining.make_generator(layout).init), keys)


def _by_name(params: Params) -> dict[str, Any]:
  """Leaves by their place, in the order of the tree."""
  leaves, _ = jax.tree.flatten_with_path(params)
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): leaf
    for path, leaf in leaves
  }


def _check_shapes(
  found: dict[str, Any], expected: dict[str, Any], space: SearchSpace
) -> None:
  for name in sorted({*found, *expected}):
    shapes = [
      list(group[name].shape) if name in group else None
      for group in (found, expected)
    ]
    if shapes[0] != shapes[1]:
      raise ValueError(
        f"{name} must have the shape {shapes[1]} in a generator of "
        f"{space.name}, got {shapes[0]}"
      )
