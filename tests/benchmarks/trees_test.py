"""Tests of nagjax.benchmarks.trees and surrogate."""

import dataclasses
import json
import math
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem
from nagjax.algorithms import random_search
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import trees
from nagjax.search import driver
from nagjax.spaces import darts
from nagjax.spaces import nasbench201

# x0 < 0.5 ? (x1 < -1 ? 1 : 2) : 4; missing x0 goes right, missing x1 left.
STUMPY = trees.Tree(
  feature=np.asarray([0, 1, 0, 0, 0]),
  threshold=np.asarray([0.5, -1.0, 0.0, 0.0, 0.0]),
  left=np.asarray([1, 3, -1, -1, -1]),
  right=np.asarray([2, 4, -1, -1, -1]),
  default_left=np.asarray([False, True, False, False, False]),
  value=np.asarray([0.0, 0.0, 4.0, 1.0, 2.0]),
)
LEAF = trees.Tree(*(np.asarray([v]) for v in (0, 0.0, -1, -1, False, 10.0)))

SPACES = {"darts": darts.darts, "nasbench201": nasbench201.nasbench201}


def random_tree(rng, num_inner, num_features):
  """Grows a tree by splitting random leaves."""
  nodes = [[0, 0.0, -1, -1, False, rng.normal()]]
  for _ in range(num_inner):
    leaves = [i for i, node in enumerate(nodes) if node[2] < 0]
    split = nodes[rng.choice(leaves)]
    split[:5] = [
      rng.integers(num_features),
      np.float32(rng.normal()),
      len(nodes),
      len(nodes) + 1,
      rng.random() < 0.5,
    ]
    nodes += [[0, 0.0, -1, -1, False, rng.normal()] for _ in range(2)]
  return trees.Tree(*map(np.asarray, zip(*nodes, strict=True)))


def walk(tree, x, less_equal):
  """The leaf that one feature vector reaches, one node after the other."""
  node = 0
  while tree.left[node] >= 0:
    value, threshold = x[tree.feature[node]], tree.threshold[node]
    holds = value <= threshold if less_equal else value < threshold
    if math.isnan(value):
      holds = tree.default_left[node]
    node = tree.left[node] if holds else tree.right[node]
  return tree.value[node]


def ensemble(num_trees, num_features, less_equal=False, num_inner=12):
  rng = np.random.default_rng(num_trees)
  grown = [
    random_tree(rng, rng.integers(num_inner + 1), num_features)
    for _ in range(num_trees)
  ]
  joined = trees.ensemble_of(
    grown, num_features=num_features, less_equal=less_equal, base_value=0.25
  )
  return grown, joined


