"""Files of transfers, and those that the package ships."""

import contextlib
from importlib import resources
import os
import pathlib
from typing import Any

import numpy as np

from nagjax import files
from nagjax.files import Declared
from nagjax.transfer.base import Source
from nagjax.transfer.base import Transfer

KIND = "nagjax transfer"

_MAX_BYTES = 64 << 20


def save(path: str | os.PathLike[str], transfer: Transfer) -> None:
  """Writes a transfer; the file exists only when it is complete.

  Raises:
    ValueError: if it is no transfer.
    OSError: if the file cannot be written.
  """
  _check(transfer)
  arrays = {"correlations": transfer.correlations, "mean": transfer.mean}
  if transfer.support is not None:
    arrays["support"] = transfer.support
  sources = []
  for number, source in enumerate(transfer.sources):
    arrays[f"probe_archs_{number}"] = source.probe_archs
    arrays[f"probe_values_{number}"] = source.probe_values
    sources.append(
      {
        "name": source.name,
        "objective": source.objective,
        "sha256": source.digest,
        "weight": source.weight,
        "num_rows": source.num_rows,
      }
    )
  header = {
    "kind": KIND,
    "space": transfer.space,
    "noise": transfer.noise,
    "sources": sources,
    "operations": list(transfer.operations),
  }
  files.write_record(path, arrays, header, compress=True)


def load(path: str | os.PathLike[str]) -> Transfer:
  """Reads what `save` wrote.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  path = files.expand(path)
  declared = {
    "correlations": Declared("f", ("L", "K", "K")),
    "mean": Declared("f", ("N",)),
    "support": Declared("i", ("N", "L"), optional=True),
    "probe_archs_*": Declared("i", (None, "L")),
    "probe_values_*": Declared("f", (None,)),
  }
  arrays, header = files.read_record(
    path, declared, kind=KIND, max_bytes=_MAX_BYTES
  )
  try:
    transfer = Transfer(
      space=_typed(header, "space", str),
      correlations=arrays["correlations"].astype(np.float32),
      noise=float(_typed(header, "noise", float)),
      mean=arrays["mean"].astype(np.float32),
      support=arrays.get("support"),
      sources=tuple(
        _source(number, entry, arrays)
        for number, entry in enumerate(_typed(header, "sources", list))
      ),
      operations=_operations(header, arrays["correlations"].shape[-1]),
    )
    _check(transfer)
  except (KeyError, TypeError, ValueError) as error:
    raise files.FileError(
      f"{path} is no usable transfer: {files.one_line(error)}"
    ) from None
  return transfer


def find(
  name: str, directory: str | os.PathLike[str] | None = None
) -> Transfer:
  """Loads a transfer by name or path.

  Args:
    name: a file, or a name such as `digits`: the file `transfer_<name>.npz` of
      the directory, or else one that the package ships.
    directory: where files of the user are.

  Raises:
    FileError: if the file is damaged or something else.
    ValueError: if there is no such transfer; names those that are shipped.
  """
  if not isinstance(name, str) or not name:
    raise ValueError(f"transfer must be a name or a file, got {name!r}.")
  if name.endswith(".npz") or os.sep in name:
    return load(name)
  if directory is not None:
    path = pathlib.Path(directory) / f"transfer_{name}.npz"
    if path.exists():
      return load(path)
  with contextlib.ExitStack() as stack:
    shipped = resources.files("nagjax.transfer").joinpath("data")
    path = stack.enter_context(resources.as_file(shipped / f"{name}.npz"))
    if name in shipped_names():
      return load(path)
  raise ValueError(
    f"transfer must be one of {', '.join(shipped_names())} or a file of "
    f"experiments.fit_transfer, got {name!r}."
  )


def shipped_names() -> list[str]:
  """Names of the transfers that the package ships."""
  shipped = resources.files("nagjax.transfer").joinpath("data")
  names = (entry.name for entry in shipped.iterdir())
  return sorted(n.removesuffix(".npz") for n in names if n.endswith(".npz"))


def _source(number: int, entry: Any, arrays: dict[str, np.ndarray]) -> Source:
  return Source(
    name=_typed(entry, "name", str),
    objective=_typed(entry, "objective", str),
    digest=_typed(entry, "sha256", str),
    weight=float(_typed(entry, "weight", float)),
    num_rows=_typed(entry, "num_rows", int),
    probe_archs=arrays[f"probe_archs_{number}"].astype(np.int32),
    probe_values=arrays[f"probe_values_{number}"].astype(np.float32),
  )


def _operations(header: dict[str, Any], num: int) -> tuple[str, ...]:
  """Names of the options; none in files of before they were written."""
  names = _typed({"operations": [], **header}, "operations", list)
  if len(names) not in (0, num) or not all(isinstance(n, str) for n in names):
    raise ValueError(f"'operations' must be {num} names, got {names!r}.")
  return tuple(names)


def _typed(entry: Any, name: str, kind: type) -> Any:
  if not isinstance(entry, dict) or name not in entry:
    raise ValueError(f"its header lacks {name!r}.")
  value = entry[name]
  kinds = (int, float) if kind is float else (kind,)
  if not isinstance(value, kinds) or isinstance(value, bool):
    raise ValueError(f"{name!r} must be a {kind.__name__}, got {value!r}.")
  return value


def _check(transfer: Transfer) -> None:
  matrices = np.asarray(transfer.correlations, np.float64)
  if not transfer.sources:
    raise ValueError("it names no source.")
  if not (np.isfinite(transfer.noise) and transfer.noise > 0):
    raise ValueError(f"its noise must be positive, got {transfer.noise}.")
  if not np.all(np.isfinite(matrices)) or not np.all(
    np.isfinite(transfer.mean)
  ):
    raise ValueError("its correlations and means must be finite.")
  diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
  if (
    not np.allclose(matrices, np.swapaxes(matrices, -1, -2), atol=1e-4)
    or not np.allclose(diagonal, 1.0, atol=1e-4)
    or np.linalg.eigvalsh(matrices).min() < -1e-4
  ):
    raise ValueError(
      "its correlations must be symmetric and positive semi-definite, with "
      "ones on the diagonal."
    )
  for source in transfer.sources:
    if len(source.probe_archs) != len(source.probe_values):
      raise ValueError(f"its probe of {source.name} has two lengths.")
