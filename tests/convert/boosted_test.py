"""Tests of nagjax.convert.boosted."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.benchmarks import trees
from nagjax.convert import boosted
from nagjax.convert.pickles import ConversionError

NAN = np.nan


def xgboost_model():
  """Base 0.5; x0 < 2 (missing left) ? (x1 < -1 (right) ? 1 : 2) : 4; and 8."""
  tree = {
    "base_weights": [0.1, 0.2, 9.0, 9.0, 9.0],
    "categories": [],
    "categories_nodes": [],
    "default_left": [1, 0, 0, 0, 0],
    "left_children": [1, 3, -1, -1, -1],
    "right_children": [2, 4, -1, -1, -1],
    "split_conditions": [2.0, -1.0, 4.0, 1.0, 2.0],
    "split_indices": [0, 1, 0, 0, 0],
    "split_type": [0, 0, 0, 0, 0],
    "tree_param": {"num_nodes": "5", "size_leaf_vector": "1"},
  }
  leaf = {
    "categories_nodes": [],
    "default_left": [0],
    "left_children": [-1],
    "right_children": [-1],
    "split_conditions": [8.0],
    "split_indices": [0],
    "split_type": [0],
    "tree_param": {"num_nodes": "1"},
  }
  return {
    "learner": {
      "gradient_booster": {"model": {"trees": [tree, leaf]}, "name": "gbtree"},
      "learner_model_param": {
        "base_score": "5E-1",
        "num_class": "0",
        "num_feature": "2",
      },
      "objective": {"name": "reg:squarederror"},
    },
    "version": [2, 1, 0],
  }


# x0 <= 2 ? (x1 <= -1 ? 1 : 2) : 4, then a tree of one leaf. x0 knows missing
# values and sends them left (8 + 2); x1 knows none (0): NaN is read as 0.
LIGHTGBM_MODEL = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=Column_0 Column_1
feature_infos=[-2:2] [0:1]
tree_sizes=100 100

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=2 1
threshold=2 -1
decision_type=10 0
left_child=1 -1
right_child=-3 -2
leaf_value=1 2 4
is_linear=0
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=8
shrinkage=0.1


end of trees

feature_importances:
Column_0=1
"""

X = [[0, -2], [0, -1], [2, -1], [3, -2], [NAN, -2], [0, NAN], [NAN, NAN]]


def change(model, path, value):
  """A model with one entry replaced; None removes it."""
  *way, last = path
  place = model
  for step in way:
    place = place[step]
  place[last] = value
  return model


