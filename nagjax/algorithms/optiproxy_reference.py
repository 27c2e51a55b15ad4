"""OptiProxy-NAS as its authors published it, for NAS-Bench-201.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search". Where the paper and the published program differ, this
follows the program; `optiproxy` is our own version of the idea. A round fits
the proxy to all evaluations, moves the relaxed architectures up its gradient
and draws the next batch from them (sections 2.2 to 2.4).

The pieces of a round are in `optiproxy_reference_steps`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import archive as archive_lib
from nagjax.algorithms import optiproxy_reference_presets as presets
from nagjax.algorithms import optiproxy_reference_steps as steps
from nagjax.algorithms.spec import Spec
from nagjax.networks.descent import TrainState
from nagjax.relaxation import maximin_latin_hypercube
from nagjax.relaxation import proxy_search
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal
from nagjax.types import Status

Config = presets.Config


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archs: `int32[M, L]`; the first `num` are in use.
    objective: `f32[M]`; `-inf` for failures and infeasible rows.
    num: `int32[]`.
    initial: `int32[num_initial, L]` what the first rounds propose.
    proxy: the network and the moments of its optimizer.
    groups: the relaxed architectures and theirs.
  """

  archs: jax.Array
  objective: jax.Array
  num: jax.Array
  initial: jax.Array
  proxy: TrainState
  groups: proxy_search.Variables


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_objective: `f32[]` best of the archive.
    archive_size: `int32[]`.
  """

  best_objective: jax.Array
  archive_size: jax.Array


def optiproxy_reference(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds the published search; it has no params and knows no constraints.

  Differs from the program: the first call is proposed in batches, and prior
  data takes the place of as many of its rows; a candidate is drawn at most
  `num_tries` times and left out if all were repeats, instead of endlessly; a
  copy of a candidate is left out whatever rounding does to its score; failures
  and infeasible rows are remembered but not fitted. Too few candidates leave
  invalid rows.

  Raises:
    ValueError: if the space is not NAS-Bench-201.
  """
  if space.name != "nasbench201":
    raise ValueError(
      "The published OptiProxy-NAS is here for the space nasbench201 only, got "
      f"{space.name}; leave the variant out for our own version."
    )
  config = config or Config()
  network = steps.make_proxy(space, config)
  size, batch_size = config.archive_size, config.batch_size
  num_initial = config.num_initial

  def init(key: Key, params: Params) -> State:
    del params
    proxy_key, start_key, draw_key, score_key = jax.random.split(key, 4)
    weights = network.init(proxy_key)
    start = maximin_latin_hypercube(
      start_key,
      config.num_groups,
      (space.num_variables, space.num_options),
      num_designs=config.num_designs,
    )
    groups = proxy_search.init(
      config.lower + config.width * start,
      space.cardinalities,
      steps.search_optimizer(config),
    )
    archs = jnp.zeros((size, space.num_variables), jnp.int32)
    candidates, _ = steps.sample_unseen(
      draw_key, groups.logits, archs, jnp.int32(0), num_initial, space, config
    )
    scores = jax.random.uniform(score_key, candidates.shape[:1])
    chosen = jax.lax.top_k(scores, num_initial)[1]
    return State(
      archs=archs,
      objective=jnp.full(size, -jnp.inf, jnp.float32),
      num=jnp.int32(0),
      initial=candidates[chosen],
      proxy=TrainState(weights, steps.fit_optimizer(config).init(weights)),
      groups=groups,
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    return jax.lax.cond(
      state.num < num_initial, propose_initial, propose, key, state
    )

  def propose_initial(key: Key, state: State) -> tuple[Proposal, State]:
    del key
    rows = state.num + jnp.arange(batch_size)
    archs = state.initial[jnp.minimum(rows, num_initial - 1)]
    return Proposal(archs, rows < num_initial), state

  def propose(key: Key, state: State) -> tuple[Proposal, State]:
    fit_key, search_key, draw_key = jax.random.split(key, 3)
    proxy = steps.fit(
      fit_key, network, state.proxy, state.archs, state.objective, space, config
    )
    groups = steps.search(
      search_key, network, proxy, state.groups, space, config
    )
    candidates, unseen = steps.sample_unseen(
      draw_key,
      groups.logits,
      state.archs,
      state.num,
      batch_size,
      space,
      config,
    )
    graphs = steps.proxy_graph(space, space.one_hot(candidates))
    scores = network.apply(proxy.params, graphs)[:, 0]
    allowed = unseen & ~archive_lib.is_duplicate(space.keys(candidates))
    chosen, found = steps.top_unique(
      jnp.where(allowed, scores, -jnp.inf), batch_size
    )
    state = state._replace(proxy=proxy, groups=groups)
    return Proposal(candidates[chosen], found), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    keep = proposal.valid & (evaluation.status != Status.DENIED)
    objective = jnp.where(evaluation.feasible, evaluation.objective, -jnp.inf)
    place = jnp.where(keep, state.num + jnp.cumsum(keep) - 1, size)
    num = state.num + jnp.sum(keep, dtype=jnp.int32)
    state = state._replace(
      archs=state.archs.at[place].set(proposal.archs, mode="drop"),
      objective=state.objective.at[place].set(objective, mode="drop"),
      num=jnp.minimum(num, size),
    )
    return state, Info(jnp.max(state.objective), state.num)

  return Algorithm(init, ask, tell, num_initial=0, batch_size=batch_size)


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """As many as the program's steps for a budget, and its first call."""
  del algorithm
  first = -(-config.num_initial // config.batch_size)
  rest = max(budget - config.num_initial, 0)
  return first + -(-rest // config.batch_size)


SPEC = Spec(
  build=optiproxy_reference,
  config=Config(),
  num_rounds=num_rounds,
  preset=presets.preset,
  tiny=dict(
    num_initial=5,
    batch_size=3,
    archive_size=20,
    hidden_size=8,
    num_layers=1,
    fit_epochs=3,
    num_groups=2,
    search_epochs=3,
    verify_ratio=4,
  ),
)
"""How the registry builds it."""
