"""What images say of architectures, once, before a search begins."""

from collections.abc import Callable
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax import files
from nagjax.benchmarks import data_directory
from nagjax.candidates import extractors
from nagjax.candidates import images as images_lib
from nagjax.spaces import SearchSpace
from nagjax.surrogates import Surrogate
from nagjax.surrogates import coreset as coreset_lib
from nagjax.surrogates import meta

from . import flags
from . import images as image_files
from .errors import user_errors
from .program import memory_errors
from .program import require_extra

FLAGS = (
  flags.path(
    "predictor",
    None,
    "Weights of experiments.train_predictor or experiments.convert; the shipped"
    " ones by default.",
  ),
  flags.switch(
    "coreset",
    False,
    "Let the predictor read the images nearest to the centroids of their class,"
    " instead of ten random draws.",
  ),
)

FEATURES = "features"
"""Array of an image file, for predictors that have no extractor here."""

_SEED = 0
"""Of the draws of images."""


class Reading(NamedTuple):
  """A predictor that has read images.

  Attributes:
    predictor: the predictor.
    codes: `f32[R, Z]`, what it makes of the images.
    about: what results say of both, as JSON.
  """

  predictor: meta.MetaPredictor
  codes: Any
  about: dict[str, Any]

  def surrogate(self, num_constraints: int = 0) -> Surrogate:
    """It as a surrogate that knows already."""
    return meta.surrogate(
      self.predictor, self.codes, num_constraints=num_constraints
    )


def read(
  images: str,
  space: SearchSpace,
  *,
  predictor: str | None = None,
  coreset: bool = False,
  data_dir: str | None = None,
) -> Reading:
  """Lets a predictor read the images that a user names.

  Args:
    images: `digits` or a file with `x`, `y` and perhaps `features`.
    space: of the architectures.
    predictor: file of its weights; the shipped ones if None.
    coreset: which images it reads, see `rows_of`.
    data_dir: where weights of extractors are.

  Raises:
    UsageError: if anything is wrong with one of them.
  """
  with user_errors("--predictor: "):
    found = meta.find(predictor, space)
  with memory_errors("use fewer or smaller images"):
    labeled = image_files.read(images)
    features_fn = features_of(found, labeled.x, images, data_dir)
    return read_labeled(
      found,
      labeled,
      features_fn,
      images=images,
      sha256=image_files.digest(*labeled),
      coreset=coreset,
    )


def read_labeled(
  predictor: meta.MetaPredictor,
  labeled: images_lib.Labeled,
  features_fn: Callable[[np.ndarray], np.ndarray],
  *,
  images: str,
  sha256: str,
  coreset: bool = False,
  among: np.ndarray | None = None,
) -> Reading:
  """Lets a predictor read images.

  Args:
    predictor: the predictor.
    labeled: all images.
    features_fn: features of those at some positions, `int[k] -> f32[k, F]`.
    images: what to call them.
    sha256: of all that the user has, see `images.digest`.
    coreset: see `rows_of`.
    among: `int[n]` positions of those that it may read; all if None.

  Raises:
    UsageError: if it has learned from the images, they have too few of a class,
      or their features another width.
  """
  among = np.arange(len(labeled.y)) if among is None else among
  with user_errors("--images: "):
    meta.check_unseen(predictor, sha256)
    rows = among[
      rows_of(labeled.y[among], lambda r: features_fn(among[r]), coreset)
    ]
    used, places = np.unique(rows, return_inverse=True)
    codes = meta.encode_images(
      predictor, features_fn(used), places.reshape(rows.shape)
    )
  about = {
    "predictor": {
      "extractor": predictor.extractor,
      "sources": [source.name for source in predictor.sources],
      "notes": predictor.notes,
    },
    "images": {
      "name": pathlib.Path(images).name,
      "sha256": sha256,
      "num_read": len(used),
      "coreset": coreset,
    },
  }
  return Reading(predictor, codes, about)


def rows_of(
  labels: np.ndarray,
  features_fn: Callable[[np.ndarray], np.ndarray],
  coreset: bool,
) -> np.ndarray:
  """Which images are read, `int[R, C, S]` positions.

  Args:
    labels: `int[n]`.
    features_fn: see `read_labeled`.
    coreset: one draw, the images nearest to the centroids of their class; else
      several random ones.

  Raises:
    ValueError: if a class has too few images.
  """
  if not coreset:
    return meta.draw_rows(np.random.default_rng(_SEED), labels)
  require_extra("sklearn")
  coreset_lib.by_class(labels)  # Before the features, which take longer.
  features = features_fn(np.arange(len(labels)))
  return coreset_lib.coreset(features, labels, rng=_SEED)[None]


def features_of(
  predictor: meta.MetaPredictor,
  x: np.ndarray,
  images: str,
  data_dir: str | None,
  subset: tuple[np.ndarray, int] | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
  """Features of images by the predictor's extractor, `int[k] -> f32[k, F]`.

  Those of an extractor that is not here stand in the image file.

  Args:
    predictor: names the extractor.
    x: `f32[n, H, W, C]` the images.
    images: the file that they are of.
    data_dir: where weights of extractors are.
    subset: `int[n]` positions of the images among those of the file, and how
      many these are; None if they are all of them.

  Raises:
    UsageError: if there is no such extractor, or the file has no features.
  """
  if predictor.extractor == meta.GIVEN:
    rows, num = subset or (np.arange(len(x)), len(x))
    with user_errors("--images: "):
      given = _given(images, num)[rows]
    return lambda chosen: given[chosen]
  with user_errors("--predictor: its extractor: "):
    name = predictor.extractor
    if name != extractors.SMALL:
      name = str(data_directory(data_dir) / f"{name}.npz")
    extractor = extractors.find(name)
    if extractor.num_features != predictor.config.image_size:
      raise ValueError(
        f"{name} makes {extractor.num_features} features of an image, and the "
        f"predictor reads {predictor.config.image_size}."
      )
  pixels = extractors.pixels(x)
  return lambda chosen: extractors.extract(extractor, pixels[chosen])


def _given(images: str, num: int) -> np.ndarray:
  """The features of an image file of so many images."""
  if images == "digits" or FEATURES not in files.array_names(images):
    raise ValueError(
      f"the predictor reads features that its extractor made elsewhere, of an "
      f"array {FEATURES} [n, F] beside x and y, which {images} lacks."
    )
  declared = {FEATURES: files.Declared("f", (None, None))}
  found = files.read_arrays(images, declared)[FEATURES]
  if len(found) != num:
    raise ValueError(
      f"{images}: {FEATURES} must have a row for each of the {num} images, got "
      f"{len(found)}."
    )
  return found.astype(np.float32)
