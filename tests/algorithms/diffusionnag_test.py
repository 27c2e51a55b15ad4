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

  @parameterized.parameters((300, 200, 100), (30, 20, 10), (1, 1, 1))
  def test_pool_spends_the_budget_in_one_round(self, budget, initial, rest):
    """Oracle: a training set of 200 or two thirds; the rest is one batch."""
    benchmark, _, _ = made()
    found = nagjax.make_search(
      "diffusionnag", benchmark, budget=budget, variant="pool"
    )
    self.assertIsInstance(found.config, diffusionnag_pool.Config)
    self.assertEqual(found.algorithm.num_initial, initial)
    self.assertEqual(found.algorithm.batch_size, rest)
    self.assertEqual(found.num_rounds, 1)

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
