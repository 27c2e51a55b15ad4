"""Several networks side by side: their mean, and how far they disagree.

The first head learns the objective, further heads learn the violation of one
constraint each.
"""

import jax
import jax.numpy as jnp

from nagjax import networks
from nagjax.arrays import normal_scores
from nagjax.networks.base import Network
from nagjax.predictors import fitting
from nagjax.types import Graph
from nagjax.types import Key


def make_member(
  name: str,
  num_nodes: int,
  num_labels: int,
  *,
  hidden_size: int,
  num_constraints: int,
) -> Network:
  """The network of `nagjax.networks` with this name, a head a question.

  Args:
    name: such as `gcn`.
    num_nodes: of the graphs that it reads.
    num_labels: of their nodes.
    hidden_size: its width.
    num_constraints: heads besides the objective.
  """
  module = getattr(networks, name)
  config = module.Config(hidden_size=hidden_size, num_heads=1 + num_constraints)
  return getattr(module, name)(num_nodes, num_labels, config)


def init(
  key: Key, network: Network, num_members: int, config: fitting.Config
) -> fitting.Fitted:
  """Members at their random starts, leading size `num_members`."""
  keys = jax.random.split(key, num_members)
  return jax.vmap(lambda key: fitting.init(key, network, config))(keys)


def targets(
  objective: jax.Array, violations: jax.Array, used: jax.Array
) -> jax.Array:
  """What the heads learn, `f32[M, 1 + C]`.

  Args:
    objective: `f32[M]`, learned as normal scores; `-inf` for failures.
    violations: `f32[M, C]`, learned as `scaled_violations`.
    used: `bool[M]` rows that count.
  """
  scores = normal_scores(objective, used)[:, None]
  scaled = scaled_violations(violations, used)
  return jnp.concatenate([scores, scaled], axis=-1)


def fit(
  key: Key,
  network: Network,
  members: fitting.Fitted,
  graphs: Graph,
  values: jax.Array,
  num: jax.Array,
  config: fitting.Config,
) -> fitting.Fitted:
  """Every member goes on fitting the same rows; see `fitting.fit`."""
  keys = jax.random.split(key, jax.tree.leaves(members)[0].shape[0])
  return jax.vmap(
    lambda key, member: fitting.fit(
      key, network, member, graphs, values, num, config
    )
  )(keys, members)


def predict(
  network: Network,
  members: fitting.Fitted,
  graphs: Graph,
  *,
  penalty: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of what the members promise, `f32[...]` each.

  Args:
    network: the members' network.
    members: leading size `num_members`.
    graphs: any leading axes.
    penalty: times the predicted violations is subtracted from the mean.
  """
  heads = jax.vmap(network.apply, (0, None))(members.weights, graphs)
  objective, violations = heads[..., 0], heads[..., 1:]
  mean, deviation = jnp.mean(objective, axis=0), _deviation(objective)
  excess = jnp.sum(jnp.maximum(jnp.mean(violations, axis=0), 0.0), axis=-1)
  return mean - penalty * excess, deviation


def scaled_violations(violations: jax.Array, used: jax.Array) -> jax.Array:
  """Violations as targets near 1 whose sign still says what is feasible.

  `sign(v) log(1 + |v|)` in units of its root mean square: costs spread over
  orders of magnitude, and the limit is what matters. Violations of failures,
  which are infinite, count as three units.
  """
  finite = jnp.isfinite(violations) & used[:, None]
  logs = jnp.sign(violations) * jnp.log1p(jnp.abs(violations))
  squares = jnp.where(finite, logs, 0.0) ** 2
  count = jnp.maximum(jnp.sum(finite, axis=0), 1)
  scale = jnp.sqrt(jnp.sum(squares, axis=0) / count + 1e-12)
  scaled = jnp.where(finite, logs, jnp.inf) / scale[None]
  return jnp.where(used[:, None], jnp.clip(scaled, -3.0, 3.0), 0.0)


def _deviation(values: jax.Array) -> jax.Array:
  """Standard deviation over the first axis; its gradient at 0 is 0."""
  centered = values - jnp.mean(values, axis=0, keepdims=True)
  variance = jnp.sum(centered**2, axis=0) / max(values.shape[0] - 1, 1)
  return jnp.sqrt(jnp.maximum(variance, 1e-8))
