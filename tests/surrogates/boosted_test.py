"""Tests of nagjax.surrogates.boosted."""

import json
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import archive as archive_lib
from nagjax.networks.layers import flatten
from nagjax.spaces import nasbench201
from nagjax.surrogates import boosted

SHORT = dict(num_rounds=20)


def rows(num=40, num_features=6):
  rng = np.random.default_rng(0)
  x = rng.random((num, num_features)).astype(np.float32)
  return x, (x[:, 0] - 2 * x[:, 1] + 0.1 * rng.normal(size=num))


def fit(x, y, seed=0, **options):
  config = boosted.Config(**{**SHORT, **options})
  return boosted.fit(x, y, config, seed=seed)


class FitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    pytest.importorskip("xgboost")

  def test_one_stump(self):
    """Oracle: closed form: mean plus rate times residuals / (rows + 1)."""
    x = np.asarray([[0], [0], [0], [1], [1]], np.float32)
    y = np.asarray([1.0, 2.0, 3.0, 6.0, 8.0])
    found = fit(x, y, max_depth=1, num_rounds=1, learning_rate=0.5)
    left, right = y[:3] - y.mean(), y[3:] - y.mean()
    expected = y.mean() + 0.5 * np.asarray([left.sum() / 4, right.sum() / 3])
    np.testing.assert_allclose(
      boosted.predict(found, np.asarray([[0.0], [1.0]])), expected, rtol=1e-5
    )

  def test_published_options(self):
    """Oracle: AG-Net's program, as XGBoost tells what it was given."""
    found = boosted.fit(*rows(), seed=0)
    text = json.dumps(json.loads(found.booster.save_config()))
    for option, value in (
      ("max_depth", 6),
      ("min_child_weight", 1),
      ("colsample_bytree", 1),
      ("subsample", 1),
      ("nthread", 1),
    ):
      self.assertRegex(text, f'"{option}": "{value}"')
    self.assertRegex(text, '"(eta|learning_rate)": "0.3')
    self.assertIn("reg:squarederror", text)
    self.assertEqual(found.booster.num_boosted_rounds(), 500)

  def test_ranking_reads_the_order_alone(self):
    """Oracle: the same fit to the exponentials; the order of the targets."""
    x, y = rows()
    a, b = fit(x, y, ranking=True), fit(x, np.exp(y), ranking=True)
    np.testing.assert_array_equal(boosted.predict(a, x), boosted.predict(b, x))
    order = np.argsort(np.argsort(boosted.predict(a, x)))
    self.assertGreater(np.corrcoef(order, np.argsort(np.argsort(y)))[0, 1], 0.9)
    squared = boosted.predict(fit(x, y), x), boosted.predict(fit(x, y * y), x)
    self.assertFalse(np.array_equal(*squared))

  @parameterized.parameters(False, True)
  def test_a_seed_is_a_fit(self, ranking):
    """Oracle: the first call; without left out rows, any seed."""
    x, y = rows()

    def predicted(seed, row_share):
      options = dict(ranking=ranking, row_share=row_share)
      return boosted.predict(fit(x, y, seed=seed, **options), x)

    np.testing.assert_array_equal(predicted(1, 0.5), predicted(1, 0.5))
    self.assertFalse(np.array_equal(predicted(1, 0.5), predicted(2, 0.5)))
    if not ranking:
      np.testing.assert_array_equal(predicted(1, 1.0), predicted(2, 1.0))

  @parameterized.parameters(
    (np.zeros((3, 2)), np.zeros(2), r"\(3, 2\) and \(2,\)"),
    (np.zeros(3), np.zeros(3), r"\[M, D\]"),
    (np.zeros((2, 1)), np.asarray([0.0, np.inf]), "finite"),
    (np.zeros((0, 1)), np.zeros(0), "one finite"),
  )
  def test_bad_rows(self, x, y, message):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, message):
      boosted.fit(x, y, seed=0)

  def test_other_features(self):
    """Oracle: the documented error; XGBoost itself may not notice."""
    found = fit(*rows(num_features=6))
    with self.assertRaisesRegex(ValueError, r"\[N, 6\], got \(2, 5\)"):
      boosted.predict(found, np.zeros((2, 5)))


