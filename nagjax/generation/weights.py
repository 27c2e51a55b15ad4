"""Files of trained weights, and where they are found.

A file is a `.npz` without pickles: one float32 array for each leaf of the
weights, called by its place (`forward.0.message.weight`), and a JSON header.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import importlib.resources
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.types import Params


def save(
  path: str | os.PathLike[str], params: Params, header: dict[str, Any]
) -> None:
  """Writes weights; the file exists only when it is complete."""
  arrays: dict[str, Any] = {
    name: np.asarray(leaf, np.float32) for name, leaf in by_name(params).items()
  }
  text = json.dumps(header, sort_keys=True, allow_nan=False)
  with files.atomic_path(path) as temporary:
    np.savez(temporary, **arrays, header=np.asarray(text))


def read(
  path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Arrays by name, and the header.

  Raises:
    ValueError: if the file is missing or damaged, has no header, or holds
      numbers that are not finite.
  """
  arrays = files.read_arrays(path)
  try:
    header = dict(json.loads(str(arrays.pop("header"))))
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path} has no header of weights.") from error
  if not all(np.isfinite(array).all() for array in arrays.values()):
    raise ValueError(f"Some of the weights in {path} are not finite.")
  return arrays, header


def load(
  path: str | os.PathLike[str],
  identity: dict[str, Any],
  like_fn: Callable[[dict[str, Any]], Params],
  *,
  what: str,
  command: str,
) -> tuple[Params, dict[str, Any]]:
  """Reads weights that must be those of something.

  Args:
    path: of the file.
    identity: what the header must say, besides `notes`, a dictionary.
    like_fn: makes a tree of the right shapes of the header.
    what: of what the weights must be, for the error.
    command: that makes them, for the error.

  Returns:
    Weights and header.

  Raises:
    ValueError: if the file is missing, damaged or something else.
  """
  try:
    arrays, header = read(path)
    for key, wanted in identity.items():
      if header[key] != wanted:
        raise ValueError(f"its {key} is {header[key]!r}, not {wanted!r}")
    header["notes"] = dict(header["notes"])
    return restore(arrays, like_fn(header)), header
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} holds no {what} ({error}); make one by `{command}`."
    ) from error


def command_of(
  binary: str,
  space_name: str,
  name: str,
  directory: str | os.PathLike[str] | None,
) -> str:
  """The command that trains weights of a space and writes their file.

  Args:
    binary: of `experiments`.
    space_name: of the space.
    name: of the file.
    directory: where the file belongs; the user's choice if None.
  """
  output = pathlib.Path(directory or "DATA_DIR", name)
  return (
    f"python -m experiments.{binary} --space={space_name} --output={output}"
  )


def restore(arrays: dict[str, np.ndarray], like: Params) -> Params:
  """Puts arrays into the places that they are named after.

  Args:
    arrays: by name, see `by_name`.
    like: a tree of the right shapes.

  Raises:
    ValueError: if a name or a shape differs.
  """
  check_shapes(arrays, by_name(like))
  leaves = [jnp.asarray(arrays[name], jnp.float32) for name in by_name(like)]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def check_shapes(found: dict[str, Any], expected: dict[str, Any]) -> None:
  """Checks two sets of arrays by name.

  Raises:
    ValueError: if a name or a shape differs.
  """
  for name in sorted({*found, *expected}):
    shapes = [
      list(group[name].shape) if name in group else None
      for group in (found, expected)
    ]
    if shapes[0] != shapes[1]:
      raise ValueError(
        f"{name} must have the shape {shapes[1]}, got {shapes[0]}"
      )


def by_name(params: Params) -> dict[str, Any]:
  """Leaves by their place, in the order of the tree."""
  leaves, _ = jax.tree.flatten_with_path(params)
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): leaf
    for path, leaf in leaves
  }


@contextlib.contextmanager
def find(
  name: str,
  directory: str | os.PathLike[str] | None,
  *,
  what: str,
  command: str,
) -> Iterator[pathlib.Path]:
  """The path of a file of weights.

  Args:
    name: of the file.
    directory: where files of the user are; one there wins over the package's.
    what: of what the weights are, for the error.
    command: that makes them, for the error.

  Raises:
    FileNotFoundError: if there is none.
  """
  if directory is not None and pathlib.Path(directory, name).is_file():
    yield pathlib.Path(directory, name)
    return
  shipped = importlib.resources.files("nagjax.generation") / "data" / name
  if not shipped.is_file():
    where = "" if directory is None else f"{os.fspath(directory)} and in "
    raise FileNotFoundError(
      f"No pretrained {what}: expected {name} in {where}the package. Make it "
      f"by `{command}`."
    )
  with importlib.resources.as_file(shipped) as path:
    yield path
