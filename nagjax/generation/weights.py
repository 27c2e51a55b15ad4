"""Files of trained weights, and where they are found.

A file holds a tree of float32 arrays and a header, see `nagjax.files`.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import importlib.resources
import os
import pathlib
from typing import Any

import jax
import numpy as np

from nagjax import files
from nagjax.types import Params

MAX_BYTES = 1 << 28
"""What a file of weights may unpack to."""


def save(
  path: str | os.PathLike[str], params: Params, header: dict[str, Any]
) -> None:
  """Writes weights as float32; the file exists only when it is complete."""
  as_float32 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
  files.save_tree(path, as_float32, header)


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
    FileError: if the file is missing, damaged or something else.
  """
  try:
    with files.reading(path, "file of weights"):
      header = files.read_header(path, identity["kind"])
      for key, wanted in identity.items():
        if header[key] != wanted:
          found = files.one_line(repr(header[key]))
          raise ValueError(f"its {key} is {found}, not {wanted!r}")
      header["notes"] = dict(header["notes"])
      # Files hold 32 bits, whatever the widest type of the process is.
      like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32),
        like_fn(header),
      )
      params, _ = files.load_tree(
        path, like, kind=identity["kind"], max_bytes=MAX_BYTES
      )
      if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise ValueError("some of its weights are not finite")
  except files.FileError as error:
    raise files.FileError(
      f"{error} Expected a {what}; make one by `{command}`."
    ) from error
  return params, header


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


def check_shapes(found: Params, expected: Params) -> None:
  """Checks that two trees have leaves of the same names and shapes.

  Raises:
    ValueError: if a name or a shape differs.
  """
  groups = [files.leaves_by_name(tree) for tree in (found, expected)]
  for name in sorted({*groups[0], *groups[1]}):
    shapes = [
      list(group[name].shape) if name in group else None for group in groups
    ]
    if shapes[0] != shapes[1]:
      raise ValueError(
        f"{name} must have the shape {shapes[1]}, got {shapes[0]}"
      )


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
  if directory is not None:
    own = files.expand(directory) / name
    if own.is_file():
      yield own
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
