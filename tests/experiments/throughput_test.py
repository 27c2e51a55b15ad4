"""Tests of experiments.throughput: what it measures is counted, not timed."""

import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import pytest

from experiments import throughput
from experiments.support import arithmetic
from experiments.support import machine
from experiments.support import speed
from nagjax import registry
from nagjax import search
from nagjax.benchmarks.synthetic import synthetic
from nagjax.problem import Problem
from tests.experiments import runs


def run(*argv):
  return runs.run_binary(throughput, *argv)


def task(algorithm, kind, size, budget=40):
  """One line, as `--measure` takes it."""
  variant = "reference" if algorithm == "ednag" else ""
  which = dict(algorithm=algorithm, variant=variant, budget=budget)
  return json.dumps(dict(kind=kind, size=size, **which))


class ThroughputTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder, "new")

  @pytest.mark.slow
  def test_one_sweep_in_a_process_of_its_own(self):
    """Oracle: 3 searches of 12 queries; rates and times agree."""
    code, out, err = run(
      "--algorithm=random",
      "--budget=12",
      "--seeds=3",
      f"--workdir={self.workdir}",
    )
    self.assertEqual((code, err), (0, ""))
    self.assertRegex(
      out, r"3 seeds .* searches/s .* CPU s each \(limit .* s\)\n"
    )
    (row,) = json.loads((self.workdir / "throughput.json").read_text())
    self.assertEqual((row["kind"], row["size"]), ("seeds", 3))
    self.assertAlmostEqual(row["searches_per_second"] * row["run_seconds"], 3)
    self.assertGreaterEqual(row["lookups_per_second"] * row["run_seconds"], 36)
    self.assertIsNone(row["times_official"])
    self.assertEqual((row["algorithm"], row["budget"]), ("random", 12))
    self.assertEqual(row["versions"], machine.versions())
    png = (self.workdir / "throughput.png").read_bytes()
    self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")

  @parameterized.parameters(
    ("local_search", "seeds", "searches_per_second", 5),
    ("ednag", "population", "lookups_per_second", 40),
    ("optiproxy", "generate", "searches_per_second", 2),
    ("ednag", "samples", "samples_per_second", 3),
  )
  @pytest.mark.slow
  def test_rates(self, algorithm, kind, rate, amount):
    """Oracle: what was done, by hand: rate times seconds."""
    code, out, err = run(f"--measure={task(algorithm, kind, amount)}")
    self.assertEqual((code, err), (0, ""))
    row = json.loads(out)
    self.assertAlmostEqual(row[rate] * row["run_seconds"], amount, places=3)
    self.assertGreater(row["compile_seconds"], 0)

  def test_what_the_preset_measures(self):
    """Oracle: the sizes that were asked for; all of them small on a CPU."""
    tasks = throughput.preset_tasks(True)
    sizes = {}
    for one in tasks:
      name = one["algorithm"], one["variant"], one["kind"]
      sizes.setdefault(name, []).append(one["size"])
    for name in (("ednag", "reference"), ("ednag", ""), ("agnet", "")):
      self.assertEqual(sizes[(*name, "seeds")], [1, 1024, 2**16, 2**20])
    self.assertEqual(sizes["ednag", "reference", "population"], [10**6])
    self.assertIn(("ednag", "reference", "samples"), sizes)
    self.assertIn(("ednag", "reference", "training"), sizes)
    small = throughput.preset_tasks(False)
    self.assertEqual({t["kind"] for t in small}, {t["kind"] for t in tasks})
    self.assertLessEqual(max(t["size"] for t in small), 1000)

  def test_what_takes_too_long(self):
    """Oracle: by hand: 3 s to compile and 100 times 2 s."""
    row = {"kind": "seeds", "algorithm": "ednag", "variant": "", "size": 10}
    timed = row | {"compile_seconds": 3.0, "run_seconds": 2.0}
    large = row | {"size": 1000}
    self.assertFalse(throughput.too_long(large, [timed], 204))
    self.assertTrue(throughput.too_long(large, [timed], 202))
    other = large | {"algorithm": "agnet"}
    self.assertFalse(throughput.too_long(other, [timed], 202))
    self.assertTrue(throughput.too_long(other, [timed], 0))

  @pytest.mark.slow
  def test_the_preset_on_a_cpu(self):
    """Oracle: a line and a row of every task, in processes of their own."""
    with mock.patch.object(throughput, "DEFAULTS", ()):
      code, out, err = run("--preset=accelerator", f"--workdir={self.workdir}")
    self.assertEqual((code, err), (0, ""))
    rows = json.loads((self.workdir / "throughput.json").read_text())
    kinds = [row["kind"] for row in rows]
    self.assertEqual(
      kinds, ["seeds", "seeds", "population", "samples", "training"]
    )
    self.assertLen(out.splitlines(), 6)
    steps = rows[-1]["steps_per_second"] * rows[-1]["run_seconds"]
    self.assertAlmostEqual(steps, speed.TRAINING_STEPS)

  def test_the_limit_of_arithmetic(self):
    """Oracle: 40 rows without replacement are four rounds of ten, beside the
    start, whose operations are counted apart."""
    _, out, _ = run(f"--measure={task('random', 'seeds', 2)}")
    row = json.loads(out)
    made = registry.make_search("random", Problem(synthetic()), budget=40)
    key = jax.random.key(0)
    state = jax.eval_shape(lambda key: search.start(key, made).state, key)
    expected = arithmetic.operations(lambda k: search.start(k, made), key)
    expected += 4 * arithmetic.operations(
      lambda state: search.advance(state, made, num_rounds=1), state
    )
    self.assertGreater(expected, 0)
    self.assertEqual(row["operations_per_search"], expected)
    self.assertAlmostEqual(
      row["limit_seconds_per_search"] * row["operations_per_second"], expected
    )

  def test_against_the_published_program(self):
    """Oracle: by hand, from the seconds that were given."""
    measured = task("random", "seeds", 2, budget=10)
    _, out, _ = run("--official_seconds=1.65", f"--measure={measured}")
    row = json.loads(out)
    self.assertAlmostEqual(
      row["times_official"], 1.65 * row["searches_per_second"]
    )
    self.assertEqual(row["cores"], machine._num_cores())


if __name__ == "__main__":
  absltest.main()
