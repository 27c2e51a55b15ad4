"""Tests of nagjax.transfer.fitting."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from scipy import stats

from nagjax import transfer
from nagjax.spaces.base import SearchSpace
from nagjax.transfer import base
from nagjax.transfer import fitting
from tests.transfer import dense

SPACE = dense.SPACE
BEGIN = transfer.Config(num_steps=1, learning_rate=1e-7)
"""Leaves the kernel where the fit begins."""


def table_of(values, space=SPACE, archs=None, name="drawn"):
  archs = space.all_architectures() if archs is None else archs
  return transfer.Table(
    space, archs, np.asarray(values, np.float32), name, "value"
  )


def scores(values):
  """Normal scores."""
  return special.ndtri((stats.rankdata(values) - 0.5) / len(values))


@functools.cache
def drawn(seed):
  """A table from a process whose kernel is far from Hamming's."""
  truth = dense.random_correlations(5, SPACE)
  return table_of(dense.draw(seed, truth, SPACE), name=f"drawn{seed}")


def worth(correlations, noise, table):
  """Negative log likelihood of a row of a table, by NumPy."""
  return dense.negative_log_likelihood(
    correlations, noise, table.archs, scores(table.values)
  )


class FittingTest(parameterized.TestCase):
  def test_learns_a_kernel(self):
    """Oracle: the dense likelihood of a third table of the same process: less
    likely under Hamming's kernel of any lengthscale than under what was
    learned; and what `likelihood` says."""
    sources = [drawn(seed) for seed in range(4)]
    learned = transfer.fit(sources, config=transfer.Config(num_steps=150))
    other = drawn(9)
    after = worth(learned.correlations, learned.noise, other)
    for inverse_lengthscale in (0.3, 1.0, 3.0, 9.0):
      kernel = dense.hamming(SPACE, inverse_lengthscale)
      for noise in (0.03, 0.3):
        self.assertLess(after, worth(kernel, noise, other))
    self.assertAlmostEqual(transfer.likelihood(other, learned), after, places=3)
    before = worth(dense.hamming(SPACE), 0.031, other)
    self.assertAlmostEqual(transfer.likelihood(other), before, places=3)

  def test_padding(self):
    """Oracle: unit matrices for options that a variable lacks."""
    learned = transfer.fit([drawn(0)], config=transfer.Config(num_steps=3))
    first = learned.correlations[0]
    np.testing.assert_array_equal(first[3], [0, 0, 0, 1])
    np.testing.assert_array_equal(first[:, 3], [0, 0, 0, 1])
    self.assertEqual(learned.correlations.dtype, np.float32)

  @parameterized.parameters(True, False)
  def test_mean_of_every_architecture(self, shuffled):
    """Oracle: the dense posterior mean, whatever the order of the rows."""
    table = drawn(0)
    if shuffled:
      order = np.random.default_rng(0).permutation(len(table.values))
      table = table._replace(
        archs=table.archs[order], values=table.values[order]
      )
    learned = transfer.fit([table], config=BEGIN)
    self.assertIsNone(learned.support)
    archs = SPACE.all_architectures()
    expected = dense.posterior_mean(
      dense.hamming(SPACE), 0.031, table.archs, scores(table.values), archs
    )
    found = base.mean_of(learned, SPACE, jnp.asarray(archs))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    best = archs[np.argsort(-expected)[:3]]
    np.testing.assert_array_equal(base.favorites(learned, SPACE, 3), best)

  @pytest.mark.slow
  def test_a_part_with_all_rows(self):
    """Oracle: the fit of the full table, before a step and after some."""
    for config in (BEGIN, transfer.Config(num_steps=20)):
      learned = transfer.fit([drawn(0)], config=config)
      kernel, noise, weights, support = fitting._fit_parts(
        [drawn(0)], [1.0], config
      )
      np.testing.assert_allclose(kernel, learned.correlations, atol=2e-3)
      self.assertAlmostEqual(noise, learned.noise, places=3)
      part = learned._replace(
        correlations=kernel, noise=noise, mean=weights, support=support
      )
      archs = jnp.asarray(SPACE.all_architectures())
      np.testing.assert_allclose(
        base.mean_of(part, SPACE, archs), learned.mean, atol=5e-3
      )

  @pytest.mark.slow
  def test_a_part(self):
    """Oracle: the dense posterior mean of the rows that it holds; failures
    count as the worst; the rows of a large table are bounded."""
    rows = np.random.default_rng(1).permutation(48)[:40]
    values = drawn(0).values[rows]
    values[3] = np.nan
    table = table_of(values, archs=drawn(0).archs[rows])
    learned = transfer.fit([table], config=BEGIN)
    np.testing.assert_array_equal(learned.support, table.archs)
    archs = SPACE.all_architectures()
    z = scores(np.where(np.isnan(values), -1e9, values))
    expected = dense.posterior_mean(
      dense.hamming(SPACE), 0.031, table.archs, z, archs
    )
    found = base.mean_of(learned, SPACE, jnp.asarray(archs))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    self.assertAlmostEqual(
      transfer.likelihood(table, learned),
      dense.negative_log_likelihood(
        learned.correlations, learned.noise, table.archs, z
      ),
      places=3,
    )
    few = transfer.Config(num_steps=1, max_rows=25)
    self.assertLen(transfer.fit([table], config=few).support, 25)

  def test_two_sources(self):
    """Oracle: the weighted sum of the dense posterior means."""
    tables = [drawn(0), drawn(1)]
    learned = transfer.fit(tables, [1, 3], BEGIN)
    self.assertEqual([s.weight for s in learned.sources], [0.25, 0.75])
    self.assertEqual(learned.names, "drawn0, drawn1")
    archs = SPACE.all_architectures()
    first, second = (
      dense.posterior_mean(
        dense.hamming(SPACE), 0.031, archs, scores(t.values), archs
      )
      for t in tables
    )
    found = base.mean_of(learned, SPACE, jnp.asarray(archs))
    np.testing.assert_allclose(found, first / 4 + second * 3 / 4, atol=2e-3)

  def test_one_source_with_all_the_weight(self):
    """Oracle: the fit of that source alone."""
    config = transfer.Config(num_steps=20)
    alone = transfer.fit([drawn(0)], config=config)
    both = transfer.fit([drawn(0), drawn(1)], [1.0, 1e-6], config)
    np.testing.assert_allclose(both.correlations, alone.correlations, atol=1e-3)

  @parameterized.named_parameters(
    ("no_source", [], None, "at least one source"),
    ("few_weights", [0, 1], [1.0], "2 positive numbers"),
    ("zero", [0], [0.0], "positive"),
    ("infinite", [0], [np.inf], "positive"),
    ("other_space", ["other", 0], None, "one space, got other and tiny"),
    ("few_rows", ["few"], None, "at least 20 rows with a value"),
    ("failures", ["failures"], None, "at least 20 rows with a value"),
    ("constant", ["constant"], None, "are equal"),
    ("range", ["range"], None, "must be in 0..2"),
    ("shape", ["shape"], None, "int\\[N, 3\\]"),
  )
  def test_bad_input(self, sources, weights, message):
    """Oracle: the documented ValueError."""
    table = drawn(0)
    other = SearchSpace("other", (5, 5))
    bad = {
      "other": table_of(np.arange(25), other),
      "few": table_of(np.arange(19), archs=table.archs[:19]),
      "failures": table_of(np.where(np.arange(48) < 19, table.values, np.nan)),
      "constant": table_of(np.ones(48)),
      "range": table._replace(archs=table.archs + 1),
      "shape": table._replace(archs=table.archs[:, :2]),
    }
    tables = [bad[s] if isinstance(s, str) else drawn(s) for s in sources]
    with self.assertRaisesRegex(ValueError, message):
      transfer.fit(tables, weights, BEGIN)


if __name__ == "__main__":
  absltest.main()
