"""Tests of nagjax.benchmarks.hardware."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import hardware
from nagjax.benchmarks import tabular
from nagjax.problem import Constraint
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests import data

NUM = 15625


def table():
  """A made-up table: the accuracy of a row is its index in percent."""
  space = nasbench201.nasbench201()
  accuracy = jnp.arange(NUM, dtype=jnp.float32) / NUM * 100
  return tabular.Tabular(
    queried={"valid_accuracy": accuracy},
    reported={"test_accuracy": accuracy / 2},
    name="nasbench201/made-up",
    space=space,
    test="test_accuracy",
    units=(("valid_accuracy", "%"),),
  )


class HardwareTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    rng = np.random.default_rng(0)
    self.ops = nasbench201.nasbench201().all_architectures()
    self.ops = self.ops[rng.permutation(NUM)].astype(np.int8)
    self.latency = rng.uniform(1, 9, NUM).astype(np.float32)
    self.latency[rng.random(NUM) < 0.1] = np.nan

  def write(self, name="nb201_latency.npz", **arrays):
    np.savez(self.folder / name, **{"ops": self.ops, **arrays})

  def test_every_cell_has_the_costs_of_its_row(self):
    """Oracle: NumPy look-up in the shuffled file; NaN stays NaN."""
    self.write(chip_ms=self.latency, chip_mj=2 * self.latency)
    benchmark = hardware.with_hardware(table(), self.folder)
    archs = jnp.asarray(self.ops, jnp.int32)
    answer = jax.jit(lambda b, a: b.query(a))(benchmark, archs)
    self.assertEqual(set(answer), {"valid_accuracy", "chip_ms", "chip_mj"})
    np.testing.assert_array_equal(answer["chip_ms"], self.latency)
    np.testing.assert_array_equal(answer["chip_mj"], 2 * self.latency)
    self.assertEqual(answer["chip_ms"].dtype, jnp.float32)
    self.assertEqual(
      benchmark.units,
      (("valid_accuracy", "%"), ("chip_mj", "mJ"), ("chip_ms", "ms")),
    )
    self.assertEqual(set(benchmark.reported), {"test_accuracy"})

  def test_optimum_under_a_limit(self):
    """Oracle: NumPy."""
    self.write(chip_ms=self.latency)
    benchmark = hardware.with_hardware(table(), self.folder)
    limit = Constraint.parse("chip_ms<=3.5")
    value, test, _ = Problem(benchmark, constraints=(limit,)).optimum()
    index = self.ops.astype(int) @ 5 ** np.arange(6)
    with np.errstate(invalid="ignore"):
      best = index[self.latency <= 3.5].max() / NUM * 100
    self.assertAlmostEqual(value, best, places=4)
    self.assertAlmostEqual(test, best / 2, places=4)

  def test_what_was_not_measured_is_infeasible(self):
    """Oracle: NaN in the file, under a limit that everything else meets."""
    self.write(chip_ms=self.latency)
    benchmark = hardware.with_hardware(table(), self.folder)
    problem = Problem(benchmark, constraints=(Constraint("chip_ms", 9.0),))
    answer = problem.evaluate(jnp.asarray(self.ops, jnp.int32))
    np.testing.assert_array_equal(
      answer.violations[:, 0] > 0, np.isnan(self.latency)
    )

  def test_only_costs_are_joined(self):
    """Oracle: the names of the module; an accuracy is no cost."""
    self.write("nb201_hw360.npz", a_ms=self.latency, acc=np.ones(NUM))
    self.write("nb201_zerocost.npz", b_ms=self.latency)
    columns = hardware.with_hardware(table(), self.folder).queried
    self.assertEqual(set(columns), {"valid_accuracy", "a_ms"})

  def test_the_first_file_wins(self):
    """Oracle: constants that differ from file to file."""
    names = ["nb201_hw_nas_bench.npz", "nb201_latency.npz", "nb201_hw360.npz"]
    for i, name in enumerate(names):
      self.write(name, **{f"own{i}_ms": np.ones(NUM)}, x_ms=np.full(NUM, i))
      columns = hardware.with_hardware(table(), self.folder).queried
      self.assertIn(f"own{i}_ms", columns)
      # hw360 < hw_nas_bench < latency.
      self.assertEqual(float(columns["x_ms"][0]), [0, 0, 2][i])

  @parameterized.parameters("made-up", "cifar10", "cifar100")
  def test_costs_of_another_data_set(self, data_set):
    """Oracle: a file's header; its own data set wins, others say so."""
    for number, name in enumerate(("cifar10", "cifar100")):
      header = json.dumps({"data_set": name})
      columns = {f"{name}_ms": np.ones(NUM), "x_ms": np.full(NUM, number)}
      self.write(f"nb201_hw_{number}.npz", header=header, **columns)
    before = table().replace(name=f"nasbench201/{data_set}")
    found = hardware.with_hardware(before, self.folder)
    self.assertEqual(float(found.queried["x_ms"][0]), data_set == "cifar100")
    units = dict(found.units)
    for name in ("cifar10", "cifar100"):
      expected = "ms" if name == data_set else f"ms, {name}"
      self.assertEqual(units[f"{name}_ms"], expected)
    self.assertEqual(
      units["x_ms"], "ms, cifar10" if data_set == "made-up" else "ms"
    )

  def test_without_files_nothing_changes(self):
    """Oracle: the benchmark that went in."""
    before = table()
    after = hardware.with_hardware(before, self.folder)
    self.assertEqual(after.queried.keys(), before.queried.keys())
    self.assertEqual(after.units, before.units)

  @parameterized.named_parameters(
    ("short", {"x_ms": np.ones(7)}, r"x_ms .*\[7\]"),
    ("negative", {"x_mj": np.full(NUM, -1.0)}, "x_mj must hold 15625 numbers"),
    ("text", {"x_ms": np.full(NUM, b"a")}, "x_ms must hold"),
    ("twice", {"ops": np.zeros((NUM, 6), np.int8)}, "15625 cells once"),
  )
  def test_damaged_files(self, arrays, message):
    """Oracle: the documented ValueError names file and column."""
    self.write(**arrays)
    with self.assertRaisesRegex(ValueError, f"nb201_latency.npz.*{message}"):
      hardware.with_hardware(table(), self.folder)

  def test_a_file_without_cells_or_of_another_kind(self):
    """Oracle: the documented ValueError names the file."""
    path = self.folder / "nb201_latency.npz"
    np.savez(path, x_ms=np.ones(NUM))
    with self.assertRaisesRegex(
      ValueError, "nb201_latency.npz has no array ops"
    ):
      hardware.with_hardware(table(), self.folder)
    path.write_bytes(path.read_bytes()[:100])
    with self.assertRaisesRegex(
      ValueError, "nb201_latency.npz: not a readable"
    ):
      hardware.with_hardware(table(), self.folder)

  def test_an_unknown_device_lists_those_that_exist(self):
    """Oracle: the names in the file."""
    self.write(chip_ms=self.latency, board_ms=self.latency)
    benchmark = hardware.with_hardware(table(), self.folder)
    with self.assertRaises(ValueError) as raised:
      Problem(benchmark, constraints=(Constraint("phone_ms", 5.0),))
    for name in ("board_ms", "chip_ms", "'phone_ms'"):
      self.assertIn(name, str(raised.exception))


