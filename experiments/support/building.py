"""The work of `experiments.build_benchmark`: chunks of trainings, and a table.

A chunk is a file of the workdir that appears when it is complete, so that a run
that was killed continues with the next one and ends in the same table.
"""

from collections.abc import Callable
from collections.abc import Sequence
import csv
import datetime
import json
import pathlib
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import epochs as epochs_lib
from nagjax.benchmarks import trained
from nagjax.candidates import cells
from nagjax.candidates import train
from nagjax.sharding import over_devices
from nagjax.spaces import SearchSpace

from . import flags
from . import machine
from .errors import user_errors
from .progress import progress

SETTINGS = "settings.json"
_TIMING = ("chunk", "seconds", "device", "versions", "date")


class Job(NamedTuple):
  """Everything that a build needs, checked.

  Attributes:
    space: whose cells are trained.
    classes: `int32[n]` indices of the representatives, in the order of work.
    split: the images.
    config: the network around the cells.
    recipe: how they are trained.
    epochs: before the last, after which networks are evaluated as well.
    num_seeds: trainings of each representative.
    chunk_size: representatives of a chunk.
    output: the table.
    workdir: for the chunks.
    settings: what the numbers depend on, as JSON.
  """

  space: SearchSpace
  classes: np.ndarray
  split: train.Split
  config: cells.Config
  recipe: train.Recipe
  epochs: tuple[int, ...]
  num_seeds: int
  chunk_size: int
  output: pathlib.Path
  workdir: pathlib.Path
  settings: dict[str, Any]


def recipe_of(values: flags.Values) -> train.Recipe:
  """How cells are trained, by the flags of a binary that builds tables.

  Raises:
    ValueError: if a value is out of range.
  """
  return train.Recipe(
    num_epochs=values.num_epochs,
    batch_size=values.batch_size,
    learning_rate=values.learning_rate,
    shift=values.shift,
    flips=values.flips,
    clutter=values.clutter,
    noise=values.noise,
  )


def epochs_of(texts: Sequence[str], num_epochs: int) -> tuple[int, ...]:
  """Reads --epochs; the last epoch, which is always evaluated, is left out.

  Raises:
    ValueError: if they are no rising numbers from 1 to `num_epochs`.
  """
  try:
    epochs = [int(text) for text in texts]
  except ValueError:
    epochs = [0]
  if epochs != sorted(set(epochs) & set(range(1, num_epochs + 1))):
    raise ValueError(
      f"--epochs must be rising numbers from 1 to --num_epochs={num_epochs}, "
      f"got {','.join(texts)}."
    )
  return tuple(epoch for epoch in epochs if epoch < num_epochs)


