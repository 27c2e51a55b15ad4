"""NATS-Bench: the directory of one small file an architecture.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for
Architecture Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437

The authors publish `NATS-tss-v1_0-3ffb9-simple.tar` of the topology space, that
of NAS-Bench-201, and `NATS-sss-v1_0-50262-simple.tar` of the size space.
Unpacked each is a directory with `meta.pickle.pbz2` (the list of architectures)
and, for each official index `i`, `%06d.pickle.pbz2`: a dict with the records of
several recipes. That of the most epochs, 200 or 90, is converted, with some of
its earlier epochs, and of that of 12 epochs the validation accuracies.
"""

from collections.abc import Callable
import os
from typing import NamedTuple

from nagjax.convert.checks import require_key
from nagjax.convert.headers import Source
from nagjax.convert.nasbench201_records import earlier_values
from nagjax.convert.nasbench201_records import record_values
from nagjax.convert.nasbench201_strings import META_FILE
from nagjax.convert.nasbench201_strings import read_order
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import build_table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.nasbench201_table import missing_error
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import load_bz2_pickle
from nagjax.files import expand
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.nasbench201 import nasbench201
from nagjax.spaces.nats_size import nats_size

KIND = "NATS-Bench topology space, simple directory"
"""What the header of a table of cells says of its source."""


class _Part(NamedTuple):
  """One of the two spaces.

  Attributes:
    archive: name of its archive.
    kind: what a header says of it.
    space: the search space.
    recipe: key of the records that are converted, a number of epochs.
  """

  archive: str
  kind: str
  space: SearchSpace
  recipe: str


def nats_bench_directory(
  directory: str | os.PathLike[str],
  *,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts an unpacked `NATS-tss-v1_0-3ffb9-simple` directory.

  All 15,625 records take about 5 minutes; nothing is written.

  Args:
    directory: the directory with `meta.pickle.pbz2`.
    allow_missing: whether records may be missing; their rows read NaN. A
      damaged record is an error in any case.
    progress_fn: called with the numbers of records done and to do, or None.

  Returns:
    The table; row `i` is the official index `i`.

  Raises:
    ConversionError: if the directory is not one of the topology space, or
      records are missing or damaged.

  Example:
    >>> nats_bench_directory("no/such/directory")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    nagjax.convert.pickles.ConversionError: no/such/directory: expected ...
  """
  part = _Part("NATS-tss-v1_0-3ffb9-simple", KIND, nasbench201(), "200")
  return _convert(directory, part, allow_missing, progress_fn)


def nats_size_directory(
  directory: str | os.PathLike[str],
  *,
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts an unpacked `NATS-sss-v1_0-50262-simple` directory.

  It has 32,768 records, of which those of 90 epochs are converted, one seed
  each.

  Args:
    directory, allow_missing, progress_fn: see `nats_bench_directory`.

  Returns:
    The table, with the widths in the place of the operations.

  Raises:
    ConversionError: if the directory is not one of the size space, or records
      are missing or damaged.
  """
  kind = "NATS-Bench size space, simple directory"
  part = _Part("NATS-sss-v1_0-50262-simple", kind, nats_size(), "90")
  return _convert(directory, part, allow_missing, progress_fn)


def _convert(
  directory: str | os.PathLike[str],
  part: _Part,
  allow_missing: bool,
  progress_fn: Callable[[int, int], None] | None,
) -> Table:
  directory = expand(directory)
  if not (directory / META_FILE).is_file():
    raise ConversionError(
      directory,
      f"an unpacked {part.archive} directory with {META_FILE}",
      "a directory without it" if directory.is_dir() else "no directory",
      "Unpack the archive and name the directory that holds the records.",
    )
  strings = read_order(directory / META_FILE, part.space)
  files = {row: directory / record_name(row) for row in range(len(strings))}
  present = {row: file for row, file in files.items() if file.is_file()}
  if len(present) < len(files) and not allow_missing:
    first = next(row for row in files if row not in present)
    raise missing_error(
      directory,
      f"the records of {len(files):,} architectures",
      len(files) - len(present),
      files[first].name,
    )
  rows = {}
  for done, (row, file) in enumerate(present.items(), start=1):
    content = load_bz2_pickle(file)
    record = require_key(content, part.recipe, file, "the content")
    last = int(part.recipe) - 1
    rows[row] = record_values(
      record, row, strings[row], file, space=part.space, last_epoch=last
    ) | earlier_values(record, content.get("12"), file, last_epoch=last)
    if progress_fn is not None:
      progress_fn(done, len(present))
  source = Source(
    path=os.fspath(directory), kind=part.kind, files=[fingerprint(directory)]
  )
  return build_table(
    strings, rows, source, allow_missing=allow_missing, space=part.space
  )


def record_name(row: int) -> str:
  """Name of the file of one architecture.

  Example:
    >>> record_name(284)
    '000284.pickle.pbz2'
  """
  return f"{row:06d}.pickle.pbz2"
