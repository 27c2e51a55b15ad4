"""Saving and restoring pytrees of arrays: states, ledgers and keys."""

import os
from typing import Any

import jax
import numpy as np

from nagjax import files

KIND = "nagjax checkpoint"


class CheckpointError(ValueError):
  """A file that is damaged, or holds something else than was asked for."""


def save(path: str | os.PathLike[str], tree: Any) -> None:
  """Writes a pytree of arrays and typed keys to an `.npz` file, atomically.

  Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   path = os.path.join(folder, "state.npz")
    ...   save(path, {"best": np.asarray([1.0, 2.0])})
    ...   print(load(path, {"best": np.zeros(2)}), read_leaves(path))
    {'best': Array([1., 2.], dtype=float32)} [array([1., 2.])]
  """
  files.save_tree(path, tree, {"kind": KIND})


def load(path: str | os.PathLike[str], template: Any) -> Any:
  """Reads a pytree that `save` wrote.

  Args:
    path: the file.
    template: a pytree of arrays, or of `jax.eval_shape`, with the shapes and
      dtypes of what was saved, in the same order.

  Returns:
    The saved pytree, in the structure of the template.

  Raises:
    FileNotFoundError: if there is no such file.
    CheckpointError: if it is damaged, or does not hold what the template
      describes.
  """
  leaves, structure = jax.tree.flatten(template)
  record = _read(path)
  if len(record.arrays) != len(leaves):
    raise CheckpointError(
      f"{os.fspath(path)} must hold {len(leaves)} arrays, got "
      f"{len(record.arrays)}: it was saved by another algorithm, configuration "
      "or version."
    )
  try:
    restored = [
      files.restore_leaf(path, name, record, leaf)
      for name, leaf in zip(record.arrays, leaves, strict=True)
    ]
  except files.FileError as error:
    raise CheckpointError(str(error)) from error
  return jax.tree.unflatten(structure, restored)


def read_leaves(path: str | os.PathLike[str]) -> list[np.ndarray]:
  """The arrays of a file that `save` wrote, in their order.

  Their shapes are those that were saved, and `uint32[..., 2]` of typed keys.

  Raises:
    FileNotFoundError: if there is no such file.
    CheckpointError: if it is damaged, or none that `save` wrote.
  """
  return list(_read(path).arrays.values())


def _read(path: str | os.PathLike[str]) -> files.Record:
  if not files.expand(path).is_file():
    raise FileNotFoundError(f"{os.fspath(path)} is not there.")
  try:
    return files.read_record(path, kind=KIND)
  except files.FileError as error:
    raise CheckpointError(f"{error} Delete it to begin again.") from error
