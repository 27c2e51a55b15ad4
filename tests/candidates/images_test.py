"""Tests of nagjax.candidates.images."""

import pathlib
import tempfile
import zipfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax.candidates import images
from nagjax.candidates import train

RECIPE = train.Recipe(shift=1, flips=False, noise=0.1)
X = np.random.default_rng(0).integers(0, 255, (20, 4, 5, 3), dtype=np.uint8)
Y = np.arange(20) % 3


class LoadTest(parameterized.TestCase):
  def path(self):
    return pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory()), "i.npz"
    )

  @parameterized.named_parameters(
    ("rank", X[0], Y, "shape"),
    ("layout", X.transpose(0, 3, 1, 2), Y, r"x.transpose\(0, 2, 3, 1\)"),
    ("channels", X[..., :2], Y, "1, 3 or 4 channels"),
    ("nan", np.full(X.shape, np.nan), Y, "finite"),
    ("text", X.astype("S4"), Y, "uint8 or float"),
    ("integers", X.astype(np.int32), Y, "uint8 or float"),
    ("constant", np.ones(X.shape), Y, "constant"),
    ("one_class", X, 0 * Y, "two classes"),
    ("negative", X, Y - 1, "from 0"),
    ("gap", X, 2 * Y, "without a gap"),
    ("lengths", X, Y[:5], "20 integers"),
    ("float_labels", X, Y + 0.0, "integers"),
    ("no_images", X[:0], Y[:0], "shape"),
  )
  def test_refused(self, x, y, message):
    """Oracle: one line that names the file and what was expected."""
    path = self.path()
    np.savez(path, x=x, y=y)
    with self.assertRaisesRegex(ValueError, message) as caught:
      images.load(path)
    self.assertIn(str(path), str(caught.exception))
    self.assertNotIn("\n", str(caught.exception))

  def test_missing_damaged_and_incomplete_files(self):
    """Oracle: the message."""
    path = self.path()
    with self.assertRaisesRegex(ValueError, "got no file"):
      images.load(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with self.assertRaisesRegex(ValueError, "i.npz"):
      images.load(path)
    path.write_bytes(b"")
    with self.assertRaisesRegex(ValueError, "i.npz"):
      images.load(path)
    with zipfile.ZipFile(path, "w") as file:
      file.writestr("x", "text")
    with self.assertRaisesRegex(ValueError, "i.npz.*x is no array"):
      images.load(path)
    np.savez(path, x=X)
    with self.assertRaisesRegex(ValueError, "no file|no array"):
      images.load(path)
    np.savez(path, x=np.asarray([object()]), y=Y, allow_pickle=True)
    with self.assertRaisesRegex(ValueError, "i.npz"):
      images.load(path)

  def test_accepted(self):
    """Oracle: what was written."""
    path = self.path()
    np.savez(path, x=X, y=Y)
    found = images.load(path)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)
    self.assertEqual(found.num_classes, 3)


class SplitTest(absltest.TestCase):
  def make(self, **changes):
    options = {"num_train": 10, "num_valid": 4, "recipe": RECIPE} | changes
    prepared = images.split(jax.random.key(0), images.check(X, Y), **options)
    return prepared.split

  def test_parts(self):
    """Oracle: sizes; every image once; zero mean and unit deviation."""
    parts = self.make(num_views=0)
    self.assertEqual([len(p.y) for p in parts], [10, 4, 6])
    np.testing.assert_allclose(parts.train.x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(parts.train.x.std((0, 1, 2)), 1, atol=1e-5)
    joined = np.concatenate(
      [np.asarray(p.x)[..., 0].reshape(-1, 20) for p in parts]
    )
    original = X[..., 0].reshape(-1, 20).astype(np.float64)
    correlation = np.corrcoef(joined, original)[:20, 20:]
    np.testing.assert_array_equal(np.sort(correlation.argmax(1)), np.arange(20))
    self.assertGreater(correlation.max(1).min(), 0.999)

  def test_views_are_augmented_copies(self):
    """Oracle: the number of images and their labels; no two alike."""
    plain, seen = self.make(num_views=0), self.make(num_views=3)
    np.testing.assert_array_equal(seen.valid.y, np.tile(plain.valid.y, 3))
    self.assertLen(np.unique(np.asarray(seen.test.x), axis=0), 18)
    np.testing.assert_array_equal(seen.train.x, plain.train.x)

  def test_impossible_sizes(self):
    """Oracle: the message."""
    with self.assertRaisesRegex(ValueError, "must leave some of the 20"):
      self.make(num_train=16, num_valid=4)
    with self.assertRaisesRegex(ValueError, "no image among the 2"):
      self.make(num_train=2)


if __name__ == "__main__":
  absltest.main()
