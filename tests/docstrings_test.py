"""What every public docstring of the parts that people build on must say.

Read from the source: nothing is imported, and nothing runs. The examples
themselves run in `package_test`.
"""

import ast
import doctest
import functools
import pathlib
import re

from absl.testing import absltest
from absl.testing import parameterized

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "nagjax"
ROOMS = (
  *("acquisition", "problem", "proposers", "search", "spaces"),
  "surrogates",
)
"""Modules, or folders of them, whose functions all have an example."""

MORE_ROOMS = (
  *("algorithms", "archive", "arrays", "assembling", "benchmarks"),
  *("candidates", "checks", "convert", "diffusion", "evolution", "files"),
  *("generation", "networks", "options", "pareto", "registry", "relaxation"),
  *("sharding", "statistics", "transfer", "types"),
)
"""Those where docstrings must say what a caller must know, examples or not."""

WITHOUT_EXAMPLE = {
  "it compiles a search; `experiments/examples` are examples of it": (
    "search.host_sweeping.sweep_on_host",
    "search.on_host.run_on_host",
    "search.running.advance",
    "search.running.start",
    "search.sweeping.sweep",
  ),
  "a part of the loop that `search.run` and `search.run_on_host` are": (
    "search.driver.advance",
    "search.driver.check_proposal",
    "search.driver.first_proposal",
    "search.driver.run",
    "search.driver.settle",
    "search.driver.start",
    "search.driver.tell_design",
    "search.ledgers.at_fidelities",
    "search.ledgers.fidelities_of",
    "search.saved.restore_infos",
  ),
  "it needs weights, of which none are as small as an example": (
    "proposers.diffusion.diffusion",
    "proposers.generator.generate",
    "proposers.generator.generator",
    "surrogates.guide_files.check",
    "surrogates.guide_files.load",
    "surrogates.guide_files.save",
    "surrogates.meta_training.absorb",
  ),
  "it trains from triplets of many data sets": (
    "surrogates.meta_training.fit",
  ),
  "it needs a library that is not always there": (
    "surrogates.boosted.boosted_trees",
    "surrogates.boosted.fit",
    "surrogates.boosted.predict",
    "surrogates.boosted.require",
    "surrogates.coreset.sklearn_centroids",
  ),
  "a step of a surrogate or of a proposer that has an example": (
    "surrogates.noise_aware.fit",
    "surrogates.noise_aware.published_value_fn",
    "surrogates.noise_aware.value_fn",
    "surrogates.trend.add",
    "surrogates.trend.relaxed_features",
  ),
  "one of the steps after `find`, in a file without room for more": (
    "surrogates.meta.draw_rows",
    "surrogates.meta.encode_images",
    "surrogates.meta.load",
    "surrogates.meta.mobilenetv3_graph",
    "surrogates.meta.nasbench201_graph",
    "surrogates.meta.network",
    "surrogates.meta.predict",
    "surrogates.meta.save",
    "surrogates.meta.stack",
    "surrogates.meta.surrogate",
    "surrogates.meta.value_fn",
    "surrogates.meta.view",
  ),
  "a published program's form beside ours, in a file without room for more": (
    "spaces.mobilenetv3.chain_adjacency",
    "spaces.mobilenetv3.from_digits",
    "spaces.mobilenetv3.from_ednag_features",
    "spaces.mobilenetv3.published_validity",
    "spaces.mobilenetv3.quantize",
    "spaces.mobilenetv3.to_ednag_features",
  ),
}
"""Public functions that no example calls, by the reason."""

NO_SHAPE = "no shape of an array, such as `f32[B]`"
_ARRAY = re.compile(r"\b(jax\.Array|Archs|np\.ndarray)\b")
_SHAPE = re.compile(r"`[^`\n]*\[[^`]*\][^`]*`|\bscalar")
_READING = re.compile(r"with (files\.)?reading\(")
_ELSEWHERE = re.compile(r"[Ss]ee `|[Ii]nverse of `")
_REFERENCE = re.compile(r"[Ss]ee `(\w+)\.(\w+)`")
_SECTION = re.compile(r"(Args|Attributes|Example|Raises|References|Returns):")
_NAMES = re.compile(r"\**(\w+(?:, \w+)*):(?: |$)")


