"""Tests of searches with fidelities on the command line."""

import json
import pathlib
import tempfile

from absl.testing import absltest
import numpy as np
import pytest

from experiments import fidelities
from experiments import search
from nagjax.benchmarks import epochs
from nagjax.benchmarks import trained
from nagjax.spaces import nasbench201
from tests.experiments import runs

NUM = 60
EPOCHS = (1, 3, 10)


def write_table(path):
  """A part of the cells whose early epochs are noisy."""
  rng = np.random.default_rng(0)
  ops = nasbench201.nasbench201().all_architectures()
  value = rng.random((NUM, 1))
  arrays = {name: value for name in trained.METRICS}
  for epoch in EPOCHS:
    name = epochs.at_epoch("valid_probability", epoch)
    arrays[name] = value + 0.2 * rng.random((NUM, 1)) / epoch
  settings = {"num_representatives": 9, "recipe": {"num_epochs": 30}}
  header = {"kind": trained.KIND, "settings": settings}
  np.savez(
    path,
    **arrays,
    ops=ops[rng.permutation(len(ops))[:NUM]].astype(np.int8),
    failed=np.zeros((NUM, 1), bool),
    params_m=rng.random(NUM),
    flops_m=rng.random(NUM),
    header=np.asarray(json.dumps(header)),
  )


class CommandTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    write_table(cls.folder / "trained_small.npz")
    cls.given = [
      "--benchmark=trained/small",
      f"--data_dir={cls.folder}",
    ]

  def _search(self, name, *argv):
    workdir = self.folder / name
    code, out, err = runs.run_binary(
      search, *self.given, f"--workdir={workdir}", *argv
    )
    self.assertEqual(code, 0, err)
    summaries = json.loads((workdir / "summary.json").read_text())
    with np.load(workdir / "trace.npz") as file:
      return summaries, dict(file), out

  @pytest.mark.slow
  def test_a_run_and_its_halves(self):
    """Oracle: costs summed up from the trace; halves merged are the whole."""
    asked = [
      *("--algorithm=random,hyperband", "--fidelity=3", "--promote=2"),
      "--budget=5",
    ]
    summaries, whole, out = self._search("whole", *asked, "--num_seeds=4")
    self.assertIn("cost in full evaluations", out)
    self.assertIn("60 of 15,625 architectures", out)
    for summary in summaries:
      found = summary["fidelities"]
      self.assertEqual(found["costs"], [1, 3, 10, 30])
      prefix = f"{summary['algorithm']}/"
      cost, paid = whole[prefix + "cost"], whole[prefix + "paid"]
      self.assertAlmostEqual(
        summary["cost_mean"], cost.sum(axis=(1, 2)).mean() / 30, places=5
      )
      self.assertLessEqual(cost.sum(axis=(1, 2)).max(), 5 * 30)
      self.assertEqual(summary["queries_mean"], paid.sum(axis=(1, 2)).mean())
      full = paid & (whole[prefix + "fidelity"] == 3)
      best = np.where(full, whole[prefix + "objective"], -np.inf)
      self.assertAlmostEqual(
        summary["best_objective_mean"], best.max(axis=(1, 2)).mean(), places=4
      )
    self.assertEqual(summaries[0]["config"]["promote"], 2)
    for name, seeds in (("first", "0"), ("second", "2")):
      self._search(name, *asked, "--num_seeds=2", f"--seed_start={seeds}")
    code, _, err = runs.run_binary(
      search,
      f"--data_dir={self.folder}",
      f"--workdir={self.folder / 'merged'}",
      *(f"--merge={self.folder / name}" for name in ("first", "second")),
    )
    self.assertEqual(code, 0, err)
    with np.load(self.folder / "merged" / "trace.npz") as file:
      self.assertEqual(set(file.files), set(whole))
      for name in whole:
        np.testing.assert_array_equal(file[name], whole[name], name)

  @pytest.mark.slow
  def test_the_table_of_budgets(self):
    """Oracle: a row for every case; what is there is not done again."""
    argv = [
      *self.given,
      *("--algorithms=random", "--fidelities=3", "--budgets=4,6"),
      *("--num_seeds=3", f"--workdir={self.folder / 'table'}"),
    ]
    code, out, err = runs.run_binary(fidelities, *argv)
    self.assertEqual(code, 0, err)
    lines = [line.split(" | ") for line in out.splitlines()]
    self.assertEqual(
      [line[1:4] for line in lines],
      [
        [budget, *case]
        for budget in ("4", "6")
        for case in (
          ("random", "full"),
          ("random", "3"),
          ("successive_halving", "all"),
          ("hyperband", "all"),
        )
      ],
    )
    for line in lines:
      self.assertLessEqual(float(line[-1]), float(line[1]))
    again = runs.run_binary(fidelities, *argv)
    self.assertEqual(sorted(again[1]), sorted(out))

  def test_refused(self):
    """Oracle: exit code 2, one line that says what was expected."""
    small = self.given
    cases = (
      (search, [*small, "--fidelity=7"], "one of 1, 3, 10, below"),
      (search, [*small, "--promote=3"], "needs a fidelity"),
      (search, [*small, "--fidelity=3", "--promote=0"], "promote"),
      (search, [*small, "--budget=0"], "budget"),
      (search, [*small, "--fidelity=3", "--budget=2"], "initial design"),
      (
        search,
        [*small, "--algorithm=hyperband", "--fidelity=3"],
        "which use all fidelities",
      ),
      (
        search,
        ["--benchmark=synthetic", "--algorithm=hyperband"],
        "which synthetic has none of",
      ),
      (
        search,
        ["--benchmark=synthetic", "--algorithm=random", "--fidelity=3"],
        "none there",
      ),
      (
        search,
        [*small, "--algorithm=hyperband", "--objective=valid_probability"]
        + ["--objective=-params_m"],
        "one objective with several fidelities",
      ),
      (fidelities, ["--benchmark=synthetic"], "one fidelity"),
      (fidelities, [*small, "--budgets=none"], "--at"),
    )
    for binary, argv, words in cases:
      code, _, err = runs.run_binary(
        binary, *argv, f"--workdir={self.folder / 'no'}"
      )
      self.assertEqual((code, err.count("\n")), (2, 1), (argv, err))
      self.assertIn(words, err, argv)


if __name__ == "__main__":
  absltest.main()
