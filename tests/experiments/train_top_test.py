"""Tests of experiments.train_top, by itself and as flags of a search."""

import csv
import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from experiments import build_benchmark
from experiments import results
from experiments import train_top
from nagjax.candidates import cells
from nagjax.candidates import images
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.spaces import nasbench201
from tests.experiments import runs

TINY = {
  "small": train_top.Preset(
    dataclasses.replace(train.SMALL, num_epochs=6, batch_size=16), 2, 1
  )
}


def write_images(path):
  """Two classes that differ in their mean."""
  rng = np.random.default_rng(0)
  y = np.arange(80) % 2
  x = rng.normal(size=(80, 4, 4, 1)) + 4.0 * y[:, None, None, None]
  np.savez(path, x=x, y=y)
  return x, y


def tiny_task(folder, num):
  """Trainings of `num` cells on the two classes."""
  write_images(folder / "images.npz")
  with mock.patch.object(train_top, "PRESETS", TINY):
    return train_top.make_task(
      nasbench201.nasbench201(), num, folder / "images.npz", "small"
    )


class TrainTopTest(absltest.TestCase):
  @mock.patch.object(train_top, "PRESETS", TINY)
  def test_after_a_merge(self):
    """Oracle: the best of architectures.csv; an easy task; saved networks."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    x, y = write_images(folder / "images.npz")
    flags = ["--train_top=2", f"--images={folder / 'images.npz'}"]
    code, _, err = runs.run(
      "--algorithm=random",
      "--num_seeds=2",
      "--budget=20",
      f"--workdir={folder / 'search'}",
    )
    self.assertEqual(code, 0, err)
    code, out, err = runs.run(
      f"--merge={folder / 'search'}", f"--workdir={folder / 'top'}", *flags
    )
    self.assertEqual(code, 0, err)
    self.assertIn("95 % interval", out)
    with open(folder / "top" / "trained.csv", newline="") as file:
      rows = list(csv.DictReader(file))
    with open(folder / "search" / "architectures.csv", newline="") as file:
      best = next(csv.DictReader(file))
    self.assertLen(rows, 2)
    self.assertEqual(rows[0]["architecture"], best["architecture"])
    for row in rows:
      mean, low, high = (
        float(row[f"test_accuracy_{name}"]) for name in ("mean", "low", "high")
      )
      self.assertBetween(mean, low, high)
      self.assertGreater(mean, 90.0)
      network = store.load(folder / "top" / row["network"])
      self.assertEqual(network.architecture, row["architecture"])
      labels = np.asarray(store.predict(network, x)).argmax(-1)
      self.assertGreater(np.mean(labels == y), 0.9)

  @mock.patch.object(train_top, "PRESETS", TINY)
  def test_after_a_search_in_one_command(self):
    """Oracle: as above; what an older training left goes."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    write_images(folder / "images.npz")
    (folder / "network_7.npz").write_bytes(b"old")
    (folder / "network_best.npz").write_bytes(b"the user's")
    flags = [
      "--algorithm=random",
      "--num_seeds=2",
      "--budget=20",
      f"--workdir={folder}",
      "--train_top=1",
      f"--images={folder / 'images.npz'}",
    ]
    code, _, err = runs.run(*flags)
    self.assertEqual(code, 2)
    self.assertIn("holds network_7.npz", err)
    code, out, err = runs.run(*flags, "--overwrite")
    self.assertEqual(code, 0, err)
    self.assertLess(out.index("Wrote summary.json"), out.index("Training 1"))
    networks = sorted(path.name for path in folder.glob("network_*"))
    self.assertEqual(networks, ["network_1.npz", "network_best.npz"])
    with open(folder / "trained.csv", newline="") as file:
      (row,) = csv.DictReader(file)
    self.assertEqual((row["num_seeds"], row["num_failed"]), ("3", "0"))

  def test_nothing_feasible(self):
    """Oracle: exit code 2, one line; the search's results are there."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    write_images(folder / "images.npz")
    code, _, err = runs.run(
      "--algorithm=random",
      "--num_seeds=1",
      "--budget=10",
      "--constraint=params_m<=0.001",
      f"--workdir={folder}",
      "--train_top=1",
      f"--images={folder / 'images.npz'}",
    )
    self.assertEqual(code, 2)
    self.assertIn("nothing feasible", err.splitlines()[-1])
    self.assertTrue((folder / "summary.json").exists())

  def test_divergence_is_recorded(self):
    """Oracle: trainings made to fail; one of three, then all."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    space = nasbench201.nasbench201()
    task = tiny_task(folder, 1)
    for bad in ((777,), train_top.SEEDS):

      def some_fail(key, arch, images, config, recipe, bad=bad):
        del images, recipe
        fails = jnp.any(
          jnp.stack(
            [
              jnp.all(
                jax.random.key_data(key)
                == jax.random.key_data(jax.random.key(seed))
              )
              for seed in bad
            ]
          )
        )
        model = cells.init(key, arch, config)
        return jax.tree.map(lambda a: jnp.where(fails, jnp.nan, a), model)

      with mock.patch.object(train, "fit", some_fail):
        train_top.remove(folder)
        train_top.train_top(task, space, np.full((1, 6), 3, np.int32), folder)
      with open(folder / "trained.csv", newline="") as file:
        (row,) = csv.DictReader(file)
      self.assertEqual(int(row["num_failed"]), len(bad))
      if len(bad) < 3:
        self.assertBetween(float(row["test_accuracy_mean"]), 0, 100)
        network = store.load(folder / row["network"])
        self.assertEqual(network.notes["seed"], 888)
      else:
        self.assertEqual((row["test_accuracy_mean"], row["network"]), ("", ""))
        self.assertEmpty(list(folder.glob("network_*")))

  def test_an_interruption_loses_one_cell(self):
    """Oracle: the row and the network of the first cell."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    space = nasbench201.nasbench201()
    task = tiny_task(folder, 2)
    archs = np.asarray([[3] * 6, [2] * 6], np.int32)
    save = store.save

    def save_first(path, network):
      if path.name != "network_1.npz":
        raise KeyboardInterrupt
      save(path, network)

    with (
      mock.patch.object(store, "save", save_first),
      self.assertRaises(KeyboardInterrupt),
    ):
      train_top.train_top(task, space, archs, folder)
    with open(folder / "trained.csv", newline="") as file:
      (row,) = csv.DictReader(file)
    self.assertEqual(row["architecture"], space.to_string([3] * 6))
    self.assertTrue((folder / "network_1.npz").exists())


class TaskTest(absltest.TestCase):
  def test_no_image_that_the_search_chose_by_judges(self):
    """Oracle: the parts of the table, by their images; others of other data."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    x, y = write_images(folder / "images.npz")
    space = nasbench201.nasbench201()
    found = images.check(x, y)
    built = {
      "images_sha256": build_benchmark.digest(*found),
      "num_train": 40,
      "num_valid": 30,
    }
    parts = images.split(
      jax.random.key(build_benchmark.SPLIT_SEED),
      found,
      num_train=40,
      num_valid=30,
      recipe=train.SMALL,
      num_views=0,
    ).split
    make = functools.partial(
      train_top.make_task, space, 1, folder / "images.npz", "small"
    )
    split = make(built).images.split
    np.testing.assert_array_equal(split.test.x, parts.test.x)
    np.testing.assert_array_equal(split.train.x, parts.train.x)
    for other in (None, built | {"images_sha256": "another"}):
      self.assertLen(make(other).images.split.test.y, 16)


