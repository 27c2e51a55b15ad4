"""EDNAG, our version: populations denoised by fitness, for few queries.

The idea is that of Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient
Neural Architecture Generation": a population of noise is denoised step by step,
and fitness takes the place of the score network through the Bayes estimator. In
the paper fitness comes from a predictor; here the predictor is a Gaussian
process over what the search itself has paid for, so nothing is trained
beforehand.

A round:
  1. the objectives of the archive become normal scores, and the process is
     conditioned on them;
  2. a population of uniformly random architectures is denoised in `num_steps`
     categorical steps, drawn towards the elites of the archive and towards its
     own fittest members, with the process's mean as fitness;
  3. of all architectures that the steps passed through, the unseen ones with
  the
     best means are candidates; each slot of the batch takes the candidate with
     the best `mean + beta deviation`, with its own `beta` from bold to greedy;
  4. after `patience` queries without a better architecture the archive is
     forgotten and the search begins anew (its old queries stay paid for), with
     more patience.

Differs from the paper: individuals are categorical, not Gaussian; selection
acts through the archive; there is no schedule over the search as a whole.
`ednag_reference` is the published program.
"""

import dataclasses
import math
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax.algorithms import choosing
from nagjax.arrays import normal_scores
from nagjax.diffusion import noise as noise_lib
from nagjax.evolution import denoising
from nagjax.predictors import gaussian_process
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Proposal
from nagjax.types import Status


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options, and the values of the default `Params`.

  Attributes:
    num_initial: uniformly random architectures before the first round.
    batch_size: architectures of a round.
    archive_size: the most architectures that are remembered, `M`.
    population_size: individuals that are denoised in a round, `P`.
    num_steps: denoising steps of a round, `T`.
    num_elites: best of the archive that guide the denoising.
    num_candidates: unseen architectures whose deviation is computed.
    patience: queries without improvement after which the search begins anew.
    patience_growth: factor of the patience at each new beginning.
    theta, noise, temperature, final_alpha: see `Params`.
    boldness: largest `beta`; the slots of a batch share out `[0, boldness]`.
  """

  num_initial: int = 20
  batch_size: int = 5
  archive_size: int = 305
  population_size: int = 64
  num_steps: int = 6
  num_elites: int = 32
  num_candidates: int = 64
  patience: int = 60
  patience_growth: float = 2.0
  theta: float = 4.0
  noise: float = 0.1
  temperature: float = 0.3
  final_alpha: float = 0.85
  boldness: float = 4.0

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      least = 1 if field.type in ("int", int) else 0
      if value < least:
        raise ValueError(f"{field.name} must be at least {least}, got {value}.")
    if self.archive_size < self.num_initial + self.batch_size:
      raise ValueError(
        "archive_size must hold num_initial + batch_size = "
        f"{self.num_initial + self.batch_size}, got {self.archive_size}."
      )
    if self.num_candidates < self.batch_size:
      raise ValueError(
        f"num_candidates must be at least batch_size = {self.batch_size}, got "
        f"{self.num_candidates}."
      )
    if not 0 < self.final_alpha < 1:
      raise ValueError(
        f"final_alpha must be between 0 and 1, got {self.final_alpha}."
      )


class Params(NamedTuple):
  """Hyper-parameters that a sweep may vary.

  Attributes:
    theta: `f32[]` decay of the kernel `exp(-theta h / L)` over a whole vector.
    noise: `f32[]` observation noise, in units of the prior variance.
    temperature: `f32[]` of the Bayes estimator, in normal scores.
    final_alpha: `f32[]` share of signal after the last denoising step.
    beta: `f32[batch_size]` optimizm of every slot of a batch.
  """

  theta: jax.Array
  noise: jax.Array
  temperature: jax.Array
  final_alpha: jax.Array
  beta: jax.Array


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    process: the surrogate; its inputs are the archive, `int32[M, L]`.
    objective: `f32[M]` of the archive; `-inf` for failures and empty places.
    stale: `f32[]` queries since the last improvement.
    patience: `f32[]` how many are borne.
  """

  process: gaussian_process.GaussianProcess
  objective: jax.Array
  stale: jax.Array
  patience: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_objective: `f32[]` best of the archive.
    archive_size: `int32[]`.
    begins_anew: `bool[]` whether the archive was forgotten.
  """

  best_objective: jax.Array
  archive_size: jax.Array
  begins_anew: jax.Array


def ednag(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds EDNAG; its params are `params(config)`.

  Prior data and the initial design enter the archive (of very many, the best
  that fill half of it). Failed architectures are remembered as the worst.
  """
  config = config or Config()
  size, batch_size = config.archive_size, config.batch_size

  def init(key: Key, params: Params) -> State:
    del key
    return State(
      process=gaussian_process.init(
        size, space.num_variables, theta=params.theta, noise=params.noise
      ),
      objective=jnp.full(size, -jnp.inf, jnp.float32),
      stale=jnp.float32(0.0),
      patience=jnp.float32(config.patience),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    num_random = batch_size * space.num_variables
    num_noise = _num_noise_words(space, config)
    bits = noise_lib.words(key, num_noise + num_random)
    process = state.process
    used = gaussian_process.used(process)
    scores = normal_scores(state.objective, used)
    weights = gaussian_process.weights(process, scores)
    archs = generate(bits[:num_noise], space, process, scores, params, config)
    mean = gaussian_process.mean(process, weights, archs)
    seen = choosing.any_equal(space, archs, process.archs, used)
    mean = jnp.where(seen | ~space.is_valid(archs), -jnp.inf, mean)
    archs, mean = _best_distinct(archs, mean, config.num_candidates)
    deviation = gaussian_process.deviation(process, archs)
    chosen, found = choosing.choose(mean, deviation, params.beta)
    # Too few observations, or no candidate left: uniformly random instead.
    found = found & (process.num >= config.num_initial)
    random = noise_lib.uniform(bits[num_noise:]).reshape(batch_size, -1)
    random = space.from_uniform(random)
    archs = jnp.where(found[:, None], archs[chosen], random)
    return Proposal(archs, space.is_valid(archs)), state

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    archs, objective = proposal.archs, evaluation.objective
    known = proposal.valid & (evaluation.status != Status.DENIED)
    fresh = known & (evaluation.status != Status.REPEAT)
    num_fresh = jnp.sum(fresh, dtype=jnp.float32)
    if archs.shape[0] > size // 2:
      best = jax.lax.top_k(jnp.where(known, objective, -jnp.inf), size // 2)[1]
      archs, objective, known = archs[best], objective[best], known[best]
    process = state.process
    used = gaussian_process.used(process)
    # Repeats are new to an archive that was forgotten.
    keep = known & ~choosing.any_equal(space, archs, process.archs, used)
    process, place = gaussian_process.append(process, archs, keep)
    values = state.objective.at[place].set(objective, mode="drop")
    improves = jnp.max(values) > jnp.max(state.objective)
    stale = jnp.where(improves, 0.0, state.stale + num_fresh)
    ends = (stale >= state.patience) | (process.num > size - batch_size)
    info = Info(jnp.max(values), process.num, ends)
    return State(
      process=gaussian_process.forget(process, ends),
      objective=jnp.where(ends, -jnp.inf, values),
      stale=jnp.where(ends, 0.0, stale),
      patience=state.patience * jnp.where(ends, config.patience_growth, 1.0),
    ), info

  return Algorithm(init, ask, tell, config.num_initial, batch_size)


def generate(
  bits: jax.Array,
  space: SearchSpace,
  process: gaussian_process.GaussianProcess,
  scores: jax.Array,
  params: Params,
  config: Config,
) -> Archs:
  """Denoises one population with the process's mean as fitness.

  Args:
    bits: `uint32[(T K + 1) P L]` random words, the draws of the start and of
      every step.
    space: the search space.
    process: conditioned on the archive.
    scores: `f32[M]` fitness of the archive.
    params: hyper-parameters.
    config: options.

  Returns:
    `int32[T P, L]` every individual of every step.
  """
  num_elites = min(config.num_elites, config.archive_size)
  used = gaussian_process.used(process)
  weights = gaussian_process.weights(process, scores)
  elite_fitness, elites = jax.lax.top_k(
    jnp.where(used, scores, -jnp.inf), num_elites
  )
  elites = process.archs[elites]
  # A floor keeps the estimator defined while the archive is empty.
  elite_fitness = jnp.maximum(elite_fitness, -1e3)
  shape = (config.population_size, space.num_variables)
  num_start = math.prod(shape)
  population = space.from_uniform(
    noise_lib.uniform(bits[:num_start]).reshape(shape)
  )
  gumbel = noise_lib.gumbel(bits[num_start:])
  gumbel = gumbel.reshape(config.num_steps, *shape, space.num_options)
  alphas = params.final_alpha * jnp.linspace(0.0, 1.0, config.num_steps + 1)

  def step(population, inputs):
    noise, alpha, alpha_next = inputs
    fitness = gaussian_process.mean(process, weights, population)
    estimate = denoising.categorical_estimate(
      population,
      jnp.concatenate([elites, population]),
      jnp.concatenate([elite_fitness, fitness]),
      alpha,
      num_options=space.num_options,
      temperature=params.temperature,
    )
    population = denoising.categorical_step(
      estimate, noise, alpha_next, space.cardinalities
    )
    return population, population

  inputs = (gumbel, alphas[:-1], alphas[1:])
  _, populations = jax.lax.scan(step, population, inputs)
  return populations.reshape(-1, space.num_variables)


def params(
  space: SearchSpace,
  config: Config,
  directory: str | os.PathLike[str] | None = None,
) -> Params:
  """The hyper-parameters that a Config names."""
  del space, directory
  return Params(
    theta=jnp.float32(config.theta),
    noise=jnp.float32(config.noise),
    temperature=jnp.float32(config.temperature),
    final_alpha=jnp.float32(config.final_alpha),
    beta=choosing.optimizm(config.boldness, config.batch_size),
  )


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  default = Config()
  least = default.num_initial + default.batch_size
  most = max(budget + default.batch_size, least)
  return {"archive_size": min(default.archive_size, most)}


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """Twice what the budget needs: a new beginning may repeat old queries."""
  del algorithm
  return 2 * -(-max(budget - config.num_initial, 1) // config.batch_size)


def _num_noise_words(space: SearchSpace, config: Config) -> int:
  """Random words that `generate` takes."""
  individual = space.num_variables * (config.num_steps * space.num_options + 1)
  return config.population_size * individual


def _best_distinct(
  archs: Archs, mean: jax.Array, num: int
) -> tuple[Archs, jax.Array]:
  """The `num` best candidates without copies, padded by means of `-inf`."""
  mean, order = jax.lax.top_k(mean, min(4 * num, mean.shape[0]))
  archs = archs[order]
  # Copies have one mean, so they are neighbors in this order.
  same = jnp.all(archs[1:] == archs[:-1], axis=-1)
  mean = mean.at[1:].set(jnp.where(same, -jnp.inf, mean[1:]))
  mean, order = jax.lax.top_k(mean, min(num, mean.shape[0]))
  return archs[order], mean
