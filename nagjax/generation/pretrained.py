"""Weights of pretrained graph generators as files, see `weights`.

Arrays have the leading axis `C` of `GraphLayout.num_graphs`; the header has the
space, its layout and notes on how the weights came about.
"""

import os
from typing import Any
from typing import NamedTuple

import jax

from nagjax import files
from nagjax.generation import retraining
from nagjax.generation import weights
from nagjax.networks.generator import Params
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.spaces.layouts import GraphLayout

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
  """What the file of a space is called, `agnet_<space>.npz`, `-` for `/`."""
  return f"agnet_{space.name.replace('/', '-')}.npz"


def save(
  path: str | os.PathLike[str], space: SearchSpace, pretrained: Pretrained
) -> None:
  """Writes weights; the file exists only when it is complete.

  Raises:
    ValueError: if they are not those of a generator of the space.
  """
  check_params(pretrained.params, space)
  header = {**_identity(space), "notes": pretrained.notes}
  weights.save(path, pretrained.params, header)


def load(path: str | os.PathLike[str], space: SearchSpace) -> Pretrained:
  """Reads what `save` wrote for the space.

  Raises:
    ValueError: if the file is missing, damaged, something else, or of another
      space or layout.
  """
  layout = require_layout(space)
  params, header = weights.load(
    path,
    _identity(space),
    lambda header: _like(layout),
    what=f"generator of {space.name}",
    command=command(space),
  )
  return Pretrained(params, header["notes"])


def save_pretrained(
  space: SearchSpace,
  pretrained: Pretrained,
  directory: str | os.PathLike[str],
) -> None:
  """Writes weights where searches of the space look for them.

  Args:
    space: the space.
    pretrained: what `pretrain` returns.
    directory: an existing one, the `data_dir` of searches.

  Raises:
    ValueError: if they are not those of a generator of the space.
  """
  save(files.expand(directory) / file_name(space), space, pretrained)


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
  with weights.find(
    file_name(space),
    directory,
    what=f"generator of {space.name}",
    command=command(space, directory),
  ) as path:
    return load(path, space)


def command(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> str:
  """The command that trains a generator of the space and writes its file.

  Args:
    space: the space.
    directory: where the file belongs; the user's choice if None.
  """
  return weights.command_of(
    "train_generator", space.name, file_name(space), directory
  )


def check_params(params: Params, space: SearchSpace) -> None:
  """Checks that weights are those of a generator of the space.

  Raises:
    ValueError: if they are not.
  """
  expected = _like(require_layout(space))
  try:
    weights.check_shapes(params, expected)
  except ValueError as error:
    raise ValueError(f"In a generator of {space.name}, {error}.") from error


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
