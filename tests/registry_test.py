"""Tests of nagjax.registry."""

import dataclasses
import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax import acquisition
from nagjax import registry
from nagjax.algorithms import local_search
from nagjax.algorithms.spec import PartSpec
from nagjax.algorithms.spec import Spec
from nagjax.benchmarks import synthetic
from nagjax.proposers import base as proposers
from nagjax.proposers import denoising
from nagjax.proposers import mutation
from nagjax.spaces import nasbench201
from nagjax.surrogates import base as surrogates
from nagjax.surrogates import ensemble
from nagjax.surrogates import gaussian_process
from tests.algorithms import registered

ON_HOST = ("xgb", "xgb_rank")
TABLES = (
  "_SPACES",
  "_TABLES",
  "_ALGORITHMS",
  "_SURROGATES",
  "_PROPOSERS",
  "_ACQUISITIONS",
)


@functools.cache
def problem(*constraints):
  return nagjax.Problem(synthetic.synthetic(), constraints=constraints)


def make(name, *constraints, budget=100, **arguments):
  return registry.make_search(
    name, problem(*constraints), budget=budget, **arguments
  )


class NamesTest(parameterized.TestCase):
  def test_the_promised_names_exist(self):
    """Oracle: interface.md."""
    for names, promised in (
      (
        registry.algorithm_names(),
        "agnet bananas diffusionnag ednag hyperband local_search "
        "local_search_all npenas nsga2 optiproxy random regularized_evolution "
        "successive_halving",
      ),
      (registry.surrogate_names(), "gat gcn gp lstm mlp paths xgb xgb_rank"),
      (
        registry.proposer_names(),
        "denoising diffusion generator gradient mutation random",
      ),
      (registry.acquisition_names(), "ei its mean pi ts ucb"),
      (
        registry.space_names(),
        "autoformer/base autoformer/small autoformer/small32 autoformer/tiny "
        "darts fcnet hwgpt_l hwgpt_m hwgpt_s mobilenetv3 nasbench101 "
        "nasbench201 nasbench_nlp nats_size transnas_macro transnas_micro",
      ),
    ):
      self.assertEqual(names, promised.split())
    self.assertEqual(
      registry.variant_names("ednag"), ["", "reference", "zero_shot"]
    )

  def test_spaces_and_benchmarks(self):
    """Oracle: what the modules make, by the name under which they are."""
    for name in registry.space_names():
      self.assertEqual(registry.make_space(name).name, name)
    self.assertIs(registry.make_space("nasbench201"), nasbench201.nasbench201())
    self.assertEqual(registry.make_benchmark("synthetic").name, "synthetic")
    names = registry.benchmark_names("/nonexistent")
    shipped = ["digits", "synthetic", "digits-epochs"]
    self.assertEqual(names[:3], shipped)
    self.assertTrue(all(n.startswith("zerocost/") for n in names[3:]), names)

  def test_the_loud_prefix_shows_the_test_accuracy(self):
    """Oracle: the wrapped benchmark's columns."""
    benchmark = registry.make_benchmark("search-on-test-accuracy:synthetic")
    self.assertEqual(benchmark.objective, "test_accuracy")
    self.assertIn("test_accuracy", benchmark.queried)

  @parameterized.parameters(
    (lambda: registry.make_space("darts9"), "nasbench201.*'darts9'"),
    (lambda: registry.make_benchmark("digit"), "synthetic.*'digit'"),
    (lambda: registry.make_benchmark("synthetic/x"), "'synthetic/x'"),
    (lambda: registry.make_benchmark("digits/x"), "'digits/x'"),
    (lambda: make("ednagg"), "local_search.*'ednagg'"),
    (
      lambda: make("ednag", variant="paper"),
      "'', reference, zero_shot, got 'paper'",
    ),
    (lambda: make("ednag", surrogate="gpp"), "surrogate.*lstm.*'gpp'"),
    (lambda: make("ednag", proposer=""), "proposer.*mutation.*got ''"),
    (lambda: make("ednag", acquisition="lcb"), "acquisition.*ucb.*'lcb'"),
    (lambda: registry.make_benchmark(None), "synthetic.*'None'"),
    (lambda: make("ednag", budget=30.5), "budget must be a whole.*got 30.5"),
    (lambda: make("ednag", budget=0), "budget must be at least 1, got 0"),
    (lambda: make("ednag", options={"x": "1"}), "ednag has the options.*'x'"),
    (lambda: make("ednag", options={"batch_size": "0"}), "batch_size.*got 0"),
    (lambda: make("ednag", options=3), "options of ednag.*dictionary.*got 3"),
    (lambda: make("ednag", options=()), "dictionary, got \\(\\)"),
    (
      lambda: make("ednag", options={"num_constraints": 1}),
      "num_constraints follows the problem's constraints",
    ),
    (
      lambda: registry.make_search("random", synthetic.synthetic(), budget=9),
      "problem must be a Problem, .* got a Tabular",
    ),
  )
  def test_wrong_names_are_explained(self, call, message):
    """Oracle: the documented ValueErrors, which list what is known."""
    with self.assertRaisesRegex(ValueError, message) as caught:
      call()
    self.assertNotIn("\n", str(caught.exception))


