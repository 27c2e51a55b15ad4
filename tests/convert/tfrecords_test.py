"""Tests of nagjax.convert.tfrecords."""

import struct
from unittest import mock

from absl.testing import parameterized
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import tfrecords
from tests.convert import tfrecord_files
from tests.convert import upstream


class ChecksumTest(parameterized.TestCase):
  @parameterized.parameters(
    (b"", 0),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
  )
  def test_published_values(self, content, crc):
    """Oracle: RFC 3720, appendix B.4, and the check value of CRC-32C."""
    (got,) = tfrecords.masked_crc32c([content])
    rotated = (int(got) - 0xA282EAD8) % (1 << 32)
    self.assertEqual((rotated << 15 | rotated >> 17) % (1 << 32), crc)

  def test_many_at_once(self):
    """Oracle: the definition, bit by bit, on strings of mixed lengths."""
    rng = np.random.default_rng(0)
    contents = [rng.bytes(n) for n in (3, 0, 17, 64, 1, 17, 5, 0, 2)]
    np.testing.assert_array_equal(
      tfrecords.masked_crc32c(contents),
      list(map(tfrecord_files.masked, contents)),
    )


class RecordsTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = self.directory / "some.tfrecord"

  def _read(self):
    return list(tfrecords.read_batches(self.path))

  def test_batches(self):
    """Oracle: what was written; the last batch is what is left."""
    payloads = [bytes([i]) * (i % 4) for i in range(10)]
    tfrecord_files.write(self.path, payloads)
    with mock.patch.object(tfrecords, "BATCH_SIZE", 4):
      batches = self._read()
    self.assertEqual([batch.first for batch in batches], [0, 4, 8])
    self.assertEqual([p for b in batches for p in b.payloads], payloads)
    self.assertEqual(batches[-1].position, self.path.stat().st_size)

  def test_empty_file(self):
    """Oracle: no records."""
    self.path.write_bytes(b"")
    self.assertEmpty(self._read())

  def test_every_wrong_byte_is_seen(self):
    """Oracle: the record in which the byte was changed."""
    sizes = (5, 0, 9)
    tfrecord_files.write(self.path, [b"x" * size for size in sizes])
    content = self.path.read_bytes()
    ends = np.cumsum([16 + size for size in sizes])
    for place in range(len(content)):
      wrong = bytearray(content)
      wrong[place] ^= 0x10
      self.path.write_bytes(wrong)
      record = int(np.searchsorted(ends, place, side="right"))
      with self.assertRaises(ConversionError) as raised:
        self._read()
      self.assert_one_line(raised.exception, self.path, f"record {record} ")

  def test_every_cut_is_seen(self):
    """Oracle: only between records is the file a shorter file."""
    tfrecord_files.write(self.path, [b"abc", b"defg"])
    content = self.path.read_bytes()
    for length in range(len(content)):
      self.path.write_bytes(content[:length])
      if length in (0, 19):
        self.assertLen(self._read(), length > 0)
        continue
      with self.assertRaises(ConversionError) as raised:
        self._read()
      self.assert_one_line(raised.exception, f"record {int(length > 19)} ")

  def test_huge_length(self):
    """Oracle: refused before so much is read."""
    length = struct.pack("<Q", 1 << 40)
    crc = struct.pack("<I", tfrecord_files.masked(length))
    self.path.write_bytes(length + crc)
    with self.assertRaisesRegex(ConversionError, "at most 65,536 bytes"):
      self._read()

  def test_missing_file(self):
    """Oracle: the message names the file."""
    with self.assertRaises(ConversionError) as raised:
      self._read()
    self.assert_one_line(raised.exception, self.path, "Check the path")


class FieldsTest(parameterized.TestCase):
  @parameterized.parameters(
    (b"\x08\x96\x01", [(1, 150)]),
    (b"\x12\x07testing", [(2, b"testing")]),
    (b"\x1a\x03\x08\x96\x01", [(3, b"\x08\x96\x01")]),
    (b"\x09" + struct.pack("<d", 0.1), [(1, 0.1)]),
    (b"\x15" + struct.pack("<f", 0.5), [(2, 0.5)]),
    (b"\xa0\x06\x01\xa0\x06\x02", [(100, 1), (100, 2)]),
    (b"", []),
  )
  def test_values(self, message, expected):
    """Oracle: the examples of the format's documentation, and struct."""
    self.assertEqual(list(tfrecords.fields(message)), expected)
    for length in range(1, len(message)):
      if length == 3 and len(expected) == 2:
        continue  # The first of two fields is a message.
      with self.assertRaises(ValueError):
        list(tfrecords.fields(message[:length]))

  @parameterized.parameters(b"\x0b", b"\x0c", b"\x08" + b"\xff" * 10)
  def test_what_is_none(self, message):
    """Oracle: groups are obsolete, and integers have 64 bits."""
    with self.assertRaises(ValueError):
      list(tfrecords.fields(message))
