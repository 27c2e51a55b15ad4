"""Tests of nagjax.evolution.selection against Python loops."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.evolution import selection


def elite_loop(fitness, num):
  """The published walk; ties in sorting go to the lower position."""
  order = sorted(range(len(fitness)), key=lambda i: -fitness[i])
  chosen, previous = [], None
  for i in order:
    if len(chosen) < num and (previous is None or fitness[i] != previous):
      chosen.append(i)
      previous = fitness[i]
  return chosen + order[: num - len(chosen)]


def diverse_loop(score, fitness, num):
  """The published walk over diversity with a floor on fitness."""
  order = sorted(range(len(score)), key=lambda i: -score[i])
  fit = [i for i in order if fitness[i] >= 0.1 * max(fitness)][:num]
  return fit + order[: num - len(fit)]


def roulette_loop(weights, taken, draws, num):
  """The published wheel; returns the slots and how many draws were spent."""
  wheel = np.cumsum(np.float64(weights) / np.sum(np.float64(weights)))
  taken, chosen, draws = list(taken), [], list(draws)
  spent = 0
  while len(chosen) < num and spent < len(draws):
    r = draws[spent]
    spent += 1
    for j in range(len(weights)):
      if not taken[j] and r <= wheel[j]:
        chosen.append(j)
        taken[j] = True
        break
  return chosen + [-1] * (num - len(chosen)), spent


def wheel_distribution(weights, taken, num):
  """Exact probability of every ordered outcome of the wheel."""
  wheel = np.cumsum(np.float64(weights) / np.sum(np.float64(weights)))
  outcomes = {(): 1.0}
  for _ in range(num):
    following = {}
    for chosen, probability in outcomes.items():
      free = [
        j for j in range(len(weights)) if not taken[j] and j not in chosen
      ]
      below = 0.0
      for j in free:
        share = (wheel[j] - below) / wheel[free[-1]]
        following[*chosen, j] = probability * share
        below = wheel[j]
    outcomes = following
  return outcomes


class EliteTest(parameterized.TestCase):
  @parameterized.parameters(*itertools.product((6, 30, 300), (0, 1, 3, 6)))
  def test_random_fitness_with_ties(self, size, num):
    """Oracle: the published loop, on few distinct values."""
    call = jax.jit(selection.elite, static_argnums=1)
    rng = np.random.default_rng(size + num)
    for high in (1, 3, 40):
      fitness = rng.integers(0, high, size).astype(np.float32) * 7.5
      self.assertEqual(
        call(jnp.asarray(fitness), num).tolist(), elite_loop(fitness, num)
      )

  def test_padding(self):
    """Oracle: by hand; two distinct values for five places."""
    result = selection.elite(jnp.asarray([1.0, 2.0, 2.0, 1.0, 1.0]), 5)
    self.assertEqual(result.tolist(), [1, 0, 1, 2, 0])
    self.assertEqual(result.dtype, jnp.int32)


class DiverseTest(parameterized.TestCase):
  @parameterized.parameters(*itertools.product((6, 30, 300), (0, 1, 6)))
  def test_random_scores(self, size, num):
    """Oracle: the published loop; many, few or one are fit enough."""
    call = jax.jit(selection.diverse, static_argnums=2)
    rng = np.random.default_rng(size + num)
    for exponent in (0, 2, 20):
      score = rng.integers(0, 9, size).astype(np.float32) / 8
      fitness = (10 * rng.random(size) ** exponent).astype(np.float32)
      self.assertEqual(
        call(jnp.asarray(score), jnp.asarray(fitness), num).tolist(),
        diverse_loop(score, fitness, num),
      )

  def test_padding_starts_at_the_top_again(self):
    """Oracle: by hand; one is fit enough, the first is taken twice."""
    result = selection.diverse(
      jnp.asarray([0.9, 1.0, 0.5]), jnp.asarray([10.0, 0.5, 0.1]), 3
    )
    self.assertEqual(result.tolist(), [0, 1, 0])

  def test_the_least_share(self):
    """Oracle: by hand; the bound itself is fit."""
    score = jnp.asarray([3.0, 2.0, 1.0])
    fitness = jnp.asarray([4.0, 5.0, 10.0])
    for share, expected in ((0.5, [1, 2]), (0.4, [0, 1]), (0.0, [0, 1])):
      result = selection.diverse(score, fitness, 2, least_share=share)
      self.assertEqual(result.tolist(), expected)


class DiversityTest(parameterized.TestCase):
  @parameterized.parameters(None, 1, 7, 20, 64)
  def test_summed_distances(self, block_size):
    """Oracle: NumPy in float64; blocks that divide the pool or do not."""
    x = np.random.default_rng(0).normal(size=(20, 56)).astype(np.float32)
    x[7] = x[3]
    call = jax.jit(selection.diversity, static_argnames="block_size")
    distance = np.linalg.norm(x[:, None].astype(float) - x[None], axis=-1)
    total = distance.sum(1)
    expected = (total - total.min()) / (total.max() - total.min())
    result = call(jnp.asarray(x), block_size=block_size)
    np.testing.assert_allclose(result, expected, atol=1e-4)
    self.assertEqual((float(result.min()), float(result.max())), (0.0, 1.0))

  @parameterized.parameters(None, 4)
  def test_equal_individuals_have_none(self, block_size):
    """Oracle: zeros of the docstring, where the program gives NaN."""
    result = selection.diversity(jnp.ones((6, 4)), block_size=block_size)
    np.testing.assert_array_equal(result, 0)

  def test_min_max_and_weights(self):
    """Oracle: NumPy; equal values are all 0, so weights are 0.1."""
    f = np.asarray([0.0, 50.0, 400.0], np.float32)
    v = np.asarray([1.0, 0.5, 0.0], np.float32)
    product = f * (1 + v)
    expected = 0.9 * product / product.max() + 0.1
    np.testing.assert_allclose(
      selection.roulette_weights(f, v), expected, rtol=1e-6
    )
    np.testing.assert_array_equal(selection.min_max(jnp.full(3, 7.0)), 0)
    np.testing.assert_allclose(
      selection.roulette_weights(jnp.zeros(3), jnp.zeros(3)), 0.1
    )


class RouletteTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2, 3)
  def test_replayed_draws(self, seed):
    """Oracle: the published loop with redraws, attempt by attempt."""
    rng = np.random.default_rng(seed)
    call = jax.jit(
      selection.roulette, static_argnums=3, static_argnames="redraw"
    )
    weights = rng.uniform(0.1, 1, 24).astype(np.float32)
    taken = rng.random(24) < 0.3
    taken[-8:] = seed % 2 == 0
    draws = rng.random(60).astype(np.float32)
    for num in (1, 5, 9):
      expected, spent = roulette_loop(weights, taken, draws, num)
      result = call(weights, taken, draws, num, redraw=True)
      self.assertEqual(result.tolist(), expected)
      exact = call(weights, taken, draws[:spent], num, redraw=True)
      self.assertEqual(exact.tolist(), expected)
    if seed % 2 == 0:
      self.assertGreater(spent, 9)

  def test_draws_that_run_out_leave_empty_slots(self):
    """Oracle: the published loop; -1 where it would draw again."""
    weights, taken = np.ones(4, np.float32), np.asarray([0, 0, 1, 1], bool)
    draws = np.float32([0.9, 0.1, 0.8, 0.7])
    result = selection.roulette(weights, taken, draws, 2, redraw=True)
    self.assertEqual(result.tolist(), [0, -1])
    self.assertEqual(
      result.tolist(), roulette_loop(weights, taken, draws, 2)[0]
    )

  @parameterized.parameters(True, False)
  def test_the_distribution_of_the_wheel(self, redraw):
    """Oracle: exact enumeration of ordered outcomes, chi-square."""
    weights = np.asarray([0.1, 0.5, 1.0, 0.3, 0.7, 0.4], np.float32)
    taken = np.asarray([False, True, False, False, False, True])
    exact = wheel_distribution(weights, taken, 3)
    num, attempts = 6000, 12 if redraw else 3
    draws = jax.random.uniform(jax.random.key(0), (num, attempts))
    slots = jax.jit(
      jax.vmap(
        lambda u: selection.roulette(weights, taken, u, 3, redraw=redraw)
      )
    )(draws)
    complete = np.asarray(slots)[np.all(np.asarray(slots) >= 0, axis=1)]
    self.assertGreater(len(complete), 0.999 * num)
    seen = list(map(tuple, complete.tolist()))
    self.assertLen(exact, 24)
    counts = [seen.count(outcome) for outcome in exact]
    self.assertEqual(sum(counts), len(seen))
    expected = np.asarray(list(exact.values())) * len(seen)
    self.assertGreater(stats.chisquare(counts, expected).pvalue, 1e-3)

  def test_slots_are_free_and_distinct(self):
    """Oracle: sets, at extreme draws."""
    weights = jnp.ones(10) * 1e-3
    taken = jnp.arange(10) % 2 == 0
    for draw in (0.0, 0.5, float(np.nextafter(np.float32(1), 0))):
      result = selection.roulette(weights, taken, jnp.full(5, draw), 5)
      self.assertEqual(sorted(result.tolist()), [1, 3, 5, 7, 9])

  def test_the_number_of_draws_is_checked(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "2 draws, got 3"):
      selection.roulette(jnp.ones(4), jnp.zeros(4, bool), jnp.zeros(3), 2)


class GumbelTopKTest(parameterized.TestCase):
  def test_ordered_outcomes(self):
    """Oracle: draws in proportion to what remains, enumerated; chi-square."""
    weights = np.asarray([1.0, 2.0, 0.5, 4.0])
    log_weights = jnp.log(jnp.asarray([*weights, 3.0], jnp.float32))
    log_weights = log_weights.at[4].set(-jnp.inf)
    num = 6000
    gumbel = jax.random.gumbel(jax.random.key(1), (num, 5))
    drawn = jax.vmap(lambda g: selection.gumbel_top_k(log_weights, g, 2))(
      gumbel
    )
    self.assertEqual(drawn.dtype, jnp.int32)
    seen = list(map(tuple, drawn.tolist()))
    outcomes = list(itertools.permutations(range(4), 2))
    expected = [
      num * weights[a] / 7.5 * weights[b] / (7.5 - weights[a])
      for a, b in outcomes
    ]
    counts = [seen.count(outcome) for outcome in outcomes]
    self.assertEqual(sum(counts), num)
    self.assertGreater(stats.chisquare(counts, expected).pvalue, 1e-3)

  def test_without_noise_it_is_the_top(self):
    """Oracle: sorting."""
    result = selection.gumbel_top_k(
      jnp.asarray([0.1, 3.0, -1.0, 2.0]), jnp.zeros(4), 3
    )
    self.assertEqual(result.tolist(), [1, 3, 0])


if __name__ == "__main__":
  absltest.main()
