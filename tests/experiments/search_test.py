"""Tests of what `experiments.search` writes and prints."""

import csv

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments.support import machine
from nagjax import search as search_lib
from nagjax.benchmarks import trained
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from nagjax.types import Status
from tests.experiments.runs import FILES
from tests.experiments.runs import KEYS
from tests.experiments.runs import BinaryCase
from tests.experiments.runs import accuracy_on_test
from tests.experiments.runs import arrays_of
from tests.experiments.runs import params_m
from tests.experiments.runs import replay
from tests.experiments.runs import run_binary
from tests.experiments.runs import search_of
from tests.experiments.runs import summary_of
from tests.experiments.runs import valid_accuracy


class SearchTest(BinaryCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.whole, cls.outcome = search_of(4)

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

  def test_chunks_and_more_seeds(self):
    """Oracle: the first four seeds of a longer sweep in two chunks."""
    self.run_small(
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
    self.run_small("--constraint=params_m<=0.35")
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
    _, out, _ = self.run_small(
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
    self.run_small("--num_seeds=1")
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
    self.run_small(
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
    self.run_small(
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

  @pytest.mark.slow
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
    self.run_small("--objective=valid_accuracy", "--objective=-params_m")
    (entry,) = summary_of(self.workdir)
    self.assertEqual(entry["objectives"], ["valid_accuracy", "-params_m"])
    self.assertEqual(
      entry["objective"], "valid_accuracy (%), -params_m (million)"
    )
    expected = arrays_of(self.whole)
    for name, array in arrays_of(self.workdir).items():
      if name in ("archs", "status", "objective"):
        np.testing.assert_array_equal(array, expected[f"random/{name}"])


if __name__ == "__main__":
  absltest.main()
