"""Tests of nagjax.algorithms.choosing."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.algorithms import choosing
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201

SPACE = nasbench201.nasbench201()


def choose_by_sorting(mean, deviation, beta):
  free = {i: m for i, m in enumerate(mean) if m > -np.inf}
  chosen, found = [], []
  for b in beta:
    best = max(free, key=lambda i: free[i] + b * deviation[i], default=None)
    found.append(best is not None)
    chosen.append(best)
    free.pop(best, None)
  return chosen, found


def few_archs(num, seed=0):
  """Vectors with many repetitions."""
  rng = np.random.default_rng(seed)
  archs = np.zeros((num, 6), np.int32)
  archs[:, [0, 5]] = rng.integers(0, 4, (num, 2))
  return archs


class ChooseTest(parameterized.TestCase):
  @parameterized.parameters((12, 0, 5), (12, 9, 5), (4, 4, 3), (5, 0, 5))
  def test_slots_choose_one_after_another(self, num, num_excluded, num_slots):
    """Oracle: a dictionary of free candidates."""
    rng = np.random.default_rng(num)
    mean, deviation = rng.normal(size=(2, num)).astype(np.float32)
    deviation = np.abs(deviation)
    mean[rng.permutation(num)[:num_excluded]] = -np.inf
    beta = np.linspace(0, 3, num_slots, dtype=np.float32)
    expected, expected_found = choose_by_sorting(mean, deviation, beta)
    chosen, found = jax.jit(choosing.choose)(mean, deviation, beta)
    self.assertEqual(found.tolist(), expected_found)
    taken = np.asarray(chosen)[found].tolist()
    self.assertEqual(taken, [i for i in expected if i is not None])
    self.assertLen(set(taken), len(taken))

  def test_optimizm(self):
    """Oracle: the documented five, and a single slot."""
    np.testing.assert_allclose(
      choosing.optimizm(2.0, 5), [0, 2 / 16, 2 / 4, 2 * 9 / 16, 2]
    )
    np.testing.assert_array_equal(choosing.optimizm(2.0, 1), [0.0])


class EqualTest(parameterized.TestCase):
  @parameterized.parameters(1, 7, 60)
  def test_is_copy(self, num):
    """Oracle: a Python set of the rows before."""
    archs = few_archs(num)
    known, expected = set(), []
    for arch in map(tuple, archs.tolist()):
      expected.append(arch in known)
      known.add(arch)
    is_copy = jax.jit(functools.partial(choosing.is_copy, SPACE))
    self.assertEqual(is_copy(jnp.asarray(archs)).tolist(), expected)

  @parameterized.parameters(0, 3, 10)
  def test_any_equal(self, num_used):
    """Oracle: a Python set of the used rows."""
    archs, archive = few_archs(20), few_archs(10, seed=1)
    used = np.arange(10) < num_used
    known = set(map(tuple, archive[used].tolist()))
    expected = [arch in known for arch in map(tuple, archs.tolist())]
    any_equal = jax.jit(functools.partial(choosing.any_equal, SPACE))
    result = any_equal(jnp.asarray(archs), jnp.asarray(archive), used)
    self.assertEqual(result.tolist(), expected)
    self.assertEqual(any(expected), num_used > 0)

  def test_isomorphic_cells_are_copies(self):
    """Oracle: NAS-Bench-101 cells of which one swaps two vertices."""
    space = nasbench101.nasbench101()
    operations = ["input", *["conv3x3-bn-relu"] * 5, "output"]
    archs = []
    for branches in ((1, 2), (3, 4)):
      matrix = np.zeros((7, 7), int)
      matrix[0, branches] = matrix[branches, 6] = 1
      archs.append(nasbench101.from_matrix(matrix, operations))
    archs = jnp.asarray(np.stack(archs))
    self.assertEqual(choosing.is_copy(space, archs).tolist(), [False, True])
    used = jnp.ones(1, bool)
    self.assertTrue(bool(choosing.any_equal(space, archs[1:], archs[:1], used)))

  def test_new_places(self):
    """Oracle: a Python list that is filled up; what does not fit is dropped."""
    archive = np.zeros((5, 6), np.int32)
    archive[:2] = [[1] * 6, [2] * 6]
    rows = [1, 3, 3, 4, 0, 2, 1, 4]
    known = [True, True, True, False, True, True, True, True]
    expected, held = [], [1, 2]
    for row, answered in zip(rows, known, strict=True):
      # A copy of an unanswered row is none either: both were denied.
      new = answered and row not in held and row != 4
      expected.append(len(held) if new and len(held) < 5 else 5)
      held.extend([row] if new else [])
    places, num = choosing.new_places(
      SPACE,
      jnp.asarray(np.repeat(np.asarray(rows)[:, None], 6, axis=1)),
      jnp.asarray(known),
      jnp.asarray(archive),
      jnp.int32(2),
    )
    self.assertEqual(np.minimum(places, 5).tolist(), expected)
    self.assertEqual(int(num), len(held))


if __name__ == "__main__":
  absltest.main()
