"""The robustness data set: NAS-Bench-201 under attacks and corruptions.

Jung, Lukasik and Keuper, "Neural Architecture Design and Robustness: A
Dataset", ICLR 2023, https://openreview.net/forum?id=p8coElqiSDw

The archives unpack to one directory (confidences and confusion matrices may be
there or not):

* `meta.json`: `ids`, a dict from index to `nb201-string` and `isomorph`, the
  index of the cell that was measured in its place; `epsilons`, a dict from
  attack to the sizes of its perturbations in units of 1/255.
* `<data set>/<key>_accuracy.json`: data set to key to `accuracy` to a dict from
  index to accuracy, a list of them for what has several epsilons or severities.

One data set becomes one table; its columns, after the data set's prefix:

  clean                      test accuracy of what was measured
  <attack>_eps<epsilon>      under an attack: `fgsm_linf_eps8`, `pgd_linf_eps1`,
                             `aa_apgd_ce_linf_eps0p5` (0.5/255) and so on
  <corruption>_sev<1..5>     on corrupted images: `glass_blur_sev3` and so on;
                             not measured on ImageNet16-120

all in percent. Upstream writes fractions; files whose largest value exceeds 1
are taken as percent, and all files must agree on that. Cells that were not
measured have the values of their representative.

Write a table as `nb201_robustness_<data set>.npz`, or any name that begins with
`nb201_robustness`; `nagjax.benchmarks.robustness` joins it.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
import os
import pathlib
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax.benchmarks.robustness import CLEAN
from nagjax.benchmarks.robustness import prefix
from nagjax.convert.checks import accuracy
from nagjax.convert.checks import number
from nagjax.convert.checks import require
from nagjax.convert.checks import require_key
from nagjax.convert.checks import shown
from nagjax.convert.headers import ROW_ORDER_SPACE
from nagjax.convert.headers import Source
from nagjax.convert.headers import make_header
from nagjax.convert.nasbench201_strings import canonical_string
from nagjax.convert.nasbench201_strings import space_order
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import fingerprint
from nagjax.convert.nasbench201_table import missing_error
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded
from nagjax.files import expand
from nagjax.files import read_json
from nagjax.spaces.nasbench201 import from_string

KIND = "robustness data set of NAS-Bench-201"
META_FILE = "meta.json"
DATA_SETS = ("cifar10", "cifar100", "ImageNet16-120")
NOT_CORRUPTED = ("ImageNet16-120",)
"""Data sets without corrupted images."""
ATTACKS = ("fgsm@Linf", "pgd@Linf", "aa_apgd-ce@Linf", "aa_square@Linf")
CORRUPTIONS = (
  "brightness",
  "contrast",
  "defocus_blur",
  "elastic_transform",
  "fog",
  "frost",
  "gaussian_noise",
  "glass_blur",
  "impulse_noise",
  "jpeg_compression",
  "motion_blur",
  "pixelate",
  "shot_noise",
  "snow",
  "zoom_blur",
)
NUM_SEVERITIES = 5


class _Meta(NamedTuple):
  """Content of `meta.json`.

  Attributes:
    ids: all indices.
    measured: for each row of a table, the index whose values it has; "" for
      cells that are missing.
    epsilons: for each attack, the sizes of its perturbations.
  """

  ids: frozenset[str]
  measured: list[str]
  epsilons: dict[str, list[float]]


def robustness_directory(
  directory: str | os.PathLike[str],
  *,
  data_set: str = DATA_SETS[0],
  allow_missing: bool = False,
  progress_fn: Callable[[int, int], None] | None = None,
) -> Table:
  """Converts the accuracies of one data set.

  Args:
    directory: the directory with `meta.json`.
    data_set: one of `DATA_SETS`.
    allow_missing: whether cells may be missing, which read NaN, and files,
      whose columns are absent.
    progress_fn: called with the numbers of files done and to do, or None.

  Returns:
    The table; row `i` is the index `i` of the space.

  Raises:
    ConversionError: if a file is missing, damaged, incomplete or of another
      form, or there is no such data set.
  """
  directory = expand(directory)
  if not (directory / META_FILE).is_file():
    raise ConversionError(
      directory,
      f"a directory with {META_FILE}",
      "a directory without it" if directory.is_dir() else "no directory",
      "Unpack the archives of the data set into one directory and name it.",
    )
  files = _files(directory, data_set, allow_missing)
  meta = _read_meta(directory / META_FILE, allow_missing)
  representatives = dict.fromkeys(index for index in meta.measured if index)
  found: dict[str, dict[str, list[float]]] = {}
  for done, (key, file) in enumerate(files.items(), start=1):
    found[key] = _read_rows(file, data_set, key, meta)
    absent = [index for index in representatives if index not in found[key]]
    if absent and not allow_missing:
      raise missing_error(
        file,
        f"{key} of the {len(representatives):,} cells that were measured",
        len(absent),
        f"id {shown(absent[0])}",
      )
    if progress_fn is not None:
      progress_fn(done, len(files))
  columns = _columns(found, meta, prefix(data_set), _scale(files, found))
  cells = np.asarray([from_string(s) for s in space_order()], np.int8)
  about: dict[str, dict[str, str | int]] = {"ops": {"unit": "operation index"}}
  for name, column in columns.items():
    about[name] = {"unit": "percent", "missing": int(np.isnan(column).sum())}
  source = Source(
    path=os.fspath(directory),
    kind=KIND,
    files=[fingerprint(f) for f in (directory / META_FILE, *files.values())],
    row_order=ROW_ORDER_SPACE,
    notes=[
      f"Accuracies on test images of {data_set}.",
      "Isomorphic cells have the values of the one that was measured.",
    ],
  )
  header = make_header("nasbench201 robustness", source, len(cells), about)
  return Table({"ops": cells, **columns}, header)


def column_names(key: str, epsilons: Sequence[float] = ()) -> list[str]:
  """Columns of one file, without the prefix of the data set.

  Args:
    key: `clean`, an attack or a corruption.
    epsilons: sizes of the perturbations, for an attack.

  Example:
    >>> column_names("aa_apgd-ce@Linf", [0.5, 2.0])
    ['aa_apgd_ce_linf_eps0p5', 'aa_apgd_ce_linf_eps2']
  """
  if key == CLEAN:
    return [CLEAN]
  stem = re.sub(r"\W", "_", key.lower())
  if key in CORRUPTIONS:
    return [f"{stem}_sev{i}" for i in range(1, NUM_SEVERITIES + 1)]
  texts = [np.format_float_positional(e, trim="-") for e in epsilons]
  return [f"{stem}_eps{text.replace('.', 'p')}" for text in texts]


def _read_meta(path: pathlib.Path, allow_missing: bool) -> _Meta:
  content = _load_json(path)
  ids = require(
    require_key(content, "ids", path, "the content"), dict, path, "ids"
  )
  row_of = {string: row for row, string in enumerate(space_order())}
  measured = [""] * len(row_of)
  strings = set()
  for index, about in ids.items():
    what = f"id {shown(index)}"
    string = require_key(about, "nb201-string", path, what)
    require(string, str, path, f"nb201-string of {what}")
    string = canonical_string(string, path)
    strings.add(string)
    isomorph = require_key(about, "isomorph", path, what)
    require(isomorph, str, path, f"isomorph of {what}")
    # The cell that stands for others stands for itself.
    other = require(ids.get(isomorph, {}), dict, path, f"id {shown(isomorph)}")
    if other.get("isomorph") != isomorph:
      raise ConversionError(
        path,
        f"isomorph of {what} to be an id that is its own isomorph",
        shown(isomorph),
        "The file may be damaged; download it again.",
      )
    measured[row_of[string]] = isomorph
  if not ids or len(strings) != len(ids):
    raise ConversionError(
      path,
      "each architecture once in ids",
      f"{len(ids):,}, {len(strings):,} of them distinct",
      "The file may be damaged; download it again.",
    )
  absent = [string for string in row_of if string not in strings]
  if absent and not allow_missing:
    raise missing_error(
      path, f"all {len(row_of):,} architectures", len(absent), absent[0]
    )
  return _Meta(frozenset(ids), measured, _read_epsilons(content, path))


def _read_epsilons(content: Any, path: pathlib.Path) -> dict[str, list[float]]:
  sizes = require_key(content, "epsilons", path, "the content")
  epsilons = {}
  for attack in ATTACKS:
    values = require_key(sizes, attack, path, "epsilons")
    require(values, list, path, f"epsilons of {attack}")
    known = [
      number(value, path, f"an epsilon of {attack}", maximum=255.0)
      for value in values
    ]
    names = column_names(attack, known)
    if not known or any(map(math.isnan, known)) or len(set(names)) < len(names):
      raise ConversionError(
        path,
        f"epsilons of {attack} to be different numbers",
        shown(values),
        "The file may be damaged; download it again.",
      )
    epsilons[attack] = known
  return epsilons


def _files(
  directory: pathlib.Path, data_set: str, allow_missing: bool
) -> dict[str, pathlib.Path]:
  """For each key, the file to read."""
  if data_set not in DATA_SETS:
    raise ConversionError(
      directory,
      f"data_set to be one of {', '.join(DATA_SETS)}",
      repr(data_set),
      "Choose one of them.",
    )
  corruptions = () if data_set in NOT_CORRUPTED else CORRUPTIONS
  keys = (CLEAN, *ATTACKS, *corruptions)
  folder = directory / data_set
  files = {key: folder / f"{key}_accuracy.json" for key in keys}
  present = {key: file for key, file in files.items() if file.is_file()}
  absent = [file for key, file in files.items() if key not in present]
  if absent and not (allow_missing and present):
    raise ConversionError(
      folder,
      f"the {len(files)} files of accuracies of {data_set}",
      f"{len(absent)} missing, the first is {absent[0].name}",
      "Unpack them beside meta.json"
      + (", or leave some out with --allow_missing." if present else "."),
    )
  return present


def _read_rows(
  path: pathlib.Path, data_set: str, key: str, meta: _Meta
) -> dict[str, list[float]]:
  """Accuracies of each cell of a file, as they are written there."""
  width = len(column_names(key, meta.epsilons.get(key, ())))
  part, what = _load_json(path), "the content"
  for name in (data_set, key, "accuracy"):
    part, what = require_key(part, name, path, what), name
  rows = {}
  for index, values in require(part, dict, path, what).items():
    cell = f"{key} of id {shown(index)}"
    if index not in meta.ids:
      raise ConversionError(
        path,
        f"the ids of {META_FILE}",
        shown(index),
        "Take both from the same download.",
      )
    values = [values] if key == CLEAN else require(values, list, path, cell)
    if len(values) != width:
      kind = "severity" if key in CORRUPTIONS else f"epsilon of {META_FILE}"
      raise ConversionError(
        path,
        f"{cell} to be {width} accuracies, one for each {kind}",
        f"{len(values)}",
        "The file may be damaged; download it again.",
      )
    rows[index] = [_checked(value, path, cell) for value in values]
  if not rows:
    raise ConversionError(
      path, f"{key} of some cells", "none", "Download the file again."
    )
  return rows


def _checked(value: Any, path: pathlib.Path, what: str) -> float:
  """A fraction or a percentage; neither NaN, which JSON lacks, nor a truth."""
  result = math.nan if isinstance(value, bool) else accuracy(value, path, what)
  if math.isnan(result):
    raise ConversionError(
      path,
      f"{what} to be a number in [0, 100]",
      shown(value),
      "The file may be damaged; download it again.",
    )
  return result


def _scale(
  files: dict[str, pathlib.Path], found: dict[str, dict[str, list[float]]]
) -> float:
  """What makes the values of all files percentages."""
  largest = {
    key: max(max(values) for values in rows.values())
    for key, rows in found.items()
  }
  low, high = (
    pick_fn(largest, key=largest.__getitem__) for pick_fn in (min, max)
  )
  if largest[low] <= 1.0 < largest[high]:
    raise ConversionError(
      files[low],
      f"percentages up to {largest[high]:g} as in {files[high].name}",
      f"values up to {largest[low]:g}, as of fractions",
      "One of the two may be damaged; download both again.",
    )
  return 100.0 if largest[high] <= 1.0 else 1.0


def _columns(
  found: dict[str, dict[str, list[float]]],
  meta: _Meta,
  start: str,
  scale: float,
) -> dict[str, np.ndarray]:
  """Each `f32[15625]`, in the order of the space's index."""
  columns = {}
  for key, values in found.items():
    names = column_names(key, meta.epsilons.get(key, ()))
    unknown = [math.nan] * len(names)
    rows = np.asarray([values.get(index, unknown) for index in meta.measured])
    for place, name in enumerate(names):
      columns[start + name] = (scale * rows[:, place]).astype(np.float32)
  return columns


def _load_json(path: pathlib.Path) -> Any:
  return guarded(lambda: read_json(path, allow_nan=True), path, "a JSON object")
