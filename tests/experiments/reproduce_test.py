"""Tests of experiments.reproduce and of what it declares and writes."""

import itertools
import json
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
from scipy import stats

from experiments import pool_statistics
from experiments import reproduce
from experiments.support import flags
from experiments.support import planning
from experiments.support import plots
from experiments.support import report_plots
from experiments.support import reports
from experiments.support import reproducing
from experiments.support.errors import UsageError
from experiments.support.papers import PAPERS
from experiments.support.papers import base
from nagjax import registry
from nagjax.spaces import nasbench201
from tests import data
from tests.benchmarks import transnas_test
from tests.experiments import runs

RUN = base.Run("one", "--benchmark=synthetic --algorithm=random --budget=40", 4)
SMALL = base.Paper(
  *("A paper", "Somebody, somewhere", "%", "About it."),
  (
    base.Table(
      *("1", "Numbers", "rows"),
      (
        base.Row("found", "93.5 ± 0.1", (RUN, RUN._replace(at=10)), "94.0"),
        base.Row("test", "90.1", (RUN._replace(figure="test"),)),
        base.Row("elsewhere", "12", differs="needs a table that nobody has"),
      ),
    ),
    base.Table("f2", "A curve", "rows", (base.Row("a", "curve"),)),
  ),
)


def in_process(binary, arguments):
  """A binary in this process, which has compiled programs."""
  code, _, err = runs.run_binary(binary, *arguments)
  return code, err.strip()


def all_runs(paper):
  return reproduce.runs_of(paper.tables)


class DeclaredTest(parameterized.TestCase):
  @parameterized.parameters(*PAPERS)
  def test_commands_are_ones_of_the_binaries(self, name):
    """Oracle: the flags of the binaries, and the registry's names."""
    for run in all_runs(PAPERS[name]):
      argv = ["program", *run.command.split()]
      if run.binary == "search":
        values = flags.read(argv, planning.FLAGS, "")
        (algorithm,) = values.algorithm
        self.assertIn(algorithm, registry.algorithm_names())
        self.assertIn(values.variant, registry.variant_names(algorithm))
        options = flags.read_options(values.set, [algorithm])[algorithm]
        registry.algorithm_spec(algorithm, values.variant)
        self.assertNotIn("", options)
      else:
        self.assertEqual(run.binary, "pool_statistics")
        source, _, _ = run.figure.partition("/")
        self.assertIn(source, (*pool_statistics.SOURCES, "oracle"))

  def test_every_table_is_there_once(self):
    """Oracle: the tables and figures with results of the four papers."""
    numbers = {
      name: [table.number for table in paper.tables]
      for name, paper in PAPERS.items()
    }
    self.assertEqual(
      numbers["ednag"], ["1", "2", "f5", "f6", "3", "f7", "f8", "appendix/1"]
    )
    self.assertEqual(numbers["diffusionnag"], ["1", "2", "3", "f3", "4", "f4"])
    self.assertEqual(numbers["agnet"], [*"123456"])
    self.assertEqual(
      numbers["optiproxy"], [*"12345", "appendix/1", "appendix/f3"]
    )
    names = [table.name for table in PAPERS["optiproxy"].tables]
    self.assertEqual(names[-1], "Appendix, figure 3")

  def test_numbers_of_ednag(self):
    """Oracle: what the paper says in words: no mean is ahead of the best, and
    none is further from it than its interval; its headings in their order."""
    table_1, table_2 = PAPERS["ednag"].tables[:2]
    self.assertEqual(
      [row.column.split()[-1] for row in table_2.rows],
      "OC SC AE SE SS RP JS".split() * 2,
    )
    for row in (*table_1.rows[:2], *table_2.rows):
      mean, interval = map(float, row.published.split(" ± "))
      gap = (float(row.best) - mean) * np.sign(row.factor)
      self.assertBetween(gap, 0.0, interval + 0.01, row)

  def test_nothing_is_left_unsaid(self):
    """Oracle: a row has a run, or says why it has none."""
    for paper in PAPERS.values():
      for row in itertools.chain(*(table.rows for table in paper.tables)):
        self.assertTrue(row.runs or row.differs, row)


