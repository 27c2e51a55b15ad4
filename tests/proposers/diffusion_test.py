"""Tests of nagjax.proposers.diffusion; the contract covers the rest."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax import archive as archive_lib
from nagjax.benchmarks import synthetic
from nagjax.generation import score_models
from nagjax.proposers import base
from nagjax.proposers import diffusion
from nagjax.surrogates import noise_aware
from nagjax.types import Prediction

SPACE = nagjax.make_space("nasbench201")
TABLE = synthetic.synthetic()
CONFIG = diffusion.Config(
  num_candidates=100, guide_fit=noise_aware.Config(num_steps=150)
)


def truth(archs):
  """A surrogate that knows the benchmark."""
  mean = TABLE.query(archs)[TABLE.objective]
  return Prediction(mean, mean * 0, None, jnp.zeros((*mean.shape, 0)))


BELIEF = base.Belief(truth, None, True, 0.0)


@functools.cache
def part(**options):
  return diffusion.diffusion(SPACE, dataclasses.replace(CONFIG, **options))


def proposed(made, params=None):
  def run(key, params):
    state = made.init(key, params)
    archive = archive_lib.empty(SPACE, 9, 0)
    return made.propose(key, state, params, BELIEF, archive)

  run = jax.jit(run)
  return run(jax.random.key(5), params or made.params)


class DiffusionTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_guided_candidates_are_better(self):
    """Oracle: true objectives; unguided ones are as good as random draws."""
    values = []
    for guidance in (2.0, 0.0):
      archs, valid, state = proposed(part(guidance=guidance))
      self.assertEqual(int(state.bad_step), -1)
      self.assertTrue(np.asarray(valid).all())
      values.append(np.asarray(truth(archs).mean))
    guided, unguided = values
    random = np.asarray(truth(SPACE.sample(jax.random.key(1), 100)).mean)
    spread = random.std() / len(random) ** 0.5
    self.assertGreater(guided.mean(), random.mean() + 6 * spread)
    self.assertLess(abs(unguided.mean() - random.mean()), 5 * spread)

  def test_good(self):
    """Oracle: NumPy's quantile."""
    mean = np.random.default_rng(0).normal(size=200).astype(np.float32)
    labels = np.asarray(diffusion.good(jnp.asarray(mean), 0.1))
    np.testing.assert_array_equal(labels, mean >= np.quantile(mean, 0.9))

  @pytest.mark.slow
  def test_broken_weights_fail(self):
    """Oracle: NaN is not finite at the first step."""
    made = part(num_candidates=8, guidance=0.0)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, made.params)
    _, _, state = proposed(made, broken)
    self.assertEqual(int(made.failed_step(state)), 0)

  @pytest.mark.slow
  def test_a_search_with_broken_weights_proposes_nothing(self):
    """Oracle: no valid proposal, and the documented error on the host."""
    made = part(num_candidates=8, guidance=0.0)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, made.params)
    search = nagjax.make_search(
      "diffusionnag",
      nagjax.Problem(TABLE),
      budget=30,
      proposer=made._replace(params=broken),
      surrogate="gp",
    )
    algorithm = search.algorithm
    state = algorithm.init(jax.random.key(0), algorithm.params)
    proposal, state = jax.jit(algorithm.ask)(
      jax.random.key(0), state, algorithm.params
    )
    self.assertFalse(np.asarray(proposal.valid).any())
    with self.assertRaisesRegex(FloatingPointError, "Step 0"):
      algorithm.check(jax.tree.map(lambda leaf: leaf[None], state))

  @pytest.mark.slow
  def test_absurd_guidance(self):
    """Oracle: samples beyond all noise are no samples, though finite."""
    guide = part(
      guidance=1e25,
      num_candidates=8,
      guide_fit=noise_aware.Config(num_steps=3),
      num_taught=20,
    )
    _, _, state = proposed(guide)
    self.assertGreaterEqual(int(state.bad_step), 0)

  def test_a_model_and_a_sampler_of_ones_own(self):
    """Oracle: a sampler that returns one cell, whatever the model says."""
    model = score_models.score_model(SPACE)
    cell = model.to_data(jnp.asarray([[3, 1, 2, 0, 4, 3]]))

    def sampler(score_fn, sde, start):
      del score_fn, sde
      x = jnp.broadcast_to(cell, start.shape)
      return diffusion.samplers.Sampled(x, jnp.int32(-1))

    made = diffusion.diffusion(
      SPACE,
      dataclasses.replace(CONFIG, guidance=0.0),
      model=model,
      params=jax.eval_shape(model.init, jax.random.key(0)),
      sampler=sampler,
    )
    archs, valid, _ = proposed(made, params=((),))
    self.assertTrue(np.asarray(valid).all())
    self.assertEqual(set(map(tuple, archs.tolist())), {(3, 1, 2, 0, 4, 3)})
    with self.assertRaisesRegex(ValueError, "come together"):
      diffusion.diffusion(SPACE, CONFIG, model=model)

  @parameterized.parameters(
    ("nasbench201", "gcn"), ("mobilenetv3", "transformer"), ("darts", None)
  )
  @pytest.mark.slow
  def test_guides_know_where_a_row_is(self, name, expected):
    """Oracle: a cell's graph tells its rows apart; a chain needs positions, so
    what the guide says changes when rows are reversed."""
    space = nagjax.make_space(name)
    model = score_models.score_model(space)
    guide = diffusion.default_guide(space, model, 48)
    adjacency = diffusion.rows_adjacency(space, model)
    params = jax.jit(guide.init)(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, *model.shape))
    both = [
      guide.apply(params, rows, jnp.ones(1), adjacency)
      for rows in (x, x[:, ::-1])
    ]
    self.assertNotAlmostEqual(float(both[0][0]), float(both[1][0]), places=4)
    is_graph = not np.asarray(adjacency).all()
    self.assertEqual(is_graph, expected == "gcn")

  @parameterized.parameters(
    dict(good_share=0.0), dict(num_candidates=0), dict(sample_steps=0)
  )
  def test_bad_options(self, **option):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, next(iter(option))):
      diffusion.Config(**option)

  def test_space_without_weights(self):
    """Oracle: the error has the command that makes them."""
    space = nagjax.make_space("darts")
    with self.assertRaisesRegex(FileNotFoundError, "train_score --space=darts"):
      diffusion.diffusion(space)


