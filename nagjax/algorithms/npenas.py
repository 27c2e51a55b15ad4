"""NPENAS: evolution whose children a graph network selects.

Wei, Niu, Tang, Wang, Hu and Liang, "NPENAS: Neural Predictor Guided Evolution
for Neural Architecture Search", https://arxiv.org/abs/2003.12857 (NPENAS-NP).

Parts: one graph convolutional network that is fitted anew in every round,
mutants of the best, the mean.

Differs from the paper: graph convolutions along and against the edges
(`networks.gcn`, as in NASLib) instead of an isomorphism network, fitted by
AdamW to normal scores of the ranks with `fitting.proxy_loss` for 200
minibatches, because one setting has to serve every objective and a fit is
repeated in every round of every seed; initial design, batch, candidates and
parents are BANANAS's, so that the two differ in what predicts alone.
"""

import dataclasses

from nagjax.acquisition import Acquisition
from nagjax.acquisition import mean
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
    surrogate: of the network.
    proposer: of the mutation.
  """

  batch_size: int = 10
  archive_size: int = 310
  surrogate: ensemble.Config = ensemble.Config(
    num_members=1,
    continues=False,
    fit=fitting.Config(num_steps=200, batch_size=32),
  )
  proposer: mutation.Config = mutation.Config()


def npenas(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = mean,
) -> Algorithm[loop.State, loop.Params]:
  """Builds NPENAS, or it with other parts; see `surrogate_search`."""
  config = config or Config()
  return loop.surrogate_search(
    space,
    surrogate
    or ensemble.graph_networks(space, config.surrogate, config.num_heads),
    proposer or mutation.mutation(space, config.proposer),
    acquisition,
    config,
  )


SPEC = loop.assembly(
  npenas,
  Config(),
  parts=("gcn", "mutation", "mean"),
  tiny=dict(
    surrogate=ensemble.TINY,
    proposer=mutation.TINY,
  ),
)
"""How the registry builds it."""
