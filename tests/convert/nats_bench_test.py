"""Tests of nagjax.convert.nats_bench and nasbench201_records."""

import itertools
import pathlib
import unittest

from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.benchmarks import nats_size
from nagjax.convert import ConversionError
from nagjax.convert import nasbench201_records
from nagjax.convert import nats_bench_directory
from nagjax.convert import nats_size_directory
from nagjax.convert import write_table
from tests.convert import upstream

_INDICES = (0, 11, 284)
SIZE_ROWS = {
  "cifar10_valid_val": (76.888, 83.724, 86.796),
  "cifar100_val": (32.24, 54.46, 62.78),
  "cifar100_test": (32.30, 53.68, 62.70),
}
"""After 90 epochs, of `_INDICES`."""


class NatsBenchTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.source = upstream.write_nats_directory(
      self.directory / "NATS-tss", _INDICES
    )

  def _error(self, **kwargs):
    with self.assertRaises(ConversionError) as raised:
      nats_bench_directory(self.source, **kwargs)
    return raised.exception

  def test_values(self):
    """Oracle: means over seeds of the written values, by column."""
    table = nats_bench_directory(self.source, allow_missing=True)
    expected = upstream.expected_rows(_INDICES)
    self.assertEqual(set(table.arrays), {"arch_str", "ops", *expected})
    for name, values in expected.items():
      array = table.arrays[name]
      np.testing.assert_allclose(array[list(_INDICES)], values, rtol=1e-6)
      self.assertEqual(np.isnan(array).sum(), 15625 - len(_INDICES))
      self.assertEqual(table.header["arrays"][name]["missing"], 15622)
    self.assertEqual(table.header["row_order"], "official")
    self.assertEqual(table.header["files"][0]["name"], "NATS-tss")

  def test_earlier_epochs(self):
    """Oracle: the accuracies that were written, by epoch and recipe."""
    long, short = (
      {
        "all_results": {
          ("cifar10-valid", seed): {
            "eval_acc1es": {
              f"x-valid@{epoch}": place + seed + epoch / 10
              for epoch in range(200)
            }
          }
          for seed in (1, 2)
        }
      }
      for place in (10, 20)
    )
    found = nasbench201_records.earlier_values(long, short, "x", last_epoch=199)
    expected = {
      f"cifar10_valid_val_epoch_{epoch}": 11.5 + (epoch - 1) / 10
      for epoch in (1, 2, 3, 5, 8, 12, 25, 50, 100)
    }
    expected["cifar10_valid_val_hp12"] = 21.5 + 1.1
    self.assertEqual(set(found), set(expected))
    for name, value in expected.items():
      self.assertAlmostEqual(found[name], value)
    alone = nasbench201_records.earlier_values(long, None, "x", last_epoch=8)
    self.assertEqual(
      sorted(alone), [f"cifar10_valid_val_epoch_{e}" for e in (1, 2, 3, 5, 8)]
    )

  def test_progress(self):
    """Oracle: one call a record."""
    calls = []
    nats_bench_directory(
      self.source,
      allow_missing=True,
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    self.assertEqual(calls, [(1, 3), (2, 3), (3, 3)])

  def test_missing_records(self):
    """Oracle: index 1 is the first that was not written."""
    self.assert_one_line(
      self._error(),
      self.source,
      "15,622 missing",
      "000001.pickle.pbz2",
      "--allow_missing",
    )

  def test_missing_meta(self):
    """Oracle: without the list there are no rows."""
    (self.source / "meta.pickle.pbz2").unlink()
    self.assert_one_line(self._error(), self.source, "meta.pickle.pbz2")

  def test_no_directory(self):
    """Oracle: the archive itself is no directory."""
    self.source = self.source / "000000.pickle.pbz2"
    self.assert_one_line(self._error(), self.source, "no directory", "Unpack")

  def test_size_space(self):
    """Oracle: the list of the other space of NATS-Bench."""
    upstream.write_bz2(
      self.source / "meta.pickle.pbz2", upstream.meta(["8:8:8:8:8"] * 4)
    )
    self.assert_one_line(
      self._error(allow_missing=True), "size space", "nats-bench-size"
    )

  def test_hostile_record(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = self.source / "000011.pickle.pbz2"
    upstream.write_bz2(path, {"200": upstream.Hostile(marker)})
    self.assert_one_line(
      self._error(allow_missing=True), path, "io.open, which is refused"
    )
    self.assertFalse(marker.exists())

  def test_truncated_record(self):
    """Oracle: a damaged record is no missing one."""
    path = self.source / "000011.pickle.pbz2"
    path.write_bytes(path.read_bytes()[:-40])
    self.assert_one_line(self._error(allow_missing=True), path)

  def test_exchanged_records(self):
    """Oracle: a record knows its architecture."""
    path = self.source / "000011.pickle.pbz2"
    path.rename(self.source / "000012.pickle.pbz2")
    self.assert_one_line(
      self._error(allow_missing=True), "000012.pickle.pbz2", "architecture 12"
    )

  @parameterized.named_parameters(
    ("no_part", lambda parts: parts.pop("200"), "key '200'"),
    ("no_index", lambda parts: parts["200"].pop("arch_index"), "'arch_index'"),
    ("no_dict", lambda parts: parts.update({"200": [1]}), "a dict, got a list"),
    (
      "no_results",
      lambda parts: parts["200"].update(all_results=None),
      "all_results",
    ),
    (
      "keys",
      lambda parts: parts["200"]["all_results"].update({"x": {}}),
      "(data set, seed)",
    ),
    (
      "accuracies",
      lambda parts: _run(parts).update(eval_acc1es=[1.0]),
      "eval_acc1es",
    ),
    (
      "percent",
      lambda parts: _run(parts)["eval_acc1es"].update({"x-valid@199": 101.0}),
      "[0, 100], got 101.0",
    ),
    (
      "times",
      lambda parts: _run(parts).update(train_times=[1.0]),
      "train_times",
    ),
    ("time", lambda parts: _run(parts)["train_times"].update({0: "a"}), "'a'"),
    ("params", lambda parts: _run(parts).update(params=-1.0), "params"),
  )
  def test_records_of_another_form(self, change_fn, part):
    """Oracle: each record lacks one property of the complete one."""
    parts = {"12": None, "200": upstream.record(11)}
    change_fn(parts)
    path = upstream.write_bz2(self.source / "000011.pickle.pbz2", parts)
    self.assert_one_line(self._error(allow_missing=True), path, part)

  def test_seeds_without_a_value(self):
    """Oracle: the value of the other seed; None is no value."""
    record = upstream.record(11)
    for data_set in ("cifar10", "cifar100"):
      run = record["all_results"][data_set, 777]
      run["eval_acc1es"].pop("x-test@199", None)
      run["train_times"] = {0: None}
      run["flop"] = None
    upstream.write_bz2(self.source / "000011.pickle.pbz2", {"200": record})
    table = nats_bench_directory(self.source, allow_missing=True)
    expected = upstream.expected_rows([11], seeds=(888,))
    for name in (
      "cifar100_test",
      "cifar10_train_time_per_epoch_s",
      "cifar100_flops_m",
    ):
      np.testing.assert_allclose(
        table.arrays[name][11], expected[name][0], rtol=1e-6
      )


def size_record(index, arch, *, last_epoch=89):
  """A record of the size space with made-up values."""
  run = {
    "eval_acc1es": {"x-valid@0": 10.0, f"x-valid@{last_epoch}": 40.0 + index},
    "train_times": {epoch: 2.0 + index for epoch in range(90)},
    "params": 0.25,
    "flop": 7.0,
  }
  return {
    "arch_index": index,
    "arch_str": arch,
    "all_results": {("cifar10-valid", 777): run, ("cifar10", 777): run},
  }


class SizeTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    widths = range(8, 65, 8)
    strings = [
      ":".join(map(str, c)) for c in itertools.product(widths, repeat=5)
    ]
    self.strings = strings
    self.source = self.directory / "NATS-sss"
    self.source.mkdir()
    upstream.write_bz2(self.source / "meta.pickle.pbz2", upstream.meta(strings))
    for index in (0, 11):
      record = {"90": size_record(index, strings[index])}
      upstream.write_bz2(self.source / f"{index:06d}.pickle.pbz2", record)

  @pytest.mark.slow
  def test_values(self):
    """Oracle: the written values at the strings; the rest failed; 90 epochs of
    the seconds of one."""
    table = nats_size_directory(self.source, allow_missing=True)
    write_table(table, self.directory / "nats_size.npz")
    self.assertEqual(nats_size.data_sets(self.directory), ["cifar10"])
    benchmark = nats_size.load_nats_size("cifar10", directory=self.directory)
    archs = [[0, 0, 0, 0, 0], [0, 0, 0, 1, 3], [0, 0, 0, 1, 4]]
    archs = np.asarray(archs, np.int32)
    answer = {**benchmark.query(archs), **benchmark.report(archs)}
    for name, values in (
      ("valid_accuracy", [40.0, 51.0, np.nan]),
      ("params_m", [0.25, 0.25, np.nan]),
      ("flops_m", [7.0, 7.0, np.nan]),
      ("train_seconds", [180.0, 90 * 13.0, np.nan]),
    ):
      np.testing.assert_array_equal(answer[name], np.float32(values))
    self.assertEqual(benchmark.name, "nats-size/cifar10")
    self.assertIsNone(benchmark.test)

  @pytest.mark.slow
  def test_refused(self):
    """Oracle: the other space, another order than the records', no file, a
    recipe that ended earlier; one line each."""
    other = upstream.write_nats_directory(self.directory / "NATS-tss", ())
    with self.assertRaises(ConversionError) as raised:
      nats_size_directory(other, allow_missing=True)
    self.assert_one_line(raised.exception, "size space of NATS-Bench, got")
    with self.assertRaises(ConversionError) as raised:
      nats_size_directory(self.source)
    self.assert_one_line(raised.exception, "32,766 missing")
    path = self.source / "000003.pickle.pbz2"
    for record, part in (
      ({"90": size_record(3, self.strings[4])}, "architecture 3"),
      ({"12": None}, "key '90'"),
    ):
      upstream.write_bz2(path, record)
      with self.assertRaises(ConversionError) as raised:
        nats_size_directory(self.source, allow_missing=True)
      self.assert_one_line(raised.exception, path, part)
    path.unlink()
    with self.assertRaisesRegex(FileNotFoundError, "nats-bench-size"):
      nats_size.load_nats_size("cifar10", directory=self.directory)


def _run(parts):
  return parts["200"]["all_results"]["cifar100", 777]


@unittest.skipUnless(upstream.DATA_DIR, upstream.NEEDS_DATA)
class NatsBenchSamplesTest(parameterized.TestCase):
  def test_records_equal_the_table(self):
    """Oracle: the rows of nb201.npz, made from other files of the authors."""
    data = pathlib.Path(upstream.DATA_DIR)
    source = data / "samples" / "NATS-tss-v1_0-3ffb9-simple"
    table = nats_bench_directory(source, allow_missing=True)
    rows = [0, 11, 284]
    with np.load(data / "nb201.npz", allow_pickle=False) as expected:
      for name in ("arch_str", "ops"):
        np.testing.assert_array_equal(table.arrays[name], expected[name])
      shared = sorted(
        set(expected.files) & set(table.arrays) - {"arch_str", "ops"}
      )
      self.assertLen(shared, 10)
      for name in shared:
        np.testing.assert_allclose(
          table.arrays[name][rows], expected[name][rows], rtol=2e-6
        )

  def test_size_space(self):
    """Oracle: validation accuracies after 90 epochs and costs of three records,
    read off them by hand."""
    data = pathlib.Path(upstream.DATA_DIR)
    source = data / "samples" / "NATS-sss-v1_0-50262-simple"
    table = nats_size_directory(source, allow_missing=True)
    self.assertEqual(table.arrays["arch_str"][284], b"8:8:40:32:40")
    np.testing.assert_allclose(
      table.arrays["cifar10_params_m"][11], 0.049202, rtol=1e-6
    )
    np.testing.assert_allclose(
      table.arrays["cifar100_flops_m"][11], 6.84362, rtol=1e-6
    )
    for name, values in SIZE_ROWS.items():
      np.testing.assert_allclose(
        table.arrays[name][[0, 11, 284]], values, rtol=1e-5
      )

  def test_size_space_is_refused(self):
    """Oracle: the published directory of the other space."""
    data = pathlib.Path(upstream.DATA_DIR)
    with self.assertRaisesRegex(ConversionError, "size space"):
      nats_bench_directory(data / "samples" / "NATS-sss-v1_0-50262-simple")