class PlanTest(runs.BinaryCase):
  def write(self, name, arrays):
    np.savez(self.directory / name, **arrays)

  def plan(self, run, **options):
    reproducing._load.cache_clear()
    return reproducing.plan(run, str(self.directory), **options)

  def test_a_part_of_a_table_and_the_best_epoch(self):
    """Oracle: 35 of 40 made-up skeletons have a value; the last epoch is passed
    over where all have their best."""
    arrays = dict(transnas_test.macro())
    values = arrays.pop("class_object")
    arrays["class_object_val_best"] = values + 1
    arrays["class_object_val_final"] = values
    self.write("tnb101_macro.npz", arrays)
    (row,) = [
      row for row in PAPERS["ednag"].tables[1].rows if row.column == "macro OC"
    ]
    planned = self.plan(row.runs[1], num_seeds=7)
    self.assertIn("--objective=valid_top1_best", planned.arguments)
    self.assertIn("--num_seeds=7", planned.arguments)
    self.assertEqual(
      round(planned.problem.optimum().objective, 3),
      round(float(np.nanmax(values)) + 1, 3),
    )
    (note,) = planned.notes
    self.assertIn("35 of", note)

  @parameterized.parameters(True, False)
  def test_what_is_read_and_reported(self, has_test):
    """Oracle: a table without tests is searched and reported by validation."""
    valid, test = np.random.default_rng(0).uniform(10, 90, (2, 15625))
    arrays = {
      "ops": nasbench201.nasbench201().all_architectures().astype(np.int8),
      "cifar10_valid_val": valid.astype(np.float32),
    }
    if has_test:
      arrays["cifar10_valid_test"] = test.astype(np.float32)
    self.write("nb201.npz", arrays)
    reference, default, _ = PAPERS["ednag"].tables[0].rows[0].runs
    found = self.plan(reference)
    by_test = "--benchmark=search-on-test-accuracy:nasbench201/cifar10"
    self.assertEqual(by_test in found.arguments, has_test)
    best = found.problem.optimum().objective
    expected = test.max() if has_test else valid.max()
    self.assertAlmostEqual(best, expected, delta=1e-4)
    notes = self.plan(default).notes
    self.assertEqual(
      "where the paper has the test's" in str(notes), not has_test
    )

  def test_a_missing_table(self):
    """Oracle: refused with the command that makes it; a quick run stands in."""
    run = PAPERS["agnet"].tables[4].rows[0].runs[1]
    with self.assertRaisesRegex(UsageError, "nb201.npz.*convert"):
      self.plan(run)
    planned = self.plan(run, quick=True)
    self.assertEqual(
      planned.command,
      "python -m experiments.search --benchmark=digits --num_seeds=3 "
      "--algorithm=agnet --budget=30",
    )
    self.assertEqual(
      planned.notes, ["quick: digits in the place of nasbench201/cifar100"]
    )


