"""Tests of nagjax.evolution.mutation."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.evolution import mutation


def textbook(x, m, index):
  """Deb's formula of one coordinate in [-1, 1], in float64."""
  d1, d2, power = (x + 1) / 2, (1 - x) / 2, 1 / (index + 1)
  if m <= 0.5:
    delta = (2 * m + (1 - 2 * m) * (1 - d1) ** (index + 1)) ** power - 1
  else:
    base = 2 * (1 - m) + (2 * m - 1) * (1 - d2) ** (index + 1)
    delta = 1 - base**power
  return x + 2 * delta


class PolynomialMutationTest(parameterized.TestCase):
  @parameterized.parameters(5.0, 8.0, 4.0, 1.0, 5, 8, 0, 30)
  def test_the_textbook_formula(self, index):
    """Oracle: Python in float64, coordinate by coordinate."""
    rng = np.random.default_rng(int(index))
    x = rng.uniform(-1, 1, (12, 9)).astype(np.float32)
    x[:, :2] = [-1, 1]
    strength = rng.random(12).astype(np.float32)
    strength[:3] = 0.0, 0.5, np.nextafter(np.float32(1), 0)
    uniform = rng.random(12).astype(np.float32)
    uniform[:3] = 0.0
    result = jax.jit(mutation.polynomial_mutation)(
      x, uniform, strength, rate=0.6, index=index
    )
    for row in range(12):
      expected = [
        textbook(float(v), float(strength[row]), index)
        if uniform[row] <= np.float32(0.6)
        else v
        for v in x[row]
      ]
      np.testing.assert_allclose(result[row], expected, atol=2e-5)
    self.assertLessEqual(float(np.abs(result).max()), 1 + 1e-5)

  def test_rate_bounds(self):
    """Oracle: a draw equal to the rate mutates; one above does not."""
    x = jnp.zeros((3, 4))
    draws = jnp.asarray([0.5, 0.6, 0.7], jnp.float32)
    result = mutation.polynomial_mutation(x, draws, jnp.full(3, 0.1), rate=0.6)
    moved = np.any(np.asarray(result) != 0, axis=1)
    np.testing.assert_array_equal(moved, [True, True, False])

  def test_half_is_no_change_and_both_sides_mirror(self):
    """Oracle: m = 1/2 moves nothing; m and 1 - m are mirror images."""
    x = np.linspace(-1, 1, 11, dtype=np.float32)[None]
    now = jnp.zeros(1)
    same = mutation.polynomial_mutation(x, now, jnp.full(1, 0.5))
    np.testing.assert_allclose(same, x, atol=1e-6)
    up = mutation.polynomial_mutation(x, now, jnp.full(1, 0.875))
    down = mutation.polynomial_mutation(-x, now, jnp.full(1, 0.125))
    np.testing.assert_allclose(up, -down, atol=1e-6)

  def test_one_draw_moves_a_whole_individual_to_one_side(self):
    """Oracle: the sign of every change."""
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 50)).astype(np.float32)
    result = mutation.polynomial_mutation(
      x, jnp.zeros(2), jnp.asarray([0.2, 0.8])
    )
    change = np.sign(np.asarray(result) - x)
    np.testing.assert_array_equal(change, [[-1.0] * 50, [1.0] * 50])

  def test_the_extremes_reach_the_bounds(self):
    """Oracle: m = 0 gives -1, m -> 1 gives 1."""
    x = np.linspace(-1, 1, 7, dtype=np.float32)[None]
    low = mutation.polynomial_mutation(x, jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(low, -1, atol=1e-6)
    high = mutation.polynomial_mutation(x, jnp.zeros(1), jnp.ones(1))
    np.testing.assert_allclose(high, 1, atol=1e-6)

  def test_a_larger_index_is_weaker(self):
    """Oracle: the mean absolute change."""
    x = jnp.zeros((1, 1))
    moves = [
      abs(
        float(
          mutation.polynomial_mutation(
            x, jnp.zeros(1), jnp.full(1, 0.2), index=index
          )[0, 0]
        )
      )
      for index in (2.0, 5.0, 8.0, 30.0)
    ]
    self.assertEqual(moves, sorted(moves, reverse=True))


if __name__ == "__main__":
  absltest.main()
