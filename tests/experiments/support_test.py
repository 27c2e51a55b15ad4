"""Tests of experiments.support: flags, outputs, progress, the machine."""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import optax
import pytest

from experiments.support import errors
from experiments.support import flags
from experiments.support import machine
from experiments.support import outputs
from experiments.support import program
from experiments.support import progress
from experiments.support import records
from nagjax import files
from nagjax.search import Progress
from nagjax.spaces import nasbench201
from tests.experiments import runs


def exit_code(run_fn, *errors):
  """Exit code and what was printed on stderr."""
  err = io.StringIO()
  with contextlib.redirect_stderr(err):
    code = program.run_main(run_fn, *errors)
  return code, err.getvalue()


def raises(error):
  def run():
    raise error

  return run


class RunMainTest(parameterized.TestCase):
  def test_success(self):
    """Oracle: the definition."""
    self.assertEqual(exit_code(lambda: None), (0, ""))

  @parameterized.parameters(
    (errors.UsageError("two\n lines"), "two lines\n"),
    (
      FileNotFoundError(2, "No such file", "x"),
      "[Errno 2] No such file: 'x'\n",
    ),
    (KeyError("declared"), "'declared'\n"),
  )
  def test_what_the_user_can_mend(self, error, text):
    """Oracle: one line, 2."""
    self.assertEqual(exit_code(raises(error), KeyError), (2, text))

  def test_interruption(self):
    """Oracle: one line, 130."""
    code, err = exit_code(raises(KeyboardInterrupt()))
    self.assertEqual((code, err), (130, "Interrupted; nothing was written.\n"))

  @parameterized.parameters(ValueError, RuntimeError, KeyError)
  def test_defects_keep_their_traceback(self, error):
    """Oracle: what is nobody's to mend is not caught."""
    with self.assertRaises(error):
      exit_code(raises(error("defect")))

  def test_interrupted_before_the_work_begins(self):
    """Oracle: exit code 130, not a word; the import of JAX never ends."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    (folder / "jax.py").write_text(
      "import time\nprint('importing', flush=True)\ntime.sleep(60)"
    )
    root = str(pathlib.Path(__file__).parents[2])
    with subprocess.Popen(
      [sys.executable, "-m", "experiments.search"],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"},
      cwd=folder,
    ) as process:
      self.assertEqual(process.stdout.readline(), "importing\n")
      process.send_signal(signal.SIGINT)
      self.assertEqual(process.communicate()[1], "")
    self.assertEqual(process.returncode, 130)

  def test_termination(self):
    """Oracle: the shell's convention, as an exception that cleans up."""
    with self.assertRaises(SystemExit) as raised:
      program.terminate(signal.SIGTERM, None)
    self.assertEqual(raised.exception.code, 143)


class ErrorsTest(parameterized.TestCase):
  def test_user_errors(self):
    """Oracle: the prefix and the cause; defects pass."""
    with self.assertRaisesRegex(errors.UsageError, "^--x: bad value$"):
      with errors.user_errors("--x: "):
        raise ValueError("bad\nvalue")
    with self.assertRaisesRegex(errors.UsageError, "^mine$"):
      with errors.user_errors("--x: "):
        raise errors.UsageError("mine")
    with self.assertRaises(TypeError), errors.user_errors():
      raise TypeError

  def test_memory(self):
    """Oracle: the two ways of running out, and nothing else."""
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB")
    for error in (MemoryError(), full):
      with self.assertRaisesRegex(errors.UsageError, "memory: buy more"):
        with program.memory_errors("buy more"):
          raise error
    with self.assertRaises(jax.errors.JaxRuntimeError):
      with program.memory_errors("buy more"):
        raise jax.errors.JaxRuntimeError("INTERNAL: defect")

  def test_extra(self):
    """Oracle: the name of the extra; libraries that are there pass."""
    program.require_extra("json", "csv")
    with self.assertRaisesRegex(
      errors.UsageError, r"no_such_module.*nagjax\[experiments\]"
    ):
      program.require_extra("json", "no_such_module")


