"""Tests of published algorithms that know no limits, on infeasible rows."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.problem import feasible_first
from nagjax.types import Evaluation
from nagjax.types import Status
from tests.algorithms import registered


class InfeasibleTest(parameterized.TestCase):
  @parameterized.parameters("ednag", "optiproxy")
  def test_they_count_as_failures(self, name):
    """Oracle: the same search whose infeasible rows have failed.

    The order of infeasible rows is a number without a unit, which nothing may
    be computed from.
    """
    made = registered.make(name, "reference")
    algorithm, params = made.algorithm, made.params
    state = jax.jit(algorithm.init)(jax.random.key(0), params)
    proposal, asked = jax.jit(algorithm.ask)(jax.random.key(1), state, params)
    size = algorithm.batch_size
    meets = jnp.arange(size) % 2 == 0
    objectives = jnp.linspace(30.0, 90.0, size)[:, None]
    violations = jnp.where(meets, -1.0, jnp.inf)[:, None]
    objective = feasible_first(objectives, violations)
    limited = Evaluation(
      jnp.zeros(size, jnp.int8), objective, objectives, violations, meets
    )
    status = jnp.where(meets, Status.FRESH, Status.INVALID).astype(jnp.int8)
    failed = limited._replace(
      status=status, objective=jnp.where(meets, objective, -jnp.inf)
    )
    tell = jax.jit(algorithm.tell)
    for before in (state, asked):  # A warm start, and a round.
      found = tell(before, proposal, limited, params)
      expected = tell(before, proposal, failed, params)
      jax.tree.map(np.testing.assert_array_equal, found, expected)
      self.assertTrue(all(np.isfinite(leaf) for leaf in found[1]))


if __name__ == "__main__":
  absltest.main()
