"""NAS-Bench-NLP: the logs of single trainings.

Klyuchnikov et al., "NAS-Bench-NLP: Neural Architecture Search Benchmark for
Natural Language Processing", IEEE Access 2022, https://arxiv.org/abs/2006.07116

Upstream publishes one JSON object a training, `log_stats_model_*.json`. A table
is the list of their interesting part, in the order of `recepie_id` (the
spelling is theirs):

  recepie_id     number of the architecture
  recepie        node to `op` and `input`, an object
  num_params     parameters
  train_losses, val_losses, test_losses
                 mean negative log-likelihood in nats, one an epoch, where NaN
                 is written as such
  wall_times     seconds, one an epoch
  status         "OK", or what went wrong

Architectures that were trained twice occur twice.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import json
import math
import os
import pathlib
from typing import Any

from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.files import atomic_path
from nagjax.files import expand
from nagjax.files import parse_json
from nagjax.files import read_json

_CURVES = ("val_losses", "train_losses", "test_losses", "wall_times")


def nlp_log_files(
  paths: Sequence[str | os.PathLike[str]],
  *,
  progress_fn: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
  """Reads logs of one data set.

  Args:
    paths: files, or directories of which every `.json` file is read.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    The records of the module.

  Raises:
    ConversionError: if a file is missing, damaged, no log, or of another data
      set than the first.
  """
  files = [file for path in paths for file in _files(expand(path))]
  if not files:
    raise ConversionError(
      ", ".join(os.fspath(path) for path in paths),
      "log_stats_*.json files",
      "none",
      "Unpack the logs and name their directory.",
    )
  records = []
  first = None
  for done, file in enumerate(files, start=1):
    read = functools.partial(read_json, file, allow_nan=True)
    log = guarded(read, file, "a JSON object")
    data_set = require_key(log, "data", file, "the content")
    first = first or data_set
    if data_set != first:
      raise ConversionError(
        file,
        f"a log of {first}, as the others",
        shown(data_set),
        "Convert each data set on its own.",
      )
    records.append(_record(log, file))
    if progress_fn is not None:
      progress_fn(done, len(files))
  return sorted(records, key=lambda record: record["recepie_id"])


def write_records(
  records: Sequence[dict[str, Any]], path: str | os.PathLike[str]
) -> None:
  """Writes records as JSON; `path` exists only when it is complete."""
  with atomic_path(path) as temporary:
    text = json.dumps(list(records), separators=(",", ":"))
    temporary.write_text(text, encoding="utf-8")


def _files(path: pathlib.Path) -> list[pathlib.Path]:
  return sorted(path.rglob("*.json")) if path.is_dir() else [path]


def _record(log: dict[str, Any], file: pathlib.Path) -> dict[str, Any]:
  def get(key: str, kind: type) -> Any:
    return require(require_key(log, key, file, "the content"), kind, file, key)

  text = get("recepie", str)
  recepie = guarded(
    functools.partial(parse_json, text), file, "JSON in recepie"
  )
  record = {
    "recepie_id": get("recepie_id", int),
    "recepie": require(recepie, dict, file, "recepie"),
    "num_params": get("num_params", int),
    **{name: get(name, list) for name in _CURVES},
    "status": get("status", str),
  }
  for name in _CURVES:
    for value in record[name]:
      if not isinstance(value, int | float) or not (
        math.isnan(value) or value >= 0
      ):
        raise ConversionError(
          file,
          f"numbers of 0 or more in {name}",
          shown(value),
          "The file may be damaged; download it again.",
        )
  if len({len(record[name]) for name in _CURVES}) != 1:
    raise ConversionError(
      file,
      f"one value an epoch in {', '.join(_CURVES)}",
      f"{[len(record[name]) for name in _CURVES]} values",
      "The file may be damaged; download it again.",
    )
  return record
