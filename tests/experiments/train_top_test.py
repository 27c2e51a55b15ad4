"""Tests of experiments.train_top."""

import csv
import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
import jax
import numpy as np
import pytest

from experiments.support import images as images_lib
from experiments.support import results
from experiments.support import training
from nagjax.candidates import images
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.spaces import nasbench201
from tests.experiments import runs

TINY = {
  "small": training.Preset(
    dataclasses.replace(train.SMALL, num_epochs=6, batch_size=16), 2, 1
  )
}


def tiny_task(folder):
  """Trainings on the two classes."""
  runs.write_images(folder / "images.npz", 80)
  with mock.patch.object(training, "PRESETS", TINY):
    return training.make_task(
      nasbench201.nasbench201(), folder / "images.npz", "small"
    )


def _seed_of(key):
  """Of `jax.random.key(seed)`."""
  return jax.random.key_data(key)[-1]


def rows_of(folder):
  with open(folder / "trained.csv", newline="") as file:
    return list(csv.DictReader(file))


@mock.patch.object(training, "PRESETS", TINY)
class TrainTopTest(runs.BinaryCase):
  def _run(self, *flags):
    return runs.run_binary(
      "train_top",
      f"--images={self.directory / 'images.npz'}",
      f"--workdir={self.workdir}",
      "--num_top=2",
      *flags,
    )

  @pytest.mark.slow
  def test_after_searches(self):
    """Oracle: the best of architectures.csv; an easy task; saved networks."""
    x, y = runs.write_images(self.directory / "images.npz", 80)
    searches = [runs.search_of(3)[0], runs.search_of(1, 3)[0]]
    out = self.assert_succeeds(
      self._run(*(f"--runs={search}" for search in searches))
    )
    self.assertIn("95 % interval", out)
    found = []
    for search in searches:
      with open(search / "architectures.csv", newline="") as file:
        found += list(csv.DictReader(file))
    best = max(found, key=lambda row: float(row["objective"]))
    rows = rows_of(self.workdir)
    self.assertLen(rows, 2)
    self.assertEqual(rows[0]["architecture"], best["architecture"])
    for row in rows:
      mean, low, high = (
        float(row[f"test_accuracy_{name}"]) for name in ("mean", "low", "high")
      )
      self.assertBetween(mean, low, high)
      self.assertGreater(mean, 90.0)
      network = store.load(self.workdir / row["network"])
      self.assertEqual(network.architecture, row["architecture"])
      labels = np.asarray(store.predict(network, x)).argmax(-1)
      self.assertGreater(np.mean(labels == y), 0.9)

  @pytest.mark.slow
  def test_interrupted_it_goes_on(self):
    """Oracle: the bytes of the run that nobody disturbed; the first cell is
    not trained again; other files of the directory stay."""
    runs.write_images(self.directory / "images.npz", 80)
    flags = [f"--runs={runs.search_of(3)[0]}"]
    save = store.save

    def save_first(path, network):
      if path.name != "network_1.npz":
        raise KeyboardInterrupt
      save(path, network)

    with mock.patch.object(store, "save", save_first):
      self.assertEqual(self._run(*flags)[0], 130)
    self.assertLen(rows_of(self.workdir), 1)
    other = [*flags, "--num_top=1"]
    self.assert_refused(self._run(*other), "another training", "--overwrite")
    (self.workdir / "network_best.npz").write_bytes(b"the user's")
    out = self.assert_succeeds(self._run(*flags))
    self.assertNotIn("Training 1", out)
    names = ["network_1.npz", "network_2.npz", "trained.csv"]
    first = {name: (self.workdir / name).read_bytes() for name in names}
    self.assert_succeeds(self._run(*flags, "--overwrite"))
    for name, content in first.items():
      self.assertEqual((self.workdir / name).read_bytes(), content, name)
    self.assert_succeeds(self._run(*other, "--overwrite"))
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(
      written, ["network_1.npz", "network_best.npz", "trained.csv"]
    )

  def test_nothing_feasible(self):
    """Oracle: exit code 2, one line."""
    runs.write_images(self.directory / "images.npz")
    limit = ("--constraint=params_m<=0.001", "--algorithm=random")
    search = self.directory / "search"
    self.assert_succeeds(
      runs.run(*limit, "--num_seeds=4", "--budget=60", f"--workdir={search}")
    )
    self.assert_refused(self._run(f"--runs={search}"), "nothing feasible")

  def test_divergence_is_recorded(self):
    """Oracle: one training of three has no finite loss, then all."""
    folder = self.directory
    space = nasbench201.nasbench201()
    task = tiny_task(folder)
    for bad in ((777,), training.SEEDS):
      saved: list = []

      def fit(key, arch, task, bad=bad):
        """Finite but for some seeds."""
        del arch, task
        metrics = train.Metrics(75.0, 0.5, 50.0)
        failed = int(_seed_of(key)) in bad
        return None, train.Outcome(metrics, metrics, np.bool_(failed))

      with (
        mock.patch.object(training, "fit", fit),
        mock.patch.object(
          store,
          "save",
          lambda path, network, to=saved: to.append(network),
        ),
      ):
        cells_3 = np.full((1, 6), 3, np.int32)
        training.train_top(task, space, cells_3, folder, overwrite=True)
      (row,) = rows_of(folder)
      self.assertEqual(int(row["num_failed"]), len(bad))
      if len(bad) < 3:
        self.assertEqual(row["test_accuracy_mean"], "75.0")
        (network,) = saved
        self.assertEqual(network.notes["seed"], 888)
      else:
        self.assertEqual((row["test_accuracy_mean"], row["network"]), ("", ""))
        self.assertEmpty(saved)


class TaskTest(absltest.TestCase):
  def test_no_image_that_the_search_chose_by_judges(self):
    """Oracle: the parts of the table, by their images; others of other data."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    x, y = runs.write_images(folder / "images.npz", 80)
    space = nasbench201.nasbench201()
    found = images.check(x, y)
    built = {
      "images_sha256": images_lib.digest(*found),
      "num_train": 40,
      "num_valid": 30,
    }
    parts = images.split(
      jax.random.key(images_lib.SPLIT_SEED),
      found,
      num_train=40,
      num_valid=30,
      recipe=train.SMALL,
      num_views=0,
    ).split
    make = functools.partial(
      training.make_task, space, folder / "images.npz", "small"
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
      objectives=np.zeros((4, 1)),
      violations=np.zeros((4, 0)),
    )
    chosen = training.best_distinct([found, found], space)
    np.testing.assert_array_equal(chosen, [twins[1], other])


if __name__ == "__main__":
  absltest.main()
