"""Uniformly random candidates."""

import dataclasses

import jax

from nagjax import checks
from nagjax.archive import Archive
from nagjax.proposers import base
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_candidates: of a round, `C`.
  """

  num_candidates: int = 512

  def __post_init__(self) -> None:
    checks.sizes(self)


TINY = Config(num_candidates=20)
"""Options for tests of the contract."""


def random(
  space: SearchSpace, config: Config | None = None
) -> base.Proposer[tuple[()], tuple[()]]:
  """Builds the proposer; it remembers nothing and asks nobody.

  Example:
    >>> proposer = random(SearchSpace("mine", (4, 4, 3)), TINY)
    >>> run = lambda key: proposer.propose(key, (), (), None, None)[:2]
    >>> [leaf.shape for leaf in jax.eval_shape(run, jax.random.key(0))]
    [(20, 3), (20,)]
  """
  config = config or Config()

  def propose(
    key: Key,
    state: tuple[()],
    params: tuple[()],
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, tuple[()]]:
    del params, belief, archive
    archs = space.sample(key, config.num_candidates)
    return archs, space.is_valid(archs), state

  return base.Proposer(base.stateless, propose)
