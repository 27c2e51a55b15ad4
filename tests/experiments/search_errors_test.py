"""Tests of what `experiments.search` refuses, lists and merges."""

import json
import os
import shutil
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments import common
from experiments import planning
from experiments import results
from nagjax import registry
from nagjax import search as search_lib
from nagjax.predictors import boosted
from nagjax.spaces import nasbench201
from tests.experiments.runs import SearchCase
from tests.experiments.runs import arrays_of
from tests.experiments.runs import run
from tests.experiments.runs import summary_of


class SearchErrorsTest(SearchCase):
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
    ("--set=random.batch_size=x", "whole number", "'x'"),
    ("--set=random.batch_size=0", "at least 1"),
    ("--surrogate=xgb", "--surrogate", "agnet", "--algorithm=random,"),
    ("--nojoint", "--joint", "agnet", "--algorithm=random,"),
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
    values = planning.define_flags()
    values(["search", "--algorithm=ednag,random", "--variant=reference"])
    ednag, random = planning.make_plan(values).entries
    self.assertEqual((ednag.variant, ednag.budget), ("reference", 15625))
    self.assertEqual((random.variant, random.budget), ("", 150))
    self.assertEqual(results.full_name(*ednag[:2]), "ednag:reference")

  def test_flags_of_one_algorithm(self):
    """Oracle: the options that they stand for."""
    flags = ("--algorithm=agnet,random", "--surrogate=mlp", "--nojoint")
    same = "--set=agnet.surrogate=mlp"
    for more, joint in (((), False), ((same, "--joint"), True)):
      values = planning.define_flags()
      values(["search", *flags, "--constraint=params_m<=1", *more])
      config = planning.make_plan(values).entries[0].search.config
      self.assertEqual((config.surrogate, config.joint), ("mlp", joint))

  @parameterized.parameters(
    (("--surrogate=svm",), "surrogate", "xgb_rank"),
    (("--surrogate=mlp", "--set=agnet.surrogate=gcn"), "surrogate", "gcn"),
    (("--joint", "--set=agnet.joint=false"), "--joint", "contradict"),
    (("--joint",), "joint", "no constraint"),
    (("--surrogate=mlp", "--variant=training_free"), "--surrogate", "variant"),
    (("--set=agnet.num_constraints=2",), "num_constraints", "no option"),
    (
      ("--variant=training_free", "--constraint=params_m<=1"),
      "objectives only",
      "leave them out",
    ),
  )
  def test_flags_that_contradict(self, flags, *parts):
    """Oracle: exit code 2, one line naming both, nothing created."""
    outcome = run("--algorithm=agnet", f"--workdir={self.workdir}", *flags)
    self.assert_refused(outcome, *parts)
    self.assertFalse(self.workdir.exists())

  def test_missing_trees(self):
    """Oracle: as above; the line names the extra."""
    flags = ("--algorithm=agnet", "--surrogate=xgb")
    found = boosted.importlib.util.find_spec
    with mock.patch.object(
      boosted.importlib.util,
      "find_spec",
      lambda name: None if name == "xgboost" else found(name),
    ):
      outcome = run(*flags, f"--workdir={self.workdir}")
    self.assert_refused(outcome, "xgboost", "nagjax[boosted]")

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
      "compilation_cache_dir surrogate joint"
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
      "--benchmark=synthetic",
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


if __name__ == "__main__":
  absltest.main()
