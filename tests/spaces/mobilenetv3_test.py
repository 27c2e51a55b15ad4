"""Tests of nagjax.spaces.mobilenetv3: names, encodings, sampling, graphs."""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax.networks import gcn
from nagjax.spaces import mobilenetv3
from tests import data

LATENCIES = "ofa_mbv3_latency.npz"
TYPES = [(k, e) for k in (3, 5, 7) for e in (3, 4, 6)]
COLUMNS = "3-3 3-4 3-6 5-3 5-4 5-6 7-3 7-4 7-6".split()

# A network of the paper's authors (LG G8, 24 ms), in four forms.
COMPACT = "33,33 · 74,53,33 · 56,54,53 · 34,74,53 · 56,76,36,34"
STRING = (
  "2-3-3_2-3-3_0-0-0_0-0-0_3-7-4_3-5-3_3-3-3_0-0-0_3-5-6_3-5-4_3-5-3_0-0-0_"
  "3-3-4_3-7-4_3-5-3_0-0-0_4-5-6_4-7-6_4-3-6_4-3-4"
)
VECTOR = (0, 0, 9, 9, 7, 3, 0, 9, 5, 4, 3, 9, 1, 7, 3, 9, 5, 8, 2, 1)
OFA = {
  "d": [2, 3, 3, 3, 4],
  "ks": [3, 3, 3, 3, 7, 5, 3, 3, 5, 5, 5, 3, 3, 7, 5, 3, 5, 7, 3, 3],
  "e": [3, 3, 3, 3, 4, 3, 3, 3, 6, 4, 3, 3, 4, 4, 3, 3, 6, 6, 6, 4],
}


def space():
  return mobilenetv3.mobilenetv3()


@functools.cache
def samples():
  sample = jax.jit(space().sample, static_argnums=1)
  return np.asarray(sample(jax.random.key(0), 2000))


@functools.cache
def random_vectors():
  """Uniformly random vectors, architectures or not."""
  rng = np.random.default_rng(0)
  return rng.integers(0, space().cardinalities, (2000, 20)).astype(np.int32)


def is_architecture(arch):
  """The rule of the module's docstring, in plain Python."""
  stages = [list(arch[i : i + 4]) for i in range(0, 20, 4)]
  return all(
    sorted(stage, key=lambda t: t == 9) == stage
    and sum(t != 9 for t in stage) >= 2
    for stage in stages
  )


def layers_of(arch):
  """Indices of the layers that exist."""
  return [i for i, t in enumerate(arch) if t != 9]


