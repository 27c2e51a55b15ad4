"""Tests of nagjax.spaces.nasbench_nlp: recipes, validity, graphs."""

import collections
import functools
import json

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.spaces import nasbench_nlp
from nagjax.spaces import nasbench_nlp_cells as cells
from tests import data

TABLE = "nbnlp_wikitext2.json"
EXAMPLES = "samples/nbnlp_recepies_example.json"

# Its nodes are not in the order of evaluation.
LSTM = {
  "h_new_0": {"op": "elementwise_prod", "input": ["c", "o_act"]},
  "c": {"op": "activation_tanh", "input": ["h_new_1"]},
  "i": {"op": "linear", "input": ["x", "h_prev_0"]},
  "i_act": {"op": "activation_sigm", "input": ["i"]},
  "o": {"op": "linear", "input": ["x", "h_prev_0"]},
  "o_act": {"op": "activation_sigm", "input": ["o"]},
  "kept": {"op": "elementwise_prod", "input": ["i_act", "h_prev_1"]},
  "h_new_1": {"op": "elementwise_sum", "input": ["kept", "i"]},
}
GRU = {
  "z": {"op": "linear", "input": ["x", "h_prev_0"]},
  "z_act": {"op": "activation_sigm", "input": ["z"]},
  "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "z"]},
}


def space():
  return nasbench_nlp.nasbench_nlp()


@functools.cache
def random_vectors(num=2000, seed=0):
  """Uniformly random vectors, cells or not."""
  rng = np.random.default_rng(seed)
  high = np.asarray(space().cardinalities)
  return rng.integers(0, high, (num, len(high))).astype(np.int32)


@functools.cache
def random_cells():
  sample = jax.jit(space().sample, static_argnums=1)
  return np.asarray(sample(jax.random.key(0), 60))


def nodes_of(arch):
  """All 21 nodes as (operation, read vertices), and the states' nodes."""
  arch = [int(value) for value in arch]
  num_states = arch[0] + 1
  nodes = []
  for node in range(21):
    name, arity = cells.OPERATIONS[arch[4 + node]]
    slots = arch[25 + 3 * node : 28 + 3 * node][:arity]
    slots = [1 + (v - 1) % num_states if v in (1, 2, 3) else v for v in slots]
    nodes.append((name, slots))
  return nodes, arch[1 : 1 + num_states]


def used_by(nodes, states):
  """Vertices that lead to a state, by walking from the states."""
  found, waiting = set(), [4 + state for state in states]
  while waiting:
    vertex = waiting.pop()
    if vertex not in found:
      found.add(vertex)
      waiting.extend(nodes[vertex - 4][1] if vertex >= 4 else ())
  return found


def is_cell(arch):
  """The rules of the module's docstring, in plain Python."""
  nodes, states = nodes_of(arch)
  used = used_by(nodes, states)
  inputs = [nodes[v - 4][1] for v in used if v >= 4]
  return (
    len(set(states)) == len(states)
    and all(len(set(slots)) == len(slots) for slots in inputs)
    and used.issuperset(range(1 + len(states)))
  )


def expressions(recipe):
  """Of every node its nested expression; equal multisets, equal recipes."""

  @functools.cache
  def write(name):
    if name not in recipe:
      return name
    op, inputs = recipe[name]["op"], map(write, recipe[name]["input"])
    inner = ",".join(inputs if op == "blend" else sorted(inputs))
    return f"{op}({inner})"

  return collections.Counter(
    (name if name.startswith("h_new_") and name[6:].isdigit() else "")
    + write(name)
    for name in recipe
  )


