"""The work of `experiments.train_top`: trainings of the best cells, a table."""

from collections.abc import Callable
from collections.abc import Sequence
import csv
import dataclasses
import functools
import hashlib
import json
import pathlib
import re
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax import files
from nagjax import statistics
from nagjax.candidates import cells
from nagjax.candidates import images as images_lib
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.spaces import SearchSpace

from . import images as image_files
from . import results
from .errors import UsageError
from .errors import user_errors

TRAINED = "trained.csv"
UNFINISHED = "unfinished.json"
"""Rows of the table so far; not there once it is complete."""
NETWORK = "network_{}.npz"
"""A network by its rank, from 1."""
SEEDS = (777, 888, 999)
"""Those of NAS-Bench-201."""


class Preset(NamedTuple):
  """A recipe and the size of the network."""

  recipe: train.Recipe
  num_channels: int
  num_cells: int


PRESETS = {
  "small": Preset(train.SMALL, 8, 1),
  "nasbench201": Preset(train.NASBENCH201, 16, 5),
}


class Task(NamedTuple):
  """What `train_top` needs, checked.

  Attributes:
    images: normalized and divided.
    config: the network around the cells.
    recipe: how they are trained.
  """

  images: images_lib.Prepared
  config: cells.Config
  recipe: train.Recipe


def best_distinct(
  founds: Sequence[results.Found], space: SearchSpace
) -> np.ndarray:
  """Feasible architectures of several searches, the best first, `[n, L]`.

  Of isomorphic ones the best stands for all.
  """
  feasible = np.concatenate([found.feasible for found in founds])
  archs = np.concatenate([found.archs for found in founds])[feasible]
  objective = np.concatenate([found.objective for found in founds])[feasible]
  archs = archs[np.argsort(-objective, kind="stable")]
  canonical = np.asarray(space.canonicalize(jnp.asarray(archs)))
  _, first = np.unique(canonical, axis=0, return_index=True)
  return archs[np.sort(first)]


def make_task(
  space: SearchSpace,
  images: str,
  preset: str,
  built: dict[str, Any] | None = None,
) -> Task:
  """Checks everything before a training begins.

  Args:
    space: of the search.
    images: `digits` or a file.
    preset: one of `PRESETS`.
    built: settings of the table that was searched, if `experiments.
      build_benchmark` made it. Of the same images the same part judges here, so
      that none that the search chose by does.

  Raises:
    UsageError: if anything is wrong.
  """
  labeled = image_files.read(images)
  num_train = num_valid = None
  if built and built["images_sha256"] == image_files.digest(*labeled):
    num_train, num_valid = built["num_train"], built["num_valid"]
  return task_of(space, labeled, preset, num_train, num_valid)


def task_of(
  space: SearchSpace,
  labeled: images_lib.Labeled,
  preset: str,
  num_train: int | None = None,
  num_valid: int | None = None,
) -> Task:
  """`make_task` of images that have been read.

  Args:
    space: of the cells.
    labeled: the images.
    preset: one of `PRESETS`.
    num_train, num_valid: images to learn from and to choose by, see
      `images.default_sizes`.

  Raises:
    UsageError: if anything is wrong.
  """
  if space.name != "nasbench201":
    raise UsageError(f"There are no networks for the space {space.name}.")
  recipe, num_channels, num_cells = PRESETS[preset]
  if num_train is None or num_valid is None:
    num_train, num_valid = images_lib.default_sizes(len(labeled.y))
  height, width, channels = labeled.x.shape[1:]
  with user_errors("--images: "):
    config = cells.Config(
      image_shape=(height, width, channels),
      num_classes=labeled.num_classes,
      num_channels=num_channels,
      num_cells=num_cells,
    )
    prepared = images_lib.split(
      jax.random.key(image_files.SPLIT_SEED),
      labeled,
      num_train=num_train,
      num_valid=num_valid,
      recipe=recipe,
      num_views=0,
    )
  return Task(prepared, config, recipe)


