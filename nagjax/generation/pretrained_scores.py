"""Weights of trained score models as files, see `weights`.

The header has the space, the options of the model and notes on how the weights
came about.
"""

import dataclasses
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax

from nagjax.generation import score_models
from nagjax.generation import weights
from nagjax.generation.score_models import Config
from nagjax.spaces.base import SearchSpace
from nagjax.types import Params

KIND = "nagjax score model"


class TrainedScore(NamedTuple):
  """A score model that has been trained.

  Attributes:
    config: options of the model.
    params: its weights.
    notes: as JSON: how they were trained, and what they generate.
  """

  config: Config
  params: Params
  notes: dict[str, Any]


def file_name(space: SearchSpace) -> str:
  """What the file of a space is called, `score_<space>.npz`."""
  return f"score_{space.name}.npz"


def save(
  path: str | os.PathLike[str], space: SearchSpace, trained: TrainedScore
) -> None:
  """Writes weights; the file exists only when it is complete.

  Raises:
    ValueError: if they are not those of such a model of the space.
  """
  weights.check_shapes(
    weights.by_name(trained.params),
    weights.by_name(_like(space, trained.config)),
  )
  header = {
    "kind": KIND,
    "space": space.name,
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
  try:
    arrays, header = weights.read(path)
    for key, wanted in (("kind", KIND), ("space", space.name)):
      if header[key] != wanted:
        raise ValueError(f"its {key} is {header[key]!r}, not {wanted!r}")
    config = Config(**header["config"])
    params = weights.restore(arrays, _like(space, config))
    return TrainedScore(config, params, dict(header["notes"]))
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} holds no score model of {space.name} ({error}); make one by "
      f"`{command(space)}`."
    ) from error


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
  output = pathlib.Path(directory or "DATA_DIR", file_name(space))
  return (
    f"python -m experiments.train_score --space={space.name} --output={output}"
  )


def _like(space: SearchSpace, config: Config) -> Params:
  """Shapes of the weights."""
  model = score_models.score_model(space, config)
  return jax.eval_shape(model.init, jax.random.key(0))
