"""The words in which papers are declared."""

from typing import NamedTuple


class Run(NamedTuple):
  """A command whose result stands beside a published number.

  Attributes:
    label: who runs, such as `default` or `published program`.
    command: flags of the binary, but for seeds, directories and `--data_dir`.
    num_seeds: searches, each with a seed of its own.
    binary: `search` or `pool_statistics`.
    figure: what is compared, of what `reproducing` reads of a result:
      `objective` and `test` (of the best by the objective), `seconds`,
      `feasible`, `hypervolume`; of a pool `guided/mean` and the like.
    at: queries after which it is read; 0 for the end.
  """

  label: str
  command: str
  num_seeds: int = 100
  binary: str = "search"
  figure: str = "objective"
  at: int = 0


class Row(NamedTuple):
  """A published number.

  Attributes:
    column: the paper's row and heading.
    published: the number with its unit or interval, as printed; "" if our copy
      of the paper lacks it.
    runs: its counterparts; none if it cannot be run here.
    best: the best of the whole table, as the paper has it.
    program: what the official program gave where it was run.
    factor: of our figure, to have the paper's unit.
    differs: why ours is another number, or why there is none.
  """

  column: str
  published: str
  runs: tuple[Run, ...] = ()
  best: str = ""
  program: str = ""
  factor: float = 1.0
  differs: str = ""


class Table(NamedTuple):
  """A table or a figure.

  Attributes:
    number: `1` of table 1, `f4` of figure 4; what --table selects.
    title: what it shows.
    counts: what it counts as a query, and how often it was run.
    rows: its numbers.
    differs: what is true of all of them.
  """

  number: str
  title: str
  counts: str
  rows: tuple[Row, ...]
  differs: str = ""

  @property
  def name(self) -> str:
    """`Table 1`, `Figure 4`, or `Appendix, table 1`."""
    where, _, number = self.number.rpartition("/")
    kind = "Figure" if number.startswith("f") else "Table"
    name = f"{kind} {number.removeprefix('f')}"
    return f"{where.capitalize()}, {name.lower()}" if where else name


class Paper(NamedTuple):
  """A paper.

  Attributes:
    title: its title.
    source: authors, where it appeared and its address.
    unit: of the figures that are compared, such as `%`.
    about: how its numbers and ours relate in general.
    tables: all its tables and figures with results.
  """

  title: str
  source: str
  unit: str
  about: str
  tables: tuple[Table, ...]


NO_SURROGATE = (
  "needs the surrogate (`experiments.convert --format=xgboost`, or one that "
  "`experiments.fit_surrogate` fits to evaluated architectures)"
)
"""Why there are no numbers of a benchmark that is a model."""


def searched(
  algorithm: str,
  benchmark: str,
  budget: int,
  *,
  more: str = "",
  label: str = "default",
  figure: str = "objective",
  num_seeds: int = 100,
  at: int = 0,
) -> Run:
  """A search of a benchmark, `more` being further flags; see `Run`."""
  command = f"--benchmark={benchmark} --algorithm={algorithm}"
  return Run(
    label,
    f"{command} --budget={budget}{more}",
    num_seeds,
    figure=figure,
    at=at,
  )