class MachineTest(parameterized.TestCase):
  def test_start_keeps_what_was_chosen(self):
    """Oracle: the devices that the test run asked for."""
    before = len(jax.local_devices())
    self.assertLen(machine.start_jax(), before)

  @parameterized.parameters(
    ({}, None),
    ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
    ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, 3),
  )
  @pytest.mark.slow
  def test_devices_of_a_new_process(self, environment, expected):
    """Oracle: one device for each core, unless the user says otherwise."""
    code = (
      "from experiments.support import machine;print(len(machine.start_jax()))"
    )
    clean = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    result = subprocess.run(
      [sys.executable, "-W", "error", "-c", code],
      env={**clean, "JAX_PLATFORMS": "cpu", **environment},
      capture_output=True,
      text=True,
      check=True,
    )
    self.assertEqual(int(result.stdout), expected or machine._num_cores())

  def test_where_compiled_programs_are_kept(self):
    """Oracle: a directory that is named, JAX's own choice, none, or the user's
    caches; there the newest files that fit stay."""
    with tempfile.TemporaryDirectory() as name:
      home = pathlib.Path(name)
      self.assertEqual(machine.make_cache(f"{name}/new"), home / "new")
      self.assertTrue((home / "new").is_dir())
      self.assertIsNone(machine.make_cache(None))  # Chosen by the test run.
      self.assertIsNone(machine.make_cache(""))
      chosen = jax.config.values["jax_compilation_cache_dir"]
      choose = functools.partial(jax.config.update, "jax_compilation_cache_dir")
      choose(None)
      self.addCleanup(choose, chosen)
      with mock.patch.dict(os.environ, XDG_CACHE_HOME=name):
        place = machine.make_cache(None)
        self.assertEqual(place.parent, home / "nagjax" / "xla")
        for age in range(4):
          (place / str(age)).write_bytes(bytes(10))
          os.utime(place / str(age), (100 - age, 100 - age))
        with mock.patch.object(machine, "MOST_CACHED", 25):
          self.assertEqual(machine.make_cache(None), place)
        self.assertEqual({p.name for p in place.iterdir()}, {"0", "1"})
        shutil.rmtree(home / "nagjax")
        (home / "nagjax").write_text("no folder")
        self.assertIsNone(machine.make_cache(None))

  def test_absent_platform(self):
    """Oracle: one line of the user's."""
    with mock.patch.object(
      jax, "local_devices", side_effect=RuntimeError("no\ncuda")
    ):
      with self.assertRaisesRegex(errors.UsageError, "not start: no cuda"):
        machine.start_jax()

  def test_description(self):
    """Oracle: stand-ins for devices with known answers."""
    devices = [
      mock.Mock(device_kind="H200", **{"memory_stats.return_value": stats})
      for stats in ({"peak_bytes_in_use": 5_000_000}, {"peak_bytes_in_use": 1})
    ]
    self.assertEqual(machine.describe_devices(devices), "2 x H200")
    self.assertAlmostEqual(machine.peak_memory_mb(devices), 5.000001)

  def test_memory_of_the_process(self):
    """Oracle: at least this array, at most this machine."""
    block = np.ones(10_000_000, np.uint8)
    peak = machine.peak_memory_mb(jax.local_devices())
    self.assertGreater(peak, len(block) / 1e6)
    self.assertLess(peak, 1e6)

  def test_versions(self):
    """Oracle: the libraries' own words."""
    found = machine.versions()
    self.assertEqual(found["jax"], jax.__version__)
    self.assertEqual(found["numpy"], np.__version__)
    self.assertContainsSubset({"python", "nagjax", "jaxlib"}, found)
    self.assertEqual(
      machine.versions("optax"), found | {"optax": optax.__version__}
    )


@dataclasses.dataclass(frozen=True)
class _Config:
  size: int = 3
  limit: float = float("inf")
  sizes: tuple = (1, 2.5)
  name: str | None = None
  map_fn: object = nasbench201.to_string
  fit: object = None


class DescriptionTest(parameterized.TestCase):
  def test_config(self):
    """Oracle: written by hand."""
    expected = {
      "size": 3,
      "limit": "inf",
      "sizes": [1, 2.5],
      "name": None,
      "map_fn": "nagjax.spaces.nasbench201.to_string",
      "fit": None,
    }
    self.assertEqual(records.describe_config(_Config()), expected)
    nested = _Config(fit=_Config())
    self.assertEqual(
      records.describe_config(nested), expected | {"fit": expected}
    )

  def test_options(self):
    """Oracle: written by hand; the last one wins, values may hold signs."""
    texts = ["a.x=1", "a.x=2", "b.y=p=q.r", "a.fit.x=3"]
    options = flags.read_options(texts, ["a", "b", "c"])
    self.assertEqual(
      options, {"a": {"x": "2", "fit.x": "3"}, "b": {"y": "p=q.r"}, "c": {}}
    )

  def test_options_of_one(self):
    """Oracle: written by hand; its name may be left out."""
    options = flags.read_options(["x=1", "m.y=2", "fit.z=3"], ["m"], "m")
    self.assertEqual(options, {"m": {"x": "1", "y": "2", "fit.z": "3"}})

  @parameterized.parameters("a", "a.x", "a=1", "=", "d.x=1")
  def test_bad_options(self, text):
    """Oracle: the message names the text."""
    with self.assertRaisesRegex(errors.UsageError, text):
      flags.read_options([text], ["a"])


