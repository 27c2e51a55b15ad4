"""Tests of experiments.support.distributed: processes that share a search."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from absl.testing import absltest
import pytest

from experiments import search
from tests.experiments import runs

ROOT = pathlib.Path(__file__).parents[2]
QUICK = ("--algorithm=random,local_search", "--budget=60", "--num_seeds=10")


def free_port():
  with socket.socket() as held:
    held.bind(("127.0.0.1", 0))
    return held.getsockname()[1]


class DistributedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder, "results")

  def start(self, number, port, *arguments):
    """Starts one of two processes with two devices each."""
    return subprocess.Popen(
      [
        *(sys.executable, "-m", "experiments.search"),
        "--benchmark=synthetic",
        f"--workdir={self.workdir}",
        f"--coordinator_address=127.0.0.1:{port}",
        "--num_processes=2",
        f"--process_id={number}",
        *arguments,
      ],
      cwd=ROOT,
      env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  def assert_as_of_one(self, *arguments):
    """The written bytes are those of one process, which is this one."""
    alone = self.workdir.parent / "alone"
    code, _, err = runs.run(*arguments, f"--workdir={alone}")
    self.assertEqual(code, 0, err)
    for name in ("trace.npz", "architectures.csv"):
      written = (self.workdir / name).read_bytes()
      self.assertEqual(written, (alone / name).read_bytes(), name)
    self.assertFalse((self.workdir / search.UNFINISHED).exists())

  @pytest.mark.slow
  def test_two_processes_find_what_one_finds(self):
    """Oracle: the files of one process, byte for byte; the first one tells."""
    port = free_port()
    both = [self.start(number, port, *QUICK) for number in range(2)]
    for number, process in enumerate(both):
      out, err = process.communicate(timeout=120)
      self.assertEqual(process.returncode, 0, err)
      self.assertEqual("seconds to run" in out, number == 0)
    self.assert_as_of_one(*QUICK)
    (summary, _) = json.loads((self.workdir / "summary.json").read_text())
    self.assertEqual(summary["num_seeds"], 10)

  @pytest.mark.slow
  def test_a_killed_process_ends_the_other(self):
    """Oracle: one line and exit code 2 within a minute; the same commands then
    write what one process writes, and take what was done."""
    flags = ("--algorithm=random", "--budget=4000", "--num_seeds=400")
    flags += ("--batch_size_seeds=2",)
    port = free_port()
    both = [self.start(number, port, *flags) for number in range(2)]
    for _ in range(600):
      time.sleep(0.1)
      if len(list(self.workdir.rglob("lanes_*.npz"))) > 5:
        break
    both[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, err = both[0].communicate(timeout=120)
    self.assertLess(time.monotonic() - killed, 60)
    self.assertEqual(both[0].returncode, 2, err)
    self.assertRegex(err, r"\nProcess 1 of 2 has ended.*\n\Z")
    both[1].communicate()
    done = list(self.workdir.rglob("lanes_*.npz"))
    times = {path: path.stat().st_mtime_ns for path in done}
    self.assertNotEmpty(done)
    port = free_port()
    both = [self.start(number, port, *flags) for number in range(2)]
    seen = set()
    while any(process.poll() is None for process in both):
      time.sleep(0.05)
      for path in done:
        if path.exists():
          self.assertEqual(path.stat().st_mtime_ns, times[path])
          seen.add(path)
    self.assertNotEmpty(seen)
    for process in both:
      _, err = process.communicate()
      self.assertEqual(process.returncode, 0, err)
    self.assert_as_of_one(*flags)


if __name__ == "__main__":
  absltest.main()
