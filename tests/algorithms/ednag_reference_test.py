"""Tests of nagjax.algorithms.ednag_reference against the published loop."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import search as search_lib
from nagjax.algorithms import ednag_reference
from nagjax.benchmarks import synthetic
from nagjax.diffusion import schedules
from nagjax.search import driver
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests import data

CONFIG = ednag_reference.Config(population_size=20, num_steps=12)
TABLE = (
  (30, 0.0, 0.0, 0.1),
  (50, 30.0, 3.0, 1.0),
  (70, 50.0, 23.0, 2.0),
  (75, 70.0, 63.0, 3.0),
  (80, 75.0, 78.0, 5.0),
  (85, 80.0, 103.0, 10.0),
  (90, 85.0, 153.0, 30.0),
  (95, 90.0, 303.0, 40.0),
  (np.inf, 95.0, 503.0, 50.0),
)
"""The published ReScale: below the bound, offset + slope (x - start)."""


def rescale(accuracy):
  for bound, start, offset, slope in TABLE:
    if accuracy < bound:
      return offset + slope * (accuracy - start)
  raise AssertionError


def look_up(x):
  """Decoded accuracy of `[P, 56]` individuals; 0 for what is none."""
  table = np.asarray(synthetic.synthetic().queried["valid_accuracy"])
  column = x.reshape(-1, 8, 7)[:, 1:7].argmax(-1)
  valid = np.all(column >= 2, axis=1)
  rows = np.maximum(column - 2, 0) @ 5 ** np.arange(6)
  return np.where(valid, table[rows], 0.0)


def normalize(x, lowest=-1.0):
  """Each individual to [lowest, 1] over all of its coordinates."""
  low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
  return lowest + (1 - lowest) * (x - low) / (high - low)


def denoise(x, accuracy, t, noise, u, m, guides=True, lowest=-1.0):
  """Offspring of one generation in float64, as the published program."""
  num, steps = len(x), CONFIG.num_steps
  alphas = np.float64((np.cos(np.pi * np.arange(steps) / (steps - 1)) + 1) / 2)
  alphas[0], alphas[-1] = 1, 0
  alpha, following = alphas[t], alphas[t - 1]
  f = np.asarray([rescale(a) for a in accuracy])
  g = np.exp(f - f.max() + 5) if guides else np.ones(num)
  x0 = np.empty_like(x)
  for i in range(num):
    distance = np.sum((x[i] - np.sqrt(alpha) * x) ** 2, axis=1)
    kernel = np.exp(-distance / (2 * (1 - alpha)))
    weights = (g + 1e-9) * (kernel + 1e-9) / (1 / num + 1e-9)
    x0[i] = weights @ x / (weights.sum() + 1e-9)
  sigma = 0.8 * np.sqrt((1 - following) / (1 - alpha) * (1 - alpha / following))
  epsilon = (x - np.sqrt(alpha) * x0) / np.sqrt(1 - alpha)
  direction = np.sqrt(max(1 - following - sigma**2, 0.0))
  x = np.sqrt(following) * x0 + direction * epsilon + sigma * noise
  x = normalize(x, lowest)
  power = (8.0 if t == steps - 1 else 5.0) + 1
  for i in np.flatnonzero(u <= 0.6):
    room_low, room_high = (1 + x[i]) / 2, (1 - x[i]) / 2
    if m[i] <= 0.5:
      base = 2 * m[i] + (1 - 2 * m[i]) * (1 - room_low) ** power
      delta = base ** (1 / power) - 1
    else:
      base = 2 * (1 - m[i]) + (2 * m[i] - 1) * (1 - room_high) ** power
      delta = 1 - base ** (1 / power)
    x[i] = x[i] + 2 * delta
  return normalize(x, lowest)


def select(pool, accuracy, attempts, num_elite, num_diverse):
  """Chosen positions in float64 loops, as the published program."""
  num = len(pool) // 2
  f = np.asarray([rescale(a) for a in accuracy])
  distance = np.linalg.norm(pool[:, None] - pool[None], axis=-1)
  v = distance.sum(1)
  v = (v - v.min()) / (v.max() - v.min())
  by_fitness = sorted(range(len(f)), key=lambda i: -f[i])
  elites = []
  for i in by_fitness:
    if len(elites) < num_elite and (not elites or f[i] != f[elites[-1]]):
      elites.append(i)
  elites += by_fitness[: num_elite - len(elites)]
  by_diversity = sorted(range(len(f)), key=lambda i: -v[i])
  diverse = [i for i in by_diversity if f[i] >= 0.1 * f.max()][:num_diverse]
  diverse += by_diversity[: num_diverse - len(diverse)]
  weight = f * (1 + v)
  weight = 0.9 * (weight - weight.min()) / np.ptp(weight) + 0.1
  wheel = np.cumsum(weight / weight.sum())
  rest, attempts = [], iter(attempts)
  while len(rest) < num - num_elite - num_diverse:
    r = next(attempts)
    for j in range(len(f)):
      if j not in elites and j not in diverse and j not in rest:
        if r <= wheel[j]:
          rest.append(j)
          break
  return elites + diverse + rest


def reference_fitness(accuracy):
  return ednag_reference.fitness(jnp.asarray(accuracy, jnp.float32), CONFIG)


def configured(**options):
  return ednag_reference.Config(
    **{"population_size": 20, "num_steps": 12, **options}
  )


@functools.cache
def compiled(config):
  """A search on the synthetic benchmark: from a key to a `Result`."""
  algorithm = ednag_reference.ednag_reference(nasbench201.nasbench201(), config)
  problem = problem_lib.Problem(synthetic.synthetic())
  return jax.jit(
    lambda key: driver.run(
      key, algorithm, problem, (), budget=400, num_rounds=12
    )
  )


def play(config, seed):
  """Its trace and final state."""
  result = compiled(config)(jax.random.key(seed))
  return result.trace, result.state


class ReplayTest(parameterized.TestCase):
  @parameterized.parameters((0, -1.0), (1, -1.0), (2, 0.0))
  def test_generations_of_the_published_program(self, seed, lowest):
    """Oracle: NumPy loops with the same draws, fed with the same parents; with
    0 the selected ones are normalized too."""
    rng = np.random.default_rng(seed)
    num, steps = CONFIG.population_size, CONFIG.num_steps
    config = configured(lowest=lowest)
    step = jax.jit(functools.partial(ednag_reference.denoise, config=config))
    x = rng.normal(size=(num, 56)).astype(np.float32)
    accuracy = look_up(x)
    for t in range(steps - 1, 0, -1):
      noise = rng.normal(size=x.shape).astype(np.float32)
      u, m = rng.random((2, num)).astype(np.float32)
      offspring = np.asarray(
        step(x, reference_fitness(accuracy), jnp.int32(t), noise, u, m)
      )
      expected = denoise(np.float64(x), accuracy, t, noise, u, m, lowest=lowest)
      np.testing.assert_allclose(offspring, expected, atol=2e-5)
      pool = np.concatenate([x, offspring])
      both = np.concatenate([accuracy, look_up(offspring)])
      attempts = rng.random(200).astype(np.float32)
      chosen = ednag_reference.select(
        pool, reference_fitness(both), attempts, CONFIG, redraw=True
      )
      self.assertEqual(
        chosen.tolist(), select(np.float64(pool), both, attempts, 2, 4)
      )
      x, accuracy = pool[chosen], both[chosen]
      x = normalize(x, 0.0) if lowest == 0.0 else x

  def test_the_last_step_lands_on_the_estimate(self):
    """Oracle: with alpha' = 1 the noise does not matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 56)).astype(np.float32)
    unmutated = np.ones(20, np.float32)
    results = [
      ednag_reference.denoise(
        x,
        reference_fitness(look_up(x)),
        jnp.int32(1),
        np.float32(scale) * x[::-1],
        unmutated,
        unmutated,
        config=CONFIG,
      )
      for scale in (0.0, 5.0)
    ]
    np.testing.assert_array_equal(*results)

  def test_large_populations_in_blocks(self):
    """Oracle: the same generation without blocks."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 56)).astype(np.float32)
    draws = rng.random((3, 20)).astype(np.float32)
    blocks = configured(block_size=7)
    f = reference_fitness(look_up(x))
    whole, parts = (
      ednag_reference.denoise(x, f, jnp.int32(6), x, *draws[:2], config=config)
      for config in (CONFIG, blocks)
    )
    np.testing.assert_allclose(whole, parts, atol=1e-4)
    pool = np.concatenate([x, whole])
    f = jnp.concatenate([f, reference_fitness(look_up(np.asarray(whole)))])
    chosen = [
      ednag_reference.select(pool, f, draws[2, :14], config).tolist()
      for config in (CONFIG, blocks)
    ]
    self.assertEqual(*chosen)

  def test_the_gumbel_form_keeps_elites_and_takes_free_ones(self):
    """Oracle: sets; the head of the published selection."""
    rng = np.random.default_rng(3)
    pool = rng.normal(size=(40, 56)).astype(np.float32)
    f = reference_fitness(look_up(pool))
    config = configured(gumbel=True)
    gumbel = rng.gumbel(size=40).astype(np.float32)
    chosen = ednag_reference.select(pool, f, gumbel, config).tolist()
    wheel = rng.random(14).astype(np.float32)
    published = ednag_reference.select(pool, f, wheel, CONFIG).tolist()
    self.assertEqual(chosen[:6], published[:6])
    self.assertLen(set(chosen[6:]), 14)
    self.assertEmpty(set(chosen[6:]) & set(chosen[:6]))


class AblationTest(parameterized.TestCase):
  def test_without_guidance_fitness_does_not_matter(self):
    """Oracle: NumPy with equal densities, and another fitness."""
    config = configured(guides=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 56)).astype(np.float32)
    noise = rng.normal(size=x.shape).astype(np.float32)
    u, m = rng.random((2, 20)).astype(np.float32)
    accuracy = look_up(x)
    a, b = (
      ednag_reference.denoise(x, f, jnp.int32(7), noise, u, m, config=config)
      for f in (reference_fitness(accuracy), jnp.zeros(20))
    )
    np.testing.assert_array_equal(a, b)
    expected = denoise(np.float64(x), accuracy, 7, noise, u, m, guides=False)
    np.testing.assert_allclose(a, expected, atol=1e-3)

  def test_without_selection_offspring_replace_their_parents(self):
    """Oracle: the population of a round decodes to the round's proposals."""
    trace, state = play(configured(selects=False), 0)
    space = nasbench201.nasbench201()
    x = np.asarray(state.algorithm.x)
    archs, _ = space.from_features(jnp.asarray(x).reshape(-1, 8, 7))
    np.testing.assert_array_equal(archs, trace.archs[-1])
    np.testing.assert_allclose(state.algorithm.accuracy, look_up(x))


class SearchTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_the_population_holds_the_best_ever_seen(self):
    """Oracle: the maximum over the trace; elites are never lost."""
    for seed in range(3):
      trace, state = play(configured(), seed)
      accuracy = np.asarray(state.algorithm.accuracy)
      self.assertEqual(accuracy.max(), np.max(trace.objective))
      np.testing.assert_allclose(
        accuracy, look_up(np.asarray(state.algorithm.x))
      )
      best = np.maximum.accumulate(trace.objective.max(axis=1))
      self.assertGreater(best[-1], best[0])

  def test_a_run_is_the_start_and_one_round_for_each_step(self):
    """Oracle: the published count, T populations of P."""
    made = registry.make_search(
      "ednag",
      problem_lib.Problem(synthetic.synthetic()),
      budget=3000,
      variant="reference",
    )
    self.assertEqual(made.num_rounds, 100)
    self.assertEqual(made.algorithm.batch_size, 30)
    self.assertEqual(made.algorithm.num_initial, 0)
    config = made.config
    self.assertEqual(
      (config.num_elite, config.num_diverse, config.num_roulette), (3, 6, 21)
    )
    self.assertIs(config.schedule_fn, schedules.cosine)

  def test_an_individual_that_does_not_decode_is_invalid_and_free(self):
    """Oracle: a Gaussian start is valid with probability (5/7)^6."""
    statuses, paid = [], []
    for seed in range(20):
      trace, _ = play(configured(), seed)
      statuses.append(trace.status[0])
      paid.append(trace.paid[0])
    invalid = np.asarray(statuses) == Status.INVALID
    self.assertFalse(np.any(invalid & np.asarray(paid)))
    p = (5 / 7) ** 6
    error = (p * (1 - p) / invalid.size) ** 0.5
    self.assertLess(abs((~invalid).mean() - p), 4 * error)

  @parameterized.parameters(5, 26)
  def test_prior_data_takes_the_first_places_of_the_start(self, num):
    """Oracle: the best of the prior by sorting; the others stay Gaussian."""
    space = nasbench201.nasbench201()
    algorithm = ednag_reference.ednag_reference(space, CONFIG)
    index = np.random.default_rng(0).choice(15625, num, replace=False)
    archs = space.from_index(jnp.asarray(index))
    value = synthetic.synthetic().queried["valid_accuracy"][index]
    state = algorithm.init(jax.random.key(0), ())
    evaluation = Evaluation(
      jnp.zeros(num, jnp.int8),
      value,
      value[:, None],
      jnp.zeros((num, 0)),
      jnp.ones(num, bool),
    )
    proposal = Proposal(archs, jnp.ones(num, bool))
    warm, _ = algorithm.tell(state, proposal, evaluation, ())
    kept = min(num, 20)
    np.testing.assert_allclose(
      look_up(np.asarray(warm.x))[:kept], np.sort(value)[::-1][:kept]
    )
    np.testing.assert_array_equal(warm.x[kept:], state.x[kept:])
    self.assertEqual(int(warm.step), int(state.step))
    # The first round proposes the start as it is.
    proposal, _ = jax.jit(algorithm.ask)(jax.random.key(1), warm, ())
    start, valid = space.from_features(warm.x.reshape(20, 8, 7))
    np.testing.assert_array_equal(proposal.archs, start)
    np.testing.assert_array_equal(proposal.valid, valid)

  @parameterized.parameters(
    (dict(population_size=1), "population_size must be at least 2"),
    (dict(num_steps=1), "num_steps must be at least 2"),
    (dict(elite_share=0.6, diverse_share=0.5), "sum to at most 1"),
    (dict(elite_share=-0.1), "non-negative"),
  )
  def test_options_are_checked(self, options, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      ednag_reference.Config(**options)

  @parameterized.parameters(
    ("nasbench201/cifar10", 1.0),
    ("nasbench201/cifar100", 1.2),
    ("nasbench201/imagenet16-120", 2.0),
    ("search-on-test-accuracy:nasbench201/cifar100", 1.2),
    ("synthetic", 1.0),
  )
  def test_published_multipliers(self, name, scale):
    """Oracle: the published table."""
    self.assertEqual(ednag_reference.preset(name, 0), {"accuracy_scale": scale})


@pytest.mark.slow
class PublishedResultTest(parameterized.TestCase):
  @parameterized.parameters(
    ("cifar10", 94.350, 0.051), ("cifar100", 73.344, 0.261)
  )
  @data.needs_table("nb201.npz")
  def test_mean_best_test_accuracy(self, data_set, mean, deviation):
    """Oracle: 20 runs of the published program, 3.5 standard errors."""
    folder = str(data.table_path("nb201.npz").parent)
    benchmark = registry.make_benchmark(
      f"search-on-test-accuracy:nasbench201/{data_set}", folder
    )
    problem = problem_lib.Problem(benchmark)
    search = registry.make_search(
      "ednag", problem, budget=3000, variant="reference"
    )
    keys = jax.random.split(jax.random.key(2024), 200)
    trace = search_lib.sweep(keys, search).trace
    best = trace.objective.reshape(200, -1).max(axis=1)
    error = np.sqrt(deviation**2 / 20 + best.var(ddof=1) / 200)
    self.assertLess(abs(best.mean() - mean), 3.5 * error, best.mean())


if __name__ == "__main__":
  absltest.main()
