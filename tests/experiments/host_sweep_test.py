"""Tests of experiments.host_sweep and of searches that need it."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import host_sweep
from experiments import planning
from experiments import results
from experiments import search
from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import search as search_lib
from tests.experiments.runs import FILES
from tests.experiments.runs import SearchCase
from tests.experiments.runs import arrays_of
from tests.experiments.runs import run
from tests.experiments.runs import summary_of
from tests.search import toys

TREES = (
  "--algorithm=agnet",
  "--surrogate=xgb_rank",
  "--budget=32",
  "--num_seeds=2",
  "--set=agnet.train_steps=2",
  "--set=agnet.num_latents=8",
  "--set=agnet.num_decodes=4",
)


class SweepTest(SearchCase):
  @parameterized.parameters(("", True), ("params_m<=0.6", False))
  def test_equals_the_compiled_sweep(self, constraint, has_prior):
    """Oracle: `search.sweep`, bit for bit."""
    problem = problem_lib.Problem(toys.failing(share=0.1))
    if constraint:
      limit = problem_lib.Constraint.parse(constraint)
      problem = problem.replace(constraints=(limit,))
    made = registry.make_search(
      "regularized_evolution",
      problem.benchmark,
      budget=40,
      options={"population_size": 8, "sample_size": 3},
    )
    prior = None
    if has_prior:
      prior = search_lib.Prior(problem.space.sample(jax.random.key(3), 11))
    keys = jax.random.split(jax.random.key(0), 2)
    options = dict(budget=40, prior=prior)
    shares = []
    found = host_sweep.sweep_on_host(
      keys,
      made,
      problem,
      directories=[self.directory / str(i) for i in range(2)],
      on_progress=lambda progress: shares.append(progress.share),
      **options,
    )
    expected = search_lib.sweep(
      keys,
      made.algorithm,
      problem,
      made.params,
      num_rounds=made.num_rounds,
      **options,
    )
    jax.tree.map(
      np.testing.assert_array_equal,
      results.tidy(found.trace),
      results.tidy(expected.trace),
    )
    self.assertEqual(shares, sorted(shares))
    self.assertEqual(shares[-1], 1.0)


class ProgramTest(SearchCase):
  def test_an_interrupted_run_goes_on(self):
    """Oracle: the compiled sweep, bit for bit; nothing is asked twice."""
    flags = ("--algorithm=random", "--budget=60", "--num_seeds=4")
    asked = []

    def counting(problem, limit):
      evaluate_fn = make(problem)

      def count(archs):
        if len(asked) == limit:
          raise KeyboardInterrupt
        asked.append(len(archs))
        return evaluate_fn(archs)

      return count

    make, make_search = host_sweep.make_evaluate_fn, registry.make_search
    self.enter_context(
      mock.patch.object(
        registry,
        "make_search",
        lambda *args, **options: make_search(*args, **options)._replace(
          on_host=True
        ),
      )
    )
    for limit, code in ((9, 130), (None, 0)):
      with mock.patch.object(
        host_sweep,
        "make_evaluate_fn",
        lambda problem, limit=limit: counting(problem, limit),
      ):
        outcome = run(*flags, f"--workdir={self.workdir}")
      self.assertEqual(outcome[0], code, outcome[2])
      unfinished = self.workdir / search.UNFINISHED
      self.assertEqual(unfinished.exists(), code == 130)
    self.assertEqual(sum(asked), 4 * 60)
    written = sorted(path.name for path in self.workdir.iterdir())
    self.assertEqual(written, sorted(FILES))
    expected = arrays_of(self.whole)
    for name, array in arrays_of(self.workdir).items():
      np.testing.assert_array_equal(array, expected[f"random/{name}"])

  @pytest.mark.slow
  def test_trees(self):
    """Oracle: what the flags ask for."""
    pytest.importorskip("xgboost")
    code, _, err = run(*TREES, f"--workdir={self.workdir}")
    self.assertEqual(code, 0, err)
    entry = summary_of(self.workdir)[0]
    self.assertEqual(entry["config"]["surrogate"], "xgb_rank")
    self.assertEqual((entry["num_seeds"], entry["queries_mean"]), (2, 32))

  def test_another_question_begins_anew(self):
    """Oracle: folders of different budgets and options differ."""
    places = set()
    for flags in (
      ("--budget=40",),
      ("--budget=41",),
      ("--budget=40", "--set=random.batch_size=3"),
      ("--budget=40", "--constraint=params_m<=0.5"),
    ):
      values = planning.define_flags()
      values(["search", "--algorithm=random", *flags])
      plan = planning.make_plan(values)
      places.add(search._place(plan, plan.entries[0]))
    self.assertLen(places, 4)


class EvaluateTest(absltest.TestCase):
  def test_any_number_of_rows(self):
    """Oracle: the problem itself, a row at a time."""
    problem = problem_lib.Problem(toys.failing(share=0.3))
    evaluate_fn = host_sweep.make_evaluate_fn(problem)
    archs = np.asarray(problem.space.sample(jax.random.key(0), 33))
    single = [evaluate_fn(arch[None])[0] for arch in archs]
    np.testing.assert_array_equal(evaluate_fn(archs), single)
    answer = problem.evaluate(jnp.asarray(archs))
    np.testing.assert_array_equal(np.isnan(single), answer.failed)


if __name__ == "__main__":
  absltest.main()
