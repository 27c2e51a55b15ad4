"""The work of `experiments.build_meta`: one file a task, then one of all.

A task depends on its number and on nothing else, so a run that was killed goes
on with the next one, and a longer run begins with the tasks of a shorter one.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import pathlib
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.candidates import cells
from nagjax.candidates import images as images_lib
from nagjax.candidates import tasks
from nagjax.candidates import train
from nagjax.candidates import triplets
from nagjax.files import Declared
from nagjax.sharding import over_devices
from nagjax.spaces import SearchSpace

from .errors import user_errors
from .progress import progress

GROUP = 10
"""Cells that one call of the program trains."""

_CHUNK = {
  "ops": Declared("i", ("n", "L")),
  **{name: Declared("f", ("n",)) for name in triplets.METRICS},
  "failed": Declared("b", ("n",)),
  "seconds": Declared("f", ()),
}


class Job(NamedTuple):
  """Everything that a build needs, checked.

  Attributes:
    space: whose cells are trained.
    images: the larger data sets.
    limits: what tasks are drawn from.
    num_channels, num_cells: of the network, see `cells.Config`.
    recipe: how cells are trained.
    num_tasks: to build, of every data set in turn.
    num_archs: cells of a task.
    seed: of everything random.
    workdir: for the tasks.
  """

  space: SearchSpace
  images: Sequence[images_lib.Labeled]
  limits: tasks.Limits
  num_channels: int
  num_cells: int
  recipe: train.Recipe
  num_tasks: int
  num_archs: int
  seed: int
  workdir: pathlib.Path

  def config(self, resolution: int) -> cells.Config:
    """The network around a cell."""
    return cells.Config(
      image_shape=(resolution, resolution, tasks.NUM_CHANNELS),
      num_classes=self.limits.max_classes,
      num_channels=self.num_channels,
      num_cells=self.num_cells,
    )


def draw(job: Job, number: int) -> tuple[int, tasks.Task, np.ndarray]:
  """The task of a number: its data set, itself, and cells `int32[n, L]`.

  Isomorphic cells count as one: of a class its representative is trained.

  Raises:
    ValueError: if the images are too few.
  """
  rng = np.random.default_rng([job.seed, number])
  source = number % len(job.images)
  task = tasks.draw(rng, job.images[source], job.limits)
  archs = _representatives(job.space)
  return source, task, archs[rng.permutation(len(archs))[: job.num_archs]]


def train_tasks(job: Job, devices: Sequence[jax.Device]) -> None:
  """Trains what is not in the workdir yet, one file a task.

  Raises:
    UsageError: if a file there is damaged, or another's.
  """
  with user_errors():
    todo = [n for n in range(job.num_tasks) if read_chunk(job, n) is None]
  programs: dict[int, Callable] = {}
  with progress() as report:
    report("training", None, "compiling")
    for done, number in enumerate(todo):
      source, task, archs = draw(job, number)
      if task.resolution not in programs:
        programs[task.resolution] = _program(job, task.resolution, devices)
      key = jax.random.fold_in(jax.random.key(job.seed), number)
      view_key, fit_key = jax.random.split(key)
      learn, choose = tasks.prepare(
        view_key, task, job.images[source], job.limits, job.recipe
      )
      began = time.perf_counter()
      outcomes = []
      for start in range(0, len(archs), GROUP):
        rows = np.resize(archs[start : start + GROUP], (GROUP, archs.shape[1]))
        outcomes.append(
          programs[task.resolution](jnp.asarray(rows), learn, choose, fit_key)
        )
      metrics, failed = jax.device_get(
        jax.tree.map(lambda *parts: jnp.concatenate(parts), *outcomes)
      )
      columns = dict(zip(triplets.METRICS, metrics, strict=True))
      columns["failed"] = failed
      arrays: dict[str, Any] = {
        "ops": archs.astype(np.int8),
        **{name: column[: len(archs)] for name, column in columns.items()},
        "seconds": np.float32(time.perf_counter() - began),
      }
      files.write_record(_path(job, number), arrays)
      detail = f"task {done + 1:,} of {len(todo):,}"
      report("training", (done + 1) / len(todo), detail)


def assemble(job: Job) -> tuple[triplets.Triplets, float]:
  """Joins the tasks, and the seconds of their trainings."""
  drawn = [draw(job, number) for number in range(job.num_tasks)]
  chunks = [read_chunk(job, number) for number in range(job.num_tasks)]
  parts = [chunk for chunk in chunks if chunk is not None]
  sizes = [len(part["ops"]) for part in parts]
  joined = {k: np.concatenate([p[k] for p in parts]) for k in triplets.COLUMNS}
  found = triplets.Triplets(
    task=np.repeat(np.arange(len(parts)), sizes).astype(np.int32),
    **joined,
    tasks=tuple(task for _, task, _ in drawn),
    source=np.asarray([source for source, _, _ in drawn], np.int32),
  )
  return found, float(sum(part["seconds"] for part in parts))


def read_chunk(job: Job, number: int) -> dict[str, np.ndarray] | None:
  """Reads a task that was trained; None if it was not.

  Raises:
    ValueError: if it is damaged, or of other cells.
  """
  path = _path(job, number)
  if not path.exists():
    return None
  try:
    arrays = files.read_arrays(path, _CHUNK)
    if not np.array_equal(arrays["ops"], draw(job, number)[2]):
      raise ValueError(f"{path} is of other cells.")
  except ValueError as error:
    raise ValueError(
      f"{error} Delete {path.name}: the same command makes it again."
    ) from error
  return arrays


def _program(
  job: Job, resolution: int, devices: Sequence[jax.Device]
) -> Callable:
  """Trains a group of cells: in turn on CPUs, side by side elsewhere."""
  config = job.config(resolution)
  num = len(devices) if GROUP % len(devices) == 0 else 1
  on_cpu = devices[0].platform == "cpu"
  batch_size = None if on_cpu else -(-GROUP // num)

  def run(
    archs: jax.Array, learn: train.Images, choose: train.Images, key: jax.Array
  ) -> tuple[train.Metrics, jax.Array]:
    def one(arch: jax.Array) -> tuple[train.Metrics, jax.Array]:
      model = train.fit(key, arch, learn, config, job.recipe)
      metrics = train.evaluate(model, arch, choose)
      failed = ~jnp.isfinite(metrics.cross_entropy)
      return metrics, failed

    return jax.lax.map(one, archs, batch_size=batch_size)

  return jax.jit(over_devices(run, num, (True, False, False, False)))


def _path(job: Job, number: int) -> pathlib.Path:
  return job.workdir / f"task_{number:05d}.npz"


@functools.cache
def _representatives(space: SearchSpace) -> np.ndarray:
  archs = np.asarray(space.all_architectures())
  found = np.asarray(space.index(space.canonicalize(jnp.asarray(archs))))
  return archs[np.unique(found)]
