"""Training what a search found: `experiments.search --train_top`."""

from collections.abc import Sequence
import csv
import dataclasses
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import build_benchmark
from experiments import common
from experiments import results
from nagjax import files
from nagjax import statistics
from nagjax.candidates import cells
from nagjax.candidates import images as images_lib
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.spaces import SearchSpace

TRAINED = "trained.csv"
VALID_SHARE = TEST_SHARE = 0.2
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
    images: normalised and divided.
    config: the network around the cells.
    recipe: how they are trained.
    num: how many cells are trained.
  """

  images: images_lib.Prepared
  config: cells.Config
  recipe: train.Recipe
  num: int


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
  canonical = np.asarray(space.canonicalise(jnp.asarray(archs)))
  _, first = np.unique(canonical, axis=0, return_index=True)
  return archs[np.sort(first)]


def make_task(
  space: SearchSpace, num: int, images: str | None, preset: str
) -> Task | None:
  """Checks everything before the search begins.

  Args:
    space: of the search.
    num: how many cells are trained; 0 for none.
    images: `digits` or a file.
    preset: one of `PRESETS`.

  Returns:
    The task, or None if nothing is to be trained.

  Raises:
    UsageError: if anything is wrong.
  """
  if num == 0:
    return None
  if space.name != "nasbench201":
    raise common.UsageError(f"--train_top: no networks for {space.name}.")
  if images is None:
    raise common.UsageError("--train_top needs --images=digits or a .npz file.")
  recipe, num_channels, num_cells = PRESETS[preset]
  labelled = build_benchmark.read_images(images)
  total = len(labelled.y)
  num_valid, num_test = round(VALID_SHARE * total), round(TEST_SHARE * total)
  height, width, channels = labelled.x.shape[1:]
  with common.user_errors("--images: "):
    config = cells.Config(
      image_shape=(height, width, channels),
      num_classes=labelled.num_classes,
      num_channels=num_channels,
      num_cells=num_cells,
    )
    prepared = images_lib.split(
      jax.random.key(0),
      labelled,
      num_train=total - num_valid - num_test,
      num_valid=num_valid,
      recipe=recipe,
      num_views=0,
    )
  return Task(prepared, config, recipe, num)


def train_top(
  task: Task, space: SearchSpace, archs: np.ndarray, workdir: pathlib.Path
) -> None:
  """Trains the first cells, saves the networks, prints and writes a table.

  Args:
    task: how.
    space: of the search.
    archs: `int32[n, L]` distinct cells, the best first.
    workdir: for `network_1.npz` and so on, and `trained.csv`.
  """
  split = task.images.split

  @jax.jit
  def fit(key, arch):
    model = train.fit(key, arch, split.train, task.config, task.recipe)
    return model, train.evaluate(model, arch, split.test)

  rows = []
  for rank, arch in enumerate(archs[: task.num], 1):
    name = space.to_string(arch.tolist())
    print(f"Training {rank} of {min(task.num, len(archs))}: {name}", flush=True)
    runs = [
      jax.device_get(fit(jax.random.key(seed), jnp.asarray(arch)))
      for seed in SEEDS
    ]
    accuracy = np.asarray([metrics.accuracy for _, metrics in runs])
    interval = statistics.mean_interval(accuracy)
    network = store.Trained(
      architecture=name,
      config=task.config,
      model=runs[0][0],
      mean=jnp.asarray(task.images.mean),
      deviation=jnp.asarray(task.images.deviation),
      notes={
        "seed": SEEDS[0],
        "test_accuracy": float(accuracy[0]),
        "recipe": dataclasses.asdict(task.recipe),
      },
    )
    store.save(workdir / f"network_{rank}.npz", network)
    rows.append(
      {
        "rank": rank,
        "architecture": name,
        "test_accuracy_mean": float(accuracy.mean()),
        "test_accuracy_low": float(interval.low),
        "test_accuracy_high": float(interval.high),
        "num_seeds": len(SEEDS),
        "network": f"network_{rank}.npz",
      }
    )
    print(
      f"  test accuracy {accuracy.mean():.2f} %, 95 % interval "
      f"{interval.low:.2f} to {interval.high:.2f}, {len(SEEDS)} seeds"
    )
  _write(workdir / TRAINED, rows)


def _write(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  with (
    files.atomic_path(path) as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
