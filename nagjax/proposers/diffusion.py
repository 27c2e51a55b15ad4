"""DiffusionNAG's candidates: samples of a diffusion that a predictor guides.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943, sections 3.2 and
3.3. In a round

  1. a predictor of noisy architectures learns from the surrogate which
     architectures are good;
  2. it guides the score model, trained once for the space, to sample
     candidates.

Differs from the paper: the guiding predictor is a classifier of "good", told by
the surrogate about many architectures instead of by the few evaluated ones (see
`surrogates.noise_aware`), and its log-likelihood is the guide, not its raw
output; the sampler takes tens of steps instead of a thousand.
"""

from collections.abc import Callable
import dataclasses
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.archive import Archive
from nagjax.archive import mutate_top
from nagjax.diffusion import guidance as guidance_lib
from nagjax.diffusion import samplers
from nagjax.diffusion.guidance import ScoreFn
from nagjax.diffusion.sde import Sde
from nagjax.generation import pretrained_scores
from nagjax.generation import score_models
from nagjax.generation.score_models import ScoreModel
from nagjax.networks import guides
from nagjax.networks.base import GuideNetwork
from nagjax.networks.descent import TrainState
from nagjax.proposers import base
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import noise_aware
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

Sampler = Callable[[ScoreFn, Sde, jax.Array], samplers.Sampled]
"""`(score_fn, equation, start f32[C, n, F]) -> Sampled`."""

_NUM_PARENTS = 8
"""Evaluations whose mutants teach the guide."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_candidates: samples of a round, `C`.
    guide_size: width of the guiding predictor.
    guide_fit: its every fit.
    num_taught: architectures that it learns from; half of them are random, half
      are mutants of the best.
    good_share: share of them that is "good".
    guidance: factor of its gradient; at 1 the sampler is that of the good, but
      for the mutants that it learns from; at 0 there is no guide.
    sample_steps: of the few-step sampler.
  """

  num_candidates: int = 64
  guide_size: int = 48
  guide_fit: noise_aware.Config = noise_aware.Config(num_steps=60)
  num_taught: int = 512
  good_share: float = 0.1
  guidance: float = 2.0
  sample_steps: int = 16

  def __post_init__(self) -> None:
    checks.sizes(self)
    if not 0 < self.good_share < 1:
      raise ValueError(f"good_share must be in (0, 1), got {self.good_share}.")
    if not np.isfinite(self.guidance):
      raise ValueError(f"guidance must be finite, got {self.guidance}.")


TINY = Config(
  num_candidates=12,
  guide_size=4,
  guide_fit=noise_aware.Config(num_steps=3),
  num_taught=20,
  sample_steps=4,
)
"""Options for tests of the contract."""


class State(NamedTuple):
  """What the proposer remembers.

  Attributes:
    guide: the predictor of noisy architectures.
    bad_step: `int32[]` first step of a sampler that was not finite, or -1.
  """

  guide: TrainState
  bad_step: jax.Array


