"""DiffusionNAG's generation: a guided pool, ranked, and queried from the top.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, section
4.1. A predictor of clean architectures learns from a random training set, which
is charged like everything else; it teaches the predictor that guides, and ranks
what is generated; the rest of the budget goes down the ranks.

Differs from the paper: the predictor is not meta-learnt on other data sets, but
learns from the evaluations of this one.
"""

import dataclasses

from nagjax.algorithms import diffusionnag
from nagjax.algorithms.diffusionnag import Info as Info
from nagjax.algorithms.diffusionnag import State as State
from nagjax.algorithms.diffusionnag import params as params
from nagjax.algorithms.diffusionnag import weights as weights
from nagjax.generation import score_models
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm

NUM_TRAINING = 200
"""Evaluations that the predictor learns from, unless the budget is small."""


@dataclasses.dataclass(frozen=True)
class Config(diffusionnag.Config):
  """Static options, see `diffusionnag.Config`.

  Attributes:
    num_initial: the training set.
    batch_size: how much of the pool is queried.
    num_candidates: the pool.
  """

  num_initial: int = NUM_TRAINING
  batch_size: int = 100
  archive_size: int = 500
  num_candidates: int = 1000
  acquisition: str = "mean"
  num_members: int = 5
  fit_steps: int = 400
  guide_steps: int = 300
  num_taught: int = 4096
  guidance: float = 3.0


def diffusionnag_pool(
  space: SearchSpace,
  config: Config | None = None,
  score_config: score_models.Config | None = None,
) -> Algorithm:
  """Builds the search; see `diffusionnag.diffusionnag`."""
  return diffusionnag.diffusionnag(space, config or Config(), score_config)


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """The one round.

  Raises:
    ValueError: if training set and pool do not make up the budget.
  """
  del algorithm
  if config.num_initial + config.batch_size < budget:
    raise ValueError(
      "num_initial + batch_size must make up the budget, "
      f"{budget}, as there is one round; got {config.num_initial} + "
      f"{config.batch_size}."
    )
  return 1


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """A training set, two thirds of a small budget; the rest is one batch."""
  del benchmark_name
  num_initial = max(min(NUM_TRAINING, 2 * budget // 3), 1)
  rest = max(budget - num_initial, 1)
  return {
    "num_initial": num_initial,
    "batch_size": rest,
    "num_candidates": max(1000, rest),
    "archive_size": 2 * num_initial + rest,
  }
