"""The benchmarks that have a name: what can be loaded, and how.

Names begin with that of a `Table`, which knows what follows.
"""

from collections.abc import Callable
from typing import NamedTuple

from nagjax.benchmarks import hardware
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import robustness
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.benchmarks import transnas
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import data_directory

DataDir = str | None


class Table(NamedTuple):
  """Benchmarks whose names begin alike.

  Attributes:
    names: `data directory or None -> names` of those that can be loaded now.
    load: `(name, data directory or None) -> Benchmark`, None if there is none
      of this name.
    holds_parts: whether a file may hold a part of its space only.
  """

  names: Callable[[DataDir], list[str]]
  load: Callable[[str, DataDir], Benchmark | None]
  holds_parts: bool = False


def single(name: str, load: Callable[[DataDir], Benchmark]) -> Table:
  """A table of one benchmark that is always there."""
  return Table(
    lambda data_dir: [name],
    lambda asked, data_dir: load(data_dir) if asked == name else None,
  )


def _nasbench201(name: str, data_dir: DataDir) -> Benchmark | None:
  data_set = name.partition("/")[2]
  if not data_set:
    return None
  accuracies = tabular.load_nasbench201(data_set, directory=data_dir)
  with_costs = hardware.with_hardware(accuracies, data_dir)
  return robustness.with_robustness(with_costs, data_dir)


def _nasbench101_names(data_dir: DataDir) -> list[str]:
  is_there = (data_directory(data_dir) / nasbench101.FILE).is_file()
  return [nasbench101.NAME] if is_there else []


def _nasbench101(name: str, data_dir: DataDir) -> Benchmark | None:
  if name != nasbench101.NAME:
    return None
  return nasbench101.load_nasbench101(directory=data_dir)


def _trained(name: str, data_dir: DataDir) -> Benchmark | None:
  data_set = name.partition("/")[2]
  if not data_set:
    return None
  return trained.load_trained(data_set, directory=data_dir)


def _fitted(known: str) -> Table:
  """A surrogate benchmark whose file has a name of its own."""
  return Table(
    lambda data_dir: [
      name for name in surrogate.known_names(data_dir) if name == known
    ],
    lambda name, data_dir: (
      surrogate.load_known(name, directory=data_dir) if name == known else None
    ),
  )


DIGITS = single(trained.SHIPPED, lambda data_dir: trained.digits())
SYNTHETIC = single("synthetic", lambda data_dir: synthetic.synthetic())
NASBENCH101 = Table(_nasbench101_names, _nasbench101)
NASBENCH201 = Table(
  lambda data_dir: [
    f"nasbench201/{name}" for name in tabular.nasbench201_data_sets(data_dir)
  ],
  _nasbench201,
)
TRAINED = Table(
  lambda data_dir: [f"trained/{n}" for n in trained.data_sets(data_dir)],
  _trained,
)
NASBENCH301 = _fitted("nasbench301/cifar10")
NASBENCH_NLP = _fitted("nasbench-nlp/ptb")


def _transnas(table: str) -> Table:
  """The tasks of one space of TransNAS-Bench-101."""

  def names(data_dir: DataDir) -> list[str]:
    path = transnas.file_of(table, data_dir)
    tasks = transnas.tasks_of(path) if path is not None else []
    return [f"{table}/{task}" for task in tasks]

  def load(name: str, data_dir: DataDir) -> Benchmark | None:
    task = name.partition("/")[2]
    if not task:
      return None
    return transnas.load_transnas(table, task, directory=data_dir)

  return Table(names, load, holds_parts=True)


TRANSNAS_MICRO = _transnas(transnas.MICRO)
TRANSNAS_MACRO = _transnas(transnas.MACRO)
