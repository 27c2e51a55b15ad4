"""What command lines say of tables and of transfers.

A table is a benchmark's name, and after a colon the column that is asked for:
`nasbench201/cifar10:-raspi4_ms` is minus the latency, as --objective says it.
"""

from collections.abc import Sequence

from nagjax import registry
from nagjax import transfer as transfer_lib
from nagjax.benchmarks import data_directory
from nagjax.problem import Problem
from nagjax.transfer import Table
from nagjax.transfer import Transfer

from .errors import user_errors


def read_problem(
  text: str, data_dir: str | None, objective: str | None = None
) -> Problem:
  """Loads the benchmark of `NAME` or `NAME:COLUMN`, and asks for the column.

  Args:
    text: the name, with or without a column.
    data_dir: where its file is.
    objective: the column if the text names none; the benchmark's own if None.

  Raises:
    UsageError: if a name is unknown, or a file is missing or damaged.
  """
  name, mark, column = text.rpartition(":")
  # Names of tables that are searched on test accuracy have a colon as well.
  if not mark or f"{name}:" == registry.TEST_ACCURACY_PREFIX:
    name, column = text, objective or ""
  with user_errors():
    benchmark = registry.make_benchmark(name, data_dir)
    columns = (column,) if column else getattr(benchmark, "objectives", ())
    return Problem(benchmark, tuple(columns))


def read_table(problem: Problem) -> Table:
  """The rows of a problem's table, checked.

  Raises:
    UsageError: if there is no table, or nothing to learn from it.
  """
  with user_errors():
    table = transfer_lib.read_table(problem)
    transfer_lib.check_table(table)
  return table


def read_source(text: str, data_dir: str | None) -> list[Table | Transfer]:
  """What `A+B` names: transfers, and tables to learn from.

  Args:
    text: `.npz` files, names that `transfer.find` knows, or tables.
    data_dir: where files are.

  Raises:
    UsageError: if one is nothing of this, damaged, or teaches nothing.
  """
  found: list[Table | Transfer] = []
  for name in text.split("+"):
    if _is_transfer(name, data_dir):
      with user_errors():
        found.append(transfer_lib.find(name, data_directory(data_dir)))
    else:
      found.append(read_table(read_problem(name, data_dir)))
  return found


def learn(source: Sequence[Table | Transfer]) -> list[Transfer]:
  """A transfer for each, learned from those that are tables.

  Raises:
    UsageError: if the fit fails.
  """
  with user_errors():
    return [
      transfer_lib.fit([each]) if isinstance(each, Table) else each
      for each in source
    ]


def _is_transfer(name: str, data_dir: str | None) -> bool:
  """Whether `transfer.find` knows a name."""
  if name.endswith(".npz") or name in transfer_lib.shipped_names():
    return True
  return (data_directory(data_dir) / f"transfer_{name}.npz").is_file()
