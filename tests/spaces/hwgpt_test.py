"""Tests of nagjax.spaces.hwgpt."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.spaces import hwgpt

TINY = hwgpt.Choices((8, 16, 32), (1, 2, 3), (2, 3, 4), (1, 2, 4))
CARDINALITIES = (3, 3, 2) + (3,) * 6
STRING = (
  "embed_dim=384,bias=False,mlp_ratio=2:3:4:2:3:4:2:3:4:2,"
  "n_head=4:8:12:4:8:12:4:8:12:4"
)


def draws(size, num, seed=0):
  """Vectors with random options everywhere."""
  space = hwgpt.hwgpt(size)
  rng = np.random.default_rng(seed)
  found = rng.integers(0, space.cardinalities, (num, space.num_variables))
  return jnp.asarray(found, jnp.int32)


class TinyTest(parameterized.TestCase):
  def test_every_vector_of_a_small_space(self):
    """Oracle: enumeration by the definition: what belongs to a layer beyond
    the depth is zero; 6 (9 + 9^2 + 9^3) architectures."""
    vectors = np.asarray([*itertools.product(*map(range, CARDINALITIES))])
    depth = vectors[:, 1] + 1
    expected = vectors.copy()
    for layer in range(3):
      expected[depth <= layer, 3 + layer] = 0
      expected[depth <= layer, 6 + layer] = 0
    found = hwgpt.canonicalize(TINY, jnp.asarray(vectors, jnp.int32))
    np.testing.assert_array_equal(found, expected)
    self.assertLen({*map(tuple, expected.tolist())}, 6 * (9 + 81 + 729))
    strings = [hwgpt.to_string(TINY, v) for v in vectors.tolist()]
    self.assertLen({*strings}, 6 * (9 + 81 + 729))
    for arch, string in zip(expected[::7], strings[::7], strict=True):
      np.testing.assert_array_equal(hwgpt.from_string(TINY, string), arch)


class HwgptTest(parameterized.TestCase):
  @parameterized.parameters(
    ("s", 27, (10, 11, 12)), ("m", 51, (22, 23, 24)), ("l", 75, (34, 35, 36))
  )
  def test_sizes(self, size, num_variables, depths):
    """Oracle: the published options; 3 widths, biases or none, 9 layers."""
    space = hwgpt.hwgpt(size)
    self.assertIs(registry.make_space(f"hwgpt_{size}"), space)
    self.assertEqual(space.num_variables, num_variables)
    count = sum(6 * 9**depth for depth in depths)
    self.assertEqual(space.num_architectures, count)
    self.assertFalse(space.every_vector_valid)

  def test_keys(self):
    """Oracle: Python's set of canonical vectors; the same key if and only if
    the same canonical form."""
    space = hwgpt.hwgpt("s")
    # Few options in front, so that many differ in what does not count alone.
    archs = draws("s", 4000).at[:, :23].set(0)
    keys = {*map(tuple, np.asarray(space.keys(archs)).tolist())}
    forms = {*map(tuple, np.asarray(space.canonicalize(archs)).tolist())}
    self.assertEqual((len(keys), len(forms)), (9, 9))
    same = space.canonicalize(space.canonicalize(archs))
    np.testing.assert_array_equal(same, space.canonicalize(archs))

  def test_samples(self):
    """Oracle: canonical form; shares of depths 1 : 9 : 81, within four
    deviations; options as frequent as each other."""
    space = hwgpt.hwgpt("s")
    num = 20000
    archs = jax.jit(space.sample, static_argnums=1)(jax.random.key(0), num)
    np.testing.assert_array_equal(archs, space.canonicalize(archs))
    self.assertTrue(space.is_valid(archs).all())
    for variable, shares in (
      (1, np.asarray([1, 9, 81]) / 91),
      (0, np.ones(3) / 3),
      (2, np.ones(2) / 2),
      (3, np.ones(3) / 3),
    ):
      counts = np.bincount(archs[:, variable], minlength=len(shares))
      deviation = np.sqrt(num * shares * (1 - shares))
      self.assertTrue(np.all(np.abs(counts - num * shares) < 4 * deviation))

  def test_mutations_are_other_architectures(self):
    """Oracle: other keys, one variable changed."""
    space = hwgpt.hwgpt("s")
    archs = draws("s", 500)
    uniform = jax.random.uniform(jax.random.key(0), (500, 2))
    changed = jax.jit(space.mutate)(archs, uniform)
    same = np.all(space.keys(changed) == space.keys(archs), axis=-1)
    self.assertFalse(same.any())
    np.testing.assert_array_equal(np.sum(changed != archs, axis=-1), 1)

  def test_graph(self):
    """Oracle: the same graph for the same architecture; a node for what
    counts alone, and two edges for each; the soft graph of full depth."""
    space = hwgpt.hwgpt("s")
    archs = draws("s", 40)
    with jax.numpy_dtype_promotion("strict"):
      graph = space.to_graph(archs)
    canonical = space.to_graph(space.canonicalize(archs))
    jax.tree.map(np.testing.assert_array_equal, graph, canonical)
    num = 3 + 2 * (10 + np.asarray(archs[:, 1]))
    np.testing.assert_array_equal(graph.nodes.sum((1, 2)), num + 2)
    np.testing.assert_array_equal(graph.adjacency.sum((1, 2)), 2 * num)
    deep = archs.at[:, 1].set(2)
    jax.tree.map(
      np.testing.assert_array_equal,
      space.to_graph(deep),
      space.to_soft_graph(space.one_hot(deep)),
    )

  def test_strings(self):
    """Oracle: one written by hand, and the round trip to canonical forms."""
    space = hwgpt.hwgpt("s")
    arch = space.from_string(STRING)
    self.assertEqual(arch[:3].tolist(), [1, 0, 1])
    self.assertEqual(arch[3:15].tolist(), [0, 1, 2] * 3 + [0, 0, 0])
    self.assertEqual(arch[15:].tolist(), [0, 1, 2] * 3 + [0, 0, 0])
    self.assertEqual(space.to_string(arch), STRING)
    archs = draws("s", 20)
    for arch, form in zip(archs, space.canonicalize(archs), strict=True):
      string = space.to_string(np.asarray(arch))
      np.testing.assert_array_equal(space.from_string(string), form)

  @parameterized.parameters(
    "",
    "embed_dim=384",
    STRING.replace("384", "100"),
    STRING.replace("False", "0"),
    STRING.replace("n_head", "heads"),
    STRING.replace("n_head=4:8", "n_head=4"),
    STRING.replace("4:8:12", "5:8:12"),
    STRING.replace("mlp_ratio=2:3", "mlp_ratio=2").replace("=4:8", "=4"),
    STRING.replace("mlp_ratio=2", "mlp_ratio=x"),
    STRING + ",x=1",
  )
  def test_other_strings(self, string):
    """Oracle: the documented ValueError, one line with the options."""
    with self.assertRaisesRegex(ValueError, "10, 11, 12 layers") as raised:
      hwgpt.hwgpt("s").from_string(string)
    self.assertNotIn("\n", str(raised.exception))

  def test_no_other_size(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "s, m, l, got 'xl'"):
      hwgpt.hwgpt("xl")


if __name__ == "__main__":
  absltest.main()
