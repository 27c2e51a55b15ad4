"""Tests of nagjax.benchmarks.host; searches of it are in tests/search."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.benchmarks import HostBenchmark
from nagjax.problem import Problem
from nagjax.spaces import nasbench201

SPACE = nasbench201.nasbench201()
ARCHS = np.zeros((2, 6), np.int32)


def answering(found, columns=("accuracy", "latency_ms"), **options):
  return HostBenchmark(SPACE, lambda archs: found, columns, **options)


class HostBenchmarkTest(parameterized.TestCase):
  def test_what_a_search_and_a_reader_see(self):
    """Oracle: the columns by name, as float32; numbers of any kind."""
    benchmark = answering(
      {
        "accuracy": [90, 91],
        "latency_ms": np.float64([1.5, 1e300]),
        "test": jnp.asarray([0.5, np.nan], jnp.bfloat16),
      },
      reported=("test",),
      test="test",
    )
    queried, reported = benchmark.query(ARCHS), benchmark.report(ARCHS)
    self.assertEqual(queried["accuracy"].tolist(), [90, 91])
    self.assertEqual(queried["latency_ms"].tolist(), [1.5, np.inf])
    np.testing.assert_array_equal(reported["test"], np.float32([0.5, np.nan]))
    self.assertEqual(list(queried), ["accuracy", "latency_ms"])
    self.assertEqual(list(reported), ["test"])
    for column in (*queried.values(), *reported.values()):
      self.assertEqual(column.dtype, np.float32)
    self.assertEqual(benchmark.objective, "accuracy")
    self.assertIsNone(Problem(benchmark).optimum())

  def test_one_column_needs_no_name(self):
    """Oracle: the array itself; it is called with NumPy's integers."""
    seen = []

    def evaluate(archs):
      seen.append(archs)
      return archs.sum(axis=1)

    benchmark = HostBenchmark(SPACE, evaluate)
    found = benchmark.query(jnp.asarray(ARCHS + 1))
    self.assertEqual(found["objective"].tolist(), [6, 6])
    self.assertIsInstance(seen[0], np.ndarray)

  @parameterized.parameters(
    ([1, 2], "a dictionary of accuracy, latency_ms, got list"),
    ({"accuracy": [1, 2]}, "the columns accuracy, latency_ms, got accuracy"),
    ({}, "got none"),
    ({"accuracy": [1, 2], "latency_ms": [1]}, r"2 numbers.*int64\[1\]"),
    ({"accuracy": 1, "latency_ms": [1, 2]}, r"numbers as accuracy.*\[\]"),
    ({"accuracy": [[1], [2]], "latency_ms": [1, 2]}, r"\[2, 1\]"),
    ({"accuracy": [[1], []], "latency_ms": [1, 2]}, "2 numbers as accuracy"),
    ({"accuracy": ["a", "b"], "latency_ms": [1, 2]}, "got <U1"),
    ({"accuracy": [1j, 2], "latency_ms": [1, 2]}, "got complex"),
    ({"accuracy": [None, 2], "latency_ms": [1, 2]}, "got object"),
  )
  def test_other_answers_are_refused(self, found, message):
    """Oracle: one line that says what was expected."""
    with self.assertRaisesRegex(
      ValueError, f"evaluate_fn must return .*{message}"
    ) as caught:
      answering(found).query(ARCHS)
    self.assertNotIn("\n", str(caught.exception))

  @parameterized.parameters(
    (dict(columns="accuracy"), "columns must be names"),
    (dict(columns=()), "at least one column"),
    (dict(columns=("a", "a")), "distinct names"),
    (dict(reported=("accuracy",)), "distinct names"),
    (dict(test="test"), "test must be in"),
    (dict(num_rows=10), "num_rows needs identities_fn"),
  )
  def test_other_benchmarks_are_refused(self, options, message):
    """Oracle: the documented ValueError, at construction."""
    with self.assertRaisesRegex(ValueError, message):
      answering(None, **options)
    with self.assertRaisesRegex(ValueError, "evaluate_fn must be a function"):
      HostBenchmark(SPACE, [1, 2])

  def test_it_is_static_and_cannot_be_compiled(self):
    """Oracle: no leaves; the documented ValueError inside a program."""
    benchmark = answering({})
    self.assertEmpty(jax.tree.leaves(benchmark))
    with self.assertRaisesRegex(ValueError, "use run_on_host"):
      jax.eval_shape(benchmark.query, jnp.asarray(ARCHS))


if __name__ == "__main__":
  absltest.main()
