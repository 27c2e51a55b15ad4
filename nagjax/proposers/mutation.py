"""Single mutations of the best architectures so far, as BANANAS has them.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural
Architectures for Neural Architecture Search", AAAI 2021,
https://arxiv.org/abs/1910.11858, section 4.
"""

import dataclasses

import jax

from nagjax import checks
from nagjax.archive import Archive
from nagjax.archive import mutate_top
from nagjax.proposers import base
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_candidates: mutants of a round, `C`.
    num_parents: best architectures that are mutated, in turn.
  """

  num_candidates: int = 200
  num_parents: int = 5

  def __post_init__(self) -> None:
    checks.sizes(self)


TINY = Config(num_candidates=20, num_parents=3)
"""Options for tests of the contract."""


def mutation(
  space: SearchSpace, config: Config | None = None
) -> base.Proposer[tuple[()], tuple[()]]:
  """Builds the proposer; without any value yet, candidates are random.

  Example:
    >>> from nagjax import archive as archives
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> run = lambda key: mutation(space, TINY).propose(
    ...   key, (), (), None, archives.empty(space, 8, 0)
    ... )
    >>> [leaf.shape for leaf in jax.eval_shape(run, jax.random.key(0))[:2]]
    [(20, 3), (20,)]
  """
  config = config or Config()
  num = config.num_candidates

  def propose(
    key: Key,
    state: tuple[()],
    params: tuple[()],
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, tuple[()]]:
    del params, belief
    mutate_key, random_key = jax.random.split(key)
    archs = mutate_top(
      archive,
      space,
      jax.random.uniform(mutate_key, (num, 2)),
      space.sample(random_key, num),
      config.num_parents,
    )
    return archs, space.is_valid(archs), state

  return base.Proposer(base.stateless, propose)
