"""Tests of nagjax.relaxation.latin_hypercube."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
from scipy import spatial

from nagjax import relaxation


class LatinHypercubeTest(parameterized.TestCase):
  @parameterized.parameters((1, (3,)), (7, (4,)), (10, (3, 5)))
  def test_each_coordinate_has_one_point_in_every_interval(self, num, shape):
    """Oracle: the definition, coordinate by coordinate."""
    for design in (
      relaxation.latin_hypercube,
      relaxation.maximin_latin_hypercube,
    ):
      points = np.asarray(design(jax.random.key(0), num, shape))
      self.assertEqual(points.shape, (num, *shape))
      self.assertTrue(((points >= 0) & (points < 1)).all())
      interval = np.floor(points * num).astype(int).reshape(num, -1)
      for column in interval.T:
        np.testing.assert_array_equal(np.sort(column), np.arange(num))

  def test_points_are_uniform_and_coordinates_independent(self):
    """Oracle: variance 1/12 and correlation 0, over many designs of three."""
    keys = jax.random.split(jax.random.key(1), 4000)
    designs = jax.vmap(lambda key: relaxation.latin_hypercube(key, 3, (2,)))(
      keys
    )
    first, second = np.asarray(designs)[:, 0].T
    self.assertAlmostEqual(first.mean(), 0.5, delta=0.02)
    self.assertAlmostEqual(first.var(), 1 / 12, delta=0.005)
    self.assertAlmostEqual(np.corrcoef(first, second)[0, 1], 0.0, delta=0.07)
    inside = first * 3 % 1
    self.assertAlmostEqual(inside.mean(), 0.5, delta=0.02)
    self.assertAlmostEqual(inside.var(), 1 / 12, delta=0.005)

  @parameterized.parameters(0, 1, 2)
  def test_maximin_takes_the_design_with_the_largest_smallest_distance(
    self, seed
  ):
    """Oracle: scipy's distances of the designs of the split keys."""
    key, num, shape = jax.random.key(seed), 6, (2, 2)
    designs = [
      np.asarray(relaxation.latin_hypercube(k, num, shape))
      for k in jax.random.split(key, 5)
    ]
    smallest = [
      spatial.distance.pdist(design.reshape(num, -1)).min()
      for design in designs
    ]
    result = relaxation.maximin_latin_hypercube(key, num, shape)
    np.testing.assert_array_equal(result, designs[np.argmax(smallest)])
    self.assertGreater(max(smallest), 1.05 * min(smallest))


if __name__ == "__main__":
  absltest.main()
