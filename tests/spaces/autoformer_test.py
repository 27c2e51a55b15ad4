"""Tests of nagjax.spaces.autoformer: names, encodings, sampling, graphs."""

import functools
import itertools
import json

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import registry
from nagjax.spaces import autoformer

SMALL = autoformer.SPACES["small32"]
# Two embeddings, one to three layers of two types; 2 is none.
LITTLE = autoformer.Choices((8, 16), (1, 2, 3), (2.0,), (1, 2))
CONFIG = {
  "layer_num": 13,
  "mlp_ratio": [3.5, 4.0] * 6 + [4.0],
  "num_heads": [3] * 10 + [4, 3, 3],
  "embed_dim": [216] * 13,
}
VECTOR = (1, *(0, 2) * 5, 1, 2, 2, 4)


@functools.cache
def samples():
  space = autoformer.small32()
  draw = jax.jit(space.sample, static_argnums=1)
  return np.asarray(draw(jax.random.key(0), 20_000))


def is_architecture(arch, choices=SMALL):
  """The rule of the module's docstring, in plain Python."""
  missing = [t == choices.none for t in arch[1:]]
  least = choices.depths[0]
  return not any(missing[:least]) and missing == sorted(missing)


class NameTest(parameterized.TestCase):
  @parameterized.parameters(
    ("tiny", 15, 3 * (4**12 + 4**13 + 4**14)),
    ("small", 15, 3 * (9**12 + 9**13 + 9**14)),
    ("base", 17, 3 * (6**14 + 6**15 + 6**16)),
    ("small32", 6, 4 * (9 + 9**2 + 9**3 + 9**4 + 9**5)),
  )
  def test_sizes(self, size, length, num):
    """Oracle: products of the published options by depth."""
    space = registry.make_space(f"autoformer/{size}")
    self.assertIs(space, autoformer.autoformer(size))
    self.assertEqual(space.num_variables, length)
    self.assertEqual(space.num_architectures, num)

  def test_official_configuration(self):
    """Oracle: written by hand; JSON in another order of entries."""
    space = autoformer.tiny()
    choices = autoformer.SPACES["tiny"]
    self.assertEqual(autoformer.to_config(choices, VECTOR), CONFIG)
    np.testing.assert_array_equal(
      autoformer.from_config(choices, CONFIG), VECTOR
    )
    one = {**CONFIG, "embed_dim": 216, "other": "entry"}
    np.testing.assert_array_equal(autoformer.from_config(choices, one), VECTOR)
    text = json.dumps(dict(reversed(CONFIG.items())))
    np.testing.assert_array_equal(space.from_string(text), VECTOR)
    self.assertEqual(json.loads(space.to_string(VECTOR)), CONFIG)

  def test_strings_of_samples(self):
    """Oracle: the way back."""
    space = autoformer.small32()
    for arch in samples()[:50]:
      again = space.from_string(space.to_string(arch))
      np.testing.assert_array_equal(again, arch)

  @parameterized.parameters(
    ("", "written like"),
    ("[]", "written like"),
    ('{"layer_num": 3}', "got none of mlp_ratio, num_heads, embed_dim"),
    (json.dumps(CONFIG), "1, 2, 3, 4, 5 layers"),
    (
      '{"layer_num": 3, "mlp_ratio": [1, 2, 3], "num_heads": [2, 2, 2],'
      ' "embed_dim": 16}',
      r"ratios of 0.5, 1.0, 2.0 and 1, 2, 3 heads, got \(3.0, 2\)",
    ),
    (
      '{"layer_num": 3, "mlp_ratio": [1, 2, 2], "num_heads": [2, 2, 2],'
      ' "embed_dim": [16, 16, 48]}',
      r"embed_dim must be one of 8, 16, 32, 48 in all layers, got \[16, 48\]",
    ),
    (
      '{"layer_num": 3, "mlp_ratio": 1, "num_heads": [2], "embed_dim": 16}',
      "written like",
    ),
  )
  def test_strings_of_no_architecture(self, text, message):
    """Oracle: the documented ValueErrors, of one line."""
    with self.assertRaisesRegex(ValueError, message) as raised:
      autoformer.small32().from_string(text)
    self.assertNotIn("\n", str(raised.exception))

  @parameterized.parameters(
    ([0] * 5,), ([0, 9, 0, 0, 0, 0],), ([0, 0, 0, 0, 9, 0],), ([4] * 6,)
  )
  def test_vectors_of_no_architecture(self, vector):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "A vector is an embedding"):
      autoformer.to_config(SMALL, vector)

  def test_no_other_size(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "tiny, small, base, small32, got"):
      autoformer.autoformer("huge")


