"""Tests of nagjax.search.host_sweeping against the compiled sweep."""

import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import search as search_lib
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests.search import toys

KEY = jax.random.key(0)
SPACE = nasbench201.nasbench201()


def climb():
  limited = Problem(toys.failing(share=0.1), constraints=("params_m<=0.6",))
  return toys.search_of(toys.climber(SPACE), limited, toys.climber_params())


class SweepOnHostTest(parameterized.TestCase):
  @parameterized.parameters(False, True)
  @pytest.mark.slow
  def test_equals_the_compiled_sweep(self, has_warm_start):
    """Oracle: `search.sweep`, bit for bit, infos and final states too."""
    warm_start = search_lib.WarmStart(SPACE.from_index(jnp.arange(400, 405)))
    options = {"warm_start": warm_start} if has_warm_start else {}
    keys = jax.random.split(KEY, 3)
    search = climb()
    expected = search_lib.sweep(keys, search, **options)
    shares = []
    folder = self.enter_context(tempfile.TemporaryDirectory())
    for _ in range(2):  # The second one is read from the files.
      found = search_lib.sweep_on_host(
        keys,
        search,
        directories=[f"{folder}/{i}" for i in range(3)],
        on_progress=lambda progress: shares.append(progress.share),
        **options,
      )
      jax.tree.map(
        np.testing.assert_array_equal,
        search_lib.tidy(found.trace),
        search_lib.tidy(expected.trace),
      )
      num = min(found.info.best.shape[1], expected.info.best.shape[1])
      for ours, theirs in zip(found.info, expected.info, strict=True):
        np.testing.assert_array_equal(ours[:, :num], theirs[:, :num])
      self.assertEqual(found.state.round.shape, (3,))
      np.testing.assert_array_equal(
        found.state.ledger.paid, expected.state.ledger.paid
      )
    self.assertEqual(shares, sorted(shares))
    self.assertEqual(shares[-1], 1.0)
    self.assertGreater(found.run_seconds, 0)

  def test_a_directory_for_every_key(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "as many as keys, 2, got 1"):
      search_lib.sweep_on_host(
        jax.random.split(KEY, 2), climb(), directories=["run"]
      )


if __name__ == "__main__":
  absltest.main()
