"""Tests of nagjax.convert.pickles."""

import bz2
import collections
import pickle
import tracemalloc
from unittest import mock

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import pickles
from tests.convert import upstream

_CONTENT = {
  "values": [1, 2.5, "text", None, True, (1, 2), {3}, frozenset([4])],
  "ordered": collections.OrderedDict(a=1),
  "scalar": np.float64(0.1),
  "half": np.float32(0.5),
  "array": np.arange(6.0).reshape(2, 3),
}


class PicklesTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  @parameterized.parameters(0, 1, 2, 3, 4)
  def test_reads_plain_content(self, protocol):
    """Oracle: the object that was pickled."""
    path = upstream.write_pickle(self.directory / "a", _CONTENT, protocol)
    packed = upstream.write_bz2(self.directory / "b", _CONTENT, protocol)
    for content in (pickles.load_pickle(path), pickles.load_bz2_pickle(packed)):
      np.testing.assert_array_equal(content.pop("array"), _CONTENT["array"])
      self.assertEqual(
        content, {k: v for k, v in _CONTENT.items() if k != "array"}
      )

  def test_reads_numbers_of_numpy_1(self):
    """Oracle: the number; NumPy 1 pickled it under another module name."""
    data = pickle.dumps([np.float64(0.1)], 2)
    self.assertIn(b"numpy._core.multiarray", data)
    path = self.directory / "old"
    path.write_bytes(
      data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    )
    self.assertEqual(pickles.load_pickle(path), [0.1])

  @parameterized.parameters(
    ("posix", "system"),
    ("os", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("subprocess", "Popen"),
    ("functools", "partial"),
    ("copyreg", "_reconstructor"),
    ("numpy", "load"),
    ("collections", "OrderedDict.fromkeys"),
    ("torch._utils", "_rebuild_tensor_v2"),
  )
  def test_refuses_other_names_and_runs_nothing(self, module, name):
    """Oracle: the file the payload would create does not exist."""
    marker = self.directory / "marker"
    command = f"open({str(marker)!r}, 'w')" if name == "eval" else str(marker)
    data = f"c{module}\n{name}\n(V{command}\ntR.".encode()
    path = self.directory / "hostile.pickle"
    path.write_bytes(data)
    packed = self.directory / "hostile.pickle.pbz2"
    packed.write_bytes(bz2.compress(data))
    for load_fn, file in (
      (pickles.load_pickle, path),
      (pickles.load_bz2_pickle, packed),
    ):
      with self.assertRaises(ConversionError) as raised:
        load_fn(file)
      self.assert_one_line(raised.exception, file, f"{module}.{name}")
    self.assertFalse(marker.exists())

  def test_the_payload_of_these_tests_works(self):
    """Oracle: the standard unpickler, which the package must not be."""
    marker = self.directory / "marker"
    pickle.loads(pickle.dumps(upstream.Hostile(marker))).close()
    self.assertTrue(marker.exists())
    marker.unlink()
    path = upstream.write_pickle(
      self.directory / "a", [upstream.Hostile(marker)]
    )
    with self.assertRaisesRegex(ConversionError, r"io\.open, which is refused"):
      pickles.load_pickle(path)
    self.assertFalse(marker.exists())

  def test_refuses_decompressing_codecs(self):
    """Oracle: the allow-list; zlib through a codec would be a bomb."""
    path = self.directory / "codec"
    path.write_bytes(b"c_codecs\nencode\n(Vabc\nVzlib\ntR.")
    with self.assertRaisesRegex(ConversionError, "'zlib' is refused"):
      pickles.load_pickle(path)

  def test_ordered_dicts_cannot_hide_methods(self):
    """Oracle: an error instead of a dict whose `items` is no method."""
    path = self.directory / "shadow"
    path.write_bytes(b"ccollections\nOrderedDict\n(tR}Vitems\nI1\nsb.")
    with self.assertRaises(ConversionError):
      pickles.load_pickle(path)

  def test_missing_files_and_directories(self):
    """Oracle: the message names the path."""
    for path in (self.directory / "none", self.directory):
      for load_fn in (pickles.load_pickle, pickles.load_bz2_pickle):
        with self.assertRaises(ConversionError) as raised:
          load_fn(path)
        self.assert_one_line(raised.exception, path, "Check the path")

  @parameterized.named_parameters(
    ("long_put", b"\x80\x02K\x01r\x00\x00\x00\x08.", "memo 134217728"),
    ("put", b"I1\np134217728\n.", "memo 134217728"),
    ("unicode", b"X\xff\xff\xff\x7f.", "cut off"),
    ("bytes", b"\x8e" + b"\xff" * 7 + b"\x00.", "cut off"),
    ("bytearray", b"\x96\x00\x00\x00\x00\x10\x00\x00\x00.", "cut off"),
    ("frame", b"\x80\x04\x95" + b"\xff" * 4 + b"\x00" * 4 + b".", "cut off"),
    ("name", b"c" + b"a" * 300 + b"\nb\n.", "a name is too long"),
    ("opcode", b"\xfe.", "no opcode"),
    ("endless", b"}" * 10, "cut off"),
    (
      "array",
      b"cnumpy.core.multiarray\n_reconstruct\n"
      b"(cnumpy\nndarray\n(L1000000000L\ntS'b'\ntR.",
      "shape",
    ),
    ("allocate", b"cnumpy\nndarray\n(L1000000000L\ntR.", "not callable"),
    ("dtype", b"cnumpy\ndtype\n(VV1000000000\ntR.", "is refused"),
    ("objects", b"cnumpy\ndtype\n(VO8\ntR.", "is refused"),
    (
      "scalar",
      b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(VS900000\ntRtR.",
      "positional",
    ),
  )
  def test_refused_before_memory_is_reserved(self, content, part):
    """Oracle: memory at its peak, measured; the file has a few bytes."""
    path = self.directory / "small"
    path.write_bytes(content)
    tracemalloc.start()
    self.addCleanup(tracemalloc.stop)
    with self.assertRaises(ConversionError) as raised:
      pickles.load_pickle(path)
    self.assert_one_line(raised.exception, path, part)
    self.assertLess(tracemalloc.get_traced_memory()[1], 10_000_000)

  def test_arrays_of_every_kind(self):
    """Oracle: the array that was pickled."""
    for kind in ("?", "i1", ">i2", "<u4", ">f8", "c8", "S3", "<U2", ">U2"):
      array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind))
      path = upstream.write_pickle(self.directory / "a", array, 2)
      found = pickles.load_pickle(path)
      np.testing.assert_array_equal(np.asarray(found), array)
      self.assertEqual(found.dtype, array.dtype.newbyteorder("="))

  def test_compression_bomb(self):
    """Oracle: the size limit, lowered to below the content."""
    path = upstream.write_bz2(self.directory / "bomb", b"0" * 2000)
    with mock.patch.object(pickles, "MAX_BYTES", 1000):
      with self.assertRaisesRegex(ConversionError, "more than 1000 bytes"):
        pickles.load_bz2_pickle(path)

  def test_message_is_one_printable_line(self):
    """Oracle: properties of the text, for the worst that a file may name."""
    error = ConversionError("f", "a", "x\n\x1b[31m" + "y" * 10_000, "Do b.")
    self.assert_one_line(error, "f: expected a, got x ?[31my", "... Do b.")
    self.assertLess(len(str(error)), 300)


class PackageTest(parameterized.TestCase):
  def test_all_is_sorted_and_complete(self):
    """Oracle: the names themselves."""
    from nagjax import convert

    self.assertEqual(convert.__all__, sorted(convert.__all__))
    for name in convert.__all__:
      self.assertTrue(hasattr(convert, name))