class RealTableTest(parameterized.TestCase):
  @parameterized.parameters(
    ("raspi4_ms<=5", 63.84, 64.16),
    ("raspi4_ms<=10", 67.74, 67.00),
    ("raspi4_ms<=20", 69.34, 69.98),
    ("eyeriss_ms<=3", 68.25, 68.39),
    ("eyeriss_ms<=5", 71.72, 71.12),
    ("eyeriss_ms<=7", 73.09, 72.20),
    ("gold_6226_ms<=5", 58.67, 59.07),
  )
  @data.needs_table("nb201_latency.npz")
  def test_constrained_optima_of_cifar100(self, limit, valid, test):
    """Oracle: the optima that the data set's documentation states."""
    folder = data.table_path("nb201.npz").parent
    benchmark = hardware.with_hardware(
      tabular.load_nasbench201("cifar100", directory=folder), folder
    )
    problem = Problem(benchmark, constraints=(Constraint.parse(limit),))
    best, its_test, _ = problem.optimum()
    self.assertAlmostEqual(best, valid, delta=0.0051)
    self.assertAlmostEqual(its_test, test, delta=0.0051)

  @data.needs_table("nb201_latency.npz")
  def test_first_rows_of_hw_nas_bench(self):
    """Oracle: latencies of official index 0, 1, 2 printed by the authors."""
    folder = data.table_path("nb201.npz").parent
    benchmark = hardware.with_hardware(table(), folder)
    (ops,) = data.read_table("nb201.npz", "ops")
    answer = benchmark.query(jnp.asarray(ops[:3], jnp.int32))
    np.testing.assert_allclose(
      answer["raspi4_ms"], [10.4819768, 54.7773976, 50.4094038], rtol=1e-6
    )
    np.testing.assert_allclose(
      answer["eyeriss_ms"], [3.64562, 7.57778, 10.5269], rtol=1e-6
    )


if __name__ == "__main__":
  absltest.main()
