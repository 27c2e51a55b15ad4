"""Tests of nagjax.convert.nats_bench and nasbench201_records."""

import pathlib
import unittest

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import nats_bench_directory
from tests.convert import upstream

_INDICES = (0, 11, 284)


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

  def test_size_space_is_refused(self):
    """Oracle: the published directory of the other space."""
    data = pathlib.Path(upstream.DATA_DIR)
    with self.assertRaisesRegex(ConversionError, "size space"):
      nats_bench_directory(data / "samples" / "NATS-sss-v1_0-50262-simple")
