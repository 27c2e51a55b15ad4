"""The benchmarks that have a name: what can be loaded, and how.

Names begin with that of a `Table`, which knows what follows.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

from nagjax.benchmarks import analog
from nagjax.benchmarks import fcnet
from nagjax.benchmarks import hardware
from nagjax.benchmarks import hwgpt
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import nasbench201_hp12
from nagjax.benchmarks import nats_size
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


def _nasbench201(data_set: str, *, directory: DataDir) -> Benchmark:
  """A table of NAS-Bench-201 with all that lies beside it."""
  benchmark = tabular.load_nasbench201(data_set, directory=directory)
  for join in (
    hardware.with_hardware,
    robustness.with_robustness,
    analog.with_analog,
  ):
    benchmark = join(benchmark, directory)
  return benchmark


def _nasbench101_names(data_dir: DataDir) -> list[str]:
  is_there = (data_directory(data_dir) / nasbench101.FILE).is_file()
  return [nasbench101.NAME] if is_there else []


def _nasbench101(name: str, data_dir: DataDir) -> Benchmark | None:
  if name != nasbench101.NAME:
    return None
  return nasbench101.load_nasbench101(directory=data_dir)


def _by_data_set(
  table: str,
  data_sets: Callable[[DataDir], list[str]],
  load: Callable[..., Benchmark],
) -> Table:
  """A table of one benchmark a data set, `<table>/<data set>`.

  Args:
    table: what names begin with.
    data_sets: `data directory or None -> data sets` that can be loaded now.
    load: `(data set, directory=data directory or None) -> Benchmark`.
  """

  def by_name(name: str, data_dir: DataDir) -> Benchmark | None:
    data_set = name.partition("/")[2]
    return load(data_set, directory=data_dir) if data_set else None

  return Table(
    lambda data_dir: [f"{table}/{name}" for name in data_sets(data_dir)],
    by_name,
  )


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


FCNET = _by_data_set("fcnet", fcnet.data_sets, fcnet.load_fcnet)
HWGPT = _by_data_set("hwgpt", hwgpt.sizes, hwgpt.load_hwgpt)
NATS_SIZE = _by_data_set(
  "nats-size", nats_size.data_sets, nats_size.load_nats_size
)
DIGITS = single(trained.DIGITS, lambda data_dir: trained.digits())
DIGITS_EPOCHS = single(
  trained.DIGITS_EPOCHS,
  lambda data_dir: trained.shipped(trained.DIGITS_EPOCHS),
)._replace(holds_parts=True)
SYNTHETIC = single("synthetic", lambda data_dir: synthetic.synthetic())
NASBENCH101 = Table(_nasbench101_names, _nasbench101)
NASBENCH201 = _by_data_set(
  "nasbench201", tabular.nasbench201_data_sets, _nasbench201
)
NASBENCH201_HP12 = _by_data_set(
  "nasbench201-hp12", nasbench201_hp12.data_sets, nasbench201_hp12.load
)._replace(holds_parts=True)
TRAINED = _by_data_set(
  "trained", trained.data_sets, trained.load_trained
)._replace(holds_parts=True)
NASBENCH301 = _fitted("nasbench301/cifar10")
NASBENCH_NLP = _fitted("nasbench-nlp/ptb")


def _transnas(table: str) -> Table:
  """The tasks of one space of TransNAS-Bench-101."""
  return _by_data_set(
    table,
    functools.partial(transnas.tasks, table),
    functools.partial(transnas.load_transnas, table),
  )._replace(holds_parts=True)


TRANSNAS_MICRO = _transnas(transnas.MICRO)
TRANSNAS_MACRO = _transnas(transnas.MACRO)
