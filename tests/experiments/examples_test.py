"""Tests of the examples, in tiny settings: what a user swaps is used."""

import ast
import importlib
import io
import pathlib
import tempfile
import tokenize
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments.examples import denoising
from experiments.examples import first_search
from experiments.examples import gradient_on_gp
from experiments.examples import on_a_cluster
from experiments.examples import own_acquisition
from experiments.examples import own_images
from experiments.examples import own_score_network
from experiments.examples import transfer
from experiments.support import share_plots
import nagjax
from nagjax import registry
from nagjax.generation import pretraining
from nagjax.generation import score_models
from nagjax.generation import score_training
from nagjax.types import Prediction

FOLDER = pathlib.Path(own_acquisition.__file__).parent
MAX_LINES = 25
BUDGET = 24
LAYOUT = {
  *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT),
  *(tokenize.DEDENT, tokenize.ENDMARKER),
}


def own_lines(source):
  """Lines that are no comment, docstring, import or blank."""
  tokens = tokenize.generate_tokens(io.StringIO(source).readline)
  lines = set()
  for token in tokens:
    if token.type not in LAYOUT:
      lines.update(range(token.start[0], token.end[0] + 1))
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import | ast.ImportFrom):
      lines.difference_update(range(node.lineno, node.end_lineno + 1))
    if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
      if ast.get_docstring(node):
        first = node.body[0]
        lines.difference_update(range(first.lineno, first.end_lineno + 1))
  return len(lines)