class PredictTest(parameterized.TestCase):
  def test_a_tree_by_hand(self):
    """Oracle: by hand; a leaf of 10 and a base of 100 beside it."""
    joined = trees.ensemble_of(
      [STUMPY, LEAF], num_features=2, less_equal=False, base_value=100.0
    )
    self.assertEqual(joined.depth, 2)
    nan = np.nan
    x = [[0, -2], [0, -1], [0.5, -2], [nan, 0], [0, nan], [-np.inf, np.inf]]
    got = trees.predict(joined, jnp.asarray(x, jnp.float32))
    np.testing.assert_array_equal(got, 110.0 + np.asarray([1, 2, 4, 4, 1, 2]))

  @parameterized.parameters(
    (1, False), (5, True), (128, False), (129, True), (300, False)
  )
  def test_random_trees(self, num_trees, less_equal):
    """Oracle: a walk in Python, in float64; ties and missing values occur."""
    grown, joined = ensemble(num_trees, 4, less_equal)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 8, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    thresholds = np.concatenate([t.threshold for t in grown])
    x[0] = rng.choice(thresholds, x[0].shape)
    got = jax.jit(trees.predict)(joined, jnp.asarray(x))
    self.assertEqual((got.shape, got.dtype), ((3, 8), jnp.float32))
    expected = [
      0.25 + sum(walk(t, row, less_equal) for t in grown)
      for row in x.reshape(-1, 4).tolist()
    ]
    np.testing.assert_allclose(
      got, np.reshape(expected, (3, 8)), rtol=1e-5, atol=1e-5
    )

  def test_batches_do_not_change_a_sum(self):
    """Oracle: the same bits one by one, in a batch, and under vmap."""
    _, joined = ensemble(200, 4)
    x = jax.random.normal(jax.random.key(0), (6, 4))
    batch = trees.predict(joined, x)
    single = [trees.predict(joined, row) for row in x]
    np.testing.assert_array_equal(batch, jnp.stack(single))
    mapped = jax.vmap(trees.predict, (None, 0))(joined, x)
    np.testing.assert_array_equal(batch, mapped)

  @parameterized.parameters(True, False)
  def test_thresholds_between_two_floats(self, less_equal):
    """Oracle: the comparison in float64, for the neighbors of 0.1."""
    x = np.float32(0.1)
    near = [np.nextafter(x, np.float32(s)) for s in (-1, 1)]
    for threshold in (0.1, float(x), 0.5 * (float(x) + float(near[0]))):
      tree = STUMPY._replace(
        feature=np.zeros(5, int), threshold=np.asarray([threshold] * 5)
      )
      joined = trees.ensemble_of([tree], num_features=1, less_equal=less_equal)
      for value in (near[0], x, near[1]):
        got = trees.predict(joined, jnp.asarray([value]))
        self.assertEqual(float(got), walk(tree, [float(value)], less_equal))

  def test_no_rows(self):
    """Oracle: an empty batch has an empty answer, of any leading shape."""
    _, joined = ensemble(3, 4)
    self.assertEqual(trees.predict(joined, jnp.zeros((2, 0, 4))).shape, (2, 0))

  def test_features_of_another_length_are_refused(self):
    """Oracle: the documented ValueError."""
    _, joined = ensemble(3, 4)
    with self.assertRaisesRegex(ValueError, "read 4 features, got 5"):
      trees.predict(joined, jnp.zeros((2, 5)))

  @parameterized.parameters(
    ({"left": [1, 9, -1, -1, -1]}, "not there"),
    ({"right": [2, -1, -1, -1, -1]}, "not there"),
    ({"left": [1, 0, -1, -1, -1]}, "circle"),
    ({"feature": [0, 2, 0, 0, 0]}, "features 0..1, got 0..2"),
    ({"value": [0, 0, 4, np.nan, 2]}, "no numbers"),
    ({"value": [0.0]}, "one length"),
  )
  def test_broken_trees_are_refused(self, change, message):
    """Oracle: the documented ValueError."""
    change = {name: np.asarray(value) for name, value in change.items()}
    with self.assertRaisesRegex(ValueError, message):
      trees.ensemble_of(
        [STUMPY._replace(**change)], num_features=2, less_equal=True
      )

  def test_no_tree_is_refused(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "one tree or more"):
      trees.ensemble_of([], num_features=2, less_equal=True)


def make_benchmark(space, encoding, name="mine"):
  archs = space.sample(jax.random.key(1), 8)
  features = surrogate.ENCODINGS[encoding](space, archs)
  _, joined = ensemble(20, features.shape[-1], num_inner=30)
  card = surrogate.Card(
    space=space.name,
    encoding=encoding,
    objective="valid_accuracy",
    unit="%",
    num_rows=8,
    spearman=0.5,
    kendall=0.25,
    held_out="by hand",
    settings=(("num_trees", 20),),
  )
  benchmark = surrogate.TreeBenchmark(joined, name, space, card)
  return benchmark, np.asarray(archs)


class BenchmarkTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder, "nb301_surrogate.npz")

  def save(self, benchmark, archs, shift=0.0):
    golden = benchmark.query(jnp.asarray(archs))["valid_accuracy"]
    surrogate.save(self.path, benchmark, archs, golden + shift)

  @parameterized.parameters(
    ("darts", "cells"),
    ("darts", "configspace"),
    ("darts", "graph"),
    ("nasbench201", "motifs"),
    ("nasbench201", "options"),
  )
  def test_a_file_comes_back(self, space, encoding):
    """Oracle: the predictions of what was saved, on other architectures."""
    space = SPACES[space]()
    saved, archs = make_benchmark(space, encoding)
    self.save(saved, archs)
    loaded = surrogate.load_surrogate(self.path, name="mine", space=space)
    others = space.sample(jax.random.key(2), 6).reshape(2, 3, -1)
    query = jax.jit(lambda b, a: b.query(a))
    got = query(loaded, others)["valid_accuracy"]
    np.testing.assert_array_equal(got, query(saved, others)["valid_accuracy"])
    self.assertGreater(float(jnp.std(got)), 0.0)
    self.assertEqual((loaded.name, loaded.card), ("mine", saved.card))
    self.assertEqual(loaded.units, (("valid_accuracy", "%"),))

  def test_features_by_name(self):
    """Oracle: the views of the space, flattened."""
    space = darts.darts()
    archs = space.sample(jax.random.key(0), 4)
    for name, parts in (
      ("options", [space.one_hot(archs)]),
      ("graph", list(space.to_graph(archs))),
      ("configspace", [darts.to_configspace(archs)]),
      ("cells", [darts.to_configspace(archs), darts.to_statistics(archs)]),
    ):
      expected = np.concatenate([np.reshape(p, (4, -1)) for p in parts], 1)
      got = surrogate.ENCODINGS[name](space, archs)
      np.testing.assert_array_equal(got, expected)

  def test_motifs(self):
    """Oracle: counts in plain NumPy, one edge at a time."""
    space = darts.darts()
    archs = space.sample(jax.random.key(0), 3)
    got = surrogate.ENCODINGS["motifs"](space, archs)
    for row, arch in zip(np.asarray(got), archs, strict=True):
      nodes, adjacency = map(np.asarray, space.to_graph(arch))
      labels = nodes.argmax(axis=1)
      pairs = np.zeros((9, 9))
      for i, j in zip(*adjacency.nonzero(), strict=True):
        pairs[labels[i], labels[j]] += 1
      counts = np.bincount(labels, minlength=9)
      np.testing.assert_array_equal(row[220:], [*counts, *pairs.ravel()])
      np.testing.assert_array_equal(row[:220], np.ravel(space.one_hot(arch)))

  def test_the_same_computation_has_the_same_prediction(self):
    """Oracle: the canonical cells of NAS-Bench-201."""
    space = nasbench201.nasbench201()
    benchmark, _ = make_benchmark(space, "options")
    archs = space.sample(jax.random.key(3), 50)
    same = space.canonicalize(archs)
    self.assertTrue(bool(jnp.any(same != archs)))
    np.testing.assert_array_equal(
      benchmark.query(archs)["valid_accuracy"],
      benchmark.query(same)["valid_accuracy"],
    )

  @parameterized.parameters("cells", "configspace")
  def test_encodings_of_darts_are_for_darts(self, encoding):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "space darts, got nasbench201"):
      make_benchmark(nasbench201.nasbench201(), encoding)

  @pytest.mark.slow
  def test_a_search_pays_for_distinct_keys(self):
    """Oracle: the keys of the space; no test metric, no rows."""
    benchmark, _ = make_benchmark(darts.darts(), "options")
    trace = driver.run(
      jax.random.key(0),
      random_search.random(benchmark.space),
      problem.Problem(benchmark),
      (),
      budget=30,
      num_rounds=4,
    ).trace
    archs = trace.archs.reshape(-1, 22)[:30]
    self.assertEqual(int(trace.charged[-1]), 30)
    self.assertLen(np.unique(archs, axis=0), 30)
    values = benchmark.query(archs)["valid_accuracy"]
    np.testing.assert_array_equal(trace.objective.reshape(-1)[:30], values)
    self.assertIsNone(benchmark.test)
    self.assertEmpty(benchmark.report(archs))
    self.assertIsNone(benchmark.architectures())

  def test_known_files_are_found_by_name(self):
    """Oracle: the file names of interface.md."""
    folder = self.path.parent
    self.assertEmpty(surrogate.known_names(folder))
    self.save(*make_benchmark(darts.darts(), "configspace"))
    self.assertEqual(surrogate.known_names(folder), ["nasbench301/cifar10"])
    loaded = surrogate.load_known("nasbench301/cifar10", directory=folder)
    self.assertEqual(loaded.name, "nasbench301/cifar10")
    with self.assertRaisesRegex(ValueError, "got 'nasbench301/svhn'"):
      surrogate.load_known("nasbench301/svhn", directory=folder)
    self.path.unlink()
    with self.assertRaisesRegex(FileNotFoundError, "experiments.fit_surrogate"):
      surrogate.load_known("nasbench301/cifar10", directory=folder)

  def test_golden_predictions_guard_the_trees(self):
    """Oracle: changed arrays, and a shift beyond summation order."""
    benchmark, archs = make_benchmark(darts.darts(), "options")
    with self.assertRaisesRegex(ValueError, "golden predictions by up to"):
      self.save(benchmark, archs, shift=0.01)
    self.assertFalse(self.path.exists())
    self.save(benchmark, archs)
    with np.load(self.path) as file:
      arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    for change, message in (
      ({"value": arrays["value"] * 1.1}, "golden predictions"),
      ({"default_left": None}, "default_left"),
      ({"golden_archs": arrays["golden_archs"][:0]}, "golden=0"),
      ({"header": json.dumps({**header, "kind": "x"})}, "kind 'x'"),
      (
        {
          "header": json.dumps(
            {**header, "card": {**header["card"], "space": "other"}}
          )
        },
        "space other, not darts",
      ),
    ):
      changed = {k: v for k, v in (arrays | change).items() if v is not None}
      np.savez(self.path, **changed)
      with self.assertRaisesRegex(ValueError, message):
        surrogate.load_surrogate(self.path, name="x", space=darts.darts())
    self.path.write_bytes(b"PK")
    with self.assertRaisesRegex(ValueError, "no surrogate"):
      surrogate.load_surrogate(self.path, name="x", space=darts.darts())

  def test_converted_trees_have_no_golden_predictions(self):
    """Oracle: None comes back; other features are refused nevertheless."""
    space = darts.darts()
    measured, archs = make_benchmark(space, "options")
    card = dataclasses.replace(
      measured.card, num_rows=None, spearman=None, kendall=None, held_out=None
    )
    with self.assertRaisesRegex(ValueError, "as many golden"):
      surrogate.save(self.path, measured)
    surrogate.save(self.path, measured.replace(card=card))
    loaded = surrogate.load_surrogate(self.path, name="mine", space=space)
    self.assertEqual(loaded.card, card)
    got, expected = (b.query(jnp.asarray(archs)) for b in (loaded, measured))
    np.testing.assert_array_equal(
      got["valid_accuracy"], expected["valid_accuracy"]
    )
    other = dataclasses.replace(card, encoding="nasbench301")
    with self.assertRaisesRegex(ValueError, "features, got 56"):
      surrogate.save(self.path, measured.replace(card=other))

  def test_a_card_is_static(self):
    """Oracle: hashable, so a benchmark may be an argument of jit."""
    benchmark, _ = make_benchmark(darts.darts(), "options")
    twin = dataclasses.replace(benchmark.card)
    self.assertEqual(hash(twin), hash(benchmark.card))


if __name__ == "__main__":
  absltest.main()
