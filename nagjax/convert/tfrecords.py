"""TFRecord files and protocol buffers, read without TensorFlow.

A TFRecord file is a sequence of records: the length of the payload (uint64), a
checksum of these 8 bytes, the payload, a checksum of the payload. Numbers are
little-endian, a checksum is a masked CRC-32C (Castagnoli); see
https://www.tensorflow.org/tutorials/load_data/tfrecord
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from collections.abc import Sequence
import functools
import os
import struct
from typing import BinaryIO
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax.convert.pickles import ConversionError

MAX_BYTES = 1 << 16
"""Largest payload; one of NAS-Bench-101 has some hundred bytes."""

BATCH_SIZE = 4096
"""Records whose payloads are checked together."""

_DAMAGED = "The file may be damaged or cut off; download it again."
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


class Batch(NamedTuple):
  """Some records of a file.

  Attributes:
    first: number of the first record, from 0.
    payloads: the contents, checked.
    position: bytes of the file read so far.
  """

  first: int
  payloads: list[bytes]
  position: int


def read_batches(path: str | os.PathLike[str]) -> Iterator[Batch]:
  """Yields the records of a TFRecord file in batches of `BATCH_SIZE`.

  Both checksums of every record are verified. The pure Python loop over bytes
  would take minutes for the 500 MB of NAS-Bench-101; over batches of payloads
  it takes seconds.

  Raises:
    ConversionError: if the file cannot be opened, is cut off, or a checksum is
      wrong; it names the record.
  """
  try:
    with open(files.expand(path), "rb") as stream:
      first = 0
      while batch := _read_batch(stream, path, first):
        yield Batch(first, batch, stream.tell())
        first += len(batch)
  except OSError as error:
    raise ConversionError(
      path, "a TFRecord file", f"none ({error.strerror})", "Check the path."
    ) from error


def masked_crc32c(contents: Sequence[bytes]) -> np.ndarray:
  """Masked CRC-32C of each string, `uint32[len(contents)]`.

  The usual loop over bytes by a table, for all strings at once: the longest
  come first, so that those still running are a shrinking slice.

  Example:
    >>> [hex(c) for c in masked_crc32c([b"123456789", b""])]
    ['0xc78ab0e5', '0xa282ead8']
  """
  lengths = np.asarray([len(content) for content in contents], np.int64)
  order = np.argsort(-lengths, kind="stable")
  padded = np.zeros((int(lengths.max(initial=0)), len(contents)), np.uint8)
  for column, row in enumerate(order):
    padded[: lengths[row], column] = np.frombuffer(contents[row], np.uint8)
  running = np.cumsum(np.bincount(lengths)[::-1])[::-1]
  crc = np.full(len(contents), 0xFFFFFFFF, np.uint32)
  for position, byte in enumerate(padded):
    active = crc[: running[position + 1]]
    entries = _TABLE[(active ^ byte[: len(active)]) & 0xFF]
    np.bitwise_xor(entries, active >> 8, out=active)
  crc = ~crc
  result = np.empty_like(crc)
  result[order] = ((crc >> 15) | (crc << 17)) + np.uint32(_MASK)
  return result


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
  """Yields number and value of the fields of a protocol buffer message.

  Values are what the wire says: an unsigned integer, a double (every 64-bit
  field of the messages here is one), or bytes.

  Raises:
    ValueError: if the message is damaged.

  Example:
    >>> list(fields(b"\\x10\\xac\\x02" + b"\\x0a\\x01a"))
    [(2, 300), (1, b'a')]
  """
  position = 0
  while position < len(message):
    tag, position = _varint(message, position)
    value: int | float | bytes
    if tag & 7 == 0:
      value, position = _varint(message, position)
    elif tag & 7 == 1:
      value = _unpack("<d", message, position)
      position += 8
    elif tag & 7 == 2:
      length, position = _varint(message, position)
      value = message[position : position + length]
      position += length
      if position > len(message):
        raise ValueError("a field is cut off")
    elif tag & 7 == 5:
      value = _unpack("<f", message, position)
      position += 4
    else:
      raise ValueError(f"wire type {tag & 7}")
    yield tag >> 3, value


def _read_batch(
  stream: BinaryIO, path: str | os.PathLike[str], first: int
) -> list[bytes]:
  payloads: list[bytes] = []
  checksums: list[int] = []
  while len(payloads) < BATCH_SIZE and (header := stream.read(12)):
    record = first + len(payloads)
    # At once, not in batches: a wrong length leads astray.
    if len(header) < 12 or _crc_of_length(header[:8]) != header[8:]:
      raise _damaged(path, record, "a length with its checksum", header)
    (length,) = struct.unpack("<Q", header[:8])
    if length > MAX_BYTES:
      raise _damaged(path, record, f"at most {MAX_BYTES:,} bytes", length)
    body = stream.read(length + 4)
    if len(body) < length + 4:
      raise _damaged(path, record, f"{length + 4} bytes", len(body))
    payloads.append(body[:length])
    checksums.append(struct.unpack("<I", body[length:])[0])
  wrong = np.flatnonzero(
    masked_crc32c(payloads) != np.asarray(checksums, np.uint32)
  )
  if wrong.size:
    record = first + int(wrong[0])
    raise _damaged(path, record, "a payload with its checksum", "another")
  return payloads


@functools.lru_cache(maxsize=1024)
def _crc_of_length(length: bytes) -> bytes:
  """Records have few lengths."""
  return struct.pack("<I", masked_crc32c([length])[0])


def _damaged(
  path: str | os.PathLike[str], record: int, expected: str, got: object
) -> ConversionError:
  return ConversionError(
    path, f"record {record} to have {expected}", f"{got}", _DAMAGED
  )


def _varint(message: bytes, position: int) -> tuple[int, int]:
  """An integer in groups of seven bits, lowest first, and where it ends."""
  value = 0
  for shift in range(0, 70, 7):
    if position >= len(message):
      break
    byte = message[position]
    position += 1
    value |= (byte & 0x7F) << shift
    if byte < 0x80:
      return value, position
  raise ValueError("an integer is cut off or too long")


def _unpack(code: str, message: bytes, position: int) -> float:
  try:
    return struct.unpack_from(code, message, position)[0]
  except struct.error:
    raise ValueError("a number is cut off") from None


def _crc_table() -> np.ndarray:
  """CRC-32C of every byte."""
  table: np.ndarray = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = (table >> 1) ^ (table & 1) * np.uint32(_POLYNOMIAL)
  return table


_TABLE = _crc_table()
