"""EDNAG as its authors published it: evolution as a denoising process.

Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural Architecture
Generation". Where the paper and the published program differ, this follows the
program; `ednag` is our own version of the idea. A round is a generation: the
driver evaluates every offspring, and round 0 evaluates the Gaussian start.

`denoise` and `select` are the two halves of a generation with all draws as
arguments, for research code and for comparison with recorded runs. What the
program does for each benchmark is in `ednag_reference_presets`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import checks
from nagjax.algorithms.ednag_reference_presets import Encoding
from nagjax.algorithms.ednag_reference_presets import preset as preset
from nagjax.algorithms.spec import Spec
from nagjax.diffusion import noise as noise_lib
from nagjax.diffusion import samplers
from nagjax.diffusion import schedules
from nagjax.evolution import denoising
from nagjax.evolution import fitness as fitness_lib
from nagjax.evolution import mutation
from nagjax.evolution import selection
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Params
from nagjax.types import Proposal


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; the defaults are the program's.

  Attributes:
    population_size: `P`.
    num_steps: `T`; a run has `T - 1` denoising steps.
    elite_share, diverse_share: of the population; the roulette fills the rest.
    encoding: how individuals are read; None reads them as the features of the
      space.
    accuracy_fn: the benchmark's objective `[P]` to accuracies in percent, of
      which negative ones count as 0.
    accuracy_scale: multiplies the accuracy before `rescale_fn`.
    rescale_fn: accuracy in percent `[P]` to fitness `[P]`.
    density_fn: fitness `[P]` to density `[P]`, the map `g`.
    schedule_fn: number of steps to the table of `alpha`.
    noise_scale: of the DDIM step.
    lowest: individuals are normalized to `[lowest, 1]`.
    normalizes_population: whether the selected ones are normalized too. What
      survives of the Gaussian start may then be another architecture, so the
      population is evaluated again after the first selection, in one round
      more.
    mutation_rate: share of individuals that mutate.
    mutation_index: distribution index of the mutation.
    first_mutation_index: the same in the first step.
    guides: whether fitness guides the denoising; without it every individual
      has the same density (plain DDIM noise, method 1 of the paper's figure 7).
    selects: whether parents and offspring compete; without it the offspring
      replace their parents (methods 1 and 2 of figure 7).
    block_size: None, or how many rows of the pairwise terms are held at a time.
    gumbel: whether the roulette is drawn by Gumbel top-k, for large
      populations.
  """

  population_size: int = 30
  num_steps: int = 100
  elite_share: float = 0.1
  diverse_share: float = 0.2
  encoding: Encoding | None = None
  accuracy_fn: fitness_lib.DensityFn = fitness_lib.identity
  accuracy_scale: float = 1.0
  rescale_fn: fitness_lib.DensityFn = fitness_lib.piecewise_rescale
  density_fn: fitness_lib.DensityFn = fitness_lib.energy
  schedule_fn: schedules.ScheduleFn = schedules.cosine
  noise_scale: float = 0.8
  lowest: float = -1.0
  normalizes_population: bool = False
  mutation_rate: float = 0.6
  mutation_index: float = 5.0
  first_mutation_index: float = 8.0
  guides: bool = True
  selects: bool = True
  block_size: int | None = None
  gumbel: bool = False

  def __post_init__(self) -> None:
    checks.sizes(self, population_size=2, num_steps=2)
    shares = (self.elite_share, self.diverse_share)
    if min(shares) < 0 or sum(shares) > 1:
      raise ValueError(
        "elite_share and diverse_share must be non-negative and sum to at most "
        f"1, got {shares}."
      )

  @property
  def num_elite(self) -> int:
    """Individuals that enter by fitness."""
    return int(self.elite_share * self.population_size)

  @property
  def num_diverse(self) -> int:
    """Individuals that enter by diversity."""
    return int(self.diverse_share * self.population_size)

  @property
  def num_roulette(self) -> int:
    """Individuals that enter by the roulette."""
    return self.population_size - self.num_elite - self.num_diverse


class Offspring(NamedTuple):
  """What waits for its evaluation.

  Attributes:
    x: `f32[P, D]`.
    roulette: draws of the coming selection, `f32[num_roulette]` uniform, or
      `f32[2 P]` Gumbel.
  """

  x: jax.Array
  roulette: jax.Array


