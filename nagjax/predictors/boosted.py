"""Boosted trees as a predictor on the host: XGBoost, the extra `boosted`.

Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016,
https://arxiv.org/abs/1603.02754. The defaults are those with which AG-Net
compares its own surrogate (Lukasik, Jung and Keuper, ECCV 2022,
https://arxiv.org/abs/2203.08734, section 3.1): its program's, on one thread, so
that a fit depends on its arguments alone.
"""

import dataclasses
import importlib.util
from typing import Any
from typing import NamedTuple

import numpy as np

MAX_DEPTH = 6
MIN_CHILD_WEIGHT = 1.0
COLUMN_SHARE = 1.0
LEARNING_RATE = 0.3
NUM_ROUNDS = 500
"""Of the published program."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of a fit.

  Attributes:
    max_depth: of a tree.
    min_child_weight: the least weight of the rows at a leaf.
    column_share: share of the features that a tree may read.
    row_share: share of the rows that a tree is fitted to.
    learning_rate: factor of every tree.
    num_rounds: number of trees.
    ranking: whether pairs of rows are put in order (`rank:pairwise`) instead of
      squared errors made small; the scale of predictions then means nothing.
  """

  max_depth: int = MAX_DEPTH
  min_child_weight: float = MIN_CHILD_WEIGHT
  column_share: float = COLUMN_SHARE
  row_share: float = 1.0
  learning_rate: float = LEARNING_RATE
  num_rounds: int = NUM_ROUNDS
  ranking: bool = False

  def __post_init__(self):
    for name in ("max_depth", "num_rounds"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"{name} must be at least 1, got {getattr(self, name)}."
        )
    for name in ("column_share", "row_share", "learning_rate"):
      if not 0 < getattr(self, name) <= 1:
        raise ValueError(
          f"{name} must be in (0, 1], got {getattr(self, name)}."
        )
    if self.min_child_weight < 0:
      raise ValueError(
        f"min_child_weight must be at least 0, got {self.min_child_weight}."
      )


class Boosted(NamedTuple):
  """Fitted trees.

  Attributes:
    booster: XGBoost's own object.
    num_features: `D`.
  """

  booster: Any
  num_features: int


def require() -> None:
  """Checks that XGBoost is there.

  Raises:
    ValueError: naming the extra that installs it.
  """
  if importlib.util.find_spec("xgboost") is None:
    raise ValueError(
      "xgboost cannot be imported; install it with "
      "`pip install nagjax[boosted]`."
    )


def fit(
  features: np.ndarray,
  targets: np.ndarray,
  config: Config | None = None,
  *,
  seed: int,
) -> Boosted:
  """Fits trees.

  Args:
    features: `[M, D]`, read as float32.
    targets: `[M]`, finite, read as float32.
    config: options.
    seed: of the rows and columns that are left out; without any, it changes
      nothing.

  Raises:
    ValueError: if the arrays do not belong together, targets are not finite or
      XGBoost is missing.
  """
  require()
  import xgboost

  config = config or Config()
  if np.ndim(features) != 2 or np.shape(targets) != (len(features),):
    raise ValueError(
      "features and targets must have the shapes [M, D] and [M], got "
      f"{np.shape(features)} and {np.shape(targets)}."
    )
  if not len(features) or not np.isfinite(targets).all():
    raise ValueError("Trees need one finite target or more.")
  rows = xgboost.DMatrix(
    np.asarray(features, np.float32), np.asarray(targets, np.float32), nthread=1
  )
  options = {
    "objective": "reg:squarederror",
    "max_depth": config.max_depth,
    "min_child_weight": config.min_child_weight,
    "colsample_bytree": config.column_share,
    "subsample": config.row_share,
    "eta": config.learning_rate,
    "seed": seed,
    "nthread": 1,
    "verbosity": 0,
  }
  if config.ranking:
    # By default only the top of a list is compared with the rest.
    options["objective"] = "rank:pairwise"
    options["lambdarank_pair_method"] = "mean"
    rows.set_group([len(features)])
  booster = xgboost.train(options, rows, config.num_rounds)
  return Boosted(booster, rows.num_col())


def predict(boosted: Boosted, features: np.ndarray) -> np.ndarray:
  """Predicts rows, `[N, D] -> f32[N]`.

  Raises:
    ValueError: if they have another number of features than those of the fit.
  """
  if np.ndim(features) != 2 or features.shape[1] != boosted.num_features:
    raise ValueError(
      f"features must have the shape [N, {boosted.num_features}], got "
      f"{np.shape(features)}."
    )
  return boosted.booster.inplace_predict(np.asarray(features, np.float32))
