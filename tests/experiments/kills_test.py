"""Commands that are killed at random moments; see `kills`."""

import importlib.util
import pathlib
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized
import jax
import pytest

from tests.experiments import kills

NUM_KILLS = 3
"""Of every command, within the time of continuous integration."""

ROOT = pathlib.Path(__file__).resolve().parents[2]


class KillsTest(parameterized.TestCase):
  @parameterized.parameters(*kills.COMMANDS)
  @pytest.mark.slow
  def test_the_bytes_of_a_run_that_nobody_disturbed(self, name):
    """Oracle: those bytes, or one line and exit code 2; nothing hidden stays.
    `python -m tests.experiments.kills` kills more often."""
    if name == "fit_surrogate" and not importlib.util.find_spec("xgboost"):
      self.skipTest("xgboost is not installed.")
    cache = f"--cache={jax.config.jax_compilation_cache_dir}"
    done = subprocess.run(
      [
        *(sys.executable, "-m", "tests.experiments.kills"),
        *(f"--num_kills={NUM_KILLS}", cache, name),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
    self.assertIn(f"killed {NUM_KILLS}", done.stdout)


if __name__ == "__main__":
  absltest.main()
