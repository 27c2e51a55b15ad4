"""Tests of nagjax.convert.nasbench101_records."""

import json
import pickle
from unittest import mock

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import nasbench101_records
from nagjax.convert import nasbench101_tfrecord
from nagjax.convert import naslib_nasbench101_pickle
from tests import data
from tests.convert import tfrecord_files
from tests.convert import upstream

SAMPLE = "samples/reconstructed_nasbench_only108_30archs.tfrecord"
PICKLE = "samples/naslib_nb101_30_records.pkl"
ORDER = (2, 1, 0)
"""Graphs of `tfrecord_files` by hash."""


def naslib_content(change_fn=lambda run: run):
  """The trainings of `tfrecord_files` as NASLib has them."""
  content = {}
  for number, name in enumerate(tfrecord_files.HASHES):
    graph = {
      "module_adjacency": np.asarray(tfrecord_files.MATRIX),
      "module_operations": list(tfrecord_files.OPERATIONS),
      "trainable_parameters": tfrecord_files.PARAMS,
    }
    runs = []
    for run in range(3):
      validation, test = tfrecord_files.accuracies(number, run)
      values = {
        "halfway_test_accuracy": 0.1,
        "final_training_time": tfrecord_files.seconds(run),
        "final_validation_accuracy": validation,
        "final_test_accuracy": test,
      }
      runs.append(change_fn(values))
    content[name] = (graph, {108: runs})
  return content


class RecordsTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = self.directory / "nasbench_only108.tfrecord"

  def _write(self, **changes):
    return tfrecord_files.write(self.path, tfrecord_files.payloads(**changes))

  def _assert_table(self, table):
    arrays = table.arrays
    means = [
      np.mean([tfrecord_files.accuracies(n, run) for run in range(3)], axis=0)
      for n in ORDER
    ]
    np.testing.assert_allclose(
      np.stack([arrays["val_acc"], arrays["test_acc"]], 1), means, rtol=1e-7
    )
    np.testing.assert_array_equal(arrays["train_seconds"], [1001.0] * 3)
    np.testing.assert_array_equal(arrays["params"], [tfrecord_files.PARAMS] * 3)
    # Edges 0-1, 0-2, 1-2, 1-3, 2-3 are bits 0, 1, 2, 4, 5.
    np.testing.assert_array_equal(arrays["adj_bits"], [0b110111] * 3)
    np.testing.assert_array_equal(arrays["ops"], [[2, 0, -1, -1, -1]] * 3)
    np.testing.assert_array_equal(arrays["n_vertices"], [4] * 3)
    hashes = [bytes(h).hex() for h in arrays["hash"]]
    self.assertEqual(hashes, [tfrecord_files.HASHES[n] for n in ORDER])
    self.assertEqual(hashes, sorted(hashes))
    types = {name: str(array.dtype) for name, array in arrays.items()}
    self.assertEqual(
      types,
      {
        "adj_bits": "uint32",
        "ops": "int8",
        "n_vertices": "int8",
        "params": "int32",
        "test_acc": "float32",
        "val_acc": "float32",
        "train_seconds": "float32",
        "hash": "uint8",
      },
    )
    self.assertEqual(table.header["num_rows"], 3)
    self.assertEqual(table.header["row_order"], "hash")
    self.assertEqual(table.header["arrays"]["val_acc"]["missing"], 0)

  def test_tfrecord(self):
    """Oracle: means of the written values, by hand; other budgets skipped."""
    calls = []
    table = nasbench101_tfrecord(
      self._write(),
      allow_missing=True,
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    self._assert_table(table)
    size = self.path.stat().st_size
    self.assertEqual(calls, [(size, size)])

  def test_naslib(self):
    """Oracle: as above."""
    path = upstream.write_pickle(self.directory / "a.pkl", naslib_content())
    self._assert_table(naslib_nasbench101_pickle(path, allow_missing=True))

  def test_complete_file(self):
    """Oracle: all graphs, were there three, thrice; else what is missing."""
    with mock.patch.object(nasbench101_records, "NUM_GRAPHS", 3):
      self._assert_table(nasbench101_tfrecord(self._write()))
      payloads = tfrecord_files.payloads()[1:]
      tfrecord_files.write(self.path, payloads)
      with self.assertRaises(ConversionError) as raised:
        nasbench101_tfrecord(self.path)
    self.assert_one_line(
      raised.exception, self.path, "8 of 3 graphs", "--allow_missing"
    )

  def test_no_training_of_the_budget(self):
    """Oracle: of no use, permission or not."""
    rows = [tfrecord_files.row(0, 0, epochs=4)]
    tfrecord_files.write(self.path, map(tfrecord_files.payload, rows))
    with self.assertRaisesRegex(ConversionError, "got 0 of 0 graphs"):
      nasbench101_tfrecord(self.path, allow_missing=True)

  @parameterized.named_parameters(
    ("hash", {"hash": "abc"}),
    ("short_hash", {"hash": "abcd"}),
    ("no_hash", {"hash": None}),
    ("size", {"matrix": "0110"}),
    ("cells", {"matrix": "2" * 16}),
    ("text", {"matrix": "x" * 16}),
    ("downwards", {"matrix": "0110001110010000"}),
    ("operation", {"operations": "input,conv5x5,maxpool3x3,output"}),
    ("no_input", {"operations": "maxpool3x3,maxpool3x3,maxpool3x3,output"}),
    ("base64", {"metrics": "a"}),
    ("no_message", {"metrics": "AAAA"}),
    ("no_evaluations", {"metrics": tfrecord_files.metrics([])}),
    (
      "two_evaluations",
      {
        "metrics": tfrecord_files.metrics(
          [tfrecord_files.evaluation(*[0] * 5)] * 2
        )
      },
    ),
    ("empty_evaluations", {"metrics": tfrecord_files.metrics([b""] * 3)}),
    (
      "percent",
      {
        "metrics": tfrecord_files.metrics(
          [tfrecord_files.evaluation(0, 0, 0, 90.0, 90.0)] * 3
        )
      },
    ),
    ("extra", {"extra": 1}),
  )
  def test_damaged_records(self, changes):
    """Oracle: each record lacks one property of the complete one."""
    good = tfrecord_files.payload(tfrecord_files.row(0, 0))
    bad = tfrecord_files.payload(tfrecord_files.row(0, 1, **changes))
    tfrecord_files.write(self.path, [good, bad])
    with self.assertRaises(ConversionError) as raised:
      nasbench101_tfrecord(self.path, allow_missing=True)
    self.assert_one_line(raised.exception, self.path, "in record 1")

  def test_no_json(self):
    """Oracle: as above."""
    tfrecord_files.write(self.path, [b"\xff\xfe", b"{"])
    with self.assertRaisesRegex(ConversionError, "in record 0"):
      nasbench101_tfrecord(self.path, allow_missing=True)

  @parameterized.named_parameters(
    ("list", [1], "a dict"),
    ("key", {3: (1, 2)}, "graph 3"),
    ("pair", {"00" * 16: 5}, "graph '00000"),
    ("epochs", {"00" * 16: ({}, {4: []})}, "KeyError: 108"),
    (
      "metric",
      naslib_content(lambda run: {**run, "final_test_accuracy": "high"}),
      "to float: 'high'",
    ),
  )
  def test_damaged_pickles(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    path = upstream.write_pickle(self.directory / "a.pkl", content)
    with self.assertRaises(ConversionError) as raised:
      naslib_nasbench101_pickle(path, allow_missing=True)
    self.assert_one_line(raised.exception, part)

  def test_hostile_pickle(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = self.directory / "a.pkl"
    upstream.write_pickle(path, {"00" * 16: upstream.Hostile(marker)})
    with self.assertRaisesRegex(ConversionError, "refused"):
      naslib_nasbench101_pickle(path, allow_missing=True)
    self.assertFalse(marker.exists())


class RealFilesTest(parameterized.TestCase):
  @parameterized.parameters(
    (nasbench101_tfrecord, SAMPLE), (naslib_nasbench101_pickle, PICKLE)
  )
  @data.needs_table(SAMPLE)
  def test_real_records(self, convert_fn, file):
    """Oracle: the rows of the whole table that have the same hashes."""
    table = convert_fn(data.table_path(file), allow_missing=True)
    names = ("adj_bits", "ops", "n_vertices", "params", "test_acc", "hash")
    whole = dict(zip(names, data.read_table("nb101.npz", *names), strict=True))
    row_of = {bytes(h): row for row, h in enumerate(whole["hash"])}
    rows = [row_of[bytes(h)] for h in table.arrays["hash"]]
    self.assertLen(set(rows), 30)
    for name in names:
      np.testing.assert_allclose(
        table.arrays[name], whole[name][rows], rtol=0, atol=2e-8
      )
      self.assertEqual(table.arrays[name].dtype, whole[name].dtype)

  @data.needs_table(SAMPLE)
  def test_real_means(self):
    """Oracle: NumPy on the pickle, which the test reads itself."""
    table = nasbench101_tfrecord(data.table_path(SAMPLE), allow_missing=True)
    with data.table_path(PICKLE).open("rb") as stream:
      content = pickle.load(stream)
    for row, digest in enumerate(table.arrays["hash"]):
      runs = content[bytes(digest).hex()][1][108]
      for name, key in (
        ("val_acc", "final_validation_accuracy"),
        ("train_seconds", "final_training_time"),
      ):
        self.assertAlmostEqual(
          table.arrays[name][row] / np.mean([r[key] for r in runs]), 1, places=6
        )

  @data.needs_table(SAMPLE)
  def test_lines_of_the_records(self):
    """Oracle: the same payloads as text, one a line."""
    path = data.table_path(SAMPLE)
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    table = nasbench101_tfrecord(path, allow_missing=True)
    self.assertEqual(
      {bytes(h).hex() for h in table.arrays["hash"]},
      {json.loads(line)[0] for line in lines},
    )
