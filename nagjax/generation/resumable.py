"""Trainings that may be killed at any time and continue to the same bits.

A training is a number of chunks. After each its state lies in one file, whose
header says of what settings it is; whoever calls again with the same settings
goes on there.
"""

from collections.abc import Callable
from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files

KIND = "nagjax training"
STATE = "state.npz"
METRICS = "metrics.csv"

ProgressFn = Callable[[int, int, Mapping[str, float]], None]
"""Takes the chunks that are done, all of them, and the last one's measures
(none at the beginning)."""

AdvanceFn = Callable[[jax.Array, Any], tuple[Any, Mapping[str, Any]]]
"""`(number of the chunk, state) -> (state, measures)`, numbers by name."""


class Saved(NamedTuple):
  """A training between two chunks.

  Attributes:
    num_chunks: `int32[]` chunks that are done.
    state: what is trained.
    history: by measure, `f32[chunks]` after each chunk; 0 where there is none
      yet.
  """

  num_chunks: jax.Array
  state: Any
  history: dict[str, jax.Array]


def run(
  first_fn: Callable[[], Any],
  advance_fn: AdvanceFn,
  num_chunks: int,
  *,
  measures: tuple[str, ...],
  chunk_size: int,
  settings: dict[str, Any],
  directory: str | os.PathLike[str] | None = None,
  on_progress: ProgressFn | None = None,
) -> Saved:
  """Trains on from what the directory has, or from the beginning.

  With a directory, the measures of every chunk lie there as `metrics.csv`.

  Args:
    first_fn: makes the state at the beginning.
    advance_fn: does a chunk; its randomness depends on the number only.
    num_chunks: in all.
    measures: names of what a chunk is measured by, the first of them a loss.
    chunk_size: steps of a chunk.
    settings: as JSON, all that the result depends on.
    directory: for the state, created if missing; nothing is saved if None.
    on_progress: called at the beginning and after every chunk.

  Raises:
    ValueError: if the directory has a training of other settings, or a file
      that cannot be read.
    FloatingPointError: if the loss is not finite.
  """

  def begin() -> Saved:
    history = {name: jnp.zeros(num_chunks) for name in measures}
    return Saved(jnp.int32(0), first_fn(), history)

  settings = json.loads(json.dumps(settings))
  saved = None
  if directory is not None:
    directory = files.expand(directory)
    directory.mkdir(parents=True, exist_ok=True)
    files.remove_stale(directory)
    if (directory / STATE).exists():
      saved = _load(directory / STATE, jax.eval_shape(begin), settings)
  if on_progress is not None:
    on_progress(0 if saved is None else int(saved.num_chunks), num_chunks, {})
  if saved is None:
    saved = jax.jit(begin)()
  for chunk in range(int(saved.num_chunks), num_chunks):
    state, found = advance_fn(jnp.int32(chunk), saved.state)
    loss = float(found[measures[0]])
    if not np.isfinite(loss):
      raise FloatingPointError(
        f"The training diverged in chunk {chunk + 1} of {num_chunks}: the loss "
        f"is {loss}. Choose a smaller learning rate, and another directory."
      )
    history = {
      name: column.at[chunk].set(jnp.float32(found[name]))
      for name, column in saved.history.items()
    }
    saved = Saved(jnp.int32(chunk + 1), state, history)
    if directory is not None:
      header = {"kind": KIND, "settings": settings}
      files.save_tree(directory / STATE, saved, header)
      _write_metrics(directory / METRICS, saved, chunk_size)
    if on_progress is not None:
      last = {name: float(column[chunk]) for name, column in history.items()}
      on_progress(chunk + 1, num_chunks, last)
  if directory is not None:
    # Once more: a kill may have come between the two files.
    _write_metrics(directory / METRICS, saved, chunk_size)
  return saved


def short(value: Any) -> float:
  """A number for notes and tables, to six decimals."""
  return round(float(value), 6)


def _load(
  path: pathlib.Path, template: Saved, settings: dict[str, Any]
) -> Saved:
  found = files.read_header(path, KIND).get("settings")
  if found != settings:
    raise ValueError(
      f"{path} is of other settings ({files.one_line(json.dumps(found))}); "
      "choose another directory, or delete that file."
    )
  return files.load_tree(path, template, kind=KIND)[0]


def _write_metrics(path: pathlib.Path, saved: Saved, chunk_size: int) -> None:
  """All chunks so far as CSV; the file is always complete."""
  history = jax.device_get(saved.history)
  lines = [",".join(["step", *history])]
  for chunk in range(int(saved.num_chunks)):
    row = [short(column[chunk]) for column in history.values()]
    lines.append(",".join(map(str, [(chunk + 1) * chunk_size, *row])))
  with files.atomic_path(path) as temporary:
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
