"""Pytrees of arrays as files: checkpoints, weights, typed keys."""

from collections.abc import Mapping
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.files.arrays import MAX_BYTES
from nagjax.files.arrays import Declared
from nagjax.files.arrays import Record
from nagjax.files.arrays import read_record
from nagjax.files.arrays import write_record
from nagjax.files.base import FileError
from nagjax.files.base import PathLike
from nagjax.files.base import one_line
from nagjax.files.base import reading

KEYS = "keys"
"""Of the header of a saved tree: implementation of each leaf of typed keys."""


def save_tree(
  path: PathLike,
  tree: Any,
  header: Mapping[str, Any],
  *,
  compress: bool = False,
) -> None:
  """Writes a pytree of arrays: states, weights, typed keys.

  Args:
    path: the `.npz` file.
    tree: of arrays; its dictionaries and records name them.
    header: JSON, with a `kind`; what `load_tree` gives back.
    compress: whether to compress.

  Raises:
    ValueError: if two leaves have one name, or one cannot be stored.
    OSError: if the file cannot be written.
  """
  arrays: dict[str, Any] = {}
  keys = {}
  for name, leaf in leaves_by_name(tree).items():
    if is_key(leaf):
      keys[name] = str(jax.random.key_impl(leaf))
      leaf = jax.random.key_data(leaf)
    arrays[name] = leaf
  extra = {KEYS: keys} if keys else {}
  write_record(path, arrays, {**header, **extra}, compress=compress)


def load_tree(
  path: PathLike, template: Any, *, kind: str, max_bytes: int = MAX_BYTES
) -> tuple[Any, dict[str, Any]]:
  """Reads what `save_tree` wrote.

  Args:
    path: the file.
    template: a pytree of arrays, or of `jax.eval_shape`, with the structure,
      shapes and dtypes of what was saved.
    kind: what the header must call the file.
    max_bytes: what the arrays may unpack to.

  Returns:
    The pytree, and the header.

  Raises:
    FileError: if the file is missing, damaged, or holds anything else than the
      template describes.
  """
  leaves = leaves_by_name(template)
  declared = {name: _declared(leaf) for name, leaf in leaves.items()}
  record = read_record(
    path, declared, kind=kind, only=True, max_bytes=max_bytes
  )
  restored = [
    restore_leaf(path, name, record, leaf) for name, leaf in leaves.items()
  ]
  return jax.tree.unflatten(jax.tree.structure(template), restored), (
    record.header
  )


def restore_leaf(
  path: PathLike, name: str, record: Record, leaf: Any
) -> jax.Array:
  """One leaf of a saved pytree, of any shape, `[...]`.

  Args:
    path: of the file, for the error.
    name: of the leaf in the file.
    record: the file.
    leaf: shape and dtype that it must have.

  Raises:
    FileError: if it has another.
  """
  array: Any = record.arrays[name]
  impls = record.header.get(KEYS, {})
  impl = impls.get(name) if isinstance(impls, dict) else None
  if impl is not None:
    with reading(path, f"file of keys of {one_line(impl)!r}"):
      array = jax.random.wrap_key_data(jnp.asarray(array), impl=impl)
  if array.shape != leaf.shape or array.dtype != leaf.dtype:
    raise FileError(
      f"{os.fspath(path)}: {name} must be {leaf.dtype}{list(leaf.shape)}, got "
      f"{array.dtype}{list(array.shape)}: it was saved by another algorithm, "
      "configuration or version."
    )
  return jnp.asarray(array)


def leaves_by_name(tree: Any) -> dict[str, Any]:
  """Leaves of a pytree by their place, in the order of the tree.

  Raises:
    ValueError: if two have the same name.

  Example:
    >>> leaves_by_name({"layers": [3.0, 4.0]})
    {'layers.0': 3.0, 'layers.1': 4.0}
  """
  leaves, _ = jax.tree.flatten_with_path(tree)
  named = {
    jax.tree_util.keystr(path, simple=True, separator=".") or "leaf": leaf
    for path, leaf in leaves
  }
  if len(named) != len(leaves):
    raise ValueError("Two leaves of the tree have the same name.")
  return named


def is_key(leaf: Any) -> bool:
  """Whether a leaf is an array of typed random keys."""
  return hasattr(leaf, "dtype") and jnp.issubdtype(
    leaf.dtype, jax.dtypes.prng_key
  )


def _declared(leaf: Any) -> Declared:
  """What the array of a leaf must be."""
  if is_key(leaf):
    # Of another implementation it has another size, see `restore_leaf`.
    return Declared("u", None)
  return Declared(np.dtype(leaf.dtype).kind, tuple(leaf.shape))
