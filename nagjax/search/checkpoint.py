"""Saving and restoring pytrees of arrays: states, ledgers and keys."""

import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files


def save(path: str | os.PathLike[str], tree: Any) -> None:
  """Writes the leaves of a pytree to an `.npz` file, atomically.

  Typed keys are stored as their data. The structure is not stored: `load` takes
  it from a template.
  """
  arrays = {}
  for i, leaf in enumerate(jax.tree.leaves(tree)):
    if _is_key(leaf):
      leaf = jax.random.key_data(leaf)
    arrays[f"leaf_{i:04d}"] = np.asarray(leaf)
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
    ValueError: if it is damaged, or does not hold what the template describes.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there.")
  arrays = files.read_arrays(path)
  leaves, structure = jax.tree.flatten(template)
  names = [f"leaf_{i:04d}" for i in range(len(leaves))]
  if sorted(arrays) != names:
    raise ValueError(
      f"{path} must hold {len(names)} arrays, got {len(arrays)}: it was saved "
      "by another algorithm, configuration or version."
    )
  restored = [
    _restore(path, name, arrays[name], leaf)
    for name, leaf in zip(names, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, restored)


def _restore(
  path: pathlib.Path, name: str, array: np.ndarray, leaf: Any
) -> jax.Array:
  if _is_key(leaf):
    array = jax.random.wrap_key_data(jnp.asarray(array))
  if array.shape != leaf.shape or array.dtype != leaf.dtype:
    raise ValueError(
      f"{path}: {name} must be {leaf.dtype}{list(leaf.shape)}, got "
      f"{array.dtype}{list(array.shape)}: it was saved by another algorithm, "
      "configuration or version."
    )
  return jnp.asarray(array)


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
