"""Tests of what `experiments.search` writes and prints."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments import search
from experiments.support import machine
from experiments.support import planning
from experiments.support import progress
from experiments.support import records
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import trained
from nagjax.problem import Problem
from nagjax.proposers import mutation
from nagjax.spaces import nasbench201
from nagjax.surrogates import gaussian_process
from nagjax.types import Status
from tests.experiments.runs import FILES
from tests.experiments.runs import KEYS
from tests.experiments.runs import MEASURED
from tests.experiments.runs import BinaryCase
from tests.experiments.runs import accuracy_on_test
from tests.experiments.runs import arrays_of
from tests.experiments.runs import params_m
from tests.experiments.runs import replay
from tests.experiments.runs import run
from tests.experiments.runs import run_binary
from tests.experiments.runs import search_of
from tests.experiments.runs import summary_of
from tests.experiments.runs import valid_accuracy


class SearchTest(BinaryCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.whole, cls.outcome = search_of(4)
    cls.parts = [search_of(3)[0], search_of(1, 3)[0]]

  def _small(self, *flags):
    """A run of random search that four seeds and 60 queries bound."""
    base = ("--algorithm=random", "--budget=60", "--num_seeds=4")
    outcome = run(*base, f"--workdir={self.workdir}", *flags)
    self.assert_succeeds(outcome)
    return outcome

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
      self.assertEqual(entry["versions"], machine.versions())
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
    self.assertLen(
      [name for name in arrays if "info/" not in name],
      2 * len(search_lib.Trace._fields),
    )
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
    merge = [f"--merge={part}" for part in reversed(self.parts)]
    self.assert_succeeds(run(*merge, f"--workdir={self.workdir}"))
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
    num_rounds = whole["local_search/charged"].shape[1]
    for name in search_lib.Trace._fields:
      array = longer[name]
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
    limits = [{"column": "params_m", "limit": 0.35}]
    self.assertEqual(entry["constraints"], limits)
    self.assertAlmostEqual(entry["optimum_objective"], valid_accuracy(optimum))
    seeds = replay(arrays_of(self.workdir), valid_accuracy(optimum), 0.35)
    found = [seed for seed in seeds if np.isfinite(seed[0])]
    self.assertAlmostEqual(entry["feasible_rate"], len(found) / 4)
    with np.load(self.workdir / "trace.npz") as trace:
      paid, feasible = trace["paid"], trace["feasible"]
    shares = [np.mean(f[p]) for f, p in zip(feasible, paid, strict=True)]
    self.assertAlmostEqual(entry["feasible_share_mean"], np.mean(shares), 6)
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

  def test_warm_start(self):
    """Oracle: the file's architectures fill the first slots and are charged."""
    path = self.whole / "architectures.csv"
    with open(path, newline="") as file:
      strings = [row["architecture"] for row in csv.DictReader(file)]
    strings = list(dict.fromkeys(strings))[:8]
    start = self.directory / "start.csv"
    start.write_text("\n".join(["architecture", *strings]))
    self._small(
      "--algorithm=local_search", "--budget=12", f"--warm_start={start}"
    )
    trace = arrays_of(self.workdir)
    expected = [nasbench201.from_string(string) for string in strings]
    for archs in trace["archs"][:, :8, 0]:
      np.testing.assert_array_equal(archs, expected)
    self.assertTrue(trace["paid"][:, :8].all())
    self.assertTrue((trace["charged"][:, 7] == 8).all())
    (entry,) = summary_of(self.workdir)
    self.assertEqual(entry["queries_mean"], 12.0)
    self.assertEqual(entry["warm_start"]["num_architectures"], 8)

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

  def test_the_default_is_the_table_that_ships(self):
    """Oracle: EDNAG and the baselines on `digits`, without a data directory."""
    code, out, err = run_binary(
      "search",
      "--num_seeds=2",
      "--budget=60",
      "--data_dir=/nonexistent",
      f"--workdir={self.workdir}",
    )
    self.assertEqual(code, 0, err)
    summary = summary_of(self.workdir)
    names = "ednag local_search regularized_evolution random".split()
    self.assertEqual([entry["algorithm"] for entry in summary], names)
    best, *_ = Problem(trained.digits()).optimum()
    for entry in summary:
      self.assertIn(entry["algorithm"], out)
      self.assertEqual(entry["benchmark"], "digits")
      self.assertEqual(entry["objective"], "valid_probability (%)")
      self.assertAlmostEqual(entry["optimum_objective"], float(best), places=4)

  def test_several_objectives(self):
    """Oracle: the names of both; the first is what is maximized."""
    self._small("--objective=valid_accuracy", "--objective=-params_m")
    (entry,) = summary_of(self.workdir)
    self.assertEqual(entry["objectives"], ["valid_accuracy", "-params_m"])
    self.assertEqual(
      entry["objective"], "valid_accuracy (%), -params_m (million)"
    )
    expected = arrays_of(self.whole)
    for name, array in arrays_of(self.workdir).items():
      if name in ("archs", "status", "objective"):
        np.testing.assert_array_equal(array, expected[f"random/{name}"])

  def test_overwrite(self):
    """Oracle: the files of this run alone, also after a run that was killed
    before its summary, which needs no flag."""
    self.workdir.mkdir()
    for name in ("trace.npz", "pareto.png"):
      (self.workdir / name).write_text("half a run")
    self._small("--overwrite=false")
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(written, sorted(FILES))
    self._small("--overwrite", "--set=random.batch_size=20")
    self.assertEqual(summary_of(self.workdir)[0]["config"], {"batch_size": 20})

  def test_interruption(self):
    """Oracle: exit code 130, one line, no file."""
    with mock.patch.object(search_lib, "sweep", side_effect=KeyboardInterrupt):
      code, _, err = run("--algorithm=random", f"--workdir={self.workdir}")
    self.assertEqual(code, 130)
    self.assertEndsWith(err, "Interrupted; no summary was written.\n")
    self.assertEmpty(list(self.workdir.iterdir()))

  def test_one_run_at_a_time(self):
    """Oracle: a run inside a run; the inner one leaves no trace."""
    inner = []

    def sweep(*args, **options):
      inner.append(run("--algorithm=random", f"--workdir={self.workdir}"))
      raise KeyboardInterrupt

    with mock.patch.object(search_lib, "sweep", sweep):
      run("--algorithm=random", f"--workdir={self.workdir}")
    self.assert_refused(inner[0], "another run", self.workdir)
    self.assertEmpty(list(self.workdir.iterdir()))

  def test_a_full_disk(self):
    """Oracle: exit code 2, one line that names the file."""
    error = OSError(28, "No space left on device")
    with mock.patch.object(np, "savez_compressed", side_effect=error):
      outcome = run(
        "--algorithm=random", "--num_seeds=4", f"--workdir={self.workdir}"
      )
    self.assertEqual(outcome[0], 2)
    self.assertIn("trace.npz", outcome[2].splitlines()[-1])
    self.assertEmpty(list(self.workdir.iterdir()))

  def test_list(self):
    """Oracle: the registry; every option with its default."""
    with mock.patch.dict(os.environ, NAGJAX_DATA_DIR=str(self.directory)):
      out = self.assert_succeeds(run("--list"))
    for name in (*registry.algorithm_names(), *registry.space_names()):
      self.assertIn(name, out)
    for part in (self.directory, "synthetic", "--variant=reference"):
      self.assertIn(str(part), out)
    self.assertIn("population_size=30, sample_size=10", out)

  def test_as_a_program(self):
    """Oracle: exit codes and output from outside, with warnings as errors; a
    name that is not UTF-8; a module of the user's."""
    cache = self.directory / "cache"
    workdir = os.fsencode(self.directory) + b"/\xff"
    (self.directory / "mine.py").write_text("print('mine is imported')")

    def program(*flags):
      return subprocess.run(
        [sys.executable, "-W", "error", "-m", "experiments.search", *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=self.directory,
        env={
          **os.environ,
          "JAX_PLATFORMS": "cpu",
          "JAX_NUM_CPU_DEVICES": "2",
          "PYTHONIOENCODING": "utf-8:strict",
          "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        },
      )

    result = program(
      "--benchmark=synthetic",
      "--algorithm=random",
      "--budget=60",
      "--num_seeds=3",
      b"--workdir=" + workdir,
      f"--compilation_cache_dir={cache}",
      "--module=mine",
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertStartsWith(result.stdout, "mine is imported\n")
    self.assertNotEmpty(list(cache.iterdir()))
    written = pathlib.Path(os.fsdecode(workdir))
    self.assertEqual(summary_of(written)[0]["device"], "2 x cpu")
    whole = arrays_of(self.whole)
    for name, array in arrays_of(written).items():
      np.testing.assert_array_equal(array, whole[f"random/{name}"][:3])
    result = program(b"--workdir=" + workdir)
    self.assertEqual((result.returncode, result.stdout), (2, ""))
    self.assertRegex(result.stderr, r"\A.*--overwrite.*\n\Z")


def plan_of(*flags):
  values = planning.flags.define(planning.FLAGS)
  values(["search", *flags])
  return planning.make_plan(values)


class PlanTest(BinaryCase):
  def test_variants(self):
    """Oracle: a variant goes to who has it, and may read every row."""
    ednag, random = plan_of(
      "--algorithm=ednag,random", "--variant=reference"
    ).entries
    self.assertEqual((ednag.variant, ednag.search.budget), ("reference", 15625))
    self.assertEqual((random.variant, random.search.budget), ("", 150))
    self.assertEqual(records.full_name(*ednag[:2]), "ednag:reference")

  def test_parts(self):
    """Oracle: the registry's defaults, and those of the parts that are named
    by flags, by options of one algorithm, and as README once did."""
    plan = plan_of(
      "--algorithm=agnet,diffusionnag",
      "--surrogate=gp",
      "--nojoint",
      "--constraint=params_m<=1",
      "--set=diffusionnag.candidates=mutation",
      "--set=diffusionnag.acquisition=ucb",
      "--set=agnet.proposer.num_latents=5",
    )
    own, other = (entry.search.config for entry in plan.entries)
    for config in (own, other):
      self.assertEqual(config.surrogate, gaussian_process.Config())
      self.assertEqual(config.num_constraints, 1)
    self.assertEqual((own.proposer.joint, own.proposer.num_latents), (False, 5))
    self.assertEqual(other.proposer, mutation.Config())

  @parameterized.parameters(
    ("", "not a readable"),
    ("arch\nx\n", "expected a header.*'arch'"),
    ("architecture\n", "expected one architecture"),
    ("architecture\n\nx\n", "row 1: .*A NAS-Bench-201 string .*'x'"),
    ("a,architecture\nx\n", "must have 2 fields, got 1"),
  )
  def test_a_malformed_warm_start(self, text, message):
    """Oracle: the message names file, row and fault."""
    path = self.directory / "start.csv"
    path.write_text(text)
    pattern = f"^--warm_start: {path}.*{message}"
    with self.assertRaisesRegex(ValueError, pattern):
      planning.read_warm_start(str(path), nasbench201.nasbench201())

  def test_a_warm_start(self):
    """Oracle: what was written, once each; other columns do not matter."""
    archs = np.asarray([[0] * 6, [4, 3, 2, 1, 0, 4]], np.int32)
    names = [nasbench201.to_string(arch) for arch in archs]
    lines = ["note,architecture", f"a,{names[1]}", "", f"b,{names[0]}"]
    path = self.directory / "start.csv"
    path.write_text(
      "\n".join([*lines, f"again,{names[1]}"]), encoding="utf-8-sig"
    )
    found = planning.read_warm_start(str(path), nasbench201.nasbench201())
    self.assertEqual(found.dtype, np.int32)
    np.testing.assert_array_equal(found, archs[::-1])


class HostTest(BinaryCase):
  """Searches that cannot be compiled: those of an algorithm that says so."""

  def setUp(self):
    super().setUp()
    make_search = registry.make_search

    def on_host(*args, **options):
      made = make_search(*args, **options)
      algorithm = made.algorithm._replace(on_host=True)
      return made._replace(algorithm=algorithm)

    self.enter_context(mock.patch.object(registry, "make_search", on_host))

  def test_an_interrupted_run_goes_on(self):
    """Oracle: the compiled sweep, bit for bit; what was kept is removed."""
    flags = ("--algorithm=random", "--budget=60", "--num_seeds=4")
    seen = []

    def of_sweep(report, name):
      def on_progress(now):
        seen.append((now.chunk, now.round))
        if len(seen) == 9:
          raise KeyboardInterrupt

      return on_progress

    with mock.patch.object(progress, "of_sweep", of_sweep):
      for code in (130, 0):
        outcome = run(*flags, f"--workdir={self.workdir}")
        self.assertEqual(outcome[0], code, outcome[2])
        unfinished = self.workdir / search.UNFINISHED
        self.assertEqual(unfinished.exists(), code == 130)
    # No round of the first run is run again.
    self.assertLen(set(seen), len(seen))
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(written, sorted(FILES))
    expected = arrays_of(search_of(4)[0])
    for name, array in arrays_of(self.workdir).items():
      np.testing.assert_array_equal(array, expected[f"random/{name}"], name)

  def test_another_question_begins_anew(self):
    """Oracle: folders of different budgets and options differ."""
    places = set()
    for flags in (
      ("--budget=40",),
      ("--budget=41",),
      ("--budget=40", "--set=random.batch_size=3"),
      ("--budget=40", "--constraint=params_m<=0.5"),
      ("--budget=40", "--objective=-params_m"),
    ):
      plan = plan_of("--benchmark=synthetic", "--algorithm=random", *flags)
      places.add(search._place(plan, plan.entries[0]))
    self.assertLen(places, 5)


class MergeTest(BinaryCase):
  """What is no run, and runs that do not belong together."""

  def setUp(self):
    super().setUp()
    self.first, self.copy = search_of(3)[0], self.directory / "copy"
    shutil.copytree(search_of(1, 3)[0], self.copy)

  def _merge(self):
    return run(f"--merge={self.first},{self.copy}", f"--workdir={self.workdir}")

  @parameterized.named_parameters(
    ("budget", lambda s: s[0].update(budget=61), "budget of random"),
    ("config", lambda s: s[0]["config"].update(batch_size=9), "config of"),
    ("benchmark", lambda s: s[1].update(benchmark="x"), "benchmark of local"),
    (
      "limits",
      lambda s: s[0].update(constraints=[{"column": "a", "limit": 1}]),
      "constraints of",
    ),
    ("seeds", lambda s: s[0].update(seed_ranges=[[2, 3]]), "disjoint", "2"),
    ("variant", lambda s: s[0].update(variant="new"), "random:new/"),
    ("fewer", lambda s: s.pop(), "trace.npz"),
    ("none", lambda s: s.clear(), "holds no algorithm"),
    ("no_key", lambda s: s[0].pop("device"), "summary.json", "device"),
    ("no_range", lambda s: s[0].update(seed_ranges=3), "summary.json"),
    ("no_limit", lambda s: s[0].update(constraints=[1]), "summary.json"),
    ("length", lambda s: s[0].update(seed_ranges=[[3, 5]]), "expected 2 seeds"),
  )
  def test_summaries(self, edit_fn, *parts):
    """Oracle: exit code 2, one line naming the directory and the difference."""
    summary = summary_of(self.copy)
    edit_fn(summary)
    (self.copy / "summary.json").write_text(json.dumps(summary))
    self.assert_refused(self._merge(), self.copy, *parts)
    self.assertFalse(self.workdir.exists())

  @parameterized.parameters("summary.json", "trace.npz")
  def test_damage(self, name):
    """Oracle: as above, for half a file and for none."""
    path = self.copy / name
    path.write_bytes(path.read_bytes()[:200])
    self.assert_refused(self._merge(), path)
    path.unlink()
    self.assert_refused(self._merge(), path)

  @parameterized.parameters(
    ("random/status", lambda a: a[..., None]),
    ("random/charged", lambda a: a[:, :, None]),
    ("random/archs", lambda a: a.astype(float)),
    ("random/objective", lambda a: a.astype(str)),
    ("random/paid", lambda a: a[:, :, :1]),
  )
  def test_arrays_of_another_shape_or_kind(self, name, edit_fn):
    """Oracle: as above; the array is named."""
    arrays = arrays_of(self.copy)
    arrays[name] = edit_fn(arrays[name])
    np.savez(self.copy / "trace.npz", **arrays)
    self.assert_refused(self._merge(), self.copy / "trace.npz", name)


if __name__ == "__main__":
  absltest.main()
