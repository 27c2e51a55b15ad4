"""AG-Net's options and what its searches share, whatever their surrogate.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734. See
`agnet` for the search.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from nagjax import generation
from nagjax.algorithms import archive as archive_lib
from nagjax.algorithms import choosing
from nagjax.algorithms import options
from nagjax.arrays import average_ranks
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.predictors import fitting
from nagjax.spaces.base import GraphLayout
from nagjax.spaces.base import LabeledGraphs
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal

LATENTS = ("quantiles", "uniform")
BOOSTED = ("xgb", "xgb_rank")
"""Surrogates that live on the host; see `agnet_boosted`."""
SURROGATES = ("gcn", "mlp", *BOOSTED)


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`.
    surrogate: one of `SURROGATES`: networks, or those of `BOOSTED`.
    hidden_size: width of a network.
    num_members: surrogates side by side.
    fit_steps: minibatches of a fit.
    fit_batch_size: rows of a minibatch.
    fit_learning_rate: at the start of a fit.
    train_steps: minibatches of the generator in a round.
    train_batch_size: graphs of a minibatch.
    train_learning_rate: of the generator.
    weight_power: of the rank weights by which graphs are drawn. The program
      draws by the weights and multiplies the loss by them again, which is 2; 0
      retrains without weights (the paper's "w/o LSO").
    guidance: factor of the surrogate's gradient; 0 is the paper's "w/o
      backprop".
    latents: `uniform`, the program's, or `quantiles`, the paper's.
    num_latents: latent vectors of a round.
    num_decodes: graphs drawn from the scores of one latent vector.
    caution: share of the pretrained generator in the scores of the last of
      them; the first has none.
    boldness: largest optimizm of a slot, in deviations of the surrogates.
    penalty: of a predicted violation.
    joint: rank by objective and violations together; needs constraints.
    num_constraints: heads of the surrogate besides the objective.
  """

  num_initial: int = 16
  batch_size: int = 5
  archive_size: int = 320
  surrogate: str = "gcn"
  hidden_size: int = 32
  num_members: int = 3
  fit_steps: int = 40
  fit_batch_size: int = 32
  fit_learning_rate: float = 3e-3
  train_steps: int = 20
  train_batch_size: int = 16
  train_learning_rate: float = 1e-3
  weight_power: float = 1.0
  guidance: float = 0.1
  latents: str = "uniform"
  num_latents: int = 64
  num_decodes: int = 16
  caution: float = 1.0
  boldness: float = 4.0
  penalty: float = 5.0
  joint: bool = False
  num_constraints: int = 0

  def __post_init__(self):
    options.check_sizes(self)
    options.check_choices(self, surrogate=SURROGATES, latents=LATENTS)
    options.check_archive(self)
    if self.num_latents * self.num_decodes < self.batch_size:
      raise ValueError(
        "num_latents * num_decodes must be at least batch_size = "
        f"{self.batch_size}, got {self.num_latents * self.num_decodes}."
      )
    if not 0 <= self.caution <= 1:
      raise ValueError(f"caution must be in [0, 1], got {self.caution}.")
    for name in ("weight_power", "guidance", "boldness", "penalty"):
      value = getattr(self, name)
      if not 0 <= value < math.inf:
        raise ValueError(
          f"{name} must be finite and not negative, got {value}."
        )
    if self.joint and not self.num_constraints:
      raise ValueError(
        "joint ranks by objective and constraints, and there is no constraint; "
        "add one or leave joint out."
      )
    # They check their own options.
    train_config(self)
    fit_config(self)


def on_host(config: Config) -> bool:
  """Whether the surrogate lives on the host, and so the search."""
  return config.surrogate in BOOSTED


def batches(
  key: Key,
  archive: archive_lib.Archive,
  written: LabeledGraphs,
  config: Config,
  layout: GraphLayout,
) -> tuple[LabeledGraphs, jax.Array]:
  """Draws what the generator learns in a round, by rank weights.

  Args:
    key: random key, consumed.
    archive: what was evaluated.
    written: its graphs.
    config: options.
    layout: of the graphs.

  Returns:
    Targets and latent vectors for `retraining.train`.
  """
  row_key, latent_key = jax.random.split(key)
  weights = generation.rank_weights(ranked(archive, config), archive.used)
  weights = jnp.where(archive.used, weights**config.weight_power, 0.0)
  shape = (config.train_steps, config.train_batch_size)
  # The first row alone, if nothing was evaluated.
  weights = weights.at[0].add(jnp.where(archive.num == 0, 1.0, 0.0))
  rows = jax.random.choice(
    row_key, weights.shape[0], shape, p=weights / jnp.sum(weights)
  )
  targets = jax.tree.map(lambda leaf: leaf[rows], written)
  latents = jax.random.normal(
    latent_key, (*shape, layout.num_graphs, generator_lib.LATENT_SIZE)
  )
  return targets, latents