class FlagsTest(runs.BinaryCase):
  def _read(self, declared, *argv):
    return flags.read(["program", *argv], declared, "doc")

  def test_paths(self):
    """Oracle: by hand: `~` is the home; commas divide what is no file."""
    declared = [*flags.common("workdir"), flags.paths("runs", "")]
    odd = self.directory / "a,b"
    odd.mkdir()
    with mock.patch.dict(os.environ, HOME="/home/me"):
      values = self._read(
        declared, "--workdir=~/w", f"--runs={odd}", "--runs=~/x,~/y", "--runs=z"
      )
    self.assertEqual(values.workdir, "/home/me/w")
    self.assertEqual(values.runs, [str(odd), "/home/me/x", "/home/me/y", "z"])

  def test_a_default_and_its_help(self):
    """Oracle: what was asked; others are as declared."""
    one, two = flags.common("num_seeds", budget=(7, "Queries."))
    self.assertEqual((one.default, two.default, two.help), (200, 7, "Queries."))

  def test_the_command(self):
    """Oracle: what was given, and what was not is left out."""
    declared = [*flags.common("set", "overwrite", "workdir")]
    given = ["--set=a.b=1", "--set=c.d=2", "--overwrite", "--workdir=w"]
    values = self._read(declared, *given)
    self.assertCountEqual(flags.command(values), given)

  def test_modules_of_the_current_directory(self):
    """Oracle: the module's own mark; once a process."""
    (self.directory / "my_marked_module.py").write_text("MARK = 3")
    before = os.getcwd()
    self.addCleanup(os.chdir, before)
    self.enter_context(mock.patch.object(sys, "path", list(sys.path)))
    os.chdir(self.directory)
    self._read([], "--module=my_marked_module")
    self.assertEqual(sys.modules["my_marked_module"].MARK, 3)


class OutputsTest(runs.BinaryCase):
  def _claims(self):
    return (
      outputs.claimed_workdir(self.directory),
      outputs.claimed_output(str(self.directory / "t.npz"), overwrite=False),
    )

  def test_a_claim_ends_with_its_block(self):
    """Oracle: refused inside, not after; nothing stays behind."""
    for first, second in zip(self._claims(), self._claims(), strict=True):
      with first:
        with self.assertRaisesRegex(errors.UsageError, "another run"), second:
          pass
    for claim in self._claims():
      with claim:
        pass
    self.assertEmpty(list(self.directory.iterdir()))

  def test_a_claim_ends_with_its_process(self):
    """Oracle: a process that is killed while it holds both."""
    code = (
      "import sys, time; from experiments.support import outputs\n"
      "with outputs.claimed_workdir(sys.argv[1]):\n"
      "  with outputs.claimed_output(sys.argv[2], overwrite=False):\n"
      "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
      [sys.executable, "-c", code, self.directory, self.directory / "t.npz"],
      stdout=subprocess.PIPE,
      text=True,
    ) as process:
      self.assertEqual(process.stdout.readline(), "held\n")
      for claim in self._claims():
        with self.assertRaisesRegex(errors.UsageError, "another run"), claim:
          pass
      process.kill()
      process.wait()
    for claim in self._claims():
      with claim:
        pass
    self.assertEmpty(list(self.directory.iterdir()))

  def test_a_run_that_was_killed_behind_its_results(self):
    """Oracle: refused, and what it held the directory with is gone."""
    for name in ("done", ".lock"):
      (self.directory / name).touch()
    with (
      self.assertRaisesRegex(errors.UsageError, "holds done"),
      outputs.claimed_workdir(self.directory, ["done"]),
    ):
      pass
    self.assertEqual([p.name for p in self.directory.iterdir()], ["done"])

  def test_results_of_a_run_that_ended_meanwhile(self):
    """Oracle: refused, though they were not there at first."""

    def claimed(path):
      (self.directory / "done").touch()
      return contextlib.nullcontext()

    with (
      mock.patch.object(files, "claimed", claimed),
      self.assertRaisesRegex(errors.UsageError, "holds done"),
      outputs.claimed_workdir(self.directory, ["done"]),
    ):
      pass


class ProgressTest(parameterized.TestCase):
  def _now(self, share):
    return Progress(chunk=0, num_chunks=2, round=9, num_rounds=8, share=share)

  def test_lines(self):
    """Oracle: a linear clock: 20 s for half of it, so 20 s are left."""
    err = io.StringIO()
    clock = iter([0.0, 100.0, 101.0, 120.0, 140.0])
    with (
      contextlib.redirect_stderr(err),
      mock.patch.object(progress.time, "monotonic", lambda: next(clock)),
      progress.progress() as report,
    ):
      on_progress = progress.of_sweep(report, "a")
      for share in (0.0, 0.01, 0.5, 1.0):
        on_progress(self._now(share))
    line = "a: 50%, chunk 1 of 2, round 8 of at most 8, about 20 s left"
    self.assertEqual(err.getvalue(), f"a: compiling\n{line}\n")

  def test_terminal(self):
    """Oracle: the bar names the searches, on stderr only."""
    out, err = io.StringIO(), io.StringIO()
    err.isatty = lambda: True
    with (
      contextlib.redirect_stdout(out),
      contextlib.redirect_stderr(err),
      mock.patch.dict(os.environ, TERM="xterm", COLUMNS="150"),
      progress.progress() as report,
    ):
      for name in ("first", "second"):
        progress.of_sweep(report, name)(self._now(1.0))
    self.assertEqual(out.getvalue(), "")
    for part in ("first", "second", "100%", "chunk 1 of 2"):
      self.assertIn(part, err.getvalue())


if __name__ == "__main__":
  absltest.main()
