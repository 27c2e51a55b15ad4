"""Tests of nagjax.benchmarks.tabular and base, on files the tests write."""

import functools
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import base
from nagjax.benchmarks import tabular
from nagjax.spaces import nasbench201
from tests import data

NUM = 15625


@functools.cache
def columns():
  """A made-up table in shuffled order, with all documented names."""
  rng = np.random.default_rng(0)
  ops = nasbench201.nasbench201().all_architectures()[rng.permutation(NUM)]
  names = ["cifar10_valid_val", "cifar10_valid_test", "cifar100_val"]
  names += ["cifar100_test", "imagenet16_120_val", "my_own_set_val"]
  table = {n: rng.uniform(1, 99, NUM).astype(np.float32) for n in names}
  table["imagenet16_120_val"][rng.random(NUM) < 0.3] = np.nan
  table["cifar10_train_time_per_epoch_s"] = rng.uniform(5, 30, NUM)
  for cost in ("params_m", "flops_m"):
    table[f"cifar10_{cost}"] = rng.uniform(0, 2, NUM)
    table[f"cifar100_{cost}"] = rng.uniform(2, 4, NUM)
  return {"ops": ops.astype(np.int8), **table}


def strings():
  return np.asarray(
    [nasbench201.to_string(c).encode() for c in columns()["ops"]]
  )


class TabularTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)
    self.path = self.folder / "nb201.npz"

  def write(self, drop=(), **changes):
    table = {**columns(), **changes}
    np.savez(self.path, **{k: v for k, v in table.items() if k not in drop})

  def load(self, data_set="cifar10"):
    return tabular.load_nasbench201(data_set, directory=self.folder)


class LoadTest(TabularTestCase):
  @parameterized.parameters("ops", "arch_str")
  def test_every_cell_has_the_values_of_its_row(self, named_by):
    """Oracle: NumPy look-up in the shuffled file, by row."""
    if named_by == "ops":
      self.write()
    else:
      self.write(drop=["ops"], arch_str=strings())
    benchmark = self.load()
    archs = jnp.asarray(columns()["ops"], jnp.int32)
    answer = jax.jit(lambda b, a: b.query(a))(benchmark, archs)
    report = benchmark.report(archs)
    for got, name in (
      (answer["valid_accuracy"], "cifar10_valid_val"),
      (answer["params_m"], "cifar10_params_m"),
      (answer["flops_m"], "cifar10_flops_m"),
      (report["test_accuracy"], "cifar10_valid_test"),
    ):
      self.assertEqual(got.dtype, jnp.float32)
      np.testing.assert_array_equal(got, np.float32(columns()[name]))
    np.testing.assert_allclose(
      report["train_seconds"],
      200 * columns()["cifar10_train_time_per_epoch_s"],
      rtol=1e-6,
    )

  def test_seconds_of_the_same_networks_win(self):
    """Oracle: the column with the prefix of the accuracies."""
    seconds = np.arange(15625, dtype=np.float32)
    self.write(cifar10_valid_train_time_per_epoch_s=seconds)
    archs = jnp.asarray(columns()["ops"], jnp.int32)
    found = self.load().report(archs)["train_seconds"]
    np.testing.assert_array_equal(found, 200 * seconds)

  def test_query_and_report_share_no_column(self):
    """Oracle: rule 6 of the architecture: a search never sees test metrics."""
    self.write()
    benchmark = self.load()
    one = jnp.zeros((1, 6), jnp.int32)
    queried, reported = benchmark.query(one), benchmark.report(one)
    self.assertEqual(set(queried), {"valid_accuracy", "params_m", "flops_m"})
    self.assertEqual(set(reported), {"test_accuracy", "train_seconds"})
    self.assertEqual(benchmark.objective, "valid_accuracy")
    self.assertEqual(benchmark.test, "test_accuracy")
    self.assertEqual(set(dict(benchmark.units)), {*queried, *reported})

  def test_batches_of_any_rank(self):
    """Oracle: the flat answer, reshaped."""
    self.write()
    benchmark = self.load()
    archs = jnp.asarray(columns()["ops"][:24], jnp.int32)
    flat = benchmark.query(archs)["valid_accuracy"]
    cube = benchmark.query(archs.reshape(2, 3, 4, 6))["valid_accuracy"]
    np.testing.assert_array_equal(cube.ravel(), flat)

  def test_rows_are_those_of_the_space(self):
    """Oracle: each identity once; architectures() is its inverse."""
    self.write()
    benchmark = self.load()
    archs = benchmark.architectures()
    np.testing.assert_array_equal(
      benchmark.identities(jnp.asarray(archs)), np.arange(NUM)
    )
    self.assertEqual(benchmark.num_rows, NUM)

  @parameterized.parameters(
    ("cifar100", "cifar100_val"),
    ("imagenet16-120", "imagenet16_120_val"),
    ("my-own-set", "my_own_set_val"),
  )
  def test_data_sets_are_named_by_their_columns(self, name, column):
    """Oracle: the rule of interface.md; NaN rows stay NaN."""
    self.write()
    benchmark = self.load(name)
    archs = jnp.asarray(columns()["ops"], jnp.int32)
    self.assertEqual(benchmark.name, f"nasbench201/{name}")
    np.testing.assert_array_equal(
      benchmark.query(archs)["valid_accuracy"], columns()[column]
    )

  def test_optional_columns_may_be_absent(self):
    """Oracle: the columns that the file holds for this data set."""
    self.write()
    benchmark = self.load("imagenet16-120")
    self.assertEqual(set(benchmark.queried), {"valid_accuracy"})
    self.assertEmpty(benchmark.reported)
    self.assertIsNone(benchmark.test)
    costs = self.load("cifar100").query(jnp.zeros((1, 6), jnp.int32))
    self.assertGreater(float(costs["params_m"][0]), 2.0)

  def test_names_of_the_data_sets_of_a_file(self):
    """Oracle: by hand; none where there is no file."""
    self.assertEmpty(tabular.nasbench201_data_sets(self.folder))
    self.write()
    self.assertEqual(
      tabular.nasbench201_data_sets(self.folder),
      ["cifar10", "cifar100", "imagenet16-120", "my-own-set"],
    )

  @data.needs_table("nb201.npz")
  def test_best_rows_of_the_real_table(self):
    """Oracle: published optima of NAS-Bench-201."""
    folder = data.table_path("nb201.npz").parent
    for name, valid, test in (
      ("cifar10", 91.6067, 94.3733),
      ("cifar100", 73.4933, 73.5133),
    ):
      benchmark = tabular.load_nasbench201(name, directory=folder)
      self.assertAlmostEqual(
        float(benchmark.queried["valid_accuracy"].max()), valid, places=3
      )
      self.assertAlmostEqual(
        float(benchmark.reported["test_accuracy"].max()), test, places=3
      )


