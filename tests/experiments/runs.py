"""Runs of the search binary that its tests share."""

import contextlib
import io
import json
import pathlib
import tempfile

from absl.testing import parameterized
import numpy as np

from experiments import search
from nagjax.benchmarks import synthetic
from nagjax.types import Status

KEYS = (
  "algorithm variant benchmark objective constraint num_seeds budget "
  "queries_mean best_objective_mean best_objective_std best_objective_ci95 "
  "best_test_mean best_test_std optimum_objective optimum_test success_rate "
  "success_at queries_to_optimum_median feasible_rate "
  "simulated_gpu_hours_mean compile_seconds run_seconds searches_per_second "
  "peak_memory_mb config versions device"
).split()
"""Of interface.md."""
MEASURED = ("compile_seconds", "run_seconds", "searches_per_second")
MEASURED += ("peak_memory_mb",)
FILES = ("summary.json", "trace.npz", "architectures.csv", "curve.png")


def run_binary(binary, *arguments):
  """Exit code, stdout and stderr of a binary's run in this process."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = binary.main(["program", *map(str, arguments)])
  return code, out.getvalue(), err.getvalue()


def run(*arguments):
  """Exit code, stdout and stderr of a search, of `synthetic` by default.

  What is merged has a benchmark already.
  """
  merges = any(str(argument).startswith("--merge") for argument in arguments)
  of = () if merges else ("--benchmark=synthetic",)
  return run_binary(search, *of, *arguments)


def summary_of(directory):
  """`summary.json`, read as strictly as JSON is."""

  def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")

  text = (directory / "summary.json").read_text()
  return json.loads(text, parse_constant=refuse)


def arrays_of(directory):
  with np.load(directory / "trace.npz", allow_pickle=False) as file:
    return dict(file)


def valid_accuracy(arch):
  """The closed form of `synthetic`."""
  lost = (np.asarray(arch) != synthetic.PEAKS) @ synthetic.EDGE_WEIGHTS
  return float((synthetic.HEIGHTS - lost).max())


def accuracy_on_test(arch):
  return valid_accuracy(arch) - 0.25 * len(set(arch))


def params_m(arch):
  cost = {2: 0.02, 3: 0.2}
  return 0.3 + sum(cost.get(op, 0.0) for op in arch)


def replay(trace, optimum, limit=np.inf):
  """Every seed again: its best, the test of it, queries, queries to optimum."""
  seeds = []
  for status, archs in zip(trace["status"], trace["archs"], strict=True):
    paid, best, test, hit = set(), -np.inf, None, np.inf
    for slot_status, arch in zip(
      status.reshape(-1), archs.reshape(-1, 6).tolist(), strict=True
    ):
      if slot_status not in (Status.FRESH, Status.REPEAT):
        continue
      paid.add(tuple(arch))
      value = valid_accuracy(arch)
      if params_m(arch) <= limit + 1e-6 and value > best:
        best, test = value, accuracy_on_test(arch)
        if best >= optimum - 1e-3:
          hit = len(paid)
    seeds.append((best, test, len(paid), hit))
  return seeds


class SearchCase(parameterized.TestCase):
  """Runs the binary on the closed-form landscape."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    cls.flags = ("--algorithm=random,local_search", "--budget=60")
    cls.whole = cls.root / "whole"
    cls.outcome = run(*cls.flags, "--num_seeds=4", f"--workdir={cls.whole}")
    cls.parts = [cls.root / "part0", cls.root / "part1"]
    for directory, seeds in zip(
      cls.parts, (("3", "0"), ("1", "3")), strict=True
    ):
      run(
        *cls.flags,
        f"--num_seeds={seeds[0]}",
        f"--seed_start={seeds[1]}",
        f"--workdir={directory}",
      )

  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    self.workdir = self.directory / "results"

  def _small(self, *flags):
    """A run of random search that four seeds and 60 queries bound."""
    base = ("--algorithm=random", "--budget=60", "--num_seeds=4")
    outcome = run(*base, f"--workdir={self.workdir}", *flags)
    self.assertEqual(outcome[0], 0, outcome[2])
    return outcome

  def assert_refused(self, outcome, *parts):
    code, out, err = outcome
    self.assertEqual((code, out), (2, ""))
    self.assertEqual(err.count("\n"), 1, err)
    self.assertTrue(err.endswith("\n"))
    for part in parts:
      self.assertIn(str(part), err)