def written(workdir: pathlib.Path) -> list[str]:
  """Names of the files there that a training writes."""
  pattern = re.compile(re.escape(NETWORK).replace(r"\{\}", r"\d+"))
  names = sorted(path.name for path in workdir.glob("*"))
  return [
    n for n in names if n in (TRAINED, UNFINISHED) or pattern.fullmatch(n)
  ]


def begin(
  workdir: pathlib.Path, digest: str, *, overwrite: bool
) -> list[dict[str, Any]]:
  """Rows of the trainings there that this one goes on with.

  Args:
    workdir: for the results.
    digest: of what the trainings depend on.
    overwrite: whether what is there may go, unless it can be gone on with.

  Raises:
    UsageError: if the directory holds the results of a training, or an
      unfinished one of something else.
  """
  path = workdir / UNFINISHED
  if path.exists():
    try:
      before = files.read_json(path)
      if before["digest"] == digest:
        return list(before["rows"])
    except (ValueError, LookupError, TypeError):
      pass
  found = written(workdir)
  if found and not overwrite:
    raise UsageError(
      f"{workdir} holds {found[0]}, of another training; choose another "
      "--workdir or pass --overwrite."
    )
  for name in found:
    (workdir / name).unlink()
  remember(workdir, digest, [])
  return []


def remember(
  workdir: pathlib.Path, digest: str, rows: Sequence[dict[str, Any]]
) -> None:
  """Writes what `begin` goes on with.

  Args:
    workdir: for the results.
    digest: of what the trainings depend on.
    rows: of the table so far.
  """
  with files.atomic_path(workdir / UNFINISHED) as path:
    path.write_text(json.dumps({"digest": digest, "rows": rows}))


def digest_of(task: Task, names: Sequence[str]) -> str:
  """SHA-256 of what trainings depend on.

  Args:
    task: how.
    names: official strings of the cells.
  """
  settings = [dataclasses.asdict(task.config), dataclasses.asdict(task.recipe)]
  text = json.dumps([settings, list(names)], sort_keys=True)
  text += arrays.digest(task.images.split)
  return hashlib.sha256(text.encode()).hexdigest()


def train_top(
  task: Task,
  space: SearchSpace,
  archs: np.ndarray,
  workdir: pathlib.Path,
  *,
  overwrite: bool = False,
) -> None:
  """Trains cells, saves the networks, prints and writes a table.

  The table is written again after each cell, so that an interruption loses one:
  the same call goes on. Trainings that diverge are counted and left out; a cell
  of which all do has no accuracy and no network.

  Args:
    task: how.
    space: of the search.
    archs: `int32[n, L]` distinct cells, the best first.
    workdir: for `network_1.npz` and so on, and `trained.csv`.
    overwrite: whether other results there may go.

  Raises:
    UsageError: for the reasons of `begin`.
  """
  names = [space.to_string(arch.tolist()) for arch in archs]
  digest = digest_of(task, names)
  rows = begin(workdir, digest, overwrite=overwrite)

  def next_row(rank: int) -> dict[str, Any]:
    print(f"Training {rank} of {len(archs)}: {names[rank - 1]}", flush=True)
    return train_cell(task, space, archs[rank - 1], rank, workdir).row

  fill(workdir, digest, rows, len(archs), next_row)


def fill(
  workdir: pathlib.Path,
  digest: str,
  rows: list[dict[str, Any]],
  num_rows: int,
  next_row: Callable[[int], dict[str, Any]],
) -> None:
  """Completes a table of trainings, which is kept after each row.

  Args:
    workdir: for the table.
    digest: of what the trainings depend on.
    rows: those of `begin`; the others are appended.
    num_rows: of the whole table.
    next_row: trains the cell of a rank, from 1.
  """
  for rank in range(len(rows) + 1, num_rows + 1):
    rows.append(next_row(rank))
    remember(workdir, digest, rows)
    write(workdir / TRAINED, rows)
    print(line_of(rows[-1]), flush=True)
  write(workdir / TRAINED, rows)
  (workdir / UNFINISHED).unlink(missing_ok=True)


