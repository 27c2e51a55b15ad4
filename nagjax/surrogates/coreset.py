"""A coreset of images: k-means per class, then the nearest real sample.

EDNAG (Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural
Architecture Generation") shows its predictor few images of a data set instead
of random ones: of every class those nearest to the centroids of its features.
What is here runs on the host, once for a data set.

By default scikit-learn finds the centroids (the extra `experiments`).
`published_centroids` is the program's own algorithm, with its start as an
argument; both are `CentroidFn`s.
"""

from collections.abc import Callable

import numpy as np

from nagjax.networks.meta_predictor import NUM_IMAGES

MAX_STEPS = 100
"""Of the published k-means."""
MAX_SHIFT = 1e-4
"""Summed squared shift of the centroids at which it stops."""

CentroidFn = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]
"""`(rng, features [n, F], k) -> [k, F]`, centroids of one class."""


def coreset(
  features: np.ndarray,
  labels: np.ndarray,
  *,
  rng: np.random.Generator | int = 0,
  num_images: int = NUM_IMAGES,
  centroid_fn: CentroidFn | None = None,
) -> np.ndarray:
  """Chooses images of every class.

  Args:
    features: `f32[n, F]`.
    labels: `int[n]` classes from 0 without a gap.
    rng: of NumPy, advanced; or a seed.
    num_images: centroids of a class, `S`; published 20.
    centroid_fn: finds them; `sklearn_centroids` if None.

  Returns:
    `int[C, S]` positions of real images, which may repeat: two centroids may
    have the same nearest sample.

  Raises:
    ValueError: if there is one class, a class with fewer than two images, or
      features that are none.
    ImportError: if scikit-learn is missing.

  Example:
    >>> features = np.asarray([[0.0], [0.1], [9.0], [5.0], [5.2], [7.0]])
    >>> labels = np.asarray([0, 0, 0, 1, 1, 1])
    >>> find = published_centroids
    >>> coreset(features, labels, num_images=2, centroid_fn=find).tolist()
    [[2, 0], [5, 3]]
  """
  features, labels = np.asarray(features), np.asarray(labels)
  if features.ndim != 2 or len(features) != len(labels):
    raise ValueError(
      "features must have the shape [n, F] with a label for each, got "
      f"{features.shape} and {labels.shape}."
    )
  if not np.isfinite(features).all():
    raise ValueError("features must be finite, got NaN or infinite values.")
  members = by_class(labels)
  rng = np.random.default_rng(rng)
  find = centroid_fn or sklearn_centroids
  chosen = []
  for rows in members:
    own = features[rows]
    chosen.append(rows[nearest(own, find(rng, own, num_images))])
  return np.stack(chosen)


def by_class(labels: np.ndarray) -> list[np.ndarray]:
  """Positions of the images of every class, `int[n]` each.

  Raises:
    ValueError: if there is one class, or a class with fewer than two images.

  Example:
    >>> [rows.tolist() for rows in by_class(np.asarray([0, 1, 0, 1]))]
    [[0, 2], [1, 3]]
  """
  labels = np.asarray(labels)
  counts = np.bincount(labels) if labels.size else np.zeros(0, int)
  if len(counts) < 2 or counts.min() < 2:
    raise ValueError(
      "images must have two classes or more, and two images or more of each, "
      f"got {len(counts)} classes of at least {counts.min(initial=0)}."
    )
  return [np.flatnonzero(labels == label) for label in range(len(counts))]


def nearest(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
  """Position of the sample nearest to each centroid, `int[k]`.

  Ties go to the first.

  Args:
    features: `[n, F]`.
    centroids: `[k, F]`.

  Example:
    >>> features = np.asarray([[0.0], [1.0], [5.0]])
    >>> nearest(features, np.asarray([[4.0], [0.4]])).tolist()
    [2, 0]
  """
  return np.argmin(_distances(centroids, features), axis=1)


def sklearn_centroids(
  rng: np.random.Generator, features: np.ndarray, num: int
) -> np.ndarray:
  """Centroids `[num, F]` by scikit-learn: k-means++, the best of one start.

  Where a class has fewer distinct images than centroids, some repeat.

  Raises:
    ImportError: if scikit-learn is missing.
  """
  try:
    from sklearn import cluster  # Optional: the extra `experiments`.
  except ImportError as error:
    raise ImportError(
      "The coreset needs scikit-learn: pip install 'nagjax[experiments]', or "
      "pass centroid_fn=coreset.published_centroids."
    ) from error
  distinct = len(np.unique(features, axis=0))
  found = cluster.KMeans(
    n_clusters=min(num, distinct),
    n_init=1,
    random_state=int(rng.integers(2**31)),
  ).fit(features)
  centers = np.asarray(found.cluster_centers_)
  return centers[np.arange(num) % len(centers)]


def published_centroids(
  rng: np.random.Generator, features: np.ndarray, num: int
) -> np.ndarray:
  """Centroids `[num, F]` as the program finds them, from its kind of start.

  The start is `num` samples drawn with replacement.
  """
  rows = rng.integers(len(features), size=num)
  return kmeans(features, features[rows])


def kmeans(
  features: np.ndarray,
  centroids: np.ndarray,
  *,
  max_steps: int = MAX_STEPS,
  max_shift: float = MAX_SHIFT,
) -> np.ndarray:
  """The published k-means from given centroids.

  A cluster that loses all its samples has its centroid at the origin. Samples
  with several nearest centroids belong to the first.

  Args:
    features: `[n, F]`.
    centroids: `[k, F]` where it starts; some may be equal.
    max_steps: after which it ends.
    max_shift: it ends when the squared shifts of all centroids sum to at most
      this.

  Returns:
    `[k, F]`.

  Raises:
    ValueError: if the centroids have another shape.

  Example:
    >>> features = np.asarray([[0.0], [1.0], [8.0], [10.0]])
    >>> kmeans(features, np.asarray([[0.0], [8.0]])).tolist()
    [[0.5], [9.0]]
  """
  features = np.asarray(features)
  centroids = np.asarray(centroids)
  if centroids.ndim != 2 or centroids.shape[1:] != features.shape[1:]:
    raise ValueError(
      f"centroids must have the shape [k, {features.shape[1]}], got "
      f"{centroids.shape}."
    )
  for _ in range(max_steps):
    owner = np.argmin(_distances(features, centroids), axis=1)
    sums = np.zeros(centroids.shape, np.float64)
    np.add.at(sums, owner, features)
    counts = np.bincount(owner, minlength=len(centroids))
    moved = sums / np.maximum(counts, 1)[:, None]
    moved = moved.astype(centroids.dtype)
    shift = np.sum((moved - centroids) ** 2)
    centroids = moved
    if shift <= max_shift:
      break
  return centroids


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Squared distances, `[n, F], [m, F] -> f64[n, m]`.

  Of differences, one of the fewer rows at a time: expanded squares would lose
  what lies close together, and all at once would not fit in memory.
  """
  if len(points) < len(others):
    return _distances(others, points).T
  columns = [
    np.sum((points - other).astype(np.float64) ** 2, axis=1) for other in others
  ]
  return np.stack(columns, axis=1)
