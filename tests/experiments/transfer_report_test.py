"""Tests of experiments.transfer_report."""

import csv
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from experiments import transfer_report
from experiments.support import tables
import nagjax
from nagjax import files
from nagjax import transfer
from tests.experiments import runs
from tests.experiments import transfer_tables

NUM_SEEDS, BUDGET = 3, 12
FLAGS = (
  "--sources=first,first+part",
  "--targets=second,part:-cost",
  f"--num_seeds={NUM_SEEDS}",
  f"--budget={BUDGET}",
  "--at=2,12",
)


def make_search(algorithm, problem, *, budget, data_dir, transfer=()):
  """Two searches that compile fast; what is refused is refused."""
  del algorithm, data_dir
  nagjax.transfer.check_usable(transfer, problem.space, problem)
  name = "local_search" if transfer else "random"
  return nagjax.make_search(name, problem, budget=budget)


def curves(name, problem):
  """Best objective after every query, by NumPy."""
  search = nagjax.make_search(name, problem, budget=BUDGET)
  keys = jax.random.split(jax.random.key(0), NUM_SEEDS)
  trace = nagjax.sweep(keys, search).trace
  charged = trace.paid.reshape(NUM_SEEDS, -1).cumsum(axis=1)
  value = trace.objective.reshape(NUM_SEEDS, -1)
  return np.stack(
    [
      np.where(charged <= queries, value, -np.inf).max(axis=1)
      for queries in range(1, BUDGET + 1)
    ],
    axis=1,
  )


class TransferReportTest(runs.BinaryCase):
  def setUp(self):
    super().setUp()
    self.enter_context(transfer_tables.registered())

  def report(self, *flags):
    return runs.run_binary(
      transfer_report, f"--workdir={self.workdir}", *FLAGS, *flags
    )

  def rows(self):
    _, rows = files.read_csv(self.workdir / transfer_report.TABLE)
    return {(row["target"], row["source"]): row for row in rows}

  @pytest.mark.slow
  def test_rows(self):
    """Oracle: the sweeps by NumPy; a pair with a source that is the target
    says so; what is done is not done again, and what is missing is."""
    with mock.patch.object(transfer_report, "make_search", make_search):
      out = self.assert_succeeds(self.report())
      done = self.rows()
      self.assertLen(done, 6)
      self.assertLen(out.splitlines(), 6)
      self.assertIn(
        "learned from part", done["part:-cost", "first+part"]["note"]
      )
      problem = nagjax.Problem(transfer_tables.table("second", 1))
      without = curves("random", problem)
      best = curves("local_search", problem)
      row = done["second", "first"]
      self.assertEqual(row["mean_2"], f"{best[:, 1].mean():.3f}")
      top = float(np.max(problem.benchmark.queried["worth"]))
      self.assertEqual(row["share_12"], f"{(best[:, -1] >= top).mean():.3f}")
      self.assertEqual(
        row["verdict_12"], transfer_report.compare(best[:, -1], without[:, -1])
      )
      first = done["second", "none"]
      self.assertEqual(first["mean_12"], f"{without[:, -1].mean():.3f}")
      self.assertEqual(first["verdict_12"], "")
      path = self.workdir / transfer_report.TABLE
      before = path.read_bytes()
      self.assertEqual(self.assert_succeeds(self.report()), out)
      self.assertEqual(path.read_bytes(), before)
      names, rows = files.read_csv(path)
      with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(row for row in rows if row["source"] != "first")
      self.assert_succeeds(self.report())
      self.assertEqual(
        {k: v | {"cpu_seconds": ""} for k, v in self.rows().items()},
        {k: v | {"cpu_seconds": ""} for k, v in done.items()},
      )
      self.assertTrue((self.workdir / transfer_report.PLOT).exists())
      self.assert_refused(self.report("--num_seeds=4"), "--num_seeds=3", "of 4")
    curves_path = self.workdir / transfer_report.CURVES
    curves_path.write_bytes(curves_path.read_bytes()[:-9])
    self.assert_refused(self.report(), "curves.npz")

  @pytest.mark.slow
  def test_a_budget_below_the_initial_design(self):
    """Oracle: the row of the search without says what it needs."""
    self.assert_succeeds(
      self.report(
        "--sources=second", "--targets=second", "--budget=8", "--at=1,8"
      )
    )
    for source, message in (("none", "at least 10"), ("second", "learned")):
      self.assertIn(message, self.rows()["second", source]["note"])

  @pytest.mark.slow
  def test_a_search(self):
    """Oracle: EDNAG's own search, which takes the transfer of a file."""
    path = self.directory / "mine.npz"
    table = transfer.read_table(
      nagjax.Problem(transfer_tables.table("first", 0))
    )
    learned = transfer.fit([table], config=transfer.Config(num_steps=4))
    transfer.save(path, learned)
    self.assert_succeeds(
      self.report(f"--sources={path}", "--targets=second", "--budget=24")
    )
    self.assert_refused(
      self.report(f"--sources={path}", "--targets=second"), "--budget=24"
    )
    problem = nagjax.Problem(transfer_tables.table("second", 1))
    search = nagjax.make_search("ednag", problem, budget=24, transfer=learned)
    keys = jax.random.split(jax.random.key(0), NUM_SEEDS)
    trace = nagjax.sweep(keys, search).trace
    charged = trace.paid.reshape(NUM_SEEDS, -1).cumsum(axis=1)
    value = trace.objective.reshape(NUM_SEEDS, -1)
    best = np.where(charged <= 12, value, -np.inf).max(axis=1)
    row = self.rows()["second", str(path)]
    self.assertEqual(row["mean_12"], f"{best.mean():.3f}")


class CompareTest(parameterized.TestCase):
  @parameterized.parameters(
    ([3, 4, 5], [1, 2, 2.9], "ahead"),
    ([1, 2, 2.9], [3, 4, 5], "behind"),
    ([1, 2, 3], [1, 2, 3], "level"),
    ([1, 2, 3], [3, 2, 1], "level"),
    ([1, 2, 3], [1, 2, -np.inf], "-"),
    ([1], [2], "-"),
  )
  def test_compare(self, best, without, verdict):
    """Oracle: by hand."""
    self.assertEqual(
      transfer_report.compare(np.asarray(best), np.asarray(without)), verdict
    )


class TablesTest(runs.BinaryCase):
  def test_another_table(self):
    """Oracle: a table of other columns is refused and stays as it is."""
    path = self.directory / "combinations.csv"
    tables.write_rows(path, ("a", "b"), {("1", "2"): {"c": "3"}})
    self.assertEqual(
      tables.read_rows(path, ("a", "b")), {("1", "2"): {"c": "3"}}
    )
    with self.assertRaisesRegex(ValueError, "must begin with a, c"):
      tables.read_rows(path, ("a", "c"))


if __name__ == "__main__":
  absltest.main()
