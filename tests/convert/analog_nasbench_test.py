"""Tests of nagjax.convert.analog_nasbench."""

import pathlib
import pickle
import sys
import types
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import analog_nasbench
from nagjax.convert import pickles
from nagjax.spaces import nasbench201
from tests import data
from tests.convert import upstream

NAMES = ("Architecture", "DriftMeasurement")
CLASSES = {
  name: type(name, (), {"__module__": "analognasbench.data"}) for name in NAMES
}
WAYS = ("baseline", "ptq", "qat", "noisy", "analog")
SECONDS = (60, 3600, 86400, 2592000)


def made(name, **fields):
  """An object of a class of the package."""
  result = CLASSES[name]()
  result.__dict__.update(fields)
  return result


def architecture(key, number=0):
  """A record whose accuracies count up from a number."""
  fields = {f"{way}_accuracy": number + i for i, way in enumerate(WAYS)}
  for i, way in enumerate(("baseline", "analog")):
    for j, seconds in enumerate(SECONDS):
      fields[f"{way}_drift_{seconds}"] = made(
        "DriftMeasurement", value=number + 10.0 + 4 * i + j, uncertainty=0.5
      )
  return made("Architecture", architecture=key, **fields)


FIELDS = vars(architecture((0,) * 6)).copy()
FIELDS.pop("baseline_drift_60")


def write(path, content):
  """Writes a pickle as the package does."""
  modules = {"analognasbench": types.ModuleType("analognasbench")}
  modules["analognasbench.data"] = types.SimpleNamespace(**CLASSES)
  with mock.patch.dict(sys.modules, modules):
    return upstream.write_pickle(path, content)


class AnalogNasbenchTest(
  upstream.TemporaryDirectoryMixin, parameterized.TestCase
):
  def setUp(self):
    super().setUp()
    self.path = self.directory / "data.anb"

  def _error(self, content, read_fn=None):
    write(self.path, content)
    with self.assertRaises(ConversionError) as raised:
      (read_fn or analog_nasbench.read)(self.path)
    return raised.exception

  def test_values(self):
    """Oracle: the written numbers, at the index of the cell that the tuple
    names by hand: skip, none, 3x3, 1x1, pool, skip on 0->1, 0->2, 0->3, 1->2,
    1->3, 2->3."""
    keys = ((0, 1, 2, 3, 4, 0), (0, 0, 0, 0, 0, 0))
    content = {key: architecture(key, 20 * i) for i, key in enumerate(keys)}
    columns = analog_nasbench.read(write(self.path, content))
    self.assertLen(columns, 5 + 2 * 2 * 4)
    strings = (
      "|skip_connect~0|+|none~0|nor_conv_1x1~1|+"
      "|nor_conv_3x3~0|avg_pool_3x3~1|skip_connect~2|",
      "|skip_connect~0|+|skip_connect~0|skip_connect~1|+"
      "|skip_connect~0|skip_connect~1|skip_connect~2|",
    )
    space = nasbench201.nasbench201()
    archs = np.asarray([space.from_string(string) for string in strings])
    rows = np.asarray(space.index(archs))
    for i, row in enumerate(rows.tolist()):
      for name, value in (
        ("baseline_acc", 0),
        ("analog_acc", 4),
        ("baseline_drift_60", 10),
        ("analog_drift_2592000", 17),
      ):
        self.assertEqual(columns[name][row], 20 * i + value)
      self.assertEqual(columns["analog_drift_60_std"][row], 0.5)
    others = np.delete(columns["ptq_acc"], rows)
    self.assertTrue(np.isnan(others).all())

  def test_missing_cells(self):
    """Oracle: two of 15,625 are there."""
    keys = ((0, 1, 2, 3, 4, 0), (0, 0, 0, 0, 0, 0))
    error = self._error(
      {key: architecture(key) for key in keys},
      lambda path: analog_nasbench.analog_nasbench(path.parent),
    )
    self.assert_one_line(error, self.path, "15,625 cells, got 2, without |none")

  @parameterized.named_parameters(
    ("list", [1], "a dict, got a list"),
    ("empty", {}, "cells, got none"),
    ("key", {(0,) * 5: None}, "(0, 0, 0, 0, 0)"),
    ("number", {7: None}, "got 7"),
    ("record", {(0,) * 6: {}}, "PlainRecord, got a dict"),
    ("class", {(0,) * 6: made("Architecture")}, "key 'architecture'"),
    ("doubled", {(0,) * 6: architecture((0,) * 5 + (1,))}, "0, 1)"),
    ("array", {(0,) * 6: architecture(np.arange(6))}, "cannot be read"),
    (
      "drift",
      {(0,) * 6: made("Architecture", **FIELDS, baseline_drift_60=1.0)},
      "PlainRecord, got a float",
    ),
    ("percent", {(0,) * 6: architecture((0,) * 6, 97)}, "[0, 100], got 101"),
  )
  def test_files_of_another_form(self, content, part):
    """Oracle: each lacks one property of the complete one."""
    self.assert_one_line(self._error(content), self.path, part)

  def test_no_other_name_is_a_record(self):
    """Oracle: a class of the package that its file does not name."""
    content = pickle.dumps({(0,) * 6: 1}, 4)
    self.path.write_bytes(content)
    other = b"canalognasbench.data\nAnalogNASBench\n)\x81."
    self.path.write_bytes(other)
    with self.assertRaisesRegex(ConversionError, "AnalogNASBench, which is"):
      analog_nasbench.read(self.path)

  @parameterized.named_parameters(
    ("list", b"canalognasbench.data\nArchitecture\n)\x81]b."),
    ("slots", b"canalognasbench.data\nArchitecture\n)\x81(N}\x86b."),
    ("arguments", b"canalognasbench.data\nArchitecture\n(I1\ntR."),
    ("itself", b"canalognasbench.data\nArchitecture\n}b."),
  )
  def test_a_record_is_no_more_than_its_fields(self, content):
    """Oracle: objects that the class could not have, and the class changed."""
    with self.assertRaises(ConversionError):
      pickles.guarded(
        lambda: pickles.parse_pickle(
          content, "f", records=[("analognasbench.data", "Architecture")]
        ),
        "f",
        "a record",
      )


@unittest.skipUnless(upstream.DATA_DIR, upstream.NEEDS_DATA)
class SampleTest(parameterized.TestCase):
  def test_first_cells(self):
    """Oracle: the same cells of a table that others made of the package."""
    folder = pathlib.Path(upstream.DATA_DIR) / "samples"
    columns = analog_nasbench.read(folder / "analog_nasbench_first50.anb")
    (ops,) = data.read_table("nb201.npz", "ops")
    row = ops.astype(int) @ 5 ** np.arange(6)
    self.assertEqual(np.sum(~np.isnan(columns["ptq_acc"])), 50)
    for name, column in columns.items():
      (expected,) = data.read_table("analog_nasbench.npz", name)
      known = ~np.isnan(column[row])
      np.testing.assert_array_equal(column[row][known], expected[known])


if __name__ == "__main__":
  absltest.main()