def diffusion(
  space: SearchSpace,
  config: Config | None = None,
  *,
  model: ScoreModel | None = None,
  params: Params | None = None,
  sampler: Sampler | None = None,
  guide: GuideNetwork | None = None,
  directory: str | os.PathLike[str] | None = None,
) -> base.Proposer[State, Params]:
  """Builds the proposer.

  Args:
    space: the space.
    config: `Config`: candidates of a round, and what the guide learns from.
    model: the score model; that of the space's file if None.
    params: its weights; those of the file if None.
    sampler: how samples are drawn; `samplers.few_step` if None.
    guide: the network that guides; `default_guide` if None.
    directory: where the user's files are.

  Raises:
    FileNotFoundError: if there are no weights, with the command that makes
      them.
    ValueError: if a model comes without its weights, or a file cannot be used.
  """
  config = config or Config()
  if (model is None) != (params is None):
    raise ValueError("A score model and its params come together: give both.")
  if model is None:
    trained = pretrained_scores.load_trained_score(space, directory)
    model = score_models.score_model(space, trained.config)
    params = trained.params
  guide = guide or default_guide(space, model, config.guide_size)
  adjacency = rows_adjacency(space, model)
  num = config.num_candidates
  draw_samples = sampler or _few_step(config.sample_steps)

  def init(key: Key, params: Params) -> State:
    del params
    return State(noise_aware.init(key, guide, config.guide_fit), jnp.int32(-1))

  # Compiled one by one where the surrogate lives on the host.
  @jax.jit
  def draw_taught(key: Key, archive: Archive) -> Archs:
    return taught(key, archive, space, config.num_taught)

  @jax.jit
  def sample(
    key: Key,
    state: State,
    params: Params,
    examples: tuple[Archs, jax.Array] | None,
  ) -> tuple[Archs, jax.Array, State]:
    fit_key, sample_key = jax.random.split(key)
    score_fn = model.score_fn(params)
    if examples is not None:
      archs, labels = examples
      trained = noise_aware.fit(
        fit_key,
        guide,
        state.guide,
        model.to_data(archs),
        labels,
        adjacency,
        model.sde,
        model.occurs,
        config.guide_fit,
      )
      state = state._replace(guide=trained)
      value = noise_aware.value_fn(
        guide, trained.params, adjacency, model.sde, model.occurs
      )
      score_fn = guidance_lib.guided(
        score_fn, guidance_lib.log_odds(value), config.guidance
      )
    start = samplers.draw_prior(sample_key, model.sde, (num, *model.shape))
    sampled = draw_samples(score_fn, model.sde, start)
    archs, valid = model.from_data(sampled.x)
    bad = jnp.where(state.bad_step < 0, sampled.bad_step, state.bad_step)
    return archs, valid & space.is_valid(archs), state._replace(bad_step=bad)

  def propose(
    key: Key,
    state: State,
    params: Params,
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, State]:
    taught_key, sample_key = jax.random.split(key)
    if not config.guidance:
      return sample(sample_key, state, params, None)
    archs = draw_taught(taught_key, archive)
    labels = good(belief.predict(archs).mean, config.good_share)
    return sample(sample_key, state, params, (archs, labels))

  return base.Proposer(
    init,
    propose,
    params=params,
    needs=base.Needs.PREDICT if config.guidance else base.Needs.NOTHING,
    failed_step=lambda state: state.bad_step,
  )


def taught(key: Key, archive: Archive, space: SearchSpace, num: int) -> Archs:
  """Architectures that the guide learns from, `int32[num, L]`.

  Half are random, half are mutants of the best, so that the rare is seen.

  Example:
    >>> from nagjax import archive as archives
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> draw = lambda key: taught(key, archives.empty(space, 8, 0), space, 10)
    >>> jax.eval_shape(draw, jax.random.key(0)).shape
    (10, 3)
  """
  random_key, mutate_key = jax.random.split(key)
  random = space.sample(random_key, num)
  half = num // 2
  mutants = mutate_top(
    archive,
    space,
    jax.random.uniform(mutate_key, (half, 2)),
    random[:half],
    _NUM_PARENTS,
  )
  return jnp.concatenate([random[half:], mutants])


def good(mean: jax.Array, share: float) -> jax.Array:
  """Labels of the best `share` of predictions, `f32[C] -> f32[C]`.

  Example:
    >>> jax.jit(good)(jnp.asarray([0.1, 0.9, 0.5, 0.7]), 0.5).tolist()
    [0.0, 1.0, 0.0, 1.0]
  """
  return (mean >= jnp.quantile(mean, 1 - share)).astype(jnp.float32)


def default_guide(
  space: SearchSpace, model: ScoreModel, hidden_size: int
) -> GuideNetwork:
  """Graph convolutions where rows form a graph other than a chain.

  Else a transformer, which knows the positions of rows.
  """
  graph = space.feature_graph
  num_rows = model.shape[0]
  is_chain = graph is None or np.array_equal(
    graph.adjacency, np.eye(num_rows, k=1)
  )
  make: Any = guides.transformer_guide if is_chain else guides.gcn_guide
  return make(*model.shape, hidden_size=hidden_size)


def rows_adjacency(space: SearchSpace, model: ScoreModel) -> jax.Array:
  """Of the rows, `f32[n, n]`; all are connected where nobody said how.

  Example:
    >>> space = SearchSpace("mine", (4, 4, 3))
    >>> model = score_models.score_model(space)
    >>> guide = default_guide(space, model, hidden_size=8)
    >>> rows_adjacency(space, model).shape
    (3, 3)
  """
  graph, num_rows = space.feature_graph, model.shape[0]
  if graph is None or np.array_equal(graph.adjacency, np.eye(num_rows, k=1)):
    return jnp.ones((num_rows, num_rows))
  return jnp.asarray(graph.adjacency)


def _few_step(num_steps: int) -> Sampler:
  return lambda score_fn, sde, start: samplers.few_step(
    score_fn, sde, start, num_steps
  )
