"""Options of nested Configs, by dotted names and as text."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import numbers
from typing import Any
from typing import get_type_hints

import numpy as np

_KINDS = {
  bool: "true or false",
  float: "a number",
  int: "a whole number",
  type(None): "None",
}
"""What a value of an option can be read as; any text is text."""


def with_options(config: Any, options: Mapping[str, Any], name: str) -> Any:
  """Replaces fields of a Config, and of the Configs in it.

  Args:
    config: a frozen dataclass.
    options: values, or texts of them, by dotted names such as
      `surrogate.fit.num_steps`. The first parts of a name may be left out as
      long as only one field ends with the rest: `fit.num_steps`.
    name: whose options they are, for errors.

  Raises:
    ValueError: if a name is unknown or means several fields, or a value is none
      of its field.

  Example:
    with_options(optiproxy.Config(), {"fit.num_steps": "20"}, "optiproxy")
  """
  if not isinstance(options, Mapping):
    raise ValueError(
      f"options of {name} must be a dictionary, got {options!r}."
    )
  for option, value in options.items():
    path = _find(config, option, name)
    config = _replace(config, path.split("."), value, f"{name}.{path}")
  return config


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
  """Dotted names and values of the fields that are no Configs themselves."""
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from leaves(value, f"{prefix}{field.name}.")
    else:
      yield prefix + field.name, value


def _find(config: Any, option: str, name: str) -> str:
  """The whole dotted name of an option."""
  known = [path for path, _ in leaves(config)]
  parents = {
    path.rsplit(".", depth)[0]
    for path in known
    for depth in range(1, path.count(".") + 1)
  }
  every = [*known, *sorted(parents)]
  if option in every:
    return option
  ending = [path for path in every if path.endswith(f".{option}")]
  if len(ending) == 1:
    return ending[0]
  if ending:
    raise ValueError(
      f"{name}.{option} may be any of {', '.join(ending)}; write more of it."
    )
  raise ValueError(
    f"{name} has the options {', '.join(sorted(known))}, got {option!r}."
  )


def _replace(config: Any, path: list[str], value: Any, name: str) -> Any:
  field, *rest = path
  if rest:
    value = _replace(getattr(config, field), rest, value, name)
  elif isinstance(value, str):
    value = _parse(config, field, value, name)
  else:
    _check(config, field, value, name)
  return dataclasses.replace(config, **{field: value})


def _check(config: Any, field: str, value: Any, name: str) -> None:
  """Raises ValueError if a value is not of the plain type of a field."""
  hint = get_type_hints(type(config))[field]
  kinds = getattr(hint, "__args__", (hint,))
  is_true_or_false = isinstance(value, bool | np.bool_)
  fits = {
    bool: is_true_or_false,
    float: isinstance(value, numbers.Real) and not is_true_or_false,
    int: isinstance(value, numbers.Integral) and not is_true_or_false,
    str: False,
    type(None): value is None,
  }
  if not any(fits.get(kind, True) for kind in kinds):
    words = " or ".join(_KINDS.get(k, "text") for k in kinds if k in fits)
    raise ValueError(f"{name} must be {words}, got {value!r}.")


def _parse(config: Any, field: str, text: str, name: str) -> Any:
  """Turns text into the type of a field."""
  hint = get_type_hints(type(config))[field]
  kinds = getattr(hint, "__args__", (hint,))
  if text.lower() == "none" and type(None) in kinds:
    return None
  kind = next(k for k in kinds if k is not type(None))
  try:
    if kind is bool:
      return {"true": True, "false": False}[text.lower()]
    if kind in (int, float, str):
      return kind(text)
  except (KeyError, ValueError):
    raise ValueError(f"{name} must be {_KINDS[kind]}, got {text!r}.") from None
  raise ValueError(f"{name} is no plain value; set it in Python, not as text.")
