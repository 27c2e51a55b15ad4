"""OptiProxy-NAS: gradient search through a proxy that is refitted.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search". A round:

  1. the proxy, a few networks side by side, goes on fitting the evaluations so
     far (section 2.3);
  2. groups of relaxed architectures follow the gradient of what the proxy
     promises, operations and connections in turn (section 2.4);
  3. architectures are drawn from every group, and of those that are valid and
     unseen the proxy selects the batch.

Differs from the paper and its program, because one setting has to serve every
benchmark and few queries have to suffice: targets are normal scores of the
ranks, so no constant of a table is needed; several proxies stand for the
uncertainty, and every group, and every slot of a batch, has its own optimizm
`mean + beta deviation`; groups start anew in every round, half of them at the
best architectures so far; edges and operations are relaxed alike, by Gumbel-
softmax over their options.

Constraints are learned by further heads, one each. They enter the objective as
`- penalty max(0, violation)`, in units of the violations' root mean square.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nagjax import networks
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms import choosing
from nagjax.algorithms import options
from nagjax.algorithms.archive import Info as Info
from nagjax.algorithms.choosing import num_rounds as num_rounds
from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.relaxation import gumbel as gumbel_lib
from nagjax.relaxation import latin_hypercube
from nagjax.relaxation import proxy_search
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal

PROXIES = ("gat", "gcn", "lstm", "mlp")


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`.
    proxy: one of `PROXIES`.
    hidden_size: width of the proxy.
    num_members: proxies side by side.
    fit_steps: minibatches of a fit.
    fit_batch_size: rows of a minibatch.
    fit_learning_rate: at the start of a fit.
    rank_weight: factor of the ranking loss.
    num_groups: relaxed architectures that are optimized, `G`.
    search_epochs: steps of their optimization.
    search_learning_rate: of their optimization.
    interval: steps after which operations and connections take turns.
    num_samples: architectures drawn from every group, `Q`.
    boldness: largest `beta`; groups and slots share out `[0, boldness]`.
    penalty: of a predicted violation.
    samples_groups: draw from the groups; else uniformly random architectures
      (S0 and S1 of the paper's table 5).
    selects: let the proxy select; else take valid unseen draws in order (S0, S2
      and S3).
    num_constraints: heads besides the objective.
  """

  num_initial: int = 15
  batch_size: int = 5
  archive_size: int = 305
  proxy: str = "gcn"
  hidden_size: int = 32
  num_members: int = 3
  fit_steps: int = 40
  fit_batch_size: int = 32
  fit_learning_rate: float = 3e-3
  rank_weight: float = 0.2
  num_groups: int = 8
  search_epochs: int = 30
  search_learning_rate: float = 0.1
  interval: int = 5
  num_samples: int = 64
  boldness: float = 4.0
  penalty: float = 5.0
  samples_groups: bool = True
  selects: bool = True
  num_constraints: int = 0

  def __post_init__(self):
    options.check_sizes(self)
    options.check_choices(self, proxy=PROXIES)
    options.check_archive(self)
    if self.num_groups * self.num_samples < self.batch_size:
      raise ValueError(
        "num_groups * num_samples must be at least batch_size = "
        f"{self.batch_size}, got {self.num_groups * self.num_samples}."
      )


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archive: what was evaluated.
    members: the proxies, leading size `num_members`.
  """

  archive: archive_lib.Archive
  members: fitting.Fitted


def optiproxy(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds the search; it has no params.

  A proposal that finds no unseen candidate is uniformly random.
  """
  config = config or Config()
  network = make_proxy(space, config)
  batch_size = config.batch_size

  def init(key: Key, params: Params) -> State:
    del params
    return State(
      archive_lib.empty(space, config.archive_size, config.num_constraints),
      ensembles.init(key, network, config.num_members, _fit_config(config)),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    fit_key, search_key, random_key = jax.random.split(key, 3)
    state = state._replace(members=fit(fit_key, state, space, config))
    random = space.sample(random_key, batch_size)
    if config.samples_groups:
      archs = generate(search_key, state, space, config)
    else:
      num = config.num_groups * config.num_samples
      archs = space.sample(search_key, num)
    allowed = archive_lib.unseen(
      state.archive, space, archs, space.is_valid(archs)
    )
    if config.selects:
      mean, deviation = ensembles.predict(
        network,
        state.members,
        space.to_graph(archs),
        penalty=config.penalty,
      )
    else:
      # The position of a draw is as good as random.
      mean = -jnp.arange(archs.shape[0], dtype=jnp.float32)
      deviation = jnp.zeros_like(mean)
    chosen, found = choosing.choose(
      jnp.where(allowed, mean, -jnp.inf),
      deviation,
      choosing.optimizm(config.boldness, batch_size),
    )
    archs = jnp.where(found[:, None], archs[chosen], random)
    return Proposal(archs, space.is_valid(archs)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    return state._replace(archive=archive), Info(best, archive.num)

  return Algorithm(init, ask, tell, config.num_initial, batch_size)


def make_proxy(space: SearchSpace, config: Config) -> networks.Network:
  """One member: the network that `config.proxy` names, a head a question."""
  return ensembles.make_member(
    config.proxy,
    space.num_nodes,
    space.num_labels,
    hidden_size=config.hidden_size,
    num_constraints=config.num_constraints,
  )


def fit(
  key: Key, state: State, space: SearchSpace, config: Config
) -> fitting.Fitted:
  """Step 1: every member goes on fitting the archive."""
  archive = state.archive
  return ensembles.fit(
    key,
    make_proxy(space, config),
    state.members,
    space.to_graph(archive.archs),
    ensembles.targets(archive.target, archive.violations, archive.used),
    jnp.maximum(archive.num, 1),
    _fit_config(config),
  )


def generate(
  key: Key, state: State, space: SearchSpace, config: Config
) -> Archs:
  """Steps 2 and 3: optimizes the groups and draws `int32[G Q, L]` from them."""
  network = make_proxy(space, config)
  start_key, epoch_key, draw_key = jax.random.split(key, 3)
  num_groups = config.num_groups
  group = (num_groups, space.num_variables, space.num_options)
  optimizer = optax.adam(config.search_learning_rate)
  start = latin_hypercube(start_key, num_groups, group[1:])
  num_elites = num_groups // 2
  _, elites = jax.lax.top_k(state.archive.objective, num_elites)
  elite_archs = state.archive.archs[elites]
  start = start.at[:num_elites].add(2.0 * space.one_hot(elite_archs))
  variables = proxy_search.init(start, space.cardinalities, optimizer)
  beta = choosing.optimizm(config.boldness, num_groups)[
    jnp.argsort(jnp.arange(num_groups) % 2, stable=True)
  ]

  def value(options: jax.Array) -> jax.Array:
    graphs = space.to_soft_graph(options)
    mean, deviation = ensembles.predict(
      network, state.members, graphs, penalty=config.penalty
    )
    return mean + beta * deviation

  variables = proxy_search.optimize(
    variables,
    value,
    jax.random.gumbel(epoch_key, (config.search_epochs, *group)),
    gumbel_lib.linear_temperatures(config.search_epochs),
    optimizer,
    topology=space.topology,
    interval=config.interval,
  )
  draws = jax.random.gumbel(
    draw_key, (num_groups, config.num_samples, *group[1:])
  )
  archs = proxy_search.sample(variables.logits, draws)
  return archs.reshape(-1, space.num_variables)


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  return options.archive_preset(Config(), budget)


def _fit_config(config: Config) -> fitting.Config:
  return fitting.Config(
    num_steps=config.fit_steps,
    batch_size=config.fit_batch_size,
    learning_rate=config.fit_learning_rate,
    rank_weight=config.rank_weight,
  )
