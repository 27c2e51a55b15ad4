"""Tests of NAS-Bench-NLP cells as AG-Net writes them."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.spaces import nasbench_nlp
from tests import data
from tests.spaces import written

TABLE = "nbnlp_wikitext2.json"
GRU = {
  "z": {"op": "linear", "input": ["x", "h_prev_0"]},
  "z_act": {"op": "activation_sigm", "input": ["z"]},
  "h_new_0": {"op": "blend", "input": ["h_prev_0", "z", "z_act"]},
}
# Reads its own second state, so no order of nodes has state 0 first.
LSTM = {
  "i": {"op": "linear", "input": ["x", "h_prev_0"]},
  "h_new_1": {"op": "elementwise_sum", "input": ["h_prev_1", "i"]},
  "h_new_0": {"op": "activation_tanh", "input": ["h_new_1"]},
}


def by_hand(labels, edges, scores):
  """The recipe of a written cell in plain Python, or None."""
  names = [written.LABELS["nasbench_nlp"].split()[i] for i in labels]
  if "output" not in names:
    return None
  end = names.index("output")
  inner = names[4:end]
  if names[:4] != ["input"] * 4 or not inner or "input" in inner:
    return None
  place = {pair: i for i, pair in enumerate(written.pairs_of(26))}
  states = [v for v in range(4, end) if edges[place[v, end]]]
  if end - 1 not in states:
    return None
  others = sorted(states[:-1], key=lambda v: scores[place[v, end]])[-2:]
  states = sorted([*others, end - 1])
  called = ["x"] + [f"h_prev_{j % len(states)}" for j in range(3)]
  called += [f"node_{v}" for v in range(4, end)]
  for number, v in enumerate(states):
    called[v] = f"h_new_{number}"
  recipe, waiting = {}, [*states]
  while waiting:
    v = waiting.pop()
    if v >= 4 and called[v] not in recipe:
      sources = [s for s in range(v) if edges[place[s, v]]]
      recipe[called[v]] = {
        "op": names[v],
        "input": [called[s] for s in sources],
      }
      waiting += sources
  # In the order of nodes, which is one of the things that keys tell apart.
  return {n: recipe[n] for n in called if n in recipe}


def in_order(archs):
  """Canonical vectors with states and inputs of blends in order."""
  canonical = np.array(
    jax.jit(written.SPACES["nasbench_nlp"]().canonicalize)(archs)
  )
  for arch in canonical:
    states = arch[1 : 2 + arch[0]]
    states.sort()
    for node in range(states.max() + 1):
      if arch[4 + node] == 5:
        arch[25 + 3 * node : 28 + 3 * node].sort()
  return canonical


class NasBenchNlpTest(parameterized.TestCase):
  def test_one_cell_by_hand(self):
    """Oracle: by hand, and the same cell read back."""
    arch = nasbench_nlp.from_recipe(GRU)
    graphs = written.compiled("nasbench_nlp")[0](arch)
    labels, edges = written.names_and_pairs("nasbench_nlp", graphs)
    expected = ["input"] * 4 + ["linear", "activation_sigm", "blend", "output"]
    self.assertEqual(labels, expected + ["output"] * 18)
    self.assertEqual(
      edges, {(0, 4), (1, 4), (4, 5), (1, 6), (4, 6), (5, 6), (6, 7)}
    )
    read, valid = written.decode("nasbench_nlp", (expected, edges))
    self.assertTrue(valid)
    self.assertEqual(nasbench_nlp.to_recipe(read), nasbench_nlp.to_recipe(arch))

  def test_what_was_written_is_read_in_order(self):
    """Oracle: states and inputs of blends sorted in NumPy."""
    encode, decode_fn, keys = written.compiled("nasbench_nlp")
    archs = written.samples("nasbench_nlp")
    graphs = encode(archs)
    read, valid = decode_fn(graphs, jnp.zeros(graphs.edges.shape))
    self.assertTrue(valid.all())
    np.testing.assert_array_equal(keys(read), keys(in_order(archs)))
    same = np.all(keys(read) == keys(archs), axis=-1)
    self.assertBetween(same.mean(), 0.3, 0.7)

  @data.needs_table(TABLE)
  def test_logged_recipes(self):
    """Oracle: states and inputs of blends sorted in NumPy."""
    encode, decode_fn, keys = written.compiled("nasbench_nlp")
    logs = json.loads(data.table_path(TABLE).read_text())
    archs = [nasbench_nlp.from_recipe(log["recepie"]) for log in logs]
    archs = jnp.asarray(np.stack(archs))
    graphs = encode(archs)
    read, valid = decode_fn(graphs, jnp.zeros(graphs.edges.shape))
    self.assertTrue(valid.all())
    np.testing.assert_array_equal(keys(read), keys(in_order(archs)))

  def test_states_lose_their_numbers(self):
    """Oracle: the documented order of states, by hand."""
    graphs = written.compiled("nasbench_nlp")[0](nasbench_nlp.from_recipe(LSTM))
    read, valid = written.decode(
      "nasbench_nlp", written.names_and_pairs("nasbench_nlp", graphs)
    )
    self.assertTrue(valid)
    recipe = nasbench_nlp.to_recipe(read)
    self.assertEqual(recipe["h_new_0"]["op"], "elementwise_sum")
    self.assertEqual(recipe["h_new_1"]["op"], "activation_tanh")

  @pytest.mark.slow
  def test_disturbed_graphs(self):
    """Oracle: a recipe made in plain Python, refused or read on the host."""
    _, decode_fn, keys = written.compiled("nasbench_nlp")
    graphs, scores = written.disturbed("nasbench_nlp")
    archs, valid = decode_fn(graphs, scores)
    expected, known = [], []
    for row in zip(
      graphs.labels[:, 0], graphs.edges[:, 0], scores[:, 0], strict=True
    ):
      recipe = by_hand(*row)
      try:
        expected.append(nasbench_nlp.from_recipe(recipe))
        known.append(True)
      except ValueError:
        expected.append(np.zeros(88, np.int32))
        known.append(False)
    np.testing.assert_array_equal(valid, known)
    wanted = keys(jnp.asarray(np.stack(expected)))
    np.testing.assert_array_equal(keys(archs)[valid], wanted[valid])

  # Five nodes in a row, each of which may be a state.
  ROW = ["input"] * 4 + ["elementwise_sum"] * 5 + ["output"]
  CHAIN = [(0, 4), (1, 4), (2, 5), (4, 5), (3, 6), (5, 6)]
  CHAIN += [(0, 7), (6, 7), (1, 8), (7, 8)]

  def test_surplus_states(self):
    """Oracle: the last node and the two of the highest scores stay."""
    graph = (self.ROW, self.CHAIN + [(v, 9) for v in range(4, 9)])
    scores = {(0, v, 9): s for v, s in enumerate((2, 0, 3, 1, -9), 4)}
    arch, valid = written.decode("nasbench_nlp", graph, scores=scores)
    self.assertTrue(valid)
    self.assertEqual(arch[:4].tolist(), [2, 0, 2, 4])

  def test_the_last_node_must_be_a_state(self):
    """Oracle: the program's rule."""
    graph = (self.ROW, self.CHAIN + [(v, 9) for v in (4, 5, 6)])
    self.assertFalse(written.decode("nasbench_nlp", graph)[1])

  def test_a_previous_state_that_does_not_exist_is_another_one(self):
    """Oracle: the vector's rule; one state, and h_prev_2 is read."""
    names = ["input"] * 4 + ["linear", "output"]
    arch, valid = written.decode(
      "nasbench_nlp", (names, [(0, 4), (3, 4), (4, 5)])
    )
    self.assertTrue(valid)
    recipe = nasbench_nlp.to_recipe(arch)
    expected = {"op": "linear", "input": ["x", "h_prev_0"]}
    self.assertEqual(recipe, {"h_new_0": expected})

  @parameterized.parameters(
    ("activation_tanh", [4], True),
    ("activation_tanh", [], False),
    ("activation_tanh", [0, 4], False),
    ("linear", [4], False),
    ("linear", [0, 4], True),
    ("linear", [0, 1, 4], True),
    ("linear", [0, 1, 2, 4], False),
    ("blend", [0, 4], False),
    ("blend", [0, 1, 4], True),
  )
  def test_operations_need_their_number_of_inputs(self, op, sources, expected):
    """Oracle: the published numbers of inputs."""
    names = ["input"] * 4 + ["linear", op, "elementwise_sum", "output"]
    edges = [(0, 4), (1, 4), *((source, 5) for source in sources)]
    edges += [(4, 6), (5, 6), (6, 7)]
    self.assertEqual(
      written.decode("nasbench_nlp", (names, edges))[1], expected
    )
    # A node that leads to no state does not count.
    edges = [pair for pair in edges if pair != (5, 6)] + [(0, 6)]
    arch, valid = written.decode("nasbench_nlp", (names, edges))
    self.assertTrue(valid)
    self.assertLen(nasbench_nlp.to_recipe(arch), 2)


if __name__ == "__main__":
  absltest.main()
