"""The rules that keep nagjax one house, read from its source."""

import ast
import functools
import graphlib
import importlib
import pathlib
import sys

from absl.testing import absltest
from absl.testing import parameterized

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nagjax"
MAX_LINES = 450

MATHEMATICS = {"diffusion", "evolution", "relaxation", "networks"}
"""Rooms of the lower level, which stand side by side on `types`."""

LEAVES = {"types", "arrays", "checks"}
"""What every room of the mathematics, and those on it, may import."""

ALLOWED = {
  **{room: set() for room in ("types", "arrays", "checks", "options")},
  **{room: set() for room in ("files", "sharding", "statistics", "pareto")},
  "spaces": {"types"},
  "benchmarks": {"types", "spaces", "files"},
  "problem": {"types", "spaces", "benchmarks", "statistics"},
  **{room: LEAVES for room in MATHEMATICS},
  "generation": {*LEAVES, "spaces", "networks", "diffusion", "files"},
  "archive": {*LEAVES, "spaces"},
  "acquisition": {"types"},
  "surrogates": {
    *LEAVES,
    *("spaces", "archive", "diffusion", "networks", "transfer.base", "files"),
  },
  "proposers": {
    *LEAVES,
    *("spaces", "archive", "acquisition", "surrogates", "generation"),
    *MATHEMATICS,
  },
  "algorithms": {
    *LEAVES,
    *("spaces", "archive", "acquisition", "surrogates", "proposers"),
    *("pareto", "generation", *MATHEMATICS),
  },
  "candidates": {
    *("types", "checks", "spaces", "files"),
    *("benchmarks.catalog", "benchmarks.mobilenet_latency"),
  },
  "search": {
    *("types", "arrays", "spaces", "files", "benchmarks", "problem"),
    "sharding",
  },
  "transfer": {
    *("types", "checks", "spaces", "files", "benchmarks", "problem"),
    *("statistics", "networks"),
  },
  "convert": {
    *("types", "spaces", "files", "networks", "benchmarks", "candidates"),
  },
}
"""What a room may import besides itself; the registry stands on all."""

TOP = {"registry", "assembling", "__init__"}

FOREIGN = {
  "matplotlib",
  "rich",
  "sklearn",
  "torch",
  "xgboost",
  "lightgbm",
  "pandas",
  "evosax",
  "tensorflow",
}
"""Not at module level; the first two not at all."""

NEVER = {
  *("matplotlib", "rich", "logging", "tqdm"),
  *("experiments", "tests"),
}


def sources(folder):
  return sorted(folder.rglob("*.py"))


@functools.cache
def tree_of(path):
  return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(nodes):
  """Full names of the modules that import statements name."""
  for node in nodes:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        yield f"{'.' * node.level}{node.module or ''}.{alias.name}"


def at_module_level(tree):
  """Statements that run on import, inside conditions and classes too."""
  waiting = [tree]
  while waiting:
    for node in ast.iter_child_nodes(waiting.pop()):
      if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        waiting.append(node)
        yield node


def room_of(path):
  return path.relative_to(PACKAGE).with_suffix("").parts[0]


def may_import(room, name):
  """Whether a module of a room may import `nagjax...`."""
  allowed = {room, *ALLOWED[room]}
  return any(f"{name}.".startswith(f"nagjax.{other}.") for other in allowed)


def module_graph():
  """The modules of the package that every module imports, itself aside."""
  paths = {}
  for path in sources(PACKAGE):
    parts = path.relative_to(ROOT).with_suffix("").parts
    paths[".".join(p for p in parts if p != "__init__")] = path
  graph = {}
  for module, path in paths.items():
    names = set(imported(ast.walk(tree_of(path))))
    # What is imported is a module, or something in one.
    found = {n if n in paths else n.rpartition(".")[0] for n in names}
    graph[module] = (found & paths.keys()) - {module}
  return graph


