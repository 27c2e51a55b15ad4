"""OptiProxy-NAS's candidates: relaxed architectures that follow a gradient.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search", section 2.4: groups of relaxed architectures climb what
the surrogate says of them, operations and connections in turn, and candidates
are drawn from every group.

Differs from the paper: groups start anew in every round, half of them at the
best architectures so far, each climbs `mean + beta std` with its own `beta`,
and edges and operations are relaxed alike, by Gumbel-softmax over their
options.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from nagjax import acquisition
from nagjax import checks
from nagjax.archive import Archive
from nagjax.proposers import base
from nagjax.relaxation import gumbel as gumbel_lib
from nagjax.relaxation import latin_hypercube
from nagjax.relaxation import proxy_search
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key

_ELITE_LOGIT = 2.0
"""Added to the options of the best architectures, where groups start."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_groups: relaxed architectures that are optimized, `G`.
    search_epochs: steps of their optimization.
    learning_rate: of their optimization.
    interval: steps after which operations and connections take turns.
    num_samples: architectures drawn from every group, `Q`.
    max_beta: largest `beta` of a group, which share out `[0, max_beta]`.
    samples_groups: draw from the groups; else uniformly random architectures
      (S0 and S1 of the paper's table 5).
  """

  num_groups: int = 8
  search_epochs: int = 30
  learning_rate: float = 0.1
  interval: int = 5
  num_samples: int = 64
  max_beta: float = 4.0
  samples_groups: bool = True

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.positive(self, "learning_rate")
    checks.not_negative(self, "max_beta")


TINY = Config(num_groups=2, search_epochs=3, num_samples=6)
"""Options for tests of the contract."""


def gradient(
  space: SearchSpace, config: Config | None = None
) -> base.Proposer[tuple[()], tuple[()]]:
  """Builds the proposer; it remembers nothing.

  Example:
    >>> gradient(SearchSpace("mine", (4, 4, 3))).needs.name
    'RELAXED'
  """
  config = config or Config()

  def propose(
    key: Key,
    state: tuple[()],
    params: tuple[()],
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, tuple[()]]:
    del params
    if config.samples_groups:
      archs = climb(key, space, belief, archive, config)
    else:
      archs = space.sample(key, config.num_groups * config.num_samples)
    return archs, space.is_valid(archs), state

  return base.Proposer(base.stateless, propose, needs=base.Needs.RELAXED)


def climb(
  key: Key,
  space: SearchSpace,
  belief: base.Belief,
  archive: Archive,
  config: Config,
) -> jax.Array:
  """Optimizes the groups and draws `int32[G Q, L]` from them.

  Args:
    key: random key, consumed.
    space: the search space.
    belief: what is climbed.
    archive: gives the starts of half of the groups.
    config: number of groups, their steps and how many each draws.

  Example:
    >>> from nagjax import archive as archives
    >>> from nagjax.surrogates.base import of_members
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> relaxed = lambda options: of_members(options[None, :, 0])
    >>> belief = base.Belief(None, relaxed, True, 1.0)
    >>> run = lambda key: climb(
    ...   key, space, belief, archives.empty(space, 8, 0), TINY
    ... )
    >>> jax.eval_shape(run, jax.random.key(0)).shape
    (12, 3)
  """
  start_key, epoch_key, draw_key = jax.random.split(key, 3)
  num_groups = config.num_groups
  shape = (num_groups, space.num_variables, space.num_options)
  optimizer = optax.adam(config.learning_rate)
  start = latin_hypercube(start_key, num_groups, shape[1:])
  num_elites = num_groups // 2
  values = jnp.where(archive.used, archive.objective, -jnp.inf)
  _, elites = jax.lax.top_k(values, num_elites)
  elite_options = space.one_hot(archive.archs[elites])
  start = start.at[:num_elites].add(_ELITE_LOGIT * elite_options)
  variables = proxy_search.init(start, space.cardinalities, optimizer)
  # Both halves of the groups have all degrees of optimism.
  beta = acquisition.optimism_of_slots(config.max_beta, num_groups)[
    jnp.argsort(jnp.arange(num_groups) % 2, stable=True)
  ]

  def value(options: jax.Array) -> jax.Array:
    assert belief.relaxed is not None
    prediction = belief.relaxed(options)
    return prediction.mean + beta * prediction.std

  variables = proxy_search.optimize(
    variables,
    value,
    jax.random.gumbel(epoch_key, (config.search_epochs, *shape)),
    gumbel_lib.linear_temperatures(config.search_epochs),
    optimizer,
    topology=space.topology,
    interval=config.interval,
  )
  draws = jax.random.gumbel(
    draw_key, (num_groups, config.num_samples, *shape[1:])
  )
  archs = proxy_search.sample(variables.logits, draws)
  return archs.reshape(-1, space.num_variables)
