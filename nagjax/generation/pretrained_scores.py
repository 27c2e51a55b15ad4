"""Weights of trained score models as files, see `weights`.

The header has the space, the options of the model and notes on how the weights
came about.
"""

import dataclasses
import os
from typing import Any
from typing import NamedTuple

import jax

from nagjax import files
from nagjax.generation import score_models
from nagjax.generation import weights
from nagjax.generation.score_models import Config
from nagjax.spaces.base import SearchSpace
from nagjax.types import Params

KIND = "nagjax score model"
MAX_LAYERS = 1000
"""Of a model in a file: building more would not end."""


class TrainedScore(NamedTuple):
  """A score model that has been trained.

  Attributes:
    config: width, depth and path of noise, of which the model was built.
    params: its weights.
    notes: as JSON: how they were trained, and what they generate.
  """

  config: Config
  params: Params
  notes: dict[str, Any]


def file_name(space: SearchSpace) -> str:
  """What the file of a space is called, `score_<space>.npz`, `-` for `/`."""
  return f"score_{space.name.replace('/', '-')}.npz"


def save(
  path: str | os.PathLike[str], space: SearchSpace, trained: TrainedScore
) -> None:
  """Writes weights; the file exists only when it is complete.

  Raises:
    ValueError: if they are not those of such a model of the space.
  """
  weights.check_shapes(trained.params, _like(space, trained.config))
  header = {
    **_identity(space),
    "config": dataclasses.asdict(trained.config),
    "notes": trained.notes,
  }
  weights.save(path, trained.params, header)


def load(path: str | os.PathLike[str], space: SearchSpace) -> TrainedScore:
  """Reads what `save` wrote for the space.

  Raises:
    ValueError: if the file is missing, damaged, something else, or of another
      space.
  """
  params, header = weights.load(
    path,
    _identity(space),
    lambda header: _like(space, _config(header)),
    what=f"score model of {space.name}",
    command=command(space),
  )
  return TrainedScore(_config(header), params, header["notes"])


def save_trained_score(
  space: SearchSpace,
  trained: TrainedScore,
  directory: str | os.PathLike[str],
) -> None:
  """Writes weights where searches of the space look for them.

  Args:
    space: the space.
    trained: what `train_score_model` returns; the network must be nagjax's own.
    directory: an existing one, the `data_dir` of searches.

  Raises:
    ValueError: if they are not those of such a model of the space.
  """
  save(files.expand(directory) / file_name(space), space, trained)


def load_trained_score(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> TrainedScore:
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
    what=f"score model of {space.name}",
    command=command(space, directory),
  ) as path:
    return load(path, space)


def command(
  space: SearchSpace, directory: str | os.PathLike[str] | None = None
) -> str:
  """The command that trains a score model of the space and writes its file.

  Args:
    space: the space.
    directory: where the file belongs; the user's choice if None.
  """
  return weights.command_of(
    "train_score", space.name, file_name(space), directory
  )


def _identity(space: SearchSpace) -> dict[str, Any]:
  """What tells weights of one space from those of another."""
  return {"kind": KIND, "space": space.name}


def _config(header: dict[str, Any]) -> Config:
  """The options in a header, of a size that can be built."""
  options = dict(header["config"])
  # Files of before the American spelling, two of which ship.
  if options.get("mask") == "neighbours":
    options["mask"] = "neighbors"
  config = Config(**options)
  if config.num_layers > MAX_LAYERS:
    raise ValueError(f"num_layers is {config.num_layers}, above {MAX_LAYERS}")
  return config


def _like(space: SearchSpace, config: Config) -> Params:
  """Shapes of the weights."""
  model = score_models.score_model(space, config)
  return jax.eval_shape(model.init, jax.random.key(0))
