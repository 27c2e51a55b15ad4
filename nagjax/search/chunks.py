"""Files of the finished chunks of a sweep, so that it goes on after a kill."""

from collections.abc import Callable
import functools
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from nagjax import arrays
from nagjax import files
from nagjax.search import checkpoint
from nagjax.search.driver import WarmStart
from nagjax.search.running import Search
from nagjax.search.saved import describe
from nagjax.search.traces import Trace


class SavedChunks:
  """A directory with a file for every finished chunk.

  A chunk is found again by its place in the sweep and by what was asked: by its
  keys and params, the budget, the problem's names and the warm start. What an
  algorithm or a table holds besides is not compared; a caller that may change
  them takes another directory.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    search: Search,
    warm_start: WarmStart | None,
    template: Callable[[], Any],
  ):
    """Makes the directory.

    Args:
      directory: of one sweep.
      search: what runs.
      warm_start: evaluated in the place of every initial design.
      template: makes trace and info of a chunk, of any shape.
    """
    self._directory = files.expand(directory)
    self._directory.mkdir(parents=True, exist_ok=True)
    self._template = template
    self._asked = describe(search.problem, warm_start) | {
      "budget": search.budget,
      "number of rounds": search.num_rounds,
    }

  def save(self, start: int, lanes: Any, chunk: tuple[Trace, Any]) -> None:
    """Writes trace and info of the lanes that begin with number `start`."""
    tree = (self._describe(lanes), *jax.tree.leaves(chunk))
    checkpoint.save(self._path(start), tree)

  def load(self, start: int, lanes: Any) -> tuple[Trace, Any] | None:
    """Reads a chunk; None if it is not there, or of another question.

    Raises:
      checkpoint.CheckpointError: if its file is damaged.
    """
    path = self._path(start)
    if not path.is_file():
      return None
    asked, *leaves = checkpoint.read_leaves(path)
    if not np.array_equal(asked, self._describe(lanes)):
      return None
    return jax.tree.unflatten(self._structure, leaves)

  @functools.cached_property
  def _structure(self) -> Any:
    return jax.tree.structure(self._template())

  def _path(self, start: int) -> pathlib.Path:
    return self._directory / f"lanes_{start:09}.npz"

  def _describe(self, lanes: Any) -> np.ndarray:
    asked = self._asked | {"lanes": arrays.digest(lanes)}
    return np.frombuffer(json.dumps(asked).encode(), np.uint8)
