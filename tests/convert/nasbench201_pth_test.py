"""Tests of nagjax.convert.nasbench201_pth."""

import importlib
import importlib.util
import pickle
import types
import unittest
from unittest import mock

from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.convert import ConversionError
from nagjax.convert import nasbench201_pth
from nagjax.convert import nasbench201_pth_file
from tests.convert import upstream

_INDICES = (0, 3, 15624)
_HAS_TORCH = importlib.util.find_spec("torch") is not None


def _assert_values(table, indices, **kwargs):
  for name, values in upstream.expected_rows(indices, **kwargs).items():
    np.testing.assert_allclose(
      table.arrays[name][list(indices)], values, rtol=1e-6
    )


class ContentTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  """What is made of the content; PyTorch's part is replaced."""

  def setUp(self):
    super().setUp()
    self.path = self.directory / "nasbench.pth"
    self.path.write_bytes(b"")

  def _convert(self, content, **kwargs):
    with mock.patch.object(nasbench201_pth, "_load", lambda path: content):
      return nasbench201_pth_file(self.path, **kwargs)

  def _error(self, content, **kwargs):
    with self.assertRaises(ConversionError) as raised:
      self._convert(content, **kwargs)
    return raised.exception

  @parameterized.parameters("full", "200")
  def test_values(self, part):
    """Oracle: means over seeds of the written values, by column."""
    calls = []
    table = self._convert(
      upstream.pth_content(_INDICES, part=part),
      allow_missing=True,
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    _assert_values(table, _INDICES)
    self.assertEqual(calls, [(1, 3), (2, 3), (3, 3)])
    self.assertEqual(table.header["files"][0]["name"], "nasbench.pth")

  @pytest.mark.slow
  def test_all_architectures(self):
    """Oracle: as above, and nothing is missing."""
    content = upstream.pth_content([])
    content["arch2infos"] = {
      i: {"full": upstream.record(i, seeds=(777,), data_sets=("cifar100",))}
      for i in range(upstream.NUM_ARCHITECTURES)
    }
    table = self._convert(content)
    self.assertNotIn("cifar10_valid_val", table.arrays)
    expected = upstream.expected_rows(range(15625), seeds=(777,))
    for name in ("cifar100_val", "cifar100_test", "cifar100_flops_m"):
      np.testing.assert_allclose(table.arrays[name], expected[name], rtol=1e-6)
      self.assertEqual(table.header["arrays"][name]["missing"], 0)

  def test_version_without_times(self):
    """Oracle: version 1.0 stores None; the arrays of times are absent."""
    table = self._convert(
      upstream.pth_content(_INDICES, times=False), allow_missing=True
    )
    self.assertIn("cifar10_flops_m", table.arrays)
    self.assertNotIn("cifar10_train_time_per_epoch_s", table.arrays)

  def test_missing_architectures(self):
    """Oracle: index 1 is the first that was not written."""
    self.assert_one_line(
      self._error(upstream.pth_content(_INDICES)),
      self.path,
      "15,622 missing",
      "index 1",
    )

  @parameterized.named_parameters(
    ("list", lambda content: [], "a dict, got a list"),
    ("no_meta", lambda content: {"arch2infos": {}}, "'meta_archs'"),
    ("no_infos", lambda content: {**content, "arch2infos": 3}, "arch2infos"),
    (
      "index",
      lambda content: {**content, "arch2infos": {15625: {}}},
      "indices below 15,625",
    ),
    ("no_part", lambda content: {**content, "arch2infos": {0: {}}}, "'200'"),
    (
      "other_row",
      lambda content: {
        **content,
        "arch2infos": {1: content["arch2infos"][0]},
      },
      "architecture 1",
    ),
  )
  def test_content_of_another_form(self, change_fn, part):
    """Oracle: each content lacks one property of the complete one."""
    content = change_fn(upstream.pth_content(_INDICES))
    self.assert_one_line(
      self._error(content, allow_missing=True), self.path, part
    )

  @parameterized.parameters((None, "no PyTorch"), ("2.5.1", "PyTorch 2.5.1"))
  def test_without_a_safe_torch(self, version, part):
    """Oracle: the message says what to install."""
    with mock.patch.object(importlib, "import_module") as import_module:
      if version is None:
        import_module.side_effect = ImportError
      else:
        import_module.return_value = types.SimpleNamespace(__version__=version)
      with self.assertRaises(ConversionError) as raised:
        nasbench201_pth_file(self.path)
    self.assert_one_line(
      raised.exception, self.path, part, "pip install 'nagjax[convert]'"
    )


@unittest.skipUnless(_HAS_TORCH, "needs torch, the extra convert")
class TorchTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def _save(self, content, name="nasbench.pth", **kwargs):
    torch = importlib.import_module("torch")
    path = self.directory / name
    torch.save(content, path, **kwargs)
    return path

  @parameterized.parameters(True, False)
  def test_values(self, is_zip):
    """Oracle: means over seeds of the written values, by column."""
    path = self._save(
      upstream.pth_content(_INDICES), _use_new_zipfile_serialization=is_zip
    )
    _assert_values(nasbench201_pth_file(path, allow_missing=True), _INDICES)

  def test_numbers_of_numpy_1(self):
    """Oracle: the same values; NumPy 1 used another module name."""
    path = self._save(
      upstream.pth_content(_INDICES), _use_new_zipfile_serialization=False
    )
    data = path.read_bytes()
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    self.assertIn(new, data)
    path.write_bytes(data.replace(new, old))
    _assert_values(nasbench201_pth_file(path, allow_missing=True), _INDICES)

  @parameterized.parameters(True, False)
  def test_hostile_file(self, is_zip):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = self._save(
      [upstream.Hostile(marker)], _use_new_zipfile_serialization=is_zip
    )
    with self.assertRaises(ConversionError) as raised:
      nasbench201_pth_file(path)
    self.assert_one_line(raised.exception, path, "io.open, which is refused")
    self.assertFalse(marker.exists())

  def test_plain_hostile_pickle(self):
    """Oracle: as above, for a file that PyTorch did not write."""
    marker = self.directory / "marker"
    path = self.directory / "plain.pth"
    path.write_bytes(pickle.dumps(upstream.Hostile(marker)))
    with self.assertRaises(ConversionError) as raised:
      nasbench201_pth_file(path)
    self.assert_one_line(raised.exception, path)
    self.assertFalse(marker.exists())

  @parameterized.product(is_zip=(True, False), share=(0.0, 0.3, 0.9))
  def test_truncated_file(self, is_zip, share):
    """Oracle: the message names the file."""
    path = self._save(
      upstream.pth_content([0]), _use_new_zipfile_serialization=is_zip
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with self.assertRaises(ConversionError) as raised:
      nasbench201_pth_file(path)
    self.assert_one_line(raised.exception, path, "download it again")

  def test_missing_file(self):
    """Oracle: the message names the file."""
    path = self.directory / "none.pth"
    with self.assertRaises(ConversionError) as raised:
      nasbench201_pth_file(path)
    self.assert_one_line(raised.exception, path, "Check the path")

  def test_allowed_names_are_forgotten(self):
    """Oracle: PyTorch's own list before and after, with a name of the user."""
    serialization = importlib.import_module("torch").serialization
    path = self._save(upstream.pth_content([0]))
    with serialization.safe_globals([np.dtype]):
      before = set(serialization.get_safe_globals())
      nasbench201_pth_file(path, allow_missing=True)
      self.assertEqual(set(serialization.get_safe_globals()), before)
