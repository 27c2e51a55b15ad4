"""Epochs as fidelities: columns of one metric after fewer epochs of training.

What networks are worth after some epochs of the training that the full column
comes from are stages of it: `<column>_epoch_<e>`, which cost `e` epochs each. A
training of 12 epochs alone, whose learning rate falls to 0 within them, is
another one: `<column>_hp12`, as NAS-Bench-201's `hp=12`.
"""

from collections.abc import Mapping
import re
from typing import Any

from nagjax.types import Fidelities

AT_EPOCH = "_epoch_"
"""Between the name of a column and the number of epochs."""
SHORT = "_hp12"
"""Behind the name of a column of `SHORT_EPOCHS` epochs of their own."""
SHORT_EPOCHS = 12


def at_epoch(column: str, epoch: int | str) -> str:
  """Name of a column before the last epoch.

  Example:
    >>> at_epoch("valid_accuracy", 5)
    'valid_accuracy_epoch_5'
  """
  return f"{column}{AT_EPOCH}{epoch}"


def stages(
  columns: Mapping[str, Any], column: str, num_epochs: int
) -> tuple[Fidelities | None, list[Any]]:
  """The earlier epochs of a column.

  Args:
    columns: by name.
    column: whose epochs are looked for.
    num_epochs: of the full one.

  Returns:
    The fidelities, None if there are no earlier epochs, and the columns of
    these, the first epoch first.

  Raises:
    ValueError: if an epoch is not before the last.
  """
  pattern = re.compile(re.escape(column + AT_EPOCH) + "([0-9]{1,6})")
  found = [match for name in columns if (match := pattern.fullmatch(name))]
  if not found:
    return None, []
  by_epoch = {int(match[1]): columns[match[0]] for match in found}
  epochs = sorted(by_epoch)
  if epochs[0] < 1 or epochs[-1] >= num_epochs or len(epochs) < len(found):
    raise ValueError(
      f"{column} must have epochs from 1 to {num_epochs - 1}, got "
      f"{', '.join(map(str, epochs))}"
    )
  costs = (*epochs, num_epochs)
  ordered = [by_epoch[epoch] for epoch in epochs]
  return Fidelities(tuple(map(str, costs)), costs, True), ordered


def of_official(
  columns: Mapping[str, Any], column: str, num_epochs: int
) -> tuple[Fidelities | None, list[Any]]:
  """`stages` of a column, or else the training of 12 epochs alone."""
  fidelities, lower = stages(columns, column, num_epochs)
  short = columns.get(column + SHORT)
  if fidelities is None and short is not None and SHORT_EPOCHS < num_epochs:
    return short_training(num_epochs), [short]
  return fidelities, lower


def short_training(num_epochs: int) -> Fidelities:
  """The fidelities of a table that has trainings of 12 epochs beside others."""
  costs = (SHORT_EPOCHS, num_epochs)
  return Fidelities(tuple(map(str, costs)), costs, False)
