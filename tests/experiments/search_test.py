"""Tests of experiments.search and of what it writes.

The expected numbers are computed from `trace.npz` by plain loops over seeds,
rounds and slots, with a set as the ledger and the closed form of `synthetic`.
"""

import contextlib
import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments import common
from experiments import plots
from experiments import results
from experiments import search
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import synthetic
from nagjax.spaces import nasbench201
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


def run(*arguments):
  """Exit code and what was printed."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = search.main(["search", *map(str, arguments)])
  return code, out.getvalue(), err.getvalue()


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


class SearchTest(parameterized.TestCase):
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

  def test_files(self):
    """Oracle: the files of interface.md and nothing else."""
    self.assertEqual(self.outcome[0], 0)
    written = sorted(path.name for path in self.whole.iterdir())
    self.assertEqual(written, sorted(FILES))
    png = (self.whole / "curve.png").read_bytes()
    self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")

  def test_keys(self):
    """Oracle: the list of interface.md; names and settings are the flags'."""
    summary = summary_of(self.whole)
    for entry, name in zip(summary, ("random", "local_search"), strict=True):
      self.assertEqual(list(entry)[: len(KEYS)], KEYS)
      self.assertEqual(entry["algorithm"], name)
      self.assertEqual(entry["variant"], "")
      self.assertEqual(entry["benchmark"], "synthetic")
      self.assertEqual(entry["objective"], "valid_accuracy (%)")
      self.assertIsNone(entry["constraint"])
      self.assertEqual((entry["num_seeds"], entry["budget"]), (4, 60))
      self.assertEqual(entry["seed_ranges"], [[0, 4]])
      self.assertIsNone(entry["simulated_gpu_hours_mean"])
      self.assertEqual(entry["versions"], common.versions())
      self.assertAlmostEqual(
        entry["searches_per_second"], 4 / entry["run_seconds"]
      )
    self.assertEqual(summary[0]["config"], {"batch_size": 10})

  @parameterized.parameters(0, 1)
  def test_numbers(self, place):
    """Oracle: every seed replayed with a set for a ledger."""
    entry = summary_of(self.whole)[place]
    prefix = f"{entry['algorithm']}/"
    arrays = arrays_of(self.whole)
    trace = {k.removeprefix(prefix): v for k, v in arrays.items()}
    best, test, queries, hits = zip(*replay(trace, 94.0), strict=True)
    mean, std = np.mean(best), np.std(best, ddof=1)
    half = 3.182446 * std / 2  # Student's t with three degrees of freedom.
    expected = {
      "best_objective_mean": mean,
      "best_objective_std": std,
      "best_test_mean": np.mean(test),
      "best_test_std": np.std(test, ddof=1),
      "queries_mean": np.mean(queries),
      "optimum_objective": 94.0,
      "optimum_test": 93.25,
      "success_rate": np.mean(np.isfinite(hits)),
      "feasible_rate": 1.0,
    }
    for key, value in expected.items():
      self.assertAlmostEqual(entry[key], value, places=4, msg=key)
    np.testing.assert_allclose(
      entry["best_objective_ci95"], [mean - half, mean + half], atol=1e-4
    )
    shares = {str(n): np.mean(np.asarray(hits) <= n) for n in (50, 60)}
    self.assertEqual(entry["success_at"], shares)
    middle = np.sort(hits)[1:3]
    expected = None
    if np.isfinite(middle[0]):
      expected = middle.mean() if np.isfinite(middle[1]) else middle[0]
    self.assertEqual(entry["queries_to_optimum_median"], expected)

  def test_trace(self):
    """Oracle: the closed form at every evaluation; a set for the charges."""
    arrays = arrays_of(self.whole)
    self.assertLen(arrays, 2 * len(search_lib.Trace._fields))
    for name, slots in (("random", 10), ("local_search", 1)):
      trace = {f: arrays[f"{name}/{f}"] for f in search_lib.Trace._fields}
      num_rounds = trace["charged"].shape[1]
      self.assertEqual(trace["archs"].shape, (4, num_rounds, slots, 6))
      for seed in range(4):
        paid = set()
        for number in range(num_rounds):
          for slot in range(slots):
            at = (seed, number, slot)
            evaluated = trace["status"][at] in (Status.FRESH, Status.REPEAT)
            arch = tuple(trace["archs"][at].tolist())
            value = valid_accuracy(arch) if evaluated else -np.inf
            self.assertAlmostEqual(trace["objective"][at], value, places=4)
            self.assertEqual(trace["feasible"][at], evaluated)
            fresh = evaluated and arch not in paid
            self.assertEqual(trace["paid"][at], fresh)
            if evaluated:
              paid.add(arch)
              self.assertAlmostEqual(
                trace["test"][at], accuracy_on_test(arch), places=4
              )
          self.assertEqual(trace["charged"][seed, number], len(paid))
      self.assertTrue((trace["status"][:, -1] != Status.EMPTY).any())

  def test_architectures(self):
    """Oracle: a dictionary of sets of seeds; the best 100 of each algorithm."""
    arrays = arrays_of(self.whole)
    with open(self.whole / "architectures.csv", newline="") as file:
      rows = list(csv.DictReader(file))
    for name in ("random", "local_search"):
      seeds = {}
      paid = arrays[f"{name}/paid"]
      for seed, *slot in np.argwhere(paid).tolist():
        arch = tuple(arrays[f"{name}/archs"][(seed, *slot)].tolist())
        seeds.setdefault(arch, set()).add(seed)
      ours = [row for row in rows if row["algorithm"] == name]
      best = sorted(map(valid_accuracy, seeds), reverse=True)[:100]
      self.assertLen(ours, min(100, len(seeds)))
      np.testing.assert_allclose([float(r["objective"]) for r in ours], best)
      for row in ours:
        arch = tuple(nasbench201.from_string(row["architecture"]).tolist())
        self.assertEqual(int(row["num_seeds"]), len(seeds[arch]))
        self.assertAlmostEqual(float(row["test"]), accuracy_on_test(arch), 3)

  def test_table(self):
    """Oracle: the summary's means, and the optimum's closed form."""
    _, out, err = self.outcome
    for entry in summary_of(self.whole):
      self.assertIn(f"{entry['best_objective_mean']:.3f}", out)
      self.assertIn(f"{entry['best_test_mean']:.3f}", out)
    self.assertIn("Optimum 94.000, test 93.250", out)
    self.assertIn("random: compiling", err)

  def test_merge(self):
    """Oracle: the run in one go, bit for bit, given the parts in any order."""
    code, _, _ = run(
      f"--merge={self.parts[1]},{self.parts[0]}", f"--workdir={self.workdir}"
    )
    self.assertEqual(code, 0)
    merged, whole = arrays_of(self.workdir), arrays_of(self.whole)
    self.assertEqual(list(merged), list(whole))
    for name, array in whole.items():
      self.assertEqual(merged[name].dtype, array.dtype)
      np.testing.assert_array_equal(merged[name], array, err_msg=name)
    for ours, theirs in zip(
      summary_of(self.workdir), summary_of(self.whole), strict=True
    ):
      for key in theirs.keys() - set(MEASURED):
        self.assertEqual(ours[key], theirs[key], key)
    for name in ("architectures.csv", "curve.png"):
      self.assertEqual(
        (self.workdir / name).read_bytes(), (self.whole / name).read_bytes()
      )

  def test_merge_adds_times(self):
    """Oracle: sums of the parts' times, the larger of their memories."""
    run(
      f"--merge={','.join(map(str, self.parts))}", f"--workdir={self.workdir}"
    )
    parts = [summary_of(part)[0] for part in self.parts]
    (merged, _) = summary_of(self.workdir)
    seconds = sum(part["run_seconds"] for part in parts)
    self.assertAlmostEqual(merged["run_seconds"], seconds)
    self.assertAlmostEqual(merged["searches_per_second"], 4 / seconds)
    self.assertEqual(
      merged["peak_memory_mb"], max(part["peak_memory_mb"] for part in parts)
    )

  def test_chunks_and_more_seeds(self):
    """Oracle: the first four seeds of a longer sweep in two chunks."""
    self._small(
      "--algorithm=local_search", "--num_seeds=6", "--batch_size_seeds=4"
    )
    longer, whole = arrays_of(self.workdir), arrays_of(self.whole)
    self.assertEqual(set(longer), set(search_lib.Trace._fields))
    num_rounds = whole["local_search/charged"].shape[1]
    for name, array in longer.items():
      np.testing.assert_array_equal(
        array[:4, :num_rounds], whole[f"local_search/{name}"], err_msg=name
      )

  def test_constraint(self):
    """Oracle: replay with the cost's closed form; brute force."""
    self._small("--constraint=params_m<=0.35")
    self.assertTrue((self.workdir / "pareto.png").is_file())
    (entry,) = summary_of(self.workdir)
    space = nasbench201.nasbench201()
    feasible = [
      arch
      for arch in space.all_architectures().tolist()
      if params_m(arch) <= 0.35
    ]
    optimum = max(feasible, key=valid_accuracy)
    self.assertEqual(entry["constraint"], "params_m<=0.35")
    self.assertAlmostEqual(entry["optimum_objective"], valid_accuracy(optimum))
    seeds = replay(arrays_of(self.workdir), valid_accuracy(optimum), 0.35)
    found = [seed for seed in seeds if np.isfinite(seed[0])]
    self.assertAlmostEqual(entry["feasible_rate"], len(found) / 4)
    self.assertAlmostEqual(
      entry["best_objective_mean"], np.mean([seed[0] for seed in found]), 4
    )
    self.assertAlmostEqual(
      entry["best_test_mean"], np.mean([seed[1] for seed in found]), 4
    )
    with open(self.workdir / "architectures.csv", newline="") as file:
      for row in csv.DictReader(file):
        arch = nasbench201.from_string(row["architecture"])
        self.assertLessEqual(params_m(arch.tolist()), 0.35 + 1e-6)

  def test_nothing_feasible(self):
    """Oracle: null for all that is unknown, and no crash."""
    _, out, _ = self._small(
      "--constraint=params_m<=-1", "--constraint=valid_accuracy<=0"
    )
    self.assertNotIn("Optimum", out)
    (entry,) = summary_of(self.workdir)
    self.assertEqual(entry["constraint"], "params_m<=-1, valid_accuracy<=0")
    for key, value in entry.items():
      if key.startswith(("best_", "optimum_", "success_", "queries_to")):
        self.assertIn(value, (None, [None, None]), key)
    self.assertEqual(entry["feasible_rate"], 0.0)
    self.assertEqual(entry["queries_mean"], 60.0)
    lines = (self.workdir / "architectures.csv").read_text().splitlines()
    self.assertLen(lines, 1)

  def test_one_seed(self):
    """Oracle: no spread is known of one."""
    self._small("--num_seeds=1")
    (entry,) = summary_of(self.workdir)
    self.assertIsNone(entry["best_objective_std"])
    self.assertEqual(entry["best_objective_ci95"], [None, None])
    (best, *_), *_ = replay(arrays_of(self.workdir), 94.0)
    self.assertAlmostEqual(entry["best_objective_mean"], best, places=4)

  def test_prior(self):
    """Oracle: the file's architectures fill the first slots and are charged."""
    path = self.whole / "architectures.csv"
    with open(path, newline="") as file:
      strings = [row["architecture"] for row in csv.DictReader(file)]
    strings = list(dict.fromkeys(strings))[:8]
    prior = self.directory / "prior.csv"
    prior.write_text("\n".join(["architecture", *strings]))
    self._small("--algorithm=local_search", "--budget=12", f"--prior={prior}")
    trace = arrays_of(self.workdir)
    expected = [nasbench201.from_string(string) for string in strings]
    for archs in trace["archs"][:, :8, 0]:
      np.testing.assert_array_equal(archs, expected)
    self.assertTrue(trace["paid"][:, :8].all())
    self.assertTrue((trace["charged"][:, 7] == 8).all())
    (entry,) = summary_of(self.workdir)
    self.assertEqual(entry["queries_mean"], 12.0)
    self.assertEqual(entry["prior"]["num_architectures"], 8)

  def test_training_hours(self):
    """Oracle: row r of a made-up table takes r seconds an epoch, of 200."""
    space = nasbench201.nasbench201()
    archs = space.all_architectures()
    rows = np.arange(len(archs), dtype=np.float32)
    np.savez(
      self.directory / "nb201.npz",
      ops=archs.astype(np.int8),
      cifar10_valid_val=rows / 200,
      cifar10_valid_test=rows / 300,
      cifar10_train_time_per_epoch_s=rows,
    )
    self._small(
      "--benchmark=nasbench201/cifar10",
      "--set=random.batch_size=7",
      f"--data_dir={self.directory}",
    )
    (entry,) = summary_of(self.workdir)
    trace = arrays_of(self.workdir)
    index = trace["archs"][trace["paid"]] @ 5 ** np.arange(6)
    self.assertLen(index, 240)
    self.assertAlmostEqual(
      entry["simulated_gpu_hours_mean"], index.sum() * 200 / 3600 / 4, places=3
    )
    self.assertEqual(entry["config"], {"batch_size": 7})
    self.assertAlmostEqual(entry["optimum_objective"], 15624 / 200, places=4)

  def test_overwrite(self):
    """Oracle: results stay as they are unless it is asked for."""
    self.workdir.mkdir()
    for name in ("summary.json", "pareto.png"):
      (self.workdir / name).write_text("precious")
    flags = ("--algorithm=random", "--budget=60", "--num_seeds=4")
    outcome = run(*flags, f"--workdir={self.workdir}")
    self.assert_refused(outcome, self.workdir, "--overwrite")
    self.assertLen(list(self.workdir.iterdir()), 2)
    code, _, _ = run(*flags, f"--workdir={self.workdir}", "--overwrite")
    self.assertEqual(code, 0)
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(written, sorted(FILES))
    self.assertLen(summary_of(self.workdir), 1)

  @parameterized.parameters(
    ("--algorithm=nope", "'nope'", "local_search_all"),
    ("--algorithm=", "--algorithm"),
    ("--algorithm=random,random", "once each"),
    ("--benchmark=nope", "'nope'", "synthetic"),
    ("--benchmark=nasbench201/cifar10", "nb201.npz", "experiments.convert"),
    ("--constraint=params_m", "looks like raspi4_ms<=5", "'params_m'"),
    ("--constraint=latency<=3", "'latency'", "params_m"),
    ("--constraint=params_m<=inf", "finite"),
    ("--budget=0", "--budget=0"),
    ("--budget=29", "regularized_evolution", "at least 30", "29"),
    ("--budget=15626", "15625"),
    ("--num_seeds=many", "--num_seeds=many"),
    ("--num_seeds=0", "--num_seeds=0"),
    ("--seed_start=-1", "--seed_start=-1"),
    ("--variant=nope", "nope", "ednag has reference"),
    ("--set=random", "looks like", "'random'"),
    ("--set=bananas.x=1", "bananas", "--algorithm"),
    ("--set=random.size=1", "'size'", "batch_size"),
    ("--set=random.batch_size=x", "type int", "'x'"),
    ("--set=random.batch_size=0", "at least 1"),
    ("--prior=/no/such.csv", "--prior", "/no/such.csv"),
    ("--workdir=/dev/null/x", "--workdir", "/dev/null/x"),
    ("--budgte=5", "budgte", "budget"),
    ("--overwrite=perhaps", "overwrite"),
    ("stray", "'stray'"),
    ("--merge=/no/such", "/no/such"),
  )
  def test_what_the_user_can_mend(self, flag, *parts):
    """Oracle: exit code 2, one line naming the fault, nothing created."""
    base = ("--algorithm=random,regularized_evolution", "--num_seeds=1")
    if flag.startswith("--merge"):
      base = ()
    with mock.patch.dict(os.environ, NAGJAX_DATA_DIR=str(self.directory)):
      outcome = run(*base, f"--workdir={self.workdir}", flag)
    self.assert_refused(outcome, *parts)
    self.assertFalse(self.workdir.exists())

  def test_prior_that_leaves_nothing(self):
    """Oracle: as above; a budget must exceed what is charged first."""
    prior = self.directory / "prior.csv"
    strings = [nasbench201.to_string([i, 0, 0, 0, 0, 0]) for i in range(3)]
    prior.write_text("\n".join(["architecture", *strings]))
    flags = ("--algorithm=random", f"--prior={prior}", "--budget=3")
    outcome = run(*flags, f"--workdir={self.workdir}")
    self.assert_refused(outcome, "random: a budget of 3", "--prior")

  @parameterized.parameters("matplotlib", "rich")
  def test_missing_extra(self, module):
    """Oracle: as above; the line names the extra."""
    found = common.importlib.util.find_spec
    with mock.patch.object(
      common.importlib.util,
      "find_spec",
      lambda name: None if name == module else found(name),
    ):
      outcome = run(f"--workdir={self.workdir}")
    self.assert_refused(outcome, module, "nagjax[experiments]")

  def test_interruption(self):
    """Oracle: exit code 130, one line, no file."""
    with mock.patch.object(search_lib, "sweep", side_effect=KeyboardInterrupt):
      code, _, err = run("--algorithm=random", f"--workdir={self.workdir}")
    self.assertEqual(code, 130)
    self.assertEndsWith(err, "Interrupted; no summary was written.\n")
    self.assertEmpty(list(self.workdir.iterdir()))

  def test_plan_of_variants(self):
    """Oracle: a variant goes to who has it, and may read every row."""
    values = search._define_flags()
    values(["search", "--algorithm=ednag,random", "--variant=reference"])
    ednag, random = search.make_plan(values).entries
    self.assertEqual((ednag.variant, ednag.budget), ("reference", 15625))
    self.assertEqual((random.variant, random.budget), ("", 150))
    self.assertEqual(results.full_name(*ednag[:2]), "ednag:reference")

  def test_list(self):
    """Oracle: the registry; every option with its default."""
    with mock.patch.dict(os.environ, NAGJAX_DATA_DIR=str(self.directory)):
      code, out, err = run("--list")
    self.assertEqual((code, err), (0, ""))
    for name in (*registry.algorithm_names(), *registry.space_names()):
      self.assertIn(name, out)
    for part in (self.directory, "synthetic", "--variant=reference"):
      self.assertIn(str(part), out)
    self.assertIn("population_size=30, sample_size=10", out)

  def test_help(self):
    """Oracle: every flag of interface.md is told."""
    code, out, err = run("--help")
    self.assertEqual((code, err), (0, ""))
    for name in (
      "algorithm benchmark num_seeds seed_start budget workdir overwrite "
      "batch_size_seeds constraint list prior merge set variant data_dir "
      "compilation_cache_dir"
    ).split():
      self.assertRegex(out, rf"--(\[no\])?{name}:")

  def _copy(self, edit_fn=None):
    """A copy of the second part, its summary edited."""
    copy = self.directory / "copy"
    shutil.copytree(self.parts[1], copy)
    if edit_fn is not None:
      summary = summary_of(copy)
      edit_fn(summary)
      (copy / "summary.json").write_text(json.dumps(summary))
    return copy

  def _merge(self, *directories, extra=()):
    places = ",".join(map(str, directories))
    return run(f"--merge={places}", f"--workdir={self.workdir}", *extra)

  @parameterized.named_parameters(
    ("budget", lambda s: s[0].update(budget=61), "budget of random"),
    ("config", lambda s: s[0]["config"].update(batch_size=9), "config of"),
    ("benchmark", lambda s: s[1].update(benchmark="x"), "benchmark of local"),
    ("constraint", lambda s: s[0].update(constraint="a<=1"), "constraint of"),
    ("seeds", lambda s: s[0].update(seed_ranges=[[2, 3]]), "disjoint", "2"),
    ("variant", lambda s: s[0].update(variant="new"), "random:new/"),
    ("fewer", lambda s: s.pop(), "trace.npz"),
    ("none", lambda s: s.clear(), "holds no algorithm"),
    ("no_key", lambda s: s[0].pop("device"), "summary.json", "device"),
    ("no_range", lambda s: s[0].update(seed_ranges=3), "summary.json"),
    ("length", lambda s: s[0].update(seed_ranges=[[3, 5]]), "expected 2 seeds"),
  )
  def test_runs_that_do_not_belong_together(self, edit_fn, *parts):
    """Oracle: exit code 2, one line naming the directory and the difference."""
    copy = self._copy(edit_fn)
    if "disjoint" in parts:
      (copy / "trace.npz").write_bytes(
        (self.parts[1] / "trace.npz").read_bytes()
      )
    self.assert_refused(self._merge(self.parts[0], copy), copy, *parts)
    self.assertFalse(self.workdir.exists())

  def test_different_algorithms(self):
    """Oracle: as above."""
    alone = self.directory / "alone"
    run("--algorithm=random", "--num_seeds=4", f"--workdir={alone}")
    self.assert_refused(
      self._merge(self.parts[0], alone), alone, "different algorithms"
    )

  @parameterized.parameters("summary.json", "trace.npz")
  def test_damaged_run(self, name):
    """Oracle: as above, for half a file and for none."""
    copy = self._copy()
    path = copy / name
    path.write_bytes(path.read_bytes()[:200])
    self.assert_refused(self._merge(self.parts[0], copy), path)
    path.unlink()
    self.assert_refused(self._merge(self.parts[0], copy), path)

  def test_flags_beside_merge(self):
    """Oracle: as above; a run's settings are in its files."""
    outcome = self._merge(*self.parts, extra=("--budget=60",))
    self.assert_refused(outcome, "--merge", "--budget")
    self.workdir = self.parts[1]
    self.assert_refused(
      self._merge(*self.parts, extra=("--overwrite",)), "differ"
    )

  def test_as_a_program(self):
    """Oracle: exit codes and output from outside, with warnings as errors."""
    cache = self.directory / "cache"

    def program(*flags):
      return subprocess.run(
        [sys.executable, "-W", "error", "-m", "experiments.search", *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
      )

    result = program(
      "--algorithm=random",
      "--budget=60",
      "--num_seeds=3",
      f"--workdir={self.workdir}",
      f"--compilation_cache_dir={cache}",
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertNotEmpty(list(cache.iterdir()))
    self.assertEqual(summary_of(self.workdir)[0]["device"], "2 x cpu")
    ours, whole = arrays_of(self.workdir), arrays_of(self.whole)
    for name, array in ours.items():
      np.testing.assert_array_equal(array, whole[f"random/{name}"][:3])
    result = program(f"--workdir={self.workdir}")
    self.assertEqual(result.returncode, 2)
    self.assertEqual(result.stdout, "")
    self.assertRegex(result.stderr, r"\A.*--overwrite.*\n\Z")


class ResultsTest(parameterized.TestCase):
  def _trace(self):
    """One seed, two rounds of three slots and one that was not needed."""
    filled = np.asarray([[[0, 1, 3], [0, 2, 4], [4, 4, 4]]], np.int8)
    archs = np.zeros((1, 3, 3, 2), np.int32)
    archs[0, :2, :, 0] = [[1, 1, 2], [3, 4, 5]]
    archs[0, 2] = 9
    objective = np.asarray([[[5, 5, -np.inf], [7, -np.inf, 7], [7, 7, 7]]])
    return search_lib.Trace(
      archs=archs,
      status=filled,
      objective=objective.astype(np.float32),
      test=np.asarray([[[1, 2, np.nan], [3, np.nan, 8], [9, 9, 9]]], "f4"),
      feasible=np.asarray([[[1, 1, 0], [1, 0, 1], [1, 1, 1]]], bool),
      paid=np.asarray([[[1, 0, 1], [1, 0, 0], [0, 0, 0]]], bool),
      charged=np.asarray([[2, 3, 3]], np.int32),
    )

  def test_tidy(self):
    """Oracle: by hand; empty slots are cleared, the empty round is cut."""
    trace = results.tidy(self._trace())
    self.assertEqual(trace.status.shape, (1, 2, 3))
    self.assertEqual(trace.archs[0, 1, :, 0].tolist(), [3, 4, 0])
    self.assertEqual(trace.objective[0, 1].tolist(), [7, -np.inf, -np.inf])
    self.assertEqual(trace.feasible[0, 1].tolist(), [True, False, False])
    self.assertTrue(np.isnan(trace.test[0, 1, 2]))
    self.assertEqual(trace.charged.tolist(), [[2, 3]])

  def test_history(self):
    """Oracle: by hand; a slot counts what was paid until after it."""
    past = results.history(results.tidy(self._trace()))
    self.assertEqual(past.charged.tolist(), [[1, 1, 2, 3, 3, 3]])
    best = [[5, 5, -np.inf, 7, -np.inf, -np.inf]]
    self.assertEqual(past.objective.tolist(), best)

  @parameterized.product(known=(True, False), num_curves=(1, 9))
  def test_curves_of_odd_runs(self, known, num_curves):
    """Oracle: a picture, no warning: no seed, one or all at the optimum."""
    path = (
      pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
      / "curve.png"
    )
    optimum = results.Optimum(9.0, np.nan) if known else None
    runs = [[[-np.inf, -np.inf]], [[1.0, 9.0]], [[9.0], [9.0]], [[-np.inf, 3]]]
    curves = [
      plots.Curve(
        f"run{number}",
        np.asarray(runs[number % 4], np.float32),
        np.linspace(0, 1, len(runs[number % 4][0])) if known else None,
      )
      for number in range(num_curves)
    ]
    plots.draw_curves(
      path, curves, caption="odd", objective="accuracy (%)", optimum=optimum
    )
    self.assertGreater(path.stat().st_size, 1000)

  def test_clouds_of_odd_runs(self):
    """Oracle: a picture without a warning: nothing feasible, NaN, one point."""
    path = (
      pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
      / "pareto.png"
    )
    cost = np.asarray([np.nan, 3.0, 3.0], np.float32)
    clouds = [
      plots.Cloud("a", "ms", 3.0, cost[:num], cost[:num] * 2, feasible[:num])
      for num, feasible in (
        (3, np.asarray([False, False, False])),
        (3, np.asarray([False, True, True])),
        (1, np.asarray([False])),
        (0, np.asarray([], bool)),
      )
    ]
    plots.draw_pareto(path, clouds, caption="odd", objective="accuracy (%)")
    self.assertGreater(path.stat().st_size, 1000)


if __name__ == "__main__":
  absltest.main()
