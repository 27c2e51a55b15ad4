"""The installed package: wheel, public surface, examples."""

import doctest
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

from absl.testing import absltest
from absl.testing import parameterized
import pytest

import nagjax

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ("nagjax", "experiments", "pyproject.toml", "README.md", "LICENSE")
MODULES = sorted(
  module.name for module in pkgutil.walk_packages(nagjax.__path__, "nagjax.")
)
LONG = ("nagjax.generation.pretraining", "nagjax.networks.meta_predictor")
"""Their examples compile for seconds."""

BINARIES = sorted(
  path.stem
  for path in (ROOT / "experiments").glob("*.py")
  if path.stem != "__init__"
)
SDIST = """
import sys
from setuptools import build_meta
build_meta.build_sdist(sys.argv[1])
"""
PROGRAM = """
import importlib, sys
import nagjax
assert nagjax.__file__.startswith(sys.argv[1]), nagjax.__file__
assert "scipy.stats" not in sys.modules  # A third of the import.
for name in sys.argv[2:]:
  importlib.import_module(name)
heavy = {"torch", "matplotlib", "sklearn", "xgboost"} & set(sys.modules)
assert not heavy, heavy
problem = nagjax.Problem(nagjax.make_benchmark("synthetic"))
print(problem.optimum()[0], nagjax.make_benchmark("digits").name)
"""


def can_build():
  """Whether a wheel can be built without a network."""
  if importlib.util.find_spec("pip") is None:
    return False
  try:
    version = importlib.metadata.version("setuptools")
  except importlib.metadata.PackageNotFoundError:
    return False
  return int(version.split(".")[0]) >= 77


def pip(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
    check=True,
    capture_output=True,
    text=True,
    timeout=300,
  )


class WheelTest(parameterized.TestCase):
  @pytest.mark.slow
  @unittest.skipUnless(can_build(), "needs pip and setuptools >= 77")
  def test_a_wheel_holds_the_whole_package_and_works_elsewhere(self):
    """Oracle: the modules of the checkout, imported far away from it."""
    with tempfile.TemporaryDirectory() as name:
      folder = pathlib.Path(name).resolve()
      source = folder / "source"  # The checkout stays as it is.
      source.mkdir()
      for part in PARTS:
        path, ignore = ROOT / part, shutil.ignore_patterns("__pycache__")
        if path.is_dir():
          shutil.copytree(path, source / part, ignore=ignore)
        else:
          shutil.copy(path, source / part)
      # The wheel is built of the sdist, which so holds everything too.
      subprocess.run(
        [sys.executable, "-c", SDIST, str(folder / "dist")],
        check=True,
        capture_output=True,
        cwd=source,
        timeout=300,
      )
      (sdist,) = (folder / "dist").glob("*.tar.gz")
      options = ("--no-deps", "--no-build-isolation", "--no-index")
      pip("wheel", str(sdist), *options, "-w", str(folder / "dist"))
      (wheel,) = (folder / "dist").glob("*.whl")
      with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
      self.assertIn("nagjax/py.typed", names)
      self.assertIn("nagjax/benchmarks/data/digits.manifest.json", names)
      for path in [*(ROOT / "nagjax").rglob("*.py")]:
        self.assertIn(path.relative_to(ROOT).as_posix(), names)
      for path in [*(ROOT / "experiments").glob("support/*.py")]:
        self.assertIn(f"nagjax_experiments/support/{path.name}", names)
      self.assertIn("nagjax_experiments/support/papers/ednag.py", names)
      self.assertFalse([n for n in names if n.startswith(("tests", "experi"))])
      target = folder / "target"
      pip("install", "--no-deps", "--no-index", "--target", str(target), wheel)
      result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(target), *MODULES],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=300,
      )
      self.assertEqual(result.stdout, "94.0 digits\n", result.stderr)
      self._run_scripts(target, folder)

  def _run_scripts(self, target, folder):
    """Oracle: a command for every binary; one lists names, one is refused."""
    commands = {path.name: path for path in (target / "bin").iterdir()}
    names = {f"nagjax-{name.replace('_', '-')}" for name in BINARIES}
    self.assertEqual(set(commands), names)
    for name, flag, code, part in (
      ("nagjax-search", "--list", 0, "regularized_evolution"),
      ("nagjax-convert", "--format=no", 2, "--format"),
    ):
      result = subprocess.run(
        [sys.executable, "-W", "error", commands[name], flag],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=300,
      )
      self.assertEqual(result.returncode, code, result.stderr)
      self.assertIn(part, result.stdout + result.stderr)


class SurfaceTest(parameterized.TestCase):
  def test_the_public_surface_has_the_words_of_the_house(self):
    """Oracle: the six nouns and the two levels of running them."""
    names = ("Algorithm", "Problem", "SearchSpace", "Trace", "run", "sweep")
    for name in (*names, "run_on_host", "make_benchmark", "make_search"):
      self.assertIn(name, nagjax.__all__)

  def test_the_version_is_a_version(self):
    """Oracle: the number in pyproject.toml, where nagjax is installed."""
    try:
      version = importlib.metadata.version("nagjax")
    except importlib.metadata.PackageNotFoundError:
      self.skipTest("nagjax is not installed")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    self.assertIn(f'version = "{version}"', text)


class ExamplesTest(parameterized.TestCase):
  def assert_examples_hold(self, name):
    result = doctest.testmod(importlib.import_module(name))
    self.assertEqual(result.failed, 0)

  @parameterized.parameters("nagjax", *(m for m in MODULES if m not in LONG))
  def test_examples_of_the_documentation(self, name):
    """Oracle: the output written in the docstrings."""
    self.assert_examples_hold(name)

  @parameterized.parameters(*LONG)
  @pytest.mark.slow
  def test_long_examples(self, name):
    """Oracle: the output written in the docstrings."""
    self.assert_examples_hold(name)


if __name__ == "__main__":
  absltest.main()