class AlgorithmsTest(parameterized.TestCase):
  def test_every_algorithm_can_be_made_with_its_defaults(self):
    """Oracle: the types of the contract; its parts are those of its spec; the
    rounds suffice; all is compiled."""
    for name in registry.algorithm_names():
      for variant in registry.variant_names(name):
        given = registered.given(name, variant)
        search = make(name, variant=variant, **given)
        self.assertIsInstance(search.algorithm, nagjax.Algorithm)
        self.assertFalse(search.algorithm.on_host)
        rows = search.num_rounds * search.algorithm.batch_size
        self.assertGreaterEqual(rows + search.algorithm.num_initial, 100)
        jax.tree.map(
          lambda leaf: self.assertIsInstance(leaf, jax.Array), search.params
        )
        spec = registry.algorithm_spec(name, variant)
        if spec.parts is not None:
          keys = ("surrogate", "proposer", "acquisition")
          parts = dict(zip(keys, spec.parts, strict=True))
          again = make(name, variant=variant, **parts)
          self.assertEqual(again.config, search.config)
          jax.tree.map(
            np.testing.assert_array_equal, again.params, search.params
          )

  def test_what_a_problem_and_a_budget_decide(self):
    """Oracle: the presets, and what the user says after them."""
    config = make("ednag", "params_m<=1", "params_m<=2", budget=60).config
    self.assertEqual(config.num_constraints, 2)
    self.assertEqual(config.archive_size, 60 + config.batch_size)
    options = {"archive_size": "77", "noise": 0.5}
    config = make("ednag", budget=60, options=options).config
    self.assertEqual((config.archive_size, config.num_constraints), (77, 0))
    self.assertEqual(config.surrogate.noise, 0.5)
    self.assertFalse(make("local_search").config.read_all)
    self.assertTrue(make("local_search_all").config.read_all)


