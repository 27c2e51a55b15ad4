"""DiffusionNAG: candidates from a diffusion that a predictor guides.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943.

Parts: an ensemble of graph convolutional networks, `proposers.diffusion`, and
expected improvement: the loop of the paper's Bayesian optimization (section
3.4), which its program lacks.

`POOL` is the paper's generation (section 4.1): a predictor of clean
architectures learns from a random training set, which is charged like
everything else; it teaches the predictor that guides, and ranks what is
generated; the rest of the budget goes down the ranks. Where the pool holds
fewer distinct architectures than that, another one follows, as in the program.
Differs from the paper: the predictor is not meta-learned on other data sets,
but learns from the evaluations of this one, those of earlier pools included.

`ZERO_SHOT` is the paper's transfer to a data set that nobody has searched on:
the predictor is a surrogate that knows already, such as a meta-learned one that
has read some of the images (`surrogates.meta`). It teaches the predictor that
guides and ranks the pool, and no query is spent before.
Differs from the paper: what guides is distilled from what ranks, instead of a
second meta-learned predictor; the published one, of noisy architectures, comes
in by `convert.diffusionnag` and guides by `noise_aware.published_value_fn`.
"""

import dataclasses
import os
from typing import Any

from nagjax.acquisition import Acquisition
from nagjax.acquisition import expected_improvement
from nagjax.acquisition import mean
from nagjax.algorithms import surrogate_search as loop
from nagjax.algorithms.spec import Spec
from nagjax.generation.score_models import ScoreModel
from nagjax.proposers import diffusion
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import ensemble
from nagjax.surrogates import fitting
from nagjax.surrogates import noise_aware
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm
from nagjax.types import Params

NUM_TRAINING = 200
"""Evaluations that the predictor of a pool learns from, unless the budget is
small."""
MAX_POOLS = 20
"""Pools of a search, as in the program."""


@dataclasses.dataclass(frozen=True)
class Config(loop.Config):
  """Static options; see `surrogate_search.Config` for those of the loop.

  Attributes:
    surrogate: of the ensemble.
    proposer: of the diffusion.
  """

  surrogate: ensemble.Config = ensemble.Config(
    fit=fitting.Config(num_steps=60, batch_size=32)
  )
  proposer: diffusion.Config = diffusion.Config()


POOL_CONFIG = Config(
  num_initial=NUM_TRAINING,
  batch_size=100,
  archive_size=500,
  fills=False,
  surrogate=ensemble.Config(
    num_members=5, fit=fitting.Config(num_steps=400, batch_size=32)
  ),
  proposer=diffusion.Config(
    num_candidates=1000,
    guide_fit=noise_aware.Config(num_steps=300),
    num_taught=4096,
    guidance=3.0,
  ),
)
"""Options of one large pool."""


ZERO_SHOT_CONFIG = dataclasses.replace(
  POOL_CONFIG,
  num_initial=0,
  min_observed=0,
  proposer=dataclasses.replace(POOL_CONFIG.proposer, num_candidates=500),
)
"""Options of a pool under a surrogate that knows already, as large as the
paper's (section 4.1)."""


def diffusionnag(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = expected_improvement,
  model: ScoreModel | None = None,
  model_params: Params | None = None,
  sampler: diffusion.Sampler | None = None,
  directory: str | os.PathLike[str] | None = None,
) -> Algorithm[loop.State, loop.Params]:
  """Builds DiffusionNAG, or it with other parts; see `surrogate_search`.

  After a sampler has met what is not finite, every proposal is invalid and a
  sweep ends with a FloatingPointError.

  Args:
    space: the space.
    config: `Config`: of the loop, the surrogate and the proposer.
    surrogate: another surrogate.
    proposer: another proposer; `model` and `sampler` are for the default one.
    acquisition: what a candidate is worth.
    model: a score model of your own; that of the space's file if None.
    model_params: its weights.
    sampler: how it is sampled from; the few-step sampler if None.
    directory: where trained weights of the user are.

  Raises:
    FileNotFoundError: if nobody trained a score model of the space.
    ValueError: if a model lacks its weights, or parts cannot work together.
  """
  config = config or Config()
  return loop.surrogate_search(
    space,
    surrogate
    or ensemble.graph_networks(space, config.surrogate, config.num_heads),
    proposer
    or diffusion.diffusion(
      space,
      config.proposer,
      model=model,
      params=model_params,
      sampler=sampler,
      directory=directory,
    ),
    acquisition,
    config,
  )


def pool(
  space: SearchSpace,
  config: Config | None = None,
  *,
  acquisition: Acquisition = mean,
  **arguments: Any,
) -> Algorithm[loop.State, loop.Params]:
  """`diffusionnag` with the options and the acquisition of one large pool.

  Args:
    space: the space.
    config: `POOL_CONFIG` by default.
    acquisition: what a candidate is worth; its predicted mean by default.
    **arguments: the others of `diffusionnag`.
  """
  return diffusionnag(
    space, config or POOL_CONFIG, acquisition=acquisition, **arguments
  )


def zero_shot(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate,
  **arguments: Any,
) -> Algorithm[loop.State, loop.Params]:
  """`pool` under a surrogate that knows already, without a training set.

  Args:
    space: the space.
    config: `ZERO_SHOT_CONFIG` by default.
    surrogate: predicts without a fit.
    **arguments: the others of `pool`.
  """
  config = config or ZERO_SHOT_CONFIG
  return pool(space, config, surrogate=surrogate, **arguments)


def zero_shot_preset(benchmark: str, budget: int) -> dict[str, Any]:
  """The budget is one batch, of a pool that is as large at least."""
  del benchmark
  least = ZERO_SHOT_CONFIG.proposer.num_candidates
  return {
    "batch_size": budget,
    "archive_size": budget,
    "proposer.num_candidates": max(least, budget),
  }


def pool_preset(benchmark: str, budget: int) -> dict[str, Any]:
  """A training set, two thirds of a small budget; the rest is one batch."""
  del benchmark
  num_initial = max(min(NUM_TRAINING, 2 * budget // 3), 1)
  rest = max(budget - num_initial, 1)
  return {
    "num_initial": num_initial,
    "batch_size": rest,
    "archive_size": max(budget, num_initial + rest),
    "proposer.num_candidates": max(1000, rest),
  }


_TINY_PARTS = dict(surrogate=ensemble.TINY, proposer=diffusion.TINY)

SPEC = loop.assembly(
  diffusionnag,
  Config(),
  parts=("gcn", "diffusion", "ei"),
  tiny=_TINY_PARTS,
  needs_directory=True,
)
"""How the registry builds the Bayesian optimization."""

POOL = Spec(
  build=pool,
  config=POOL_CONFIG,
  num_rounds=lambda config, algorithm, budget: MAX_POOLS,
  preset=pool_preset,
  parts=("gcn", "diffusion", "mean"),
  needs_directory=True,
  tiny=_TINY_PARTS,
)
"""How the registry builds the generation of a pool."""

ZERO_SHOT = POOL._replace(
  build=zero_shot,
  config=ZERO_SHOT_CONFIG,
  preset=zero_shot_preset,
  parts=None,
  needs_surrogate=True,
  tiny=dict(proposer=diffusion.TINY),
)
"""How the registry builds the generation under a surrogate that knows."""