class ImportTest(parameterized.TestCase):
  def test_imports_go_one_way(self):
    """Oracle: the table of architecture.md."""
    wrong = []
    for path in sources(PACKAGE):
      room = room_of(path)
      if room in TOP:
        continue
      self.assertIn(room, ALLOWED, f"{path}: a room without a rule")
      for name in imported(ast.walk(tree_of(path))):
        if name.startswith("nagjax.") and not may_import(room, name):
          wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    self.assertEmpty(wrong)

  def test_modules_import_each_other_in_no_circle(self):
    """Oracle: a topological order of the modules, imports anywhere."""
    order = list(graphlib.TopologicalSorter(module_graph()).static_order())
    self.assertLess(order.index("nagjax.types"), order.index("nagjax.archive"))
    self.assertEqual(order[-1], "nagjax")

  def test_imports_are_absolute(self):
    """Oracle: the style rule."""
    for path in sources(PACKAGE):
      for name in imported(ast.walk(tree_of(path))):
        self.assertFalse(name.startswith("."), f"{path}: {name}")

  def test_heavy_libraries_are_not_imported_with_the_package(self):
    """Oracle: module-level statements of every file."""
    for path in sources(PACKAGE):
      for name in imported(at_module_level(tree_of(path))):
        self.assertNotIn(name.split(".")[0], FOREIGN, f"{path}: {name}")

  def test_the_package_draws_and_prints_nothing(self):
    """Oracle: imports anywhere, and calls of `print`, of every file."""
    for path in sources(PACKAGE):
      tree = tree_of(path)
      for name in imported(ast.walk(tree)):
        self.assertNotIn(name.split(".")[0], NEVER, f"{path}: {name}")
      calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
      }
      self.assertNotIn("print", calls, path)

  def test_torch_stays_in_convert(self):
    """Oracle: imports anywhere."""
    for path in sources(PACKAGE):
      names = {n.split(".")[0] for n in imported(ast.walk(tree_of(path)))}
      if room_of(path) != "convert":
        self.assertNotIn("torch", names, path)

  def test_nothing_imports_a_binary(self):
    """Oracle: the top of `experiments` is binaries alone, each with a `main`;
    they and what they share import `support` and the package."""
    folder = ROOT / "experiments"
    for path in sorted(folder.glob("*.py")):
      if path.name != "__init__.py":
        self.assertIn("\nmain = binary(", path.read_text(encoding="utf-8"))
    for path in [*folder.glob("*.py"), *folder.glob("support/*.py")]:
      for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
          self.assertEqual(node.level, 1, path)
          if path.parent == folder:
            self.assertEqual(node.module.split(".")[0], "support", path)
      for name in imported(ast.walk(tree_of(path))):
        self.assertNotEqual(name.split(".")[0], "experiments", path)

  def test_a_violation_would_be_seen(self):
    """Oracle: a file that breaks the rules, parsed by the same functions."""
    tree = ast.parse(
      "import jax\n"
      "if jax:\n  import torch.nn\n"
      "def f():\n  from nagjax.search import driver\n"
      "from . import x\n"
    )
    self.assertEqual(
      sorted(imported(ast.walk(tree))),
      ["..x", "jax", "nagjax.search.driver", "torch.nn"],
    )
    self.assertEqual(
      sorted(imported(at_module_level(tree))), ["..x", "jax", "torch.nn"]
    )
    self.assertTrue(may_import("candidates", "nagjax.benchmarks.catalog.Table"))
    self.assertFalse(may_import("candidates", "nagjax.benchmarks.base.Table"))
    self.assertFalse(may_import("surrogates", "nagjax.proposers.base"))
    self.assertIn("nagjax.types", module_graph()["nagjax.archive"])


DOORS = {
  "files",
  "convert/pickles.py",
  "convert/tfrecords.py",
  "convert/torch_files.py",
}
"""Where outside data may enter; the docstring of `nagjax.files` lists them."""

OPENING = {
  *("open", "numpy.load", "numpy.fromfile", "numpy.loadtxt", "numpy.memmap"),
  *("numpy.genfromtxt", "json.load", "csv.reader", "csv.DictReader"),
  *("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"),
  *("bz2.open", "gzip.open", "lzma.open", "io.open", "zipfile.ZipFile"),
}
METHODS = {"open", "read_text", "read_bytes"}
"""Of paths; `zipfile` and `io` have them too."""


