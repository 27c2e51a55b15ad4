"""DiffusionNAG's generation: a guided pool, ranked, and queried from the top.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, section
4.1. A predictor of clean architectures learns from a random training set, which
is charged like everything else; it teaches the predictor that guides, and ranks
what is generated; the rest of the budget goes down the ranks. Where the pool
holds fewer distinct architectures than that, another one follows, as in the
program, for `MAX_ROUNDS` at most.

Differs from the paper: the predictor is not meta-learnt on other data sets, but
learns from the evaluations of this one, those of earlier pools included.
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
MAX_ROUNDS = 20
"""Pools of a search, as in the program."""


@dataclasses.dataclass(frozen=True)
class Config(diffusionnag.Config):
  """Static options, see `diffusionnag.Config`.

  Attributes:
    num_initial: the training set.
    batch_size: how much of a pool is queried.
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
  fill_up: bool = False


def diffusionnag_pool(
  space: SearchSpace,
  config: Config | None = None,
  score_config: score_models.Config | None = None,
) -> Algorithm:
  """Builds the search; see `diffusionnag.diffusionnag`."""
  return diffusionnag.diffusionnag(space, config or Config(), score_config)


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """The most pools; a search ends when its budget is spent."""
  del config, algorithm, budget
  return MAX_ROUNDS


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """A training set, two thirds of a small budget; the rest is one batch."""
  del benchmark_name
  num_initial = max(min(NUM_TRAINING, 2 * budget // 3), 1)
  rest = max(budget - num_initial, 1)
  return {
    "num_initial": num_initial,
    "batch_size": rest,
    "num_candidates": max(1000, rest),
    "archive_size": max(budget, num_initial + rest),
  }