class RecipeTest(parameterized.TestCase):
  def assert_same_cell(self, recipe):
    arch = nasbench_nlp.from_recipe(recipe)
    back = nasbench_nlp.to_recipe(arch)
    self.assertEqual(expressions(back), expressions(recipe))
    read = set(cells.INPUTS)
    for name, node in back.items():  # Nodes come before their readers.
      self.assertTrue(read.issuperset(node["input"]))
      read.add(name)
    self.assertTrue(is_cell(arch))

  @parameterized.parameters((LSTM,), (GRU,))
  def test_recipes_of_known_cells(self, recipe):
    """Oracle: nested expressions of all nodes, in plain Python."""
    self.assert_same_cell(recipe)

  def test_a_vector_by_hand(self):
    """Oracle: the layout of the module's docstring."""
    arch = nasbench_nlp.from_recipe(GRU)
    self.assertEqual((arch.shape, arch.dtype), ((88,), np.int32))
    self.assertEqual(arch[:4].tolist(), [0, 2, 0, 0])
    self.assertEqual(arch[4:7].tolist(), [3, 1, 5])
    self.assertEqual(arch[25:34].tolist(), [0, 1, 0, 4, 0, 0, 5, 1, 4])
    self.assertFalse(arch[7:25].any() or arch[34:].any())

  def test_random_cells(self):
    """Oracle: nested expressions of all nodes."""
    for arch in random_cells():
      self.assert_same_cell(nasbench_nlp.to_recipe(arch))

  @data.needs_table(TABLE)
  def test_all_logged_recipes(self):
    """Oracle: nested expressions of all nodes of 345 real recipes."""
    logs = json.loads(data.table_path(TABLE).read_text())
    self.assertLen(logs, 345)
    for log in logs:
      self.assert_same_cell(log["recepie"])

  @data.needs_table(EXAMPLES)
  def test_all_example_recipes(self):
    """Oracle: nested expressions of all nodes."""
    for recipe in json.loads(data.table_path(EXAMPLES).read_text()):
      self.assert_same_cell(recipe)

  @parameterized.named_parameters(
    ("operation", {"z": {"op": "conv", "input": ["x"]}}, "'z' must be one of"),
    ("arity", {"z": {"op": "linear", "input": ["x"]}}, "linear of 2"),
    ("blend", {"z": {"op": "blend", "input": ["x", "h_prev_0"]}}, "'z' must"),
    ("name", {"z": {"op": "activation_tanh", "input": ["y"]}}, "'z' must"),
    ("twice", {"z": {"op": "linear", "input": ["x", "x"]}}, "different inputs"),
    ("text", {"z": {"op": "activation_tanh", "input": "x"}}, "'z' must"),
    ("list", {"z": {"op": "activation_tanh", "input": [["x"]]}}, "'z' must"),
    ("no_node", {"z": 3}, "'z' must"),
    ("x", {"x": {"op": "activation_tanh", "input": ["z"]}}, "'x' must"),
    (
      "cycle",
      {"z": {"op": "linear", "input": ["x", "z_act"]}},
      "wait for each other: z, z_act, h_new_0",
    ),
    (
      "state",
      {"h_new_2": {"op": "activation_tanh", "input": ["z"]}},
      "got h_new_0, h_new_2",
    ),
    (
      "other_state",
      {"z": {"op": "linear", "input": ["x", "h_prev_1"]}},
      "1 states must read h_prev_0, x .*got the inputs h_prev_0, h_prev_1, x",
    ),
    (
      "no_word",
      {"z": {"op": "activation_tanh", "input": ["h_prev_0"]}},
      "must read h_prev_0, x",
    ),
    (
      "many",
      {f"n{i}": {"op": "activation_tanh", "input": ["x"]} for i in range(19)},
      "1 to 21 nodes",
    ),
  )
  def test_what_is_no_recipe_is_refused(self, changes, message):
    """Oracle: the documented ValueError, of one change of a good recipe."""
    with self.assertRaisesRegex(ValueError, message):
      nasbench_nlp.from_recipe({**GRU, **changes})

  @parameterized.parameters("", "{", "3", "[]", "{}")
  def test_a_string_of_another_form_is_refused(self, text):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "A recipe is"):
      nasbench_nlp.from_string(text)

  def test_strings_are_recipes(self):
    """Oracle: the json module."""
    arch = nasbench_nlp.from_recipe(LSTM)
    text = space().to_string(arch)
    self.assertEqual(json.loads(text), nasbench_nlp.to_recipe(arch))
    np.testing.assert_array_equal(
      space().from_string(text), space().canonicalize(jnp.asarray(arch))
    )

  def test_a_vector_that_is_no_cell_has_no_recipe(self):
    """Oracle: the documented ValueError."""
    for arch in ([0] * 88, [0] * 87):
      with self.assertRaisesRegex(ValueError, "88 variables"):
        nasbench_nlp.to_recipe(arch)


