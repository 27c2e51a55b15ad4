"""Tests of experiments.support.arithmetic: counts, by hand."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp

from experiments.support import arithmetic

A, B = jnp.ones((2, 3)), jnp.ones((3, 5))
SYMMETRIC = jnp.eye(6)


def loss(a):
  return jnp.sum(a @ B)


class OperationsTest(parameterized.TestCase):
  @parameterized.parameters(
    # A product of two by three and three by five: a multiplication and an
    # addition for each of 30 triples.
    (jnp.matmul, (A, B), 60),
    (jax.vmap(jnp.matmul), (A[None].repeat(7, 0), B[None].repeat(7, 0)), 420),
    # Seven rounds of an addition to six entries.
    (lambda a: lax.fori_loop(0, 7, lambda _, x: x + a, a), (A,), 42),
    # The exponentials of six entries, which cost more than six additions of
    # one; what chooses is not arithmetic.
    (lambda a: lax.cond(a[0, 0] > 0, jnp.exp, lambda x: x, a), (A,), 6),
    (lambda a: jnp.where(a > 0, jnp.exp(a), a), (A,), 6),
    (jnp.sum, (A,), 6),
    # The product and the sum of its ten entries, which nobody reads; the
    # gradient is one more product of as many terms.
    (jax.grad(loss), (A,), 130),
    # Four places of a 2 x 2 filter on three channels and five outputs.
    (
      lambda x, f: lax.conv_general_dilated(x, f, (1, 1), "VALID"),
      (jnp.ones((1, 3, 3, 3)), jnp.ones((5, 3, 2, 2))),
      2 * 4 * 12 * 5,
    ),
    (
      lambda m: lax.linalg.cholesky(m, symmetrize_input=False),
      (SYMMETRIC,),
      72,
    ),
    (
      lambda m, x: lax.linalg.triangular_solve(m, x, left_side=True),
      (SYMMETRIC, jnp.ones((6, 2))),
      72,
    ),
    # Three values are added to places of a vector, or put there.
    (lambda x: x.at[jnp.arange(3)].add(jnp.ones(3)), (jnp.ones(9),), 3),
    (lambda x: x.at[jnp.arange(3)].set(jnp.ones(3)), (jnp.ones(9),), 0),
    (lambda n: n * n + 1, (jnp.arange(9),), 0),
  )
  def test_by_hand(self, function, arguments, expected):
    """Oracle: the comment, or the number of entries."""
    found = arithmetic.operations(jax.jit(function), *arguments)
    self.assertEqual(found, expected)

  def test_sustained_rate(self):
    """Oracle: any core of today multiplies more than 10^9 and fewer than 10^13
    times a second."""
    self.assertBetween(arithmetic.sustained_rate(), 1e9, 1e13)


if __name__ == "__main__":
  absltest.main()
