"""Tests of nagjax.predictors.boosted."""

import json
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from nagjax.predictors import boosted

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

  def test_missing_library(self):
    """Oracle: the documented error, which names the extra."""
    with mock.patch.object(
      boosted.importlib.util, "find_spec", return_value=None
    ):
      with self.assertRaisesRegex(ValueError, r"pip install nagjax\[boosted\]"):
        boosted.fit(*rows(), seed=0)


if __name__ == "__main__":
  absltest.main()
