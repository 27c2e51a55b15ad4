"""NAS-Bench-101: the TFRecord files of its authors, and NASLib's pickle.

Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
ICML 2019, https://arxiv.org/abs/1902.09635

`nasbench_only108.tfrecord` (or `nasbench_full.tfrecord`, of which other epoch
budgets are skipped) has one record a training: the JSON list of module hash,
epochs, adjacency matrix row by row as text of 0 and 1, operations separated by
commas, and a protocol buffer in base64:

  ModelMetrics     1 repeated EvaluationData, 2 trainable parameters,
                   3 total time
  EvaluationData   1 epoch, 2 training seconds, 3 train, 4 validation, 5 test
                   accuracy (fractions), 6 checkpoint path

with three evaluations: before training, halfway, at the end. The last one is
converted. NASLib's pickle maps the hash to a pair of dicts, of the graph and of
the trainings.

Arrays of the table, `N` graphs sorted by their hash:

  adj_bits        `uint32[N]` bit `x + y (y - 1) / 2` is the edge x -> y
  ops             `int8[N, 5]` operations of vertices 1 to V - 2, indices of
                  `OPERATIONS`; -1 where there is no vertex
  n_vertices      `int8[N]` V
  params          `int32[N]` trainable parameters
  test_acc        `f32[N]` fraction, mean of the trainings
  val_acc         `f32[N]` fraction, mean of the trainings
  train_seconds   `f32[N]` seconds of one training, mean
  hash            `uint8[N, 16]` module hash
"""

import array
import base64
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import functools
import os
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax.convert import tfrecords
from nagjax.convert.checks import require
from nagjax.convert.checks import shown
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.convert.pickles import load_pickle
from nagjax.files import expand
from nagjax.files import parse_json

KIND_TFRECORD = "NAS-Bench-101 TFRecord file"
KIND_NASLIB = "NASLib pickle of NAS-Bench-101"
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
NUM_GRAPHS = 423_624
NUM_TRAININGS = 3
"""Trainings of every graph and epoch budget."""
EPOCHS = 108
MAX_VERTICES = 7

_MAX_PARAMS = 1e9

_METRICS = {
  "test_acc": ("final_test_accuracy", 5, 1.0),
  "val_acc": ("final_validation_accuracy", 4, 1.0),
  "train_seconds": ("final_training_time", 2, 1e9),
}
"""For each: NASLib's name, the field of `EvaluationData`, the largest value."""


class _Training(NamedTuple):
  """One training of one graph; the fields are those of the module."""

  digest: bytes
  adj_bits: int
  ops: list[int]
  n_vertices: int
  params: int
  metrics: list[float]


