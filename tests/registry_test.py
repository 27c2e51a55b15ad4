"""Tests of nagjax.registry."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import pytest

from nagjax import registry
from nagjax.benchmarks import synthetic
from nagjax.spaces import nasbench201
from nagjax.types import Algorithm


def make(name, **options):
  return registry.make_search(
    name, synthetic.synthetic(), budget=100, **options
  )


class NamesTest(parameterized.TestCase):
  def test_the_promised_algorithms_exist(self):
    """Oracle: interface.md, as far as it is built."""
    names = registry.algorithm_names()
    self.assertEqual(names, sorted(names))
    for name in (
      "ednag",
      "local_search",
      "local_search_all",
      "random",
      "regularized_evolution",
    ):
      self.assertIn(name, names)
      self.assertIn("", registry.variant_names(name))
    self.assertIn("reference", registry.variant_names("ednag"))

  def test_every_algorithm_can_be_made_with_its_defaults(self):
    """Oracle: the types of the contract."""
    for name in registry.algorithm_names():
      for variant in registry.variant_names(name):
        search = make(name, variant=variant)
        self.assertIsInstance(search.algorithm, Algorithm)
        rows = search.num_rounds * search.algorithm.batch_size
        self.assertGreaterEqual(rows + search.algorithm.num_initial, 100)
        jax.tree.map(
          lambda leaf: self.assertIsInstance(leaf, jax.Array), search.params
        )

  def test_who_runs_on_the_host(self):
    """Oracle: boosted trees alone cannot be traced."""
    pytest.importorskip("xgboost")
    for name in registry.algorithm_names():
      self.assertFalse(make(name).on_host)
    for surrogate in ("xgb", "xgb_rank"):
      self.assertTrue(make("agnet", options={"surrogate": surrogate}).on_host)

  def test_spaces_and_benchmarks(self):
    """Oracle: identity with what the modules make."""
    self.assertIs(registry.make_space("nasbench201"), nasbench201.nasbench201())
    self.assertEqual(registry.make_benchmark("synthetic").name, "synthetic")
    names = registry.benchmark_names("/nonexistent")
    self.assertEqual(names[:2], ["digits", "synthetic"])

  @parameterized.parameters(
    (lambda: registry.make_space("darts9"), "nasbench201.*'darts9'"),
    (lambda: registry.make_benchmark("digit"), "synthetic.*'digit'"),
    (lambda: registry.make_benchmark("synthetic/x"), "'synthetic/x'"),
    (lambda: registry.make_benchmark("digits/x"), "'digits/x'"),
    (lambda: make("ednagg"), "local_search.*'ednagg'"),
    (lambda: make("ednag", variant="paper"), "reference.*'paper'"),
  )
  def test_unknown_names_list_the_known_ones(self, call, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      call()

  def test_the_loud_prefix_shows_the_test_accuracy(self):
    """Oracle: the wrapped benchmark's columns."""
    benchmark = registry.make_benchmark("search-on-test-accuracy:synthetic")
    self.assertEqual(benchmark.objective, "test_accuracy")
    self.assertIn("test_accuracy", benchmark.queried)


class OptionsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("population_size", "12", 12),
    ("population_size", 12, 12),
    ("noise_scale", "0.5", 0.5),
    ("guides", "false", False),
    ("guides", "True", True),
    ("block_size", "64", 64),
    ("block_size", "none", None),
  )
  def test_values_and_text(self, option, value, expected):
    """Oracle: the type of the field."""
    config = make("ednag", variant="reference", options={option: value}).config
    self.assertEqual(getattr(config, option), expected)
    self.assertIs(type(getattr(config, option)), type(expected))

  @parameterized.parameters(
    ({"populationsize": "3"}, "population_size.*'populationsize'"),
    ({"population_size": "many"}, "population_size must be a whole number"),
    ({"population_size": "1.5"}, "population_size must be a whole number"),
    ({"noise_scale": "x"}, "noise_scale must be a number"),
    ({"guides": "maybe"}, "guides must be true or false"),
    ({"density_fn": "energy"}, "function"),
    ({"population_size": "1"}, "at least 2"),
  )
  def test_wrong_options_are_explained(self, options, message):
    """Oracle: the documented ValueErrors."""
    with self.assertRaisesRegex(ValueError, message):
      make("ednag", variant="reference", options=options)

  def test_a_name_may_set_an_option(self):
    """Oracle: the two rules of local search."""
    self.assertFalse(make("local_search").config.read_all)
    self.assertTrue(make("local_search_all").config.read_all)


if __name__ == "__main__":
  absltest.main()
