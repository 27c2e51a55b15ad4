"""Tests of experiments.common."""

import contextlib
import dataclasses
import io
import os
import pathlib
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

from experiments import common
from nagjax.search import Progress
from nagjax.spaces import nasbench201


def exit_code(run_fn, *errors):
  """Exit code and what was printed on stderr."""
  err = io.StringIO()
  with contextlib.redirect_stderr(err):
    code = common.run_main(run_fn, *errors)
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
    (common.UsageError("two\n lines"), "two lines\n"),
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

  def test_termination(self):
    """Oracle: the shell's convention, as an exception that cleans up."""
    with self.assertRaises(SystemExit) as raised:
      common.terminate(signal.SIGTERM, None)
    self.assertEqual(raised.exception.code, 143)


class ErrorsTest(parameterized.TestCase):
  def test_user_errors(self):
    """Oracle: the prefix and the cause; defects pass."""
    with self.assertRaisesRegex(common.UsageError, "^--x: bad value$"):
      with common.user_errors("--x: "):
        raise ValueError("bad\nvalue")
    with self.assertRaisesRegex(common.UsageError, "^mine$"):
      with common.user_errors("--x: "):
        raise common.UsageError("mine")
    with self.assertRaises(TypeError), common.user_errors():
      raise TypeError

  def test_memory(self):
    """Oracle: the two ways of running out, and nothing else."""
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB")
    for error in (MemoryError(), full):
      with self.assertRaisesRegex(common.UsageError, "memory: buy more"):
        with common.memory_errors("buy more"):
          raise error
    with self.assertRaises(jax.errors.JaxRuntimeError):
      with common.memory_errors("buy more"):
        raise jax.errors.JaxRuntimeError("INTERNAL: defect")

  def test_extra(self):
    """Oracle: the name of the extra; libraries that are there pass."""
    common.require_extra("json", "csv")
    with self.assertRaisesRegex(
      common.UsageError, r"no_such_module.*nagjax\[experiments\]"
    ):
      common.require_extra("json", "no_such_module")


class MachineTest(parameterized.TestCase):
  def test_start_keeps_what_was_chosen(self):
    """Oracle: the devices that the test run asked for."""
    before = len(jax.local_devices())
    self.assertLen(common.start_jax(), before)

  @parameterized.parameters(
    ({}, None),
    ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
    ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, 3),
  )
  def test_devices_of_a_new_process(self, environment, expected):
    """Oracle: one device for each core, unless the user says otherwise."""
    code = "from experiments import common; print(len(common.start_jax()))"
    clean = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    result = subprocess.run(
      [sys.executable, "-W", "error", "-c", code],
      env={**clean, "JAX_PLATFORMS": "cpu", **environment},
      capture_output=True,
      text=True,
      check=True,
    )
    self.assertEqual(int(result.stdout), expected or common._num_cores())

  def test_absent_platform(self):
    """Oracle: one line of the user's."""
    with mock.patch.object(
      jax, "local_devices", side_effect=RuntimeError("no\ncuda")
    ):
      with self.assertRaisesRegex(common.UsageError, "not start: no cuda"):
        common.start_jax()

  def test_description(self):
    """Oracle: stand-ins for devices with known answers."""
    devices = [
      mock.Mock(device_kind="H200", **{"memory_stats.return_value": stats})
      for stats in ({"peak_bytes_in_use": 5_000_000}, {"peak_bytes_in_use": 1})
    ]
    self.assertEqual(common.describe_devices(devices), "2 x H200")
    self.assertAlmostEqual(common.peak_memory_mb(devices), 5.000001)

  def test_memory_of_the_process(self):
    """Oracle: at least this array, at most this machine."""
    block = np.ones(10_000_000, np.uint8)
    peak = common.peak_memory_mb(jax.local_devices())
    self.assertGreater(peak, len(block) / 1e6)
    self.assertLess(peak, 1e6)

  def test_versions(self):
    """Oracle: the libraries' own words."""
    found = common.versions()
    self.assertEqual(found["jax"], jax.__version__)
    self.assertEqual(found["numpy"], np.__version__)
    self.assertContainsSubset({"python", "nagjax", "jaxlib"}, found)
    self.assertEqual(
      common.versions("optax"), found | {"optax": optax.__version__}
    )


