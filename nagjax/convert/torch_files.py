"""PyTorch's files, read without running them.

PyTorch is the optional extra `convert`; it is imported when a file is read.
"""

from collections.abc import Sequence
import contextlib
import importlib
import os
import re
from typing import Any
import warnings

import numpy as np

from nagjax import files
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded

MIN_TORCH = (2, 6)
"""Before 2.6 `weights_only` could be made to run code (CVE-2025-32434)."""


def load_torch(
  path: str | os.PathLike[str], expected: str, allowed: Sequence[Any] = ()
) -> Any:
  """Reads a file by PyTorch's restricted unpickler.

  Args:
    path: the file.
    expected: what the file should be, for messages.
    allowed: what it may refer to beyond PyTorch's own list, see
      `torch.serialization.safe_globals`.

  Returns:
    The content; tensors are on the CPU.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or refers to anything but tensors, numbers and containers.
  """
  torch = _import_torch(path)

  def read() -> Any:
    with contextlib.ExitStack() as stack:
      stack.enter_context(warnings.catch_warnings())
      # They are about the age of the file, which a user cannot change.
      warnings.simplefilter("ignore")
      # Leaving the context forgets them, so not what the user has allowed.
      known = torch.serialization.get_safe_globals()
      added = [entry for entry in allowed if entry not in known]
      stack.enter_context(torch.serialization.safe_globals(added))
      return torch.load(
        files.expand(path), map_location="cpu", weights_only=True
      )

  try:
    return guarded(read, path, expected)
  except ConversionError as error:
    # PyTorch explains at length how to allow a refused name; we want the name.
    refused = re.search(r"GLOBAL (\S+)", str(error.__cause__))
    if refused is None:
      raise
    raise ConversionError(
      path,
      f"{expected} of plain numbers and containers",
      f"one that refers to {refused[1]}, which is refused",
      "Nothing of it was executed; fetch the file from its official source.",
    ) from error


def numpy_globals() -> list[Any]:
  """What PyTorch must accept beyond its own list to read NumPy numbers."""
  scalar = np.float64(0).__reduce__()[0]
  reconstruct = np.zeros(0).__reduce__()[0]
  allowed: list[Any] = [np.dtype, np.ndarray]
  allowed += [type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "b1")]
  for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    allowed.append((scalar, f"{module}.scalar"))
    allowed.append((reconstruct, f"{module}._reconstruct"))
  return allowed


def _import_torch(path: str | os.PathLike[str]) -> Any:
  advice = "Run: pip install 'nagjax[convert]' (only this conversion needs it)."
  expected = f"PyTorch {MIN_TORCH[0]}.{MIN_TORCH[1]} or newer to read it"
  try:
    torch = importlib.import_module("torch")
  except ImportError as error:
    raise ConversionError(path, expected, "no PyTorch", advice) from error
  version = re.match(r"(\d+)\.(\d+)", torch.__version__)
  if version is None or (int(version[1]), int(version[2])) < MIN_TORCH:
    raise ConversionError(
      path, expected, f"PyTorch {torch.__version__}", advice
    )
  return torch
