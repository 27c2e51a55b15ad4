"""Tests of experiments.fit_surrogate; most need an extra, `boosted`."""

import contextlib
import importlib
import importlib.util
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import fit_surrogate
from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import surrogate
from nagjax.spaces import darts
from nagjax.spaces import nasbench201
from tests import data
from tests.experiments import runs

LIBRARIES = ("xgboost", "lightgbm")


def needs(library):
  return unittest.skipUnless(
    importlib.util.find_spec(library), f"{library} is not installed"
  )


def run(*argv):
  return runs.run_binary(fit_surrogate, *argv)


def representatives():
  """One cell of each class of cells that compute the same."""
  space = nasbench201.nasbench201()
  everything = space.all_architectures()
  same = np.asarray(space.canonicalize(jnp.asarray(everything)))
  return everything[(same == everything).all(axis=1)]


def weights():
  return np.random.default_rng(7).normal(size=(6, 5))


def worth(cells):
  """A value that is a sum over edges: easy for shallow trees."""
  return 90.0 + weights()[np.arange(6), cells].sum(axis=-1)


class FitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)
    self.output = self.folder / "mine.npz"

  def write_csv(self, num=300, header="arch,accuracy", extra=()):
    rng = np.random.default_rng(0)
    cells = rng.permutation(representatives())[:num]
    lines = [header]
    for cell, value in zip(cells, worth(cells), strict=True):
      lines.append(f"{nasbench201.to_string(cell)},{value}")
    path = self.folder / "rows.csv"
    path.write_text("\n".join([*lines, *extra]) + "\n")
    return path, cells

  def fit_csv(self, *extra, source=None):
    source = source or self.write_csv()[0]
    return run(
      "--space=nasbench201",
      f"--source={source}",
      f"--output={self.output}",
      "--column=accuracy",
      "--num_trees=300",
      *extra,
    )

  def read(self, path):
    """The rows of a CSV, and what was printed."""
    values = mock.Mock(
      source=str(path),
      column="accuracy",
      num_folds=2,
      objective=None,
      unit=None,
    )
    with contextlib.redirect_stdout(io.StringIO()) as out:
      rows = fit_surrogate.read_rows(values, nasbench201.nasbench201())
    return rows, out.getvalue()

  @parameterized.parameters(*LIBRARIES)
  def test_a_csv(self, library):
    """Oracle: the sum over edges, on cells that were not in the file."""
    pytest.importorskip(library)
    code, out, err = self.fit_csv(
      f"--library={library}", "--unit=%", "--num_folds=3"
    )
    self.assertEqual((code, err), (0, ""))
    space = nasbench201.nasbench201()
    loaded = surrogate.load_surrogate(self.output, name="x", space=space)
    self.assertEqual(loaded.units, (("accuracy", "%"),))
    self.assertEqual(
      (loaded.card.num_rows, loaded.card.encoding), (300, "options")
    )
    self.assertEqual(loaded.card.held_out, "3-fold cross-validation")
    self.assertEqual(dict(loaded.card.settings)["library"], library)
    others = representatives()[::20]
    predicted = loaded.query(jnp.asarray(others))["accuracy"]
    found = statistics.rank_correlation(predicted, worth(others))
    self.assertGreater(found.spearman, 0.95)
    self.assertGreater(loaded.card.spearman, 0.9)
    self.assertLess(loaded.card.kendall, loaded.card.spearman)
    self.assertIn(f"Spearman {loaded.card.spearman:.3f}", out)

  @needs("lightgbm")
  def test_shuffled_values_have_no_correlation(self):
    """Oracle: 0 within four standard deviations, which are 0.083 each.

    Measured over 20 sets of shuffled values, with mean -0.01.
    """
    path, cells = self.write_csv()
    values = np.random.default_rng(1).permutation(worth(cells))
    lines = [
      f"{nasbench201.to_string(c)},{v}"
      for c, v in zip(cells, values, strict=True)
    ]
    path.write_text("\n".join(["arch,accuracy", *lines]))
    code, _, err = self.fit_csv(
      "--library=lightgbm", "--max_depth=4", source=path
    )
    self.assertEqual((code, err), (0, ""))
    space = nasbench201.nasbench201()
    loaded = surrogate.load_surrogate(self.output, name="x", space=space)
    self.assertLess(abs(loaded.card.spearman), 0.33)
    seen = loaded.query(jnp.asarray(cells))["accuracy"]
    self.assertGreater(statistics.rank_correlation(seen, values).spearman, 0.6)

  @needs("lightgbm")
  def test_the_same_command_gives_the_same_trees(self):
    """Oracle: equal arrays; another seed gives others."""
    found = []
    for seed in (0, 0, 1):
      self.fit_csv("--library=lightgbm", "--overwrite", f"--seed={seed}")
      with np.load(self.output) as file:
        found.append({name: file[name] for name in file.files})
    for name, array in found[0].items():
      np.testing.assert_array_equal(array, found[1][name], name)
    self.assertFalse(np.array_equal(found[0]["value"], found[2]["value"]))

  def test_repeats_and_failures(self):
    """Oracle: by hand: 20 cells, one of them twice, and one without a value."""
    first = nasbench201.to_string([0] * 6)
    path, cells = self.write_csv(
      20, extra=[f"{first},1.0", f"{first},3.0", f"{first},", f"{first},nan"]
    )
    rows, out = self.read(path)
    self.assertIn("24 rows: 21 architectures, 2 rows without", out)
    by_cell = dict(
      zip(map(tuple, rows.archs.tolist()), rows.values, strict=True)
    )
    expected = dict(zip(map(tuple, cells.tolist()), worth(cells), strict=True))
    self.assertEqual(by_cell, expected | {(0,) * 6: 2.0})

  @needs("lightgbm")
  @data.needs_table("nb301_subset.npz")
  def test_genotypes_with_values(self):
    """Oracle: the file's values; the correlation measured when written."""
    output = self.folder / "nb301_surrogate.npz"
    path = data.table_path("nb301_subset.npz")
    spaces = {"darts": "nagjax.spaces.darts:darts"}
    with mock.patch.dict(registry._SPACES, spaces):
      code, _, err = run(
        "--library=lightgbm",
        f"--source={path}",
        f"--output={output}",
        "--num_folds=2",
        "--num_trees=500",
      )
    self.assertEqual((code, err), (0, ""))
    loaded = surrogate.load_known("nasbench301/cifar10", directory=self.folder)
    self.assertEqual(loaded.units, (("valid_accuracy", "%"),))
    self.assertBetween(loaded.card.spearman, 0.9, 0.96)
    genotypes, values = data.read_table(path.name, "genotype", "values")
    archs = jnp.asarray([darts.from_genotype(g) for g in genotypes])
    predicted = loaded.query(archs)["valid_accuracy"]
    error = float(np.abs(predicted - values[:, -1]).mean())
    self.assertLess(error, values[:, -1].std() / 3)

  def test_cells_that_compute_the_same_are_one(self):
    """Oracle: by hand: edges that lead nowhere, or come from nothing."""
    lines = ["arch,accuracy"]
    for cell, value in (
      ([2, 1, 0, 1, 0, 0], 1.0),
      ([2, 3, 0, 1, 0, 0], 5.0),
      ([3, 0, 0, 2, 0, 0], 8.0),
      ([1, 0, 0, 0, 2, 0], 10.0),
      ([2] * 6, 20.0),
      ([3] * 6, 30.0),
    ):
      lines.append(f"{nasbench201.to_string(cell)},{value}")
    path = self.folder / "rows.csv"
    path.write_text("\n".join(lines))
    rows, out = self.read(path)
    self.assertIn("6 rows: 4 architectures, 0 rows without", out)
    self.assertEqual(sorted(rows.values), [3.0, 9.0, 20.0, 30.0])

  @parameterized.parameters(
    ("{", "Expecting"),
    ('["x"]', "record 0 is no log"),
    ('[{"recepie": {}}]', ""),
    ("3", "not iterable|record 0 is no log"),
  )
  def test_other_logs_are_refused(self, text, message):
    """Oracle: the documented ValueError."""
    cells = importlib.import_module("nagjax.spaces.nasbench_nlp")
    path = self.folder / "logs.json"
    path.write_text(text)
    with self.assertRaisesRegex(ValueError, message):
      fit_surrogate._read_json(str(path), cells.nasbench_nlp(), None)

  @data.needs_table("nbnlp_wikitext2.json")
  def test_logs_of_nasbench_nlp(self):
    """Oracle: the file: 341 of 345 runs were completed; the best loss."""
    path = data.table_path("nbnlp_wikitext2.json")
    cells = importlib.import_module("nagjax.spaces.nasbench_nlp")
    rows = fit_surrogate._read_json(str(path), cells.nasbench_nlp(), None)
    finite = np.isfinite(rows.values)
    self.assertEqual((len(finite), int(finite.sum())), (345, 341))
    self.assertAlmostEqual(rows.values[finite].max(), -4.5695, places=3)
    self.assertEqual(
      (rows.objective, rows.unit), ("negative_valid_loss", "nats")
    )
    record = json.loads(path.read_text())[10]
    self.assertEqual(rows.values[10], -record["val_losses"][-1])
    expected = cells.from_recipe(record["recepie"])
    np.testing.assert_array_equal(rows.archs[10], expected)

  @needs("lightgbm")
  def test_an_encoding_of_another_space(self):
    """Oracle: exit code 2 and one line."""
    code, _, err = self.fit_csv("--library=lightgbm", "--encoding=cells")
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn("space darts", err)


if __name__ == "__main__":
  absltest.main()
