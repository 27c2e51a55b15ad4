"""Training a generator: on a whole space first, then on its best members.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section
3.2, after Tripp, Daxberger and Hernández-Lobato, "Sample-Efficient Optimization
in the Latent Space of Deep Generative Models via Weighted Retraining", NeurIPS
2020, https://arxiv.org/abs/2006.09191.

A generator has no encoder: every graph is a target for latent vectors that have
nothing to do with it, so what it gives becomes the distribution of the
targets.
"""

from collections.abc import Callable
import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import optax

from nagjax import checks
from nagjax.arrays import average_ranks
from nagjax.networks import descent
from nagjax.networks import generator as generator_lib
from nagjax.networks.descent import TrainState
from nagjax.networks.generator import GeneratorNetwork
from nagjax.networks.generator import GraphLogits
from nagjax.networks.generator import Params
from nagjax.spaces.layouts import GraphLayout
from nagjax.spaces.layouts import LabeledGraphs

ValueFn = Callable[[GraphLogits], jax.Array]
"""Maps logits of generated graphs, `[B, C, ...]`, to values, `[B]`."""

RANK_OFFSET = 0.01
"""`k` of the rank weights; the paper writes 10e-3."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    learning_rate: of Adam, at the start.
    first_moment: decay of Adam's first moment; the program has 0.5.
    decay_steps: steps in which the learning rate falls to 0 along a cosine; it
      is constant if 0.
  """

  learning_rate: float = 1e-3
  first_moment: float = 0.5
  decay_steps: int = 0

  def __post_init__(self) -> None:
    checks.sizes(self, decay_steps=0)
    checks.positive(self, "learning_rate")
    if not 0 <= self.first_moment < 1:
      raise ValueError(
        f"first_moment must be in [0, 1), got {self.first_moment}."
      )


def make_generator(layout: GraphLayout) -> GeneratorNetwork:
  """The generator that writes one graph of a layout."""
  config = generator_lib.Config(
    num_rounds=4 if layout.num_inputs == 2 else 2,
    num_inputs=layout.num_inputs,
  )
  return generator_lib.generator(layout.num_nodes, len(layout.labels), config)


def start(params: Params, config: Config) -> TrainState:
  """Begins a training at given weights, leading axis `C`."""
  return descent.begin(params, _optimizer(config))


def generate(
  network: GeneratorNetwork, params: Params, z: jax.Array
) -> GraphLogits:
  """Logits of the graphs of architectures.

  Args:
    network: the generator.
    params: leading axis `C`.
    z: `f32[..., C, 32]` latent vectors.

  Returns:
    Logits with the leading axes of `z`.
  """
  apply = jax.vmap(network.apply)
  for _ in range(z.ndim - 2):
    apply = jax.vmap(apply, (None, 0))
  return apply(params, z)


def rank_weights(
  objective: jax.Array, used: jax.Array, *, k: ArrayLike = RANK_OFFSET
) -> jax.Array:
  """Weights `1 / (k N + rank)` of equation 3, not normalized.

  Args:
    objective: `f32[M]`, maximized; the best has rank 0, ties their mean rank.
    used: `bool[M]` which entries count, `N` of them.
    k: how flat the weights are.

  Returns:
    `f32[M]`; 0 where unused.
  """
  rank = average_ranks(-objective, used)
  weights = 1 / (k * jnp.sum(used, dtype=jnp.float32) + rank)
  return jnp.where(used, weights, 0.0)


def advantages(values: jax.Array) -> jax.Array:
  """Share of the others that are below each value, less that above, `f32[N]`.

  Centered ranks in [-1, 1]; -inf is a value like others.

  Args:
    values: `f32[N]`.
  """
  num_others = values.shape[0] - 1
  return (2 * average_ranks(values) - num_others) / max(num_others, 1)


def log_likelihood(logits: GraphLogits, graphs: LabeledGraphs) -> jax.Array:
  """Log-probability with which `generation.choose` draws graphs, `f32[...]`.

  Args:
    logits: leading axes `[..., C]`; summed over the graphs of an architecture.
    graphs: likewise.
  """
  # The last node is the output, whatever its logits.
  nodes = -optax.softmax_cross_entropy_with_integer_labels(
    logits.nodes[..., :-1, :], graphs.labels[..., :-1]
  )
  edges = -optax.sigmoid_binary_cross_entropy(
    logits.edges, graphs.edges.astype(jnp.float32)
  )
  return jnp.sum(nodes, axis=(-2, -1)) + jnp.sum(edges, axis=(-2, -1))


def policy_gradient(
  logits: GraphLogits, graphs: LabeledGraphs, advantage: jax.Array
) -> jax.Array:
  """A `ValueFn` whose gradient is that of an expected advantage, `f32[B]`.

  `mean_d a_d log p(g_d)` for graphs drawn from the logits themselves. Where
  they were drawn, `E[a grad log p] = grad E[a]`: an unbiased gradient of
  something that itself has none, such as ranks by boosted trees. The advantage
  needs no differentiable predictor; it must not depend on a graph but by what
  the graph is.

  Args:
    logits: `[B, C, ...]`.
    graphs: `[B, D, C, ...]` graphs that `generation.choose` drew from them.
    advantage: `f32[B, D]`, constants.

  References:
    Williams, "Simple Statistical Gradient-Following Algorithms for
    Connectionist Reinforcement Learning", Machine Learning 8, 1992, section 4.
  """
  likelihood = jax.vmap(log_likelihood, (None, 1), 1)(logits, graphs)
  return jnp.mean(jax.lax.stop_gradient(advantage) * likelihood, axis=1)


def train(
  network: GeneratorNetwork,
  state: TrainState,
  targets: LabeledGraphs,
  z: jax.Array,
  config: Config,
  *,
  value_fn: ValueFn | None = None,
  guidance: float = 0.0,
) -> TrainState:
  """One step of Adam for every leading entry of the targets, as a scan.

  The loss is the mean of `reconstruction_loss`, summed over the graphs of an
  architecture, less `guidance` times the mean of `value_fn`.

  Args:
    network: the generator.
    state: where to start.
    targets: labels `int32[S, B, C, n]`, edges `bool[S, B, C, n (n - 1) / 2]`.
    z: `f32[S, B, C, 32]` standard normal draws.
    config: of the optimizer.
    value_fn: what generated graphs are worth; its gradient flows into the
      generator.
    guidance: see above.
  """
  optimizer = _optimizer(config)

  def step(
    state: TrainState, inputs: tuple[LabeledGraphs, jax.Array]
  ) -> tuple[TrainState, None]:
    batch, latents = inputs

    def loss(params: Params) -> jax.Array:
      logits = generate(network, params, latents)
      losses = generator_lib.reconstruction_loss(
        logits, batch.labels, batch.edges
      )
      total = jnp.mean(jnp.sum(losses, axis=-1))
      if value_fn is not None:
        total -= guidance * jnp.mean(value_fn(logits))
      return total

    return descent.descend(state, loss, optimizer), None

  return jax.lax.scan(step, state, (targets, z))[0]


def _optimizer(config: Config) -> optax.GradientTransformation:
  rate: optax.ScalarOrSchedule = config.learning_rate
  if config.decay_steps:
    rate = optax.cosine_decay_schedule(config.learning_rate, config.decay_steps)
  return optax.adam(rate, b1=config.first_moment)