def modules(rooms):
  """`(name, tree)` of every module of the rooms, named from `nagjax` on."""
  for room in rooms:
    path = PACKAGE / room
    files = sorted(path.glob("*.py")) if path.is_dir() else [f"{path}.py"]
    for file in map(pathlib.Path, files):
      name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
      yield name, tree_of(file)


@functools.cache
def tree_of(file):
  return ast.parse(file.read_text(encoding="utf-8"))


def public(body, prefix="", described=frozenset()):
  """`(name, node)` of public functions and classes, and of their methods.

  Without the properties that the class describes among its attributes.
  """
  for node in body:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
      continue
    if node.name.startswith("_") or (
      node.name in described and not ast.get_docstring(node)
    ):
      continue
    yield prefix + node.name, node
    if isinstance(node, ast.ClassDef):
      said = sections(ast.get_docstring(node) or "")
      told = listed(said.get("Attributes", []))
      yield from public(node.body, f"{prefix}{node.name}.", told)


def functions(tree):
  """Names of the public functions of a module."""
  return [n.name for _, n in public(tree.body) if n in tree.body and is_def(n)]


def is_def(node):
  return isinstance(node, ast.FunctionDef)


def used_in_examples(tree):
  """Names of a module that the examples of its docstrings use."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
      docstring = ast.get_docstring(node) or ""
      examples = doctest.DocTestParser().get_examples(docstring)
      parts = ast.walk(ast.parse("".join(e.source for e in examples)))
      parts = [part for part in parts if isinstance(part, ast.Name)]
      # What an example gives a value of its own is not the module's.
      own = {part.id for part in parts if isinstance(part.ctx, ast.Store)}
      names |= {part.id for part in parts} - own
  return names


def sections(docstring):
  """Lines of the sections of a docstring, without their indent."""
  found, lines = {}, []
  for line in docstring.splitlines():
    if match := _SECTION.fullmatch(line):
      lines = found.setdefault(match[1], [])
    elif line.startswith("  ") or not line:
      lines.append(line[2:])
    else:
      lines = []
  return found


def listed(lines):
  """Names that a section describes: those before the colons."""
  matches = filter(None, map(_NAMES.match, lines))
  return {name for match in matches for name in match[1].split(", ")}


def referred(docstring):
  """Names that other docstrings describe, to which the first lines refer."""
  found = set()
  for module, name in _REFERENCE.findall(docstring.partition("\n\n")[0]):
    for file in PACKAGE.rglob(f"{module}.py"):
      nodes = [n for other, n in public(tree_of(file).body) if other == name]
      for said in (sections(ast.get_docstring(n) or "") for n in nodes):
        found |= listed(said.get("Attributes", []) + said.get("Args", []))
  return found


def raised(node):
  """Names of the exceptions that a function makes and does not catch itself.

  Within `files.reading` all that is wrong with a file becomes a `FileError`,
  and within a function that `pickles.guarded` calls a `ConversionError`.
  """
  if isinstance(node, ast.Try) and node.handlers:
    inner = [*node.handlers, *node.orelse, *node.finalbody]
  else:
    inner = list(ast.iter_child_nodes(node))
  guarded = guarded_by(node) if is_def(node) else set()
  within = [n for n in inner if is_def(n) and n.name in guarded]
  names = set().union(*(raised(n) for n in inner if n not in within))
  if any(map(raised, within)):
    names.add("ConversionError")
  if names and isinstance(node, ast.With) and _READING.match(ast.unparse(node)):
    return {"FileError"}
  if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
    name = ast.unparse(node.exc.func).rpartition(".")[2]
    if name[0].isupper():  # Others are functions that make an exception.
      names.add(name)
  return names


def guarded_by(node):
  """What a function hands to `guarded`."""
  calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and n.args]
  calls = [c for c in calls if ast.unparse(c.func).endswith("guarded")]
  return {ast.unparse(call.args[0]) for call in calls}


def missing(node):
  """What the docstring of a public function or class does not say."""
  docstring = ast.get_docstring(node)
  if not docstring:
    return ["no docstring"]
  said = sections(docstring)
  if isinstance(node, ast.ClassDef):
    lines = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    names = {line.target.id for line in lines}
    others = {n.name for n in node.body if is_def(n)}
    # What `__init__` sets.
    others |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    elsewhere = referred(docstring) & names
    return differences(
      said.get("Attributes"), names - elsewhere, others | elsewhere
    )
  arguments = [*node.args.args, *node.args.kwonlyargs]
  arguments = [a for a in arguments if a.arg not in ("self", "cls")]
  more = [a for a in (node.args.vararg, node.args.kwarg) if a]
  names = {argument.arg for argument in arguments + more}
  found = differences(said.get("Args"), names) if "Args" in said else []
  hints = [a.annotation for a in arguments] + [node.returns]
  hints = [h for h in hints if h is not None]
  # The array within `Proposer[jax.Array, Params]` is nobody's argument.
  hints = [h for h in hints if not generic(h)]
  if any(_ARRAY.search(ast.unparse(hint)) for hint in hints):
    if not (_SHAPE.search(docstring) or _ELSEWHERE.search(docstring)):
      found.append(NO_SHAPE)
  told = listed(said.get("Raises", []))
  return found + [f"Raises: {name}" for name in sorted(raised(node) - told)]


def generic(hint):
  """Whether a hint is one of the nouns with type parameters."""
  nouns = ("Algorithm", "Proposer", "Search", "Surrogate")
  return isinstance(hint, ast.Subscript) and ast.unparse(hint.value).endswith(
    nouns
  )


def differences(lines, names, others=frozenset()):
  """Names that a section lacks, or has too many; None for no section."""
  told = listed(lines or [])
  extra = sorted(told - names - others)
  return [f"no {name}" for name in sorted(names - told)] + [
    f"{name}, which is not there" for name in extra
  ]


class DocstringsTest(parameterized.TestCase):
  def test_they_say_what_a_caller_must_know(self):
    """Oracle: the code below each: parameters, arrays, `raise`."""
    wrong = [
      f"{module}.{name}: {problem}"
      for module, tree in modules(ROOMS + MORE_ROOMS)
      for name, node in public(tree.body)
      for problem in missing(node)
    ]
    self.assertEmpty(wrong)

  def test_every_function_has_an_example(self):
    """Oracle: the names that examples of the module use, and the exceptions."""
    without = {
      f"{module}.{name}"
      for module, tree in modules(ROOMS)
      for name in set(functions(tree)) - used_in_examples(tree)
    }
    excepted = [name for names in WITHOUT_EXAMPLE.values() for name in names]
    self.assertCountEqual(without, excepted)

  @parameterized.parameters(
    ('def f(x): "Says."', []),
    ("def f(x): pass", ["no docstring"]),
    ('def f(x: jax.Array): "Says."', [NO_SHAPE]),
    ('def f(x: jax.Array): "Of `f32[B, C]`."', []),
    ('def f(x: Archs): "See `g` for the arguments."', []),
    ('def f() -> Proposer[jax.Array, Params]: "Says."', []),
    ('def f(x):\n  "Says."\n  raise KeyError(x)', ["Raises: KeyError"]),
    ('def f(x):\n  """Says.\n\n  Raises:\n    KeyError: so.\n  """\n'
     "  raise KeyError(x)", []),
    ('def f(x):\n  "Says."\n  try:\n    raise KeyError(x)\n'
     "  except KeyError:\n    return 0", []),
    ('def f(x, y):\n  """Says.\n\n  Args:\n    x: so.\n    z: so.\n  """',
     ["no y", "z, which is not there"]),
    ('class C:\n  """Says.\n\n  Attributes:\n    x, y: so.\n  """\n  x: int\n'
     "  y: int", []),
    ('class C:\n  "Says."\n  x: int', ["no x"]),
    ('class C:\n  "Says; see `surrogate_search.Config`."\n  penalty: float\n'
     "  x: int", ["no x"]),
    ('class C:\n  "Says.\\n\\nOf `zerocost.Score`."\n  sign: int', ["no sign"]),
    ('class C:\n  """Says.\n\n  Attributes:\n    x: so.\n  """\n'
     "  def x(self): ...\n  def y(self): ...", ["no docstring"]),
    ('def f():\n  "Says."\n  def read():\n    raise KeyError()\n'
     "  return guarded(read, f)", ["Raises: ConversionError"]),
    ('def f():\n  "Says."\n  def read():\n    raise KeyError()\n'
     "  return read()", ["Raises: KeyError"]),
  )  # fmt: skip
  def test_what_is_missing_would_be_seen(self, source, expected):
    """Oracle: small sources with and without it."""
    nodes = [node for _, node in public(ast.parse(source).body)]
    self.assertEqual(sum(map(missing, nodes), []), expected)


if __name__ == "__main__":
  absltest.main()
