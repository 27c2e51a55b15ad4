"""Tests of nagjax.benchmarks.nasbench201_hp12 and of epochs as fidelities."""

import pathlib
import tempfile

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import epochs
from nagjax.benchmarks import nasbench201_hp12
from nagjax.benchmarks import tabular
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests import data

NUM = 15_625
FIELDS = np.asarray([b"train_loss", b"test_accuracy"])


class PartTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    rng = np.random.default_rng(0)
    archs = nasbench201.nasbench201().all_architectures()
    self.ops = archs[rng.permutation(NUM)].astype(np.int8)
    np.savez(self.folder / "nb201.npz", ops=self.ops)
    self.arrays = {
      "row": np.asarray([7, 3, 15_000], np.int32),
      "fields": FIELDS,
      "cifar10_hp12": rng.uniform(10, 90, (3, 2)).astype(np.float32),
      "cifar10_hp200": rng.uniform(10, 90, (3, 2)).astype(np.float32),
      "cifar100_hp12": np.ones((3, 2), np.float32),
    }
    self.path = self.folder / nasbench201_hp12.FILE

  def test_rows_and_fidelities(self):
    """Oracle: the arrays, by the cells of the rows that the file names."""
    np.savez(self.path, **self.arrays)
    name = "nasbench201-hp12/cifar10"
    self.assertIn(name, registry.benchmark_names(self.folder))
    table = registry.make_benchmark(name, self.folder)
    self.assertEqual((table.num_rows, table.objective), (3, "accuracy"))
    self.assertEqual(Problem(table).fidelities.costs, (12, 200))
    self.assertFalse(Problem(table).fidelities.continues)
    archs = jnp.asarray(self.ops[self.arrays["row"]], jnp.int32)
    found = table.query_at(archs, jnp.asarray([0, 1, 0]))["accuracy"]
    low, full = self.arrays["cifar10_hp12"], self.arrays["cifar10_hp200"]
    np.testing.assert_array_equal(found, [low[0, 1], full[1, 1], low[2, 1]])

  def test_refused(self):
    """Oracle: the message."""
    load = nasbench201_hp12.load
    with self.assertRaisesRegex(FileNotFoundError, nasbench201_hp12.FILE):
      load("cifar10", directory=self.folder)
    np.savez(self.path, **self.arrays)
    with self.assertRaisesRegex(ValueError, "data sets cifar10, got"):
      load("cifar100", directory=self.folder)
    for changes, words in (
      ({"row": np.asarray([1, 2, NUM])}, "its rows or its fields"),
      ({"fields": FIELDS[::-1].astype("S4")}, "its rows or its fields"),
      ({"cifar10_hp12": np.full((3, 2), 101, "f4")}, "accuracies in percent"),
      ({"row": np.asarray([1, 2, 2])}, "the same architecture"),
    ):
      np.savez(self.path, **(self.arrays | changes))
      with self.assertRaisesRegex(ValueError, words):
        load("cifar10", directory=self.folder)

  @data.needs_table(nasbench201_hp12.FILE)
  def test_real_file(self):
    """Oracle: Spearman's correlation of 12 and 200 epochs as published."""
    from scipy import stats

    for data_set, expected in (("cifar10", 0.889), ("cifar100", 0.838)):
      table = nasbench201_hp12.load(data_set)
      rho = stats.spearmanr(
        table.lower["accuracy"][0], table.queried["accuracy"]
      )
      self.assertAlmostEqual(rho.statistic, expected, places=3)


class OfficialTest(absltest.TestCase):
  def test_stages_win_over_a_short_training(self):
    """Oracle: the arrays of a file that has both, or one, or none."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    rng = np.random.default_rng(0)
    names = ["a_val", "a_val_epoch_12", "a_val_epoch_1", "a_val_hp12"]
    names += ["b_val", "b_val_hp12", "c_val"]
    arrays = {name: rng.uniform(1, 99, NUM) for name in names}
    ops = nasbench201.nasbench201().all_architectures()
    np.savez(folder / "nb201.npz", ops=ops.astype(np.int8), **arrays)
    self.assertEqual(tabular.nasbench201_data_sets(folder), ["a", "b", "c"])
    tables = {
      name: tabular.load_nasbench201(name, directory=folder) for name in "abc"
    }
    self.assertEqual(tables["a"].fidelities.names, ("1", "12", "200"))
    np.testing.assert_allclose(
      tables["a"].lower["valid_accuracy"],
      [arrays["a_val_epoch_1"], arrays["a_val_epoch_12"]],
      rtol=1e-6,
    )
    self.assertEqual(tables["b"].fidelities, epochs.short_training(200))
    self.assertIsNone(tables["c"].fidelities)
    self.assertEqual(list(tables["a"].queried), ["valid_accuracy"])


if __name__ == "__main__":
  absltest.main()
