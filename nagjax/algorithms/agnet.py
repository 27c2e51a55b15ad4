"""AG-Net: a graph generator whose latent space moves towards what is good.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734. A round:

  1. the surrogate, a few networks side by side, goes on fitting the evaluations
     so far;
  2. the generator goes on training on the evaluated architectures, drawn by
     their rank weights (equation 3), and follows the gradient of what the
     surrogate says of its graphs;
  3. graphs are generated from random latent vectors and decoded at random; of
     those that are valid and unseen the surrogate selects the batch.

Differs from the paper and its program, because one setting has to serve every
benchmark: the surrogate learns real graphs instead of generated ones that the
same latent vectors will not give again, and it learns normal scores of ranks;
it reads probabilities instead of raw scores, which lie on the scale of real
graphs, and so its gradient says what to generate more often; several of them
stand for the uncertainty, and every slot of a batch has its own optimizm; a
latent vector is decoded several times, more and more boldly.

Boosted trees may stand for the networks; such a search runs on the host, see
`agnet_boosted`.

Constraints are further heads of the surrogate. For the retraining architectures
are ranked by the scalarized objective, in which what is not feasible comes last
(equation 5), or, with `joint`, by the sum of their ranks by objective and by
violations (equation 4). What is generated is selected by the predicted
objective, less a penalty for predicted violations, either way.
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import generation
from nagjax import networks
from nagjax.algorithms import agnet_boosted
from nagjax.algorithms import agnet_steps
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms import options
from nagjax.algorithms.agnet_steps import Config as Config
from nagjax.algorithms.agnet_steps import generate as generate
from nagjax.algorithms.agnet_steps import on_host as on_host
from nagjax.algorithms.agnet_steps import ranked as ranked
from nagjax.algorithms.archive import Info as Info
from nagjax.algorithms.choosing import num_rounds as num_rounds
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import LabeledGraphs
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archive: what was evaluated.
    members: the surrogates, leading size `num_members`.
    trained: the generators, leading size `C`.
  """

  archive: archive_lib.Archive
  members: fitting.Fitted
  trained: retraining.TrainState


def agnet(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds the search; its params are weights of a pretrained generator.

  A proposal that finds no unseen candidate is uniformly random.

  Raises:
    ValueError: if the space has no layout of graphs, or boosted trees are asked
      for and their library is missing.
  """
  config = config or Config()
  if on_host(config):
    return agnet_boosted.agnet_boosted(space, config)
  layout = require_layout(space)
  surrogate = make_surrogate(layout, config)

  def init(key: Key, params: Params) -> State:
    return State(
      archive_lib.empty(space, config.archive_size, config.num_constraints),
      ensembles.init(
        key, surrogate, config.num_members, agnet_steps.fit_config(config)
      ),
      retraining.start(params, agnet_steps.train_config(config)),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    fit_key, train_key, generate_key, random_key = jax.random.split(key, 4)
    written = layout.encode(state.archive.archs)
    graphs = generation.one_hot_graphs(written, layout)
    state = state._replace(members=fit(fit_key, state, graphs, config, layout))
    state = state._replace(
      trained=retrain(train_key, state, written, config, layout)
    )
    archs, allowed = agnet_steps.candidates(
      generate_key, state.archive, state.trained.params, params, config, space
    )
    candidates = generation.one_hot_graphs(layout.encode(archs), layout)
    mean, deviation = ensembles.predict(
      surrogate, state.members, candidates, penalty=config.penalty
    )
    proposal = agnet_steps.pick(
      random_key, space, archs, allowed, mean, deviation, config
    )
    return proposal, state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    return state._replace(archive=archive), Info(best, archive.num)

  return Algorithm(init, ask, tell, config.num_initial, config.batch_size)


def make_surrogate(layout: GraphLayout, config: Config) -> networks.Network:
  """One member; it reads all graphs of an architecture as one."""
  return ensembles.make_member(
    config.surrogate,
    layout.num_graphs * layout.num_nodes,
    len(layout.labels),
    hidden_size=config.hidden_size,
    num_constraints=config.num_constraints,
  )


def fit(
  key: Key,
  state: State,
  graphs: Graph,
  config: Config,
  layout: GraphLayout,
) -> fitting.Fitted:
  """Step 1: every surrogate goes on fitting the archive.

  Args:
    key: random key, consumed.
    state: what the search remembers.
    graphs: of the archive, see `generation.one_hot_graphs`.
    config: options.
    layout: of the graphs.
  """
  archive = state.archive
  return ensembles.fit(
    key,
    make_surrogate(layout, config),
    state.members,
    graphs,
    ensembles.targets(archive.target, archive.violations, archive.used),
    jnp.maximum(archive.num, 1),
    agnet_steps.fit_config(config),
  )


def retrain(
  key: Key,
  state: State,
  written: LabeledGraphs,
  config: Config,
  layout: GraphLayout,
) -> retraining.TrainState:
  """Step 2: the generator goes on training on what the archive ranks high.

  Args:
    key: random key, consumed.
    state: what the search remembers.
    written: the archive's graphs.
    config: options.
    layout: of the graphs.
  """
  surrogate = make_surrogate(layout, config)

  def value(scores: generator_lib.GraphLogits) -> jax.Array:
    mean, _ = ensembles.predict(
      surrogate,
      state.members,
      generation.relaxed_graphs(scores),
      penalty=config.penalty,
    )
    return mean

  return retraining.train(
    retraining.make_generator(layout),
    state.trained,
    *agnet_steps.batches(key, state.archive, written, config, layout),
    agnet_steps.train_config(config),
    value_fn=value if config.guidance else None,
    guidance=config.guidance,
  )


def params(
  space: SearchSpace,
  config: Config,
  directory: str | os.PathLike[str] | None = None,
) -> Params:
  """The weights of the space's pretrained generator.

  Args:
    space: the space.
    config: options.
    directory: where the user's files are, see `generation.load_pretrained`.

  Raises:
    FileNotFoundError: if there are none, with the command that makes them.
    ValueError: if they cannot be used.
  """
  del config
  return generation.load_pretrained(space, directory).params


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  return options.archive_preset(Config(), budget)
