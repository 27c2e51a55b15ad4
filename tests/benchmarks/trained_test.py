"""Tests of nagjax.benchmarks.trained."""

import hashlib
import importlib.resources
import json
import os
import pathlib
import tempfile

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build_benchmark
from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import epochs
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.spaces import nasbench201
from tests import data
from tests.experiments import runs

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

  def test_a_part_with_earlier_epochs(self):
    """Oracle: the arrays; what is absent is no architecture."""
    arrays = {k: v[:50] for k, v in make_arrays().items() if k != "header"}
    arrays["failed"][3] = [False, True]
    rng = np.random.default_rng(1)
    earlier = {
      epochs.at_epoch(f"valid_{metric}", epoch): rng.random((50, 2))
      for metric in ("accuracy", "probability")
      for epoch in (1, 10)
    }
    settings = {"num_representatives": 9, "recipe": {"num_epochs": 30}}
    header = json.dumps({"kind": trained.KIND, "settings": settings})
    np.savez(self.path, **arrays, **earlier, header=header)
    table = trained.load(self.path, name="x")
    self.assertEqual(table.num_rows, 50)
    self.assertEqual(table.space.num_architectures, 50)
    self.assertEqual(table.fidelities.names, ("1", "10", "30"))
    self.assertEqual(table.fidelities.costs, (1, 10, 30))
    self.assertTrue(table.fidelities.continues)
    archs = jnp.asarray(arrays["ops"][:5], jnp.int32)
    found = table.query_at(archs, jnp.asarray([0, 1, 2, 1, 0]))
    name = "valid_probability"
    one, ten = (earlier[epochs.at_epoch(name, epoch)] for epoch in (1, 10))
    expected = 100 * np.asarray(
      [one[0].mean(), ten[1].mean(), arrays[name][2].mean()]
      + [ten[3, 0], one[4].mean()]
    )
    np.testing.assert_allclose(found[name], expected, rtol=1e-5)
    np.testing.assert_array_equal(
      found["valid_cross_entropy"], table.query(archs)["valid_cross_entropy"]
    )
    late = {epochs.at_epoch("valid_accuracy", 30): arrays["valid_accuracy"]}
    np.savez(self.path, **arrays, **late, header=header)
    with self.assertRaisesRegex(ValueError, "epochs from 1 to 29"):
      trained.load(self.path, name="x")

  def test_settings(self):
    """Oracle: the header; other benchmarks have none."""
    folder, built = self.path.parent, {"num_train": 3}
    header = json.dumps({"kind": trained.KIND, "settings": built})
    np.savez(self.path, **(make_arrays() | {"header": header}))
    found = trained.settings("trained/my-photos", directory=folder)
    self.assertEqual(found, built)
    for name in ("synthetic", "nasbench201/cifar10", "trained/"):
      self.assertIsNone(trained.settings(name, directory=folder))

  def test_missing_incomplete_and_foreign_files(self):
    """Oracle: the message."""
    with self.assertRaisesRegex(FileNotFoundError, "build_benchmark"):
      trained.load(self.path, name="x")
    arrays = make_arrays()
    np.savez(self.path, **(arrays | {"ops": arrays["ops"][:9]}))
    with self.assertRaisesRegex(ValueError, r"\[15625, 6\], got int8\[9, 6\]"):
      trained.load(self.path, name="x")
    np.savez(self.path, ops=arrays["ops"])
    with self.assertRaisesRegex(ValueError, "no header"):
      trained.load(self.path, name="x")
    np.savez(self.path, **(arrays | {"header": json.dumps({"kind": "other"})}))
    with self.assertRaisesRegex(ValueError, "got the kind 'other'"):
      trained.load(self.path, name="x")
    self.path.write_bytes(b"nothing")
    with self.assertRaisesRegex(ValueError, "not a readable"):
      trained.load(self.path, name="x")


class DigitsEpochsTest(absltest.TestCase):
  """The small table that ships, with earlier epochs."""

  def test_the_table(self):
    """Oracle: its manifest; whole classes of cells; later epochs rank more
    like the last one."""
    folder = importlib.resources.files("nagjax.benchmarks") / "data"
    content = (folder / "digits_epochs.npz").read_bytes()
    manifest = json.loads((folder / "digits_epochs.manifest.json").read_text())
    self.assertEqual(manifest["sha256"], hashlib.sha256(content).hexdigest())
    self.assertLessEqual(len(content), 1e5)
    settings = trained.settings("digits-epochs")
    self.assertEqual(manifest["settings"], settings)
    table = registry.make_benchmark("digits-epochs")
    self.assertEqual(table.fidelities.costs, (1, 2, 3, 5, 10, 20, 30))
    archs = jnp.asarray(table.architectures())
    whole = nasbench201.nasbench201()
    classes = np.asarray(whole.index(whole.canonicalize(archs)))
    everything = jnp.asarray(whole.all_architectures())
    members = np.asarray(whole.index(whole.canonicalize(everything)))
    self.assertLen(np.unique(classes), settings["num_representatives"])
    self.assertEqual(int(np.isin(members, classes).sum()), table.num_rows)
    full = table.queried[table.objective]
    agreement = [
      statistics.rank_correlation(row, full).spearman
      for row in table.lower[table.objective]
    ]
    self.assertGreater(agreement[-1], 0.8)
    self.assertGreater(agreement[-1], agreement[0])