def openings(tree):
  """Calls of a module that read outside data, by their full names.

  Opening for writing alone is none.
  """
  aliases = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      aliases |= {a.asname or a.name: a.name for a in node.names}
    elif isinstance(node, ast.ImportFrom):
      aliases |= {
        a.asname or a.name: f"{node.module}.{a.name}" for a in node.names
      }
  for node in ast.walk(tree):
    if isinstance(node, ast.Call):
      name = ast.unparse(node.func)
      first, dot, rest = name.partition(".")
      full = aliases.get(first, first) + dot + rest
      is_ours = full.startswith("nagjax.")
      modes = [ast.unparse(argument) for argument in node.args[1:2]]
      if full == "open" and modes in (["'w'"], ["'wb'"]):
        continue
      if full in OPENING or (full.split(".")[-1] in METHODS and not is_ours):
        yield full


class DoorsTest(parameterized.TestCase):
  def test_outside_data_enters_by_few_doors(self):
    """Oracle: calls that open or unpickle, in every file of the package and of
    what runs it."""
    for path in [*sources(PACKAGE), *sources(ROOT / "experiments")]:
      place = path.relative_to(ROOT).as_posix().removeprefix("nagjax/")
      if place.split("/")[0] not in DOORS and place not in DOORS:
        self.assertEmpty(list(openings(tree_of(path))), path)

  def test_an_opening_would_be_seen(self):
    """Oracle: a file that opens in many ways, parsed by the same function."""
    tree = ast.parse(
      "import numpy as np\nfrom pickle import loads as l\nimport csv, json\n"
      "from nagjax.files import read_text\n"
      "np.load(x)\nl(x)\nopen(x)\ncsv.reader(x)\njson.loads(x)\n"
      "p.read_text()\nread_text(x)\nsome.path.open()\nopen(x, 'wb')\n"
    )
    expected = ["numpy.load", "pickle.loads", "open", "csv.reader"]
    self.assertEqual(
      list(openings(tree)), [*expected, "p.read_text", "some.path.open"]
    )


class LayoutTest(parameterized.TestCase):
  @parameterized.parameters("nagjax", "experiments")
  def test_files_are_short(self, folder):
    """Oracle: at most 450 lines."""
    for path in sources(ROOT / folder):
      lines = path.read_text(encoding="utf-8").count("\n")
      self.assertLessEqual(lines, MAX_LINES, path)

  def test_every_package_lists_what_is_public(self):
    """Oracle: a sorted `__all__` of names that exist."""
    packages = [p for p in sources(PACKAGE) if p.name == "__init__.py"]
    self.assertGreater(len(packages), 5)
    for path in packages:
      parts = path.parent.relative_to(ROOT).parts
      module = importlib.import_module(".".join(parts))
      names = getattr(module, "__all__", None)
      self.assertTrue(names, f"{path} has no __all__")
      self.assertEqual(list(names), sorted(set(names)), path)
      for name in names:
        self.assertTrue(hasattr(module, name), f"{path}: {name}")

  def test_every_folder_of_code_is_a_package(self):
    """Oracle: an `__init__.py` beside every module."""
    for path in sources(PACKAGE):
      self.assertTrue((path.parent / "__init__.py").is_file(), path)

  def test_every_module_says_what_it_is(self):
    """Oracle: a module docstring, and one of every public definition."""
    for path in sources(PACKAGE):
      tree = tree_of(path)
      self.assertTrue(ast.get_docstring(tree), path)
      for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
          if not node.name.startswith("_"):
            self.assertTrue(ast.get_docstring(node), f"{path}: {node.name}")

  def test_tests_mirror_the_package(self):
    """Oracle: every folder of tests is a room, `experiments` or `search`."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for path in (ROOT / "tests").iterdir():
      if path.is_dir() and not path.name.startswith(("_", ".")):
        self.assertIn(path.name, {*rooms, "experiments"})

  def test_the_oldest_python_can_read_every_file(self):
    """Oracle: the parser in the mode of Python 3.11."""
    for path in [*sources(PACKAGE), *sources(ROOT / "experiments")]:
      ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))
    self.assertGreaterEqual(sys.version_info, (3, 11))


if __name__ == "__main__":
  absltest.main()
