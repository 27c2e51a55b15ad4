"""Tests of experiments.train_supernet; see also candidates.supernet."""

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments import train_supernet
from nagjax import files
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark
from tests.experiments import runs

SMALL = (
  "--network=autoformer/small32 --images=images.npz --num_epochs=3 "
  "--batch_size=8"
).split()


class TrainTest(runs.BinaryCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    x = (
      rng.integers(0, 60, (36, 8, 8, 3))
      + 60 * np.eye(3, dtype=int)[y][:, None, None]
    )
    self.images = self.directory / "images.npz"
    np.savez(self.images, x=x.astype(np.uint8), y=y)

  def run_small(self, name, *more):
    return runs.run_binary(
      train_supernet,
      *SMALL[:1],
      f"--images={self.images}",
      *SMALL[2:],
      f"--output={self.directory / f'supernet_{name}.npz'}",
      f"--workdir={self.directory / name}",
      *more,
    )

  @pytest.mark.slow
  def test_killed_it_continues_and_gives_the_same_file(self):
    """Oracle: the run that nobody disturbed; its flags, in the file; sizes of
    its parts by hand; what is printed, from the file."""
    out = self.assert_succeeds(self.run_small("a"))
    path = self.directory / "supernet_a.npz"
    found = supernet_benchmark.load_supernet("a", directory=self.directory)
    self.assertEqual(found.card.network, "autoformer/small32")
    self.assertEqual(found.card[1:], (8, 3, 3, 1.0))
    for images, num in ((found.valid_images, 6), (found.test_images, 6)):
      self.assertEqual(images.x.shape, (num, 8, 8, 3))
    settings = files.read_header(path, supernet_benchmark.KIND)["notes"]
    settings = settings["settings"]
    self.assertEqual(settings["num_train"], 24)
    self.assertEqual(settings["recipe"]["batch_size"], 8)
    self.assertEqual(settings["recipe"]["phases"][0][0], 3)
    largest = found.card.make().largest
    accuracy = float(found.query(largest[None])["valid_accuracy"][0])
    self.assertIn(f"largest: {accuracy:.1f} % to choose by", out)

    with runs.killed_after(2):
      code, _, err = self.run_small("b")
    self.assertEqual(code, 130)
    self.assertIn("state after the last epoch", err)
    self.assertFalse((self.directory / "supernet_b.npz").exists())
    self.assert_succeeds(self.run_small("b"))
    for name in ("supernet_{}.npz", "{}/metrics.csv"):
      self.assertEqual(
        (self.directory / name.format("b")).read_bytes(),
        (self.directory / name.format("a")).read_bytes(),
      )
    self.assert_refused(self.run_small("a"), "--overwrite")
    self.assert_refused(
      self.run_small("a", "--overwrite", "--seed=1"), "other settings"
    )

    again = self.run_small("c", f"--weights={path}", "--num_valid=9")
    self.assert_succeeds(again)
    other = supernet_benchmark.load_supernet("c", directory=self.directory)
    self.assertEqual(len(other.valid_images.y), 9)
    # The last six of them are the same, by the same normalization.
    np.testing.assert_allclose(
      other.valid_images.x[3:], found.valid_images.x, atol=1e-4
    )
    np.savez(
      self.images,
      x=np.zeros((8, 4, 4, 3)) + np.eye(8)[:, :4, None, None],
      y=[0, 1] * 4,
    )
    self.assert_refused(
      self.run_small("d", f"--weights={path}"),
      "is of images of 8 x 8 x 3 and 3 classes, got 4 x 4 x 3 and 2",
    )

  def test_images_that_are_not_square(self):
    """Oracle: the documented error."""
    np.savez(
      self.images,
      x=np.arange(6 * 8 * 4 * 3).reshape(6, 8, 4, 3) / 9,
      y=[0, 1] * 3,
    )
    self.assert_refused(self.run_small("d"), "square, got 8 x 4 pixels")


class PresetTest(parameterized.TestCase):
  @parameterized.parameters((1, 0), (2, 1), (30, 1))
  def test_a_shorter_preset(self, num_epochs, warmup):
    """Oracle: the preset, whose warm-up ends before the training does."""
    values = train_supernet.flags.define(train_supernet.FLAGS)
    values(["program", f"--num_epochs={num_epochs}", "--num_random=2"])
    recipe = train_supernet.make_recipe(values)
    expected = (
      supernet.PRESETS["mobilenetv3", "cpu"]
      .phases[0]
      ._replace(num_epochs=num_epochs, warmup_epochs=warmup, num_random=2)
    )
    self.assertEqual(recipe.phases, (expected,))

  def test_published_phases(self):
    """Oracle: the official program's table of phases."""
    phases = supernet.PRESETS["mobilenetv3", "paper"].phases[1:]
    rows = [
      (p.num_epochs, round(p.learning_rate / 32, 6), p.num_random)
      for p in phases
    ]
    expected = [(120, 3e-2, 1), (25, 2.5e-3, 2), (120, 7.5e-3, 2)]
    expected += [(25, 2.5e-3, 4), (120, 7.5e-3, 4)]
    self.assertEqual(rows, expected)
    paper = supernet.PRESETS["autoformer", "paper"]
    self.assertEqual((paper.rule, paper.num_epochs), ("single_path", 500))
    self.assertEqual(paper.phases[0].learning_rate, 5e-4 * 1024 / 512)


if __name__ == "__main__":
  absltest.main()
