"""Checks of options that the Configs of all rooms share."""

from collections.abc import Sequence
import dataclasses
import math
import numbers
from typing import Any


def sizes(config: Any, **least: int) -> None:
  """Checks that sizes are whole numbers from 1, or from what `least` says.

  Args:
    config: a dataclass.
    **least: by name of a field; the others have 1.

  Raises:
    ValueError: if one is not.
  """
  for field in dataclasses.fields(config):
    value, smallest = getattr(config, field.name), least.get(field.name, 1)
    if field.type not in ("int", int):
      continue
    if isinstance(value, bool) or not hasattr(value, "__index__"):
      raise ValueError(f"{field.name} must be a whole number, got {value!r}.")
    if value < smallest:
      raise ValueError(
        f"{field.name} must be at least {smallest}, got {value}."
      )


def positive(config: Any, *names: str) -> None:
  """Checks that numbers are positive and finite.

  Raises:
    ValueError: if one is not.
  """
  for name in names:
    value = getattr(config, name)
    if not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
      raise ValueError(f"{name} must be positive and finite, got {value!r}.")


def not_negative(config: Any, *names: str) -> None:
  """Checks that numbers are finite and not below 0.

  Raises:
    ValueError: if one is not.
  """
  for name in names:
    value = getattr(config, name)
    if not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
      raise ValueError(
        f"{name} must be finite and not negative, got {value!r}."
      )


def choices(config: Any, **known: Sequence[str]) -> None:
  """Checks that options are among what is known.

  Args:
    config: the options.
    **known: by name of an option.

  Raises:
    ValueError: if one is not.
  """
  for name, values in known.items():
    if getattr(config, name) not in values:
      raise ValueError(
        f"{name} must be one of {', '.join(values)}, got "
        f"{getattr(config, name)!r}."
      )
