"""Tests of nagjax.algorithms.archive."""

import functools

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.algorithms import archive as archive_lib
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
SIZE = 40

add = jax.jit(lambda archive, *told: archive_lib.add(archive, SPACE, *told))


def told(archs, objective, *, status=None, valid=None, violations=None):
  """Every row fresh and valid, unless given."""
  num = len(archs)
  status = np.full(num, Status.FRESH) if status is None else status
  valid = np.ones(num, bool) if valid is None else valid
  violations = np.zeros((num, 0)) if violations is None else violations
  objective = jnp.asarray(objective, jnp.float32)
  return Proposal(
    jnp.asarray(archs, jnp.int32), jnp.asarray(valid)
  ), Evaluation(
    jnp.asarray(status, jnp.int8),
    objective,
    objective[:, None] + 100.0,
    jnp.asarray(violations, jnp.float32),
  )


def empty(num_constraints=0):
  return archive_lib.empty(SPACE, SIZE, num_constraints)


class ArchiveTest(absltest.TestCase):
  def test_what_enters(self):
    """Oracle: by hand; neither failures nor the order are forgotten."""
    archs = np.zeros((8, 6), np.int32)
    archs[:, 0] = [0, 1, 1, 2, 3, 4, 0, 0]
    archs[6:, 1] = [1, 2]
    fresh, failed = Status.FRESH, Status.INVALID
    repeat, denied = Status.REPEAT, Status.DENIED
    status = [fresh, fresh, repeat, failed, denied, fresh, failed, fresh]
    valid = [True] * 6 + [False, True]
    objective = [5.0, 7.0, 7.0, -np.inf, -np.inf, 6.0, -np.inf, 4.0]
    rows = functools.partial(told, archs, objective, valid=valid)
    archive = add(empty(), *rows(status=status))
    kept = [0, 1, 3, 5, 7]
    self.assertEqual(int(archive.num), len(kept))
    expected = np.pad(
      np.asarray(objective)[kept], (0, 35), constant_values=-np.inf
    )
    np.testing.assert_array_equal(archive.archs[:5], archs[kept])
    np.testing.assert_array_equal(archive.objective, expected)
    np.testing.assert_array_equal(archive.target, expected)
    np.testing.assert_array_equal(archive.used, np.arange(SIZE) < 5)
    # Told again, nothing is new but what was denied.
    again = add(archive, *rows(status=[repeat] * 8))
    self.assertEqual(int(again.num), len(kept) + 1)
    np.testing.assert_array_equal(again.archs[:5], archive.archs[:5])
    np.testing.assert_array_equal(again.archs[5], archs[4])

  def test_constraints(self):
    """Oracle: with constraints the target is the first raw objective."""
    archs = SPACE.all_architectures()[:3]
    violations = np.asarray([[1.0, 2.0], [-1.0, np.inf], [0.0, 3.0]])
    rows = told(archs, [1.0, 2.0, 3.0], violations=violations)
    archive = add(empty(num_constraints=2), *rows)
    np.testing.assert_array_equal(archive.target[:3], [101.0, 102.0, 103.0])
    np.testing.assert_array_equal(archive.objective[:3], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(archive.violations[:3], violations)

  def test_a_large_prior_leaves_its_best(self):
    """Oracle: the sorted objectives of the prior; half the archive is free."""
    archs = SPACE.all_architectures()[:60]
    objective = np.random.default_rng(0).permutation(60)
    # A better one that was not paid for does not count.
    status = np.full(60, Status.FRESH)
    status[np.argmax(objective)] = Status.DENIED
    archive = add(empty(), *told(archs, objective, status=status))
    half = SIZE // 2
    self.assertEqual(int(archive.num), half)
    best = np.sort(objective[status == Status.FRESH])[-half:]
    np.testing.assert_array_equal(np.sort(archive.objective[:half]), best)
    place = np.asarray(archive.objective[:half]).astype(int)
    np.testing.assert_array_equal(
      archive.archs[:half], archs[np.argsort(objective)[place]]
    )

  def test_a_full_archive_keeps_what_it_has(self):
    """Oracle: the first rows that were told, up to its size."""
    archs = SPACE.all_architectures()[:48].reshape(3, 16, 6)
    archive = empty()
    for batch in archs:
      archive = add(archive, *told(batch, np.arange(16)))
    self.assertEqual(int(archive.num), SIZE)
    np.testing.assert_array_equal(archive.archs, archs.reshape(-1, 6)[:SIZE])

  def test_unseen(self):
    """Oracle: a Python set; an invalid row hides no valid one."""
    space = SPACE.all_architectures()
    archive = add(empty(), *told(space[:5], np.zeros(5)))
    order = [7, 3, 7, 8, 9, 9, 9]
    valid = np.asarray([1, 1, 1, 0, 0, 1, 1], bool)
    seen, expected = set(range(5)), []
    for row, is_valid in zip(order, valid, strict=True):
      expected.append(bool(is_valid and row not in seen))
      if is_valid:
        seen.add(row)
    result = archive_lib.unseen(
      archive, SPACE, jnp.asarray(space[order]), jnp.asarray(valid)
    )
    self.assertEqual(result.tolist(), expected)


if __name__ == "__main__":
  absltest.main()
