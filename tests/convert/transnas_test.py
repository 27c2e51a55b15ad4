"""Tests of nagjax.convert.transnas, on files the tests write."""

import copy
import json
import math
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax.benchmarks import transnas as tables
from nagjax.convert import nasbench201_table
from nagjax.convert import transnas
from nagjax.convert.pickles import ConversionError
from tests.convert import costs_test
from tests.convert import upstream

PTH = "samples/reconstructed_transnas_bench_micro20.pth"
CELLS = ("64-41414-3_21_012", "64-41414-0_00_000", "64-41414-3_33_333")
SKELETONS = ("64-2311-basic", "64-12344-basic", "64-112233-basic")
METRICS = {
  "class_object": ("top1", (30.5, 40.25, 38.0)),
  "normal": ("ssim", (-0.5, 0.25, 0.125)),
  "room_layout": ("neg_loss", (-0.75, -0.5, -0.625)),
  "segmentsemantic": ("mIoU", (20.0, 25.5, 25.0)),
}


def entry(metric, values, shift=0.0):
  """One architecture and task; the test metric is a little larger."""
  return {
    "metrics": {
      f"valid_{metric}": [value + shift for value in values],
      f"test_{metric}": [value + shift + 1 / 64 for value in values],
      "valid_loss": [3.0, 2.0, 9.0],
      "time_elapsed": [1.0, 2.0, 3.0],
    },
    "model_info": {"model_params": 1.5, "model_FLOPs": 40.0},
    "total_epochs": 3,
  }


def content():
  """The official structure, with three architectures of either space."""

  def archs(strings):
    return {
      string: {
        task: entry(metric, values, shift=row / 32)
        for task, (metric, values) in METRICS.items()
      }
      for row, string in enumerate(strings)
    }

  return {
    "metrics_dict": {},
    "info_names": [],
    "task_list": list(METRICS),
    "data": {"micro": archs(CELLS), "macro": archs(SKELETONS)},
  }


def scores():
  """NASLib's structure, with the same three cells."""

  def about(value):
    score = {"score": 2.5, "time": 0.1}
    return dict(val_accuracy=value, params=score, flops=score, snip=score)

  keys = ("(3, 2, 1, 0, 1, 2)", "(0, 0, 0, 0, 0, 0)", "(3, 3, 3, 3, 3, 3)")
  return {
    "class_object": {key: about(30.0 + i) for i, key in enumerate(keys)},
    "autoencoder": {key: about(0.5 + i / 8) for i, key in enumerate(keys)},
  }


class ConverterTestCase(
  upstream.TemporaryDirectoryMixin, parameterized.TestCase
):
  def write_pth(self, value):
    return costs_test.write_zip_pickle(self.directory / "bench.pth", value)

  def write_json(self, value):
    path = self.directory / "zc.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path

  def assert_refused(self, call, *parts):
    with self.assertRaises(ConversionError) as raised:
      call()
    self.assert_one_line(raised.exception, *parts)


