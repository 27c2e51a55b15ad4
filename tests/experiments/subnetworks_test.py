"""Tests of what is done with a super-network's file: searches, trainings."""

import csv
import dataclasses
import json

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import supernet_ranking
from experiments import train_top
from experiments.support import images as image_files
from experiments.support import subnetworks
from nagjax.candidates import images as images_lib
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark as benchmark
from nagjax.candidates.train import Images
from tests.experiments import runs

CARD = benchmark.Card("autoformer/small32", 8, 3, 3)
RECIPE = supernet.Recipe(
  (supernet.Phase(9, 3e-3, 1, 1),),
  batch_size=12,
  optimizer="adamw",
  shift=0,
  flips=False,
)
MEAN, DEVIATION = 50.0, 40.0


class SubNetworksTest(runs.BinaryCase):
  def setUp(self):
    """A file as of 36 of 54 images of three colors, but never trained."""
    super().setUp()
    rng = np.random.default_rng(0)
    y = np.arange(54, dtype=np.int32) % 3
    x = rng.integers(0, 60, (54, 8, 8, 3))
    x = x + 90 * np.eye(3, dtype=int)[y][:, None, None]
    self.images = self.directory / "images.npz"
    np.savez(self.images, x=x.astype(np.uint8), y=y)
    order = images_lib.order_of(jax.random.key(image_files.SPLIT_SEED), 54)
    self.x, self.y = x[order], y[order]
    few = Images(jnp.asarray(self.x[:6], jnp.uint8), jnp.asarray(self.y[:6]))
    self.table = benchmark.SuperNet(
      weights=CARD.make().init(jax.random.key(0)),
      valid_images=few,
      test_images=few,
      calibration=few.x[:0],
      mean=jnp.full(3, MEAN),
      deviation=jnp.full(3, DEVIATION),
      latencies={},
      name="supernet",
      card=CARD,
    )
    labeled = image_files.read(str(self.images))
    recipe = json.loads(json.dumps(dataclasses.asdict(RECIPE)))
    settings = {
      "recipe": recipe,
      "images": "images.npz",
      "images_sha256": image_files.digest(*labeled),
      "num_train": 36,
      "num_valid": 6,
    }
    self.file = self.directory / "supernet_colors.npz"
    benchmark.save(self.file, self.table, {"settings": settings})

  @pytest.mark.slow
  def test_search_and_train_the_best(self):
    """Oracle: an easy task, and a second judgment of the saved network by the
    images that neither training has seen; a limit that excludes everything."""
    search = self.directory / "search"
    command = (
      *("--algorithm=random", "--benchmark=supernet/colors", "--budget=4"),
      *("--num_seeds=1", f"--data_dir={self.directory}"),
      f"--workdir={search}",
    )
    self.assert_refused(
      runs.run(*command, "--constraint=params_m<=0.001"),
      "No sub-network of supernet/colors meets params_m<=0.001",
    )
    self.assert_succeeds(runs.run(*command))
    flags = (
      *(f"--runs={search}", f"--images={self.images}", "--num_top=1"),
      *(f"--data_dir={self.directory}", f"--workdir={self.workdir}"),
    )
    self.assert_succeeds(runs.run_binary(train_top, *flags, "--num_epochs=8"))
    with open(self.workdir / "trained.csv", newline="") as file:
      (row,) = csv.DictReader(file)
    with open(search / "architectures.csv", newline="") as file:
      best = next(csv.DictReader(file))
    self.assertEqual(row["architecture"], best["architecture"])
    self.assertGreater(float(row["test_accuracy_mean"]), 80.0)
    found = benchmark.load(self.workdir / row["network"], name="x")
    np.testing.assert_array_equal(found.test_images.x, self.x[42:])
    arch = found.space.from_string(row["architecture"])
    predict = jax.jit(benchmark.predict)
    logits = predict(found, jnp.asarray(arch), jnp.asarray(self.x[42:]))
    hits = np.asarray(logits).argmax(1) == self.y[42:]
    self.assertGreater(hits.mean(), 0.8)
    self.assert_refused(
      runs.run_binary(train_top, *flags, "--inherit"), "another training"
    )

  @pytest.mark.slow
  def test_the_ranking(self):
    """Oracle: what is printed, from the table; the images by hand; a second
    run of more networks trains those alone that are missing."""
    flags = (
      *(f"--weights={self.file}", f"--images={self.images}", "--num=4"),
      *("--num_epochs=1", f"--workdir={self.workdir}"),
    )
    self.assert_succeeds(runs.run_binary(supernet_ranking, *flags))
    lines = (self.workdir / "trained.csv").read_text().splitlines()
    self.assertLen(lines, 5)
    flags = (*flags, "--num=5")
    out = self.assert_succeeds(runs.run_binary(supernet_ranking, *flags))
    self.assertNotIn("4 of 5", out)
    self.assertIn("5 sub-networks, Spearman correlations", out)
    with open(self.workdir / "trained.csv", newline="") as file:
      rows = list(csv.DictReader(file))
    self.assertLen(rows, 5)
    low = min(float(row["alone_accuracy"]) for row in rows)
    self.assertIn(f"alone_accuracy: {low:.1f} to", out)
    task = subnetworks.make_task(self.file, str(self.images), 1)
    np.testing.assert_array_equal(task.table.valid_images.x, self.x[36:42])
    np.testing.assert_allclose(
      task.images.x, (self.x[:36] - MEAN) / DEVIATION, rtol=1e-6
    )
    self.assertEqual(task.recipe.phases[0][:4], (1, 3e-3, 1, 0))
    np.savez(
      self.images, x=np.arange(54 * 48).reshape(54, 4, 4, 3) / 9, y=self.y
    )
    self.assert_refused(
      runs.run_binary(supernet_ranking, *flags),
      "is of images of 8 x 8 x 3 and 3 classes, got 4 x 4 x 3 and 3",
    )


class IntervalTest(absltest.TestCase):
  def test_spearman_interval(self):
    """Oracle: Fisher's interval of 0.5 among 28 pairs, by hand."""
    low, high = supernet_ranking.spearman_interval(0.5, 28)
    center, half = 0.549306, 1.959964 * (1.125 / 25) ** 0.5
    self.assertAlmostEqual(low, np.tanh(center - half), places=5)
    self.assertAlmostEqual(high, np.tanh(center + half), places=5)
    self.assertTrue(np.isnan(supernet_ranking.spearman_interval(0.5, 3)).all())


if __name__ == "__main__":
  absltest.main()
