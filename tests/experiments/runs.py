"""Runs of binaries that their tests share."""

import contextlib
import functools
import importlib
import io
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import parameterized
import numpy as np

from experiments.support import progress
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
RANDOM = ("--algorithm=random,local_search", "--budget=60")
"""A search of two algorithms that compile in a second."""


def run_binary(binary, *arguments):
  """Exit code, stdout and stderr of a binary's run in this process.

  Args:
    binary: the module, or its name.
    *arguments: its flags.
  """
  if isinstance(binary, str):
    binary = importlib.import_module(f"experiments.{binary}")
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = binary.main(["program", *map(str, arguments)])
  return code, out.getvalue(), err.getvalue()


def run(*arguments):
  """The same of a search, of `synthetic` by default.

  What is merged has a benchmark already.
  """
  merges = any(str(argument).startswith("--merge") for argument in arguments)
  of = () if merges else ("--benchmark=synthetic",)
  return run_binary("search", *of, *arguments)


def search_of(num_seeds, seed_start=0):
  """The directory and the outcome of a finished search, run once a process."""
  return _search_of(num_seeds, seed_start)


@functools.cache
def _search_of(num_seeds, seed_start):
  folder = pathlib.Path(_folder().name, f"{num_seeds}_{seed_start}")
  outcome = run(
    *RANDOM,
    f"--num_seeds={num_seeds}",
    f"--seed_start={seed_start}",
    f"--workdir={folder}",
  )
  assert outcome[0] == 0, outcome
  return folder, outcome


@functools.cache
def _folder():
  return tempfile.TemporaryDirectory()


@contextlib.contextmanager
def killed_after(num_chunks):
  """Trainings whose progress ends the run when so many chunks are done."""

  def on_progress(done, _, measures):
    if measures and done == num_chunks:
      raise KeyboardInterrupt

  with mock.patch.object(
    progress, "of_training", lambda: contextlib.nullcontext(on_progress)
  ):
    yield


def summary_of(directory):
  """`summary.json`, read as strictly as JSON is."""

  def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")

  text = (directory / "summary.json").read_text()
  return json.loads(text, parse_constant=refuse)


def arrays_of(directory):
  with np.load(directory / "trace.npz", allow_pickle=False) as file:
    return dict(file)


def write_images(path, num=40, **changes):
  """Two classes of images that differ in their mean, and another content."""
  rng = np.random.default_rng(0)
  y = np.arange(num) % 2
  x = rng.normal(size=(num, 4, 4, 1)) + 4.0 * y[:, None, None, None]
  np.savez(path, **({"x": x, "y": y} | changes))
  return x, y


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


class BinaryCase(parameterized.TestCase):
  """Has a directory of its own, and words for outcomes."""

  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    ).resolve()
    self.workdir = self.directory / "results"

  def run_small(self, *flags):
    """A run of random search that four seeds and 60 queries bound."""
    outcome = run(
      *("--algorithm=random", "--budget=60", "--num_seeds=4"),
      f"--workdir={self.workdir}",
      *flags,
    )
    self.assert_succeeds(outcome)
    return outcome

  def assert_refused(self, outcome, *parts):
    """Oracle: exit code 2 and one line on stderr that has all the parts."""
    code, _, err = outcome
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertTrue(err.endswith("\n"))
    for part in parts:
      self.assertIn(str(part), err)

  def assert_succeeds(self, outcome):
    """Oracle: exit code 0; returns what was printed."""
    code, out, err = outcome
    self.assertEqual(code, 0, err)
    return out
