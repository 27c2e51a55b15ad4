"""Tests of nagjax.benchmarks.robustness."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import robustness
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests.benchmarks import hardware_test
from tests.benchmarks import tabular_test

NUM = 15625


def table(data_set="cifar10"):
  """A made-up table of a data set."""
  return hardware_test.table().replace(name=f"nasbench201/{data_set}")


class RobustnessTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    rng = np.random.default_rng(0)
    self.ops = nasbench201.nasbench201().all_architectures()
    self.ops = self.ops[rng.permutation(NUM)].astype(np.int8)
    self.values = rng.uniform(0, 100, NUM).astype(np.float32)
    self.values[rng.random(NUM) < 0.1] = np.nan

  def write(self, name="nb201_robustness_cifar10.npz", **arrays):
    np.savez(self.folder / name, **{"ops": self.ops, **arrays})

  def test_every_cell_has_the_accuracies_of_its_row(self):
    """Oracle: NumPy look-up in the shuffled file; NaN stays NaN."""
    self.write(
      cifar10_fog_sev1=self.values, cifar10_clean=self.values / 2, header="{}"
    )
    benchmark = robustness.with_robustness(table(), self.folder)
    archs = jnp.asarray(self.ops, jnp.int32)
    answer = jax.jit(lambda b, a: b.query(a))(benchmark, archs)
    self.assertEqual(set(answer), {"valid_accuracy", "fog_sev1"})
    np.testing.assert_array_equal(answer["fog_sev1"], self.values)
    self.assertEqual(answer["fog_sev1"].dtype, jnp.float32)
    # A search does not see what is a test accuracy; the reader does.
    self.assertEqual(set(benchmark.reported), {"test_accuracy", "clean"})
    np.testing.assert_array_equal(
      benchmark.report(archs)["clean"], self.values / 2
    )
    self.assertEqual(
      benchmark.units,
      (("valid_accuracy", "%"), ("clean", "%"), ("fog_sev1", "%")),
    )

  @parameterized.parameters(
    ("cifar10", 1.0), ("cifar100", 2.0), ("imagenet16-120", 3.0)
  )
  def test_a_benchmark_has_what_is_of_its_data_set(self, data_set, value):
    """Oracle: constants that differ by data set, in one file or several."""
    self.write(
      cifar10_fog_sev1=np.full(NUM, 1.0), cifar100_fog_sev1=np.full(NUM, 2.0)
    )
    self.write(
      "nb201_robustness_2.npz", imagenet16_120_fog_sev1=np.full(NUM, 3.0)
    )
    benchmark = robustness.with_robustness(table(data_set), self.folder)
    self.assertEqual(set(benchmark.queried), {"valid_accuracy", "fog_sev1"})
    self.assertEqual(float(benchmark.queried["fog_sev1"][0]), value)

  def test_the_first_file_wins(self):
    """Oracle: constants that differ from file to file."""
    for i, name in enumerate("ba"):
      self.write(
        f"nb201_robustness_{name}.npz",
        **{"cifar10_x": np.full(NUM, i), f"cifar10_own{i}": np.zeros(NUM)},
      )
    columns = robustness.with_robustness(table(), self.folder).queried
    self.assertEqual(float(columns["x"][0]), 1.0)
    self.assertTrue({"own0", "own1"} <= set(columns))

  def test_without_columns_nothing_changes(self):
    """Oracle: the benchmark that went in."""
    before = table()
    self.write(cifar100_fog_sev1=self.values)
    after = robustness.with_robustness(before, self.folder)
    self.assertEqual(after.queried.keys(), before.queried.keys())
    self.assertEqual(after.reported.keys(), before.reported.keys())
    self.assertEqual(after.units, before.units)

  @parameterized.named_parameters(
    ("short", {"cifar10_x": np.ones(7)}, r"cifar10_x .*\[7\]"),
    ("negative", {"cifar10_x": np.full(NUM, -1.0)}, r"in \[0, 100\]"),
    ("above", {"cifar10_x": np.full(NUM, 101.0)}, r"in \[0, 100\]"),
    ("text", {"cifar10_x": np.full(NUM, b"a")}, "cifar10_x must hold"),
    ("twice", {"ops": np.zeros((NUM, 6), np.int8)}, "15625 cells once"),
  )
  def test_damaged_files(self, arrays, message):
    """Oracle: the documented ValueError names file and column."""
    self.write(**arrays)
    with self.assertRaisesRegex(ValueError, f"robustness_cifar10.*{message}"):
      robustness.with_robustness(table(), self.folder)

  def test_objectives_of_the_registry(self):
    """Oracle: NumPy; the reader's column is no objective."""
    columns = tabular_test.columns()
    np.savez(self.folder / "nb201.npz", **columns)
    self.write(cifar10_fog_sev1=self.values, cifar10_clean=self.values)
    for start in ("", registry.TEST_ACCURACY_PREFIX):
      benchmark = registry.make_benchmark(
        f"{start}nasbench201/cifar10", str(self.folder)
      )
      for sign, best_fn in (("", np.nanmax), ("-", np.nanmin)):
        problem = Problem(benchmark, (f"{sign}fog_sev1",))
        best, _, archs = problem.optimum()
        value = best_fn(self.values)
        self.assertAlmostEqual(abs(best), value, places=4)
        (row,) = np.flatnonzero(self.values == value)
        self.assertIn(self.ops[row].tolist(), archs.tolist())
      with self.assertRaisesRegex(ValueError, "'clean' is no column"):
        Problem(benchmark, ("clean",))
    other = registry.make_benchmark("nasbench201/cifar100", str(self.folder))
    self.assertNotIn("fog_sev1", other.queried)


if __name__ == "__main__":
  absltest.main()
