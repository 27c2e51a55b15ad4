"""How often the baselines reach the optimum of real tables: slow.

The reference values are shares of independent runs of the same algorithms by
other programs; two samples are compared.
"""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import search as search_lib
from tests import data

AT = (50, 100, 200, 300, 500)
SHARES = (
  # Algorithm, data set, seeds of the reference, share at the optimum.
  ("local_search", "cifar10", 1000, (0.335, 0.692, 0.943, 0.992, 1.0)),
  ("local_search", "cifar100", 1000, (0.322, 0.682, 0.937, 0.987, 1.0)),
  ("local_search_all", "cifar10", 1000, (0.031, 0.261, 0.658, 0.828, 0.949)),
  ("local_search_all", "cifar100", 1000, (0.025, 0.318, 0.723, 0.890, 0.986)),
  (
    "regularized_evolution",
    "cifar10",
    600,
    (0.035, 0.312, 0.732, 0.885, 0.970),
  ),
  (
    "regularized_evolution",
    "cifar100",
    600,
    (0.037, 0.385, 0.900, 0.993, 0.998),
  ),
)


def success_at(trace, optimum):
  """Share of seeds that hold the optimum within so many charged queries."""
  paid = trace.paid.reshape(trace.paid.shape[0], -1)
  hit = (trace.objective >= optimum - 1e-3).reshape(paid.shape)
  charged = np.cumsum(paid, axis=1)
  first = np.where(
    hit.any(1), charged[np.arange(len(hit)), hit.argmax(1)], 9999
  )
  return [(first <= num).mean() for num in AT]


@pytest.mark.slow
class SharesTest(parameterized.TestCase):
  @parameterized.parameters(*SHARES)
  @data.needs_table("nb201.npz")
  def test_share_of_seeds_at_the_optimum(self, name, data_set, num, expected):
    """Oracle: another program's shares, within 3.5 standard errors."""
    folder = data.table_path("nb201.npz").parent
    benchmark = registry.make_benchmark(f"nasbench201/{data_set}", str(folder))
    problem = problem_lib.Problem(benchmark)
    search = registry.make_search(name, problem, budget=500)
    keys = jax.random.split(jax.random.key(2024), num)
    trace = search_lib.sweep(keys, search).trace
    np.testing.assert_array_equal(trace.charged[:, -1], 500)
    ours = np.asarray(success_at(trace, problem.optimum()[0]))
    pooled = (ours + expected) / 2
    error = np.sqrt(2 * pooled * (1 - pooled) / num)
    difference = np.abs(ours - expected)
    self.assertTrue(
      np.all(difference <= 3.5 * error + 5e-4), f"{ours} against {expected}"
    )


if __name__ == "__main__":
  absltest.main()