class State(NamedTuple):
  """The population between two generations.

  Attributes:
    x: `f32[P, D]` individuals, row-major feature matrices.
    accuracy: `f32[P]` percent, 0 for what is no architecture or not feasible.
    step: `int32[]` time `t` of the population; `T` before its evaluation.
    evaluated: `bool[]` whether the accuracies are those of `x` as it is.
    offspring: None except between `ask` and `tell`.
  """

  x: jax.Array
  accuracy: jax.Array
  step: jax.Array
  evaluated: jax.Array
  offspring: Offspring | None = None


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_accuracy, mean_accuracy: `f32[]` percent, of the population.
  """

  best_accuracy: jax.Array
  mean_accuracy: jax.Array


def ednag_reference(
  space: SearchSpace, config: Config | None = None
) -> Algorithm[State, Params]:
  """Builds the published EDNAG; run it for `num_rounds` rounds.

  Differs from the program: constant individuals and equal weights give defined
  values instead of NaN or an endless loop; a roulette draw is scaled to the
  reachable part of the wheel instead of repeated (same distribution). Prior
  data replaces the first individuals of the start by its best architectures, as
  far as individuals can tell them apart.
  """
  config = config or Config()
  encoding = encoding_of(space, config)
  num_rows, num_columns = encoding.shape
  shape = (config.population_size, num_rows * num_columns)

  def init(key: Key, params: Params) -> State:
    del params
    return State(
      x=jax.random.normal(key, shape),
      accuracy=jnp.zeros(shape[0]),
      step=jnp.int32(config.num_steps),
      evaluated=jnp.bool_(False),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    del params
    noise, uniform, strength, roulette = _draws(key, shape, config)
    x = denoise(
      state.x,
      fitness(state.accuracy, config),
      state.step,
      noise,
      uniform,
      strength,
      config=config,
    )
    x = jnp.where(state.evaluated, x, state.x)
    proposal = Proposal(*decode(x, space, config))
    return proposal, state._replace(offspring=Offspring(x, roulette))

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    accuracy = config.accuracy_fn(evaluation.objective)
    accuracy = jnp.where(evaluation.feasible, accuracy, 0.0)
    accuracy = jnp.maximum(accuracy, 0.0)
    if state.offspring is None:
      return _warm_start(state, proposal.archs, evaluation.objective, accuracy)
    offspring = state.offspring.x
    x, kept = offspring, accuracy
    if config.selects:
      pool = jnp.concatenate([state.x, offspring])
      pool_accuracy = jnp.concatenate([state.accuracy, accuracy])
      chosen = select(
        pool, fitness(pool_accuracy, config), state.offspring.roulette, config
      )
      chosen = jnp.where(
        state.evaluated, chosen, jnp.arange(shape[0]) + shape[0]
      )
      x, kept = pool[chosen], pool_accuracy[chosen]
    is_start = state.step == config.num_steps
    first = state.evaluated & (state.step == config.num_steps - 1)
    known = jnp.bool_(True)
    if config.normalizes_population:
      normalized = denoising.normalize(x, low=config.lowest)
      x, known = jnp.where(is_start, x, normalized), ~first
    moves = state.evaluated | is_start
    step = jnp.where(moves, jnp.maximum(state.step - 1, 1), state.step)
    state = State(x, kept, step, known)
    return state, Info(jnp.max(kept), jnp.mean(kept))

  def _warm_start(
    state: State, archs: jax.Array, objective: jax.Array, accuracy: jax.Array
  ) -> tuple[State, Info]:
    num = min(shape[0], archs.shape[0])
    best = jax.lax.top_k(objective, num)[1]
    x = encoding.encode(archs[best]).reshape(num, -1)
    x = config.lowest + (1 - config.lowest) * x
    state = state._replace(x=state.x.at[:num].set(x))
    return state, Info(jnp.max(accuracy), jnp.mean(accuracy))

  return Algorithm(init, ask, tell, num_initial=0, batch_size=shape[0])


def encoding_of(space: SearchSpace, config: Config) -> Encoding:
  """The encoding of a config, or else the features of the space."""
  features = Encoding(
    space.feature_shape, space.from_features, space.to_features
  )
  return config.encoding or features


def decode(
  x: jax.Array, space: SearchSpace, config: Config
) -> tuple[Archs, jax.Array]:
  """Architectures of individuals, and whether each is one.

  Args:
    x: `[P, D]`.
    space: the search space.
    config: whose `encoding` is read.

  Returns:
    `int32[P, L]` and `bool[P]`.
  """
  encoding = encoding_of(space, config)
  return encoding.decode(x.reshape(-1, *encoding.shape))


def fitness(accuracy: jax.Array, config: Config) -> jax.Array:
  """The program's fitness of accuracies in percent, `[P] -> [P]`."""
  return config.rescale_fn(config.accuracy_scale * accuracy)


