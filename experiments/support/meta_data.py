"""Triplets and their images as a predictor reads them, and judgments of it."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy import stats

from nagjax import files
from nagjax import statistics
from nagjax.candidates import cells
from nagjax.candidates import extractors
from nagjax.candidates import images as images_lib
from nagjax.candidates import tasks
from nagjax.candidates import triplets
from nagjax.candidates import zerocost
from nagjax.candidates.train import Images
from nagjax.files import Declared
from nagjax.spaces import SearchSpace
from nagjax.surrogates import meta
from nagjax.surrogates import meta_training

from . import images as image_files
from .errors import UsageError

NUM_SUBSETS = 4
"""Draws of images over which a judged prediction is averaged."""
RANKED_BY = "valid_probability"
"""What triplets are learned by: says what accuracy says, with less noise."""


class TaskData(NamedTuple):
  """One task as a predictor reads it.

  Attributes:
    source: name of its image file.
    features: `f32[n, F]` of the images that it learns from.
    labels: `int32[n]`.
    archs: `int32[A, L]` that were trained on it.
    accuracy, ranked_by: `f32[A]` of each, percent, and what is learned.
    resolution: pixels of a side.
    centered: whether its mean says nothing.
    sharp: features of the same images in the size that they have; None if they
      are those of `features`.
  """

  source: str
  features: np.ndarray
  labels: np.ndarray
  archs: np.ndarray
  accuracy: np.ndarray
  ranked_by: np.ndarray
  resolution: int
  centered: bool = True
  sharp: np.ndarray | None = None


def read_images(names: Sequence[str]) -> dict[str, images_lib.Labeled]:
  """Image files by their digest.

  Raises:
    UsageError: if one is refused.
  """
  found = [image_files.read(name) for name in names]
  return {image_files.digest(one.x, one.y): one for one in found}


def read_tasks(
  path: str,
  images: Mapping[str, images_lib.Labeled],
  extractor: extractors.Extractor,
) -> list[TaskData]:
  """Tasks of a file of `experiments.build_meta`; failed trainings are left out.

  Raises:
    UsageError: if its images are not among `images`, or it is refused.
  """
  found, header = triplets.load(path)
  result = []
  stretched: dict[int, np.ndarray] = {}
  for number, task in enumerate(found.tasks):
    source = header["sources"][int(found.source[number])]
    if source["sha256"] not in images:
      raise UsageError(
        f"{path} has tasks of {source['name']}; name that file by --images."
      )
    of_source = images[source["sha256"]]
    key = int(found.source[number])
    if key not in stretched:
      stretched[key] = extractors.pixels(of_source.x)
    if task.train.max() >= len(of_source.y):
      raise UsageError(f"{path}: a task has rows beyond its images.")
    own = stretched[key][task.train]
    shown = tasks.look(task, own)
    if task.gray:
      own = own[..., : tasks.NUM_CHANNELS].mean(axis=-1, keepdims=True)
    mine = (found.task == number) & ~found.failed
    result.append(
      TaskData(
        source=source["name"],
        features=extractors.extract(extractor, shown, batch_size=100),
        labels=np.searchsorted(task.classes, of_source.y[task.train]),
        archs=found.ops[mine].astype(np.int32),
        accuracy=found.valid_accuracy[mine],
        ranked_by=getattr(found, RANKED_BY)[mine],
        resolution=task.resolution,
        sharp=extractors.extract(extractor, own, batch_size=100),
      )
    )
  return result


def read_published(
  path: str,
  images: images_lib.Labeled,
  extractor: extractors.Extractor,
) -> list[TaskData]:
  """The published triplets of ImageNet, with one image of every class.

  Accuracies of a task compare with those of others: all are of 20 classes under
  one recipe, and a task has six cells at most.

  Args:
    path: with `task`, `ops`, `acc` and `task_classes` (from 1).
    images: the image of class `c` is row `c - 1`.
    extractor: of features.

  Raises:
    FileError: if the file is refused.
  """
  declared = {
    "task": Declared("i", ("M",)),
    "ops": Declared("i", ("M", 6)),
    "acc": Declared("f", ("M",)),
    "task_classes": Declared("i", ("T", "C")),
  }
  arrays = files.read_arrays(path, declared)
  order = np.argsort(images.y)
  features = extractors.extract(extractor, extractors.pixels(images.x[order]))
  scores = normal_scores(arrays["acc"])
  result = []
  for task in np.unique(arrays["task"]):
    mine = arrays["task"] == task
    classes = arrays["task_classes"][task].astype(int) - 1
    result.append(
      TaskData(
        source=pathlib.Path(path).name,
        features=features[classes],
        labels=np.arange(len(classes)),
        archs=arrays["ops"][mine].astype(np.int32),
        accuracy=arrays["acc"][mine],
        ranked_by=scores[mine],
        resolution=images.x.shape[1],
        centered=False,
      )
    )
  return result


def normal_scores(values: np.ndarray) -> np.ndarray:
  """`Phi^-1((rank - 1/2) / n)`, `f32[n]`; equal values share a rank."""
  ranks = stats.rankdata(values)
  return special.ndtri((ranks - 0.5) / len(values)).astype(np.float32)


def arrays_of(
  chosen: Sequence[TaskData], mean: np.ndarray, deviation: np.ndarray
) -> meta_training.Data:
  """Tasks as arrays; features standardized, labels normal scores within a task.

  Args:
    chosen: the tasks.
    mean, deviation: of the features.
  """
  num_classes = max(int(task.labels.max()) for task in chosen) + 1
  num_members = max(int(np.bincount(t.labels).max()) for t in chosen)
  num_archs = max(len(task.archs) for task in chosen)
  shape = (len(chosen), num_archs)
  members = np.zeros((len(chosen), num_classes, num_members), np.int32)
  counts = np.zeros((len(chosen), num_classes), np.int32)
  archs = np.zeros((*shape, chosen[0].archs.shape[1]), np.int32)
  labels, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  start = 0
  for row, task in enumerate(chosen):
    for label in range(int(task.labels.max()) + 1):
      places = np.flatnonzero(task.labels == label)
      members[row, label, : len(places)] = start + places
      counts[row, label] = len(places)
    start += len(task.labels)
    num = len(task.archs)
    archs[row, :num] = task.archs
    scores = task.ranked_by
    if task.centered:
      scores = normal_scores(scores)
    labels[row, :num] = scores
    weights[row, :num] = 1
  return meta_training.Data(
    features=(np.concatenate([t.features for t in chosen]) - mean) / deviation,
    members=members,
    counts=counts,
    archs=archs,
    labels=labels,
    weights=weights,
    centered=np.asarray([task.centered for task in chosen]),
  )


Ranker = Callable[[TaskData], np.ndarray]
"""What is said of the cells of a task, the larger the better, `f32[A]`."""


def predictor_ranker(predictor: meta.MetaPredictor) -> Ranker:
  """What a predictor says by the images that a task learns from.

  Classes and cells are filled up to tens, so that tasks share a program.
  """
  encode, value = meta.encode_fn(predictor), meta.value_fn(predictor)

  @jax.jit
  def said(
    images: jax.Array, present: jax.Array, archs: jax.Array
  ) -> jax.Array:
    codes = jax.vmap(encode, (None, 0, None), out_axes=1)(
      predictor.params, images, present
    )
    return value((predictor.params, codes), archs)

  def rank(task: TaskData) -> np.ndarray:
    rows = meta.draw_rows(
      np.random.default_rng(0), task.labels, num_subsets=NUM_SUBSETS
    )
    num_classes, num = rows.shape[1], len(task.archs)
    filled = np.arange(_tens(num_classes)) % num_classes
    archs = np.resize(task.archs, (_tens(num), task.archs.shape[1]))
    present = np.arange(len(filled)) < num_classes
    return np.asarray(
      said(task.features[rows[:, filled]], present, jnp.asarray(archs))
    )[:num]

  return rank


def _tens(num: int) -> int:
  """The next multiple of ten."""
  return -(-num // 10) * 10


def mean_ranker(mean: np.ndarray, space: SearchSpace) -> Ranker:
  """What a table of all cells says, whatever the images."""
  return lambda task: mean[np.asarray(space.index(jnp.asarray(task.archs)))]


def rivals() -> dict[str, Ranker]:
  """Counts, and synaptic flow of the network that the default task trains."""

  def config(task: TaskData) -> cells.Config:
    shape = (task.resolution, task.resolution, tasks.NUM_CHANNELS)
    return cells.Config(shape, 10, num_channels=8, num_cells=1)

  @jax.jit
  def synflow(archs: jax.Array) -> jax.Array:
    around = cells.Config((8, 8, 3), 10, num_channels=8, num_cells=1)
    blank = Images(jnp.zeros((2, 8, 8, 3)), jnp.zeros(2, jnp.int32))
    return jax.lax.map(
      lambda arch: zerocost.evaluate(
        jax.random.key(0), arch, blank, around, score="logsynflow"
      ),
      archs,
    )

  def padded(task: TaskData) -> np.ndarray:
    num = len(task.archs)
    archs = np.resize(task.archs, (_tens(num), task.archs.shape[1]))
    return np.asarray(synflow(jnp.asarray(archs)))[:num]

  return {
    "params": lambda task: np.asarray(
      cells.num_params(jnp.asarray(task.archs), config(task))
    ),
    "flops": lambda task: np.asarray(
      cells.num_macs(jnp.asarray(task.archs), config(task))
    ),
    "logsynflow": padded,
  }


class Judgment(NamedTuple):
  """Means over tasks, of rank correlations and of the best within each.

  Attributes:
    spearman, kendall: with accuracy.
    learned: Spearman's with what is learned by, `RANKED_BY`.
    first, first_three: normal score of the cell that is ranked first among all
      of its task, and the mean of those of the first three, by `RANKED_BY`.
  """

  spearman: statistics.Interval
  kendall: statistics.Interval
  learned: statistics.Interval
  first: statistics.Interval
  first_three: statistics.Interval


def judge(chosen: Sequence[TaskData], ranker: Ranker) -> Judgment:
  """What a ranker says, within every task: its order, and its best."""
  said = [np.asarray(ranker(task), np.float64) for task in chosen]
  with_accuracy = [
    statistics.rank_correlation(x, task.accuracy)
    for x, task in zip(said, chosen, strict=True)
  ]
  learned = [
    statistics.rank_correlation(x, task.ranked_by).spearman
    for x, task in zip(said, chosen, strict=True)
  ]
  best = [
    normal_scores(task.ranked_by)[np.argsort(-x, kind="stable")[:3]]
    for x, task in zip(said, chosen, strict=True)
  ]
  return Judgment(
    statistics.mean_interval(
      np.nan_to_num([c.spearman for c in with_accuracy])
    ),
    statistics.mean_interval(np.nan_to_num([c.kendall for c in with_accuracy])),
    statistics.mean_interval(np.nan_to_num(learned)),
    statistics.mean_interval([scores[0] for scores in best]),
    statistics.mean_interval([scores.mean() for scores in best]),
  )
