"""Checks of architectures that a user hands in, on the host."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_MAX_MESSAGE = 500


def checked_archs(
  name: str, cardinalities: Sequence[int], archs: ArrayLike
) -> np.ndarray:
  """Architectures that somebody hands in, `int32[..., L]` (host).

  Raises:
    ValueError: if they are no integers, of another length, or out of range.

  Example:
    >>> checked_archs("mine", (4, 4, 3), [[3, 0, 2]])
    array([[3, 0, 2]], dtype=int32)
  """
  found = np.asarray(archs)
  num = np.asarray(cardinalities)
  if found.dtype.kind not in "iu" or found.shape[-1:] != num.shape:
    raise ValueError(
      f"{name}: expected {len(num)} integers, got {str(archs)[:80]!r}."
    )
  if np.any((found < 0) | (found >= num)):
    first = np.argwhere((found < 0) | (found >= num))[0]
    raise ValueError(
      f"{name}: variable {first[-1]} must be in 0..{num[first[-1]] - 1}, got "
      f"{found[tuple(first)]}."
    )
  return found.astype(np.int32)


class _Checked:
  """`to_string` or `from_string` of a space, with checks on both sides."""

  def __init__(
    self, name: str, cardinalities: tuple[int, ...], function: Callable
  ):
    self._check = functools.partial(checked_archs, name, cardinalities)
    self._name, self.function = name, function
    functools.update_wrapper(self, function, updated=())

  def __call__(self, given: Any) -> Any:
    if not isinstance(given, str | bytes):
      found = self._check(given)
      if found.ndim > 1:
        raise ValueError(
          f"{self._name}: one architecture is needed, got {found.shape[0]}."
        )
      return self.function(found.tolist())
    if isinstance(given, bytes):
      raise ValueError(f"{self._name}: a string is needed, got bytes.")
    try:
      return self._check(self.function(given))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
      reason = " ".join(str(error).split())
      if len(reason) > _MAX_MESSAGE:
        reason = reason[:_MAX_MESSAGE] + "..."
      raise ValueError(reason or f"{self._name}: no architecture.") from error


def checked_cardinalities(
  name: str, cardinalities: Sequence[int]
) -> tuple[int, ...]:
  """Numbers of options that somebody hands in.

  Raises:
    ValueError: if they, or the name of their space, are something else.

  Example:
    >>> checked_cardinalities("mine", [4, 4, 3])
    (4, 4, 3)
  """
  try:
    checked = tuple(operator.index(k) for k in cardinalities)
  except TypeError:
    checked = ()
  if not isinstance(name, str) or not checked or min(checked) < 1:
    raise ValueError(
      "A space needs a name and the number of options of each variable, at "
      f"least 1, got {str(name)[:80]!r} and {str(cardinalities)[:80]}."
    )
  return checked


def checked(
  function: Callable, name: str, cardinalities: tuple[int, ...]
) -> Callable:
  """Checks what goes into `to_string` and what comes out of `from_string`.

  Args:
    function: either of the two; a checked one is checked anew.
    name: of the space.
    cardinalities: of the space.

  Example:
    >>> name = checked(lambda arch: "-".join(map(str, arch)), "mine", (4, 3))
    >>> name([3, 2])
    '3-2'
  """
  if isinstance(function, _Checked):
    function = function.function
  return _Checked(name, cardinalities, function)