def train_chunks(job: Job, devices: Sequence[jax.Device]) -> None:
  """Trains what is not in the workdir yet, one file a chunk.

  Raises:
    UsageError: if a chunk that is there is damaged, or another's.
  """
  todo = []
  with user_errors():
    for number in _chunks(job):
      if _chunk_path(job, number).exists():
        _read_chunk(job, number)
        _read_timing(job, number)
      else:
        todo.append(number)
  if not todo:
    return
  program, cells_by_index = None, job.space.all_architectures()
  with progress() as report:
    report("training", None, "compiling")
    for done, number in enumerate(todo):
      # Filled up: every chunk has one size, which the devices divide.
      size = -(-job.chunk_size // len(devices)) * len(devices)
      indices = _indices(job, number)
      archs = jnp.asarray(cells_by_index[np.resize(indices, size)])
      program = program or _compile(job, archs, devices)
      began = time.perf_counter()
      outcome = jax.device_get(program(archs))
      seconds = time.perf_counter() - began
      rows: dict[str, Any] = {
        name: value[: len(indices)]
        for name, value in _columns(outcome, job.epochs).items()
      }
      with files.atomic_path(_timing_path(job, number)) as path:
        path.write_text(json.dumps(_timing(number, seconds, devices)) + "\n")
      with files.atomic_path(_chunk_path(job, number)) as path:
        np.savez(path, index=indices, **rows)
      detail = f"chunk {done + 1:,} of {len(todo):,}"
      report("training", (done + 1) / len(todo), detail)


def assemble(job: Job) -> dict[str, np.ndarray]:
  """Joins the chunks and copies results to isomorphic cells.

  Returns:
    The arrays of a table, see `nagjax.benchmarks.trained`.
  """
  parts = [_read_chunk(job, number) for number in _chunks(job)]
  joined = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
  order = np.argsort(joined["index"])
  joined = {name: column[order] for name, column in joined.items()}
  archs = job.space.all_architectures()
  representative = np.asarray(
    job.space.index(job.space.canonicalize(jnp.asarray(archs)))
  )
  rows = np.flatnonzero(np.isin(representative, joined["index"]))
  source = np.searchsorted(joined["index"], representative[rows])
  arrays = {
    name: column[source] for name, column in joined.items() if name != "index"
  }
  params = np.asarray(cells.num_params(jnp.asarray(archs[rows]), job.config))
  macs = np.asarray(cells.num_macs(jnp.asarray(archs[rows]), job.config))
  header = {"kind": trained.KIND, "settings": job.settings}
  return {
    "ops": archs[rows].astype(np.int8),
    "isomorph": representative[rows].astype(np.int16),
    **arrays,
    "params_m": (params / 1e6).astype(np.float32),
    "flops_m": (macs / 1e6).astype(np.float32),
    "header": np.asarray(json.dumps(header, sort_keys=True)),
  }


def write_table(
  job: Job, arrays: dict[str, np.ndarray], command: Sequence[str]
) -> None:
  """Writes the table, its manifest and its timings.

  The table appears last: as long as it is not there, the same command goes on.
  """
  with files.atomic_path(job.output) as path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    _write_manifest(job, command, files.sha256(path))


def _write_manifest(job: Job, command: Sequence[str], digest: str) -> None:
  """Writes how the table came about, and the seconds of every chunk."""
  timings = [_read_timing(job, number) for number in _chunks(job)]
  manifest = {
    "command": ["python", "-m", "experiments.build_benchmark", *command],
    "settings": job.settings,
    "seeds": list(range(job.num_seeds)),
    "devices": sorted({t["device"] for t in timings}),
    "versions": [
      json.loads(text)
      for text in sorted({json.dumps(t["versions"]) for t in timings})
    ],
    "first_date": min(t["date"] for t in timings),
    "last_date": max(t["date"] for t in timings),
    "training_seconds": sum(t["seconds"] for t in timings),
    "sha256": digest,
  }
  with files.atomic_path(job.output.with_suffix(".manifest.json")) as path:
    path.write_text(json.dumps(manifest, indent=2) + "\n")
  with files.atomic_path(job.output.with_suffix(".timings.csv")) as path:
    with open(path, "w", newline="", encoding="utf-8") as file:
      writer = csv.writer(file)
      writer.writerow(["chunk", "seconds", "device", "date"])
      for timing in timings:
        writer.writerow(
          timing[name] for name in ("chunk", "seconds", "device", "date")
        )


def _chunks(job: Job) -> range:
  return range(-(-len(job.classes) // job.chunk_size))


def _indices(job: Job, number: int) -> np.ndarray:
  """The representatives of a chunk."""
  start = number * job.chunk_size
  return job.classes[start : start + job.chunk_size]


def _compile(
  job: Job, archs: jax.Array, devices: Sequence[jax.Device]
) -> Callable[[jax.Array], train.Outcome]:
  """Compiles the training of a chunk: in turn on CPUs, at once elsewhere."""
  on_cpu = devices[0].platform == "cpu"
  batch_size = None if on_cpu else -(-archs.shape[0] // len(devices))
  keys = jax.vmap(jax.random.key)(jnp.arange(job.num_seeds))

  def run(
    archs: jax.Array, split: train.Split, keys: jax.Array
  ) -> train.Outcome:
    return train.assess_many(
      keys,
      archs,
      split,
      job.config,
      job.recipe,
      epochs=job.epochs,
      batch_size=batch_size,
    )

  spread = over_devices(run, len(devices), (True, False, False))
  program = jax.jit(spread).lower(archs, job.split, keys).compile()
  return lambda archs: program(archs, job.split, keys)


def _columns(
  outcome: train.Outcome, epochs: Sequence[int]
) -> dict[str, np.ndarray]:
  """Columns of a table, `[n, S]` each; before the last epoch what is chosen by.

  Args:
    outcome: `[n, S]`, of earlier epochs `[n, S, E]`.
    epochs: these, `E`.
  """
  columns = {}
  earlier = outcome.earlier._asdict() if outcome.earlier is not None else {}
  for place, epoch in enumerate(epochs):
    for metric, value in earlier.items():
      name = epochs_lib.at_epoch(f"valid_{metric}", epoch)
      columns[name] = np.asarray(value[..., place], np.float32)
  columns["failed"] = np.asarray(outcome.failed)
  for split in ("valid", "test"):
    for metric, value in getattr(outcome, split)._asdict().items():
      columns[f"{split}_{metric}"] = np.asarray(value, np.float32)
  return columns


def claim(workdir: pathlib.Path, settings: dict[str, Any]) -> None:
  """Makes the workdir this run's, or checks that it is.

  Raises:
    ValueError: if it holds the chunks of other settings, or of unknown ones.
  """
  path = workdir / SETTINGS
  text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
  if path.exists():
    if files.read_text(path) != text:
      raise ValueError(
        f"{workdir} holds chunks of other settings, see {path}; choose another "
        "--workdir, or delete that directory."
      )
    return
  if any(workdir.glob("chunk_*")):
    raise ValueError(
      f"{workdir} holds chunks, and no {SETTINGS} that tells of what; choose "
      "another --workdir, or delete that directory."
    )
  with files.atomic_path(path) as temporary:
    temporary.write_text(text)


def _read_chunk(job: Job, number: int) -> dict[str, np.ndarray]:
  """Reads a chunk.

  Raises:
    ValueError: if it is damaged, or of other cells or seeds.
  """
  path = _chunk_path(job, number)
  indices = _indices(job, number)
  try:
    arrays = files.read_arrays(path)
    shape = (len(indices), job.num_seeds)
    earlier = [
      epochs_lib.at_epoch(metric, epoch)
      for metric in trained.METRICS
      for epoch in job.epochs
      if metric.startswith("valid_")
    ]
    names = ("failed", *trained.METRICS, *earlier)
    if not np.array_equal(arrays["index"], indices) or any(
      arrays[name].shape != shape for name in names
    ):
      raise ValueError(f"{path} is of other cells or seeds.")
  except (KeyError, ValueError) as error:
    raise ValueError(
      f"{error} Delete {path.name}: the same command makes it again."
    ) from error
  return arrays


def _chunk_path(job: Job, number: int) -> pathlib.Path:
  return job.workdir / f"chunk_{number:05d}.npz"


def _timing_path(job: Job, number: int) -> pathlib.Path:
  return job.workdir / f"timing_{number:05d}.json"


def _read_timing(job: Job, number: int) -> dict[str, Any]:
  """Reads what is known of the making of a chunk.

  Raises:
    ValueError: if it is missing or damaged.
  """
  path = _timing_path(job, number)
  try:
    timing = files.read_json(path)
    return {name: timing[name] for name in _TIMING}
  except (LookupError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} is missing or damaged. Delete {_chunk_path(job, number).name}: "
      "the same command makes both again."
    ) from error


def _timing(
  number: int, seconds: float, devices: Sequence[jax.Device]
) -> dict[str, Any]:
  return {
    "chunk": number,
    "seconds": round(seconds, 3),
    "device": machine.describe_devices(devices),
    "versions": machine.versions(),
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
  }
