"""Tests of tables that a user makes: columns, names, rows by keys."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import columns
from nagjax.benchmarks import tabular
from nagjax.spaces.base import SearchSpace

SPACE = SearchSpace("mine", (4, 2, 3))
NUM = 24
ARCHS = SPACE.all_architectures()
BIG = SearchSpace("big", (9,) * 20)
"""Of more architectures than an index could number."""


def table(values, **fields):
  return tabular.Tabular(queried={"acc": values}, space=SPACE, **fields)


class ColumnTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("list", list(range(NUM))),
    ("int64", np.arange(NUM) + 5_000_000_000),
    ("uint32", np.arange(NUM, dtype=np.uint32) + 2**31),
    ("uint8", np.arange(NUM, dtype=np.uint8)),
    ("bool", np.arange(NUM) % 2 == 0),
    ("float16", np.arange(NUM, dtype=np.float16)),
    ("jax", jnp.arange(NUM)),
    ("missing", np.where(np.arange(NUM) == 3, np.nan, np.pi)),
    ("failed", np.where(np.arange(NUM) == 3, -np.inf, np.pi)),
  )
  def test_numbers_of_any_kind(self, values):
    """Oracle: NumPy's float64, to float32 rounding; the minus sign is exact."""
    made = table(values)
    answer = jax.jit(lambda t, a: t.query(a))(made, jnp.asarray(ARCHS))["acc"]
    self.assertEqual(answer.dtype, jnp.float32)
    expected = np.asarray(values, np.float64)
    np.testing.assert_allclose(answer, expected, rtol=1e-7)
    np.testing.assert_allclose(-answer, -expected, rtol=1e-7)

  @parameterized.named_parameters(
    ("short", jnp.arange(10.0), r"24 numbers.*float32\[10\]"),
    ("column", np.zeros((NUM, 1)), r"\[24, 1\]"),
    ("scalar", 3.0, "24 numbers"),
    ("ragged", [[1.0], *[2.0] * 23], "24 numbers"),
    ("text", ["1"] * NUM, "24 numbers"),
    ("objects", [None] * NUM, "24 numbers"),
    ("digits", [10**400] * NUM, "24 numbers"),
    ("complex", [1j] * NUM, "24 numbers"),
    ("inf", [np.inf] * NUM, r"\+inf"),
    ("large", [1e300] * NUM, "scale them"),
    ("small", [1e-300] * NUM, "scale them"),
  )
  def test_anything_else_is_refused(self, values, message):
    """Oracle: one line that names the column."""
    with self.assertRaisesRegex(ValueError, f"acc.*{message}") as raised:
      table(values)
    self.assertNotIn("\n", str(raised.exception))

  @parameterized.named_parameters(
    ("objective", dict(objective="x"), "objective must be one of .* acc"),
    ("test", dict(test="x"), "test must be one of"),
    ("queried", dict(queried={}), "a column to search on"),
    ("names", dict(queried={3: [1] * NUM}), "by their names"),
    ("no_dict", dict(queried=[1] * NUM), "by their names"),
    ("units", dict(units=("acc", "%")), "units"),
    ("space", dict(space="mine"), "SearchSpace"),
    ("no_index", dict(space=BIG), "give the architecture"),
  )
  def test_names(self, fields, message):
    """Oracle: one line."""
    options = dict(queried={"acc": [1.0] * NUM}, space=SPACE) | fields
    with self.assertRaisesRegex(ValueError, message):
      tabular.Tabular(**options)

  def test_defaults(self):
    """Oracle: the first column, or `valid_accuracy` if there is one."""
    made = table(range(NUM), units={"acc": "%"})
    self.assertEqual((made.objective, made.test), ("acc", None))
    self.assertEqual((made.objectives, made.units), (("acc",), (("acc", "%"),)))
    both = made.replace(
      queried={"x": made.queried["acc"], "valid_accuracy": [0] * NUM},
      objective="",
    )
    self.assertEqual(both.objective, "valid_accuracy")

  def test_a_table_is_a_pytree_of_anything(self):
    """Oracle: JAX's own transformations; nothing is checked on the way."""
    made = table(range(NUM))
    self.assertLen(jax.tree.leaves(made), 1)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), made, made)
    got = jax.vmap(lambda t: t.query(jnp.asarray(ARCHS))["acc"])(stacked)
    np.testing.assert_array_equal(got, [range(NUM)] * 2)
    shapes = jax.eval_shape(lambda t: t.replace(name="other"), made)
    self.assertEqual(shapes.name, "other")
    leaves, tree = jax.tree.flatten(made)
    self.assertEqual(jax.tree.unflatten(tree, [None]).queried, {"acc": None})
    self.assertEqual(
      tree, jax.tree.structure(made.replace(queried={"acc": leaves[0]}))
    )


class RowsTest(parameterized.TestCase):
  @parameterized.parameters("mine", "big", "few")
  def test_rows_by_architectures(self, which):
    """Oracle: the values handed in, by row; others are failed evaluations."""
    rng = np.random.default_rng(0)
    space = BIG if which == "big" else SPACE
    archs = rng.permutation(ARCHS)[: 7 if which == "few" else None]
    if which == "big":
      archs = rng.integers(0, 9, (500, 20))
    values = rng.normal(size=len(archs)).astype(np.float32)
    made = tabular.Tabular(queried={"acc": values}, space=space, archs=archs)
    self.assertEqual(made.num_rows, len(archs))
    query = jax.jit(lambda t, a: t.query(a)["acc"])
    np.testing.assert_array_equal(query(made, jnp.asarray(archs)), values)
    rows = made.architectures()
    np.testing.assert_array_equal(
      made.identities(jnp.asarray(rows)), np.arange(len(archs))
    )
    others = np.asarray(space.sample(jax.random.key(0), 200))
    known = (others[:, None] == archs).all(-1).any(-1)
    got = np.isnan(query(made, jnp.asarray(others)))
    np.testing.assert_array_equal(got, ~known)

  def test_rows_that_are_none(self):
    """Oracle: one line with the row at fault."""
    holes = SearchSpace("holes", (4, 2), is_valid=lambda a: a[..., 0] > 0)
    for space, archs, message in (
      (SPACE, [[0, 0, 0], [1, 0, 0], [0, 0, 0]], r"archs\[0\] and archs\[2\]"),
      (SPACE, [[0, 0, 9]] * 3, "variable 2 must be in 0..2"),
      (SPACE, [0, 0, 0], "shape"),
      (holes, [[1, 0], [0, 1], [2, 0]], r"archs\[1\] is no architecture"),
    ):
      with self.assertRaisesRegex(ValueError, message):
        tabular.Tabular(queried={"acc": [1, 2, 3]}, space=space, archs=archs)

  @parameterized.parameters(1, 2, 7, 64, 100)
  def test_bisection(self, num):
    """Oracle: Python's order of tuples, at every size."""
    rng = np.random.default_rng(num)
    rows = np.unique(rng.integers(0, 9, (num, 2)), axis=0)
    wanted = rng.integers(0, 9, (50, 2))
    expected = [sum(tuple(r) < tuple(w) for r in rows) for w in wanted]
    got = columns.lower_bound(jnp.asarray(rows), jnp.asarray(wanted))
    np.testing.assert_array_equal(got, expected)


if __name__ == "__main__":
  absltest.main()
