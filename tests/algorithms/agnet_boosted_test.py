"""Tests of nagjax.algorithms.agnet_boosted in a tiny setting."""

import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import generation
from nagjax import search
from nagjax.algorithms import agnet
from nagjax.algorithms import agnet_boosted
from nagjax.algorithms import agnet_steps
from nagjax.benchmarks import synthetic
from nagjax.predictors import boosted
from nagjax.predictors import ensembles
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status
from tests.algorithms.agnet_test import weights

SPACE = nasbench201.nasbench201()
LAYOUT = SPACE.layout
BUDGET = 17

TINY = agnet.Config(
  num_initial=6,
  batch_size=4,
  archive_size=40,
  surrogate="xgb",
  num_members=2,
  train_steps=2,
  train_batch_size=4,
  num_latents=8,
  num_decodes=4,
)
RANKED = dataclasses.replace(TINY, surrogate="xgb_rank")


class Killed(Exception):
  """What interrupts a search."""


@functools.cache
def made(config):
  """The search; its programs run for an instant, compiling takes long."""
  jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
  )
  with mock.patch.object(jax, "jit", jit):
    return agnet.agnet(SPACE, config)


def closed_form(archs):
  """The objective of `synthetic`."""
  lost = (archs[:, None] != synthetic.PEAKS) @ synthetic.EDGE_WEIGHTS
  return (synthetic.HEIGHTS - lost).max(axis=-1)


def look_up(archs):
  """The closed form; every seventh cell fails."""
  failed = archs @ 5 ** np.arange(6) % 7 == 0
  return np.where(failed, np.nan, closed_form(archs))


def run(config, seed=0, evaluate_fn=look_up, **options):
  return search.run_on_host(
    jax.random.key(seed),
    made(config),
    SPACE,
    evaluate_fn,
    weights(SPACE),
    budget=BUDGET,
    num_rounds=6,
    jit=False,
    **options,
  )


def assert_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def features(archs):
  graphs = LAYOUT.encode(jnp.asarray(archs))
  return agnet_boosted.flat_vectors(graphs, LAYOUT)


def told(config, archs, params):
  """A state that knows `archs`."""
  algorithm = made(config)
  objective = jnp.asarray(np.nan_to_num(look_up(archs), nan=-np.inf))
  state = algorithm.init(jax.random.key(0), params)
  num = len(archs)
  return algorithm.tell(
    state,
    Proposal(jnp.asarray(archs), jnp.ones(num, bool)),
    Evaluation(
      jnp.full(num, Status.FRESH, jnp.int8),
      objective.astype(jnp.float32),
      objective.astype(jnp.float32)[:, None],
      jnp.zeros((num, 0)),
    ),
    params,
  )[0]


class SearchTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    pytest.importorskip("xgboost")

  @parameterized.parameters(TINY, RANKED)
  def test_same_key_same_search(self, config):
    """Oracle: the first call; sets and look-ups for what a trace says."""
    first, second = run(config), run(config)
    assert_equal(first, second)
    self.assertFalse(np.array_equal(first.ledger[0], run(config, 1).ledger[0]))
    self.assertLen(set(map(tuple, first.ledger.archs.tolist())), BUDGET)
    np.testing.assert_allclose(
      first.ledger.objective, look_up(first.ledger.archs), rtol=1e-6
    )
    status = first.trace.status
    self.assertEqual(np.sum(status == Status.REPEAT), 0)

  @parameterized.parameters(TINY, RANKED)
  def test_a_killed_search_goes_on(self, config):
    """Oracle: the search in one go; nothing is evaluated twice."""
    evaluated = []

    def dying(archs):
      if len(evaluated) == 2:
        raise Killed
      evaluated.append(len(archs))
      return look_up(archs)

    with tempfile.TemporaryDirectory() as directory:
      place = pathlib.Path(directory)
      with self.assertRaises(Killed):
        run(config, evaluate_fn=dying, directory=place)

      def counting(archs):
        evaluated.append(len(archs))
        return look_up(archs)

      result = run(config, evaluate_fn=counting, directory=place)
    assert_equal(result, run(config))
    self.assertEqual(sum(evaluated), BUDGET)

  def test_it_cannot_be_compiled(self):
    """Oracle: the documented error, which names what to do."""
    algorithm, params = made(TINY), weights(SPACE)
    state = algorithm.init(jax.random.key(0), params)
    with self.assertRaisesRegex(ValueError, r"run_on_host\(..., jit=False\)"):
      jax.jit(algorithm.ask)(jax.random.key(0), state, params)

  @parameterized.parameters(TINY, RANKED)
  def test_nothing_was_evaluated(self, config):
    """Oracle: valid different cells, finite weights."""
    algorithm, params = made(config), weights(SPACE)
    state = algorithm.init(jax.random.key(0), params)
    proposal, state = algorithm.ask(jax.random.key(0), state, params)
    self.assertTrue(bool(proposal.valid.all()))
    self.assertLen(set(map(tuple, proposal.archs.tolist())), TINY.batch_size)
    for leaf in jax.tree.leaves(state.trained):
      self.assertTrue(np.isfinite(leaf).all())

  def test_missing_library(self):
    """Oracle: the documented error, before anything runs."""
    with mock.patch.object(
      boosted.importlib.util, "find_spec", return_value=None
    ):
      with self.assertRaisesRegex(ValueError, r"nagjax\[boosted\]"):
        agnet.agnet(SPACE, TINY)


class GradientTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    pytest.importorskip("xgboost")
    self.archs = np.asarray(SPACE.sample(jax.random.key(5), 20))

  def _trained(self, config, params):
    """Weights of the generator after one `ask` that knows 20 cells."""
    state = told(config, self.archs, params)
    _, state = made(config).ask(jax.random.key(1), state, params)
    return state.trained.params

  def test_without_guidance(self):
    """Oracle: `xgb`, bit for bit."""
    without = dataclasses.replace(RANKED, guidance=0.0)
    params = weights(SPACE)
    assert_equal(self._trained(without, params), self._trained(TINY, params))

  def test_the_generator_follows_the_ranks(self):
    """Oracle: what other trees, fitted to the same cells, promise of cells that
    are generated before and after; the retraining itself weighs all alike."""
    config = dataclasses.replace(
      RANKED,
      train_steps=40,
      train_batch_size=8,
      train_learning_rate=3e-3,
      weight_power=0.0,
      num_decodes=8,
      num_latents=64,
      guidance=1.0,
      caution=0.0,
    )
    pretrained = generation.load_pretrained(SPACE).params
    generate = jax.jit(
      functools.partial(
        agnet_steps.generate,
        pretrained=pretrained,
        config=config,
        layout=LAYOUT,
      )
    )

    state = told(config, self.archs, pretrained)
    archive = state.archive
    trees = agnet_boosted.fit(
      jax.random.key(9),
      features(self.archs),
      ensembles.targets(archive.target, archive.violations, archive.used)[:20],
      config,
    )

    def promised(params):
      archs, valid = generate(jax.random.key(2), params)
      mean, _ = agnet_boosted.predict(trees, features(archs), config)
      return mean[np.asarray(valid)].mean()

    trained = self._trained(config, pretrained)
    self.assertGreater(promised(trained), promised(pretrained) + 0.4)


class PartsTest(absltest.TestCase):
  def test_flat_vectors(self):
    """Oracle: the published layout of a cell, written by hand."""
    operations = [3, 0, 4, 2, 1, 3]
    graphs = LAYOUT.encode(jnp.asarray([operations]))
    vector = np.asarray(agnet_boosted.flat_vectors(graphs, LAYOUT))[0]
    self.assertEqual(vector.shape, (84,))
    nodes, edges = vector[:56].reshape(8, 7), vector[56:]
    np.testing.assert_array_equal(nodes.sum(axis=1), 1)
    names = [LAYOUT.labels[i] for i in nodes.argmax(axis=1)]
    cell = nasbench201.to_string(operations)
    order = [part.split("~")[0] for part in cell.replace("+", "|").split("|")]
    order = [name for name in order if name]
    self.assertEqual(names, ["input", *order, "output"])
    targets = {0: (1, 2, 4), 1: (3, 5), 2: (6,), 3: (6,), 4: (7,)}
    targets |= {5: (7,), 6: (7,)}
    adjacency = np.zeros((8, 8))
    for source, into in targets.items():
      adjacency[source, list(into)] = 1
    by_target = [adjacency[i, j] for j in range(8) for i in range(j)]
    np.testing.assert_array_equal(edges, by_target)

  def test_predictions(self):
    """Oracle: NumPy on the single trees: mean, deviation, penalty."""
    pytest.importorskip("xgboost")
    config = dataclasses.replace(
      TINY, num_members=3, num_constraints=2, penalty=5.0
    )
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 2, (20, 5)), jnp.float32)
    y = jnp.asarray(rng.normal(size=(20, 3)), jnp.float32)
    trees = agnet_boosted.fit(jax.random.key(0), x, y, config)
    mean, deviation = agnet_boosted.predict(trees, x[None], config)
    rows = np.asarray(x)
    heads = np.stack([[boosted.predict(h, rows) for h in m] for m in trees])
    excess = np.maximum(heads[:, 1:].mean(0), 0).sum(0)
    self.assertEqual(heads.shape, (3, 3, 20))
    np.testing.assert_allclose(
      mean[0], heads[:, 0].mean(0) - 5 * excess, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
      deviation[0], heads[:, 0].std(0, ddof=1), rtol=1e-4
    )
    self.assertGreater(deviation.min(), 0)
    np.testing.assert_allclose(heads[:, 0].mean(0), y[:, 0], atol=1.0)

  def test_one_member_is_certain(self):
    """Oracle: the published setting: all rows, no deviation."""
    pytest.importorskip("xgboost")
    config = dataclasses.replace(TINY, num_members=1)
    x = jnp.asarray(np.eye(6), jnp.float32)
    y = jnp.arange(6.0)[:, None]
    trees = agnet_boosted.fit(jax.random.key(0), x, y, config)
    mean, deviation = agnet_boosted.predict(trees, x, config)
    alone = boosted.fit(np.asarray(x), np.asarray(y)[:, 0], seed=0)
    np.testing.assert_array_equal(mean, boosted.predict(alone, np.asarray(x)))
    np.testing.assert_array_equal(deviation, np.zeros(6))


if __name__ == "__main__":
  absltest.main()