class PoolTest(parameterized.TestCase):
  @parameterized.parameters((300, 200, 100), (30, 20, 10), (4, 2, 2), (1, 1, 1))
  def test_sizes_of_a_pool(self, budget, initial, rest):
    """Oracle: a training set of 200 or two thirds; the rest is one batch."""
    found = nagjax.make_search(
      "diffusionnag", nagjax.Problem(TABLE), budget=budget, variant="pool"
    )
    self.assertEqual(found.algorithm.num_initial, initial)
    self.assertEqual(found.algorithm.batch_size, rest)
    self.assertEqual(found.num_rounds, 20)

  @pytest.mark.slow
  def test_pools_follow_until_the_budget_is_spent(self):
    """Oracle: the budget, all of it charged, though a pool is half of what a
    short warm start leaves; what a pool lacks is not filled up."""
    found = nagjax.make_search(
      "diffusionnag",
      nagjax.Problem(TABLE),
      budget=40,
      variant="pool",
      surrogate="gp",
      proposer="mutation",
      options={"num_candidates": 14},
    )
    self.assertEqual(found.algorithm.batch_size, 14)
    archs = SPACE.sample(jax.random.key(5), 3)
    result = nagjax.sweep(
      jax.random.split(jax.random.key(0), 4),
      found,
      warm_start=nagjax.WarmStart(archs),
    )
    self.assertEqual(result.trace.charged[:, -1].tolist(), [40] * 4)
    # Fourteen mutants are hardly ever fourteen different ones.
    self.assertIn(nagjax.Status.INVALID, result.trace.status)


if __name__ == "__main__":
  absltest.main()