SPACE = nasbench201.nasbench201()
NUM = 9


def archive(num=NUM):
  """Rows of an objective and a constraint; NaN where nobody may look."""
  rng = np.random.default_rng(0)
  targets = rng.normal(size=(12, 2))
  targets[num:] = np.nan
  return archive_lib.empty(SPACE, 12, 1)._replace(
    archs=jnp.asarray(rng.integers(0, 5, (12, 6)), jnp.int32),
    targets=jnp.asarray(targets, jnp.float32),
    num=jnp.int32(num),
  )


def surrogate(**options):
  config = boosted.SurrogateConfig(fit=boosted.Config(**SHORT), **options)
  return boosted.boosted_trees(SPACE, config, num_constraints=1)


class SurrogateTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    pytest.importorskip("xgboost")

  def test_one_member(self):
    """Oracle: a fit of every column to the flat graphs by hand; one member
    reads all rows."""
    told = archive()
    trees = surrogate(num_members=1, row_share=0.5)
    found = trees.predict(trees.fit(jax.random.key(0), [], told), told.archs)
    x = np.asarray(flatten(SPACE.to_graph(told.archs)))
    for column, head in enumerate((found.mean, found.violations[:, 0])):
      expected = fit(x[:NUM], np.asarray(told.targets)[:NUM, column])
      np.testing.assert_allclose(head, boosted.predict(expected, x), rtol=1e-5)

  def test_members_are_fitted_to_shares_of_the_rows(self):
    """Oracle: moments of the members, which differ; the key is a fit."""
    told, trees = archive(), surrogate(guides=True)
    found, again, other = (
      trees.predict(trees.fit(jax.random.key(seed), [], told), told.archs)
      for seed in (0, 0, 1)
    )
    self.assertEqual(found.members.shape, (3, 12))
    self.assertEqual(found.violations.shape, (12, 1))
    np.testing.assert_allclose(found.mean, found.members.mean(0), atol=1e-6)
    np.testing.assert_allclose(
      found.std, np.std(found.members, 0, ddof=1), atol=1e-3
    )
    self.assertGreater(found.std.max(), 0.05)
    np.testing.assert_array_equal(found.members, again.members)
    self.assertFalse(np.array_equal(found.members, other.members))
    self.assertTrue(trees.on_host and trees.guides)
    self.assertIsNone(trees.relaxed)

  def test_without_rows(self):
    """Oracle: zeros."""
    trees = surrogate()
    state = trees.fit(jax.random.key(0), trees.init(None, ()), archive(0))
    found = trees.predict(state, archive().archs)
    np.testing.assert_array_equal(found.mean, np.zeros(12))
    np.testing.assert_array_equal(found.violations, np.zeros((12, 1)))

  def test_a_fit_cannot_be_compiled(self):
    """Oracle: the documented error, which says what to do."""
    with self.assertRaisesRegex(ValueError, "use run_on_host"):
      jax.eval_shape(
        lambda key: surrogate().fit(key, [], archive()), jax.random.key(0)
      )


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("max_depth", 0),
    ("num_rounds", 0),
    ("row_share", 0.0),
    ("column_share", 1.5),
    ("learning_rate", 0.0),
    ("min_child_weight", -1.0),
  )
  def test_bad_values(self, name, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, name):
      boosted.Config(**{name: value})

  @parameterized.parameters(("num_members", 0), ("row_share", 0.0))
  def test_bad_values_of_a_surrogate(self, name, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, name):
      boosted.SurrogateConfig(**{name: value})

  def test_missing_library(self):
    """Oracle: the documented error, which names the extra."""
    with mock.patch.object(
      boosted.importlib.util, "find_spec", return_value=None
    ):
      with self.assertRaisesRegex(ValueError, r"pip install nagjax\[boosted\]"):
        boosted.fit(*rows(), seed=0)
      with self.assertRaisesRegex(ValueError, r"pip install nagjax\[boosted\]"):
        boosted.boosted_trees(SPACE)


if __name__ == "__main__":
  absltest.main()