def denoise(
  x: jax.Array,
  population_fitness: jax.Array,
  step: jax.Array,
  noise: jax.Array,
  mutation_uniform: jax.Array,
  mutation_strength: jax.Array,
  *,
  config: Config,
) -> jax.Array:
  """Makes the offspring of one generation.

  Bayes estimate, DDIM step, normalization, mutation, normalization.

  Args:
    x: `[P, D]` population at time `step`.
    population_fitness: `[P]`, from `fitness`.
    step: `int32[]` time `t` in `1 .. T - 1`.
    noise: `[P, D]` standard normal draws `z` of the DDIM step.
    mutation_uniform: `[P]` uniform draws `u`; below the rate mutates.
    mutation_strength: `[P]` uniform draws `m` (unused where `u` does not
      mutate).
    config: schedule, density, noise and mutation of a step.

  Returns:
    `[P, D]` in `[config.lowest, 1]`.
  """
  alphas = config.schedule_fn(config.num_steps)
  alpha = alphas[jnp.minimum(step, config.num_steps - 1)]
  alpha_next = alphas[step - 1]
  if config.guides:
    density = config.density_fn(population_fitness)
  else:
    density = jnp.ones_like(population_fitness)
  x0 = denoising.bayes_estimate(x, density, alpha, block_size=config.block_size)
  x = samplers.ddim_step(
    x, x0, noise, alpha, alpha_next, noise_scale=config.noise_scale
  )
  x = denoising.normalize(x, low=config.lowest)
  first: float = config.first_mutation_index
  rest: float = config.mutation_index
  if all(float(i).is_integer() and i <= 30 for i in (first, rest)):
    first, rest = int(first), int(rest)  # Powers of integers are cheap.
  index = jnp.where(step >= config.num_steps - 1, first, rest)
  x = mutation.polynomial_mutation(
    x,
    mutation_uniform,
    mutation_strength,
    rate=config.mutation_rate,
    index=index,
  )
  return denoising.normalize(x, low=config.lowest)


def select(
  pool: jax.Array,
  pool_fitness: jax.Array,
  draws: jax.Array,
  config: Config,
  *,
  redraw: bool = False,
) -> jax.Array:
  """Chooses the next population from parents and offspring.

  Args:
    pool: `[2 P, D]` parents, then offspring.
    pool_fitness: `[2 P]`, from `fitness`.
    draws: `[num_roulette]` uniform draws; or, with `redraw`, `[A]` uniform
      attempts in the order in which the published program spends them; or, with
      `config.gumbel`, `[2 P]` Gumbel draws.
    config: shares of elites and diverse, and how the roulette is drawn.
    redraw: see `draws` and `selection.roulette`.

  Returns:
    `int32[P]` positions in the pool: elites, diverse, roulette.
  """
  score = selection.diversity(pool, block_size=config.block_size)
  elites = selection.elite(pool_fitness, config.num_elite)
  diverse = selection.diverse(score, pool_fitness, config.num_diverse)
  taken = jnp.zeros(pool.shape[0], bool)
  taken = taken.at[elites].set(True).at[diverse].set(True)
  weights = selection.roulette_weights(pool_fitness, score)
  if config.gumbel:
    log_weights = jnp.where(taken, -jnp.inf, jnp.log(weights))
    rest = selection.gumbel_top_k(log_weights, draws, config.num_roulette)
  else:
    rest = selection.roulette(
      weights, taken, draws, config.num_roulette, redraw=redraw
    )
  return jnp.concatenate([elites, diverse, rest])


def _draws(
  key: Key, shape: tuple[int, int], config: Config
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """All draws of a generation: noise, mutation (two) and roulette."""
  num, dimension = shape
  num_noise = -(-num * dimension // 2)
  num_roulette = 0 if config.gumbel else config.num_roulette
  if config.gumbel:
    key, gumbel_key = jax.random.split(key)
    gumbel = jax.random.gumbel(gumbel_key, (2 * num,))
  bits = noise_lib.words(key, num_noise + 2 * num + num_roulette)
  noise = noise_lib.coarse_normal(bits[:num_noise])
  uniform = noise_lib.uniform(bits[num_noise:])
  return (
    noise[: num * dimension].reshape(shape),
    uniform[:num],
    uniform[num : 2 * num],
    gumbel if config.gumbel else uniform[2 * num :],
  )


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """The evaluation of the start and `num_steps - 1` generations.

  One round more evaluates the population that the first selection normalized.
  """
  del algorithm, budget
  return config.num_steps + config.normalizes_population


SPEC = Spec(
  build=ednag_reference,
  config=Config(),
  num_rounds=num_rounds,
  preset=preset,
  tiny=dict(population_size=7, num_steps=6, elite_share=0.2),
)
"""How the registry builds it."""