class PartsTest(parameterized.TestCase):
  def test_what_knows_already_must_be_given(self):
    """Oracle: the documented errors: none, a name, another part, a transfer; a
    value is taken with its params."""
    for name in ("ednag", "diffusionnag"):
      for wrong in ({}, {"surrogate": "gp"}):
        with self.assertRaisesRegex(ValueError, f"{name} zero_shot needs a s"):
          make(name, variant="zero_shot", **wrong)
      for part in ("proposer", "transfer"):
        given = {"surrogate": registered.knowing(), part: "random"}
        with self.assertRaisesRegex(ValueError, f"takes no other {part}"):
          make(name, variant="zero_shot", **given)
    given = registered.knowing()
    found = make("ednag", variant="zero_shot", surrogate=given)
    self.assertIs(found.params, given.params)
    found = make("diffusionnag", variant="zero_shot", surrogate=given)
    self.assertIs(found.params.surrogate, given.params)
    self.assertEqual(found.algorithm.batch_size, 100)
    self.assertEqual(found.config.proposer.num_candidates, 500)

  def test_by_name(self):
    """Oracle: the options and params of the named parts."""
    search = make(
      "ednag",
      surrogate="gcn",
      proposer="mutation",
      acquisition="ei",
      options={"hidden_size": "7", "proposer.num_parents": 3},
    )
    self.assertEqual(search.config.surrogate, ensemble.Config(hidden_size=7))
    self.assertEqual(search.config.proposer, mutation.Config(num_parents=3))
    self.assertEqual(search.params[:2], ((), ()))
    search = make("bananas", surrogate="gp", proposer="denoising")
    self.assertIsInstance(search.params.surrogate, gaussian_process.Params)
    self.assertIsInstance(search.params.proposer, denoising.Params)

  def test_options_stay_where_a_part_has_the_same(self):
    """Oracle: those of the algorithm."""
    bananas = make("bananas").config.surrogate
    self.assertEqual(make("bananas", surrogate="mlp").config.surrogate, bananas)

  def test_by_value(self):
    """Oracle: identity of the params; a value has no options."""
    space = problem().space
    surrogate = gaussian_process.gaussian_process(space, archive_size=105)
    search = make(
      "optiproxy",
      surrogate=surrogate,
      proposer=mutation.mutation(space),
      acquisition=acquisition.mean,
    )
    self.assertIs(search.params.surrogate, surrogate.params)
    self.assertEqual(search.params.proposer, ())
    self.assertIsNone(search.config.surrogate)
    self.assertIsNone(search.config.proposer)
    with self.assertRaisesRegex(ValueError, "optiproxy has the .*'noise'"):
      make("optiproxy", surrogate=surrogate, options={"noise": 0.5})

  @parameterized.parameters(
    ("random", "", "random is not made of parts"),
    ("agnet", "training_free", "agnet training_free is not made of parts"),
  )
  def test_some_algorithms_have_none(self, name, variant, message):
    """Oracle: the documented error, which names what has some."""
    parts = "takes no other surrogate or acquisition.*bananas, .*, optiproxy"
    with self.assertRaisesRegex(ValueError, f"{message}.*{parts}"):
      make(name, variant=variant, surrogate="gp", acquisition="ei")

  @parameterized.parameters(registry.surrogate_names())
  def test_every_pair(self, surrogate):
    """Oracle: a table of what cannot work together; one line says why."""
    if surrogate in ON_HOST:
      pytest.importorskip("xgboost")
    impossible = {"gradient": ("paths", *ON_HOST), "denoising": ON_HOST}
    for proposer in registry.proposer_names():
      parts = dict(surrogate=surrogate, proposer=proposer)
      if surrogate in impossible.get(proposer, ()):
        with self.assertRaisesRegex(ValueError, "use a surrogate that") as e:
          make("ednag", **parts)
        self.assertNotIn("\n", str(e.exception))
      else:
        on_host = make("ednag", **parts).algorithm.on_host
        self.assertEqual(on_host, surrogate in ON_HOST)
    for name in registry.acquisition_names():
      parts = dict(surrogate=surrogate, proposer="random", acquisition=name)
      if (surrogate, name) == ("gp", "ts"):
        with self.assertRaisesRegex(ValueError, "use independent Thompson"):
          make("ednag", **parts)
      else:
        make("ednag", **parts)


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of parts of one's own."""

  scale: float = 1.0


def truth(space, config, num_constraints, archive_size):
  """A surrogate that knows the answer."""
  del space, num_constraints, archive_size

  def predict(state, archs):
    del state
    mean = config.scale * jnp.sum(archs, axis=-1, dtype=jnp.float32)
    nothing = jnp.zeros((*mean.shape, 0))
    return nagjax.Prediction(mean, jnp.ones_like(mean), None, nothing)

  return surrogates.Surrogate(
    init=lambda key, params: (),
    fit=lambda key, state, archive: state,
    predict=predict,
    has_members=False,
  )


def everything(space, config, directory):
  """A proposer of all architectures."""
  del config, directory
  archs = jnp.asarray(space.all_architectures())

  def propose(key, state, params, belief, archive):
    del key, params, belief, archive
    return archs, jnp.ones(archs.shape[0], bool), state

  return proposers.Proposer(proposers.stateless, propose)


SPACE = nagjax.SearchSpace("mine", (3, 3, 3))


