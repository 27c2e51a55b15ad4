"""Tests of experiments.build_meta."""

import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments import build_meta
from experiments.support import meta_building
from nagjax.candidates import train
from nagjax.candidates import triplets
from tests.experiments import runs

TINY = (
  "--num_tasks=3 --num_archs=12 --resolutions=4,6 --min_classes=2 "
  "--max_classes=3 --min_train=12 --max_train=20 --max_valid=20 "
  "--num_channels=1 --num_epochs=1 --batch_size=10"
).split()


def pretend(job, resolution, devices):
  """A program that needs no compiler: what it says depends on its input."""
  del devices

  def program(archs, learn, choose, key):
    del key
    assert learn.x.shape == (job.limits.max_train, resolution, resolution, 3)
    value = np.asarray(archs, np.float32) @ np.arange(6) + choose.x.mean()
    metrics = train.Metrics(value, value / 2, value / 100)
    return metrics, np.asarray(archs)[:, 0] == 4

  return program


def write_images(path, num_classes, shape, seed):
  rng = np.random.default_rng(seed)
  y = np.arange(60) % num_classes
  x = rng.integers(0, 255, (60, *shape), dtype=np.uint8)
  np.savez(path, x=x, y=y)


class BuildMetaTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    write_images(self.folder / "a.npz", 4, (8, 8, 3), 0)
    write_images(self.folder / "b.npz", 3, (7, 5, 1), 1)

  def flags(self, name, *more):
    return [
      f"--images={self.folder / 'a.npz'}",
      f"--images={self.folder / 'b.npz'}",
      f"--output={self.folder / name}.npz",
      f"--workdir={self.folder / name}",
      *TINY,
      *more,
    ]

  def run_pretending(self, *flags):
    with mock.patch.object(meta_building, "_program", pretend):
      return runs.run_binary(build_meta, *flags)

  def test_the_triplets(self):
    """Oracle: properties, and what the pretended program says."""
    code, out, err = self.run_pretending(*self.flags("t"))
    self.assertEqual(code, 0, err)
    self.assertIn("36 triplets of 3 tasks", out)
    found, header = triplets.load(self.folder / "t.npz")
    self.assertEqual([s["name"] for s in header["sources"]], ["a.npz", "b.npz"])
    np.testing.assert_array_equal(found.source, [0, 1, 0])
    np.testing.assert_array_equal(found.task, np.repeat([0, 1, 2], 12))
    for task in range(3):
      ops = found.ops[found.task == task]
      self.assertLen(np.unique(ops, axis=0), 12)
      said = found.valid_accuracy[found.task == task]
      said = said - ops.astype(np.float32) @ np.arange(6)
      np.testing.assert_allclose(said, said[0], atol=1e-4)
    np.testing.assert_array_equal(found.failed, found.ops[:, 0] == 4)
    self.assertTrue(found.tasks[1].gray)

  @pytest.mark.slow
  def test_goes_on_and_grows(self):
    """Oracle: a run that nobody disturbed."""
    self.run_pretending(*self.flags("whole"))
    code, _, _ = self.run_pretending(*self.flags("part", "--num_tasks=1"))
    self.assertEqual(code, 0)
    (self.folder / "part.npz").unlink()
    first = self.folder / "part/task_00000.npz"
    before = first.stat().st_mtime_ns
    self.run_pretending(*self.flags("part"))
    self.assertEqual(first.stat().st_mtime_ns, before)
    whole, _ = triplets.load(self.folder / "whole.npz")
    again, _ = triplets.load(self.folder / "part.npz")
    for name in triplets.COLUMNS:
      np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
    code, _, err = self.run_pretending(
      *self.flags("part", "--num_epochs=2", "--overwrite")
    )
    self.assertEqual(code, 2)
    self.assertIn("other settings", err)
    shutil.copy(first, self.folder / "part/task_00001.npz")
    code, _, err = self.run_pretending(*self.flags("part", "--overwrite"))
    self.assertEqual(code, 2)
    self.assertIn("of other cells. Delete task_00001.npz", err)

  @parameterized.parameters(
    ("--max_classes=1", "max_classes"),
    ("--resolutions=2,8", "resolutions"),
    ("--resolutions=a", "--resolutions: "),
    ("--min_train=30", "min_train"),
    ("--gray_share=2", "gray_share"),
    ("--images=nowhere.npz", "nowhere.npz"),
  )
  def test_refused(self, flag, message):
    """Oracle: one line on stderr, exit code 2, and nothing written."""
    code, _, err = self.run_pretending(*self.flags("r", flag))
    self.assertEqual(code, 2)
    self.assertIn(message, err)
    self.assertEqual(err.count("\n"), 1)
    self.assertFalse((self.folder / "r.npz").exists())

  def test_too_few_images(self):
    """Oracle: one line on stderr."""
    np.savez(
      self.folder / "b.npz",
      x=np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1),
      y=np.arange(4) % 2,
    )
    code, _, err = self.run_pretending(*self.flags("r"))
    self.assertEqual(code, 2)
    self.assertIn("four of a class", err)

  @pytest.mark.slow
  def test_trains(self):
    """Oracle: chance: cells that see what tells two classes apart beat it."""
    y = np.arange(60) % 2
    x = np.random.default_rng(0).integers(0, 90, (60, 8, 8, 3))
    x[y == 1] += 120
    np.savez(self.folder / "a.npz", x=x.astype(np.uint8), y=y)
    code, _, err = runs.run_binary(
      build_meta,
      *self.flags(
        "t",
        *("--num_tasks=1", "--num_archs=2", "--resolutions=4"),
        *("--num_channels=4", "--num_epochs=8", "--max_classes=2"),
      ),
    )
    self.assertEqual(code, 0, err)
    found, _ = triplets.load(self.folder / "t.npz")
    self.assertFalse(found.failed.any())
    self.assertGreater(found.valid_accuracy.max(), 80)


if __name__ == "__main__":
  absltest.main()
