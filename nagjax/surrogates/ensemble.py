"""An ensemble of networks as a surrogate: their mean, and how they disagree.

The first head learns the objective, further heads learn the violation of one
constraint each.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.archive import Archive
from nagjax.networks import gcn
from nagjax.networks import mlp
from nagjax.networks import path_encoding
from nagjax.networks.base import GraphNetwork
from nagjax.networks.descent import TrainState
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import base
from nagjax.surrogates import fitting
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Prediction

ViewFn = Callable[[Archs], Graph]
"""What the networks read of `int32[C, L]` architectures."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    hidden_size: width of a network.
    num_members: networks side by side, `M`.
    continues: whether a fit goes on from the last one; else it begins anew.
    max_features: of the path encoding, which leaves out longer paths; other
      networks have none.
    fit: of every fit of a member.
  """

  hidden_size: int = 32
  num_members: int = 3
  continues: bool = True
  max_features: int = 400
  fit: fitting.Config = fitting.Config(num_steps=40, batch_size=32)

  def __post_init__(self) -> None:
    checks.sizes(self)


TINY = Config(
  hidden_size=4,
  num_members=2,
  fit=fitting.Config(num_steps=3, batch_size=8),
)
"""Options for tests of the contract."""


def ensemble(
  network: GraphNetwork,
  view: ViewFn,
  config: Config,
  relaxed_view: Callable[[jax.Array], Graph] | None = None,
) -> base.Surrogate[TrainState, Params]:
  """Builds the surrogate.

  Args:
    network: one member, with a head for the objective and one for each
      constraint.
    view: what it reads.
    config: members and their fits; the width is the network's affair.
    relaxed_view: the same of weights of the options `f32[G, L, K]`; None if the
      network cannot read them.

  Example:
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> network = gcn.gcn(space.num_nodes, space.num_labels)
    >>> surrogate = ensemble(network, space.to_graph, TINY)
    >>> surrogate.has_members, surrogate.relaxed is None
    (True, True)
  """

  def init(key: Key, params: Params) -> TrainState:
    del params
    keys = jax.random.split(key, config.num_members)
    return jax.vmap(lambda key: fitting.init(key, network, config.fit))(keys)

  def fit(key: Key, state: TrainState, archive: Archive) -> TrainState:
    init_key, fit_key = jax.random.split(key)
    start = state if config.continues else init(init_key, ())
    graphs, targets = view(archive.archs), archive.targets
    num = jnp.maximum(archive.num, 1)

    def one(key: Key, member: TrainState) -> TrainState:
      return fitting.fit(key, network, member, graphs, targets, num, config.fit)

    return jax.vmap(one)(jax.random.split(fit_key, config.num_members), start)

  def read(state: TrainState, graphs: Graph) -> Prediction:
    return base.of_members(
      jax.vmap(network.apply, (0, None))(state.params, graphs)
    )

  return base.Surrogate(
    init=init,
    fit=fit,
    predict=lambda state, archs: read(state, view(archs)),
    relaxed=None
    if relaxed_view is None
    else lambda state, options: read(state, relaxed_view(options)),
  )


def graph_networks(
  space: SearchSpace,
  config: Config,
  num_constraints: int = 0,
  *,
  build: Callable[..., GraphNetwork] = gcn.gcn,
  options: Callable[..., Any] = gcn.Config,
) -> base.Surrogate[TrainState, Params]:
  """An ensemble of networks over graphs, such as those of the library.

  Args:
    space: the space whose graphs are read.
    config: width, members and their fits; the path limit has no meaning.
    num_constraints: heads besides the objective.
    build: `(num_nodes, num_labels, options) -> network`.
    options: `(hidden_size=, num_heads=) -> ` its options.

  Example:
    >>> surrogate = graph_networks(SearchSpace("mine", (4, 4, 3)), TINY)
    >>> state = jax.eval_shape(surrogate.init, jax.random.key(0), ())
    >>> archs = jnp.asarray([[0, 1, 2], [3, 3, 0]])
    >>> jax.eval_shape(surrogate.predict, state, archs).members.shape
    (2, 2)
  """
  network = build(
    space.num_nodes,
    space.num_labels,
    options(hidden_size=config.hidden_size, num_heads=1 + num_constraints),
  )
  return ensemble(network, space.to_graph, config, space.to_soft_graph)


def path_networks(
  space: SearchSpace, config: Config, num_constraints: int = 0
) -> base.Surrogate[TrainState, Params]:
  """An ensemble of multi-layer perceptrons on path encodings, as in BANANAS.

  It has no relaxed form: whether a path reads so is no smooth function.

  Args:
    space: the space.
    config: width, members and their fits, and the most paths.
    num_constraints: heads besides the objective.

  Raises:
    ValueError: if the space has no path within `config.max_features`.

  Example:
    >>> path_networks(SearchSpace("mine", (4, 4, 3)), TINY).relaxed is None
    True
  """
  everything = jnp.ones((space.num_variables, space.num_options), jnp.float32)
  paths = path_encoding.possible_paths(
    space.to_soft_graph(everything), config.max_features
  )
  network = path_encoding.path_mlp(
    paths,
    mlp.Config(hidden_size=config.hidden_size, num_heads=1 + num_constraints),
  )

  def view(archs: Archs) -> Graph:
    encoding = path_encoding.path_encoding(space.to_graph(archs), paths)
    return path_encoding.as_graph(encoding)

  return ensemble(network, view, config)
