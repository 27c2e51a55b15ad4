"""Writes small files in the formats of NATS-Bench, NAS-Bench-201 and NASLib.

The values are made up, different for every architecture, data set, seed and
split; `expected_rows` computes the table's values from the same formula by the
definitions of the data sets' documentation, apart from the package.
"""

import bz2
import collections
import functools
import os
import pathlib
import pickle
import tempfile
import unittest

import numpy as np

OPERATIONS = (
  "none",
  "skip_connect",
  "nor_conv_1x1",
  "nor_conv_3x3",
  "avg_pool_3x3",
)
NUM_ARCHITECTURES = 15625
SEEDS = (777, 888)
SPLITS = {
  "cifar10-valid": ("x-valid", "ori-test"),
  "cifar10": ("ori-test",),
  "cifar100": ("ori-test", "x-valid", "x-test"),
  "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
}
DATA_DIR = os.environ.get("NAGJAX_DATA_DIR")
NEEDS_DATA = "NAGJAX_DATA_DIR does not name a directory with upstream samples"


@functools.cache
def official_strings() -> tuple[str, ...]:
  """All official strings in an order that is not the space's own."""
  strings = []
  for cell in np.ndindex(*(5,) * 6):
    a, b, c, d, e, f = (OPERATIONS[op] for op in cell)
    strings.append(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
  order = np.random.default_rng(0).permutation(NUM_ARCHITECTURES)
  return tuple(strings[i] for i in order)


def made_up_accuracy(index, data_set, seed, split, epoch=199) -> float:
  """A number in [10, 60), distinct for all the tests' arguments."""
  place = list(SPLITS).index(data_set)
  kind = ("x-valid", "x-test", "ori-test").index(split)
  return 10 + index / 1e3 + 9 * place + 3 * kind + seed / 1e3 + epoch / 1e5


def made_up_seconds(index, data_set, seed) -> float:
  """Training seconds per epoch."""
  return 5 + index / 1e4 + list(SPLITS).index(data_set) + seed / 1e4


def record(index, *, seeds=SEEDS, data_sets=tuple(SPLITS), times=True) -> dict:
  """The record of one architecture and recipe; splits hold three epochs."""
  results = collections.OrderedDict()
  for data_set in data_sets:
    for seed in seeds:
      accuracies = {
        f"{split}@{epoch}": made_up_accuracy(
          index, data_set, seed, split, epoch
        )
        for split in SPLITS[data_set]
        for epoch in (0, 1, 199)
      }
      seconds = made_up_seconds(index, data_set, seed)
      results[data_set, seed] = {
        "name": data_set,
        "train_acc1es": {epoch: 50.0 for epoch in range(3)},
        "train_times": {e: seconds for e in range(3)} if times else None,
        "params": np.float64(0.1 + index / 1e6),
        "flop": 15.0 + index / 1e3,
        "seed": f"{seed:04d}",
        "epochs": 200,
        "latency": [np.float64(0.013)],
        "eval_names": list(SPLITS[data_set]),
        "eval_acc1es": accuracies,
        "net_state_dict": None,
      }
  return {
    "arch_index": index,
    "arch_str": official_strings()[index],
    "all_results": results,
    "dataset_seed": {data_set: list(seeds) for data_set in data_sets},
    "clear_net_done": True,
  }


def expected_rows(indices, *, seeds=SEEDS) -> dict[str, list[float]]:
  """What a table must hold of `record`, in the order of `indices`."""

  def mean(value_fn):
    return [float(np.mean([value_fn(i, s) for s in seeds])) for i in indices]

  def accuracies(data_set, split):
    return mean(lambda i, s: made_up_accuracy(i, data_set, s, split))

  rows = {
    "cifar10_valid_val": accuracies("cifar10-valid", "x-valid"),
    "cifar10_valid_test": accuracies("cifar10", "ori-test"),
    "cifar100_val": accuracies("cifar100", "x-valid"),
    "cifar100_test": accuracies("cifar100", "x-test"),
    "imagenet16_120_val": accuracies("ImageNet16-120", "x-valid"),
    "imagenet16_120_test": accuracies("ImageNet16-120", "x-test"),
  }
  for data_set in ("cifar10-valid", "cifar100", "ImageNet16-120"):
    prefix = data_set.lower().replace("-", "_")
    for epoch in (1, 2):
      rows[f"{prefix}_val_epoch_{epoch}"] = mean(
        functools.partial(_early, data_set, epoch)
      )
  for name in ("cifar10", "cifar100", "ImageNet16-120"):
    prefix = name.lower().replace("-", "_")
    rows[f"{prefix}_train_time_per_epoch_s"] = mean(
      functools.partial(_seconds_of, name)
    )
    rows[f"{prefix}_params_m"] = [0.1 + i / 1e6 for i in indices]
    rows[f"{prefix}_flops_m"] = [15.0 + i / 1e3 for i in indices]
  return rows


def _early(data_set, epoch, index, seed):
  return made_up_accuracy(index, data_set, seed, "x-valid", epoch - 1)


def _seconds_of(data_set, index, seed):
  return made_up_seconds(index, data_set, seed)


def meta(strings=None) -> dict:
  """The content of a NATS-Bench `meta.pickle.pbz2`."""
  strings = official_strings() if strings is None else strings
  return {
    "meta_archs": list(strings),
    "total_archs": len(strings),
    "arch2infos": None,
    "evaluated_indexes": set(),
  }


@functools.cache
def _meta_bytes() -> bytes:
  return bz2.compress(pickle.dumps(meta(), 4))


def pth_content(indices, *, part="full", **kwargs) -> dict:
  """The content of a NAS-Bench-201 `.pth`; `kwargs` go to `record`."""
  other = {"full": "less", "200": "12"}[part]
  infos = {i: {part: record(i, **kwargs), other: record(i)} for i in indices}
  return {
    "meta_archs": list(official_strings()),
    "arch2infos": infos,
    "evaluated_indexes": set(indices),
  }


def write_pickle(path, content, protocol=4) -> pathlib.Path:
  path = pathlib.Path(path)
  path.write_bytes(pickle.dumps(content, protocol))
  return path


def write_bz2(path, content, protocol=4) -> pathlib.Path:
  path = pathlib.Path(path)
  path.write_bytes(bz2.compress(pickle.dumps(content, protocol)))
  return path


def write_meta(path) -> pathlib.Path:
  """Writes the meta file of the topology space."""
  path = pathlib.Path(path)
  path.write_bytes(_meta_bytes())
  return path


def write_nats_directory(path, indices) -> pathlib.Path:
  """Writes a meta file and the records of `indices` only."""
  path = pathlib.Path(path)
  path.mkdir()
  write_meta(path / "meta.pickle.pbz2")
  for index in indices:
    parts = collections.OrderedDict()
    parts["12"] = record(index, data_sets=("cifar10-valid",))
    parts["200"] = record(index)
    write_bz2(path / f"{index:06d}.pickle.pbz2", parts)
  return path


class Hostile:
  """Unpickled without restrictions, it creates the file `marker`."""

  def __init__(self, marker):
    self._marker = os.fspath(marker)

  def __reduce__(self):
    return open, (self._marker, "w")


class TemporaryDirectoryMixin:
  """Gives a test case `self.directory`, removed after the test."""

  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )

  def assert_one_line(self: unittest.TestCase, error, *parts):
    """Asserts that an error is one line with all `parts`."""
    text = str(error)
    self.assertLen(text.splitlines(), 1)
    for part in parts:
      self.assertIn(os.fspath(part), text)
