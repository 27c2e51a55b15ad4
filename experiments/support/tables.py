"""Tables of searches that grow row by row: CSV files that a rerun goes on with.

A row is a mapping of texts under a key of as many texts as there are names.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import csv
import pathlib
import time
from typing import NamedTuple

import jax
import numpy as np

from nagjax import files
from nagjax.problem import Optimum
from nagjax.problem import tolerance
from nagjax.search import Progress
from nagjax.search import Search
from nagjax.search import driver
from nagjax.search import sweep

from . import fidelities
from . import results
from .errors import UsageError
from .errors import one_line
from .errors import user_errors

Row = dict[str, str]
Rows = dict[tuple[str, ...], Row]


class Measured(NamedTuple):
  """What a sweep found.

  Attributes:
    best: `f32[S, Q]` best objective after 1, ..., Q charged queries, or full
      evaluations where these have fidelities.
    cpu_seconds: of one search, without compilation.
    test: `f32[S]` the reader's metric of the best, -inf if there is none.
    charged: `f64[S]` queries that were charged in the end, or cost in full
      evaluations.
  """

  best: np.ndarray
  cpu_seconds: float
  test: np.ndarray
  charged: np.ndarray


def read_at(texts: Sequence[str], most: int | None = None) -> list[int]:
  """Reads --at, numbers of charged queries; returns them sorted.

  Args:
    texts: the values of the flag.
    most: the budget, if it is known.

  Raises:
    UsageError: if one is no number from 1 to `most`.
  """
  bounds = "from 1 on" if most is None else f"in 1..{most:,}"
  with user_errors("--at: "):
    at = sorted({int(text) for text in texts})
    if not at or at[0] < 1 or (most is not None and at[-1] > most):
      raise ValueError(f"expected queries {bounds}, got {','.join(texts)}.")
  return at


def check(search: Search) -> Search:
  """The search, if `measure` can run it.

  Raises:
    ValueError: if it runs on the host alone, or its budget is below its initial
      design or above the rows.
  """
  driver.check_traceable(search.algorithm, search.problem)
  driver.check_budget(search.algorithm, search.problem, budget=search.budget)
  return search


def measure(
  search: Search,
  num_seeds: int,
  batch_size_seeds: int,
  on_progress: Callable[[Progress], None],
) -> Measured:
  """Runs a search for every seed; `check` says whether it can run."""
  began = time.process_time()
  result = sweep(
    jax.random.split(jax.random.key(0), num_seeds),
    search,
    batch_size_seeds=batch_size_seeds,
    on_progress=on_progress,
    keeps_state=False,
  )
  cpu_seconds = time.process_time() - began
  share = result.run_seconds / (result.run_seconds + result.compile_seconds)
  past = results.history(result.trace, fidelities.of_search(search))
  position = past.objective.argmax(axis=1)[:, None]
  return Measured(
    past.best(search.budget),
    cpu_seconds * share / num_seeds,
    np.take_along_axis(past.test, position, axis=1)[:, 0],
    past.charged[:, -1] / past.scale,
  )


def share_at(best: np.ndarray, optimum: Optimum) -> float:
  """The share of best objectives `f32[S]` that are at the optimum."""
  bound = np.float32(optimum.objective - tolerance(optimum.objective))
  return float(np.mean(best >= bound))


def figures(
  best: np.ndarray, at: Sequence[int], optimum: Optimum | None
) -> Row:
  """The number of seeds; share at the optimum and mean best after `at` queries.

  Args:
    best: `f32[S, Q]` best objective after 1, ..., Q charged queries.
    at: numbers of queries.
    optimum: the best feasible row, if it is known.
  """
  row = {"num_seeds": str(len(best))}
  for queries in at:
    now = best[:, queries - 1]
    if optimum is not None:
      row[f"share_{queries}"] = f"{share_at(now, optimum):.3f}"
    row[f"mean_{queries}"] = f"{now.mean():.3f}"
  return row


def refused(why: object) -> Row:
  """The row of what cannot run."""
  return {"num_seeds": "0", "note": one_line(why)}


def read_rows(path: pathlib.Path, names: Sequence[str]) -> Rows:
  """The rows that are done, by the texts of their first columns.

  Raises:
    UsageError: if the first columns have other names.
    FileError: if the file is damaged.
  """
  if not path.exists():
    return {}
  found, rows = files.read_csv(path)
  if tuple(found[: len(names)]) != tuple(names):
    raise UsageError(
      f"{path} is another table; it must begin with {', '.join(names)}."
    )
  return {
    tuple(row[name] for name in names): {
      name: text for name, text in row.items() if text and name not in names
    }
    for row in rows
  }


def write_rows(
  path: pathlib.Path,
  names: Sequence[str],
  rows: Mapping[tuple[str, ...], Mapping[str, str]],
) -> None:
  """Writes all rows; the file is there only when it is complete."""
  fields = list(dict.fromkeys(k for row in rows.values() for k in row))
  with files.atomic_path(path) as temporary:
    with open(temporary, "w", newline="", encoding="utf-8") as file:
      writer = csv.DictWriter(file, [*names, *fields])
      writer.writeheader()
      for key, row in rows.items():
        writer.writerow({**dict(zip(names, key, strict=True)), **row})
