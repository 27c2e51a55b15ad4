"""Tests of nagjax.convert.nlp_logs."""

import json
import math

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import nlp_log_files
from nagjax.convert import write_records
from tests import data
from tests.convert import upstream

SAMPLES = "samples/nbnlp_log_stats_model_100000{}_2020-04-{}.json"
NAMES = (
  SAMPLES.format(0, "28_17-16-54_999988992"),
  SAMPLES.format(1, "29_01-00-48_999964337"),
  SAMPLES.format(2, "28_17-16-54_999949113"),
)
RECEPIE = {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}


def log(number, **changes):
  """A log of two epochs."""
  return {
    "data": "data/ptb",
    "recepie_id": number,
    "epochs": 2,
    "recepie": json.dumps(RECEPIE),
    "num_params": 10 + number,
    "wall_times": [30.5, 31.5],
    "train_losses": [6.0, 5.0],
    "val_losses": [5.5, math.nan],
    "test_losses": [5.25, 5.125],
    "status": "OK",
    **changes,
  }


class LogsTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def _write(self, name, content):
    path = self.directory / name
    path.write_text(json.dumps(content))
    return path

  def test_directory(self):
    """Oracle: what was written, by number; what is of no interest is left."""
    for number in (7, 3, 5):
      self._write(f"log_{9 - number}.json", log(number))
    (self.directory / "log.txt").write_text("no log")
    calls = []
    records = nlp_log_files(
      [self.directory],
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    self.assertEqual([r["recepie_id"] for r in records], [3, 5, 7])
    self.assertEqual(calls, [(1, 3), (2, 3), (3, 3)])
    self.assertEqual(
      {k: v for k, v in records[0].items() if k != "val_losses"},
      {
        "recepie_id": 3,
        "recepie": RECEPIE,
        "num_params": 13,
        "train_losses": [6.0, 5.0],
        "test_losses": [5.25, 5.125],
        "wall_times": [30.5, 31.5],
        "status": "OK",
      },
    )
    np.testing.assert_array_equal(records[0]["val_losses"], [5.5, math.nan])

  def test_written_and_read(self):
    """Oracle: Python's own reader; a second writing makes the same bytes."""
    path = self._write("log.json", log(3, val_losses=[5.5, 5.25]))
    records = nlp_log_files([path])
    output = self.directory / "table.json"
    write_records(records, output)
    self.assertEqual(json.loads(output.read_text()), records)
    first = output.read_bytes()
    write_records(records, output)
    self.assertEqual(output.read_bytes(), first)

  @parameterized.named_parameters(
    ("list", [], "a dict"),
    ("data", {"recepie_id": 1}, "'data'"),
    ("id", log(1, recepie_id="1"), "recepie_id to be a int"),
    ("recepie", log(1, recepie="{"), "JSON in recepie"),
    ("nodes", log(1, recepie="[]"), "recepie to be a dict"),
    ("short", log(1, val_losses=[1.0]), "one value an epoch"),
    ("negative", log(1, val_losses=[1.0, -1.0]), "in val_losses, got -1.0"),
    ("text", log(1, wall_times=["1", "2"]), "in wall_times, got '1'"),
  )
  def test_damaged_logs(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    path = self._write("log.json", content)
    with self.assertRaises(ConversionError) as raised:
      nlp_log_files([path])
    self.assert_one_line(raised.exception, path, part)

  def test_no_json(self):
    """Oracle: the message names the file."""
    path = self.directory / "log.json"
    for content in (b"", b"{", b"\xff"):
      path.write_bytes(content)
      with self.assertRaises(ConversionError) as raised:
        nlp_log_files([path])
      self.assert_one_line(raised.exception, path, "a JSON object")

  def test_nothing_there(self):
    """Oracle: the message names the directory or file."""
    missing = self.directory / "none.json"
    for path, part in ((self.directory, "log_stats"), (missing, "Check the")):
      with self.assertRaises(ConversionError) as raised:
        nlp_log_files([path])
      self.assert_one_line(raised.exception, path, part)

  def test_two_data_sets(self):
    """Oracle: losses of different texts cannot be compared."""
    self._write("a.json", log(1))
    path = self._write("b.json", log(2, data="data/wikitext-2"))
    with self.assertRaises(ConversionError) as raised:
      nlp_log_files([self.directory])
    self.assert_one_line(raised.exception, path, "data/ptb", "wikitext-2")

  @data.needs_table(NAMES[0])
  def test_real_logs(self):
    """Oracle: the records of the converted table, rounded to 4 digits."""
    records = nlp_log_files([data.table_path(name) for name in NAMES])
    table = json.loads(data.table_path("nbnlp_wikitext2.json").read_text())
    self.assertEqual(
      [r["recepie_id"] for r in records], list(range(1000000, 1000003))
    )
    for record, expected in zip(records, table[:3], strict=True):
      self.assertEqual(list(record), list(expected))
      for name, value in expected.items():
        if isinstance(value, list):
          np.testing.assert_allclose(record[name], value, rtol=0, atol=5.1e-5)
        else:
          self.assertEqual(record[name], value)