class DigitsTest(absltest.TestCase):
  """The table that ships."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = importlib.resources.files("nagjax.benchmarks") / "data"
    cls.content = (folder / "digits.npz").read_bytes()
    cls.manifest = json.loads((folder / "digits.manifest.json").read_text())
    with importlib.resources.as_file(folder / "digits.npz") as path:
      with np.load(path, allow_pickle=False) as file:
        cls.arrays = dict(file)

  def test_the_file_is_the_manifest_s(self):
    """Oracle: the checksum; the settings that the file itself names; 2 MB."""
    digest = hashlib.sha256(self.content).hexdigest()
    self.assertEqual(self.manifest["sha256"], digest)
    self.assertLessEqual(len(self.content), 2e6)
    header = json.loads(str(self.arrays["header"]))
    self.assertEqual(self.manifest["settings"], header["settings"])
    self.assertEqual(trained.settings("digits"), header["settings"])
    for word in self.manifest["command"]:
      value = word.partition("=")[2] or word
      self.assertFalse(os.path.isabs(value), word)

  def test_every_class_was_trained(self):
    """Oracle: the 6,466 classes of the space; isomorphic cells are equal."""
    ops = jnp.asarray(self.arrays["ops"], jnp.int32)
    space = nasbench201.nasbench201()
    isomorph = np.asarray(space.index(space.canonicalize(ops)))
    np.testing.assert_array_equal(self.arrays["isomorph"], isomorph)
    _, first, copies = np.unique(
      isomorph, return_index=True, return_inverse=True
    )
    self.assertLen(first, 6466)
    for name in trained.METRICS:
      column = self.arrays[name]
      np.testing.assert_array_equal(column, column[first][copies], name)
      self.assertTrue(np.isfinite(column).all(), name)

  def test_the_objective_repeats(self):
    """Oracle: the demanded reliability of the mean, over the better half."""
    values = self.arrays[trained.VALID_PROBABILITY]
    mean = values.mean(axis=1)
    better = values[mean >= np.median(mean)]
    self.assertGreaterEqual(statistics.reliability(better), 0.65)

  @data.needs_table("nb201.npz")
  def test_it_ranks_like_cifar10(self):
    """Oracle: the published test accuracies; .85 was aimed at."""
    table = trained.digits()
    archs = jnp.asarray(table.space.all_architectures())
    ours = table.query(archs)[table.objective]
    theirs = tabular.load_nasbench201("cifar10").report(archs)["test_accuracy"]
    found = statistics.rank_correlation(ours, theirs)
    self.assertGreaterEqual(found.spearman, 0.83)

  @pytest.mark.slow
  def test_the_manifest_s_command_trains_the_same_networks(self):
    """Oracle: the table, but for rounding, which training makes larger."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    command = self.manifest["command"][3:]
    code, _, err = runs.run_binary(
      build_benchmark,
      *(word for word in command if not word.startswith("--compare")),
      "--num_representatives=16",
      "--chunk_size=16",
      f"--workdir={folder / 'work'}",
      f"--output={folder / 'again.npz'}",
    )
    self.assertEqual(code, 0, err)
    with np.load(folder / "again.npz") as file:
      again = dict(file)
    _, first = np.unique(again["isomorph"], return_index=True)
    self.assertLen(first, 16)
    index = nasbench201.nasbench201().index
    place = {int(i): n for n, i in enumerate(index(self.arrays["ops"]))}
    rows = [place[int(i)] for i in index(again["ops"][first])]
    for name in ("params_m", "flops_m"):
      np.testing.assert_array_equal(
        again[name][first], self.arrays[name][rows], name
      )
    new = again[trained.VALID_PROBABILITY][first]
    old = self.arrays[trained.VALID_PROBABILITY][rows]
    self.assertLess(abs(float((new - old).mean())), 0.005)
    found = statistics.rank_correlation(new.mean(axis=1), old.mean(axis=1))
    self.assertGreater(found.spearman, 0.85)


if __name__ == "__main__":
  absltest.main()
