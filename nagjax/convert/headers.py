"""Headers: what a converted file tells of itself."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import importlib.metadata
from typing import Any

FORMAT_VERSION = 1

ROW_ORDER_OFFICIAL = "official"
ROW_ORDER_SPACE = "space index"


@dataclasses.dataclass(frozen=True)
class Source:
  """Where the rows of a table come from, for its header and its errors.

  Attributes:
    path: what the user named.
    kind: the upstream format.
    files: name, size or checksum of each file, see `fingerprint`.
    row_order: `ROW_ORDER_OFFICIAL` or `ROW_ORDER_SPACE`.
    notes: sentences a user of the table should know.
    data_set: for which costs were measured; None if that is not known.
  """

  path: str
  kind: str
  files: Sequence[Mapping[str, str]]
  row_order: str = ROW_ORDER_OFFICIAL
  notes: Sequence[str] = ()
  data_set: str | None = None


def make_header(
  kind: str,
  source: Source,
  num_rows: int,
  arrays: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
  """Returns the header of a `Table`.

  Args:
    kind: what the table is.
    source: where its rows come from.
    num_rows: number of architectures.
    arrays: for each array its `unit` and, for values, the rows that are
      `missing`.
  """
  try:
    version = importlib.metadata.version("nagjax")
  except importlib.metadata.PackageNotFoundError:
    version = "unknown"
  return {
    "format_version": FORMAT_VERSION,
    "kind": kind,
    "source": source.kind,
    "files": [dict(file) for file in source.files],
    "nagjax_version": version,
    "num_rows": num_rows,
    "row_order": source.row_order,
    "arrays": {name: dict(about) for name, about in arrays.items()},
    "notes": list(source.notes),
    **({"data_set": source.data_set} if source.data_set else {}),
  }
