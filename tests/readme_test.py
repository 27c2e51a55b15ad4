"""README: what it shows runs, and its numbers are those of the last runs."""

import contextlib
import io
import pathlib
import re
import shlex
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments.support import flags
from experiments.support import planning
from experiments.support import reports
from experiments.support import reproducing
from experiments.support.papers import PAPERS
from tests import data
from tests.experiments import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SMALL = {"num_seeds": 2, "budget": 30}
"""As small as the initial designs of all algorithms allow."""


def commands():
  """Arguments of all commands of README, each once."""
  found = re.findall(r"python -m experiments\.([^`\n]+)", TEXT)
  return list(dict.fromkeys(found))


def table_after(comment):
  """The rows of the table behind a comment, without its head."""
  lines = TEXT.split(f"<!-- {comment} -->\n")[1].split("\n\n")[0].splitlines()
  rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
  return rows[0], rows[2:]


def stored(table, row, label):
  """A stored result and what a report says of it."""
  (found,) = [t for t in PAPERS["nagjax"].tables if t.number == table]
  (row,) = [r for r in found.rows if r.column == row]
  (run,) = [r for r in row.runs if r.label == label]
  results = reproducing.read_results(
    ROOT / "experiments" / "reports" / "nagjax.json"
  )
  result = results[reproducing.declared(run)]
  return reports.figure_of(row, run, result)


class ReadmeTest(parameterized.TestCase):
  def test_it_is_two_screens(self):
    """Oracle: lines, and links to files that exist."""
    self.assertLess(TEXT.count("\n"), 160)
    links = re.findall(r"\]\(([^)h][^)]*)\)", TEXT)
    self.assertGreater(len(links), 10)
    for link in links:
      self.assertTrue((ROOT / link).exists(), link)

  def test_build_notes_name_what_is_there(self):
    """Oracle: the files of the table of smallest examples, the sections of the
    four parts, and the binaries of all commands."""
    notes = (ROOT / "BUILD_NOTES.md").read_text(encoding="utf-8")
    working = notes.split("## Working on nagjax")[1].split("\n## ")[0]
    paths = re.findall(r"`([\w./]+\.(?:py|yml))`", working)
    self.assertGreater(len(paths), 15)
    for path in paths:
      self.assertTrue((ROOT / path).exists(), path)
    for text in (notes, (ROOT / "experiments/GUIDE.md").read_text("utf-8")):
      for name in re.findall(r"python\s+-m\s+experiments\.(\w+)", text):
        self.assertTrue((ROOT / "experiments" / f"{name}.py").exists(), name)

  def test_python(self):
    """Oracle: the code of README, with smaller sizes: every search spends its
    budget, and the own acquisition chooses otherwise than the default."""
    codes = [code for kind, code in FENCED.findall(TEXT) if kind == "python"]
    code = "\n".join(codes).replace("150", "30").replace("(0), 200)", "(0), 2)")
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
      exec(compile(code, "README.md", "exec"), names)
    self.assertRegex(out.getvalue(), r"^8\d\.\d\d of 86\.\d\d$")
    np.testing.assert_array_equal(names["result"].trace.charged[:, -1], 30)
    self.assertEqual(names["own"].budget, 30)

  def test_the_first_command(self):
    """Oracle: what `search_test` runs in small; for the second `.ci/run`."""
    first, second = re.findall(r"^python3 -m venv .*$", TEXT, re.MULTILINE)
    self.assertTrue(first.endswith(".venv/bin/python -m experiments.search"))
    self.assertTrue(second.endswith(".venv/bin/python -m pytest -n 2"))
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    self.assertIn("python -m pytest -n 2\n", script)

  def test_commands_are_known(self):
    """Oracle: a list by hand of the tests that run them."""
    self.assertEqual(
      [command.split()[0] for command in commands()],
      [*["search"] * 5, "reproduce", "search", "convert", "search"],
    )

  @parameterized.parameters("ednag", "diffusionnag", "agnet", "optiproxy")
  def test_systems(self, name):
    """Oracle: the plan of the command, on the table that ships; the contract
    tests run the algorithms."""
    (command,) = [c for c in commands() if c == f"search --algorithm={name}"]
    argv = shlex.split(command)
    plan = planning.make_plan(flags.read(argv, planning.FLAGS, ""))
    self.assertEqual([entry.algorithm for entry in plan.entries], [name])
    self.assertEqual(plan.problem.benchmark.name, "digits")

  @data.needs_table("nb201.npz")
  @pytest.mark.slow
  def test_a_real_table(self):
    """Oracle: exit code 0 in small."""
    self.run_small(commands()[-1])

  def run_small(self, command):
    binary, *given = shlex.split(command)
    kept = [g for g in given if g.split("=")[0][2:] not in SMALL]
    folder = self.enter_context(tempfile.TemporaryDirectory())
    sizes = [f"--{name}={size}" for name, size in SMALL.items()]
    outcome = runs.run_binary(binary, *kept, *sizes, f"--workdir={folder}")
    self.assertEqual(outcome[0], 0, outcome[2])

  def test_shares_are_those_of_the_last_runs(self):
    """Oracle: the stored results, by the words of the report."""
    head, rows = table_after("nagjax.json, table 1")
    self.assertLen(rows, 4)
    for name, *shares in rows:
      for at, share in zip(head[1:], shares, strict=True):
        found = stored("1", name.strip("`"), f"after {at}")
        self.assertEqual(float(share), round(found.share, 3), (name, at))

  def test_medians_are_those_of_the_last_runs(self):
    """Oracle: the stored results; no median where half of the seeds fail."""
    _, rows = table_after("nagjax.json, tables 2 and 3")
    ours = [row for row in rows if row[0].startswith("`")]
    self.assertLen(ours, 5)
    for name, *medians, _ in ours:
      for data_set, median in zip(
        ("CIFAR-10", "CIFAR-100"), medians, strict=False
      ):
        which = data_set.lower().replace("-", "")
        where = ("2", f"{which}, {name.strip('`')}", "after 50")
        if "transfer" in name:
          where = ("3", f"{data_set}, with", "after 50")
        found = stored(*where).median
        shown = None if median == "–" else float(median)
        self.assertEqual(shown, found, (name, data_set))


if __name__ == "__main__":
  absltest.main()
