"""Tests of nagjax.candidates.tasks and nagjax.candidates.triplets."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax import files
from nagjax.candidates import images as images_lib
from nagjax.candidates import tasks
from nagjax.candidates import train
from nagjax.candidates import triplets

RECIPE = train.Recipe(shift=0, flips=False)
RNG = np.random.default_rng(0)
IMAGES = images_lib.check(
  RNG.integers(0, 255, (120, 9, 7, 3), dtype=np.uint8), np.arange(120) % 6
)
LIMITS = tasks.Limits(
  resolutions=(4, 6),
  min_classes=2,
  max_classes=4,
  min_train=10,
  max_train=30,
  max_valid=12,
  gray_share=0.5,
)


def drawn(number, images=IMAGES):
  return tasks.draw(np.random.default_rng(number), images, LIMITS)


class LimitsTest(parameterized.TestCase):
  @parameterized.parameters(
    ({"resolutions": ()}, "resolutions"),
    ({"resolutions": (2,)}, "resolutions"),
    ({"min_classes": 1}, "min_classes"),
    ({"min_classes": 11}, "min_classes"),
    ({"min_train": 500}, "min_train"),
    ({"min_train": 5}, "at least 10"),
    ({"max_valid": 0}, "max_valid"),
    ({"gray_share": 1.5}, "gray_share"),
  )
  def test_refused(self, changed, message):
    """Oracle: the message names what is wrong."""
    with self.assertRaisesRegex(ValueError, message):
      tasks.Limits(**changed)


class DrawTest(absltest.TestCase):
  def test_properties(self):
    """Oracle: what a task is, of 40 of them."""
    seen = set()
    for number in range(40):
      task = drawn(number)
      both = np.concatenate([task.train, task.valid])
      self.assertLen(np.unique(both), len(both))
      self.assertContainsSubset(IMAGES.y[both].tolist(), task.classes.tolist())
      self.assertBetween(len(task.train), 10, 30)
      self.assertLessEqual(len(task.valid), 12)
      counts = [(IMAGES.y[task.train] == c).sum() for c in task.classes]
      self.assertLessEqual(max(counts) - min(counts), 1)
      seen.add((task.resolution, task.gray, len(task.classes)))
    self.assertEqual({s[0] for s in seen}, {4, 6})
    self.assertEqual({s[1] for s in seen}, {False, True})
    self.assertEqual({s[2] for s in seen}, {2, 3, 4})

  def test_same_seed_same_task(self):
    """Oracle: the same call; another seed has other images."""
    first, again, other = drawn(3), drawn(3), drawn(4)
    np.testing.assert_array_equal(first.train, again.train)
    self.assertFalse(np.array_equal(first.train, other.train))

  def test_too_few_images(self):
    """Oracle: the message."""
    few = images_lib.Labeled(IMAGES.x[:6], IMAGES.y[:6])
    with self.assertRaisesRegex(ValueError, "four of a class"):
      drawn(0, few)


class LookTest(absltest.TestCase):
  def test_gray_and_size(self):
    """Oracle: NumPy's mean of the channels; a constant stays constant."""
    task = drawn(0)._replace(resolution=9, gray=True)
    square = np.repeat(IMAGES.x[:2], 2, axis=2)[:, :, :9]
    shown = tasks.look(task, square)
    gray = np.broadcast_to(square.mean(-1, keepdims=True), (2, 9, 9, 3))
    np.testing.assert_allclose(shown, gray, rtol=1e-5)
    constant = np.full((1, 9, 7, 4), 5, np.float32)
    shown = tasks.look(task._replace(resolution=4, gray=False), constant)
    np.testing.assert_allclose(shown, np.full((1, 4, 4, 3), 5), rtol=1e-5)

  def test_prepare(self):
    """Oracle: mean 0, deviation 1, labels from 0, repeated images equal."""
    task = drawn(1)
    learn, choose = tasks.prepare(
      jax.random.key(0), task, IMAGES, LIMITS, RECIPE
    )
    num = len(task.train)
    side = task.resolution
    self.assertEqual(learn.x.shape, (30, side, side, 3))
    self.assertEqual(choose.x.shape, (12, side, side, 3))
    x, y = np.asarray(learn.x), np.asarray(learn.y)
    np.testing.assert_allclose(x[:num].mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x[:num].std((0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_array_equal(task.classes[y[:num]], IMAGES.y[task.train])
    np.testing.assert_array_equal(x[num:], x[: 30 - num])


class TripletsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory()), "t.npz"
    )
    self.found = triplets.Triplets(
      task=np.int32([0, 0, 1]),
      ops=np.int8([[1] * 6, [2] * 6, [3] * 6]),
      valid_accuracy=np.float32([50, 60, 70]),
      valid_cross_entropy=np.float32([1, 0.9, 0.8]),
      valid_probability=np.float32([0.4, 0.5, 0.6]),
      failed=np.asarray([False, True, False]),
      tasks=(drawn(0), drawn(1)),
      source=np.int32([0, 1]),
    )
    self.header = {"sources": [{"name": n, "sha256": "0"} for n in "ab"]}

  def test_round_trip(self):
    """Oracle: what was saved."""
    triplets.save(self.path, self.found, self.header)
    found, header = triplets.load(self.path)
    jax.tree.map(np.testing.assert_array_equal, found, self.found)
    self.assertEqual(header["sources"], self.header["sources"])

  @parameterized.named_parameters(
    ("task", {"task": np.int32([0, 0, 2])}, "task must be from 0 to 1"),
    ("source", {"source": np.int32([0, 2])}, "source must be from 0 to 1"),
    ("lengths", {"task": np.int32([0, 0])}, "ops"),
  )
  def test_refused(self, changed, message):
    """Oracle: one line that names the file."""
    triplets.save(self.path, self.found._replace(**changed), self.header)
    with self.assertRaisesRegex(files.FileError, f"t.npz.*{message}|{message}"):
      triplets.load(self.path)

  def test_a_file_without_sources_is_refused(self):
    """Oracle: the message."""
    triplets.save(self.path, self.found, {"sources": "none"})
    with self.assertRaisesRegex(files.FileError, "no sources"):
      triplets.load(self.path)


if __name__ == "__main__":
  absltest.main()