class XGBoostTest(parameterized.TestCase):
  def test_by_hand(self):
    """Oracle: by hand; from text and from a file."""
    text = json.dumps(xgboost_model())
    expected = 8.5 + np.asarray([1, 2, 4, 4, 1, 2, 2])
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, "model.json")
      path.write_text(text)
      for source in (text, path, str(path)):
        ensemble = boosted.from_xgboost_json(source)
        got = trees.predict(ensemble, jnp.asarray(X, jnp.float32))
        np.testing.assert_array_equal(got, expected)

  def test_a_base_score_in_a_list(self):
    """Oracle: XGBoost 3.1 and later write "[5E-1]"."""
    path = ("learner", "learner_model_param", "base_score")
    model = change(xgboost_model(), path, "[2.5E-1]")
    ensemble = boosted.from_xgboost_json(json.dumps(model))
    self.assertEqual(float(ensemble.base_value), 0.25)

  @parameterized.parameters(
    (("objective", "name"), "binary:logistic", "objective binary:logistic"),
    (("gradient_booster", "name"), "dart", "booster dart"),
    (("gradient_booster", "name"), "gblinear", "booster gblinear"),
    (("learner_model_param", "num_class"), "3", "several classes"),
    (("learner_model_param", "num_target"), "2", "several targets"),
    (("learner_model_param", "base_score"), "high", "could not convert"),
    (("learner_model_param", "num_feature"), "1", "features 0..0"),
    (("gradient_booster", "model"), {}, "KeyError: 'trees'"),
    (("gradient_booster", "model"), {"trees": []}, "one tree or more"),
  )
  def test_other_models_are_refused(self, path, value, message):
    """Oracle: the documented error, in one line."""
    model = change(xgboost_model(), ("learner", *path), value)
    with self.assertRaisesRegex(ConversionError, message):
      boosted.from_xgboost_json(json.dumps(model))

  @parameterized.parameters(
    ("split_type", [0, 1, 0, 0, 0], "categorical"),
    ("categories_nodes", [1], "categorical"),
    ("tree_param", {"size_leaf_vector": "2"}, "vectors at leaves"),
    ("left_children", [1, 9, -1, -1, -1], "children that are not there"),
  )
  def test_other_trees_are_refused(self, name, value, message):
    """Oracle: the documented error."""
    path = ("learner", "gradient_booster", "model", "trees", 0, name)
    model = change(xgboost_model(), path, value)
    with self.assertRaisesRegex(ConversionError, message):
      boosted.from_xgboost_json(json.dumps(model))

  @parameterized.parameters("{", "{}", '{"learner": 3}', "absent.json")
  def test_something_else_is_refused(self, text):
    """Oracle: the documented error, in one line."""
    with self.assertRaises(ConversionError) as caught:
      boosted.from_xgboost_json(text)
    self.assertNotIn("\n", str(caught.exception))

  @parameterized.parameters("reg:squarederror", "reg:absoluteerror")
  def test_a_fitted_model(self, objective):
    """Oracle: XGBoost's own predictions, with missing values."""
    xgboost = pytest.importorskip("xgboost")
    x, y, other = fitting_data()
    booster = xgboost.train(
      {"max_depth": 4, "objective": objective, "nthread": 1},
      xgboost.DMatrix(x, y),
      30,
    )
    text = booster.save_raw("json").decode()
    got = trees.predict(boosted.from_xgboost_json(text), jnp.asarray(other))
    expected = booster.predict(xgboost.DMatrix(other))
    self.assertGreater(expected.std(), 0.3)
    np.testing.assert_allclose(got, expected, rtol=2e-6)

  def test_fitted_trees_with_dropout_are_refused(self):
    """Oracle: the documented error, on a file of XGBoost itself."""
    xgboost = pytest.importorskip("xgboost")
    x, y, _ = fitting_data()
    booster = xgboost.train(
      {"booster": "dart", "rate_drop": 0.5, "nthread": 1},
      xgboost.DMatrix(x, y),
      3,
    )
    with self.assertRaisesRegex(ConversionError, "booster dart"):
      boosted.from_xgboost_json(booster.save_raw("json").decode())


