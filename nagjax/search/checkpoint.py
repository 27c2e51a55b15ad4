"""Saving and restoring pytrees of arrays: states, ledgers and keys."""

import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files


class CheckpointError(ValueError):
  """A file that is damaged, or holds something else than was asked for."""


def save(path: str | os.PathLike[str], tree: Any) -> None:
  """Writes the leaves of a pytree to an `.npz` file, atomically.

  Typed keys are stored as their data. The structure is not stored: `load` takes
  it from a template.
  """
  arrays = {}
  for i, leaf in enumerate(jax.tree.leaves(tree)):
    if _is_key(leaf):
      leaf = jax.random.key_data(leaf)
    arrays[_leaf_name(i)] = np.asarray(leaf)
  with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)  # type: ignore[arg-type]


def load(path: str | os.PathLike[str], template: Any) -> Any:
  """Reads a pytree that `save` wrote.

  Args:
    path: the file.
    template: a pytree of arrays, or of `jax.eval_shape`, with the structure,
      shapes and dtypes of what was saved.

  Returns:
    The saved pytree.

  Raises:
    FileNotFoundError: if there is no such file.
    CheckpointError: if it is damaged, or does not hold what the template
      describes.
  """
  path = pathlib.Path(path)
  leaves, structure = jax.tree.flatten(template)
  arrays = read_leaves(path)
  if len(arrays) != len(leaves):
    raise CheckpointError(
      f"{path} must hold {len(leaves)} arrays, got {len(arrays)}: it was saved "
      "by another algorithm, configuration or version."
    )
  restored = [
    _restore(path, i, array, leaf)
    for i, (array, leaf) in enumerate(zip(arrays, leaves, strict=True))
  ]
  return jax.tree.unflatten(structure, restored)


def read_leaves(path: str | os.PathLike[str]) -> list[np.ndarray]:
  """The arrays of a file that `save` wrote, in their order; keys as their data.

  Raises:
    FileNotFoundError: if there is no such file.
    CheckpointError: if it is damaged, or none that `save` wrote.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there.")
  try:
    arrays = files.read_arrays(path)
  except ValueError as error:
    raise CheckpointError(f"{error} Delete it to begin again.") from error
  names = [_leaf_name(i) for i in range(len(arrays))]
  if sorted(arrays) != names:
    raise CheckpointError(f"{path} was saved by something else.")
  return [arrays[name] for name in names]


def _leaf_name(i: int) -> str:
  return f"leaf_{i:04d}"


def _restore(
  path: pathlib.Path, i: int, array: np.ndarray, leaf: Any
) -> jax.Array:
  if _is_key(leaf):
    array = jax.random.wrap_key_data(jnp.asarray(array))
  if array.shape != leaf.shape or array.dtype != leaf.dtype:
    raise CheckpointError(
      f"{path}: {_leaf_name(i)} must be {leaf.dtype}{list(leaf.shape)}, got "
      f"{array.dtype}{list(array.shape)}: it was saved by another algorithm, "
      "configuration or version."
    )
  return jnp.asarray(array)


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
