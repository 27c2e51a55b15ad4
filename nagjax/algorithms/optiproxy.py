"""OptiProxy-NAS: gradient search through a proxy that is refitted.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search".

Parts: an ensemble of graph convolutional networks that goes on fitting (section
2.3), `proposers.gradient` (section 2.4), and a confidence bound with an
optimism of its own for every slot.

Differs from the paper and its program, because one setting has to serve every
benchmark and few queries have to suffice: targets are normal scores of the
ranks, so no constant of a table is needed; several proxies stand for the
uncertainty.
"""

import dataclasses

from nagjax.acquisition import Acquisition
from nagjax.acquisition import upper_confidence_bound
from nagjax.algorithms import surrogate_search as loop
from nagjax.proposers import gradient
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import ensemble
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm


@dataclasses.dataclass(frozen=True)
class Config(loop.Config):
  """Static options; see `surrogate_search.Config` for those of the loop.

  Attributes:
    surrogate: of the proxies.
    proposer: of the relaxed search.
  """

  num_initial: int = 15
  archive_size: int = 305
  weighs_limits: bool = True
  surrogate: ensemble.Config = ensemble.Config()
  proposer: gradient.Config = gradient.Config()


def optiproxy(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = upper_confidence_bound,
) -> Algorithm[loop.State, loop.Params]:
  """Builds OptiProxy-NAS, or it with other parts; see `surrogate_search`."""
  config = config or Config()
  return loop.surrogate_search(
    space,
    surrogate
    or ensemble.graph_networks(space, config.surrogate, config.num_heads),
    proposer or gradient.gradient(space, config.proposer),
    acquisition,
    config,
  )


SPEC = loop.assembly(
  optiproxy,
  Config(),
  parts=("gcn", "gradient", "ucb"),
  tiny=dict(
    surrogate=ensemble.TINY,
    proposer=gradient.TINY,
  ),
)
"""How the registry builds it."""