class ReproduceTest(runs.BinaryCase):
  def reproduce(self, *given, paper=SMALL):
    with (
      mock.patch.dict(PAPERS, {"ednag": paper}),
      mock.patch.object(reproducing, "start", in_process),
    ):
      return runs.run_binary(
        reproduce, "--paper=ednag", f"--workdir={self.workdir}", *given
      )

  def test_a_small_paper(self):
    """Oracle: the same search by `experiments.search`, and NumPy and SciPy on
    its trace; a rerun runs nothing and changes nothing."""
    self.assert_succeeds(self.reproduce())
    folder = self.directory / "search"
    runs.run(
      *("--algorithm=random", "--budget=40", "--num_seeds=4"),
      f"--workdir={folder}",
    )
    summary = runs.summary_of(folder)[0]
    seeds = runs.replay(runs.arrays_of(folder), summary["optimum_objective"])
    found = json.loads((self.workdir / "ednag.json").read_text())
    command = reproducing.declared(RUN)
    self.assertEqual(list(found), [command])
    result = found[command]
    best = [seed[0] for seed in seeds]
    half = stats.t.ppf(0.975, 3) * np.std(best, ddof=1) / 2
    mean = np.mean(best)
    np.testing.assert_allclose(
      result["objective"],
      [mean, np.std(best, ddof=1), mean - half, mean + half],
      atol=2e-5,
    )
    np.testing.assert_allclose(
      result["test"][0], np.mean([seed[1] for seed in seeds]), atol=2e-5
    )
    self.assertEqual(
      result["needed"],
      [None if np.isinf(seed[3]) else seed[3] for seed in seeds],
    )
    self.assertEqual(result["optimum"][0], 94.0)
    self.assertEqual(result["queries"], 40.0)
    text = (self.workdir / "ednag.md").read_text()
    self.assertIn(f"| found | 93.5 ± 0.1 | 94.0 | one | {mean:.3f} ±", text)
    self.assertIn(f"`{command}`", text)
    self.assertIn("1. needs a table that nobody has.", text)
    self.assertIn("## Figure 2: A curve", text)
    self.assertIn("![](ednag_published.png)", text)
    self.assertTrue((self.workdir / "ednag_published.png").exists())
    with mock.patch.object(reproducing, "measure", None):
      self.assert_succeeds(self.reproduce())
    self.assertEqual((self.workdir / "ednag.md").read_text(), text)

  def test_what_a_report_says_of_a_run(self):
    """Oracle: numbers by hand."""
    result = {
      "objective": [0.5, 0.1, 0.4, 0.6],
      "test": None,
      "curve": {"2": [0.25, 0.1, 0.2, 0.3]},
      "needed": [1, 3, None, 2],
      "queries": 3.5,
      "num_seeds": 4,
    }
    row = base.Row("a", "-9", factor=-100.0)
    self.assertEqual(
      reports.figure_of(row, RUN, result),
      reports.Figure(-50.0, -60.0, -40.0, 0.75, 2.5, 3.5),
    )
    self.assertEqual(
      reports.figure_of(row, RUN._replace(at=2), result),
      reports.Figure(-25.0, -30.0, -20.0, 0.5, 2.5, 2.0),
    )
    report = reports.Report(
      SMALL._replace(
        tables=(base.Table("1", "t", "c", (row._replace(runs=(RUN,)),)),)
      ),
      {reproducing.declared(RUN): result},
      {},
      {},
    )
    ((difference,),) = report_plots.differences(report).values()
    self.assertEqual(difference[2:], (-41.0, -51.0, -31.0))
    ((curve,),) = report_plots.progress(report).values()
    np.testing.assert_array_equal(curve.shares, [0.25, 0.5, 0.75])

  def test_intervals_of_shares(self):
    """Oracle: Wilson's formula, and none outside of 0 and 1."""
    pytest.importorskip("matplotlib")
    from matplotlib import figure

    panel = figure.Figure().subplots()
    shares, num, z = np.array([0.0, 0.25, 1.0]), 8, stats.norm.ppf(0.975)
    plots.fill_shares(panel, np.arange(1, 4), shares, num, "black")
    (band,) = panel.collections
    middle = (shares + z**2 / (2 * num)) / (1 + z**2 / num)
    half = shares * (1 - shares) / num + z**2 / (4 * num**2)
    half = z / (1 + z**2 / num) * np.sqrt(half)
    heights = band.get_paths()[0].vertices[:, 1]
    self.assertAlmostEqual(heights.min(), 0.0, places=6)
    self.assertAlmostEqual(heights.max(), 1.0, places=6)
    for edge in (middle[1] - half[1], middle[1] + half[1]):
      self.assertLess(np.abs(heights - edge).min(), 1e-6)

  @pytest.mark.slow
  def test_quick_without_any_table(self):
    """Oracle: `digits` ships, so everything of table 1 runs, on it; numbers are
    marked as no results."""
    out = self.assert_succeeds(
      self.reproduce(
        *("--quick", "--table=1", f"--data_dir={self.directory}"),
        paper=PAPERS["ednag"],
      )
    )
    self.assertEqual(out.count("--benchmark=digits"), 2)
    text = (self.workdir / "ednag.md").read_text()
    self.assertIn("no number in it is a result", text)
    self.assertIn("digits in the place of nasbench201/cifar10", text)

  @data.needs_table("nb201.npz")
  @pytest.mark.slow
  def test_quick_on_a_real_table(self):
    """Oracle: the published optimum bounds what few queries find."""
    self.assert_succeeds(
      self.reproduce("--quick", "--table=1", paper=PAPERS["optiproxy"])
    )
    found = json.loads((self.workdir / "ednag.json").read_text())
    # The third data set may be missing: the table that ships stands in.
    bounds = {"201/cifar10 ": 91.61, "201/cifar100 ": 73.5, "": 86.6}
    for command, result in found.items():
      best = next(v for name, v in bounds.items() if name in command)
      self.assertBetween(result["objective"][0], best - 6, best)

  def test_damaged_results(self):
    """Oracle: exit code 2 and the file's name."""
    self.workdir.mkdir()
    path = pathlib.Path(self.workdir, "ednag.json")
    path.write_text("[1]")
    self.assert_refused(self.reproduce(), path, "expected results by command")


if __name__ == "__main__":
  absltest.main()