class SpaceTest(parameterized.TestCase):
  def test_the_space_is_one_value(self):
    """Oracle: identity, and sizes counted by hand."""
    self.assertIs(space(), nasbench_nlp.nasbench_nlp())
    self.assertEqual(space().num_variables, 1 + 3 + 21 + 63)
    self.assertEqual((space().num_nodes, space().num_labels), (26, 9))
    self.assertEqual(space().num_options, 24)
    self.assertLen(space().topology, 88)
    self.assertEqual(sum(space().topology), 88 - 21)
    self.assertFalse(space().every_vector_valid)

  def test_validity(self):
    """Oracle: the rules in plain Python; out of range is invalid."""
    archs = random_vectors()
    found = np.asarray(jax.jit(space().is_valid)(archs))
    np.testing.assert_array_equal(found, [is_cell(arch) for arch in archs])
    bad = archs[np.argmax(found)].copy()
    bad[25] = 4  # The first node has no node before it.
    self.assertFalse(bool(space().is_valid(jnp.asarray(bad))))

  def test_enough_vectors_are_valid(self):
    """Oracle: the documented share, from which the number of tries follows."""
    share = np.mean(jax.jit(space().is_valid)(random_vectors(20000, seed=1)))
    error = np.sqrt(0.114 * 0.886 / 20000)
    self.assertLess(abs(share - 0.114), 4 * error)
    self.assertLess((1 - 0.114) ** space().num_tries, 1e-6)

  def test_samples_are_valid(self):
    """Oracle: the rules in plain Python."""
    for arch in random_cells():
      self.assertTrue(is_cell(arch))

  def test_canonical_vectors_are_the_same_cells(self):
    """Oracle: expressions; idempotence; front nodes, zeros behind."""
    archs = random_cells()
    canonical = np.asarray(jax.jit(space().canonicalize)(archs))
    self.assertEqual(canonical.dtype, np.int32)
    np.testing.assert_array_equal(
      jax.jit(space().canonicalize)(canonical), canonical
    )
    for arch, other in zip(archs, canonical, strict=True):
      self.assertTrue(is_cell(other))
      self.assertEqual(
        expressions(named(*nodes_of(other))),
        expressions(named(*nodes_of(arch))),
      )
      num = len([v for v in used_by(*nodes_of(arch)) if v >= 4])
      self.assertFalse(other[4 + num : 25].any() or other[25 + 3 * num :].any())

  def test_what_does_not_count_changes_no_key(self):
    """Oracle: random other values in all places that are not read."""
    rng = np.random.default_rng(0)
    archs, others = random_cells(), random_vectors(60, seed=2).copy()
    for arch, other in zip(archs, others, strict=True):
      nodes, states = nodes_of(arch)
      other[: 1 + len(states)] = arch[: 1 + len(states)]
      for vertex in used_by(nodes, states):
        if vertex >= 4:
          op, slots = nodes[vertex - 4]
          if op != "blend":
            slots = rng.permutation(slots)
          first = 25 + 3 * (vertex - 4)
          other[vertex] = arch[vertex]
          other[first : first + len(slots)] = slots
    keys = np.asarray(space().keys(jnp.asarray(archs)))
    self.assertTrue(np.all((archs != others).any(-1)))
    np.testing.assert_array_equal(keys, space().keys(jnp.asarray(others)))
    self.assertEqual((keys.shape, keys.dtype), ((60, 2), np.uint32))
    self.assertGreater(len(np.unique(keys, axis=0)), 50)  # Some drawn twice.

  def test_the_order_of_the_inputs_of_blend_counts(self):
    """Oracle: a cell that blends the other way round has another key."""
    other = {
      **GRU,
      "h_new_0": {"op": "blend", "input": ["z", "h_prev_0", "z_act"]},
    }
    pair = jnp.asarray([nasbench_nlp.from_recipe(r) for r in (GRU, other)])
    one, two = np.asarray(space().keys(pair))
    self.assertFalse(np.array_equal(one, two))

  @pytest.mark.slow
  def test_jit_vmap_and_batches_agree(self):
    """Oracle: one vector at a time."""
    archs = jnp.asarray(random_vectors()[:6])
    for fn in (space().is_valid, space().keys, space().canonicalize):
      expected = np.stack([fn(arch) for arch in archs])
      found = jax.jit(jax.vmap(fn))(archs.reshape(2, 3, 88))
      np.testing.assert_array_equal(np.reshape(found, expected.shape), expected)


