"""Tests of nagjax.archive."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import archive as archive_lib
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
SIZE, BATCH, CONSTRAINTS = 12, 6, 2
FRESH, REPEAT, DENIED, INVALID = (
  Status.FRESH,
  Status.REPEAT,
  Status.DENIED,
  Status.INVALID,
)
is_duplicate = jax.jit(archive_lib.is_duplicate)


@jax.jit
def add(archive, *told):
  return archive_lib.add(archive, SPACE, *told)


def empty(num_constraints=0):
  return archive_lib.empty(SPACE, SIZE, num_constraints)


def architectures(numbers):
  """A different architecture for every number below 625, `[B, 6]`."""
  archs = np.zeros((len(numbers), 6), np.int32)
  archs[:, :4] = np.stack(np.unravel_index(numbers, (5,) * 4), -1)
  return archs


def told(numbers, objective, status=None, violations=None):
  """What the driver tells; rows are fresh and valid, unless given."""
  num = len(numbers)
  status = np.full(num, FRESH) if status is None else np.asarray(status)
  violations = np.zeros((num, 0)) if violations is None else violations
  objective = np.asarray(objective, np.float32)
  return Proposal(
    jnp.asarray(architectures(numbers)), jnp.asarray(status != INVALID)
  ), Evaluation(
    jnp.asarray(status, jnp.int8),
    jnp.asarray(objective),
    jnp.asarray(objective[:, None] + 100.0),
    jnp.asarray(violations, jnp.float32),
    jnp.isfinite(objective),
  )


def numbers_of(archive):
  archs = np.asarray(archive.archs[: int(archive.num)])
  return np.ravel_multi_index(archs[:, :4].T, (5,) * 4).tolist()


def signed_logs(violations):
  """Targets of violations, column by column."""
  found = np.zeros(violations.shape)
  for column in range(violations.shape[1]):
    v = violations[:, column]
    finite = np.isfinite(v)
    logs = np.sign(v[finite]) * np.log(1 + np.abs(v[finite]))
    unit = np.sqrt((logs**2).mean() + 1e-12) if len(logs) else 1
    found[finite, column] = np.clip(logs / unit, -3, 3)
    found[~finite, column] = 3
  return found


class AddTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2)
  def test_random_sequences(self, seed):
    """Oracle: a Python dictionary that is filled up to its size, average ranks
    by scipy and `signed_logs`."""
    rng = np.random.default_rng(seed)
    archive, rows = empty(CONSTRAINTS), {}
    for _ in range(4):
      numbers = rng.integers(0, 20, BATCH)
      status = rng.choice([FRESH, REPEAT, DENIED, INVALID], BATCH)
      # As many are equal; failures and the denied are -inf.
      objective = rng.integers(0, 3, BATCH).astype(float)
      fails = (rng.random(BATCH) < 0.2) | (status > REPEAT)
      objective[fails] = -np.inf
      violations = rng.normal(size=(BATCH, CONSTRAINTS)) * [1.0, 1e3]
      violations[fails] = np.inf
      archive = add(archive, *told(numbers, objective, status, violations))
      for at in np.flatnonzero(status <= REPEAT):
        if len(rows) < SIZE:
          row = (objective[at], *violations[at])
          rows.setdefault(int(numbers[at]), row)
    self.assertEqual(numbers_of(archive), list(rows))
    num = len(rows)
    values = np.asarray(list(rows.values()), np.float32)
    np.testing.assert_array_equal(archive.objective[:num], values[:, 0])
    np.testing.assert_array_equal(archive.value[:num], values[:, 0] + 100)
    np.testing.assert_array_equal(archive.violations[:num], values[:, 1:])
    np.testing.assert_array_equal(archive.objective[num:], -np.inf)
    np.testing.assert_array_equal(archive.used, np.arange(SIZE) < num)
    keys = SPACE.keys(archive.archs[:num])
    np.testing.assert_array_equal(archive.keys[:num], keys)
    ranks = stats.norm.ppf((stats.rankdata(values[:, 0]) - 0.5) / num)
    np.testing.assert_allclose(archive.targets[:num, 0], ranks, atol=1e-5)
    scaled = signed_logs(values[:, 1:])
    np.testing.assert_allclose(archive.targets[:num, 1:], scaled, atol=1e-4)
    np.testing.assert_array_equal(archive.targets[num:], 0)
    np.testing.assert_array_equal(
      archive.targets[:num, 1:] <= 0, values[:, 1:] <= 0
    )

  def test_a_denied_row_hides_no_duplicate(self):
    """Oracle: by hand: neither it nor an invalid one has a value."""
    status = [DENIED, INVALID, FRESH, REPEAT, FRESH]
    objective = [-np.inf, -np.inf, 5.0, 5.0, 6.0]
    archive = add(empty(), *told([1, 2, 1, 1, 2], objective, status))
    self.assertEqual(numbers_of(archive), [1, 2])
    np.testing.assert_array_equal(archive.objective[:2], [5.0, 6.0])

  def test_without_constraints_values_are_scalarized(self):
    """Oracle: the objective itself; a failure is the worst and no target is
    infinite."""
    archive = add(empty(), *told([0, 1, 2], [1.0, -np.inf, 3.0]))
    np.testing.assert_array_equal(archive.value[:3], [1.0, -np.inf, 3.0])
    self.assertEqual(np.argsort(archive.targets[:3, 0]).tolist(), [1, 0, 2])
    self.assertEqual(archive_lib.best_row(archive), 2)
    self.assertEqual(archive.targets.shape, (SIZE, 1))

  def test_more_constraints_than_the_problem_has(self):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, "constraints = 2 must be at most"):
      add(empty(2), *told([0], [1.0], violations=[[1.0]]))

  @parameterized.parameters(0, 3)
  def test_a_long_warm_start_leaves_its_best(self, num_before):
    """Oracle: the sorted distinct objectives; half the archive is new."""
    numbers = np.random.default_rng(0).permutation(40)
    numbers = np.concatenate([numbers, np.arange(40)])
    status = np.where(numbers == 39, DENIED, FRESH)
    before = np.arange(100, 100 + num_before)
    archive = add(empty(), *told(before, before))
    archive = add(archive, *told(numbers, numbers, status))
    best = list(range(38, 38 - SIZE // 2, -1))
    self.assertEqual(numbers_of(archive), [*before, *best])
    used = int(archive.num)
    np.testing.assert_array_equal(archive.objective[:used], [*before, *best])
    keys = SPACE.keys(archive.archs[:used])
    np.testing.assert_array_equal(archive.keys[:used], keys)

  def test_forget(self):
    """Oracle: an archive that was never filled, as far as rows count."""
    full = add(empty(1), *told([1, 2], [1, 2], violations=[[1.0], [2.0]]))
    kept = archive_lib.forget(full, jnp.asarray(False))
    jax.tree.map(np.testing.assert_array_equal, kept, full)
    again = archive_lib.forget(full, jnp.asarray(True))
    rows = told([2, 3], [5, 4], violations=[[3.0], [-1.0]])
    again, new = add(again, *rows), add(empty(1), *rows)
    self.assertEqual(numbers_of(again), [2, 3])
    for name in ("value", "objective", "targets", "num"):
      np.testing.assert_array_equal(getattr(again, name), getattr(new, name))


class KeysTest(parameterized.TestCase):
  @parameterized.parameters(1, 7, 60)
  def test_duplicates(self, num):
    """Oracle: a Python set of the rows before that count."""
    rng = np.random.default_rng(num)
    numbers, counts = rng.integers(0, 9, num), rng.random(num) < 0.5
    keys = SPACE.keys(jnp.asarray(architectures(numbers)))
    for mask in (None, jnp.asarray(counts)):
      known, expected = set(), []
      for at, number in enumerate(numbers):
        expected.append(number in known)
        known |= {number} if mask is None or mask[at] else set()
      self.assertEqual(is_duplicate(keys, mask).tolist(), expected)

  @parameterized.parameters(0, 3, 10)
  def test_contains(self, num_used):
    """Oracle: a Python set of the used rows."""
    rng = np.random.default_rng(0)
    numbers, known = rng.integers(0, 9, 20), rng.integers(0, 9, 10)
    found = archive_lib.contains(
      SPACE.keys(jnp.asarray(architectures(numbers))),
      SPACE.keys(jnp.asarray(architectures(known))),
      jnp.arange(10) < num_used,
    )
    self.assertEqual(
      found.tolist(), np.isin(numbers, known[:num_used]).tolist()
    )
    self.assertEqual(any(found), num_used > 0)

  def test_isomorphic_cells_are_duplicates(self):
    """Oracle: NAS-Bench-101 cells of which one swaps two vertices."""
    space = nasbench101.nasbench101()
    operations = ["input", *["conv3x3-bn-relu"] * 5, "output"]
    archs = []
    for branches in ((1, 2), (3, 4)):
      matrix = np.zeros((7, 7), int)
      matrix[0, branches] = matrix[branches, 6] = 1
      archs.append(nasbench101.from_matrix(matrix, operations))
    keys = space.keys(jnp.asarray(np.stack(archs)))
    self.assertEqual(is_duplicate(keys).tolist(), [False, True])

  def test_scaled_violations_of_unused_rows(self):
    """Oracle: `signed_logs` of the used ones, else zeros."""
    rng = np.random.default_rng(0)
    violations = np.float32(rng.normal(size=(9, 2)) * [1.0, 1e3])
    violations[[2, 8], 1] = np.inf
    found = archive_lib.scaled_violations(violations, np.arange(9) < 6)
    np.testing.assert_allclose(
      found[:6], signed_logs(violations[:6]), atol=1e-4
    )
    np.testing.assert_array_equal(found[6:], 0)


class MutateTest(parameterized.TestCase):
  def test_the_best_in_turn(self):
    """Oracle: `SearchSpace.mutate` of the two rows with the best values; one
    without a value is no parent."""
    archive = add(empty(), *told([5, 6, 7, 8], [1.0, 3.0, -np.inf, 2.0]))
    draws = np.random.default_rng(0).random((8, 2), np.float32)
    random = jnp.zeros((8, 6), jnp.int32)
    for num_parents, parents in ((2, [6, 8]), (20, [6, 8, 5])):
      found = archive_lib.mutate_top(
        archive, SPACE, jnp.asarray(draws), random, num_parents
      )
      turn = architectures([parents[i % len(parents)] for i in range(8)])
      np.testing.assert_array_equal(
        found, SPACE.mutate(jnp.asarray(turn), jnp.asarray(draws))
      )
      np.testing.assert_array_equal((found != turn).sum(-1), 1)

  def test_without_any_value(self):
    """Oracle: the random architectures, also where there are failures."""
    failed = add(empty(), *told([5, 6], [-np.inf, -np.inf]))
    draws = jnp.full((3, 2), 0.5)
    random = jnp.asarray(architectures([1, 2, 3]))
    for archive in (empty(), failed):
      found = archive_lib.mutate_top(archive, SPACE, draws, random, 2)
      np.testing.assert_array_equal(found, random)


if __name__ == "__main__":
  absltest.main()