@dataclasses.dataclass(frozen=True)
class _Config:
  size: int = 3
  limit: float = float("inf")
  sizes: tuple = (1, 2.5)
  name: str | None = None
  map_fn: object = nasbench201.to_string


class DescriptionTest(parameterized.TestCase):
  def test_config(self):
    """Oracle: written by hand."""
    expected = {
      "size": 3,
      "limit": "inf",
      "sizes": [1, 2.5],
      "name": None,
      "map_fn": "nagjax.spaces.nasbench201.to_string",
    }
    self.assertEqual(common.describe_config(_Config()), expected)

  def test_options(self):
    """Oracle: written by hand; the last one wins, values may hold signs."""
    texts = ["a.x=1", "a.x=2", "b.y=p=q.r"]
    options = common.read_options(texts, ["a", "b", "c"])
    self.assertEqual(options, {"a": {"x": "2"}, "b": {"y": "p=q.r"}, "c": {}})

  @parameterized.parameters("a", "a.x", "a=1", "=", "d.x=1")
  def test_bad_options(self, text):
    """Oracle: the message names the text."""
    with self.assertRaisesRegex(common.UsageError, text):
      common.read_options([text], ["a"])


class PriorTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    directory = self.enter_context(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(directory) / "prior.csv"
    self.space = nasbench201.nasbench201()
    self.archs = np.asarray([[0] * 6, [4, 3, 2, 1, 0, 4]], np.int32)
    self.names = [self.space.to_string(arch) for arch in self.archs]

  def test_read(self):
    """Oracle: what was written, once each; other columns do not matter."""
    lines = [
      "note,architecture",
      f"a,{self.names[1]}",
      "",
      f"b,{self.names[0]}",
    ]
    text = "\n".join([*lines, f"again,{self.names[1]}"])
    self.path.write_text(text, encoding="utf-8-sig")
    archs = common.read_prior(str(self.path), self.space)
    self.assertEqual(archs.dtype, np.int32)
    np.testing.assert_array_equal(archs, self.archs[::-1])

  @parameterized.parameters(
    ("", ":1: expected a header"),
    ("arch\nx\n", ":1: expected a header.*'arch'"),
    ("architecture\n", ":1: expected one architecture"),
    ("architecture\n\nx\n", ":3: A NAS-Bench-201 string .*'x'"),
    ("a,architecture\nx\n", ":2: A NAS-Bench-201 string .*''"),
    ("architecture\n|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", ":2: Op"),
  )
  def test_malformed(self, text, message):
    """Oracle: the message names file, line and fault."""
    self.path.write_text(text)
    pattern = f"^--prior: {self.path}{message}"
    with self.assertRaisesRegex(common.UsageError, pattern):
      common.read_prior(str(self.path), self.space)

  def test_no_text(self):
    """Oracle: the message names the file."""
    self.path.write_bytes(b"architecture\n\xff\xfe")
    with self.assertRaisesRegex(common.UsageError, str(self.path)):
      common.read_prior(str(self.path), self.space)


class ProgressTest(parameterized.TestCase):
  def _now(self, share):
    return Progress(chunk=0, num_chunks=2, round=9, num_rounds=8, share=share)

  def test_lines(self):
    """Oracle: a linear clock: 20 s for half of it, so 20 s are left."""
    err = io.StringIO()
    clock = iter([0.0, 100.0, 101.0, 120.0, 140.0])
    with (
      contextlib.redirect_stderr(err),
      mock.patch.object(common.time, "monotonic", lambda: next(clock)),
      common.progress() as report,
    ):
      report("a", None)
      for share in (0.0, 0.01, 0.5, 1.0):
        report("a", self._now(share))
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
      common.progress() as report,
    ):
      for name in ("first", "second"):
        report(name, None)
        report(name, self._now(1.0))
    self.assertEqual(out.getvalue(), "")
    for part in ("first", "second", "100%", "chunk 1 of 2"):
      self.assertIn(part, err.getvalue())


if __name__ == "__main__":
  absltest.main()
