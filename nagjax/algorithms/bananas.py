"""BANANAS: an ensemble on path encodings, and Thompson sampling.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural
Architectures for Neural Architecture Search", AAAI 2021,
https://arxiv.org/abs/1910.11858 (algorithm 1), with the settings of NASLib.

Parts: networks on path encodings that are fitted anew in every round, mutants
of the best, independent Thompson sampling.

Differs from NASLib: networks of two layers of width 64 instead of twenty of 20,
fitted by AdamW to normal scores of the ranks with `fitting.proxy_loss` instead
of to accuracies with absolute errors, for 200 minibatches instead of 500
epochs, because one setting has to serve every objective and a fit is repeated
in every round of every seed; every slot of a batch has a draw of its own.
"""

import dataclasses

from nagjax.acquisition import Acquisition
from nagjax.acquisition import independent_thompson
from nagjax.algorithms import surrogate_search as loop
from nagjax.proposers import mutation
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import ensemble
from nagjax.surrogates import fitting
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm


@dataclasses.dataclass(frozen=True)
class Config(loop.Config):
  """Static options; see `surrogate_search.Config` for those of the loop.

  Attributes:
    surrogate: of the networks.
    proposer: of the mutation.
  """

  batch_size: int = 10
  archive_size: int = 310
  surrogate: ensemble.Config = ensemble.Config(
    hidden_size=64,
    continues=False,
    fit=fitting.Config(num_steps=200, batch_size=32),
  )
  proposer: mutation.Config = mutation.Config()


def bananas(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = independent_thompson,
) -> Algorithm[loop.State, loop.Params]:
  """Builds BANANAS, or it with other parts; see `surrogate_search`.

  Raises:
    ValueError: if the space has no path within `surrogate.max_features`.
  """
  config = config or Config()
  return loop.surrogate_search(
    space,
    surrogate
    or ensemble.path_networks(space, config.surrogate, config.num_heads),
    proposer or mutation.mutation(space, config.proposer),
    acquisition,
    config,
  )


SPEC = loop.assembly(
  bananas,
  Config(),
  parts=("paths", "mutation", "its"),
  tiny=dict(
    surrogate=ensemble.TINY,
    proposer=mutation.TINY,
  ),
)
"""How the registry builds it."""