class BestDistinctTest(absltest.TestCase):
  def test_order_and_isomorphic_cells(self):
    """Oracle: by hand; x -> node 1 and x -> node 2 swap under isomorphism."""
    space = nasbench201.nasbench201()
    twins = [[3, 0, 0, 1, 0, 0], [3, 1, 0, 1, 0, 0]]  # The rest feeds nothing.
    self.assertLen(
      np.unique(np.asarray(space.canonicalize(np.asarray(twins))), axis=0), 1
    )
    other, infeasible = [3] * 6, [2] * 6
    found = results.Found(
      archs=np.asarray([*twins, other, infeasible], np.int32),
      objective=np.asarray([1.0, 3.0, 2.0, 9.0]),
      test=np.zeros(4),
      feasible=np.asarray([True, True, True, False]),
      num_seeds=np.ones(4),
    )
    chosen = train_top.best_distinct([found, found], space)
    np.testing.assert_array_equal(chosen, [twins[1], other])


class RefusedTest(parameterized.TestCase):
  @parameterized.parameters(
    ("--train_top=1", "needs --images"),
    ("--train_top=1 --images=absent.npz", "no file"),
  )
  def test_before_anything_runs(self, flags, message):
    """Oracle: exit code 2, one line, no results."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    code, _, err = runs.run(f"--workdir={folder / 'r'}", *flags.split())
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn(message, err)
    self.assertFalse((folder / "r" / "summary.json").exists())


if __name__ == "__main__":
  absltest.main()
