"""Tests of nagjax.convert.naslib."""

import pathlib
import unittest

from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.convert import ConversionError
from nagjax.convert import nasbench201_strings
from nagjax.convert import naslib
from nagjax.convert import naslib_pickles
from tests.convert import upstream


def _pairs(data_set, strings, first=10.0):
  """The two-entry form: validation `first + row / 1e3`, test 30 more."""
  return {
    string: {
      data_set: {
        "eval_acc1es": [
          np.float64(first + row / 1e3),
          np.float64(first + 30 + row / 1e3),
        ]
      }
    }
    for row, string in enumerate(strings)
  }


def _curves(data_set, num_eval, num_epochs=200):
  """The full-training form of one architecture; entry `i` is `i / 4`."""
  entry = {
    "train_losses": [1.0] * num_epochs,
    "eval_losses": [1.0] * num_eval,
    "train_acc1es": [50.0] * num_epochs,
    "eval_acc1es": [i / 4 for i in range(num_eval)],
    "cost_info": {
      "flops": 15.5,
      "params": 0.125,
      "latency": 0.013,
      "train_time": 7.25,
    },
  }
  return {upstream.official_strings()[5]: {data_set: entry}}


class NaslibTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def _write(self, content, name="a.pickle"):
    return upstream.write_pickle(self.directory / name, content, 2)

  def _error(self, *contents, **kwargs):
    paths = [self._write(c, f"{i}.pickle") for i, c in enumerate(contents)]
    with self.assertRaises(ConversionError) as raised:
      naslib_pickles(paths, **kwargs)
    return raised.exception

  @pytest.mark.slow
  def test_two_data_sets_in_official_order(self):
    """Oracle: the written values, row by row."""
    strings = upstream.official_strings()
    calls = []
    paths = [
      self._write(_pairs("cifar10-valid", strings), "a.pickle"),
      self._write(_pairs("cifar100", strings[::-1], first=20.0), "b.pickle"),
    ]
    table = naslib_pickles(
      paths,
      order=upstream.write_meta(self.directory / "meta.pickle.pbz2"),
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    rows = np.arange(len(strings)) / 1e3
    for name, expected in {
      "cifar10_valid_val": 10 + rows,
      "cifar10_valid_test": 40 + rows,
      "cifar100_val": 20 + rows[::-1],
      "cifar100_test": 50 + rows[::-1],
    }.items():
      np.testing.assert_allclose(table.arrays[name], expected, rtol=1e-6)
      self.assertEqual(table.header["arrays"][name]["missing"], 0)
    self.assertEqual(
      [s.decode() for s in table.arrays["arch_str"]], list(strings)
    )
    self.assertLen(table.arrays, 6)
    self.assertEqual(table.header["row_order"], "official")
    self.assertEqual(calls, [(1, 2), (2, 2)])

  def test_order_of_the_space_is_the_default(self):
    """Oracle: the value belongs to its string wherever the row is."""
    strings = upstream.official_strings()
    table = naslib_pickles([self._write(_pairs("ImageNet16-120", strings))])
    self.assertEqual(table.header["row_order"], "space index")
    order = nasbench201_strings.space_order()
    self.assertEqual(
      [s.decode() for s in table.arrays["arch_str"]], list(order)
    )
    for official in (0, 1, 9999):
      row = order.index(strings[official])
      np.testing.assert_allclose(
        table.arrays["imagenet16_120_val"][row], 10 + official / 1e3, rtol=1e-6
      )

  def test_partial_file(self):
    """Oracle: fifty rows have values."""
    content = _pairs("cifar100", upstream.official_strings()[:50])
    self.assert_one_line(
      self._error(content), "cifar100_val", "15,575 missing", "--allow_missing"
    )
    table = naslib_pickles([self._write(content)], allow_missing=True)
    self.assertEqual(np.isfinite(table.arrays["cifar100_val"]).sum(), 50)

  @parameterized.parameters(
    # 200: [..., val]; 201: [..., val, not in the table]; 202: [..., val, test].
    ("cifar10-valid", 200, 200, 199, None),
    ("cifar10-valid", 201, 200, 199, None),
    ("cifar10-valid", 202, 200, 200, None),
    ("cifar100", 202, 200, 200, 201),
    ("cifar100", 200, 200, 199, None),
    ("ninapro", 12, 12, 11, None),
    ("cifar100", 5, 3, 3, 4),
  )
  def test_full_training(self, data_set, num_eval, num_epochs, val, test):
    """Oracle: the places in the list that upstream's order of writing gives."""
    table = naslib_pickles(
      [self._write(_curves(data_set, num_eval, num_epochs))],
      allow_missing=True,
    )
    row = nasbench201_strings.space_order().index(
      upstream.official_strings()[5]
    )
    prefix = naslib.column_prefix(data_set)
    self.assertEqual(table.arrays[f"{prefix}_val"][row], val / 4)
    if test is None:
      self.assertNotIn(f"{prefix}_test", table.arrays)
    else:
      self.assertEqual(table.arrays[f"{prefix}_test"][row], test / 4)
    costs = prefix.removesuffix("_valid")
    self.assertEqual(table.arrays[f"{costs}_params_m"][row], 0.125)
    self.assertEqual(table.arrays[f"{costs}_flops_m"][row], 15.5)
    time = f"{costs}_train_time_per_epoch_s"
    if data_set == "cifar10-valid":  # Half of the images: another quantity.
      self.assertNotIn(time, table.arrays)
    else:
      self.assertEqual(table.arrays[time][row], 7.25)
    self.assertEqual(table.header["notes"], [naslib.FULL_TRAINING_NOTE])

  @parameterized.named_parameters(
    ("list", [1], "a dict, got a list"),
    ("key", {5: {}}, "a str, got a int"),
    ("string", {"|x~0|": {}}, "architecture string"),
    ("entry", {None: [1]}, "the entry of"),
    ("name", {None: {"a b": {}}}, "data set names"),
    ("no_list", {None: {"cifar100": {}}}, "'eval_acc1es'"),
    ("text", {None: {"cifar100": {"eval_acc1es": "ab"}}}, "a str"),
    ("short", {None: {"cifar100": {"eval_acc1es": [1.0]}}}, "2 entries"),
    (
      "no_epoch",
      {None: {"cifar100": {"eval_acc1es": [1.0], "train_losses": []}}},
      "2 entries",
    ),
    ("long", {None: {"cifar100": {"eval_acc1es": [1.0] * 203}}}, "200 to 202"),
    (
      "percent",
      {None: {"cifar100": {"eval_acc1es": [1.0, 101.0]}}},
      "[0, 100]",
    ),
    (
      "costs",
      {None: {"cifar100": {"eval_acc1es": [1.0, 1.0], "cost_info": 3}}},
      "cost_info",
    ),
  )
  def test_content_of_another_form(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    if isinstance(content, dict) and None in content:
      content = {upstream.official_strings()[0]: content[None]}
    self.assert_one_line(
      self._error(content, allow_missing=True), "0.pickle", part
    )

  def test_one_data_set_twice(self):
    """Oracle: two files with the same columns have no common meaning."""
    content = _pairs("cifar100", upstream.official_strings()[:5])
    self.assert_one_line(
      self._error(content, content, allow_missing=True),
      "0.pickle",
      "1.pickle: ",
      "cifar100",
    )

  def test_two_spellings_of_one_data_set(self):
    """Oracle: they would become one column; the second is named and refused."""
    string = upstream.official_strings()[0]
    entry = {
      name: {"eval_acc1es": [10.0, 20.0]}
      for name in ("cifar10-valid", "cifar10_valid")
    }
    path = upstream.write_pickle(self.directory / "two", {string: entry})
    with self.assertRaises(ConversionError) as raised:
      naslib_pickles([path], allow_missing=True)
    self.assert_one_line(raised.exception, path, "cifar10_valid beside")

  def test_hostile_file(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    self.assert_one_line(self._error([upstream.Hostile(marker)]), "io.open")
    self.assertFalse(marker.exists())

  def test_no_file(self):
    """Oracle: an empty list is a programming error."""
    with self.assertRaisesRegex(ValueError, "at least one"):
      naslib_pickles([])


@unittest.skipUnless(upstream.DATA_DIR, upstream.NEEDS_DATA)
class NaslibSamplesTest(parameterized.TestCase):
  def test_first_fifty_equal_the_table(self):
    """Oracle: nb201.npz was made from the complete files."""
    data = pathlib.Path(upstream.DATA_DIR)
    names = ("cifar10-valid", "cifar100")
    table = naslib_pickles(
      [
        data / "samples" / f"naslib_nb201_{name}_val_test_first50.pickle"
        for name in names
      ],
      order=data / "nb201.npz",
      allow_missing=True,
    )
    with np.load(data / "nb201.npz", allow_pickle=False) as expected:
      np.testing.assert_array_equal(table.arrays["ops"], expected["ops"])
      for name in map(naslib.column_prefix, names):
        for split in ("val", "test"):
          array = table.arrays[f"{name}_{split}"]
          self.assertTrue(np.isnan(array[50:]).all())
          np.testing.assert_array_equal(
            array[:50], expected[f"{name}_{split}"][:50]
          )
