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

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.archive import Archive
from nagjax.networks.layers import flatten
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import base
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Prediction

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

  def __post_init__(self) -> None:
    checks.sizes(self)
    for name in ("column_share", "row_share", "learning_rate"):
      if not 0 < getattr(self, name) <= 1:
        raise ValueError(
          f"{name} must be in (0, 1], got {getattr(self, name)}."
        )
    checks.not_negative(self, "min_child_weight")


@dataclasses.dataclass(frozen=True)
class SurrogateConfig:
  """Static options of trees as a surrogate.

  Attributes:
    num_members: ensembles of trees side by side, whose spread is the standard
      deviation.
    row_share: share of the rows that one of several members is fitted to.
    guides: whether a proposer may follow how the trees rank what it draws, the
      "XGB + ranking" of AG-Net.
    fit: of every fit; of its `row_share` nothing is read.
  """

  num_members: int = 3
  row_share: float = 0.8
  guides: bool = False
  fit: Config = Config()

  def __post_init__(self) -> None:
    checks.sizes(self)
    if not 0 < self.row_share <= 1:
      raise ValueError(f"row_share must be in (0, 1], got {self.row_share}.")


TINY = SurrogateConfig(num_members=2, fit=Config(num_rounds=3))
"""Options for tests of the contract."""


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
    config: number and shape of the trees, and what each may read.
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


def boosted_trees(
  space: SearchSpace,
  config: SurrogateConfig | None = None,
  num_constraints: int = 0,
) -> base.Surrogate[list[list[Boosted]], Params]:
  """Builds a surrogate of trees, which lives on the host.

  Trees read the graphs of architectures as flat vectors, and are fitted anew to
  `Archive.targets` in every round, one ensemble for each head of each member.
  The state is a list of members, each a list of heads; empty without rows.

  Args:
    space: the space.
    config: members, what each is fitted to, and whether they guide.
    num_constraints: heads besides the objective.

  Raises:
    ValueError: if XGBoost is missing.
  """
  require()
  config = config or SurrogateConfig()
  several = config.num_members > 1
  options = dataclasses.replace(
    config.fit, row_share=config.row_share if several else 1.0
  )
  features_of = jax.jit(lambda archs: flatten(space.to_graph(archs)))

  def init(key: Key, params: Params) -> list[list[Boosted]]:
    del key, params
    return []

  def fit_all(
    key: Key, state: list[list[Boosted]], archive: Archive
  ) -> list[list[Boosted]]:
    del state
    if isinstance(key, jax.core.Tracer):
      raise ValueError(
        "Boosted trees are fitted on the host, and a search with them cannot "
        "be compiled: use run_on_host."
      )
    num = int(archive.num)
    if not num:
      return []
    x = np.asarray(features_of(archive.archs))[:num]
    y = np.asarray(archive.targets)[:num]
    shape = (config.num_members, y.shape[1])
    seeds = np.asarray(jax.random.bits(key, shape)) >> 1
    return [
      [
        fit(x, column, options, seed=int(seed))
        for column, seed in zip(y.T, row, strict=True)
      ]
      for row in seeds
    ]

  def predict_all(state: list[list[Boosted]], archs: Archs) -> Prediction:
    shape = (config.num_members, archs.shape[0], 1 + num_constraints)
    heads = np.zeros(shape, np.float32)
    if state:
      rows = np.asarray(features_of(archs))
      members = [[predict(head, rows) for head in member] for member in state]
      heads = np.moveaxis(np.asarray(members), 1, 2)
    return base.of_members(jnp.asarray(heads))

  return base.Surrogate(
    init=init,
    fit=fit_all,
    predict=predict_all,
    on_host=True,
    guides=config.guides,
  )
