"""Tests of dominance, fronts and their quality."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import pareto
from nagjax import statistics

NUM = 12

front_numbers = jax.jit(
  lambda points, excess, used: pareto.front_numbers(
    pareto.dominates(points, excess), used
  )
)
crowding_distance = jax.jit(pareto.crowding_distance)
hypervolume = jax.jit(pareto.hypervolume)


def whole_numbers(seed, num_objectives, num=NUM):
  """Few values, so that there are ties and equal rows."""
  rng = np.random.default_rng(seed)
  return rng.integers(0, 6, (num, num_objectives)).astype(np.float32)


def is_better(x, y, excess_x=0.0, excess_y=0.0):
  if excess_x != excess_y:
    return excess_x < excess_y
  return bool((x >= y).all() and (x > y).any())


def sorted_by_hand(points, excess, used):
  """Front numbers by the definition, one front after another."""
  numbers = np.full(len(points), len(points))
  left, number = [i for i in range(len(points)) if used[i]], 0
  while left:
    front = [
      i
      for i in left
      if not any(
        is_better(points[j], points[i], excess[j], excess[i]) for j in left
      )
    ]
    numbers[front] = number
    left, number = [i for i in left if i not in front], number + 1
  return numbers


def crowding_by_hand(points, numbers):
  """Deb's algorithm: one front, one objective, one row at a time."""
  distance = np.zeros(len(points))
  for number in set(numbers.tolist()):
    front = np.flatnonzero(numbers == number)
    for values in points.T:
      order = front[np.argsort(values[front], kind="stable")]
      span = values[order[-1]] - values[order[0]]
      distance[order[[0, -1]]] = np.inf
      for before, row, after in zip(order, order[1:], order[2:], strict=False):
        if span > 0:
          distance[row] += (values[after] - values[before]) / span
  return distance


def by_inclusion_and_exclusion(points, reference):
  """Volume of a union of boxes by the volumes of all their intersections."""
  total = 0.0
  for size in range(1, len(points) + 1):
    for subset in itertools.combinations(points, size):
      sides = np.maximum(np.min(subset, axis=0) - reference, 0.0)
      total -= (-1) ** size * np.prod(sides)
  return total


class SortTest(parameterized.TestCase):
  @parameterized.product(num_objectives=(2, 3), seed=(0, 1, 2))
  def test_fronts(self, num_objectives, seed):
    """Oracle: the definition, by loops; with rows that exceed a limit and
    rows that do not count."""
    points = whole_numbers(seed, num_objectives)
    rng = np.random.default_rng(10 + seed)
    excess = np.maximum(rng.integers(-4, 3, NUM), 0).astype(np.float32)
    used = rng.random(NUM) < 0.8
    found = front_numbers(points, excess, used)
    self.assertEqual(
      found.tolist(), sorted_by_hand(points, excess, used).tolist()
    )
    feasible = front_numbers(points, np.zeros(NUM, np.float32), used)
    best = statistics.pareto_front(np.where(used[:, None], points, np.nan))
    np.testing.assert_array_equal(feasible == 0, best)

  def test_failures_are_dominated(self):
    """Oracle: a row of -inf is behind everything but its equals."""
    points = jnp.asarray([[1.0, 2.0], [-jnp.inf] * 2, [0.0, 0.0], [2.0, 1.0]])
    numbers = pareto.front_numbers(pareto.dominates(points))
    self.assertEqual(numbers.tolist(), [0, 2, 1, 0])

  @parameterized.product(num_objectives=(2, 3), seed=(0, 1, 2))
  def test_crowding(self, num_objectives, seed):
    """Oracle: the published algorithm, by loops."""
    points = whole_numbers(seed, num_objectives)
    numbers = sorted_by_hand(points, np.zeros(NUM), np.ones(NUM, bool))
    np.testing.assert_allclose(
      crowding_distance(points, numbers.astype(np.int32)),
      crowding_by_hand(points, numbers),
      rtol=1e-6,
    )


class HypervolumeTest(parameterized.TestCase):
  @parameterized.product(num_objectives=(1, 2, 3), seed=(0, 1, 2))
  def test_exact(self, num_objectives, seed):
    """Oracle: inclusion and exclusion; ties, equal rows and rows that do not
    reach the reference are among them."""
    points = whole_numbers(seed, num_objectives, num=9)
    reference = np.full(num_objectives, 0.5, np.float32)
    self.assertAlmostEqual(
      float(hypervolume(points, reference)),
      by_inclusion_and_exclusion(points, reference),
      places=3,
    )

  def test_four_objectives(self):
    """Oracle: Monte Carlo, within five standard errors."""
    rng = np.random.default_rng(0)
    points = rng.random((NUM, 4)).astype(np.float32)
    draws = rng.random((200_000, 4))
    inside = (points[:, None] >= draws[None]).all(axis=-1).any(axis=0)
    found = float(hypervolume(points, np.zeros(4, np.float32)))
    error = 5 * inside.std() / len(draws) ** 0.5
    self.assertLess(abs(found - inside.mean()), error)

  def test_failures_add_nothing(self):
    """Oracle: a rectangle of 2 by 3, and none."""
    points = jnp.asarray([[-jnp.inf, -jnp.inf], [2.0, 3.0]])
    self.assertEqual(float(hypervolume(points, jnp.zeros(2))), 6.0)
    self.assertEqual(float(hypervolume(points, jnp.full(2, 9.0))), 0.0)


class IgdPlusTest(absltest.TestCase):
  def test_closed_form(self):
    """Oracle: two rows of the front are short of by (3, 4) and by nothing, the
    second because better in one objective does not count."""
    front = jnp.asarray([[3.0, 4.0], [1.0, 0.0]])
    points = jnp.asarray([[0.0, 0.0], [-jnp.inf, 9.0], [5.0, 0.0]])
    short = (4.0 + 0.0) / 2  # (5, 0) is short of (3, 4) by 4 in the second.
    found = pareto.igd_plus(points, front)
    self.assertAlmostEqual(float(found), short, places=6)
    alone = pareto.igd_plus(points[:1], front)
    self.assertAlmostEqual(float(alone), (5.0 + 1.0) / 2, places=6)
    scaled = pareto.igd_plus(points[:1], front, jnp.asarray([3.0, 4.0]))
    self.assertAlmostEqual(float(scaled), (2**0.5 + 1 / 3) / 2, places=6)


if __name__ == "__main__":
  absltest.main()
