"""Files of triplets: a task, an architecture, what the task says of it.

What a predictor that reads images learns from. A file has no images, it says
which of which image file each task has, so that any extractor of features may
look at them afterwards.
"""

import os
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax.candidates.tasks import Task
from nagjax.files import Declared

KIND = "nagjax triplets"
METRICS = ("valid_accuracy", "valid_cross_entropy", "valid_probability")
"""Of an architecture on the task's images to choose by, see `train.Metrics`."""
COLUMNS = ("ops", *METRICS, "failed")
"""Of an architecture."""

_MAX_BYTES = 512 << 20


class Triplets(NamedTuple):
  """Architectures and how they do on tasks, `M` of them on `T`.

  Attributes:
    task: `int32[M]`.
    ops: `int8[M, L]` architectures.
    valid_accuracy, valid_cross_entropy, valid_probability: `f32[M]`.
    failed: `bool[M]` whether the training diverged; the rest means nothing.
    tasks: `T` of them.
    source: `int32[T]` from which image file each was drawn.
  """

  task: np.ndarray
  ops: np.ndarray
  valid_accuracy: np.ndarray
  valid_cross_entropy: np.ndarray
  valid_probability: np.ndarray
  failed: np.ndarray
  tasks: tuple[Task, ...]
  source: np.ndarray


def save(
  path: str | os.PathLike[str], found: Triplets, header: dict[str, Any]
) -> None:
  """Writes triplets; the file exists only when it is complete.

  Args:
    path: the `.npz` file.
    found: the triplets.
    header: `sources`, a list of the image files with `name` and `sha256` each,
      and whatever else is to be known, as JSON.

  Raises:
    OSError: if the file cannot be written.
  """
  arrays: dict[str, Any] = {name: getattr(found, name) for name in COLUMNS}
  arrays |= {"task": found.task, "source": found.source}
  arrays["resolution"] = np.asarray([t.resolution for t in found.tasks])
  arrays["gray"] = np.asarray([t.gray for t in found.tasks])
  for name in ("classes", "train", "valid"):
    arrays[name] = _pad([getattr(task, name) for task in found.tasks])
  files.write_record(path, arrays, {**header, "kind": KIND}, compress=True)


def load(path: str | os.PathLike[str]) -> tuple[Triplets, dict[str, Any]]:
  """Reads what `save` wrote, and the header.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  declared = {
    "task": Declared("i", ("M",)),
    "ops": Declared("i", ("M", None)),
    **{name: Declared("f", ("M",)) for name in METRICS},
    "failed": Declared("b", ("M",)),
    "source": Declared("i", ("T",)),
    "resolution": Declared("i", ("T",)),
    "gray": Declared("b", ("T",)),
    **{n: Declared("i", ("T", None)) for n in ("classes", "train", "valid")},
  }
  arrays, header = files.read_record(
    path, declared, kind=KIND, max_bytes=_MAX_BYTES
  )
  num_tasks = len(arrays["source"])
  sources = header.get("sources")
  if not isinstance(sources, list) or not all(
    isinstance(s, dict) and {"name", "sha256"} <= s.keys() for s in sources
  ):
    raise files.FileError(f"{path}: its header names no sources.")
  for name, most in (("task", num_tasks), ("source", len(sources))):
    values = arrays[name]
    if len(values) and not 0 <= values.min() <= values.max() < most:
      raise files.FileError(
        f"{path}: {name} must be from 0 to {most - 1}, got {values.min()} to "
        f"{values.max()}."
      )
  drawn = tuple(
    Task(
      int(arrays["resolution"][number]),
      bool(arrays["gray"][number]),
      *(_unpad(arrays[n][number]) for n in ("classes", "train", "valid")),
    )
    for number in range(num_tasks)
  )
  columns = {name: arrays[name] for name in COLUMNS}
  found = Triplets(
    task=arrays["task"], **columns, tasks=drawn, source=arrays["source"]
  )
  return found, header


def _pad(rows: list[np.ndarray]) -> np.ndarray:
  """Rows of one length, filled up with -1."""
  length = max(map(len, rows))
  return np.stack(
    [np.pad(r, (0, length - len(r)), constant_values=-1) for r in rows]
  ).astype(np.int32)


def _unpad(row: np.ndarray) -> np.ndarray:
  return row[row >= 0]
