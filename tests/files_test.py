"""Tests of nagjax.files: writing atomically, reading defensively."""

import errno
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from nagjax import files

KIND = "a kind"


class FilesTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.path = self.folder / "file.npz"

  def assert_refused(self, read_fn, *parts):
    """Checks that the error is one short line that names the file."""
    with self.assertRaises(ValueError) as raised:
      read_fn()
    message = str(raised.exception)
    self.assertNotIn("\n", message)
    self.assertLess(len(message), 600)
    for part in (str(self.folder), *parts):
      self.assertIn(part, message)


class AtomicPathTest(FilesTestCase):
  def test_a_file_appears_when_the_block_ends(self):
    """Oracle: the directory before and after; the suffix and the mode."""
    with files.atomic_path(self.path) as temporary:
      temporary.write_text("new")
      self.assertFalse(self.path.exists())
      self.assertEqual(temporary.suffix, ".npz")
      self.assertIn(f"-{os.getpid()}-", temporary.name)
    self.assertEqual(self.path.read_text(), "new")
    self.assertEqual(list(self.folder.iterdir()), [self.path])

  @parameterized.parameters(RuntimeError, KeyboardInterrupt)
  def test_an_interruption_leaves_the_old_file(self, error):
    """Oracle: the old content; nothing else stays."""
    self.path.write_text("old")
    with self.assertRaises(error):
      with files.atomic_path(self.path) as temporary:
        temporary.write_text("half")
        raise error
    self.assertEqual(self.path.read_text(), "old")
    self.assertEqual(list(self.folder.iterdir()), [self.path])

  def test_a_full_disk_names_the_file(self):
    """Oracle: the error of the operating system, about the user's file."""
    with self.assertRaises(OSError) as raised:
      with files.atomic_path(self.path):
        raise OSError(errno.ENOSPC, "No space left on device")
    self.assertEqual(raised.exception.errno, errno.ENOSPC)
    self.assertEqual(raised.exception.filename, str(self.path))
    with self.assertRaises(FileNotFoundError) as raised:
      with files.atomic_path(self.folder / "none" / "file.npz"):
        pass
    self.assertIn("file.npz", str(raised.exception))

  def test_temporary_files_of_the_dead_are_removed(self):
    """Oracle: a process that is killed while it writes; one that lives."""
    code = (
      "import os, pathlib; from nagjax.files import atomic\n"
      f"with atomic.atomic_path({str(self.path)!r}): os._exit(9)"
    )
    root = str(pathlib.Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    (left,) = self.folder.iterdir()
    foreign = self.folder / left.name.replace(left.name.split("-")[1], "0" * 8)
    foreign.touch()
    with files.atomic_path(self.path) as alive:
      with files.atomic_path(self.folder / "other.npz"):
        pass
      self.assertTrue(alive.exists())
    names = {path.name for path in self.folder.iterdir()}
    self.assertEqual(names, {"file.npz", "other.npz", foreign.name})

  def test_home_is_expanded(self):
    """Oracle: pathlib."""
    home = pathlib.Path.home()
    self.assertEqual(files.expand("~/x"), home / "x")
    self.assertEqual(files.expand("~no-such-user/x").name, "x")


class RecordTest(FilesTestCase):
  def test_round_trip(self):
    """Oracle: what was written, and NumPy's own reader."""
    arrays = {
      "a": np.arange(6, dtype=">i4").reshape(2, 3),
      "b": np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4))),
      "c": np.asarray(["x", "yz"]),
      "d": np.zeros((0, 5), np.float16),
      "file": np.asarray(True),
    }
    for compress in (False, True):
      files.write_record(self.path, arrays, {"kind": KIND}, compress=compress)
      found, header = files.read_record(self.path, kind=KIND)
      self.assertEqual((list(found), header), (list(arrays), {"kind": KIND}))
      for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        self.assertEqual(found[name].dtype, array.dtype)
        with np.load(self.path) as theirs:
          np.testing.assert_array_equal(theirs[name], array)
    self.assertEqual(files.array_names(self.path), list(arrays))
    self.assertEqual(files.read_header(self.path, KIND), {"kind": KIND})

  def test_what_is_declared_is_read(self):
    """Oracle: by hand."""
    np.savez(self.path, a_ms=np.zeros(3), b_ms=np.ones(3), c=np.zeros((3, 2)))
    declared = {
      "*_ms": files.Declared("f", ("n",)),
      "c": files.Declared("f", ("n", 2)),
      "d": files.Declared("i", optional=True),
    }
    found = files.read_arrays(self.path, declared)
    self.assertEqual(list(found), ["a_ms", "b_ms", "c"])
    for change, parts in (
      ({"c": files.Declared("i", (3, 2))}, ("c must hold integers", "float64")),
      ({"c": files.Declared("f", (3,))}, ("[3]", "float64[3, 2]")),
      ({"c": files.Declared("f", ("n", "n"))}, ("[n=3, n=3]",)),
      ({"d": files.Declared("i")}, ("no array d", "a_ms")),
    ):
      self.assert_refused(
        lambda c=change: files.read_arrays(self.path, declared | c), *parts
      )
    self.assert_refused(
      lambda: files.read_record(self.path, {}, only=True), "do not belong"
    )
    self.assert_refused(
      lambda: files.read_arrays(self.path, max_bytes=95), "95 bytes", "96"
    )

  @parameterized.named_parameters(
    ("cut_header", b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,"),
    ("rows", b"{'descr': '<f8', 'fortran_order': False, 'shape': (2**40,)}"),
    ("many", b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,)}"),
    ("negative", b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
    ("object", b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
    ("code", b"{'descr': __import__('os').getcwd()}"),
    ("deep", b"(" * 5000),
    ("long", b" " * 60_000),
    (
      "structs",
      b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}",
    ),
    ("dates", b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}"),
    ("void", b"{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}"),
  )
  def test_headers_of_arrays(self, header):
    """Oracle: one line, before memory is reserved."""
    header = header.replace(b"%d", str(1 << 40).encode())
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(self.path, "w") as archive:
      archive.writestr("a.npy", content + bytes(8))
    tracemalloc.start()
    self.addCleanup(tracemalloc.stop)
    self.assert_refused(lambda: files.read_arrays(self.path))
    self.assertLess(tracemalloc.get_traced_memory()[1], 50_000_000)

  def test_other_files(self):
    """Oracle: one line for each."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    plain = buffer.getvalue()
    with zipfile.ZipFile(self.path, "w") as archive:
      archive.writestr("a.npy", plain)
    archive = self.path.read_bytes()
    encrypted = bytearray(archive)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
      encrypted[archive.index(mark) + place] |= 1
    for content in (b"", b"PK", plain, archive[:-30], bytes(encrypted)):
      self.path.write_bytes(content)
      self.assert_refused(
        lambda: files.read_arrays(self.path), "not a readable"
      )
    with zipfile.ZipFile(self.path, "w", zipfile.ZIP_LZMA) as written:
      written.writestr("a.npy", plain)
    content = bytearray(self.path.read_bytes())
    content[60:80] = bytes(20)
    self.path.write_bytes(content)
    self.assert_refused(lambda: files.read_arrays(self.path), "not a readable")
    with zipfile.ZipFile(self.path, "w") as written:
      written.writestr("a.txt", "text")
    self.assert_refused(lambda: files.read_arrays(self.path), "is no array")
    self.path.unlink()
    self.assert_refused(lambda: files.read_arrays(self.path), "No such file")
    self.path.mkdir()
    self.assert_refused(lambda: files.read_arrays(self.path))

  @parameterized.parameters(
    "[1]",
    "{",
    "[" * 100_000,
    '{"kind": "another"}',
    '{"kind": ' + "1" * 400 + "}",
    '{"kind": NaN}',
    '{"kind": "\\u001b[31m' + "x" * 70_000 + '"}',
  )
  def test_headers(self, text):
    """Oracle: one line."""
    np.savez(self.path, a=np.zeros(3), header=np.asarray(text))
    self.assert_refused(lambda: files.read_record(self.path, kind=KIND))

  def test_what_cannot_be_written(self):
    """Oracle: an error, and no file."""
    for arrays, header in (
      ({"a": np.asarray([None])}, {}),
      ({"a": np.zeros(3, ml_dtypes.bfloat16)}, {}),
      ({"header": np.zeros(3)}, {}),
      ({}, {"x": float("nan")}),
    ):
      with self.assertRaises(ValueError):
        files.write_record(self.path, arrays, header)
    with self.assertRaisesRegex(ValueError, "same name"):
      tree = {"a.b": jnp.zeros(1), "a": {"b": jnp.zeros(1)}}
      files.save_tree(self.path, tree, {"kind": KIND})
    self.assertEmpty(list(self.folder.iterdir()))


class TreeTest(FilesTestCase):
  def test_round_trip_and_other_templates(self):
    """Oracle: the tree; what differs is named by its place."""
    tree = {"layers": [jnp.arange(3.0), jnp.zeros((2, 2), jnp.int8)]}
    files.save_tree(self.path, tree, {"kind": KIND, "notes": [1]})
    found, header = files.load_tree(self.path, tree, kind=KIND)
    self.assertEqual(header, {"kind": KIND, "notes": [1]})
    np.testing.assert_array_equal(found["layers"][0], tree["layers"][0])
    self.assertEqual(found["layers"][1].dtype, jnp.int8)
    a, b = tree["layers"]
    for layers, part in (
      ([a], "layers.1"),
      ([a, b, a], "layers.2"),
      ([a[:2], b], "layers.0 must hold floats of shape [2]"),
      ([a.astype(jnp.float16), b], "layers.0 must be float16[3]"),
      ([a, b.astype(bool)], "layers.1 must hold booleans"),
    ):
      self.assert_refused(
        lambda t={"layers": layers}: files.load_tree(self.path, t, kind=KIND),
        part,
      )


class TextTest(FilesTestCase):
  @parameterized.parameters(
    "[" * 200_000,
    "1" * 400,
    "-" + "1" * 400,
    "1e400",
    "NaN",
    "-Infinity",
    '{"a": 1',
    "\ufffe",
    "",
  )
  def test_json(self, text):
    """Oracle: one line."""
    path = self.folder / "a.json"
    path.write_text(text, encoding="utf-8")
    self.assert_refused(lambda: files.read_json(path), "a.json")

  def test_good_json(self):
    """Oracle: the standard library; NaN where it is asked for."""
    path = self.folder / "a.json"
    content = {"a": [1, 2.5, None, "x"], "b": 2**64}
    path.write_text(json.dumps(content))
    self.assertEqual(files.read_json(path), content)
    path.write_text("[NaN, -Infinity]")
    found = files.read_json(path, allow_nan=True)
    np.testing.assert_array_equal(found, [np.nan, -np.inf])
    path.write_bytes(b"\xff\xfe\x00")
    self.assert_refused(lambda: files.read_json(path), "a.json")
    path.unlink()
    self.assert_refused(lambda: files.read_json(path), "a.json")

  @parameterized.parameters(
    "", "a,a\n1,2\n", "a,b\n1\n", "a,b\n1,2,3\n", "a\n" + "x" * 200_000, 'a\n"x'
  )
  def test_csv(self, text):
    """Oracle: one line."""
    path = self.folder / "a.csv"
    path.write_text(text)
    self.assert_refused(lambda: files.read_csv(path), "a.csv")

  def test_good_csv(self):
    """Oracle: by hand: a byte order mark, quotes, an empty line."""
    path = self.folder / "a.csv"
    path.write_text('\ufeffa,b\r\n"1,\n2",x\r\n\r\n3,', encoding="utf-8")
    names, rows = files.read_csv(path)
    self.assertEqual(names, ["a", "b"])
    self.assertEqual(rows, [{"a": "1,\n2", "b": "x"}, {"a": "3", "b": ""}])


if __name__ == "__main__":
  absltest.main()
