"""Tests of nagjax.convert.robustness, on files that the tests write."""

import json
import re

from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.benchmarks import robustness as joining
from nagjax.convert import ConversionError
from nagjax.convert import robustness
from nagjax.convert import robustness_directory
from nagjax.convert import write_table
from nagjax.problem import Constraint
from tests import data
from tests.benchmarks import robustness_test
from tests.convert import upstream

NUM = upstream.NUM_ARCHITECTURES
META_SAMPLE = "samples/robustness_dataset_meta_first50.json"
EPSILONS = {
  "fgsm@Linf": [0.1, 0.5, 1.0, 8.0, 255.0],
  "pgd@Linf": [0.5, 1.0],
  "aa_apgd-ce@Linf": [2.0, 3],
  "aa_square@Linf": [4.0],
}
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
COLUMNS = {
  "clean": ["clean"],
  "fgsm@Linf": [
    "fgsm_linf_eps0p1",
    "fgsm_linf_eps0p5",
    "fgsm_linf_eps1",
    "fgsm_linf_eps8",
    "fgsm_linf_eps255",
  ],
  "pgd@Linf": ["pgd_linf_eps0p5", "pgd_linf_eps1"],
  "aa_apgd-ce@Linf": ["aa_apgd_ce_linf_eps2", "aa_apgd_ce_linf_eps3"],
  "aa_square@Linf": ["aa_square_linf_eps4"],
  **{name: [f"{name}_sev{i}" for i in range(1, 6)] for name in CORRUPTIONS},
}
ATTACKED = ("clean", *EPSILONS)
STRING = upstream.official_strings()[7]


