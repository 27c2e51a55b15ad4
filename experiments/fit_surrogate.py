"""Fits a surrogate benchmark: boosted trees that predict a training's result.

  python -m experiments.fit_surrogate --space=darts \\
    --source=nb301_subset.npz --output=nb301_surrogate.npz

The source holds evaluated architectures, and may be

  FILE.npz   `genotype` [n, 2, 8, 2] (pairs of source and operation), `names`
             and `values` [n, columns]; space darts
  FILE.csv   a column `arch` (or `architecture`) of the space's strings, and
             a column of values
  FILE.json  logs of NAS-Bench-NLP, a list of records with `recepie`, `status`
             and `val_losses`; the value is minus the last validation loss of
             the runs that were completed; space nasbench_nlp

Rows without a finite value are left out; an architecture that occurs twice, or
two that compute the same, count once, with the mean. The rank correlation that
is printed and stored is that of k-fold cross-validation: every row is predicted
by trees fitted to the other folds. The stored trees are fitted to all rows. The
defaults were chosen on the 1,218 rows of nb301_subset.npz.

Put the file into the data directory; nb301_surrogate.npz and
nbnlp_surrogate.npz are searched as --benchmark=nasbench301/cifar10 and
nasbench-nlp/ptb.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import importlib
import os
import pathlib
import sys
from typing import Any
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import columns
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import trees
from nagjax.convert import boosted
from nagjax.spaces import SearchSpace
from nagjax.spaces import darts

from .support import flags
from .support import machine
from .support import outputs
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import require_extra

LIBRARIES = ("xgboost", "lightgbm")
NUM_GOLDEN = 32

_ENCODINGS = {"darts": "cells", "nasbench_nlp": "motifs"}

Predict = Callable[[np.ndarray], np.ndarray]


class Rows(NamedTuple):
  """Evaluated architectures.

  Attributes:
    archs: `int32[n, L]`.
    values: `float64[n]`, maximized; NaN where the evaluation failed.
    objective: name of the values.
    unit: their unit.
  """

  archs: np.ndarray
  values: np.ndarray
  objective: str
  unit: str


@dataclasses.dataclass(frozen=True)
class Settings:
  """Hyper-parameters of the trees; see the flags."""

  library: str
  num_trees: int
  max_depth: int
  learning_rate: float
  row_share: float
  column_share: float
  seed: int


def _run(values: flags.Values) -> None:
  space, settings = _check_flags(values)
  machine.start_jax(values.compilation_cache_dir)
  rows = read_rows(values, space)
  encoding = values.encoding or _ENCODINGS.get(space.name, "options")
  with outputs.claimed_output(
    values.output, overwrite=values.overwrite
  ) as output:
    card = fit(space, rows, settings, encoding, values.num_folds, output)
  print(
    f"Wrote {output}: {card.objective} of {card.num_rows:,} rows of the space "
    f"{card.space}, {settings.num_trees:,} trees on {card.encoding}."
  )
  print(
    f"Rank correlation by {card.held_out}: Spearman {card.spearman:.3f}, "
    f"Kendall {card.kendall:.3f}."
  )


def _check_flags(values: flags.Values) -> tuple[SearchSpace, Settings]:
  """Checks everything that can be checked before reading the source."""
  flags.require(values, "source", "output")
  with user_errors("--space: "):
    space = registry.make_space(values.space)
  suffix = pathlib.Path(values.source).suffix
  if suffix not in _READERS:
    raise UsageError(
      f"--source must end in {', '.join(_READERS)}, got {values.source}."
    )
  outputs.check_output(values.output, overwrite=values.overwrite)
  require_extra(values.library, extra="boosted")
  fields: dict[str, Any] = {
    field.name: values[field.name].value
    for field in dataclasses.fields(Settings)
  }
  return space, Settings(**fields)


def read_rows(values: flags.Values, space: SearchSpace) -> Rows:
  """Reads the source; one row for every architecture that has a value.

  Raises:
    UsageError: if it has another form, or too few rows for the folds.
  """
  with user_errors("--source: "):
    read = _READERS[pathlib.Path(values.source).suffix]
    rows = read(values.source, space, values.column)
    columns.as_column("of the values", rows.values, len(rows.values))
  rows = rows._replace(
    objective=values.objective or rows.objective,
    unit=rows.unit if values.unit is None else values.unit,
  )
  with user_errors():
    surrogate.check_predicted(rows.objective, rows.unit)
  finite = np.isfinite(rows.values)
  same = space.canonicalize(jnp.asarray(rows.archs))
  keys = np.asarray(space.keys(same))[finite]
  _, first, group = np.unique(
    keys, axis=0, return_index=True, return_inverse=True
  )
  if len(first) < 2 * values.num_folds:
    raise UsageError(
      f"{values.source} must hold {2 * values.num_folds} architectures with a "
      f"value or more for --num_folds={values.num_folds}, got {len(first)}."
    )
  print(
    f"Read {len(finite):,} rows: {len(first):,} architectures, "
    f"{int((~finite).sum()):,} rows without a value."
  )
  total = np.bincount(group.ravel(), rows.values[finite])
  return rows._replace(
    archs=rows.archs[finite][first], values=total / np.bincount(group.ravel())
  )


def fit(
  space: SearchSpace,
  rows: Rows,
  settings: Settings,
  encoding: str,
  num_folds: int,
  output: str | os.PathLike[str],
) -> surrogate.Card:
  """Fits, cross-validates and writes a surrogate.

  Raises:
    UsageError: if the encoding is not one of the space.
  """
  with user_errors("--encoding: "):
    archs = jnp.asarray(rows.archs)
    features = np.asarray(surrogate.encode(encoding, space, archs))
  rng = np.random.default_rng(settings.seed)
  folds = rng.permutation(len(rows.values)) % num_folds
  predictions = np.empty_like(rows.values)
  for fold in range(num_folds):
    print(f"Fold {fold + 1} of {num_folds}", flush=True)
    inside = folds != fold
    predict, _ = _boost(features[inside], rows.values[inside], settings)
    predictions[~inside] = predict(features[~inside])
  found = statistics.rank_correlation(predictions, rows.values)
  card = surrogate.Card(
    space=space.name,
    encoding=encoding,
    objective=rows.objective,
    unit=rows.unit,
    num_rows=len(rows.values),
    spearman=found.spearman,
    kendall=found.kendall,
    held_out=f"{num_folds}-fold cross-validation",
    settings=tuple(dataclasses.asdict(settings).items()),
  )
  predict, ensemble = _boost(features, rows.values, settings)
  golden = np.linspace(0, len(features) - 1, NUM_GOLDEN).astype(int)
  surrogate.save(
    output,
    surrogate.TreeBenchmark(ensemble, "", space, card),
    rows.archs[golden],
    predict(features[golden]),
  )
  return card


def _boost(
  features: np.ndarray, values: np.ndarray, settings: Settings
) -> tuple[Predict, trees.TreeEnsemble]:
  """Fits an ensemble; returns what the library predicts, and the trees."""
  library = importlib.import_module(settings.library)
  shared = {
    "learning_rate": settings.learning_rate,
    "max_depth": settings.max_depth,
    "nthread": 1,  # Threads wait for each other longer than such trees take.
    "seed": settings.seed,
  }
  if settings.library == "xgboost":
    own = {
      "objective": "reg:squarederror",
      "subsample": settings.row_share,
      "colsample_bytree": settings.column_share,
      "verbosity": 0,
    }
    data = library.DMatrix(features, values)
    booster = library.train(shared | own, data, settings.num_trees)
    text = bytes(booster.save_raw("json")).decode()
    ensemble = boosted.from_xgboost_json(text)
    return lambda x: booster.predict(library.DMatrix(x)), ensemble
  own = {
    "objective": "regression",
    "bagging_fraction": settings.row_share,
    "bagging_freq": 1,
    "feature_fraction": settings.column_share,
    "num_leaves": 2**settings.max_depth,
    "min_data_in_leaf": 10,
    "deterministic": True,
    "verbose": -1,
  }
  data = library.Dataset(features, values)
  booster = library.train(shared | own, data, settings.num_trees)
  return booster.predict, boosted.from_lightgbm_text(booster.model_to_string())


def _read_npz(path: str, space: SearchSpace, column: str | None) -> Rows:
  column = column or "val_accuracy"
  if space.name != "darts":
    raise ValueError(f"{path}: a .npz holds DARTS genotypes, not {space.name}.")
  arrays = files.read_arrays(
    path,
    {
      "genotype": files.Declared("iu", ("n", 2, 8, 2)),
      "names": files.Declared("SU", ("columns",)),
      "values": files.Declared("f", ("n", "columns")),
    },
  )
  names = [bytes(name).decode() for name in arrays["names"].astype(bytes)]
  if column not in names:
    raise ValueError(
      f"{path}: --column must be one of {', '.join(names)}, got {column!r}."
    )
  archs = [darts.from_genotype(genotype) for genotype in arrays["genotype"]]
  values = arrays["values"][:, names.index(column)]
  accuracy = column == "val_accuracy"
  objective = "valid_accuracy" if accuracy else column
  return _rows(space, archs, values, objective, "%" if accuracy else "")


def _read_csv(path: str, space: SearchSpace, column: str | None) -> Rows:
  column = column or "value"
  names, rows = files.read_csv(path)
  key = "architecture" if "architecture" in names else "arch"
  if key not in names or column not in names:
    raise ValueError(
      f"{path}: must have columns arch and {column} (--column), got "
      f"{','.join(names)[:80]!r}."
    )
  archs, values = [], []
  for number, row in enumerate(rows, 1):
    try:
      archs.append(space.from_string(row[key]))
      values.append(float(row[column] or "nan"))
    except ValueError as error:
      raise ValueError(f"{path}: row {number}: {error}") from error
  return _rows(space, archs, values, column, "")


def _read_json(path: str, space: SearchSpace, column: str | None) -> Rows:
  if space.name != "nasbench_nlp" or column is not None:
    raise ValueError(
      f"{path}: a .json holds NAS-Bench-NLP logs; pass --space=nasbench_nlp "
      "and no --column."
    )
  cells = importlib.import_module("nagjax.spaces.nasbench_nlp")
  archs, values = [], []
  try:
    for record in files.read_json(path, allow_nan=True):
      archs.append(cells.from_recipe(record["recepie"]))
      completed = record["status"] == "OK" and record["val_losses"]
      values.append(-record["val_losses"][-1] if completed else np.nan)
  except (AttributeError, LookupError, TypeError) as error:
    number = f"record {len(archs)}"
    raise ValueError(f"{path}: {number} is no log ({error!r}).") from error
  return _rows(space, archs, values, "negative_valid_loss", "nats")


def _rows(
  space: SearchSpace,
  archs: Sequence[np.ndarray],
  values: Sequence[float] | np.ndarray,
  objective: str,
  unit: str,
) -> Rows:
  matrix = np.reshape(np.asarray(archs, np.int32), (-1, space.num_variables))
  return Rows(matrix, np.asarray(values, np.float64), objective, unit)


_READERS: dict[str, Callable[[str, SearchSpace, str | None], Rows]] = {
  ".npz": _read_npz,
  ".csv": _read_csv,
  ".json": _read_json,
}


main = binary(
  _run,
  [
    *flags.common("output", "overwrite", "seed", space="darts"),
    flags.path("source", None, "Evaluated architectures: .npz, .csv or .json."),
    flags.text(
      "column", None, "Of the values; val_accuracy in a .npz, value in a .csv."
    ),
    flags.text(
      "objective", None, "Name of what is predicted; by default the column's."
    ),
    flags.text(
      "unit", None, "Its unit; % for a .npz, nats for a .json, else none."
    ),
    flags.choice("library", LIBRARIES[0], LIBRARIES, "What fits trees."),
    flags.choice(
      "encoding",
      None,
      sorted(surrogate.ENCODINGS),
      "What the trees read; by default what does best on known data.",
    ),
    flags.whole("num_trees", 2000, "Trees."),
    flags.whole("max_depth", 2, "Comparisons on a way through a tree."),
    flags.whole("num_folds", 5, "Of the cross-validation.", 2),
    *(
      flags.number(name, value, f"Share of {what}.", 1e-6, 1.0)
      for name, value, what in (
        ("learning_rate", 0.05, "each tree's correction that is taken"),
        ("row_share", 0.8, "the rows that each tree sees"),
        ("column_share", 0.5, "the features that each tree sees"),
      )
    ),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
