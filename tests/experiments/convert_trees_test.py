"""Tests of experiments.convert for boosted trees."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import convert
from nagjax.benchmarks import surrogate
from nagjax.spaces import nasbench201
from tests.experiments import runs

# edge_normal_0 (column 10) is 2 and 3; edge_normal_12 (34) does not apply, and
# is 0; the logarithm of the learning rate (24) is -3.69 in both.
ARCHS = [
  [2, 3, 3, 2, 5, 6, 3, 2, 0, 1, 4, 0, 1, 2, 6, 3, 4, 3, 5, 0, 3, 7],
  [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
]


def xgboost_json(base, *stumps, num_features=56):
  """A model of `(column, threshold, below, not below)`."""
  trees = [
    {
      "default_left": [0, 0, 0],
      "left_children": [1, -1, -1],
      "right_children": [2, -1, -1],
      "split_conditions": list(rest),
      "split_indices": [column, 0, 0],
      "tree_param": {"size_leaf_vector": "1"},
    }
    for column, *rest in stumps
  ]
  return json.dumps(
    {
      "learner": {
        "gradient_booster": {"model": {"trees": trees}, "name": "gbtree"},
        "learner_model_param": {
          "base_score": str(base),
          "num_class": "0",
          "num_feature": str(num_features),
        },
        "objective": {"name": "reg:squarederror"},
      }
    }
  )


def lightgbm_text(*stumps, num_features=56):
  """A model of `(column, threshold, not above, above)`."""
  text = (
    "tree\nnum_class=1\nnum_tree_per_iteration=1\nobjective=regression\n"
    f"max_feature_idx={num_features - 1}\n"
  )
  for number, (column, threshold, *values) in enumerate(stumps):
    text += (
      f"\nTree={number}\nnum_leaves=2\nnum_cat=0\nsplit_feature={column}\n"
      f"threshold={threshold}\ndecision_type=2\nleft_child=-1\nright_child=-2\n"
      f"leaf_value={values[0]} {values[1]}\n"
    )
  return f"{text}\nend of trees\n"


class ConvertTreesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)
    self.output = self.folder / "nb301_surrogate.npz"

  def run_format(self, name, texts, *arguments):
    """Exit code, stdout and stderr of a conversion of these models."""
    argv = [f"--format={name}", f"--output={self.output}"]
    for number, text in enumerate(texts):
      path = self.folder / f"model_{number}"
      path.write_text(text)
      argv.append(f"--source={path}")
    return runs.run_binary(convert, *argv, *arguments)

  def assert_predicts(self, expected):
    loaded = surrogate.load_known("nasbench301/cifar10", directory=self.folder)
    got = loaded.query(jnp.asarray(ARCHS, jnp.int32))
    np.testing.assert_array_equal(got["valid_accuracy"], expected)
    self.assertEqual(loaded.units, (("valid_accuracy", "%"),))
    return loaded

  def test_xgboost(self):
    """Oracle: leaves by hand; what was not measured is null."""
    stumps = (10, 2.5, 1, 2), (34, -0.5, 4, 8), (24, -3, 16, 32)
    code, out, err = self.run_format("xgboost", [xgboost_json(90, *stumps)])
    self.assertEqual((code, err), (0, ""))
    self.assertIn("3 trees on nasbench301, the mean of 1 model(s)", out)
    self.assertIn("not measured", out)
    self.assert_predicts([90 + 1 + 4 + 16, 90 + 2 + 8 + 16])
    with np.load(self.output, allow_pickle=False) as arrays:
      card = json.loads(str(arrays["header"]))["card"]
      self.assertEqual(arrays["golden_archs"].shape, (0, 22))
    for name in ("num_rows", "spearman", "kendall", "held_out"):
      self.assertIsNone(card[name])

  @pytest.mark.slow
  def test_lightgbm(self):
    """Oracle: leaves by hand; a threshold is met by what equals it."""
    stumps = (10, 2, 1, 2), (34, -0.5, 4, 8)
    code, _, err = self.run_format("lightgbm", [lightgbm_text(*stumps)])
    self.assertEqual((code, err), (0, ""))
    self.assert_predicts([5, 10])

  @pytest.mark.slow
  def test_several_models_are_averaged(self):
    """Oracle: by hand, for models of another base, size and depth."""
    models = [
      xgboost_json(90, (10, 2.5, 1, 2), (34, -0.5, 4, 8)),
      xgboost_json(10, (11, 2.5, 0, 8)),
    ]
    code, _, err = self.run_format("xgboost", models)
    self.assertEqual((code, err), (0, ""))
    loaded = self.assert_predicts([(95 + 18) / 2, (100 + 10) / 2])
    settings = (("library", "xgboost"), ("num_models", 2))
    self.assertEqual(loaded.card.settings, settings)

  def test_trees_of_another_space(self):
    """Oracle: by hand; column 18 says that edge 3 is operation 3."""
    code, _, err = self.run_format(
      "lightgbm",
      [lightgbm_text((18, 0.5, 1, 2), num_features=30)],
      "--space=nasbench201",
      "--encoding=options",
      "--objective=minus_loss",
    )
    self.assertEqual((code, err), (0, ""))
    loaded = surrogate.load_surrogate(
      self.output, name="mine", space=nasbench201.nasbench201()
    )
    self.assertEqual(loaded.units, (("minus_loss", ""),))
    archs = jnp.asarray([[0] * 6, [0, 0, 0, 3, 0, 0]], jnp.int32)
    self.assertEqual(loaded.query(archs)["minus_loss"].tolist(), [1.0, 2.0])

  @parameterized.parameters(
    ([2], (), "--encoding: The trees read 2 features, got 56"),
    ([2, 3], (), "--source: The models must .* [2, 3]"),
    ([56], ("--space=other",), "--space: "),
    ([56], ("--space=nasbench201",), "for the space darts"),
    ([56], ("--encoding=other",), "encoding"),
    ([56], ("--order=x",), "not for xgboost"),
  )
  def test_what_the_user_can_mend(self, sizes, arguments, message):
    """Oracle: exit code 2, one line, no file."""
    models = [
      xgboost_json(0, (0, 0.5, 1, 2), num_features=num) for num in sizes
    ]
    code, _, err = self.run_format("xgboost", models, *arguments)
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertRegex(err, message.replace("[", r"\["))
    self.assertFalse(self.output.exists())


if __name__ == "__main__":
  absltest.main()
