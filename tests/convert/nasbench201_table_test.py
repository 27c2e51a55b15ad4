"""Tests of nagjax.convert.nasbench201_table and nasbench201_strings."""

import hashlib
import json
import math
from unittest import mock

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import checks
from nagjax.convert import nasbench201_strings
from nagjax.convert import nasbench201_table
from nagjax.spaces.nasbench201 import nasbench201
from tests.convert import upstream

_SOURCE = nasbench201_table.Source("some/file", "test", [{"name": "file"}])


def _table(**kwargs):
  rows = {7: {"cifar100_val": 50.0, "cifar100_params_m": 0.5}}
  return nasbench201_table.build_table(
    upstream.official_strings(), rows, _SOURCE, allow_missing=True, **kwargs
  )


class TableTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def test_read_back_without_pickles(self):
    """Oracle: the values that went in, and the documented names and types."""
    path = self.directory / "table.npz"
    nasbench201_table.write_table(_table(), path)
    with np.load(path, allow_pickle=False) as arrays:
      self.assertEqual(
        list(arrays),
        ["arch_str", "ops", "cifar100_val", "cifar100_params_m", "header"],
      )
      strings = [s.decode() for s in arrays["arch_str"]]
      self.assertEqual(strings, list(upstream.official_strings()))
      self.assertEqual(arrays["arch_str"].dtype, np.dtype("S95"))
      self.assertEqual(arrays["ops"].dtype, np.int8)
      names = [upstream.OPERATIONS[op] for op in arrays["ops"][7]]
      self.assertEqual(
        "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names), strings[7]
      )
      self.assertEqual(arrays["cifar100_val"].dtype, np.float32)
      self.assertEqual(arrays["cifar100_val"][7], 50.0)
      self.assertEqual(np.isnan(arrays["cifar100_val"]).sum(), 15624)
      header = json.loads(str(arrays["header"]))
    self.assertEqual(header["format_version"], 1)
    self.assertEqual(header["row_order"], "official")
    self.assertEqual(
      header["arrays"]["cifar100_params_m"],
      {"unit": "million parameters", "missing": 15624},
    )
    self.assertEqual(set(header["arrays"]) | {"header"}, set(arrays.files))

  def test_same_table_same_bytes(self):
    """Oracle: two files written one after the other."""
    paths = [self.directory / name for name in ("a.npz", "b.npz")]
    for path in paths:
      nasbench201_table.write_table(_table(), path)
    self.assertEqual(paths[0].read_bytes(), paths[1].read_bytes())

  @parameterized.parameters(KeyboardInterrupt, OSError)
  def test_interrupted_writing_leaves_nothing(self, exception):
    """Oracle: the directory is as empty as before."""

    def write_half(file, *args, **options):
      file.write(b"half")
      raise exception

    with mock.patch.object(np.lib.format, "write_array", write_half):
      with self.assertRaises(exception):
        nasbench201_table.write_table(_table(), self.directory / "table.npz")
    self.assertEmpty(list(self.directory.iterdir()))

  def test_other_suffix_is_refused(self):
    """Oracle: NumPy would add .npz silently."""
    with self.assertRaisesRegex(ValueError, r"ends in \.npz"):
      nasbench201_table.write_table(_table(), self.directory / "table")

  def test_missing_accuracies_need_permission(self):
    """Oracle: rows 0 to 6 and 8 to 15,624 have no value."""
    rows = {7: {"cifar100_val": 50.0}}
    with self.assertRaises(ConversionError) as raised:
      nasbench201_table.build_table(upstream.official_strings(), rows, _SOURCE)
    self.assert_one_line(
      raised.exception, "some/file", "15,624 missing", "--allow_missing"
    )

  def test_missing_costs_need_none(self):
    """Oracle: a full column of accuracies with a single cost is a table."""
    rows = {row: {"cifar100_val": 50.0} for row in range(15625)}
    rows[3]["cifar100_flops_m"] = 12.0
    rows[4]["cifar10_flops_m"] = math.nan
    table = nasbench201_table.build_table(
      upstream.official_strings(), rows, _SOURCE
    )
    self.assertEqual(
      table.header["arrays"]["cifar100_flops_m"]["missing"], 15624
    )
    self.assertNotIn("cifar10_flops_m", table.arrays)  # No value at all.

  def test_no_accuracies_at_all(self):
    """Oracle: such a table is of no use, permission or not."""
    with self.assertRaisesRegex(ConversionError, "accuracies after the last"):
      nasbench201_table.build_table(
        upstream.official_strings(), {}, _SOURCE, allow_missing=True
      )

  def test_fingerprints(self):
    """Oracle: SHA-256 of the file, and of the listing written by hand."""
    path = self.directory / "b"
    path.write_bytes(b"content")
    (self.directory / "a").write_bytes(b"")
    self.assertEqual(
      nasbench201_table.fingerprint(path),
      {"name": "b", "sha256": hashlib.sha256(b"content").hexdigest()},
    )
    self.assertEqual(
      nasbench201_table.fingerprint(self.directory)["listing_sha256"],
      hashlib.sha256(b"a 0\nb 7\n").hexdigest(),
    )

  @parameterized.parameters("50", None, -0.1, 100.5, math.inf, 10**400, [[1]])
  def test_accuracies_out_of_range(self, value):
    """Oracle: accuracies are numbers of percent."""
    with self.assertRaisesRegex(
      ConversionError, "f: expected x to be a number"
    ):
      checks.accuracy(value, "f", "x")

  def test_numbers_that_cannot_be_printed(self):
    """Oracle: Python refuses the repr of 5,000 digits."""
    with self.assertRaisesRegex(ConversionError, "got a int"):
      checks.number(10**5000, "f", "x")


class StringsTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def test_order_of_the_space(self):
    """Oracle: the space's own strings, one by one for a sample."""
    strings = nasbench201_strings.space_order()
    self.assertLen(strings, 15625)
    space = nasbench201()
    for index in (0, 1, 5, 7812, 15624):
      cell = np.asarray(space.from_string(strings[index]))
      self.assertEqual(int(space.index(cell)), index)

  def test_read_order(self):
    """Oracle: the order that was written, in both forms of the file."""
    strings = list(upstream.official_strings())
    meta = upstream.write_meta(self.directory / "meta.pickle.pbz2")
    table = self.directory / "table.npz"
    np.savez(table, arch_str=np.asarray(strings).astype("S95"))
    for path in (meta, table):
      self.assertEqual(nasbench201_strings.read_order(path), strings)

  def test_read_order_of_bad_tables(self):
    """Oracle: the message names the file and the wanted array."""
    path = self.directory / "table.npz"
    np.savez(path, other=np.zeros(3))
    hostile = self.directory / "hostile.npz"
    np.savez(hostile, arch_str=np.asarray([{}], object))
    cut = self.directory / "cut.npz"
    cut.write_bytes(path.read_bytes()[:50])
    for bad in (path, hostile, cut, self.directory / "none.npz"):
      with self.assertRaises(ConversionError) as raised:
        nasbench201_strings.read_order(bad)
      self.assert_one_line(raised.exception, bad, "arch_str")

  @parameterized.named_parameters(
    ("short", lambda s: s[:-1], "15,624 strings"),
    ("repeated", lambda s: [*s[:-1], s[0]], "15,624 of them distinct"),
    ("no_cells", lambda s: ["|conv~0|"], "got '|conv~0|'"),
    ("operation", lambda s: [s[0].replace("~0", "x~0")], "architecture string"),
    ("no_strings", lambda s: [1], "a str, got a int"),
    ("no_list", lambda s: 5, "a list or tuple, got a int"),
    ("size_space", lambda s: ["8:8:8:8:8"], "nats-bench-size"),
  )
  def test_bad_lists(self, change_fn, part):
    """Oracle: each list lacks one property of the complete one."""
    with self.assertRaises(ConversionError) as raised:
      nasbench201_strings.checked_strings(
        change_fn(upstream.official_strings()), "meta"
      )
    self.assert_one_line(raised.exception, "meta: ", part)
