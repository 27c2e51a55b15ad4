"""AG-Net: a graph generator whose latent space moves towards what is good.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734.

Parts: an ensemble of graph convolutional networks that goes on fitting,
`proposers.generator` (weighted retraining), and a confidence bound with an
optimism of its own for every slot.

Differs from the paper and its program, because one setting has to serve every
benchmark: the surrogate learns real graphs instead of generated ones that the
same latent vectors will not give again, and it learns normal scores of ranks;
it reads probabilities instead of raw scores, which lie on the scale of real
graphs, and so its gradient says what to generate more often; several of them
stand for the uncertainty; a latent vector is decoded several times. What is
generated is selected by the predicted objective, less a penalty for predicted
violations, however the retraining ranks.
"""

import dataclasses
import os

from nagjax.acquisition import Acquisition
from nagjax.acquisition import upper_confidence_bound
from nagjax.algorithms import surrogate_search as loop
from nagjax.proposers import generator
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import ensemble
from nagjax.surrogates.base import Surrogate
from nagjax.types import Algorithm


@dataclasses.dataclass(frozen=True)
class Config(loop.Config):
  """Static options; see `surrogate_search.Config` for those of the loop.

  Attributes:
    surrogate: of the networks.
    proposer: of the generator.
  """

  num_initial: int = 16
  surrogate: ensemble.Config = ensemble.Config()
  proposer: generator.Config = generator.Config()

  def __post_init__(self) -> None:
    super().__post_init__()
    joint = getattr(self.proposer, "joint", False)
    if joint and not self.num_constraints:
      raise ValueError(
        "joint ranks by objective and constraints, and there is no constraint; "
        "add one or leave joint out."
      )


def agnet(
  space: SearchSpace,
  config: Config | None = None,
  *,
  surrogate: Surrogate | None = None,
  proposer: Proposer | None = None,
  acquisition: Acquisition = upper_confidence_bound,
  directory: str | os.PathLike[str] | None = None,
) -> Algorithm[loop.State, loop.Params]:
  """Builds AG-Net, or it with other parts; see `surrogate_search`.

  Args:
    space: a space with a layout of graphs.
    config: `Config`: of the loop, the surrogate and the proposer.
    surrogate: another surrogate.
    proposer: another proposer, such as a generator with weights of your own.
    acquisition: what a candidate is worth.
    directory: where pretrained weights of the user are.

  Raises:
    FileNotFoundError: if nobody trained a generator of the space.
    ValueError: if the space has no layout, or parts cannot work together.
  """
  config = config or Config()
  return loop.surrogate_search(
    space,
    surrogate
    or ensemble.graph_networks(space, config.surrogate, config.num_heads),
    proposer
    or generator.generator(space, config.proposer, directory=directory),
    acquisition,
    config,
  )


SPEC = loop.assembly(
  agnet,
  Config(),
  parts=("gcn", "generator", "ucb"),
  tiny=dict(
    surrogate=ensemble.TINY,
    proposer=generator.TINY,
  ),
  needs_directory=True,
)
"""How the registry builds it."""