class TrainedCell(NamedTuple):
  """What the trainings of a cell came to.

  Attributes:
    row: of `trained.csv`.
    valid_accuracies: in percent, by the images to choose by, of the trainings
      that did not fail.
    seconds: that each training took, the first one's compilation included.
  """

  row: dict[str, Any]
  valid_accuracies: list[float]
  seconds: list[float]


def train_cell(
  task: Task,
  space: SearchSpace,
  arch: np.ndarray,
  rank: int,
  workdir: pathlib.Path,
) -> TrainedCell:
  """Trains a cell by all seeds, and saves the first network that did not fail.

  Args:
    task: how.
    space: of the cell.
    arch: `int32[L]` the cell.
    rank: its number, for the file.
    workdir: for the network.
  """
  name = space.to_string(arch.tolist())
  runs, seconds = {}, []
  for seed in SEEDS:
    start = time.monotonic()
    found = fit(jax.random.key(seed), jnp.asarray(arch), task)
    runs[seed] = jax.device_get(found)
    seconds.append(time.monotonic() - start)
  good = {
    seed: (model, float(outcome.test.accuracy), float(outcome.valid.accuracy))
    for seed, (model, outcome) in runs.items()
    if not outcome.failed
  }
  row = {
    "rank": rank,
    "architecture": name,
    **interval_of([accuracy for _, accuracy, _ in good.values()]),
    "num_seeds": len(good),
    "num_failed": len(SEEDS) - len(good),
    "network": NETWORK.format(rank) if good else "",
  }
  if good:
    seed, (model, accuracy, _) = next(iter(good.items()))
    network = store.Trained(
      architecture=name,
      config=task.config,
      model=model,
      mean=jnp.asarray(task.images.mean),
      deviation=jnp.asarray(task.images.deviation),
      notes={
        "seed": seed,
        "test_accuracy": accuracy,
        "recipe": dataclasses.asdict(task.recipe),
      },
    )
    store.save(workdir / NETWORK.format(rank), network)
  valid = [accuracy for _, _, accuracy in good.values()]
  return TrainedCell(row, valid, seconds)


def fit(
  key: jax.Array, arch: jax.Array, task: Task
) -> tuple[cells.Model, train.Outcome]:
  """Trains one network and judges it by the two other parts of the images.

  Args:
    key: random key, consumed.
    arch: `int32[L]` the cell.
    task: how.
  """
  return _fit(key, arch, task.images.split, task.config, task.recipe)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _fit(
  key: jax.Array,
  arch: jax.Array,
  split: train.Split,
  config: cells.Config,
  recipe: train.Recipe,
) -> tuple[cells.Model, train.Outcome]:
  model = train.fit(key, arch, split.train, config, recipe)
  return model, train.judge(model, arch, split, config.num_classes)


def interval_of(accuracies: Sequence[float]) -> dict[str, float | str]:
  """Mean and 95 % interval, within 0 to 100 %; "" for what is not known."""
  mean: float | str = ""
  low: float | str = ""
  high: float | str = ""
  if accuracies:
    mean = float(np.mean(accuracies))
  if len(accuracies) > 1:
    interval = statistics.mean_interval(np.asarray(accuracies))
    low, high = max(0.0, interval.low), min(100.0, interval.high)
  return {
    "test_accuracy_mean": mean,
    "test_accuracy_low": low,
    "test_accuracy_high": high,
  }


def line_of(row: dict[str, Any]) -> str:
  """A row of the table for people."""
  if not row["num_seeds"]:
    return f"  all {row['num_failed']} trainings diverged"
  text = f"  test accuracy {row['test_accuracy_mean']:.2f} %"
  if row["num_seeds"] > 1:
    text += (
      f", 95 % interval {row['test_accuracy_low']:.2f} to "
      f"{row['test_accuracy_high']:.2f}"
    )
  text += f", {row['num_seeds']} seeds"
  if row["num_failed"]:
    text += f", {row['num_failed']} more diverged"
  return text


def write(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  """Writes a table, one row or more."""
  with (
    files.atomic_path(path) as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
