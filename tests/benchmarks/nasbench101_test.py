"""Tests of nagjax.benchmarks.nasbench101 on a small and on the real table."""

import functools
import itertools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import registry
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import tabular
from nagjax.problem import Problem
from nagjax.search import sweeping
from nagjax.spaces import nasbench101 as space_lib
from tests import data

NUM = 91
"""Cells of up to four vertices."""


def as_vector(num_vertices, bits, ops):
  """The vector of one row of the file, by its matrix."""
  matrix = np.zeros((num_vertices, num_vertices), int)
  for y in range(num_vertices):
    for x in range(y):
      matrix[x, y] = int(bits) >> (x + y * (y - 1) // 2) & 1
  inner = [space_lib.OPERATIONS[op] for op in ops[: num_vertices - 2]]
  return space_lib.from_matrix(matrix, ["input", *inner, "output"])


@functools.cache
def columns():
  """A made-up table of all cells of up to 4 vertices, in shuffled order."""
  rows = [
    (num, bits, [*ops, *[-1] * (7 - num)])
    for num in (2, 3, 4)
    for bits in range(1 << num * (num - 1) // 2)
    for ops in itertools.product(range(3), repeat=num - 2)
  ]
  table = [np.asarray(column) for column in zip(*rows, strict=True)]
  archs = jnp.asarray(nasbench101.vectors(*table))
  code = np.where(space_lib.is_valid(archs), space_lib.codes(archs), -1)
  _, first = np.unique(code, return_index=True)
  rng = np.random.default_rng(0)
  chosen = rng.permutation(first[1:])
  table = [column[chosen] for column in table]
  return {
    "n_vertices": table[0].astype(np.int8),
    "adj_bits": table[1].astype(np.uint32),
    "ops": table[2].astype(np.int8),
    "test_acc": rng.random(len(chosen)).astype(np.float32),
    "params": rng.integers(10**5, 10**7, len(chosen)).astype(np.int32),
  }


@functools.cache
def archs():
  """The architecture of every row of the made-up file."""
  rows = (columns()[name] for name in ("n_vertices", "adj_bits", "ops"))
  return jnp.asarray([as_vector(*row) for row in zip(*rows, strict=True)])


def few_cells(num):
  """A context in which NAS-Bench-101 is said to have as few cells as `num`."""
  space_lib.nasbench101()  # Spaces are cached: this one, with the real number.
  return mock.patch.object(space_lib, "NUM_ARCHITECTURES", num)


class SmallTableTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)
    self.path = self.folder / nasbench101.FILE
    self.enterContext(few_cells(NUM))

  def load(self, drop=(), **changes):
    table = {**columns(), **changes}
    np.savez(self.path, **{k: v for k, v in table.items() if k not in drop})
    return nasbench101.load_nasbench101(directory=self.folder)

  def test_every_cell_has_the_values_of_its_row(self):
    """Oracle: the shuffled columns of the file, by row."""
    benchmark = self.load()
    answer = jax.jit(lambda b, a: (b.query(a), b.report(a)))(benchmark, archs())
    percent = columns()["test_acc"] * 100
    np.testing.assert_allclose(answer[0]["mean_test_accuracy"], percent)
    np.testing.assert_allclose(answer[1]["test_accuracy"], percent)
    params = columns()["params"] / 1e6
    np.testing.assert_allclose(answer[0]["params_m"], params, rtol=1e-6)
    self.assertEqual({c.dtype for c in answer[0].values()}, {np.dtype("f4")})

  def test_validation_accuracy_is_searched_where_there_is_one(self):
    """Oracle: the file's two columns, and the documented names."""
    valid = 1 - columns()["test_acc"]
    benchmark = self.load(val_acc=valid)
    self.assertEqual(benchmark.objective, "valid_accuracy")
    self.assertEqual(set(benchmark.queried), {"valid_accuracy", "params_m"})
    np.testing.assert_allclose(
      benchmark.query(archs())["valid_accuracy"], valid * 100
    )
    np.testing.assert_allclose(
      benchmark.report(archs())["test_accuracy"], columns()["test_acc"] * 100
    )

  @pytest.mark.slow
  def test_a_search_on_test_accuracy_says_so(self):
    """Oracle: the documented names and units."""
    benchmark = self.load()
    self.assertEqual(benchmark.objective, "mean_test_accuracy")
    self.assertEqual(benchmark.test, "test_accuracy")
    self.assertEqual(dict(benchmark.units)["mean_test_accuracy"], "%")
    self.assertEqual(dict(benchmark.units)["params_m"], "million")
    self.assertEqual(benchmark.name, "nasbench101/cifar10")
    self.assertIs(benchmark.space, space_lib.nasbench101())
    wrapped = tabular.search_on_test_accuracy(benchmark)
    self.assertEqual(wrapped.objective, "test_accuracy")
    np.testing.assert_array_equal(
      wrapped.query(archs())["test_accuracy"],
      benchmark.report(archs())["test_accuracy"],
    )

  def test_rows_and_their_architectures(self):
    """Oracle: arange; isomorphic vectors share a row."""
    benchmark = self.load()
    self.assertEqual(benchmark.num_rows, NUM)
    rows = benchmark.architectures()
    self.assertEqual((rows.shape, rows.dtype), ((NUM, 26), np.int32))
    found = jax.vmap(benchmark.identities)(jnp.asarray(rows).reshape(7, 13, 26))
    np.testing.assert_array_equal(found.ravel(), np.arange(NUM))
    self.assertEqual(found.dtype, jnp.int32)
    matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    twins = [
      space_lib.from_matrix(matrix, ["input", *inner, "output"])
      for inner in itertools.permutations(space_lib.OPERATIONS[1:])
    ]
    self.assertTrue(np.any(twins[0] != twins[1]))
    one, other = benchmark.identities(jnp.asarray(twins))
    self.assertEqual(int(one), int(other))

  def test_an_unknown_graph_is_a_failed_evaluation(self):
    """Oracle: a chain of six vertices is not in the small table."""
    names = ["input", *[space_lib.OPERATIONS[0]] * 4, "output"]
    arch = space_lib.from_matrix(np.eye(6, k=1, dtype=int), names)
    batch = jnp.asarray([arch, *archs()[:1]])
    benchmark = self.load()
    for column in (benchmark.query(batch) | benchmark.report(batch)).values():
      np.testing.assert_array_equal(np.isnan(column), [True, False])
    answer = Problem(benchmark).evaluate(batch)
    np.testing.assert_array_equal(answer.failed, [True, False])

  def test_the_optimum_is_the_best_row(self):
    """Oracle: NumPy arg-max."""
    value, test, best = Problem(self.load()).optimum()
    self.assertAlmostEqual(value, columns()["test_acc"].max() * 100, places=4)
    self.assertEqual(test, value)
    row = int(columns()["test_acc"].argmax())
    expected = space_lib.canonicalize(archs()[row])
    np.testing.assert_array_equal(best, expected[None])

  @parameterized.named_parameters(
    ("percent", {"test_acc": np.full(NUM, 93.0)}, "fractions"),
    ("nan", {"val_acc": np.full(NUM, np.nan)}, "val_acc.*fractions"),
    ("params", {"params": np.zeros(NUM)}, "params"),
    ("short", {"test_acc": np.zeros(NUM - 1)}, "test_acc must hold"),
    ("ops", {"ops": np.full((NUM, 5), 3)}, "ops in 0..2"),
    ("bits", {"adj_bits": np.full(NUM, 1 << 21)}, "adj_bits"),
    ("size", {"n_vertices": np.full(NUM, 8)}, "n_vertices must be in 2..7"),
  )
  def test_impossible_values_are_refused(self, changes, message):
    """Oracle: the documented ValueError names file, array and remedy."""
    with self.assertRaisesRegex(ValueError, rf"nb101\.npz: .*{message}.*again"):
      self.load(**changes)

  def test_missing_and_repeated_rows_are_refused(self):
    """Oracle: the documented ValueError counts what is wrong."""
    twice = {k: np.concatenate([v[:1], v[:-1]]) for k, v in columns().items()}
    with self.assertRaisesRegex(ValueError, "0 are no cells and 1 repeat"):
      self.load(**twice)
    half = {k: v[:50] for k, v in columns().items()}
    with self.assertRaisesRegex(ValueError, r"\[91\], got"):
      self.load(**half)
    bits = columns()["adj_bits"].copy()
    bits[0] = 0
    with self.assertRaisesRegex(ValueError, "1 are no cells"):
      self.load(adj_bits=bits)
    with self.assertRaisesRegex(ValueError, "no array ops"):
      self.load(drop=["ops"])

  def test_damaged_and_absent_files_are_named(self):
    """Oracle: the documented errors."""
    with self.assertRaisesRegex(FileNotFoundError, r"nb101\.npz is not there"):
      nasbench101.load_nasbench101(directory=self.folder)
    self.load()
    self.path.write_bytes(self.path.read_bytes()[:-400])
    with self.assertRaisesRegex(ValueError, r"nb101\.npz"):
      nasbench101.load_nasbench101(directory=self.folder)


class VectorTest(parameterized.TestCase):
  def test_rows_of_every_size(self):
    """Oracle: the matrix of each row, through `from_matrix`."""
    rng = np.random.default_rng(0)
    rows = []
    for num in range(2, 8):
      inner = [(y - 1) * y // 2 + y - 1 for y in range(1, num)]
      chain = sum(1 << edge for edge in inner)  # All vertices on one path.
      for _ in range(4):
        extra = 1 << int(rng.integers(num * (num - 1) // 2))
        ops = [*rng.integers(0, 3, num - 2), *[-1] * (7 - num)]
        rows.append((num, chain | extra, np.asarray(ops)))
    found = nasbench101.vectors(*map(np.asarray, zip(*rows, strict=True)))
    expected = np.stack([as_vector(*row) for row in rows])
    np.testing.assert_array_equal(found, expected)
    self.assertEqual(found.dtype, np.int32)


@functools.cache
def real_table():
  return nasbench101.load_nasbench101(directory=data.table_path(""))


@data.needs_table("nb101.npz")
class RealTableTest(parameterized.TestCase):
  def test_rows_have_their_values(self):
    """Oracle: 3,000 rows of the file."""
    names = "n_vertices", "adj_bits", "ops", "test_acc", "params"
    columns = data.read_table("nb101.npz", *names)
    self.assertLen(columns[0], real_table().num_rows)
    rows = np.random.default_rng(0).choice(len(columns[0]), 3000)
    *graph, accuracy, params = (column[rows] for column in columns)
    found = real_table().query(jnp.asarray(nasbench101.vectors(*graph)))
    np.testing.assert_allclose(
      found["mean_test_accuracy"], accuracy * 100, rtol=1e-6
    )
    np.testing.assert_allclose(found["params_m"], params / 1e6, rtol=1e-6)

  def test_every_sample_is_known(self):
    """Oracle: a complete table has no NaN."""
    archs = space_lib.sample_cells(jax.random.key(0), 1000)
    found = real_table().query(archs)["mean_test_accuracy"]
    self.assertTrue(np.all(np.isfinite(found)))

  def test_the_optimum_is_the_published_one(self):
    """Oracle: 94.32 % of the paper, at 32,426,634 parameters."""
    value, _, best = Problem(real_table()).optimum()
    self.assertAlmostEqual(value, 94.3176, places=3)
    self.assertLen(best, 1)
    params = real_table().query(jnp.asarray(best))["params_m"]
    self.assertAlmostEqual(float(params[0]), 32.426634, places=4)

  @pytest.mark.slow
  def test_random_search_is_as_good_as_its_distribution(self):
    """Oracle: the mean of the best of 150 draws, from 20,000 draws."""
    benchmark = real_table()
    archs = benchmark.space.sample(jax.random.key(1), 20000)
    value = np.sort(benchmark.query(archs)[benchmark.objective])
    share = (np.arange(len(value) + 1) / len(value)) ** 150
    expected = np.sum(np.diff(share) * value)
    keys = jax.random.split(jax.random.key(0), 32)
    search = registry.make_search("random", Problem(benchmark), budget=150)
    trace = sweeping.sweep(keys, search).trace
    best = np.where(trace.paid, trace.objective, -np.inf).max(axis=(1, 2))
    self.assertTrue(np.all(trace.charged[:, -1] == 150))
    error = best.std(ddof=1) / np.sqrt(len(best))
    self.assertLess(abs(best.mean() - expected), 4 * error)


if __name__ == "__main__":
  absltest.main()
