"""Boosted trees as XGBoost and LightGBM save them, without either library.

XGBoost: the JSON of `Booster.save_model("model.json")` or `save_raw("json")`,
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
LightGBM: the text of `Booster.save_model("model.txt")`.

All trees of a file count, also those after the best iteration of an early
stop; slice the booster before saving it if they should not. Refused are models
whose prediction is more than a sum of leaves: several outputs, categorical or
linear trees, dropped trees (DART of XGBoost), averages (random forests of
LightGBM), and objectives that transform the sum.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import trees
from nagjax.convert.pickles import ConversionError
from nagjax.convert.pickles import guarded

XGBOOST_OBJECTIVES = (
  "reg:absoluteerror",
  "reg:linear",
  "reg:pseudohubererror",
  "reg:squarederror",
)
LIGHTGBM_OBJECTIVES = (
  "fair",
  "huber",
  "mape",
  "quantile",
  "regression",
  "regression_l1",
)
"""Objectives whose prediction is the sum itself."""

_ADVICE = "Save it again by Booster.save_model."

# Bits of LightGBM's decision_type.
_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2


def from_xgboost_json(
  text_or_path: str | os.PathLike[str],
) -> trees.TreeEnsemble:
  """Reads a model of XGBoost.

  A node asks `x < threshold`; NaN goes where the node says.

  Args:
    text_or_path: the JSON itself, or the file.

  Raises:
    ConversionError: if it is no such model, or one that is refused; see above.
  """
  text, where = _read(text_or_path, starts="{")
  return guarded(
    lambda: _xgboost(files.parse_json(text)["learner"], where),
    where,
    "a model of XGBoost, saved as .json",
    _ADVICE,
  )


def from_lightgbm_text(
  text_or_path: str | os.PathLike[str],
) -> trees.TreeEnsemble:
  """Reads a model of LightGBM.

  A node asks `x <= threshold`; NaN goes where the node says, or counts as 0
  where the node knows no missing values.

  Args:
    text_or_path: the text itself, or the file.

  Raises:
    ConversionError: if it is no such model, or one that is refused; see above.
  """
  text, where = _read(text_or_path, starts="tree\n")
  return guarded(
    lambda: _lightgbm(text, where),
    where,
    "a model of LightGBM, saved as text",
    _ADVICE,
  )


def mean_of(ensembles: Sequence[trees.TreeEnsemble]) -> trees.TreeEnsemble:
  """Joins ensembles into one that predicts the mean of their predictions.

  NAS-Bench-301 publishes ten models that are averaged (Zela et al., "Surrogate
  NAS Benchmarks", ICLR 2022, https://arxiv.org/abs/2008.09777).

  Args:
    ensembles: at least one, of one library and on the same features.

  Raises:
    ValueError: if there is none, or they read or compare differently.
  """
  if not ensembles:
    raise ValueError("A mean needs one ensemble or more, got none.")
  kinds = {(e.num_features, e.less_equal) for e in ensembles}
  if len(kinds) > 1:
    counts = [e.num_features for e in ensembles]
    raise ValueError(
      "The models must come from one library and read the same features; they "
      f"read {counts}."
    )
  sizes = [e.feature.shape[0] for e in ensembles]
  starts = np.cumsum([0, *sizes[:-1]]).tolist()

  def joined(name: str) -> jax.Array:
    return jnp.concatenate([getattr(e, name) for e in ensembles])

  def shifted(name: str) -> jax.Array:
    parts = zip(ensembles, starts, strict=True)
    return jnp.concatenate([getattr(e, name) + start for e, start in parts])

  return trees.TreeEnsemble(
    feature=joined("feature"),
    threshold=joined("threshold"),
    left=shifted("left"),
    right=shifted("right"),
    default_left=joined("default_left"),
    value=joined("value") / len(ensembles),
    roots=shifted("roots"),
    base_value=jnp.mean(jnp.stack([e.base_value for e in ensembles])),
    num_features=ensembles[0].num_features,
    depth=max(e.depth for e in ensembles),
    less_equal=ensembles[0].less_equal,
  )


def _read(
  text_or_path: str | os.PathLike[str], *, starts: str
) -> tuple[str, str]:
  """The text and a name for it in messages."""
  if isinstance(text_or_path, str) and text_or_path.startswith(starts):
    return text_or_path, "The text"
  path = files.expand(text_or_path)
  text = guarded(lambda: files.read_text(path), path, "a text file", _ADVICE)
  return text, str(path)


def _xgboost(learner: dict[str, Any], where: str) -> trees.TreeEnsemble:
  objective = learner["objective"]["name"]
  _require(objective in XGBOOST_OBJECTIVES, where, f"objective {objective}")
  booster = learner["gradient_booster"]
  _require(booster["name"] == "gbtree", where, f"booster {booster['name']}")
  param = learner["learner_model_param"]
  _require(int(param.get("num_class", 0)) <= 1, where, "several classes")
  _require(int(param.get("num_target", 1)) <= 1, where, "several targets")
  # A number, or, since XGBoost 3.1, a list of one.
  base_value = float(str(param["base_score"]).strip("[]"))
  return trees.ensemble_of(
    [_xgboost_tree(tree, where) for tree in booster["model"]["trees"]],
    num_features=int(param["num_feature"]),
    less_equal=False,
    base_value=base_value,
  )


def _xgboost_tree(tree: dict[str, Any], where: str) -> trees.Tree:
  categorical = tree.get("categories_nodes") or any(tree.get("split_type", ()))
  _require(not categorical, where, "categorical splits")
  size = int(tree["tree_param"].get("size_leaf_vector", 1))
  _require(size <= 1, where, "vectors at leaves")
  # A leaf keeps its value in the place of the threshold. Its base_weights are
  # those of before objectives that adapt leaves, such as the absolute error.
  condition = np.asarray(tree["split_conditions"], np.float32)
  return trees.Tree(
    feature=np.asarray(tree["split_indices"], np.int64),
    threshold=condition,
    left=np.asarray(tree["left_children"], np.int64),
    right=np.asarray(tree["right_children"], np.int64),
    default_left=np.asarray(tree["default_left"], bool),
    value=condition,
  )


def _assignments(block: str) -> dict[str, str]:
  """Lines `name=value` of a block; a line without `=` has an empty value."""
  lines = (line.partition("=") for line in block.splitlines())
  return {name.strip(): value.strip() for name, _, value in lines}


def _lightgbm(text: str, where: str) -> trees.TreeEnsemble:
  # The text behind the trees names importances and parameters.
  blocks = text.split("end of trees")[0].split("\nTree=")
  header = _assignments(blocks[0])
  _require_plain_lightgbm(header, where)
  return trees.ensemble_of(
    [_lightgbm_tree(_assignments(block), where) for block in blocks[1:]],
    num_features=int(header["max_feature_idx"]) + 1,
    less_equal=True,
  )


def _require_plain_lightgbm(header: dict[str, str], where: str) -> None:
  outputs = (header["num_class"], header["num_tree_per_iteration"])
  _require(outputs == ("1", "1"), where, "several classes")
  _require("average_output" not in header, where, "an average of trees")
  objective = header.get("objective") or "none"
  words = objective.split()
  plain = words[0] in LIGHTGBM_OBJECTIVES and "sqrt" not in words
  _require(plain, where, f"objective {objective}")


def _lightgbm_tree(fields: dict[str, str], where: str) -> trees.Tree:
  """Inner nodes first, then leaves, which LightGBM numbers -1, -2, ..."""

  def column(name: str, kind: Callable[[str], float] = int) -> np.ndarray:
    return np.asarray([kind(word) for word in fields[name].split()])

  _require(fields["num_cat"] == "0", where, "categorical splits")
  _require(fields.get("is_linear", "0") == "0", where, "linear trees")
  value = column("leaf_value", float)
  num_inner = len(value) - 1
  if num_inner == 0:
    empty = np.zeros(0)
    return _with_leaves([empty, empty, empty, empty, empty], value)
  threshold = column("threshold", float)
  decision = column("decision_type")
  _require(not np.any(decision & _CATEGORICAL), where, "categorical splits")
  missing = (decision >> 2) & 3
  zeros = np.any(missing == _MISSING_ZERO)
  _require(not zeros, where, "zeros that count as missing")
  left, right = (
    np.where(child < 0, num_inner + ~child, child)
    for child in (column("left_child"), column("right_child"))
  )
  default_left = np.where(
    missing == _MISSING_NAN, (decision & _DEFAULT_LEFT) > 0, threshold >= 0
  )
  feature = column("split_feature")
  return _with_leaves([feature, threshold, left, right, default_left], value)


def _with_leaves(inner: Sequence[np.ndarray], value: np.ndarray) -> trees.Tree:
  """Appends leaves to the columns of the inner nodes."""
  fill = (0, np.inf, -1, -1, False)
  feature, threshold, left, right, default_left = (
    np.concatenate([column, np.full(len(value), what)])
    for column, what in zip(inner, fill, strict=True)
  )
  return trees.Tree(
    feature=feature.astype(np.int64),
    threshold=threshold,
    left=left.astype(np.int64),
    right=right.astype(np.int64),
    default_left=default_left.astype(bool),
    value=np.concatenate([np.zeros(len(inner[0])), value]),
  )


def _require(condition: bool, where: str, what: str) -> None:
  if not condition:
    plain = "a plain sum of regression trees with one output"
    raise ConversionError(where, plain, what, "Fit such a model.")