class LightGBMTest(parameterized.TestCase):
  def test_by_hand(self):
    """Oracle: by hand; from text and from a file."""
    expected = 8.0 + np.asarray([1, 1, 1, 4, 1, 2, 2])
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, "model.txt")
      path.write_text(LIGHTGBM_MODEL)
      for source in (LIGHTGBM_MODEL, path, str(path)):
        ensemble = boosted.from_lightgbm_text(source)
        got = trees.predict(ensemble, jnp.asarray(X, jnp.float32))
        np.testing.assert_array_equal(got, expected)

  @parameterized.parameters(
    ("threshold=2 -1", "threshold=2 0.5", 1),
    ("decision_type=10 0", "decision_type=10 8", 2),
    ("decision_type=10 0", "decision_type=10 10", 1),
  )
  def test_missing_values(self, old, new, expected):
    """Oracle: by hand, at x0 = 0 and x1 missing.

    Without a kind of missing value NaN is 0; with it, the bit 2 says left.
    """
    ensemble = boosted.from_lightgbm_text(LIGHTGBM_MODEL.replace(old, new))
    got = trees.predict(ensemble, jnp.asarray([0.0, NAN]))
    self.assertEqual(float(got), 8.0 + expected)

  @parameterized.parameters(
    ("num_class=1", "num_class=3", "several classes"),
    ("objective=regression", "objective=binary sigmoid:1", "objective binary"),
    ("objective=regression", "objective=regression sqrt", "sqrt"),
    ("objective=regression", "average_output", "average of trees"),
    ("objective=regression", "", "objective none"),
    ("num_cat=0", "num_cat=1", "categorical"),
    ("decision_type=10 0", "decision_type=10 1", "categorical"),
    ("decision_type=10 0", "decision_type=10 4", "zeros that count"),
    ("is_linear=0", "is_linear=1", "linear trees"),
    ("max_feature_idx=1", "max_feature_idx=0", "features 0..0"),
    ("left_child=1 -1", "left_child=1 -7", "not there"),
    ("left_child=1 -1", "left_child=1", ""),
    ("threshold=2 -1", "threshold=2 x", "could not convert"),
    ("leaf_value=1 2 4", "", "KeyError: 'leaf_value'"),
    ("num_tree_per_iteration=1", "", "KeyError: 'num_tree_per_iteration'"),
  )
  def test_other_models_are_refused(self, old, new, message):
    """Oracle: the documented error, in one line."""
    self.assertIn(old, LIGHTGBM_MODEL)
    with self.assertRaisesRegex(ConversionError, message) as caught:
      boosted.from_lightgbm_text(LIGHTGBM_MODEL.replace(old, new, 1))
    self.assertNotIn("\n", str(caught.exception))

  @parameterized.parameters("tree\n", "absent.txt")
  def test_something_else_is_refused(self, text):
    """Oracle: the documented error."""
    with self.assertRaises(ConversionError):
      boosted.from_lightgbm_text(text)

  @parameterized.parameters("regression", "quantile")
  def test_a_fitted_model(self, objective):
    """Oracle: LightGBM's own predictions, with missing values everywhere."""
    lightgbm = pytest.importorskip("lightgbm")
    x, y, other = fitting_data()
    booster = lightgbm.train(
      {"objective": objective, "verbose": -1, "num_threads": 1},
      lightgbm.Dataset(x, y),
      30,
    )
    ensemble = boosted.from_lightgbm_text(booster.model_to_string())
    got = trees.predict(ensemble, jnp.asarray(other))
    expected = booster.predict(other)
    self.assertGreater(expected.std(), 0.3)
    np.testing.assert_allclose(got, expected, rtol=2e-6)


class MeanTest(absltest.TestCase):
  @pytest.mark.slow
  def test_the_mean_of_models(self):
    """Oracle: the mean of what they predict alone, and one model alone."""
    path = ("learner", "learner_model_param", "base_score")
    twin = change(xgboost_model(), path, "2.5")
    del twin["learner"]["gradient_booster"]["model"]["trees"][0]
    third = change(xgboost_model(), path, "9")
    models = [
      boosted.from_xgboost_json(json.dumps(model))
      for model in (xgboost_model(), twin, third, xgboost_model())
    ]
    x = jnp.asarray(X, jnp.float32)
    alone = [np.asarray(trees.predict(model, x)) for model in models]
    self.assertGreater(np.ptp(alone), 5.0)
    got = trees.predict(boosted.mean_of(models), x)
    np.testing.assert_allclose(got, np.mean(alone, axis=0), rtol=1e-6)
    one = trees.predict(boosted.mean_of(models[1:2]), x)
    np.testing.assert_array_equal(one, alone[1])

  def test_models_that_do_not_fit_together(self):
    """Oracle: the documented ValueError."""
    first = boosted.from_xgboost_json(json.dumps(xgboost_model()))
    second = boosted.from_lightgbm_text(LIGHTGBM_MODEL)
    for models, message in (([], "got none"), ([first, second], "one library")):
      with self.assertRaisesRegex(ValueError, message):
        boosted.mean_of(models)


def fitting_data():
  """Features, values, and features with NaN also where training had none."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(400, 4)).astype(np.float32)
  x[:, 3] = rng.integers(0, 3, 400)
  y = 90.0 + x.sum(axis=1)
  other = x.copy()
  x[:, :2][rng.random((400, 2)) < 0.1] = np.nan
  other[rng.random(x.shape) < 0.2] = np.nan
  return x, y, other


if __name__ == "__main__":
  absltest.main()