def representative(number):
  """Of a made-up isomorphism: cells share in threes; the middle is measured."""
  return np.minimum(np.asarray(number) // 3 * 3 + 1, NUM - 1)


def fraction(number, key, place):
  """A made-up accuracy, different for each measured cell, key and place."""
  start = 100 * list(COLUMNS).index(key) + 7 * place
  return ((np.asarray(number) * 31 + start) % 15646) / 15646


def meta(num=NUM, **changes):
  """The content of `meta.json`: its first `num` cells, last one first."""
  ids = {
    str(number): {
      "nb201-string": upstream.official_strings()[number],
      "isomorph": str(min(representative(number), num - 1)),
    }
    for number in reversed(range(num))
  }
  return {"ids": ids, "epsilons": EPSILONS, **changes}


def about(isomorph, string=STRING):
  """What `meta.json` says of one cell."""
  return {"nb201-string": string, "isomorph": isomorph}


def rows(key, num=NUM):
  """The rows of one file, as fractions."""
  numbers = np.unique(np.minimum(representative(range(num)), num - 1))
  values = [fraction(numbers, key, i) for i in range(len(COLUMNS[key]))]
  if key == "clean":
    (answers,) = values
  else:
    answers = np.stack(values, axis=-1)
  return dict(zip(map(str, numbers), answers.tolist(), strict=True))


class RobustnessTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def _write(self, path, content):
    path = self.directory / path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path

  def _write_rows(self, key, content, data_set="cifar10"):
    return self._write(
      f"{data_set}/{key}_accuracy.json",
      {data_set: {key: {"accuracy": content}}},
    )

  def _write_all(self, num=NUM, keys=tuple(COLUMNS), data_set="cifar10"):
    self._write("meta.json", meta(num))
    for key in keys:
      self._write_rows(key, rows(key, num), data_set)

  def _convert(self, **options):
    return robustness_directory(self.directory, **options)

  def _assert_refused(self, *parts, **options):
    with self.assertRaises(ConversionError) as raised:
      self._convert(**options)
    self.assert_one_line(raised.exception, *parts)

  def _assert_columns(self, table, expected_fn, keys=COLUMNS):
    """Compares every value of the keys with that of its cell's number."""
    number_of = {s: i for i, s in enumerate(upstream.official_strings())}
    numbers = np.asarray([number_of[spelt(ops)] for ops in table.arrays["ops"]])
    self.assertLen(set(numbers.tolist()), NUM)
    for key in keys:
      for place, name in enumerate(COLUMNS[key]):
        np.testing.assert_allclose(
          table.arrays[f"cifar10_{name}"],
          expected_fn(numbers, key, place),
          rtol=1e-6,
          err_msg=name,
        )

  @pytest.mark.slow
  def test_every_cell_has_the_accuracies_of_its_representative(self):
    """Oracle: the formula that wrote the files, at the cell's own string."""
    self._write_all()
    calls = []
    table = self._convert(
      progress_fn=lambda done, total: calls.append((done, total))
    )
    names = [f"cifar10_{name}" for part in COLUMNS.values() for name in part]
    self.assertEqual(list(table.arrays), ["ops", *names])
    self._assert_columns(
      table, lambda i, *where: 100 * fraction(representative(i), *where)
    )
    self.assertEqual(
      {array.dtype for name, array in table.arrays.items() if name != "ops"},
      {np.dtype(np.float32)},
    )
    self.assertEqual(calls, [(i, 20) for i in range(1, 21)])
    self.assertEqual(table.header["row_order"], "space index")
    self.assertLen(table.header["files"], 21)
    self.assertEqual(
      table.header["arrays"]["cifar10_snow_sev5"],
      {"unit": "percent", "missing": 0},
    )

  def test_the_benchmark_reads_what_was_written(self):
    """Oracle: the formula, by cell; a constraint can spell every name."""
    self._write_all(keys=(*ATTACKED, "glass_blur"))
    table = self._convert(allow_missing=True)
    write_table(table, self.directory / "nb201_robustness_cifar10.npz")
    benchmark = joining.with_robustness(robustness_test.table(), self.directory)
    cells = np.asarray([cell(s) for s in upstream.official_strings()], np.int32)
    numbers = representative(range(NUM))
    answer = {**benchmark.query(cells), **benchmark.report(cells)}
    for key in (*ATTACKED, "glass_blur"):
      for place, name in enumerate(COLUMNS[key]):
        np.testing.assert_allclose(
          answer[name], 100 * fraction(numbers, key, place), rtol=1e-6
        )
        self.assertEqual(Constraint.parse(f"{name}<=5").column, name)

  def test_percentages_stay_what_they_are(self):
    """Oracle: the table of the same values as fractions."""
    self._write_all(30, ATTACKED)
    expected = self._convert(allow_missing=True)
    for key in ATTACKED:
      percent = {
        index: (100 * np.asarray(values)).tolist()
        for index, values in rows(key, 30).items()
      }
      path = self._write_rows(key, percent)
    table = self._convert(allow_missing=True)
    for name, column in expected.arrays.items():
      np.testing.assert_allclose(table.arrays[name], column, rtol=1e-6)
    self._write_rows("pgd@Linf", rows("pgd@Linf", 30))
    self._assert_refused(
      "pgd@Linf_accuracy.json",
      path.name,  # The file whose values are largest.
      "fractions",
      allow_missing=True,
    )

  @parameterized.parameters(
    ("cifar100", tuple(COLUMNS), "cifar100_zoom_blur_sev1"),
    ("ImageNet16-120", ATTACKED, "imagenet16_120_pgd_linf_eps1"),
  )
  @pytest.mark.slow
  def test_data_sets(self, data_set, keys, name):
    """Oracle: ImageNet's files are complete without corruptions."""
    self._write("meta.json", meta())
    for key in keys:
      self._write_rows(key, rows(key), data_set)
    table = self._convert(data_set=data_set)
    self.assertIn(name, table.arrays)
    self.assertLen(table.arrays, 1 + sum(len(COLUMNS[key]) for key in keys))
    self.assertIn(data_set, table.header["notes"][0])
    self._assert_refused(self.directory / "cifar10", "20 missing")
    self._assert_refused("'svhn'", "ImageNet16-120", data_set="svhn")

  def test_incomplete_sources(self):
    """Oracle: what was written, NaN elsewhere; an error unless allowed."""
    self._write_all(30, ("clean", "pgd@Linf"))
    self._assert_refused("18 missing", "fgsm@Linf_accuracy", "--allow_missing")
    table = self._convert(allow_missing=True)
    self.assertEqual(
      list(table.arrays),
      [
        "ops",
        *(f"cifar10_{n}" for k in ("clean", "pgd@Linf") for n in COLUMNS[k]),
      ],
    )
    self._assert_columns(
      table,
      lambda i, *where: np.where(
        i < 30,
        100 * fraction(np.minimum(representative(i), 29), *where),
        np.nan,
      ),
      ("clean", "pgd@Linf"),
    )
    self.assertEqual(
      table.header["arrays"]["cifar10_clean"]["missing"], NUM - 30
    )
    for key in COLUMNS:
      self._write_rows(key, rows(key, 30))
    self._assert_refused("meta.json", "15,595 missing", "--allow_missing")

  def test_cells_without_rows(self):
    """Oracle: three cells share the row that is left out."""
    self._write_all(keys=ATTACKED, data_set="ImageNet16-120")
    content = rows("pgd@Linf")
    del content["301"]
    path = self._write_rows("pgd@Linf", content, "ImageNet16-120")
    options = {"data_set": "ImageNet16-120"}
    self._assert_refused(path, "1 missing", "'301'", **options)
    table = self._convert(allow_missing=True, **options)
    absent = {
      spelt(ops)
      for ops, value in zip(
        table.arrays["ops"],
        table.arrays["imagenet16_120_pgd_linf_eps1"],
        strict=True,
      )
      if np.isnan(value)
    }
    self.assertEqual(absent, set(upstream.official_strings()[300:303]))
    clean = table.arrays["imagenet16_120_clean"]
    self.assertFalse(np.isnan(clean).any())

  def test_rows_of_other_cells_are_left_alone(self):
    """Oracle: the table without them; upstream reads representatives only."""
    self._write_all(30, ("clean",))
    before = self._convert(allow_missing=True)
    self._write_rows("clean", {**rows("clean", 30), "5": 0.5})
    after = self._convert(allow_missing=True)
    np.testing.assert_array_equal(
      before.arrays["cifar10_clean"], after.arrays["cifar10_clean"]
    )

  @parameterized.named_parameters(
    ("list", [], "the content to be a dict"),
    ("ids", {"epsilons": EPSILONS}, "'ids'"),
    ("no_ids", meta(0), "each architecture once"),
    ("ids_list", meta(3, ids=[1]), "ids to be a dict"),
    ("text", meta(3, ids={"7": "x"}), "id '7' to be a dict"),
    ("string", meta(3, ids={"7": {"isomorph": "7"}}), "nb201-string"),
    ("spelling", meta(3, ids={"7": about("7", "|x|")}), "'|x|'"),
    ("no_string", meta(3, ids={"7": about("7", [])}), "id '7' to be a str"),
    (
      "isomorph",
      meta(3, ids={"7": about(7)}),
      "isomorph of id '7' to be a str",
    ),
    ("isomorph_of_none", meta(3, ids={"7": about("8")}), "isomorph, got '8'"),
    (
      "chain",
      meta(
        3,
        ids={
          str(i): about(str(max(i - 1, 0)), upstream.official_strings()[i])
          for i in range(3)
        },
      ),
      "isomorph of id '2' to be an id that is its own isomorph, got '1'",
    ),
    (
      "twice",
      meta(3, ids={name: about(name) for name in "ab"}),
      "2, 1 of them distinct",
    ),
    ("epsilons", {"ids": meta(3)["ids"]}, "'epsilons'"),
    ("attack", meta(3, epsilons={"fgsm@Linf": [1.0]}), "'pgd@Linf'"),
    (
      "epsilon",
      meta(3, epsilons={**EPSILONS, "pgd@Linf": ["1"]}),
      "an epsilon of pgd@Linf to be a number in [0, 255]",
    ),
    (
      "epsilon_nan",
      meta(3, epsilons={**EPSILONS, "pgd@Linf": [1.0, np.nan]}),
      "epsilons of pgd@Linf to be different numbers",
    ),
    (
      "epsilon_twice",
      meta(3, epsilons={**EPSILONS, "pgd@Linf": [1.0, 1]}),
      "epsilons of pgd@Linf to be different numbers",
    ),
    (
      "no_epsilon",
      meta(3, epsilons={**EPSILONS, "pgd@Linf": []}),
      "epsilons of pgd@Linf to be different numbers",
    ),
  )
  def test_meta_of_another_form(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    self._write_all(3, ("clean", "pgd@Linf"))
    path = self._write("meta.json", content)
    self._assert_refused(path, part, allow_missing=True)

  @parameterized.named_parameters(
    ("list", "clean", [1], "accuracy to be a dict"),
    ("empty", "clean", {}, "clean of some cells"),
    ("stranger", "clean", {"99": 0.5}, "the ids of meta.json, got '99'"),
    ("nan", "clean", {"1": np.nan}, "id '1' to be a number in [0, 100]"),
    ("infinite", "clean", {"1": np.inf}, "a number in [0, 100], got inf"),
    ("negative", "clean", {"1": -0.01}, "a number in [0, 100], got -0.01"),
    ("above", "clean", {"1": 100.5}, "a number in [0, 100], got 100.5"),
    ("huge", "clean", {"1": 10**400}, "an integer of 401 digits"),
    ("text", "clean", {"1": "0.5"}, "a number in [0, 100], got '0.5'"),
    ("truth", "clean", {"1": True}, "a number in [0, 100], got True"),
    ("null", "clean", {"1": None}, "a number in [0, 100], got None"),
    ("clean_list", "clean", {"1": [0.5]}, "a number in [0, 100], got [0.5]"),
    ("number", "pgd@Linf", {"1": 0.5}, "pgd@Linf of id '1' to be a list"),
    ("short", "pgd@Linf", {"1": [0.5]}, "2 accuracies, one for each epsilon"),
    ("long", "pgd@Linf", {"1": [0.5] * 3}, "for each epsilon of meta.json"),
    ("severities", "fog", {"1": [0.5] * 4}, "5 accuracies, one for each sev"),
    ("one_nan", "fog", {"1": [0.5] * 4 + [np.nan]}, "got nan"),
    ("outlier", "clean", {"1": 1.5}, "fractions"),
  )
  def test_rows_of_another_form(self, key, content, part):
    """Oracle: each content lacks one property of the complete one."""
    self._write_all(3, ("clean", "pgd@Linf"))
    path = self._write_rows(key, content)
    if part == "fractions":  # The message names the file of fractions.
      path = path.with_name("pgd@Linf_accuracy.json")
    self._assert_refused(path, part, allow_missing=True)

  def test_files_of_another_kind(self):
    """Oracle: the message names the file and what it lacks."""
    self._assert_refused(self.directory, "a directory without it")
    self._write_all(3, ("clean",))
    options = {"allow_missing": True}
    path = self._write("cifar10/clean_accuracy.json", {"cifar100": {}})
    self._assert_refused(path, "'cifar10'", **options)
    self._write("cifar10/clean_accuracy.json", {"cifar10": {"pgd@Linf": {}}})
    self._assert_refused(path, "'clean'", **options)
    self._write(
      "cifar10/clean_accuracy.json", {"cifar10": {"clean": {"cm": {}}}}
    )
    self._assert_refused(path, "'accuracy'", **options)
    for content in (b"", b'{"cifar10": ', b"\xff\xfe", b"[" * 100_000):
      path.write_bytes(content)
      self._assert_refused(path, "a JSON object", **options)
    path.unlink()
    self._assert_refused(path.parent, "20 missing", "clean_accuracy", **options)
    (self.directory / "meta.json").write_bytes(b"{")
    self._write_rows("clean", rows("clean", 3))
    self._assert_refused("meta.json", "a JSON object", **options)

  @parameterized.parameters(
    ("clean", (), ["clean"]),
    ("pgd@Linf", (0.1, 1, 255.0), ["0p1", "1", "255"]),
    ("pgd@Linf", (1e-6,), ["0p000001"]),
  )
  def test_column_names(self, key, epsilons, ends):
    """Oracle: by hand; letters, digits and underscores only."""
    names = robustness.column_names(key, epsilons)
    if epsilons:
      ends = [f"pgd_linf_eps{end}" for end in ends]
    self.assertEqual(names, ends)
    for name in names:
      self.assertTrue(re.fullmatch(r"\w+", name, re.ASCII))

  @data.needs_table(META_SAMPLE)
  def test_real_meta(self):
    """Oracle: `isomorph` of the real table, in its official order."""
    text = data.table_path(META_SAMPLE).read_text()
    content = json.loads(text)
    (self.directory / "meta.json").write_text(text)
    ops, isomorph = data.read_table("nb201.npz", "ops", "isomorph")
    widths = {key: len(sizes) for key, sizes in content["epsilons"].items()}
    measured = sorted(
      {int(about["isomorph"]) for about in content["ids"].values()}
    )
    for key, width in {"clean": 1, **widths, "frost": 5}.items():
      values = {
        str(i): [i / 1e3 + place / 1e5 for place in range(width)]
        for i in measured
      }
      if key == "clean":
        values = {index: value[0] for index, value in values.items()}
      self._write_rows(key, values)
    table = self._convert(allow_missing=True)
    self.assertLen(table.arrays, 2 + sum(widths.values()) + 5)
    row_of = {tuple(cell): row for row, cell in enumerate(table.arrays["ops"])}
    at = [row_of[tuple(cell)] for cell in ops[:50]]
    for name, place in (
      ("clean", 0),
      ("aa_apgd_ce_linf_eps2", 3),
      ("fgsm_linf_eps255", 10),
      ("frost_sev2", 1),
    ):
      column = table.arrays[f"cifar10_{name}"]
      np.testing.assert_allclose(
        column[at], isomorph[:50] / 10 + place / 1e3, rtol=1e-5
      )
      self.assertEqual(np.isnan(column).sum(), NUM - 50)


def spelt(ops):
  """The official string of six operations, apart from the package."""
  a, b, c, d, e, f = (upstream.OPERATIONS[op] for op in ops)
  return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def cell(string):
  """The operations of an official string, apart from the package."""
  names = [part.split("~")[0] for part in string.split("|") if "~" in part]
  return [upstream.OPERATIONS.index(name) for name in names]