class VectorTest(parameterized.TestCase):
  def test_validity_of_every_vector(self):
    """Oracle: plain Python over all vectors, and beyond them."""
    vectors = [*itertools.product(range(2), range(3), range(4), range(4))]
    found = autoformer.is_valid(LITTLE, jnp.asarray(vectors))
    expected = [is_architecture(v, LITTLE) and max(v[1:]) < 3 for v in vectors]
    np.testing.assert_array_equal(found, expected)
    self.assertEqual(sum(expected), 2 * (2 + 4 + 8))

  def test_samples_are_uniform(self):
    """Oracle: chi-square of depths and of options; fixed seed."""
    archs = samples()
    self.assertTrue(all(map(is_architecture, archs[:500].tolist())))
    self.assertTrue(autoformer.is_valid(SMALL, archs).all())
    depths = np.asarray(autoformer.depth_of(SMALL, archs))
    share = 9.0 ** np.arange(5)
    share = share / share.sum()
    counts = np.bincount(depths - 1, minlength=5)
    self.assertGreater(stats.chisquare(counts, 20_000 * share).pvalue, 1e-3)
    for variable, num in enumerate((4, 9, 9, 9, 9, 9)):
      column = archs[:, variable]
      counts = np.bincount(column[column < num], minlength=num)
      self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_mutations_are_other_architectures(self):
    """Oracle: plain Python; one variable changed."""
    space = autoformer.small32()
    uniform = jax.random.uniform(jax.random.key(1), (500, 2))
    changed = np.asarray(jax.jit(space.mutate)(samples()[:500], uniform))
    self.assertTrue(all(map(is_architecture, changed.tolist())))
    np.testing.assert_array_equal(np.sum(changed != samples()[:500], axis=1), 1)


class FeatureTest(parameterized.TestCase):
  def test_matrices_of_samples(self):
    """Oracle: filled entry by entry; the way back."""
    space = autoformer.small32()
    archs = samples()[:200].reshape(4, 50, 6)
    features = np.asarray(jax.jit(space.to_features)(archs))
    self.assertEqual(features.shape, (4, 50, 6, 10))
    for arch, matrix in zip(archs[0], features[0], strict=True):
      np.testing.assert_array_equal(matrix, np.eye(10)[arch])
    back, valid = jax.jit(space.from_features)(features)
    np.testing.assert_array_equal(back, archs)
    self.assertTrue(np.all(valid))

  def test_random_matrices(self):
    """Oracle: the layers that exist in order, in plain Python."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1000, 4, 3)).astype(np.float32)
    archs, valid = autoformer.from_features(LITTLE, jnp.asarray(features))
    rows = zip(features, np.asarray(archs), np.asarray(valid), strict=True)
    for matrix, arch, ok in rows:
      layers = [t for t in matrix[1:].argmax(-1).tolist() if t != 2]
      self.assertEqual(ok, bool(layers))
      expected = (layers or [0]) + [2] * (3 - len(layers or [0]))
      self.assertEqual(arch.tolist(), [matrix[0, :2].argmax(), *expected])
    self.assertBetween(valid.mean(), 0.9, 0.999)


class GraphTest(parameterized.TestCase):
  def test_graphs_of_samples(self):
    """Oracle: a chain built node by node."""
    space = autoformer.small32()
    graph = jax.jit(space.to_graph)(samples()[:100])
    self.assertEqual((space.num_nodes, space.num_labels), (7, 4 + 9 + 1))
    rows = zip(samples()[:100], *map(np.asarray, graph), strict=True)
    for arch, nodes, adjacency in rows:
      layers = [i for i in range(1, 6) if arch[i] != 9]
      labels = np.zeros((7, 14))
      labels[0, arch[0]] = labels[6, 13] = 1
      labels[layers, 4 + arch[layers]] = 1
      np.testing.assert_array_equal(nodes, labels)
      edges = np.zeros((7, 7))
      for pair in itertools.pairwise([0, *layers, 6]):
        edges[pair] = 1
      np.testing.assert_array_equal(adjacency, edges)

  def test_soft_graphs_are_mixtures(self):
    """Oracle: for networks that differ in one variable, their mean."""
    pair = np.stack([samples()[0]] * 2)
    pair[:, 4:] = [[0, 9], [9, 9]]
    options = np.eye(10, dtype=np.float32)[pair]
    soft = autoformer.to_soft_graph(
      SMALL, 0.25 * options[0] + 0.75 * options[1]
    )
    for mixed, ends in zip(soft, autoformer.to_graph(SMALL, pair), strict=True):
      np.testing.assert_allclose(mixed, 0.25 * ends[0] + 0.75 * ends[1])


if __name__ == "__main__":
  absltest.main()
