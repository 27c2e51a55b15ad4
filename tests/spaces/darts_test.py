"""Tests of nagjax.spaces.darts: names, encodings, graphs."""

import itertools
import re

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import darts
from tests import data

OPERATIONS = (
  "max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 "
  "dil_conv_3x3 dil_conv_5x5"
).split()

# The cell that Liu et al. published, in the order of their program.
DARTS_V2 = (
  "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
  "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
  "('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
  "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
  "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
  "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
  "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
DARTS_V2_GENOTYPE = [
  [(0, 3), (1, 3), (0, 3), (1, 3), (0, 2), (1, 3), (0, 2), (2, 5)],
  [(0, 0), (1, 0), (1, 0), (2, 2), (0, 0), (2, 2), (1, 0), (2, 2)],
]
DARTS_V2_VECTOR = [3, 3, 3, 3, 2, 3, 2, 5, 0, 0, 1]
DARTS_V2_VECTOR += [0, 0, 0, 2, 0, 2, 0, 2, 2, 1, 4]


def space():
  return darts.darts()


def samples(num=40):
  return space().sample(jax.random.key(0), num)


def graph_of(genotype):
  """Labels and adjacency from the definition, one edge at a time."""
  labels, edges = np.zeros((22, 9)), np.zeros((22, 22))
  for cell in (0, 1):
    at = 11 * cell
    labels[[at, at + 1], 0] = labels[at + 10, 8] = 1
    rows = {0: [at], 1: [at + 1]}
    for node in range(2, 6):
      rows[node] = [at + 2 * node - 2, at + 2 * node - 1]
      for slot in (0, 1):
        source, op = genotype[cell][2 * (node - 2) + slot]
        labels[rows[node][slot], 1 + op] = 1
        for row in rows[int(source)]:
          edges[row, rows[node][slot]] = 1
        edges[rows[node][slot], at + 10] = 1
  edges[10, 11] = edges[10, 12] = 1
  return labels, edges


def text_of(genotype):
  """The text, from the definition."""
  cells = [
    ", ".join(f"('{OPERATIONS[op]}', {source})" for source, op in cell)
    for cell in genotype
  ]
  return (
    f"Genotype(normal=[{cells[0]}], normal_concat=range(2, 6), "
    f"reduce=[{cells[1]}], reduce_concat=range(2, 6))"
  )


class NameTest(parameterized.TestCase):
  def test_the_published_cell(self):
    """Oracle: genotypes.py of the DARTS program, by hand."""
    arch = darts.from_string(DARTS_V2)
    np.testing.assert_array_equal(arch, DARTS_V2_VECTOR)
    self.assertEqual(arch.dtype, np.int32)
    np.testing.assert_array_equal(darts.to_genotype(arch), DARTS_V2_GENOTYPE)
    self.assertEqual(darts.to_string(arch), text_of(DARTS_V2_GENOTYPE))

  def test_strings_and_genotypes_of_samples_come_back(self):
    """Oracle: the definition of the text; round trips of random vectors."""
    for arch in np.asarray(samples()):
      genotype = darts.to_genotype(arch)
      self.assertEqual(darts.to_string(arch), text_of(genotype))
      np.testing.assert_array_equal(darts.from_string(text_of(genotype)), arch)
      np.testing.assert_array_equal(darts.from_genotype(genotype), arch)

  def test_the_size_of_the_space(self):
    """Oracle: brute force over pairs of sources; 7^8 operations a cell."""
    pairs = [list(itertools.combinations(range(n), 2)) for n in (2, 3, 4, 5)]
    topologies = list(itertools.product(*pairs))
    self.assertEqual(space().num_architectures, (7**8 * len(topologies)) ** 2)
    self.assertTrue(space().every_vector_valid)
    self.assertFalse(space().enumerable)
    found = {
      tuple(darts.to_genotype([0] * 8 + list(t) + [0] * 11)[0, :, 0])
      for t in itertools.product(range(3), range(6), range(10))
    }
    self.assertEqual(found, {tuple(sum(t, ())) for t in topologies})

  def test_topology_marks_the_pairs(self):
    """Oracle: variables that do not have seven options."""
    np.testing.assert_array_equal(
      space().topology, np.asarray(space().cardinalities) != 7
    )

  def test_keys_name_architectures(self):
    """Oracle: mixed-radix numbers of the two cells."""
    archs = np.asarray(samples(200))
    strides = np.cumprod([1, *space().cardinalities[:10]])
    expected = archs.reshape(-1, 2, 11) @ strides
    np.testing.assert_array_equal(space().keys(jnp.asarray(archs)), expected)

  @parameterized.parameters(
    ("sep_conv_3x3', 0)", "sep_conv_7x7', 0)", "sep_conv_7x7"),
    ("('sep_conv_3x3', 0), ", "", "normal cell must have 8"),
    ("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)", "Node 5 .* 0..4"),
    ("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)", "two different sources"),
    ("[2, 3, 4, 5]", "range(2, 5)", "looks like"),
    ("Genotype", "eval", "looks like"),
    ("('max_pool_3x3', 0), ('max_pool_3x3', 1), ", "", "reduce cell must"),
  )
  def test_other_texts_are_refused(self, old, new, message):
    """Oracle: the documented ValueError says what is wrong."""
    self.assertIn(old, DARTS_V2)
    with self.assertRaisesRegex(ValueError, message):
      darts.from_string(DARTS_V2.replace(old, new, 1))

  def test_other_genotypes_are_refused(self):
    """Oracle: the documented ValueError."""
    good = np.asarray(DARTS_V2_GENOTYPE)
    for index, value, message in (
      ((0, 0, 1), 7, "0..6, got 7"),
      ((0, 0, 1), -1, "0..6, got -1"),
      ((1, 3, 0), 3, "Node 3 of the reduce cell"),
      ((1, 3, 0), -1, "Node 3 of the reduce cell"),
    ):
      wrong = good.copy()
      wrong[index] = value
      with self.assertRaisesRegex(ValueError, re.escape(message)):
        darts.from_genotype(wrong)
    with self.assertRaisesRegex(ValueError, "shape"):
      darts.from_genotype(good[0])

  @data.needs_table("nb301_subset.npz")
  def test_genotypes_of_the_real_table_come_back(self):
    """Oracle: the file's 1,218 genotypes, through vector and text."""
    (genotypes,) = data.read_table("nb301_subset.npz", "genotype")
    archs = np.stack([darts.from_genotype(g) for g in genotypes])
    self.assertTrue(np.all(space().is_valid(jnp.asarray(archs))))
    self.assertLen(np.unique(archs, axis=0), len(np.unique(genotypes, axis=0)))
    for arch, genotype in zip(archs, genotypes, strict=True):
      ordered = [
        sorted(map(tuple, cell[i : i + 2].tolist()))
        for cell in genotype
        for i in range(0, 8, 2)
      ]
      expected = np.reshape(ordered, (2, 8, 2))
      np.testing.assert_array_equal(darts.to_genotype(arch), expected)
      np.testing.assert_array_equal(
        darts.from_string(darts.to_string(arch)), arch
      )


class FeatureTest(parameterized.TestCase):
  def test_features_decode_to_their_architecture(self):
    """Oracle: round trip in a batch of rank two, inside jit."""
    archs = samples(12).reshape(3, 4, 22)
    features = jax.jit(darts.to_features)(archs)
    self.assertEqual(features.shape[2:], space().feature_shape)
    decoded, valid = jax.jit(darts.from_features)(features)
    np.testing.assert_array_equal(decoded, archs)
    self.assertTrue(np.all(valid))

  def test_every_matrix_decodes_to_an_architecture(self):
    """Oracle: NumPy arg-max over the options that a variable has."""
    x = np.random.default_rng(0).normal(size=(50, 22, 10)).astype(np.float32)
    archs, valid = darts.from_features(jnp.asarray(x))
    for i, num in enumerate(space().cardinalities):
      np.testing.assert_array_equal(archs[:, i], x[:, i, :num].argmax(-1))
    self.assertTrue(np.all(valid))
    self.assertTrue(np.all(space().is_valid(archs)))

  def test_configspace_names(self):
    """Oracle: the order of NAS-Bench-301's configspace.json, by hand."""
    names = darts.CONFIGSPACE_NAMES
    self.assertLen(set(names), 34)
    self.assertEqual(
      names[:6],
      (
        "edge_normal_0",
        "edge_normal_1",
        "edge_reduce_0",
        "edge_reduce_1",
        "inputs_node_normal_3",
        "inputs_node_normal_4",
      ),
    )
    self.assertEqual(
      names[10:16],
      (
        "edge_normal_10",
        "edge_normal_11",
        "edge_normal_12",
        "edge_normal_13",
        "edge_normal_2",
        "edge_normal_3",
      ),
    )

  def test_configspace_of_a_published_run(self):
    """Oracle: a configuration in NAS-Bench-301's repository."""
    config = {
      "edge_normal_0": "skip_connect",
      "edge_normal_1": "sep_conv_3x3",
      "edge_reduce_0": "max_pool_3x3",
      "edge_reduce_1": "avg_pool_3x3",
      "inputs_node_normal_3": "0_1",
      "inputs_node_normal_4": "0_2",
      "inputs_node_normal_5": "1_2",
      "inputs_node_reduce_3": "0_1",
      "inputs_node_reduce_4": "1_2",
      "inputs_node_reduce_5": "2_3",
      "edge_normal_10": "sep_conv_3x3",
      "edge_normal_11": "skip_connect",
      "edge_normal_2": "sep_conv_3x3",
      "edge_normal_3": "skip_connect",
      "edge_normal_5": "dil_conv_3x3",
      "edge_normal_7": "dil_conv_5x5",
      "edge_reduce_11": "sep_conv_3x3",
      "edge_reduce_12": "dil_conv_3x3",
      "edge_reduce_2": "skip_connect",
      "edge_reduce_3": "dil_conv_5x5",
      "edge_reduce_6": "sep_conv_3x3",
      "edge_reduce_7": "sep_conv_5x5",
    }
    arch = [2, 3, 3, 2, 5, 6, 3, 2, 0, 1, 4, 0, 1, 2, 6, 3, 4, 3, 5, 0, 3, 7]
    got = jax.jit(darts.to_configspace)(jnp.asarray([arch], jnp.int32))[0]
    for name, value in zip(darts.CONFIGSPACE_NAMES, got, strict=True):
      choices = OPERATIONS
      if name.startswith("inputs"):
        num = int(name[-1])
        choices = [f"{a}_{b}" for a, b in itertools.combinations(range(num), 2)]
      expected = choices.index(config[name]) if name in config else np.nan
      np.testing.assert_array_equal(value, expected, name)

  def test_configspace_of_samples(self):
    """Oracle: one edge at a time, from the genotype; batches of rank two."""
    archs = samples(12)
    got = darts.to_configspace(archs.reshape(3, 4, 22)).reshape(12, 34)
    self.assertEqual(got.dtype, jnp.float32)
    self.assertEqual(darts.to_configspace(archs[:0]).shape, (0, 34))
    start = [None, None, 0, 2, 5, 9]
    for arch, row in zip(np.asarray(archs), np.asarray(got), strict=True):
      expected = dict.fromkeys(darts.CONFIGSPACE_NAMES, np.nan)
      for c, cell in enumerate(("normal", "reduce")):
        for i, (source, op) in enumerate(darts.to_genotype(arch)[c]):
          expected[f"edge_{cell}_{start[2 + i // 2] + source}"] = op
        for n in (3, 4, 5):
          expected[f"inputs_node_{cell}_{n}"] = arch[11 * c + 5 + n]
      np.testing.assert_array_equal(row, list(expected.values()))

  def test_statistics_of_samples(self):
    """Oracle: plain Python, pair by pair; the longest way by recursion."""
    archs = samples(12)
    got = jax.jit(darts.to_statistics)(archs.reshape(3, 4, 22))
    expected = []
    for arch in np.asarray(archs):
      row = []
      for cell in darts.to_genotype(arch).tolist():

        def depth(node, cell=cell):
          pairs = cell[2 * node - 4 : 2 * node - 2] if node >= 2 else []
          return max([1 + depth(source) for source, _ in pairs], default=0)

        row += [sum(op == k for _, op in cell) for k in range(7)]
        row += [sum(op == k and s < 2 for s, op in cell) for k in range(7)]
        row += [sum(s == k for s, _ in cell) for k in range(5)]
        row += [depth(node) for node in range(2, 6)]
      expected.append(row)
    np.testing.assert_array_equal(got.reshape(12, 46), expected)


class GraphTest(parameterized.TestCase):
  def test_graphs_of_samples(self):
    """Oracle: a construction edge by edge from the genotype."""
    archs = samples().reshape(5, 8, 22)
    graph = jax.jit(space().to_graph)(archs)
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(40, 22, -1), graph)
    for i, arch in enumerate(np.asarray(samples())):
      labels, edges = graph_of(darts.to_genotype(arch))
      np.testing.assert_array_equal(flat.nodes[i], labels)
      np.testing.assert_array_equal(flat.adjacency[i], edges)
    self.assertEqual((space().num_nodes, space().num_labels), (22, 9))
    np.testing.assert_array_equal(flat.adjacency, np.triu(flat.adjacency, 1))

  def test_free_edges(self):
    """Oracle: the free entries of OptiProxy-NAS, columns 4..9 of a cell."""
    ones = jnp.asarray(
      [[float(k < n) for k in range(10)] for n in space().cardinalities]
    )
    reach = np.asarray(space().to_soft_graph(ones).adjacency)[:11, :11] > 0
    expected = np.zeros((11, 11), bool)
    expected[0, 2] = expected[1, 3] = True
    expected[2:10, 10] = True
    rows = {4: (0, 1), 5: (1, 3), 6: (0, 3), 7: (1, 5), 8: (0, 5), 9: (1, 7)}
    for column, (first, last) in rows.items():
      expected[first : last + 1, column] = True
    np.testing.assert_array_equal(reach, expected)

  def test_soft_graphs_are_mixtures(self):
    """Oracle: for architectures that differ in one variable, their mean."""
    for variable in range(22):
      archs = jnp.tile(samples(1), (2, 1))
      changed = (archs[0, variable] + 1) % space().cardinalities[variable]
      archs = archs.at[1, variable].set(changed)
      options, graphs = space().one_hot(archs), space().to_graph(archs)
      soft = space().to_soft_graph(0.25 * options[0] + 0.75 * options[1])
      for mixed, pair in zip(soft, graphs, strict=True):
        np.testing.assert_allclose(mixed, 0.25 * pair[0] + 0.75 * pair[1])

  def test_nothing_is_canonicalized(self):
    """Oracle: the documented identity."""
    np.testing.assert_array_equal(space().canonicalize(samples()), samples())


if __name__ == "__main__":
  absltest.main()
