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
import csv
import dataclasses
import importlib
import importlib.util
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

from absl import flags
import jax.numpy as jnp
import numpy as np

from experiments import common
from nagjax import files
from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import trees
from nagjax.convert import boosted
from nagjax.spaces import SearchSpace
from nagjax.spaces import darts

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


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(lambda: _run(argv))


def _run(argv: Sequence[str]) -> None:
  values = _define_flags()
  if common.read_flags(values, argv, __doc__):
    return
  space, settings = _check_flags(values)
  common.start_jax()
  rows = read_rows(values, space)
  output = pathlib.Path(values.output)
  encoding = values.encoding or _ENCODINGS.get(space.name, "options")
  card = fit(space, rows, settings, encoding, values.num_folds, output)
  print(
    f"Wrote {output}: {card.objective} of {card.num_rows:,} rows of the space "
    f"{card.space}, {settings.num_trees:,} trees on {card.encoding}."
  )
  print(
    f"Rank correlation by {card.held_out}: Spearman {card.spearman:.3f}, "
    f"Kendall {card.kendall:.3f}."
  )


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  strings = [
    ("space", "darts", "Name of the space."),
    ("source", None, "Evaluated architectures: .npz, .csv or .json."),
    ("output", None, "The .npz file to write."),
    ("column", None, "Of the values; val_accuracy in a .npz, value in a .csv."),
    ("objective", None, "Name of what is predicted; by default the column's."),
    ("unit", None, "Its unit; % for a .npz, nats for a .json, else none."),
  ]
  for name, default, text in strings:
    flags.DEFINE_string(name, default, text, flag_values=values)
  flags.DEFINE_enum(
    "library", LIBRARIES[0], LIBRARIES, "What fits trees.", flag_values=values
  )
  flags.DEFINE_enum(
    "encoding",
    None,
    sorted(surrogate.ENCODINGS),
    "What the trees read; by default what does best on known data.",
    flag_values=values,
  )
  integers: list[tuple[str, int, int, str]] = [
    ("num_trees", 1, 2000, "Trees."),
    ("max_depth", 1, 2, "Comparisons on a way through a tree."),
    ("num_folds", 2, 5, "Of the cross-validation."),
    ("seed", 0, 0, "Of the folds and of the library."),
  ]
  for name, lowest, number, text in integers:
    flags.DEFINE_integer(name, number, text, lowest, flag_values=values)
  floats = [
    ("learning_rate", 0.05, "Share of each tree's correction that is taken."),
    ("row_share", 0.8, "Share of the rows that each tree sees."),
    ("column_share", 0.5, "Share of the features that each tree sees."),
  ]
  for name, value, text in floats:
    flags.DEFINE_float(name, value, text, 1e-6, 1.0, flag_values=values)
  flags.DEFINE_boolean(
    "overwrite", False, "Replace an existing output.", flag_values=values
  )
  flags.DEFINE_boolean("help", False, "Print this text.", flag_values=values)
  return values


def _check_flags(values: flags.FlagValues) -> tuple[SearchSpace, Settings]:
  """Checks everything that can be checked before reading the source."""
  for name in ("source", "output"):
    if not getattr(values, name):
      raise common.UsageError(f"--{name} is needed; see --help.")
  with common.user_errors("--space: "):
    space = registry.make_space(values.space)
  suffix = pathlib.Path(values.source).suffix
  if suffix not in _READERS:
    raise common.UsageError(
      f"--source must end in {', '.join(_READERS)}, got {values.source}."
    )
  output = common.check_table_path(values.output, values.overwrite)
  if not output.parent.is_dir():
    raise common.UsageError(f"{output.parent}: no such directory.")
  if importlib.util.find_spec(values.library) is None:
    raise common.UsageError(
      f"{values.library} cannot be imported; install it with "
      "`pip install nagjax[boosted]`."
    )
  fields: dict[str, Any] = {
    field.name: values[field.name].value
    for field in dataclasses.fields(Settings)
  }
  return space, Settings(**fields)


def read_rows(values: flags.FlagValues, space: SearchSpace) -> Rows:
  """Reads the source; one row for every architecture that has a value.

  Raises:
    UsageError: if it has another form, or too few rows for the folds.
  """
  with common.user_errors("--source: "):
    read = _READERS[pathlib.Path(values.source).suffix]
    rows = read(values.source, space, values.column)
  finite = np.isfinite(rows.values)
  same = space.canonicalize(jnp.asarray(rows.archs))
  keys = np.asarray(space.keys(same))[finite]
  _, first, group = np.unique(
    keys, axis=0, return_index=True, return_inverse=True
  )
  if len(first) < 2 * values.num_folds:
    raise common.UsageError(
      f"{values.source} must hold {2 * values.num_folds} architectures with a "
      f"value or more for --num_folds={values.num_folds}, got {len(first)}."
    )
  print(
    f"Read {len(finite):,} rows: {len(first):,} architectures, "
    f"{int((~finite).sum()):,} rows without a value."
  )
  total = np.bincount(group.ravel(), rows.values[finite])
  return Rows(
    archs=rows.archs[finite][first],
    values=total / np.bincount(group.ravel()),
    objective=values.objective or rows.objective,
    unit=rows.unit if values.unit is None else values.unit,
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
  with common.user_errors("--encoding: "):
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
  arrays = files.read_arrays(path)
  missing = {"genotype", "names", "values"} - set(arrays)
  if missing:
    raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}.")
  names = [bytes(name).decode() for name in arrays["names"].astype(bytes)]
  if column not in names:
    raise ValueError(
      f"{path}: --column must be one of {', '.join(names)}, got {column!r}."
    )
  archs = [darts.from_genotype(genotype) for genotype in arrays["genotype"]]
  values = arrays["values"][:, names.index(column)]
  if len(values) != len(archs):
    raise ValueError(f"{path}: {len(archs)} genotypes, {len(values)} values.")
  accuracy = column == "val_accuracy"
  objective = "valid_accuracy" if accuracy else column
  return _rows(space, archs, values, objective, "%" if accuracy else "")


def _read_csv(path: str, space: SearchSpace, column: str | None) -> Rows:
  column = column or "value"
  archs, values = [], []
  with pathlib.Path(path).open(newline="", encoding="utf-8") as stream:
    reader = csv.DictReader(stream)
    names = reader.fieldnames or ()
    key = "architecture" if "architecture" in names else "arch"
    if key not in names or column not in names:
      raise ValueError(
        f"{path}: must have columns arch and {column} (--column), got "
        f"{','.join(names)[:80]!r}."
      )
    for row in reader:
      try:
        archs.append(space.from_string(row[key] or ""))
        values.append(float(row[column] or "nan"))
      except ValueError as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}") from error
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
    for record in json.loads(pathlib.Path(path).read_text(encoding="utf-8")):
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


if __name__ == "__main__":
  common.run_program(main)