class NameTest(parameterized.TestCase):
  def test_four_forms_of_one_network(self):
    """Oracle: written by hand from the published configuration."""
    np.testing.assert_array_equal(mobilenetv3.from_compact(COMPACT), VECTOR)
    np.testing.assert_array_equal(mobilenetv3.from_string(STRING), VECTOR)
    np.testing.assert_array_equal(mobilenetv3.from_ofa(OFA), VECTOR)
    self.assertEqual(mobilenetv3.from_ofa(OFA).dtype, np.int32)
    self.assertEqual(mobilenetv3.to_compact(VECTOR), COMPACT)
    self.assertEqual(space().to_string(VECTOR), STRING)
    self.assertEqual(mobilenetv3.to_ofa(VECTOR), OFA)

  def test_strings_of_samples(self):
    """Oracle: a construction layer by layer, and the way back."""
    for arch in samples()[:200]:
      names = []
      for start in range(0, 20, 4):
        stage = arch[start : start + 4]
        depth = sum(t != 9 for t in stage)
        names += [f"{depth}-{COLUMNS[t]}" if t < 9 else "0-0-0" for t in stage]
      self.assertEqual(mobilenetv3.to_string(arch), "_".join(names))
      for write, read in (
        (mobilenetv3.to_string, mobilenetv3.from_string),
        (mobilenetv3.to_ofa, mobilenetv3.from_ofa),
        (mobilenetv3.to_compact, mobilenetv3.from_compact),
        (mobilenetv3.to_stages, mobilenetv3.from_stages),
      ):
        np.testing.assert_array_equal(read(write(arch)), arch)

  def test_unused_layers_of_a_configuration_are_not_read(self):
    """Oracle: the network without them; numpy values and other entries too."""
    other = {name: np.asarray(values) for name, values in OFA.items()}
    other["ks"][[2, 3, 7]] = 7
    other["e"][[2, 3, 7]] = (6, 0, -1)
    found = mobilenetv3.from_ofa({**other, "r": 224, "wid": None})
    np.testing.assert_array_equal(found, VECTOR)

  @parameterized.parameters(
    ("", "5 stages"),
    (STRING[:-6], "looks like"),
    (STRING + "_0-0-0", "got stages"),
    (STRING.replace("_", "+"), "looks like"),
    (STRING.replace("2-3-3", "4-3-3"), "looks like"),
    (STRING.replace("2-3-3_2-3-3_0-0-0", "2-3-3_0-0-0_2-3-3"), "looks like"),
    (STRING.replace("4-5-6", "4-9-6"), r"kernels.*\(9, 6\)"),
    (STRING.replace("2-3-3_2-3-3", "1-3-3_0-0-0"), r"\[1, 3, 3, 3, 4\]"),
  )
  def test_strings_of_no_architecture(self, text, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      mobilenetv3.from_string(text)

  @parameterized.parameters(
    ("33,33", r"stages of \[2\]"),
    ("33,3 · 33,33 · 33,33 · 33,33 · 33,33", "looks like.*33,3 ·"),
    (COMPACT.replace("76", "75"), r"\(7, 5\)"),
    (COMPACT.replace("·", ";"), "looks like"),
  )
  def test_texts_of_no_architecture(self, text, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      mobilenetv3.from_compact(text)

  @parameterized.parameters(
    (dict(d=None), "'d': 5.*got {'ks': 20, 'e': 20}"),
    (dict(ks=[3] * 19), "got .*'ks': 19"),
    (dict(d=[2, 3, 4, 4, 5]), r"\(2, 3, 4\), got \[2, 3, 4, 4, 5\]"),
    (dict(e=[5] * 20), "expansions"),
  )
  def test_configurations_of_no_architecture(self, changes, message):
    """Oracle: the documented ValueErrors."""
    config = {**OFA, **changes}
    config = {name: v for name, v in config.items() if v is not None}
    with self.assertRaisesRegex(ValueError, message):
      mobilenetv3.from_ofa(config)

  @parameterized.parameters(
    ([0] * 19,), ([9, 0, 9, 9] * 5,), ([0, 0, 9, 1] * 5,), ([0, 0, 10, 9] * 5,)
  )
  def test_vectors_of_no_architecture_have_no_name(self, vector):
    """Oracle: the documented ValueError."""
    for write in (mobilenetv3.to_string, mobilenetv3.to_ofa):
      with self.assertRaisesRegex(
        ValueError, "A MobileNetV3 vector is 5 times"
      ):
        write(vector)

  @data.needs_table(LATENCIES)
  def test_networks_of_the_latency_table(self):
    """Oracle: the file's columns, read back through the vector and string."""
    ks, e, d = (c.tolist() for c in data.read_table(LATENCIES, "ks", "e", "d"))
    for row in range(500):
      arch = mobilenetv3.from_ofa({"d": d[row], "ks": ks[row], "e": e[row]})
      arch = mobilenetv3.from_string(mobilenetv3.to_string(arch))
      config = mobilenetv3.to_ofa(arch)
      self.assertEqual(config["d"], d[row])
      for layer in layers_of(arch):
        self.assertEqual(config["ks"][layer], ks[row][layer])
        self.assertEqual(config["e"][layer], e[row][layer])


class ValidityTest(parameterized.TestCase):
  def test_sizes(self):
    """Oracle: (9^2 + 9^3 + 9^4)^5, more than two words can name."""
    self.assertEqual(space().num_architectures, (81 + 729 + 6561) ** 5)
    self.assertGreater(space().num_architectures, 2**64)
    self.assertFalse(space().enumerable)
    self.assertEqual(space().cardinalities, (9, 9, 10, 10) * 5)

  def test_validity_of_random_vectors(self):
    """Oracle: plain Python; a share of (7371 / 8100)^5 = 0.624 is valid."""
    vectors = random_vectors()
    found = np.asarray(jax.jit(space().is_valid)(vectors))
    expected = [is_architecture(vector) for vector in vectors.tolist()]
    np.testing.assert_array_equal(found, expected)
    self.assertAlmostEqual(found.mean(), 0.624, delta=0.04)
    self.assertFalse(space().is_valid(jnp.asarray([0, 0, 9, 10] * 5)))
    self.assertFalse(space().is_valid(jnp.asarray([0, 9, 0, 0] * 5)))

  def test_neighbors_and_mutations(self):
    """Oracle: counted by hand; all single changes by brute force."""
    # In a stage of depth 2, layer 3 may come: 9. Of depth 3, layer 3 may change
    # or go, and layer 4 may come: 9 + 9. Of depth 4, layer 3 may change, and
    # layer 4 may change or go: 8 + 9. Layers 1 and 2 may change: 16.
    expected = sum(16 + more for more in (9, 18, 18, 18, 17))
    found, valid = jax.jit(space().neighbors)(jnp.asarray(VECTOR))
    self.assertEqual(found.shape, (5 * (8 + 8 + 9 + 9), 20))
    self.assertEqual(int(jnp.sum(valid)), expected)
    draws = jax.random.uniform(jax.random.key(0), (4000, 2))
    parents = jnp.broadcast_to(jnp.asarray(VECTOR), (4000, 20))
    children = np.asarray(jax.jit(space().mutate)(parents, draws))
    self.assertTrue(np.all((children != parents).sum(1) == 1))
    self.assertTrue(all(map(is_architecture, children.tolist())))
    self.assertLen(np.unique(children, axis=0), expected)

  def test_keys_of_samples_are_different(self):
    """Oracle: as many keys as vectors, with all neighbors of some."""
    around, _ = jax.jit(space().neighbors)(samples()[:50])
    archs = np.concatenate([samples(), np.asarray(around).reshape(-1, 20)])
    keys = np.asarray(jax.jit(space().keys)(archs))
    self.assertLen(np.unique(keys, axis=0), len(np.unique(archs, axis=0)))

  def test_nothing_is_canonicalized(self):
    """Oracle: the documented identity."""
    np.testing.assert_array_equal(space().canonicalize(samples()), samples())


class SampleTest(parameterized.TestCase):
  def test_digits_number_all_stages_once(self):
    """Oracle: brute force over the 9 * 9 * 10 * 10 vectors of a stage."""
    digits = np.asarray(list(itertools.product(range(9), range(9), range(91))))
    found = mobilenetv3.from_digits(jnp.asarray(digits[:, None]))
    everything = itertools.product(range(9), range(9), range(10), range(10))
    expected = {stage for stage in everything if is_architecture(stage * 5)}
    self.assertLen(expected, 7371)
    self.assertEqual({*map(tuple, found.tolist())}, expected)
    self.assertEqual(found.dtype, jnp.int32)

  def test_samples_are_uniform(self):
    """Oracle: chi-square of depths, joint depths and types; fixed seed."""
    sample = jax.jit(space().sample, static_argnums=1)
    archs = np.asarray(sample(jax.random.key(1), 60_000))
    self.assertTrue(np.all(jax.jit(space().is_valid)(archs)))
    depths = (archs.reshape(-1, 5, 4) != 9).sum(-1)
    share = np.asarray([81, 729, 6561]) / 7371
    for stage in range(5):
      counts = np.bincount(depths[:, stage] - 2, minlength=3)
      self.assertGreater(stats.chisquare(counts, 60_000 * share).pvalue, 1e-3)
    pairs = np.bincount((depths[:, 0] - 2) * 3 + depths[:, 4] - 2, minlength=9)
    joint = 60_000 * np.outer(share, share).ravel()
    self.assertGreater(stats.chisquare(pairs, joint).pvalue, 1e-3)
    for layer in range(20):
      counts = np.bincount(archs[:, layer], minlength=10)[:9]
      self.assertGreater(stats.chisquare(counts).pvalue, 1e-3)

  def test_same_key_same_architectures(self):
    """Oracle: repetition; another key gives others."""
    sample = jax.jit(space().sample, static_argnums=1)
    again = np.asarray(sample(jax.random.key(0), 2000))
    np.testing.assert_array_equal(again, samples())
    other = np.asarray(sample(jax.random.key(2), 2000))
    self.assertTrue(np.any(other != again))


class FeatureTest(parameterized.TestCase):
  def test_matrices_of_samples(self):
    """Oracle: DiffusionNAG's matrix, filled entry by entry; the way back."""
    archs = samples().reshape(40, 50, 20)
    features = np.asarray(jax.jit(space().to_features)(archs))
    self.assertEqual(features.shape, (40, 50, *space().feature_shape))
    for arch, matrix in zip(samples()[:50], features[0], strict=True):
      expected = np.zeros((20, 9))
      for layer in layers_of(arch):
        kernel, expansion = TYPES[arch[layer]]
        expected[layer, COLUMNS.index(f"{kernel}-{expansion}")] = 1
      np.testing.assert_array_equal(matrix, expected)
    back, valid = jax.jit(space().from_features)(features)
    np.testing.assert_array_equal(back, archs)
    self.assertTrue(np.all(valid))

  def test_disturbed_matrices(self):
    """Oracle: arg-max in numpy where an entry reaches 0.5."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.7, 0.7, (2000, 20, 9))
    features = np.float32(np.asarray(space().to_features(samples())) + noise)
    archs, valid = jax.jit(space().from_features)(features)
    expected = features.argmax(-1)
    expected[(features < 0.5).all(-1)] = 9
    np.testing.assert_array_equal(archs, expected)
    np.testing.assert_array_equal(valid, [is_architecture(a) for a in expected])
    self.assertBetween(np.mean(valid), 0.01, 0.99)

  def test_the_threshold_belongs_to_one(self):
    """Oracle: written by hand."""
    below = float(np.nextafter(np.float32(0.5), 0))
    found = mobilenetv3.quantize(jnp.asarray([-1.0, below, 0.5, 2.0, jnp.nan]))
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 0])
    features = np.zeros((20, 9), np.float32)
    features[:, 4], features[3::4, 4] = 0.5, below
    archs, valid = mobilenetv3.from_features(jnp.asarray(features))
    np.testing.assert_array_equal(archs, [4, 4, 4, 9] * 5)
    self.assertTrue(valid)

  def test_published_error_codes(self):
    """Oracle: the three checks in order, in plain Python, all codes seen."""
    matrices = np.array(space().to_features(samples()[:600]))
    rng = np.random.default_rng(1)
    for matrix in matrices[150:]:
      matrix[rng.integers(20)] = 0  # Some layer is absent.
    for matrix in matrices[500:]:
      matrix[rng.integers(20)] = 1  # Some layer has all types.

    def code(matrix):
      sums = matrix.sum(-1)
      if any(s > 1 for s in sums):
        return 1
      if any(sums[i] == 0 for i in range(20) if i % 4 < 2):
        return 2
      return 3 * any(sums[i] == 0 < sums[i + 1] for i in range(2, 20, 4))

    found = np.asarray(jax.jit(mobilenetv3.published_validity)(matrices))
    np.testing.assert_array_equal(found, [code(m) for m in matrices])
    self.assertEqual({*found.tolist()}, {0, 1, 2, 3})
    _, valid = space().from_features(jnp.asarray(matrices))
    np.testing.assert_array_equal(valid[found != 1], found[found != 1] == 0)

  def test_stage_positions_and_the_chain(self):
    """Oracle: written from DiffusionNAG's description."""
    expected = [layer % 4 for layer in range(20)]
    self.assertEqual(list(mobilenetv3.POSITIONS), expected)
    chain = np.zeros((20, 20))
    for layer in range(19):
      chain[layer, layer + 1] = 1
    np.testing.assert_array_equal(mobilenetv3.chain_adjacency(), chain)


class EdnagFeatureTest(parameterized.TestCase):
  def test_matrices_of_samples(self):
    """Oracle: EDNAG's columns, filled entry by entry; the way back."""
    columns = ["input", "output", *COLUMNS, "none"]
    features = np.asarray(jax.jit(mobilenetv3.to_ednag_features)(samples()))
    self.assertEqual(features.shape, (2000, 22, 12))
    for arch, matrix in zip(samples()[:50], features[:50], strict=True):
      names = [COLUMNS[t] if t < 9 else "none" for t in arch]
      expected = [columns.index(n) for n in ["input", *names, "output"]]
      np.testing.assert_array_equal(matrix, np.eye(12)[expected])
    back, valid = jax.jit(mobilenetv3.from_ednag_features)(features)
    np.testing.assert_array_equal(back, samples())
    self.assertTrue(np.all(valid))

  def test_random_matrices(self):
    """Oracle: EDNAG's validity and the layers in order, in plain Python."""
    rng = np.random.default_rng(2)
    columns = rng.choice([*range(2, 11), 11, 11, 11, 11], (1000, 22))
    columns[:, 0], columns[:, -1] = 0, 1
    columns[800:, rng.integers(0, 22, 1)] = 1
    columns[900:, 5] = 0
    values = rng.normal(size=(1000, 22, 12)).astype(np.float32)
    np.put_along_axis(values, columns[..., None], 9.0, axis=-1)
    archs, valid = jax.jit(mobilenetv3.from_ednag_features)(values)
    for column, arch, ok in zip(columns, np.asarray(archs), valid, strict=True):
      inner = column[1:-1]
      stages = [[t for t in s if t != 11] for s in inner.reshape(5, 4)]
      expected = (
        column[0] == 0
        and column[-1] == 1
        and not np.any(inner < 2)
        and all(len(stage) >= 2 for stage in stages)
      )
      self.assertEqual(ok, expected)
      if expected:
        found = [[t + 2 for t in s if t != 9] for s in arch.reshape(5, 4)]
        self.assertEqual(found, stages)
        self.assertTrue(is_architecture(arch))
    self.assertBetween(np.mean(valid), 0.05, 0.95)


class GraphTest(parameterized.TestCase):
  def test_graphs_of_samples(self):
    """Oracle: a chain built node by node, for batches of any rank."""
    archs = samples()[:120].reshape(3, 40, 20)
    graph = jax.jit(space().to_graph)(archs)
    self.assertEqual((space().num_nodes, space().num_labels), (22, 11))
    self.assertEqual(graph.nodes.shape, (3, 40, 22, 11))
    nodes = np.asarray(graph.nodes).reshape(120, 22, 11)
    edges = np.asarray(graph.adjacency).reshape(120, 22, 22)
    for arch, labels, adjacency in zip(
      samples()[:120], nodes, edges, strict=True
    ):
      existing = layers_of(arch)
      expected = np.zeros((22, 11))
      expected[0, 0] = expected[21, 10] = 1
      for layer in existing:
        name = COLUMNS[arch[layer]]
        expected[1 + layer, mobilenetv3.GRAPH_LABELS.index(name)] = 1
      np.testing.assert_array_equal(labels, expected)
      chain = [0, *(1 + layer for layer in existing), 21]
      expected = np.zeros((22, 22))
      for pair in itertools.pairwise(chain):
        expected[pair] = 1
      np.testing.assert_array_equal(adjacency, expected)

  def test_soft_graphs_are_mixtures(self):
    """Oracle: for architectures that differ in one variable, their mean."""
    archs = samples()
    to_graph, to_soft_graph = map(
      jax.jit, (space().to_graph, space().to_soft_graph)
    )
    for variable in range(20):
      pair = np.stack([archs[variable]] * 2)
      # Layers 3 and 4 come or go.
      other = 9 if variable % 4 >= 2 and pair[0, variable] != 9 else 0
      pair[1, variable] = 1 if other == pair[0, variable] else other
      options, graphs = np.eye(10, dtype=np.float32)[pair], to_graph(pair)
      soft = to_soft_graph(0.25 * options[0] + 0.75 * options[1])
      for mixed, ends in zip(soft, graphs, strict=True):
        np.testing.assert_allclose(mixed, 0.25 * ends[0] + 0.75 * ends[1])

  def test_free_edges(self):
    """Oracle: written by hand for one stage, whose nodes are 1..4; 5 is next.

    All options of all layers: 9 types exist, and none once.
    """
    adjacency = np.asarray(space().to_soft_graph(jnp.ones((20, 10))).adjacency)
    edges = {(0, 1): 1, (1, 2): 1, (2, 3): 9, (3, 4): 81}
    edges |= {(2, 4): 9, (2, 5): 1, (3, 5): 9, (4, 5): 9}
    expected = np.zeros((6, 6))
    for edge, weight in edges.items():
      expected[edge] = weight
    np.testing.assert_array_equal(adjacency[:6, :6], expected)
    np.testing.assert_array_equal(adjacency, np.triu(np.tril(adjacency, 3), 1))

  def test_absent_layers_do_not_count_in_a_network(self):
    """Oracle: the same chain of nodes, with its gaps moved elsewhere.

    Networks of 14 layers of one type are one chain, whichever stages lack some.
    """
    deep, flat = [0] * 4, [0, 0, 9, 9]
    archs = jnp.asarray([deep * 2 + flat * 3, flat * 3 + deep * 2])
    network = gcn.gcn(space().num_nodes, space().num_labels)

    @jax.jit
    def predict(archs):
      params = network.init(jax.random.key(0))
      return network.apply(params, space().to_graph(archs))

    first, second = predict(archs)
    np.testing.assert_allclose(first, second, rtol=1e-5)


if __name__ == "__main__":
  absltest.main()
