"""EDNAG's candidates: a population of noise that fitness denoises.

Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural Architecture
Generation": a population is denoised step by step, and fitness takes the place
of the score network through the Bayes estimator (equation 8). Here fitness is
the surrogate's mean, individuals are categorical, and they are drawn towards
the elites of the archive and towards the population's own fittest members. The
candidates are all architectures that the steps passed through.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.archive import Archive
from nagjax.diffusion import noise
from nagjax.evolution import denoising as denoising_lib
from nagjax.proposers import base
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key

_WORST_FITNESS = -1e3
"""A floor that keeps the estimator defined while the archive is empty."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options, and the values of the default `Params`.

  Attributes:
    population_size: individuals that are denoised in a round, `P`.
    num_steps: denoising steps of a round, `T`.
    num_elites: best of the archive that guide the denoising.
    temperature, final_alpha: see `Params`.
    max_distance: of two vectors that differ everywhere. In units of variables
      it would grow with their number, until every individual's nearest value is
      itself and fitness has no say.
  """

  population_size: int = 64
  num_steps: int = 6
  num_elites: int = 32
  temperature: float = 0.3
  final_alpha: float = 0.85
  max_distance: float = 6.0

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.positive(self, "temperature", "max_distance")
    if not 0 < self.final_alpha < 1:
      raise ValueError(
        f"final_alpha must be between 0 and 1, got {self.final_alpha}."
      )


TINY = Config(population_size=6, num_steps=2, num_elites=4)
"""Options for tests of the contract."""


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary.

  Attributes:
    temperature: `f32[]` of the Bayes estimator, in normal scores.
    final_alpha: `f32[]` share of signal after the last denoising step.
  """

  temperature: jax.Array
  final_alpha: jax.Array


def denoising(
  space: SearchSpace, config: Config | None = None
) -> base.Proposer[jax.Array, Params]:
  """Builds the proposer; it remembers the means of what it proposed last.

  Example:
    >>> proposer = denoising(SearchSpace("mine", (4, 4, 3)), TINY)
    >>> proposer.needs, round(float(proposer.params.temperature), 2)
    (<Needs.TRACED: 2>, 0.3)
  """
  config = config or Config()
  shape = (config.population_size, space.num_variables)

  def init(key: Key, params: Params) -> jax.Array:
    del key, params
    return jnp.zeros(config.num_steps * config.population_size, jnp.float32)

  def propose(
    key: Key,
    state: jax.Array,
    params: Params,
    belief: base.Belief,
    archive: Archive,
  ) -> tuple[Archs, jax.Array, jax.Array]:
    del state
    # One draw for all steps: many small ones would dominate a light round.
    draws = noise.draws(
      key,
      start=(noise.uniform, shape),
      steps=(noise.uniform, (config.num_steps, *shape)),
    )
    start = space.from_uniform(draws["start"])
    archs, means = denoise(
      start, draws["steps"], space, params, belief, archive, config
    )
    # In a process of 64 bits a surrogate may predict more than that.
    return archs, space.is_valid(archs), means.astype(jnp.float32)

  return base.Proposer(
    init,
    propose,
    params=Params(
      jnp.float32(config.temperature), jnp.float32(config.final_alpha)
    ),
    needs=base.Needs.TRACED,
    means=lambda state: state,
  )


def denoise(
  start: jax.Array,
  draws: jax.Array,
  space: SearchSpace,
  params: Params,
  belief: base.Belief,
  archive: Archive,
  config: Config,
) -> tuple[Archs, jax.Array]:
  """Denoises one population under the surrogate's mean as fitness.

  Args:
    start: `int32[P, L]` the population of noise.
    draws: `f32[T, P, L]` uniform draws of every step.
    space: the search space.
    params: hyper-parameters.
    belief: gives the fitness.
    archive: gives the elites.
    config: number of elites; of the population and the steps, the draws tell.

  Returns:
    `int32[T P, L]` every individual of every step, and `f32[T P]` the predicted
    means.

  Example:
    >>> from nagjax import archive as archives
    >>> from nagjax.surrogates.fixed import fixed
    >>> space, params = SearchSpace("mine", (4, 4, 3)), Params(0.3, 0.9)
    >>> known = fixed(lambda params, archs: archs[:, 0] * 1.0)
    >>> predict = lambda archs: known.predict((), archs)
    >>> belief = base.Belief(predict, None, True, 1.0)
    >>> run = lambda start, draws: denoise(
    ...   start, draws, space, params, belief, archives.empty(space, 8, 0), TINY
    ... )
    >>> start, draws = jnp.ones((6, 3), int), jnp.ones((2, 6, 3))
    >>> [leaf.shape for leaf in jax.eval_shape(run, start, draws)]
    [(12, 3), (12,)]
  """
  num_elites = min(config.num_elites, archive.objective.shape[0])
  observed = jnp.where(archive.used, belief.observed(archive), _WORST_FITNESS)
  elite_fitness, elites = jax.lax.top_k(observed, num_elites)
  elite_archs = archive.archs[elites]
  alphas = params.final_alpha * jnp.linspace(0.0, 1.0, config.num_steps + 1)

  def step(
    carry: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    population, fitness = carry
    uniform, alpha, alpha_next = inputs
    estimate = denoising_lib.categorical_estimate(
      population,
      jnp.concatenate([elite_archs, population]),
      jnp.concatenate([elite_fitness, fitness]),
      alpha,
      num_options=space.num_options,
      temperature=params.temperature,
      distance=config.max_distance / space.num_variables,
    )
    population = denoising_lib.categorical_step(
      estimate, uniform, alpha_next, space.cardinalities
    )
    individuals = population, belief.predict(population).mean
    return individuals, individuals

  inputs = (draws, alphas[:-1], alphas[1:])
  begin = start, belief.predict(start).mean
  _, (populations, means) = jax.lax.scan(step, begin, inputs)
  return populations.reshape(-1, space.num_variables), means.reshape(-1)
