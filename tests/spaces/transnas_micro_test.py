"""Tests of nagjax.spaces.transnas_micro."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import nasbench201
from nagjax.spaces import transnas_micro
from tests import data
from tests.spaces import nasbench201_classes_test as classes

TABLE = "tnb101_micro.npz"


def space():
  return transnas_micro.transnas_micro()


def cells():
  return space().all_architectures()


class NameTest(parameterized.TestCase):
  def test_strings_of_all_cells(self):
    """Oracle: itertools and an f-string of the official form."""
    everything = list(itertools.product(range(4), repeat=6))
    for cell in everything:
      a, b, c, d, e, f = cell
      expected = f"64-41414-{a}_{b}{c}_{d}{e}{f}"
      self.assertEqual(space().to_string(cell), expected)
      self.assertEqual(tuple(space().from_string(expected).tolist()), cell)
    self.assertLen(everything, space().num_architectures)

  @parameterized.parameters(
    "", "64-41414-4_00_000", "64-1234-basic", "64-41414-0_00_00", "0_00_000"
  )
  def test_a_string_of_another_form_is_refused(self, text):
    """Oracle: the documented ValueError quotes what came."""
    with self.assertRaisesRegex(ValueError, f"0..3 for none, .*'{text}'"):
      space().from_string(text)

  def test_operations_are_those_of_nasbench201(self):
    """Oracle: the facts: zero, identity, 1x1, 3x3, in one order of edges."""
    self.assertEqual(transnas_micro.OPERATIONS, nasbench201.OPERATIONS[:4])

  @data.needs_table(TABLE)
  def test_rows_of_the_real_table(self):
    """Oracle: a row is the base-4 number of its digits, first slowest."""
    (ops,) = data.read_table(TABLE, "ops")
    for row in range(0, 4096, 97):
      digits = np.base_repr(row, 4).zfill(6)
      string = space().to_string(ops[row].astype(int).tolist())
      self.assertEqual(string.replace("_", ""), f"64-41414-{digits}")


class ViewTest(parameterized.TestCase):
  def test_features_are_the_6_x_4_matrix(self):
    """Oracle: filled entry by entry; arg-max in NumPy on the way back."""
    self.assertEqual(space().feature_shape, (6, 4))
    matrix = np.asarray(space().to_features(jnp.asarray([3, 0, 1, 2, 2, 1])))
    expected = np.zeros((6, 4))
    for row, column in enumerate((3, 0, 1, 2, 2, 1)):
      expected[row, column] = 1
    np.testing.assert_array_equal(matrix, expected)
    noise = np.random.default_rng(0).normal(size=(50, 6, 4))
    archs, valid = space().from_features(jnp.asarray(noise))
    np.testing.assert_array_equal(archs, noise.argmax(-1))
    self.assertTrue(valid.all())

  def test_graphs_are_those_of_nasbench201_without_pooling(self):
    """Oracle: the space of NAS-Bench-201, tested on its own."""
    ours = space().to_graph(jnp.asarray(cells()))
    theirs = nasbench201.nasbench201().to_graph(jnp.asarray(cells()))
    np.testing.assert_array_equal(ours.adjacency, theirs.adjacency)
    np.testing.assert_array_equal(ours.nodes, theirs.nodes[..., :-1])
    self.assertEqual((space().num_nodes, space().num_labels), (8, 6))


class ClassesTest(parameterized.TestCase):
  def test_classes_are_those_of_the_rule(self):
    """Oracle: the rule by recursion over nested tuples; 1,696 classes."""
    names = [classes.computation(tuple(c), True) for c in cells().tolist()]
    labels = transnas_micro._representatives()
    self.assertTrue(classes.same_partition(names, labels.tolist()))
    self.assertLen(np.unique(labels), 1696)

  def test_members_of_a_class_compute_the_same(self):
    """Oracle: every cell evaluated as a non-linear function."""
    values = classes.outputs(cells(), projects=True)
    archs = jax.jit(space().canonicalize)(jnp.asarray(cells()))
    same = values[np.asarray(space().index(archs))]
    np.testing.assert_allclose(values, same, rtol=0, atol=1e-9)

  @parameterized.parameters(
    # A sum does not depend on its order.
    ([3, 0, 0, 2, 1, 0], [2, 0, 0, 3, 1, 0], True),
    # A skip connection from node 1 is nothing, one from the input a projection.
    ([3, 0, 1, 0, 0, 2], [3, 0, 2, 0, 0, 1], False),
    ([1, 0, 0, 0, 3, 0], [0, 0, 0, 3, 0, 0], False),
    ([1, 0, 0, 2, 1, 0], [2, 0, 0, 1, 1, 0], True),
  )
  def test_examples(self, one, other, same):
    """Oracle: two cells read by a person."""
    a, b = space().canonicalize(jnp.asarray([one, other]))
    self.assertEqual(bool(jnp.all(a == b)), same)


if __name__ == "__main__":
  absltest.main()
