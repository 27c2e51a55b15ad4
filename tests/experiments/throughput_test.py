"""Tests of experiments.throughput: what it measures is counted, not timed."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized

from experiments import throughput
from experiments.support import machine
from tests.experiments import runs


def run(*argv):
  return runs.run_binary(throughput, *argv)


class ThroughputTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder, "new")

  def test_one_sweep_in_a_process_of_its_own(self):
    """Oracle: 3 searches of 12 queries; rates and times agree."""
    code, out, err = run(
      "--algorithm=random",
      "--budget=12",
      "--seeds=3",
      f"--workdir={self.workdir}",
    )
    self.assertEqual((code, err), (0, ""))
    self.assertRegex(out, r"3 seeds .* searches/s, [\d.]+ CPU s each\n")
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
    ("seeds", "searches_per_second", 5),
    ("population", "lookups_per_second", 40),
    ("generate", "searches_per_second", 2),
  )
  def test_rates(self, kind, rate, amount):
    """Oracle: what was done, by hand: rate times seconds."""
    task = {"kind": kind, "size": amount}
    algorithms = {"seeds": "local_search", "population": "ednag"}
    algorithm = algorithms.get(kind, "optiproxy")
    flags = [f"--algorithm={algorithm}", "--budget=40"]
    code, out, err = run(*flags, f"--measure={json.dumps(task)}")
    self.assertEqual((code, err), (0, ""))
    row = json.loads(out)
    self.assertAlmostEqual(row[rate] * row["run_seconds"], amount, places=3)
    self.assertGreater(row["compile_seconds"], 0)

  def test_against_the_published_program(self):
    """Oracle: by hand, from the seconds that were given."""
    task = json.dumps({"kind": "seeds", "size": 2})
    _, out, _ = run(
      "--algorithm=random",
      "--budget=10",
      "--official_seconds=1.65",
      f"--measure={task}",
    )
    row = json.loads(out)
    self.assertAlmostEqual(
      row["times_official"], 1.65 * row["searches_per_second"]
    )
    self.assertEqual(row["cores"], machine._num_cores())


if __name__ == "__main__":
  absltest.main()
