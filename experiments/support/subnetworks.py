"""Sub-networks of a super-network, trained alone: checks, trainings, files."""

from collections.abc import Mapping
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax import files
from nagjax.candidates import alone
from nagjax.candidates import elastic
from nagjax.candidates import images as images_lib
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark as benchmark
from nagjax.candidates import train
from nagjax.types import Key

from . import images as image_files
from . import training
from .errors import UsageError
from .errors import user_errors


class Task(NamedTuple):
  """What trainings need, checked.

  Attributes:
    table: the super-network, with all images that nothing learns from.
    images: normalized, to learn from.
    recipe: how a sub-network is trained.
    settings: all of these, as JSON.
  """

  table: benchmark.SuperNet
  images: train.Images
  recipe: supernet.Recipe
  settings: dict[str, Any]

  def digest(self, asked: Any) -> str:
    """SHA-256 of what trainings depend on.

    Args:
      asked: what is trained, as JSON.
    """
    text = json.dumps([self.settings, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(
  path: str | os.PathLike[str], images: images_lib.Labeled
) -> benchmark.SuperNet:
  """The super-network of --weights, for the images of --images.

  Raises:
    UsageError: if the file is none, or the images do not suit it.
  """
  with user_errors("--weights: "):
    found = benchmark.load(path, name="given")
  network = found.card.make()
  got = images.x.shape[1:], images.num_classes
  if got != (network.image_shape, network.num_classes):
    raise UsageError(
      f"--images: {path} is of images of {_times(network.image_shape)} and "
      f"{network.num_classes} classes, got {_times(got[0])} and {got[1]}."
    )
  return found


def make_task(
  path: str | os.PathLike[str], images: str, num_epochs: int | None = None
) -> Task:
  """Checks everything before a training begins.

  The recipe is the file's, or the `cpu` preset for weights that came from
  elsewhere. Images that the super-network was made with are divided as they
  were then, so that those that judge are new to all.

  Args:
    path: of the super-network's file.
    images: `digits` or a file.
    num_epochs: in the place of the recipe's.

  Raises:
    UsageError: if anything is wrong.
  """
  labeled = image_files.read(images)
  table = read(path, labeled)
  made = files.read_header(path, benchmark.KIND)["notes"].get("settings")
  digest = image_files.digest(*labeled)
  sixth = len(labeled.y) // 6
  num_train, num_valid = len(labeled.y) - 2 * sixth, sixth
  family = table.card.network.partition("/")[0]
  recipe = supernet.PRESETS[family, "cpu"]
  if made is not None:
    recipe = _recipe(made["recipe"])
    if made["images_sha256"] == digest:
      num_train, num_valid = made["num_train"], made["num_valid"]
  if num_epochs is not None:
    first = recipe.phases[0]
    warmup = min(first.warmup_epochs, num_epochs - 1)
    first = first._replace(num_epochs=num_epochs, warmup_epochs=warmup)
    recipe = dataclasses.replace(recipe, phases=(first,))
  settings = {
    "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
    "images_sha256": digest,
    "weights_sha256": arrays.digest(table.weights),
    "num_train": num_train,
    "num_valid": num_valid,
  }
  return _divided(table, labeled, recipe, settings)


def _divided(
  table: benchmark.SuperNet,
  labeled: images_lib.Labeled,
  recipe: supernet.Recipe,
  settings: dict[str, Any],
) -> Task:
  """A task whose images are divided as `settings` say."""
  num_train, num_valid = settings["num_train"], settings["num_valid"]
  if num_train < recipe.batch_size:
    raise UsageError(
      f"--images: expected {recipe.batch_size} to learn from, got {num_train}."
    )
  order = images_lib.order_of(
    jax.random.key(image_files.SPLIT_SEED), len(labeled.y)
  )
  x, y = images_lib.as_bytes(labeled.x[order]), labeled.y[order]
  end = num_train + num_valid

  def part(rows: slice) -> train.Images:
    return train.Images(jnp.asarray(x[rows]), jnp.asarray(y[rows]))

  mean, deviation = np.asarray(table.mean), np.asarray(table.deviation)
  learned = train.Images(
    jnp.asarray((x[:num_train] - mean) / deviation), jnp.asarray(y[:num_train])
  )
  table = dataclasses.replace(
    table,
    valid_images=part(slice(num_train, end)),
    test_images=part(slice(end, None)),
  )
  return Task(table, learned, recipe, settings)


def _recipe(settings: Mapping[str, Any]) -> supernet.Recipe:
  """The recipe that a file was trained by; a network alone has all options."""
  phases = tuple(
    supernet.Phase(*row)._replace(options=elastic.Options())
    for row in settings["phases"]
  )
  return supernet.Recipe(**{**settings, "phases": phases})


def _times(shape: tuple[int, ...]) -> str:
  return " x ".join(map(str, shape))


def judge(table: benchmark.SuperNet, arch: jax.Array) -> dict[str, float]:
  """All columns of one sub-network, with the weights of the table."""
  columns = _judge(table, arch)
  return {name: float(column) for name, column in columns.items()}


@jax.jit
def _judge(table: benchmark.SuperNet, arch: jax.Array) -> dict[str, jax.Array]:
  queried, reported = table.query_and_report(arch[None])
  return jax.tree.map(lambda column: column[0], {**queried, **reported})


def fit(
  key: Key, arch: jax.Array, task: Task, *, inherits: bool = False
) -> benchmark.SuperNet:
  """Trains one sub-network.

  Args:
    key: random key, consumed.
    arch: `int32[L]`.
    task: how.
    inherits: whether it begins with the super-network's weights.

  Returns:
    The table with the weights, of which those of the sub-network are trained.
  """
  weights = task.table.weights if inherits else None
  card, recipe = task.table.card, task.recipe
  found = _fit(key, arch, task.images, weights, card, recipe)
  return dataclasses.replace(task.table, weights=found)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _fit(
  key: Key,
  arch: jax.Array,
  images: train.Images,
  weights: elastic.Weights | None,
  card: benchmark.Card,
  recipe: supernet.Recipe,
) -> elastic.Weights:
  return alone.train_alone(key, arch, images, card.make(), recipe, weights)


def train_top(
  task: Task,
  archs: np.ndarray,
  workdir: pathlib.Path,
  *,
  inherits: bool = False,
  overwrite: bool = False,
) -> None:
  """Trains sub-networks with three seeds each; see `training.train_top`.

  A network is saved as a super-network of which its slices are trained.

  Args:
    task: how.
    archs: `int32[n, L]` distinct sub-networks, the best first.
    workdir: for the networks and the table.
    inherits: whether they begin with the super-network's weights.
    overwrite: whether other results there may go.

  Raises:
    UsageError: if the directory holds other results.
  """
  space = task.table.space
  names = [space.to_string(arch.tolist()) for arch in archs]
  digest = task.digest([names, inherits])
  rows = training.begin(workdir, digest, overwrite=overwrite)

  def next_row(rank: int) -> dict[str, Any]:
    name, arch = names[rank - 1], jnp.asarray(archs[rank - 1])
    print(f"Training {rank} of {len(archs)}: {name}", flush=True)
    accuracies: list[float] = []
    for seed in training.SEEDS:
      trained = fit(jax.random.key(seed), arch, task, inherits=inherits)
      finite = all(
        np.isfinite(w).all() for w in jax.tree.leaves(trained.weights)
      )
      if not finite:
        continue
      accuracies.append(judge(trained, arch)[benchmark.TEST_ACCURACY])
      if len(accuracies) == 1:
        notes = {"architecture": name, "seed": seed, **task.settings}
        benchmark.save(workdir / training.NETWORK.format(rank), trained, notes)
    return {
      "rank": rank,
      "architecture": name,
      **training.interval_of(accuracies),
      "num_seeds": len(accuracies),
      "num_failed": len(training.SEEDS) - len(accuracies),
      "network": training.NETWORK.format(rank) if accuracies else "",
    }

  training.fill(workdir, digest, rows, len(archs), next_row)
