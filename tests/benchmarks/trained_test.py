"""Tests of nagjax.benchmarks.trained."""

import json
import pathlib
import tempfile

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import trained
from nagjax.spaces import nasbench201

NUM = 15_625


def make_arrays():
  """A table in a shuffled order with two seeds."""
  rng = np.random.default_rng(0)
  ops = nasbench201.nasbench201().all_architectures()[rng.permutation(NUM)]
  arrays = {name: rng.random((NUM, 2)) for name in trained.METRICS}
  return arrays | {
    "ops": ops.astype(np.int8),
    "failed": np.zeros((NUM, 2), bool),
    "params_m": rng.random(NUM),
    "flops_m": rng.random(NUM),
    "header": np.asarray(json.dumps({"kind": trained.KIND})),
  }


class LoadTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder, "trained_my_photos.npz")

  def test_means_over_seeds_that_work(self):
    """Oracle: the arrays, row by row; NaN where all trainings failed."""
    arrays = make_arrays()
    arrays["failed"][:2] = [[True, False], [True, True]]
    np.savez(self.path, **arrays)
    folder = str(self.path.parent)
    self.assertIn("trained/my-photos", registry.benchmark_names(folder))
    table = registry.make_benchmark("trained/my-photos", folder)
    archs = jnp.asarray(arrays["ops"][:5], jnp.int32)
    seen, told = table.query(archs), table.report(archs)
    self.assertEqual(
      sorted(seen),
      sorted(
        [m for m in trained.METRICS if m[0] == "v"] + ["params_m", "flops_m"]
      ),
    )
    self.assertEqual(
      sorted(told), sorted(m for m in trained.METRICS if m[0] == "t")
    )
    self.assertEqual(
      (table.objective, table.test), ("valid_probability", "test_accuracy")
    )
    values = arrays["valid_probability"]
    expected = 100 * np.asarray([values[0, 1], np.nan, *values[2:5].mean(1)])
    np.testing.assert_allclose(seen["valid_probability"], expected, rtol=1e-5)
    np.testing.assert_allclose(
      told["test_accuracy"][2:], arrays["test_accuracy"][2:5].mean(1), rtol=1e-5
    )
    np.testing.assert_allclose(
      seen["params_m"], arrays["params_m"][:5], rtol=1e-5
    )

  def test_every_listed_name_can_be_loaded(self):
    """Oracle: the names; - and _ in a file's name are one."""
    folder = self.path.parent
    np.savez(folder / "trained_my-own_photos.npz", **make_arrays())
    self.assertEqual(trained.data_sets(folder), ["my-own-photos"])
    table = trained.load_trained("my-own-photos", directory=folder)
    self.assertEqual(table.name, "trained/my-own-photos")
    with self.assertRaisesRegex(FileNotFoundError, "trained_x.npz"):
      trained.load_trained("x", directory=folder)

  def test_missing_incomplete_and_foreign_files(self):
    """Oracle: the message."""
    with self.assertRaisesRegex(FileNotFoundError, "build_benchmark"):
      trained.load(self.path, name="x")
    arrays = make_arrays()
    np.savez(self.path, **(arrays | {"ops": arrays["ops"][:9]}))
    with self.assertRaisesRegex(ValueError, "each of the 15625 cells once"):
      trained.load(self.path, name="x")
    np.savez(self.path, ops=arrays["ops"])
    with self.assertRaisesRegex(ValueError, "no table"):
      trained.load(self.path, name="x")
    np.savez(self.path, **(arrays | {"header": json.dumps({"kind": "other"})}))
    with self.assertRaisesRegex(ValueError, "its kind is 'other'"):
      trained.load(self.path, name="x")
    self.path.write_bytes(b"nothing")
    with self.assertRaisesRegex(ValueError, "not a readable"):
      trained.load(self.path, name="x")


if __name__ == "__main__":
  absltest.main()
