"""Which parts of a search with a surrogate can work together."""

from nagjax.acquisition import Acquisition
from nagjax.acquisition import thompson
from nagjax.proposers.base import Needs
from nagjax.proposers.base import Proposer
from nagjax.surrogates.base import Surrogate


def check_parts(
  surrogate: Surrogate,
  proposer: Proposer,
  acquisition: Acquisition,
  num_tradeoffs: int = 0,
) -> None:
  """Checks that a surrogate gives what the other parts need.

  Args:
    surrogate, proposer, acquisition: the parts.
    num_tradeoffs: objectives beside the first.

  Raises:
    ValueError: if it does not; says why.
  """
  if acquisition is thompson and not surrogate.has_members:
    raise ValueError(
      "Thompson sampling (ts) draws a member of the surrogate, and this one "
      "has none; use independent Thompson sampling (its)."
    )
  if acquisition is thompson and num_tradeoffs:
    raise ValueError(
      "Thompson sampling (ts) draws a member of the surrogate for one "
      "objective; with several use independent Thompson sampling (its)."
    )
  if proposer.needs == Needs.RELAXED and surrogate.relaxed is None:
    raise ValueError(
      "This proposer follows the gradient of relaxed architectures, and this "
      "surrogate reads none; use a surrogate that does (gp, gcn, gat, lstm, "
      "mlp) or a proposer without gradients."
    )
  if proposer.needs >= Needs.TRACED and surrogate.on_host:
    raise ValueError(
      "This proposer asks the surrogate inside a compiled loop, and this "
      "surrogate lives on the host; use a surrogate that can be compiled, or "
      "one of the proposers mutation, random, generator, diffusion."
    )