def named(nodes, states):
  """The used nodes as a recipe; the name of a node is its place or state."""
  names = [*cells.INPUTS, *(f"n{node}" for node in range(21))]
  for state, node in enumerate(states):
    names[4 + node] = f"h_new_{state}"
  return {
    names[v]: {
      "op": nodes[v - 4][0],
      "input": [names[u] for u in nodes[v - 4][1]],
    }
    for v in used_by(nodes, states)
    if v >= 4
  }


def graph_of(arch, vertices):
  """Nodes and adjacency of the given vertices, entry by entry."""
  nodes, states = nodes_of(arch)
  labels, adjacency = np.zeros((26, 9)), np.zeros((26, 26))
  labels[25, 0] = 1
  for vertex in vertices:
    if vertex < 4:
      labels[vertex, 1] = 1
      continue
    op, slots = nodes[vertex - 4]
    labels[vertex, cells.LABELS.index(op)] = 1
    adjacency[slots, vertex] = 1
    adjacency[vertex, 25] = vertex - 4 in states
  return labels, adjacency


class GraphTest(parameterized.TestCase):
  def test_graphs_are_pruned(self):
    """Oracle: entries from the vectors, in plain Python."""
    graph = jax.jit(space().to_graph)(random_cells())
    for arch, *found in zip(random_cells(), *graph, strict=True):
      expected = graph_of(arch, used_by(*nodes_of(arch)))
      for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)

  def test_soft_graphs_of_one_hot_options_are_the_graphs_before_pruning(self):
    """Oracle: entries from vectors without repeated inputs."""
    archs = [
      arch
      for arch in random_cells()
      if all(len(set(s)) == len(s) for _, s in nodes_of(arch)[0])
    ]
    rng = np.random.default_rng(0)  # Unary nodes repeat no input.
    unary = random_cells()[0].copy()
    unary[4:25] = rng.integers(0, 3, 21)
    unary[:4] = 2, 5, 11, 20
    for arch in [unary, *archs]:
      soft = space().to_soft_graph(space().one_hot(jnp.asarray(arch)))
      for a, b in zip(soft, graph_of(arch, range(25)), strict=True):
        np.testing.assert_array_equal(a, b)

  def test_soft_graphs_are_linear_in_each_variable(self):
    """Oracle: the mean of two soft graphs whose options differ in one row."""
    rng = np.random.default_rng(0)
    soft = jax.jit(space().to_soft_graph)
    base = rng.random((88, 24)).astype(np.float32)
    for variable in (0, 2, 9, 40):
      other = base.copy()
      other[variable] = rng.random(24)
      pair = soft(base), soft(other)
      mixed = soft(0.25 * base + 0.75 * other)
      for m, x, y in zip(mixed, *pair, strict=True):
        np.testing.assert_allclose(m, 0.25 * x + 0.75 * y, rtol=1e-4)
        self.assertEqual(x.dtype, jnp.float32)
    adjacency = np.asarray(soft(base).adjacency)
    np.testing.assert_array_equal(adjacency, np.triu(adjacency, 1))


class FeatureTest(parameterized.TestCase):
  def test_decoding_inverts_encoding(self):
    """Oracle: identity; validity as `is_valid` has it."""
    archs = jnp.asarray(random_vectors()[:40]).reshape(2, 20, 88)
    features = space().to_features(archs)
    self.assertEqual(features.shape[-2:], space().feature_shape)
    decoded, valid = space().from_features(features)
    np.testing.assert_array_equal(decoded, archs)
    np.testing.assert_array_equal(valid, space().is_valid(archs))
    self.assertEqual(decoded.dtype, jnp.int32)

  def test_options_that_do_not_exist_are_not_chosen(self):
    """Oracle: NumPy arg-max of each variable's own options."""
    x = np.random.default_rng(0).normal(size=(9, 88, 24)).astype(np.float32)
    archs, _ = space().from_features(jnp.asarray(x))
    for variable, num in enumerate(space().cardinalities):
      np.testing.assert_array_equal(
        archs[:, variable], x[:, variable, :num].argmax(-1)
      )


if __name__ == "__main__":
  absltest.main()