class DamagedFileTest(TabularTestCase):
  def test_a_missing_file_is_named_with_the_way_to_get_it(self):
    """Oracle: file, origin and command of the house rule on errors."""
    with self.assertRaises(FileNotFoundError) as caught:
      self.load()
    for part in (str(self.path), "NAS-Bench-201", "experiments.convert"):
      self.assertIn(part, str(caught.exception))

  def test_an_unknown_data_set_lists_those_that_exist(self):
    """Oracle: the documented ValueError."""
    self.write()
    with self.assertRaisesRegex(ValueError, "cifar10, .*got 'svhn'"):
      self.load("svhn")

  def test_architectures_must_be_each_cell_once(self):
    """Oracle: five ways to break the list."""
    ops = columns()["ops"]
    twice = np.concatenate([ops[:-1], ops[:1]])
    negative, large = ops.copy(), ops.copy()
    negative[3, 2], large[3, 2] = -1, 5
    for wrong in (twice, negative, large, ops[:-1], ops[:, :5]):
      self.write(ops=wrong)
      with self.assertRaisesRegex(
        ValueError, r"each of the 15625 cells once|\[15625, 6\], got"
      ):
        self.load()

  def test_a_file_without_architectures_is_refused(self):
    """Oracle: the documented ValueError."""
    self.write(drop=["ops"])
    with self.assertRaisesRegex(ValueError, "neither by ops nor by arch_str"):
      self.load()

  @parameterized.parameters(-1.0, 100.5, np.nan)
  def test_accuracies_must_be_percent(self, value):
    """Oracle: values below 0, above 100, or none at all."""
    wrong = np.full(NUM, value if np.isnan(value) else 50.0, np.float32)
    wrong[5] = value
    self.write(cifar10_valid_val=wrong)
    with self.assertRaisesRegex(ValueError, "percent"):
      self.load()


class TestAccuracyTest(TabularTestCase):
  def test_the_wrapper_shows_the_test_column_under_a_loud_name(self):
    """Oracle: the report of the wrapped benchmark."""
    self.write()
    inner = self.load()
    wrapped = tabular.search_on_test_accuracy(inner)
    archs = jnp.asarray(columns()["ops"][:50], jnp.int32)
    np.testing.assert_array_equal(
      wrapped.query(archs)[wrapped.objective], inner.report(archs)[inner.test]
    )
    self.assertEqual(
      wrapped.name, "search-on-test-accuracy:nasbench201/cifar10"
    )
    self.assertNotIn("test_accuracy", inner.query(archs))

  def test_there_must_be_a_test_column(self):
    """Oracle: the documented ValueError."""
    self.write()
    with self.assertRaisesRegex(ValueError, "no test column"):
      tabular.search_on_test_accuracy(self.load("my-own-set"))


class DataDirectoryTest(parameterized.TestCase):
  def test_flag_before_environment_before_cache(self):
    """Oracle: the order of interface.md."""
    with mock.patch.dict(os.environ, {"NAGJAX_DATA_DIR": "/from/env"}):
      self.assertEqual(base.data_directory("/a"), pathlib.Path("/a"))
      self.assertEqual(base.data_directory(), pathlib.Path("/from/env"))
    with mock.patch.dict(os.environ):
      os.environ.pop("NAGJAX_DATA_DIR", None)
      self.assertEqual(
        base.data_directory(), pathlib.Path.home() / ".cache" / "nagjax"
      )

  def test_a_home_directory_is_expanded(self):
    """Oracle: pathlib."""
    self.assertEqual(base.data_directory("~/x"), pathlib.Path.home() / "x")


if __name__ == "__main__":
  absltest.main()
