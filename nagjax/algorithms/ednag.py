"""EDNAG, our version: populations denoised by fitness, for few queries.

The idea is that of Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient
Neural Architecture Generation": a population of noise is denoised step by step,
and fitness takes the place of the score network through the Bayes estimator. In
the paper fitness comes from a predictor; here the predictor is a Gaussian
process over what the search itself has paid for, so nothing is trained
beforehand.

Parts: `surrogates.gaussian_process`, `proposers.denoising`, and a confidence
bound with an optimism of its own for every slot. After `patience` queries
without a better architecture, or with a full archive, the search begins anew,
with more patience.

Differs from the paper: individuals are categorical, not Gaussian; selection
acts through the archive; there is no schedule over the search as a whole.
`ednag_reference` is the published program.
"""

import dataclasses

from nagjax.acquisition import Acquisition
from nagjax.acquisition import upper_confidence_bound
from nagjax.algorithms import surrogate_search as loop
from nagjax.proposers import denoising
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import gaussian_process
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm


@dataclasses.dataclass(frozen=True)
class Config(loop.Config):
  """Static options; see `surrogate_search.Config` for those of the loop.

  Attributes:
    limited_patience: in the place of `patience` where limits are weighed: what
      lies at a limit is found late, by a process that has seen much.
    surrogate: of the Gaussian process.
    proposer: of the denoising.
  """

  num_initial: int = 10
  archive_size: int = 305
  min_observed: int = 10
  shortlist: int = 64
  max_beta: float = 6.0
  weighs_limits: bool = True
  patience: int = 60
  limited_patience: int = 305
  surrogate: gaussian_process.Config = gaussian_process.Config()
  proposer: denoising.Config = denoising.Config()


def ednag(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = upper_confidence_bound,
) -> Algorithm[loop.State, loop.Params]:
  """Builds EDNAG, or it with other parts; see `surrogate_search`."""
  config = config or Config()
  if loop.weighs(config):
    config = dataclasses.replace(config, patience=config.limited_patience)
  return loop.surrogate_search(
    space,
    surrogate
    or gaussian_process.gaussian_process(
      space,
      config.surrogate,
      config.num_heads,
      archive_size=config.archive_size,
    ),
    proposer or denoising.denoising(space, config.proposer),
    acquisition,
    config,
  )


SPEC = loop.assembly(
  ednag,
  Config(),
  parts=("gp", "denoising", "ucb"),
  tiny=dict(
    min_observed=5,
    shortlist=5,
    proposer=denoising.TINY,
  ),
)
"""How the registry builds it."""
