"""Tests of nagjax.surrogates.coreset."""

import itertools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.surrogates import coreset


def blobs(seed=0, num=12, size=4):
  """Two classes, each of three far clusters."""
  rng = np.random.default_rng(seed)
  centers = 10 * rng.normal(size=(2, 3, size))
  labels = np.tile([0, 1], num // 2 * 3)
  which = np.arange(len(labels)) // 2 % 3
  x = centers[labels, which] + 0.1 * rng.normal(size=(len(labels), size))
  return x.astype(np.float32), labels, which


def oracle_kmeans(features, centroids):
  """The facts' steps, sample by sample, with a list of members."""
  centroids = [np.asarray(c, np.float64) for c in centroids]
  num_steps = 0
  while num_steps < 100:
    members = [[] for _ in centroids]
    for x in features:
      distances = [np.sqrt(np.sum((x - c) ** 2)) for c in centroids]
      members[distances.index(min(distances))].append(x)
    moved = [
      np.mean(m, axis=0) if m else np.zeros(len(features[0])) for m in members
    ]
    shift = sum(
      np.sum((a - b) ** 2) for a, b in zip(moved, centroids, strict=True)
    )
    centroids, num_steps = moved, num_steps + 1
    if shift <= 1e-4:
      break
  return np.stack(centroids), num_steps


class KmeansTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2)
  def test_the_published_steps(self, seed):
    """Oracle: the facts' steps in loops, from a start with a repeated row."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 3))
    rows = rng.integers(40, size=6)
    rows[1] = rows[0]
    expected, num_steps = oracle_kmeans(features, features[rows])
    self.assertBetween(num_steps, 2, 99)
    found = coreset.kmeans(features, features[rows])
    np.testing.assert_allclose(found, expected, atol=1e-12)

  def test_an_empty_cluster_goes_to_the_origin(self):
    """Oracle: by hand; the second of two equal centroids owns nothing, and at
    the origin it then owns the sample that lies there."""
    features = np.asarray([[5.0], [6.0], [1.0]])
    start = np.asarray([[5.0], [5.0]])
    once = coreset.kmeans(features, start, max_steps=1)
    np.testing.assert_allclose(once, [[4.0], [0.0]])
    np.testing.assert_allclose(coreset.kmeans(features, start), [[5.5], [1.0]])

  def test_it_stops_after_some_steps(self):
    """Oracle: the same number of single steps; a large shift ends at once."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(50, 2))
    step = features[:5]
    for _ in range(3):
      step = coreset.kmeans(features, step, max_steps=1)
    found = coreset.kmeans(features, features[:5], max_steps=3)
    np.testing.assert_allclose(found, step)
    one = coreset.kmeans(features, features[:5], max_shift=1e9)
    np.testing.assert_allclose(
      one, coreset.kmeans(features, features[:5], max_steps=1)
    )

  def test_centroids_of_another_width(self):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, r"\[k, 3\]"):
      coreset.kmeans(np.zeros((4, 3)), np.zeros((2, 4)))


class CoresetTest(parameterized.TestCase):
  def test_nearest(self):
    """Oracle: brute force; centroids more and fewer than samples."""
    rng = np.random.default_rng(0)
    for num, num_centroids in ((7, 3), (3, 7)):
      features = rng.normal(size=(num, 4))
      centroids = rng.normal(size=(num_centroids, 4))
      expected = [
        min(range(num), key=lambda i, c=c: np.linalg.norm(features[i] - c))
        for c in centroids
      ]
      found = coreset.nearest(features, centroids)
      np.testing.assert_array_equal(found, expected)

  @parameterized.parameters("published", "sklearn")
  def test_one_image_of_every_cluster(self, which):
    """Oracle: the clusters that the images were drawn from; of each the sample
    nearest to its mean."""
    features, labels, clusters = blobs()
    if which == "sklearn":
      pytest.importorskip("sklearn")
      find = None
    else:

      def find(rng, own, num):
        # One start in each cluster.
        rows = [0, 1, 2]
        del rng, num
        return coreset.kmeans(own, own[rows])

    rows = coreset.coreset(features, labels, num_images=3, centroid_fn=find)
    for label, chosen in enumerate(rows):
      np.testing.assert_array_equal(labels[chosen], label)
      expected = set()
      for cluster in range(3):
        own = np.flatnonzero((labels == label) & (clusters == cluster))
        center = features[own].mean(0)
        distance = np.linalg.norm(features[own] - center, axis=1)
        expected.add(own[np.argmin(distance)])
      self.assertEqual(set(chosen), expected)

  def test_published_start(self):
    """Oracle: the generator's draws, with replacement, through `kmeans`."""
    features, labels, _ = blobs()
    rows = coreset.coreset(
      features,
      labels,
      rng=5,
      num_images=4,
      centroid_fn=coreset.published_centroids,
    )
    rng = np.random.default_rng(5)
    for label in (0, 1):
      own = np.flatnonzero(labels == label)
      start = features[own][rng.integers(len(own), size=4)]
      centroids, _ = oracle_kmeans(features[own], start)
      expected = own[coreset.nearest(features[own], centroids)]
      np.testing.assert_array_equal(rows[label], expected)

  @parameterized.parameters(None, coreset.published_centroids)
  def test_fewer_images_than_centroids(self, find):
    """Oracle: every image is chosen, and some twice (scikit-learn), or all
    chosen ones are real (published)."""
    if find is None:
      pytest.importorskip("sklearn")
    features = np.asarray([[0.0], [1.0], [9.0], [5.0], [5.0]], np.float32)
    labels = np.asarray([0, 0, 0, 1, 1])
    rows = coreset.coreset(features, labels, num_images=4, centroid_fn=find)
    self.assertEqual(rows.shape, (2, 4))
    np.testing.assert_array_equal(labels[rows], [[0] * 4, [1] * 4])
    if find is None:
      self.assertEqual(set(rows[0]), {0, 1, 2})

  def test_same_seed(self):
    """Oracle: the same seed chooses the same, another one differs somewhere."""
    features, labels, _ = blobs()
    chosen = [
      coreset.coreset(
        features,
        labels,
        rng=seed,
        num_images=5,
        centroid_fn=coreset.published_centroids,
      ).tolist()
      for seed in (0, 0, *range(1, 5))
    ]
    self.assertEqual(chosen[0], chosen[1])
    pairs = itertools.combinations(chosen[1:], 2)
    self.assertTrue(any(one != other for one, other in pairs))

  @parameterized.parameters(
    (np.zeros((4, 2)), [0, 0, 0, 0], "two classes or more"),
    (np.zeros((4, 2)), [0, 0, 0, 1], "two images or more"),
    (np.zeros((4, 2)), [0, 0, 2, 2], "two images or more"),
    (np.zeros((4, 2)), [0, 1, 1], "a label for each"),
    (np.zeros(4), [0, 0, 1, 1], r"\[n, F\]"),
    (np.full((4, 2), np.nan), [0, 0, 1, 1], "finite"),
  )
  def test_bad_input(self, features, labels, message):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(ValueError, message):
      coreset.coreset(features, np.asarray(labels))

  def test_without_sklearn(self):
    """Oracle: the documented error."""
    features, labels, _ = blobs()
    with mock.patch.dict("sys.modules", {"sklearn": None}):
      with self.assertRaisesRegex(ImportError, "published_centroids"):
        coreset.coreset(features, labels)


if __name__ == "__main__":
  absltest.main()