class ExamplesTest(parameterized.TestCase):
  def assert_read(self, result, problem, budget):
    """Every search spent its budget on what the problem itself answers."""
    trace = result.trace
    self.assertTrue(np.all(trace.charged[:, -1] == budget))
    paid = trace.paid
    self.assertEqual(paid.sum(), budget * len(paid))
    answer = problem.evaluate(jnp.asarray(trace.archs[paid]))
    np.testing.assert_array_equal(trace.objective[paid], answer.objective)

  def test_examples_are_short(self):
    """Oracle: tokens of the source, and a count by hand."""
    self.assertEqual(own_lines('"""A."""\nimport b\n\n# C.\nd = (\n  1)\n'), 2)
    paths = [p for p in FOLDER.glob("*.py") if p.name != "__init__.py"]
    self.assertLen(paths, 9)
    for path in paths:
      self.assertLessEqual(own_lines(path.read_text()), MAX_LINES, path.name)

  @pytest.mark.slow
  def test_own_acquisition(self):
    """Oracle: SciPy; the table of digits; other choices than the default's."""
    prediction = Prediction(
      jnp.array([1.0, 3.0]), jnp.array([1.0, 2.0]), None, jnp.zeros((2, 0))
    )
    found = own_acquisition.higher_aims(
      jax.random.key(0), prediction, jnp.float32(2.0), jnp.array([0.0, 4.0])
    )
    z = [[-1.0, 0.5], [-1.4, 0.3]]
    np.testing.assert_allclose(found, stats.norm.logcdf(z), rtol=1e-5)
    problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    results = own_acquisition.compare(num_seeds=2, budget=BUDGET)
    for result in results.values():
      self.assert_read(result, problem, BUDGET)
    default, own = (r.trace.archs for r in results.values())
    self.assertFalse(np.array_equal(default, own))

  @pytest.mark.slow
  def test_gradient_on_gp(self):
    """Oracle: the table of digits; the states are those of two surrogates."""
    results = gradient_on_gp.compare(num_seeds=2, budget=BUDGET)
    for result in results.values():
      self.assert_read(result, gradient_on_gp.problem, BUDGET)
    kinds = {type(r.state.algorithm.surrogate) for r in results.values()}
    self.assertLen(kinds, 2)

  def test_pictures_are_small(self):
    """Oracle: one for every script, of less than 200 kB."""
    folder = FOLDER.parent / "figures"
    for path in FOLDER.glob("*.py"):
      if path.name != "__init__.py":
        size = (folder / f"{path.stem}.png").stat().st_size
        self.assertBetween(size, 1_000, 200_000, path.name)

  def test_first_search(self):
    """Oracle: the table of digits; a picture."""
    pytest.importorskip("matplotlib")
    budget = 30  # The initial design of regularized_evolution.
    found = first_search.compare(num_seeds=2, budget=budget)
    self.assertLen(found, 3)
    for result in found.values():
      self.assert_read(result, first_search.problem, budget)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder, "a.png")
    share_plots.draw_results(path, found, first_search.problem)
    self.assertEqual(path.read_bytes()[:4], b"\x89PNG")

  @pytest.mark.slow
  def test_denoising(self):
    """Oracle: the table of digits; Gaussian noise is a cell with a chance of
    (5/7)^6, what is denoised nearly always, and better."""
    first, last = denoising.populations((0, 99)).values()
    for archs, objective in (first, last):
      known = np.isfinite(objective)
      answer = denoising.problem.evaluate(jnp.asarray(archs[known]))
      np.testing.assert_array_equal(objective[known], answer.objective)
    found = [np.isfinite(objective).mean() for _, objective in (first, last)]
    self.assertLess(found[0], 0.4)
    self.assertGreater(found[1], 0.8)
    self.assertGreater(np.nanmean(last[1]), np.nanmean(first[1]))

  @pytest.mark.slow
  def test_transfer(self):
    """Oracle: the table; what was learned elsewhere changes the first query."""
    found = transfer.compare(num_seeds=2, budget=BUDGET)
    for result in found.values():
      self.assert_read(result, transfer.problem, BUDGET)
    without, after = (r.trace.archs[:, 0] for r in found.values())
    self.assertFalse(np.array_equal(without, after))

  @pytest.mark.slow
  def test_on_a_cluster(self):
    """Oracle: the table; what failed is paid and has no objective."""
    folder = self.enter_context(tempfile.TemporaryDirectory())
    trace = on_a_cluster.search(folder, budget=BUDGET).trace
    paid = np.asarray(trace.paid)
    self.assertEqual(paid.sum(), BUDGET)
    archs = np.asarray(trace.archs)[paid]
    failed = archs.sum(axis=1) % 20 == 0
    answers = on_a_cluster.table.query(jnp.asarray(archs))
    expected = np.asarray(answers[on_a_cluster.table.objective])
    found = np.asarray(trace.objective)[paid]
    np.testing.assert_array_equal(found[~failed], expected[~failed])
    self.assertFalse(np.isin(expected[failed], found).any())

  @pytest.mark.slow
  def test_own_images(self):
    """Oracle: the classes are stripes of two directions, which a convolution
    tells apart; a cell without a path from input to output cannot."""
    table = own_images.build(num_cells=12)
    best = np.asarray(table.queried["valid_accuracy"])
    self.assertGreater(best.max(), 75.0)
    self.assertLen(best, table.num_rows)

  @pytest.mark.slow
  def test_own_score_network(self):
    """Oracle: the table of digits; the weights are shaped like the module's,
    and a search with broken ones ends, so that none other are read."""
    made = own_score_network.train(2, budget=15, surrogate="gp")
    kernel = made.params.proposer["params"]["Dense_0"]["kernel"]
    num_rows, num_columns = made.problem.space.feature_shape
    self.assertEqual(kernel.shape, (num_rows * num_columns + 1, 128))
    keys = jax.random.split(jax.random.key(0), 2)
    self.assert_read(nagjax.sweep(keys, made), made.problem, made.budget)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, made.params.proposer)
    with self.assertRaises(FloatingPointError):
      nagjax.sweep(
        keys, made._replace(params=made.params._replace(proposer=broken))
      )


class OwnSpaceTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    # What it registers is gone after its tests.
    for names in (registry._SPACES, registry._TABLES):
      cls.enterClassContext(mock.patch.dict(names))
    cls.example = importlib.import_module("experiments.examples.own_space")
    importlib.reload(cls.example)
    model = score_models.Config(1, 4, 1, 4, 4)
    cls.example.train(
      cls.folder,
      pretraining.Config(4, 4, 1, num_trials=2, num_reported=2),
      score_training.Config(
        model, num_steps=1, batch_size=4, chunk_size=1, num_reported=2
      ),
    )

  @parameterized.parameters(*nagjax.algorithm_names())
  @pytest.mark.slow
  def test_every_algorithm(self, name):
    """Oracle: the column itself, at the place that a formula gives."""
    spec = nagjax.registry.algorithm_spec(name)
    trace = self.example.search(
      name, 2, 12, options=spec.tiny, data_dir=self.folder
    ).trace
    self.assertTrue(np.all(trace.charged[:, -1] == 12))
    archs = trace.archs[trace.paid]
    self.assertLen(archs, 2 * 12)
    found = self.example.ACCURACY[archs @ [1, 4, 16, 64]]
    np.testing.assert_allclose(trace.objective[trace.paid], found, rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
