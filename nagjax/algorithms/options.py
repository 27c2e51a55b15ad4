"""Checks of options, and a preset, that the Configs of algorithms share."""

from collections.abc import Sequence
import dataclasses
from typing import Any


def check_sizes(config: Any) -> None:
  """Checks that every whole number is at least 1, `num_constraints` 0.

  Raises:
    ValueError: if one is not.
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    least = 0 if field.name == "num_constraints" else 1
    if field.type in ("int", int) and value < least:
      raise ValueError(f"{field.name} must be at least {least}, got {value}.")


def check_choices(config: Any, **known: Sequence[str]) -> None:
  """Checks that options are among what is known.

  Args:
    config: the options.
    **known: by name of an option.

  Raises:
    ValueError: if one is not.
  """
  for name, choices in known.items():
    if getattr(config, name) not in choices:
      raise ValueError(
        f"{name} must be one of {', '.join(choices)}, got "
        f"{getattr(config, name)!r}."
      )


def check_archive(config: Any) -> None:
  """Checks that an archive holds the initial design and a round.

  Raises:
    ValueError: if it does not.
  """
  least = config.num_initial + config.batch_size
  if config.archive_size < least:
    raise ValueError(
      f"archive_size must hold num_initial + batch_size = {least}, got "
      f"{config.archive_size}."
    )


def archive_preset(default: Any, budget: int) -> dict[str, int]:
  """An archive that need not exceed the budget, whatever the benchmark.

  Args:
    default: the options of an algorithm.
    budget: queries of a search.
  """
  least = default.num_initial + default.batch_size
  return {"archive_size": max(budget + default.batch_size, least)}
