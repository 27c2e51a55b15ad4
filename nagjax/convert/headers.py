"""Headers: what a converted file tells of itself."""

from collections.abc import Mapping
import importlib.metadata
from typing import Any

from nagjax.convert.nasbench201_table import FORMAT_VERSION
from nagjax.convert.nasbench201_table import Source


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
  }
