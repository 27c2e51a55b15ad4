"""Tests of nagjax.benchmarks.synthetic: its documented claims."""

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import synthetic
from nagjax.spaces import nasbench201

PARAMS_M = [0.0, 0.0, 0.02, 0.2, 0.0]


def cells():
  return nasbench201.nasbench201().all_architectures()


def heights():
  """`[15625, 4]` value of every cone, by Python loops over edges."""
  columns = []
  for peak, height in zip(synthetic.PEAKS, synthetic.HEIGHTS, strict=True):
    lost = np.zeros(len(cells()))
    for edge, weight in enumerate(synthetic.EDGE_WEIGHTS):
      lost += np.where(cells()[:, edge] == peak[edge], 0.0, weight)
    columns.append(height - lost)
  return np.stack(columns, axis=1)


def distances():
  """`[15625, 24]` index of every neighbor, by positional arithmetic."""
  index = np.arange(15625)
  found = []
  for edge in range(6):
    digit = index // 5**edge % 5
    for step in range(1, 5):
      found.append(index + ((digit + step) % 5 - digit) * 5**edge)
  return np.stack(found, axis=1)


class SyntheticTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.benchmark = synthetic.synthetic()
    self.value = np.asarray(self.benchmark.queried["valid_accuracy"])

  def test_values_are_the_envelope_of_the_cones(self):
    """Oracle: the formula of the docstring in Python loops."""
    np.testing.assert_allclose(self.value, heights().max(1), rtol=0, atol=0)

  def test_the_first_peak_is_the_only_optimum(self):
    """Oracle: brute force over all cells."""
    best = cells()[self.value == self.value.max()]
    np.testing.assert_array_equal(best, synthetic.PEAKS[:1])
    self.assertEqual(self.value.max(), 94.0)

  def test_the_peaks_are_the_only_local_optima(self):
    """Oracle: no neighbor as good or better, over all cells."""
    better = self.value[:, None] <= self.value[distances()]
    strict = cells()[~better.any(1)]
    weak = cells()[~(self.value[:, None] < self.value[distances()]).any(1)]
    peaks = set(map(tuple, synthetic.PEAKS.tolist()))
    self.assertEqual(set(map(tuple, strict.tolist())), peaks)
    self.assertEqual(set(map(tuple, weak.tolist())), peaks)

  def test_basins_are_where_a_cone_is_the_highest(self):
    """Oracle: arg-max of the cones; each peak lies in its own basin."""
    archs = jnp.asarray(cells())
    np.testing.assert_array_equal(
      synthetic.basin(archs), heights().argmax(axis=1)
    )
    np.testing.assert_allclose(synthetic.cones(archs), heights(), atol=0)
    np.testing.assert_array_equal(
      synthetic.basin(jnp.asarray(synthetic.PEAKS)), np.arange(4)
    )

  def test_greedy_ascent_stays_in_its_basin(self):
    """Oracle: steepest ascent, brute force, from cells with one best cone."""
    best = distances()[np.arange(15625), self.value[distances()].argmax(axis=1)]
    best = np.where(self.value[best] > self.value, best, np.arange(15625))
    end = best
    for _ in range(6):
      end = best[end]
    top = np.sort(heights(), axis=1)
    clear = top[:, 3] - top[:, 2] >= synthetic.EDGE_WEIGHTS.max()
    basin = heights().argmax(axis=1)
    np.testing.assert_array_equal(cells()[end], synthetic.PEAKS[basin[end]])
    np.testing.assert_array_equal(basin[end][clear], basin[clear])
    self.assertGreater(clear.mean(), 0.1)

  def test_test_accuracy_loses_a_quarter_for_each_distinct_operation(self):
    """Oracle: Python sets."""
    distinct = np.asarray([len(set(c)) for c in cells().tolist()])
    test = np.asarray(self.benchmark.reported["test_accuracy"])
    np.testing.assert_allclose(test, self.value - 0.25 * distinct, atol=1e-5)

  def test_test_accuracy_orders_the_top_differently(self):
    """Oracle: the documented claim, by sorting the best hundred."""
    test = np.asarray(self.benchmark.reported["test_accuracy"])
    top = np.argsort(-self.value, kind="stable")[:100]
    self.assertTrue(np.any(np.diff(test[top]) > 0))
    self.assertGreater(np.corrcoef(test, self.value)[0, 1], 0.95)

  def test_parameters_are_counted_by_operation(self):
    """Oracle: a sum over a dictionary."""
    expected = [0.3 + sum(PARAMS_M[op] for op in c) for c in cells().tolist()]
    np.testing.assert_allclose(
      self.benchmark.queried["params_m"], expected, rtol=1e-6
    )

  def test_every_column_has_a_unit_and_accuracies_are_percent(self):
    """Oracle: the house rule on columns."""
    names = {*self.benchmark.queried, *self.benchmark.reported}
    self.assertEqual(set(dict(self.benchmark.units)), names)
    for column in ("queried", "reported"):
      for name, values in getattr(self.benchmark, column).items():
        self.assertEqual(values.dtype, jnp.float32, name)
        if name.endswith("accuracy"):
          self.assertBetween(float(values.min()), 0, 100)
          self.assertBetween(float(values.max()), 50, 100)


if __name__ == "__main__":
  absltest.main()
