"""Ensembles of regression trees as arrays, evaluated inside jit.

What XGBoost (Chen and Guestrin 2016, https://arxiv.org/abs/1603.02754) and
LightGBM (Ke et al. 2017) fit is a sum of trees. Here all nodes of all trees lie
in flat arrays, leaves point to themselves, and a loop of fixed length gathers
the next node of many trees at once: no branches, no libraries, any batch.
`nagjax.convert.boosted` reads the files of both libraries.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.files import Declared

DECLARED = {
  "feature": Declared("i", ("nodes",)),
  "threshold": Declared("f", ("nodes",)),
  "left": Declared("i", ("nodes",)),
  "right": Declared("i", ("nodes",)),
  "default_left": Declared("b", ("nodes",)),
  "value": Declared("f", ("nodes",)),
  "roots": Declared("i", ("trees",)),
  "base_value": Declared("f", ()),
}
"""The arrays of an ensemble in a file."""
STATIC = {"num_features": int, "depth": int, "less_equal": bool}
"""Its static fields, which stand in the header."""

_CHUNK = 128
"""Trees that are evaluated together. A constant, so that an architecture has
the same sum, in the same order, in a batch of any size."""


class Tree(NamedTuple):
  """One tree on the host: `N` nodes, node 0 is the root.

  Attributes:
    feature: `int[N]` what a node compares; ignored at leaves.
    threshold: `float[N]` what it is compared with; ignored at leaves.
    left: `int[N]` child where the comparison holds, negative at leaves.
    right: `int[N]` the other child, negative at leaves.
    default_left: `bool[N]` whether a missing feature (NaN) goes to the left.
    value: `float[N]` value of a leaf; ignored elsewhere.
  """

  feature: np.ndarray
  threshold: np.ndarray
  left: np.ndarray
  right: np.ndarray
  default_left: np.ndarray
  value: np.ndarray


@struct.dataclass
class TreeEnsemble:
  """A sum of trees: `M` nodes of `T` trees.

  Attributes:
    feature: `int32[M]` what each node compares, 0 at leaves.
    threshold: `f32[M]` what it is compared with, infinite at leaves.
    left: `int32[M]` child where the comparison holds; a leaf itself.
    right: `int32[M]` the other child; a leaf itself.
    default_left: `bool[M]` whether a missing feature (NaN) goes to the left.
    value: `f32[M]` values of leaves, 0 elsewhere.
    roots: `int32[T]`.
    base_value: `f32[]` added to the sum.
    num_features: length of a feature vector.
    depth: comparisons on the longest way from a root to a leaf.
    less_equal: whether the comparison is `x <= threshold` (LightGBM) instead of
      `x < threshold` (XGBoost).
  """

  feature: jax.Array
  threshold: jax.Array
  left: jax.Array
  right: jax.Array
  default_left: jax.Array
  value: jax.Array
  roots: jax.Array
  base_value: jax.Array
  num_features: int = struct.field(pytree_node=False)
  depth: int = struct.field(pytree_node=False)
  less_equal: bool = struct.field(pytree_node=False)


def ensemble_of(
  trees: Sequence[Tree],
  *,
  num_features: int,
  less_equal: bool,
  base_value: float = 0.0,
) -> TreeEnsemble:
  """Joins trees (host).

  Args:
    trees: at least one.
    num_features: length of a feature vector.
    less_equal: whether a node asks `x <= threshold` instead of `x <
      threshold`. Features are float32; thresholds are rounded to float32 such
      that every answer stays the same.
    base_value: added to the sum of the trees.

  Raises:
    ValueError: if there is no tree, or one of them is none.
  """
  if not trees:
    raise ValueError("An ensemble needs one tree or more, got none.")
  arrays: dict[str, list[np.ndarray]] = {name: [] for name in Tree._fields}
  roots, depth = [0], 0
  for number, tree in enumerate(trees):
    tree = Tree(*map(np.asarray, tree))
    depth = max(depth, _depth(number, tree, num_features))
    leaf = tree.left < 0
    itself = np.arange(len(leaf))
    threshold = _float32_threshold(tree.threshold, less_equal)
    arrays["feature"].append(np.where(leaf, 0, tree.feature))
    arrays["threshold"].append(np.where(leaf, np.inf, threshold))
    arrays["left"].append(roots[-1] + np.where(leaf, itself, tree.left))
    arrays["right"].append(roots[-1] + np.where(leaf, itself, tree.right))
    arrays["default_left"].append(tree.default_left.astype(bool))
    arrays["value"].append(np.where(leaf, tree.value, 0.0))
    roots.append(roots[-1] + len(leaf))
  joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
  return TreeEnsemble(
    feature=jnp.asarray(joined["feature"], jnp.int32),
    threshold=jnp.asarray(joined["threshold"], jnp.float32),
    left=jnp.asarray(joined["left"], jnp.int32),
    right=jnp.asarray(joined["right"], jnp.int32),
    default_left=jnp.asarray(joined["default_left"]),
    value=jnp.asarray(joined["value"], jnp.float32),
    roots=jnp.asarray(roots[:-1], jnp.int32),
    base_value=jnp.asarray(base_value, jnp.float32),
    num_features=num_features,
    depth=depth,
    less_equal=less_equal,
  )


def from_arrays(
  arrays: Mapping[str, np.ndarray], static: Mapping[str, Any]
) -> TreeEnsemble:
  """An ensemble of a file.

  Args:
    arrays: see `DECLARED` for their shapes.
    static: those of `STATIC`.

  Raises:
    ValueError: if they are not what `ensemble_of` makes.
  """
  if {name: type(value) for name, value in static.items()} != STATIC:
    raise ValueError(f"its trees must have {', '.join(STATIC)}")
  num_nodes, num_features = len(arrays["left"]), static["num_features"]
  inner = arrays["left"] != np.arange(num_nodes)
  for name, size in (
    ("feature", num_features),
    ("left", num_nodes),
    ("right", num_nodes),
    ("roots", num_nodes),
  ):
    if not np.all((arrays[name] >= 0) & (arrays[name] < size)):
      raise ValueError(f"{name} of its trees must be in 0..{size - 1}")
  if not (
    len(arrays["roots"]) > 0
    and 0 <= static["depth"] <= inner.sum()
    and np.isfinite(arrays["value"]).all()
    and np.isfinite(arrays["base_value"])
    and not np.isnan(arrays["threshold"]).any()
  ):
    raise ValueError("its trees have values that are no numbers, or no roots")
  types = {"f": jnp.float32, "i": jnp.int32, "b": jnp.bool}
  fields: dict[str, Any] = {
    name: jnp.asarray(array, types[array.dtype.kind])
    for name, array in arrays.items()
  }
  return TreeEnsemble(**fields, **static)


def predict(ensemble: TreeEnsemble, features: jax.Array) -> jax.Array:
  """Sums the leaves that feature vectors reach.

  Args:
    ensemble: the trees.
    features: `f32[..., F]`; NaN is missing.

  Returns:
    `f32[...]`.

  Raises:
    ValueError: if the vectors have another length than the trees expect.
  """
  if features.shape[-1] != ensemble.num_features:
    raise ValueError(
      f"The trees read {ensemble.num_features} features, got "
      f"{features.shape[-1]}."
    )
  batch = features.shape[:-1]
  rows = features.reshape(math.prod(batch), ensemble.num_features)
  num_trees = ensemble.roots.shape[0]
  width = min(_CHUNK, num_trees)
  padding = -num_trees % width
  roots = jnp.pad(ensemble.roots, (0, padding)).reshape(-1, width)
  exists = np.arange(num_trees + padding).reshape(-1, width) < num_trees

  def descend(_: jax.Array, node: jax.Array) -> jax.Array:
    x = jnp.take_along_axis(rows, ensemble.feature[node], axis=1)
    threshold = ensemble.threshold[node]
    holds = x <= threshold if ensemble.less_equal else x < threshold
    holds = jnp.where(jnp.isnan(x), ensemble.default_left[node], holds)
    return jnp.where(holds, ensemble.left[node], ensemble.right[node])

  def add(
    total: jax.Array, chunk: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, None]:
    start, real = chunk
    node = jnp.broadcast_to(start, (rows.shape[0], width))
    node = jax.lax.fori_loop(0, ensemble.depth, descend, node)
    values = jnp.where(real[None], ensemble.value[node], 0.0)
    return total + jnp.sum(values, axis=1), None

  total = jnp.broadcast_to(ensemble.base_value, rows.shape[:1])
  total, _ = jax.lax.scan(add, total, (roots, jnp.asarray(exists)))
  return total.reshape(batch)


def _depth(number: int, tree: Tree, num_features: int) -> int:
  """Checks one tree and returns its depth."""
  num = len(tree.left)
  if num == 0 or any(len(column) != num for column in tree):
    raise ValueError(
      f"Tree {number} must have columns of one length, got "
      f"{[len(column) for column in tree]}."
    )
  leaf = tree.left < 0
  children = np.stack([tree.left, tree.right])[:, ~leaf]
  if np.any(leaf != (tree.right < 0)) or np.any(children >= num):
    raise ValueError(f"Tree {number} has children that are not there.")
  used = tree.feature[~leaf]
  if np.any((used < 0) | (used >= num_features)):
    raise ValueError(
      f"Tree {number} must compare features 0..{num_features - 1}, got "
      f"{used.min()}..{used.max()}."
    )
  if not (
    np.isfinite(tree.value[leaf]).all()
    and not np.isnan(tree.threshold[~leaf]).any()
  ):
    raise ValueError(f"Tree {number} has values that are no numbers.")
  level, depth = np.zeros(1, int), 0
  while (level := level[~leaf[level]]).size:
    level = np.unique(np.concatenate([tree.left[level], tree.right[level]]))
    depth += 1
    if depth > num:
      raise ValueError(f"Tree {number} has a circle.")
  return depth


def _float32_threshold(threshold: np.ndarray, less_equal: bool) -> np.ndarray:
  """Rounds so that every comparison with a float32 number stays the same.

  `x <= t` stays with the next float32 below `t`, `x < t` with the one above.
  """
  with np.errstate(over="ignore"):
    rounded = threshold.astype(np.float32)
  if less_equal:
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > threshold, lower, rounded)
  upper = np.nextafter(rounded, np.float32(np.inf))
  return np.where(rounded < threshold, upper, rounded)