def table():
  value = np.asarray(SPACE.all_architectures()).sum(1)
  return nagjax.Tabular(queried={"acc": value}, space=SPACE, name="mine/table")


class RegisterTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    for name in TABLES:
      self.enter_context(mock.patch.dict(getattr(registry, name)))

  def test_everything_of_ones_own(self):
    """Oracle: the truth: after the initial design the best of the others are
    proposed in order."""
    registry.register_space("mine", SPACE)
    registry.register_benchmark("mine/table", table)
    registry.register_surrogate("truth", PartSpec(truth, Options(), Options()))
    registry.register_proposer(
      "everything", PartSpec(everything, Options(), Options())
    )
    registry.register_acquisition("greedy", acquisition.mean)
    self.assertIs(registry.make_space("mine"), SPACE)
    self.assertIn("mine/table", registry.benchmark_names("/nonexistent"))
    search = registry.make_search(
      "ednag",
      nagjax.Problem(registry.make_benchmark("mine/table")),
      budget=12,
      surrogate="truth",
      proposer="everything",
      acquisition="greedy",
      options=dict(
        num_initial=4, batch_size=4, min_observed=4, shortlist=0, patience=0
      )
      | {"surrogate.scale": "2"},
    )
    self.assertEqual(search.config.surrogate, Options(scale=2.0))
    trace = jax.jit(lambda key: nagjax.run(key, search).trace)(
      jax.random.key(0)
    )
    found = trace.objective[trace.status == nagjax.Status.FRESH]
    self.assertLen(found, 12)
    rest = sorted(np.asarray(SPACE.all_architectures()).sum(1).tolist())
    for value in found[:4].tolist():
      rest.remove(int(value))
    self.assertEqual(found[4:].tolist(), rest[:-9:-1])

  def test_algorithms(self):
    """Oracle: what was registered, as a builder and as a `Spec`."""
    config = local_search.Config(read_all=True)
    registry.register_algorithm(
      "mine", local_search.local_search, config=config
    )
    spec = Spec(local_search.local_search, config)
    registry.register_algorithm("mine", spec, variant="other")
    self.assertEqual(make("mine").config, config)
    self.assertIs(registry.algorithm_spec("mine", "other"), spec)
    self.assertEqual(registry.variant_names("mine"), ["", "other"])
    with self.assertRaisesRegex(ValueError, "default options.*None"):
      registry.register_algorithm("another", local_search.local_search)

  def test_values_and_functions_that_make_them(self):
    """Oracle: identity."""
    registry.register_space("mine", lambda: SPACE)
    self.assertIs(registry.make_space("mine"), SPACE)
    one = table()
    registry.register_benchmark("one", one)
    self.assertIs(registry.make_benchmark("one"), one)

  @parameterized.parameters(
    (registry.register_space, "darts", lambda: SPACE),
    (registry.register_space, "other", SPACE),
    (registry.register_benchmark, "digits", table),
    (registry.register_benchmark, "nasbench201/mine", table),
    (registry.register_algorithm, "ednag", Spec(truth, Options())),
    (registry.register_algorithm, "", Spec(truth, Options())),
    (registry.register_surrogate, "gp", PartSpec(truth, Options(), Options())),
    (registry.register_proposer, "", PartSpec(truth, Options(), Options())),
    (registry.register_acquisition, "ei", acquisition.mean),
  )
  def test_names_that_cannot_be_given(self, register, name, value):
    """Oracle: the documented error; nothing has changed."""
    before = [dict(getattr(registry, table)) for table in TABLES]
    with self.assertRaisesRegex(ValueError, f"'{name}'"):
      register(name, value)
    after = [dict(getattr(registry, table)) for table in TABLES]
    self.assertEqual(after, before)

  @parameterized.parameters("generator", "diffusion")
  def test_proposers_need_weights(self, proposer):
    """Oracle: the documented FileNotFoundError."""
    with self.assertRaises(FileNotFoundError):
      registry.make_search(
        "ednag",
        nagjax.Problem(table()),
        budget=9,
        proposer=proposer,
        data_dir="/nonexistent",
      )


if __name__ == "__main__":
  absltest.main()
