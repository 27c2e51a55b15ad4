"""Tests of nagjax.benchmarks.analog."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax import registry
from nagjax.benchmarks import analog
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests import data
from tests.benchmarks import robustness_test

NUM = 15625


class AnalogTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    rng = np.random.default_rng(0)
    self.ops = nasbench201.nasbench201().all_architectures()
    self.ops = self.ops[rng.permutation(NUM)].astype(np.int8)
    self.values = rng.uniform(0, 50, NUM).astype(np.float32)

  def write(self, **arrays):
    np.savez(self.folder / "analog_nasbench.npz", **arrays)

  def joined(self, data_set="cifar10"):
    return analog.with_analog(robustness_test.table(data_set), self.folder)

  @parameterized.parameters(True, False)
  def test_every_cell_has_the_accuracies_of_its_row(self, has_ops):
    """Oracle: NumPy look-up in the shuffled file, or by the rows of the table
    beside it; the digital accuracy is the reader's."""
    arrays = {
      "analog_acc": self.values,
      "baseline_acc": 2 * self.values,
      "analog_drift_60_std": self.values / 50,
      "rows": np.arange(3),
    }
    if has_ops:
      self.write(ops=self.ops, **arrays)
    else:
      self.write(**arrays)
      np.savez(self.folder / "nb201.npz", ops=self.ops)
    benchmark = self.joined()
    archs = self.ops.astype(np.int32)
    answer = {**benchmark.query(archs), **benchmark.report(archs)}
    for name in ("analog_acc", "baseline_acc", "analog_drift_60_std"):
      np.testing.assert_array_equal(answer[name], arrays[name])
      self.assertEqual(dict(benchmark.units)[name], "%")
    self.assertEqual(set(benchmark.reported), {"test_accuracy", "baseline_acc"})
    best = Problem(benchmark, ("analog_acc",)).optimum().objective
    self.assertEqual(best, self.values.max())

  def test_only_cifar10_has_them(self):
    """Oracle: the table as it was, of another data set or without a file."""
    self.assertNotIn("analog_acc", self.joined().queried)
    self.write(ops=self.ops, analog_acc=self.values)
    self.assertIn("analog_acc", self.joined().queried)
    self.assertNotIn("analog_acc", self.joined("cifar100").queried)

  def test_rows_of_a_file_that_is_not_there(self):
    """Oracle: the documented ValueError names both files."""
    self.write(analog_acc=self.values)
    with self.assertRaisesRegex(
      ValueError, "analog_nasbench.npz has no array ops.* nb201.npz"
    ):
      self.joined()

  @parameterized.named_parameters(
    ("percent", {"analog_acc": np.full(NUM, 101.0)}, "in \\[0, 100\\]"),
    ("rows", {"analog_acc": np.ones(NUM - 1)}, "15625"),
    ("doubled", {"ops": np.zeros((NUM, 6), np.int8)}, "each of the 15625"),
  )
  def test_damaged_files(self, arrays, part):
    """Oracle: the documented ValueError names the file."""
    arrays = {"ops": self.ops, "analog_acc": self.values, **arrays}
    self.write(**arrays)
    with self.assertRaisesRegex(ValueError, part) as raised:
      self.joined()
    self.assertIn("analog_nasbench.npz", str(raised.exception))


class RealTableTest(parameterized.TestCase):
  @data.needs_table("analog_nasbench.npz")
  def test_largest_accuracies(self):
    """Oracle: the maxima that the data set's documentation states, and its
    correlation with another source's test accuracy."""
    folder = str(data.table_path(""))
    benchmark = registry.make_benchmark("nasbench201/cifar10", folder)
    best = Problem(benchmark, ("analog_acc",)).optimum().objective
    self.assertAlmostEqual(best, 91.326, places=3)
    baseline = np.asarray(benchmark.reported["baseline_acc"])
    self.assertAlmostEqual(baseline.max(), 94.066, places=3)
    other = np.asarray(benchmark.reported["test_accuracy"])
    self.assertGreater(np.corrcoef(baseline, other)[0, 1], 0.999)


if __name__ == "__main__":
  absltest.main()
