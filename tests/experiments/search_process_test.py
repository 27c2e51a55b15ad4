"""Tests of how `experiments.search` is asked, begins and ends."""

import os
import pathlib
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments import search
from experiments.support import planning
from experiments.support import progress
from experiments.support import records
from nagjax import registry
from nagjax import search as search_lib
from nagjax.algorithms import random_search
from nagjax.proposers import mutation
from nagjax.spaces import nasbench201
from nagjax.surrogates import gaussian_process
from tests.benchmarks import transnas_test
from tests.experiments.runs import FILES
from tests.experiments.runs import RANDOM
from tests.experiments.runs import BinaryCase
from tests.experiments.runs import arrays_of
from tests.experiments.runs import run
from tests.experiments.runs import search_of
from tests.experiments.runs import summary_of


class ProcessTest(BinaryCase):
  def test_overwrite(self):
    """Oracle: the files of this run alone, also after a run that was killed
    before its summary, which needs no flag."""
    self.workdir.mkdir()
    for name in ("trace.npz", "pareto.png"):
      (self.workdir / name).write_text("half a run")
    self.run_small("--overwrite=false")
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(written, sorted(FILES))
    self.run_small("--overwrite", "--set=random.batch_size=20")
    self.assertEqual(summary_of(self.workdir)[0]["config"], {"batch_size": 20})

  def test_interruption(self):
    """Oracle: exit code 130, one line, no file."""
    with mock.patch.object(search_lib, "sweep", side_effect=KeyboardInterrupt):
      code, _, err = run("--algorithm=random", f"--workdir={self.workdir}")
    self.assertEqual(code, 130)
    self.assertEndsWith(err, "Interrupted; no summary was written.\n")
    self.assertEmpty(list(self.workdir.iterdir()))

  def test_the_first_of_several_algorithms(self):
    """Oracle: a run that ends as the second begins has a curve, a table of one
    column and no summary; results that are there stay as they are."""
    whole, _ = search_of(4)
    flags = (*RANDOM, "--num_seeds=4", f"--workdir={self.workdir}")
    sweep = search_lib.sweep

    def sweep_random(keys, searched, **options):
      if searched.config != random_search.Config():
        raise KeyboardInterrupt
      return sweep(keys, searched, **options)

    def run_half(*more):
      with mock.patch.object(search_lib, "sweep", sweep_random):
        return run(*flags, *more)

    code, out, _ = run_half()
    self.assertEqual(code, 130)
    best = summary_of(whole)[0]["best_objective_mean"]
    self.assertRegex(out, rf" random *\n(.*\n)*.*{best:.3f} *\n")
    self.assertRegex(out, r"curve\.png\. Still to come: local_search\.\n\Z")
    left = {path.name for path in self.workdir.iterdir()}
    self.assertEqual(left, {search.UNFINISHED, records.CURVE})
    drawn = (self.workdir / records.CURVE).read_bytes()
    self.assert_succeeds(run(*flags))
    curve = (whole / records.CURVE).read_bytes()
    self.assertEqual((self.workdir / records.CURVE).read_bytes(), curve)
    self.assertNotEqual(drawn, curve)
    code, out, _ = run_half("--overwrite")
    self.assertEqual(code, 130)
    self.assertEndsWith(out, "\nStill to come: local_search.\n")
    self.assertEqual((self.workdir / records.CURVE).read_bytes(), curve)

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
    """Oracle: exit code 2, one line that names the file; what was searched is
    there when there is space again."""
    error = OSError(28, "No space left on device")
    with mock.patch.object(np, "savez_compressed", side_effect=error):
      outcome = run(
        "--algorithm=random", "--num_seeds=4", f"--workdir={self.workdir}"
      )
    self.assertEqual(outcome[0], 2)
    self.assertIn("trace.npz", outcome[2].splitlines()[-1])
    (left,) = self.workdir.iterdir()
    self.assertEqual(left.name, search.UNFINISHED)

  def test_list(self):
    """Oracle: the registry; every option with its default; how much of a space
    a table holds, by the rows that were written."""
    path = self.directory / "tnb101_macro_subset.npz"
    np.savez(path, **transnas_test.macro())
    with mock.patch.dict(os.environ, NAGJAX_DATA_DIR=str(self.directory)):
      out = self.assert_succeeds(run("--list"))
    for name in (*registry.algorithm_names(), *registry.space_names()):
      self.assertIn(name, out)
    for part in (self.directory, "synthetic", "--variant=reference"):
      self.assertIn(str(part), out)
    self.assertIn("population_size=30, sample_size=10", out)
    for part in ("class-object (35 of 3,256", "autoencoder (40 of 3,256"):
      self.assertIn(f"transnas-macro/{part} architectures)", out)

  @pytest.mark.slow
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
    whole = arrays_of(search_of(4)[0])
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

  @pytest.mark.slow
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


if __name__ == "__main__":
  absltest.main()
