"""Tests of nagjax.algorithms.diffusionnag."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import nagjax
from nagjax.algorithms import diffusionnag
from nagjax.algorithms import diffusionnag_pool
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

CONFIG = diffusionnag.Config(
  num_initial=100,
  archive_size=240,
  num_candidates=100,
  fit_steps=150,
  guide_steps=150,
)


@functools.cache
def made():
  """Benchmark, parts and weights of the space that the package ships."""
  benchmark = nagjax.make_benchmark("synthetic")
  weights = diffusionnag.params(benchmark.space, CONFIG)
  return benchmark, diffusionnag.make_parts(benchmark.space, CONFIG), weights


@functools.cache
def state_after(num=100):
  """A search that knows `num` random architectures, and is fitted to them."""
  benchmark, parts, weights = made()
  algorithm = diffusionnag.diffusionnag(benchmark.space, CONFIG)

  def learn(key):
    archs_key, init_key, fit_key = jax.random.split(key, 3)
    archs = benchmark.space.sample(archs_key, num)
    value = nagjax.Problem(benchmark).evaluate(archs).objective
    state, _ = algorithm.tell(
      algorithm.init(init_key, weights),
      Proposal(archs, jnp.ones(num, bool)),
      Evaluation(
        jnp.zeros(num, jnp.int8), value, value[:, None], jnp.zeros((num, 0))
      ),
      weights,
    )
    return state._replace(members=diffusionnag.fit(fit_key, state, parts))

  return jax.jit(learn)(jax.random.key(3))


class DiffusionNagTest(parameterized.TestCase):
  def test_guided_candidates_are_better(self):
    """Oracle: true objectives; unguided ones are as good as random draws."""
    benchmark, parts, weights = made()
    problem, state = nagjax.Problem(benchmark), state_after()

    def objectives(candidates):
      plain = parts._replace(
        config=diffusionnag.dataclasses.replace(CONFIG, candidates=candidates)
      )
      archs, valid, after = jax.jit(
        lambda key: diffusionnag.propose(key, state, weights, plain)
      )(jax.random.key(5))
      self.assertEqual(int(after.bad_step), -1)
      self.assertTrue(np.asarray(valid).all())
      return np.asarray(problem.evaluate(archs).objective)

    guided, unguided, random = (
      objectives(name) for name in ("guided", "unguided", "random")
    )
    spread = random.std() / len(random) ** 0.5
    self.assertGreater(guided.mean(), random.mean() + 6 * spread)
    self.assertLess(abs(unguided.mean() - random.mean()), 5 * spread)

  def test_lessons(self):
    """Oracle: the ensemble's mean and NumPy's quantile."""
    _, parts, _ = made()
    state = state_after()
    archs, labels = diffusionnag.lessons(jax.random.key(0), state, parts)
    mean = np.asarray(diffusionnag.promises(state.members, archs, parts)).mean(
      axis=0
    )
    bar = np.quantile(mean, 1 - CONFIG.good_share)
    clear = abs(mean - bar) > 1e-5
    np.testing.assert_array_equal(
      np.asarray(labels)[clear], (mean >= bar)[clear]
    )
    self.assertAlmostEqual(
      float(np.mean(labels)), CONFIG.good_share, delta=0.01
    )

  def test_pick(self):
    """Oracle: a loop that takes the best that is left."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 6)).astype(np.float32)
    allowed = np.asarray([True, False, True, True, False, False])
    chosen, found = diffusionnag.pick(jnp.asarray(values), jnp.asarray(allowed))
    free = list(np.flatnonzero(allowed))
    for slot in range(4):
      self.assertEqual(bool(found[slot]), bool(free))
      if free:
        best = max(free, key=lambda c: values[slot, c])
        self.assertEqual(int(chosen[slot]), best)
        free.remove(best)

  def test_broken_weights_are_no_random_search(self):
    """Oracle: NaN is not finite at the first step; nothing is proposed."""
    benchmark, _, weights = made()
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, weights)
    algorithm = diffusionnag.diffusionnag(benchmark.space, CONFIG)
    proposal, state = jax.jit(algorithm.ask)(
      jax.random.key(0), state_after(), broken
    )
    self.assertEqual(int(state.bad_step), 0)
    self.assertFalse(np.asarray(proposal.valid).any())
    with self.assertRaisesRegex(FloatingPointError, "Step 0"):
      algorithm.check(jax.tree.map(lambda leaf: leaf[None], state))
    algorithm.check(state_after())

  def test_absurd_guidance(self):
    """Oracle: samples beyond all noise are no samples, though finite."""
    _, parts, weights = made()
    parts = parts._replace(
      config=diffusionnag.dataclasses.replace(CONFIG, guidance=1e25)
    )
    state = state_after()
    after = jax.jit(
      lambda key: diffusionnag.propose(key, state, weights, parts)[2]
    )(jax.random.key(0))
    self.assertGreaterEqual(int(after.bad_step), 0)

  def test_mutants_of_the_incumbent(self):
    """Oracle: the best of a training set differs in one operation from each."""
    benchmark, parts, weights = made()
    parts = parts._replace(
      config=diffusionnag.dataclasses.replace(CONFIG, candidates="mutation")
    )
    archs, valid, _ = diffusionnag.propose(
      jax.random.key(0), state_after(), weights, parts
    )
    archive = state_after().archive
    best = np.asarray(archive.archs)[np.argmax(np.asarray(archive.objective))]
    self.assertTrue(np.asarray(valid).all())
    self.assertTrue(np.all(np.sum(np.asarray(archs) != best, axis=1) == 1))

  @parameterized.parameters(
    ("nasbench201", "gcn"), ("mobilenetv3", "transformer"), ("darts", None)
  )
  def test_guides_know_where_a_row_is(self, name, expected):
    """Oracle: a cell's graph tells its rows apart; a chain needs positions, so
    what the guide says changes when rows are reversed."""
    space = nagjax.make_space(name)
    parts = diffusionnag.make_parts(space, CONFIG)
    weights = parts.guide.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, *parts.model.shape))
    both = [
      parts.guide.apply(weights, rows, jnp.ones(1), parts.adjacency)
      for rows in (x, x[:, ::-1])
    ]
    self.assertNotAlmostEqual(float(both[0][0]), float(both[1][0]), places=4)
    is_graph = not np.asarray(parts.adjacency).all()
    self.assertEqual(is_graph, expected == "gcn")

  @parameterized.parameters((300, 200, 100), (30, 20, 10), (4, 2, 2), (1, 1, 1))
  def test_sizes_of_a_pool(self, budget, initial, rest):
    """Oracle: a training set of 200 or two thirds; the rest is one batch."""
    benchmark, _, _ = made()
    found = nagjax.make_search(
      "diffusionnag", benchmark, budget=budget, variant="pool"
    )
    self.assertIsInstance(found.config, diffusionnag_pool.Config)
    self.assertEqual(found.algorithm.num_initial, initial)
    self.assertEqual(found.algorithm.batch_size, rest)
    self.assertEqual(found.num_rounds, diffusionnag_pool.MAX_ROUNDS)

  def test_pools_follow_until_the_budget_is_spent(self):
    """Oracle: the budget, all of it charged, though a pool is half of what a
    short prior leaves; what a pool lacks is not filled up."""
    benchmark, _, _ = made()
    options = dict(
      candidates="mutation",
      num_candidates=14,
      num_taught=16,
      fit_steps=2,
      guide_steps=2,
      sample_steps=3,
    )
    found = nagjax.make_search(
      "diffusionnag", benchmark, budget=40, variant="pool", options=options
    )
    self.assertEqual(found.algorithm.batch_size, 14)
    archs = benchmark.space.sample(jax.random.key(5), 3)
    trace, _ = nagjax.run(
      jax.random.key(0),
      found.algorithm,
      nagjax.Problem(benchmark),
      found.params,
      budget=40,
      num_rounds=found.num_rounds,
      prior=nagjax.search.Prior(archs),
    )
    self.assertEqual(int(trace.charged[-1]), 40)
    # Fourteen mutants are hardly ever fourteen different ones.
    self.assertIn(Status.INVALID, np.asarray(trace.status))

  @parameterized.parameters(
    dict(candidates="magic"),
    dict(acquisition="luck"),
    dict(guide="dog"),
    dict(good_share=0.0),
    dict(num_candidates=2),
    dict(archive_size=3),
    dict(sample_steps=0),
  )
  def test_bad_options(self, **option):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, next(iter(option))):
      diffusionnag.Config(**option)

  def test_space_without_weights(self):
    """Oracle: the error has the command that makes them."""
    space = nagjax.make_space("darts")
    with self.assertRaisesRegex(FileNotFoundError, "train_score --space=darts"):
      diffusionnag.params(space, CONFIG)


if __name__ == "__main__":
  absltest.main()