def ranked(archive: archive_lib.Archive, config: Config) -> jax.Array:
  """By what the architectures of an archive are ranked, `f32[M]`, maximized.

  With `joint` and constraints: the negative sum of the ranks by objective and
  by violations, and what is not feasible comes last (equation 4).
  """
  if not config.joint or not config.num_constraints:
    return archive.objective
  rank = average_ranks(-archive.target) + sum(
    average_ranks(archive.violations[:, c])
    for c in range(config.num_constraints)
  )
  feasible = jnp.all(archive.violations <= 0, axis=-1)
  size = (1 + config.num_constraints) * rank.shape[0]
  return -rank - jnp.where(feasible, 0.0, 1.0 * size)


def generate(
  key: Key,
  params: Params,
  pretrained: Params,
  config: Config,
  layout: GraphLayout,
) -> tuple[Archs, jax.Array]:
  """Step 3: generates architectures.

  Args:
    key: random key, consumed.
    params: of the generators, leading axis `C`.
    pretrained: what they were before the search.
    config: options.
    layout: of the graphs.

  Returns:
    `int32[num_latents * num_decodes, L]` and `bool[...]` whether each is one.
  """
  latent_key, node_key, edge_key = jax.random.split(key, 3)
  shape = (config.num_latents, layout.num_graphs, generator_lib.LATENT_SIZE)
  uniform = jax.random.uniform(latent_key, shape)
  latents = (
    generation.uniform_latents(uniform)
    if config.latents == "uniform"
    else generation.quantile_latents(uniform)
  )
  network = retraining.make_generator(layout)
  both = jax.tree.map(lambda *leaves: jnp.stack(leaves), params, pretrained)
  scores = jax.vmap(lambda p: retraining.generate(network, p, latents))(both)
  share = jnp.linspace(0.0, config.caution, config.num_decodes)

  def mixed(leaf: jax.Array) -> jax.Array:
    """Every decode's scores, from those of every latent vector."""
    now, before = leaf[:, :, None]
    by_decode = share.reshape((1, -1) + (1,) * (now.ndim - 2))
    return now + by_decode * (before - now)

  scores = jax.tree.map(mixed, scores)
  written = generation.choose(
    scores,
    jax.random.gumbel(node_key, scores.nodes.shape),
    jax.random.logistic(edge_key, scores.edges.shape),
  )
  archs, valid = layout.decode(written, scores.edges)
  return archs.reshape(-1, archs.shape[-1]), valid.reshape(-1)


def candidates(
  key: Key,
  archive: archive_lib.Archive,
  params: Params,
  pretrained: Params,
  config: Config,
  space: SearchSpace,
) -> tuple[Archs, jax.Array]:
  """`generate`, and which of them are valid, unseen and no copies, `bool[...]`.

  Args:
    key: random key, consumed.
    archive: what was evaluated.
    params: of the generators.
    pretrained: what they were before the search.
    config: options.
    space: the space.
  """
  layout = require_layout(space)
  archs, valid = generate(key, params, pretrained, config, layout)
  allowed = archive_lib.unseen(
    archive, space, archs, valid & space.is_valid(archs)
  )
  return archs, allowed


def pick(
  key: Key,
  space: SearchSpace,
  archs: Archs,
  allowed: jax.Array,
  mean: jax.Array,
  deviation: jax.Array,
  config: Config,
) -> Proposal:
  """The batch: every slot has its own optimizm, a slot without any is random.

  Args:
    key: random key, consumed.
    space: the space.
    archs: `int32[N, L]` candidates.
    allowed: `bool[N]` which may be proposed.
    mean: `f32[N]` what they promise.
    deviation: `f32[N]` and how uncertain it is.
    config: options.
  """
  chosen, found = choosing.choose(
    jnp.where(allowed, mean, -jnp.inf),
    deviation,
    choosing.optimizm(config.boldness, config.batch_size),
  )
  random = space.sample(key, config.batch_size)
  archs = jnp.where(found[:, None], archs[chosen], random)
  return Proposal(archs, space.is_valid(archs))


def train_config(config: Config) -> retraining.Config:
  """How the generator is trained."""
  return retraining.Config(learning_rate=config.train_learning_rate)


def fit_config(config: Config) -> fitting.Config:
  """How a surrogate is fitted."""
  return fitting.Config(
    num_steps=config.fit_steps,
    batch_size=config.fit_batch_size,
    learning_rate=config.fit_learning_rate,
  )
