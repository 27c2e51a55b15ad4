"""Tests of the isomorphism classes of nagjax.spaces.nasbench201."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.spaces import nasbench201
from tests import data

ZERO, INPUT = "#", "0"
NAMES = ("none", "skip", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
INCOMING = {1: ((0, 0),), 2: ((1, 0), (2, 1)), 3: ((3, 0), (4, 1), (5, 2))}
"""Edges into each node as (position in the vector, source)."""


def computation(cell, projects=False):
  """What a cell computes, by recursion from the output backwards.

  A node is the chain of its incoming blocks, sorted as wholes in the order of
  their official spelling (another order has another number of classes). A skip
  passes its node's chain on as one block, `none` is a zero block, and an
  operation on a node that is a single zero block is zero too. Where a cell
  `projects`, a skip from the input is an operation like others.
  """

  @functools.cache
  def node(n):
    if n == 0:
      return (INPUT,)
    blocks = sorted(block(edge, source) for edge, source in INCOMING[n])
    return tuple(term for inner in blocks for term in inner)

  def block(edge, source):
    name = NAMES[cell[edge]]
    if name == "none" or node(source) == (ZERO,):
      return (ZERO,)
    if name == "skip" and not (projects and source == 0):
      return node(source)
    return (f"({'+'.join(node(source))})@{name}",)

  return node(3)


def flattened(cell):
  """The terms that reach the output, all sums sorted as one."""

  def terms(n):
    return [INPUT] if n == 0 else sorted(sum(map(edge_terms, INCOMING[n]), []))

  def edge_terms(incoming):
    edge, source = incoming
    name, inner = NAMES[cell[edge]], terms(source)
    if name == "none" or inner == [ZERO]:
      return [ZERO]
    return inner if name == "skip" else [str((inner, name))]

  return tuple(terms(3))


def outputs(cells, seed=0, projects=False):
  """Every cell as a function: 3 fixed inputs through fixed random operations.

  All operations map zero to zero; all but skip and none are non-linear. Where a
  cell `projects`, a skip from the input is not linear either.
  """
  rng = np.random.default_rng(seed)
  a, b, c = rng.normal(size=(3, 3, 3))
  operations = (
    np.zeros_like,
    lambda v: v,
    lambda v: np.tanh(v @ a),
    lambda v: np.sin(v @ b),
    lambda v: v @ c + (v @ c) ** 3,
  )
  values = [np.broadcast_to(rng.normal(size=3), (len(cells), 3))]
  for target in (1, 2, 3):
    total = 0
    for edge, source in INCOMING[target]:
      results = np.stack([op(values[source]) for op in operations])
      if projects and source == 0:
        results[1] = np.sinh(values[source] @ a @ b)
      total = total + results[cells[:, edge], np.arange(len(cells))]
    values.append(total)
  return values[3]


@functools.cache
def cells():
  return nasbench201.nasbench201().all_architectures()


@functools.cache
def labels():
  """Index of the representative of every cell, by the library."""
  space = nasbench201.nasbench201()
  return np.asarray(space.index(space.canonicalize(jnp.asarray(cells()))))


def same_partition(a, b):
  """Whether two labelings have the same classes."""
  pairs = len(set(zip(a, b, strict=True)))
  return pairs == len(set(a)) == len(set(b))


class ClassesTest(parameterized.TestCase):
  def test_there_are_6466_classes(self):
    """Oracle: the published number of unique structures."""
    self.assertLen(np.unique(labels()), 6466)

  def test_the_representative_is_the_first_member_and_represents_itself(self):
    """Oracle: NumPy's first occurrence; idempotence."""
    _, first = np.unique(labels(), return_index=True)
    np.testing.assert_array_equal(np.unique(labels()), np.sort(first))
    np.testing.assert_array_equal(labels()[labels()], labels())

  def test_classes_are_those_of_the_rule(self):
    """Oracle: the documented rule by recursion over nested tuples."""
    names = [computation(tuple(cell)) for cell in cells().tolist()]
    self.assertTrue(same_partition(names, labels().tolist()))

  def test_members_of_a_class_compute_the_same(self):
    """Oracle: every cell evaluated as a non-linear function."""
    values = outputs(cells())
    np.testing.assert_allclose(values, values[labels()], rtol=0, atol=1e-9)

  def test_full_flattening_would_leave_5755_classes(self):
    """Oracle: the terms at the output; every flat class joins whole classes."""
    flat = [flattened(tuple(cell)) for cell in cells().tolist()]
    self.assertLen(set(flat), 5755)
    self.assertLen(set(zip(flat, labels().tolist(), strict=True)), 6466)

  @parameterized.parameters(
    ([3, 0, 1, 0, 0, 1], [3, 0, 1, 0, 0, 1], True),
    # One convolution and identities: the place in the chain does not matter,
    # unless a zero joins the sum before it.
    ([3, 0, 1, 0, 0, 1], [1, 0, 3, 0, 0, 1], True),
    ([3, 0, 1, 0, 0, 1], [1, 0, 1, 0, 0, 3], False),
    # A sum does not depend on its order.
    ([3, 0, 0, 2, 1, 0], [2, 0, 0, 3, 1, 0], True),
    ([3, 0, 0, 2, 1, 0], [2, 0, 0, 2, 1, 0], False),
    ([3, 0, 1, 0, 0, 1], [2, 0, 1, 0, 0, 1], False),
  )
  def test_examples(self, one, other, same):
    """Oracle: two cells read by a person."""
    space = nasbench201.nasbench201()
    a, b = space.canonicalize(jnp.asarray([one, other]))
    self.assertEqual(bool(jnp.all(a == b)), same)

  def test_batches_of_any_rank_and_jit(self):
    """Oracle: the flat result without jit."""
    space = nasbench201.nasbench201()
    cube = jnp.asarray(cells()).reshape(25, 625, 6)
    result = jax.jit(space.canonicalize)(cube)
    np.testing.assert_array_equal(space.index(result).ravel(), labels())
    self.assertEqual(result.dtype, jnp.int32)

  @data.needs_table("nb201.npz")
  def test_classes_are_those_of_the_real_table(self):
    """Oracle: the `isomorph` column."""
    ops, isomorph = data.read_table("nb201.npz", "ops", "isomorph")
    space = nasbench201.nasbench201()
    ours = labels()[np.asarray(space.index(jnp.asarray(ops, jnp.int32)))]
    self.assertTrue(same_partition(ours.tolist(), isomorph.tolist()))


if __name__ == "__main__":
  absltest.main()