class OfficialFileTest(ConverterTestCase):
  @parameterized.product(
    space=("transnas_micro", "transnas_macro"), mode=("best", "final")
  )
  def test_values_are_those_of_the_epoch(self, space, mode):
    """Oracle: the written values, the largest or the last, by NumPy."""
    calls = []
    table = transnas.transnas_pth_file(
      self.write_pth(content()),
      space=space,
      mode=mode,
      allow_missing=True,
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    self.assertEqual(calls, [(1, 3), (2, 3), (3, 3)])
    made = tables.make_space(transnas.SPACES[space])
    strings = CELLS if space == "transnas_micro" else SKELETONS
    ops = table.arrays["ops"]
    self.assertLen(ops, made.num_architectures)
    for number, string in enumerate(strings):
      digits = [int(d) for d in string.split("-")[1] if d != "_"]
      if space == "transnas_micro":
        digits = [int(d) for d in string.split("-")[2] if d != "_"]
      digits += [0] * (6 - len(digits))
      (row,) = np.flatnonzero((ops == digits).all(axis=1))
      for task, (_, values) in METRICS.items():
        expected = max(values) if mode == "best" else values[-1]
        expected += number / 32
        got = {n: a[row] for n, a in table.arrays.items()}
        self.assertEqual(got[f"{task}_val_{mode}"], np.float32(expected))
        self.assertEqual(
          got[f"{task}_test_{mode}"], np.float32(expected + 1 / 64)
        )
        self.assertEqual(got[f"{task}_params_m"], np.float32(1.5))
        self.assertEqual(got[f"{task}_flops_m"], np.float32(40))
    for name, array in table.arrays.items():
      if name != "ops":
        self.assertEqual(np.isfinite(array).sum(), 3)
    self.assertLen(table.arrays, 1 + 4 * len(METRICS))

  def test_a_benchmark_reads_what_is_written(self):
    """Oracle: the written values; the other architectures are absent."""
    table = transnas.transnas_pth_file(
      self.write_pth(content()), space="transnas_macro", allow_missing=True
    )
    nasbench201_table.write_table(table, self.directory / "tnb101_macro.npz")
    benchmark = tables.load_transnas(
      "transnas-macro", "room-layout", directory=self.directory
    )
    self.assertEqual(benchmark.objective, "valid_neg_loss_best")
    self.assertEqual(benchmark.test, "test_neg_loss_best")
    self.assertEqual(benchmark.num_rows, 3)
    found = {
      benchmark.space.to_string(arch): float(value)
      for arch, value in zip(
        benchmark.architectures().tolist(),
        benchmark.queried[benchmark.objective],
        strict=True,
      )
    }
    expected = {s: -0.5 + i / 32 for i, s in enumerate(SKELETONS)}
    self.assertEqual(found, expected)

  def test_an_old_file_is_read_by_pytorch(self):
    """Oracle: the content that a stand-in for its reader returns."""
    path = self.directory / "old.pth"
    path.write_bytes(b"\x80\x02.")
    with mock.patch.object(
      transnas, "load_torch", lambda *args: content()
    ) as _:
      table = transnas.transnas_pth_file(path, allow_missing=True)
    self.assertEqual(np.isfinite(table.arrays["normal_val_best"]).sum(), 3)

  def test_epochs_without_a_value(self):
    """Oracle: by hand: NaN is no best, and a last NaN is none."""
    value = content()
    curve = [math.nan, 3.0, math.nan]
    cell = value["data"]["micro"][CELLS[0]]
    cell["class_object"]["metrics"]["valid_top1"] = curve
    for mode, num in (("best", 3), ("final", 2)):
      table = transnas.transnas_pth_file(
        self.write_pth(value), mode=mode, allow_missing=True
      )
      array = table.arrays[f"class_object_val_{mode}"]
      self.assertEqual(np.isfinite(array).sum(), num)

  def test_options_of_no_space_or_mode(self):
    """Oracle: the documented ConversionError."""
    path = self.write_pth(content())
    for options, part in (
      (dict(space="darts"), "transnas_micro or transnas_macro"),
      (dict(mode="last"), "best or final"),
    ):
      self.assert_refused(
        lambda o=options: transnas.transnas_pth_file(path, **o), part
      )

  def test_missing_architectures(self):
    """Oracle: 4,096 less the three that were written."""
    path = self.write_pth(content())
    self.assert_refused(
      lambda: transnas.transnas_pth_file(path), "4,093 missing", "allow_missing"
    )

  @parameterized.parameters(
    (lambda c: c.pop("data"), "'data'"),
    (lambda c: c["data"].pop("micro"), "'micro'"),
    (lambda c: c["data"].update(micro={}), "transnas-micro, got none"),
    (lambda c: c["data"]["micro"].update({"64-1-basic": {}}), "--space"),
    (lambda c: c["data"]["micro"].update({7: {}}), "a str, got a int"),
    (lambda c: _cell(c).update(depth=entry("top1", [3.0])), "got depth"),
    (lambda c: _cell(c).update(normal=entry("top1", [3.0])), "'valid_ssim'"),
    (lambda c: _cell(c).update(normal=entry("ssim", [])), "values, got none"),
    (lambda c: _cell(c).update(normal=entry("ssim", [1.5])), "[-1, 1], got"),
    (lambda c: _cell(c)["normal"]["metrics"].update(valid_ssim="a"), "a str"),
    (lambda c: _cell(c)["normal"]["metrics"].update(valid_ssim=["a"]), "'a'"),
    (lambda c: _cell(c).update(room_layout=entry("neg_loss", [0.5])), "0]"),
  )
  def test_files_of_another_form(self, change, part):
    """Oracle: one line that names what is wrong."""
    value = content()
    change(value)
    path = self.write_pth(value)
    self.assert_refused(
      lambda: transnas.transnas_pth_file(path, allow_missing=True), part
    )

  def test_a_pickle_that_names_a_function(self):
    """Oracle: the restricted reader; nothing is called."""
    path = self.write_pth({"data": print})
    self.assert_refused(lambda: transnas.transnas_pth_file(path), "print")

  @absltest.skipUnless(upstream.DATA_DIR, upstream.NEEDS_DATA)
  def test_the_sample(self):
    """Oracle: the rows of the real table."""
    folder = tables.base.data_directory()
    if not (folder / PTH).is_file():
      self.skipTest(f"no {PTH}")
    with np.load(folder / "tnb101_micro.npz") as real:
      for mode in transnas.MODES:
        table = transnas.transnas_pth_file(
          folder / PTH, mode=mode, allow_missing=True
        )
        np.testing.assert_array_equal(table.arrays["ops"], real["ops"])
        for task in ("class_object", "class_scene", "autoencoder"):
          column = table.arrays[f"{task}_val_{mode}"]
          rows = np.isfinite(column)
          self.assertEqual(rows.sum(), 20)
          expected = real[f"{task}_val_{mode}"][rows]
          np.testing.assert_allclose(column[rows], expected, rtol=1e-6)


def _cell(value):
  """The first cell's tasks."""
  return value["data"]["micro"][CELLS[0]]


class NaslibTest(ConverterTestCase):
  def test_values_of_three_cells(self):
    """Oracle: the written values, by the digits of the keys."""
    table = transnas.transnas_naslib_json(
      self.write_json(scores()), allow_missing=True
    )
    for digits, value in (("321012", 30), ("000000", 31), ("333333", 32)):
      row = int(digits, 4)
      self.assertEqual(table.arrays["ops"][row].tolist(), [*map(int, digits)])
      self.assertEqual(table.arrays["class_object_val_best"][row], value)
      self.assertEqual(table.arrays["class_object_params_m"][row], 2.5)
      self.assertEqual(
        table.arrays["autoencoder_val_best"][row], 0.5 + (value - 30) / 8
      )
    self.assertIn("best over the epochs", table.header["notes"][0])

  @parameterized.parameters("(2, 3, 1, 1)", "(2, 3, 1, 1, 0, 0)")
  def test_skeletons(self, key):
    """Oracle: 64-2311-basic, with and without digits of no module."""
    one = {"class_scene": {key: {"val_accuracy": 50.0}}}
    table = transnas.transnas_naslib_json(
      self.write_json(one), space="transnas_macro", allow_missing=True
    )
    (row,) = np.flatnonzero(np.isfinite(table.arrays["class_scene_val_best"]))
    self.assertEqual(table.arrays["ops"][row].tolist(), [2, 3, 1, 1, 0, 0])

  @parameterized.parameters(
    (lambda c: c.update(depth={}), "got depth"),
    (lambda c: _keys(c, "(3, 2,1, 0, 1, 2)"), "twice"),
    (lambda c: _keys(c, "(4, 0, 0, 0, 0, 0)"), "64-41414-4_00_000"),
    (lambda c: _keys(c, "(12, 0, 0, 0, 0)"), "tuples of digits"),
    (lambda c: _keys(c, "print()"), "tuples of digits"),
    (lambda c: _keys(c, "7"), "tuples of digits"),
    (lambda c: c["class_object"].update({"(1,1,1,1,1,1)": {}}), "val_accuracy"),
  )
  def test_files_of_another_form(self, change, part):
    """Oracle: one line that names what is wrong."""
    value = copy.deepcopy(scores())
    change(value)
    path = self.write_json(value)
    self.assert_refused(
      lambda: transnas.transnas_naslib_json(path, allow_missing=True), part
    )

  def test_missing_architectures_and_no_json(self):
    """Oracle: 4,096 less the three; the reader of JSON."""
    path = self.write_json(scores())
    self.assert_refused(
      lambda: transnas.transnas_naslib_json(path), "4,093 missing"
    )
    path = self.write_json("{")
    self.assert_refused(
      lambda: transnas.transnas_naslib_json(path), "cannot be read"
    )


def _keys(value, key):
  """One more architecture of the objects."""
  value["class_object"][key] = {"val_accuracy": 5.0}


if __name__ == "__main__":
  absltest.main()