def nasbench101_tfrecord(
  path: str | os.PathLike[str],
  *,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts `nasbench_only108.tfrecord`, without TensorFlow.

  The file is read in batches; what stays in memory are the numbers.

  Args:
    path: the file.
    allow_missing: whether graphs or trainings may be missing.
    progress_fn: called with the numbers of bytes done and to do, or None.

  Returns:
    The table of the module.

  Raises:
    ConversionError: if the file is missing, damaged or incomplete; it names the
      record.
  """

  def trainings() -> Iterator[_Training]:
    for batch in tfrecords.read_batches(path):
      for record, payload in enumerate(batch.payloads, start=batch.first):
        what = f"a training in record {record}"
        found = guarded(functools.partial(_of_record, payload), path, what)
        if found is not None:
          yield found
      if progress_fn is not None:
        progress_fn(batch.position, expand(path).stat().st_size)

  return _build_table(trainings(), path, KIND_TFRECORD, allow_missing)


def naslib_nasbench101_pickle(
  path: str | os.PathLike[str],
  *,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts NASLib's pickle of NAS-Bench-101.

  The file becomes Python objects as a whole.

  Args:
    path: the file.
    allow_missing: whether graphs or trainings may be missing.
    progress_fn: called with the numbers of graphs done and to do, or None.

  Returns:
    The table of the module.

  Raises:
    ConversionError: if the file is missing, damaged or incomplete; it names the
      graph.
  """
  content = require(load_pickle(path), dict, path, "the content")

  def trainings() -> Iterator[_Training]:
    for done, item in enumerate(content.items(), start=1):
      what = f"the trainings of graph {shown(item[0])}"
      yield from guarded(functools.partial(_of_item, *item), path, what)
      if progress_fn is not None:
        progress_fn(done, len(content))

  return _build_table(trainings(), path, KIND_NASLIB, allow_missing)


def _of_record(payload: bytes) -> _Training | None:
  """Reads a record; None if it is of another epoch budget."""
  digest, epochs, matrix, operations, encoded = parse_json(payload.decode())
  if epochs != EPOCHS:
    return None
  evaluations: list[Any] = []
  params = None
  for field, value in tfrecords.fields(base64.b64decode(encoded)):
    if field == 1:
      evaluations.append(value)
    elif field == 2:
      params = value
  if len(evaluations) != 3:
    raise ValueError(f"{len(evaluations)} evaluations instead of 3")
  last = dict(tfrecords.fields(evaluations[-1]))
  return _training(
    digest,
    [int(cell) for cell in matrix],
    operations.split(","),
    params,
    [last.get(field) for _, field, _ in _METRICS.values()],
  )


def _of_item(digest: Any, pair: Any) -> list[_Training]:
  """Reads an item of NASLib's dict."""
  graph, computed = pair
  return [
    _training(
      digest,
      np.asarray(graph["module_adjacency"]).ravel().tolist(),
      graph["module_operations"],
      graph["trainable_parameters"],
      [run[name] for name, _, _ in _METRICS.values()],
    )
    for run in computed[EPOCHS]
  ]


def _training(
  digest: Any,
  matrix: Sequence[int],
  operations: Sequence[str],
  params: Any,
  metrics: Sequence[Any],
) -> _Training:
  """Checks and encodes a training; `matrix` is row by row.

  Raises:
    ValueError: if anything is out of range.
  """
  size = len(operations)
  if not 2 <= size <= MAX_VERTICES or len(matrix) != size * size:
    raise ValueError(f"{size} operations and {len(matrix)} entries of a matrix")
  if (operations[0], operations[-1]) != ("input", "output"):
    raise ValueError(f"operations {shown(operations)}")
  bits = 0
  for place, cell in enumerate(matrix):
    x, y = divmod(place, size)
    if cell not in (0, 1) or (cell and x >= y):
      raise ValueError(f"a {cell!r} from vertex {x} to {y}")
    if cell:
      bits |= 1 << (x + y * (y - 1) // 2)
  ops = [OPERATIONS.index(name) for name in operations[1:-1]]
  hash_bytes = bytes.fromhex(digest)
  if len(hash_bytes) != 16:
    raise ValueError(f"hash {shown(digest)}")
  return _Training(
    hash_bytes,
    bits,
    ops + [-1] * (MAX_VERTICES - size),
    size,
    int(_in_range("params", params, _MAX_PARAMS)),
    [
      _in_range(name, value, maximum)
      for value, (name, (_, _, maximum)) in zip(
        metrics, _METRICS.items(), strict=True
      )
    ],
  )


def _in_range(name: str, value: Any, maximum: float) -> float:
  result = float(value)
  if result < 0.0 or result > maximum:  # NaN is a training that failed.
    raise ValueError(f"{name} {result:g}, not in [0, {maximum:g}]")
  return result


def _build_table(
  trainings: Iterable[_Training],
  path: str | os.PathLike[str],
  kind: str,
  allow_missing: bool,
) -> Table:
  """Takes means over trainings and sorts by hash.

  Where trainings of one graph spell it differently, the first spelling stays,
  as upstream.
  """
  rows: dict[bytes, int] = {}
  graphs, ops, counts = array.array("q"), array.array("b"), array.array("q")
  sums = array.array("d")
  for training in trainings:
    row = rows.setdefault(training.digest, len(rows))
    if row == len(counts):
      graphs.extend((training.adj_bits, training.n_vertices, training.params))
      ops.extend(training.ops)
      sums.extend((0.0,) * len(_METRICS))
      counts.append(0)
    counts[row] += 1
    for column, value in enumerate(training.metrics):
      sums[len(_METRICS) * row + column] += value
  num_runs = np.asarray(counts)
  is_complete = len(rows) == NUM_GRAPHS and np.all(num_runs == NUM_TRAININGS)
  if not rows or not (is_complete or allow_missing):
    raise ConversionError(
      path,
      f"{NUM_TRAININGS} trainings for {EPOCHS} epochs of {NUM_GRAPHS:,} graphs",
      f"{num_runs.sum():,} of {len(rows):,} graphs",
      "Complete the source, or accept what there is with --allow_missing.",
    )
  hashes = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)
  halves = hashes.view(">u8")
  order = np.lexsort((halves[:, 1], halves[:, 0]))
  adj_bits, n_vertices, params = np.asarray(graphs).reshape(-1, 3)[order].T
  means = np.asarray(sums).reshape(len(rows), -1) / num_runs[:, None]
  arrays = {
    "adj_bits": adj_bits.astype(np.uint32),
    "ops": np.asarray(ops).reshape(-1, MAX_VERTICES - 2)[order],
    "n_vertices": n_vertices.astype(np.int8),
    "params": params.astype(np.int32),
    **dict(zip(_METRICS, means[order].T.astype(np.float32), strict=True)),
    "hash": hashes[order],
  }
  source = Source(os.fspath(path), kind, [fingerprint(path)], row_order="hash")
  units = {"params": "parameters", "train_seconds": "seconds"}
  units |= {"test_acc": "fraction", "val_acc": "fraction"}
  about: dict[str, dict[str, Any]] = {
    name: {"unit": units.get(name, "graph")} for name in arrays
  }
  for name in _METRICS:
    about[name]["missing"] = int(np.isnan(arrays[name]).sum())
  return Table(
    arrays, make_header("nasbench101 table", source, len(rows), about)
  )
