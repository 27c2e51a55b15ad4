"""Tests of experiments.fit_transfer."""

import re

from absl.testing import absltest
import numpy as np
import pytest

from experiments import fit_transfer
from nagjax import transfer
from nagjax.problem import Problem
from tests.experiments import runs
from tests.experiments import transfer_tables


class FitTransferTest(runs.BinaryCase):
  def setUp(self):
    super().setUp()
    self.enter_context(transfer_tables.registered())
    self.output = self.directory / "mine.npz"

  def fit(self, *flags):
    return runs.run_binary(
      fit_transfer, f"--output={self.output}", "--num_steps=4", *flags
    )

  def test_two_sources(self):
    """Oracle: `transfer.fit` of the same tables; `likelihood` before and
    after; the same bytes again."""
    flags = (
      "--benchmark=first",
      "--benchmark=second:-cost",
      "--weight=1",
      "--weight=3",
    )
    out = self.assert_succeeds(self.fit(*flags))
    content = self.output.read_bytes()
    tables = [
      transfer.read_table(Problem(transfer_tables.table("first", 0))),
      transfer.read_table(
        Problem(transfer_tables.table("second", 1), ("-cost",))
      ),
    ]
    config = transfer.Config(num_steps=4)
    expected = transfer.fit(tables, [1, 3], config)
    found = transfer.load(self.output)
    np.testing.assert_array_equal(found.correlations, expected.correlations)
    np.testing.assert_array_equal(found.mean, expected.mean)
    self.assertEqual(
      [(s.name, s.objective, s.weight) for s in found.sources],
      [("first", "worth", 0.25), ("second", "-cost", 0.75)],
    )
    for table, line in zip(tables, out.splitlines(), strict=False):
      numbers = re.findall(r"-?\d+\.\d{3}", line)
      likelihoods = [
        transfer.likelihood(table, learned, config)
        for learned in (None, expected)
      ]
      self.assertEqual(numbers, [f"{value:.3f}" for value in likelihoods])
      self.assertIn("48 rows", line)
    self.assertIn(f"{len(content):,} bytes", out)
    self.assert_refused(self.fit(*flags), "mine.npz exists")
    self.assert_succeeds(self.fit(*flags, "--overwrite"))
    self.assertEqual(self.output.read_bytes(), content)

  @pytest.mark.slow
  def test_a_part(self):
    """Oracle: as many rows as --max_rows become the support."""
    flags = ("--benchmark=part", "--max_rows=30", "--objective=-cost")
    out = self.assert_succeeds(self.fit(*flags))
    self.assertIn("part, -cost: 36 rows", out)
    found = transfer.load(self.output)
    self.assertEqual(found.support.shape, (30, 3))
    self.assertEqual(found.sources[0].objective, "-cost")

  def test_refused(self):
    """Oracle: one line, and no file."""
    for flags, message in (
      (("--benchmark=poor",), "at least 20 rows with a value"),
      (("--benchmark=first:beauty",), "'beauty' is no column of first"),
      (("--benchmark=first", "--weight=1", "--weight=2"), "--weight is given"),
      (("--benchmark=first", "--benchmark=synthetic"), "of one space"),
    ):
      self.assert_refused(self.fit(*flags), message)
      self.assertEqual(list(self.directory.iterdir()), [])


if __name__ == "__main__":
  absltest.main()
